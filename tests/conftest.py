from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from typing import Any

import pytest

from bench import browser
from pipeline.core import progress
from tests.project import Project, create

gc.disable()  # torch and its like come as a million objects, none of them garbage; until `pytest_collection_finish`
if "PYTEST_XDIST_WORKER" in os.environ:  # cores are shared: threads would wait for each other
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_finish() -> None:
    """Everything is imported: leave that alone, and collect garbage from here on."""
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True)
def _no_step_outlives_its_test() -> Iterator[None]:
    """A loop that raised holds its step as long as somebody holds its traceback, and the next test would hear of it."""
    yield
    progress._steps.clear()


@pytest.fixture
def one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare the start of worker processes: that they change nothing is the engine's business, and tested there."""
    monkeypatch.setattr(os, "cpu_count", lambda: 1)


@pytest.fixture(scope="module")
def one_core_for_all() -> Iterator[None]:
    """Let a module's networks, its fixtures' too, take one thread: small ones only wait for each other."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "cpu_count", lambda: 1)
        yield


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A tiny project after one `dvc repro`; tests that change it start from a clone."""
    made = create(tmp_path_factory.mktemp("project"), images=60)
    made.dvc("repro")
    made.commit("Run")
    return made


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """Drive a headless browser; without one the tests are skipped, or fail where REQUIRE_BROWSER is set."""
    if browser.binary() is None:
        (pytest.fail if os.environ.get("REQUIRE_BROWSER") else pytest.skip)(browser.LACKING)
    with browser.launched() as opened:
        yield opened
