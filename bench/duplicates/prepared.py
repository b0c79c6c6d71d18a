"""What every finder receives: a collection, what our pipeline has read of it, and vectors where there are any."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from bench.duplicates.collection import Collection, Prints
from bench.duplicates.profile import Profile
from pipeline.core.shards import Pixels

PIECE = 256  # images encoded before they are saved

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Vectors:
    """Embeddings of a collection.

    matrix: (files, dimensions) float32, unit norm.
    encoder: what they were made by.
    """

    matrix: Array
    encoder: str


@dataclass(frozen=True)
class Prepared:
    """A collection, ready to be searched."""

    collection: Collection
    prints: Prints
    profile: Profile
    vectors: Vectors | None
    copies: int  # that were planted: told to finders that want to know how many to return


def embed(pixels: Pixels, digests: pd.Series[str], profile: Profile, *, weights: Path, cache: Path) -> Vectors:
    """Encode pictures, each content once in a lifetime of the cache.

    Args:
        pixels: of all pictures.
        digests: sha256 of their bytes.
        profile: says which network, and how exact.
        weights: a file of `fetch weights`.
        cache: a folder.

    """
    from pipeline.stages.embed.encoders import Spec  # noqa: PLC0415 - torch takes seconds
    from pipeline.stages.embed.encoding import encode  # noqa: PLC0415

    spec = replace(Spec.of(profile.embed, weights), layers=())  # no finder looks at layers
    with weights.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()[:12]
    encoder = f"{spec.library}-{spec.model}-{digest}-{spec.precision}-{spec.side_pixels or 'native'}"
    folder = cache / encoder
    folder.mkdir(parents=True, exist_ok=True)
    known = _read(folder)
    first = {content: i for i, content in enumerate(digests) if content not in known}
    missing = sorted(first.values())
    for start in tqdm(range(0, len(missing), PIECE), desc="embed", unit="piece", disable=None):
        rows = missing[start : start + PIECE]
        contents = digests.iloc[rows].tolist()
        found = encode(pixels.take(rows), spec, batch_size=profile.embed.batch_size).vectors
        buffer = io.BytesIO()
        np.savez(buffer, digests=np.array(contents), vectors=found)
        part = folder / f"{hashlib.sha256(''.join(contents).encode()).hexdigest()[:16]}.npz"
        partial = part.with_suffix(".partial")
        partial.write_bytes(buffer.getvalue())
        partial.replace(part)
        known.update(zip(contents, found, strict=True))
    return Vectors(np.stack([known[content] for content in digests]).astype(np.float32), encoder)


def _read(folder: Path) -> dict[str, Array]:
    known: dict[str, Array] = {}
    for part in folder.glob("*.npz"):
        with np.load(part) as arrays:
            known.update(zip(arrays["digests"].tolist(), arrays["vectors"], strict=True))
    return known
