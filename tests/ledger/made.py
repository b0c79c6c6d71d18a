"""Decisions for tests, complete but for what a test is about."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.ledger.decisions import HEADER, LABEL_VERDICTS, PATH, RELABEL, Decision

EMPTY = f"{HEADER}\n".encode()


def decision(image_id: str = "b:1", verdict: str = "keep", **fields: Any) -> Decision:
    """Make a decision that makes sense."""
    default = {
        "sha256": f"sha of {image_id}",
        "other_image_id": "",
        "queue": "suspects",
        "given": "nevus" if verdict in LABEL_VERDICTS else "",
        "to": "melanoma" if verdict == RELABEL else "",
        "steward": "Dr. A. Nurse",
        "decided_at": "2026-01-02T03:04:05+00:00",
        "reason": 'border, "blue veil"',
        "tool": "test",
    }
    return Decision(image_id=image_id, verdict=verdict, **(default | fields))


def ledger(root: Path, content: bytes = EMPTY) -> Path:
    """Write the decisions file of a project."""
    path = root / PATH
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path
