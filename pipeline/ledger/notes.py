"""Does a reason say who the patient is? What looks like a name, a date of birth or a hospital number.

The ledger lies in git, where nothing can be taken out again. So what people type is looked at before it is recorded.
The patterns are coarse: they err towards asking, and whoever has looked may say so.
"""

from __future__ import annotations

import re

from pipeline.core.errors import UserError

_MONTHS = "jan|feb|mar|mär|apr|may|mai|jun|jul|aug|sep|oct|okt|nov|dec|dez"
_TITLES = "mr|mrs|ms|miss|mister|madam|herr|frau|fräulein|monsieur|madame|mme|señor|señora|pt|patient|patientin|dr|prof"
PATTERNS = (
    ("a date", re.compile(r"\b\d{1,2}\s?[./-]\s?\d{1,2}\s?[./-]\s?(\d{4}|\d{2})\b")),
    ("a date", re.compile(r"\b(19|20)\d\d[./-]\d{1,2}[./-]\d{1,2}\b")),
    ("a date", re.compile(rf"\b\d{{1,2}}(st|nd|rd|th|\.)?\s?({_MONTHS})[a-zä]*\.?,?\s?(19|20)\d\d\b", re.IGNORECASE)),
    ("a date", re.compile(rf"\b({_MONTHS})[a-zä]*\.?\s\d{{1,2}},?\s(19|20)\d\d\b", re.IGNORECASE)),
    ("a date of birth", re.compile(r"\b(born|birth|birthday|dob|geb|geboren|née)\b", re.IGNORECASE)),
    (
        "a hospital number",
        re.compile(r"\b(mrn|pid|nhs|pat\.?-?(nr|no|id)|fall-?nr|case no|hospital no)\b", re.IGNORECASE),
    ),
    ("a hospital number", re.compile(r"(?<![\w:.-])[A-Z]{0,3}\d(?:[ -]?\d){5,}\b")),
    ("a name", re.compile(rf"\b(?i:{_TITLES})\b\.?,?\s+(?:[A-Z]\.\s?)*[A-ZÀ-Ý][\w'-]+")),
    ("a name", re.compile(r"\b[A-ZÀ-Ý][a-zà-ÿ'-]+,?\s(?:[A-Z]\.\s?)?[A-ZÀ-Ý][a-zà-ÿ'-]+\b")),
)


def find_personal(reason: str) -> str | None:
    """Say what in a reason looks personal, with the words concerned; None if nothing does."""
    for what, pattern in PATTERNS:
        if found := pattern.search(reason):
            return f"{found[0]!r} looks like {what}"
    return None


def refuse_personal(reason: str) -> None:
    """Let only a reason through that names nobody, as far as patterns can tell.

    Raises:
        UserError: says what looks like a name, a date of birth or a hospital number.

    """
    if found := find_personal(reason):
        raise UserError(
            f"the reason: {found}, and git forgets nothing: leave it out, or say --checked if it names nobody"
        )
