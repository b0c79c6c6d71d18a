from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.commands.readme import QUOTED, fill, markdown
from pipeline.commands.sections import Section
from pipeline.core.errors import UserError

ROOT = Path(__file__).parent.parent.parent


def test_the_readme_quotes_the_results_in_the_repository() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    assert fill(text, ROOT / "docs/results") == text, "run `python -m pipeline readme`"


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


def test_a_readme_without_a_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "demo.json").write_text("{}")
    with pytest.raises(UserError, match="no place for demo"):
        fill("# A readme", tmp_path)
