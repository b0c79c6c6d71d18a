from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core.arrays import SharedArrays


def test_parts_come_back_as_one_array_also_after_a_pickle(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    parts: list[dict[str, np.ndarray[Any, Any]]] = [
        {"x": rng.random((n, 3), dtype=np.float32), "y": np.arange(n)} for n in (2, 0, 5)
    ]
    written = SharedArrays.write(tmp_path, iter(parts))
    travelled = pickle.loads(pickle.dumps(written))  # noqa: S301 - our own bytes
    for name in ("x", "y"):
        assert np.array_equal(travelled[name], np.concatenate([part[name] for part in parts]))


def test_arrays_without_a_row_keep_type_and_width(tmp_path: Path) -> None:
    empty = SharedArrays.write(tmp_path, [{"x": np.zeros((0, 4), np.uint8)}])["x"]
    assert empty.shape == (0, 4)
    assert empty.dtype == np.uint8
