"""The real `kaggle` client, run as a process of its own: importing it would sign in, and print, in ours.

It knows every way of signing in, tries again where a connection breaks, and goes on at the byte where it was stopped:
beside what has come so far it keeps a file that says of which zip that is. It does not wait where Kaggle asks for it,
checks nothing but the size, and calls an interrupt a success; all this is done here.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from functools import partial
from pathlib import Path
from typing import IO

from cyclestyle.data.fetching.refusals import DISK_FULL, FetchError, Refusal, explain, is_disk_full, last_words
from cyclestyle.data.fetching.sources import COMPETITION
from cyclestyle.progress import Progress, clock
from cyclestyle.stopping import Stopped, StopRequest, end_with_parent

WAITS = (15.0, 30.0, 60.0, 120.0)
"""Seconds before asking again where Kaggle is busy and names no time; it is asked once more than this is long."""
LONGEST_SILENCE = 180.0
"""Seconds without a byte or a word, after which the client is taken to wait for ever: it asks without a time limit."""
LAST_RESPECTS = 5.0
"""Seconds that the client has for ending when it is told to."""
LOOK_EVERY = 0.1
KEPT_LINES = 400
MEGABYTE = 1_000_000

PART = f"{COMPETITION}.zip"
"""The client's name for the zip; while it comes, a file beside it says of which one it is a part."""


def fetch(folder: Path, stop: StopRequest) -> Path:
    """Let the client download the competition's zip into a folder; returns the file, whatever is in it.

    What a run before left there is gone on from. Raises FetchError, in one sentence, where nothing more can be done
    without people; Stopped where `stop` asks, with what has come kept.
    """
    sys.stderr.write(f"downloading {PART} with the kaggle client\n")
    for turn in range(len(WAITS) + 1):
        refusal = _one_call(folder, stop)
        if refusal is None:
            return _arrived(folder)
        if refusal.spoilt:
            throw_away(folder)
        if not refusal.passing or turn == len(WAITS):
            raise FetchError(refusal.sentence)
        wait = WAITS[turn] if refusal.wait is None else refusal.wait
        _say(f"{refusal.sentence.partition(':')[0]}; asking again in {clock(wait)} ({turn + 1} of {len(WAITS)})")
        _wait(wait, folder, stop)
    raise AssertionError  # the last turn returns or raises


def throw_away(folder: Path) -> None:
    """Remove what the client has left so far, whatever it has named it."""
    for path in folder.glob(f"{COMPETITION}.*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def come_so_far(folder: Path) -> tuple[int, int | None]:
    """Bytes of the zip that are there, and how many it will be; None where that is not known."""
    try:
        whole = json.loads(_marker(folder).read_text(encoding="utf-8"))["size"]
    except (OSError, ValueError, KeyError, TypeError):
        whole = None
    try:
        here = (folder / PART).stat().st_size
    except OSError:
        here = 0
    return here, whole if isinstance(whole, int) else None


def _marker(folder: Path) -> Path:
    return folder / f"{PART}.kaggle-partial"


def _arrived(folder: Path) -> Path:
    """The file that a client has left that says it succeeded."""
    here, whole = come_so_far(folder)
    if _marker(folder).exists() and here != whole:  # an equal one was left by a kill after the last byte
        raise FetchError("the kaggle client was interrupted; the same command goes on where it stopped")
    if (folder / PART).is_file():
        return folder / PART
    # It names the file by the end of the address; with a web page in the zip's place that is anything, with folders.
    others = [path for path in folder.rglob("*") if path.is_file() and COMPETITION in str(path.relative_to(folder))]
    if not others:
        raise FetchError("the kaggle client said that all went well, and brought no file; type the same again")
    return max(others, key=lambda path: path.stat().st_mtime)


class _Call:
    """A client that runs, and the last lines of what it says."""

    def __init__(self, folder: Path) -> None:
        words = [sys.executable, "-P", "-m", "kaggle", "competitions", "download"]  # -P: not a kaggle.py lying here
        self.process = subprocess.Popen(
            [*words, "-c", COMPETITION, "-p", str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,  # Ctrl-C is for us to answer
            # Two clients at once would spoil the file. Not on Linux, one ends at its next word, which nobody hears.
            preexec_fn=partial(end_with_parent, signal.SIGTERM) if os.name == "posix" else None,
        )
        self.said: deque[str] = deque(maxlen=KEPT_LINES)
        self.complained: deque[str] = deque(maxlen=KEPT_LINES)
        self.news: deque[str] = deque(maxlen=KEPT_LINES)
        """Lines of standard output that nobody has looked at."""
        self.heard = time.monotonic()
        self.ears = [
            self._listen(self.process.stdout, self.said, self.news),
            self._listen(self.process.stderr, self.complained),
        ]

    def _listen(self, stream: IO[str] | None, *to: deque[str]) -> threading.Thread:
        def listen() -> None:
            assert stream is not None
            for line in stream:
                self.heard = time.monotonic()
                for lines in to:
                    lines.append(line.rstrip())

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        return thread

    def end(self) -> None:
        """Tell it to end; what it has written stays."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(LAST_RESPECTS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for ear in self.ears:
            ear.join(LAST_RESPECTS)


def _one_call(folder: Path, stop: StopRequest) -> Refusal | None:
    """Run the client once, and tell how far it is; None if it says that it succeeded."""
    call = _Call(folder)
    progress: Progress | None = None
    last = come_so_far(folder)[0]
    try:
        while call.process.poll() is None:
            if stop.asked:
                raise _stopped(folder, stop)
            here, whole = come_so_far(folder)
            if here != last:
                last, call.heard = here, time.monotonic()
            if progress is None and whole:
                progress = Progress("downloading", whole // MEGABYTE, unit="MB", done=here // MEGABYTE)
            if progress is not None and here // MEGABYTE != progress.done:
                progress.advance(here // MEGABYTE - progress.done)
            while call.news:
                line = call.news.popleft()
                if is_disk_full(line):  # the client would try five times more
                    return Refusal(DISK_FULL)
                _pass_on(line, progress)
            if time.monotonic() - call.heard > LONGEST_SILENCE:
                return Refusal(f"Kaggle has been silent for {clock(LONGEST_SILENCE)}: type the same again later", True)
            time.sleep(LOOK_EVERY)
    finally:
        call.end()
        if progress is not None:
            progress.__exit__(None, None, None)
    if stop.asked:
        raise _stopped(folder, stop)
    if call.process.returncode == 0:
        return None
    if call.process.returncode < 0 and not last_words(call.complained):
        name = signal.Signals(-call.process.returncode).name
        return Refusal(f"the kaggle client was ended ({name}); the same command goes on where it stopped")
    return explain(list(call.said), list(call.complained), os.environ)


def _pass_on(line: str, progress: Progress | None) -> None:
    """Tell what the client does about a broken connection, and where it goes on."""
    again = re.search(r"Retrying in ([\d.]+) seconds\.* \(attempt (\d+)/(\d+)\)", line)
    resumed = re.match(r"Resuming from (\d+) bytes", line)
    told = None
    if again:
        told = f"the connection broke; asking again in {clock(float(again[1]))} ({again[2]} of {again[3]})"
    elif resumed:
        told = f"going on after {int(resumed[1]):,} bytes"
    elif line.startswith("Warning: Your Kaggle API key"):
        told = f"kaggle: {line}"
    if told and progress is not None:
        progress.say(f"note: {told}")
    elif told:
        _say(told)


def _wait(seconds: float, folder: Path, stop: StopRequest) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if stop.asked:
            raise _stopped(folder, stop)
        time.sleep(min(LOOK_EVERY, max(0.0, until - time.monotonic())))


def _stopped(folder: Path, stop: StopRequest) -> Stopped:
    here, whole = come_so_far(folder)
    of = f" of {whole:,}" if whole else ""
    return Stopped(f"stopped ({stop.asked}): {here:,}{of} bytes are here; the same command goes on from there")


def _say(text: str) -> None:
    sys.stderr.write(f"note: {text}\n")
    sys.stderr.flush()
