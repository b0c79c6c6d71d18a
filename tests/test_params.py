from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline import params
from pipeline.core.errors import UserError

ROOT = Path(__file__).parent.parent
PROFILES = sorted((ROOT / "profiles").glob("*.yaml"))


@pytest.fixture
def tree() -> dict[str, Any]:
    return deepcopy(params.read_tree(ROOT / "profiles/demo.yaml"))


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)
def test_every_profile_is_valid(path: Path) -> None:
    params.read_tree(path)


def test_params_start_as_the_demo() -> None:
    assert yaml.safe_load((ROOT / "params.yaml").read_text("utf-8")) == params.read_tree(ROOT / "profiles/demo.yaml")


def test_instances_are_the_product_of_the_axes(tree: dict[str, Any]) -> None:
    tree.update(members=["lite0"], arms=["raw", "curated"], seeds=[0, 1])
    assert params.instances(tree, "train") == ["lite0-raw-0", "lite0-raw-1", "lite0-curated-0", "lite0-curated-1"]
    assert params.instances(tree, "dedup") == [None]


@pytest.mark.parametrize(
    ("place", "value", "sentence"),
    [
        (("evaluate", "bootstrap"), "many", "evaluate.bootstrap"),
        (("evaluate", "bootstap"), 10, "no stage reads evaluate.bootstap"),
        (("train", "members", "lite0", "epochs"), 0, "train.members.lite0.epochs"),
        (("ingest", "batches", "demo", "licence"), None, "ingest.batches.demo.licence"),
        (("ingest", "batches", "unlisted"), {"source": "ftp"}, "ingest.batches.unlisted"),
        (("members",), ["absent"], "train.members.absent is missing"),
        (("members",), ["Lite-0"], "lower-case"),
        (("seeds",), [], "seeds must be a list"),
        (("arms",), ["raw", "raw"], "distinct"),
        (("colour",), "red", "no stage reads colour"),
        (("embed", "precision"), "fp16", "embed.precision"),
    ],
)
def test_a_wrong_value_is_named_with_its_place(
    tree: dict[str, Any], place: tuple[str, ...], value: object, sentence: str
) -> None:
    at: Any = tree
    for part in place[:-1]:
        at = at[part]
    at[place[-1]] = value
    with pytest.raises(UserError, match=sentence):
        params.check_tree(tree)


def test_a_missing_key_is_named(tree: dict[str, Any]) -> None:
    del tree["dedup"]["verify"]
    with pytest.raises(UserError, match=r"dedup\.verify is missing"):
        params.check_tree(tree)


def test_an_unlisted_instance_is_refused(tree: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="no instance isic"):
        params.stage_params(tree, "ingest", "isic")


def test_files_that_are_no_params_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        params.read_tree(tmp_path / "params.yaml")
    for text, sentence in (("a: [", "not valid YAML"), ("- a", "not a mapping")):
        (tmp_path / "params.yaml").write_text(text)
        with pytest.raises(UserError, match=sentence):
            params.read_tree(tmp_path / "params.yaml")
