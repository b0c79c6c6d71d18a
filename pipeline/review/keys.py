"""What one key does, and where it asks for a reason."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.ledger.decisions import DROP, KEEP, NOT_A_DUPLICATE, NOT_SURE, RELABEL, SAME_LESION, WITHDRAW

ACCEPT, NOTE, NEXT, PREVIOUS = "accept", "note", "next", "previous"
# FiftyOne's own keys on a picture: c f j l m p r s x z, arrows, + - ? , . \ Space, Shift, Escape (digits: videos only).
KEYS = {
    "k": (KEEP, "keep: it is so"),
    "a": (ACCEPT, "accept the suggestion"),
    "t": (RELABEL, "relabel, by a name that is typed"),
    "d": (DROP, "drop"),
    "u": (NOT_SURE, "not sure"),
    "n": (NOT_A_DUPLICATE, "not a duplicate"),
    "o": (SAME_LESION, "one lesion, two photographs"),
    "w": (WITHDRAW, "withdraw"),
    "i": (NOTE, "note for the next decision"),
    "g": (NEXT, "go on to the next open case"),
    "b": (PREVIOUS, "back"),
}
MOST_DIGITS = 9
OF_LABELS = ("k", "a", "t", "d", "u", "w", "i", "g", "b")
OF_PAIRS = ("k", "n", "o", "w", "i", "g", "b")
REASONS = {
    DROP: ("shows no lesion", "not to be judged: blurred, dark or cut", "hidden by ink, ruler, hair or text"),
    RELABEL: ("pattern", "colour", "border", "vessels", "site and age"),
}
OTHER_REASONS = ("plain to see", "seen beside its nearest examples", "by how it was confirmed")


@dataclass(frozen=True)
class Press:
    """What a steward pressed and typed.

    action: a verdict, or one of ACCEPT, NEXT, PREVIOUS.
    to: the diagnosis of a relabel, by name or by its number on the screen.
    checked: the reason was looked at and names nobody.
    """

    action: str
    to: str = ""
    reason: str = ""
    checked: bool = False


@dataclass(frozen=True)
class Answer:
    """What came of it.

    message: for the steward.
    problem: the message says why nothing was recorded.
    recorded: how many decisions were.
    waits: they are on disk, and not in the ledger, which DVC reads.
    ask: what is asked for before anything is recorded: `reason` or `diagnosis`; "" nothing.
    options: to choose from.
    personal: the reason looks as if it told of somebody; it is taken as it is when it is said once more.
    place: of the case to show next; None: this one.
    image: the image_id that the panel names once that case is shown.
    """

    message: str
    problem: bool = False
    recorded: int = 0
    waits: bool = False
    ask: str = ""
    options: tuple[str, ...] = ()
    personal: bool = False
    place: int | None = None
    image: str = ""


def needs_reason(verdict: str, to: str, *, suggested: str, split: str) -> bool:
    """Say whether a verdict is one of those that somebody will ask about: on test, drop, relabel against the models."""
    if verdict == WITHDRAW:
        return False
    return split == "test" or verdict == DROP or (verdict == RELABEL and to != suggested)


def reasons(verdict: str) -> tuple[str, ...]:
    """List what may be chosen by a digit instead of typing."""
    return REASONS.get(verdict, OTHER_REASONS)
