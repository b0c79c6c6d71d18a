"""From the tags that a steward set in the App to decisions for the ledger.

A tag is a verdict: `keep`, `drop`, `not_sure`, `relabel:<diagnosis>`, and about a pair `same_lesion:<image_id>` or
`not_a_duplicate:<image_id>`; on a copy the two may stand alone and then mean the image that it is a copy of.
`copy_of:<image_id>` declares a copy that was missed. `withdraw` takes back what the same steward said of the image, and
`withdraw:<image_id>` of the pair. Other tags are the steward's own business; but one that looks like a misspelt verdict
is named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter

import pandas as pd

from pipeline.ledger.decisions import LABEL_VERDICTS, PAIR_VERDICTS, RELABEL, VERDICTS, WITHDRAW, Decision
from pipeline.ledger.replay import Subject

TOOL = "review"
NEAR = 2  # edits that a misspelt verdict may be away from one
BULK = 20  # images with the same tag beyond which somebody is asked whether that was meant


@dataclass(frozen=True)
class Tag:
    """One tag on one image."""

    image_id: str
    text: str

    @property
    def verdict(self) -> str:
        """The verdict that it names."""
        return self.text.partition(":")[0]

    @property
    def argument(self) -> str:
        """What stands behind the colon."""
        return self.text.partition(":")[2].strip()


@dataclass(frozen=True)
class Outcome:
    """What tags come to: new decisions in order, tags now settled, and a sentence for each tag that makes no sense."""

    decisions: list[Decision]
    settled: list[Tag]
    problems: list[str]


def decide(
    facts: pd.DataFrame,
    tags: Mapping[str, Collection[str]],
    own: Mapping[Subject, Decision],
    *,
    diagnoses: Collection[str],
    queue: str,
    steward: str,
    decided_at: str,
) -> Outcome:
    """Turn tags into decisions; what the steward has said already is settled without a new one.

    Args:
        facts: image_id, sha256, diagnosis (as given), duplicate_of (or missing) of every image.
        tags: tags by image_id.
        own: what the steward has said that stands, by image or pair.
        diagnoses: those that a `relabel` may name.
        queue: in which the tags were set.
        steward: who decided.
        decided_at: ISO 8601 with a time zone.

    """
    rows = {str(row.image_id): row for row in facts.itertuples(index=False)}
    read: list[tuple[Tag, Decision]] = []
    problems = list(misspelt(tags))
    for tag in _verdict_tags(tags):
        row = rows[tag.image_id]
        label, copy_of = str(row.diagnosis), row.duplicate_of if isinstance(row.duplicate_of, str) else ""
        other = tag.argument if tag.verdict == WITHDRAW else ""
        if tag.verdict in PAIR_VERDICTS:
            other = tag.argument or copy_of
        if problem := _find_problem(tag, label=label, other=other, known=rows, diagnoses=diagnoses):
            problems.append(f"{tag.image_id}: {problem}")
            continue
        decision = Decision(
            image_id=tag.image_id,
            sha256=str(row.sha256),
            other_image_id=other,
            queue=queue,
            verdict=tag.verdict,
            given=label if tag.verdict in LABEL_VERDICTS else "",
            to=tag.argument if tag.verdict == RELABEL else "",
            steward=steward,
            decided_at=decided_at,
            reason="tagged in the App",
            tool=TOOL,
        )
        read.append((tag, decision))
    return _without_repeats(read, own, problems)


def misspelt(tags: Mapping[str, Collection[str]]) -> Iterator[str]:
    """Name every tag that is no verdict and, but for case, separators and up to `NEAR` edits, looks like one."""
    for image_id in sorted(tags):
        for text in sorted(set(tags[image_id])):
            head = text.partition(":")[0]
            if head in VERDICTS:
                continue
            plain = head.strip().casefold().replace("-", "_").replace(" ", "_")
            distance, nearest = min((_edits(plain, verdict), verdict) for verdict in VERDICTS)
            if distance <= NEAR or plain.startswith(f"{RELABEL}_"):
                meant = RELABEL if plain.startswith(f"{RELABEL}_") else nearest
                yield f"{image_id}: {text} looks like {meant}, and is not: correct it, or name your own tag otherwise"


def in_bulk(tags: Mapping[str, Collection[str]]) -> list[str]:
    """List the verdicts that stand on more than `BULK` images: tagging with nothing selected tags all that is shown."""
    counts = Counter(text for texts in tags.values() for text in set(texts) if Tag("", text).verdict in VERDICTS)
    return sorted(text for text, count in counts.items() if count > BULK)


def _edits(one: str, other: str) -> int:
    """Count the insertions, deletions, replacements and swaps of neighbours that lead from one text to the other."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, start=1):
        earlier, before, row = before, row, [i]
        for j, b in enumerate(other, start=1):
            best = min(before[j] + 1, row[-1] + 1, before[j - 1] + (a != b))
            if i > 1 and j > 1 and a == other[j - 2] and one[i - 2] == b:
                best = min(best, earlier[j - 2] + 1)
            row.append(best)
    return row[-1]


def _verdict_tags(tags: Mapping[str, Collection[str]]) -> Iterator[Tag]:
    for image_id in sorted(tags):
        for text in sorted(set(tags[image_id])):
            tag = Tag(image_id, text)
            if tag.verdict in VERDICTS:
                yield tag


def _find_problem(
    tag: Tag, *, label: str, other: str, known: Collection[str], diagnoses: Collection[str]
) -> str | None:
    if tag.verdict in PAIR_VERDICTS or (tag.verdict == WITHDRAW and other):
        if not other:
            return f"{tag.text} must name the other image: tag the copy, or write {tag.verdict}:<image_id>"
        if other not in known or other == tag.image_id:
            return f"{tag.text} names no other image of the dataset: copy the other image's image_id"
    elif tag.verdict == RELABEL:
        if tag.argument not in diagnoses:
            return f"{tag.text} names no diagnosis: write relabel: and one of {', '.join(sorted(diagnoses))}"
        if tag.argument == label:
            return f"{tag.text} is the given label: write keep"
    elif tag.argument:
        return f"{tag.text} takes nothing behind the colon: write {tag.verdict}"
    return None


def _without_repeats(read: list[tuple[Tag, Decision]], own: Mapping[Subject, Decision], problems: list[str]) -> Outcome:
    """Refuse subjects with more than one verdict, and leave out what the steward has said already."""
    decisions, settled, contradictions = [], [], []
    read = sorted(read, key=lambda item: item[1].subject)
    for subject, same in groupby(read, key=lambda item: item[1].subject):
        group = list(same)
        if len({decision.meaning for _, decision in group}) > 1:
            texts = " and ".join(tag.text for tag, _ in group)
            contradictions.append(f"{', '.join(subject)}: {texts} contradict each other: leave one")
            continue
        decision = group[0][1]
        known = own[subject].meaning if subject in own else (WITHDRAW, "")
        settled += [tag for tag, _ in group]
        if known != decision.meaning:
            decisions.append(decision)
    return Outcome(decisions, sorted(settled, key=attrgetter("image_id", "text")), problems + contradictions)
