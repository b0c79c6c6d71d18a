from __future__ import annotations

import pandas as pd
import pytest

from pipeline.core.grouping import SPLITS
from pipeline.ledger.decisions import Decision
from pipeline.stages.replay.pairs import apply_pair_verdicts, count_moved
from tests.ledger.made import decision
from tests.stages.rebalance.made import duplicates, groups, images

Edges = list[tuple[str, str, str]]
PARTED, JOINED, DECLARED = "not_a_duplicate", "same_lesion", "copy_of"


def names(*numbers: int) -> list[str]:
    return [f"b:{number:04d}" for number in numbers]


def edge(a: int, b: int, relation: str = "copy") -> tuple[str, str, str]:
    first, second = names(a, b)
    return first, second, relation


def verdicts(*given: tuple[int, int, str]) -> dict[tuple[str, str], Decision]:
    found = {}
    for a, b, verdict in given:
        first, second = names(a, b)
        found[first, second] = decision(first, verdict, other_image_id=second)
    return found


def review(edges: Edges, *given: tuple[int, int, str], count: int = 12) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Group drawn images without lesions, apply the verdicts; return both, by image."""
    known = images(count).assign(lesion_id=None)
    before = groups(known, edges)
    after = apply_pair_verdicts(before, known, duplicates(edges)[0], verdicts(*given))
    return before.set_index("image_id"), after.set_index("image_id")


def test_without_verdicts_nothing_changes() -> None:
    before, after = review([edge(0, 1)])
    pd.testing.assert_frame_equal(before, after)


def test_a_parted_copy_returns_in_a_group_of_its_own() -> None:
    before, after = review([edge(0, 1), edge(2, 3)], (0, 1, PARTED))
    assert before.loc["b:0001", "duplicate_of"] == "b:0000"
    assert after.loc[names(0, 1), "duplicate_of"].isna().all()
    assert after.loc[names(0, 1), "group_id"].tolist() == names(0, 1)
    assert after.loc["b:0003", "duplicate_of"] == "b:0002", "the other pair stays"


def test_a_copy_that_shows_the_same_lesion_returns_and_stays_in_its_group() -> None:
    _, after = review([edge(0, 1)], (0, 1, JOINED))
    assert after.loc[names(0, 1), "duplicate_of"].isna().all()
    assert after.loc[names(0, 1), "group_id"].tolist() == names(0, 0)


def test_two_images_said_to_show_one_lesion_are_grouped() -> None:
    _, after = review([], (4, 9, JOINED))
    assert after.loc[names(4, 9), "group_id"].tolist() == names(4, 4)


def test_parted_images_of_one_lesion_by_the_source_stay_grouped() -> None:
    known = images(3).assign(lesion_id="b:lesion")
    edges = [edge(0, 1)]
    after = apply_pair_verdicts(groups(known, edges), known, duplicates(edges)[0], verdicts((0, 1, PARTED)))
    assert after["group_id"].tolist() == names(0, 0, 0)
    assert after["duplicate_of"].isna().all()


def test_a_parted_copy_that_is_also_a_copy_of_another_kept_image_stays_out() -> None:
    known = images(4).assign(lesion_id=None)
    edges = [edge(0, 1), edge(1, 2)]
    before = groups(known, [edge(0, 1), edge(1, 2, JOINED)])  # 0 and 2 are kept, 1 is a copy of either
    after = apply_pair_verdicts(before, known, duplicates(edges)[0], verdicts((0, 1, PARTED)))
    assert after.set_index("image_id").loc["b:0001", "duplicate_of"] == "b:0002"


def test_of_two_parted_copies_of_each_other_one_returns() -> None:
    edges = [edge(0, 1), edge(0, 2), edge(1, 2, "copy")]
    known = images(4).assign(lesion_id=None)
    before = groups(known, edges).set_index("image_id")
    before.loc["b:0002", "duplicate_of"] = "b:0000"
    given = verdicts((0, 1, PARTED), (0, 2, PARTED))
    after = apply_pair_verdicts(before.reset_index(), known, duplicates(edges)[0], given).set_index("image_id")
    assert after["duplicate_of"].dropna().to_dict() == {"b:0002": "b:0001"}
    assert after.loc[names(1, 2), "group_id"].tolist() == names(1, 1)


def test_a_joined_group_takes_the_most_protected_split() -> None:
    before, _ = review([], count=60)
    by_split = {split: int(part.index[0][2:]) for split, part in before.groupby("split")}
    for a in SPLITS:
        for b in SPLITS:
            if a != b:
                pair = sorted((by_split[a], by_split[b]))
                _, after = review([], (pair[0], pair[1], JOINED), count=60)
                strongest = max(a, b, key=SPLITS.index)
                assert after.loc[names(*pair), "split"].tolist() == [strongest, strongest]


def test_a_missed_copy_that_was_declared_leaves_and_joins_the_group() -> None:
    _, after = review([], (4, 9, DECLARED))
    assert after["duplicate_of"].dropna().to_dict() == {"b:0004": "b:0009"}
    assert after.loc[names(4, 9), "group_id"].tolist() == names(4, 4)
    assert len(set(after.loc[names(4, 9), "split"])) == 1


def test_a_declared_copy_takes_its_own_copies_along_to_the_image_that_is_kept() -> None:
    edges = [edge(0, 1), edge(4, 5)]
    _, after = review(edges, (0, 5, DECLARED))
    assert after["duplicate_of"].dropna().to_dict() == dict.fromkeys(names(0, 1, 5), "b:0004")
    assert after.loc[names(0, 1, 4, 5), "group_id"].tolist() == names(0, 0, 0, 0)


def test_declaring_what_is_known_changes_nothing() -> None:
    before, after = review([edge(0, 1)], (0, 1, DECLARED))
    pd.testing.assert_frame_equal(before, after)


def test_whatever_is_declared_every_copy_names_an_image_that_is_kept() -> None:
    edges = [edge(i, i + 1) for i in range(0, 40, 4)]
    given = [(i, i + 5, DECLARED) for i in range(0, 30, 3)] + [(20, 21, PARTED)]
    _, after = review(edges, *given, count=60)
    group = after["group_id"].to_dict()
    copies = after["duplicate_of"].dropna().to_dict()
    assert not set(copies.values()) & set(copies)
    assert all(group[copy] == group[kept] for copy, kept in copies.items())


@pytest.mark.parametrize("seed", range(5))
def test_a_verdict_never_makes_an_image_less_protected(seed: int) -> None:
    known = images(120, seed=seed)
    edges = [edge(i, i + 5, "copy" if i % 2 else JOINED) for i in range(0, 100, 3)]
    before = groups(known, edges)
    given = verdicts(*[(i, i + 5, PARTED) for i in range(0, 100, 6)], *[(i, i + 11, JOINED) for i in range(0, 90, 17)])
    after = apply_pair_verdicts(before, known, duplicates(edges)[0], given)
    rank_before, rank_after = before["split"].map(SPLITS.index), after["split"].map(SPLITS.index)
    assert (rank_after >= rank_before).all()
    assert (rank_after > rank_before).any()
    assert after.groupby("group_id")["split"].nunique().max() == 1
    moved = count_moved(before, after)
    assert sum(moved.values()) == (rank_after > rank_before).sum()
    assert set(moved) <= {"train to validation", "train to test", "validation to test"}
