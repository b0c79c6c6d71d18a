"""imagededup's search among 64-bit hashes, upright ones only: `imagededup.py FOLDER RADIUS`."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from imagededup.methods import PHash


def main(folder: str, radius: str) -> None:
    """Search as it does by default, and write the pairs found."""
    bits = np.unpackbits(np.load(Path(folder) / "phash.npy")[:, :32], axis=1).reshape(-1, 16, 16)
    hashes = np.packbits(bits[:, :8, :8].reshape(len(bits), -1), axis=1)  # the lowest of the same frequencies
    encodings = {f"{i:09d}": row.tobytes().hex() for i, row in enumerate(hashes)}
    print("ready", flush=True)
    sys.stdin.readline()
    listed = PHash(verbose=False).find_duplicates(encoding_map=encodings, max_distance_threshold=int(radius))
    print("done", flush=True)
    pairs = {(min(a, b), max(a, b)) for a, others in listed.items() for b in others}
    np.save(
        Path(folder) / "found.npy", np.array(sorted((int(a), int(b)) for a, b in pairs), dtype=np.int64).reshape(-1, 2)
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
