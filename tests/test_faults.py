"""Each fault of `python -m tests.faults` can be planted, and the tests that must find it are there."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.faults.faults import FAULTS, Fault, ids, plant
from tests.project import ROOT


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("package")
    shutil.copytree(ROOT / "pipeline", root / "pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    return root


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_can_be_planted_in_code_that_stays_code(package: Path, fault: Fault) -> None:
    before = {path: path.read_text("utf-8") for path in package.glob(fault.files)}
    plant(fault, package)
    changed = [path for path, text in before.items() if path.read_text("utf-8") != text]
    assert len(changed) == 1
    compile(changed[0].read_text("utf-8"), str(changed[0]), "exec")
    changed[0].write_text(before[changed[0]], "utf-8")


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_the_tests_that_must_find_a_fault_are_there(fault: Fault) -> None:
    assert len(ids(fault, ROOT)) == len(fault.tests) > 0


def test_a_fault_that_fits_nowhere_and_a_test_that_is_gone_are_said(package: Path) -> None:
    lost = Fault("lost", "pipeline/core/*.py", "no such line", "", ("test_nothing_of_the_kind",))
    with pytest.raises(LookupError, match="lost: 0 files"):
        plant(lost, package)
    with pytest.raises(LookupError, match="names no test"):
        ids(lost, ROOT)
