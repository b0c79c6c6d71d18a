"""Where a network computes, decided once for all workers: vectors of one table come from one kind of device."""

from __future__ import annotations

from typing import Literal

import torch

from pipeline.core.engine import Engine, Resources, machine_cores

Device = Literal["auto", "cpu", "cuda"]

FEEDING_CORES = 4  # decode and preprocess for a GPU


def settle(device: Device) -> Device:
    """Say what `auto` means: CUDA if the machine that runs the stage has it. The others are left as they are."""
    return ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device


def network_resources(device: Device, engine: Engine) -> Resources:
    """Say what a task with a network takes: a GPU and cores that feed it, or all cores of a machine, which it can use.

    Args:
        device: settled.
        engine: whose machines are meant.

    Raises:
        UserError: the engine's cluster does not answer.

    """
    cores = machine_cores(engine)
    return Resources(min(FEEDING_CORES, cores), gpus=1) if device == "cuda" else Resources(cores)
