"""`python -m tests.faults [WORD]`: plant each fault (whose name holds WORD) in a copy, and demand that its tests fail.

It takes minutes, so it is no part of `make test`; `tests/test_faults.py` says whether each fault can still be planted.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from tests.faults.faults import FAULTS, Fault, ids, plant
from tests.project import ROOT, environment


def main(words: list[str]) -> int:
    """Return how many faults are not found."""
    chosen = [fault for fault in FAULTS if all(word in fault.name for word in words)]
    with tempfile.TemporaryDirectory() as folder:
        sound = Path(folder) / "sound"
        copy_project(sound)
        needed = list(dict.fromkeys(name for fault in chosen for name in ids(fault, sound)))
        failing = failed(sound, needed)
        if failing:
            print(f"without a fault these fail already: {', '.join(sorted(failing))}")
            return len(chosen)
        missed = 0
        for number, fault in enumerate(chosen):
            unfound = survivors(fault, sound, Path(folder) / f"faulty_{number}")
            missed += bool(unfound)
            print(f"{'NOT FOUND by ' + ', '.join(unfound) if unfound else 'found'}: {fault.name}", flush=True)
    print(f"{len(chosen) - missed} of {len(chosen)} faults are found")
    return missed


def survivors(fault: Fault, sound: Path, faulty: Path) -> list[str]:
    """List the tests that pass in spite of a fault, and should not."""
    shutil.copytree(sound, faulty, symlinks=True)
    plant(fault, faulty)
    named = ids(fault, faulty)
    failing = failed(faulty, named)
    shutil.rmtree(faulty)
    return [name for name in named if name not in failing]


def failed(root: Path, tests: Iterable[str]) -> set[str]:
    """Run tests; return those that fail, be it by one of their parameters or in what they are set up by.

    Raises:
        RuntimeError: pytest did not come to run them.

    """
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-rfE", "--tb=no", *tests]
    done = subprocess.run(command, cwd=root, env=environment(), capture_output=True, text=True, check=False)
    if done.returncode not in {0, 1}:
        raise RuntimeError(f"pytest ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    lines = [line.split() for line in done.stdout.splitlines()]
    return {words[1].split("[")[0] for words in lines if len(words) > 1 and words[0] in {"FAILED", "ERROR"}}


def copy_project(to: Path) -> None:
    """Copy what git knows or would add, without raw data."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, to / name)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
