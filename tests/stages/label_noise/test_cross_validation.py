from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.core.errors import UserError
from pipeline.core.folds import EVERY_FOLD, assign_folds
from pipeline.stages.label_noise.cross_validation import (
    doubt_labels,
    halved,
    predict_out_of_fold,
    predict_weakly,
    splits_of,
)
from pipeline.stages.label_noise.logistic_regression import FeatureMap, narrow
from pipeline.stages.label_noise.stage import find_label_errors
from tests.stages.label_noise.planted import (
    CLASSES,
    COMPONENTS,
    NOISE,
    World,
    add_copies,
    mislabel,
    params,
    relabel,
    world,
)
from tests.stages.label_noise.scored import precision, predicted, scored, scored_by

PARAMS = params()
SMALL = mislabel(world(0, lesions=200), "uniform", rate=0.1, seed=0)


def test_labels_outside_train_change_no_prediction_and_no_score_in_train() -> None:
    outside = SMALL.dataset.split != "train"
    changed = relabel(SMALL, outside, (SMALL.dataset.given[outside] + 1) % len(CLASSES))
    scores = []
    for planted in (SMALL, changed):
        found = predicted(planted)
        errors = scored_by(planted, found).error_probability
        scores.append([found.pred_probs[~outside], found.pooled[~outside], errors[~outside]])
    for before, after in zip(*scores, strict=True):
        assert np.array_equal(before, after)


def folds_of(world: World, count: int = PARAMS.folds) -> NDArray[np.int64]:
    dataset = world.dataset
    return assign_folds(dataset.given, dataset.group, dataset.reference, count=count, seed=0)


@pytest.mark.parametrize("views", [1, 2])
def test_no_classifier_that_predicts_a_group_saw_its_labels(views: int) -> None:
    dataset, folds = SMALL.dataset, folds_of(SMALL)
    splits = splits_of(dataset, folds)
    held = (folds == 2) & dataset.reference
    lied = replace(dataset, given=np.where(held, (dataset.given + 1) % len(CLASSES), dataset.given))
    before, after = (
        predict_out_of_fold(one, [one.vectors] * views, splits, components=COMPONENTS, noise=NOISE, seed=0)
        for one in (dataset, lied)
    )
    seen = dataset.reference & ~held
    assert np.array_equal(before[:, held], after[:, held])
    assert not np.isclose(before[:, seen], after[:, seen]).all(axis=(1, 2)).any()


def test_what_has_been_seen_is_known_of_train_alone_and_leans_to_its_labels() -> None:
    dataset = SMALL.dataset
    seen = predicted(SMALL).seen
    train = np.isin(dataset.lesion, dataset.lesion[dataset.reference])
    assert (seen[~train] == 1).all()
    assert seen[train].sum(axis=1) == pytest.approx(np.ones(train.sum()))
    own = np.flatnonzero(SMALL.wrong & dataset.reference), dataset.given[SMALL.wrong & dataset.reference]
    changed = dataset.given.copy()
    changed[SMALL.wrong & dataset.reference] = SMALL.truth[SMALL.wrong & dataset.reference]
    righted = predicted(replace(SMALL, dataset=replace(dataset, given=changed)))
    assert (seen[own] > righted.seen[own]).mean() > 0.9  # each has bent what is said of it


def test_no_weak_prediction_of_a_group_saw_its_labels() -> None:
    dataset, folds = SMALL.dataset, folds_of(SMALL)
    halves = splits_of(dataset, halved(folds))
    held = (folds % 2 == 1) & dataset.reference
    lied = replace(dataset, given=np.where(held, (dataset.given + 1) % len(CLASSES), dataset.given))
    before, after = (predict_weakly(one, [one.vectors], halves, components=(2, 4)) for one in (dataset, lied))
    assert before.shape == (2, len(dataset.given), len(CLASSES))
    assert np.array_equal(before[:, held], after[:, held])
    assert (
        not np.isclose(before[:, ~held & dataset.reference], after[:, ~held & dataset.reference]).all(axis=(1, 2)).any()
    )


def test_folds_hold_groups_together_and_other_splits_out() -> None:
    dataset = SMALL.dataset
    fold = folds_of(SMALL)
    assert (fold[dataset.split != "train"] == EVERY_FOLD).all()
    assert set(fold[dataset.split == "train"]) == {0, 1, 2, 3, 4}
    assert all(len(np.unique(fold[dataset.group == group])) == 1 for group in range(0, 200, 7))


def test_a_wrong_label_is_doubted_by_images_of_other_groups_alone() -> None:
    planted = mislabel(world(3, lesions=400, spread=0.2), "uniform", rate=0.15, seed=3)
    dataset, learn = planted.dataset, planted.dataset.reference
    features = [
        FeatureMap.fit(dataset.vectors[learn], COMPONENTS).apply(dataset.vectors[learn], dataset.context[learn])
    ]
    targets = doubt_labels(dataset, features, learn, noise=NOISE, seed=0)
    rows, given, truth = np.arange(learn.sum()), dataset.given[learn], planted.truth[learn]
    wrong = given != truth
    assert np.allclose(targets.sum(axis=1), 1)
    assert np.median(targets[rows, given][wrong]) < 0.1
    assert np.median(targets[rows, truth][wrong]) > 0.8
    assert np.median(targets[rows, given][~wrong]) > 0.95


def test_removed_copies_are_no_references_but_are_held_out_with_their_group() -> None:
    originals = np.flatnonzero(SMALL.dataset.reference)[:60]
    copied = add_copies(SMALL, originals, (SMALL.dataset.given[originals] + 1) % len(CLASSES))
    count = len(SMALL.truth)
    folds = folds_of(copied)
    assert np.array_equal(folds[count:], folds[originals])
    before, after = predicted(SMALL), predicted(copied)
    assert np.allclose(before.pooled, after.pooled[:count], atol=0.05)  # pooled with copies, else the same
    alone = np.setdiff1d(
        np.arange(count), np.flatnonzero(np.isin(copied.dataset.lesion, copied.dataset.lesion[originals]))
    )
    # All but equal: a product of other shapes may round otherwise.
    assert np.allclose(before.pred_probs[alone], after.pred_probs[alone], rtol=0, atol=1e-6)


def test_images_of_a_lesion_share_one_prediction() -> None:
    found = predicted(SMALL)
    first = np.unique(SMALL.dataset.lesion, return_index=True)[1]
    assert np.array_equal(found.pred_probs, found.pred_probs[first][SMALL.dataset.lesion])


def test_tiny_classes_have_no_prediction_and_do_no_harm() -> None:
    lone = np.flatnonzero(SMALL.dataset.given == 0)
    other = np.flatnonzero((SMALL.dataset.given != 0) & SMALL.dataset.reference)[0]
    planted = relabel(SMALL, lone, 1)
    planted = relabel(planted, SMALL.dataset.group == SMALL.dataset.group[other], 0)
    found = predicted(planted)
    assert np.isfinite(found.pooled).all()
    assert np.allclose(found.pooled.sum(axis=1), 1)
    assert not found.has_prediction[planted.dataset.given == 0].any()
    assert found.has_prediction[planted.dataset.given == 3].all()
    errors = scored_by(planted, found, method="self_confidence")
    known = found.has_prediction & planted.dataset.reference
    assert np.allclose(errors.error_probability[~found.has_prediction], errors.error_probability[known].mean())


def test_a_class_that_train_lacks_has_probability_zero() -> None:
    hidden = (SMALL.dataset.given == 4) & SMALL.dataset.reference
    planted = relabel(SMALL, hidden, 0)
    assert (predicted(planted).pred_probs[:, 4] == 0).all()


@pytest.mark.parametrize("groups", [2, 3, 6])
def test_very_few_groups_are_predicted_with_fewer_folds(groups: int) -> None:
    planted = world(5, lesions=groups, test_share=0.0)
    planted = relabel(planted, np.arange(len(planted.truth)), planted.dataset.group % len(CLASSES))
    assert np.allclose(predicted(planted).pooled.sum(axis=1), 1)


def test_one_group_in_train_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(UserError, match="train holds 1 groups in scope"):
        predicted(world(5, lesions=1, test_share=0.0))


def test_two_runs_agree_to_the_last_bit() -> None:
    first, second = predicted(SMALL), predicted(SMALL)
    assert first.pooled.tobytes() == second.pooled.tobytes()
    assert first.noise_matrix.tobytes() == second.noise_matrix.tobytes()


def test_wide_vectors_are_narrowed_to_the_directions_of_those_known() -> None:
    rng = np.random.default_rng(0)
    inner = rng.normal(0, 1, (300, 8)).astype(np.float32)
    wide = inner @ rng.normal(0, 1, (8, 40)).astype(np.float32)
    known = np.arange(300) < 250
    found = narrow(wide, known, 8)
    assert found.shape == (300, 8)
    distances = [np.linalg.norm(view[:50, None] - view[None, :50], axis=2) for view in (wide, found)]
    peer = distances[0] / distances[0].max()
    assert np.allclose(distances[1] / distances[1].max(), peer, atol=1e-3), "all that varies is kept"
    moved = wide.copy()
    moved[~known] += 5
    assert np.allclose(narrow(moved, known, 8)[known], found[known]), "the others have no say"


def test_vectors_that_are_narrow_stay_as_they_are() -> None:
    vectors = np.ones((5, 16), np.float32)
    assert narrow(vectors, np.ones(5, bool), 8) is vectors


def test_a_member_that_knows_more_counts_and_one_that_knows_nothing_does_no_harm() -> None:
    planted = mislabel(world(4, lesions=400, spread=0.5), "uniform", rate=0.15, seed=1)
    known = np.full((len(planted.truth), len(CLASSES)), 0.02)
    known[np.arange(len(known)), planted.truth] = 0.92
    nothing = np.full_like(known, 1 / len(CLASSES))
    found = {}
    for name, members in (("alone", ()), ("known", (known,)), ("nothing", (nothing,))):
        told = replace(planted, dataset=replace(planted.dataset, members=members))
        found[name] = precision(planted, scored(told).error_probability)
    assert found["known"] > found["alone"] + 0.1
    assert found["nothing"] == pytest.approx(found["alone"], abs=0.01)


def test_the_nearest_know_what_classifiers_do_not_that_two_images_show_one_patient() -> None:
    one = world(7, lesions=400, spread=0.6, test_share=0.0)
    rng = np.random.default_rng(0)
    again = (one.dataset.vectors + rng.normal(0, 0.02, one.dataset.vectors.shape)).astype(np.float32)
    second = add_copies(one, np.arange(len(one.truth)), one.truth).dataset
    count, lesions = len(one.truth), int(one.dataset.lesion.max()) + 1
    apart = np.concatenate([one.dataset.lesion, one.dataset.lesion + lesions])
    dataset = replace(
        second,
        vectors=np.concatenate([one.dataset.vectors, again]),
        lesion=apart,
        group=apart,
        copy_group=np.arange(2 * count),
        removed=np.zeros(2 * count, bool),
        reference=np.ones(2 * count, bool),
    )
    planted = mislabel(World(dataset, np.tile(one.truth, 2)), "uniform", rate=0.1, seed=0)
    found = {}
    for asked in (0, 10):
        found[asked] = precision(planted, scored(planted, params=params(neighbours=asked)).error_probability)
    assert found[10] > found[0] + 0.1


def test_examples_are_near_by_all_views_not_by_the_last_vector_alone() -> None:
    planted = world(8, lesions=200)
    rng, shown = np.random.default_rng(0), planted.dataset.vectors
    blind = rng.standard_normal(shown.shape, np.float32)
    blind /= np.linalg.norm(blind, axis=1, keepdims=True)
    place, cosine = {name: i for i, name in enumerate(planted.dataset.image_id)}, {}
    for name, layers in (("blind", ()), ("seeing", (shown,))):
        scores = find_label_errors(replace(planted.dataset, vectors=blind, layers=layers), PARAMS).scores
        pairs = [(i, place[example]) for i, found in enumerate(scores["nearest_given"]) for example in found]
        cosine[name] = np.mean([shown[a] @ shown[b] for a, b in pairs])
    assert cosine["seeing"] > cosine["blind"] + 0.1
