"""The parts of a params.yaml that say how our own finder reads and compares images."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from bench.command import section
from pipeline.commands.audit_split.folder import read_knobs
from pipeline.profiles import read_either
from pipeline.stages.dedup.params import DedupParams
from pipeline.stages.embed.params import EmbedParams, Encoder
from pipeline.stages.fingerprint.params import FingerprintParams
from pipeline.stages.ingest.params import Limits

# In place of the profile's own: a twentieth of CLIP's time, and of copies planted among dermoscopic images its
# 20 nearest hold half as many again (60% against 38%). All finders that take vectors get the same.
LITE0 = Encoder(
    library="timm",
    model="tf_efficientnet_lite0",
    weights="tf_efficientnet_lite0.safetensors",
    source="package",
    side_pixels=None,
    layers=[],
)
ENCODERS = {"profile": None, "lite0": LITE0}


class Profile(NamedTuple):
    """The sections of one profile."""

    limits: Limits
    fingerprint: FingerprintParams
    embed: EmbedParams
    dedup: DedupParams


def read_profile(path: Path, *, encoder: str = "profile") -> Profile:
    """Read a file of profiles/; `encoder` is a key of `ENCODERS`.

    Raises:
        UserError: says which key is wrong.

    """
    tree = read_either(path)
    embed = section(tree, "embed", EmbedParams)
    chosen = ENCODERS[encoder]
    if chosen is not None:
        embed = embed.model_copy(update={"encoder": chosen, "precision": "fp32"})
    return Profile(**read_knobs(tree)._asdict(), embed=embed)
