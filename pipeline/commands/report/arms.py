"""The arms as a flow of images: what came in, what is out and why, and how the labels of train count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipeline.commands.report.pictures import Album, Picture
from pipeline.commands.report.plots import Plot, flow
from pipeline.commands.report.run import Run
from pipeline.commands.report.summary import words_of
from pipeline.core.grouping import SPLITS
from pipeline.stages.rebalance.tables import REASONS

LABELS = ("label as given", "label shared out", "label changed")
WHOLE = 0.999  # of a label that is not shared out
EXAMPLES, SHARED = 3, 8  # that are shown
WHY = {
    "out_of_scope": "its diagnosis is none that is trained on",
    "duplicate": "a verified copy of an image that stays",
    "off_topic": "shows no skin, by the threshold of the label policy",
    "label_policy": "its label is too probably wrong",
    "steward": "a steward dropped it",
    "random_control": "taken out at random, for comparison",
}


@dataclass(frozen=True)
class Step:
    """One step from the files to the arms: in each arm a count, and where its bar lies, in percent of all files.

    kind: `in`, `out` or `of`, which is a part of the line above it.
    """

    name: str
    why: str
    kind: str
    cells: Sequence[tuple[int, float, float]]


@dataclass(frozen=True)
class Shared:
    """A training label that is shared out: how far it counts as each diagnosis, most first."""

    image: str
    picture: Picture
    given: str
    parts: Sequence[tuple[str, float]]


def labels_of_train(run: Run, arm: str) -> dict[str, int]:
    """Count the train images of an arm by how their label counts."""
    selection = run.facts.selections[arm].set_index("image_id")
    train = selection[selection["split"] == "train"]
    shared = run.targets(arm).loc[train.index].max(axis=1) < WHOLE
    changed = ~shared & (train["diagnosis"] != train["given"])
    counts = (~shared & ~changed, shared, changed)
    return {name: int(count.sum()) for name, count in zip(LABELS, counts, strict=True)}


def steps(run: Run) -> list[Step]:
    """Lay all arms out beside each other, from the files to the images that count."""
    raw = run.results["raw_rows"]
    arms = run.results["arms"]
    labels = {arm: labels_of_train(run, arm) for arm in arms}
    left = dict.fromkeys(arms, raw)

    def take(name: str, why: str, counts: dict[str, int]) -> Step:
        cells = []
        for arm, count in counts.items():
            left[arm] -= count
            cells.append((count, left[arm] / raw * 100, count / raw * 100))
        return Step(name, why, "out", cells)

    made = [Step("files", "what the batches hold", "in", [(raw, 0.0, 100.0)] * len(arms))]
    made.append(take("rejected", "no image, or no usable row", dict.fromkeys(arms, run.results["rejects"])))
    for reason in REASONS:
        counts = {arm: of["excluded_by_reason"].get(reason, 0) for arm, of in arms.items()}
        if any(counts.values()):
            made.append(take(words_of(reason), WHY[reason], counts))
    made.append(Step("in the arm", "", "in", [(n, 0.0, n / raw * 100) for n in (a["selected"] for a in arms.values())]))
    by_split = {split: {arm: of["selected_by_split"][split] for arm, of in arms.items()} for split in SPLITS}
    for step in _parts(by_split, raw):
        made.append(step)
        if step.name == "train":
            by_label = {f"train: {name}": {arm: of[name] for arm, of in labels.items()} for name in LABELS}
            made += [part for part in _parts(by_label, raw) if any(count for count, _, _ in part.cells)]
    return made


def draw_flow(run: Run) -> Plot:
    """Draw the flow of the product's arm."""
    arm = run.results["arms"][run.arm]
    middle = f"in {run.arm}"
    links = [("files", "rejected", run.results["rejects"], False)]
    links += [("files", words_of(reason), count, False) for reason, count in arm["excluded_by_reason"].items()]
    links += [("files", middle, arm["selected"], True)]
    links += [(middle, split, arm["selected_by_split"][split], True) for split in SPLITS]
    links += [("train", name, count, True) for name, count in labels_of_train(run, run.arm).items()]
    note = "Blue stays, orange is left out; each number is a count of files or images."
    return flow("flow", f"From the files to the {run.arm} dataset", links, note=note)


def examples(run: Run) -> list[tuple[str, int, str]]:
    """Say of every reason for which the product's arm leaves images out how many, and some of them with the detail."""
    exclusions = run.facts.exclusions[run.arm]
    rows = []
    for reason in (reason for reason in REASONS if (exclusions["reason"] == reason).any()):
        part = exclusions[exclusions["reason"] == reason]
        told = [f"{image} ({detail})" for image, detail in part[["image_id", "detail"]].head(EXAMPLES).to_numpy()]
        rows.append((words_of(reason), len(part), "; ".join(told)))
    return rows


def shared_out(run: Run, album: Album) -> list[Shared]:
    """Show the train labels of the product's arm that keep least of the given diagnosis."""
    selection = run.facts.selections[run.arm].set_index("image_id")
    target = run.targets(run.arm)
    kept = np.where(selection["diagnosis"].to_numpy()[:, None] == target.columns.to_numpy(), target, 0.0).sum(axis=1)
    shared = (target.max(axis=1) < WHOLE) & (selection["split"] == "train")
    soft = pd.Series(kept, index=selection.index)[shared]
    rows = []
    for image in soft.sort_values(kind="stable").index[:SHARED]:
        parts = target.loc[image].sort_values(ascending=False, kind="stable")
        shown = [(words_of(str(name)), float(part)) for name, part in parts.items() if part >= 0.01]  # noqa: PLR2004
        rows.append(Shared(image, album.thumbnail(image), words_of(str(selection.loc[image, "given"])), shown))
    return rows


def _parts(counts: dict[str, dict[str, int]], raw: int) -> list[Step]:
    """Part what is in the arms: by name of the part a count in each arm, and its bar behind those before it."""
    made, start = [], dict[str, int]()
    for name, of_arms in counts.items():
        cells = [(count, start.get(arm, 0) / raw * 100, count / raw * 100) for arm, count in of_arms.items()]
        start = {arm: start.get(arm, 0) + count for arm, count in of_arms.items()}
        made.append(Step(name, "", "of", cells))
    return made
