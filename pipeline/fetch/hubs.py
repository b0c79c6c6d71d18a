"""Checkpoints from the model hub, by the tags under which open_clip and timm know them."""

from __future__ import annotations

from pathlib import Path

import huggingface_hub
import open_clip
import timm

from pipeline.core.errors import UserError
from pipeline.core.progress import step


def download_open_clip(model: str, tag: str) -> Path:
    """Download the checkpoint of an open_clip network.

    Raises:
        UserError: open_clip knows no such network or tag, the network has another activation than the checkpoint, or
            the hub is out of reach.

    """
    config = open_clip.get_pretrained_cfg(model, tag)
    if not config:
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(model))
        remedy = f"choose package or one of {tags}" if tags else "choose a model of open_clip.list_pretrained()"
        raise UserError(f"open_clip knows no weights {tag} of {model}: {remedy}")
    quick = "-quickgelu"
    trained_quick = bool(config.get("quick_gelu"))
    if trained_quick != bool(open_clip.get_model_config(model).get("quick_gelu")):
        right = f"{model}{quick}" if trained_quick else model.removesuffix(quick)
        raise UserError(f"weights {tag} of {model} were trained with another activation: name {right}")
    try:
        with step(f"download {model} {tag}"):
            return Path(open_clip.download_pretrained(config))
    except OSError as error:
        raise _unreachable(f"weights {tag} of {model}", config.get("hf_hub") or config.get("url", ""), error) from error


def download_timm(model: str, tag: str | None) -> Path:
    """Download the checkpoint of a timm network.

    Args:
        model: timm's name of the network, without a tag.
        tag: of the training run; None means the network's first.

    Raises:
        UserError: timm knows no such network or tag, or the hub is out of reach.

    """
    name = f"{model}.{tag}" if tag else model
    if name not in timm.list_pretrained() and not (tag is None and timm.models.is_model_pretrained(model)):
        tags = ", ".join(known.partition(".")[2] for known in timm.list_pretrained(f"{model}.*"))
        remedy = f"choose one of the tags {tags}" if tags else "choose a model of timm.list_pretrained()"
        remedy += ", or bring a checkpoint of your own with --from FOLDER"
        raise UserError(f"params.yaml: timm knows no weights {name}: {remedy}")
    config = timm.get_pretrained_cfg(name)
    if not config.hf_hub_id:
        raise UserError(
            f"{name} is on no model hub: download it by hand and run `python -m pipeline fetch weights --from FOLDER`"
        )
    repository, _, revision = config.hf_hub_id.partition("@")
    try:
        with step(f"download {name}"):
            downloaded = huggingface_hub.hf_hub_download(
                repository, config.hf_hub_filename or "model.safetensors", revision=revision or None
            )
    except OSError as error:
        raise _unreachable(f"weights {name}", config.hf_hub_id, error) from error
    return Path(downloaded)


def _unreachable(what: str, where: str, error: OSError) -> UserError:
    reason = str(error).strip().splitlines()[0]
    return UserError(
        f"{what} could not be downloaded from {where} ({reason}): connect to the network, or download the checkpoint "
        "elsewhere and run `python -m pipeline fetch weights --from FOLDER`, or set the packaged encoder in params.yaml"
    )
