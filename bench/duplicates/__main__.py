"""`python -m bench.duplicates`: plants copies among real images, runs the finders, prints tables, writes JSON.

What is finished is kept in the cache and not done again.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from bench.command import OPTIONS, parser, status_of, write_json
from bench.duplicates.collection import Collection, embed, prepare
from bench.duplicates.finders import FINDERS, LEFT_OUT, OURS, ranking
from bench.duplicates.kinds import SET_ASIDE
from bench.duplicates.originals import Drawn, draw, read_verdicts
from bench.duplicates.planting import DESIGNS, MODES, SIZES, Truth, build
from bench.duplicates.profile import ENCODERS, Profile, read_profile
from bench.duplicates.report import tables
from bench.duplicates.scores import false_pairs, operating_point, score
from bench.environments import UnavailableError
from pipeline.core.errors import UserError

FALSE_LISTED = 50  # pairs that are no copies, kept beside the cache for people to look at


def main(arguments: Sequence[str]) -> int:
    """Run what the arguments say; return the exit status."""
    options = _parser().parse_args(arguments)
    return status_of(lambda: _report(options, run(options)))


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Run all settings: a collection of originals at some size, and a design of what is planted among them.

    Returns:
        settings: by name the numbers of originals and copies, what was taken out, each finder's figures or the reason
        why it has none, and our operating point.

    Raises:
        UserError: the options leave something open.

    """
    folders = {source: folder for source in ("ham10000", "dermnet") if (folder := getattr(options, source))}
    if not folders:
        raise UserError("there is nothing to plant copies among: say --ham10000 FOLDER, --dermnet FOLDER or both")
    if (options.weights is None) != options.no_embeddings:
        raise UserError("say either --weights FILE or --no-embeddings")
    profile = read_profile(options.profile, encoder=options.encoder)
    seed, cache = options.seed, options.cache
    report: dict[str, Any] = {}
    drawn: dict[str, Drawn] = {}
    for size in options.collections or [name for name, size in SIZES.items() if size.source in folders]:
        source = SIZES[size].source
        if source not in folders:
            raise UserError(f"say with --{source} FOLDER where it lies, or leave its collections out of --collections")
        if source not in drawn:
            drawn[source] = draw(
                source,
                folders[source],
                part=MODES[options.kinds].images,
                count=options.originals,
                verdicts=read_verdicts(options.judged),
                profile=profile,
                cache=cache,
                seed=seed,
            )
            drawn[source].pairs.to_csv(cache / f"real pairs, {source}.csv", index=False)
        for design in options.designs:
            gathered, truth = build(
                size, design, drawn[source], mode=options.kinds, per_kind=options.per_kind, seed=seed, cache=cache
            )
            report[f"{size} {design}"] = {
                "originals": truth.kinds.count(""),
                "copies": truth.copies,
                "collection": gathered.digest,
                "taken_out": _taken_out(drawn[source].pairs),
                **_compare(options, profile, gathered, truth, title=f"{size} {design}"),
            }
    return report


def _compare(
    options: argparse.Namespace, profile: Profile, gathered: Collection, truth: Truth, *, title: str
) -> dict[str, Any]:
    """Run all finders on one collection."""
    prepared = replace(prepare(gathered, profile), copies=truth.copies)
    prepared = embed(prepared, options.weights, options.cache) if options.weights else prepared
    figures: dict[str, Any] = {"finders": {}, "unavailable": {}}
    for name in tqdm(options.finders, desc=title, unit="finder", disable=None):
        try:
            pairs = ranking(prepared, name)
        except UnavailableError as error:
            figures["unavailable"][name] = str(error)
            continue
        figures["finders"][name] = score(pairs, truth, seed=options.seed)
        if name == OURS:
            figures["operating_point"] = operating_point(pairs, truth)
        listed = false_pairs(pairs, gathered, truth, count=FALSE_LISTED)
        listed.to_csv(gathered.root / f"false pairs, {name}.csv", index=False)
    return figures


def _taken_out(pairs: pd.DataFrame) -> dict[str, int]:
    """Count the pairs of a pool that were held for the same, by who said so, and those that were left in."""
    by_people, same = pairs["verdict"].notna(), pairs["same"]
    exact = pairs["evidence"].isin(["bytes", "pixels"])
    return {
        "same_by_people": int((same & by_people).sum()),
        "same_by_equal_pixels": int((same & ~by_people & exact).sum()),
        "same_by_our_geometry_unjudged": int((same & ~by_people & ~exact).sum()),
        "left_in_judged_different": int((~same & by_people).sum()),
        "left_in_unjudged": int((~same & ~by_people).sum()),
    }


def _report(options: argparse.Namespace, settings: Mapping[str, Any]) -> None:
    print(tables(settings))
    about = {
        "kinds": options.kinds,
        "set_aside": SET_ASIDE,
        "seed": options.seed,
        "profile": options.profile.stem,
        "weights": options.weights.stem if options.weights else None,
        "left_out": LEFT_OUT,
    }
    write(options.write, about, settings)


def write(path: Path | None, about: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    """Write results beside other settings' in a file of a run that was told the same; else replace what is there."""

    def join(before: dict[str, Any]) -> dict[str, Any]:
        same = all(before.get(name) == json.loads(json.dumps(value)) for name, value in about.items())
        return {**about, "settings": {**(before["settings"] if same else {}), **settings}}

    write_json(path, join, in_order=False)


def finder_parser(module: str, doc: str | None) -> argparse.ArgumentParser:
    """Make a parser with what says which finders run, and how."""
    made = parser(module, doc, "--profile", "--weights", "--cache", "--write")
    made.set_defaults(cache=OPTIONS["--cache"]["default"] / "duplicates")
    add = made.add_argument
    add("--finders", nargs="+", choices=FINDERS, metavar="NAME", default=list(FINDERS), help="default: all")
    add("--judged", type=Path, nargs="+", default=[], metavar="CSV", help="people's verdicts on pairs: a, b, verdict")
    add("--encoder", choices=ENCODERS, default="profile", help="of the vectors (default: the profile's own)")
    return made


def _parser() -> argparse.ArgumentParser:
    made = finder_parser("bench.duplicates", __doc__)
    add = made.add_argument
    for source in ("--ham10000", "--dermnet"):
        add(source, **OPTIONS[source])
    add("--collections", nargs="+", choices=SIZES, help="default: all whose folders are given")
    add("--designs", nargs="+", choices=DESIGNS, default=["kinds"], help="default: kinds")
    add("--kinds", choices=MODES, default="tuning", help="all: the five set aside too, on images not tuned on")
    add("--originals", type=int, default=2000, help="of every collection, at most (default: 2000)")
    add("--per-kind", type=int, default=40, help="copies of every kind, at most (default: 40)")
    add("--seed", type=int, default=0, help="of all draws (default: 0)")
    add("--no-embeddings", action="store_true", help="leave out the finders that need vectors")
    return made


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
