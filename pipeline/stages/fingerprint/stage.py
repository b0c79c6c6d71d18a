"""Hash every image and score its quality, from one decode."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd

from pipeline.core.engine import map_shards
from pipeline.core.store import Store
from pipeline.stages.fingerprint.greys import read_grey
from pipeline.stages.fingerprint.hashes import check_first
from pipeline.stages.fingerprint.params import FingerprintParams
from pipeline.stages.fingerprint.prints import fingerprint
from pipeline.stages.fingerprint.quality import Thresholds
from pipeline.stages.fingerprint.tables import Fingerprints
from pipeline.stages.ingest.tables import Images, open_pixels

IMAGES_A_TASK = 256


def run(store: Store, params: FingerprintParams, instance: str) -> None:
    """Fingerprint one batch."""
    images = store.read(Images, instance)
    pixels = open_pixels(store, images)
    parts = map_shards(
        partial(fingerprint, thresholds=Thresholds(low_contrast_max_range=params.low_contrast_max_range)),
        pixels.pieces(IMAGES_A_TASK),
        label="fingerprint",
        engine=params.engine,
        scratch=store.scratch(params, keep=f"fingerprint@{instance}"),
    )
    frames, hashes = zip(*parts, strict=True)
    prints = pd.concat(frames, ignore_index=True).assign(image_id=images["image_id"])
    phash = np.concatenate(hashes)
    check_first(read_grey(pixels.read(0)).levels, phash[0])
    store.write(Fingerprints, prints, instance=instance, vectors={"phash": phash})
