from __future__ import annotations

import io
from pathlib import Path

import pytest
import timm
import torch

from pipeline.core.errors import UserError
from pipeline.models.checkpoints import efficientnet_lite, open_clip_tower, timm_network
from pipeline.models.weights import tensors_of
from tests.networks import CLIP, small_clip


def test_the_package_s_layers_are_renamed_in_order() -> None:
    torch.manual_seed(0)
    drawn = timm.create_model("tf_efficientnet_lite0").state_dict()
    content = io.BytesIO()
    torch.save({f"_layer{i}": tensor for i, tensor in enumerate(drawn.values())}, content)
    tensors, card = efficientnet_lite(content.getvalue(), model="tf_efficientnet_lite0")
    assert list(tensors) == list(drawn)
    assert all(torch.equal(torch.from_numpy(tensors[name]), tensor) for name, tensor in drawn.items())
    assert card.model == "timm/tf_efficientnet_lite0"
    assert card.preprocessing["mean"] == [0.5, 0.5, 0.5]


def test_a_checkpoint_with_other_layers_is_refused() -> None:
    content = io.BytesIO()
    torch.save({"a": torch.zeros(3)}, content)
    with pytest.raises(ValueError, match="does not list tf_efficientnet_lite0's tensors in order"):
        efficientnet_lite(content.getvalue(), model="tf_efficientnet_lite0")


def test_a_timm_checkpoint_is_read_whole_with_its_preprocessing(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = timm.create_model("test_resnet")
    torch.save(network.state_dict(), tmp_path / "mine.pth")
    tensors, card = timm_network(tmp_path / "mine.pth", model="test_resnet", tag=None)
    assert all(torch.equal(torch.from_numpy(tensors[name]), tensor) for name, tensor in network.state_dict().items())
    assert card.model == "timm/test_resnet"
    assert card.preprocessing["input_size"] == [3, 160, 160]


def test_of_a_clip_checkpoint_only_the_image_tower_is_taken(
    tmp_path: Path,
) -> None:
    network = small_clip(tmp_path)
    torch.save({"state_dict": network.state_dict()}, tmp_path / "clip.pt")
    tensors, card = open_clip_tower(tmp_path / "clip.pt", model=CLIP, tag=None)
    expected = tensors_of(network.visual)
    assert tensors.keys() == expected.keys()
    assert (tensors["proj"] == expected["proj"]).all()
    assert card.model == f"open_clip/{CLIP}"
    assert card.preprocessing["size"] == [32, 32]


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>"])
def test_a_file_that_is_no_checkpoint_is_refused_in_one_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "mine.pth").write_bytes(content)
    with pytest.raises(UserError, match=r"mine\.pth does not hold weights of timm's test_resnet"):
        timm_network(tmp_path / "mine.pth", model="test_resnet", tag=None)


def test_code_inside_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[Path]]:
            return Path.touch, (tmp_path / "ran",)

    torch.save({"a": Bomb()}, tmp_path / "mine.pth")
    with pytest.raises(UserError, match="does not hold weights"):
        timm_network(tmp_path / "mine.pth", model="test_resnet", tag=None)
    assert not (tmp_path / "ran").exists()
