"""Our params, as a profile states them."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from pipeline.params import read_tree, stage_params
from pipeline.stages.label_noise.params import LabelNoiseParams


def read_profile(path: Path) -> LabelNoiseParams:
    """Read what `label_noise` would receive.

    Raises:
        UserError: the file is no profile.

    """
    return cast("LabelNoiseParams", stage_params(read_tree(path), "label_noise", None))
