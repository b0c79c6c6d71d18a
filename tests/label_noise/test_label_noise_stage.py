from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipeline.core.errors import UserError
from pipeline.core.store import Store
from pipeline.core.table import Table, lay_out
from pipeline.cross_fit.tables import OutOfFold
from pipeline.dedup.tables import Duplicates, Groups
from pipeline.embed.tables import Embeddings, Levels
from pipeline.label_noise import stage
from pipeline.label_noise.tables import AuditSample, LabelScores, SuspectQueue
from pipeline.opinions.tables import Opinions
from tests.drawn import ingest, jpeg, lesion
from tests.label_noise.planted import CLASSES, Array, params, world

COUNT = 120
TREE: dict[str, Any] = {"batches": ["demo"], "probe": params().probe.model_dump() | {"folds": 3}}


def project(root: Path) -> Store:
    """Write what the stage reads: 120 images, the first two of them copies with different labels, one label wrong."""
    planted = world(11, lesions=COUNT, spread=0.1).labelled
    first = np.unique(planted.lesion, return_index=True)[1]
    given, vectors, split = planted.given[first], planted.vectors[first], planted.split[first].astype(object)
    names = [f"demo:{i:03d}" for i in range(COUNT)]
    vectors[1], split[:3] = vectors[0], "train"
    given[1], given[2] = (given[0] + 1) % len(CLASSES), (given[2] + 2) % len(CLASSES)
    content = jpeg(lesion(0, width=40, height=30))
    diagnosis = [CLASSES[i] for i in given]
    store = ingest(root, dict.fromkeys((name[5:] for name in names), content), diagnosis=diagnosis)
    embeddings = pd.DataFrame({"image_id": names, "encoder": "drawn"})
    store.write(Embeddings, embeddings, instance="demo", vectors={"vector": vectors})
    for table in (Levels, Opinions):
        describe(store, table, names[:0], vectors[:0])
    store.write(OutOfFold, OutOfFold.empty(), vectors={"probabilities": np.zeros((0, len(CLASSES)))})
    groups = pd.DataFrame({"image_id": names, "duplicate_of": None, "group_id": names, "split": split})
    groups.loc[1, ["duplicate_of", "group_id"]] = names[0]
    store.write(Groups, groups)
    edge = {"a": names[0], "b": names[1], "relation": "copy", "evidence": "bytes", "proposed_by": ["bytes"]}
    numbers = {
        "distance_bits": 0.0,
        "overlap": 1.0,
        "correlation": 1.0,
        "deformation": None,
        "inliers": 0,
        "shared_clutter": None,
    }
    store.write(Duplicates, pd.DataFrame([edge | numbers]), vectors={"transform": np.zeros((1, 9))})
    return store


def describe(store: Store, table: type[Table], names: list[str], *views: Array) -> None:
    described, matrix = lay_out(
        pd.DataFrame({"image_id": names}),
        3 * np.hstack(views) + 1,
        networks=[f"drawn/{i}" for i in range(len(views))],
        widths=[view.shape[1] for view in views],
    )
    store.write(table, described, instance="demo", vectors={"description": matrix})


def outputs(root: Path) -> dict[str, bytes]:
    folders = ("data/label_noise", "reports/label_noise")
    files = [path for folder in folders for path in sorted((root / folder).rglob("*.*"))]
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = project(tmp_path_factory.mktemp("project"))
    stage.run(store, params(**TREE))
    return store


def test_every_image_has_scores_within_bounds(store: Store) -> None:
    scores, probabilities = store.read(LabelScores), store.vectors(LabelScores, "probabilities")
    assert scores["image_id"].tolist() == [f"demo:{i:03d}" for i in range(COUNT)]
    for name in ("self_confidence", "normalized_margin", "error_probability", "off_topic", "ambiguous"):
        assert scores[name].between(0, 1).all(), name
    assert probabilities.shape == (COUNT, len(CLASSES))
    assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-5)


def test_the_contradicted_copy_and_the_wrong_label_are_suspects_with_reasons(store: Store) -> None:
    right, copy, wrong = store.read(LabelScores).head(3).to_dict("records")
    assert right["suspect"]
    assert copy["suspect"]
    assert wrong["suspect"]
    assert copy["error_probability"] >= 0.95
    given = right["given"]
    assert copy["reason"].startswith(f"its copy demo:000 is labelled {given}; looks like {given} (")
    assert wrong["reason"].startswith(f"looks like {wrong['suggested']} (")
    assert f"rather than {wrong['given']} (" in wrong["reason"]


def test_examples_are_train_images_of_the_diagnosis_and_beyond_doubt(store: Store) -> None:
    scores = store.read(LabelScores)
    split = dict(store.read(Groups)[["image_id", "split"]].to_numpy().tolist())
    given = dict(scores[["image_id", "given"]].to_numpy().tolist())
    doubted = set(scores.loc[scores["suspect"], "image_id"])
    for row in scores.to_dict("records"):
        for kind in ("given", "suggested"):
            examples = row[f"nearest_{kind}"]
            assert len(examples) == 2
            assert {given[example] for example in examples} == {row[kind]}
            assert {split[example] for example in examples} == {"train"}
            assert not doubted & set(examples)


def test_the_summary_agrees_with_the_table(store: Store) -> None:
    scores = store.read(LabelScores)
    summary = json.loads((store.root / "reports/label_noise/summary.json").read_text("utf-8"))
    by_split = summary["suspects_by_split_and_diagnosis"]
    assert summary["suspects"] == scores["suspect"].sum() == sum(sum(counts.values()) for counts in by_split.values())
    assert summary["label_conflicts"] == 2
    assert summary["estimated_errors"] == pytest.approx(scores["error_probability"].sum(), abs=0.01)
    assert 0 <= summary["share_labelled_in_haste"] < 1
    assert summary["components_seen_at_a_glance"] in params().noise.glances
    for row in summary["noise_matrix_given_by_true"].values():
        assert sum(row.values()) == pytest.approx(1, abs=1e-4)


def test_contact_sheets_are_written(store: Store) -> None:
    sheets = sorted((store.root / "reports/label_noise/pictures").iterdir())
    assert [path.name for path in sheets] == ["error_probability.png", "off_topic.png"]
    for path in sheets:
        with Image.open(io.BytesIO(path.read_bytes())) as sheet:
            assert np.asarray(sheet.convert("L")).std() > 10


def test_two_runs_give_the_same_bytes(store: Store, tmp_path: Path) -> None:
    again = project(tmp_path)
    stage.run(again, params(**TREE))
    assert outputs(tmp_path) == outputs(store.root)


def test_classes_restrict_what_is_scored(tmp_path: Path) -> None:
    store = project(tmp_path)
    stage.run(store, params(**TREE, classes=["nevus", "melanoma"]))
    scores = store.read(LabelScores)
    assert set(scores["given"]) == {"melanoma", "nevus"}
    assert store.vectors(LabelScores, "probabilities").shape == (len(scores), 2)


@pytest.mark.parametrize("networks", [1, 2])
@pytest.mark.parametrize("table", [Levels, Opinions])
@pytest.mark.parametrize("encoders", ["pooled", "concatenated"])
def test_levels_and_opinions_change_probabilities_and_only_levels_what_is_far(
    store: Store, tmp_path: Path, encoders: str, table: type[Table], networks: int
) -> None:
    again = project(tmp_path)
    scores = store.read(LabelScores)
    seen = store.vectors(Embeddings, "vector", "demo")
    noise = np.random.default_rng(0).normal(0, 0.05, seen.shape)
    describe(again, table, scores["image_id"].tolist(), *[seen + noise, (seen - noise)[:, 1:]][:networks])
    stage.run(again, params(**TREE | {"probe": TREE["probe"] | {"encoders": encoders}}))
    found = again.read(LabelScores)
    assert not np.allclose(found["error_probability"], scores["error_probability"], rtol=0.01, atol=0)
    assert np.array_equal(found["off_topic"], scores["off_topic"]) == (table is Opinions)


@pytest.mark.parametrize("table", [Levels, Opinions])
def test_levels_or_opinions_on_some_images_only_are_refused(tmp_path: Path, table: type[Table]) -> None:
    store = project(tmp_path)
    describe(store, table, ["demo:000"], np.ones((1, 4)))
    with pytest.raises(UserError, match="run `dvc repro embed opinions`"):
        stage.run(store, params(**TREE))


def test_the_queue_holds_the_suspects_that_are_no_removed_copies(store: Store) -> None:
    scores, queue = store.read(LabelScores), store.read(SuspectQueue)
    suspects = set(scores.loc[scores["suspect"], "image_id"]) - {"demo:001"}
    assert set(queue["image_id"]) == suspects
    assert sorted(queue["place"]) == list(range(1, len(queue) + 1))


def test_the_audit_draws_from_all_splits_and_no_removed_copy(store: Store) -> None:
    sample = store.read(AuditSample)
    assert len(sample) == 40
    assert "demo:001" not in set(sample["image_id"])
    assert sample.drop_duplicates("stratum")["stratum_images"].sum() == COUNT - 1


def test_vectors_of_two_encoders_are_refused(tmp_path: Path) -> None:
    store = project(tmp_path)
    embeddings, vectors = store.read(Embeddings, "demo"), store.vectors(Embeddings, "vector", "demo")
    embeddings.loc[5, "encoder"] = "another"
    store.write(Embeddings, embeddings, instance="demo", vectors={"vector": vectors})
    with pytest.raises(UserError, match="holds vectors of"):
        stage.run(store, params(**TREE))
