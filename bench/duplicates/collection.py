"""A collection is what finders get: a folder of files whose names give nothing away. Its truth lies outside."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from bench.duplicates.cache import code_digest, key_of
from bench.duplicates.profile import Profile
from pipeline.commands.audit_split.folder import list_images, pack
from pipeline.core.errors import UserError
from pipeline.core.shards import Pixels
from pipeline.core.store import Store
from pipeline.stages.fingerprint.stage import run as fingerprint
from pipeline.stages.fingerprint.tables import Fingerprints
from pipeline.stages.ingest.formats import sniff
from pipeline.stages.ingest.normalise import EXTENSIONS
from pipeline.stages.ingest.tables import Images, open_pixels

BATCH = "bench"
CODE = ("pipeline.core", "pipeline.stages.ingest", "pipeline.stages.fingerprint", "pipeline.commands.audit_split")

Array = np.ndarray[Any, Any]


class File(NamedTuple):
    """What becomes a file of a collection.

    label: names it for the truth: a source id, or that and a kind.
    """

    label: str
    content: bytes


@dataclass(frozen=True)
class Collection:
    """A folder of files.

    root: holds images/ and what is computed from them.
    labels: of the files, in the order of their names.
    """

    root: Path
    labels: tuple[str, ...]

    @property
    def images(self) -> Path:
        """The folder that finders are given."""
        return self.root / "images"

    @cached_property
    def names(self) -> list[str]:
        """File names, sorted: a file's position in it is its number."""
        return sorted(path.name for path in self.images.iterdir())

    @cached_property
    def digest(self) -> str:
        """Of names and contents: what was found in them holds for the same digest."""
        digest = hashlib.sha256()
        for name in self.names:
            digest.update(name.encode() + hashlib.sha256((self.images / name).read_bytes()).digest())
        return digest.hexdigest()[:16]


@dataclass(frozen=True)
class Prints:
    """What our own pipeline reads of a collection, in the order of its names; rejected files are none of them.

    numbers: of the files, by row.
    """

    store: Store
    images: pd.DataFrame
    flags: pd.Series[Any]
    phash: Array
    pixels: Pixels
    numbers: Array


def write(root: Path, files: Iterable[File], *, count: int, seed: int) -> Collection:
    """Write files under random numbers; the manifest comes last, so its existence means complete.

    Args:
        root: of the collection.
        files: as many as `count` says.
        count: of files.
        seed: of their names.

    """
    manifest = root / "manifest.json"
    if not manifest.exists():
        (root / "images").mkdir(parents=True, exist_ok=True)
        for stale in (root / "images").iterdir():
            stale.unlink()
        labels = {}
        for number, file in zip(np.random.default_rng([seed, 1]).permutation(count), files, strict=True):
            name = f"{number:06d}.{EXTENSIONS[sniff(file.content)]}"
            (root / "images" / name).write_bytes(file.content)
            labels[name] = file.label
        manifest.write_text(json.dumps(dict(sorted(labels.items())), indent=0), "utf-8")
    return Collection(root, tuple(json.loads(manifest.read_text("utf-8")).values()))


def fingerprints(collection: Collection, profile: Profile) -> Prints:
    """Ingest and fingerprint a collection as the pipeline does; once for the same code and params."""
    store = Store(collection.root / f"ours-{key_of([profile.limits, profile.fingerprint, code_digest(CODE)])}")
    if not (store.root / "data/fingerprint" / BATCH / Fingerprints.file_name()).exists():
        entries, engine = list_images(collection.images).entries, profile.dedup.engine
        pack(store, collection.images, entries, batch=BATCH, limits=profile.limits, engine=engine)
        fingerprint(store, profile.fingerprint, BATCH)
    images, prints = store.read(Images, BATCH), store.read(Fingerprints, BATCH)
    number = {f"{BATCH}:{name}": i for i, name in enumerate(collection.names)}
    return Prints(
        store,
        images,
        prints["flags"],
        store.vectors(Fingerprints, "phash", BATCH),
        open_pixels(store, images),
        images["image_id"].map(number).to_numpy(dtype=np.int64),
    )


def expect_whole(collection: Collection, prints: Prints) -> None:
    """Make sure that every file was read.

    Raises:
        UserError: some were rejected.

    """
    lacking = sorted(set(range(len(collection.names))) - set(prints.numbers.tolist()))
    if lacking:
        raise UserError(
            f"{collection.images / collection.names[lacking[0]]} and {len(lacking) - 1} others are unreadable"
        )
