"""Fingerprint files with one tool, list after list as they come on standard input, and say what each list cost.

A script that runs in the tool's own environment: `worker.py TOOL`. Of ours it imports only what it measures.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

Fingerprint = Callable[[Sequence[Path]], object]


def ours() -> Fingerprint:
    """All of the stage's work on an image: decoding, pHash in 8 orientations, all quality scores."""
    import cv2  # noqa: PLC0415 - each tool lives in an environment of its own
    import numpy as np  # noqa: PLC0415
    import yaml  # noqa: PLC0415

    from pipeline.core.shards import Pixels  # noqa: PLC0415
    from pipeline.stages.fingerprint.prints import fingerprint  # noqa: PLC0415
    from pipeline.stages.fingerprint.quality import Thresholds  # noqa: PLC0415

    cv2.setNumThreads(1)  # as the engine does; the variables of the environment do not reach it
    profile = yaml.safe_load((Path(__file__).parents[2] / "profiles/ham10000.yaml").read_text("utf-8"))
    thresholds = Thresholds(**profile["fingerprint"])

    def run(paths: Sequence[Path]) -> object:
        sizes = np.array([os.stat(path).st_size for path in paths])  # noqa: PTH116 - the stage knows them; this is cheap
        folder = paths[0].parent  # the files lie in one, each a shard of one image
        shards = Pixels(folder, [path.name for path in paths], np.zeros_like(sizes), sizes)
        return fingerprint(shards, thresholds=thresholds)

    return run


def imagehash_phash() -> Fingerprint:
    """The plain loop that everybody writes: the 256-bit pHash."""
    import imagehash  # noqa: PLC0415
    from PIL import Image  # noqa: PLC0415

    return lambda paths: [imagehash.phash(Image.open(path), hash_size=16) for path in paths]


def imagehash_all() -> Fingerprint:
    """The 256-bit pHash of the 8 rotations and flips, of one decoded image."""
    import imagehash  # noqa: PLC0415
    from PIL import Image  # noqa: PLC0415

    turns = [None, *Image.Transpose]

    def every(path: Path) -> object:
        image = Image.open(path)
        return [imagehash.phash(image if turn is None else image.transpose(turn), hash_size=16) for turn in turns]

    return lambda paths: [every(path) for path in paths]


def imagededup() -> Fingerprint:
    """The 64-bit pHash."""
    from imagededup.methods import PHash  # noqa: PLC0415

    hasher = PHash(verbose=False)
    return lambda paths: [hasher.encode_image(image_file=path) for path in paths]


def cleanvision() -> Fingerprint:
    """All its default issues, in this process."""
    from cleanvision import Imagelab  # noqa: PLC0415

    return lambda paths: Imagelab(filepaths=list(map(str, paths))).find_issues(n_jobs=1, verbose=False)


def main() -> None:
    """Answer each line, a JSON list of paths, with the processor time in seconds that its images took."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what the tools print is no answer
    run = globals()[sys.argv[1]]()
    for line in sys.stdin:
        paths = [Path(path) for path in json.loads(line)]
        started = time.process_time()
        run(paths)
        print(time.process_time() - started, file=answers, flush=True)


if __name__ == "__main__":
    main()
