"""A command run by another program: watched, ended in time, and gone if the one that started it is killed."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import NamedTuple

from cyclestyle.stopping import Stopped, StopRequest, end_with_parent

LOOKS_EVERY = 0.2
"""Seconds."""
PATIENCE = 120.0
"""Seconds in which a command that was asked to end has to save; the longest part is the step that it is in."""


class Ended(NamedTuple):
    """What became of a command."""

    code: int
    """Its exit code; minus the signal's number if one killed it."""
    cut: bool
    """Whether it was asked to end since its time was over."""

    def told(self) -> str:
        """For a sentence."""
        if self.code >= 0:
            return f"ended with exit code {self.code}"
        killed = signal.Signals(-self.code).name
        return f"was killed ({killed}{', as happens where memory is full' if killed == 'SIGKILL' else ''})"


def run(
    words: Sequence[str],
    environment: Mapping[str, str],
    stop: StopRequest,
    *,
    over: Callable[[], bool] = lambda: False,
    meanwhile: Callable[[], None] = lambda: None,
    patience: float = PATIENCE,
) -> Ended:
    """Run a command to its end; what it prints goes where ours goes.

    Args:
        words: the command.
        environment: its variables.
        stop: if asked, the command is asked too.
        over: whether its time is over; it is then asked to end.
        meanwhile: called several times a second.
        patience: seconds after being asked in which it has to be gone; then it is killed, with all that it started.

    Raises:
        Stopped: `stop` was asked, and the command has ended.
    """
    _unless_asked(stop)
    posix = os.name == "posix"
    child = subprocess.Popen(
        words,
        env=dict(environment),
        start_new_session=posix,
        preexec_fn=partial(end_with_parent, signal.SIGTERM) if posix else None,
    )
    asked: float | None = None
    cut, code = False, None
    try:
        while (code := child.poll()) is None:
            meanwhile()
            if asked is None and (stop.asked or over()):
                cut, asked = not stop.asked, time.monotonic()
                child.terminate()
            elif asked is not None and time.monotonic() - asked > patience:
                _kill(child)
            time.sleep(LOOKS_EVERY)
    finally:
        if code != 0:
            _kill(child)
    _unless_asked(stop)
    return Ended(code, cut)


def _unless_asked(stop: StopRequest) -> None:
    if stop.asked:
        raise Stopped(f"stopped ({stop.asked}); the same command goes on from what is finished")


def _kill(child: "subprocess.Popen[bytes]") -> None:
    """Leave nothing of a command behind, whatever it has started."""
    if os.name == "posix":
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
    elif child.poll() is None:
        child.kill()
    child.wait()
