"""The parts of a params.yaml that say how our own finder reads and compares pictures."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from pipeline.commands.audit_split.folder import read_knobs
from pipeline.params import instances, read_tree, stage_params
from pipeline.stages.dedup.params import DedupParams
from pipeline.stages.embed.params import EmbedParams, Encoder
from pipeline.stages.fingerprint.params import FingerprintParams
from pipeline.stages.ingest.params import Limits

# In place of the profile's own: a twentieth of CLIP's time, and of copies planted among dermoscopic pictures its
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
    """Read a file of profiles/.

    Args:
        path: of the file.
        encoder: a key of `ENCODERS`.

    Raises:
        UserError: says which key is wrong.

    """
    tree = read_tree(path)
    knobs, embed = read_knobs(tree), stage_params(tree, "embed", instances(tree, "embed")[0])
    assert isinstance(embed, EmbedParams)  # noqa: S101 - `stage_params` builds the stage's own class
    chosen = ENCODERS[encoder]
    if chosen is not None:
        embed = embed.model_copy(update={"encoder": chosen, "precision": "fp32"})
    return Profile(**knobs._asdict(), embed=embed)
