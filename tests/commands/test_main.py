from __future__ import annotations

import pytest

from pipeline.commands.main import COMMANDS, main
from pipeline.core.errors import UserError
from pipeline.params import STAGES


def test_an_unknown_command_is_told_what_there_is() -> None:
    with pytest.raises(UserError, match=r"'fecth' is neither a stage nor a command: say one of ingest, .*fetch, use"):
        main(["fecth"])


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_no_command_shows_every_stage_and_command(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in (*STAGES, *COMMANDS))


@pytest.mark.parametrize("name", ["fetch", "use", "prune", "salt", "results", "tables"])
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    assert COMMANDS[name][1].split()[0] in capsys.readouterr().out


def test_a_sources_own_options_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["fetch", "demo", "--help"])
    assert "--images" in capsys.readouterr().out
