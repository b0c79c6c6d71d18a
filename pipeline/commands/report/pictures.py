"""The report's pictures: a thumbnail of every image that it shows, and of pairs one laid over the other."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.commands.report.run import Run
from pipeline.stages.dedup.report import overlay

SIDE = 224  # pixels of a thumbnail's longer side
QUALITY = 85


@dataclass(frozen=True)
class Picture:
    """A file of the report.

    src: address relative to the page.
    width, height: pixels.
    """

    src: str
    width: int
    height: int


@dataclass
class Album:
    """Draws pictures on demand, each once.

    run: whose images they are.
    folder: for the files.
    address: of the folder, relative to the page.
    """

    run: Run
    folder: Path
    address: str
    drawn: dict[str, Picture] = field(default_factory=dict)

    def thumbnail(self, image: str) -> Picture:
        """Draw an image."""
        name = str(self.run.rows.loc[image, "stored_sha256"])[:20]
        if name not in self.drawn:
            stored = io.BytesIO(self.run.pixels.read(self.run.position[image]))
            with Image.open(stored) as opened:
                opened.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)  # a large JPEG is decoded small
                self._save(name, opened.convert("RGB"))
        return self.drawn[name]

    def overlay(self, a: str, b: str) -> Picture:
        """Draw the first image of a verified pair warped onto the second, half of each, with its outline."""
        name = hashlib.sha256(f"{a}\n{b}".encode()).hexdigest()[:20]
        if name not in self.drawn:
            blend = overlay(self._pixels(a), self._pixels(b), self.run.transforms[a, b])
            image = Image.fromarray(blend)
            image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
            self._save(name, image)
        return self.drawn[name]

    def _pixels(self, image: str) -> NDArray[Any]:
        return np.asarray(self.run.pixels[self.run.position[image]])

    def _save(self, name: str, image: Image.Image) -> None:
        image.save(self.folder / f"{name}.jpg", "JPEG", quality=QUALITY)
        self.drawn[name] = Picture(f"{self.address}/{name}.jpg", image.width, image.height)
