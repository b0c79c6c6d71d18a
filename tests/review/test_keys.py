from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from pipeline import review
from pipeline.ledger.decisions import VERDICTS
from pipeline.review.keys import ACCEPT, KEYS, NEXT, NOTE, OF_LABELS, OF_PAIRS, PREVIOUS, needs_reason

PANEL = Path(review.__file__).parent / "panel"
APPS_OWN = set("cfjlmprsxz+-?,.\\ ")


def test_the_script_has_the_keys_that_the_panel_shows() -> None:
    script = (PANEL / "dist/index.umd.js").read_text("utf-8")
    block = script[script.index("var ACTIONS = {") : script.index("};")]
    assert dict(re.findall(r"(\w): \"(\w+)\"", block)) == {key: action for key, (action, _) in KEYS.items()}


def test_no_key_is_one_of_the_apps_own_and_each_does_something() -> None:
    assert not KEYS.keys() & APPS_OWN
    assert {action for action, _ in KEYS.values()} <= {*VERDICTS, ACCEPT, NOTE, NEXT, PREVIOUS}
    assert {*OF_LABELS, *OF_PAIRS} == KEYS.keys()


def test_a_clone_holds_what_fiftyone_looks_for() -> None:
    described = yaml.safe_load((PANEL / "fiftyone.yml").read_text("utf-8"))
    assert (PANEL / described["js_bundle"]).exists()


@pytest.mark.parametrize(
    ("verdict", "to", "split", "asked"),
    [
        ("keep", "", "train", False),
        ("relabel", "nevus", "train", False),
        ("relabel", "melanoma", "train", True),
        ("drop", "", "train", True),
        ("not_a_duplicate", "", "validation", False),
        ("keep", "", "test", True),
        ("not_a_duplicate", "", "test", True),
        ("withdraw", "", "test", False),
    ],
)
def test_a_reason_is_asked_for_where_somebody_will_ask(verdict: str, to: str, split: str, asked: bool) -> None:  # noqa: FBT001
    assert needs_reason(verdict, to, suggested="nevus", split=split) is asked
