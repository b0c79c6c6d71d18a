"""Networks that are small enough for tests, with weights drawn from a seed."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import open_clip
import timm
import torch

from pipeline.models.weights import Card, save_weights, tensors_of, timm_preprocessing

CLIP = "small-clip"


def small_clip(folder: Path, *, seed: int = 0) -> Any:
    """Make open_clip know a network of one thin layer, named `CLIP`; return one."""
    config = {
        "embed_dim": 8,
        "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "patch_size": 16},
        "text_cfg": {"context_length": 4, "vocab_size": 16, "width": 64, "heads": 1, "layers": 1},
        "quick_gelu": True,
    }
    (folder / f"{CLIP}.json").write_text(json.dumps(config), "utf-8")
    open_clip.add_model_config(folder / f"{CLIP}.json")
    torch.manual_seed(seed)
    logging.disable(logging.WARNING)  # of random weights, which are wanted here
    try:
        return open_clip.create_model(CLIP).eval()
    finally:
        logging.disable(logging.NOTSET)


def save_clip(folder: Path, *, seed: int = 0) -> Any:
    """Write the image tower of a `small_clip` to `clip.safetensors`; return the network."""
    network = small_clip(folder, seed=seed)
    preprocessing = open_clip.get_model_preprocess_cfg(network)
    save_weights(folder / "clip.safetensors", tensors_of(network.visual), Card(f"open_clip/{CLIP}", preprocessing))
    return network


def save_timm(path: Path, *, model: str = "test_vit", seed: int = 0) -> Any:
    """Write a small timm network with a classifier; return it."""
    torch.manual_seed(seed)
    network = timm.create_model(model).eval()
    save_weights(path, tensors_of(network), Card(f"timm/{model}", timm_preprocessing(network)))
    return network
