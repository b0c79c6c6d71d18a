"""Command lines of the README and the pages for users, run as a user would, in a login shell that inherits nothing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.project import ROOT, Project

pytestmark = pytest.mark.pipeline

PAGES = (
    "README.md",
    "docs/setup.md",
    "docs/your_data.md",
    "docs/results.md",
    "docs/engineer.md",
    "docs/reviewer.md",
)
TEXT = "\n".join((ROOT / page).read_text("utf-8") for page in PAGES)
FIRST_WORDS = re.compile(r"(\.|make|python3?|dvc|git|pip|uv|\.venv/bin/\w+) ")

# What stands for something of the user's, or of the default profile, and what the tiny project has in its place.
EXAMPLES = {"<batch>": "demo", "train.members.lite0": "train.members.one"}

NOT_RUN = {  # but each must parse
    "make demo": "takes minutes and real weights: .ci/run runs its commands on a smaller scrape",
    "make test": "is what runs this",
    "make review": "ends with Ctrl-C: tests/review/test_session.py opens the App",
    "python -m pipeline review --queue all": "likewise",
    "python -m pipeline review --queue all --steward NAME": "likewise",
    "python -m pipeline why IMAGE": "wants an image of the user's: tests/commands/test_questions.py asks",
    "python -m pipeline decisions --by NAME": "wants a steward's name: tests/commands/test_questions.py has one",
    "dvc exp apply NAME": "wants the name of an experiment of the user's",
    "python -m pipeline decide": "wants an image of the user's: tests/test_pipeline.py decides",
    "python -m pipeline decide IMAGE keep --steward NAME --reason WORDS": "likewise",
    "python -m pipeline fetch weights": "downloads: `make test` has just done it",
    "python -m pipeline fetch ham10000 --from FOLDER": "wants the user's archives",
    "python -m pipeline audit-split split.csv": "wants the user's split",
    "python -m pipeline audit-split split.csv --images FOLDER": "wants the user's split",
    "python -m pipeline audit-split FOLDER": "wants the user's split",
}


def command_lines(text: str) -> list[str]:
    """List the lines of code blocks without their comments, and the code in sentences that begins with a program."""
    fence = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    blocks = [body for language, body in fence.findall(text) if language != "mermaid"]
    lines = [line.split("#")[0].strip() for body in blocks for line in body.splitlines()]
    spans = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", fence.sub("", text))]
    return list(dict.fromkeys([*filter(None, lines), *filter(FIRST_WORDS.match, spans)]))


COMMANDS = command_lines(TEXT)
ACTIVATE = next(line for line in COMMANDS if line.startswith(". "))
IN_FISH = next(span for span in re.findall(r"in fish:\s+(\S.*)", TEXT))
RUN = [command for command in COMMANDS if command not in NOT_RUN and command != ACTIVATE]


@pytest.fixture
def users(project: Project, tmp_path: Path) -> Project:
    """A finished project as a user has it, with its Makefile and environment; `evaluate` is out of date."""
    root = tmp_path / "users"
    shutil.copytree(project.root, root, symlinks=True)
    for name in ("Makefile", "requirements.lock", "pyproject.toml", "install"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        copy(ROOT / name, root / name)  # both keep the time: nothing is installed anew
    (root / ".venv").symlink_to(sys.prefix)
    (tmp_path / ".gitconfig").write_text("[user]\n    name = A User\n    email = user@example.org\n", "utf-8")
    copied = Project(root)
    copied.set_params(evaluate__bootstrap=20)
    return copied


def type_in(users: Project, line: str, shell: str = "bash") -> str:
    """Type a line into a new login shell that inherits nothing; return what is shown."""
    command = ["env", "-i", f"HOME={users.root.parent}", f"USER={os.environ.get('USER', 'user')}", shell, "-lc", line]
    done = subprocess.run(command, cwd=users.root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def as_typed(command: str) -> str:
    for word, example in EXAMPLES.items():
        command = command.replace(word, example)
    return command if command.startswith(("make ", ".venv/")) else f"{ACTIVATE} && {command}"


@pytest.mark.parametrize("command", RUN)
def test_a_command_of_the_readme_runs(users: Project, command: str) -> None:
    shown = type_in(users, as_typed(command))
    if command.endswith("repro"):
        assert users.ran(shown) == ["evaluate"]


@pytest.mark.parametrize("command", NOT_RUN)
def test_a_command_of_the_readme_that_is_not_run_parses(users: Project, command: str) -> None:
    assert command in COMMANDS, f"none of {PAGES} says so any more: delete the line"
    if command.startswith("make "):
        assert type_in(users, command.replace("make ", "make --dry-run "))
        return
    shown = type_in(users, as_typed(command.partition(" --")[0]) + " --help")
    assert [option for option in re.findall(r" (--\w+)", command) if option not in shown] == []


@pytest.mark.parametrize(
    ("shell", "line"), [("sh", ACTIVATE), ("bash", ACTIVATE), ("zsh", ACTIVATE), ("fish", IN_FISH)]
)
def test_a_shell_finds_the_environment_as_the_readme_says(users: Project, shell: str, line: str) -> None:
    if shutil.which(shell) is None and "CI" not in os.environ:
        pytest.skip(f"{shell} is not installed; .ci/run installs it")
    shown = type_in(
        users, f"{line}; python -m pipeline use; python -c 'import sys; print(sys.prefix)'; dvc --version", shell
    )
    profiles, prefix, version = shown.rstrip().rsplit("\n", 2)
    assert "demo" in profiles
    assert Path(prefix).resolve() == Path(sys.prefix).resolve()
    assert version.startswith("3.")


@pytest.mark.parametrize("line", ["dvc repro", "dvc exp run --temp"])
def test_the_environments_dvc_runs_stages_where_nobody_has_activated_it(users: Project, line: str) -> None:
    assert users.ran(type_in(users, f".venv/bin/{line}")) == ["evaluate"]


def test_another_python_is_told_how_to_become_the_right_one(users: Project) -> None:
    bare = [sys.executable, "-S", "-m", "pipeline", "use"]  # -S: without site-packages, as the system's is
    done = subprocess.run(bare, cwd=users.root, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert ACTIVATE in done.stderr
    assert IN_FISH in done.stderr
    assert done.stderr.count("\n") == 1, "one sentence"


def test_a_new_command_in_the_readme_is_noticed() -> None:
    text = "Say `make tea`, not `teapot`:\n\n```\ndvc brew   # slowly\n```\n\n```mermaid\nflowchart LR\n```\n"
    assert command_lines(text) == ["dvc brew", "make tea"]
