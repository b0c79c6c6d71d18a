from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL.Image import Resampling

from pipeline.core.errors import UserError
from pipeline.models import members
from pipeline.models.weights import read_card
from tests.networks import save_timm


def test_all_but_the_classifier_comes_from_the_file(tmp_path: Path) -> None:
    source = save_timm(tmp_path / "w.safetensors", model="test_resnet")
    found = members.build("test_resnet", classes=4, side_pixels=32, weights=tmp_path / "w.safetensors", seed=0).module
    own, given = found.state_dict(), source.state_dict()
    assert own["fc.weight"].shape[0] == 4
    assert all(torch.equal(own[name], given[name]) for name in own if not name.startswith("fc."))


def test_preprocessing_is_that_of_the_weights(tmp_path: Path) -> None:
    save_timm(tmp_path / "w.safetensors", model="test_resnet")
    network = members.build("test_resnet", classes=2, side_pixels=32, weights=tmp_path / "w.safetensors", seed=0)
    card = read_card(tmp_path / "w.safetensors").preprocessing
    assert network.preprocessing.mean == tuple(card["mean"])
    assert network.preprocessing.resampling is Resampling[card["interpolation"].upper()]


def test_lite0_wants_its_pixels_from_minus_one_to_one() -> None:
    network = members.build("tf_efficientnet_lite0", classes=2, side_pixels=32, weights=None, seed=0)
    assert network.preprocessing.mean == network.preprocessing.std == (0.5, 0.5, 0.5)


def test_random_weights_follow_from_the_seed() -> None:
    first, again, other = (
        members.build("test_resnet", classes=2, side_pixels=32, weights=None, seed=seed).module.conv1[0].weight
        for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_fresh_classifier_gives_all_classes_the_same_probability() -> None:
    network = members.build("test_resnet", classes=4, side_pixels=32, weights=None, seed=0).module.eval()
    assert network(torch.rand(2, 3, 32, 32)).tolist() == [[0.0] * 4] * 2


def test_an_unknown_backbone_is_refused_with_the_nearest_names() -> None:
    with pytest.raises(UserError, match=r"no model tf_efficientnet_lit0 .*tf_efficientnet_lite0"):
        members.build("tf_efficientnet_lit0", classes=2, side_pixels=32, weights=None, seed=0)


def test_a_side_that_the_backbone_cannot_take_is_refused() -> None:
    with pytest.raises(UserError, match="test_vit takes images of 160 pixels only, not 32"):
        members.build("test_vit", classes=2, side_pixels=32, weights=None, seed=0)


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    save_timm(tmp_path / "w.safetensors", model="test_vit")
    with pytest.raises(UserError, match="holds weights of timm/test_vit, not of timm/test_resnet"):
        members.build("test_resnet", classes=2, side_pixels=32, weights=tmp_path / "w.safetensors", seed=0)


def test_a_saved_network_starts_another(tmp_path: Path) -> None:
    first = members.build("test_resnet.r160_in1k", classes=3, side_pixels=32, weights=None, seed=0)
    members.save(first, tmp_path / "w.safetensors")
    second = members.build("test_resnet", classes=5, side_pixels=32, weights=tmp_path / "w.safetensors", seed=1)
    assert torch.equal(first.module.conv1[0].weight, second.module.conv1[0].weight)
    assert first.preprocessing == second.preprocessing
