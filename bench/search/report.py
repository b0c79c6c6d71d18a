"""Shows the results as Markdown tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bench.tables import markdown

TITLES = {
    "hashes": "Perceptual hashes within {reach} of 256 bits, in 8 orientations (imagededup: 8 of 64, upright only)",
    "vectors": "The {reach} nearest embeddings of each image",
    "features": "Votes of 200 local features an image, at least {reach}",
}
HEADS = ["images", "tool", "wall time", "processor time", "a thousand images", "peak memory", "pairs", "load before"]


def tables(results: Mapping[str, Any]) -> str:
    """Write a table for each kind of search, what the checks say, and the fitted growth."""
    parts = []
    for kind, sizes in results["kinds"].items():
        rows = [_row(int(n), title, cost) for n, at in sizes.items() for title, cost in at["tools"].items()]
        parts.append(markdown(TITLES[kind].format(reach=results["reach"][kind]), HEADS, rows))
        checks = {n: at["checks"] for n, at in sizes.items() if "checks" in at}
        if checks:
            heads = list(dict.fromkeys(head for found in checks.values() for head in found))
            rows = [
                [f"{int(n):,}", *(f"{found[head]:,}" if head in found else "" for head in heads)]
                for n, found in checks.items()
            ]
            parts.append(markdown("What ours found", ["images", *(head.replace("_", " ") for head in heads)], rows))
    if results.get("exponents"):
        heads = ["search", "tool", "wall time", "processor time"]
        rows = [
            [kind, title, *(f"{fitted[figure]:.2f}" for figure in ("seconds", "processor_seconds"))]
            for kind, tools in results["exponents"].items()
            for title, fitted in tools.items()
        ]
        parts.append(markdown("Fitted growth: cost ~ images to the power of", heads, rows))
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
                    figure: round(_slope(list(costs), [cost[figure] for cost in costs.values()]), 3)
                    for figure in ("seconds", "processor_seconds")
                }
    return fitted


def _slope(images: Sequence[int], costs: Sequence[float]) -> float:
    return float(np.polyfit(np.log(images), np.log(np.maximum(costs, 0.01)), 1)[0])


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
