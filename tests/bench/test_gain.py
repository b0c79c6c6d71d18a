from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
import yaml

from bench import ensemble
from bench.gain import leakage, report, shortcuts
from bench.gain.__main__ import compare, main
from bench.gain.fitting import Run, Try, fit_all, read
from bench.gain.plan import CEILING, Cell, Terms, arms_of, split_of
from bench.gain.report import Scale, over_seeds, predict
from bench.parts import ALL
from bench.rebalance import main as rebalance_main
from pipeline.params import stage_params
from pipeline.profiles import read_either
from pipeline.stages.evaluate.bootstrap import Estimate
from pipeline.stages.rebalance.params import Balance, RebalanceParams
from pipeline.stages.train.params import TrainParams
from tests.project import PROBE, ROOT
from tests.stages.label_noise.made import project
from tests.stages.label_noise.planted import params

ARMS = ("raw", "dedup", "clean", "curated", "random_removal", CEILING)
FOLDS = 3
OWN = Try("cross_entropy", "class_weights")
CLASS_WEIGHTS = Balance(policy="class_weights", beta=0.999, max_ratio=20.0)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return project(tmp_path_factory.mktemp("gain")).root


@pytest.fixture(scope="module")
def terms(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Terms:
    tree = read_either(ROOT / "profiles/demo.yaml")
    for arm in ("clean", "curated"):
        tree["rebalance"]["arms"][arm]["label_policy"] = "soft"
    building = cast("RebalanceParams", stage_params(tree, "rebalance", "raw"))
    judging = params(batches=["demo"], folds=3)
    return Terms(
        root, ("demo",), ALL, judging, building, hours=0.1, folds=FOLDS, cache=tmp_path_factory.mktemp("cache")
    )


def probe(**changes: Any) -> TrainParams:
    tree = {"batches": ["demo"], "classes": "all", "device": "cpu", "loss": "cross_entropy"}
    return TrainParams.model_validate(tree | {"member": PROBE | {"backbone": "clip"} | changes})


def run(terms: Terms, *, tries: tuple[Try, ...] = (OWN,), arms: tuple[str, ...] = ("raw", "clean")) -> Run:
    return Run(terms, {"probe": probe()}, arms, tries, arms_of)


def test_every_group_is_tested_once_a_seed_and_lies_in_one_split(terms: Terms) -> None:
    found = terms.project
    splits = [split_of(found, folds=FOLDS, seed=4, fold=fold) for fold in range(FOLDS)]
    assert (sum((split == "test").astype(int) for split in splits) == 1).all()
    for split in splits:
        assert pd.Series(split).groupby(found.group_ids).nunique().max() == 1
        assert set(split) == {"train", "validation", "test"}
        assert len(np.unique(found.labelled.given[split == "test"])) == len(found.labelled.classes)
    assert (splits[0] != split_of(found, folds=FOLDS, seed=5, fold=0)).any()


def test_errors_are_planted_outside_the_test_fold_and_every_arm_deals_with_them(terms: Terms) -> None:
    of_copy = [split_of(terms.project, folds=FOLDS, seed=1, fold=fold)[1] for fold in range(FOLDS)]
    builders, facts = arms_of(terms, Cell("uniform", 0.2, seed=1, fold=of_copy.index("train")), ARMS)
    truth = pd.Series(terms.project.labelled.names(terms.project.labelled.given), index=terms.project.labelled.image_id)
    for arm in ARMS:
        selection, target = builders[arm](CLASS_WEIGHTS)
        right = (selection["diagnosis"] == selection["image_id"].map(truth)).to_numpy()
        train, test = (selection["split"] == split for split in ("train", "test"))
        assert right[test].all()
        assert facts[arm] == facts[arm] | {"train": int(train.sum()), "wrong": int((~right[train]).sum())}
        assert target.shape == (len(selection), len(terms.project.labelled.classes))
    wrong = {arm: facts[arm]["wrong"] for arm in ARMS}
    assert wrong[CEILING] == 0
    assert wrong["curated"] < wrong["clean"] <= wrong["raw"]
    assert 0 < facts["decisions"] <= 18  # lesions of 20 seconds in 6 minutes
    assert facts["clean"]["shared_out"] > facts["curated"]["shared_out"]
    assert facts["raw"]["shared_out"] == facts[CEILING]["shared_out"] == 0
    assert facts["random_removal"]["train"] == facts["curated"]["train"]
    assert facts["dedup"]["train"] == facts["raw"]["train"] - 1  # a copy


def test_what_is_fitted_is_not_fitted_again_and_arms_that_are_alike_are_fitted_once(terms: Terms) -> None:
    published = Cell("", 0.0, seed=0, fold=0)
    both = run(terms, arms=("clean", "curated"))  # without decisions the same
    fit_all(both, [published], workers=1)
    clean, curated = (both.path(published, arm, "probe", OWN) for arm in both.arms)
    assert clean.read_bytes() == curated.read_bytes()
    assert len(list(terms.cache.glob("trained *.npz"))) == 1
    fitted = read(clean)
    assert fitted.probabilities.sum(axis=1) == pytest.approx(np.ones(len(fitted.image_id)), abs=1e-4)
    assert len(fitted.validation) == len(fitted.actual)
    clean.unlink()  # it shares its bytes with what was trained
    clean.write_bytes(b"kept")
    fit_all(both, [published], workers=1)
    assert clean.read_bytes() == b"kept"
    clean.unlink()
    fit_all(both, [published], workers=1)  # a spoilt cell is filled from what was trained
    assert clean.read_bytes() == curated.read_bytes()


def keep(
    run: Run, cell: Cell, arm: str, tried: Try, *, right: bool, sure_in_validation: bool, member: str = "probe"
) -> None:
    """Write a fit by hand: all right or all the first class in test; likewise in validation."""
    labelled = run.terms.project.labelled
    split = split_of(run.terms.project, folds=FOLDS, seed=cell.seed, fold=cell.fold)
    test, validation = split == "test", split == "validation"
    eye = np.eye(len(labelled.classes)) * 0.9 + 0.1 / len(labelled.classes)
    first = np.zeros_like(labelled.given)
    np.savez(
        run.path(cell, arm, member, tried),
        image_id=labelled.image_id[test],
        probabilities=eye[(labelled.given if right else first)[test]],
        validation=eye[(labelled.given if sure_in_validation else first)[validation]],
        actual=labelled.given[validation],
    )


def test_each_fold_takes_the_recipe_that_its_validation_likes(terms: Terms, tmp_path: Path) -> None:
    other = Try("focal", "none")
    asked = run(replace(terms, cache=tmp_path), tries=(OWN, other))
    cells = [Cell("", 0.0, seed=0, fold=fold) for fold in range(FOLDS)]
    for cell in cells:
        keep(asked, cell, "raw", OWN, right=True, sure_in_validation=False)
        keep(asked, cell, "raw", other, right=False, sure_in_validation=True)
    chosen = predict(asked, cells, "raw", ["probe"], asked.tries)
    assert chosen.taken == {other.name: FOLDS}
    assert (chosen.by_seed[0].argmax(axis=1) == 0).all()
    alone = predict(asked, cells, "raw", ["probe"], [OWN])
    assert (alone.by_seed[0].argmax(axis=1) == terms.project.labelled.given).all()


def test_an_ensemble_is_held_against_the_member_that_validation_likes_and_the_one_that_test_likes(
    terms: Terms, tmp_path: Path
) -> None:
    """Of two members one is right in test alone, the other in validation alone."""
    asked = replace(run(replace(terms, cache=tmp_path)), members={"tested": probe(), "liked": probe(folds=2)})
    cells = [Cell("", 0.0, seed=0, fold=fold) for fold in range(FOLDS)]
    for cell in cells:
        keep(asked, cell, "raw", OWN, member="tested", right=True, sure_in_validation=False)
        keep(asked, cell, "raw", OWN, member="liked", right=False, sure_in_validation=True)
    found = ensemble.joined(asked, cells, "raw")
    assert list(found) == ["tested", "liked", ensemble.BEST, "mean", "weighted", "greedy"]
    [tested], [liked], [best], [mean], [_], [greedy] = found.values()
    assert np.array_equal(best, liked)
    given = terms.project.labelled.given
    assert (tested.argmax(axis=1) == given).all()
    assert (liked.argmax(axis=1) == 0).all()
    assert (greedy.argmax(axis=1) == 0).all()  # it takes what validation likes, and nothing else
    assert not np.array_equal(mean, liked)
    assert mean.sum(axis=1) == pytest.approx(np.ones(len(given)))


def test_the_ensemble_bench_writes_every_way_and_wants_two_members(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = read_either(ROOT / "profiles/ham10000.yaml")
    members = {"one": PROBE | {"backbone": "clip"}, "two": PROBE | {"backbone": "clip", "folds": 2}}
    tree |= {"members": list(members), "train": tree["train"] | {"members": members}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(tree), "utf-8")
    few = [*command(root, tmp_path, "--shapes", "--published"), "--profile", str(tmp_path / "params.yaml")]
    assert ensemble.main([*few, "--members", "one"]) == 1
    assert "name two or more" in capsys.readouterr().err
    assert ensemble.main([*few, "--members", "one", "two"]) == 0
    found = json.loads((tmp_path / "gain.json").read_text("utf-8"))["ensemble, demo"]
    of_arm = found["conditions"]["labels as published"][CEILING]
    assert set(of_arm) == {"best member in hindsight", "one", "two", ensemble.BEST, "mean", "weighted", "greedy"}
    hindsight = of_arm[of_arm["best member in hindsight"]]
    assert hindsight["over the best in hindsight"]["accuracy"] == [0.0, 0.0, 0.0]
    gained = of_arm["mean"]["balanced_accuracy"][0] - of_arm[ensemble.BEST]["balanced_accuracy"][0]
    assert of_arm["mean"]["over the best on validation"]["balanced_accuracy"][0] == pytest.approx(gained, abs=1e-3)


def test_a_gain_is_paired_over_groups_and_seeds(terms: Terms) -> None:
    scale = Scale.of(terms.project, resamples=200)
    eye = np.eye(len(scale.classes))
    guess = eye[np.zeros_like(scale.actual)]
    figures = {
        "raw": scale.over_seeds([guess, guess]),
        "curated": scale.over_seeds([eye[scale.actual], guess]),
        CEILING: scale.over_seeds([eye[scale.actual]] * 2),
    }
    entry = compare("curated", figures)
    share = float(np.mean(scale.actual == 0))
    assert entry["accuracy"][0] == pytest.approx((1 + share) / 2, abs=1e-3)
    value, low, high = entry["over raw"]["accuracy"]
    assert value == pytest.approx((1 - share) / 2, abs=1e-3)
    assert low == 0.0  # both drawn seeds may be the one without a gain
    assert high > 2 * value - 0.1
    assert entry["share of the way"]["accuracy"] == [0.5, 0.0, 1.0]
    assert entry[f"recall {scale.classes[0]}"][0] == 1.0


def test_seeds_that_agree_add_nothing_to_the_interval() -> None:
    draws = np.random.default_rng(0).normal(size=500)
    one = Estimate(0.0, draws)
    assert over_seeds([one, one, one]).draws == pytest.approx(draws)
    apart = over_seeds([Estimate(-1.0, draws - 1), Estimate(1.0, draws + 1)])
    assert apart.value == 0.0
    assert apart.draws.std() > 1.1 * draws.std()


def test_image_and_lesion_level_share_test_and_sizes_and_differ_in_relatives(terms: Terms) -> None:
    labelled = terms.project.labelled
    pairs = np.array([f"g{i // 2}" for i in range(len(labelled.given))])
    twins = replace(terms.project, groups=terms.project.groups.assign(group_id=pairs))
    seen = 0
    for fold in range(FOLDS):
        split = leakage.split_images(twins, folds=FOLDS, seed=0, fold=fold)
        image, lesion = split[leakage.BY_IMAGE], split[leakage.BY_LESION]
        assert ((image == "test") == (lesion == "test")).all()
        held = pairs[image == "test"]
        assert not np.isin(pairs[(lesion == "train") | (lesion == "validation")], held).any()
        seen += int(np.isin(pairs[image == "train"], held).sum())
        for class_ in range(len(labelled.classes)):
            assert ((image == "") & (labelled.given == class_)).sum() == (
                (lesion == "") & (labelled.given == class_)
            ).sum()
    assert seen > 20


def test_leakage_builds_both_sets_with_labels_as_published(terms: Terms) -> None:
    builders, facts = leakage.sets_of(terms, Cell("", 0.0, 0, 0), (leakage.BY_IMAGE, leakage.BY_LESION))
    for build in builders.values():
        selection, target = build(CLASS_WEIGHTS)
        assert set(selection["split"]) == {"train", "validation", "test"}
        assert (target.sum(axis=1) == 1).all()
    assert facts["test"]["images"] == 40


def test_a_border_is_what_touches_an_edge() -> None:
    square = np.full((shortcuts.SIDE, shortcuts.SIDE, 3), 7, np.uint8)
    square[shortcuts.BLOCK : -shortcuts.BLOCK, shortcuts.BLOCK : -shortcuts.BLOCK] = 200
    assert set(shortcuts.border(square)) == {7.0}
    assert len(shortcuts.border(square)) == 36 * 3


def test_a_shortcut_that_tells_the_diagnosis_is_found_and_one_that_does_not_is_no_better_than_the_prior(
    terms: Terms,
) -> None:
    given = terms.project.labelled.given
    seen = {
        "tells": np.eye(len(terms.project.labelled.classes), dtype=np.float32)[given],
        "silent": np.zeros((len(given), 1), np.float32),
    }
    found = shortcuts.predict(terms.project, seen, folds=FOLDS, seed=0)
    kept = ~terms.project.labelled.removed
    assert np.isnan(found["tells"][~kept]).all()
    assert (found["tells"][kept].argmax(axis=1) == given[kept]).all()
    for name in (shortcuts.PRIOR, "silent"):
        assert np.mean(found[name][kept].argmax(axis=1) == given[kept]) <= 0.5
    scale = Scale.of(terms.project, resamples=20)
    assert scale.over_seeds([found["tells"]])["balanced_accuracy"].value == 1.0
    assert scale.over_seeds([found[shortcuts.PRIOR]])["macro_auroc"].value == pytest.approx(0.5, abs=0.1)


def test_what_is_known_of_the_sets_is_averaged(terms: Terms) -> None:
    asked = run(terms)
    cells = [Cell("", 0.0, seed=0, fold=fold) for fold in range(2)]
    for cell, train in zip(cells, (10, 20), strict=True):
        asked.facts(cell).write_text(json.dumps({"decisions": 3, "raw": {"train": train}}), "utf-8")
    assert report.mean_facts(asked, cells) == {"decisions": 3.0, "raw": {"train": 15.0}}


def test_the_command_says_what_is_missing(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(root, tmp_path / "p")
    (tmp_path / "p/data/dedup/groups.parquet").unlink()
    given = ["gain", "--project", str(tmp_path / "p"), "--batches", "demo", "--cache", str(tmp_path / "c")]
    assert main([*given, "--profile", str(ROOT / "profiles/demo.yaml")]) == 1
    assert "data/dedup/groups.parquet does not exist" in capsys.readouterr().err


def command(root: Path, cache: Path, *more: str) -> list[str]:
    given = ["--project", str(root), "--batches", "demo", "--profile", str(ROOT / "profiles/ham10000.yaml")]
    return [*given, "--cache", str(cache), "--write", str(cache / "gain.json"), "--seeds", "0", "--folds", "2", *more]


def test_the_parts_write_their_sections_and_a_second_run_says_the_same(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = command(root, tmp_path, "--shapes", "uniform", "--rates", "0.2", "--arms", "raw", "clean", CEILING)
    for arguments in (["gain", *few, "--tries", "logit_adjusted none"], ["leakage", *few]):
        assert main(arguments) == 0
        first, written = capsys.readouterr().out, (tmp_path / "gain.json").read_bytes()
        trained = len(list(tmp_path.glob("trained *.npz")))
        assert main(arguments) == 0
        assert capsys.readouterr().out == first
        assert (tmp_path / "gain.json").read_bytes() == written
        assert len(list(tmp_path.glob("trained *.npz"))) == trained
    assert rebalance_main(command(root, tmp_path, "--shapes", "--published", "--rate-factors", "1")) == 0
    found = json.loads((tmp_path / "gain.json").read_text("utf-8"))
    arms = found["gain, demo"]["conditions"]["uniform, 20%"]["clip_probe"]["the profile's, cross_entropy class_weights"]
    assert set(arms) == {"raw", "clean", CEILING}
    assert arms["clean"]["over raw"].keys() == arms["clean"]["share of the way"].keys()
    assert {leakage.BY_IMAGE, leakage.BY_LESION, "too much"} == found["leakage, demo"]["clip_probe"].keys()
    contenders = found["rebalance, demo"]["conditions"]["labels as published"]["clip_probe"][CEILING]
    assert len(contenders) == 10
    assert "recall nevus" in contenders["cross_entropy none"]
