"""Weights on disk: what they were trained as travels with them, so that they never end up in a look-alike network.

A file is safetensors plus a `Card`: the architecture and the preprocessing. `tf_efficientnet_lite0` and
`efficientnet_lite0`, or CLIP with GELU and with QuickGELU, have tensors of the same names and shapes; loaded into the
other one they give worse features and no error. `load_weights` refuses that, and every missing or left-over tensor.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import timm
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save
from timm.models.vision_transformer import VisionTransformer, checkpoint_filter_fn
from torch import Tensor, nn

from pipeline.core.errors import UserError

Tensors = dict[str, np.ndarray[Any, Any]]

# timm's names of CLIP image towers, and those of the files that embed's encoders read.
CLIP_TOWERS = {
    "vit_base_patch32_clip_quickgelu_224": "open_clip/ViT-B-32-quickgelu",
    "vit_base_patch16_clip_quickgelu_224": "open_clip/ViT-B-16-quickgelu",
    "vit_large_patch14_clip_quickgelu_224": "open_clip/ViT-L-14-quickgelu",
}


@dataclass(frozen=True)
class Card:
    """What a weights file holds.

    model: `<library>/<name>`, such as `timm/resnet50`, without the tag of the training run.
    preprocessing: the library's own description of it (mean, std, interpolation, crop …), JSON values only.
    """

    model: str
    preprocessing: dict[str, Any]


def tensors_of(module: nn.Module) -> Tensors:
    """Return a network's tensors as arrays, by name."""
    return {name: tensor.cpu().numpy() for name, tensor in module.state_dict().items()}


def save_weights(path: Path, tensors: Tensors, card: Card) -> None:
    """Write a weights file: the same tensors give the same bytes, and the file appears whole or not at all."""
    contiguous = {name: np.ascontiguousarray(tensor).reshape(tensor.shape) for name, tensor in tensors.items()}
    temporary = path.with_name(f".{path.name}.partial")
    # One metadata entry, because safetensors writes several in random order.
    temporary.write_bytes(save(contiguous, metadata={"card": json.dumps(asdict(card), sort_keys=True)}))
    temporary.replace(path)


def read_card(path: Path) -> Card:
    """Read what a weights file holds.

    Raises:
        UserError: it is not a weights file of this project.

    """
    try:
        with safe_open(path, framework="numpy") as file:
            return Card(**json.loads(file.metadata()["card"]))
    except (SafetensorError, KeyError, TypeError) as error:
        raise UserError(
            f"{path.name} in {path.parent} is not a weights file of this project: "
            "delete it and run `python -m pipeline fetch weights`"
        ) from error


def has_card(path: Path) -> bool:
    """Say whether a file was written by `save_weights`."""
    try:
        with safe_open(path, framework="numpy") as file:
            return "card" in (file.metadata() or {})
    except SafetensorError:
        return False


def read_tensors(path: Path) -> Tensors:
    """Read all tensors of a weights file."""
    with safe_open(path, framework="numpy") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping


def load_weights(module: nn.Module, path: Path, *, model: str, without: Sequence[str] = ()) -> None:
    """Fill every tensor of `module` from a weights file.

    Args:
        module: a fresh network.
        path: from `save_weights`.
        model: the architecture that `module` is, as in `Card.model`.
        without: names of submodules that keep their own values and whose tensors in the file are ignored, such as the
            classifier that a new one replaces.

    Raises:
        UserError: the file was made for another architecture, or a tensor is missing, left over or of another shape.

    """
    carried = read_card(path).model
    if carried != model:
        raise UserError(
            f"{path.name} holds weights of {carried}, not of {model}: correct the model or the file in params.yaml"
        )
    with safe_open(path, framework="pt") as file:
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    _fill(module, state, path, model=model, without=without)


def load_clip_tower(module: VisionTransformer, path: Path, *, model: str, without: Sequence[str] = ()) -> None:
    """Fill a timm network from the file of the CLIP image tower that it is, renamed by timm.

    Position embeddings are resampled to the grid of the module's input side.

    Args:
        module: a fresh network, named in CLIP_TOWERS.
        path: from `save_weights`, of open_clip's tower.
        model: as of `load_weights`, for messages.
        without: as of `load_weights`.

    Raises:
        UserError: a tensor is missing, left over or of another shape.

    """
    with safe_open(path, framework="pt") as file:
        state = {f"visual.{name}": file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    _fill(module, checkpoint_filter_fn(state, module), path, model=model, without=without)


def _fill(module: nn.Module, tensors: dict[str, Tensor], path: Path, *, model: str, without: Sequence[str]) -> None:
    state = {name: tensor for name, tensor in tensors.items() if not _within(name, without)}
    own = module.state_dict()
    expected = {name: tuple(tensor.shape) for name, tensor in own.items() if not _within(name, without)}
    given = {name: tuple(tensor.shape) for name, tensor in state.items()}
    wrong = sorted(name for name in expected.keys() | given.keys() if expected.get(name) != given.get(name))
    if wrong:
        name = wrong[0]
        raise UserError(
            f"{path.name} does not fit {model} in {len(wrong)} tensors (first: {name}, {given.get(name, 'missing')} in "
            f"the file, {expected.get(name, 'unknown')} in the network): run `python -m pipeline fetch weights`"
        )
    module.load_state_dict({**own, **state})


def name_weights(path: Path) -> str:
    """Name a weights file by its stem and the beginning of its digest: another file of that name is another network."""
    with path.open("rb") as file:
        return f"{path.stem}@{hashlib.file_digest(file, 'sha256').hexdigest()[:12]}"


def head_names(module: nn.Module) -> tuple[str, ...]:
    """Name the classifier layers of a timm network."""
    names = module.default_cfg.get("classifier") or ()
    return (names,) if isinstance(names, str) else tuple(names)


def timm_preprocessing(module: nn.Module) -> dict[str, Any]:
    """Describe a timm network's preprocessing, as `timm.data.create_transform` takes it, in JSON values."""
    config = timm.data.resolve_model_data_config(module)
    return {key: list(value) if isinstance(value, tuple) else value for key, value in config.items()}


def _within(name: str, modules: Sequence[str]) -> bool:
    return any(name.startswith(f"{module}.") for module in modules)
