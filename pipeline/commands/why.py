"""`why IMAGE`: all that is known of one image, or of a file that was rejected, and why it is where it is."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Hashable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.core.errors import UserError
from pipeline.core.store import Store
from pipeline.core.table import Table
from pipeline.core.taxonomy import diagnoses_in_scope
from pipeline.ledger import file
from pipeline.ledger.decisions import PATH
from pipeline.params import instances, read_tree
from pipeline.review.effects import read_curated, replay_ledger
from pipeline.stages.dedup.tables import Duplicates, Groups
from pipeline.stages.ingest.tables import Images, Rejects
from pipeline.stages.label_noise.tables import LabelScores, SuspectQueue
from pipeline.stages.rebalance.tables import Exclusions, Selection
from pipeline.stages.replay.tables import ReviewedGroups
from pipeline.stages.train.tables import Predictions

Line = tuple[str, str]
SOURCE = ("page", "origin_url", "fetched_at")
PATIENT = ("lesion_id", "patient_id", "age", "sex", "site", "skin_tone")
PROOF = ("correlation", "overlap", "inliers", "residual", "bending", "shared_occlusions")


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command's options."""
    parser.description = __doc__
    parser.add_argument("image_id", help="<batch>:<source_id>")


def run(root: Path, options: Namespace) -> None:
    """Print what every stage wrote of the image.

    Raises:
        UserError: no batch has it, neither as an image nor as a reject.

    """
    lines = list(explain(root, options.image_id))
    print(options.image_id)
    for topic, text in lines:
        print(f"  {topic:<12} {text}")


def explain(root: Path, image: str) -> Iterator[Line]:
    """Yield topic and sentence, in the order of the stages; a stage that has not run yet yields nothing.

    Args:
        root: the project's folder.
        image: the image_id, or `<batch>:<source_id>` of a reject.

    Raises:
        UserError: no batch has it.

    """
    tree, store = read_tree(root / "params.yaml"), Store(root)
    images, rejects = store.read(Images, tree["batches"]), store.read(Rejects, tree["batches"])
    if image not in set(images["image_id"]):
        yield from _rejected(image, images, rejects)
        return
    yield from _source(_row(images, image))
    yield from _copies(store, image)
    yield from _label(store, image)
    yield from _decisions(root, tree, image)
    for arm in tree["arms"]:
        yield from _arm(store, arm, image)
    diagnoses = diagnoses_in_scope(images["diagnosis"], tree["classes"])
    for instance in instances(tree, "train"):
        yield from _prediction(store, str(instance), image, diagnoses)


def _rejected(image: str, images: pd.DataFrame, rejects: pd.DataFrame) -> Iterator[Line]:
    names = rejects["batch"] + ":" + rejects["source_id"]
    found = rejects[names == image]
    if found.empty:
        near = get_close_matches(image, [*images["image_id"], *names], n=3)
        raise UserError(f"{image!r} is neither an image nor a reject: did you mean {' or '.join(near) or 'another'}?")
    for row in found.to_dict("records"):
        yield "rejected", f"{row['reason']}: {row['detail']} (it never became an image)"


def _source(row: Mapping[Hashable, Any]) -> Iterator[Line]:
    yield "source", f"batch {row['image_id'].partition(':')[0]}" + _listed(row, SOURCE)
    yield "licence", f"{row['licence']}, {row['attribution']}"
    yield "file", f"{row['width']} x {row['height']} pixels, {row['stored_as']}, sha256 {row['sha256']}"
    evidence = f", by {row['label_evidence']}" if isinstance(row["label_evidence"], str) else ""
    yield "given", f"{row['diagnosis']} (raw label {row['raw_label']!r}{evidence})"
    if known := _listed(row, PATIENT):
        yield "patient", known.removeprefix(", ")


def _copies(store: Store, image: str) -> Iterator[Line]:
    groups, edges = _read(store, Groups), _read(store, Duplicates)
    if groups is None or edges is None:
        return
    reviewed = _read(store, ReviewedGroups)
    row, now = _row(groups, image), _row(groups if reviewed is None else reviewed, image)
    if isinstance(now["duplicate_of"], str):
        yield "copy", f"of {now['duplicate_of']}, which is kept"
    elif isinstance(row["duplicate_of"], str):
        yield "copy", f"of {row['duplicate_of']} by dedup; a steward's verdict brought it back"
    for edge in edges[(edges["a"] == image) | (edges["b"] == image)].to_dict("records"):
        other = edge["b"] if edge["a"] == image else edge["a"]
        proof = _listed(edge, PROOF) if edge["evidence"] == "geometry" else ""
        yield "pair", f"{edge['relation']} with {other} by {edge['evidence']}{proof}"
    moved = f", {row['split']} before the stewards' pair verdicts" if row["split"] != now["split"] else ""
    yield "split", f"{now['split']} (group {now['group_id']}){moved}"


def _label(store: Store, image: str) -> Iterator[Line]:
    scores, queue = _read(store, LabelScores), _read(store, SuspectQueue)
    if scores is None:
        return
    found = scores[scores["image_id"] == image]
    if found.empty:
        yield "label", "has no score: its diagnosis is out of scope"
        return
    row = _row(scores, image)
    place = "" if queue is None or image not in set(queue["image_id"]) else f", place {_row(queue, image)['place']}"
    doubt = "suspect" if row["suspect"] else "ambiguous" if row["ambiguous"] else ""
    said = f"{doubt}{place}: {row['reason']}" if doubt else "no suspect"
    yield "label", f"wrong with probability {row['error_probability']:.3f}, {row['suggested']} suggested; {said}"
    yield "image", f"off topic with probability {row['off_topic']:.3f}"


def _decisions(root: Path, tree: Mapping[str, Any], image: str) -> Iterator[Line]:
    decisions = file.read(root / PATH).decisions
    try:
        states: list[str] = replay_ledger(read_curated(Store(root), tree), decisions).states
    except UserError:  # a stage before `replay` has not run
        states = [""] * len(decisions)
    for decision, state in zip(decisions, states, strict=True):
        if image in decision.subject:
            what = " ".join(filter(None, (decision.verdict, decision.to, decision.other_image_id)))
            where = f"queue {decision.queue}, line {decision.seq + 1}"
            said = f"{what} by {decision.steward}, {decision.decided_at}, {where}: {decision.reason}"
            yield "decision", f"{state}: {said}" if state else said


def _arm(store: Store, arm: str, image: str) -> Iterator[Line]:
    selection, exclusions = _read(store, Selection, arm), _read(store, Exclusions, arm)
    if selection is None or exclusions is None:
        return
    chosen, left = selection[selection["image_id"] == image], exclusions[exclusions["image_id"] == image]
    if len(chosen):
        row = _row(chosen, image)
        yield f"arm {arm}", f"in {row['split']} as {row['diagnosis']}, weight {row['weight']:.3g}"
    elif len(left):
        yield f"arm {arm}", f"out: {_row(left, image)['reason']}: {_row(left, image)['detail']}"
    else:
        yield f"arm {arm}", "not known there yet: run `dvc repro`"


def _prediction(store: Store, instance: str, image: str, diagnoses: list[str]) -> Iterator[Line]:
    predictions = _read(store, Predictions, instance)
    if predictions is None or image not in set(predictions["image_id"]):
        return
    place = predictions["image_id"].tolist().index(image)
    probabilities = store.vectors(Predictions, "probabilities", instance)[place]
    ranked = sorted(zip(probabilities, diagnoses, strict=True), reverse=True)[:3]
    yield "prediction", f"{instance}: " + ", ".join(f"{name} {value:.3f}" for value, name in ranked)


def _read(store: Store, table: type[Table], instance: str | None = None) -> pd.DataFrame | None:
    """Read a table; None where its stage has not run."""
    folder = store.root / "data" / table.stage() / (instance or "")
    return store.read(table, instance) if (folder / table.file_name()).exists() else None


def _row(frame: pd.DataFrame, image: str) -> dict[Hashable, Any]:
    return frame[frame["image_id"] == image].iloc[0].to_dict()


def _listed(row: Mapping[Hashable, Any], names: tuple[str, ...]) -> str:
    """List what is there of some columns, each after a comma."""
    known = {name: row[name] for name in names if not pd.isna(row[name])}
    shown = {name: f"{value:.3g}" if isinstance(value, float) else str(value) for name, value in known.items()}
    return "".join(f", {name} {value}" for name, value in shown.items())
