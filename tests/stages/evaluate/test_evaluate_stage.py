from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.core.errors import UserError
from pipeline.core.store import Store
from pipeline.stages.evaluate import scored, stage, summary
from pipeline.stages.evaluate.bootstrap import Estimate
from pipeline.stages.evaluate.ensemble import joined_by_seed
from pipeline.stages.evaluate.params import EvaluateParams
from pipeline.stages.evaluate.scored import Model, align
from pipeline.stages.fingerprint.tables import Fingerprints
from pipeline.stages.rebalance.tables import Selection
from pipeline.stages.train.tables import Predictions
from tests import drawn
from tests.stages.rebalance.made import write_selection

DIAGNOSES = ["melanoma", "nevus", "wart"]
ARMS, MEMBERS, SEEDS = ["raw", "curated"], ["large", "small"], [0, 1]
IMAGES = 90
PICTURE = drawn.jpeg(drawn.lesion(0, width=16, height=16))


def params(**changes: Any) -> EvaluateParams:
    values = {"batches": ["demo"], "classes": "all", "members": MEMBERS, "arms": ARMS, "seeds": SEEDS}
    scoring = {"bootstrap": 60, "confidence": 0.9, "bins": 10, "ensemble": "mean", "seed": 0}
    return EvaluateParams.model_validate({**values, **scoring, **changes})


def predict(
    selection: pd.DataFrame, *, skill: float, seed: int, folds: bool = False
) -> tuple[pd.DataFrame, np.ndarray[Any, Any]]:
    frame = selection if folds else selection[selection["split"] != "train"]
    rng = np.random.default_rng(seed)
    right = frame["diagnosis"].to_numpy()[:, None] == np.array(DIAGNOSES)
    logits = rng.normal(size=(len(frame), 3)) + skill * right
    return frame[["image_id", "split"]], np.exp(logits) / np.exp(logits).sum(1, keepdims=True)


def made(root: Path, *, folds: bool = False) -> Store:
    """A project after `train`: 2 images a group, one given label of the test set corrected, curated better than raw."""
    names = [DIAGNOSES[i % 3] for i in range(IMAGES)]
    store = drawn.ingest(root, {f"{i:03d}": PICTURE for i in range(IMAGES)}, diagnosis=[*names])
    measures = dict.fromkeys(("mean", "std", "range", "sharpness", "dark_corners", "aspect"), 0.5)
    flags = [["dark_corners"] if i % 4 < 2 else [] for i in range(IMAGES)]  # of every other group
    prints = pd.DataFrame({"image_id": [f"demo:{i:03d}" for i in range(IMAGES)], **measures, "flags": flags})
    store.write(Fingerprints, prints, instance="demo", vectors={"phash": np.zeros((IMAGES, 256), np.uint8)})
    splits = ["train"] * 30 + ["validation"] * 20 + ["test"] * 40
    ids = [f"demo:{i:03d}" for i in range(IMAGES)]
    frame = pd.DataFrame({"image_id": ids, "split": splits, "group_id": [ids[i - i % 2] for i in range(IMAGES)]})
    frame = frame.assign(given=names, diagnosis=names, weight=1.0, draws=1.0)
    frame.loc[80, "diagnosis"] = "nevus"
    for arm in ARMS:
        write_selection(store, frame, arm, DIAGNOSES)
        for member in MEMBERS:
            for seed in SEEDS:
                found, vectors = predict(frame, skill=3.0 if arm == "curated" else 1.0, seed=seed, folds=folds)
                name = Model(member, arm, seed).instance
                store.write(Predictions, found, instance=name, vectors={"probabilities": vectors})
    return store


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evaluate")
    stage.run(made(folder), params())
    return folder


def metrics(root: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((root / "reports/evaluate/metrics.json").read_text())
    return found


def test_the_better_arm_gains_and_its_interval_says_so(root: Path) -> None:
    gain = metrics(root)["gain"]["curated_over_raw"]
    for model in ("ensemble", *MEMBERS):
        figure = gain[model]["balanced_accuracy"]
        assert 0 < figure["low"] < figure["value"] < figure["high"]
        assert figure["p"] < 0.1


def test_gain_is_the_difference_of_the_figures_reported(root: Path) -> None:
    found = metrics(root)
    arms = [found["ensemble"][arm]["test"]["accuracy"]["value"] for arm in ("curated", "raw")]
    assert found["gain"]["curated_over_raw"]["ensemble"]["accuracy"]["value"] == pytest.approx(arms[0] - arms[1])


def test_test_is_scored_on_audited_and_on_given_labels(root: Path) -> None:
    found = metrics(root)
    sets = found["sets"]
    assert sets["test"]["images"] == sets["test_as_given"]["images"] == 40
    assert sets["test"]["groups"] == 20
    assert sets["test"]["sha256"] != sets["test_as_given"]["sha256"]
    assert found["ensemble"]["curated"]["test"]["log_loss"] != found["ensemble"]["curated"]["test_as_given"]["log_loss"]
    assert found["headline_arm"] == "curated"


def test_a_member_is_reported_as_the_mean_over_its_seeds(root: Path) -> None:
    models = pd.read_csv(root / "reports/evaluate/models.csv")
    runs = models.query("model == 'large' and arm == 'raw' and set == 'test' and metric == 'accuracy'")
    assert runs["seed"].tolist() == [0, 1]
    figure = metrics(root)["members"]["large"]["raw"]["test"]["accuracy"]
    assert figure["value"] == pytest.approx(runs["value"].mean(), abs=1e-5)
    assert figure["low"] < figure["value"] < figure["high"]


def test_plot_data_shows_the_headline_ensemble(root: Path) -> None:
    confusion = pd.read_csv(root / "reports/evaluate/confusion.csv")
    accuracy = (confusion["actual"] == confusion["predicted"]).mean()
    found = metrics(root)["ensemble"]["curated"]
    assert accuracy == pytest.approx(found["test"]["accuracy"]["value"])
    classes = metrics(root)["classes"]["curated"]["test"]
    assert sum(row["support"] for row in classes.values()) == len(confusion) == 40
    nevi = confusion[confusion["actual"] == "nevus"]
    assert classes["nevus"]["recall"]["value"] == pytest.approx((nevi["predicted"] == "nevus").mean(), abs=1e-5)
    assert all(row["auroc"]["low"] <= row["auroc"]["value"] <= row["auroc"]["high"] for row in classes.values())
    curve = pd.read_csv(root / "reports/evaluate/risk_coverage.csv")
    assert curve.iloc[-1].tolist() == pytest.approx([1, 1 - accuracy])
    assert pd.read_csv(root / "reports/evaluate/calibration.csv")["count"].sum() == 40
    assert set(pd.read_csv(root / "reports/evaluate/roc.csv")["diagnosis"]) == set(DIAGNOSES)


def test_the_same_inputs_give_the_same_bytes_pictures_included(root: Path, tmp_path: Path) -> None:
    stage.run(made(tmp_path), params())
    first, second = ({p.relative_to(r): p.read_bytes() for p in r.rglob("reports/**/*.*")} for r in (root, tmp_path))
    assert {path.name for path in first if path.suffix == ".png"} == {
        "arms.png",
        "calibration.png",
        "confusion.png",
        "risk_coverage.png",
        "roc.png",
    }
    assert first == second


def scores_of(models: dict[Model, np.ndarray[Any, Any]], sets: dict[str, scored.Resampled]) -> dict[Model, Any]:
    return {model: summary.score(p, sets, bins=10) for model, p in models.items()}


def test_a_single_member_has_no_ensemble_of_its_own_seed_and_no_gain() -> None:
    images = pd.DataFrame({"image_id": list("abcdef"), "split": ["validation", "test"] * 3, "group_id": list("aabbcc")})
    truth = scored.truths(images.assign(given="wart", diagnosis=DIAGNOSES * 2), DIAGNOSES)
    models = {Model("small", "curated", 1): np.random.default_rng(0).dirichlet(np.ones(3), 6)}
    assert joined_by_seed(models, truth["validation"], {}) == {}
    members = summary.over_seeds(scores_of(models, scored.resample(truth, resamples=60, seed=0)))
    assert summary.nest(members, members["small"], 0.9)["gain"] == {}
    assert summary.nest_joined(members, {}, {}, 0.9) == {}


def test_every_way_to_join_members_is_compared_with_the_best_one_on_validation(root: Path) -> None:
    found = metrics(root)
    for arm in ARMS:
        of_arm, best = found["joined"][arm], found["joined"][arm]["best_member"]
        assert list(of_arm["ensembles"]) == ["greedy", "mean", "weighted"]  # of two members no other subset has two
        for of in of_arm["ensembles"].values():
            alone = found["members"][best][arm]["test"]
            for name, difference in of["over_best_member"].items():
                assert difference["value"] == pytest.approx(of["test"][name]["value"] - alone[name]["value"], abs=2e-5)
            assert sum(of["weights"].values()) == pytest.approx(1, abs=1e-4)


def test_stacking_is_reported_where_members_predicted_train_out_of_fold(root: Path, tmp_path: Path) -> None:
    stage.run(made(tmp_path, folds=True), params(ensemble="stacking", seeds=[0]))
    found = metrics(tmp_path)
    stacked = found["joined"]["raw"]["ensembles"]["stacking"]
    assert stacked["weights"] == {}
    assert found["ensemble"]["raw"]["test"] == stacked["test"]
    assert "stacking" not in metrics(root)["joined"]["raw"]["ensembles"]


def test_stacking_without_out_of_fold_predictions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"set train\.members\.large\.folds to 2 or more"):
        stage.run(made(tmp_path), params(ensemble="stacking"))


def test_subgroups_are_scored_on_both_test_sets(root: Path) -> None:
    found = metrics(root)
    for name in ("test", "test_as_given"):
        assert list(found["subgroups"][name]) == ["dark_corners"]  # nothing else is other in any image
        of = found["subgroups"][name]["dark_corners"]
        assert [of[value]["images"] for value in ("no", "yes")] == [20, 20]
        assert [of[value]["groups"] for value in ("no", "yes")] == [10, 10]
        assert "accuracy" not in of["yes"]
    assert found["least_groups"] == 20


def test_what_temperatures_do_is_told_of_members_and_ensemble(root: Path) -> None:
    found, store = metrics(root)["calibration"]["curated"], Store(root)
    frame = store.read(Selection, "curated").query("split == 'test'")
    actual = pd.Index(DIAGNOSES).get_indexer(pd.Index(frame["diagnosis"]))
    predicted = [store.vectors(Predictions, "probabilities", f"large-curated-{seed}") for seed in SEEDS]
    losses = [-np.log(vectors[-40:][np.arange(40), actual]).mean() for vectors in predicted]  # test comes last
    assert found["large"]["log_loss_before"] == pytest.approx(np.mean(losses), abs=1e-5)
    product = metrics(root)["ensemble"]["curated"]["test"]
    assert found["ensemble"]["log_loss"] == product["log_loss"]["value"]
    assert found["ensemble"]["log_loss_before"] != found["ensemble"]["log_loss"]


def test_the_best_member_is_chosen_on_validation_alone() -> None:
    def figures(validation: float, test: float, loss: float) -> dict[str, Any]:
        sets = {"validation": validation, "test": test}
        return {
            name: {"balanced_accuracy": Estimate(value, np.ones(1)), "log_loss": Estimate(loss, np.ones(1))}
            for name, value in sets.items()
        }

    members = {
        "overfitted": {"raw": figures(0.7, 0.9, 0.5)},
        "chosen": {"raw": figures(0.8, 0.6, 0.5)},
        "unsure": {"raw": figures(0.8, 0.8, 0.6)},
    }
    assert summary.best_member(members, "raw") == "chosen"


def test_test_labels_change_nothing_that_is_fitted(root: Path, tmp_path: Path) -> None:
    store = made(tmp_path)
    for arm in ARMS:
        frame = store.read(Selection, arm)
        test = frame["split"] == "test"
        frame.loc[test, "diagnosis"] = frame.loc[test, "diagnosis"].to_numpy()[::-1]
        write_selection(store, frame, arm, DIAGNOSES)
    stage.run(store, params())
    before, after = metrics(root), metrics(tmp_path)
    for arm in ARMS:
        old, new = (found["ensemble"][arm] for found in (before, after))
        assert old["validation"] == new["validation"]
        assert old["test"] != new["test"]
        assert before["joined"][arm]["best_member"] == after["joined"][arm]["best_member"]
        for name, of in before["joined"][arm]["ensembles"].items():
            assert of["weights"] == after["joined"][arm]["ensembles"][name]["weights"]
        for member in MEMBERS:
            temperatures = [found["calibration"][arm][member]["temperature"] for found in (before, after)]
            assert temperatures[0] == temperatures[1]


def test_the_method_of_the_ensemble_is_a_param(tmp_path: Path) -> None:
    stage.run(made(tmp_path), params(ensemble="weighted", seeds=[0]))
    found = metrics(tmp_path)
    assert found["method"] == "weighted"
    of_one_seed = found["joined"]["raw"]["ensembles"]["weighted"]["test"]
    assert found["ensemble"]["raw"]["test"] == of_one_seed  # of one seed the product is what is compared


def test_every_run_and_every_ensemble_of_its_seed_has_a_row(root: Path) -> None:
    models = pd.read_csv(root / "reports/evaluate/models.csv").query("set == 'test' and metric == 'accuracy'")
    assert models.groupby("kind").size().to_dict() == {"ensemble": 2, "member": 8, "ensemble of one seed": 12}
    runs = models.query("model == 'greedy' and arm == 'raw'")
    figure = metrics(root)["joined"]["raw"]["ensembles"]["greedy"]["test"]["accuracy"]
    assert figure["value"] == pytest.approx(runs["value"].mean(), abs=1e-5)


@pytest.mark.parametrize("column", ["diagnosis", "group_id"])
def test_arms_built_from_different_decisions_are_refused(tmp_path: Path, column: str) -> None:
    store = made(tmp_path)
    older = store.read(Selection, "raw")
    value = {"diagnosis": DIAGNOSES[80 % 3], "group_id": "demo:080x"}[column]
    older[column] = [value if row == 80 else old for row, old in enumerate(older[column])]
    write_selection(store, older, "raw", DIAGNOSES)
    with pytest.raises(UserError, match="arms raw and curated differ in validation or test: run `dvc repro`"):
        stage.run(store, params())


def test_arms_with_other_test_images_are_refused(tmp_path: Path) -> None:
    store = made(tmp_path)
    write_selection(store, store.read(Selection, "raw").iloc[:-1], "raw", DIAGNOSES)
    with pytest.raises(UserError, match="arms raw and curated differ in validation or test"):
        stage.run(store, params())


def test_predictions_of_other_images_are_refused() -> None:
    images = pd.DataFrame({"image_id": ["a", "b"]})
    predicted = pd.DataFrame({"image_id": ["a", "c"]})
    with pytest.raises(UserError, match="predictions of m-raw-0 are of other images"):
        align(Model("m", "raw", 0), predicted, np.full((2, 2), 0.5), images, 2)


def test_predictions_follow_the_order_of_the_images() -> None:
    images, predicted = (pd.DataFrame({"image_id": list(ids)}) for ids in ("abc", "cab"))
    vectors = np.array([[0.3, 0.7], [0.1, 0.9], [0.2, 0.8]])
    assert align(Model("m", "raw", 0), predicted, vectors, images, 2)[:, 0].tolist() == [0.1, 0.2, 0.3]


def test_without_curated_the_last_arm_is_the_headline() -> None:
    assert scored.headline_arm(["raw", "dedup"]) == "dedup"


def test_given_labels_out_of_scope_count_in_the_audited_set_only() -> None:
    images = pd.DataFrame(
        {"image_id": ["a", "b"], "split": "test", "group_id": "a", "given": ["nevus", "scar"], "diagnosis": "nevus"}
    )
    found = scored.truths(images, ["nevus"])
    assert (len(found["test"].rows), len(found["test_as_given"].rows)) == (2, 1)
    assert found["test"].groups == 1


def test_the_digest_does_not_depend_on_the_order_of_rows() -> None:
    ids, labels = pd.Series(["a", "b"]), pd.Series(["nevus", "wart"])
    assert scored.digest(ids, labels) == scored.digest(ids[::-1], labels[::-1])
    assert scored.digest(ids, labels) != scored.digest(ids, labels[::-1].reset_index(drop=True))
