"""How many of the planted defects were found: the run's findings against the truth that no stage can read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score, roc_auc_score

from pipeline.commands.facts import Facts
from pipeline.core.errors import UserError
from pipeline.core.grouping import components
from pipeline.stages.rebalance.tables import HEADLINE_ARM

QUEUE_PREFIX = 1.2  # as many first places of a queue as were planted, times this, are what a person is thought to see
HANDLED = "are out, weigh little or are queued first"  # what `_handled` counts
LITTLE = 0.5  # of what a train image of its label usually weighs


class Truths(NamedTuple):
    """The truth in words, to stand beside each thing that was found."""

    broken: str
    copies: str
    labels: str
    off_topic: str


def truths(scores: Sequence[Mapping[str, Any]]) -> Truths | None:
    """Say how many of the planted defects were found; None where no truth is known.

    Args:
        scores: from `score`, of every batch whose truth is known.

    """
    if not scores:
        return None

    def total(*path: str) -> int:
        found: list[Any] = list(scores)
        for name in path:
            found = [of[name] for of in found]
        return sum(found)

    kinds = [kind for score in scores for kind in score["broken"]["by_kind"].values()]
    broken, rejected = (sum(kind[name] for kind in kinds) for name in ("planted", "found"))
    copies, labels, strays = total("copies", "planted"), total("labels", "wrong"), total("off_topic", "planted")
    return Truths(
        f"{rejected} of {broken} planted, and {total('broken', 'sound_rejected')} sound ones",
        f"{total('copies', 'found')} of {copies} planted, and {total('copies', 'wrong_pairs')} pairs of unlike lesions",
        f"of {labels} wrong ones {total('labels', 'handled')} {HANDLED}",
        f"of {strays} planted {total('off_topic', 'handled')} {HANDLED}",
    )


def read_truth(root: Path, batch: str, facts: Facts) -> pd.DataFrame | None:
    """Read what was planted in a batch: image_id, lesion, true_label, given_label, defect, original (an image_id).

    Returns:
        None where the batch has no truth file.

    Raises:
        UserError: the truth is of another drawing than the images.

    """
    path = root / f"data/truth/{batch}.csv"
    if not path.exists():
        return None
    truth = pd.read_csv(path, keep_default_na=False, dtype=str)
    truth["image_id"] = batch + ":" + truth["image"]
    truth["original"] = truth["original"].map(lambda name: f"{batch}:{name}" if name else "")
    images = facts.images["image_id"]
    rejects = facts.rejects["batch"] + ":" + facts.rejects["source_id"]
    ingested = {name for name in [*images, *rejects] if name.startswith(f"{batch}:")}
    if ingested != set(truth["image_id"]):
        raise UserError(f"data/truth/{batch}.csv is of another drawing than data/ingest/{batch}: run `dvc repro`")
    return truth


def score(truth: pd.DataFrame, facts: Facts) -> dict[str, Any]:
    """Count the planted defects that were found, by kind, and what was found beside them."""
    return {
        "copies": score_copies(truth, facts),
        "labels": score_labels(truth, facts),
        "off_topic": score_off_topic(truth, facts),
        "broken": score_broken(truth, facts.rejects),
    }


def score_copies(truth: pd.DataFrame, facts: Facts) -> dict[str, Any]:
    """Count by kind the copies that an edge or a chain of edges ties to their original, and those not both selected.

    `wrong_pairs` are `copy` edges between images of different lesions, the error that would lose data.
    """
    edges = facts.duplicates
    copies = edges.loc[edges["relation"] == "copy", ["a", "b"]]
    names = facts.images["image_id"].tolist()
    chain = dict(zip(names, components(names, copies.itertuples(index=False, name=None)), strict=True))
    group = dict(zip(facts.groups["image_id"], facts.groups["group_id"], strict=True))
    selected = set(facts.selections[HEADLINE_ARM]["image_id"]) if HEADLINE_ARM in facts.selections else None
    planted = truth[truth["original"] != ""]
    kinds = {}
    for kind, part in planted.groupby("defect", sort=True):
        pairs = list(zip(part["image_id"], part["original"], strict=True))
        kinds[str(kind)] = {
            "planted": len(pairs),
            "found": sum(chain[a] == chain[b] for a, b in pairs),
            "kept_together": sum(group[a] == group[b] for a, b in pairs),
        }
        if selected is not None:
            kinds[str(kind)]["removed"] = sum(not {a, b} <= selected for a, b in pairs)
    lesion = _lesions(truth)
    within = copies[copies["a"].isin(lesion) & copies["b"].isin(lesion)]
    wrong = [(a, b) for a, b in within.itertuples(index=False, name=None) if lesion[a] != lesion[b]]
    photographs = truth[truth["defect"].isin(["", "wrong_label"])]
    views = [part["image_id"].tolist() for _, part in photographs.groupby("lesion") if len(part) > 1]
    return {
        "by_kind": kinds,
        "planted": len(planted),
        "found": sum(kind["found"] for kind in kinds.values()),
        "copy_edges": len(within),
        "wrong_pairs": len(wrong),
        "second_views": {
            "planted": len(views),
            "kept_together": sum(len({group[image] for image in part}) == 1 for part in views),
            "taken_for_copies": sum(len({chain[image] for image in part}) == 1 for part in views),
        },
    }


def score_labels(truth: pd.DataFrame, facts: Facts) -> dict[str, Any]:
    """Measure how well wrong labels are found: recall and precision of the suspects, and of the ranking.

    An image is wrong if it lies in another folder than what it shows, be it planted as such or as a copy across
    folders. Images off topic have no right label and count separately. `handled` are the wrong ones that are left
    out of the curated arm or weigh half as much as others there at most, or that a person sees who looks at little more
    of the queue than is wrong.
    """
    known = truth.merge(facts.scores, on="image_id")
    lesions = known[known["true_label"] != ""]
    wrong = lesions["true_label"] != lesions["given_label"]
    planted = lesions["defect"] == "wrong_label"
    suspect = lesions["suspect"]
    found = {
        "planted": int(planted.sum()),
        "found": int((planted & suspect).sum()),
        "wrong": int(wrong.sum()),
        "wrong_found": int((wrong & suspect).sum()),
        "handled": _handled(lesions.loc[wrong, "image_id"], facts, facts.suspect_queue),
        "suspects": int(suspect.sum()),
        "suspects_off_topic": int((known["suspect"] & (known["true_label"] == "")).sum()),
        "precision": _share(int((wrong & suspect).sum()), int(suspect.sum())),
    }
    return found | _ranking(wrong.to_numpy(), lesions["error_probability"].to_numpy())


def score_off_topic(truth: pd.DataFrame, facts: Facts) -> dict[str, Any]:
    """Measure how far up the images of other things rank, and how many of them the product leaves out or queues."""
    known = truth.merge(facts.scores, on="image_id")
    stray = (known["defect"] == "off_topic").to_numpy()
    count = int(stray.sum())
    top = np.argsort(-known["off_topic"].to_numpy(), kind="stable")[:count]
    handled = _handled(known.loc[stray, "image_id"], facts, facts.off_topic_queue)
    found = {"planted": count, "found_in_top": int(stray[top].sum()), "top": count, "handled": handled}
    if HEADLINE_ARM in facts.exclusions:
        excluded = set(facts.exclusions[HEADLINE_ARM]["image_id"])
        found["excluded"] = int(known.loc[stray, "image_id"].isin(excluded).sum())
    return found | _ranking(stray, known["off_topic"].to_numpy())


def score_broken(truth: pd.DataFrame, rejects: pd.DataFrame) -> dict[str, Any]:
    """Count by kind the broken files that were rejected, and say for which reasons; and images rejected in error."""
    reason = dict(zip(rejects["batch"] + ":" + rejects["source_id"], rejects["reason"], strict=True))
    broken = truth[truth["defect"].isin(["truncated", "not_an_image"])]
    kinds = {
        str(kind): {
            "planted": len(part),
            "found": int(part["image_id"].isin(reason).sum()),
            "reasons": sorted({reason[image] for image in part["image_id"] if image in reason}),
        }
        for kind, part in broken.groupby("defect", sort=True)
    }
    sound = set(truth["image_id"]) - set(broken["image_id"])
    return {"by_kind": kinds, "sound_rejected": len(sound & set(reason))}


def _handled(planted: pd.Series[str], facts: Facts, queue: pd.DataFrame) -> int:
    """Count the planted images that the curated arm leaves out or weighs little, or that the queue begins with."""
    seen = set(queue.loc[queue["place"] <= ceil(QUEUE_PREFIX * len(planted)), "image_id"])
    if HEADLINE_ARM in facts.exclusions:
        seen |= set(facts.exclusions[HEADLINE_ARM]["image_id"])
    if HEADLINE_ARM in facts.selections:
        selected = facts.selections[HEADLINE_ARM]
        train = selected[selected["split"] == "train"]
        usual = train.groupby("diagnosis")["weight"].transform("median")
        seen |= set(train.loc[train["weight"] <= LITTLE * usual, "image_id"])
    return int(planted.isin(seen).sum())


def _lesions(truth: pd.DataFrame) -> dict[str, str]:
    """Name what every image shows: its lesion, or itself where it shows none."""
    return {i: lesion or i for i, lesion in zip(truth["image_id"], truth["lesion"], strict=True)}


def _ranking(wanted: np.ndarray[Any, Any], values: np.ndarray[Any, Any]) -> dict[str, float | None]:
    if wanted.all() or not wanted.any():
        return {"auroc": None, "average_precision": None}
    return {
        "auroc": round(float(roc_auc_score(wanted, values)), 3),
        "average_precision": round(float(average_precision_score(wanted, values)), 3),
    }


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 3) if whole else None
