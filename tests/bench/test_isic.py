from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.isic import ask, score
from pipeline.core.errors import UserError

SCORER = """
import json, sys
import pandas as pd
from sklearn.metrics import average_precision_score, balanced_accuracy_score, roc_auc_score
truth, said = (pd.read_csv(path, index_col="image") for path in sys.argv[-2:])
assert sys.argv[1:4] == ["--output", "json", "classification"] and list(truth) == list(said)
assert (truth.index == said.index).all() and set(truth.stack()) == {0.0, 1.0}
of = {"auc": roc_auc_score, "ap": average_precision_score}
print(json.dumps({
    "aggregate": {"balanced_accuracy": balanced_accuracy_score(truth.idxmax(axis=1), said.idxmax(axis=1))},
    "per_category": {name: {k: score(truth[k], said[k]) for k in truth} for name, score in of.items()},
}))
"""
DIAGNOSES = ["melanoma", "nevus", "vascular lesion"]


@pytest.fixture
def drawn() -> tuple[pd.Series[str], np.ndarray]:
    rng = np.random.default_rng(3)
    actual = pd.Series(rng.choice(DIAGNOSES, 200, p=[0.2, 0.7, 0.1]))
    return actual, rng.dirichlet([1.0, 2.0, 0.5], 200)


def test_figures_are_those_of_a_scorer_that_reads_the_files(
    drawn: tuple[pd.Series[str], np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "isic_challenge_scoring.py").write_text(SCORER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    ours, theirs = score(*drawn, DIAGNOSES), ask(Path(sys.executable), *drawn, DIAGNOSES)
    assert ours.keys() == theirs.keys()
    assert len(ours) == 1 + 2 * len(DIAGNOSES)
    assert ours == pytest.approx(theirs, abs=1e-12)


def test_a_scorer_that_fails_says_why(
    drawn: tuple[pd.Series[str], np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "isic_challenge_scoring.py").write_text("raise SystemExit('no truth')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(UserError, match="no truth"):
        ask(Path(sys.executable), *drawn, DIAGNOSES)
