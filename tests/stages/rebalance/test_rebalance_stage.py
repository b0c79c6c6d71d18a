"""The laws of arms, held against one drawn dataset with decisions of every kind."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from pipeline.ledger import file
from pipeline.ledger.decisions import PATH, extend
from pipeline.stages.label_noise.tables import LabelScores
from pipeline.stages.rebalance.arms import find_doubts
from pipeline.stages.rebalance.stage import run
from pipeline.stages.rebalance.tables import Exclusions, Selection
from pipeline.stages.replay.params import ReplayParams
from pipeline.stages.replay.stage import run as replay
from tests.ledger.made import EMPTY, decision
from tests.stages.rebalance.made import ARMS, PAIRS, build, decisions, images, params, project, scores


class World:
    """The dataset after all arms have run."""

    def __init__(self, root: Path, content: bytes) -> None:
        self.store, self.images = project(root, content)
        build(self.store)
        self.selections = {arm: self.store.read(Selection, arm).set_index("image_id") for arm in ARMS}
        self.exclusions = {arm: self.store.read(Exclusions, arm).set_index("image_id") for arm in ARMS}
        self.given = self.images.set_index("image_id")["diagnosis"]

    def train(self, arm: str) -> pd.DataFrame:
        selection = self.selections[arm]
        return selection[selection["split"] == "train"]

    def excluded(self, arm: str, image: str) -> list[str]:
        row = self.exclusions[arm].loc[[image], ["reason", "detail"]]
        return [str(value) for value in row.to_numpy()[0]]

    def report(self, arm: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.store.root / f"reports/rebalance/{arm}.json").read_text("utf-8"))
        return found

    def find(self, split: str, diagnosis: str, low: dict[str, float], high: dict[str, float]) -> str:
        """Find an image without copies whose scores lie between `low` and `high`."""
        frame = self.selections["raw"].join(
            scores(self.images).set_index("image_id")[["error_probability", "off_topic"]]
        )
        fits = (frame["split"] == split) & (frame["diagnosis"] == diagnosis)
        for name in ("error_probability", "off_topic"):
            fits &= frame[name].between(low.get(name, 0), high.get(name, 1))
        paired = {image for a, b, _ in PAIRS for image in (a, b)}
        return str(frame[fits & ~frame.index.isin(paired)].index[0])


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"), extend(EMPTY, decisions(images())))


@pytest.fixture(scope="module")
def undecided(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("undecided"), EMPTY)


@pytest.mark.parametrize("arm", ARMS)
def test_every_image_is_selected_or_excluded(world: World, arm: str) -> None:
    chosen, out = set(world.selections[arm].index), set(world.exclusions[arm].index)
    assert chosen | out == set(world.images["image_id"])
    assert not chosen & out
    assert world.report(arm)["images"] == {"all": 400, "selected": len(chosen), "excluded": len(out)}


@pytest.mark.parametrize("arm", ARMS)
def test_no_group_is_in_two_splits(world: World, arm: str) -> None:
    assert world.selections[arm].groupby("group_id")["split"].nunique().max() == 1


@pytest.mark.parametrize("arm", ARMS)
def test_validation_and_test_are_the_same_in_every_arm(world: World, arm: str) -> None:
    expected, found = world.selections["curated"], world.selections[arm]
    pd.testing.assert_frame_equal(expected[expected["split"] != "train"], found[found["split"] != "train"])


def test_every_arm_splits_every_image_as_curated_does(world: World) -> None:
    both = world.selections["raw"].index.intersection(world.selections["curated"].index)
    assert len(both) > 200
    for name in ("split", "group_id"):
        assert (world.selections["raw"].loc[both, name] == world.selections["curated"].loc[both, name]).all()


def test_raw_keeps_every_train_image_in_scope_with_its_given_label(world: World) -> None:
    train = world.train("raw")
    assert (train["diagnosis"] == train["given"]).all()
    out = world.exclusions["raw"]
    others = out[out["reason"] != "out_of_scope"].index
    assert not set(others) & set(train.index)
    assert set(out.loc[others, "reason"]) == {"duplicate", "steward"}, "of validation and test"


def test_copies_are_out_of_every_arm_that_drops_them(undecided: World) -> None:
    copies = {b for _, b, relation in PAIRS if relation == "copy"}
    assert copies & set(undecided.train("raw").index)
    for arm in ("dedup", "clean", "curated"):
        assert not copies & set(undecided.selections[arm].index)


def test_the_policy_takes_out_train_images_at_and_above_its_thresholds_only(undecided: World) -> None:
    judged = scores(undecided.images).set_index("image_id")
    for arm in ("clean", "curated"):
        out = undecided.exclusions[arm]
        policed = out[out["reason"].isin(["label_policy", "off_topic"])].index
        assert set(policed) <= set(undecided.train("dedup").index)
        expected = judged.loc[undecided.train("dedup").index]
        expected = expected[(expected["error_probability"] >= 0.9) | (expected["off_topic"] >= 0.95)]
        assert set(policed) == set(expected.index)
    assert undecided.report("dedup")["excluded"]["label_policy"] == 0


def test_suspects_below_the_limit_of_exclusion_count_half(undecided: World) -> None:
    train = undecided.train("clean")
    error = scores(undecided.images).set_index("image_id")["error_probability"].loc[train.index]
    nevi = train[train["diagnosis"] == "nevus"]["weight"]
    lowered, full = nevi[error >= 0.7], nevi[error < 0.7]
    assert len(lowered)
    assert lowered.nunique() == full.nunique() == 1
    assert lowered.iloc[0] == pytest.approx(full.iloc[0] / 2)


@pytest.mark.parametrize("arm", ARMS)
def test_weights_have_mean_one_over_train_and_are_one_elsewhere(world: World, arm: str) -> None:
    assert world.train(arm)["weight"].mean() == pytest.approx(1)
    rest = world.selections[arm]
    assert (rest.loc[rest["split"] != "train", "weight"] == 1).all()


def test_the_control_takes_out_as_many_of_each_class_as_curated(world: World) -> None:
    raw = world.train("raw")
    for diagnosis in ("melanoma", "nevus"):
        of_class = set(raw[raw["given"] == diagnosis].index)
        by_curated = of_class - set(world.selections["curated"].index)
        by_control = of_class - set(world.selections["control"].index)
        assert len(by_control) == len(by_curated) > 0
        assert by_control != by_curated
    out = world.exclusions["control"]
    train_out = out[out.index.isin(raw.index)]
    assert set(train_out["reason"]) == {"random_control"}


def test_each_verdict_does_what_it_says(undecided: World, tmp_path: Path) -> None:
    quiet: dict[str, float] = {"error_probability": 0.6, "off_topic": 0.9}
    suspect = undecided.find("train", "nevus", {"error_probability": 0.9}, {})
    far = undecided.find("train", "nevus", {"off_topic": 0.95}, {"error_probability": 0.9})
    dropped = undecided.find("train", "nevus", {}, quiet)
    unsure = undecided.find("train", "melanoma", {}, quiet)
    tested = undecided.find("test", "nevus", {}, quiet)
    made = [
        decision(suspect, "keep"),
        decision(far, "relabel", given="nevus", to="melanoma"),
        decision(dropped, "drop"),
        decision(unsure, "not_sure", given="melanoma"),
        decision(tested, "relabel", to="melanoma"),
    ]
    world = World(tmp_path, extend(EMPTY, made))
    curated, clean_arm = world.selections["curated"], world.selections["clean"]
    full = curated[curated["split"] == "train"].groupby("diagnosis")["weight"].max()
    assert curated.loc[suspect, "weight"] == full["nevus"]
    assert (curated.loc[far, "given"], curated.loc[far, "diagnosis"]) == ("nevus", "melanoma")
    assert world.excluded("curated", dropped) == ["steward", "dropped by Dr. A. Nurse"]
    assert curated.loc[unsure, "weight"] == pytest.approx(full["melanoma"] / 2)
    assert world.exclusions["clean"].loc[suspect, "reason"] == "label_policy", "clean hears no steward in train"
    assert dropped in clean_arm.index
    for arm in ARMS:
        assert world.selections[arm].loc[tested, "diagnosis"] == "melanoma", "but in test every arm does"


def test_relabelling_out_of_scope_excludes_and_into_scope_selects(undecided: World, tmp_path: Path) -> None:
    train = undecided.train("curated").index
    out = undecided.exclusions["curated"]
    eczema = out[out["reason"] == "out_of_scope"].index[0]
    made = [
        decision(train[0], "relabel", given=undecided.given[train[0]], to="eczema"),
        decision(eczema, "relabel", given="eczema", to="nevus"),
    ]
    world = World(tmp_path, extend(EMPTY, made))
    assert world.excluded("curated", train[0]) == ["out_of_scope", "eczema"]
    assert world.selections["curated"].loc[eczema, "diagnosis"] == "nevus"


def test_a_parted_copy_returns_to_curated_and_stays_out_of_dedup(world: World) -> None:
    assert "b:0009" in world.selections["curated"].index
    assert world.selections["curated"].loc["b:0009", "split"] == "train"
    assert world.excluded("dedup", "b:0009") == ["duplicate", "copy of b:0008"]


def test_the_report_accounts_for_images_and_decisions(world: World) -> None:
    for arm in ARMS:
        report = world.report(arm)
        assert sum(sum(part.values()) for part in report["splits"].values()) == report["images"]["selected"]
        assert sum(report["excluded"].values()) == report["images"]["excluded"]
        assert report["decisions"] == {
            "digest": file.read(world.store.root / PATH).digest,
            "recorded": 20,
            "applied": 20,
            "superseded": 0,
            "stale": 0,
        }
    train = world.train("curated")
    assert world.report("curated")["weights"].keys() == set(train["diagnosis"])


def test_a_decision_on_one_arm_leaves_the_others_bytes_alone(undecided: World, tmp_path: Path) -> None:
    """So that their networks are not trained again."""
    image = undecided.train("curated").index[0]
    world = World(tmp_path, extend(EMPTY, [decision(image, "drop")]))
    assert world.excluded("curated", image)[0] == "steward"
    for arm in ("raw", "dedup", "clean"):
        for name in ("selection.parquet", "exclusions.parquet"):
            place = f"data/rebalance/{arm}/{name}"
            assert (tmp_path / place).read_bytes() == (undecided.store.root / place).read_bytes()


def test_an_old_ledger_comes_to_the_same_arms(tmp_path: Path) -> None:
    """A ledger with verdicts of every kind, overtaken and stale ones too, and what it came to before `replay` was."""
    folder = Path(__file__).parent
    world = World(tmp_path, (folder / "old_decisions.csv").read_bytes())
    before = json.loads((folder / "old_arms.json").read_text("utf-8"))
    for arm in ARMS:
        for table in (Selection, Exclusions):
            text = (
                world.store.read(table, arm)
                .drop(columns="draws", errors="ignore")
                .to_csv(index=False, float_format="%.9g")
            )
            assert hashlib.sha256(text.encode()).hexdigest() == before["arms"][arm][table.__name__], (arm, table)
    found = world.store.read_report("replay/summary.json")
    assert {name: found[name] for name in before["ledger"]} == before["ledger"]


def test_a_decision_on_a_changed_image_is_reported_and_not_applied(undecided: World, tmp_path: Path) -> None:
    image = undecided.train("curated").index[0]
    world = World(tmp_path, extend(EMPTY, [decision(image, "drop", sha256="of other bytes")]))
    assert image in world.selections["curated"].index
    assert world.store.read_report("replay/summary.json")["stale_decisions"] == [
        {"seq": 2, "image_id": image, "why": "the image's bytes changed"}
    ]
    assert world.report("curated")["decisions"]["stale"] == 1


def test_the_same_inputs_give_the_same_bytes(world: World, tmp_path: Path) -> None:
    store, _ = project(tmp_path, extend(EMPTY, decisions(images())))
    build(store, "curated", "control")
    for arm in ("curated", "control"):
        for name in (f"data/rebalance/{arm}/selection.parquet", f"data/rebalance/{arm}/exclusions.parquet"):
            assert (tmp_path / name).read_bytes() == (world.store.root / name).read_bytes()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"random_removal_as": "nobody"}, "follows nobody, which is no arm"),
        ({"random_removal_as": "control"}, "which is no arm or a control itself"),
        ({"random_removal_as": "raw", "decisions": True}, "its other switches must be false, its label_policy none"),
    ],
)
def test_a_control_must_follow_a_real_arm(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        params(arms=ARMS | {"wrong": ARMS["control"] | change})


def test_classes_that_train_or_test_lack_are_said_in_words() -> None:
    selection = pd.DataFrame(
        {"split": ["train", "train", "test", "validation"], "diagnosis": ["nevus", "scar", "nevus", "wart"]}
    )
    assert find_doubts(selection, ["nevus", "scar", "wart"]) == [
        "train has no image of wart: no network learns them",
        "test has no image of scar, wart: no figure says how they are told",
    ]
    assert find_doubts(selection[selection["diagnosis"] == "nevus"], ["nevus"]) == [
        "all images are of one diagnosis, nevus: there is nothing to learn, and no label to judge"
    ]


def test_a_sound_set_raises_no_doubt_and_the_report_says_so(world: World) -> None:
    assert world.report("curated")["warnings"] == []


POLICIES = {name: ARMS["clean"] | {"label_policy": name} for name in ("none", "drop", "weigh", "soft", "relabel")}


@pytest.fixture(scope="module")
def policies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[pd.DataFrame, np.ndarray[Any, Any]]]:
    """Train of an arm with each policy on suspects, and its targets, with every score beside it."""
    store, known = project(tmp_path_factory.mktemp("policies"), EMPTY)
    judged = scores(known)
    wrong = judged["error_probability"].to_numpy()
    nevus = (judged["given"] == "nevus").to_numpy()
    posterior = np.where(nevus, 1 - wrong, wrong)  # of a nevus; suggested is what is likelier
    judged["suggested"] = np.where(posterior >= 0.5, "nevus", "melanoma")
    both = np.stack([1 - posterior, posterior], 1).astype(np.float32)
    store.write(LabelScores, judged, vectors={"probabilities": both, "posterior": both})
    replay(store, ReplayParams(batches=["b"], second_signature=True, until=None))
    found = {}
    for name in POLICIES:
        run(store, params(arms=ARMS | POLICIES), name)
        frame = store.read(Selection, name).merge(judged[["image_id", "error_probability", "off_topic"]], on="image_id")
        train = (frame["split"] == "train").to_numpy()
        found[name] = frame[train], store.vectors(Selection, "target", name)[train]
    return found


def test_a_policy_that_drops_nothing_keeps_all_that_shows_skin(
    policies: dict[str, tuple[pd.DataFrame, np.ndarray[Any, Any]]],
) -> None:
    skin = policies["none"][0].query("off_topic < 0.95")["image_id"].tolist()
    for name in ("weigh", "soft", "relabel"):
        assert policies[name][0]["image_id"].tolist() == skin
    assert len(policies["drop"][0]) < len(skin) < len(policies["none"][0])


def test_weigh_lets_a_label_count_as_it_is_probable(
    policies: dict[str, tuple[pd.DataFrame, np.ndarray[Any, Any]]],
) -> None:
    frame, _ = policies["weigh"]
    nevi = frame[frame["diagnosis"] == "nevus"]
    right = (1 - nevi["error_probability"]).clip(lower=0.01)
    assert (nevi["weight"] / right).to_numpy() == pytest.approx((nevi["weight"] / right).iloc[0])


def test_soft_shares_a_doubted_label_out_and_leaves_the_others(
    policies: dict[str, tuple[pd.DataFrame, np.ndarray[Any, Any]]],
) -> None:
    frame, target = policies["soft"]
    assert (frame["diagnosis"] == frame["given"]).all()
    at_given = target[np.arange(len(frame)), (frame["given"] == "nevus").astype(int)]
    doubted = (frame["error_probability"] >= 0.5).to_numpy()
    assert 0 < doubted.sum() < len(doubted)
    assert at_given[doubted] == pytest.approx(1 - frame["error_probability"][doubted], abs=1e-6)
    assert (at_given[~doubted] == 1).all()


def test_relabel_takes_a_sure_suggestion_at_its_word(
    policies: dict[str, tuple[pd.DataFrame, np.ndarray[Any, Any]]],
) -> None:
    frame, target = policies["relabel"]
    sure = frame["error_probability"] >= 0.7
    assert 0 < sure.sum() < len(sure)
    assert ((frame["diagnosis"] != frame["given"]) == sure).all()
    assert (target.argmax(1) == (frame["diagnosis"] == "nevus")).all()


def test_no_policy_touches_validation_or_test(tmp_path: Path) -> None:
    store, _ = project(tmp_path, EMPTY)
    replay(store, ReplayParams(batches=["b"], second_signature=True, until=None))
    seen = set()
    for name in POLICIES:
        run(store, params(arms=ARMS | POLICIES), name)
        frame = store.read(Selection, name)
        rest = (frame["split"] != "train").to_numpy()
        assert (frame.loc[rest, ["weight", "draws"]] == 1).all(axis=None)
        seen.add(frame[rest].to_csv(index=False) + str(store.vectors(Selection, "target", name)[rest].tolist()))
    assert len(seen) == 1
