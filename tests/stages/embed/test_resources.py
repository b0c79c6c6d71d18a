from __future__ import annotations

import os

import pytest
import torch

from pipeline.core.engine import Resources
from pipeline.core.params import Device
from pipeline.stages.embed.encoding import network_resources, settle


@pytest.mark.parametrize(
    ("device", "has_cuda", "settled"),
    [("auto", True, "cuda"), ("auto", False, "cpu"), ("cpu", True, "cpu"), ("cuda", False, "cuda")],
)
def test_auto_is_what_the_stage_s_machine_has(
    monkeypatch: pytest.MonkeyPatch, *, device: Device, has_cuda: bool, settled: Device
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_cuda)
    assert settle(device) == settled


def test_a_network_takes_a_machine_or_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    assert network_resources("cpu", "local") == Resources(cores=16)
    assert network_resources("cuda", "local") == Resources(cores=4, gpus=1)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    assert network_resources("cuda", "local") == Resources(cores=2, gpus=1)
