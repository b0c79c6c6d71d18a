from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from pipeline.stages.label_noise.params import Noise, Probe
from pipeline.stages.label_noise.probe import FittedProbe, choose_strength, fit_probe, uniform_noise
from tests.stages.label_noise.planted import CLASSES, Array, mislabel, params, world

NOISE = Noise(start=0.1, rounds=5, prior_lesions=20.0, glances=[2, 4, 8])


def fit(vectors: Array, given: Array, *, context: Array | None = None, landmarks: int = 0) -> FittedProbe:
    probe = Probe.model_validate(params().probe.model_dump() | {"components": 64, "landmarks": landmarks})
    context = nothing(vectors) if context is None else context
    each = np.arange(len(given))
    return fit_probe(
        vectors,
        context,
        given,
        group=each,
        count=np.ones(len(given)),
        classes=len(CLASSES),
        params=probe,
        noise=NOISE,
    )


def nothing(vectors: Array) -> Array:
    return np.zeros((len(vectors), 0), np.float32)


def test_without_noise_it_is_scikit_learns_logistic_regression() -> None:
    labelled = world(0).labelled
    probe = fit(labelled.vectors, labelled.given)
    features = probe.features.apply(labelled.vectors, labelled.context)
    peer = LogisticRegression(C=0.1, tol=1e-6, max_iter=2000).fit(features, labelled.given)
    assert np.abs(probe.predict(labelled.vectors, labelled.context)[0] - peer.predict_proba(features)).max() < 0.02


def test_wrong_labels_bend_a_probe_that_allows_for_them_less() -> None:
    clean = world(2, lesions=1500, spread=0.25)
    labelled = mislabel(clean, "uniform", rate=0.3, seed=2).labelled
    fresh = clean.labelled.vectors[clean.labelled.split == "test"]
    truth = clean.truth[clean.labelled.split == "test"]
    train = labelled.voter
    probe = fit(labelled.vectors[train], labelled.given[train])
    plain, corrected = (
        float(np.log(shown[np.arange(len(truth)), truth]).mean()) for shown in probe.predict(fresh, nothing(fresh))
    )
    assert corrected > plain + 0.1


def test_a_class_never_seen_has_probability_zero() -> None:
    labelled = world(3, lesions=60).labelled
    kept = labelled.given != 2
    probe = fit(labelled.vectors[kept], labelled.given[kept])
    for probabilities in probe.predict(labelled.vectors, labelled.context):
        assert (probabilities[:, 2] == 0).all()
        assert np.allclose(probabilities.sum(axis=1), 1)


@pytest.mark.parametrize("landmarks", [0, 8])
def test_one_class_and_equal_vectors_are_no_trouble(landmarks: int) -> None:
    vectors = np.tile(np.array([0.6, 0.8], np.float32), (10, 1))
    alone = fit(vectors, np.full(10, 3), landmarks=landmarks).predict(vectors, nothing(vectors))
    assert np.allclose(np.stack(alone)[:, :, 3], 1)
    plain, _ = fit(vectors, np.repeat([0, 1], 5), landmarks=landmarks).predict(vectors, nothing(vectors))
    assert np.allclose(plain[:, :2], 0.5, atol=1e-3)


def test_landmarks_let_a_probe_bend() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(0, 1, (1200, 2)).astype(np.float32)
    inside = (np.linalg.norm(vectors, axis=1) < 1.1).astype(int)
    right = {
        m: float((fit(vectors, inside, landmarks=m).predict(vectors, nothing(vectors))[0].argmax(1) == inside).mean())
        for m in (0, 100)
    }
    assert right[0] < 0.7
    assert right[100] > 0.95


def test_context_tells_apart_what_looks_the_same() -> None:
    vectors = np.random.default_rng(0).normal(0, 1, (400, 4)).astype(np.float32)
    given = np.tile([0, 1], 200)
    context = given[:, None].astype(np.float32)
    assert (fit(vectors, given, context=context).predict(vectors, context)[0].argmax(1) == given).all()


def test_uniform_noise_is_spread_over_the_other_classes() -> None:
    assert np.allclose(uniform_noise(3, 0.2), [[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]])


def test_the_strength_is_chosen_that_fits_groups_never_seen() -> None:
    labelled = mislabel(world(5, lesions=600), "uniform", rate=0.1, seed=5).labelled
    train, fresh = labelled.voter, ~labelled.voter
    candidates = [1e-6, 1e-3, 0.1, 1e3]
    surprise = {}
    for strengths in [candidates[::-1], *([c] for c in candidates)]:
        probe = fit_probe(
            labelled.vectors[train],
            labelled.context[train],
            labelled.given[train],
            group=labelled.group[train],
            count=np.ones(int(train.sum())),
            classes=len(CLASSES),
            params=params().probe.model_copy(update={"c": strengths}),
            noise=NOISE,
        )
        shown, _ = probe.predict(labelled.vectors[fresh], labelled.context[fresh])
        surprise[len(strengths), strengths[0]] = -np.log(shown[np.arange(len(shown)), labelled.given[fresh]]).mean()
    chosen = surprise.pop((len(candidates), candidates[-1]))
    assert chosen < min(surprise.values()) + 0.02
    assert max(surprise.values()) > chosen + 0.2


def test_a_strength_that_only_learns_groups_by_heart_is_not_chosen() -> None:
    """Images of a group are all but equal, so that held out singly they would favour the weakest penalty."""
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(60), 10)
    vectors = (rng.normal(0, 1, (60, 20))[group] + rng.normal(0, 0.01, (600, 20))).astype(np.float32)
    given = rng.integers(0, 2, 60)[group]
    assert choose_strength(vectors, given, group=group, strengths=[1e-4, 1e4]) == 1e-4
    assert choose_strength(vectors, given, group=np.arange(600), strengths=[1e-4, 1e4]) == 1e4


def test_a_single_strength_a_single_group_and_a_single_class_need_no_choice() -> None:
    vectors, group = np.eye(4, dtype=np.float32), np.arange(4)
    two = np.array([0, 1, 0, 1])
    assert choose_strength(vectors, two, group=group, strengths=[0.3]) == 0.3
    assert choose_strength(vectors, two, group=np.zeros(4, int), strengths=[0.3, 0.4]) == 0.3
    assert choose_strength(vectors, np.zeros(4, int), group=group, strengths=[0.4, 0.3]) == 0.3
