"""What the report says and counts, by hand-made figures."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest
from jinja2 import UndefinedError

from pipeline.commands.report import provenance
from pipeline.commands.report.arms import WHY
from pipeline.commands.report.doubts import STATES, choose, states
from pipeline.commands.report.findings import REMEDIES, leaks_of_a_random_split
from pipeline.commands.report.plots import flow, intervals
from pipeline.commands.report.summary import changes, signed, verdict
from pipeline.commands.report.write import PLACES, place, render, templates
from pipeline.commands.sections import Section
from pipeline.stages.ingest.tables import Reason
from pipeline.stages.rebalance.tables import REASONS
from tests.project import environment


def gain(value: float, low: float, high: float, p: float) -> dict[str, Any]:
    figure = {"balanced_accuracy": {"value": value, "low": low, "high": high, "p": p}}
    return {"ensemble": figure}


@pytest.mark.parametrize(
    ("value", "low", "high", "p", "words"),
    [
        (0.02, -0.01, 0.05, 0.3, "may be chance"),
        (0.05, 0.001, 0.1, 0.052, "may be chance"),  # the interval and p can differ by a hair: then it is not sure
        (0.05, 0.01, 0.1, 0.01, "better"),
        (-0.05, -0.1, -0.01, 0.01, "worse"),
    ],
)
def test_a_difference_is_called_chance_where_its_interval_holds_zero(
    value: float, low: float, high: float, p: float, words: str
) -> None:
    assert words in verdict(value, low, high, p, confidence=0.95)


def test_the_product_s_change_stands_first() -> None:
    test = {"test": {"balanced_accuracy": {"value": 0.5}}}
    metrics = {
        "headline_arm": "curated",
        "gain": {"clean_over_raw": gain(0.1, 0, 0.2, 0.5), "curated_over_raw": gain(0.2, 0.1, 0.3, 0.001)},
        "ensemble": {"raw": test, "clean": test, "curated": {"test": {"balanced_accuracy": {"value": 0.7}}}},
    }
    made = changes(metrics, confidence=0.95)
    assert [(change.arm, change.before, change.after) for change in made] == [
        ("curated", 0.5, 0.7),
        ("clean", 0.5, 0.5),
    ]
    assert [change.direction for change in made] == ["better", "unsure"]
    assert changes({**metrics, "gain": {}}, confidence=0.95) == []


def test_a_difference_has_a_sign() -> None:
    assert [signed(0.0123), signed(-0.5), signed(0.0)] == ["+0.012", "\N{MINUS SIGN}0.500", "+0.000"]


def test_leaks_of_a_random_split_are_those_that_a_simulation_finds() -> None:
    sizes = [1, 2, 3, 5] * 10
    group = np.repeat(np.arange(len(sizes)), sizes).astype(str)
    rng = np.random.default_rng(0)
    split = rng.permutation(np.repeat(["train", "test"], [80, len(group) - 80]))
    expected = leaks_of_a_random_split(pd.DataFrame({"group_id": group, "split": split}))
    counts = []
    for _ in range(2000):
        train = rng.random(len(group)) < (split == "train").mean()
        in_train = pd.Series(train).groupby(group).transform("sum").to_numpy() > 0
        counts.append(in_train[~train].mean())
    assert expected == pytest.approx(np.mean(counts) * (split == "test").sum(), rel=0.02)


def test_without_groups_nothing_leaks() -> None:
    assert leaks_of_a_random_split(pd.DataFrame({"group_id": ["a", "b"], "split": ["train", "test"]})) == 0


def test_every_reason_is_explained() -> None:
    assert set(REMEDIES) == set(get_args(Reason))
    assert set(WHY) == set(REASONS)


def test_every_image_is_in_one_state_and_those_in_doubt_are_drawn_first() -> None:
    rows = pd.DataFrame(
        {
            "duplicate_of": [None, "a", None, None, None],
            "excluded": [None, "duplicate: copy of a", "off_topic: 0.99", None, None],
            "suspect": [False, True, True, True, False],
            "ambiguous": [False, False, False, False, False],
        },
        index=["a", "b", "c", "d", "e"],
    )
    state = states(rows, queued=pd.Series(["e"]))
    assert state.tolist() == [STATES[0], STATES[3], STATES[2], STATES[1], STATES[2]]
    assert choose(state, 10) == ["a", "b", "c", "d", "e"]
    assert choose(state, 4) == ["b", "c", "d", "e"]
    many = pd.Series(STATES[0], index=[f"{i:03d}" for i in range(100)])
    assert choose(many, 4) == ["000", "025", "050", "075"]


def test_rows_without_a_value_are_left_out_of_a_plot() -> None:
    plot = intervals("x", "Gain", {"a": [("one", 0.5, 0.4, 0.7), ("two", None, None, None)]}, axis="share")
    [trace] = plot.traces
    assert (trace["x"], trace["y"]) == ([0.5], [0])
    assert trace["error_x"]["arrayminus"] == pytest.approx([0.1])
    assert plot.alt == "Gain: one, a: 0.500 (0.400 to 0.700)"


def test_a_flow_leaves_out_what_does_not_flow() -> None:
    plot = flow("x", "Flow", [("files", "rejected", 0, False), ("files", "in", 3, True), ("in", "train", 3, True)])
    [trace] = plot.traces
    assert trace["node"]["label"] == ["files: 3", "in: 3", "train: 3"]
    assert (trace["link"]["source"], trace["link"]["target"]) == ([0, 1], [1, 2])


def test_no_table_of_figures_is_lost() -> None:
    shown = [Section(title, ["a"], []) for title in ("Models on the test set", "Stages", "Something new", "Planted x")]
    placed = place(shown)
    assert set(placed) == {*PLACES, "other"}
    assert [section.title for section in placed["other"]] == ["Stages", "Something new"]
    assert sum(map(len, placed.values())) == len(shown)


def test_the_code_s_revision_says_whether_it_is_as_committed(tmp_path: Path) -> None:
    def git(*words: str) -> None:
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True, env=environment(), capture_output=True)

    assert provenance.read_revision(tmp_path).words == "not under git: no revision names this code"
    git("init", "--quiet")
    (tmp_path / "pipeline").mkdir()
    (tmp_path / "pipeline/a.py").write_text("1\n")
    git("add", "-A")
    git("commit", "--quiet", "-m", "Start")
    (tmp_path / "reports.txt").write_text("no code\n")
    clean = provenance.read_revision(tmp_path)
    assert clean.words == f"git {clean.commit[:12]}, clean"
    (tmp_path / "pipeline/b.py").write_text("2\n")
    assert provenance.read_revision(tmp_path).words.endswith("dirty: 1 files are not as committed")


def test_text_in_the_page_is_escaped() -> None:
    source = '{% from "macros.html" import table %}{{ table("<b>", ["<i>"], [["<script>", 1200]]) }}'
    html = templates().from_string(source).render()
    assert not {"<b>", "<i>", "<script>"} & set(re.findall("<[a-z]+>", html))
    assert "&lt;script&gt;" in html
    assert '<td class="number">1,200</td>' in html


def test_a_name_that_is_lacking_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="results"):
        render({})
