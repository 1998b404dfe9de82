"""Commands that are run by another program (cyclestyle.competing.children)."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cyclestyle.competing.children import Ended, run
from cyclestyle.stopping import Stopped, StopRequest

LONG = 60.0
"""Seconds that nothing here takes."""


def program(text: str) -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(text)]


def waiting(place: Path, on_term: str = "sys.exit(75)") -> list[str]:
    """A program that says that it is there, and waits."""
    return program(f"""
        import signal, sys, time, pathlib, os
        signal.signal(signal.SIGTERM, lambda *_: {on_term})
        pathlib.Path({str(place)!r}).write_text(str(os.getpid()))
        time.sleep(600)
    """)


def there(place: Path) -> bool:
    return place.exists() and bool(place.read_text())


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def until(what: Callable[[], bool]) -> bool:
    began = time.monotonic()
    while not what() and time.monotonic() - began < LONG:
        time.sleep(0.05)
    return what()


@pytest.mark.parametrize("code", [0, 2, 75])
def test_an_exit_code_is_told(code: int) -> None:
    ended = run(program(f"raise SystemExit({code})"), os.environ, StopRequest())
    assert ended == Ended(code, cut=False)
    assert ended.told() == f"ended with exit code {code}"


def test_it_gets_the_environment_that_is_given(tmp_path: Path) -> None:
    words = program(f"import os; open({str(tmp_path / 'said')!r}, 'w').write(os.environ['A_WORD'])")
    run(words, os.environ | {"A_WORD": "heard"}, StopRequest())
    assert (tmp_path / "said").read_text() == "heard"


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_death_by_signal_is_told_by_its_name() -> None:
    ended = run(program("import os; os.kill(os.getpid(), 9)"), os.environ, StopRequest())
    assert ended == Ended(-9, cut=False)
    assert ended.told() == "was killed (SIGKILL, as happens where memory is full)"
    assert Ended(-11, cut=False).told() == "was killed (SIGSEGV)"


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_one_whose_time_is_over_is_asked_to_end(tmp_path: Path) -> None:
    place, looks = tmp_path / "pid", list[float]()
    ended = run(
        waiting(place), os.environ, StopRequest(), over=lambda: there(place), meanwhile=lambda: looks.append(0.0)
    )
    assert ended == Ended(75, cut=True)
    assert looks


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_one_that_does_not_end_is_killed_with_what_it_started(tmp_path: Path) -> None:
    place, inner = tmp_path / "pid", tmp_path / "inner"
    words = program(f"""
        import subprocess, signal, sys, time, pathlib, os
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        pathlib.Path({str(inner)!r}).write_text(str(child.pid))
        pathlib.Path({str(place)!r}).write_text(str(os.getpid()))
        time.sleep(600)
    """)
    ended = run(words, os.environ, StopRequest(), over=lambda: there(place), patience=0.5)
    assert ended == Ended(-9, cut=True)
    assert until(lambda: gone(int(inner.read_text())))


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_being_asked_to_stop_asks_the_command_and_waits_for_it(tmp_path: Path) -> None:
    place, saved = tmp_path / "pid", tmp_path / "saved"
    on_term = f"(time.sleep(0.5), pathlib.Path({str(saved)!r}).write_text('all'), sys.exit(75))"

    def ask() -> None:
        if there(place):
            os.kill(os.getpid(), signal.SIGTERM)

    with StopRequest() as stop:
        with pytest.raises(Stopped, match=r"stopped \(SIGTERM\); the same command goes on"):
            run(waiting(place, on_term), os.environ, stop, meanwhile=ask)
        assert saved.read_text() == "all"
        with pytest.raises(Stopped):  # and nothing more is begun
            run(program(f"open({str(tmp_path / 'begun')!r}, 'w')"), os.environ, stop)
    assert not (tmp_path / "begun").exists()


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_an_error_of_ours_leaves_no_command_behind(tmp_path: Path) -> None:
    place = tmp_path / "pid"

    def fail() -> None:
        if there(place):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(waiting(place), os.environ, StopRequest(), meanwhile=fail)
    assert gone(int(place.read_text()))


@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells children that their parent is gone")
def test_a_command_is_asked_to_end_when_the_program_that_runs_it_is_killed(tmp_path: Path) -> None:
    place, saved = tmp_path / "pid", tmp_path / "saved"
    on_term = f"(pathlib.Path({str(saved)!r}).write_text('all'), sys.exit(75))"
    words = program(f"""
        import os
        from cyclestyle.competing.children import run
        from cyclestyle.stopping import StopRequest
        run({waiting(place, on_term)!r}, os.environ, StopRequest())
    """)
    parent = subprocess.Popen(words)
    assert until(lambda: there(place))
    parent.kill()
    parent.wait()
    assert until(saved.exists)
    assert until(lambda: gone(int(place.read_text())))
