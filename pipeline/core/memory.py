"""Keeps the C library from giving memory back that the next image needs again."""

from __future__ import annotations

import numpy as np

KEPT_BYTES = 1 << 24


def keep_freed() -> None:
    """Make glibc keep freed memory, by freeing a large block: it keeps twice the largest that it saw (see mallopt(3)).

    Work on images takes and frees megabytes with every one. Handed back to the system, they are fetched again page by
    page, which took as long as all that fingerprints compute. Elsewhere than on Linux it does nothing.
    """
    np.empty(KEPT_BYTES, np.uint8)
