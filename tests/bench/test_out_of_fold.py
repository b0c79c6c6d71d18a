"""Out-of-fold predictions of a member that is trained once a fold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.label_noise import out_of_fold as folds
from bench.label_noise.out_of_fold import Labels, Shown, collect, fit_fold, show
from pipeline.core.errors import UserError
from pipeline.core.folds import EVERY_FOLD, assign_folds
from pipeline.models import trainable
from pipeline.models.params import FineTuned
from pipeline.models.trainable import Plan
from pipeline.stages.ingest.tables import Images, open_pixels
from tests import drawn
from tests.project import NETWORK

pytestmark = pytest.mark.usefixtures("one_core_for_all")

COLOURS = [(60, 60, 200), (60, 200, 60), (200, 60, 60)]
RECIPE = {**NETWORK, "weights": None, "epochs": 3, "patience_epochs": 3, "learning_rate": 0.01}
MEMBER = FineTuned.model_validate(RECIPE)
IMAGES = 60


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[Labels, Shown]:
    """Two images a lesion, of three colours; of every ten lesions two are not learnt from, nor is one image."""
    rng = np.random.default_rng(0)
    lesion = np.arange(IMAGES) // 2
    given = 2 - lesion % 3
    images = [np.clip(rng.normal(COLOURS[i], 30, (24, 32, 3)), 0, 255).astype(np.uint8) for i in given]
    store = drawn.ingest(
        tmp_path_factory.mktemp("folds"), {f"{i:02d}": drawn.png(image) for i, image in enumerate(images)}
    )
    learnt = (lesion % 10 < 8) & (np.arange(IMAGES) != 1)
    weight = np.where(lesion == 0, 1, 0.5).astype(np.float32)
    pixels, scratch = open_pixels(store, store.read(Images, "demo")), tmp_path_factory.mktemp("images")
    return Labels(given, 3, lesion, learnt, weight), show(pixels, MEMBER, weights=None, device="cpu", scratch=scratch)


def out_of_fold(images: Shown, labels: Labels, *, folds: int, scratch: Path) -> NDArray[np.float64]:
    """Train every fold's network, and collect what they say."""
    held_by = assign_folds(labels.given, labels.group, labels.learnt, count=folds, seed=0)
    return collect(
        [
            fit_fold(MEMBER, images, labels, held_by, fold, seed=0, weights=None, scratch=scratch)
            for fold in range(held_by.max() + 1)
        ],
        held_by,
    )


def test_every_image_is_judged_and_the_member_has_learnt_the_colours(
    shown: tuple[Labels, Shown], tmp_path: Path
) -> None:
    labels, images = shown
    found = out_of_fold(images, labels, folds=3, scratch=tmp_path)
    assert found.sum(axis=1) == pytest.approx(np.ones(IMAGES), abs=1e-5)
    assert (found.argmax(axis=1) == labels.given).mean() > 0.8


def test_no_label_of_a_held_group_nor_of_validation_and_test_has_a_part_in_what_is_said_of_it(
    shown: tuple[Labels, Shown], tmp_path: Path
) -> None:
    labels, images = shown
    held_by = assign_folds(labels.given, labels.group, labels.learnt, count=3, seed=0)
    held = (held_by == 1) | (held_by == EVERY_FOLD)
    said = []
    for name, lied in (("true", np.zeros_like(held)), ("held", held), ("others", ~held)):
        scratch = tmp_path / name
        scratch.mkdir()
        given = np.where(lied, (labels.given + 1) % 3, labels.given)
        one = Labels(given, labels.classes, labels.group, labels.learnt, labels.weight)
        said.append(fit_fold(MEMBER, images, one, held_by, 1, seed=0, weights=None, scratch=scratch))
    assert np.array_equal(said[0], said[1])
    assert not np.allclose(said[0], said[2])


def test_what_folds_say_is_averaged_where_several_judge() -> None:
    held_by = np.array([0, 1, EVERY_FOLD])
    found = collect([np.array([[1.0, 0.0], [0.6, 0.4]]), np.array([[0.0, 1.0], [0.2, 0.8]])], held_by)
    assert found == pytest.approx(np.array([[1.0, 0.0], [0.0, 1.0], [0.4, 0.6]]))


def test_a_finished_fold_is_not_trained_again(
    shown: tuple[Labels, Shown], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels, images = shown
    trained = list[Path]()

    def train_twice(fresh: Any, parts: Any, plan: Plan) -> Any:
        if len(trained) == 2:
            raise KeyboardInterrupt
        trained.append(plan.scratch)
        return trainable.train(fresh, parts, plan)

    def run() -> NDArray[np.float64]:
        return out_of_fold(images, labels, folds=3, scratch=tmp_path)

    monkeypatch.setattr(folds, "train", train_twice)
    with pytest.raises(KeyboardInterrupt):
        run()
    trained.pop()
    found = run()
    assert [path.name for path in trained] == ["fold-0", "fold-2"]
    monkeypatch.setattr(folds, "train", trainable.train)
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    assert np.array_equal(found, out_of_fold(images, labels, folds=3, scratch=fresh))


def test_a_fold_that_leaves_nothing_to_learn_from_is_refused(shown: tuple[Labels, Shown], tmp_path: Path) -> None:
    labels, images = shown
    few = np.isin(np.arange(IMAGES), [0, 6, 12, 18])  # an image of each of four lesions of a colour
    one = Labels(labels.given, labels.classes, labels.group, few, labels.weight)
    with pytest.raises(UserError, match="would learn from 1 images in fold 1, and needs 2"):
        out_of_fold(images, one, folds=2, scratch=tmp_path)
