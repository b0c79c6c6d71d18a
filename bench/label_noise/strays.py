"""Images that are no skin among such as are: SelfClean's XR and BLUR protocols, photographs, charts and slides."""

from __future__ import annotations

import argparse
import pickle
import tempfile
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from bench.cache import code_digest, key_of, replacing
from bench.command import markdown, section
from bench.duplicates.kinds.canvas import jpeg
from bench.label_noise.collection import Collection, read_collection
from bench.label_noise.stray_images import KINDS, blurred
from bench.measures import Ranking
from pipeline.core.errors import UserError
from pipeline.core.shards import Pixels
from pipeline.core.store import Store
from pipeline.profiles import read_either
from pipeline.stages.embed.params import EmbedParams
from pipeline.stages.embed.tables import Features, lay_out, read_layers
from pipeline.stages.ingest.tables import Images, open_pixels
from pipeline.stages.label_noise.dataset import further_views
from pipeline.stages.label_noise.outliers import score_off_topic
from pipeline.stages.label_noise.params import LabelNoiseParams

IMAGES = 400  # of skin, one a lesion
SHARES = (0.05, 0.1)
MOST = 45  # strays of a kind: a tenth of the whole
JPEG_QUALITY = 90
BLUR, MIXED = "BLUR", "all kinds"


class Shown(NamedTuple):
    """What an encoder makes of images, row by row: as `encoders.Encoded`, which takes torch to import."""

    vectors: NDArray[np.float32]
    layers: Features


def run(options: argparse.Namespace, params: LabelNoiseParams) -> tuple[dict[str, Any], str]:
    """Measure the ranking of `score_off_topic` for each kind of stray and share, the mean over seeds.

    An image of the batch that is no skin itself would count as a false alarm where it rightly ranks first, so those
    that somebody has looked at are left out.

    Raises:
        UserError: no weights are named, or an image that is left out is none of the batch's.

    """
    if options.weights is None:
        raise UserError("strays must be encoded: say --weights FILE, those of the batch's encoder")
    collection = read_collection(options.project, options.batch, params.encoders)
    layers = _layers(options, collection, params.encoders[0])
    unknown = sorted(set(options.leave_out) - set(collection.labelled.image_id))
    if unknown:
        raise UserError(f"--leave-out {unknown[0]}: {options.batch} holds no such image")
    figures: dict[str, list[float]] = {}
    for seed in tqdm(options.seeds, desc="seeds", disable=None):
        rng = np.random.default_rng([seed, 5])
        skin = rng.permutation(np.unique(collection.labelled.lesion, return_index=True)[1])
        skin = skin[~np.isin(collection.labelled.image_id[skin], options.leave_out)]
        pool = _pool(options, collection, skin[IMAGES : IMAGES + MOST], seed=seed)
        shown = Shown(collection.labelled.vectors[skin[:IMAGES]], layers[skin[:IMAGES]])
        pool[MIXED] = join(*[first(strays, MOST // len(pool)) for strays in pool.values()])
        for (kind, strays), share in product(pool.items(), SHARES):
            count = min(round(IMAGES * share / (1 - share)), len(strays.vectors))
            score = score_among(collection, shown, first(strays, count))
            stray = np.arange(len(score)) >= IMAGES
            figures.setdefault(f"{kind}, {share:.0%}", []).append(Ranking(score, stray).average_precision())
    report = {
        name: {"average_precision": round(float(np.mean(of)), 4), "lowest": round(min(of), 4)}
        for name, of in figures.items()
    }
    rows = [[name, f"{of['average_precision']:.3f}", f"{of['lowest']:.3f}"] for name, of in report.items()]
    text = markdown(["strays", "average precision", "lowest of the seeds"], rows)
    return {options.batch: report | {"left_out": sorted(options.leave_out)}}, text


def score_among(collection: Collection, skin: Shown, strays: Shown) -> NDArray[np.floating]:
    """Score images of skin and, behind them, strays with labels that do not matter: all are train."""
    both = join(skin, strays)
    each = np.arange(len(both.vectors))
    rows = pd.DataFrame({"image_id": each})
    names = [str(layer) for layer in range(len(collection.labelled.layers))]
    described = lay_out(rows, both.layers, layers=names, widths=[both.layers.shape[1] // len(names) for _ in names])
    labelled = replace(
        collection.labelled,
        vectors=both.vectors,
        layers=further_views(described, rows["image_id"]),
        group=each,
        reference=np.ones(len(each), bool),
    )
    return score_off_topic(labelled)


def join(*parts: Shown) -> Shown:
    """Put what an encoder made of several lots one behind another."""
    layers: list[NDArray[Any]] = [part.layers for part in parts]
    return Shown(np.concatenate([part.vectors for part in parts]), np.concatenate(layers))


def first(encoded: Shown, count: int) -> Shown:
    """Keep the first images."""
    return Shown(encoded.vectors[:count], encoded.layers[:count])


def _layers(options: argparse.Namespace, collection: Collection, encoder: str) -> Features:
    """Read what the encoder's layers show of each image, as `embed` wrote it."""
    table, found = read_layers(Store(options.project), encoder, [options.batch])
    if table.empty:
        return np.zeros((len(collection.truth), 0), np.float16)
    return np.asarray(found[pd.Index(table["image_id"]).get_indexer(pd.Index(collection.labelled.image_id))])


def _pool(
    options: argparse.Namespace, collection: Collection, spare: NDArray[np.int64], *, seed: int
) -> dict[str, Shown]:
    """Draw and encode strays of each kind; encoded ones are kept."""
    embed = section(read_either(options.profile), "embed", EmbedParams)
    code = code_digest(["bench.label_noise.stray_images"])
    given = [options.batch, seed, embed.encoder, embed.precision, code]
    path = options.cache / f"strays {key_of(given)}.pkl"
    if not path.exists():
        rng = np.random.default_rng([seed, 6])
        store = Store(options.project)
        images = store.read(Images, [options.batch]).set_index("image_id", drop=False)
        pixels = open_pixels(store, images.loc[collection.labelled.image_id[spare].tolist()])
        drawn = {kind: [draw(rng) for _ in range(MOST)] for kind, draw in KINDS.items()}
        drawn[BLUR] = [blurred(Image.fromarray(pixels[i]), rng) for i in range(len(pixels))]
        encoded = {kind: encode_images(images, options.weights, embed) for kind, images in drawn.items()}
        with replacing(path) as file:
            pickle.dump(encoded, file)
    return dict(pickle.loads(path.read_bytes()))  # noqa: S301 - our own file


def encode_images(images: list[Image.Image], weights: Path, embed: EmbedParams) -> Shown:
    """Encode images as `embed` would, by the profile's encoder."""
    from pipeline.stages.embed.encoders import Spec  # noqa: PLC0415 - torch takes seconds
    from pipeline.stages.embed.encoding import encode  # noqa: PLC0415

    contents = [jpeg(np.asarray(image), JPEG_QUALITY) for image in images]
    sizes = np.array([len(content) for content in contents])
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "strays").write_bytes(b"".join(contents))
        pixels = Pixels(Path(folder), ["strays"] * len(contents), np.cumsum(sizes) - sizes, sizes)
        return Shown(*encode(pixels, Spec.of(embed, weights), batch_size=embed.batch_size)[:2])
