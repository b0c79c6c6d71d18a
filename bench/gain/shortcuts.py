"""Shortcut probes: how far one gets on the curated set without a look at the lesion.

A random forest learns from what should not tell a diagnosis: metadata, the border, a thumbnail of 16 by 16 pixels,
quality and artefact flags, how the file was made. Group folds; beside it the prior, which takes every image for the
commonest diagnosis, and the CLIP probe on the same folds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier

from bench.gain.plan import Project, split_of
from pipeline.stages.fingerprint.tables import FLAGS, Fingerprints
from pipeline.stages.ingest.tables import open_pixels

PRIOR = "prior"
THUMBNAIL = 16  # pixels a side
BLOCKS, BLOCK = 10, 4  # a square of so many blocks of so many pixels a side; its border is a tenth of either side
SIDE = BLOCKS * BLOCK
QUALITY = ("mean", "std", "range", "sharpness", "dark_corners", "aspect")

Features = NDArray[np.float32]


def features(project: Project, batches: Sequence[str]) -> dict[str, Features]:
    """Compute what each probe sees, (n, numbers).

    Raises:
        UserError: `fingerprint` has not run.

    """
    images = project.images
    prints = project.store.read(Fingerprints, batches).set_index("image_id").loc[images["image_id"]]
    pixels = open_pixels(project.store, images)
    borders, thumbnails = [], []
    for position in range(len(pixels)):
        image = pixels[position]
        borders.append(border(cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)))
        thumbnails.append(cv2.resize(image, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA).ravel())
    flags = np.array([[flag in raised for flag in FLAGS] for raised in prints["flags"]], np.float32)
    file = pd.get_dummies(images[["stored_as", "licence"]].assign(batch=images["image_id"].str.split(":").str[0]))
    return {
        "metadata": project.labelled.context,
        "border": np.stack(borders).astype(np.float32),
        "16 by 16 thumbnail": np.stack(thumbnails).astype(np.float32),
        "quality and artefact flags": np.hstack([prints[list(QUALITY)].to_numpy(np.float32), flags]),
        "source": np.hstack([images[["size", "width", "height"]].to_numpy(np.float32), file.to_numpy(np.float32)]),
    }


def border(square: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Keep of an image (SIDE, SIDE, 3) the means of the blocks that touch an edge: (numbers,)."""
    blocks = square.reshape(BLOCKS, BLOCK, BLOCKS, BLOCK, 3).mean(axis=(1, 3))
    inner = np.zeros((BLOCKS, BLOCKS), dtype=bool)
    inner[1:-1, 1:-1] = True
    outer: NDArray[np.float64] = blocks[~inner].ravel()
    return outer


def predict(
    project: Project, given: Mapping[str, Features], *, folds: int, seed: int
) -> dict[str, NDArray[np.float64]]:
    """Predict each fold from the others: (n, classes), by probe; removed copies are neither learnt from nor scored."""
    labelled, kept = project.labelled, ~project.labelled.removed
    first = next(iter(given.values()))
    makers: dict[str, Callable[[], RandomForestClassifier | DummyClassifier]] = {
        PRIOR: lambda: DummyClassifier(strategy="prior"),
        **dict.fromkeys(given, lambda: forest(seed)),
    }
    found = {name: np.full((len(kept), len(labelled.classes)), np.nan) for name in makers}
    for fold in range(folds):
        split = split_of(project, folds=folds, seed=seed, fold=fold)
        learnt, scored = (split != "test") & kept, (split == "test") & kept
        for name, make in makers.items():
            seen = given.get(name, first)
            model = make().fit(seen[learnt], labelled.given[learnt])
            found[name][np.ix_(scored, model.classes_)] = model.predict_proba(seen[scored])
            found[name][scored] = np.nan_to_num(found[name][scored])
    return found


def forest(seed: int) -> RandomForestClassifier:
    """Make the classifier: rare classes weigh as much as common ones."""
    return RandomForestClassifier(200, min_samples_leaf=5, class_weight="balanced", random_state=seed)
