"""One decode of each image feeds its hashes and its quality scores."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from pipeline.core.memory import keep_freed
from pipeline.core.shards import Pixels
from pipeline.stages.fingerprint.greys import Grey, read_grey
from pipeline.stages.fingerprint.hashes import Thumbnails, difference_hashes, join, perceptual_hashes, shrink
from pipeline.stages.fingerprint.params import QualityThresholds
from pipeline.stages.fingerprint.quality import Quality, flags, measure

RUN_PIXELS = 1 << 19  # small pictures of one size are taken together, as many as stay in a processor's cache

Array = np.ndarray[Any, Any]


def fingerprint(pixels: Pixels, *, thresholds: QualityThresholds) -> tuple[pd.DataFrame, Array, Array]:
    """Fingerprint some images; of each only its thumbnails stay in memory, and all are hashed together.

    Returns:
        the scalar columns of Fingerprints but for image_id; pHashes and dHashes, each (images, 256) uint8.

    """
    scores: list[Quality] = []
    sides: list[int] = []
    small: list[Thumbnails] = []
    keep_freed()
    for run in _runs(pixels):
        small.append(shrink([grey.levels for grey in run]))
        scores += measure(run, small[-1].square)
        sides += [min(grey.height, grey.width) for grey in run]
    thumbnails = join(small)
    phashes, dhashes = perceptual_hashes(thumbnails), difference_hashes(thumbnails)
    raised = [flags(score, shorter_side=side, thresholds=thresholds) for score, side in zip(scores, sides, strict=True)]
    prints = pd.DataFrame(scores, columns=Quality._fields).assign(flags=pd.Series(raised))
    return prints, phashes.reshape(len(prints), -1), dhashes.reshape(len(prints), -1)


def _runs(pixels: Pixels) -> Iterator[list[Grey]]:
    """Read images and yield those that follow each other and have one size, a few at a time."""
    run: list[Grey] = []
    for grey in (read_grey(pixels.read(position)) for position in range(len(pixels))):
        if run and (grey.levels.shape != run[0].levels.shape or (len(run) + 1) * grey.levels.size > RUN_PIXELS):
            yield run
            run = []
        run.append(grey)
    if run:
        yield run
