"""Hash every picture and score its quality, from one decode."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd

from pipeline.core.engine import map_shards
from pipeline.core.store import Store
from pipeline.stages.fingerprint.params import FingerprintParams
from pipeline.stages.fingerprint.prints import fingerprint
from pipeline.stages.fingerprint.tables import Fingerprints
from pipeline.stages.ingest.tables import Images, open_pixels


def run(store: Store, params: FingerprintParams, instance: str) -> None:
    """Fingerprint one batch."""
    images = store.read(Images, instance)
    parts = map_shards(
        partial(fingerprint, thresholds=params.quality),
        open_pixels(store, images).pieces(params.images_per_task),
        label="fingerprint",
        engine=params.engine,
        scratch=store.scratch(params, keep=f"fingerprint@{instance}"),
    )
    frames, phashes, dhashes = zip(*parts, strict=True)
    prints = pd.concat(frames, ignore_index=True).assign(image_id=images["image_id"])
    vectors = {"phash": np.concatenate(phashes), "dhash": np.concatenate(dhashes)}
    store.write(Fingerprints, prints, instance=instance, vectors=vectors)
