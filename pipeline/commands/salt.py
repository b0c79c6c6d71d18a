"""`salt`: propose the split salt that balances the classes best.

Lesions are hashed to splits, so a small class may by chance have hardly a test image. Another salt is another
partition; it must be chosen before anything is trained, and then kept.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.commands.layout import table
from pipeline.core.grouping import SPLITS, assign_splits
from pipeline.core.progress import track
from pipeline.core.store import Store
from pipeline.params import read_tree
from pipeline.stages.dedup.tables import Groups
from pipeline.stages.ingest.tables import Images

SHOWN = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--tries", type=int, default=200, help="salts to try (default: %(default)s)")
    parser.add_argument("--stem", default="salt", help="they are named <stem>-0, <stem>-1, … (default: %(default)s)")


def run(root: Path, options: argparse.Namespace) -> None:
    """Print the best salts, the current one, and the line for params.yaml."""
    tree = read_tree(root / "params.yaml")
    store, split = Store(root), tree["split"]
    images = store.read(Images, tree["batches"]).merge(store.read(Groups), on="image_id")
    shares = {"validation_share": split["validation_share"], "test_share": split["test_share"]}
    salts = [split["salt"], *(f"{options.stem}-{i}" for i in range(options.tries))]
    ranked = rank_salts(images, salts, **shares)
    shown = pd.concat([ranked.head(SHOWN), ranked[ranked["salt"] == split["salt"]]]).drop_duplicates()
    print(table(["salt", "imbalance", *(f"fewest in {name}" for name in SPLITS)], shown.to_numpy().tolist()))
    best = ranked["salt"].iloc[0]
    if best == split["salt"]:
        print(f"the current salt {best!r} is the best of {len(salts)}")
        return
    settings = ", ".join(f"{name}: {value}" for name, value in {"salt": best, **shares}.items())
    print(f"put this into params.yaml (it makes another test set: figures are not comparable):\nsplit: {{{settings}}}")


def rank_salts(
    images: pd.DataFrame, salts: Sequence[str], *, validation_share: float, test_share: float
) -> pd.DataFrame:
    """Rank salts by how evenly they spread every class, best first.

    Args:
        images: image_id, diagnosis, lesion_id, group_id of all images.
        salts: those to try.
        validation_share: of lesions.
        test_share: likewise.

    Returns:
        salt, imbalance (chi-square of the counts of lesions by class and split against the shares, by degree of
        freedom; about 1 by chance, more where groups of several pull lesions into test) and, by split, the number of
        lesions of the rarest class.

    """
    units = images["lesion_id"].fillna(images["image_id"])
    codes, classes = pd.factorize(images["diagnosis"], sort=True)
    lesions = ~pd.Series(units).duplicated().to_numpy()
    shares = np.array([1 - validation_share - test_share, validation_share, test_share])
    expected = np.bincount(codes[lesions], minlength=len(classes))[:, None] * shares
    rows = []
    for salt in track(dict.fromkeys(salts), "try salts", unit="salts"):
        splits = assign_splits(
            units.tolist(),
            images["group_id"].tolist(),
            salt=salt,
            validation_share=validation_share,
            test_share=test_share,
        )
        positions = pd.Categorical(splits, categories=SPLITS).codes[lesions]
        counts = np.zeros_like(expected)
        np.add.at(counts, (codes[lesions], positions), 1)
        imbalance = float((((counts - expected) ** 2) / expected).sum() / (2 * len(classes)))
        rows.append([salt, round(imbalance, 3), *counts.min(axis=0).astype(int).tolist()])
    ranked = pd.DataFrame(rows, columns=["salt", "imbalance", *SPLITS])
    return ranked.sort_values(["imbalance", "salt"], ignore_index=True)
