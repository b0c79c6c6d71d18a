"""Tar shards in WebDataset layout: pixels are written once, in few large files, and read back by offset.

DVC hashes and links 20 shards in a second where 100,000 files take a minute and a half (docs/architecture.md).
"""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import cv2
import numpy as np
from PIL import Image

JPEG = b"\xff\xd8\xff"

# What is stored has passed `ingest.limits.max_pixels`; Pillow's own limit would warn of images that this one allows.
Image.MAX_IMAGE_PIXELS = None


class ShardWriter:
    """Write images and their JSON side files into one tar; a context manager.

    Member names are `<key>.<extension>` and `<key>.json`, the pair that WebDataset joins by key. Owner, mode and times
    are fixed, so the same images give the same bytes.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._tar: tarfile.TarFile

    def __enter__(self) -> Self:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._tar = tarfile.open(self._path, "w", format=tarfile.USTAR_FORMAT)  # closed by __exit__
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tar.close()

    def add(self, key: str, extension: str, content: bytes, fields: Mapping[str, Any]) -> int:
        """Append one image; return the offset of its first byte within the tar file."""
        self._append(f"{key}.{extension}", content)
        offset = self._tar.offset - _padded(len(content))
        self._append(f"{key}.json", json.dumps(fields, sort_keys=True, ensure_ascii=False).encode())
        return offset

    def _append(self, name: str, content: bytes) -> None:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        self._tar.addfile(member, io.BytesIO(content))


class Pixels:
    """Random access to stored images by position; cheap to pickle, so workers can be handed a part of it.

    Args:
        root: the project's folder.
        shards: for each image the shard's path relative to `root`.
        offsets: for each image the position of its first byte in the shard.
        sizes: for each image its number of bytes.

    """

    def __init__(
        self, root: Path, shards: Sequence[str], offsets: np.ndarray[Any, Any], sizes: np.ndarray[Any, Any]
    ) -> None:
        self._root, self._shards = root, list(shards)
        self._offsets, self._sizes = np.asarray(offsets), np.asarray(sizes)

    def __len__(self) -> int:
        return len(self._shards)

    def __getitem__(self, position: int) -> np.ndarray[Any, Any]:
        """Decode one image: uint8 array of shape (height, width, 3), RGB."""
        return decode(self.read(position))

    def read(self, position: int) -> bytes:
        """Read one image's stored bytes."""
        file = os.open(f"{self._root}/{self._shards[position]}", os.O_RDONLY)
        try:
            return os.pread(file, int(self._sizes[position]), int(self._offsets[position]))
        finally:
            os.close(file)

    def take(self, positions: Sequence[int] | np.ndarray[Any, Any]) -> Pixels:
        """Select images by position, as a new `Pixels`."""
        index = np.asarray(positions, dtype=np.int64)
        return Pixels(self._root, [self._shards[i] for i in index], self._offsets[index], self._sizes[index])

    def pieces(self, size: int) -> list[Pixels]:
        """Cut into pieces of `size` images, in order; the last may be smaller."""
        return [self.take(range(start, min(start + size, len(self)))) for start in range(0, len(self), size)]


def decode(content: bytes) -> np.ndarray[Any, Any]:
    """Decode a stored image (upright RGB by construction): uint8 array of shape (height, width, 3).

    OpenCV decodes a JPEG to the same pixels as Pillow in two thirds of the time or less: both carry libjpeg-turbo, and
    Pillow copies the pixels twice more. What OpenCV refuses, Pillow reads or says what is wrong with it.
    """
    if content.startswith(JPEG):
        array = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
        if array is not None:
            return np.asarray(array)
    with Image.open(io.BytesIO(content)) as image:
        return np.array(image.convert("RGB"))


def _padded(size: int) -> int:
    return -(-size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
