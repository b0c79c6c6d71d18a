from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest

from pipeline.core.errors import UserError
from pipeline.demo.score import read_truth, score, score_broken, score_copies, score_labels, score_off_topic
from tests.commands.made import PLANTED, facts, truth


def test_copies_count_as_found_by_an_edge_and_as_removed_by_the_selection() -> None:
    found = score_copies(truth(), facts())
    assert found["by_kind"] == {
        "copy_bytes": {"planted": 1, "found": 1, "kept_together": 1, "removed": 1},
        "copy_crop": {"planted": 2, "found": 1, "kept_together": 1, "removed": 1},
    }
    assert (found["planted"], found["found"], found["copy_edges"], found["wrong_pairs"]) == (3, 2, 2, 0)


def test_a_chain_of_edges_ties_a_copy_to_its_original() -> None:
    chained = pd.DataFrame(
        [("demo:Melanoma/6.jpg", "demo:Nevus/5.jpg", "copy", "pixels")], columns=["a", "b", "relation", "evidence"]
    )
    edges = pd.concat([facts().duplicates, chained])
    assert score_copies(truth(), facts(duplicates=edges))["by_kind"]["copy_crop"]["found"] == 2


def test_a_copy_edge_between_two_lesions_is_a_wrong_pair() -> None:
    wrong = pd.DataFrame(
        [("demo:Melanoma/1.jpg", "demo:Nevus/4.jpg", "copy", "geometry")], columns=["a", "b", "relation", "evidence"]
    )
    found = score_copies(truth(), facts(duplicates=pd.concat([facts().duplicates, wrong])))
    assert (found["copy_edges"], found["wrong_pairs"]) == (3, 1)


def test_second_views_should_share_a_group_without_being_copies() -> None:
    views = score_copies(truth(), facts())["second_views"]
    assert views == {"planted": 1, "kept_together": 1, "taken_for_copies": 0}


def test_wrong_labels_are_counted_with_recall_and_precision() -> None:
    found = score_labels(truth(), facts())
    assert (found["planted"], found["found"]) == (1, 1)
    assert (found["wrong"], found["wrong_found"]) == (2, 1), "a copy in another folder is wrong too"
    assert (found["suspects"], found["precision"]) == (2, 0.5)
    assert found["handled"] == 1


def test_a_wrong_label_far_down_the_queue_is_not_handled() -> None:
    queue = pd.DataFrame({"image_id": ["demo:Melanoma/2.jpg", "demo:Melanoma/7.jpg"], "place": [3, 4]})
    assert score_labels(truth(), facts(suspect_queue=queue))["handled"] == 0
    assert score_labels(truth(), facts(suspect_queue=queue.assign(place=[4, 3])))["handled"] == 1


def test_a_wrong_label_that_weighs_half_as_much_as_others_is_handled() -> None:
    queue = pd.DataFrame({"image_id": ["demo:Melanoma/2.jpg", "demo:Melanoma/7.jpg"], "place": [3, 4]})
    wrong = truth().merge(facts().scores, on="image_id").query("true_label not in ('', given_label)")["image_id"]
    image = wrong[wrong.isin(facts().selections["curated"]["image_id"])].iloc[0]
    for weight, split, handled in ((0.5, "train", 1), (0.6, "train", 0), (0.1, "test", 0)):
        selected = facts().selections["curated"].assign(split="train", diagnosis="melanoma")
        mine = selected["image_id"] == image
        selected = selected.assign(weight=selected["weight"].where(~mine, weight), split=split)
        assert score_labels(truth(), facts(suspect_queue=queue, selections={"curated": selected}))["handled"] == handled


def test_the_ranking_of_wrong_labels_is_measured() -> None:
    found = score_labels(truth(), facts())
    assert found["average_precision"] == pytest.approx((1 / 1 + 2 / 3) / 2, abs=0.001)


def test_a_stray_picture_is_found_at_the_top_of_its_ranking() -> None:
    found = score_off_topic(truth(), facts())
    assert found == {
        "planted": 1,
        "found_in_top": 1,
        "top": 1,
        "excluded": 1,
        "handled": 1,
        "auroc": 1.0,
        "average_precision": 1.0,
    }


def test_a_broken_file_is_found_as_a_reject_and_a_sound_one_is_missed() -> None:
    rejects = pd.DataFrame(
        {"batch": "demo", "source_id": ["Nevus/9.jpg", "Nevus/4.jpg"], "reason": ["truncated", "unknown_label"]}
    )
    found = score_broken(truth(), rejects)
    assert found["by_kind"] == {"truncated": {"planted": 1, "found": 1, "reasons": ["truncated"]}}
    assert found["sound_rejected"] == 1


def test_a_batch_without_a_truth_file_is_not_scored(tmp_path: Path) -> None:
    assert read_truth(tmp_path, "demo", facts()) is None


def test_the_truth_file_is_read_with_the_images_names(tmp_path: Path) -> None:
    write_truth(tmp_path, PLANTED)
    read = read_truth(tmp_path, "demo", facts())
    assert read is not None
    assert score(read, facts()) == score(truth(), facts())


def test_the_truth_of_another_drawing_is_refused(tmp_path: Path) -> None:
    write_truth(tmp_path, PLANTED[:-1])
    with pytest.raises(UserError, match=r"data/truth/demo.csv is of another drawing than data/ingest/demo"):
        read_truth(tmp_path, "demo", facts())


def write_truth(root: Path, rows: Sequence[tuple[str, ...]]) -> None:
    (root / "data/truth").mkdir(parents=True)
    frame = pd.DataFrame(rows, columns=["image", "lesion", "true_label", "given_label", "defect", "original"])
    frame.to_csv(root / "data/truth/demo.csv", index=False)
