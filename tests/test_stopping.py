"""Signals that would kill are noted and answered where it is safe; impatience, nohup and lost launchers are heeded."""

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cyclestyle import stopping
from cyclestyle.stopping import ASKING, IMPATIENT_AFTER, StopRequest, ignore_signals

NUMBERS = [getattr(signal, name) for name in ASKING]


@pytest.fixture(autouse=True)
def handlers() -> Iterator[dict[int, Any]]:
    """What handles the signals outside; put back afterwards, whatever happens."""
    before = {number: signal.getsignal(number) for number in NUMBERS}
    for number in NUMBERS[1:]:  # what a test failed to catch would end the tests
        signal.signal(number, lambda *_: pytest.fail("a signal came through"))
    yield {number: signal.getsignal(number) for number in NUMBERS}
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What time it is: the one entry."""
    now = [100.0]
    monkeypatch.setattr(stopping.time, "monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize("number", NUMBERS, ids=ASKING)
def test_a_signal_is_noted_by_its_name_and_handlers_come_back(number: int, handlers: dict[int, Any]) -> None:
    with StopRequest() as stop:
        assert stop.asked is None
        signal.raise_signal(number)
        assert stop.asked == signal.Signals(number).name
    assert {number: signal.getsignal(number) for number in NUMBERS} == handlers


def test_handlers_come_back_after_an_error_too(handlers: dict[int, Any]) -> None:
    with pytest.raises(ValueError, match="wrong"), StopRequest():
        raise ValueError("wrong")
    assert {number: signal.getsignal(number) for number in NUMBERS} == handlers


def test_a_handler_that_is_not_pythons_is_left_alone() -> None:
    import faulthandler
    import tempfile

    with tempfile.TemporaryFile() as trace:
        faulthandler.register(signal.SIGUSR1, file=trace)
        try:
            with StopRequest() as stop:
                signal.raise_signal(signal.SIGTERM)
                assert stop.asked == "SIGTERM"
        finally:
            faulthandler.unregister(signal.SIGUSR1)


def test_outside_the_main_thread_it_notes_no_signals_and_harms_nothing(handlers: dict[int, Any]) -> None:
    asked: list[str | None] = []

    def work() -> None:
        with StopRequest() as stop:
            asked.append(stop.asked)
            stop.signal = "SIGTERM"  # somebody may ask in this way
            asked.append(stop.asked)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert asked == [None, "SIGTERM"]
    assert {number: signal.getsignal(number) for number in NUMBERS} == handlers


def test_the_first_signal_is_the_one_that_counts() -> None:
    with StopRequest() as stop:
        signal.raise_signal(signal.SIGUSR1)
        signal.raise_signal(signal.SIGTERM)
        assert stop.asked == "SIGUSR1"


def test_what_is_ignored_stays_ignored() -> None:
    """As nohup starts its command."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with StopRequest() as stop:
        signal.raise_signal(signal.SIGHUP)
        assert stop.asked is None
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        signal.raise_signal(signal.SIGTERM)
        assert stop.asked == "SIGTERM"
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_two_interrupts_at_once_are_one_and_another_after_a_while_means_now(clock: list[float]) -> None:
    with StopRequest() as stop:
        signal.raise_signal(signal.SIGINT)
        clock[0] += IMPATIENT_AFTER
        signal.raise_signal(signal.SIGINT)  # the launcher has passed it on
        assert stop.asked == "SIGINT"
        clock[0] += 0.01
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_an_interrupt_after_another_signal_means_now_too_but_other_signals_never_do(clock: list[float]) -> None:
    with StopRequest() as stop:
        for _ in range(3):
            signal.raise_signal(signal.SIGTERM)
            clock[0] += 60
        assert stop.asked == "SIGTERM"
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def parent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: bytes | None) -> None:
    """Make the parent process one that was started with these words; None: a system that does not tell."""
    (tmp_path / "cmdline").write_bytes(words or b"")
    place = tmp_path / ("cmdline" if words is not None else "nowhere")
    monkeypatch.setattr(stopping, "Path", lambda name: place if name == f"/proc/{os.getppid()}/cmdline" else Path(name))


LAUNCHERS = [
    b"/usr/bin/python\0/usr/bin/accelerate\0launch\0-m\0cyclestyle\0train",
    b"python\0-m\0accelerate.commands.launch\0x.py",
    b"python\0/usr/bin/torchrun\0x.py",
    b"python\0-m\0torch.distributed.run\0x.py",
]


@pytest.mark.parametrize("words", LAUNCHERS)
def test_a_launcher_that_has_gone_asks_to_stop(words: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parent(monkeypatch, tmp_path, words)
    with StopRequest() as stop:
        assert stop.asked is None
        monkeypatch.setattr(stopping.os, "getppid", lambda: 1)
        assert stop.asked == "the launcher is gone"
        signal.raise_signal(signal.SIGTERM)
        assert stop.asked == "SIGTERM"


@pytest.mark.parametrize("words", [b"bash", b"/bin/sh\0run.sh", b"sshd", b""])
def test_the_end_of_any_other_parent_means_nothing(
    words: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent(monkeypatch, tmp_path, words)
    with StopRequest() as stop:
        monkeypatch.setattr(stopping.os, "getppid", lambda: 1)
        assert stop.asked is None


@pytest.mark.parametrize("marked", [True, False])
def test_where_the_system_tells_nothing_of_the_parent_accelerates_own_mark_has_to_do(
    marked: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent(monkeypatch, tmp_path, None)
    monkeypatch.delenv("ACCELERATE_MIXED_PRECISION", raising=False)
    if marked:
        monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")
    with StopRequest() as stop:
        monkeypatch.setattr(stopping.os, "getppid", lambda: 1)
        assert stop.asked == ("the launcher is gone" if marked else None)


def test_processes_that_help_leave_every_signal_to_the_one_that_they_help() -> None:
    ignore_signals()
    for number in NUMBERS:
        signal.raise_signal(number)  # would end the tests
        assert signal.getsignal(number) is signal.SIG_IGN
