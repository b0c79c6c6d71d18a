"""Links of the documentation lead somewhere, and decisions are titled and numbered alike."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.project import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("bench/*.md")])
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
LINK = re.compile(r"\]\(([^)\s]+)\)")
README_WORDS = 900


def anchors(page: Path) -> set[str]:
    """List what a page's headings are called in links to it, as GitHub makes the names."""
    titles = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def broken(page: Path) -> list[str]:
    """List the links of a page into the repository that lead nowhere."""
    found = []
    for link in LINK.findall(page.read_text("utf-8")):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if ":" not in path and (not target.exists() or (anchor and anchor not in anchors(target))):
            found.append(link)
    return found


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_lead_somewhere(page: Path) -> None:
    assert broken(page) == []


def test_a_link_that_leads_nowhere_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A title, with `code`\n[a](#a-title-with-code) [b](#b) [c](c.md) [d](https://example.org/#d)\n")
    assert broken(page) == ["#b", "c.md"]


def test_decisions_are_numbered_in_their_names_and_titles() -> None:
    pages = sorted((ROOT / "docs/decisions").glob("*.md"))
    titles = [int(page.read_text("utf-8").removeprefix("# ").split(".")[0]) for page in pages]
    assert titles == [int(page.name.split("-")[0]) for page in pages]
    assert len(set(titles)) == len(titles)


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").split()) <= README_WORDS
