"""Where a network computes, set up so that one machine makes the same bytes of the same inputs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from pipeline.core.errors import UserError
from pipeline.core.params import Device


def choose(device: Device) -> torch.device:
    """Choose the device: `auto` is CUDA where there is one.

    Raises:
        UserError: `cuda` is asked for and there is none.

    """
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("device is cuda, but no CUDA device is available: set it to auto or cpu in params.yaml")
    return torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")


def prepare(device: Device, *, threads: int | None = None) -> torch.device:
    """Choose the device and make this process's results repeatable on one machine.

    Args:
        device: `auto` is CUDA where there is one.
        threads: that share one operation, since the order of a sum follows their number; None: the machine's cores.

    Raises:
        UserError: `cuda` is asked for and there is none.

    """
    chosen = choose(device)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS repeats its sums only with this
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # costs time, shows only bugs
    torch.set_num_threads(threads or os.cpu_count() or 1)
    return chosen


@contextmanager
def one_thread() -> Iterator[None]:
    """Let one thread do what is inside: many small steps, whose threads would wait for each other and for others."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
