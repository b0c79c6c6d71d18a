"""Lesions for choices and lesions that are reported are never the same ones."""

from __future__ import annotations

import pandas as pd

from bench.parts import ALL, CHOICES, REPORT, named, part_of, take_part


def drawn(batch: str) -> pd.DataFrame:
    """Draw 300 images, two a lesion, and 100 of no known lesion."""
    lesions = [f"{batch}:L{i // 2}" for i in range(300)] + [None] * 100
    return pd.DataFrame({"image_id": [f"{batch}:{i:03d}" for i in range(400)], "lesion_id": lesions})


def test_parts_share_no_lesion_and_hold_each_once() -> None:
    images = drawn("a").sample(frac=1, random_state=1)
    parts = {part: take_part(images, part) for part in (CHOICES, REPORT)}
    lesions = {part: set(rows["lesion_id"].dropna()) for part, rows in parts.items()}
    assert not lesions[CHOICES] & lesions[REPORT]
    assert len(lesions[CHOICES] | lesions[REPORT]) == 150
    assert sum(map(len, parts.values())) == 150 + 100
    assert 0.25 < len(parts[CHOICES]) / 250 < 0.42
    first = {f"a:{2 * i:03d}" for i in range(150)}
    assert set(parts[CHOICES]["image_id"]) | set(parts[REPORT]["image_id"]) >= first, "the first image by name"


def test_a_part_is_the_same_whatever_the_batch_is_called() -> None:
    by_batch = [[name.partition(":")[2] for name in take_part(drawn(batch), REPORT)["image_id"]] for batch in "ab"]
    assert by_batch[0] == by_batch[1]
    assert part_of("L1") == part_of("L1")


def test_all_is_every_row_and_needs_no_name() -> None:
    images = drawn("a")
    assert take_part(images, ALL) is images
    assert (named(["a", "b"], ALL), named(["a"], REPORT)) == ("a b", "a report")
