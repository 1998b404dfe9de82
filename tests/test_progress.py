"""A bar in a terminal, plain lines elsewhere, silence where another process speaks."""

import io
import multiprocessing
import subprocess
import sys
from types import SimpleNamespace

import pytest

from cyclestyle import progress
from cyclestyle.progress import SECONDS_BETWEEN_LINES, Progress, clock


class Watch:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    watch = Watch()
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=watch))
    return watch


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.4, "0 s"),
        (42, "42 s"),
        (59.4, "59 s"),
        (59.6, "1:00 min"),
        (60, "1:00 min"),
        (187, "3:07 min"),
        (3599, "59:59 min"),
        (3599.6, "1:00 h"),
        (3600, "1:00 h"),
        (5 * 3600 + 2 * 60 + 59, "5:02 h"),
        (100 * 3600, "100:00 h"),
    ],
)
def test_clock_reads_as_people_say_it(seconds: float, text: str) -> None:
    assert clock(seconds) == text


def test_a_line_tells_count_rate_time_taken_and_time_left(capsys: pytest.CaptureFixture[str], watch: Watch) -> None:
    with Progress("painting", 2000, unit="pictures") as job:
        watch.now += 20
        job.advance(500)
        # 500 in 20 s are 25/s; the other 1,500 take 60 s.
        assert capsys.readouterr().err == "painting: 500/2,000 pictures (25.00/s, 20 s, 1:00 min left)\n"


def test_lines_are_ten_seconds_apart(capsys: pytest.CaptureFixture[str], watch: Watch) -> None:
    assert SECONDS_BETWEEN_LINES == 10
    job = Progress("painting", 1000, unit="pictures")
    for _ in range(100):
        watch.now += 1
        job.advance()
    assert len(capsys.readouterr().err.splitlines()) == 10


def test_nothing_is_printed_before_ten_seconds_have_passed(capsys: pytest.CaptureFixture[str], watch: Watch) -> None:
    job = Progress("painting", 10, unit="pictures")
    watch.now += 9.9
    job.advance()
    assert capsys.readouterr().err == ""
    watch.now += 0.2
    job.advance()
    assert capsys.readouterr().err.startswith("painting: 2/10 ")


def test_what_was_done_before_counts_as_done_but_not_for_the_rate(
    capsys: pytest.CaptureFixture[str], watch: Watch
) -> None:
    job = Progress("training", 1000, unit="steps", done=900)
    watch.now += 10
    job.advance(50)
    # 50 steps in 10 s, not 950; so the other 50 take 10 s.
    assert capsys.readouterr().err == "training: 950/1,000 steps (5.00/s, 10 s, 10 s left)\n"


def test_the_last_line_comes_with_the_end_and_has_no_time_left(
    capsys: pytest.CaptureFixture[str], watch: Watch
) -> None:
    with Progress("painting", 4, unit="pictures") as job:
        watch.now += 2
        job.advance(4)
        assert capsys.readouterr().err == ""
    assert capsys.readouterr().err == "painting: 4/4 pictures (2.00/s, 2 s)\n"


def test_no_last_line_where_nothing_was_done(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("painting", 4, unit="pictures", done=4):
        pass
    assert capsys.readouterr().err == ""


def test_a_note_stays_until_the_next_one(capsys: pytest.CaptureFixture[str], watch: Watch) -> None:
    job = Progress("training", 10, unit="steps")
    for note, shown in (("loss 2", "  loss 2"), (None, "  loss 2"), ("loss 1", "  loss 1"), ("", "")):
        watch.now += 10
        job.advance(1, note)
        assert capsys.readouterr().err.endswith(f"left){shown}\n")


def test_no_time_passed_is_no_division_by_zero(capsys: pytest.CaptureFixture[str], watch: Watch) -> None:
    with Progress("painting", 4, unit="pictures") as job:
        job.advance(2)
    assert capsys.readouterr().err == "painting: 2/4 pictures (0.00/s, 0 s)\n"


def test_say_prints_a_line_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    Progress("painting", 4, unit="pictures").say("passed over: a.jpg")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "passed over: a.jpg\n")


@pytest.mark.parametrize("terminal", [False, True])
def test_a_process_that_is_not_to_show_counts_silently(
    monkeypatch: pytest.MonkeyPatch, watch: Watch, terminal: bool
) -> None:
    stream = Terminal() if terminal else io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    with Progress("painting", 100, unit="pictures", show=False) as job:
        for _ in range(5):
            watch.now += 60
            job.advance(2, "a note")
        job.say("not to be seen")
    assert job.done == 10
    assert stream.getvalue() == ""


def test_a_terminal_gets_a_bar_with_the_note_and_no_plain_lines(monkeypatch: pytest.MonkeyPatch, watch: Watch) -> None:
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    with Progress("painting", 4, unit="pictures", done=1) as job:
        watch.now += 60
        job.advance(1, "loss 2")
        job.say("passed over: a.jpg")
        job.advance(2)
    shown = stream.getvalue()
    assert "\r" in shown
    assert "1/4" in shown
    assert "4/4" in shown
    assert "loss 2" in shown
    assert "passed over: a.jpg\n" in shown
    assert "pictures (" not in shown


@pytest.mark.skipif("forkserver" not in multiprocessing.get_all_start_methods(), reason="the system has none")
def test_no_process_is_started_to_say_something() -> None:
    """tqdm's own lock has one, where processes are started by a fork server: on Linux from Python 3.14 on."""
    program = (
        "import multiprocessing, psutil, sys\n"
        "multiprocessing.set_start_method('forkserver')\n"
        "from cyclestyle.progress import Progress\n"
        "Progress('painting', 2, unit='pictures').say('a line')\n"
        "sys.exit(len(psutil.Process().children()))\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
