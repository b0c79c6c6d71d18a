"""What `opinions` receives of params.yaml."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import PositiveInt

from pipeline.core.engine import Engine
from pipeline.core.params import Section, StageParams


class Network(Section):
    """A network beside the encoder of `embed`; the more it differs from others, the more its opinion is worth.

    backbone: a timm name.
    weights: a file in data/raw/weights/; `fetch weights` brings it.
    side_pixels: of the square that a picture is squeezed into.
    """

    backbone: str
    weights: str
    side_pixels: PositiveInt


class OpinionsParams(StageParams):
    """Params of every batch.

    networks: whose descriptions stand side by side; none: no further opinion, and an empty table.
    """

    keys: ClassVar = {
        "engine": "engine",
        "networks": "opinions.networks",
        "device": "opinions.device",
        "batch_size": "opinions.batch_size",
    }

    engine: Engine
    networks: list[Network]
    device: Literal["auto", "cpu", "cuda"]
    batch_size: PositiveInt
