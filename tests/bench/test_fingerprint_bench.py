from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from bench.fingerprint.__main__ import OURS, TOOLS, Tool, lay_out, main, seconds, table
from pipeline.core.errors import UserError
from tests.drawn import jpeg, lesion


def picture(seed: int) -> bytes:
    return jpeg(lesion(seed, width=40, height=30))


def archive(path: Path, names: list[str]) -> None:
    with zipfile.ZipFile(path, "w") as pictures:
        for name in names:
            pictures.writestr(name, picture(int(name[:-4])) if name.endswith(".jpg") else b"text")


def test_a_sample_lies_evenly_among_the_pictures_of_the_archives_that_are_named(tmp_path: Path) -> None:
    archive(tmp_path / "part_1.zip", [f"{i}.jpg" for i in range(5)] + ["read.me"])
    archive(tmp_path / "part_2.zip", [f"{i}.jpg" for i in range(5, 10)])
    archive(tmp_path / "masks.zip", ["77.jpg"])
    paths = lay_out(tmp_path, tmp_path / "out/sample", archives="part_*.zip", count=5)
    assert [path.name for path in paths] == [f"{i:06d}.jpg" for i in range(5)]
    assert [path.read_bytes() for path in paths] == [picture(seed) for seed in range(0, 10, 2)]


def test_folders_of_pictures_will_do_and_nothing_is_drawn_from_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "source/Melanoma").mkdir(parents=True)
    (tmp_path / "source/Melanoma/a.jpg").write_bytes(picture(0))
    assert len(lay_out(tmp_path / "source", tmp_path / "sample", archives="*.zip", count=5)) == 1
    with pytest.raises(UserError, match="holds no images"):
        lay_out(tmp_path / "nothing", tmp_path / "other", archives="*.zip", count=5)


def test_tools_are_measured_and_one_that_fails_says_why(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(picture(0))
    spent = seconds({"ours": Tool("ours", ""), "broken": Tool("no_such_tool", "")}, [path, path])
    assert isinstance(spent["ours"], float)
    assert spent["ours"] > 0
    assert spent["broken"] == "fails: KeyError: 'no_such_tool'"


def test_the_table_has_a_row_a_tool() -> None:
    rates = dict.fromkeys(TOOLS, 100.0)
    found = {"images": 7, "images_per_second": rates, "times_faster": dict.fromkeys(TOOLS, 1.0), "not_measured": {}}
    lines = table({"ham10000": found}).splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == [f"| {title}" for title in TOOLS]
    assert lines[2].startswith(f"| {OURS} |")


def test_without_a_source_there_is_nothing_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 1
    assert "--ham10000 FOLDER" in capsys.readouterr().err
