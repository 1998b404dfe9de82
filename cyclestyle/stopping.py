"""Being asked to stop: Ctrl-C, a cluster that takes the machine back, a launcher that has gone."""

import ctypes
import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

EXIT_CODE = 75
"""Of a run that was asked to stop and has saved all it learnt (EX_TEMPFAIL: the same again goes on)."""

ASKING = ("SIGINT", "SIGTERM", "SIGUSR1", "SIGHUP")
PR_SET_PDEATHSIG = 1
"""Of Linux' prctl."""
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None  # now: between fork and exec it may not be loaded
IMPATIENT_AFTER = 2.0
"""Seconds after which another Ctrl-C means now. Launchers pass the first one on, so it may come two times at once."""


def end_with_parent(how: signal.Signals) -> None:
    """Let Linux send this process a signal when the one that started it is gone; elsewhere nothing is done."""
    if _LIBC is not None:
        _LIBC.prctl(PR_SET_PDEATHSIG, int(how), 0, 0, 0)


class Stopped(Exception):  # noqa: N818 - not an error
    """A run ended early because it was asked to. Its text tells what was saved and how to go on."""


class StopRequest:
    """While it is entered, signals that would kill are only noted; `asked` is looked at where stopping is safe."""

    def __init__(self) -> None:
        self.signal: str | None = None
        self.since = 0.0
        self.before: dict[int, Any] = {}
        self.launcher = os.getppid() if _has_launcher() else None

    @property
    def asked(self) -> str | None:
        """Who asked, in a word or two; None if nobody did."""
        if self.signal is None and self.launcher is not None and os.getppid() != self.launcher:
            # `accelerate launch` with one process does not pass SIGTERM on: it dies and leaves its child running.
            return "the launcher is gone"
        return self.signal

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is not threading.main_thread():  # only that one may, and only it is asked
            return self
        for name in ASKING:
            number = getattr(signal, name, None)  # Windows has the first two
            # What is ignored stays so: nohup does that with SIGHUP. None: a handler that Python could not put back.
            if number is not None and signal.getsignal(number) not in {signal.SIG_IGN, None}:
                self.before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        again = self.signal is not None and time.monotonic() - self.since > IMPATIENT_AFTER
        if number == signal.SIGINT and again:
            raise KeyboardInterrupt
        if self.signal is None:
            self.signal, self.since = signal.Signals(number).name, time.monotonic()


def ignore_signals() -> None:
    """For processes that help one which notes signals: what is sent to all of them is for it to answer."""
    for name in ASKING:
        number = getattr(signal, name, None)
        if number is not None:
            signal.signal(number, signal.SIG_IGN)


def _has_launcher() -> bool:
    """Whether the parent is a launcher: the end of any other parent, a shell's say, means nothing."""
    try:
        words = Path(f"/proc/{os.getppid()}/cmdline").read_bytes()
    except OSError:  # a system without /proc: Accelerate's own mark has to do
        return os.name != "nt" and "ACCELERATE_MIXED_PRECISION" in os.environ
    return any(name in words for name in (b"accelerate", b"torchrun", b"torch.distributed"))
