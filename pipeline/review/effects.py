"""What a decision changes in the curated arm: the arm is built with it and without it, and the two are compared.

So the answer is the same that the next `dvc repro` gives, and a decision that changes nothing says why.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from pipeline.core.errors import UserError
from pipeline.core.store import Store
from pipeline.core.taxonomy import diagnoses_in_scope
from pipeline.ledger.decisions import COPY_OF, NOT_A_DUPLICATE, WITHDRAW, Decision
from pipeline.ledger.replay import CONTROLS, DISPUTED, STALE, SUPERSEDED, UNSIGNED, Subject, Verdicts
from pipeline.params import stage_params
from pipeline.stages.dedup.tables import Duplicates, Groups
from pipeline.stages.ingest.tables import Images
from pipeline.stages.label_noise.tables import LabelScores
from pipeline.stages.rebalance.arms import apply_arm, join_facts, with_sureness
from pipeline.stages.rebalance.params import RebalanceParams
from pipeline.stages.rebalance.tables import HEADLINE_ARM
from pipeline.stages.replay.apply import apply_ledger, in_force
from pipeline.stages.replay.params import ReplayParams

COMPARED = ("split", "group_id", "diagnosis", "reason", "factor", "soft")


@dataclass(frozen=True)
class Curated:
    """All that decides what the curated arm holds, but for the ledger.

    diagnoses: those in scope.
    digest: SHA-256 of the tables' files.
    """

    images: pd.DataFrame
    groups: pd.DataFrame
    duplicates: pd.DataFrame
    scores: pd.DataFrame
    replay: ReplayParams
    rebalance: RebalanceParams
    diagnoses: list[str]
    digest: str


@dataclass(frozen=True)
class Built:
    """The curated arm under a ledger.

    verdicts: what the ledger comes to.
    rows: by image_id: split, group_id, duplicate_of, given, diagnosis, reason ("" where it is in), detail, factor.
    """

    verdicts: Verdicts
    rows: pd.DataFrame


def read_curated(store: Store, tree: Mapping[str, Any]) -> Curated:
    """Read the tables.

    Args:
        store: the project.
        tree: params.yaml, checked.

    Raises:
        UserError: a table is missing, they are of different images, or params.yaml does not list the curated arm.

    """
    of_replay, of_rebalance = stage_params(tree, "replay", None), stage_params(tree, "rebalance", HEADLINE_ARM)
    assert isinstance(of_replay, ReplayParams)  # noqa: S101 - what `stage_params` looks up by name
    assert isinstance(of_rebalance, RebalanceParams)  # noqa: S101 - likewise
    images = store.read(Images, tree["batches"])
    groups, duplicates = store.read(Groups), store.read(Duplicates)
    scores = with_sureness(store.read(LabelScores), store.vectors(LabelScores, "posterior"))
    if set(images["image_id"]) != set(groups["image_id"]):
        raise UserError("data/dedup is of other images than data/ingest: run `dvc repro`")
    digest = hashlib.sha256()
    for relative in sorted(store.reads):
        if relative.endswith(".parquet"):
            digest.update((store.root / relative).read_bytes())
    diagnoses = diagnoses_in_scope(images["diagnosis"], of_rebalance.classes)
    return Curated(images, groups, duplicates, scores, of_replay, of_rebalance, diagnoses, digest.hexdigest())


def replay_ledger(curated: Curated, decisions: Sequence[Decision]) -> Verdicts:
    """Say what a ledger comes to, without building the arm."""
    c = curated
    return apply_ledger(decisions, c.images, c.groups, c.duplicates, c.replay)[0]


def build(curated: Curated, decisions: Sequence[Decision]) -> Built:
    """Build the curated arm under a ledger, without weights."""
    c = curated
    verdicts, reviewed = apply_ledger(decisions, c.images, c.groups, c.duplicates, c.replay)
    facts = join_facts(c.images, c.groups, reviewed, c.scores, in_force(verdicts))
    rows = apply_arm(
        facts,
        c.rebalance.arms[HEADLINE_ARM],
        policy=c.rebalance.label_policy,
        diagnoses=c.diagnoses,
    )
    return Built(verdicts, rows.set_index("image_id"))


@dataclass(frozen=True)
class Prepared:
    """What can be known of a case before anybody says a word: half of what `complete` takes.

    subject: the case.
    decisions: the ledger that it holds for.
    part: the tables, of the images that a verdict on the case can reach.
    before: the arm as it is, of these images.
    """

    subject: Subject
    decisions: list[Decision]
    part: Curated
    before: Built


def prepare(curated: Curated, decisions: Sequence[Decision], subject: Subject) -> Prepared:
    """Build the arm as it is, as far as a verdict on a case can reach.

    Args:
        curated: the tables.
        decisions: the ledger so far.
        subject: the case.

    """
    near = _reach(curated, decisions, subject)
    tables = (curated.images, curated.groups, curated.scores)
    images, groups, scores = (frame[frame["image_id"].isin(near)].reset_index(drop=True) for frame in tables)
    edges = curated.duplicates[curated.duplicates["a"].isin(near)].reset_index(drop=True)
    part = replace(curated, images=images, groups=groups, scores=scores, duplicates=edges)
    return Prepared(subject, list(decisions), part, build(part, decisions))


def complete(
    curated: Curated, decisions: Sequence[Decision], decision: Decision, prepared: Prepared | None = None
) -> Decision:
    """Fill in what was shown (suggestion, error probability, split, digest of the tables) and what will change.

    Only the images that a verdict can reach are built, so it takes milliseconds. What the first decision of a second
    steward does to verdicts elsewhere, which then wait for a signature, is the report's to say.

    Args:
        curated: the tables.
        decisions: the ledger so far.
        decision: what comes next.
        prepared: from `prepare`; of another case or ledger it is not used.

    """
    known = list(decisions)
    if prepared is None or prepared.subject != decision.subject or prepared.decisions != known:
        prepared = prepare(curated, known, decision.subject)
    before, after, scores = prepared.before, build(prepared.part, [*known, decision]), prepared.part.scores
    scored = scores[scores["image_id"] == decision.image_id]
    return replace(
        decision,
        suggested=str(scored["suggested"].iloc[0]) if len(scored) else "",
        posterior=f"{scored['error_probability'].iloc[0]:.4f}" if len(scored) else "",
        split=str(before.rows.loc[decision.image_id, "split"]),
        tables=curated.digest,
        effect=_effect(decision, before, after),
    )


def _reach(curated: Curated, decisions: Sequence[Decision], subject: Subject) -> set[str]:
    """List the images of the subject's groups, and of all groups that pair verdicts tie to them, in force or not."""
    group = dict(zip(curated.groups["image_id"].tolist(), curated.groups["group_id"].tolist(), strict=True))
    pairs = [d.subject for d in decisions if d.other_image_id and set(d.subject) <= group.keys()]
    reached, more = set[str](), {group[image] for image in subject}
    while more:
        reached |= more
        tied = ({group[a], group[b]} for a, b in pairs)
        more = {other for ends in tied if ends & reached for other in ends} - reached
    return {image for image, of in group.items() if of in reached}


def _effect(decision: Decision, before: Built, after: Built) -> str:
    changes = list(changed(before.rows, after.rows))
    others = [word for word in after.verdicts.last.get(decision.subject, ()) if word.person != decision.person]
    said = " and ".join(f"{word.steward} says {word.words}" for word in others)
    if not changes:
        changes = [f"changes nothing: {_why_nothing(decision, before, after, said)}"]
    elif after.verdicts.states[-1] == DISPUTED:
        changes.append(f"the case is disputed: {said}")
    return "; ".join(changes)


def changed(before: pd.DataFrame, after: pd.DataFrame) -> Iterator[str]:
    """Say in words what became of every image that is another in one build of the arm than in the other.

    Args:
        before: `rows` of Built.
        after: likewise, of the same images.

    """
    old, new = before.loc[:, list(COMPARED)], after.loc[before.index, list(COMPARED)]
    for image in before.index[(old != new).any(axis=1)]:
        a, b = old.loc[image], new.loc[image]
        if a["reason"] and not b["reason"]:
            yield f"{image} returns to {b['split']} as {b['diagnosis']}"
        elif b["reason"] and not a["reason"]:
            yield f"{image} leaves {a['split']} ({after.loc[image, 'detail']})"
        elif a["reason"] != b["reason"]:
            yield f"{image} stays out, now by {b['reason']} ({after.loc[image, 'detail']})"
        elif not b["reason"] and a["diagnosis"] != b["diagnosis"]:
            yield f"{image} in {b['split']} becomes {b['diagnosis']}, was {a['diagnosis']}"
        elif a["split"] != b["split"]:
            yield f"{image} moves from {a['split']} to {b['split']}"
        elif a["group_id"] != b["group_id"]:
            yield f"{image} is in the group of {b['group_id']}, was in that of {a['group_id']}"
        elif not b["reason"] and a["soft"] != b["soft"]:
            how = (
                "is shared out over the diagnoses as they are probable" if b["soft"] else f"counts as {b['diagnosis']}"
            )
            yield f"{image} in {b['split']} {how}"
        elif not b["reason"]:
            counts = "in full" if b["factor"] == 1 else f"as {b['factor']:.2g} of an image"
            yield f"{image} in {b['split']} counts {counts} as {b['diagnosis']}, was {a['factor']:.2g}"


def without_effect(curated: Curated, decisions: Sequence[Decision]) -> list[bool]:
    """Say of every decision whether its images are, for all that is decided, what they would be without a ledger."""
    whole = build(curated, decisions)
    bare = build(curated, [])
    same = (whole.rows[list(COMPARED)] == bare.rows[list(COMPARED)]).all(axis=1)
    return [all(bool(same.get(image, True)) for image in decision.subject) for decision in decisions]


def _why_nothing(decision: Decision, before: Built, after: Built, others: str) -> str:
    state, row = after.verdicts.states[-1], before.rows.loc[decision.image_id]
    reasons = {
        DISPUTED: f"the case is disputed: {others}",
        UNSIGNED: f"it is on {row['split']}, and waits for a second steward to say the same",
        CONTROLS: "it is a control case",
        STALE: "it was not decided on what is there",
        SUPERSEDED: "it is overtaken",
    }
    if state in reasons:
        return reasons[state]
    if decision.verdict == WITHDRAW:
        return "what it takes back had changed nothing"
    if others:
        return f"{others} already"
    if decision.other_image_id:
        return _why_nothing_of_pair(decision, after)
    if row["reason"]:
        return f"{decision.image_id} is out all the same ({row['detail']})"
    return "that is how it is already"


def _why_nothing_of_pair(decision: Decision, after: Built) -> str:
    groups = set(after.rows.loc[list(decision.subject), "group_id"])
    if decision.verdict == NOT_A_DUPLICATE and len(groups) == 1:
        return "other ties (patient, lesion, other pairs) keep the two in one group"
    return "they are copies already" if decision.verdict == COPY_OF else "the pair is so already"
