"""Laws that hold on the tables of any run, checked on those of a real one."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
import pytest

from pipeline import params
from pipeline.core.store import Store
from pipeline.stages.dedup.tables import Duplicates, Groups
from pipeline.stages.embed.tables import Embeddings
from pipeline.stages.fingerprint.tables import Fingerprints
from pipeline.stages.ingest.tables import Images, Rejects, open_pixels
from pipeline.stages.label_noise.tables import LabelScores
from pipeline.stages.rebalance.tables import Exclusions, Selection
from pipeline.stages.train.tables import Predictions
from tests.project import Project

pytestmark = pytest.mark.pipeline

ARMS = ("raw", "curated")


@pytest.fixture(scope="module")
def store(project: Project) -> Store:
    return Store(project.root)


@pytest.fixture(scope="module")
def images(store: Store) -> pd.DataFrame:
    return store.read(Images, "demo")


def test_every_raw_file_is_an_image_or_a_reject(project: Project, store: Store, images: pd.DataFrame) -> None:
    folder = project.root / "data/raw/demo"
    raw = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    accepted = set(images["image_id"].str.removeprefix("demo:"))
    rejected = set(store.read(Rejects, "demo")["source_id"])
    assert not accepted & rejected
    assert accepted | rejected == raw
    assert rejected, "the demo plants broken files"


def test_stored_bytes_are_what_the_table_says(store: Store, images: pd.DataFrame) -> None:
    pixels = open_pixels(store, images)
    for position, (digest, width, height) in enumerate(images[["stored_sha256", "width", "height"]].to_numpy()):
        assert hashlib.sha256(pixels.read(position)).hexdigest() == digest
        assert pixels[position].shape == (height, width, 3)


@pytest.mark.parametrize(
    ("table", "instance"), [(Fingerprints, "demo"), (Embeddings, "first/demo"), (Embeddings, "second/demo")]
)
def test_every_image_has_its_row(store: Store, images: pd.DataFrame, table: type[Fingerprints], instance: str) -> None:
    assert store.read(table, instance)["image_id"].tolist() == images["image_id"].tolist()


@pytest.mark.parametrize("encoder", ["first", "second"])
def test_embeddings_have_unit_norm(store: Store, encoder: str) -> None:
    norms = np.linalg.norm(store.vectors(Embeddings, "vector", f"{encoder}/demo"), axis=1)
    assert np.allclose(norms, 1, atol=1e-5)


def test_a_removed_copy_has_a_direct_edge_to_the_kept_image(store: Store) -> None:
    groups, edges = store.read(Groups), store.read(Duplicates)
    copies = groups[groups["duplicate_of"].notna()]
    assert len(copies) > 0
    kept = set(groups.loc[groups["duplicate_of"].isna(), "image_id"])
    direct = {frozenset(pair) for pair in edges.loc[edges["relation"] == "copy", ["a", "b"]].to_numpy()}
    for image, original in copies[["image_id", "duplicate_of"]].to_numpy():
        assert original in kept
        assert frozenset((image, original)) in direct


def test_edges_are_ordered_and_proven(store: Store) -> None:
    edges = store.read(Duplicates)
    assert (edges["a"] < edges["b"]).all()
    assert edges["proposed_by"].map(len).min() > 0
    assert (edges.loc[edges["evidence"] == "geometry", "inliers"] > 0).any()


def test_a_group_has_one_split_and_holds_its_edges(store: Store) -> None:
    groups = store.read(Groups)
    assert groups.groupby("group_id")["split"].nunique().max() == 1
    group = groups.set_index("image_id")["group_id"]
    edges = store.read(Duplicates)
    assert (group[edges["a"]].to_numpy() == group[edges["b"]].to_numpy()).all()


@pytest.mark.parametrize("arm", ARMS)
def test_selection_and_exclusions_part_the_images(store: Store, images: pd.DataFrame, arm: str) -> None:
    chosen, left = store.read(Selection, arm)["image_id"], store.read(Exclusions, arm)["image_id"]
    assert not set(chosen) & set(left)
    assert sorted([*chosen, *left]) == sorted(images["image_id"])


@pytest.mark.parametrize("arm", ARMS)
def test_no_group_is_in_two_splits_of_an_arm(store: Store, arm: str) -> None:
    assert store.read(Selection, arm).groupby("group_id")["split"].nunique().max() == 1


def test_arms_share_validation_and_test(store: Store) -> None:
    raw, curated = (store.read(Selection, arm).query("split != 'train'").reset_index(drop=True) for arm in ARMS)
    pd.testing.assert_frame_equal(raw, curated)


def test_label_scores_are_probabilities_of_every_image(project: Project, store: Store, images: pd.DataFrame) -> None:
    scores, probabilities = store.read(LabelScores), store.vectors(LabelScores, "probabilities")
    assert scores["image_id"].tolist() == images["image_id"].tolist()
    assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert scores["error_probability"].between(0, 1).all()
    threshold = params.read_tree(project.root / "params.yaml")["label_noise"]["min_error_probability"]
    doubted = scores[scores["error_probability"] >= threshold]
    assert (doubted["suspect"] ^ doubted["ambiguous"]).all()


def test_predictions_cover_validation_and_test(store: Store) -> None:
    selection = store.read(Selection, "curated").query("split != 'train'")
    for member in ("one", "two"):
        rows = store.read(Predictions, f"{member}-curated-0")
        assert rows["image_id"].tolist() == selection["image_id"].tolist()
        assert np.allclose(store.vectors(Predictions, "probabilities", f"{member}-curated-0").sum(axis=1), 1, atol=1e-5)


def test_reports_name_no_place_on_this_machine(project: Project) -> None:
    for file in project.root.glob("reports/**/*.*"):
        if file.suffix in {".json", ".csv"}:
            assert str(project.root) not in file.read_text("utf-8")
