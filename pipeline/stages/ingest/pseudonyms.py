"""Replaces ids that may identify patients by keyed hashes, and drops whatever else quotes a name.

HMAC-SHA256 (RFC 2104) under a key that lies outside the project: without it an id cannot be found by hashing all
plausible ones, which a plain hash would allow. The batch and the kind of id are part of the message, so that equal ids
of different kinds or batches cannot be linked.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace

from pipeline.core.errors import UserError
from pipeline.stages.ingest.rows import Entry, Listing, Reject

KEY_NAME = "CURATION_ID_KEY"
MIN_KEY_LENGTH = 16
HEX_DIGITS = 32  # 128 bits: no two of 10¹² ids meet

WITHHELD = "withheld: ids are keyed"


def checked_key(key: str | None) -> bytes:
    """Return the key as bytes.

    Raises:
        UserError: it is not set, or short enough to be guessed.

    """
    if key is None or len(key) < MIN_KEY_LENGTH:
        state = "is not set" if key is None else f"has {len(key)} characters"
        remedy = f"set a secret of at least {MIN_KEY_LENGTH} in the environment and keep it outside the project"
        raise UserError(f"{KEY_NAME} {state}, and ingest.batches says ids: keyed: {remedy}")
    return key.encode()


def pseudonymise(listing: Listing, batch: str, *, key: bytes) -> Listing:
    """Replace image, lesion and patient ids; drop addresses; withhold the details of rejects: they quote names."""

    def hashed(kind: str, value: str) -> str:
        message = f"{batch}\0{kind}\0{value}".encode()
        return hmac.new(key, message, hashlib.sha256).hexdigest()[:HEX_DIGITS]

    def entry(old: Entry) -> Entry:
        return replace(
            old,
            source_id=hashed("image", old.source_id),
            lesion_id=old.lesion_id and hashed("lesion", old.lesion_id),
            patient_id=old.patient_id and hashed("patient", old.patient_id),
            page=None,
            origin_url=None,
        )

    rejects = tuple(Reject(hashed("image", old.source_id), old.reason, WITHHELD) for old in listing.rejects)
    return Listing(tuple(map(entry, listing.entries)), rejects, listing.ignored_files, listing.notes)
