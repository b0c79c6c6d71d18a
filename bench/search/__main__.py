"""`python -m bench.search`: time, memory and completeness of the candidate search on 10 thousand to a million images.

Collections are synthetic, drawn after HAM10000's statistics, with planted copies. Each search runs in a process of its
own; FAISS's exact search and imagededup's run beside ours up to the size at which they would exceed the time limit.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from bench.command import ROOT, markdown, parser, write_json
from bench.duplicates.profile import read_profile
from bench.environments import PEERS, UnavailableError, interpreter
from bench.processes import measure
from bench.search.checks import check, unlike
from bench.search.drawn import ASKING, KINDS, draw, spread
from pipeline.stages.dedup.candidates.propose import REACH

OURS, FLAT = "ours", "FAISS flat"
FILING, SOME_ASK = "ours, filing alone", f"ours, {ASKING:,} images ask"
PATIENCE = 8.0  # times the limit that these may take
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
TITLES = {
    "hashes": "Perceptual hashes within {reach} of 256 bits, in 8 orientations (imagededup: 8 of 64, upright only)",
    "vectors": "The {reach} nearest embeddings of each image",
    "features": "Votes of 200 local features an image, at least {reach}",
}
HEADS = ["images", "tool", "wall time", "processor time", "a thousand images", "peak memory", "pairs", "load before"]


def main(arguments: Sequence[str]) -> int:
    """Measure, print the tables, write the results; return the exit status."""
    options = _parser().parse_args(arguments)
    neighbours = read_profile(ROOT / "profiles/ham10000.yaml").dedup.neighbours
    reach = {"hashes": REACH.max_distance_bits, "vectors": neighbours, "features": REACH.min_votes}
    results: dict[str, Any] = {"reach": reach, "cores": os.cpu_count(), "kinds": {}}
    for kind in options.kinds:
        sizes: dict[str, Any] = {}
        results["kinds"][kind] = sizes
        for images in options.sizes or SIZES[kind]:
            sizes[str(images)] = _at_size(kind, images, reach[kind], sizes, options)
            print(tables({**results, "kinds": {kind: sizes}}), flush=True)

    def join(before: Mapping[str, Any]) -> dict[str, Any]:
        kinds = before.get("kinds", {}) | results["kinds"]  # of an earlier run those that were not asked for
        return {**results, "kinds": kinds, "exponents": exponents(kinds)}

    print(tables(write_json(options.write, join, in_order=False)))
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
        ours = np.zeros((0, 2), np.int64)
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
            script = Path(__file__).parent / "imagededup_search.py"
            command = [interpreter(tool, PEERS[tool]), "-P", script, folder, IMAGEDEDUP_RADIUS]
        else:
            command = [sys.executable, "-m", "bench.search.worker", tool, folder, reach]
        cost = measure([str(word) for word in command], timeout_s=timeout_s)
    except UnavailableError as error:
        return {"reason": str(error)}
    return {**cost.rounded(), "pairs": len(np.load(folder / "found.npy")), "load_before": round(load, 2)}


def tables(results: Mapping[str, Any]) -> str:
    """Write a table for each kind of search, what the checks say, and the fitted growth."""
    parts = []
    for kind, sizes in results["kinds"].items():
        rows = [_row(int(n), title, cost) for n, at in sizes.items() for title, cost in at["tools"].items()]
        parts.append(markdown(HEADS, rows, title=TITLES[kind].format(reach=results["reach"][kind])))
        checks = {n: at["checks"] for n, at in sizes.items() if "checks" in at}
        if checks:
            heads = list(dict.fromkeys(head for found in checks.values() for head in found))
            rows = [
                [f"{int(n):,}", *(f"{found[head]:,}" if head in found else "" for head in heads)]
                for n, found in checks.items()
            ]
            shown = ["images", *(head.replace("_", " ") for head in heads)]
            parts.append(markdown(shown, rows, title="What ours found"))
    if results.get("exponents"):
        heads = ["search", "tool", "wall time", "processor time"]
        rows = [
            [kind, title, *(f"{fitted[figure]:.2f}" for figure in ("seconds", "processor_seconds"))]
            for kind, tools in results["exponents"].items()
            for title, fitted in tools.items()
        ]
        parts.append(markdown(heads, rows, title="Fitted growth: cost ~ images to the power of"))
    return "\n\n".join(parts)


def exponents(kinds: Mapping[str, Any]) -> dict[str, dict[str, dict[str, float]]]:
    """Fit a power law to the measured costs of every tool that was measured at two sizes or more."""
    fitted: dict[str, dict[str, dict[str, float]]] = {}
    for kind, sizes in kinds.items():
        titles = {title for at in sizes.values() for title in at["tools"]}
        for title in sorted(titles, key=lambda title: (title != "ours", title)):
            costs = {int(n): at["tools"].get(title, {}) for n, at in sizes.items()}
            costs = {n: cost for n, cost in costs.items() if "seconds" in cost}
            if len(costs) > 1:
                fitted.setdefault(kind, {})[title] = {
                    figure: round(_slope({n: cost[figure] for n, cost in costs.items()}), 3)
                    for figure in ("seconds", "processor_seconds")
                }
    return fitted


def _slope(costs: Mapping[int, float]) -> float:
    return float(np.polyfit(np.log(list(costs)), np.log(np.maximum(list(costs.values()), 0.01)), 1)[0])


def _row(images: int, title: str, cost: Mapping[str, Any]) -> list[str]:
    if "seconds" not in cost:
        expected = cost.get("extrapolated_seconds")
        said = cost["reason"] if expected is None else f"about {expected:,.0f} s, extrapolated"
        return [f"{images:,}", title, said, "", "", "", "", ""]
    return [
        f"{images:,}",
        title,
        f"{cost['seconds']:,.1f} s",
        f"{cost['processor_seconds']:,.1f} s",
        f"{1e6 * cost['processor_seconds'] / cost.get('asked', images):,.0f} ms",
        f"{cost['peak_mib'] / 1024:.2f} GiB",
        f"{cost['pairs']:,}",
        f"{cost['load_before']:.1f}",
    ]


def _parser() -> argparse.ArgumentParser:
    made = parser("bench.search", __doc__, "--write")
    add = made.add_argument
    add("--kinds", nargs="+", choices=KINDS, default=list(KINDS), help="what is searched (default: all)")
    add("--sizes", nargs="+", type=int, help="images (default: those of the reported table)")
    add("--limit", type=float, default=900, help="seconds that a tool may be expected to take (default: 900)")
    add("--seed", type=int, default=0, help="of the collections (default: 0)")
    add("--scratch", type=Path, help="for the collections, of up to 6 GB (default: the system's)")
    return made


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
