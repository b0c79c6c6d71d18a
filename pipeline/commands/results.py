"""`results`: everything that a run measured, in one place: on the terminal, as JSON, and as a page to look at."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline.commands.audit import read_answers, read_audit
from pipeline.commands.facts import Facts, accounts, find_problems, read_facts, read_runs, summarise
from pipeline.commands.last_words import last_words
from pipeline.commands.report.write import write_report
from pipeline.commands.sections import sections, to_text
from pipeline.commands.use import is_current
from pipeline.core.progress import step
from pipeline.core.store import Store
from pipeline.demo import score as planted
from pipeline.ledger.file import count_waiting
from pipeline.ledger.replay import DISPUTED
from pipeline.params import STAGES, instances, read_tree
from pipeline.profiles import profiles
from pipeline.stages.embed.tables import read_embeddings

METRICS = "evaluate/metrics.json"  # below reports/


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "--write", type=Path, metavar="FILE", help="also write the JSON here: docs/results/<profile>.json"
    )
    parser.add_argument("--tables", action="store_true", help="also print the report's tables")


def run(root: Path, options: argparse.Namespace) -> int:
    """Print the results, write reports/results.json and reports/index.html; return 1 if a law does not hold.

    Raises:
        UserError: a stage has not run.

    """
    with step("read what was measured"):
        store, tree = Store(root), read_tree(root / "params.yaml")
        facts = read_facts(store, tree)
        results = collect(store, tree, facts)
    shown = sections(results)
    if options.tables:
        print(to_text(shown), end="\n\n")
    text = json.dumps(results, indent=2, ensure_ascii=False) + "\n"
    (root / "reports/results.json").write_text(text, "utf-8")
    with step("write the report"):
        write_report(store, tree, facts, results)
    if options.write:
        options.write.parent.mkdir(parents=True, exist_ok=True)
        options.write.write_text(text, "utf-8")
    print(last_words(results))
    for problem in results["problems"]:
        print(f"error: {problem}", file=sys.stderr)
    return 1 if results["problems"] else 0


def collect(store: Store, tree: Mapping[str, Any], facts: Facts) -> dict[str, Any]:
    """Gather what was measured of the batches, arms and members that params.yaml lists.

    Args:
        store: the project.
        tree: params.yaml, checked.
        facts: its tables.

    Raises:
        UserError: a stage has not run.

    """
    root = store.root
    embeddings, _ = read_embeddings(store, tree["encoders"][0], tree["batches"])
    truths = {batch: planted.read_truth(root, batch, facts) for batch in tree["batches"]}
    answers = read_answers(store, tree)
    return {
        "profile": next((name for name in profiles(root) if is_current(root, name)), "custom"),
        "settings": settings(tree) | {"encoder": str(embeddings["encoder"].iloc[0])},
        **summarise(facts),
        "warnings": warnings(store, tree),
        "accounts": accounts(facts),
        "problems": find_problems(facts),
        "planted": {batch: planted.score(truth, facts) for batch, truth in truths.items() if truth is not None},
        "waiting": count_cases(store, tree, facts, answers),
        "audit": rounded(asdict(read_audit(store, answers))),
        "metrics": rounded(store.read_report(METRICS)),
        "stages": read_runs(root, stage_instances(tree)),
    }


def count_cases(store: Store, tree: Mapping[str, Any], facts: Facts, answers: Mapping[str, str]) -> dict[str, int]:
    """Count what waits for a person: labels in doubt, images off topic, disputes, and decisions to be applied.

    Args:
        store: the project.
        tree: params.yaml, checked.
        facts: its tables.
        answers: of stewards, by image.

    """
    queues = {"labels": facts.suspect_queue, "off_topic": facts.off_topic_queue}
    left = {name: int((~queue["image_id"].isin(list(answers))).sum()) for name, queue in queues.items()}
    held = store.read_report(f"rebalance/{tree['arms'][0]}.json")["decisions"]
    disputed = int(store.read_report("replay/summary.json")[DISPUTED])
    return left | {"disputed": disputed, "decisions": count_waiting(store.root, held)[0]}


def warnings(store: Store, tree: Mapping[str, Any]) -> list[str]:
    """Gather what the stages found odd in what they were given, and what figures do not hold yet."""
    reports = {f"batch {batch}": store.read_report(f"ingest/{batch}.json") for batch in tree["batches"]}
    reports |= {f"arm {arm}": store.read_report(f"rebalance/{arm}.json") for arm in tree["arms"]}
    sentences = [f"{where}: {warning}" for where, report in reports.items() for warning in report.get("warnings", [])]
    replayed = store.root / "reports/replay/summary.json"
    if replayed.exists():
        sentences += store.read_report("replay/summary.json").get("warnings", [])
    waiting, recorded = count_waiting(store.root, reports[f"arm {tree['arms'][0]}"]["decisions"])
    if waiting:
        sentences.append(f"{waiting} of {recorded} decisions await application: run `dvc repro`")
    return sentences


def settings(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Quote the params that figures are compared by."""
    return {
        "batches": tree["batches"],
        "classes": tree["classes"],
        "members": {name: tree["train"]["members"][name]["backbone"] for name in tree["members"]},
        "seeds": tree["seeds"],
        "split": tree["split"],
    }


def stage_instances(tree: Mapping[str, Any]) -> list[str]:
    """List the stage instances that params.yaml asks for, in the order of the DAG, as the log of runs names them."""
    return [f"{stage}@{name}" if name else stage for stage in STAGES for name in instances(tree, stage)]


def rounded(value: Any) -> Any:  # noqa: ANN401 - JSON holds anything
    """Round every number to four digits after the point, so that a document does not claim more."""
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, Mapping):
        return {key: rounded(item) for key, item in value.items()}
    return [rounded(item) for item in value] if isinstance(value, list) else value
