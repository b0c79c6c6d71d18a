"""Real images of other things among images of skin, and beside them drawn ones and SelfClean's XR and BLUR protocols.

They lie in a folder a kind, with a SOURCES.csv. Half of them are what the product's reference is made of and
what constants were chosen on; the figures are of the other half: of each source with ten images or more every second
one, and all of the smaller ones, so that some sources were never seen.
"""

from __future__ import annotations

import argparse
import pickle
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
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
from bench.label_noise.stray_images import KINDS, blurred
from bench.measures import Ranking
from bench.parts import named, take_part
from pipeline.core.errors import UserError
from pipeline.core.shards import Pixels
from pipeline.core.store import Store
from pipeline.profiles import read_either
from pipeline.stages.embed.params import EmbedParams
from pipeline.stages.embed.tables import of_network, read_embeddings
from pipeline.stages.ingest.tables import Images, open_pixels
from pipeline.stages.label_noise.off_topic_reference import REFERENCES, Reference, pack
from pipeline.stages.label_noise.outliers import score_beside
from pipeline.stages.label_noise.params import LabelNoiseParams

IMAGES = 1000  # of skin, one a lesion
SHARES = (0.01, 0.05)
SIZES = {20: 300, 50: 200, 100: 100, 300: 30, 1000: 10}  # images of a set without a stray: how many such sets
CLUSTER = 40  # equal images
CLUSTER_SETS = (200, 300, 1000)  # images of the whole set
SMALL_SOURCE = 10  # images; all of a smaller source are reported
DRAWN = 25  # images of a drawn kind
JPEG_QUALITY = 90
BLUR = "BLUR"
KINDS_THAT_COUNT = ("01", "02", "05", "06", "07", "08", "10", "11")  # of the folder; the others are stated apart

Vectors = NDArray[np.float32]


class StrayImages(NamedTuple):
    """Images of other things.

    kind: (n,) the folder of each.
    reported: (n,) of the half that figures are of.
    vectors: (n, d) by the encoder.
    """

    kind: NDArray[np.str_]
    reported: NDArray[np.bool_]
    vectors: Vectors

    @property
    def counted(self) -> NDArray[np.bool_]:
        """Which are of the half that is reported, and of a kind that counts, (n,)."""
        return self.reported & np.isin(np.array([kind[:2] for kind in self.kind]), KINDS_THAT_COUNT)


def run(options: argparse.Namespace, params: LabelNoiseParams) -> tuple[dict[str, Any], str]:
    """Measure average precision, what the policy leaves out and what a person is shown, by kind, share and size of set.

    Raises:
        UserError: no weights or no images are named, an image that is left out is none of the batch's, or no
            reference is known for the encoder.

    """
    strays = _read_stray_images(options)
    encoder, ids, skin = _read_skin(options, params.encoders[0])
    others = REFERENCES.get(of_network(encoder))
    if others is None:
        raise UserError(f"no reference is known for {encoder}: see `python -m bench.label_noise off-topic-reference`")
    measure = Measure(skin, others, params, options.seeds)
    count = np.flatnonzero(strays.counted)
    figures = {f"eight kinds, {share:.0%}": measure.planted(strays.vectors[count], share) for share in SHARES} | {
        f"{kind}, 1%": measure.planted(strays.vectors[strays.reported & (strays.kind == kind)], SHARES[0])
        for kind in tqdm(np.unique(strays.kind), desc="kinds", disable=None)
    }
    figures |= {f"{kind}, drawn, 5%": measure.planted(v, SHARES[1]) for kind, v in _drawn(options, ids).items()}
    figures |= {f"no stray, {size} images": measure.sound(size, sets) for size, sets in SIZES.items()}
    figures |= {
        f"forty times one picture among {size}": measure.cluster(strays.vectors[count], size) for size in CLUSTER_SETS
    }
    names = list(dict.fromkeys(name for of in figures.values() for name in of))
    rows = [[key, *[of.get(name, "") for name in names]] for key, of in figures.items()]
    report = {
        named([options.batch], options.lesions): figures
        | {"images": len(skin), "half": options.half, "left_out": sorted(options.leave_out)}
    }
    return report, markdown(["strays", *names], rows)


def refer(options: argparse.Namespace, params: LabelNoiseParams) -> tuple[dict[str, Any], str]:
    """Print the reference of an encoder, of the half of the images that is not reported."""
    del params
    strays = _read_stray_images(options)
    return {}, pack(strays.vectors[~strays.reported])


class Measure(NamedTuple):
    """Measures `score_beside` on sets drawn of images of skin.

    skin: (n, d) vectors of all of them.
    others: the product's reference.
    params: with the probabilities from which a person looks and the policy acts.
    seeds: of the drawing.
    """

    skin: Vectors
    others: Reference
    params: LabelNoiseParams
    seeds: Sequence[int]

    def planted(self, strays: Vectors, share: float) -> dict[str, float]:
        """Plant strays at a share, and measure the ranking and who is left out or queued: means over seeds."""
        found = []
        for seed in self.seeds:
            rng = np.random.default_rng([seed, 5])
            chosen = rng.permutation(len(self.skin))[:IMAGES]
            count = min(max(1, round(len(chosen) * share / (1 - share))), len(strays))
            planted = strays[rng.choice(len(strays), count, replace=False)]
            stray = np.arange(len(chosen) + count) >= len(chosen)
            probability = self._score(np.concatenate([self.skin[chosen], planted]))
            precision = Ranking(probability, stray).average_precision()
            found.append([precision, *self._acted(probability[stray]), *self._acted(probability[~stray])])
        mean = np.mean(found, axis=0)
        names = ("average_precision", "left_out", "queued_or_left_out", "sound_left_out", "sound_queued_or_left_out")
        lowest = min(of[0] for of in found)
        return {name: round(float(v), 5) for name, v in zip(names, mean, strict=True)} | {"lowest": round(lowest, 4)}

    def sound(self, size: int, sets: int) -> dict[str, float]:
        """Say which share of sound images is left out or queued in sets of a size, and of how many sets any."""
        found = []
        for seed in range(sets):
            chosen = np.random.default_rng([seed, 6]).permutation(len(self.skin))[:size]
            probability = self._score(self.skin[chosen])
            any_out = float(probability.max() >= self.params.exclude_min_off_topic)
            found.append([*self._acted(probability), any_out])
        names = ("sound_left_out", "sound_queued_or_left_out", "sets_that_lose_one")
        return {name: round(float(v), 5) for name, v in zip(names, np.mean(found, axis=0), strict=True)}

    def cluster(self, strays: Vectors, size: int) -> dict[str, float]:
        """Plant one image forty times, and say in how many sets all forty are left out."""
        found = []
        for seed in self.seeds:
            rng = np.random.default_rng([seed, 7])
            chosen = rng.permutation(len(self.skin))[: size - CLUSTER]
            planted = np.repeat(strays[rng.choice(len(strays), 1)], CLUSTER, axis=0)
            probability = self._score(np.concatenate([self.skin[chosen], planted]))
            found.append([*self._acted(probability[-CLUSTER:]), self._acted(probability[:-CLUSTER])[0]])
        names = ("left_out", "queued_or_left_out", "sound_left_out")
        return {name: round(float(v), 5) for name, v in zip(names, np.mean(found, axis=0), strict=True)}

    def _score(self, vectors: Vectors) -> NDArray[np.float64]:
        return score_beside(vectors, np.ones(len(vectors), bool), self.others)

    def _acted(self, probability: NDArray[np.float64]) -> tuple[float, float]:
        """Return which share of images is left out, and which is left out or queued."""
        bounds = (self.params.exclude_min_off_topic, self.params.min_off_topic)
        return float((probability >= bounds[0]).mean()), float((probability >= bounds[1]).mean())


def reported_half(sources: pd.DataFrame) -> NDArray[np.bool_]:
    """Say which images are reported, (n,): every second of a source, and all of a source with few.

    Args:
        sources: the table SOURCES.csv, sorted by file.

    """
    lots = list(zip(sources["kind"], sources["repository"], strict=True))
    sizes, seen, reported = Counter(lots), Counter[tuple[str, str]](), []
    for lot in lots:
        reported.append(sizes[lot] < SMALL_SOURCE or seen[lot] % 2 == 1)
        seen[lot] += 1
    return np.array(reported)


def _read_stray_images(options: argparse.Namespace) -> StrayImages:
    if options.weights is None or options.stray_images is None:
        raise UserError("strays must be encoded: say --weights FILE, of the batch's encoder, and --stray-images FOLDER")
    sources = pd.read_csv(options.stray_images / "SOURCES.csv").sort_values("file")
    sizes = [(options.stray_images / file).stat().st_size for file in sources["file"]]
    pixels = Pixels(options.stray_images, sources["file"].tolist(), np.zeros(len(sizes), np.int64), np.array(sizes))
    embed = _embed(options)
    given = [embed.encoder, embed.precision, sources["file"].tolist(), sizes]
    vectors = _kept(options, given, lambda: _encode(pixels, options.weights, embed))
    return StrayImages(sources["kind"].to_numpy(str), reported_half(sources), vectors)


def _read_skin(options: argparse.Namespace, encoder: str) -> tuple[str, list[str], Vectors]:
    """Read the encoder's id, and the ids and vectors of one image a lesion; of half of them by name if so asked."""
    store = Store(options.project)
    table, vectors = read_embeddings(store, encoder, [options.batch])
    images = store.read(Images, [options.batch]).sort_values("image_id")
    unknown = sorted(set(options.leave_out) - set(images["image_id"]))
    if unknown:
        raise UserError(f"--leave-out {unknown[0]}: {options.batch} holds no such image")
    images = images[~images["image_id"].isin(options.leave_out)]
    images = take_part(images, options.lesions)
    images = images[~images["lesion_id"].fillna(images["image_id"]).duplicated()]
    place, size = (images.groupby("diagnosis")["image_id"].transform(how) for how in ("rank", "size"))
    keep = {"both": place > 0, "first": place <= size // 2, "second": place > size // 2}[options.half]
    ids = images.loc[keep, "image_id"].tolist()
    return str(table["encoder"].iloc[0]), ids, vectors[pd.Index(table["image_id"]).get_indexer(pd.Index(ids))]


def _drawn(options: argparse.Namespace, ids: Sequence[str]) -> dict[str, Vectors]:
    """Draw and encode strays of each drawn kind, and spoil images of skin; encoded ones are kept."""
    embed = _embed(options)

    def draw_all() -> dict[str, Vectors]:
        rng = np.random.default_rng(6)
        return {
            kind: encode_images([draw(rng) for _ in range(DRAWN)], options.weights, embed)
            for kind, draw in KINDS.items()
        }

    def spoil() -> Vectors:
        rng, store = np.random.default_rng(7), Store(options.project)
        images = store.read(Images, [options.batch]).set_index("image_id", drop=False)
        chosen = rng.choice(np.array(ids, dtype=object), DRAWN, replace=False).tolist()
        pixels = open_pixels(store, images.loc[chosen])
        spoilt = [blurred(Image.fromarray(pixels[i]), rng) for i in range(len(pixels))]
        return encode_images(spoilt, options.weights, embed)

    given = [embed.encoder, embed.precision, DRAWN, code_digest(["bench.label_noise.stray_images"])]
    drawn: dict[str, Vectors] = _kept(options, given, draw_all)
    return drawn | {BLUR: _kept(options, [*given, options.batch, options.half, options.lesions], spoil)}


def _embed(options: argparse.Namespace) -> EmbedParams:
    return section(read_either(options.profile), "embed", EmbedParams)


def _kept(options: argparse.Namespace, given: Sequence[object], make: Callable[[], Any]) -> Any:  # noqa: ANN401
    """Make what follows from what is given, unless it was kept."""
    path = options.cache / f"strays {key_of(given)}.pkl"
    if not path.exists():
        made = make()
        with replacing(path) as file:
            pickle.dump(made, file)
    return pickle.loads(path.read_bytes())  # noqa: S301 - our own file


def encode_images(images: list[Image.Image], weights: Path, embed: EmbedParams) -> Vectors:
    """Encode drawn images as `embed` would, by the profile's encoder."""
    contents = [jpeg(np.asarray(image), JPEG_QUALITY) for image in images]
    sizes = np.array([len(content) for content in contents])
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "strays").write_bytes(b"".join(contents))
        pixels = Pixels(Path(folder), ["strays"] * len(contents), np.cumsum(sizes) - sizes, sizes)
        return _encode(pixels, weights, embed)


def _encode(pixels: Pixels, weights: Path, embed: EmbedParams) -> Vectors:
    from pipeline.stages.embed.encoders import Spec  # noqa: PLC0415 - torch takes seconds
    from pipeline.stages.embed.encoding import encode  # noqa: PLC0415

    return encode(pixels, Spec.of(embed, weights), batch_size=embed.batch_size).vectors
