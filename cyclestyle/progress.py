"""How far a long job is: a bar in a terminal, plain lines elsewhere (notebooks, logs, CI)."""

import sys
import threading
import time
from types import TracebackType

from tqdm import tqdm

SECONDS_BETWEEN_LINES = 10.0

# One process writes. tqdm's own lock is for several, for which Python may start a process that counts such locks.
tqdm.set_lock(threading.RLock())


class Progress:
    """Counts units of work and shows their rate and the time left, on standard error.

    Only the process that is told to `show` prints; the others count silently.
    """

    def __init__(self, what: str, total: int, *, unit: str, done: int = 0, show: bool = True) -> None:
        self.what, self.total, self.unit = what, total, unit
        self.done = self.first = done
        self.show = show
        self.note = ""
        self.started = self.spoke = time.monotonic()
        self.bar = (
            tqdm(total=total, initial=done, desc=what, unit=f" {unit}", dynamic_ncols=True, file=sys.stderr)
            if show and sys.stderr.isatty()
            else None
        )

    def advance(self, count: int = 1, note: str | None = None) -> None:
        """Count `count` more units; a `note` stands at the end of the line until the next one."""
        self.done += count
        self.note = self.note if note is None else note
        if self.bar is not None:
            self.bar.set_postfix_str(self.note, refresh=False)
            self.bar.update(count)
        elif self.show and time.monotonic() - self.spoke >= SECONDS_BETWEEN_LINES:
            self._line()

    def say(self, text: str) -> None:
        """Print a line without breaking the bar."""
        if self.show:
            tqdm.write(text, file=sys.stderr)

    def _line(self) -> None:
        self.spoke = time.monotonic()
        took = self.spoke - self.started
        rate = (self.done - self.first) / took if took > 0 else 0.0
        left = f", {clock((self.total - self.done) / rate)} left" if rate and self.done < self.total else ""
        note = f"  {self.note}" if self.note else ""
        print(  # noqa: T201 - this is the printing
            f"{self.what}: {self.done:,}/{self.total:,} {self.unit} ({rate:.2f}/s, {clock(took)}{left}){note}",
            file=sys.stderr,
            flush=True,
        )

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bar is not None:
            self.bar.close()
        elif self.show and self.done > self.first:
            self._line()


def clock(seconds: float) -> str:
    """Seconds as people read them: `42 s`, `3:07 min`, `5:02 h`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d} min"
    return f"{whole // 3600}:{whole % 3600 // 60:02d} h"
