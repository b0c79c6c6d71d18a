"""`python -m bench.search`: time, memory and completeness of the candidate search on 10 thousand to a million images.

Collections are synthetic, drawn after HAM10000's statistics, with planted copies. Each search runs in a process of its
own; FAISS's exact search and imagededup's run beside ours up to the size at which they would exceed the time limit.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from bench.duplicates.profile import read_profile
from bench.environments import UnavailableError, interpreter
from bench.search.checks import check, unlike
from bench.search.drawn import ASKING, KINDS, draw, spread
from bench.search.measuring import ROOT, measure
from bench.search.report import exponents, tables
from pipeline.stages.dedup.candidates.propose import REACH

OURS, FLAT = "ours", "FAISS flat"
FILING, SOME_ASK = "ours, filing alone", f"ours, {ASKING:,} images ask"
PATIENCE = 8.0  # times the limit that these may take
IMAGEDEDUP = ("imagededup==0.3.3.post2",)
IMAGEDEDUP_RADIUS = 8  # of 64 bits: the same share as our radius
TOOLS = {
    "hashes": {OURS: "hashes", FLAT: "flat_hashes", "imagededup 0.3.3": "imagededup"},
    "vectors": {OURS: "vectors", FLAT: "flat_vectors"},
    "features": {OURS: "features", FILING: "filing", SOME_ASK: "asking"},
}
SIZES = {
    "hashes": [10_000, 100_000, 1_000_000],
    "vectors": [10_000, 100_000, 1_000_000],
    "features": [10_000, 50_000, 200_000],
}

Array = np.ndarray[Any, Any]


def main(arguments: Sequence[str]) -> int:
    """Measure, print the tables, write the results; return the exit status."""
    options = _parser().parse_args(arguments)
    reach = {
        "hashes": REACH.max_distance_bits,
        "vectors": read_profile(ROOT / "profiles/ham10000.yaml").dedup.neighbours,
        "features": REACH.min_votes,
    }
    results: dict[str, Any] = {"reach": reach, "cores": os.cpu_count(), "kinds": {}}
    for kind in options.kinds:
        sizes: dict[str, Any] = {}
        results["kinds"][kind] = sizes
        for images in options.sizes or SIZES[kind]:
            sizes[str(images)] = _at_size(kind, images, reach[kind], sizes, options)
            print(tables({**results, "kinds": {kind: sizes}}), flush=True)
    if options.write and options.write.exists():  # of other kinds
        results["kinds"] = json.loads(options.write.read_text("utf-8"))["kinds"] | results["kinds"]
    results["exponents"] = exponents(results["kinds"])
    print(tables(results))
    if options.write:
        options.write.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", "utf-8")
    return 0


def _at_size(
    kind: str, images: int, reach: int, smaller: Mapping[str, Any], options: argparse.Namespace
) -> dict[str, Any]:
    """Draw a collection, run all tools on it, and check what ours found."""
    with TemporaryDirectory(dir=options.scratch) as name:
        folder = Path(name)
        for part, array in draw(kind, images, seed=options.seed).items():
            np.save(folder / f"{part}.npy", array)
        found: dict[str, Any] = {"tools": {}}
        ours: Array = np.zeros((0, 2), np.int64)
        for title, tool in TOOLS[kind].items():
            partly = title in (FILING, SOME_ASK)
            expected = None if partly else predicted(title, images, smaller)
            if expected is not None and expected > options.limit:
                found["tools"][title] = {"extrapolated_seconds": round(expected, 1)}
                continue
            timeout_s = (PATIENCE if partly else 1.5) * options.limit
            found["tools"][title] = _cost(tool, folder, reach, timeout_s=timeout_s)
            if title == OURS and "seconds" in found["tools"][title]:
                given = {path.stem: np.load(path, mmap_mode="r") for path in folder.glob("*.npy")}
                ours = np.array(given["found"])
                found["checks"] = check(kind, given, ours, reach=reach)
            if title == SOME_ASK and "seconds" in found["tools"][title]:
                given = {"original": np.load(folder / "original.npy")}
                asked, pairs = spread(images, ASKING), np.load(folder / "found.npy")
                some = check(kind, given, pairs, reach=reach, asked=asked)
                checks = found.setdefault("checks", {})
                checks |= {f"some_asked_{name}": value for name, value in some.items()}
                checks["processor_ms_an_image"] = each_ms(found["tools"], images)
                found["tools"][title]["asked"] = len(asked)
            if kind == "hashes" and title == FLAT and "seconds" in found["tools"][title]:
                found["checks"]["unlike_flat"] = unlike(ours, np.load(folder / "found.npy"))
    return found


def each_ms(tools: Mapping[str, Any], images: int) -> float:
    """Milliseconds of processor time that votes take an image: its share of the filing, and asking."""
    filing, some = (float(tools[title]["processor_seconds"]) for title in (FILING, SOME_ASK))
    return round(1e3 * (filing / images + some / len(spread(images, ASKING))), 1)


def predicted(title: str, images: int, smaller: Mapping[str, Any]) -> float | None:
    """Extrapolate a tool's time from the largest collection it was measured on, as if it compared all with all."""
    measured = {int(n): at["tools"].get(title, {}).get("seconds") for n, at in smaller.items()}
    known = {n: seconds for n, seconds in measured.items() if seconds is not None}
    if not known:
        return None
    most = max(known)
    return float(known[most]) * (images / most) ** (1 if title == OURS else 2)


def _cost(tool: str, folder: Path, reach: int, *, timeout_s: float) -> dict[str, Any]:
    load = os.getloadavg()[0]
    (folder / "found.npy").unlink(missing_ok=True)
    try:
        if tool == "imagededup":
            script = Path(__file__).parent / "peers/imagededup.py"
            command = [interpreter("imagededup", IMAGEDEDUP), "-P", script, folder, IMAGEDEDUP_RADIUS]
        else:
            command = [sys.executable, "-m", "bench.search.worker", tool, folder, reach]
        cost = measure([str(word) for word in command], timeout_s=timeout_s)
    except UnavailableError as error:
        return {"reason": str(error)}
    return {**cost.rounded(), "pairs": len(np.load(folder / "found.npy")), "load_before": round(load, 2)}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.search", description=__doc__)
    add = parser.add_argument
    add("--kinds", nargs="+", choices=KINDS, default=list(KINDS), help="what is searched (default: all)")
    add("--sizes", nargs="+", type=int, help="images (default: those of the reported table)")
    add("--limit", type=float, default=900, help="seconds that a tool may be expected to take (default: 900)")
    add("--seed", type=int, default=0, help="of the collections (default: 0)")
    add("--scratch", type=Path, help="for the collections, of up to 6 GB (default: the system's)")
    add(
        "--write",
        type=Path,
        metavar="JSON",
        help="also write, beside other kinds' results, to docs/results/search.json say",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
