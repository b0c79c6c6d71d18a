from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.core.errors import UserError
from pipeline.models import members
from pipeline.models.batches import ImageSet
from pipeline.models.fit import predict
from pipeline.models.params import read_member
from pipeline.models.trainable import Part, Plan, Targets, features, train_head
from tests.project import HEAD

MEMBER = read_member(HEAD | {"weights": None})


def part(network: members.Network, seed: int, *, count: int = 24) -> Part:
    """Images that are red, green or blue over noise."""
    rng = np.random.default_rng(seed)
    actual = rng.integers(0, 3, count)
    stored = rng.integers(0, 60, (count, 32, 32, 3), np.uint8)
    stored[np.arange(count), :, :, actual] += 150
    images = ImageSet(stored, 32, network.preprocessing, None, torch.device("cpu"))
    return Part(images, Targets.of_classes(actual, 3, np.ones(count, np.float32)))


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # networks this small gain nothing from more
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> tuple[members.Network, dict[str, Part], dict[str, np.ndarray]]:
    network = members.build("test_resnet", classes=3, side_pixels=32, weights=None, seed=0)
    parts = {split: part(network, seed) for seed, split in enumerate(("train", "validation", "test"))}
    found = train_head(lambda: network.module, parts, Plan(MEMBER, "cross_entropy", 0, tmp_path_factory.mktemp("head")))
    return network, parts, found.probabilities


def test_a_head_learns_on_frozen_features(head: tuple[members.Network, dict[str, Part], dict[str, np.ndarray]]) -> None:
    _, parts, probabilities = head
    assert (probabilities["test"].argmax(1) == parts["test"].targets.target.argmax(1)).all()


def test_the_whole_network_says_what_the_head_said(
    head: tuple[members.Network, dict[str, Part], dict[str, np.ndarray]],
) -> None:
    network, parts, probabilities = head
    found = predict(network.module, parts["test"].images, 24, batch_size=8)
    assert found == pytest.approx(probabilities["test"], abs=1e-4)


def test_the_rest_of_the_network_stays_as_it_was(
    head: tuple[members.Network, dict[str, Part], dict[str, np.ndarray]],
) -> None:
    fresh = members.build("test_resnet", classes=3, side_pixels=32, weights=None, seed=0).module.state_dict()
    found = head[0].module.state_dict()
    assert {name for name in fresh if not torch.equal(fresh[name], found[name])} == {"fc.weight", "fc.bias"}


def test_features_are_what_the_classifier_sees() -> None:
    network = members.build("test_resnet", classes=3, side_pixels=32, weights=None, seed=0)
    images = part(network, 0, count=5).images
    found = features(network.module, images, label="train")
    with torch.inference_mode():
        logits = network.module(images(torch.arange(5)))
        assert torch.allclose(network.module.get_classifier()(found), logits, atol=1e-5)


def test_a_classifier_that_is_not_linear_is_refused(tmp_path: Path) -> None:
    network = members.build("test_byobnet", classes=3, side_pixels=32, weights=None, seed=0)
    network.module.head.fc = torch.nn.Conv2d(3, 3, 1)
    with pytest.raises(UserError, match="has no linear classifier"):
        train_head(lambda: network.module, {}, Plan(MEMBER, "cross_entropy", 0, tmp_path))
