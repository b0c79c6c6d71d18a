from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from pipeline.commands.quote import COPIES, QUOTED, fill, headline, markdown, quotes
from pipeline.commands.sections import Section
from pipeline.core.errors import UserError

ROOT = Path(__file__).parent.parent.parent
QUOTES = quotes(ROOT / "docs/results")


@pytest.mark.parametrize("page", QUOTES)
def test_a_page_quotes_the_results_in_the_repository(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    assert fill(text, page, QUOTES[page]) == text, "run `python -m pipeline quote`"
    assert re.findall("<!-- (.+): begin -->", text) == list(QUOTES[page]), "no place is left over"


@pytest.mark.parametrize("profile", QUOTED)
def test_a_profile_whose_results_are_in_the_repository_balances_its_books(profile: str) -> None:
    results = json.loads((ROOT / f"docs/results/{profile}.json").read_text("utf-8"))
    assert results["profile"] == profile
    assert results["problems"] == []
    for arm in results["arms"].values():
        assert arm["selected"] + arm["excluded"] + results["rejects"] == results["raw_rows"]


def test_a_table_is_written_in_markdown() -> None:
    section = Section("Data", ["what", "count"], [("images", 3), ("rejects", None)], ["all is well"])
    assert markdown(section) == (
        "**Data**\n\n| what | count |\n| --- | --- |\n| images | 3 |\n| rejects |  |\n\nall is well\n\n"
    )


def test_the_best_competitor_is_quoted_and_never_a_variant_of_ours() -> None:
    rows = headline(copies(), {}).rows
    assert [row[1:] for row in rows] == [("0.988", "0.600", "a better peer")] * 2


def copies() -> dict[str, Any]:
    """Draw what `bench.duplicates` writes."""
    figures = {"ours": 0.98765, "ours, without lesions": 0.99, "a peer": 0.5, "a better peer": 0.6}
    finders = {name: {"average_precision": value} for name, value in figures.items()}
    return {"settings": {setting: {"finders": finders} for setting in COPIES.values()}}


def test_what_is_not_there_is_not_quoted(tmp_path: Path) -> None:
    assert quotes(tmp_path) == {"README.md": {}, "docs/results.md": {}}


@pytest.mark.parametrize(("page", "place"), [("README.md", "headline"), ("docs/results.md", "demo")])
def test_a_page_without_a_place_is_refused(tmp_path: Path, page: str, place: str) -> None:
    (tmp_path / "duplicates.json").write_text(json.dumps(copies()))
    shutil.copy(ROOT / "docs/results/demo.json", tmp_path)
    with pytest.raises(UserError, match=f"{page} has no place for {place}"):
        fill("# A page", page, quotes(tmp_path)[page])
