"""Shows the results as Markdown tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.command import markdown
from bench.duplicates import calibration
from bench.duplicates.finders import FINDERS, LEFT_OUT, OURS
from bench.duplicates.kinds import SET_ASIDE

Settings = Mapping[str, Mapping[str, Any]]


def tables(settings: Settings) -> str:
    """Write all tables: finders by settings, our operating point, and kinds for ours and the best peer."""
    parts = [finders(settings), unavailable(settings), operating_points(settings)]
    for name, setting in settings.items():
        if found := setting.get("operating_point", {}).get("calibration"):
            parts.append(calibration.table(f"Copies / other pairs listed at other thresholds in {name}", found))
    parts += [kinds(name, setting) for name, setting in settings.items() if len(_planted(setting)) > 1]
    return "\n\n".join(part for part in parts if part)


def finders(settings: Settings) -> str:
    """Compare finders: average precision / recall at 99% precision, and for ours their 95% intervals."""
    rows = []
    for name in FINDERS:
        cells = [setting["finders"].get(name) for setting in settings.values()]
        if any(cells):
            rows.append([name, *(_figures(cell) if cell else "" for cell in cells)])
        if name == OURS and any(cells):
            rows.append([f"{name}, 95% interval", *(_interval(cell) if cell else "" for cell in cells)])
    return markdown(["finder", *settings], rows, title="Average precision / recall at 99% precision")


def unavailable(settings: Settings) -> str:
    """Say which peers have no number, and why."""
    reasons = {name: reason for setting in settings.values() for name, reason in setting["unavailable"].items()}
    return markdown(["peer", "reason"], list((reasons | LEFT_OUT).items()), title="No number")


def operating_points(settings: Settings) -> str:
    """Show what the product itself would list."""
    heads = ["setting", "originals", "copies", "listed", "pairs", "false", "precision", "recall"]
    rows = []
    for name, setting in settings.items():
        for listed in ("proven", "copy"):
            if point := setting.get("operating_point", {}).get(listed):
                counts = [setting["originals"], setting["copies"], listed, point["pairs"], point["false_pairs"]]
                rows.append([name, *counts, _three(point["precision"]), _three(point["recall"])])
    return markdown(heads, rows, title="Ours at the profile's thresholds")


def kinds(name: str, setting: Mapping[str, Any]) -> str:
    """Show every kind for ours and for the peer with the best average precision; * is set aside."""
    scored = setting["finders"]
    peers = {name: report["average_precision"] for name, report in scored.items() if name != OURS}
    best = max(peers, key=lambda peer: peers[peer]) if peers else ""
    ours, peer = (scored.get(finder, {}).get("kinds", {}) for finder in (OURS, best))
    point = setting.get("operating_point", {}).get("kinds", {})
    heads = ["kind", "pairs", "ours", "above the common cut", "copy", "same lesion", "proposed", f"best peer: {best}"]
    rows = []
    for kind in _planted(setting):
        ours_of, peer_of, share = (found.get(kind) for found in (ours, peer, point))
        rows.append(
            [
                f"{kind} *" if kind in SET_ASIDE else kind,
                (ours_of or peer_of)["pairs"],
                _figures(ours_of) if ours_of else "",
                _three(ours_of["recall_at_common_cut"]) if ours_of else "",
                *(_three(share[column]) if share else "" for column in ("copy", "same_lesion", "proposed")),
                _figures(peer_of) if peer_of else "",
            ]
        )
    return markdown(heads, rows, title=f"Kinds in {name}")


def _planted(setting: Mapping[str, Any]) -> list[str]:
    return sorted({kind for report in setting["finders"].values() for kind in report["kinds"]})


def _figures(report: Mapping[str, Any]) -> str:
    return f"{_three(report['average_precision'])} / {_three(report['recall_at_p99'])}"


def _interval(report: Mapping[str, Any]) -> str:
    ends = (report["intervals"][figure] for figure in ("average_precision", "recall_at_p99"))
    return " / ".join(f"{_three(low)} to {_three(high)}" for low, high in ends)


def _three(value: float) -> str:
    return f"{value:.3f}"
