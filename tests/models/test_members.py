from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
import yaml
from PIL.Image import Resampling

from pipeline.core.errors import UserError
from pipeline.models import members
from pipeline.models.batches import ImageSet
from pipeline.models.fit import best_epoch
from pipeline.models.params import FineTuned, read_member
from pipeline.models.trainable import Part, Plan, Targets, Trained, train
from pipeline.models.weights import Card, read_card, save_weights, tensors_of
from tests.networks import save_timm
from tests.project import ROOT


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


TOWER = "vit_base_patch16_clip_quickgelu_224"


@pytest.fixture(scope="module")
def tower(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """CLIP's image tower as open_clip has it, with random weights, and the file that the encoder reads."""
    path = tmp_path_factory.mktemp("tower") / "clip.safetensors"
    torch.manual_seed(0)
    tower = open_clip.model._build_vision_tower(512, open_clip.get_model_config("ViT-B-16")["vision_cfg"], True).eval()
    preprocessing = {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.2, 0.2], "interpolation": "bicubic"}
    save_weights(path, tensors_of(tower), Card("open_clip/ViT-B-16-quickgelu", preprocessing))
    return tower, path


def test_a_member_from_clips_image_tower_computes_what_the_encoder_does(tower: tuple[Any, Path]) -> None:
    encoder, path = tower
    network = members.build(TOWER, classes=3, side_pixels=224, weights=path, seed=0)
    batch = torch.randn(2, 3, 224, 224)
    with torch.inference_mode():
        features = network.module.eval().forward_head(network.module.forward_features(batch), pre_logits=True)
        assert torch.allclose(features @ encoder.proj, encoder(batch), atol=1e-4)
    assert network.preprocessing.mean == (0.5, 0.4, 0.3)


def test_clips_image_tower_is_fine_tuned_at_a_smaller_side(tower: tuple[Any, Path], tmp_path: Path) -> None:
    """Every layer moves, and the result is a weights file to start from."""
    network, trained = _two_steps("clip_tuned", tower[1], tmp_path)
    fresh = members.build(TOWER, classes=3, side_pixels=32, weights=tower[1], seed=0).module.state_dict()
    moved = {name for name, tensor in trained.networks[0].state_dict().items() if not torch.equal(tensor, fresh[name])}
    assert best_epoch(trained.histories[0]).epoch == 2
    assert moved == set(fresh)
    members.save(replace(network, module=trained.networks[0]), tmp_path / "own.safetensors")
    again = members.build(TOWER, classes=3, side_pixels=32, weights=tmp_path / "own.safetensors", seed=1)
    assert torch.equal(again.module.state_dict()["norm.weight"], trained.networks[0].state_dict()["norm.weight"])


def test_lite2_is_fine_tuned(tmp_path: Path) -> None:
    _, trained = _two_steps("lite2", None, tmp_path)
    assert trained.histories[0][1].train_loss < trained.histories[0][0].train_loss
    fresh = members.build("tf_efficientnet_lite2", classes=3, side_pixels=32, weights=None, seed=0).module.state_dict()
    own = trained.networks[0].state_dict()
    assert not torch.equal(own["conv_stem.weight"], fresh["conv_stem.weight"])
    assert not torch.equal(own["classifier.weight"], fresh["classifier.weight"])


def test_the_tower_of_another_clip_is_refused(tower: tuple[Any, Path]) -> None:
    with pytest.raises(UserError, match="holds weights of open_clip/ViT-B-16-quickgelu, not of timm/vit_base_patch32"):
        members.build(TOWER.replace("16", "32"), classes=3, side_pixels=64, weights=tower[1], seed=0)


def _two_steps(name: str, weights: Path | None, scratch: Path) -> tuple[members.Network, Trained]:
    """Train a recipe on four images at 32 pixels; the first step moves the classifier alone, which begins at zero."""
    recipe = yaml.safe_load((ROOT / f"profiles/members/{name}.yaml").read_text("utf-8"))
    small = {"side_pixels": 32, "batch_size": 4, "epochs": 2, "warmup_epochs": 0, "augmentation": "none"}
    member = read_member(recipe | small)
    assert isinstance(member, FineTuned)

    def build() -> members.Network:
        return members.build(member.backbone, classes=3, side_pixels=member.side_pixels, weights=weights, seed=0)

    stored = np.random.default_rng(0).integers(0, 256, (4, member.side_pixels, member.side_pixels, 3), np.uint8)
    images = ImageSet(stored, member.side_pixels, build().preprocessing, None, torch.device("cpu"))
    part = Part(images, Targets.of_classes(np.array([0, 1, 2, 0]), 3, np.ones(4, np.float32)))
    parts = dict.fromkeys(("train", "validation", "test"), part)
    return build(), train(lambda: build().module, parts, Plan(member, "cross_entropy", 0, scratch))
