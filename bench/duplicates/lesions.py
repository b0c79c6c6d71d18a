"""`python -m bench.duplicates.lesions`: on all of HAM10000, which finders pair the images of one lesion.

Nothing is planted. A true pair is one whose images carry one lesion id, or that people judged to show one lesion
although the ids differ. Every finder ranks pairs; counted is how many of the pairs that the ids join lie above the cut
where it has made as many false merges as ours makes at the profile's thresholds, and at none, 10 and 100 of them.

The false-merge rate is taken on look-alikes: pairs of one diagnosis and two lesions that some source held for alike
enough to be looked at. It counts what no judged list calls true, and comes with a Clopper-Pearson interval. Likewise
for other thresholds than the profile's, on each half of the lesions, and by what proposed a pair.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.command import OPTIONS, ROOT, markdown, status_of, write_json
from bench.duplicates import collection
from bench.duplicates.__main__ import finder_parser
from bench.duplicates.calibration import PROVEN, calibrate
from bench.duplicates.calibration import table as calibration_table
from bench.duplicates.collection import Collection, File, embed, prepare
from bench.duplicates.finders import OURS, ranking
from bench.duplicates.originals import MAX_BYTES, SAME, UNSAID, Verdicts, read_verdicts
from bench.duplicates.profile import Profile, read_profile
from bench.environments import UnavailableError
from bench.measures import exact_interval
from pipeline.stages.ingest.sources import ham10000
from pipeline.stages.ingest.sources.files import RawReader

DIGITS = 7
FALSE_MERGES = (0, 10, 100)  # besides as many as ours makes


class Lesions(NamedTuple):
    """All images of HAM10000 as a collection, with the lesion's number and the diagnosis of each file, (files,)."""

    gathered: Collection
    lesion: NDArray[np.int64]
    diagnosis: NDArray[np.str_]


def main(arguments: Sequence[str]) -> int:
    """Run the finders; print the tables; return the exit status."""
    made = finder_parser("bench.duplicates.lesions", __doc__)
    made.add_argument("--ham10000", **OPTIONS["--ham10000"], required=True)
    made.set_defaults(judged=[ROOT / "docs/results/ham10000_across_lesions.csv"])
    options = made.parse_args(arguments)

    def run() -> None:
        result = measure(
            gather(options.ham10000, options.cache),
            options.finders,
            profile=read_profile(options.profile, encoder=options.encoder),
            weights=options.weights,
            verdicts=read_verdicts(options.judged),
            cache=options.cache,
        )
        print(table(result))
        write_json(options.write, lambda _: result, in_order=False)

    return status_of(run)


def gather(folder: Path, cache: Path) -> Lesions:
    """Lay all images out as files, once."""
    entries = {entry.source_id: entry for entry in ham10000.read(folder, licence=UNSAID, attribution=UNSAID).entries}
    with RawReader(folder, max_bytes=MAX_BYTES) as reader:
        files = (File(name, reader.read(entry.locator)) for name, entry in entries.items())
        gathered = collection.write(cache / "collections/ham10000-whole", files, count=len(entries), seed=0)
    listed = [entries[label] for label in gathered.labels]
    return Lesions(
        gathered,
        np.unique([entry.lesion_id or entry.source_id for entry in listed], return_inverse=True)[1],
        np.array([str(entry.raw_label) for entry in listed]),
    )


def measure(
    lesions: Lesions,
    finders: Sequence[str],
    *,
    profile: Profile,
    weights: Path | None,
    verdicts: Verdicts,
    cache: Path,
) -> dict[str, Any]:
    """Rank by every finder, ours first, and count; without weights those that need vectors are left out."""
    prepared = replace(prepare(lesions.gathered, profile), copies=joined(lesions.lesion))
    prepared = embed(prepared, weights, cache) if weights else prepared
    ours = ranking(prepared, OURS)
    proven = ours[ours["relation"].isin(PROVEN)]
    states = label(proven, lesions, verdicts)
    report: dict[str, Any] = {
        "images": len(lesions.lesion),
        "pairs_joined_by_id": prepared.copies,
        "ours": _ours(proven, states),
        "look_alikes": false_merges(ours, lesions, verdicts),
        "sources": by_source(ours, lesions),
        "calibration": calibration_by_half(ours, lesions, verdicts),
        "finders": {},
        "unavailable": {},
    }
    allowed = sorted({*FALSE_MERGES, int((states == "false").sum())})
    for name in [OURS, *(finder for finder in finders if finder != OURS)]:
        try:
            pairs = ranking(prepared, name).dropna(subset="score")
        except UnavailableError as error:
            report["unavailable"][name] = str(error)
            continue
        states_of = label(pairs, lesions, verdicts)
        report["finders"][name] = {str(n): found_before(pairs["score"], states_of, false=n) for n in allowed}
    listed = lesions.gathered.labels
    across = proven[states != "joined"]
    rows = across.assign(
        **{end: [listed[i] for i in across[end]] for end in ("a", "b")}, verdict=states[states != "joined"]
    )
    rows.to_csv(lesions.gathered.root / "pairs across lesions.csv", index=False)
    return report


def label(pairs: pd.DataFrame, lesions: Lesions, verdicts: Verdicts) -> NDArray[np.str_]:
    """Say of each pair whether ids join it (`joined`), people do (`judged`), or nobody (`false`)."""
    a, b = pairs["a"].to_numpy(), pairs["b"].to_numpy()
    same = np.where(lesions.lesion[a] == lesions.lesion[b], "joined", "false")
    names = lesions.gathered.labels
    for i in np.flatnonzero(same == "false"):
        if verdicts.get(frozenset((names[a[i]], names[b[i]]))) in SAME:
            same[i] = "judged"
    return same


def joined(lesion: NDArray[np.int64]) -> int:
    """Count the pairs of images that share a lesion."""
    sizes = np.bincount(lesion)
    return int((sizes * (sizes - 1) // 2).sum())


def found_before(score: pd.Series[float], states: NDArray[np.str_], *, false: int) -> int:
    """Count the joined pairs ranked above the false pair that would be one too many; ties are taken all or none.

    Args:
        score: of the pairs, the best first.
        states: theirs, from `label`.
        false: pairs that are allowed.

    """
    scores, wrong = score.to_numpy(), np.cumsum(states == "false")
    ends = np.append(scores[1:] != scores[:-1], True)
    kept = np.flatnonzero(ends & (wrong <= false))
    return int((states[: kept[-1] + 1] == "joined").sum()) if len(kept) else 0


def false_merges(ours: pd.DataFrame, lesions: Lesions, verdicts: Verdicts) -> dict[str, Any]:
    """Count what is merged of the look-alikes: all proposed pairs of one diagnosis whose ids differ."""
    a, b = ours["a"].to_numpy(), ours["b"].to_numpy()
    alike = (lesions.lesion[a] != lesions.lesion[b]) & (lesions.diagnosis[a] == lesions.diagnosis[b])
    looked = ours[alike]
    wrong = label(looked, lesions, verdicts) == "false"
    report: dict[str, Any] = {"pairs": len(looked)}
    for relation in PROVEN:
        count = int((wrong & (looked["relation"] == relation).to_numpy()).sum())
        interval = [round(end, DIGITS) for end in exact_interval(count, len(looked))]
        report[relation] = {"false": count, "rate_interval": interval}
    return report


def by_source(ours: pd.DataFrame, lesions: Lesions) -> dict[str, dict[str, int]]:
    """Count, of the pairs that ids join, those that each source proposed, those proven of them, and by it alone."""
    same = ours[lesions.lesion[ours["a"]] == lesions.lesion[ours["b"]]]
    proven, sources = same["relation"].isin(PROVEN), same["proposed_by"].str.split("+")
    report = {}
    for source in sorted({name for names in sources for name in names}):
        named = sources.map(lambda names, source=source: source in names)
        alone = named & (sources.map(len) == 1)
        counts = {"proposed": named, "proven": named & proven, "proven_by_it_alone": alone & proven}
        report[source] = {title: int(chosen.sum()) for title, chosen in counts.items()}
    return report


def calibration_by_half(
    ours: pd.DataFrame, lesions: Lesions, verdicts: Verdicts
) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Calibrate on each half of the lesions: pairs that ids join, and look-alikes that nobody joins."""
    a, b = ours["a"].to_numpy(), ours["b"].to_numpy()
    states = label(ours, lesions, verdicts)
    alike = (states == "false") & (lesions.diagnosis[a] == lesions.diagnosis[b])
    halves = {"even": lesions.lesion[a] % 2 == 0, "odd": lesions.lesion[a] % 2 == 1}
    return {name: calibrate(ours[half], (states == "joined")[half], alike[half]) for name, half in halves.items()}


def table(result: Mapping[str, Any]) -> str:
    """Lay the counts out as Markdown."""
    cuts = list(next(iter(result["finders"].values())))
    heads = [f"pairs of one lesion, of {result['pairs_joined_by_id']}, at false merges:", *cuts]
    sources = [[name, *counts.values()] for name, counts in result["sources"].items()]
    parts = [
        markdown(heads, [[name, *(found[c] for c in cuts)] for name, found in result["finders"].items()]),
        json.dumps({"ours": result["ours"], "look-alikes": result["look_alikes"]}),
        markdown(
            ["source", "proposed", "proven", "by it alone"],
            sources,
            title="Pairs of one lesion, by what proposed them",
        ),
    ]
    for half, report in result["calibration"].items():
        parts.append(calibration_table(f"Pairs of one lesion / look-alikes, {half} lesions", report))
    return "\n\n".join(parts)


def _ours(proven: pd.DataFrame, states: NDArray[np.str_]) -> dict[str, dict[str, int]]:
    kinds = ("joined", "judged", "false")
    return {
        relation: {kind: int(((proven["relation"] == relation).to_numpy() & (states == kind)).sum()) for kind in kinds}
        for relation in PROVEN
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
