"""Plots in which one looks for an image: the review queue by minutes, and all images on the plane of embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from pipeline.commands.report.pictures import Album
from pipeline.commands.report.plots import Plot, points
from pipeline.commands.report.run import Run
from pipeline.commands.report.summary import words_of
from pipeline.stages.rebalance.arms import OFF_TOPIC

POINTS = 600  # that are drawn, each with its picture
STATES = ("stays as given", "label in doubt", "may show no skin", "copy, removed")


def queue(run: Run, album: Album) -> Plot | None:
    """Draw what each minute of the review queue is expected to find; None where the queue is empty."""
    frame = run.facts.suspect_queue.sort_values("place").head(POINTS)
    if frame.empty:
        return None
    series = {}
    for name, part in (("suspect", frame[~frame["ambiguous"]]), ("ambiguous", frame[frame["ambiguous"]])):
        text = [f"place {p}: {_words(run, image)}" for p, image in zip(part["place"], part["image_id"], strict=True)]
        series[name] = {
            "x": part["minutes_so_far"].round(2).tolist(),
            "y": part["errors_so_far"].round(2).tolist(),
            "picture": [album.thumbnail(image).src for image in part["image_id"]],
            "text": text,
        }
    last = frame.iloc[-1]
    total = f"{last['minutes_so_far']:.0f} minutes are expected to find {last['errors_so_far']:.0f} wrong labels"
    return points(
        "queue",
        "What a minute of review finds",
        series,
        axes=("minutes of a steward", "wrong labels expected to be found"),
        alt=f"Wrong labels expected to be found over minutes of review: {total}.",
        note=f"{total}. Where the line lies flat, stop. Point at a label to see its image; drag to look closer.",
        line=True,
    )


def plane(run: Run, album: Album) -> Plot:
    """Draw the images on the first two principal components of their embeddings, by what became of them."""
    state = states(run.rows, queued=run.facts.off_topic_queue["image_id"])
    shown = choose(state, POINTS)
    positions = run.positions.loc[shown]
    series: dict[str, dict[str, Sequence[Any]]] = {}
    for name in STATES:
        images = [image for image in shown if state[image] == name]
        at = positions.loc[images].round(4)
        series[name] = {
            "x": at["x"].tolist(),
            "y": at["y"].tolist(),
            "picture": [album.thumbnail(image).src for image in images],
            "text": [_words(run, image) for image in images],
        }
    whole = len(state)
    part = "All images" if len(shown) == whole else f"{len(shown):,} of {whole:,} images, those in doubt first,"
    return points(
        "plane",
        "All images on one plane",
        series,
        axes=("first principal component", "second principal component"),
        alt="Images on the plane of their embeddings: "
        + ", ".join(f"{len(of['x'])} {name}" for name, of in series.items()),
        note=f"{part} by their embeddings: what lies close looks alike to the encoder. Point at one to see it.",
        ticks=False,
    )


def states(rows: pd.DataFrame, *, queued: pd.Series[str]) -> pd.Series[str]:
    """Say what became of every image: one of `STATES`.

    Args:
        rows: of `Run`.
        queued: images that may show no skin and wait for a person.

    """
    stays, doubt, stray, copy = STATES
    left_out = rows["excluded"].astype("string").str.startswith(OFF_TOPIC).fillna(value=False).to_numpy(dtype=bool)
    conditions = [
        rows["duplicate_of"].notna().to_numpy(),
        left_out | rows.index.isin(queued),
        (rows["suspect"] | rows["ambiguous"]).to_numpy(dtype=bool),
    ]
    return pd.Series(np.select(conditions, [copy, stray, doubt], stays), index=rows.index)


def choose(state: pd.Series[str], count: int) -> list[str]:
    """Choose images to draw: all that are not as given, as far as they fit, and evenly of the others; sorted."""
    first = state.index[state != STATES[0]]
    first = first[_evenly(len(first), min(count, len(first)))]
    rest = state.index[state == STATES[0]]
    rest = rest[_evenly(len(rest), min(count - len(first), len(rest)))]
    return sorted([*first, *rest])


def _evenly(size: int, count: int) -> list[int]:
    return [i * size // count for i in range(count)]


def _words(run: Run, image: str) -> str:
    row = run.rows.loc[image].to_dict()
    words = f"{image}<br>{words_of(str(row['diagnosis']))}"
    if isinstance(row["suggested"], str) and row["suggested"] != row["diagnosis"]:
        words += f", {words_of(row['suggested'])} suggested"
    if not pd.isna(row["error_probability"]):
        words += f"<br>label wrong {row['error_probability']:.0%}, no skin {row['off_topic']:.0%}"
    return words
