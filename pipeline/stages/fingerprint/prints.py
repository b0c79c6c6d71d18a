"""One decode of each image feeds its hashes and its quality scores."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.core.memory import keep_freed
from pipeline.core.shards import Pixels
from pipeline.stages.fingerprint.greys import Grey, read_grey
from pipeline.stages.fingerprint.hashes import perceptual_hashes, shrink
from pipeline.stages.fingerprint.quality import Quality, Thresholds, flags, measure

RUN_PIXELS = 1 << 19  # small images of one size are taken together, as many as stay in a processor's cache


def fingerprint(pixels: Pixels, *, thresholds: Thresholds) -> tuple[pd.DataFrame, NDArray[np.uint8]]:
    """Fingerprint some images; of each only its square stays in memory, and all are hashed together.

    Returns:
        the scalar columns of Fingerprints but for image_id; pHashes, (images, 256).

    """
    scores: list[Quality] = []
    sides: list[int] = []
    squares: list[NDArray[np.uint8]] = []
    keep_freed()
    for run in _runs(pixels):
        squares.append(shrink([grey.levels for grey in run]))
        scores += measure(run, squares[-1])
        sides += [min(grey.height, grey.width) for grey in run]
    hashes = perceptual_hashes(np.concatenate(squares, axis=1))
    raised = [flags(score, shorter_side=side, thresholds=thresholds) for score, side in zip(scores, sides, strict=True)]
    prints = pd.DataFrame(scores, columns=Quality._fields).assign(flags=pd.Series(raised))
    return prints, hashes.reshape(len(prints), -1)


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
