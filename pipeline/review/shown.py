"""What a steward is shown of a case: in words, and as one picture."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.core.shards import Pixels
from pipeline.core.store import Store
from pipeline.ledger.decisions import Decision
from pipeline.ledger.replay import DISPUTED, UNSIGNED, Subject, Verdicts
from pipeline.params import read_tree
from pipeline.review.effects import Curated, read_curated
from pipeline.review.keys import KEYS, MOST_DIGITS, OF_LABELS, OF_PAIRS
from pipeline.review.queues import LABELS, OFF_TOPIC, Case
from pipeline.review.sheets import sheet, warp_onto
from pipeline.stages.dedup.tables import Duplicates
from pipeline.stages.ingest.tables import open_pixels
from pipeline.stages.label_noise.tables import LabelScores, OffTopicQueue, SuspectQueue

NEAREST = 3
WIDTHS = {"pair": 240, "label": 160}  # pixels of a picture on a sheet
TEST = "TEST: changes the metric"


@dataclass(frozen=True)
class Tables:
    """What the stages wrote, opened once for a session, and the words and pictures made of it.

    tree: params.yaml.
    pixels: of the images, in the order of `curated.images`.
    """

    store: Store
    tree: Mapping[str, Any]
    curated: Curated
    pixels: Pixels

    @cached_property
    def images(self) -> pd.DataFrame:
        """The table Images by image_id."""
        return self.curated.images.set_index("image_id", drop=False)

    @cached_property
    def position(self) -> dict[str, int]:
        """Where each image is in `pixels`."""
        return {image: i for i, image in enumerate(self.curated.images["image_id"])}

    @cached_property
    def scores(self) -> dict[str, dict[Any, Any]]:
        """The table LabelScores by image_id, with the posterior of the given and of the suggested diagnosis."""
        frame, posterior = self.curated.scores, self.store.vectors(LabelScores, "posterior")
        place = {name: i for i, name in enumerate(self.curated.diagnoses)}
        rows = {}
        for row, values in zip(frame.to_dict("records"), posterior, strict=True):
            known = {name: float(values[place[row[name]]]) for name in ("given", "suggested") if row[name] in place}
            rows[str(row["image_id"])] = {**row, "posteriors": known}
        return rows

    @cached_property
    def edges(self) -> dict[tuple[str, str], tuple[dict[Any, Any], np.ndarray[Any, Any]]]:
        """The table Duplicates by pair, with the homography from a to b."""
        matrices = self.store.vectors(Duplicates, "transform").reshape(-1, 3, 3)
        rows = self.curated.duplicates.to_dict("records")
        return {(row["a"], row["b"]): (row, matrix) for row, matrix in zip(rows, matrices, strict=True)}

    @cached_property
    def suspects(self) -> pd.DataFrame:
        """By image_id of the queue of labels: minutes and errors that each stands for, errors beyond the queue."""
        frame = self.store.read(SuspectQueue).sort_values("place").set_index("image_id")
        so_far = frame[["minutes_so_far", "errors_so_far"]]
        steps = so_far.diff().fillna(so_far.head(1)).rename(columns=lambda name: name.removesuffix("_so_far"))
        return steps.assign(beyond=frame["errors_left"].min())

    @cached_property
    def off_topic(self) -> pd.DataFrame:
        """Likewise of the queue of images off topic, without minutes."""
        frame = self.store.read(OffTopicQueue).set_index("image_id")
        return pd.DataFrame({"errors": frame["off_topic"], "beyond": frame["off_topic_left"].min()})

    def progress(self, queue: str, cases: Sequence[Case], done: set[int]) -> str:
        """Say how far a queue has come.

        Args:
            queue: its name.
            cases: all of it.
            done: places of the cases that the steward has decided.

        """
        said = [f"{len(done)} of {len(cases)} decided"]
        steps = self.suspects if queue == LABELS else self.off_topic if queue == OFF_TOPIC else None
        if steps is not None and len(steps):
            listed = [case for case in cases if case.image_id in steps.index]
            sums = steps.loc[[case.image_id for case in listed]].sum()
            past = steps.loc[[case.image_id for case in listed if case.place in done]].sum()
            total = sums["errors"] + steps["beyond"].iloc[0]
            if "minutes" in steps:
                said.append(f"{past['minutes']:.1f} of {sums['minutes']:.0f} min")
            what = "off topic" if queue == OFF_TOPIC else "errors"
            said.append(f"{total - past['errors']:.0f} {what} left of about {total:.0f}")
        return " · ".join(said)

    def label(self, image: str, split: str) -> Iterator[str]:
        """Say what is known of a label, a paragraph each."""
        row, score = self.images.loc[image], self.scores.get(image)
        test = f" · **{TEST}**" if split == "test" else ""
        if score is None:
            yield f"### {row['diagnosis']}\n`{image}` · {split}{test} · out of scope, never judged"
        else:
            given, suggested = (f"{score[name]}{self._sure(score, name)}" for name in ("given", "suggested"))
            other = f"given **{given}** → suggested **{suggested}**" if score["given"] != score["suggested"] else given
            yield f"### {other}\n`{image}` · {split}{test} · wrong with probability {score['error_probability']:.2f}"
            yield str(score["reason"])
            if score["off_topic"] >= 0.1:  # noqa: PLR2004 - worth a line
                yield f"shows no skin with probability {score['off_topic']:.2f}"
        facts = {name: row[name] for name in ("label_evidence", "site", "age", "sex", "skin_tone")}
        known = [f"{name.removeprefix('label_')} {value}" for name, value in facts.items() if not pd.isna(value)]
        if known:
            yield " · ".join(known)

    def pair(self, case: Case, split: str) -> Iterator[str]:
        """Say what is known of a pair, a paragraph each."""
        test = f" · **{TEST}**" if split == "test" else ""
        a, b = (self.images.loc[image] for image in case.subject)
        found = self.edges.get((case.subject[0], case.subject[1]))
        relation = found[0]["relation"] if found else "declared by a steward"
        clash = " · **their labels contradict each other**" if a["diagnosis"] != b["diagnosis"] else ""
        yield f"### {relation}: A {a['diagnosis']}, B {b['diagnosis']}{clash}\n{split}{test}"
        for letter, row in (("A", a), ("B", b)):
            whose = f" · lesion {row['lesion_id']}" if isinstance(row["lesion_id"], str) else ""
            yield f"{letter} `{row['image_id']}`{whose} · {row['licence']}"
        if found:
            edge = found[0]
            yield (
                f"proof by {edge['evidence']}: correlation {edge['correlation']:.2f}, overlap {edge['overlap']:.2f}, "
                f"{edge['inliers']} inliers"
            )

    def keys(self, *, pair: bool) -> str:
        """List the keys."""
        letters = OF_PAIRS if pair else OF_LABELS
        said = " · ".join(f"**{key}** {KEYS[key][1]}" for key in letters)
        if pair:
            return said
        digits = enumerate(self.curated.diagnoses[:MOST_DIGITS], start=1)
        return said + "\n\n" + " · ".join(f"**{i}** {name}" for i, name in digits)

    def picture(self, case: Case, folder: Path) -> Path | None:
        """Draw the sheet of a case, once, and return its file; None where there is nothing beside the image itself.

        Of a pair: A, B, and B warped onto A. Of a label: the nearest examples of the given and the suggested diagnosis.
        """
        kind = "pair" if case.other else "label"
        name = hashlib.sha256("\n".join((self.curated.digest, *case.subject)).encode()).hexdigest()[:32]
        path = folder / f"{name}.jpeg"
        if path.exists():
            return path
        rows = self._pair_rows(case) if case.other else self._nearest_rows(case.image_id)
        if not rows:
            return None
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = path.with_suffix(f".{threading.get_ident()}")  # it is drawn ahead and on demand
        sheet(rows, width=WIDTHS[kind]).save(temporary, "JPEG", quality=92)
        temporary.replace(path)
        return path

    def _pair_rows(self, case: Case) -> list[list[tuple[np.ndarray[Any, Any], str]]]:
        a, b = (self._pixels_of(image) for image in case.subject)
        row = [(a, f"A {self._diagnosis(case.subject[0])}"), (b, f"B {self._diagnosis(case.subject[1])}")]
        if found := self.edges.get((case.subject[0], case.subject[1])):
            row.append((warp_onto(b, a, found[1]), "B onto A"))
        return [row]

    def _nearest_rows(self, image: str) -> list[list[tuple[np.ndarray[Any, Any], str]]]:
        score = self.scores.get(image)
        if score is None:
            return []
        kinds = ["given"] if score["given"] == score["suggested"] else ["given", "suggested"]
        rows = []
        for kind in kinds:
            near = list(score[f"nearest_{kind}"])[:NEAREST]
            rows.append([(self._pixels_of(other), f"{score[kind]}: {other}") for other in near])
        return [row for row in rows if row]

    def _pixels_of(self, image: str) -> np.ndarray[Any, Any]:
        return self.pixels[self.position[image]]

    def _diagnosis(self, image: str) -> str:
        return str(self.images.loc[image, "diagnosis"])

    @staticmethod
    def _sure(score: Mapping[str, Any], name: str) -> str:
        return f" ({score['posteriors'][name]:.2f})" if name in score["posteriors"] else ""


def open_tables(root: Path) -> Tables:
    """Open what the stages wrote.

    Raises:
        UserError: a stage has not run.

    """
    store, tree = Store(root), read_tree(root / "params.yaml")
    curated = read_curated(Store(root), tree)  # its digest is of what this store alone has read
    return Tables(store, tree, curated, open_pixels(store, curated.images))


def earlier(words: Sequence[Decision]) -> list[str]:
    """Say what was decided before, the latest first."""
    said = []
    for word in reversed(words):
        note = f": {word.reason}" if word.reason else ""
        said.append(f"{word.words} by {word.steward}, {word.decided_at[:16]}{note}")
    return said


def in_words(verdicts: Verdicts) -> dict[Subject, str]:
    """Say of every image or pair what is in force, or what is said and does not hold yet."""
    said = {}
    for subject, words in verdicts.last.items():
        held = verdicts.images.get(subject[0]) if len(subject) == 1 else verdicts.pairs.get((subject[0], subject[1]))
        all_words = ", ".join(f"{word.words} ({word.steward})" for word in ([held] if held else words))
        open_state = DISPUTED if len({word.meaning for word in words}) > 1 else UNSIGNED
        said[subject] = all_words if held else f"{open_state}: {all_words}"
    return said
