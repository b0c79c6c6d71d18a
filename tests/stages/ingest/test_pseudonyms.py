from __future__ import annotations

import hashlib
import hmac

from pipeline.stages.ingest.pseudonyms import pseudonymise
from pipeline.stages.ingest.rows import Entry, Listing, Locator, Reject

KEY = b"sixteen bytes or more"


def listing() -> Listing:
    entry = Entry(
        source_id="a",
        locator=Locator("a.jpg"),
        labels=("nevus",),
        licence="CC0-1.0",
        attribution="us",
        lesion_id="a",
        patient_id="a",
        page="https://example.org/a",
        origin_url="https://example.org/a.jpg",
        age=40.0,
    )
    return Listing((entry,), (Reject("b", "image_missing", "metadata row 3 has no image b"),), 1)


def test_ids_are_keyed_hashes_that_differ_by_kind_and_batch() -> None:
    one, two = (pseudonymise(listing(), batch, key=KEY).entries[0] for batch in ("one", "two"))
    ids = [one.source_id, one.lesion_id, one.patient_id, two.source_id]
    assert len(set(ids)) == 4
    assert one.source_id == hmac.new(KEY, b"one\0image\0a", hashlib.sha256).hexdigest()[:32]
    assert pseudonymise(listing(), "one", key=KEY + b"!").entries[0].source_id != one.source_id


def test_addresses_and_details_are_dropped_and_the_rest_stays() -> None:
    hidden = pseudonymise(listing(), "one", key=KEY)
    (entry,), (reject,) = hidden.entries, hidden.rejects
    assert (entry.page, entry.origin_url, entry.age, entry.locator) == (None, None, 40.0, Locator("a.jpg"))
    assert (reject.reason, reject.detail) == ("image_missing", "withheld: ids are keyed")
    assert "b" not in {reject.source_id, reject.detail}
    assert hidden.ignored_files == 1
