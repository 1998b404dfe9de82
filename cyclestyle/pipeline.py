"""Reading ahead and writing behind: while one picture is painted, others are decoded and encoded by threads.

What comes out does not depend on the threads: results come in the order of the list, and each picture is read, painted
and written as if it were alone.
"""

import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from types import FrameType
from typing import Generic, TypeVar, cast

Item = TypeVar("Item")
Result = TypeVar("Result")

MOST_BYTES = 1 << 27
"""Of decoded pictures that wait at one end. A picture larger than that waits alone."""
MOST_THREADS = 8


def threads_here() -> int:
    """Threads for each end: this process's share of the processors that it may use."""
    able = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(MOST_THREADS, able // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))))


@dataclass
class _Waiting(Generic[Result]):
    """One item on its way: first weighed, then read."""

    weight: Future[int]
    read: Callable[[], Result]
    result: Future[Result] | None = None


class Ahead(Generic[Item, Result]):
    """Goes through a list in its order, its items being read by threads before they are asked for."""

    def __init__(
        self,
        items: Sequence[Item],
        weigh: Callable[[Item], int],
        read: Callable[[Item], Result],
        *,
        threads: int | None = None,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        """Nothing is begun before the first item is asked for.

        Args:
            items: in the order in which their results are wanted.
            weigh: bytes that an item will take once it is read. Quick; must not raise.
            read: the result of an item; what it raises is raised where that result is asked for.
            threads: how many read.
            most_bytes: of results that are read or being read and not yet asked for. A heavier one is read alone.
        """
        self.items, self.weigh, self.read = iter(items), weigh, read
        self.threads, self.most_bytes = threads or threads_here(), most_bytes
        self.waiting: deque[_Waiting[Result]] = deque()
        self.pool = ThreadPoolExecutor(self.threads, thread_name_prefix="reading")

    def __enter__(self) -> "Ahead[Item, Result]":
        return self

    def __exit__(self, *error: object) -> None:
        self.pool.shutdown(cancel_futures=True)

    def __iter__(self) -> Iterator[Callable[[], Result]]:
        """For each item a call that gives its result, or raises what reading it raised."""
        while self._top_up():
            first = self.waiting[0]
            assert first.result is not None  # what is first is always begun
            first.result.exception()  # waits
            self.waiting.popleft()
            self._top_up()  # the next one is read while this one is used, however heavy they are
            yield first.result.result

    def _top_up(self) -> bool:
        """Weigh and begin what there is room for, in order; whether anything is left."""
        while len(self.waiting) < 2 * self.threads + 1:
            try:
                item = next(self.items)
            except StopIteration:
                break
            self.waiting.append(_Waiting(self.pool.submit(self.weigh, item), _bound(self.read, item)))
        taken = 0
        for place, one in enumerate(self.waiting):
            if one.result is None:
                if place and (not one.weight.done() or taken + one.weight.result() > self.most_bytes):
                    break
                one.weight.result()
                one.result = self.pool.submit(one.read)
            taken += one.weight.result()
        return bool(self.waiting)


def _bound(read: Callable[[Item], Result], item: Item) -> Callable[[], Result]:
    return lambda: read(item)


def runs(items: Iterable[Item], kind: Callable[[Item], object], most: int) -> Iterator[list[Item]]:
    """Items in their order, up to `most` of one kind that follow each other in one list."""
    run: list[Item] = []
    for item in items:
        if run and (len(run) == most or kind(item) != kind(run[0])):
            yield run
            run = []
        run.append(item)
    if run:
        yield run


def fetched(items: Iterator[Item], most: int) -> Iterator[Item]:
    """What an iterator gives, which a thread goes through up to `most` ahead. It raises where that is asked for."""
    end = object()
    with closing(items) if isinstance(items, Generator) else nullcontext():  # outside: nobody goes through it any more
        pool = ThreadPoolExecutor(1, thread_name_prefix="fetching")
        try:
            waiting: deque[Future[Item | object]] = deque(pool.submit(next, items, end) for _ in range(most))
            while (item := waiting.popleft().result()) is not end:
                waiting.append(pool.submit(next, items, end))
                yield cast(Item, item)
        finally:
            pool.shutdown(cancel_futures=True)


class Behind:
    """Has things written by threads; on leaving, whatever was handed over has been written or has failed."""

    def __init__(
        self, written: Callable[[], None], *, threads: int | None = None, most_bytes: int = MOST_BYTES
    ) -> None:
        """Start without anything to write.

        Args:
            written: called for each thing that is written, by the thread that hands things over, in their order.
            threads: how many write.
            most_bytes: of things that are handed over and not yet written. A heavier one waits alone.
        """
        self.written, self.threads, self.most_bytes = written, threads or threads_here(), most_bytes
        self.begun: deque[tuple[int, Future[None]]] = deque()
        self.taken = 0
        self.pool = ThreadPoolExecutor(self.threads, thread_name_prefix="writing")

    def put(self, weight: int, write: Callable[[], None]) -> None:
        """Hand over, waiting until there is room. Raises what writing an earlier thing raised."""
        while self.begun and (
            self.begun[0][1].done() or self.taken + weight > self.most_bytes or len(self.begun) > 2 * self.threads
        ):
            self._settle()
        self.taken += weight
        self.begun.append((weight, self.pool.submit(write)))

    def _settle(self) -> None:
        """The oldest one, once it is written."""
        weight, future = self.begun[0]
        future.result()  # an interrupt while waiting leaves it where it is
        self.begun.popleft()
        self.taken -= weight
        self.written()

    def __enter__(self) -> "Behind":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        try:
            while self.begun and kind is None:
                self._settle()
        finally:
            self.pool.shutdown()  # what was painted took far longer than it takes to write it


@contextmanager
def ending_orderly() -> Iterator[None]:
    """SIGTERM ends the program as an error would: what is half written is removed, threads come to their end."""
    ours = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    if not ours:  # somebody else answers it, or only the main thread could
        yield
        return
    before = signal.signal(signal.SIGTERM, _end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _end(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)
