"""A headless browser: Debian's Chromium, driven by the package playwright, which is not in the lock."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

LACKING = "no browser: it needs `apt-get install chromium` and `uv pip install playwright`"


def binary() -> str | None:
    """Find Chromium; None where it or playwright is lacking."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    return found if find_spec("playwright") else None


@contextmanager
def launched() -> Iterator[Any]:
    """Yield a playwright browser."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - not in the lock

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=binary(), args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()
