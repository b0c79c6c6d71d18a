from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.commands.params import document, meaning, read_default
from pipeline.core.errors import UserError
from pipeline.profiles import MANUAL, compose, profiles, read_either
from pipeline.schema import find, known_keys
from pipeline.stages.dedup.params import DedupParams
from pipeline.yaml_text import Document, Entry, leaves, parse, plain, write
from tests.params import tree

ROOT = Path(__file__).parent.parent
TEXT = """# Head

a: 1      # one

# Above b,
# in two lines
b:        # the mapping
  c: [1, 2]
  # deep
  d: {e: 'x # y', f: 001}  # in braces
g:
  - {h: 1}  # first
  - i
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Copy the default and the recipes, without profiles."""
    shutil.copytree(ROOT / "profiles/members", tmp_path / "profiles/members")
    shutil.copy(ROOT / "profiles/default.yaml", tmp_path / "profiles/default.yaml")
    return tmp_path / "profiles"


def made(folder: Path, text: str) -> str:
    (folder / "mine.yaml").write_text(text, "utf-8")
    return compose(folder, "mine")


@pytest.mark.parametrize("name", ["default", *profiles(ROOT)])
def test_a_file_taken_apart_and_put_together_is_the_same(name: str) -> None:
    text = compose(ROOT / "profiles", name)
    assert write(parse(text)) == text


def test_comments_empty_lines_and_ways_of_writing_survive() -> None:
    assert write(parse(TEXT)) == TEXT


def test_odd_layouts_keep_their_meaning() -> None:
    text = '"q": 1e-4\nb:   # hm\n- {x: 1}\n- y: 2\n  z: {}\nd: {e: [1,\n  2], g: }\nn:\n   # deep\n   o: no\n'
    assert yaml.safe_load(write(parse(text))) == yaml.safe_load(text)
    assert write(parse(text)).startswith('"q": 1e-4\n')


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("- a\n", "not a mapping"),
        ("a: &x 1\nb: *x\n", "line 2: b is an alias"),
        ("a: |\n  text\n  more\n", "line 1: write the value of a on one line"),
        ("a: [1, # one\n  2]\n", "line 1: write the value of a on one line"),
    ],
)
def test_what_could_not_be_kept_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        parse(text)


def test_an_empty_profile_is_the_default(folder: Path) -> None:
    assert yaml.safe_load(made(folder, "")) == tree()
    assert yaml.safe_load(made(folder, "# Nothing but a comment.\n")) == tree()


def test_a_profile_says_single_keys_and_the_defaults_comments_stay(folder: Path) -> None:
    before = made(folder, "")
    text = made(folder, "# Mine.\nevaluate:\n  bins: 20   # finer\n  confidence: 0.9\nsplit: {salt: other}\n")
    assert yaml.safe_load(text) == tree(evaluate__bins=20, evaluate__confidence=0.9, split__salt="other")
    changed = [line for line in text.splitlines() if line not in before.splitlines()]
    assert [line.split(":")[0].strip() for line in changed] == ["# Mine.", "salt", "confidence", "bins"]
    assert changed[1].endswith("# another salt is another test set")
    assert changed[2].endswith("# of the intervals")
    assert changed[3].endswith("# finer")


def test_values_stay_as_they_are_written_so_that_yamls_traps_are_told(folder: Path) -> None:
    assert "loud: 1e-4" in made(folder, "ingest: {batches: {loud: 1e-4}}\n")
    made(folder, "evaluate: {confidence: 1e-4}\n")
    with pytest.raises(UserError, match=r"mine.yaml cannot be used: .*YAML reads 1e-4 as a text; write 1.0e-4"):
        read_either(folder / "mine.yaml")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("evalute: {bins: 3}", r"evalute.bins is no key of profiles/default.yaml: the nearest is evaluate.bins"),
        ("evaluate: {bin: 3}", r"evaluate.bin is no key of profiles/default.yaml: the nearest is evaluate.bins"),
        ("max_pixels: 3", r"max_pixels is no key .*: the nearest is ingest.limits.max_pixels"),
        ("zzz: 3", r"zzz is no key of profiles/default.yaml$"),
        ("train: {members: {lite0: {epoch: 3}}}", r"train.members.lite0.epoch is .*: the nearest is .*lite0.epochs"),
        ("members: [clip_prob]", r"profiles/members/ has no recipe clip_prob.yaml: the nearest is clip_probe"),
        ("evaluate: [", r"mine.yaml is not valid YAML"),
        ("- a", r"mine.yaml: it is not a mapping"),
    ],
)
def test_a_key_that_the_default_lacks_is_named_with_the_nearest(folder: Path, text: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        made(folder, f"{text}\n")


def test_where_any_name_may_stand_a_profile_may_add_one(folder: Path) -> None:
    text = """
batches: [isic]
arms: [raw, mine]
ingest:
  batches:
    isic: {source: isic, licence: CC0-1.0, attribution: them, ids: as_given}
rebalance:
  arms:
    mine: {drop_duplicates: true, label_policy: soft, decisions: true, random_removal_as: null}
label_noise: {queue: {evidence_odds: {consensus: 0.8}}}
"""
    made(folder, text)
    found = read_either(folder / "mine.yaml")
    assert list(found["ingest"]["batches"]) == ["isic"]
    assert list(found["rebalance"]["arms"]) == [*tree()["rebalance"]["arms"], "mine"]
    assert found["label_noise"]["queue"]["evidence_odds"] == {"histopathology": 0.5, "consensus": 0.8}


def test_only_the_recipes_of_listed_members_are_taken_and_single_keys_changed(folder: Path) -> None:
    text = made(folder, "members: [lite0_head]\ntrain: {members: {lite0_head: {side_pixels: 96}}}\n")
    found = yaml.safe_load(text)["train"]["members"]
    assert found == {"lite0_head": {**tree()["train"]["members"]["lite0_head"], "side_pixels": 96}}
    assert "# EfficientNet-Lite0 as it came" in text
    assert "every layer fine-tuned" not in text


def test_a_member_may_stand_in_the_profile_alone(folder: Path) -> None:
    recipe = tree()["train"]["members"]["lite0"]
    text = made(folder, yaml.safe_dump({"members": ["own"], "train": {"members": {"own": recipe}}}))
    assert yaml.safe_load(text)["train"]["members"] == {"own": recipe}


@pytest.mark.parametrize("name", profiles(ROOT))
def test_a_profile_says_nothing_that_the_default_says(name: str) -> None:
    default = {place: plain(entry.value) for place, entry in leaves(read_default(ROOT))}
    overlay = parse((ROOT / f"profiles/{name}.yaml").read_text("utf-8")).entries
    said = {place: plain(entry.value) for place, entry in leaves(overlay)}
    assert [place for place, value in said.items() if place in default and default[place] == value] == []


def test_every_key_of_the_default_has_a_comment() -> None:
    def bare(entries: dict[str, Entry], place: str = "") -> list[str]:
        found = []
        for name, entry in entries.items():
            inside = {} if entry.flow else entry.children or {}
            found += bare(inside, f"{place}{name}.")
            found += [] if inside or entry.note or any(entry.above) else [f"{place}{name}"]
        return found

    parts = ("ingest.batches.", "rebalance.arms.")  # whose mappings have the comment
    assert [place for place in bare(parse_default().entries) if not place.startswith(parts)] == []


def parse_default() -> Document:
    return parse((ROOT / "profiles/default.yaml").read_text("utf-8"))


def test_every_key_is_described() -> None:
    default, keys = read_default(ROOT), known_keys()
    bare = [key.place for key in keys if not (key.free or meaning(key, default))]
    assert bare == []
    assert [place for place, _ in leaves(default) if find(place, keys) is None] == []


def test_a_stage_that_receives_one_item_of_a_list_reads_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DedupParams.keys, "batches", "batches.0")
    key = find("batches", known_keys())
    assert key is not None
    assert "dedup" in key.stages
    assert find("batches.0", known_keys()) is None


def test_the_document_in_the_repository_is_fresh() -> None:
    assert (ROOT / MANUAL).read_text("utf-8") == document(ROOT), "run `python -m pipeline params`"


def test_a_row_says_type_default_meaning_and_stages() -> None:
    rows = document(ROOT).splitlines()
    row: Any = next(line for line in rows if line.startswith("| `split.test_share`"))
    assert row == "| `split.test_share` | number above 0 and below 1 | `0.25` | of the lesions | dedup |"
    assert any(line.startswith("| `ingest.batches.<batch>.ids` | one of `as_given`, `keyed` |  |") for line in rows)
    assert any(line.startswith("| `train.members.<member>.weights` | text or null |  |") for line in rows)
    assert any(line.startswith("| `rebalance.arms.<arm>.decisions` | true or false |") for line in rows)
