"""Peers in their own environments: `peers.py NAME IMAGES OUT` writes a csv a, b, score, and imports nothing of ours."""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterable, Iterator
from itertools import combinations
from pathlib import Path

MAX_DISTANCE_BITS = 20  # of imagededup's 64: beyond, pairs of dermoscopy are too many to list

Pair = tuple[str, str, float]


def imagededup(options: argparse.Namespace) -> Iterable[Pair]:
    """Pairs within 20 of 64 bits of its PHash (it returns those within 10 unless told otherwise)."""
    from imagededup.methods import PHash  # noqa: PLC0415 - each peer lives in an environment of its own

    listed = PHash(verbose=False).find_duplicates(
        image_dir=options.images, max_distance_threshold=MAX_DISTANCE_BITS, scores=True, num_enc_workers=0
    )
    pairs = {(min(a, b), max(a, b)): distance for a, others in listed.items() for b, distance in others}
    best = sorted(pairs.items(), key=lambda item: (item[1], item[0]))[: options.limit]
    return [(a, b, -distance) for (a, b), distance in best]


def cleanvision(options: argparse.Namespace) -> Iterable[Pair]:
    """Its defaults: sets of equal pixels (score 2) and of equal 64-bit pHashes (score 1)."""
    from cleanvision import Imagelab  # noqa: PLC0415

    lab = Imagelab(data_path=str(options.images))
    lab.find_issues({"exact_duplicates": {}, "near_duplicates": {}}, n_jobs=1, verbose=False)
    pairs: dict[tuple[str, str], int] = {}
    for score, issue in ((1, "near_duplicates"), (2, "exact_duplicates")):
        for group in lab.info[issue]["sets"]:
            pairs |= dict.fromkeys(combinations(sorted(Path(path).name for path in group), 2), score)
    return [(a, b, score) for (a, b), score in pairs.items()]


def selfclean(options: argparse.Namespace) -> Iterator[Pair]:
    """Its near-duplicate ranking, on vectors that it is given (its own would be trained on the images first)."""
    import numpy as np  # noqa: PLC0415
    from selfclean.cleaner.selfclean_cleaner import SelfCleanCleaner  # noqa: PLC0415

    names = sorted(path.name for path in options.images.iterdir())
    cleaner = SelfCleanCleaner(memmap=False, log_level="ERROR")
    cleaner.fit(emb_space=np.load(options.vectors))
    distances, pairs = cleaner.get_near_duplicate_ranking()
    for distance, (a, b) in zip(distances[: options.limit], pairs[: options.limit], strict=True):
        yield names[a], names[b], -float(distance)


def fiftyone_brain(options: argparse.Namespace) -> Iterator[Pair]:
    """FiftyOne Brain's near duplicates, on vectors that it is given.

    It returns each duplicate with the nearest image that it keeps. No threshold is known for such images, so it is told
    how many copies there are and looks for that many: a favour.
    """
    import fiftyone as fo  # noqa: PLC0415
    import fiftyone.brain as fob  # noqa: PLC0415
    import numpy as np  # noqa: PLC0415

    paths = sorted(options.images.iterdir())
    dataset = fo.Dataset()
    ids = dataset.add_samples([fo.Sample(filepath=str(path)) for path in paths], progress=False)
    name = {image: path.name for image, path in zip(ids, paths, strict=True)}
    index = fob.compute_similarity(dataset, backend="sklearn", embeddings=np.load(options.vectors), progress=False)
    index.find_duplicates(fraction=options.copies / len(paths))
    for kept, copies in index.neighbors_map.items():
        yield from ((name[kept], name[copy], -float(distance)) for copy, distance in copies)


PEERS = {peer.__name__: peer for peer in (imagededup, cleanvision, selfclean, fiftyone_brain)}


def main() -> None:
    """Write a, b, score."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=PEERS)
    parser.add_argument("images", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--copies", type=int)
    parser.add_argument("--vectors", type=Path)
    options = parser.parse_args()
    with options.out.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["a", "b", "score"])
        writer.writerows(PEERS[options.name](options))


if __name__ == "__main__":
    main()
