from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.duplicates import collection
from bench.duplicates.collection import File
from bench.duplicates.kinds import SET_ASIDE, TUNING, takes_other
from bench.duplicates.planting import DESIGNS, files, plan, truth
from pipeline.core.errors import UserError
from pipeline.core.shards import decode
from tests.drawn import jpeg, lesion


def test_kinds_that_are_set_aside_are_planted_only_when_all_are_asked_for() -> None:
    tuning = plan(DESIGNS["kinds"], mode="tuning", originals=200, others=20, per_kind=2, seed=0)
    everything = plan(DESIGNS["kinds"], mode="all", originals=200, others=20, per_kind=2, seed=0)
    assert {copy.kind for copy in tuning} == set(TUNING)
    assert {copy.kind for copy in everything} == {*TUNING, *SET_ASIDE}


def test_every_kind_gets_as_many_copies_and_no_original_or_neighbour_serves_twice() -> None:
    copies = plan(DESIGNS["kinds"], mode="tuning", originals=300, others=30, per_kind=4, seed=1)
    assert {sum(copy.kind == kind for copy in copies) for kind in TUNING} == {4}
    assert len({copy.original for copy in copies}) == len(copies)
    shown = [copy.other for copy in copies if copy.other is not None]
    assert len(set(shown)) == len(shown) == 4 * sum(map(takes_other, TUNING))


def test_a_share_plants_that_many_copies_of_selfcleans_strategy() -> None:
    copies = plan(DESIGNS["aug5"], mode="tuning", originals=200, others=20, per_kind=40, seed=0)
    assert [copy.kind for copy in copies] == ["selfclean_aug"] * 10


def test_too_few_originals_are_refused() -> None:
    with pytest.raises(UserError, match="too few"):
        plan(DESIGNS["kinds"], mode="tuning", originals=10, others=2, per_kind=1, seed=0)


def test_the_truth_names_kind_and_original_of_every_file(tmp_path: Path) -> None:
    originals = [File(f"class a/{i}.jpg", jpeg(lesion(i))) for i in range(12)]
    copies = plan(DESIGNS["aug10"], mode="tuning", originals=12, others=0, per_kind=1, seed=3)
    made = files(originals, [], copies, large=False, seed=3)
    gathered = collection.write(tmp_path, made, count=14, seed=3)
    known = truth(gathered.labels)
    assert sorted(known.kinds) == [""] * 12 + ["selfclean_aug"] * 2
    for number, kind in enumerate(known.kinds):
        original = int(known.originals[number])
        assert known.kinds[original] == ""
        assert gathered.labels[number].startswith(gathered.labels[original])
        assert (original == number) == (kind == "")
    assert [path.name for path in sorted(gathered.images.iterdir())] == gathered.names


def test_a_copy_is_the_same_whatever_else_is_planted_and_small_originals_can_be_enlarged() -> None:
    originals = [File(str(i), jpeg(lesion(i))) for i in range(6)]
    copies = plan(DESIGNS["aug10"], mode="tuning", originals=6, others=0, per_kind=1, seed=0)
    alone = list(files(originals, [], copies, large=True, seed=0))
    again = list(files(originals[: copies[0].original + 1], [], copies, large=True, seed=0))
    assert alone[-1] == again[-1]
    sides = [max(decode(file.content).shape) for file in alone[:6]]
    assert min(sides) >= 600
    assert max(sides) <= 1024
    assert len(set(sides)) > 1


def test_a_collection_is_written_once_and_its_digest_follows_its_files(tmp_path: Path) -> None:
    content = [jpeg(lesion(i)) for i in range(3)]
    first = collection.write(tmp_path / "a", [File(str(i), c) for i, c in enumerate(content)], count=3, seed=0)
    kept = collection.write(tmp_path / "a", [], count=0, seed=0)
    other = collection.write(tmp_path / "b", [File(str(i), content[0]) for i in range(3)], count=3, seed=0)
    assert kept.labels == first.labels
    assert kept.digest == first.digest != other.digest
    assert np.unique([len(name) for name in first.names]).size == 1
