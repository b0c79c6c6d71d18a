"""Downloads files of a Dataverse record: resumed after a cut, checked against the record's digests.

A Dataverse converts tables to a format of its own and serves that unless `format=original` is asked for, but states the
digest of what was published (https://guides.dataverse.org, Data Access API; dataverse issue 5321).
"""

from __future__ import annotations

import hashlib
import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from pipeline.core.errors import UserError
from pipeline.core.progress import step

ATTEMPTS = 3
TIMEOUT_S = 60
BLOCK = 1 << 20
MEGABYTE = 1e6
UNSATISFIABLE = 416  # the status where nothing is left of the range asked for


@dataclass(frozen=True, slots=True)
class Published:
    """A file of a record, as it was published."""

    name: str
    url: str
    md5: str
    size: int


def list_record(server: str, doi: str) -> list[Published]:
    """List the files of a record's latest version.

    Raises:
        UserError: the server is out of reach, or answers something else.

    """
    url = f"{server}/api/datasets/:persistentId/?persistentId=doi:{quote(doi)}"
    try:
        with _open(url) as answer:
            files = json.load(answer)["data"]["latestVersion"]["files"]
        return [_published(server, file["dataFile"]) for file in files]
    except (OSError, http.client.HTTPException) as error:
        raise _unreachable(server, error) from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{server} does not describe doi:{doi} as a Dataverse does: check the address") from error


def download(file: Published, folder: Path) -> Path:
    """Download one file into a folder, where it appears whole or not at all; go on with what an earlier run left.

    Raises:
        UserError: the server is out of reach, or the digest is not that of the record.

    """
    path, partial = folder / file.name, folder / f".{file.name}.partial"
    for attempt in range(1, ATTEMPTS + 1):
        try:
            _append_rest(file, partial)
        except (OSError, http.client.HTTPException) as error:
            if attempt == ATTEMPTS:
                raise _unreachable(file.url, error) from error
            continue
        if partial.stat().st_size >= file.size:
            break
    actual = _md5(partial)
    if actual != file.md5:
        size = partial.stat().st_size
        if size >= file.size:
            partial.unlink()  # not worth resuming
        raise UserError(
            f"{file.name} came with {size} bytes and md5 {actual}, not {file.size} and {file.md5}: run again"
        )
    partial.replace(path)
    return path


def is_whole(path: Path, file: Published) -> bool:
    """Whether a file is there already, with the size and digest of the record."""
    return path.is_file() and path.stat().st_size == file.size and _md5(path) == file.md5


def choose(files: Sequence[Published], stems: Sequence[str]) -> list[Published]:
    """Pick the files with the given names, extensions aside, in that order; leave out those that are not there."""
    by_stem = {PurePosixPath(file.name).stem: file for file in files}
    return [by_stem[stem] for stem in stems if stem in by_stem]


def _published(server: str, entry: dict[str, Any]) -> Published:
    url = f"{server}/api/access/datafile/{int(entry['id'])}"
    checksum = entry.get("checksum", {})
    md5 = entry.get("md5") or checksum["value"]
    if "originalFileFormat" not in entry:
        return Published(_safe(entry["filename"]), url, md5, int(entry["filesize"]))
    name = entry.get("originalFileName") or PurePosixPath(entry["filename"]).with_suffix(".csv").name
    return Published(_safe(name), f"{url}?format=original", md5, int(entry["originalFileSize"]))


def _safe(name: str) -> str:
    """Return a file name without folders: what a server sends is not trusted with a path."""
    return PurePosixPath(name).name


def _append_rest(file: Published, partial: Path) -> None:
    """Append to `partial` what is missing; start over where the server ignores the range."""
    have = partial.stat().st_size if partial.exists() else 0
    if have >= file.size:
        return
    try:
        answer = _open(file.url, first=have)
    except urllib.error.HTTPError as error:
        if error.code == UNSATISFIABLE:
            partial.unlink(missing_ok=True)
        raise
    with answer:
        resumed = answer.status == http.HTTPStatus.PARTIAL_CONTENT
        first = have / MEGABYTE if resumed else 0.0
        with (
            partial.open("ab" if resumed else "wb") as target,
            step(file.name, file.size / MEGABYTE, unit="MB", first=first) as followed,
        ):
            while block := answer.read(BLOCK):
                target.write(block)
                followed.done += len(block) / MEGABYTE


def _open(url: str, *, first: int = 0) -> http.client.HTTPResponse:
    """Ask for a file from its byte `first` on."""
    if not url.startswith(("https://", "http://")):
        raise UserError(f"{url} is no web address: name a server such as https://dataverse.harvard.edu")
    headers = {"User-Agent": "skin-curation", **({"Range": f"bytes={first}-"} if first else {})}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - the scheme is checked
    answer: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=TIMEOUT_S)  # noqa: S310 - likewise
    return answer


def _unreachable(where: str, error: Exception) -> UserError:
    reason = getattr(error, "reason", None) or str(error) or type(error).__name__
    return UserError(
        f"{where} cannot be reached ({reason}): connect to the network and run again, or download the files elsewhere "
        "and run `python -m pipeline fetch ham10000 --from FOLDER`"
    )


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()  # what the record states; not a matter of security
