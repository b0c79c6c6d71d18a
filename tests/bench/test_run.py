from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bench.command import ROOT
from bench.duplicates.__main__ import main, write
from bench.duplicates.collection import File
from bench.duplicates.originals import SOURCES, distinct, read_images, read_verdicts
from bench.duplicates.profile import read_profile
from pipeline.core.errors import UserError
from tests.drawn import jpeg, lesion, png

LESIONS = 84  # a third of them is for tuning

pytestmark = pytest.mark.usefixtures("one_core")


@pytest.fixture
def scrape(tmp_path: Path) -> Path:
    for i in range(LESIONS):
        folder = tmp_path / "scrape" / f"class {i % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{i}.jpg").write_bytes(jpeg(lesion(i)))
    return tmp_path / "scrape"


@pytest.mark.pipeline
def test_a_run_ranks_the_planted_copies_and_a_second_one_repeats_it(
    scrape: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--dermnet", str(scrape), "--originals", "22", "--designs", "aug10", "--no-embeddings"]
    arguments += [
        "--finders",
        "ours",
        "pHash-256, 8 orientations",
        "cosine of the vectors",
        "--cache",
        str(tmp_path / "cache"),
    ]
    written = [tmp_path / name for name in ("first.json", "second.json")]
    for path in written:
        assert main([*arguments, "--write", str(path)]) == 0
    assert written[0].read_bytes() == written[1].read_bytes()
    setting = json.loads(written[0].read_text("utf-8"))["settings"]["dermnet aug10"]
    assert (setting["originals"], setting["copies"]) == (22, 3)
    ours, hashes = (setting["finders"][name] for name in ("ours", "pHash-256, 8 orientations"))
    assert ours["average_precision"] >= hashes["average_precision"]
    assert setting["operating_point"]["proven"]["false_pairs"] == 0
    assert setting["unavailable"] == {"cosine of the vectors": "without --weights there are no vectors"}
    at = setting["operating_point"]["calibration"]["copy_min_correlation"]
    assert [step["right"] for step in at] == sorted((step["right"] for step in at), reverse=True)
    assert sum(step["own"] for step in at) == 1
    printed = capsys.readouterr().out
    assert "| ours |" in printed
    assert "| fastdup |" in printed


def test_originals_are_drawn_by_seed(scrape: Path) -> None:
    draws = [read_images("dermnet", scrape, part="report", count=10, seed=seed) for seed in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]
    assert len({image.label for image in draws[0]}) == 10


def test_real_copies_among_the_originals_are_taken_out_and_people_have_the_last_word(tmp_path: Path) -> None:
    pool = [File(str(i), jpeg(lesion(i))) for i in range(6)]
    pool += [File("same pixels", png(np.array(lesion(7)))), File("same pixels again", png(np.array(lesion(7))))]
    pool += [File("again 0", jpeg(lesion(0), 40)), File("again 1", jpeg(lesion(1), 40))]
    pool += [File("same pixels, small", jpeg(lesion(7), 60))]  # bound to one of the two, and so to both
    (tmp_path / "judged.csv").write_text("a,b,verdict\nbatch:1,batch:again 1,different\n4,5,unsure\n", "utf-8")
    verdicts = read_verdicts([tmp_path / "judged.csv"])
    images, pairs = distinct(
        pool,
        same=SOURCES["ham10000"].same,
        verdicts=verdicts,
        profile=read_profile(ROOT / "profiles/ham10000.yaml"),
        cache=tmp_path / "cache",
        seed=0,
    )
    kept = [image.label for image in images]
    assert kept == ["0", "1", "2", "3", "4", "same pixels", "again 1"]
    assert pairs["same"].sum() == 3
    assert (pairs["verdict"] == "different").sum() == 1


def test_verdicts_of_another_wording_are_refused(tmp_path: Path) -> None:
    (tmp_path / "judged.csv").write_text("a,b,verdict\n1,2,maybe\n", "utf-8")
    with pytest.raises(UserError, match="neighbours, unsure, different"):
        read_verdicts([tmp_path / "judged.csv"])


def test_what_is_not_said_is_asked_for(scrape: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--no-embeddings"]) == 1
    assert "--dermnet FOLDER" in capsys.readouterr().err
    assert main(["--dermnet", str(scrape)]) == 1
    assert "--no-embeddings" in capsys.readouterr().err
    assert main(["--dermnet", str(scrape), "--no-embeddings", "--collections", "ham10000"]) == 1
    assert "--ham10000 FOLDER" in capsys.readouterr().err


def test_settings_are_written_beside_those_of_a_run_that_was_told_the_same(tmp_path: Path) -> None:
    path = tmp_path / "results/duplicates.json"
    about = {"kinds": "all", "set_aside": ("slide",), "seed": 7}
    write(path, about, {"small kinds": 1, "large kinds": 2})
    write(path, about, {"large kinds": 3})
    assert json.loads(path.read_text("utf-8"))["settings"] == {"small kinds": 1, "large kinds": 3}
    write(path, about | {"seed": 8}, {"large kinds": 4})
    assert json.loads(path.read_text("utf-8"))["settings"] == {"large kinds": 4}
