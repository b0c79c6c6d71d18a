"""Build an arm: who is in, who is out and why.

All arms share the validation and test sets of the curated dataset: copies removed, stewards' decisions applied, and
never touched by the automatic policy, or the metric would flatter itself. The switches of an arm act on train alone.

What the policy does to a suspect is the arm's `label_policy`: `drop` leaves it out or lets it count less, `weigh` lets
every label count as it is probable, `soft` shares a doubted label out by the judge's posterior, `relabel` takes a sure
suggestion at its word. Under each of them what shows no skin is left out.

What a verdict does: `keep` and `relabel` overrule the automatic policy (the image stays, with full weight); `drop`
takes the image out; `not_sure` leaves it to the policy, and in train it counts as a down-weighted image at most. A
verdict on an image never brings a copy back, not even a `drop` of the image it copies: only a pair verdict does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.ledger.decisions import DROP, KEEP, NOT_SURE, RELABEL
from pipeline.stages.rebalance.balance import balance_classes
from pipeline.stages.rebalance.params import Arm, Balance, LabelPolicy
from pipeline.stages.rebalance.tables import REASONS

OUT_OF_SCOPE, DUPLICATE, OFF_TOPIC, LABEL_POLICY, STEWARD, RANDOM_CONTROL = REASONS
LEAST_FACTOR = 0.01  # of an image whose label is surely wrong: weights are positive


def join_facts(
    images: pd.DataFrame,
    groups: pd.DataFrame,
    reviewed: pd.DataFrame,
    scores: pd.DataFrame,
    decisions: pd.DataFrame,
) -> pd.DataFrame:
    """Join what is known of every image, one row an image, sorted.

    Args:
        images: the table Images.
        groups: Groups as `dedup` wrote them.
        reviewed: the table ReviewedGroups; its split and group hold in every arm.
        scores: from `with_sureness`; an image without a row has no score.
        decisions: the table Decisions; an image without a row has no verdict.

    """
    facts = images[["image_id", "diagnosis"]].rename(columns={"diagnosis": "given"})
    facts = facts.merge(reviewed, on="image_id", validate="one_to_one")
    automatic = groups[["image_id", "duplicate_of"]].rename(columns={"duplicate_of": "automatic_duplicate_of"})
    facts = facts.merge(automatic, on="image_id", validate="one_to_one")
    numbers = scores[["image_id", "error_probability", "off_topic", "suggested", "suggested_probability"]]
    facts = facts.merge(numbers, on="image_id", how="left", validate="one_to_one")
    facts = facts.merge(decisions, on="image_id", how="left", validate="one_to_one").sort_values("image_id")
    facts["verdict"], facts["steward"] = facts["verdict"].fillna(""), facts["steward"].fillna("")
    facts["audited"] = facts["to"].fillna(facts["given"])
    return facts.reset_index(drop=True)


def with_sureness(scores: pd.DataFrame, posterior: NDArray[np.floating]) -> pd.DataFrame:
    """Add to the table LabelScores how probable the suggested diagnosis is, from its `posterior` (images, classes)."""
    return scores.assign(suggested_probability=posterior.max(axis=1, initial=0.0))


def apply_arm(facts: pd.DataFrame, arm: Arm, *, policy: LabelPolicy, diagnoses: list[str]) -> pd.DataFrame:
    """Add to every image its diagnosis in this arm, the reason why it is out ("" if in), detail, and what it counts.

    `factor` is what it counts beside others of its class; `soft`, whether its label is shared out by the posterior.

    Args:
        facts: from `join_facts`.
        arm: its switches; a control's random removal is not done here.
        policy: thresholds.
        diagnoses: those in scope.

    """
    train = facts["split"] == "train"
    heard = ~train | arm.decisions
    verdict = facts["verdict"].where(heard, "")
    diagnosis = facts["audited"].where(heard, facts["given"])
    copy_of = (
        facts["duplicate_of"].where(heard, facts["automatic_duplicate_of"]).where(~train | arm.drop_duplicates, None)
    )
    policed = train & (arm.label_policy != "none") & ~verdict.isin([KEEP, RELABEL])
    error, far = facts["error_probability"], facts["off_topic"]
    relabelled = (
        policed
        & (arm.label_policy == "relabel")
        & (facts["suggested"] != diagnosis)
        & (facts["suggested_probability"] >= policy.relabel_min_probability)
    )
    diagnosis = diagnosis.where(~relabelled, facts["suggested"])
    dropping = policed & (arm.label_policy == "drop")
    rules = [
        (OUT_OF_SCOPE, ~diagnosis.isin(diagnoses), diagnosis),
        (DUPLICATE, copy_of.notna(), "copy of " + copy_of.astype("string").fillna("")),
        (STEWARD, verdict == DROP, "dropped by " + facts["steward"]),
        (OFF_TOPIC, policed & (far >= policy.exclude_min_off_topic), far.map("off_topic {:.3f}".format)),
        (LABEL_POLICY, dropping & (error >= policy.exclude_min_error_probability), error.map("p(error) {:.3f}".format)),
    ]
    factor = pd.Series(1.0, facts.index)
    if arm.label_policy == "weigh":
        factor = factor.where(~policed | error.isna(), (1 - error).clip(lower=LEAST_FACTOR))
    lowered = (dropping & (error >= policy.downweight_min_error_probability)) | (train & (verdict == NOT_SURE))
    conditions = [np.asarray(condition, dtype=bool) for _, condition, _ in rules]
    return facts.assign(
        diagnosis=diagnosis,
        reason=np.select(conditions, [np.full(len(facts), reason, dtype=object) for reason, _, _ in rules], ""),
        detail=np.select(conditions, [detail.to_numpy(dtype=object) for _, _, detail in rules], ""),
        factor=factor.where(~lowered, np.minimum(factor, policy.downweight_to)),
        soft=policed & (arm.label_policy == "soft") & (error >= policy.soften_min_error_probability),
        relabelled=relabelled,
    )


def remove_at_random(
    built: pd.DataFrame, followed: pd.DataFrame, *, arm: str, rng: np.random.Generator
) -> pd.DataFrame:
    """Take out of train as many images of each given diagnosis as the followed arm does, drawn at random.

    Args:
        built: the control's own images, from `apply_arm`.
        followed: the same images in the followed arm.
        arm: name of the followed arm.
        rng: draws.

    """
    pool = (built["split"] == "train") & (built["reason"] == "")
    missing = pool & (followed["reason"] != "")
    result = built.copy()
    for diagnosis, count in built.loc[missing, "given"].value_counts().sort_index().items():
        rows = built.index[pool & (built["given"] == diagnosis)]
        drawn = rng.choice(rows, size=count, replace=False)
        result.loc[drawn, "reason"] = RANDOM_CONTROL
        result.loc[drawn, "detail"] = f"as {arm} takes out {count} of {diagnosis}"
    return result


def build_arm(
    facts: pd.DataFrame,
    name: str,
    *,
    arms: Mapping[str, Arm],
    policy: LabelPolicy,
    diagnoses: list[str],
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Apply one arm to every image, a control's random removal included."""
    built = apply_arm(facts, arms[name], policy=policy, diagnoses=diagnoses)
    other = arms[name].random_removal_as
    if other is None:
        return built
    followed = apply_arm(facts, arms[other], policy=policy, diagnoses=diagnoses)
    return remove_at_random(built, followed, arm=other, rng=rng)


def select(
    built: pd.DataFrame, balance: Balance, *, posterior: pd.DataFrame, diagnoses: Sequence[str]
) -> tuple[pd.DataFrame, NDArray[np.float32]]:
    """Return the rows of Selection, and its vector `target`.

    Args:
        built: from `apply_arm` or `build_arm`.
        balance: the policy for rare classes.
        posterior: probability of each diagnosis (columns) by image_id, of the images that have a score.
        diagnoses: those in scope, in the order of the vector.

    """
    chosen = built[built["reason"] == ""].copy()
    target = (chosen["diagnosis"].to_numpy()[:, None] == np.asarray(diagnoses)).astype(np.float32)
    soft = chosen["soft"].to_numpy(dtype=bool)
    target[soft] = share_out(
        posterior.loc[chosen["image_id"][soft], list(diagnoses)].to_numpy(dtype=float),
        given=target[soft] > 0,
        error=chosen["error_probability"].to_numpy(dtype=float)[soft],
    )
    train = (chosen["split"] == "train").to_numpy()
    chosen[["weight", "draws"]] = 1.0
    weight, draws = balance_classes(target[train].astype(float), chosen["factor"].to_numpy()[train], balance)
    chosen.loc[train, "weight"], chosen.loc[train, "draws"] = weight, draws
    return chosen[["image_id", "split", "group_id", "given", "diagnosis", "weight", "draws"]], target


def share_out(
    posterior: NDArray[np.floating], *, given: NDArray[np.bool_], error: NDArray[np.floating]
) -> NDArray[np.floating]:
    """Share labels out: of the given diagnosis what it is not wrong by, of the others the rest, as they are probable.

    That is the posterior, but where more than the image speaks against a label, such as a copy with another one.

    Args:
        posterior: (images, classes); rows sum to 1.
        given: (images, classes) which is the given one; one a row.
        error: (images,) probability that it is wrong.

    Returns:
        (images, classes); rows sum to 1. A label without any alternative stays whole.

    """
    others = np.where(given, 0.0, posterior)
    rest = others.sum(axis=1)
    wrong = np.where(rest > 0, error, 0.0)
    shared: NDArray[np.floating] = others * (wrong / np.where(rest > 0, rest, 1.0))[:, None]
    return np.where(given, 1.0 - wrong[:, None], shared)


def exclude(built: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of Exclusions."""
    return built.loc[built["reason"] != "", ["image_id", "reason", "detail"]]


def find_doubts(selection: pd.DataFrame, diagnoses: list[str]) -> list[str]:
    """Say in sentences what cannot be learnt from a selection, or not be measured on it.

    Args:
        selection: from `select`.
        diagnoses: those in scope.

    """
    if len(diagnoses) == 1:
        return [f"all images are of one diagnosis, {diagnoses[0]}: there is nothing to learn, and no label to judge"]
    doubts = []
    for split, consequence in (("train", "no network learns them"), ("test", "no figure says how they are told")):
        there = set(selection.loc[selection["split"] == split, "diagnosis"])
        lacking = [diagnosis for diagnosis in diagnoses if diagnosis not in there]
        if lacking:
            doubts.append(f"{split} has no image of {', '.join(lacking)}: {consequence}")
    return doubts


def summarise(built: pd.DataFrame, selection: pd.DataFrame) -> dict[str, Any]:
    """Count images by split and diagnosis, exclusions by reason, and give weight and draws of a full image by class."""
    train = selection[selection["split"] == "train"]
    full = train[train["image_id"].isin(built.loc[(built["factor"] == 1.0) & ~built["soft"], "image_id"])]
    lowered = train["image_id"].isin(built.loc[built["factor"] < 1.0, "image_id"])
    by_class = full.groupby("diagnosis")[["weight", "draws"]].first()
    counts = selection.groupby(["split", "diagnosis"]).size()
    return {
        "images": {"all": len(built), "selected": len(selection), "excluded": len(built) - len(selection)},
        "splits": {
            split: {diagnosis: int(count) for diagnosis, count in part.droplevel("split").items()}
            for split, part in counts.groupby(level="split")
        },
        "excluded": {reason: int((built["reason"] == reason).sum()) for reason in REASONS},
        "downweighted": int(lowered.sum()),
        "shared_out": int(train["image_id"].isin(built.loc[built["soft"], "image_id"]).sum()),
        "relabelled_by_policy": int(train["image_id"].isin(built.loc[built["relabelled"], "image_id"]).sum()),
        "weights": {diagnosis: round(float(weight), 6) for diagnosis, weight in by_class["weight"].items()},
        "draws": {diagnosis: round(float(draws), 6) for diagnosis, draws in by_class["draws"].items()},
    }
