"""`python -m pipeline <command> …`: finds the command's module and runs it; the others are never imported."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from pipeline.core.errors import UserError
from pipeline.params import STAGES

# A command's module has `add_arguments(parser)` and `run(root, options)`, which returns an exit status or None.
COMMANDS = {
    "fetch": ("pipeline.commands.fetch", "bring a batch or weights to data/raw and track it"),
    "use": ("pipeline.commands.use", "write params.yaml from a profile; without a name, list the profiles"),
    "prune": ("pipeline.commands.prune", "delete what instances that params.yaml no longer lists have left"),
    "salt": ("pipeline.commands.salt", "propose the salt that balances the classes best over the splits"),
    "results": ("pipeline.commands.results", "show what was measured, and write reports/index.html"),
    "review": ("pipeline.review.app", "decide the cases of a queue in the FiftyOne App, one key a decision"),
    "decide": ("pipeline.review.decide", "record one decision from the command line"),
    "ledger": ("pipeline.commands.ledger", "verify, merge or mend the file of decisions"),
    "decisions": ("pipeline.commands.decisions", "list what was decided and what became of it"),
    "audit": ("pipeline.commands.audit", "say how many labels are wrong, by the random sample, and whether to go on"),
    "why": ("pipeline.commands.why", "say all that is known of an image, or of a rejected file"),
    "diff": ("pipeline.commands.diff", "list what is other in the curated arm of two revisions, and why"),
    "audit-split": (
        "pipeline.commands.audit_split.command",
        "list what crosses a given split: pairs, lesions; exit status 3 if any",
    ),
    "quote": ("pipeline.commands.quote", "quote docs/results in README.md and docs/results.md"),
    "params": ("pipeline.commands.params", "write docs/params.md from the params' models and the default profile"),
    "tables": ("pipeline.commands.tables", "write docs/tables.md from the tables' classes"),
}


def main(arguments: Sequence[str]) -> int:
    """Run a command; return the exit status.

    Raises:
        UserError: there is no such command, or it cannot do its work.

    """
    if not arguments or arguments[0] in {"-h", "--help", "help"}:
        print(usage())
        return 0
    name, *rest = arguments
    if name not in COMMANDS:
        known = ", ".join([*STAGES, *COMMANDS])
        raise UserError(f"{name!r} is neither a stage nor a command: say one of {known}")
    module, summary = COMMANDS[name]
    command = import_module(module)
    parser = argparse.ArgumentParser(prog=f"python -m pipeline {name}", description=summary)
    command.add_arguments(parser)
    status: int | None = command.run(Path.cwd(), parser.parse_args(rest))
    return status or 0


def usage() -> str:
    """Say what can be run, one line each."""
    lines = ["usage: python -m pipeline <stage> [instance]", "       python -m pipeline <command> …", ""]
    lines += ["stages (`dvc repro` runs them in order):", f"  {' '.join(STAGES)}", "", "commands:"]
    lines += [f"  {name:<11} {summary}" for name, (_, summary) in COMMANDS.items()]
    return "\n".join([*lines, "", "`python -m pipeline <command> --help` shows a command's options."])
