"""`audit-split`: which pairs and lesions cross a given split, as a table, pictures and an exit status for CI."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from pipeline.audit.crossings import crossings, shared
from pipeline.audit.folder import audited, list_images, read_knobs
from pipeline.audit.split_files import match, read_csv, split_by_folder
from pipeline.cli.layout import table
from pipeline.core.shards import Pixels
from pipeline.core.store import Store
from pipeline.dedup.pictures import draw
from pipeline.dedup.tables import Duplicates
from pipeline.ingest.tables import Images
from pipeline.params import read_tree

OUT = "reports/audit_split"
SHOWN = 20
CROSSED = 3  # exit status: a check that found something is no error (1), nor a misspelt option (2)
PICTURES = 24

Array = np.ndarray[Any, Any]


class Evidence(NamedTuple):
    """What a split is held against.

    edges, transforms: of Duplicates.
    lesions: the lesion by image as the source names it, or missing.
    names: of `pixels`, sorted.
    """

    edges: pd.DataFrame
    transforms: Array
    lesions: pd.Series[Any]
    names: Sequence[str]
    pixels: Pixels


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("split", type=Path, help="a csv of images and their splits, or a folder that holds train/ …")
    parser.add_argument("--images", type=Path, help="folder of the csv's images (default: the project's batches)")
    parser.add_argument("--out", type=Path, help=f"where tables and pictures go (default: {OUT})")


def run(root: Path, options: argparse.Namespace) -> int:
    """Write what crosses the split, and print it; return CROSSED if anything does.

    Raises:
        UserError: the split or its images cannot be read, or do not fit each other.

    """
    tree, out = read_tree(root / "params.yaml"), options.out or root / OUT
    if options.split.is_dir() or options.images:
        return _audit_folder(root, tree, options.split, options.images or options.split, out)
    return _audit_project(Store(root), tree["batches"], options.split, out)


def _audit_project(store: Store, batches: list[str], split_file: Path, out: Path) -> int:
    """Hold a csv against the table Duplicates."""
    images = store.read(Images, batches).sort_values("image_id", ignore_index=True)
    listed = read_csv(split_file)
    short = images["image_id"].str.partition(":")[2]
    names = images["image_id"] if short.duplicated().any() else short
    ids = dict(zip(names, images["image_id"], strict=True))
    splits = pd.Series(listed["split"].tolist(), index=[ids[n] for n in match(listed["image"], names)])
    evidence = Evidence(
        store.read(Duplicates),
        store.vectors(Duplicates, "transform"),
        images.set_index("image_id")["lesion_id"],
        images["image_id"].tolist(),
        store.pixels(images),
    )
    return _report(splits, evidence, out)


def _audit_folder(root: Path, tree: Mapping[str, Any], split: Path, folder: Path, out: Path) -> int:
    """Find the duplicates among a folder's images first."""
    listing = list_images(folder)
    entries = {entry.source_id: entry for entry in listing.entries}
    lesions = pd.Series(dtype=object)
    if split.is_dir():
        by_name = split_by_folder(entries)
    else:
        listed = read_csv(split)
        found = match(listed["image"], list(entries))
        by_name = dict(zip(found, listed["split"], strict=True))
        lesions = pd.Series(listed["lesion_id"].tolist(), index=found, dtype=object)
    chosen = tuple(entries[name] for name in by_name)
    with audited(root, folder, chosen, read_knobs(tree)) as (names, pixels, found_pairs, unreadable):
        rejects = [*listing.rejects, *unreadable]
        if rejects:
            out.mkdir(parents=True, exist_ok=True)
            pd.DataFrame(rejects).to_csv(out / "rejects.csv", index=False)
            print(f"{len(rejects)} files are no readable images and are left out: {out / 'rejects.csv'}")
        splits = pd.Series(by_name)[names]
        return _report(splits, Evidence(found_pairs.edges, found_pairs.transforms, lesions, names, pixels), out)


def _report(splits: pd.Series[str], evidence: Evidence, out: Path) -> int:
    crossing = crossings(splits, evidence.edges, evidence.lesions)
    spoilt = shared(splits, evidence.edges, evidence.lesions)
    pictures = out / "pictures"
    pictures.mkdir(parents=True, exist_ok=True)
    for stale in pictures.glob("*.png"):
        stale.unlink()
    crossing.to_csv(out / "crossings.csv", index=False, float_format="%.6g")
    spoilt.to_csv(out / "shared.csv", index=False, float_format="%.6g")
    chosen = _rows(evidence.edges, crossing)[:PICTURES]
    names = np.array(evidence.names)
    for name, content in draw(evidence.edges, evidence.transforms, chosen, image_ids=names, pixels=evidence.pixels):
        (pictures / name).write_bytes(content)

    sizes = splits.value_counts().sort_index()
    print(", ".join(f"{split}: {count:,} images" for split, count in sizes.items()))
    if not len(crossing):
        print("no pair and no lesion crosses the split")
        return 0
    print(table(["split", "shares with", "images", "share"], spoilt.to_numpy().tolist()))
    print()
    print(table(list(crossing.columns), crossing.head(SHOWN).to_numpy().tolist()))
    print(f"{len(crossing):,} pairs cross the split: {out / 'crossings.csv'}, drawn in {pictures}")
    return CROSSED


def _rows(edges: pd.DataFrame, crossing: pd.DataFrame) -> Array:
    """Return the rows of `edges` that cross, in the order of `crossing`."""
    rows = {pair: row for row, pair in enumerate(zip(edges["a"], edges["b"], strict=True))}
    pairs = zip(crossing["a"], crossing["b"], strict=True)
    return np.array([rows[pair] for pair in pairs if pair in rows], dtype=np.int64)
