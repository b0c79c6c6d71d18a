"""Fine-tune members on planted labels, several at a time: `python -m bench.label_noise.cross_fitting FOLDER …`.

It needs the images and the plan that `python -m bench.label_noise.fine_tuned` writes, and no vectors: so it can run
on another machine, one that has a GPU.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from bench.command import parser, status_of
from bench.label_noise.out_of_fold import Labels, Shown, collect, fit_fold, show
from pipeline.core.folds import assign_folds
from pipeline.core.params import Device
from pipeline.core.store import Store
from pipeline.models.params import FineTuned, Head, Probe, read_member
from pipeline.models.trainable import weights_file
from pipeline.profiles import read_either
from pipeline.stages.ingest.tables import Images, open_pixels

PLAN = "plan.npz"
FOLDS = 5
SEED = 0


class Fitting(NamedTuple):
    """What is fitted.

    members: recipes by name.
    device: where.
    folds: each member is trained once a fold.
    seed: of the folds and of everything random.
    """

    members: dict[str, FineTuned | Head]
    device: Device
    folds: int = FOLDS
    seed: int = SEED


class Job(NamedTuple):
    """One training: a cell's name and a fold."""

    cell: str
    fold: int


class Planned(NamedTuple):
    """What `fit` needs to know of a collection.

    image_id, group, weight: (n,) of every image, all of which are learnt from.
    classes: how many.
    given: (n,) planted labels by cell.
    """

    image_id: NDArray[Any]
    group: NDArray[np.int64]
    weight: NDArray[np.float32]
    classes: int
    given: dict[str, NDArray[np.int64]]

    def labels(self, cell: str) -> Labels:
        """Give the labels of a cell as `out_of_fold` takes them."""
        everything = np.ones(len(self.group), bool)
        return Labels(self.given[cell], self.classes, self.group, everything, self.weight)


def read_plan(folder: Path) -> Planned:
    """Read it back."""
    with np.load(folder / PLAN) as arrays:
        given = {name.removeprefix("given "): arrays[name] for name in arrays.files if name.startswith("given ")}
        return Planned(arrays["image_id"], arrays["group"], arrays["weight"], int(arrays["classes"]), given)


def fit(project: Path, batch: str, params: Fitting, folder: Path, *, workers: int) -> None:
    """Train every member of `params` on every fold of every cell; one that is on disk is not trained again."""
    planned = read_plan(folder)
    for name in params.members:
        jobs = [
            Job(cell, fold)
            for cell in planned.given
            for fold in range(_folds(planned, cell, params).max() + 1)
            if not (folder / name / cell / f"fold-{fold}.npy").exists()
        ]
        with get_context("spawn").Pool(workers, _begin, ((project, batch, params, folder), name)) as pool:
            for _ in tqdm(pool.imap_unordered(_train, jobs), desc=f"fit {name}", total=len(jobs), unit="fold"):
                pass


def read_fitted(folder: Path, params: Fitting) -> Iterator[tuple[str, tuple[NDArray[np.float64], ...]]]:
    """Yield every cell that is finished, and what each member makes of its images: (n, classes)."""
    planned = read_plan(folder)
    for cell in planned.given:
        folds = _folds(planned, cell, params)
        files = [
            [folder / name / cell / f"fold-{fold}.npy" for fold in range(folds.max() + 1)] for name in params.members
        ]
        if all(file.exists() for of_member in files for file in of_member):
            yield cell, tuple(collect([np.load(file) for file in of_member], folds) for of_member in files)


def read_params(profile: Path) -> Fitting:
    """Read the members that a profile lists and that can be fine-tuned: a probe takes no pixels.

    Raises:
        UserError: the file is no profile.

    """
    tree = read_either(profile)
    recipes = {name: read_member(tree["train"]["members"][name]) for name in tree["members"]}
    members = {name: recipe for name, recipe in recipes.items() if not isinstance(recipe, Probe)}
    return Fitting(members, tree["runtime"]["device"])


def _folds(planned: Planned, cell: str, params: Fitting) -> NDArray[np.int64]:
    labels = planned.labels(cell)
    return assign_folds(labels.given, labels.group, labels.learnt, count=params.folds, seed=params.seed)


_GIVEN: tuple[Path, str, Fitting, Path]
_MEMBER: str


def _begin(given: tuple[Path, str, Fitting, Path], member: str) -> None:
    global _GIVEN, _MEMBER
    _GIVEN, _MEMBER = given, member


@cache
def _shown() -> tuple[Planned, Shown, Path | None]:
    """Decode once a worker."""
    project, batch, params, folder = _GIVEN
    planned, store, member = read_plan(folder), Store(project), params.members[_MEMBER]
    images = store.read(Images, batch).set_index("image_id").loc[planned.image_id].reset_index()
    weights, pixels = weights_file(store, member), open_pixels(store, images)
    return planned, show(pixels, member, weights=weights, device=params.device, scratch=folder), weights


def _train(job: Job) -> None:
    _, _, params, folder = _GIVEN
    planned, shown, weights = _shown()
    scratch = folder / _MEMBER / job.cell
    scratch.mkdir(parents=True, exist_ok=True)
    fit_fold(
        params.members[_MEMBER],
        shown,
        planned.labels(job.cell),
        _folds(planned, job.cell, params),
        job.fold,
        seed=params.seed,
        weights=weights,
        scratch=scratch,
    )


def main(arguments: Sequence[str]) -> int:
    """Fit what the arguments say; return the exit status."""
    needed = ["--project", "--batch", "--profile"]
    made = parser("bench.label_noise.cross_fitting", __doc__, "folder", "--workers", required=needed)
    options = made.parse_args(arguments)

    def run() -> None:
        params = read_params(options.profile)
        fit(options.project, options.batch, params, options.folder, workers=options.workers)

    return status_of(run)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
