"""A steward's desk: the cases of one queue, and what one key does. Knows no FiftyOne.

The App's server asks it from many threads; one decision is made at a time. A decision is in the ledger, or on disk
beside it while DVC reads the ledger, before the answer is given.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from pipeline.commands.audit import read_answers, read_audit, sentences
from pipeline.core.errors import UserError
from pipeline.ledger import file
from pipeline.ledger.agreement import control_words
from pipeline.ledger.decisions import (
    CONTROL,
    COPY_OF,
    DISPUTES,
    IMAGE_VERDICTS,
    KEEP,
    LABEL_VERDICTS,
    NOT_A_DUPLICATE,
    PATH,
    RELABEL,
    SAME_LESION,
    WITHDRAW,
    Decision,
    person_of,
)
from pipeline.ledger.history import read_bytes
from pipeline.ledger.notes import find_personal
from pipeline.ledger.replay import LATER, STALE, Subject, Verdicts
from pipeline.review import spool
from pipeline.review.decide import now
from pipeline.review.effects import Prepared, complete, prepare
from pipeline.review.keys import ACCEPT, NEXT, PREVIOUS, Answer, Press, needs_reason, reasons
from pipeline.review.queues import AUDIT, OPEN, Case
from pipeline.review.sharing import controls
from pipeline.review.shown import Tables, earlier, in_words, open_tables
from pipeline.stages.replay.apply import apply_ledger

SESSION, SHEETS = "session.json", "sheets"  # in a desk's folder
TOOL = "panel"
SOON_S = 0.4  # after a case is asked for, it is on the screen


@dataclass(frozen=True)
class Replayed:
    """What the ledger comes to for a steward.

    decisions: the ledger, and what waits.
    verdicts: what is in force.
    splits: of every image.
    own: the steward's last words that stand, on control cases too.
    controls: the cases that are control cases for this steward.
    """

    decisions: list[Decision]
    verdicts: Verdicts
    splits: dict[str, str]
    own: dict[Subject, Decision]
    controls: set[Subject]


class Desk:
    """The cases of a queue, and the person who decides on them.

    Args:
        root: the project's folder.
        folder: for the desk's own files.
        steward: who decides.
        queue: its name, as the ledger records it.
        cases: in order.
        tables: what the stages wrote.

    """

    def __init__(
        self, root: Path, folder: Path, *, steward: str, queue: str, cases: Sequence[Case], tables: Tables
    ) -> None:
        self.root, self.folder, self.steward, self.queue = root, folder, steward, queue
        self.cases = {case.place: case for case in cases}
        self.tables = tables
        self.samples: dict[int, str] = {}  # the App's names of its samples, by place
        self.panels: list[str] = []  # the App's names of the panels that are open
        self._mutex = threading.RLock()
        self._ledger: tuple[bytes, list[Decision]] = (b"", [])
        self._replayed: Replayed | None = None
        self._prepared: Prepared | None = None
        self._audit = ""  # how the random audit stands
        self._looking_ahead = threading.Lock()  # two panels ask for the same

    @property
    def person(self) -> str:
        """The steward, however the name is written."""
        return person_of(self.steward)

    @property
    def spool(self) -> Path:
        """The file of decisions that wait for DVC."""
        return self.folder / spool.NAME

    def save(self) -> None:
        """Write down whose desk it is and what lies on it, for the App's server."""
        cases = [[case.place, case.image_id, case.other] for case in self.cases.values()]
        facts = {"root": str(self.root), "steward": self.steward, "queue": self.queue, "cases": cases}
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = self.folder / f"{SESSION}.partial"
        temporary.write_text(json.dumps(facts), "utf-8")
        temporary.replace(self.folder / SESSION)  # whole, once the App's server sees it

    def decisions(self) -> list[Decision]:
        """Read the ledger, and behind it what waits for DVC."""
        with self._mutex:
            content = read_bytes(self.root / PATH)
            if content != self._ledger[0]:
                self._ledger = (content, file.read(self.root / PATH).decisions)
            held = self._ledger[1]
            waiting = spool.waiting(self.spool)
            return [*held, *(one for one in waiting if one not in held[-len(waiting) :])] if waiting else list(held)

    def verdicts(self) -> Verdicts:
        """Say what the ledger comes to, with what waits."""
        return self._replay().verdicts

    def own_words(self) -> dict[Subject, Decision]:
        """List the steward's own last words that stand, on control cases too."""
        return self._replay().own

    def queue_of(self, subject: Subject, queue: str) -> str:
        """Name the queue that a word in a queue is recorded with: an answer to a control case is never applied."""
        return CONTROL if queue not in OPEN and subject in self._replay().controls else queue

    def words(self, queue: str) -> dict[Subject, str]:
        """Say of every image or pair what the steward may know in a queue: his own word, or what all words come to."""
        if queue in OPEN:
            return in_words(self.verdicts())
        return {subject: f"{word.words} ({word.steward})" for subject, word in self.own_words().items()}

    def _replay(self) -> Replayed:
        with self._mutex:
            decisions, c = self.decisions(), self.tables.curated
            if self._replayed is None or self._replayed.decisions != decisions:
                verdicts, groups = apply_ledger(decisions, c.images, c.groups, c.duplicates, c.replay)
                pairs = zip(decisions, verdicts.states, strict=True)
                valid = [decision for decision, state in pairs if state not in {STALE, LATER}]
                asked = controls(decisions, verdicts, steward=self.steward)
                answers = control_words(valid, self.person)
                own = {subject: word for subject, word in answers.items() if subject in asked}
                for subject, words in verdicts.last.items():
                    own.update((subject, word) for word in words if word.person == self.person)
                self._replayed = Replayed(
                    decisions=decisions,
                    verdicts=verdicts,
                    splits=dict(zip(groups["image_id"].tolist(), groups["split"].tolist(), strict=True)),
                    own=own,
                    controls=asked,
                )
            return self._replayed

    def said(self, case: Case) -> Decision | None:
        """Return the steward's own last word on a case, if it stands."""
        return self.own_words().get(case.subject)

    def done(self) -> set[int]:
        """List the places of the cases on which the steward's word stands; of disputes, one said in their queue."""
        own = self.own_words()
        spoken = {subject for subject, word in own.items() if self.queue != DISPUTES or word.queue == DISPUTES}
        return {place for place, case in self.cases.items() if case.subject in spoken}

    def next_open(self, after: int) -> int | None:
        """Find the first case behind a place, and then from the start, that the steward has not decided."""
        return self._next(after, self.done())

    def _next(self, after: int, done: Collection[int]) -> int | None:
        places = [place for place in self.cases if place not in done]
        return next((place for place in places if place > after), places[0] if places else None)

    def first(self) -> int | None:
        """Find the case to open on: the first open one, or the first of all."""
        return self.next_open(0) or next(iter(self.cases), None)

    def press(self, places: Sequence[int], press: Press) -> Answer:
        """Do what a key says, with the case that is open or all that are selected.

        Args:
            places: of these cases.
            press: what was pressed and typed.

        """
        with self._mutex:
            if not places:
                return Answer("no case is open and none is selected: nothing was decided", problem=True)
            if press.action == NEXT:
                place = self.next_open(places[-1])
                return Answer(self._at(place) or "every case of this queue is decided", place=place)
            if press.action == PREVIOUS:
                before = max((place for place in self.cases if place < places[0]), default=None)
                return Answer(self._at(before) or "this is the first case", place=before)
            try:
                return self._decide(places, press)
            except UserError as error:
                return Answer(str(error), problem=True)

    def _at(self, place: int | None) -> str:
        return f"case {place} of {len(self.cases)}" if place else ""

    def _decide(self, places: Sequence[int], press: Press) -> Answer:
        known, made, effects, already = self.decisions(), list[Decision](), list[str](), list[str]()
        if press.action == RELABEL and not press.to:
            names = sorted(self.tables.images["diagnosis"].unique())
            return Answer("relabel to", ask="diagnosis", options=tuple(names))
        for place in places:
            case = self.cases[place]
            decision = self._decision(case, press)
            word = self.said(case)
            if decision.verdict == WITHDRAW and word is None:
                raise UserError(f"you have said nothing on {' and '.join(case.subject)} that stands")
            if word is not None and word.meaning == decision.meaning and self.queue != DISPUTES:
                already.append(f"you said {word.verdict} of {case.image_id} already")
                continue
            decision, effect = self._foretell(decision, [*known, *made])
            if not press.reason and needs_reason(
                decision.verdict, decision.to, suggested=decision.suggested, split=decision.split
            ):
                return Answer(
                    f"why {decision.verdict}" + (f" to {decision.to}" if decision.to else "") + f" ({decision.split})?",
                    ask="reason",
                    options=reasons(decision.verdict),
                )
            made.append(decision)
            effects.append(f"{decision.verdict}: {effect}")
        if press.reason and not press.checked and (found := find_personal(press.reason)):
            return Answer(
                f"{found}, and git forgets nothing: leave it out, or confirm it once more if it names nobody",
                ask="reason",
                personal=True,
            )
        done = self.done().union(places)  # the ledger is replayed once the answer is given, for it takes a while
        in_ledger = not made or spool.record(self.root, self.spool, made)
        told = [*effects, *already]
        said = f"{len(made)} decisions, {len(already)} said before"
        if len(told) == 1:
            said = told[0]
        following = None if made and made[-1].verdict == WITHDRAW else self._next(places[-1], done)
        if following is None:
            self._audit = ""  # the panel stays on this case: it is not looked at a second time
        waits = "" if in_ledger else " · waits, on disk, until dvc has read the ledger"
        return Answer(
            said + waits,
            recorded=len(made),
            waits=not in_ledger,
            place=following,
        )

    def _foretell(self, decision: Decision, known: Sequence[Decision]) -> tuple[Decision, str]:
        """Complete a decision; and say what it changes as if nobody else had spoken, and it were no control case.

        The ledger has the truth. Who reads blind must not have it from the screen, even after his word: he could take
        that back.
        """
        true = complete(self.tables.curated, known, decision, self._prepared)
        strangers = any(one.subject == decision.subject and one.person != self.person for one in known)
        if self.queue in OPEN or not (strangers or decision.queue == CONTROL):
            return true, true.effect
        seen = [one for one in known if one.subject != decision.subject or one.person == self.person]
        seen = [replace(one, queue=self.queue) if one.subject == decision.subject else one for one in seen]
        return true, complete(self.tables.curated, seen, replace(decision, queue=self.queue)).effect

    def _decision(self, case: Case, press: Press) -> Decision:
        image, other, verdict, to = case.image_id, case.other, press.action, press.to
        given, score = str(self.tables.images.loc[image, "diagnosis"]), self.tables.scores.get(image)
        if other:
            image, other, verdict = self._of_pair(case, verdict)
        elif verdict == ACCEPT:
            if score is None or score["suggested"] == given:
                raise UserError(f"nothing but {given} is suggested: keep it, or name another")
            verdict, to = RELABEL, str(score["suggested"])
        elif verdict not in (*IMAGE_VERDICTS, WITHDRAW):
            raise UserError(f"{verdict} needs a pair: `python -m pipeline review --queue pairs` shows them")
        if verdict == RELABEL:
            to = self._diagnosis(to, given)
        return Decision(
            image_id=image,
            sha256=str(self.tables.images.loc[image, "sha256"]),
            other_image_id=other,
            queue=self.queue_of(case.subject, self.queue),
            verdict=verdict,
            given=given if verdict in LABEL_VERDICTS else "",
            to=to if verdict == RELABEL else "",
            steward=self.steward,
            decided_at=now(),
            reason=press.reason,
            tool=TOOL,
            place=str(case.place),
        )

    def _diagnosis(self, text: str, given: str) -> str:
        """Take a diagnosis by its name or its number on the screen."""
        names, digits = set(self.tables.images["diagnosis"]), self.tables.curated.diagnoses
        if text.isdigit() and 0 < int(text) <= len(digits):
            text = digits[int(text) - 1]
        if text not in names:
            raise UserError(f"{text!r} is no diagnosis of the dataset")
        if text == given:
            raise UserError(f"{text} is the given label: keep says so")
        return text

    def _of_pair(self, case: Case, verdict: str) -> tuple[str, str, str]:
        """Return image, other image and verdict of what is said about a pair; `keep` confirms what it is taken for."""
        if verdict in {NOT_A_DUPLICATE, SAME_LESION, WITHDRAW}:
            return case.image_id, case.other, verdict
        if verdict != KEEP:
            raise UserError(f"{verdict} is about one image: decide it in the queue of labels")
        found = self.tables.edges.get((case.subject[0], case.subject[1]))
        if found and found[0]["relation"] == SAME_LESION:
            return case.image_id, case.other, SAME_LESION
        kept = self.kept(case)
        if kept is None:
            raise UserError("they are not copies of one image: say what they are")
        if kept == case.image_id:
            return case.other, kept, COPY_OF
        return case.image_id, case.other, COPY_OF

    def kept(self, case: Case) -> str | None:
        """Return the image that stays of a pair of copies; None where they are not copies of one image."""
        groups = self.tables.curated.groups
        copies = groups[groups["image_id"].isin(case.subject)].set_index("image_id")["duplicate_of"]
        of = {image: copies[image] if isinstance(copies[image], str) else image for image in case.subject}
        return of[case.subject[0]] if len(set(of.values())) == 1 else None

    def describe(self, place: int) -> str:
        """Say all that the panel shows of a case, as Markdown."""
        case, said = self.cases[place], list[str]()
        split = self._replay().splits[case.image_id]
        if case.other:
            said += self.tables.pair(case, split)
            kept = self.kept(case)
            if kept:
                letter = "AB"[case.subject.index(kept)] if kept in case.subject else f"neither, but `{kept}`"
                said.append(f"stays: {letter}")
            said.append(f"if not a duplicate: {self._preview(case, NOT_A_DUPLICATE)}")
        else:
            said += self.tables.label(case.image_id, split)
        words = [word for word in self.decisions() if word.subject == case.subject]
        if self.queue != DISPUTES:  # who does not know the others' words reads on their own
            words = [word for word in words if word.person == self.person]
        said += [f"earlier: {line}" for line in earlier(words)]
        return "\n\n".join(said)

    def progress(self) -> str:
        """Say how far the queue has come, and what waits for DVC."""
        said = self.tables.progress(self.queue, list(self.cases.values()), self.done())
        waiting = len(spool.waiting(self.spool))
        if self.queue == AUDIT:
            said += "\n\n" + (self._audit or self._count_audit())  # counted anew in a moment, for it takes .1 s
        return said + (f" · **{waiting} wait until dvc has read the ledger**" if waiting else "")

    def _count_audit(self) -> str:
        store = self.tables.store
        self._audit = "; ".join(sentences(read_audit(store, read_answers(store, self.tables.tree))))
        return self._audit

    def picture(self, place: int) -> Path | None:
        """Return the file that shows what is beside a case's image."""
        return self.tables.picture(self.cases[place], self.folder / SHEETS)

    def look_ahead(self, place: int) -> None:
        """While the steward looks at a case: prepare what a word on it changes, and draw the sheet of the next."""
        self.soon(self._look_ahead, place)

    @staticmethod
    def soon(work: Callable[..., None], *arguments: object) -> None:
        """Do in a moment what nobody waits for, so that it does not take the processor from what the steward does."""
        timer = threading.Timer(SOON_S, work, arguments)
        timer.daemon = True
        timer.start()

    def _look_ahead(self, place: int) -> None:
        subject = self.cases[place].subject
        if self.queue == AUDIT:
            self._count_audit()
        with self._looking_ahead:
            known = self.decisions()
            if self._prepared is None or (self._prepared.subject, self._prepared.decisions) != (subject, known):
                self._prepared = prepare(self.tables.curated, known, subject)
            after = self.next_open(place)
            if after is not None:
                self.picture(after)

    def retry(self) -> None:
        """Append what waits, if DVC lets it."""
        with self._mutex:
            spool.record(self.root, self.spool, [])

    def _preview(self, case: Case, verdict: str) -> str:
        decision = self._decision(case, Press(verdict))
        return self._foretell(decision, self.decisions())[1]


def open_desk(session: Path) -> Desk:
    """Open the desk that `Desk.save` wrote down."""
    facts = json.loads(session.read_text("utf-8"))
    root, cases = Path(facts["root"]), [Case(*case) for case in facts["cases"]]
    named = {"steward": facts["steward"], "queue": facts["queue"]}
    return Desk(root, session.parent, **named, cases=cases, tables=open_tables(root))


def as_json(answer: Answer) -> dict[str, object]:
    """Give the answer to the screen."""
    return {**asdict(answer), "options": list(answer.options)}
