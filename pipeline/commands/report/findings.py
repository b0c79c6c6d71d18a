"""What was found, with pictures: rejected files, copies, contradictions, labels in doubt, no skin, and the splits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from pipeline.commands.report.pictures import Album, Picture
from pipeline.commands.report.run import Run
from pipeline.commands.report.summary import words_of
from pipeline.core.grouping import SPLITS
from pipeline.stages.ingest.tables import Reason
from pipeline.stages.rebalance.arms import OFF_TOPIC

PAIRS, SUSPECTS, STRAYS, LISTED = 8, 8, 18, 50  # that are shown; rows of a long table
NEAREST = 3
REMEDIES: dict[Reason, str] = {
    "not_an_image": "the file is no picture: fetch it again, or leave it",
    "truncated": "the file ends too early: fetch it again",
    "empty_file": "the file holds nothing: fetch it again",
    "too_large": "raise ingest.limits, or store it smaller",
    "undecodable": "no reader decodes it: convert it",
    "unknown_label": "add the label to the taxonomy",
    "no_label": "give the image a label, or leave it out",
    "image_missing": "a row of the table has no image: fetch the rest of the archive",
    "metadata_missing": "an image has no row in the table: complete the table",
    "unsupported_format": "convert it to JPEG or PNG",
    "repeated_id": "two rows have one id: mend the table",
    "malformed_row": "mend the table's row",
    "implausible_value": "mend the value in the table",
    "blank": "the image shows one colour: fetch it again",
}


@dataclass(frozen=True)
class Shown:
    """An image in a figure: its picture, and lines that say what it is."""

    picture: Picture
    image: str
    alt: str
    lines: Sequence[str]


@dataclass(frozen=True)
class Pair:
    """Two images with the proof that they belong together."""

    title: str
    images: Sequence[Shown]
    names: str
    proof: str
    split: str


@dataclass(frozen=True)
class Suspect:
    """A label in doubt, with the nearest examples of the given and of the suggested diagnosis."""

    place: int
    image: Shown
    given: str
    suggested: str
    probability: float
    reason: str
    split: str
    nearest: Sequence[tuple[str, Sequence[Shown]]]


def rejected(run: Run) -> dict[str, Any]:
    """List the rejected files by reason, and one by one."""
    rejects = run.facts.rejects.sort_values(["batch", "source_id"])
    counts = run.results["rejects_by_reason"]
    columns = zip(rejects["batch"], rejects["source_id"], rejects["reason"], rejects["detail"], strict=True)
    files = [(batch, source, words_of(reason), detail) for batch, source, reason, detail in columns]
    return {
        "reasons": [(words_of(name), count, REMEDIES[name]) for name, count in counts.items()],
        "files": files[:LISTED],
        "total": len(files),
    }


def copies(run: Run, album: Album) -> list[Pair]:
    """Show the copies that agree in their label, the weakest proof by geometry first: where an error would be."""
    edges = run.facts.duplicates
    same = edges["a"].map(run.rows["diagnosis"]) == edges["b"].map(run.rows["diagnosis"])
    shown = edges[same & (edges["relation"] == "copy")].assign(exact=edges["evidence"] != "geometry")
    shown = shown.sort_values(["exact", "correlation", "a", "b"])
    return [_pair(run, album, row) for row in _one_a_group(run, shown).to_dict("records")]


def contradictions(run: Run, album: Album) -> list[Pair]:
    """Show pairs that contradict each other: of unlike diagnoses first, those on test before the others."""
    listed = run.conflicts.assign(on_test=run.conflicts["a"].map(run.rows["split"]) == "test")
    order = ["across_diagnoses", "on_test", "relation", "a", "b"]
    listed = _one_a_group(run, listed.sort_values(order, ascending=[False, False, True, True, True]))
    edges = run.facts.duplicates.set_index(["a", "b"], drop=False)
    return [_pair(run, album, edges.loc[(a, b)].to_dict()) for a, b in zip(listed["a"], listed["b"], strict=True)]


def list_contradictions(run: Run) -> list[tuple[Any, ...]]:
    """List them all for a table: image, diagnosis, image, diagnosis, relation, evidence, split."""
    columns = ["a", "diagnosis_a", "b", "diagnosis_b", "relation", "evidence"]
    rows = run.conflicts[columns].assign(split=run.conflicts["a"].map(run.rows["split"]))
    return [tuple(words_of(v) if i not in {0, 2} else v for i, v in enumerate(row)) for row in rows.to_numpy()]


def suspects(run: Run, album: Album) -> list[Suspect]:
    """Show the first labels of the review queue, with what is near them."""
    queue = run.facts.suspect_queue.sort_values("place").head(SUSPECTS)
    return [_suspect(run, album, image, place) for image, place in zip(queue["image_id"], queue["place"], strict=True)]


def off_topic(run: Run, album: Album) -> dict[str, list[Shown]]:
    """Show what may show no skin: what the policy left out, and what waits for a person, the most probable first."""
    exclusions = run.facts.exclusions[run.arm]
    out = exclusions.loc[exclusions["reason"] == OFF_TOPIC, "image_id"]
    probability = run.scores["off_topic"]
    by_policy = probability.loc[out].sort_values(ascending=False, kind="stable").head(STRAYS)
    queue = run.facts.off_topic_queue.sort_values("place").head(STRAYS)["image_id"]

    def show(image: str) -> Shown:
        lines = [f"{probability[image]:.1%} no skin", f"filed as {words_of(run.diagnosis(image))}", image]
        return _shown(run, album, image, lines)

    return {
        "left out by the policy": [show(image) for image in by_policy.index],
        "waiting for a person": [show(image) for image in queue],
    }


def splits(run: Run) -> dict[str, Any]:
    """Count images by split and diagnosis, and what a split that knew no groups would have leaked."""
    groups, selection = run.facts.groups, run.facts.selections[run.arm]
    by_split = pd.crosstab(selection["diagnosis"], selection["split"]).reindex(columns=SPLITS, fill_value=0)
    kept = groups[groups["duplicate_of"].isna()]
    sets = [
        (
            split,
            int((groups["split"] == split).sum()),
            int((kept["split"] == split).sum()),
            int((selection["split"] == split).sum()),
            int(groups.loc[groups["split"] == split, "group_id"].nunique()),
        )
        for split in SPLITS
    ]
    return {
        "sets": sets,
        "classes": [(words_of(str(name)), *map(int, row)) for name, row in by_split.iterrows()],
        "leaked": leaks_of_a_random_split(groups),
        "test": int((groups["split"] == "test").sum()),
        "groups": int((groups["group_id"].value_counts() > 1).sum()),
    }


def leaks_of_a_random_split(groups: pd.DataFrame) -> float:
    """Count the test images with one of their group in train, were each image drawn to a split on its own.

    P(leak) = 1 - (1 - p)^(n - 1) for an image of a group of n, where p is train's share of all images; the mean of it
    over all images, times the images of test.

    Args:
        groups: the table Groups.

    """
    sizes = groups["group_id"].map(groups["group_id"].value_counts())
    share = (groups["split"] == "train").mean()
    return float((1 - (1 - share) ** (sizes - 1)).mean() * (groups["split"] == "test").sum())


def _one_a_group(run: Run, pairs: pd.DataFrame) -> pd.DataFrame:
    """Take the first pairs, each of another group: five copies of one image would show the same five times."""
    group = pairs["a"].map(run.facts.groups.set_index("image_id")["group_id"])
    return pairs[~group.duplicated()].head(PAIRS)


def _pair(run: Run, album: Album, row: dict[Any, Any]) -> Pair:
    a, b = str(row["a"]), str(row["b"])
    names = [words_of(run.diagnosis(image)) for image in (a, b)]
    images = [
        _shown(run, album, image, [f"{letter}: {name}", _standing(run, image)])
        for letter, name, image in zip("AB", names, (a, b), strict=True)
    ]
    laid = f"A laid over B: {a} warped onto {b}, its outline in green"
    images.append(Shown(album.overlay(a, b), "", laid, ["A laid over B"]))
    relation = "the same photograph" if row["relation"] == "copy" else "another photograph of the lesion"
    proof = f"{relation}, by {row['evidence']}"
    if row["evidence"] == "geometry":
        proof += f": correlation {row['correlation']:.2f}, overlap {row['overlap']:.0%}, {row['inliers']} inliers"
    title = names[0] if names[0] == names[1] else f"{names[0]} or {names[1]}?"
    return Pair(title, images, f"A {a}, B {b}", proof, str(run.rows.loc[a, "split"]))


def _standing(run: Run, image: str) -> str:
    why = run.rows.loc[image, "excluded"]
    if not isinstance(why, str):
        return "kept"
    reason = why.partition(":")[0]
    return "removed as a copy" if reason == "duplicate" else f"left out: {words_of(reason)}"


def _suspect(run: Run, album: Album, image: str, place: int) -> Suspect:
    score = run.scores.loc[image].to_dict()
    given, suggested = words_of(score["given"]), words_of(score["suggested"])
    kinds = ["given"] if given == suggested else ["given", "suggested"]
    nearest = []
    for kind in kinds:
        name = words_of(score[kind])
        near = [_shown(run, album, other, [other], what=name) for other in list(score[f"nearest_{kind}"])[:NEAREST]]
        nearest.append((f"nearest {name}", near))
    return Suspect(
        place=int(place),
        image=_shown(run, album, image, [image]),
        given=given,
        suggested=suggested,
        probability=float(score["error_probability"]),
        reason=str(score["reason"]),
        split=str(run.rows.loc[image, "split"]),
        nearest=nearest,
    )


def _shown(run: Run, album: Album, image: str, lines: Sequence[str], *, what: str = "") -> Shown:
    name = what or words_of(run.diagnosis(image))
    return Shown(album.thumbnail(image), image, f"{image}, given as {name}", lines)
