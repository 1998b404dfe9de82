"""How long a process has been there, as far as it is of use to know."""

import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from cyclestyle import lifetime
from cyclestyle.lifetime import LONGEST_START, seconds_since_start

PROGRAM = "import time; time.sleep({}); from cyclestyle.lifetime import seconds_since_start as s; print(s())"


def test_it_counts_from_the_start_of_the_process_not_from_the_import() -> None:
    began = time.monotonic()
    words = [sys.executable, "-c", PROGRAM.format(2.0)]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert 1.0 <= float(said) <= time.monotonic() - began + 1.0  # some systems know starts to a second


def fake(monkeypatch: pytest.MonkeyPatch, own: float, parent: float) -> None:
    """This process is `own` seconds old, its parent `parent`."""
    now = time.time()
    there = SimpleNamespace(
        create_time=lambda: now - own, parent=lambda: SimpleNamespace(create_time=lambda: now - parent)
    )
    monkeypatch.setattr(lifetime.psutil, "Process", lambda: there)
    for name in ("ACCELERATE_MIXED_PRECISION", "TORCHELASTIC_RUN_ID", "TORCHELASTIC_RESTART_COUNT"):
        monkeypatch.delenv(name, raising=False)


def test_a_launchers_own_start_counts_too_but_not_for_what_it_starts_again(monkeypatch: pytest.MonkeyPatch) -> None:
    fake(monkeypatch, own=5.0, parent=12.0)
    assert seconds_since_start() == pytest.approx(5.0, abs=0.5)  # any other parent: a shell
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")
    assert seconds_since_start() == pytest.approx(12.0, abs=0.5)
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert seconds_since_start() == pytest.approx(5.0, abs=0.5)


def test_an_old_process_was_not_started_for_this(monkeypatch: pytest.MonkeyPatch) -> None:
    fake(monkeypatch, own=86_400.0, parent=90_000.0)
    assert seconds_since_start() == LONGEST_START
