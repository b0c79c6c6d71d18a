"""What tests of `dedup` share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from pipeline.stages.dedup.params import Verify
from pipeline.stages.dedup.verify import extract_features, verify
from pipeline.stages.ingest.tables import Images, open_pixels
from tests.drawn import ingest, png
from tests.project import ROOT

Array = np.ndarray[Any, Any]

PARAMS = Verify(**yaml.safe_load((ROOT / "profiles/default.yaml").read_text("utf-8"))["dedup"]["verify"])


def judge(tmp_path: Path, a: Array, b: Array, *, proposed_by: str = "features") -> tuple[pd.DataFrame, Array]:
    """Verify one pair of pictures, through files and tables as in the stage."""
    store = ingest(tmp_path, {"a.png": png(a), "b.png": png(b)})
    pixels = open_pixels(store, store.read(Images, "demo"))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    features = extract_features(pixels, params=PARAMS, engine="local", scratch=scratch)
    pair = pd.DataFrame({"a": [0], "b": [1], "proposed_by": [(proposed_by,)]})
    return verify(pair, pixels, features, params=PARAMS, engine="local", scratch=scratch)
