from __future__ import annotations

import subprocess
from argparse import ArgumentParser
from pathlib import Path

import pytest

from pipeline.core.errors import UserError
from pipeline.ledger import file
from pipeline.ledger.decisions import PATH
from pipeline.ledger.history import verify
from pipeline.review import app, decide
from pipeline.review.decide import steward_name
from pipeline.stages.dedup.tables import Groups
from pipeline.stages.label_noise.tables import LabelScores
from pipeline.stages.rebalance.tables import Selection
from pipeline.stages.replay.tables import ReviewedGroups
from tests.ledger.made import decision, git, ledger
from tests.review.made import apply_decisions, project


@pytest.fixture(scope="module")
def undecided(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that no test changes."""
    return project(tmp_path_factory.mktemp("undecided")).root


def run_decide(root: Path, *arguments: str) -> int:
    parser = ArgumentParser()
    decide.add_arguments(parser)
    return decide.run(root, parser.parse_args(["--steward", "A", "--reason", "seen", *arguments]))


def run_review(root: Path, *arguments: str) -> int:
    parser = ArgumentParser()
    app.add_arguments(parser)
    return app.run(root, parser.parse_args([*arguments, "--steward", "A"]))


def test_a_decision_is_recorded_with_the_digest_and_label_of_its_image(tmp_path: Path) -> None:
    project(tmp_path)
    assert run_decide(tmp_path, "demo:00", "relabel", "--to", "nevus") == 0
    assert run_decide(tmp_path, "demo:01", "not_a_duplicate", "--other", "demo:00") == 0
    one, two = file.read(tmp_path / PATH).decisions
    assert (one.given, one.to, one.steward, one.reason, len(one.sha256)) == ("melanoma", "nevus", "A", "seen", 64)
    assert two.subject == ("demo:00", "demo:01")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("demo:99", "drop"), "'demo:99' is not the image_id of an image"),
        (("demo:00", "same_lesion", "--other", "demo:99"), "'demo:99' is not the image_id"),
        (("demo:00", "relabel", "--to", "wart"), r"'wart' is not a diagnosis of the dataset \(melanoma, nevus\)"),
        (("demo:00", "relabel", "--to", "melanoma"), "relabel needs another diagnosis"),
        (("demo:00", "same_lesion"), "same_lesion needs another image"),
        (("demo:00", "drop", "--to", "nevus"), "drop takes no diagnosis"),
    ],
)
def test_a_decision_that_does_not_fit_is_refused(undecided: Path, arguments: tuple[str, ...], said: str) -> None:
    with pytest.raises(UserError, match=said):
        run_decide(undecided, *arguments)
    assert file.read(undecided / PATH).decisions == []


def test_what_was_shown_and_what_it_will_change_is_recorded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = project(tmp_path)
    run_decide(tmp_path, "demo:04", "relabel", "--to", "nevus")
    [one] = file.read(tmp_path / PATH).decisions
    shown = store.read(LabelScores).set_index("image_id").loc["demo:04"]
    split = store.read(Groups).set_index("image_id").loc["demo:04", "split"]
    assert (one.suggested, one.split, len(one.tables)) == (shown["suggested"], split, 64)
    assert float(one.posterior) == pytest.approx(shown["error_probability"])
    assert one.effect in capsys.readouterr().out
    before = store.read(Selection, "curated").set_index("image_id")
    apply_decisions(store)
    after = store.read(Selection, "curated").set_index("image_id")
    assert "becomes nevus" in one.effect or "returns to" in one.effect
    assert after.loc["demo:04", "diagnosis"] == "nevus"
    assert before.drop(index="demo:04", errors="ignore")["diagnosis"].equals(after.drop(index="demo:04")["diagnosis"])


def test_a_decision_that_changes_nothing_says_why(tmp_path: Path) -> None:
    project(tmp_path)
    run_decide(tmp_path, "demo:01", "drop")  # a removed copy
    run_decide(tmp_path, "demo:04", "drop")
    run_decide(tmp_path, "demo:04", "drop", "--steward", "B")
    run_decide(tmp_path, "demo:04", "keep", "--steward", "C")
    one, two, three, four = (decision.effect for decision in file.read(tmp_path / PATH).decisions)
    assert one == "changes nothing: demo:01 is out all the same (copy of demo:00)"
    assert two.startswith("demo:04 leaves")
    assert three == "changes nothing: A says drop already"
    assert four == "demo:04 returns to train as melanoma; the case is disputed: A says drop and B says drop"


def test_a_missed_copy_is_declared_and_withdrawn(tmp_path: Path) -> None:
    store = project(tmp_path)
    assert run_decide(tmp_path, "demo:08", "copy_of", "--other", "demo:00") == 0
    apply_decisions(store)
    assert store.read(ReviewedGroups).set_index("image_id").loc["demo:08", "duplicate_of"] == "demo:00"
    with pytest.raises(UserError, match="A has said nothing on demo:08 that stands"):
        run_decide(tmp_path, "demo:08", "withdraw")
    run_decide(tmp_path, "demo:00", "withdraw", "--other", "demo:08")
    with pytest.raises(UserError, match="has said nothing on demo:00 and demo:08 that stands"):
        run_decide(tmp_path, "demo:00", "withdraw", "--other", "demo:08")
    apply_decisions(store)
    assert store.read(ReviewedGroups)["duplicate_of"].dropna().tolist() == ["demo:00"]


def test_a_reason_that_tells_of_somebody_needs_a_second_look(tmp_path: Path) -> None:
    project(tmp_path)
    with pytest.raises(UserError, match=r"'Mrs\. Miller' looks like a name"):
        run_decide(tmp_path, "demo:00", "drop", "--reason", "Mrs. Miller moved")
    assert run_decide(tmp_path, "demo:00", "drop", "--reason", "Mr. Clark's sign", "--checked") == 0


def test_the_commit_is_offered_and_holds_the_ledger_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project(tmp_path)
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", PATH)
    git(tmp_path, "commit", "--quiet", "-m", "Start")
    (tmp_path / "other").touch()
    git(tmp_path, "add", "other")
    run_decide(tmp_path, "demo:00", "drop")
    said = capsys.readouterr().out
    assert f"1 decisions are not committed: git commit -m 'Decisions of A: 1 drop' -- {PATH}" in said
    git(tmp_path, "config", "user.name", "A")
    git(tmp_path, "config", "user.email", "a@example.org")
    run_decide(tmp_path, "demo:04", "keep", "--commit")
    assert "committed: Decisions of A: 1 drop, 1 keep" in capsys.readouterr().out
    assert git(tmp_path, "show", "--name-only", "--format=%s", "HEAD").split("\n")[2:3] == [PATH]
    assert git(tmp_path, "status", "--porcelain", PATH) == ""
    assert verify(tmp_path).problems == []


def test_the_decisions_that_await_application_are_counted(tmp_path: Path) -> None:
    store = project(tmp_path)
    assert app.describe_waiting(tmp_path) == "all 0 decisions are in the curated dataset"
    run_decide(tmp_path, "demo:04", "drop")
    assert app.describe_waiting(tmp_path) == "1 of 1 decisions await application: run `dvc repro`"
    apply_decisions(store)
    assert app.describe_waiting(tmp_path) == "all 1 decisions are in the curated dataset"


def test_all_decisions_await_a_first_run(tmp_path: Path) -> None:
    ledger(tmp_path)
    file.append(tmp_path, [decision("b:1"), decision("b:2")])
    assert app.describe_waiting(tmp_path).startswith("2 of 2 decisions await")


@pytest.mark.parametrize("address", ["0.0.0.0", "192.168.1.5", "example.org", "::"])  # noqa: S104 - refused
def test_the_app_listens_on_loopback_only(tmp_path: Path, address: str) -> None:
    with pytest.raises(UserError, match=f"--address {address} is not loopback"):
        run_review(tmp_path, "--address", address)


def test_the_steward_is_gits_user_unless_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"):
        monkeypatch.setenv(name, "/dev/null")
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    with pytest.raises(UserError, match="say --steward NAME"):
        steward_name(tmp_path, None)
    subprocess.run(["git", "config", "user.name", "B. Git"], cwd=tmp_path, check=True)
    assert steward_name(tmp_path, None) == "B. Git"
    assert steward_name(tmp_path, "A") == "A"
