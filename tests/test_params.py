from __future__ import annotations

import re
from copy import deepcopy
from dataclasses import replace
from functools import reduce
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline import params, renamed_params
from pipeline.core.errors import UserError
from pipeline.profiles import compose, read_either
from pipeline.schema import Key, find, known_keys

ROOT = Path(__file__).parent.parent
DEMO = compose(ROOT / "profiles", "demo")
PROFILES = sorted((ROOT / "profiles").glob("*.yaml"))


@pytest.fixture
def tree() -> dict[str, Any]:
    return deepcopy(read_either(ROOT / "profiles/demo.yaml"))


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)
def test_every_profile_is_valid(path: Path) -> None:
    read_either(path)


def test_params_start_as_the_demo() -> None:
    assert (ROOT / "params.yaml").read_text("utf-8") == DEMO, "run `python -m pipeline use demo`"


def test_instances_are_the_product_of_the_axes(tree: dict[str, Any]) -> None:
    tree.update(members=["lite0"], arms=["raw", "curated"], seeds=[0, 1])
    assert params.instances(tree, "train") == ["lite0-raw-0", "lite0-raw-1", "lite0-curated-0", "lite0-curated-1"]
    assert params.instances(tree, "dedup") == [None]


def test_a_batch_is_embedded_by_each_encoder_in_a_folder_of_its_own(tree: dict[str, Any]) -> None:
    tree.update(encoders=["clip", "lite0"], batches=["a", "b"])
    assert params.instances(tree, "embed") == ["clip-a", "clip-b", "lite0-a", "lite0-b"]
    assert params.folders(tree, "embed") == ["clip/a", "clip/b", "lite0/a", "lite0/b"]
    assert params.keys("embed", "lite0-b")["encoder"] == "embed.encoders.lite0"
    assert params.folders(tree, "train") == params.instances(tree, "train")


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
        (("embed", "encoders", "unlisted"), {"library": "torch"}, "embed.encoders.unlisted"),
        (("embed", "encoders", "clip", "layers"), [3, 1], "embed.encoders.clip.layers: .*rising order"),
        (("encoders",), ["absent"], "embed.encoders.absent is missing"),
        (("encoders",), [], "encoders must be a list"),
        (("runtime", "workers"), 0, "runtime.workers"),
        (("runtime", "workers"), "many", "runtime.workers"),
        (("runtime", "threads"), 2, "no stage reads runtime.threads"),
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


@pytest.mark.parametrize("change", [{"encoders": ["lite0"]}, {"backbone": "clip_large"}])
def test_a_probe_of_an_encoder_that_is_not_in_use_is_refused(change: dict[str, Any], tree: dict[str, Any]) -> None:
    tree["members"] = ["clip_probe"]
    tree["encoders"] = change.get("encoders", tree["encoders"])
    tree["train"]["members"]["clip_probe"]["backbone"] = change.get("backbone", "clip")
    with pytest.raises(UserError, match=r"train\.members\.clip_probe\.backbone.*an encoder in use: .*lite0"):
        params.check_tree(tree)
    tree["members"] = ["lite0"]  # a recipe that waits unlisted may be of another encoder
    params.check_tree(tree)


def test_a_missing_key_is_named(tree: dict[str, Any]) -> None:
    del tree["dedup"]["neighbours"]
    with pytest.raises(UserError, match=r"dedup\.neighbours is missing"):
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


def edited(folder: Path, place: str, text: str) -> Path:
    """Write the demo's params with the value at `a.b` written as `text`, as a person would type it."""
    *parents, last = place.split(".")
    lines = DEMO.splitlines()
    start = 0
    for depth, parent in enumerate(parents):
        start = next(i for i in range(start, len(lines)) if lines[i].startswith("  " * depth + f"{parent}:")) + 1
    at = next(i for i in range(start, len(lines)) if lines[i].strip().startswith(f"{last}:"))
    lines[at] = "  " * len(parents) + f"{last}: {text}"
    (folder / "params.yaml").write_text("\n".join(lines), "utf-8")
    return folder / "params.yaml"


@pytest.mark.parametrize("number", ["1e-4", "3E-5", "1e3", "+2e-4", "1,5", "0,001", "12_0e-5"])
@pytest.mark.parametrize("place", ["train.members.lite0.learning_rate", "train.members.lite0.weight_decay"])
def test_a_number_that_yaml_takes_for_a_text_is_answered_with_how_to_write_it(
    number: str, place: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=rf"{place}: YAML reads .* as a text; write [^ ]+$") as error:
        params.read_tree(edited(tmp_path, place, number))
    advised = str(error.value).rsplit(" ", 1)[1]
    assert yaml.safe_load(advised) == pytest.approx(float(number.replace(",", ".").replace("_", "")))
    params.read_tree(edited(tmp_path, place, advised))


@pytest.mark.parametrize(
    "text", ["2019", "001", "0x1F", "1_000", "12:30", "no", "yes", "on", "null", "~", "1.5", "2019-01-02"]
)
@pytest.mark.parametrize("place", ["batches", "encoders", "arms", "members", "classes"])
def test_a_text_that_yaml_takes_for_something_else_is_answered_in_quotes(text: str, place: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"YAML reads|holds") as error:
        params.read_tree(edited(tmp_path, place, f"[{text}]"))
    assert f"write {text!r}, in quotes" in str(error.value)
    assert yaml.safe_load(f"[{text!r}]") == [text]
    assert "json-or-python" not in str(error.value)


@pytest.mark.parametrize("key", ["2019", "2019_2020", "no", "1.5", "~"])
def test_a_key_that_yaml_takes_for_something_else_is_answered_in_quotes(key: str, tmp_path: Path) -> None:
    text = DEMO.replace("    demo: {source", f"    {key}: {{source")
    line = next(i for i, line in enumerate(text.splitlines(), 1) if line.startswith(f"    {key}: {{source"))
    (tmp_path / "params.yaml").write_text(text, "utf-8")
    with pytest.raises(UserError, match=rf"line {line}: YAML reads the key {key} as .*: write '{key}':"):
        params.read_tree(tmp_path / "params.yaml")


def test_a_key_that_stands_twice_is_refused(tmp_path: Path) -> None:
    text = DEMO + "\nseeds: [3]\n"
    (tmp_path / "params.yaml").write_text(text, "utf-8")
    with pytest.raises(UserError, match=r"seeds stands there twice: keep one"):
        params.read_tree(tmp_path / "params.yaml")


@pytest.mark.parametrize(("written", "advised"), [("1e8", "100000000"), ("2E3", "2000"), ("1,0", "1")])
def test_a_whole_number_that_yaml_takes_for_a_text_is_answered_with_a_whole_number(
    written: str, advised: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=rf"max_pixels: YAML reads {written} as a text; write {advised}$"):
        params.read_tree(edited(tmp_path, "ingest.limits.max_pixels", written))
    params.read_tree(edited(tmp_path, "ingest.limits.max_pixels", advised))


def test_old_keys_are_answered_with_their_new_names_all_at_once(
    tree: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renamed_params, "RENAMED", {"evaluate.resamples": "evaluate.bootstrap", "old": "embed.encoder"})
    monkeypatch.setattr(renamed_params, "CONSTANTS", {"dedup/verify.py": {"dedup.colours": "COLOURS"}})
    monkeypatch.setattr(renamed_params, "GONE", {"guess": "nothing read it"})
    tree["evaluate"]["resamples"] = tree["evaluate"].pop("bootstrap")
    tree |= {"old": {"model": "ViT"}, "guess": {"a": {"b": 1}}}
    tree["dedup"]["colours"] = 3
    with pytest.raises(UserError) as error:
        params.check_tree(tree)
    assert str(error.value).splitlines() == [
        "these keys are of an older version:",
        "  dedup.colours is a constant now: COLOURS in dedup/verify.py",
        "  evaluate.resamples is now evaluate.bootstrap",
        "  old.model is now embed.encoder.model",
        "  guess.a.b is gone: nothing read it",
        "  (`python -m pipeline use <profile>` writes a new params.yaml and keeps this one)",
    ]


def test_an_old_name_that_means_something_again_is_no_old_key(
    tree: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renamed_params, "RENAMED", {"seeds": "seed", "embed.batch_size": "runtime.batch_size"})
    params.check_tree(tree)


def test_what_the_table_of_old_keys_says_is_true() -> None:
    known = known_keys()
    old = [*renamed_params.RENAMED, *renamed_params.GONE, *(k for n in renamed_params.CONSTANTS.values() for k in n)]
    assert [key for key in old if find(key, known)] == []
    assert [new for new in renamed_params.RENAMED.values() if not _is_known(new, known)] == []
    for file, names in renamed_params.CONSTANTS.items():
        text = (ROOT / file).read_text("utf-8")
        assert [
            name for name in names.values() if not re.search(rf"^ *{name.split('.')[-1]}\b", text, re.MULTILINE)
        ] == []


def table(page: str, head: str) -> list[list[str]]:
    """Return the cells of the table with these column titles, without the marks of code."""
    text = (ROOT / page).read_text("utf-8")
    rows = text.split(f"| {head} |\n", 1)[1].partition("\n\n")[0].splitlines()[1:]
    return [[cell.strip().strip("`") for cell in row.strip("|").split(" | ")] for row in rows]


def test_the_pages_show_the_table_of_old_keys() -> None:
    gone = [list(row) for row in renamed_params.GONE.items()]
    assert table("CHANGELOG.md", "old key | new key") == [list(row) for row in renamed_params.RENAMED.items()]
    assert table("CHANGELOG.md", "old key | why") == gone
    decision = "docs/decisions/0017-params-profiles-and-constants.md"
    assert table(decision, "old key | why") == gone
    assert table(decision, "old key | place | value") == [
        [key, f"{file}:{name}", str(reduce(getattr, name.split("."), import_module(module(file))))]
        for file, names in renamed_params.CONSTANTS.items()
        for key, name in names.items()
    ]


def module(file: str) -> str:
    return file.removesuffix(".py").replace("/", ".")


def _is_known(place: str, keys: list[Key]) -> bool:
    """Tell whether a key, or a mapping of keys, may stand at a place."""
    parts = place.count(".") + 1
    return any(find(place, [replace(key, place=".".join(key.place.split(".")[:parts]))]) for key in keys)
