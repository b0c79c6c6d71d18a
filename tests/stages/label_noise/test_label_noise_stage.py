from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.core.errors import UserError
from pipeline.core.store import Store
from pipeline.stages.dedup.tables import Groups
from pipeline.stages.embed.tables import Embeddings
from pipeline.stages.label_noise import stage
from pipeline.stages.label_noise.scores import EXAMPLES
from pipeline.stages.label_noise.tables import AuditSample, LabelScores, OffTopicQueue, SuspectQueue
from tests.stages.label_noise.made import COUNT, project, show_layers
from tests.stages.label_noise.planted import CLASSES, params

TREE: dict[str, Any] = {"batches": ["demo"], "folds": 3}


def outputs(root: Path) -> dict[str, bytes]:
    folders = ("data/label_noise", "reports/label_noise")
    files = [path for folder in folders for path in sorted((root / folder).rglob("*.*"))]
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = project(tmp_path_factory.mktemp("project"))
    stage.run(store, params(**TREE))
    return store


def test_what_may_be_off_topic_is_queued_unless_the_policy_leaves_it_out(store: Store) -> None:
    scores = store.read(LabelScores).merge(store.read(Groups), on="image_id")
    left_out = (scores["split"] == "train") & (scores["off_topic"] >= 0.99)
    doubtful = scores[(scores["off_topic"] >= 0.05) & ~left_out & scores["duplicate_of"].isna()]
    queue = store.read(OffTopicQueue).sort_values("place")
    assert sorted(queue["image_id"]) == sorted(doubtful["image_id"])
    assert queue["off_topic"].is_monotonic_decreasing


def test_every_image_has_scores_within_bounds(store: Store) -> None:
    scores, probabilities = store.read(LabelScores), store.vectors(LabelScores, "probabilities")
    assert scores["image_id"].tolist() == [f"demo:{i:03d}" for i in range(COUNT)]
    for name in ("error_probability", "off_topic"):
        assert scores[name].between(0, 1).all(), name
    assert probabilities.shape == (COUNT, len(CLASSES))
    posterior = store.vectors(LabelScores, "posterior")
    for of_diagnosis in (probabilities, posterior):
        assert np.allclose(of_diagnosis.sum(axis=1), 1, atol=1e-5)
    classes = sorted(CLASSES)
    assert scores["suggested"].tolist() == [classes[i] for i in posterior.argmax(axis=1)]


def test_the_contradicted_copy_and_the_wrong_label_are_suspects_with_reasons(store: Store) -> None:
    right, copy, wrong = store.read(LabelScores).head(3).to_dict("records")
    assert right["ambiguous"]  # its copy contradicts it, but nothing is likelier
    assert copy["suspect"]
    assert wrong["suspect"]
    assert copy["error_probability"] >= 0.95
    given = right["given"]
    assert f"{given} (" in copy["reason"].split(", not ")[0]
    assert f"; its copy demo:000 is labelled {given}; it looks like {given} (" in copy["reason"]
    assert f" {wrong['suggested']} (" in wrong["reason"].split(", not ")[0]
    assert f", not {wrong['given']} (" in wrong["reason"]


def test_examples_are_train_images_of_the_diagnosis_and_beyond_doubt(store: Store) -> None:
    scores = store.read(LabelScores)
    split = dict(store.read(Groups)[["image_id", "split"]].to_numpy().tolist())
    given = dict(scores[["image_id", "given"]].to_numpy().tolist())
    doubted = set(scores.loc[scores["suspect"] | scores["ambiguous"], "image_id"])
    for row in scores.to_dict("records"):
        for kind in ("given", "suggested"):
            examples = row[f"nearest_{kind}"]
            assert len(examples) == EXAMPLES
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
    low, high = summary["estimated_errors_interval"]
    assert 0 <= low < summary["estimated_errors"] < high <= len(scores)
    assert 0 <= summary["instance_dependent_noise_share"] < 1
    for name in ("instance_dependent_noise_probability", "shaped_noise_probability"):
        assert 0 <= summary[name] <= 1
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


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("encoder", ["clip", "further"])
def test_layers_change_probabilities_and_only_the_main_encoder_s_what_is_far(
    store: Store, tmp_path: Path, encoder: str, count: int
) -> None:
    again = project(tmp_path)
    scores = store.read(LabelScores)
    seen = store.vectors(Embeddings, "vector", "clip/demo")
    noise = np.random.default_rng(0).normal(0, 0.05, seen.shape)
    show_layers(again, encoder, scores["image_id"].tolist(), *[seen + noise, (seen - noise)[:, 1:]][:count])
    stage.run(again, params(**TREE, encoders=list(dict.fromkeys(["clip", encoder]))))
    found = again.read(LabelScores)
    assert not np.allclose(found["error_probability"], scores["error_probability"], rtol=0.01, atol=0)
    assert np.array_equal(found["off_topic"], scores["off_topic"]) == (encoder == "further")


@pytest.mark.parametrize("encoder", ["clip", "further"])
def test_layers_of_some_images_only_are_refused(tmp_path: Path, encoder: str) -> None:
    store = project(tmp_path)
    show_layers(store, encoder, ["demo:000"], np.ones((1, 4)))
    with pytest.raises(UserError, match="run `dvc repro embed`"):
        stage.run(store, params(**TREE | {"encoders": list(dict.fromkeys(["clip", encoder]))}))


def test_a_further_encoder_without_layers_is_refused(tmp_path: Path) -> None:
    store = project(tmp_path)
    show_layers(store, "further", [], np.zeros((0, 4)))
    with pytest.raises(UserError, match=r"name some in embed\.encoders\.further\.layers"):
        stage.run(store, params(**TREE, encoders=["clip", "further"]))


def test_the_queue_holds_the_labels_in_doubt_that_are_no_removed_copies(store: Store) -> None:
    scores, queue = store.read(LabelScores), store.read(SuspectQueue)
    doubted = set(scores.loc[scores["suspect"] | scores["ambiguous"], "image_id"]) - {"demo:001"}
    assert set(queue["image_id"]) == doubted
    assert queue.set_index("image_id")["ambiguous"]["demo:000"]
    assert sorted(queue["place"]) == list(range(1, len(queue) + 1))


def test_the_audit_draws_from_all_splits_and_no_removed_copy(store: Store) -> None:
    sample = store.read(AuditSample)
    assert len(sample) == 40
    assert "demo:001" not in set(sample["image_id"])
    assert sample.drop_duplicates("stratum")["stratum_images"].sum() == COUNT - 1


def test_vectors_of_two_encoders_are_refused(tmp_path: Path) -> None:
    store = project(tmp_path)
    embeddings, vectors = store.read(Embeddings, "clip/demo"), store.vectors(Embeddings, "vector", "clip/demo")
    embeddings.loc[5, "encoder"] = "another"
    store.write(Embeddings, embeddings, instance="clip/demo", vectors={"vector": vectors})
    with pytest.raises(UserError, match="holds vectors of"):
        stage.run(store, params(**TREE))
