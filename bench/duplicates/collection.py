"""A collection is what finders get: a folder of files whose names give nothing away. Its truth lies outside."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from bench.cache import code_digest, key_of, replacing
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
CHUNK = 256  # images encoded before they are saved


class File(NamedTuple):
    """What becomes a file of a collection: its content, and a name for the truth, a source id, or that and a kind."""

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
class Prepared:
    """What every finder receives: a collection as our own pipeline reads it, image by image in the order of its names.

    images, flags: columns of the tables Images and Fingerprints; rejected files are none of them.
    phash: (images, 256) uint8.
    copies: that were planted, for finders that want to know how many to return.
    vectors: (images, dimensions) float32, unit norm, if there are any; `encoder` names what they were made by.
    """

    collection: Collection
    profile: Profile
    store: Store
    images: pd.DataFrame
    flags: pd.Series[Any]
    phash: NDArray[np.uint8]
    pixels: Pixels
    copies: int = 0
    vectors: NDArray[np.float32] | None = None
    encoder: str | None = None


def write(root: Path, files: Iterable[File], *, count: int, seed: int) -> Collection:
    """Write `count` files under random numbers; the manifest comes last, so its existence means complete."""
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


def prepare(collection: Collection, profile: Profile) -> Prepared:
    """Ingest and fingerprint a collection as the pipeline does; once for the same code and params."""
    store = Store(collection.root / f"ours-{key_of([profile.limits, profile.fingerprint, code_digest(CODE)])}")
    if not (store.root / "data/fingerprint" / BATCH / Fingerprints.file_name()).exists():
        entries, engine = list_images(collection.images).entries, profile.dedup.engine
        pack(store, collection.images, entries, batch=BATCH, limits=profile.limits, engine=engine)
        fingerprint(store, profile.fingerprint, BATCH)
    images, flags = store.read(Images, BATCH), store.read(Fingerprints, BATCH)["flags"]
    phash = store.vectors(Fingerprints, "phash", BATCH)
    return Prepared(collection, profile, store, images, flags, phash, open_pixels(store, images))


def expect_whole(prepared: Prepared) -> None:
    """Make sure that every file was read.

    Raises:
        UserError: some were rejected.

    """
    names = prepared.collection.names
    lacking = sorted(set(names) - set(prepared.images["image_id"].str.removeprefix(f"{BATCH}:")))
    if lacking:
        raise UserError(f"{prepared.collection.images / lacking[0]} and {len(lacking) - 1} others are unreadable")


def embed(prepared: Prepared, weights: Path, cache: Path) -> Prepared:
    """Add vectors of the profile's encoder; each content is encoded once in a lifetime of the cache."""
    from pipeline.stages.embed.encoders import Spec  # noqa: PLC0415 - torch takes seconds
    from pipeline.stages.embed.encoding import encode  # noqa: PLC0415

    params, digests = prepared.profile.embed, prepared.images["stored_sha256"]
    spec = replace(Spec.of(params, weights), layers=())  # no finder looks at layers
    with weights.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()[:12]
    encoder = f"{spec.library}-{spec.model}-{digest}-{spec.precision}-{spec.side_pixels or 'native'}"
    known: dict[str, NDArray[np.float16]] = {}
    for part in (cache / "vectors" / encoder).glob("*.npz"):
        with np.load(part) as arrays:
            known.update(zip(arrays["digests"].tolist(), arrays["vectors"], strict=True))
    missing = sorted({content: i for i, content in enumerate(digests) if content not in known}.values())
    for start in tqdm(range(0, len(missing), CHUNK), desc="embed", unit="chunk", disable=None):
        rows = missing[start : start + CHUNK]
        contents = digests.iloc[rows].tolist()
        vectors = encode(prepared.pixels.take(rows), spec, batch_size=params.batch_size).vectors
        name = hashlib.sha256("".join(contents).encode()).hexdigest()[:16]
        with replacing(cache / "vectors" / encoder / f"{name}.npz") as file:
            np.savez(file, digests=np.array(contents), vectors=vectors)
        known.update(zip(contents, vectors, strict=True))
    matrix = np.stack([known[content] for content in digests]).astype(np.float32)
    return replace(prepared, vectors=matrix, encoder=encoder)
