"""Pictures that are no skin among such as are: SelfClean's XR and BLUR protocols, photographs, charts and slides."""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from bench.duplicates.cache import code_digest, key_of
from bench.duplicates.profile import read_profile
from bench.label_noise.collection import Collection, read_collection
from bench.label_noise.measures import Ranking
from bench.label_noise.pictures import KINDS, blurred, encode_jpeg
from pipeline.core.errors import UserError
from pipeline.core.shards import Pixels
from pipeline.core.store import Store
from pipeline.ingest.tables import Images
from pipeline.label_noise.neighbours import radius_in_train
from pipeline.label_noise.off_topic import off_topic
from pipeline.label_noise.params import LabelNoiseParams

Array = np.ndarray[Any, Any]

IMAGES = 400  # of skin, one a lesion
SHARES = (0.05, 0.1)
MOST = 45  # strays of a kind: a tenth of the whole
BLUR, MIXED = "BLUR", "all kinds"


def run(options: argparse.Namespace, params: LabelNoiseParams) -> tuple[dict[str, Any], str]:
    """Measure the ranking of `off_topic` for each kind of stray and share, the mean over seeds.

    Raises:
        UserError: no weights are named.

    """
    if options.weights is None:
        raise UserError("strays must be encoded: say --weights FILE, those of the batch's encoder")
    collection = read_collection(options.project, options.batch)
    figures: dict[str, list[float]] = {}
    for seed in tqdm(options.seeds, desc="seeds", disable=None):
        rng = np.random.default_rng([seed, 5])
        skin = rng.permutation(np.unique(collection.labelled.lesion, return_index=True)[1])
        pool = _pool(options, collection, skin[IMAGES : IMAGES + MOST], seed=seed)
        pool[MIXED] = np.concatenate([vectors[: MOST // len(pool)] for vectors in pool.values()])
        for (kind, vectors), share in product(pool.items(), SHARES):
            count = min(round(IMAGES * share / (1 - share)), len(vectors))
            score = score_among(collection, skin[:IMAGES], vectors[:count], share=params.off_topic_share)
            stray = np.arange(len(score)) >= IMAGES
            figures.setdefault(f"{kind}, {share:.0%}", []).append(Ranking(score, stray).average_precision())
    found = {
        name: {"average_precision": round(float(np.mean(of)), 4), "lowest": round(min(of), 4)}
        for name, of in figures.items()
    }
    lines = ["| strays | average precision | lowest of the seeds |", "|---|---|---|"]
    lines += [f"| {name} | {of['average_precision']:.3f} | {of['lowest']:.3f} |" for name, of in found.items()]
    return {options.batch: found}, "\n".join(lines)


def score_among(collection: Collection, skin: Array, strays: Array, *, share: float) -> Array:
    """Score images of skin and, behind them, strays with labels that do not matter: all are train."""
    clean, count = collection.labelled, len(skin) + len(strays)
    each = np.arange(count)
    labelled = replace(
        clean,
        vectors=np.concatenate([clean.vectors[skin], strays]),
        group=each,
        voter=np.ones(count, bool),
    )
    radius = radius_in_train(labelled, share)
    return off_topic(radius, radius)


def _pool(options: argparse.Namespace, collection: Collection, spare: Array, *, seed: int) -> dict[str, Array]:
    """Draw and encode strays of each kind; encoded ones are kept."""
    path = options.cache / f"strays {key_of([options.batch, seed, code_digest(['bench.label_noise.pictures'])])}.npz"
    if not path.exists():
        rng = np.random.default_rng([seed, 6])
        store = Store(options.project)
        images = store.read(Images, [options.batch]).set_index("image_id", drop=False)
        pixels = store.pixels(images.loc[collection.labelled.image_id[spare]])
        drawn = {kind: [draw(rng) for _ in range(MOST)] for kind, draw in KINDS.items()}
        drawn[BLUR] = [blurred(Image.fromarray(pixels[i]), rng) for i in range(len(pixels))]
        found = {kind: encode_pictures(pictures, options.weights, options.profile) for kind, pictures in drawn.items()}
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, **found)  # type: ignore[arg-type]
    with np.load(path) as arrays:
        return {kind: arrays[kind] for kind in arrays.files}


def encode_pictures(pictures: list[Image.Image], weights: Path, profile: Path) -> Array:
    """Encode pictures as `embed` would, by the profile's encoder."""
    from pipeline.embed.encoders import Spec, encode  # noqa: PLC0415 - torch takes seconds

    embed = read_profile(profile).embed
    chosen = embed.encoder
    spec = Spec(chosen.library, chosen.model, weights, embed.precision, embed.device, chosen.side_pixels)
    contents = [encode_jpeg(picture) for picture in pictures]
    sizes = np.array([len(content) for content in contents])
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "strays").write_bytes(b"".join(contents))
        pixels = Pixels(Path(folder), ["strays"] * len(contents), np.cumsum(sizes) - sizes, sizes)
        return encode(pixels, spec, batch_size=embed.batch_size).vectors
