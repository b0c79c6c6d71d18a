from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from bench.label_noise import sizes
from bench.label_noise.__main__ import join_cells
from bench.label_noise.collection import Collection
from bench.label_noise.error_probabilities import bin_up, count, draw
from bench.label_noise.methods import (
    OURS,
    find_neighbours,
    intra_extra_distance,
    mistakenness,
    neighbour_disagreement,
)
from bench.label_noise.planting import SHAPES, Units, by_source, plant, pseudo_patients
from bench.label_noise.run import Cell, measure, paired_bootstrap, run_cells, summarise, table
from bench.label_noise.stray_images import KINDS, carried
from bench.label_noise.strays import Measure, reported_half
from bench.measures import Ranking, exact_interval
from pipeline.stages.label_noise.off_topic_reference import pack, unpack
from tests.stages.label_noise.planted import params, world

CLEAN = world(3, lesions=400, test_share=0.0).dataset
COLLECTION = Collection("drawn", CLEAN, ["drawn"])


@pytest.mark.parametrize("shape", SHAPES)
def test_a_share_of_the_lesions_gets_a_wrong_label_as_a_whole(shape: str) -> None:
    planted = plant(COLLECTION, shape, rate=0.1, per="lesion", seed=1)
    assert np.array_equal(planted.wrong, planted.given != CLEAN.given)
    wrong = np.unique(CLEAN.lesion[planted.wrong])
    assert 40 <= len(wrong) <= (49 if shape == "by source" else 44)  # the last patient is mislabelled as a whole
    assert planted.wrong[np.isin(CLEAN.lesion, wrong)].all()
    assert all(len(np.unique(planted.given[CLEAN.lesion == lesion])) == 1 for lesion in wrong)


@pytest.mark.parametrize("known", [True, False])
def test_who_mislabels_a_patient_puts_one_label_on_all_of_him(known: bool) -> None:  # noqa: FBT001
    labelled = CLEAN if known else replace(CLEAN, context=CLEAN.context[:, :0])
    first = np.unique(labelled.lesion, return_index=True)[1]
    units = Units(labelled.given[first], labelled.vectors[first], labelled.classes, labelled.context[first])
    rng = np.random.default_rng(0)
    source = pseudo_patients(units, rng)
    lesions = np.bincount(source)
    assert lesions.max() <= 10
    assert (lesions >= 3).mean() > 0.8
    if known:
        assert all(len(np.unique(units.patient[source == one], axis=0)) == 1 for one in range(len(lesions)))
    given = by_source(units, 0.1, np.random.default_rng(0))
    patients = np.unique(pseudo_patients(units, np.random.default_rng(0))[given != units.truth])
    assert 4 <= len(patients) <= 16
    assert all(len(np.unique(given[source == one])) == 1 for one in patients)


def test_small_sets_are_drawn_anew_by_every_seed_and_held_against_the_best_competitor(tmp_path: Path) -> None:
    few = sizes.draw(CLEAN, 100, np.random.default_rng(0))
    assert len(few.given) == len(np.unique(few.image_id)) == len(np.unique(few.lesion)) == 100
    at = pd.Index(CLEAN.image_id).get_indexer(pd.Index(few.image_id))
    assert [few.classes[i] for i in few.given] == [CLEAN.classes[i] for i in CLEAN.given[at]]
    kinds = (("uniform", 0.2), (sizes.CLEAN, 0.0))
    found = {
        shape: sizes.summarise(
            [sizes.outcome(COLLECTION, sizes.Cell(100, shape, rate, seed), params(), cache=tmp_path) for seed in (0, 1)]
        )
        for shape, rate in kinds
    }
    assert len(list(tmp_path.iterdir())) == 4
    assert found["uniform"]["errors"] == [20, 20]
    assert found["uniform"]["lead"] == pytest.approx(
        found["uniform"]["average_precision"][OURS]
        - max(value for name, value in found["uniform"]["average_precision"].items() if name != OURS),
        abs=1e-4,
    )
    assert found[sizes.CLEAN]["errors"] == [0, 0]
    for cell in found.values():
        assert all(
            low <= expected <= high for expected, (low, high) in zip(cell["expected"], cell["bounds"], strict=True)
        )
    assert sizes.held({"errors": [3, 9], "bounds": [[2.0, 4.0], [2.0, 4.0]]}) == 1
    assert "| 100, uniform |" in sizes.table({"100, uniform": found["uniform"], "clean": found[sizes.CLEAN]})


def test_holm_corrects_the_smallest_p_for_all_and_keeps_their_order() -> None:
    assert sizes.holm({"a": 0.03, "b": 0.01, "c": 0.5}) == pytest.approx({"b": 0.03, "a": 0.06, "c": 0.5})


def test_only_runs_with_enough_errors_must_expect_their_number() -> None:
    cell = {"expected": [10.0, 41.0, 80.0, 0.0], "errors": [39, 40, 41, 50]}
    assert sizes.within_bounds(cell) == (1, 3)


def test_planted_per_image_other_images_of_the_lesion_keep_their_label() -> None:
    planted = plant(COLLECTION, "uniform", rate=0.1, per="image", seed=1)
    torn = [len(np.unique(planted.wrong[CLEAN.lesion == lesion])) == 2 for lesion in np.unique(CLEAN.lesion)]
    assert sum(torn) > 20


def test_errors_per_class_are_the_same_share_of_every_class() -> None:
    planted = plant(COLLECTION, "per class", rate=0.2, per="image", seed=1)
    for class_ in np.unique(CLEAN.given):
        assert planted.wrong[CLEAN.given == class_].mean() == pytest.approx(0.2, abs=0.02)


def test_confused_errors_go_to_the_class_most_alike() -> None:
    planted = plant(COLLECTION, "confused", rate=0.1, per="lesion", seed=1)
    ways = {(int(a), int(b)) for a, b in zip(CLEAN.given[planted.wrong], planted.given[planted.wrong], strict=True)}
    assert len(ways) <= len(CLEAN.classes)


def test_errors_that_depend_on_features_fall_on_what_is_hard_to_tell() -> None:
    hard = plant(COLLECTION, "feature-dependent", rate=0.1, per="image", seed=1).wrong
    easy = plant(COLLECTION, "uniform", rate=0.1, per="image", seed=1).wrong
    share = neighbour_disagreement(COLLECTION.neighbours, CLEAN.given)
    assert share[hard].mean() > share[easy].mean() + 0.1


def test_a_flipped_label_brings_the_evidence_of_its_new_class() -> None:
    telling = Collection("drawn", CLEAN, []).labelled
    object.__setattr__(telling, "evidence", np.char.add("of ", CLEAN.given.astype(str)))
    planted = plant(Collection("drawn", telling, []), "uniform", rate=0.2, per="lesion", seed=1)
    assert np.array_equal(planted.evidence, np.char.add("of ", planted.given.astype(str)))


def test_figures_agree_with_scikit_learn_ties_and_weights_included() -> None:
    rng = np.random.default_rng(0)
    score, wrong, weight = rng.integers(0, 40, 500) / 40, rng.random(500) < 0.2, rng.integers(0, 4, 500) * 1.0
    ranking = Ranking(score, wrong)
    assert ranking.average_precision() == pytest.approx(average_precision_score(wrong, score))
    assert ranking.auroc() == pytest.approx(roc_auc_score(wrong, score))
    weighted = average_precision_score(wrong, score, sample_weight=weight)
    assert ranking.average_precision(weight) == pytest.approx(weighted)


def test_a_perfect_ranking_finds_everything_and_a_constant_one_what_chance_finds() -> None:
    wrong = np.arange(100) < 10
    assert set(measure(wrong * 1.0, wrong).values()) == {1.0}
    constant = measure(np.zeros(100), wrong)
    assert constant == pytest.approx(
        {"auroc": 0.5, "average_precision": 0.1, "precision_at_errors": 0.1, "recall_at_twice": 0.2}
    )


def test_the_bootstrap_tells_a_better_ranking_from_an_equal_one() -> None:
    rng = np.random.default_rng(0)
    wrong = rng.random(2000) < 0.1
    good, other, bad = (wrong + rng.normal(0, spread, 2000) for spread in (0.4, 0.4, 0.8))
    scores = {"ours": good, "other": other, "bad": bad}
    lead = paired_bootstrap([scores], [wrong], np.arange(2000) // 2, ours="ours", draws=200, seed=0)
    assert lead["bad"][0] > 0.1
    assert lead["other"][0] < 0 < lead["other"][1]


def test_mistakenness_is_highest_for_a_sure_contradiction_and_lowest_for_a_sure_agreement() -> None:
    shown = np.array([[0.99, 0.01], [0.6, 0.4], [0.6, 0.4], [0.99, 0.01]])
    order = np.argsort(mistakenness(np.array([1, 1, 0, 0]), shown))
    assert order.tolist() == [3, 2, 1, 0]


def test_selfcleans_score_compares_the_nearest_of_the_same_label_with_that_of_another() -> None:
    angle = np.array([0.0, 0.1, 0.3, 0.35])
    vectors = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    neighbours = find_neighbours(np.repeat(vectors, 4, axis=0))
    ratio = intra_extra_distance(neighbours, np.repeat([0, 0, 1, 1], 4))
    assert (ratio < 0.5).all()
    stranger = intra_extra_distance(neighbours, np.array([1, *[0] * 7, *[1] * 8]))
    assert stranger.argmax() == 0
    alone = intra_extra_distance(neighbours, np.array([2, *[0] * 7, *[1] * 8]))
    assert alone.argmax() == 0


def test_a_cell_is_run_once_and_ours_leads_in_its_table(tmp_path: Path) -> None:
    cell = Cell("uniform", 0.1, "lesion", 0)
    (outcome,) = run_cells(COLLECTION, [cell], params(), cache=tmp_path)
    (kept,) = tmp_path.iterdir()
    written = kept.stat().st_mtime_ns
    (again,) = run_cells(COLLECTION, [cell], params(), cache=tmp_path)
    assert kept.stat().st_mtime_ns == written
    assert all(np.array_equal(outcome.scores[name], again.scores[name]) for name in outcome.scores)
    found = summarise([outcome], CLEAN.lesion, draws=20, seed=0)
    assert found["methods"][OURS]["average_precision"] > found["methods"]["SelfClean"]["average_precision"]
    assert "| uniform, 10% |" in table({"uniform, 10%": found})


def test_the_exact_interval_of_a_share() -> None:
    assert np.allclose(exact_interval(0, 10), (0.0, 0.3085), atol=1e-4)
    assert np.allclose(exact_interval(10, 10), (0.6915, 1.0), atol=1e-4)


def test_an_audit_of_planted_labels_covers_them() -> None:
    rng = np.random.default_rng(0)
    wrong = rng.random(3000) < 0.1
    found = count(np.where(wrong, 0.8, 0.05), wrong, images=300, strata=3, seed=0)
    assert found["covers"] == 1
    assert found["width"] < found["binomial_width"]


@pytest.mark.parametrize("kind", KINDS)
def test_strays_differ_from_one_another(kind: str) -> None:
    assert len(carried()) > 15
    rng = np.random.default_rng(0)
    first, second = (np.asarray(KINDS[kind](rng).resize((64, 64))) for _ in range(2))
    assert first.shape == (64, 64, 3)
    assert not np.array_equal(first, second)


def drawn(place: int, images: int, *, seed: int) -> np.ndarray:
    vectors = np.eye(32)[place] + np.random.default_rng(seed).normal(0, 0.05, (images, 32))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def test_strays_are_planted_among_skin_and_counted_where_they_go() -> None:
    strays = drawn(1, 40, seed=1)
    judged = params(min_off_topic=0.05, exclude_min_off_topic=0.99)
    measure = Measure(drawn(0, 300, seed=0), unpack(pack(drawn(1, 99, seed=2))), judged, [0, 1])
    found = measure.planted(strays, 0.05)
    assert found["average_precision"] == found["lowest"] == found["left_out"] == 1
    assert found["sound_queued_or_left_out"] < 0.02
    assert measure.planted(drawn(0, 40, seed=3), 0.05)["average_precision"] < 0.5
    assert measure.cluster(strays, 200)["left_out"] == 1
    assert measure.sound(50, 4)["sets_that_lose_one"] == 0


def test_of_a_large_source_every_second_picture_is_reported_and_of_a_small_one_all() -> None:
    sources = pd.DataFrame({"kind": ["logo"] * 14 + ["chart"] * 10, "repository": ["a"] * 4 + ["b"] * 20})
    assert reported_half(sources).tolist() == [True] * 4 + [False, True] * 10


def test_reliability_compares_what_was_expected_with_what_was_wrong(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    probability = rng.random(20_000)
    honest = bin_up(probability, rng.random(20_000) < probability)
    modest = bin_up(probability, rng.random(20_000) < np.sqrt(probability))
    assert honest["calibration_error"] < 0.02
    assert modest["calibration_error"] > 0.1
    assert honest["expected_by_planted"] == pytest.approx(1, abs=0.02)
    draw({"honest": honest}, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 5000


def test_cells_of_an_earlier_run_stay_where_all_else_is_the_same() -> None:
    before = {"seeds": [1], "cells": {"a": 1, "b": 2}}
    assert join_cells(before, {"seeds": [1], "cells": {"b": 3}}) == {"seeds": [1], "cells": {"a": 1, "b": 3}}
    assert join_cells(before, {"seeds": [2], "cells": {"b": 3}}) == {"seeds": [2], "cells": {"b": 3}}
    assert join_cells(None, before) == before
    assert join_cells(before, {"width": 1}) == {"width": 1}
