"""A steward's hour, in a minute: headless Chromium against the real App and its MongoDB.

It needs Debian's Chromium and the package playwright. Without them the tests are skipped, or fail where
REQUIRE_BROWSER is set, as .ci/run does.
"""

from __future__ import annotations

import re
import shutil
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.store import Store
from pipeline.ledger import file
from pipeline.ledger.agreement import draw
from pipeline.ledger.decisions import PATH
from pipeline.ledger.history import verify
from pipeline.review.app import list_cases, read_all
from pipeline.review.queues import AUDIT
from pipeline.review.sharing import Shares
from pipeline.review.shown import open_tables
from pipeline.stages.rebalance.tables import Exclusions, Selection
from tests import params
from tests.project import Project
from tests.review.made import apply_decisions
from tests.review.made import project as drawn_project
from tests.review.opened import Opened

pytestmark = pytest.mark.pipeline

A, B = "Dr. A", "Dr. B"
QUESTION, ANSWER = "#steward-question", "#steward-answer"
PANEL = "#modal [data-cy=panel-content-steward]"
PATIENCE_MS = 90_000  # against hanging


class Steward:
    """Somebody at the keyboard."""

    def __init__(self, browser: Any, url: str) -> None:
        self.page = browser.new_page(viewport={"width": 1500, "height": 900})
        self.page.set_default_timeout(PATIENCE_MS)
        self.page.goto(url)

    def wait_for_case(self, image: str) -> None:
        self.page.locator(PANEL).get_by_text(image, exact=True).wait_for()

    def press(self, key: str, *answers: str) -> str:
        """Press a key, answer each question by typing or by a digit, and read what the screen says."""
        page = self.page
        page.evaluate(f"(document.querySelector('{ANSWER}') || {{}}).textContent = ''")
        page.keyboard.press(key)
        for answer in answers:
            page.locator(QUESTION).wait_for()
            if answer.isdigit():
                page.keyboard.press(answer)
            elif answer == "click":
                page.locator(QUESTION).get_by_text("shows no lesion").click()
            else:
                page.keyboard.type(answer)
                page.keyboard.press("Enter")
        return self.said()

    def said(self) -> str:
        self.page.wait_for_function(f"(document.querySelector('{ANSWER}') || {{}}).textContent")
        return str(self.page.text_content(ANSWER))

    def select(self, *places: int) -> None:
        for place in places:
            sample = self.page.locator("[data-cy=fo-grid] [data-cy=looker]").nth(place - 1)
            sample.hover()
            sample.locator("[data-cy=looker-checkbox-]").click()

    def tag(self, text: str) -> None:
        """Tag what is selected in the grid."""
        self.page.locator("[data-cy=action-tag-sample-labels]").click()
        self.page.locator("[data-cy=sample-tag-input]").fill(text)
        self.page.keyboard.press("Enter")
        with self.page.expect_response(lambda answer: answer.url.endswith("/tag")):
            self.page.get_by_text("Apply", exact=True).click()
        self.page.locator("[data-cy=sample-tag-input]").wait_for(state="detached")


def curated(store: Store) -> dict[str, tuple[str, str, bool]]:
    """Read split, diagnosis and what it weighs beside the first, of every image of the curated arm.

    Classes are not balanced here, so that one image's decision moves no other's weight but by the mean.
    """
    rows = store.read(Selection, "curated")
    in_train = rows["split"] == "train"
    beside = rows["weight"] / rows["weight"].where(in_train).max()
    weights = beside.where(in_train, 1.0).round(3)
    return dict(zip(rows["image_id"], zip(rows["split"], rows["diagnosis"], weights, strict=True), strict=True))


def decide_cases(steward: Steward, root: Path) -> None:
    """Decide case by case, by key and mouse, and take one back."""
    steward.wait_for_case("demo:03")
    assert "0 of 11 decided" in steward.page.inner_text(PANEL)
    said = steward.press("k")
    assert re.fullmatch(r"keep: demo:03 in train counts in full as nevus, was 0\.\d+", said), said  # in doubt no longer
    assert [one.verdict for one in file.read(root / PATH).decisions] == ["keep"], "at once, not at the end"

    steward.wait_for_case("demo:06")
    steward.press("d", "click")
    steward.wait_for_case("demo:10")
    steward.press("u")
    steward.wait_for_case("demo:08")
    assert "becomes nevus" in steward.press("a")
    steward.wait_for_case("demo:11")
    steward.press("t", "mela", "vessels, seen close")
    steward.wait_for_case("demo:00")
    assert "TEST: changes the metric" in steward.page.inner_text(PANEL)
    steward.press("2", "1")  # nevus, as suggested; but on test a reason is asked for all the same
    steward.wait_for_case("demo:05")
    assert "needs a pair" in steward.press("n")
    steward.press("g")
    steward.wait_for_case("demo:07")
    steward.press("b")
    steward.wait_for_case("demo:05")
    steward.press("b")
    steward.wait_for_case("demo:00")
    assert "withdraw:" in steward.press("w")


def decide_many(steward: Steward) -> None:
    """Close the sample, and decide in the grid: by a key, by a tag that is misspelt and by one that is not."""
    steward.page.mouse.click(10, 450)  # beside the sample: it is closed
    steward.page.locator("#modal.modalon").wait_for(state="detached")
    assert "none is selected" in steward.press("d")
    steward.select(8, 9)
    steward.page.get_by_text("2 selected").wait_for()
    assert steward.press("k").startswith("2 decisions")
    steward.select(10)
    steward.tag("not sure")
    steward.select(11)
    steward.tag("not_sure")


def test_what_is_decided_on_the_screen_is_in_the_ledger_exactly(tmp_path: Path, chromium: Any) -> None:
    store = drawn_project(tmp_path, rebalance__balance__policy="none")
    before = curated(store)
    with Opened(tmp_path, "--queue", "labels", "--steward", "Dr. A") as session:
        steward = Steward(chromium, session.url)
        decide_cases(steward, tmp_path)
        decide_many(steward)
        status = session.end()
        assert status == 1, "a misspelt tag is a problem"
        assert "demo:02: not sure looks like not_sure, and is not" in session.output
    decisions = file.read(tmp_path / PATH).decisions
    assert [(one.image_id, one.verdict, one.to, one.reason, one.place, one.tool) for one in decisions] == [
        ("demo:03", "keep", "", "", "1", "panel"),
        ("demo:06", "drop", "", "shows no lesion", "2", "panel"),
        ("demo:10", "not_sure", "", "", "3", "panel"),
        ("demo:08", "relabel", "nevus", "", "4", "panel"),
        ("demo:11", "relabel", "melanoma", "vessels, seen close", "5", "panel"),
        ("demo:00", "relabel", "nevus", "pattern", "6", "panel"),
        ("demo:00", "withdraw", "", "", "6", "panel"),
        ("demo:07", "keep", "", "", "8", "panel"),
        ("demo:04", "keep", "", "", "9", "panel"),
        ("demo:09", "not_sure", "", "tagged in the App", "", "review"),
    ]
    assert {one.steward for one in decisions} == {"Dr. A"}
    assert {one.queue for one in decisions[:-1]} == {"labels"}
    assert len({one.decided_at for one in decisions}) == len(decisions), "each has a time of its own"
    assert verify(tmp_path).problems == []

    apply_decisions(store)
    after = curated(store)
    other = {image: after.get(image) for image in before.keys() | after.keys() if before.get(image) != after.get(image)}
    kept = {"demo:03", "demo:04", "demo:07"}  # in train, in doubt no longer: they weigh as much as any
    assert other.keys() == kept | {"demo:06", "demo:08", "demo:09", "demo:11"}
    assert {other[image] for image in kept} == {("train", "nevus", 1.0), ("train", "melanoma", 1.0)}
    assert (other["demo:06"], other["demo:08"], other["demo:09"], other["demo:11"]) == (
        None,
        ("validation", "nevus", 1.0),
        ("train", "nevus", params.section("rebalance.label_policy")["downweight_to"]),
        ("validation", "melanoma", 1.0),
    )


def test_pairs_are_shown_side_by_side_and_decided_by_one_key(tmp_path: Path, chromium: Any) -> None:
    drawn_project(tmp_path)
    with Opened(tmp_path, "--queue", "pairs", "--steward", "B") as session:
        steward = Steward(chromium, session.url)
        steward.wait_for_case("demo:00")
        assert "if not a duplicate: demo:01 returns" in steward.page.inner_text(PANEL)
        width = f"document.querySelector('{PANEL} img').naturalWidth"
        steward.page.wait_for_function(f"{width} > 0")
        assert re.search("demo:01 returns", steward.press("n", "1"))
        steward.wait_for_case("demo:02")
        session.end()
    [one] = file.read(tmp_path / PATH).decisions
    assert (one.subject, one.verdict, one.queue) == (("demo:00", "demo:01"), "not_a_duplicate", "pairs")


def arm_rows(root: Path, arm: str) -> dict[str, tuple[str, ...]]:
    """Say of every image where it is in an arm, and as what, or why it is out; not what it weighs beside others."""
    store = Store(root)
    rows, targets = store.read(Selection, arm), store.vectors(Selection, "target", arm)
    columns = (rows[name] for name in ("image_id", "split", "group_id", "diagnosis"))
    found = {row[0]: (*row[1:], str(target.tolist())) for *row, target in zip(*columns, targets, strict=True)}
    out = store.read(Exclusions, arm)
    return found | {row.image_id: (row.reason, row.detail) for row in out.itertuples(index=False)}


def queue_of(root: Path, steward: str) -> list[str]:
    """List the images of a steward's audit queue, everything that another decided read again."""
    tables = open_tables(root)
    cases = list_cases(tables, AUDIT, steward, read_all(tables, whole=False), Shares(second=1.0))
    return [case.image_id for case in cases]


def walk(steward: Steward, queue: list[str], keys: dict[str, tuple[str, ...]]) -> dict[str, str]:
    """Go through a queue up to the last case with keys, and pass on the others; return what the screen said of each."""
    said = {}
    last = max(queue.index(image) for image in keys)
    for image in queue[: last + 1]:
        steward.wait_for_case(image)
        assert A not in steward.page.inner_text(PANEL), "nothing is to be seen of what others decided"
        said[image] = steward.press(*keys.get(image, ("g",)))
    return said


def choose(root: Path) -> tuple[list[str], list[str]]:
    """Choose train and test images at the beginning of A's queue, those first that will come early in B's."""
    split = {image: row[0] for image, row in arm_rows(root, "curated").items() if len(row) > 2}
    by_split = defaultdict(list)
    for image in sorted(queue_of(root, A)[:16], key=lambda image: draw((image,), 0, "dr. b", AUDIT, "place")):
        by_split[split.get(image)].append(image)
    return by_split["train"], by_split["test"]


def test_two_stewards_disagree_and_dvc_changes_exactly_what_the_ledger_says(
    project: Project, tmp_path: Path, chromium: Any
) -> None:
    root = tmp_path / "copy"
    shutil.copytree(project.root, root, symlinks=True)
    copy = Project(root)
    (disputed, dropped, relabelled, *_), (signed, unsigned, *_) = choose(root)
    scores = open_tables(root).scores[relabelled]
    known = (scores["given"], scores["suggested"])
    to = next(name for name in ("dermatofibroma", "vascular_lesion", "nevus") if name not in known)
    before = {arm: arm_rows(root, arm) for arm in ("raw", "curated")}

    drop, keep = ("d", "1"), ("k",)
    with Opened(root, "--queue", AUDIT, "--steward", A) as session:
        keys = dict.fromkeys((disputed, dropped, signed, unsigned), drop)
        said = walk(Steward(chromium, session.url), queue_of(root, A), {**keys, relabelled: ("t", to, "1")})
        assert said[relabelled] == f"relabel: {relabelled} in train becomes {to}, was {scores['given']}"
        assert session.end() == 0
    queue = queue_of(root, B)
    with Opened(root, "--queue", AUDIT, "--steward", B, "--second-share", "1") as session:
        said = walk(Steward(chromium, session.url), queue, {disputed: keep, dropped: drop, signed: drop})
        assert said[dropped] == f"drop: {dropped} leaves train (dropped by {B})", "as if nobody had spoken before"
        assert A not in said[disputed]
        assert session.end() == 0
    assert disputed in copy.pipeline("decisions", "--disputed")
    assert verify(root).problems == []

    ran = copy.ran(copy.dvc("repro"))
    assert ran[0] == "replay"
    assert {name.partition("@")[0] for name in ran} == {"replay", "rebalance", "train", "evaluate"}
    assert copy.ran(copy.dvc("repro")) == []
    out = ("steward", f"dropped by {B}")
    names = sorted(set(open_tables(root).curated.diagnoses))
    target = str([1.0 if name == to else 0.0 for name in names])
    place = before["curated"][relabelled]
    expected = {  # the test set is one for all arms; one steward's word does not change it, nor do two that differ
        "raw": {signed: out},
        "curated": {signed: out, dropped: out, relabelled: (*place[:2], to, target)},
    }
    for arm, rows in before.items():
        after = arm_rows(root, arm)
        assert {image: after[image] for image in rows if after[image] != rows[image]} == expected[arm]
        assert after.keys() == rows.keys()
