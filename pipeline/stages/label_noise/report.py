"""What the stage reports: a summary in numbers, and contact sheets of what it doubts most, to look at."""

from __future__ import annotations

import io
import warnings
from typing import Any

import numpy as np
import pandas as pd
from cleanlab.filter import find_label_issues
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from pipeline.core.grouping import SPLITS
from pipeline.core.shards import Pixels
from pipeline.stages.label_noise.cross_validation import Predictions
from pipeline.stages.label_noise.dataset import Dataset
from pipeline.stages.label_noise.error_count import error_interval
from pipeline.stages.label_noise.params import LabelNoiseParams
from pipeline.stages.label_noise.scores import NO_COPY

COLUMNS = 8
THUMBNAIL = (180, 140)  # width, height
CAPTION = 60
GAP = 6
LINE = 14
SCORES = ("error_probability", "off_topic")


def summarise(
    dataset: Dataset,
    predictions: Predictions,
    scores: pd.DataFrame,
    *,
    conflicting: NDArray[np.intp],
    queue: pd.DataFrame,
    params: LabelNoiseParams,
) -> dict[str, Any]:
    """Count suspects by split and diagnosis, and say what was estimated: reports/label_noise/summary.json.

    Args:
        dataset: images in scope.
        predictions: of them.
        scores: the table LabelScores.
        conflicting: (n,) from `conflicting_copies`.
        queue: the table SuspectQueue.
        params: of the stage.

    """
    suspects = {
        split: {
            name: int((scores["suspect"] & (dataset.split == split) & (scores["given"] == name)).sum())
            for name in dataset.classes
        }
        for split in SPLITS
    }
    errors = scores["error_probability"]
    modelled = params.method == "noise_matrix"
    bounds = error_interval(dataset, predictions, errors.to_numpy()) if modelled else None
    return {
        "method": params.method,
        "min_error_probability": params.min_error_probability,
        "images": len(scores),
        "without_prediction": int((~predictions.has_prediction).sum()),
        "suspects": int(scores["suspect"].sum()),
        "suspects_by_split_and_diagnosis": suspects,
        "ambiguous": int(scores["ambiguous"].sum()),
        "label_conflicts": int((conflicting != NO_COPY).sum()),
        "cleanlab_issues": count_cleanlab_issues(dataset.given, predictions.pred_probs),
        "mean_error_probability": round(float(errors.mean()), 6),
        "estimated_errors": round(float(errors.sum()), 2),
        "estimated_errors_interval": None if bounds is None else [round(bound, 1) for bound in bounds],
        "estimated_errors_by_split": {split: round(float(errors[dataset.split == split].sum()), 2) for split in SPLITS},
        "queue_minutes": round(float(queue["minutes_so_far"].max() if len(queue) else 0.0), 1),
        "queue_errors_expected": round(float(queue["error_probability"].sum()), 2),
        "instance_dependent_noise_share": round(predictions.mixture_weight, 6),
        "instance_dependent_noise_probability": round(
            float(sum(one.model.evidence for one in predictions.hypotheses if one.model.mixture_weight)), 6
        ),
        "shaped_noise_probability": round(
            float(sum(one.model.evidence for one in predictions.hypotheses if one.model.shaped)), 6
        ),
        "noise_matrix_given_by_true": {
            true: dict(zip(dataset.classes, np.round(row, 6).tolist(), strict=True))
            for true, row in zip(dataset.classes, predictions.noise_matrix, strict=True)
        },
    }


def count_cleanlab_issues(given: NDArray[np.intp], pred_probs: NDArray[np.float64]) -> int:
    """Count what cleanlab's `find_label_issues` flags by default, for comparison."""
    present, labels = np.unique(given, return_inverse=True)
    if len(present) == 1:
        return 0
    kept = pred_probs[:, present] + 1e-12  # a row may be certain of a class that no image carries
    with warnings.catch_warnings():  # a class so rare that cleanlab expects none of it: it says so, and flags none
        warnings.simplefilter("ignore", UserWarning)
        issues = find_label_issues(labels, kept / kept.sum(axis=1, keepdims=True), n_jobs=1)
    return int(np.sum(issues))


def draw_contact_sheets(scores: pd.DataFrame, pixels: Pixels, *, count: int) -> dict[str, bytes]:
    """Draw one sheet a score, highest first.

    Args:
        scores: the table LabelScores.
        pixels: of its images, in its order.
        count: images on a sheet, at most.

    Returns:
        PNG by file name.

    """
    sheets = {}
    for name in SCORES:
        order = np.argsort(-scores[name].to_numpy(), kind="stable")[:count]
        captions = [_caption(scores.iloc[i], name) for i in order]
        sheets[f"{name}.png"] = _sheet([pixels[int(i)] for i in order], captions)
    return sheets


def _caption(row: pd.Series, score: str) -> list[str]:
    lines = [str(row["given"]), f"{score.replace('_', ' ')} {row[score]:.2f}", str(row["image_id"])]
    return [lines[0], _change(row), *lines[1:]] if score == "error_probability" else lines


def _change(row: pd.Series) -> str:
    return "likeliest as given" if row["suggested"] == row["given"] else f"or {row['suggested']}"


def _sheet(images: list[NDArray[np.uint8]], captions: list[list[str]]) -> bytes:
    width, height = THUMBNAIL[0] + GAP, THUMBNAIL[1] + CAPTION + GAP
    rows = -(-len(images) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * width + GAP, rows * height + GAP), "white")
    canvas, font = ImageDraw.Draw(sheet), ImageFont.load_default(11)
    for i, (image, caption) in enumerate(zip(images, captions, strict=True)):
        left, top = GAP + i % COLUMNS * width, GAP + i // COLUMNS * height
        thumbnail = Image.fromarray(image)
        thumbnail.thumbnail(THUMBNAIL, Image.Resampling.LANCZOS)
        sheet.paste(thumbnail, (left + (THUMBNAIL[0] - thumbnail.width) // 2, top))
        for line, words in enumerate(caption):
            canvas.text((left, top + THUMBNAIL[1] + 2 + line * LINE), _fit(words, font), "black", font)
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    return buffer.getvalue()


def _fit(words: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """Keep the end of a text that is too wide: ids differ there."""
    if font.getlength(words) <= THUMBNAIL[0]:
        return words
    while font.getlength(f"…{words}") > THUMBNAIL[0]:
        words = words[1:]
    return f"…{words}"
