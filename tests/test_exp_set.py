"""`dvc exp run -S key=value` on every key of params.yaml: DVC reads the file as YAML 1.2 and writes all of it anew."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from dvc.utils.hydra import apply_overrides

from pipeline.core.errors import UserError
from pipeline.params import read_tree
from pipeline.profiles import compose
from pipeline.schema import Key, find, known_keys
from tests.project import ROOT, Project

# Laid over the default, so that what is written anew holds all that DVC may write otherwise: what stands in quotes,
# nothing, a small number, an empty list, a line longer than DVC writes, and two names of each kind.
RISKY = """
batches: ['demo', "ham10000"]
classes: [melanoma, nevus]
split: {salt: '2019'}
replay: {until: '2026-01-31'}
ingest:
  batches:
    ham10000:
      source: ham10000
      licence: "CC-BY-NC-4.0"
      attribution: "Tschandl, Rosendahl and Kittler 2018: HAM10000 # 1, doi:10.7910/DVN/DBW86T, and {everyone} else"
      ids: keyed
embed: {encoders: {lite0: {side_pixels: null, layers: []}}}
train: {members: {lite0: {learning_rate: 1.0e-05, weights: null, test_time_augmentation: flips}}}
rebalance:                 # an arm that follows another has no switch on, so that all of an arm change together
  arms:
    raw: {drop_duplicates: true, label_policy: soft, decisions: true}
    dedup: {label_policy: soft, decisions: true}
    clean: {decisions: true}
"""
OTHER_TEXTS = {"until": "2026-02-01T08:00+01:00", "random_removal_as": "random_removal"}  # no other would be accepted
OTHER_TEXT = "it's: 2, [no] # 1"
KEYS = known_keys()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Write a params.yaml with values that are easily changed by being written anew."""
    shutil.copytree(ROOT / "profiles", tmp_path / "profiles")
    (tmp_path / "profiles/risky.yaml").write_text(RISKY, "utf-8")
    (tmp_path / "params.yaml").write_text(compose(tmp_path / "profiles", "risky"), "utf-8")
    return tmp_path / "params.yaml"


def leaves(tree: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield all values of params.yaml by their place `a.b`."""
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def another(place: str, value: Any) -> Any:
    """Return another value for a key: of the other type where it may have two."""
    key = find(place, KEYS)
    assert key, place
    if isinstance(value, bool):
        return not value
    if isinstance(value, float):
        return round(value * 0.99, 12) or 0.01
    if key.type == "list of text or text":
        return "all"
    if isinstance(value, list):
        return [*value, 9] if "integer" in key.type else value[::-1]
    if key.type.endswith("or null") and value is not None:
        return None
    return another_scalar(key, value)


def another_scalar(key: Key, value: Any) -> int | str:
    """Return a number or a text that is not the value."""
    if "integer" in key.type:
        return value + 1 if isinstance(value, int) else 3
    if value == "clip":  # a probe's backbone is one of the encoders
        return "lite0"
    choices = [choice for choice in re.findall(r"`(\w+)`", key.type) if choice != value]
    return choices[0] if choices else OTHER_TEXTS.get(key.place.rpartition(".")[2], OTHER_TEXT)


def typed(value: Any) -> str:
    """Return a value as it is typed on the command line."""
    if isinstance(value, list):
        return f"[{','.join(map(typed, value))}]"
    if isinstance(value, str):
        return "'" + value.replace("'", "\\'") + "'"
    return "null" if value is None else str(value).lower()


def half(places: Iterable[str], which: int) -> list[str]:
    """Return every second key; those that only hold together are one: the arms, an encoder, a member's recipe."""
    places = [place for place in places if not fixed(place)]
    groups = list(dict.fromkeys(tuple(place.split(".")[:2]) for place in places))
    return [place for place in places if groups.index(tuple(place.split(".")[:2])) % 2 == which]


def fixed(place: str) -> bool:
    """Say whether a key says what other keys there are, so that it cannot be changed alone."""
    return place.endswith(".trainable")


def options(wanted: Mapping[str, Any]) -> list[str]:
    return [f"{place}={typed(value)}" for place, value in wanted.items()]


@pytest.mark.parametrize("which", [0, 1])
def test_every_key_can_be_set_and_no_other_changes_with_it(path: Path, which: int) -> None:
    before = dict(leaves(read_tree(path)))
    wanted = {place: another(place, before[place]) for place in half(before, which)}
    assert [place for place, value in wanted.items() if value == before[place]] == []
    apply_overrides(path, options(wanted))
    assert dict(leaves(read_tree(path))) == before | wanted


def test_the_comments_stay(path: Path) -> None:
    comments = re.findall(r"\S +(# .+)$", (ROOT / "profiles/default.yaml").read_text("utf-8"), re.MULTILINE)
    apply_overrides(path, options({place: another(place, value) for place, value in leaves(read_tree(path))}))
    after = path.read_text("utf-8")
    assert len(comments) > 50
    assert [comment for comment in comments if comment not in after] == []


@pytest.mark.pipeline
def test_dvc_takes_all_of_them_from_the_command_line(path: Path) -> None:
    project = Project(path.parent)
    shutil.copy(ROOT / "dvc.yaml", path.parent / "dvc.yaml")
    project.run("git", "init", "--quiet")
    project.dvc("init", "--quiet")
    project.commit("Start")
    before = dict(leaves(read_tree(path)))
    wanted = {place: value if fixed(place) else another(place, value) for place, value in before.items()}
    project.dvc("exp", "run", "--queue", *(part for option in options(wanted) for part in ("-S", option)))
    path.write_text(project.run("git", "show", "refs/exps/celery/stash:params.yaml").stdout, "utf-8")
    assert dict(leaves(read_tree(path))) == wanted


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("train.members.lite0.learning_rate=0.00001", 0.00001),
        ("train.members.lite0.learning_rate=1e-4", 0.0001),
        ("train.members.lite0.weight_decay=3e-05", 0.00003),
        ("label_noise.queue.first_image_seconds=3e16", 3e16),
        ("label_noise.context=[]", []),
        ("seeds=[0, 1]", [0, 1]),
        ("replay.until=2026-01-31", "2026-01-31"),
        ("replay.until=2026-01-31T12:00:00+01:00", "2026-01-31T12:00:00+01:00"),
        ("replay.until=null", None),
        ("runtime.workers=auto", "auto"),
        ("split.salt='1e-05'", "1e-05"),
        ("split.salt='017'", "017"),
        ("split.salt='null'", "null"),
        ("split.salt=''", ""),
    ],
)
def test_values_that_two_yamls_read_otherwise_arrive(path: Path, option: str, value: Any) -> None:
    before = dict(leaves(read_tree(path)))
    apply_overrides(path, [option])
    assert dict(leaves(read_tree(path))) == before | {option.partition("=")[0]: value}


@pytest.mark.parametrize("text", ["no", "Yes", "on", "12:30", "1:02.5"])
def test_a_text_whose_quotes_dvc_takes_off_is_answered_with_that(path: Path, text: str) -> None:
    apply_overrides(path, [f"split.salt='{text}'"])
    with pytest.raises(UserError, match=rf"split.salt: YAML reads {text} .*`dvc exp run -S` takes these quotes off"):
        read_tree(path)


def test_a_number_for_a_text_is_answered_as_ever(path: Path) -> None:
    apply_overrides(path, ["split.salt=2020"])
    with pytest.raises(UserError, match=r"split.salt: YAML reads 2020 as a number or a date; write '2020', in quotes$"):
        read_tree(path)
