from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.numpy import save_file

from pipeline.core.errors import UserError
from pipeline.models.weights import (
    Card,
    Tensors,
    has_card,
    head_names,
    load_weights,
    read_card,
    read_tensors,
    save_weights,
    timm_preprocessing,
)

CARD = Card("timm/test_resnet", {"mean": [0.5, 0.5, 0.5], "crop_pct": 0.95})


def drawn(seed: int = 0, *, classes: int = 10) -> Tensors:
    torch.manual_seed(seed)
    network = timm.create_model("test_resnet", num_classes=classes)
    return {name: tensor.numpy() for name, tensor in network.state_dict().items()}


def test_a_file_gives_back_its_tensors_and_its_card(tmp_path: Path) -> None:
    tensors: Tensors = {"a": np.arange(6, dtype=np.float32).reshape(2, 3).T, "count": np.array(7, np.int64)}
    save_weights(tmp_path / "w.safetensors", tensors, CARD)
    found = read_tensors(tmp_path / "w.safetensors")
    assert found.keys() == tensors.keys()
    assert all(
        np.array_equal(found[name], tensors[name]) and found[name].shape == tensors[name].shape for name in tensors
    )
    assert read_card(tmp_path / "w.safetensors") == CARD


def test_the_same_tensors_give_the_same_bytes_in_any_order(tmp_path: Path) -> None:
    tensors = drawn()
    save_weights(tmp_path / "a.safetensors", tensors, CARD)
    save_weights(tmp_path / "b.safetensors", dict(reversed(tensors.items())), CARD)
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_a_network_is_filled_tensor_by_tensor(tmp_path: Path) -> None:
    tensors = drawn()
    save_weights(tmp_path / "w.safetensors", tensors, CARD)
    network = timm.create_model("test_resnet", num_classes=10)
    load_weights(network, tmp_path / "w.safetensors", model="timm/test_resnet")
    assert all(np.array_equal(tensor.numpy(), tensors[name]) for name, tensor in network.state_dict().items())


def test_a_new_classifier_keeps_its_own_weights(tmp_path: Path) -> None:
    tensors = drawn()
    save_weights(tmp_path / "w.safetensors", tensors, CARD)
    network = timm.create_model("test_resnet", num_classes=3)
    own = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    load_weights(network, tmp_path / "w.safetensors", model="timm/test_resnet", without=head_names(network))
    assert torch.equal(network.state_dict()["fc.weight"], own["fc.weight"])
    assert np.array_equal(network.state_dict()["conv1.0.weight"].numpy(), tensors["conv1.0.weight"])


def test_weights_of_a_look_alike_are_refused(tmp_path: Path) -> None:
    save_weights(tmp_path / "w.safetensors", drawn(), Card("timm/tf_efficientnet_lite0", {}))
    network = timm.create_model("test_resnet", num_classes=10)
    with pytest.raises(UserError, match="holds weights of timm/tf_efficientnet_lite0, not of timm/test_resnet"):
        load_weights(network, tmp_path / "w.safetensors", model="timm/test_resnet")


@pytest.mark.parametrize("defect", ["missing", "left over", "other shape"])
def test_a_file_that_does_not_fit_is_refused_by_name(tmp_path: Path, defect: str) -> None:
    tensors = drawn()
    if defect == "missing":
        del tensors["conv1.0.weight"]
    elif defect == "left over":
        tensors["conv1.spare"] = np.zeros(1, np.float32)
    else:
        tensors["conv1.0.weight"] = tensors["conv1.0.weight"][:1]
    save_weights(tmp_path / "w.safetensors", tensors, CARD)
    network = timm.create_model("test_resnet", num_classes=10)
    with pytest.raises(UserError, match=r"does not fit timm/test_resnet in 1 tensors \(first: conv1\."):
        load_weights(network, tmp_path / "w.safetensors", model="timm/test_resnet")


def test_files_of_others_are_told_apart_and_refused_as_weights(tmp_path: Path) -> None:
    save_file(drawn(), tmp_path / "bare.safetensors")
    (tmp_path / "text.safetensors").write_text("not weights")
    for name in ("bare.safetensors", "text.safetensors"):
        assert not has_card(tmp_path / name)
        with pytest.raises(UserError, match=f"{name} in .* is not a weights file of this project"):
            read_card(tmp_path / name)


def test_a_networks_preprocessing_survives_json(tmp_path: Path) -> None:
    network = timm.create_model("test_vit")
    save_weights(tmp_path / "w.safetensors", drawn(), Card("timm/test_vit", timm_preprocessing(network)))
    known = timm.data.resolve_model_data_config(network)
    found = read_card(tmp_path / "w.safetensors").preprocessing
    assert {key: tuple(value) if isinstance(value, list) else value for key, value in found.items()} == known
