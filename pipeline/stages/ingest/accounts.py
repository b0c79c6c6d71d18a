"""Accounts for every raw row: what the report says, and when a batch has lost too much to go on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pandas as pd

from pipeline.core.errors import UserError
from pipeline.stages.ingest.rows import Listing, Reject

EXAMPLES = 3


def stop_if_too_many(rejects: Sequence[Reject], raw_rows: int, *, batch: str, max_share: float) -> None:
    """Refuse a batch of which too much is rejected: rather its source is misread than its images are bad.

    Raises:
        UserError: the share of rejects is above `max_share`, or there is nothing at all.

    """
    if not raw_rows:
        raise UserError(f"data/raw/{batch} holds no image and no metadata row: fetch the batch again")
    if len(rejects) <= max_share * raw_rows:
        return
    counts = Counter[str](reject.reason for reject in rejects)
    told = ", ".join(f"{count} {reason}{_examples(rejects, reason)}" for reason, count in counts.most_common())
    raise UserError(
        f"batch {batch}: {len(rejects)} of {raw_rows} rows are rejected ({told}), more than "
        f"ingest.limits.max_reject_share = {max_share:g} allows: correct its source or taxonomy, or raise the limit"
    )


def summarise(listing: Listing, images: pd.DataFrame, rejects: pd.DataFrame) -> dict[str, Any]:
    """Count rows, images by diagnosis, licence and how they are stored, and rejects by reason; say what is odd."""
    assert listing.raw_rows == len(images) + len(rejects), "a raw row is lost"  # noqa: S101 - would be our bug
    return {
        "raw_rows": listing.raw_rows,
        "ignored_files": listing.ignored_files,
        "images": len(images),
        "bytes": int(images["size"].sum()),
        "rejects": len(rejects),
        "rejects_by_reason": _counts(rejects["reason"]),
        "images_by_diagnosis": _counts(images["diagnosis"]),
        "images_by_licence": _counts(images["licence"]),
        "images_by_storage": _counts(images["stored_as"]),
        "warnings": list(listing.notes),
    }


def _counts(values: pd.Series[str]) -> dict[str, int]:
    return dict(Counter(values.tolist()))


def _examples(rejects: Sequence[Reject], reason: str) -> str:
    """Quote the commonest labels that the taxonomy does not know, and the first row that is misread."""
    details = [reject.detail for reject in rejects if reject.reason == reason]
    if reason == "unknown_label":
        return f" such as {', '.join(repr(label) for label, _ in Counter(details).most_common(EXAMPLES))}"
    return f" ({details[0]})" if reason in {"malformed_row", "implausible_value"} else ""
