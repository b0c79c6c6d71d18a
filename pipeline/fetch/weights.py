"""Bring the weights that params.yaml asks for into `data/raw/weights/`, from packages, the model hub or local files."""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from pipeline.core.errors import UserError
from pipeline.fetch import hubs, wheels
from pipeline.models.checkpoints import open_clip_tower, timm_network
from pipeline.models.weights import CLIP_TOWERS, Card, Tensors, has_card, read_card, read_tensors, save_weights
from pipeline.params import read_tree

FOLDER = Path("data/raw/weights")
WHEELS = Path("data/.cache/wheels")
MANIFEST = "weights.json"
PACKAGE = "package"
FILE = "file:"
HUB = "hub"  # timm's first training run of a network
SUFFIX = ".safetensors"
CHECKPOINTS = (SUFFIX, ".pt", ".pth", ".bin")


@dataclass(frozen=True)
class Wanted:
    """One weights file that params.yaml names.

    library: `open_clip` or `timm`.
    model: its name there, without a tag.
    weights: name of the file.
    source: `package`, `file:<path>`, a tag of the library, or `hub`.
    """

    library: str
    model: str
    weights: str
    source: str

    @property
    def architecture(self) -> str:
        """The network as a card names it."""
        return f"{self.library}/{self.model}"

    @property
    def tag(self) -> str | None:
        """The training run, if the source is one."""
        return None if self.source in (PACKAGE, HUB) or self.source.startswith(FILE) else self.source


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `fetch weights`."""
    parser.add_argument(
        "--from",
        dest="folder",
        type=Path,
        metavar="FOLDER",
        help="take wheels and checkpoints from this folder and open no connection",
    )


def run(root: Path, options: argparse.Namespace) -> list[Path]:
    """Fetch every weights file that params.yaml names and that is not there yet; return their folder.

    Raises:
        UserError: a source is unknown, out of reach, or not what it should be.

    """
    folder = root / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    manifest = _read_manifest(folder / MANIFEST)
    for wanted in wanted_weights(read_tree(root / "params.yaml")):
        path = folder / wanted.weights
        if _present(path, wanted, manifest.get(wanted.weights)):
            print(f"{FOLDER / wanted.weights}: already there")
            continue
        tensors, card, licence = obtain(wanted, root=root, folder=options.folder)
        if card.model != wanted.architecture:
            raise UserError(f"{wanted.source} holds {card.model}, not {wanted.architecture}: correct params.yaml")
        save_weights(path, tensors, card)
        entry = {"model": card.model, "source": wanted.source, "licence": licence, "sha256": _digest(path)}
        manifest[wanted.weights] = entry
        _write_manifest(folder / MANIFEST, manifest)
        print(f"{FOLDER / wanted.weights}: {card.model} from {wanted.source} (licence: {licence})")
    return [folder]


def wanted_weights(tree: Mapping[str, Any]) -> list[Wanted]:
    """List the weights of the listed encoders and members, each file once.

    A member's file name says where it comes from: `<backbone>.safetensors` is the package that carries it, or timm's
    first training run of it; `<backbone>.<tag>.safetensors` is that training run; the file of an encoder whose image
    tower the backbone is comes from where the encoder's does; others come with `--from`.

    Raises:
        UserError: two entries want different networks in one file, or a file's name is none.

    """
    encoders = {
        name: Wanted(**{field.name: encoder[field.name] for field in fields(Wanted)})
        for name, encoder in tree["embed"]["encoders"].items()
    }
    wanted = [encoders[name] for name in tree["encoders"]]
    members = [tree["train"]["members"][name] for name in tree["members"]]
    wanted += [
        _of_member(member["backbone"].partition(".")[0], member["weights"], encoders.values())
        for member in members
        if member.get("weights") is not None  # a probe starts from what `embed` wrote
    ]
    by_file: dict[str, Wanted] = {}
    for entry in wanted:
        if Path(entry.weights).name != entry.weights or not entry.weights.endswith(SUFFIX):
            raise UserError(f"params.yaml: weights {entry.weights} is not a file name: use <name>{SUFFIX}")
        first = by_file.setdefault(entry.weights, entry)
        if first.architecture != entry.architecture:
            networks = f"{first.architecture} and {entry.architecture}"
            raise UserError(f"params.yaml: {entry.weights} is named for {networks}: give each its own file")
    return list(by_file.values())


def obtain(wanted: Wanted, *, root: Path, folder: Path | None) -> tuple[Tensors, Card, str]:
    """Read tensors, card and licence from wherever the weights are.

    Args:
        wanted: which.
        root: the project's folder; relative paths in params.yaml start there.
        folder: take everything from here; None downloads.

    Raises:
        UserError: the source is unknown, out of reach, or not what it should be.

    """
    if wanted.source == PACKAGE:
        package = wheels.PACKAGES.get(wanted.architecture)
        if package is None:
            known = ", ".join(sorted(wheels.PACKAGES))
            raise UserError(f"params.yaml: no package has {wanted.architecture}, only {known}: name a tag as source")
        if folder is None:
            wheels.download(package, root / WHEELS)
        return *package.read(wheels.read_member(package, folder or root / WHEELS)), package.licence
    if wanted.source.startswith(FILE):
        checkpoint = root / wanted.source.removeprefix(FILE)
        if not checkpoint.is_file():
            raise UserError(f"{checkpoint} does not exist: correct the source {wanted.source} in params.yaml")
    elif folder is not None:
        checkpoint = _checkpoint_in(folder, wanted.weights)
    elif wanted.library == "open_clip":
        checkpoint = hubs.download_open_clip(wanted.model, wanted.source)
    else:
        checkpoint = hubs.download_timm(wanted.model, wanted.tag)
    return *_read_checkpoint(checkpoint, wanted), "as its publisher states it"


def _of_member(backbone: str, weights: str, encoders: Iterable[Wanted]) -> Wanted:
    for encoder in encoders:
        if (encoder.weights, encoder.architecture) == (weights, CLIP_TOWERS.get(backbone)):
            return encoder
    stem = weights.removesuffix(SUFFIX)
    if stem == backbone:
        source = PACKAGE if f"timm/{backbone}" in wheels.PACKAGES else HUB
    else:
        source = stem.removeprefix(f"{backbone}.")
    return Wanted("timm", backbone, weights, source)


def _checkpoint_in(folder: Path, weights: str) -> Path:
    names = [weights.removesuffix(SUFFIX) + suffix for suffix in CHECKPOINTS]
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise UserError(f"{folder} holds none of {', '.join(names)}: put the checkpoint there under one of these names")


def _read_checkpoint(path: Path, wanted: Wanted) -> tuple[Tensors, Card]:
    if has_card(path):
        return read_tensors(path), read_card(path)
    read = open_clip_tower if wanted.library == "open_clip" else timm_network
    return read(path, model=wanted.model, tag=wanted.tag)


def _present(path: Path, wanted: Wanted, entry: Mapping[str, str] | None) -> bool:
    if entry is None or not path.is_file():
        return False
    same = (entry["model"], entry["source"]) == (wanted.architecture, wanted.source)
    return same and entry["sha256"] == _digest(path)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_manifest(path: Path) -> dict[str, dict[str, str]]:
    if not path.is_file():
        return {}
    manifest: dict[str, dict[str, str]] = json.loads(path.read_text("utf-8"))
    return manifest


def _write_manifest(path: Path, manifest: Mapping[str, Mapping[str, str]]) -> None:
    temporary = path.with_name(f".{path.name}.partial")
    temporary.write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n", "utf-8")
    temporary.replace(path)
