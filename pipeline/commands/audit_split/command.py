"""`audit-split`: what crosses a given split, as tables, images and an exit status for CI."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.commands.audit_split.crossings import Bond, bonds_of, crossings, shared
from pipeline.commands.audit_split.folder import audited, list_images, read_knobs
from pipeline.commands.audit_split.split_files import match, read_split
from pipeline.commands.audit_split.split_folders import split_by_folder
from pipeline.commands.layout import table
from pipeline.core.errors import UserError
from pipeline.core.shards import Pixels
from pipeline.core.store import Store
from pipeline.params import read_tree
from pipeline.stages.dedup.report import draw
from pipeline.stages.dedup.tables import Duplicates
from pipeline.stages.ingest.rows import Reject
from pipeline.stages.ingest.sources.side_files import is_text_name
from pipeline.stages.ingest.tables import Images, open_pixels

OUT = "reports/audit_split"
SHOWN = 20
CROSSED = 3  # exit status: a check that found something is no error (1), nor a misspelt option (2)
INCOMPLETE = 4  # nothing crosses, but something was not looked at, so nobody can say that the split is clean
REPORT_IMAGES = 24
REPORTS = ("crossings.csv", "shared.csv", "rejects.csv", "left_out.csv")
NO_IMAGES = {"not_an_image", "empty_file"}  # reasons of files whose absence from the audit loses no image


class Evidence(NamedTuple):
    """What a split is held against.

    edges: the scalar columns of Duplicates.
    transforms: of `edges`, (edges, 9).
    bonds: lesions and patients by image.
    names: of `pixels`, sorted.
    pixels: of all images.
    """

    edges: pd.DataFrame
    transforms: NDArray[np.float32]
    bonds: Sequence[Bond]
    names: Sequence[str]
    pixels: Pixels


class Outside(NamedTuple):
    """What was not looked at.

    left_out: name, row, problem; files that are in no split, and rows that meet no image.
    rejects: files that are no readable images.
    """

    left_out: pd.DataFrame
    rejects: Sequence[Reject]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("split", type=Path, help="a table of images and their splits, or a folder that holds train/ …")
    parser.add_argument("--images", type=Path, help="folder of the table's images (default: the project's batches)")
    parser.add_argument("--out", type=Path, help=f"where tables and images go (default: {OUT})")


def run(root: Path, options: argparse.Namespace) -> int:
    """Write what crosses the split, and print it; return CROSSED if anything does, else INCOMPLETE or 0.

    Raises:
        UserError: the split or its images cannot be read, or do not fit each other.

    """
    tree, out = read_tree(root / "params.yaml"), options.out or root / OUT
    _clear(out)
    if options.split.is_dir() or options.images:
        return _audit_folder(root, tree, options.split, options.images or options.split, out)
    return _audit_project(Store(root), tree["batches"], options.split, out)


def _audit_project(store: Store, batches: list[str], split_file: Path, out: Path) -> int:
    """Hold a table against the table Duplicates, and lesions and patients of both."""
    images = store.read(Images, batches).sort_values("image_id", ignore_index=True)
    splits, bonds, left_out = _splits_of_table(split_file, images["image_id"].tolist())
    bonds += bonds_of(images.set_index("image_id"))
    evidence = Evidence(
        store.read(Duplicates),
        store.vectors(Duplicates, "transform"),
        bonds,
        images["image_id"].tolist(),
        open_pixels(store, images),
    )
    return _report(splits, evidence, Outside(left_out, ()), out)


def _audit_folder(root: Path, tree: Mapping[str, Any], split: Path, folder: Path, out: Path) -> int:
    """Find the duplicates among a folder's images first."""
    listing = list_images(folder)
    entries = {entry.source_id: entry for entry in listing.entries}
    bonds: list[Bond] = []
    if split.is_dir():
        by_name, problems = split_by_folder(entries)
        splits = pd.Series(by_name, dtype=object)
        left_out = pd.DataFrame([(None, *pair) for pair in problems.items()], columns=["row", "name", "problem"])
    else:
        splits, bonds, left_out = _splits_of_table(split, list(entries))
        unnamed = len(entries) - len(splits)
        if unnamed:
            print(f"{unnamed:,} files of {folder} are in no row of {split.name}")
    for note in listing.notes:
        print(f"note: {note}")
    chosen = tuple(entries[name] for name in splits.index)
    with audited(root, folder, chosen, read_knobs(tree)) as (names, pixels, search, unreadable):
        evidence = Evidence(search.edges, search.transforms, bonds, names, pixels)
        outside = Outside(_of_images(left_out), (*listing.rejects, *unreadable))
        return _report(splits.reindex(names), evidence, outside, out)


def _splits_of_table(path: Path, names: Sequence[str]) -> tuple[pd.Series[str], list[Bond], pd.DataFrame]:
    """Return split, lesion and patient by image, and the rows that meet none.

    Raises:
        UserError: no row meets an image.

    """
    rows, problems = read_split(path)
    met_rows, unmet = match(rows, names)
    if not len(met_rows):
        named = f", {rows['image'].iloc[0]} among them" if len(rows) else ""
        raise UserError(f"none of the {len(rows)} rows of {path} names an image{named}: name the folder of its images")
    met = rows.set_index("row").loc[met_rows.index].set_axis(met_rows.to_numpy())
    return met["split"], bonds_of(met), pd.concat([problems, unmet], ignore_index=True)


def _of_images(left_out: pd.DataFrame) -> pd.DataFrame:
    """Drop texts that lie beside the folders of a split: no image is left out with them."""
    texts = left_out["row"].isna() & left_out["name"].map(is_text_name)
    return left_out[~texts].reset_index(drop=True)


def _report(splits: pd.Series[str], evidence: Evidence, outside: Outside, out: Path) -> int:
    crossing = crossings(splits, evidence.edges, evidence.bonds)
    spoilt = shared(splits, evidence.edges, evidence.bonds)
    out.mkdir(parents=True, exist_ok=True)
    crossing.to_csv(out / "crossings.csv", index=False, float_format="%.6g")
    spoilt.to_csv(out / "shared.csv", index=False, float_format="%.6g")
    drawn = out / "pictures"
    drawn.mkdir(exist_ok=True)
    chosen = _rows(evidence.edges, crossing)[:REPORT_IMAGES]
    names = np.array(evidence.names)
    for name, content in draw(evidence.edges, evidence.transforms, chosen, image_ids=names, pixels=evidence.pixels):
        (drawn / name).write_bytes(content)

    sizes = splits.value_counts().sort_index()
    print(", ".join(f"{split}: {count:,} images" for split, count in sizes.items()))
    incomplete = _tell_outside(outside, out)
    _tell_bonds(splits, evidence.bonds)
    if not len(crossing):
        print("no pair, no lesion and no patient crosses the split" + (", of what was looked at" if incomplete else ""))
        return INCOMPLETE if incomplete else 0
    print(table(["split", "shares with", "images", "share"], spoilt.to_numpy().tolist()))
    print()
    print(table(list(crossing.columns), crossing.head(SHOWN).to_numpy().tolist()))
    print(f"{len(crossing):,} pairs cross the split: {out / 'crossings.csv'}, drawn in {drawn}")
    return CROSSED


def _tell_outside(outside: Outside, out: Path) -> bool:
    """Write and say what was not looked at; tell whether an image may be among it."""
    if outside.rejects:
        pd.DataFrame(outside.rejects).to_csv(out / "rejects.csv", index=False)
        print(f"{len(outside.rejects):,} files are no readable images and are left out: {out / 'rejects.csv'}")
    if len(outside.left_out):
        outside.left_out.to_csv(out / "left_out.csv", index=False)
        kinds = outside.left_out["problem"].str.replace(r"\d+ images, such as .*|, as another.*", "several", regex=True)
        told = ", ".join(f"{count:,} {problem}" for problem, count in kinds.value_counts().head(3).items())
        print(f"{len(outside.left_out):,} files or rows are left out ({told}): {out / 'left_out.csv'}")
    return bool(len(outside.left_out)) or any(reject.reason not in NO_IMAGES for reject in outside.rejects)


def _tell_bonds(splits: pd.Series[str], bonds: Sequence[Bond]) -> None:
    """Say of how many images lesion and patient are known: what nobody names cannot be seen to cross."""
    known = {"lesion_id": set[str](), "patient_id": set[str]()}
    for bond in bonds:
        known[bond.evidence].update(bond.ids.reindex(splits.index).dropna().index)
    told = (f"the {kind.removesuffix('_id')} of {len(names):,}" for kind, names in known.items())
    print(f"of {len(splits):,} images {' and '.join(told)} is named")


def _clear(out: Path) -> None:
    """Delete what an earlier run reported, and nothing else that may lie there."""
    for path in (*(out / name for name in REPORTS), *(out / "pictures").glob("*.png")):
        path.unlink(missing_ok=True)


def _rows(edges: pd.DataFrame, crossing: pd.DataFrame) -> NDArray[np.int64]:
    """Return the rows of `edges` that cross, in the order of `crossing`."""
    rows = {pair: row for row, pair in enumerate(zip(edges["a"], edges["b"], strict=True))}
    pairs = zip(crossing["a"], crossing["b"], strict=True)
    return np.array([rows[pair] for pair in pairs if pair in rows], dtype=np.int64)
