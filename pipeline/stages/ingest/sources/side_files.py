"""Tells images from what lies beside them under the same name: masks, thumbnails, texts, in whatever folder order.

By name first (a folder or the end of a name says `mask`, `annotations`, `thumbs` …, or the extension is that of a
text), and by content where names leave several images of one id, or one that is stored otherwise than the rest: a
mask has no colour and hardly a grey between black and white, a thumbnail less than half the side of another image
of its name.
"""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from pipeline.stages.ingest.normalise import PILLOW_ERRORS
from pipeline.stages.ingest.rows import RejectedError
from pipeline.stages.ingest.sources.archives import RawFile
from pipeline.stages.ingest.sources.files import RawReader

SIDE_WORD = re.compile(
    r"masks?|segment(ed|ations?)|segs?|annotat(ed|ions?)|superpixels?|groundtruth|gt|overlays?|heatmaps?|contours?|"
    r"saliency|thumb(nail)?s?|previews?"
)
TEXT_SUFFIX = re.compile(r"[^/]\.(json|txt|[ct]sv|xml|ya?ml|md|html?|np[yz]|mat|pkl|pdf|docx?|rtf|url|log)$")
LOSSLESS = frozenset((".png", ".bmp", ".gif", ".tif", ".tiff"))  # what masks are stored in
WORD = re.compile(r"[^\W_]+")

GREY_LEVELS = 12  # of 255: by how much the channels of a grey JPEG may differ
TWO_VALUED_SHARE = 0.98  # of a mask's pixels lie within GREY_LEVELS of its darkest or its lightest
THUMBNAIL_SIDE_SHARE = 0.5
MAX_BYTES = 1 << 28  # of an image that is looked at
MAX_PIXELS = 10**8
LOOKED_AT_PIXELS = 256


class _Look(NamedTuple):
    """What an image is: a mask or not, and its longer side in pixels."""

    mask: bool
    side: int


@dataclass(frozen=True, slots=True)
class Sorted:
    """The files of a batch that metadata names.

    images: by id, the file name without extension.
    repeats: further images of an id.
    side: files that lie beside an image, or would.
    lonely: those of them by id whose image is not there.
    notes: what was left aside, in sentences.
    """

    images: Mapping[str, RawFile]
    repeats: Sequence[RawFile]
    side: Sequence[RawFile]
    lonely: Mapping[str, RawFile]
    notes: tuple[str, ...]


def sort_by_id(folder: Path, files: Sequence[RawFile], ids: Collection[str]) -> Sorted:
    """Find the image of each id among a batch's files; the first that is listed counts.

    Args:
        folder: the batch's.
        files: in it.
        ids: that metadata names: one that ends like a side file's (`case_overlay`) is an image's all the same.

    """
    common = _common_suffix(files)
    named_so = _words_of_all(files)
    groups: dict[str, list[RawFile]] = {}
    for file in files:
        groups.setdefault(file.stem if file.stem in ids else _plain_stem(file), []).append(file)
    images: dict[str, RawFile] = {}
    repeats: list[RawFile] = []
    side: list[RawFile] = []
    lonely: dict[str, RawFile] = {}
    with RawReader(folder, max_bytes=MAX_BYTES) as reader:
        for stem, group in groups.items():
            plain = [file for file in group if not _is_side_name(file, named_so, stem)]
            chosen = _main_images(plain, reader, common)
            side += [file for file in group if file not in chosen]
            if chosen:
                images[chosen[0].stem] = chosen[0]
                repeats += chosen[1:]
            else:
                lonely[stem] = group[0]
    return Sorted(images, repeats, side, lonely, _notes(side))


def left_aside(folder: Path, files: Sequence[RawFile]) -> tuple[list[RawFile], list[RawFile], tuple[str, ...]]:
    """Part the images of class-named folders from the side files of their names.

    Here nothing names the images, so a file is left aside only if an image of its name lies in the same class:
    the same folder, but for words that name the kind of file (`nevus/masks/1.png`, `masks/nevus/1.png`,
    `nevus/1_mask.png`).

    Returns:
        images, side files, notes.

    """
    groups: dict[tuple[str, ...], list[RawFile]] = {}
    for file in files:
        groups.setdefault((*_plain_folders(file), _plain_stem(file)), []).append(file)
    side: set[RawFile] = set()
    with RawReader(folder, max_bytes=MAX_BYTES) as reader:
        for group in groups.values():
            plain = [file for file in group if not _is_side_name(file, frozenset(), _plain_stem(file))]
            if len(group) > 1 and plain:
                kept = [file for file in plain if len(plain) == 1 or not _is_mask(file, reader)] or plain
                side.update(file for file in group if file not in kept)
    return [file for file in files if file not in side], sorted(side, key=_name), _notes(side)


def is_text_name(name: str) -> bool:
    """Tell by its extension whether a file is a text or table rather than an image."""
    return bool(TEXT_SUFFIX.search(name.lower()))


def _main_images(plain: Sequence[RawFile], reader: RawReader, common: str) -> list[RawFile]:
    """Choose among the images of one id; nothing is opened where there is one, stored like the others."""
    if len(plain) == 1 and (plain[0].suffix.lower() == common or plain[0].suffix.lower() not in LOSSLESS):
        return list(plain)
    looks = {file: _look(file, reader) for file in plain}
    known = {file: look for file, look in looks.items() if look is not None and not look.mask}
    if not known:  # masks, or nothing that can be decoded: that is for `packing` to say
        return [file for file, look in looks.items() if look is None]
    largest = max(look.side for look in known.values())
    large = [file for file, look in known.items() if look.side >= THUMBNAIL_SIDE_SHARE * largest]
    return large + [file for file, look in looks.items() if look is None]


def _is_mask(file: RawFile, reader: RawReader) -> bool:
    look = _look(file, reader)
    return look is not None and look.mask


def _look(file: RawFile, reader: RawReader) -> _Look | None:
    """Look at an image; None where it cannot be read."""
    try:
        with Image.open(io.BytesIO(reader.read(file.locator))) as image:
            side = max(image.size)
            if image.width * image.height > MAX_PIXELS:
                return None
            image.draft("RGB", (LOOKED_AT_PIXELS, LOOKED_AT_PIXELS))
            pixels = np.asarray(image.convert("RGB"), dtype=np.int16)
    except (RejectedError, *PILLOW_ERRORS):
        return None
    grey = bool((pixels.max(axis=2) - pixels.min(axis=2) <= GREY_LEVELS).all())
    low, high = int(pixels.min()), int(pixels.max())
    near = (pixels[..., 0] <= low + GREY_LEVELS) | (pixels[..., 0] >= high - GREY_LEVELS)
    return _Look(grey and high > low and float(near.mean()) >= TWO_VALUED_SHARE, side)


def _is_side_name(file: RawFile, ignored: frozenset[str], stem: str) -> bool:
    """Tell by folders, extension, or an end of the name that is more than `stem`, whether it is a side file."""
    return bool(_side_words(file) - ignored) or stem != file.stem or _is_text(file)


def _side_words(file: RawFile) -> frozenset[str]:
    """Return the words in the names of a file's folders that name side files."""
    return frozenset(word for part in file.folders for word in _words(part) if SIDE_WORD.fullmatch(word))


def _is_text(file: RawFile) -> bool:
    return is_text_name(file.name)


def _plain_stem(file: RawFile) -> str:
    """Return a file's stem without a last word such as `_mask` or `_segmentation`."""
    matched = re.fullmatch(r"(.+?)[\W_]+([^\W_]+)", file.stem)
    return matched[1] if matched and SIDE_WORD.fullmatch(matched[2].casefold()) else file.stem


def _plain_folders(file: RawFile) -> list[str]:
    """Return a file's folders without the words that name a kind of file; folders of nothing else are left out."""
    kept = (
        "_".join(word for word in _words(part) if not SIDE_WORD.fullmatch(word) and word != "images")
        for part in file.folders
    )
    return [part for part in kept if part]


def _words(text: str) -> list[str]:
    return WORD.findall(text.casefold())


def _name(file: RawFile) -> str:
    return file.name


def _common_suffix(files: Iterable[RawFile]) -> str:
    """Return the extension of most files that are no texts."""
    counts = Counter(file.suffix.lower() for file in files if not _is_text(file))
    return counts.most_common(1)[0][0] if counts else ""


def _words_of_all(files: Iterable[RawFile]) -> frozenset[str]:
    """Return the side words in the folders of every image: where all say `thumbs`, thumbnails are all there is."""
    words = [_side_words(file) for file in files if not _is_text(file)]
    return frozenset.intersection(*words) if words else frozenset()


def _notes(side: Collection[RawFile]) -> tuple[str, ...]:
    if not side:
        return ()
    return (f"{len(side)} files beside images are left aside as masks, thumbnails or texts of their names",)
