"""`fetch ham10000`: bring the published archives into `data/raw/ham10000/`, from a folder or the Harvard Dataverse.

From a folder they are cloned where the file system shares blocks, else copied. Never hard-linked: `dvc add` makes what
it tracks read-only, and an archive changed in place would change in the cache.
"""

from __future__ import annotations

import argparse
import fcntl
import shutil
import zipfile
import zlib
from pathlib import Path

from pipeline.core.errors import UserError
from pipeline.core.progress import track
from pipeline.fetch import dataverse

BATCH = "data/raw/ham10000"
SERVER = "https://dataverse.harvard.edu"
DOI = "10.7910/DVN/DBW86T"

REQUIRED = ("HAM10000_images_part_1.zip", "HAM10000_images_part_2.zip", "HAM10000_metadata")
MASKS = "HAM10000_segmentations_lesion_tschandl.zip"
METADATA = ("HAM10000_metadata", "HAM10000_metadata.csv", "HAM10000_metadata.tab")  # one table under three names

FICLONE = 0x40049409  # ioctl of Linux: let a file share the blocks of another


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "--from", dest="folder", type=Path, metavar="FOLDER", help="take the published archives from here"
    )
    parser.add_argument("--server", default=SERVER, help=f"the Dataverse to download from (default: {SERVER})")


def run(root: Path, options: argparse.Namespace) -> list[Path]:
    """Fill the batch's folder; return it.

    Raises:
        UserError: an archive is missing or damaged, or the server is out of reach.

    """
    batch = root / BATCH
    batch.mkdir(parents=True, exist_ok=True)
    names = bring(options.folder, batch) if options.folder else download(options.server.rstrip("/"), batch)
    for other in METADATA:
        if other not in names:
            (batch / other).unlink(missing_ok=True)
    return [batch]


def bring(source: Path, batch: Path) -> list[str]:
    """Clone or copy the archives from a folder; return their names.

    Raises:
        UserError: one is missing or damaged.

    """
    tables = [name for name in METADATA if (source / name).is_file()]
    lacking = [name for name in REQUIRED[:2] if not (source / name).is_file()] + ([] if tables else [REQUIRED[2]])
    if lacking:
        raise UserError(f"{source} lacks {', '.join(lacking)}: name the folder that holds the files of doi:{DOI}")
    masks = [MASKS] if (source / MASKS).is_file() else []
    names = [*REQUIRED[:2], tables[0], *masks]
    for name in track(names, "check archives", unit="files"):
        check_archive(source / name)
    for name in track(names, "copy ham10000", unit="files"):
        _clone(source / name, batch / name)
    return names


def download(server: str, batch: Path) -> list[str]:
    """Download the archives of the record; return their names.

    Raises:
        UserError: the record lacks one, the server is out of reach, or what came is damaged.

    """
    stems = [Path(name).stem for name in (*REQUIRED, MASKS)]
    files = dataverse.choose(dataverse.list_record(server, DOI), stems)
    lacking = sorted({Path(name).stem for name in REQUIRED} - {Path(file.name).stem for file in files})
    if lacking:
        raise UserError(f"{server} lists no {', '.join(lacking)} in doi:{DOI}: use --from FOLDER")
    for file in files:
        if not dataverse.is_whole(batch / file.name, file):
            dataverse.download(file, batch)
    return [file.name for file in files]


def check_archive(path: Path) -> None:
    """Read a zip through, member by member; other files pass.

    Raises:
        UserError: it is damaged.

    """
    if path.suffix != ".zip":
        return
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise UserError(f"{path} is not a readable zip ({error}): download it again") from error
    if damaged:
        raise UserError(f"{path} is damaged at {damaged}: download it again")


def _clone(source: Path, target: Path) -> None:
    """Copy a file, sharing its blocks where the file system can; it appears whole or not at all."""
    temporary = target.with_name(f".{target.name}.partial")
    with source.open("rb") as old, temporary.open("wb") as new:
        try:
            fcntl.ioctl(new.fileno(), FICLONE, old.fileno())
        except OSError:  # another file system, or one that cannot
            shutil.copyfileobj(old, new, 1 << 20)
    temporary.replace(target)
