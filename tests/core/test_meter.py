from __future__ import annotations

import subprocess
import sys
import time

from pipeline.core.meter import measure

WORKER = "x = bytearray(200 << 20); import time; time.sleep(1)"


def test_memory_of_a_child_is_counted() -> None:
    with measure() as without:
        time.sleep(0.05)
    with measure() as cost:
        subprocess.run([sys.executable, "-c", WORKER], check=True)
    assert cost.peak_mib > without.peak_mib + 190
    assert cost.seconds > 1
