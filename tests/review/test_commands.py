from __future__ import annotations

import subprocess
from argparse import ArgumentParser
from pathlib import Path

import pytest

from pipeline.core.errors import UserError
from pipeline.ledger import file
from pipeline.ledger.decisions import PATH
from pipeline.review import app, decide
from pipeline.review.decide import steward_name
from tests.ledger.made import decision, ledger
from tests.review.made import apply_decisions, project


@pytest.fixture(scope="module")
def undecided(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that no test changes."""
    return project(tmp_path_factory.mktemp("undecided")).root


def run_decide(root: Path, *arguments: str) -> int:
    parser = ArgumentParser()
    decide.add_arguments(parser)
    return decide.run(root, parser.parse_args([*arguments, "--steward", "A", "--reason", "seen"]))


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
