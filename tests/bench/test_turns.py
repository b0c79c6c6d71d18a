"""Throughput benches run, and say what each way reaches; how fast they are is no test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench import embed, train, turns
from tests import params
from tests.drawn import ingest, jpeg, lesion
from tests.networks import save_timm

VIT = {"library": "timm", "model": "test_vit", "weights": "vit.safetensors", "source": "package"}


@pytest.fixture
def drawn(tmp_path: Path) -> Path:
    """Ingest eight images, and write weights and params of a tiny encoder."""
    ingest(tmp_path, {f"{i:02}.jpg": jpeg(lesion(i)) for i in range(8)})
    save_timm(tmp_path / "vit.safetensors", seed=0)
    params.write(tmp_path, encoders=["clip"], embed__encoders__clip={**VIT, "side_pixels": None, "layers": [0]})
    return tmp_path


def options(root: Path) -> list[str]:
    return ["--project", str(root), "--batch", "demo", "--turns", "1", "--write", str(root / "found.json")]


def read(root: Path) -> Any:
    return json.loads((root / "found.json").read_text())


def test_training_is_measured_three_ways(drawn: Path) -> None:
    sizes = ["--backbones", "test_efficientnet", "--images", "8", "--side", "32", "--batch-size", "4"]
    assert train.main([*options(drawn), *sizes]) == 0
    of = read(drawn)["train"]["backbones"]["test_efficientnet"]
    assert set(of["images_per_second"]) == {train.OURS, train.SYNTHETIC, train.PEER}
    assert min(of["images_per_second"].values()) > 0


def test_embedding_is_measured_three_ways(drawn: Path) -> None:
    files = ["--profile", str(drawn / "params.yaml"), "--weights", str(drawn / "vit.safetensors"), "--images", "8"]
    assert embed.main([*options(drawn), *files]) == 0
    of = read(drawn)["embed"]["test_vit"]
    assert set(of["images_per_second"]) == {embed.OURS, embed.SYNTHETIC, embed.PEER}
    assert min(of["images_per_second"].values()) > 0


def test_the_best_turn_counts_and_the_first_is_for_warming_up(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: clock[0])

    def way(*seconds: float) -> turns.Way:
        waits = iter(seconds)

        def work() -> int:
            clock[0] += next(waits)
            return 10

        return work

    found = turns.images_per_second({"ours": way(0.01, 2.0, 1.0), "peer": way(0.0, 4.0, 5.0)}, turns=2)
    assert found == pytest.approx({"ours": 10.0, "peer": 2.5})
    assert turns.report(found, "ours")["ours"] == {"by peer": 4.0}
