from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.core.errors import UserError
from pipeline.core.folds import EVERY_FOLD
from pipeline.stages.label_noise.features import narrow
from pipeline.stages.label_noise.judging import judge_labels
from pipeline.stages.label_noise.probabilities import (
    Beliefs,
    at_a_glance,
    believe,
    out_of_fold,
    repeat_folds,
    side_by_side,
)
from pipeline.stages.label_noise.suspects import judge, rivals
from tests.stages.label_noise.judged import judged, precision
from tests.stages.label_noise.planted import CLASSES, World, add_copies, mislabel, params, relabel, world

PARAMS = params()
SMALL = mislabel(world(0, lesions=200), "uniform", rate=0.1, seed=0)


def beliefs_of(planted: World) -> Beliefs:
    return believe(planted.labelled, PARAMS.probe, PARAMS.noise)


def test_labels_outside_train_change_no_belief_and_no_score_in_train() -> None:
    outside = SMALL.labelled.split != "train"
    changed = relabel(SMALL, outside, (SMALL.labelled.given[outside] + 1) % len(CLASSES))
    scores = []
    for planted in (SMALL, changed):
        found, rival = beliefs_of(planted), rivals(planted.labelled)
        judgement = judge(planted.labelled, found, rival, method="noise_matrix", floor=0.95)
        scores.append([found.plain[~outside], found.corrected[~outside], judgement.error_probability[~outside]])
    for before, after in zip(*scores, strict=True):
        assert np.array_equal(before, after)


@pytest.mark.parametrize("strengths", [[0.1], [0.003, 0.1, 3.0]])
def test_no_probe_that_judges_a_group_saw_its_labels(strengths: list[float]) -> None:
    labelled, probe = SMALL.labelled, PARAMS.probe.model_copy(update={"c": strengths})
    folds = repeat_folds(labelled, probe)
    held = (folds[0] == 2) & labelled.voter
    lied = replace(labelled, given=np.where(held, (labelled.given + 1) % len(CLASSES), labelled.given))
    before, after = (
        np.stack(out_of_fold(one, one.vectors, folds, params=probe, noise=PARAMS.noise)) for one in (labelled, lied)
    )
    seen = labelled.voter & ~held
    assert np.array_equal(before[:, held], after[:, held])
    assert not np.isclose(before[:, seen], after[:, seen]).all(axis=(1, 2)).any()


def test_no_glance_at_a_group_saw_its_labels() -> None:
    labelled, noise = SMALL.labelled, PARAMS.noise.model_copy(update={"glances": [2, 4]})
    folds = repeat_folds(labelled, PARAMS.probe)
    held = (folds[0] % 2 == 1) & labelled.voter
    lied = replace(labelled, given=np.where(held, (labelled.given + 1) % len(CLASSES), labelled.given))
    before, after = (at_a_glance(one, one.vectors, folds, params=PARAMS.probe, noise=noise) for one in (labelled, lied))
    assert before.shape == (2, len(labelled.given), len(CLASSES))
    assert np.array_equal(before[:, held], after[:, held])
    assert not np.isclose(before[:, ~held & labelled.voter], after[:, ~held & labelled.voter]).all(axis=(1, 2)).any()


def test_folds_hold_groups_together_and_other_splits_out() -> None:
    labelled = SMALL.labelled
    for fold in repeat_folds(labelled, params(probe={**PARAMS.probe.model_dump(), "repeats": 3}).probe):
        assert (fold[labelled.split != "train"] == EVERY_FOLD).all()
        assert set(fold[labelled.split == "train"]) == {0, 1, 2, 3, 4}
        assert all(len(np.unique(fold[labelled.group == group])) == 1 for group in range(0, 200, 7))


def test_removed_copies_do_not_vote_but_are_held_out_with_their_group() -> None:
    originals = np.flatnonzero(SMALL.labelled.voter)[:60]
    copied = add_copies(SMALL, originals, (SMALL.labelled.given[originals] + 1) % len(CLASSES))
    count = len(SMALL.truth)
    folds = repeat_folds(copied.labelled, PARAMS.probe)
    assert np.array_equal(folds[:, count:], folds[:, originals])
    before, after = beliefs_of(SMALL), beliefs_of(copied)
    assert np.allclose(before.corrected, after.corrected[:count], atol=0.05)  # pooled with copies, else the same
    alone = np.setdiff1d(
        np.arange(count), np.flatnonzero(np.isin(copied.labelled.lesion, copied.labelled.lesion[originals]))
    )
    # All but equal: a product of other shapes may round otherwise.
    assert np.allclose(before.plain[alone], after.plain[alone], rtol=0, atol=1e-6)


def test_images_of_a_lesion_share_one_belief() -> None:
    found = beliefs_of(SMALL)
    first = np.unique(SMALL.labelled.lesion, return_index=True)[1]
    assert np.array_equal(found.plain, found.plain[first][SMALL.labelled.lesion])


def test_tiny_classes_are_not_judged_and_do_no_harm() -> None:
    lone = np.flatnonzero(SMALL.labelled.given == 0)
    other = np.flatnonzero((SMALL.labelled.given != 0) & SMALL.labelled.voter)[0]
    planted = relabel(SMALL, lone, 1)
    planted = relabel(planted, SMALL.labelled.group == SMALL.labelled.group[other], 0)
    found = beliefs_of(planted)
    assert np.isfinite(found.corrected).all()
    assert np.allclose(found.corrected.sum(axis=1), 1)
    assert not found.judged[planted.labelled.given == 0].any()
    assert found.judged[planted.labelled.given == 3].all()
    errors = judge(planted.labelled, found, rivals(planted.labelled), method="self_confidence", floor=0.95)
    known = found.judged & planted.labelled.voter
    assert np.allclose(errors.error_probability[~found.judged], errors.error_probability[known].mean())


def test_a_class_that_train_lacks_has_probability_zero() -> None:
    hidden = (SMALL.labelled.given == 4) & SMALL.labelled.voter
    planted = relabel(SMALL, hidden, 0)
    assert (beliefs_of(planted).plain[:, 4] == 0).all()


@pytest.mark.parametrize("groups", [2, 3, 6])
def test_very_few_groups_are_judged_with_fewer_folds(groups: int) -> None:
    planted = world(5, lesions=groups, test_share=0.0)
    planted = relabel(planted, np.arange(len(planted.truth)), planted.labelled.group % len(CLASSES))
    assert np.allclose(beliefs_of(planted).corrected.sum(axis=1), 1)


def test_one_group_in_train_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(UserError, match="train holds 1 groups in scope"):
        beliefs_of(world(5, lesions=1, test_share=0.0))


def test_two_runs_agree_to_the_last_bit() -> None:
    first, second = beliefs_of(SMALL), beliefs_of(SMALL)
    assert first.corrected.tobytes() == second.corrected.tobytes()
    assert first.noise.tobytes() == second.noise.tobytes()


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


def test_a_member_that_knows_more_is_heard_and_one_that_knows_nothing_does_no_harm() -> None:
    planted = mislabel(world(4, lesions=400, spread=0.5), "uniform", rate=0.15, seed=1)
    known = np.full((len(planted.truth), len(CLASSES)), 0.02)
    known[np.arange(len(known)), planted.truth] = 0.92
    nothing = np.full_like(known, 1 / len(CLASSES))
    found = {}
    for name, members in (("alone", ()), ("known", (known,)), ("nothing", (nothing,))):
        told = replace(planted, labelled=replace(planted.labelled, members=members))
        found[name] = precision(planted, judged(told).error_probability)
    assert found["known"] > found["alone"] + 0.1
    assert found["nothing"] == pytest.approx(found["alone"], abs=0.01)


def test_the_nearest_know_what_probes_do_not_that_two_pictures_show_one_patient() -> None:
    one = world(7, lesions=400, spread=0.6, test_share=0.0)
    rng = np.random.default_rng(0)
    again = (one.labelled.vectors + rng.normal(0, 0.02, one.labelled.vectors.shape)).astype(np.float32)
    second = add_copies(one, np.arange(len(one.truth)), one.truth).labelled
    count, lesions = len(one.truth), int(one.labelled.lesion.max()) + 1
    apart = np.concatenate([one.labelled.lesion, one.labelled.lesion + lesions])
    labelled = replace(
        second,
        vectors=np.concatenate([one.labelled.vectors, again]),
        lesion=apart,
        group=apart,
        photograph=np.arange(2 * count),
        removed=np.zeros(2 * count, bool),
        voter=np.ones(2 * count, bool),
    )
    planted = mislabel(World(labelled, np.tile(one.truth, 2)), "uniform", rate=0.1, seed=0)
    found = {}
    for asked in (0, 10):
        probe = PARAMS.probe.model_copy(update={"nearest": asked})
        found[asked] = precision(planted, judged(planted, probe=probe).error_probability)
    assert found[10] > found[0] + 0.1


def test_views_weigh_the_same_in_what_is_near() -> None:
    rng = np.random.default_rng(0)
    one, other = (rng.normal(0, 1, (60, 12)).astype(np.float32) for _ in range(2))
    labelled = replace(SMALL.labelled, voter=np.arange(60) < 50)
    near, louder = (side_by_side(labelled, views, 8) for views in ((one, other), (one, 1000 * other)))
    assert near.shape == (60, 16)
    assert np.allclose(np.linalg.norm(near, axis=1), 1, atol=1e-5)
    assert np.allclose(near @ near.T, louder @ louder.T, atol=1e-3)


def test_examples_are_near_by_all_that_judges_not_by_the_last_vector_alone() -> None:
    planted = world(8, lesions=200)
    rng, shown = np.random.default_rng(0), planted.labelled.vectors
    blind = rng.standard_normal(shown.shape, np.float32)
    blind /= np.linalg.norm(blind, axis=1, keepdims=True)
    place, cosine = {name: i for i, name in enumerate(planted.labelled.image_id)}, {}
    for name, levels in (("blind", ()), ("seeing", (shown,))):
        scores = judge_labels(replace(planted.labelled, vectors=blind, levels=levels), PARAMS).scores
        pairs = [(i, place[example]) for i, found in enumerate(scores["nearest_given"]) for example in found]
        cosine[name] = np.mean([shown[a] @ shown[b] for a, b in pairs])
    assert cosine["seeing"] > cosine["blind"] + 0.1
