"""Batches that do not end when a process that loads pictures dies."""

import signal
import threading
import time
from collections.abc import Callable, Iterator

from cyclestyle.data.unpaired import Batch

RESTARTS = 3
"""Times in a row that loading is begun again for one batch."""


HANDLER = "torch.utils.data._utils.signal_handling"


class Feed:
    """An iterator over batches, begun again at the same place if its processes die.

    What stands at a place is counted, not remembered, so the batches are the same ones.
    """

    def __init__(self, begin: Callable[[int], Iterator[Batch]], first: int, complain: Callable[[str], None]) -> None:
        """`begin(n)` gives the batches from the n-th on; `first` is where to begin."""
        self.begin, self.complain = begin, complain
        self.number = first
        self.lost: list[str] = []
        """Sentences on pictures that could not be read."""
        self.waited = 0.0
        """Seconds that batches were waited for."""
        self.batches: Iterator[Batch] | None = None

    def _begin(self) -> Iterator[Batch]:
        # PyTorch raises the death of a loader in the midst of whatever is going on, a save or an update. It is found
        # out all the same when the next batch is asked for.
        if not hasattr(signal, "SIGCHLD") or threading.current_thread() is not threading.main_thread():
            return self.begin(self.number)
        before = signal.getsignal(signal.SIGCHLD)
        if getattr(before, "__module__", None) == HANDLER:  # left by a loader that was made elsewhere
            before = signal.SIG_DFL
        signal.signal(signal.SIGCHLD, before)
        try:
            return self.begin(self.number)
        finally:
            signal.signal(signal.SIGCHLD, before)

    def close(self) -> None:
        """End the processes or the thread that load pictures. Left to chance, PyTorch waits ten seconds for each."""
        end = getattr(self.batches, "_shutdown_workers", getattr(self.batches, "close", None))
        self.batches = None
        if end is not None:
            end()

    def __iter__(self) -> "Feed":
        return self

    def ahead(self) -> None:
        """Have the next batch gathered now, where that is work of this process and not waiting for others."""
        if (ahead := getattr(self.batches, "ahead", None)) is not None:
            ahead()

    def __next__(self) -> Batch:
        begun = time.monotonic()
        try:
            return self._next()
        finally:
            self.waited += time.monotonic() - begun

    def _next(self) -> Batch:
        for _ in range(RESTARTS):
            try:
                if self.batches is None:
                    self.batches = self._begin()
                batch = next(self.batches)
            except (RuntimeError, OSError, EOFError) as error:
                if not _is_death(error):
                    raise
                self.complain(f"a process that loads pictures died ({_reason(error)}); loading begins again there")
                self.batches = None
            else:
                self.number += 1
                self.lost += batch.lost
                return batch
        raise ValueError(
            f"processes that load pictures died {RESTARTS} times in a row; give --data.workers 0, "
            "or more memory (in a container, more of /dev/shm)"
        )


def _is_death(error: Exception) -> bool:
    """Whether a loader died, and nothing was raised inside one: a batch on its way then breaks off anywhere."""
    if "Original Traceback" in str(error):  # of a worker that lives
        return False
    return "DataLoader worker (pid" in str(error) or isinstance(error, (ConnectionError, EOFError, FileNotFoundError))


def _reason(error: Exception) -> str:
    text = str(error).split(". ")[0].split("\n")[0]
    return text.replace("DataLoader worker ", "").strip() or type(error).__name__
