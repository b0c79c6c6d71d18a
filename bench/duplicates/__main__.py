"""`python -m bench.duplicates`: plants copies among real pictures, runs the finders, prints tables, writes JSON."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.duplicates.finders import FINDERS, LEFT_OUT
from bench.duplicates.kinds import SET_ASIDE
from bench.duplicates.originals import read_verdicts
from bench.duplicates.planting import DESIGNS, MODES
from bench.duplicates.profile import ENCODERS, read_profile
from bench.duplicates.report import tables
from bench.duplicates.run import Plan, run
from bench.duplicates.settings import SIZES, Amounts
from pipeline.core.errors import UserError

ROOT = Path(__file__).parents[2]


def main(arguments: Sequence[str]) -> int:
    """Run what the arguments say; return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        plan = _plan(options)
        settings = run(plan)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(tables(settings))
    if options.write:
        about = {
            "kinds": options.kinds,
            "set_aside": SET_ASIDE,
            "seed": options.seed,
            "profile": options.profile.stem,
            "weights": options.weights.stem if options.weights else None,
            "left_out": LEFT_OUT,
        }
        write(options.write, about, settings)
    return 0


def write(path: Path, about: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    """Write results, beside the other settings that a run of the same kind has written before.

    Args:
        path: a JSON file.
        about: what the run was told; a file that says otherwise is replaced.
        settings: from `run`.

    """
    before = json.loads(path.read_text("utf-8")) if path.exists() else {}
    same = all(before.get(name) == json.loads(json.dumps(value)) for name, value in about.items())
    result = {**about, "settings": {**(before["settings"] if same else {}), **settings}}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", "utf-8")


def _plan(options: argparse.Namespace) -> Plan:
    """Make a plan of the options.

    Raises:
        UserError: they leave something open.

    """
    folders = {source: folder for source in ("ham10000", "dermnet") if (folder := getattr(options, source))}
    if not folders:
        raise UserError("there is nothing to plant copies among: say --ham10000 FOLDER, --dermnet FOLDER or both")
    if (options.weights is None) != options.no_embeddings:
        raise UserError("say either --weights FILE or --no-embeddings")
    return Plan(
        sizes=options.collections or [name for name, size in SIZES.items() if size.source in folders],
        designs=options.designs,
        finders=options.finders or list(FINDERS),
        folders=folders,
        amounts=Amounts(options.originals, options.per_kind, options.kinds, options.seed),
        verdicts=read_verdicts(options.judged),
        profile=read_profile(options.profile, encoder=options.encoder),
        weights=options.weights,
        cache=options.cache,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.duplicates", description=__doc__)
    add = parser.add_argument
    add("--ham10000", type=Path, metavar="FOLDER", help="the archives as the Harvard Dataverse publishes them")
    add("--dermnet", type=Path, metavar="FOLDER", help="class-named folders of clinical photographs, zipped or not")
    add("--collections", nargs="+", choices=SIZES, help="default: all whose folders are given")
    add("--designs", nargs="+", choices=DESIGNS, default=["kinds"], help="default: kinds")
    add("--finders", nargs="+", choices=FINDERS, metavar="NAME", help=f"default: all of {'; '.join(FINDERS)}")
    add("--kinds", choices=MODES, default="tuning", help="all: the five set aside too, on pictures not tuned on")
    add("--originals", type=int, default=2000, help="of every collection, at most (default: 2000)")
    add("--per-kind", type=int, default=40, help="copies of every kind, at most (default: 40)")
    add("--seed", type=int, default=0, help="of all draws (default: 0)")
    add("--judged", type=Path, nargs="+", default=[], metavar="CSV", help="people's verdicts on pairs: a, b, verdict")
    add("--profile", type=Path, default=ROOT / "profiles/ham10000.yaml", help="our thresholds (default: ham10000)")
    add("--encoder", choices=ENCODERS, default="profile", help="of the vectors (default: the profile's own)")
    add("--weights", type=Path, help="of the encoder, as `python -m pipeline fetch weights` brings them")
    add("--no-embeddings", action="store_true", help="leave out the finders that need vectors")
    add("--cache", type=Path, default=ROOT / "bench/.cache/duplicates", help="finished work (default: bench/.cache)")
    add("--write", type=Path, metavar="JSON", help="also write, beside other settings' results")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
