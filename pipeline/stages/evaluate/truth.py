"""What predictions are scored against: the same images and labels for every arm."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pipeline.core.errors import UserError

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Truth:
    """Images of one split with their classes; `rows` are their places among all images scored."""

    rows: Array
    actual: Array
    group_of: Array
    sha256: str

    @property
    def groups(self) -> int:
        """Number of groups, the unit of resampling."""
        return int(self.group_of.max()) + 1


def headline_arm(arms: Sequence[str]) -> str:
    """Name the arm that stands for the product."""
    return "curated" if "curated" in arms else arms[-1]


def check_ledgers(digests: Mapping[str, str]) -> None:
    """Refuse arms that were built from different decisions.

    Raises:
        UserError: says which arm is stale.

    """
    if len(set(digests.values())) > 1:
        newest = digests[headline_arm(list(digests))]
        stale = sorted(arm for arm, digest in digests.items() if digest != newest)
        raise UserError(
            f"arms {', '.join(stale)} and {headline_arm(list(digests))} were built from different decisions "
            "(data/rebalance/*/ledger.json): run `dvc repro`"
        )


def scored_images(selections: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the validation and test rows, which all arms share, as the headline arm labels them.

    Raises:
        UserError: the arms do not share them, or one split is empty.

    """
    parts = {arm: frame[frame["split"] != "train"].reset_index(drop=True) for arm, frame in selections.items()}
    chosen = headline_arm(list(selections))
    frame = parts[chosen]
    for arm, part in parts.items():
        if not part[["image_id", "split"]].equals(frame[["image_id", "split"]]):
            raise UserError(f"arms {arm} and {chosen} differ in validation or test: run `dvc repro`")
    for split in ("validation", "test"):
        if not (frame["split"] == split).any():
            raise UserError(f"{split} holds no image: add images, or change split in params.yaml")
    return frame


def truths(images: pd.DataFrame, diagnoses: Sequence[str]) -> dict[str, Truth]:
    """List what is scored: both splits on the audited labels, and test on the labels as given.

    Images given a diagnosis that is out of scope count in the audited sets only.
    """
    found = {}
    sets = {
        "validation": ("validation", "diagnosis"),
        "test": ("test", "diagnosis"),
        "test_as_given": ("test", "given"),
    }
    for name, (split, column) in sets.items():
        classes = pd.Index(diagnoses).get_indexer(pd.Index(images[column]))
        rows = np.flatnonzero((images["split"] == split) & (classes >= 0))
        part = images.iloc[rows]
        groups = np.unique(part["group_id"], return_inverse=True)[1]
        found[name] = Truth(rows, classes[rows], groups, digest(part["image_id"], part[column]))
    return found


def digest(image_ids: pd.Series[str], diagnoses: pd.Series[str]) -> str:
    """Hash a labelled set: figures with one digest were measured on the same images and labels."""
    lines = sorted(f"{image_id},{diagnosis}\n" for image_id, diagnosis in zip(image_ids, diagnoses, strict=True))
    return hashlib.sha256("".join(lines).encode()).hexdigest()
