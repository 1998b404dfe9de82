"""Reading ahead and writing behind: in order, within bounds, and nothing left running, whatever happens."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cyclestyle.pipeline import Ahead, Behind, ending_orderly, fetched, threads_here


def running() -> set[str]:
    return {
        thread.name for thread in threading.enumerate() if thread.name.startswith(("reading", "writing", "fetching"))
    }


@pytest.fixture(autouse=True)
def _nothing_is_left_running() -> object:
    yield
    assert running() == set()


class Held:
    """Counts what is held at once."""

    def __init__(self) -> None:
        self.lock, self.now, self.most, self.seen = threading.Lock(), 0, 0, 0

    def take(self, weight: int) -> None:
        with self.lock:
            self.now += weight
            self.seen += 1
            self.most = max(self.most, self.now)

    def drop(self, weight: int) -> None:
        with self.lock:
            self.now -= weight


# --- reading ------------------------------------------------------------------------------------------------------


def test_results_come_in_order_however_long_each_takes() -> None:
    def read(item: int) -> int:
        time.sleep(0.002 * (item * 7 % 5))
        return item * item

    with Ahead(range(40), lambda item: 1, read, threads=4) as ahead:
        assert [result() for result in ahead] == [item * item for item in range(40)]


def test_what_reading_raises_is_raised_where_the_result_is_asked_for() -> None:
    with Ahead([1, 0, 2], lambda item: 1, lambda item: 6 // item, threads=2) as ahead:
        one, broken, two = ahead
        assert (one(), two()) == (6, 3)
        with pytest.raises(ZeroDivisionError):
            broken()


def test_nothing_comes_of_nothing() -> None:
    with Ahead([], lambda item: 1, lambda item: item, threads=2) as ahead:
        assert list(ahead) == []


def test_the_next_item_is_read_while_one_is_used_even_if_both_are_heavy() -> None:
    begun = [threading.Event() for _ in range(3)]

    def read(item: int) -> int:
        begun[item].set()
        return item

    with Ahead(range(3), lambda item: 100, read, threads=2, most_bytes=10) as ahead:
        results = iter(ahead)
        next(results)
        assert begun[1].wait(5)
        assert not begun[2].is_set()  # but only the next one: each is heavier than what may wait


@pytest.mark.parametrize("weights", [[30] * 20, [5, 90, 5, 5, 200, 200, 5, 5, 5, 60, 60], [0, 0, 0, 500, 0, 0]])
def test_what_waits_is_bounded_by_bytes(weights: list[int]) -> None:
    held, most = Held(), 100

    def read(item: int) -> int:
        held.take(weights[item])
        return item

    seen = []
    with Ahead(range(len(weights)), weights.__getitem__, read, threads=3, most_bytes=most) as ahead:
        for result in ahead:
            item = result()
            held.drop(weights[item])
            time.sleep(0.003)
            seen.append(item)
    assert seen == list(range(len(weights)))
    # what is read and not yet used; one heavier than the bound waits alone. The last one is dropped a moment late.
    assert held.most <= max(most, max(weights)) + max(weights)


def test_few_are_read_ahead_of_a_slow_painter() -> None:
    held = Held()
    with Ahead(range(1000), lambda item: 0, lambda item: held.take(1), threads=2) as ahead:
        results = iter(ahead)
        for _ in range(3):
            next(results)
        time.sleep(0.05)
        assert held.seen <= 3 + 2 * 2 + 1


def test_leaving_early_reads_no_more_and_leaves_no_thread() -> None:
    held = Held()

    def read(item: int) -> None:
        held.take(1)
        time.sleep(0.01)

    def begin() -> None:
        with Ahead(range(1000), lambda item: 0, read, threads=2) as ahead:
            next(iter(ahead))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        begin()
    assert held.seen <= 1 + 2 * 2 + 1
    assert running() == set()


# --- writing ------------------------------------------------------------------------------------------------------


def test_all_is_written_and_counted_once_left() -> None:
    written, counted = [], []

    def slow(item: int) -> Callable[[], None]:
        def write() -> None:
            time.sleep(0.002 * (item % 3))
            written.append(item)

        return write

    with Behind(lambda: counted.append(threading.current_thread()), threads=3) as behind:
        for item in range(30):
            behind.put(1, slow(item))
    assert sorted(written) == list(range(30))
    assert counted == [threading.main_thread()] * 30


@pytest.mark.parametrize("weights", [[30] * 20, [5, 90, 5, 5, 200, 200, 5, 5, 5, 60, 60]])
def test_what_waits_to_be_written_is_bounded_by_bytes(weights: list[int]) -> None:
    held = Held()

    def later(weight: int) -> Callable[[], None]:
        def write() -> None:
            time.sleep(0.003)
            held.drop(weight)

        return write

    with Behind(lambda: None, threads=3, most_bytes=100) as behind:
        for weight in weights:
            behind.put(0, lambda: None)  # settles what is done
            held.take(0)
            behind.put(weight, later(weight))
            held.take(weight)
            assert behind.taken <= max(100, weight)
    assert held.now == 0


def test_what_was_handed_over_is_written_although_the_painter_failed() -> None:
    written = []

    def write() -> None:
        time.sleep(0.01)
        written.append(1)

    def begin() -> None:
        with Behind(lambda: None, threads=1) as behind:
            for _ in range(3):
                behind.put(1, write)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        begin()
    assert written == [1, 1, 1]


def test_a_failure_to_write_is_raised_by_the_next_ones_or_at_the_end() -> None:
    def fail() -> None:
        raise OSError("disk full")

    def hand_over(count: int) -> None:
        with Behind(lambda: None, threads=1) as behind:
            for number in range(count):
                behind.put(1, fail)
                handed.append(number)

    for count in (1, 100):
        handed: list[int] = []
        with pytest.raises(OSError, match="disk full"):
            hand_over(count)
        assert len(handed) <= 2 * 1 + 1


# --- threads and ends ---------------------------------------------------------------------------------------------


def test_processes_of_one_machine_share_its_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(6)), raising=False)
    for processes, threads in (("1", 6), ("2", 3), ("8", 1)):
        monkeypatch.setenv("LOCAL_WORLD_SIZE", processes)
        assert threads_here() == threads
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(96)), raising=False)
    monkeypatch.delenv("LOCAL_WORLD_SIZE")
    assert threads_here() == 8


def test_somebody_elses_answer_to_sigterm_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    def mine(number: int, frame: object) -> None: ...

    before = signal.signal(signal.SIGTERM, mine)
    try:
        with ending_orderly():
            assert signal.getsignal(signal.SIGTERM) is mine
    finally:
        signal.signal(signal.SIGTERM, before)


WRITES = """
import sys, time
from pathlib import Path
from cyclestyle.files import written_aside
from cyclestyle.pipeline import fetched, Behind, ending_orderly
folder = Path(sys.argv[1])
def write(name):
    with written_aside(folder / name) as aside:
        for _ in range(20):
            with aside.open("a") as file: file.write("x")
            time.sleep(0.01)
with ending_orderly(), Behind(lambda: None, threads=2) as behind:
    for number in range(1000):
        behind.put(1, lambda number=number: write(str(number)))
        if number == 2: print("painting", flush=True)
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM that could be answered")
@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_leaves_whole_files_and_no_others(tmp_path: Path, sent: signal.Signals) -> None:
    words = [sys.executable, "-c", WRITES, str(tmp_path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "painting\n"
        process.send_signal(sent)
        ended = process.wait(20)
    assert ended == (143 if sent == signal.SIGTERM else -signal.SIGINT)
    files = list(tmp_path.iterdir())
    assert 2 <= len(files) < 30
    assert {path.read_text() for path in files} == {"x" * 20}
    assert not [path.name for path in files if path.name.startswith(".")]


def test_items_are_fetched_ahead_in_their_order_and_no_further_than_wanted() -> None:
    begun: list[int] = []

    def count() -> Iterator[int]:
        for number in range(10):
            begun.append(number)
            yield number

    fetching = fetched(count(), 3)
    assert next(fetching) == 0
    deadline = threading.Event()
    while len(begun) < 4:
        deadline.wait(0.01)
    deadline.wait(0.05)
    assert begun == [0, 1, 2, 3]
    assert list(fetching) == list(range(1, 10))


def test_what_fetching_raises_comes_after_what_was_fetched_before() -> None:
    def count() -> Iterator[int]:
        yield 1
        yield 2
        raise ValueError("broken")

    fetching = fetched(count(), 5)
    assert [next(fetching), next(fetching)] == [1, 2]
    with pytest.raises(ValueError, match="broken"):
        next(fetching)


def test_what_is_fetched_from_is_closed_when_nobody_wants_more() -> None:
    closed = threading.Event()

    def count() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.set()

    fetching = fetched(count(), 2)
    next(fetching)
    fetching.close()  # type: ignore[attr-defined] - a generator
    assert closed.is_set()
