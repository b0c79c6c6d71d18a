"""What the App shows of every image: what the stages wrote, joined into one row."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from pipeline.core.progress import track
from pipeline.core.shards import Pixels
from pipeline.core.store import Store
from pipeline.review.queues import Case
from pipeline.stages.dedup.tables import Duplicates, Groups
from pipeline.stages.embed.tables import read_embeddings
from pipeline.stages.ingest.tables import Images, open_pixels
from pipeline.stages.label_noise.tables import LabelScores
from pipeline.stages.rebalance.arms import STEWARD
from pipeline.stages.rebalance.tables import HEADLINE_ARM, Exclusions, Selection

LAYOUT = "3"  # of the fields below: another number builds the App's dataset anew
SCORES = ("suggested", "error_probability", "suspect", "ambiguous", "reason", "off_topic")
PROVENANCE = ("lesion_id", "age", "sex", "site", "skin_tone", "label_evidence", "licence", "attribution", "page")


@dataclass(frozen=True)
class Samples:
    """What the App shows.

    rows: one an image.
    positions: of the same images on a plane, (images, 2); None where nobody looks at the plane.
    pixels: of the same images.
    digest: of all that they were made from.
    """

    rows: pd.DataFrame
    positions: NDArray[np.float64] | None
    pixels: Pixels
    digest: str


def read_samples(store: Store, batches: list[str], encoder: str | None) -> Samples:
    """Read what the stages wrote about every image of the curated arm.

    Args:
        store: the project.
        batches: that params.yaml lists.
        encoder: the main one, whose vectors lay the images out on a plane; None: no plane.

    Raises:
        UserError: a table is missing.

    """
    images = store.read(Images, batches)
    rows = join_tables(
        images,
        store.read(Groups),
        store.read(Duplicates),
        store.read(LabelScores),
        selection=store.read(Selection, HEADLINE_ARM),
        exclusions=store.read(Exclusions, HEADLINE_ARM),
    )
    positions = None
    if encoder is not None:
        embeddings, vectors = read_embeddings(store, encoder, batches)
        positions = pd.DataFrame(plane(vectors), index=embeddings["image_id"]).loc[rows["image_id"]].to_numpy()
    digest = hashlib.sha256(LAYOUT.encode())
    for relative in sorted(store.reads):
        digest.update((store.root / relative).read_bytes())
    pixels = open_pixels(store, images.set_index("image_id").loc[rows["image_id"]].reset_index())
    return Samples(rows, positions, pixels, digest.hexdigest())


def of_cases(samples: Samples, cases: Sequence[Case], *, blind: bool) -> Samples:
    """Take the images that cases are about, a row a case in their order, with `place` and `other` of each.

    The digest is that of the cases as well.

    Args:
        samples: of all images.
        cases: in order.
        blind: leave out what would say that a steward took an image out.

    """
    position = {image: i for i, image in enumerate(samples.rows["image_id"])}
    taken = [position[case.image_id] for case in cases]
    rows = samples.rows.iloc[taken].reset_index(drop=True)
    rows["place"] = [case.place for case in cases]
    rows["other"] = [case.other or None for case in cases]
    if blind:
        rows["excluded"] = rows["excluded"].where(~rows["excluded"].str.startswith(f"{STEWARD}:", na=False), None)
    digest = hashlib.sha256(repr((samples.digest, cases, blind)).encode()).hexdigest()
    positions = None if samples.positions is None else samples.positions[taken]
    return Samples(rows, positions, samples.pixels.take(taken), digest)


def join_tables(
    images: pd.DataFrame,
    groups: pd.DataFrame,
    duplicates: pd.DataFrame,
    scores: pd.DataFrame,
    *,
    selection: pd.DataFrame,
    exclusions: pd.DataFrame,
) -> pd.DataFrame:
    """Join all tables by image, sorted by image_id; what an image lacks is missing.

    Beyond the tables' own columns: `copies` names the kept image of a set of copies (on it and on its copies),
    `related` lists the other ends of its edges with their relation, `excluded` says why it is out of the curated arm.
    """
    rows = images[["image_id", "sha256", "stored_sha256", "diagnosis", *PROVENANCE]]
    rows = rows.merge(groups, on="image_id", validate="one_to_one")
    rows = rows.merge(scores[["image_id", *SCORES]], on="image_id", how="left", validate="one_to_one")
    for name in ("suspect", "ambiguous"):
        rows[name] = rows[name].eq(True)  # missing where an image has no score
    kept = set(groups["duplicate_of"].dropna())
    rows["copies"] = rows["duplicate_of"].where(~rows["image_id"].isin(kept), rows["image_id"])
    ends = pd.concat([duplicates, duplicates.rename(columns={"a": "b", "b": "a"})])
    related = (ends["relation"] + " of " + ends["b"]).groupby(ends["a"]).agg(sorted)
    rows["related"] = [related.get(image, []) for image in rows["image_id"]]
    final = selection.set_index("image_id")
    for name in ("split", "group_id"):  # after the stewards' pair verdicts
        rows[name] = rows["image_id"].map(final[name]).fillna(rows[name])
    reasons = exclusions.set_index("image_id")
    rows["excluded"] = rows["image_id"].map(reasons["reason"] + ": " + reasons["detail"])
    return rows.sort_values("image_id").reset_index(drop=True)


def plane(vectors: NDArray[np.floating]) -> NDArray[np.float64]:
    """Project vectors on their first two principal components: (rows, 2), the same signs on every run."""
    centred = vectors - vectors.mean(axis=0)
    _, axes = np.linalg.eigh(centred.T @ centred)  # by rising variance
    first = axes[:, [-1, -2]]
    signs = np.sign(first[np.abs(first).argmax(axis=0), [0, 1]])
    return np.asarray(centred @ (first * signs), dtype=np.float64)


def export(samples: Samples, folder: Path) -> list[Path]:
    """Write every image's stored bytes to a file of its own, which the App needs; return the paths in row order.

    Files are named by content, so a new build writes only what is new; other files are deleted. The folder is for the
    owner's eyes.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    present = {path.stem: path for path in folder.iterdir() if path.suffix != ".partial"}
    paths = []
    for i, digest in enumerate(track(samples.rows["stored_sha256"], "write pictures", unit="images")):
        if digest not in present:
            content = samples.pixels.read(i)
            with Image.open(io.BytesIO(content)) as image:  # the App goes by the extension
                present[digest] = folder / f"{digest}.{str(image.format).lower()}"
            temporary = folder / f"{digest}.partial"
            temporary.write_bytes(content)
            temporary.replace(present[digest])
        paths.append(present[digest])
    for other in set(folder.iterdir()) - set(paths):
        other.unlink()
    return paths
