from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import softmax

from pipeline.core.errors import UserError
from pipeline.stages.evaluate import ensemble
from pipeline.stages.evaluate.scored import Model, OutOfFold, Truth

Array = np.ndarray[Any, Any]
CLASSES = 3


def honest(images: int, *, skill: float, seed: int) -> tuple[Array, Array]:
    """Logits and classes such that softmax(logits) is the truth's own distribution."""
    rng = np.random.default_rng(seed)
    logits = skill * rng.normal(size=(images, CLASSES))
    cumulative = softmax(logits, axis=1).cumsum(1)
    return logits, (rng.random((images, 1)) > cumulative).sum(1).clip(max=CLASSES - 1)


def members(seed: int, *, images: int = 400) -> tuple[Array, Array]:
    """Probabilities of three members of uneven skill, (3, images, classes), and uneven classes."""
    rng = np.random.default_rng(seed)
    actual = rng.choice(CLASSES, images, p=[0.7, 0.2, 0.1])
    right = actual[:, None] == np.arange(CLASSES)
    return np.stack(
        [softmax(rng.normal(size=(images, CLASSES)) + skill * right, axis=1) for skill in (0, 1, 2)]
    ), actual


def truth(actual: Array) -> Truth:
    return Truth(np.arange(len(actual)), actual, np.arange(len(actual)), "")


def balanced_log_loss(weights: Array, probabilities: Array, actual: Array) -> float:
    pool = np.tensordot(weights, probabilities, axes=1)
    losses = -np.log(pool[np.arange(len(actual)), actual])
    return float(np.mean([losses[actual == k].mean() for k in np.unique(actual)]))


@pytest.mark.parametrize("planted", [0.5, 1.0, 2.5])
def test_the_planted_temperature_is_found(planted: float) -> None:
    logits, actual = honest(40_000, skill=2.0, seed=0)
    found = ensemble.fit_temperature(softmax(logits / planted, axis=1), actual)  # too unsure by so much
    assert found == pytest.approx(1 / planted, rel=0.03)


def test_a_temperature_moves_no_image_to_another_class() -> None:
    logits, actual = honest(500, skill=2.0, seed=1)
    before = softmax(3 * logits, axis=1)
    after = ensemble.calibrate(before, truth(actual))
    assert after.temperature == pytest.approx(3, rel=0.2)
    assert (after.probabilities.argmax(1) == before.argmax(1)).all()
    assert after.probabilities.sum(1) == pytest.approx(np.ones(500))


def test_a_temperature_without_an_end_stays_within_the_limits() -> None:
    wrong = np.tile([0.6, 0.3, 0.1], (20, 1)), np.full(20, 2)
    assert ensemble.fit_temperature(*wrong) == pytest.approx(ensemble.TEMPERATURES[1], rel=0.01)


def test_few_images_without_an_error_do_not_make_certain() -> None:
    """The confidence that n hits allow leaves 1 / (n + 2) to both classes alike."""
    flawless = ensemble.calibrate(np.tile([0.6, 0.4], (20, 1)), truth(np.zeros(20, int)))
    assert flawless.probabilities.max(1) == pytest.approx(np.full(20, 1 - 0.5 / 22), abs=1e-3)
    more = ensemble.calibrate(np.tile([0.6, 0.4], (200, 1)), truth(np.zeros(200, int)))
    assert more.temperature < flawless.temperature


def test_probabilities_of_zero_and_one_stay_finite() -> None:
    found = ensemble.calibrate(np.eye(3)[[0, 1, 2, 0]], truth(np.array([0, 1, 2, 1])))
    assert np.isfinite(found.probabilities).all()


def test_weights_are_those_of_the_least_log_loss_on_the_simplex() -> None:
    probabilities, actual = members(0)
    found = ensemble.weighted(probabilities, actual)
    oracle = minimize(
        balanced_log_loss,
        np.full(3, 1 / 3),
        args=(probabilities, actual),
        method="SLSQP",
        bounds=[(0, 1)] * 3,
        constraints={"type": "eq", "fun": lambda weights: weights.sum() - 1},
    )
    assert found.min() >= 0
    assert found.sum() == pytest.approx(1)
    assert balanced_log_loss(found, probabilities, actual) <= oracle.fun + ensemble.CLOSE
    assert found == pytest.approx(oracle.x, abs=0.03)


def test_a_member_that_is_never_better_gets_no_weight() -> None:
    actual = np.array([0, 1, 2] * 20)
    good, poor = 0.7 * np.eye(3)[actual] + 0.1, 0.1 * np.eye(3)[actual] + 0.3
    assert ensemble.weighted(np.stack([poor, good]), actual) == pytest.approx([0, 1], abs=0.01)
    assert ensemble.greedy(np.stack([poor, good]), actual) == pytest.approx([0, 1])


def test_members_that_know_different_classes_are_joined() -> None:
    """Each confuses two classes that the other tells apart, so that only together they know all three."""
    actual = np.array([0, 1, 2] * 10)
    left = np.array([[0.90, 0.05, 0.05], [0.04, 0.46, 0.50], [0.04, 0.46, 0.50]])[actual]
    right = np.array([[0.46, 0.50, 0.04], [0.46, 0.50, 0.04], [0.05, 0.05, 0.90]])[actual]
    both = np.stack([left, right])
    for method in ("mean", "weighted", "greedy"):
        found = ensemble.pool(list(both), method, truth(actual))
        assert found.weights == pytest.approx([0.5, 0.5], abs=0.05), method
        assert (found.probabilities.argmax(1) == actual).all()
    assert max((member.argmax(1) == actual).mean() for member in both) < 0.7


def test_greedy_is_never_worse_on_validation_than_its_best_member() -> None:
    for seed in range(5):
        probabilities, actual = members(seed, images=60)
        weights = ensemble.greedy(probabilities, actual)
        recalls = [
            np.mean([(p.argmax(1) == actual)[actual == k].mean() for k in np.unique(actual)])
            for p in (np.tensordot(weights, probabilities, axes=1), *probabilities)
        ]
        assert recalls[0] >= max(recalls[1:])
        assert weights.sum() == pytest.approx(1)


def test_all_is_fitted_on_validation_alone() -> None:
    probabilities, actual = members(1)
    validation = Truth(np.arange(200), actual[:200], np.arange(200), "")
    changed = probabilities.copy()
    changed[:, 200:] = changed[:, 200:][:, ::-1]
    for method in ensemble.METHODS:
        before, after = (ensemble.pool(list(p), method, validation) for p in (probabilities, changed))
        assert before.weights is not None
        assert before.weights.tolist() == list(after.weights if after.weights is not None else [])
        assert before.temperature == after.temperature


def test_the_product_joins_all_networks_of_an_arm() -> None:
    models = {Model("a", "raw", 0): np.array([[0.2, 0.8]]), Model("b", "raw", 1): np.array([[0.6, 0.4]])}
    found = ensemble.ensembles(models, ["raw"], "mean", truth(np.array([0])), {})["raw"]
    assert found.weights == pytest.approx([0.5, 0.5])
    assert found.probabilities == pytest.approx(ensemble.at_temperature(np.array([[0.4, 0.6]]), found.temperature))


def test_every_subset_is_listed_of_few_members_and_those_without_one_of_many() -> None:
    assert ensemble.subsets(["a", "b"]) == []
    assert ensemble.subsets(["a", "b", "c"]) == [("a", "b"), ("a", "c"), ("b", "c")]
    assert len(ensemble.subsets(list("abcdef"))) == 2**6 - 1 - 6 - 1
    assert [len(subset) for subset in ensemble.subsets(list("abcdefg"))] == [6] * 7


def test_members_are_joined_within_their_seed() -> None:
    rng = np.random.default_rng(0)
    models = {Model(member, "raw", seed): rng.dirichlet(np.ones(CLASSES), 30) for member in "abc" for seed in (0, 1)}
    validation = truth(rng.integers(0, CLASSES, 30))
    found = ensemble.joined_by_seed(models, validation, {})
    names = {"mean", "weighted", "greedy", "a+b", "a+c", "b+c"}
    assert found.keys() == {Model(name, "raw", seed) for name in names for seed in (0, 1)}
    for seed in (0, 1):
        pair = ensemble.pool([models[Model("a", "raw", seed)], models[Model("c", "raw", seed)]], "mean", validation)
        assert (found[Model("a+c", "raw", seed)].probabilities == pair.probabilities).all()


def specialists(seed: int, *, images: int = 600) -> tuple[Array, Array]:
    """Probabilities of two members, of which each tells one class from the rest and guesses between the others."""
    rng = np.random.default_rng(seed)
    actual = rng.integers(0, CLASSES, images)
    one = np.where((actual == 0)[:, None], [0.9, 0.05, 0.05], [0.1, 0.45, 0.45])
    other = np.where((actual == 1)[:, None], [0.05, 0.9, 0.05], [0.45, 0.1, 0.45])
    blurred = [np.log(p) + 0.3 * rng.normal(size=p.shape) for p in (one, other)]
    return np.stack([softmax(logits, axis=1) for logits in blurred]), actual


def test_stacking_learns_which_member_to_trust_about_which_class() -> None:
    (train, learnt), (scored, actual) = specialists(0), specialists(1)
    found = ensemble.stack(list(scored), [OutOfFold(p, learnt) for p in train], truth(actual))
    assert found.weights is None
    assert found.probabilities.sum(1) == pytest.approx(np.ones(len(actual)))
    worse = ensemble.pool(list(scored), "mean", truth(actual)).probabilities
    assert (found.probabilities.argmax(1) == actual).mean() > (worse.argmax(1) == actual).mean() - 0.01
    reversed_ = ensemble.stack(list(scored), [OutOfFold(p, 2 - learnt) for p in train], truth(actual))
    assert (reversed_.probabilities.argmax(1) == 2 - actual).mean() > 0.9  # it is train's labels that it learns


def test_stacking_is_not_fitted_on_what_is_scored_but_for_its_temperature() -> None:
    (train, learnt), (scored, actual) = specialists(0), specialists(1)
    folded = [OutOfFold(p, learnt) for p in train]
    first, other = (ensemble.stack(list(scored), folded, truth(labels)) for labels in (actual, actual[::-1]))
    assert (first.before == other.before).all()
    assert first.temperature != other.temperature


def test_a_class_that_train_lacks_is_never_stacked_to() -> None:
    (train, learnt), (scored, actual) = specialists(0), specialists(1)
    some = learnt < 2
    found = ensemble.stack(list(scored), [OutOfFold(p[some], learnt[some]) for p in train], truth(actual))
    assert found.before[:, 2].max() == 0
    assert np.isfinite(found.probabilities).all()


def test_stacking_needs_every_member_out_of_fold() -> None:
    (train, learnt), (scored, actual) = specialists(0), specialists(1)
    names = [Model("a", "raw", 0), Model("b", "raw", 0)]
    models = dict(zip(names, scored, strict=True))
    folded = {name: OutOfFold(p, learnt) for name, p in zip(names, train, strict=True)}
    assert Model("stacking", "raw", 0) in ensemble.joined_by_seed(models, truth(actual), folded)
    product = ensemble.ensembles(models, ["raw"], "stacking", truth(actual), folded)["raw"]
    assert (
        product.probabilities
        == ensemble.joined_by_seed(models, truth(actual), folded)[Model("stacking", "raw", 0)].probabilities
    ).all()
    del folded[names[1]]
    assert Model("stacking", "raw", 0) not in ensemble.joined_by_seed(models, truth(actual), folded)
    with pytest.raises(UserError, match=r"b-raw-0 has not predicted train out of fold: set train.members.b.folds"):
        ensemble.ensembles(models, ["raw"], "stacking", truth(actual), folded)
