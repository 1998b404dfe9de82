"""The trials of reliability hold, in their small versions; `--full` is for results/."""

import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "scripts" / "reliability"
NAMES = [
    "damage",
    "kills",
    "each_write",
    "disk",
    "resume",
    "pictures",
    "signals",
    "not_finite",
    "hostile",
    "soak",
    "machines",
]
LONGEST = 240.0
"""Seconds; each takes some ten on an idle core."""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="forks, signals and /proc")
@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_holds(name: str, tmp_path: Path) -> None:
    words = [sys.executable, str(FOLDER / f"{name}.py"), "--in", str(tmp_path)]
    run = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=LONGEST, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "| what | demanded | found | holds |" in run.stdout
