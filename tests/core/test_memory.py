from __future__ import annotations

import subprocess
import sys

import pytest

PAGES_OF_ONE_BLOCK = 256  # a megabyte
SCRIPT = """
import resource
import numpy as np
from pipeline.core.memory import keep_freed
{first}
def blocks():
    return [np.ones(1 << 20, np.uint8) for _ in range(3)]
blocks()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(100):
    blocks()
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) // 100)
"""


def faults(first: str) -> int:
    """Count pages fetched from the system per round in which three blocks are taken and freed."""
    script = SCRIPT.format(first=first)
    return int(subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="the allocator that is told to keep memory is glibc's")
def test_freed_memory_is_kept() -> None:
    assert faults("") > PAGES_OF_ONE_BLOCK
    assert faults("keep_freed()") < PAGES_OF_ONE_BLOCK / 10
