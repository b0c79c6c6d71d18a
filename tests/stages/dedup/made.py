"""What tests of `dedup` share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.stages.dedup.features.extract import extract_features
from pipeline.stages.dedup.verification.verify import verify
from pipeline.stages.ingest.tables import Images, open_pixels
from tests.drawn import ingest, png


def judge(
    tmp_path: Path, a: NDArray[np.uint8], b: NDArray[np.uint8], *, proposed_by: str = "features"
) -> tuple[pd.DataFrame, NDArray[np.float32]]:
    """Verify one pair of images, through files and tables as in the stage."""
    store = ingest(tmp_path, {"a.png": png(a), "b.png": png(b)})
    pixels = open_pixels(store, store.read(Images, "demo"))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    features = extract_features(pixels, engine="local", scratch=scratch)
    pair = pd.DataFrame({"a": [0], "b": [1], "proposed_by": [(proposed_by,)]})
    return verify(pair, pixels, features, engine="local", scratch=scratch)
