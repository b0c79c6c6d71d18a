"""What `replay` receives of params.yaml."""

from __future__ import annotations

from typing import ClassVar

from pipeline.core.params import StageParams


class ReplayParams(StageParams):
    """Params of the stage.

    second_signature: a verdict on validation or test waits until a second steward says the same; off while the ledger
        knows one steward only.
    until: a date, or a time with its zone: later decisions are left out, as if it were that day; null: all count.
    """

    keys: ClassVar = {
        "batches": "batches",
        "second_signature": "replay.second_signature",
        "until": "replay.until",
    }

    batches: list[str]
    second_signature: bool
    until: str | None
