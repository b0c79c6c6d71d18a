"""`python -m bench.isic`: our figures of a project's test predictions, beside those of the ISIC challenges' own scorer.

Both read one file of labels and one of probabilities for each model. The scorer (`isic-challenge-scoring`) has an
environment of its own. Its sensitivity and specificity are of a probability above a half and ours of the most probable
class, so balanced accuracy, AUROC and average precision are what both mean alike.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

from bench.command import markdown, parser, status_of, write_json
from bench.environments import UnavailableError, interpreter
from pipeline.core.errors import UserError
from pipeline.core.store import Store
from pipeline.core.taxonomy import diagnoses_in_scope
from pipeline.params import read_tree, stage_params
from pipeline.stages.evaluate.metrics import headline, one_class
from pipeline.stages.evaluate.params import EvaluateParams
from pipeline.stages.evaluate.scored import Model
from pipeline.stages.ingest.tables import Images
from pipeline.stages.rebalance.tables import Selection
from pipeline.stages.train.tables import Predictions

PEER = "isic-challenge-scoring"
REQUIREMENTS = (f"{PEER}==5.6.0", "pandas<3")  # 3 took away what it calls
SAME = {"auc": "auroc", "ap": "average_precision"}  # its name of a class's figure, and ours


def main(arguments: Sequence[str]) -> int:
    """Score every model of the project twice, print a table, and write a section of the JSON if asked."""
    options = parser("bench.isic", __doc__, "--project", "--write").parse_args(arguments)
    return status_of(lambda: _run(options))


def _run(options: argparse.Namespace) -> None:
    try:
        python = interpreter(PEER, REQUIREMENTS)
    except UnavailableError as error:
        raise UserError(f"{PEER} {error}") from error
    found: dict[str, dict[str, Any]] = {}
    for name, (actual, probabilities, diagnoses) in read_models(options.project).items():
        ours, theirs = score(actual, probabilities, diagnoses), ask(python, actual, probabilities, diagnoses)
        found[name] = {
            "images": len(actual),
            "balanced_accuracy": [ours["balanced_accuracy"], theirs["balanced_accuracy"]],
            "largest_difference": max(abs(ours[figure] - theirs[figure]) for figure in ours),
            "figures": len(ours),
        }
    heads = ["model", "images", "balanced accuracy, ours", "theirs", "figures", "largest difference"]
    rows = []
    for name, of in found.items():
        ours, theirs = of["balanced_accuracy"]
        rows.append(
            [name, of["images"], f"{ours:.4f}", f"{theirs:.4f}", of["figures"], f"{of['largest_difference']:.0e}"]
        )
    print(markdown(heads, rows))
    write_json(options.write, lambda whole: whole | {"isic": found}, in_order=True)


def read_models(project: Path) -> dict[str, tuple[pd.Series[str], np.ndarray[Any, Any], list[str]]]:
    """Read of every model that the params name the test images' diagnoses, by image, and probabilities, as trained."""
    store, tree = Store(project), read_tree(project / "params.yaml")
    params = stage_params(tree, "evaluate", None)
    assert isinstance(params, EvaluateParams)  # noqa: S101 - what `stage_params` looks up by name
    diagnoses = diagnoses_in_scope(store.read(Images, params.batches)["diagnosis"], params.classes)
    models = {}
    for model in map(Model._make, product(params.members, params.arms, params.seeds)):
        selection = store.read(Selection, model.arm).set_index("image_id")
        predicted = store.read(Predictions, model.instance)
        vectors = store.vectors(Predictions, "probabilities", model.instance)
        tested = (predicted["split"] == "test").to_numpy()
        actual = selection.loc[predicted.loc[tested, "image_id"], "diagnosis"]
        models[model.instance] = (actual, vectors[tested].astype(np.float64), diagnoses)
    return models


def score(actual: pd.Series[str], probabilities: np.ndarray[Any, Any], diagnoses: list[str]) -> dict[str, float]:
    """Compute our figures."""
    classes, once = pd.Index(diagnoses).get_indexer(pd.Index(actual)), np.ones((1, len(actual)))
    whole = headline(probabilities, classes, once, bins=10)
    figures = {"balanced_accuracy": float(whole["balanced_accuracy"][0])}
    for number, name in enumerate(diagnoses):
        of_class = one_class(probabilities, classes, once, number=number)
        figures |= {f"{name} {ours}": float(of_class[ours][0]) for ours in SAME.values()}
    return figures


def ask(
    python: Path, actual: pd.Series[str], probabilities: np.ndarray[Any, Any], diagnoses: list[str]
) -> dict[str, float]:
    """Ask the scorer for the same figures.

    Raises:
        UserError: it fails.

    """
    images = pd.Index([f"image-{i:06d}" for i in range(len(actual))], name="image")
    truth = pd.DataFrame(actual.to_numpy()[:, None] == np.array(diagnoses), images, diagnoses).astype(float)
    with TemporaryDirectory() as folder:
        files = [Path(folder) / "truth.csv", Path(folder) / "prediction.csv"]
        truth.to_csv(files[0])
        pd.DataFrame(probabilities.clip(0, 1), images, diagnoses).to_csv(files[1], float_format="%.17g")
        command = [str(python), "-m", PEER.replace("-", "_"), "--output", "json", "classification", *map(str, files)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"{PEER} failed: {done.stderr.strip().splitlines()[-1]}")
    said: Mapping[str, Any] = json.loads(done.stdout)
    figures = {"balanced_accuracy": float(said["aggregate"]["balanced_accuracy"])}
    for theirs, ours in SAME.items():
        figures |= {f"{name} {ours}": float(said["per_category"][theirs][name]) for name in diagnoses}
    return figures


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
