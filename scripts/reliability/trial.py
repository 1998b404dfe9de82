"""What the trials share: small data, trainings in processes that can be killed, and a table of what came out.

PyTorch takes seconds to import; a trial needs hundreds of trainings. So a training is a fork of the process that asked
for it, which has imported everything and computed nothing.
"""

import argparse
import hashlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # many small trainings side by side; and forks know no threads
os.environ.setdefault("ACCELERATE_USE_CPU", "true")

import numpy as np
import torch
import torch._dynamo  # what optimizers, Accelerate and the journal import when first used: here, before any fork
import torch.distributed.tensor
import torch.utils.tensorboard
from PIL import Image

from cyclestyle.cli import main as command_line
from cyclestyle.config import Settings
from cyclestyle.files import write_text
from cyclestyle.settings import write_settings
from cyclestyle.stopping import EXIT_CODE, Stopped
from cyclestyle.training.learner import Learner
from cyclestyle.training.loop import learn

torch.set_num_threads(1)


def draw_pictures(folder: Path, count: int, seed: int, *, side: int = 24, suffix: str = ".png") -> list[Path]:
    """Smooth pictures that differ."""
    folder.mkdir(parents=True, exist_ok=True)
    chances, paths = np.random.default_rng(seed), []
    for number in range(count):
        coarse = Image.fromarray(chances.integers(0, 256, (4, 4, 3), dtype=np.uint8))
        paths.append(folder / f"picture-{number:03d}{suffix}")
        coarse.resize((side, side), Image.Resampling.BICUBIC).save(paths[-1])
    return paths


def draw_sets(folder: Path, *, photos: int = 12, paintings: int = 9) -> Path:
    """Both sets, in our layout."""
    draw_pictures(folder / "photos", photos, seed=1)
    draw_pictures(folder / "paintings", paintings, seed=2)
    return folder


def tiny(run: Path, data: Path, /, **sections: Any) -> Settings:
    """A run whose steps take some milliseconds, with everything in it that larger ones have."""
    values: dict[str, Any] = {
        "run": run,
        "data": {"folder": data, "augmentation": "zoom", "crop": 16, "workers": 0},
        "generator": {"width": 4, "blocks": 1},
        "discriminator": {"width": 4, "layers": 1},
        "objective": {"replay": 3},
        "schedule": {"steps": 30},
        "report": {"log_every": 5, "sample_every": 1000, "samples": 1, "checkpoint_every": 5, "judge": 2},
    }
    for name, section in sections.items():
        values[name] = values.get(name, {}) | section if isinstance(section, dict) else section
    if values["data"]["workers"]:  # they are there for pictures that are not cached
        values["data"] = {"cache": "off"} | values["data"]
    return Settings.model_validate(values)


def train(settings: Settings, **options: Any) -> int:
    """A whole training in this process, as the command does it; its exit code. Says on standard error why it ended."""
    try:
        learn(settings, **options)
    except Stopped as stopped:
        print(stopped, file=sys.stderr)
        return EXIT_CODE
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def type_command(*words: object) -> int:
    """A whole command in this process, as `cyclestyle WORDS` does it, with what it says; its exit code."""
    sys.argv = ["cyclestyle", *map(str, words)]
    try:
        command_line()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1 if end.code else 0
    return 0


def settings_file(settings: Settings) -> Path:
    """The settings as a file for `--config`, beside the run's folder."""
    path = settings.run.with_name(f"{settings.run.name}.toml")
    write_text(path, write_settings(settings))  # in one step: several processes may do so at once
    return path


@dataclass
class Child:
    """A forked process, one of several that know each other or alone."""

    pid: int
    output: Path
    code: int | None = None
    """Exit code, or minus the signal that ended it."""

    def kill(self, number: int = signal.SIGKILL) -> None:
        if self.code is None and not self.ended():
            os.kill(self.pid, number)

    def ended(self) -> bool:
        if self.code is None:
            found, status = os.waitpid(self.pid, os.WNOHANG)
            if found:
                self.code = os.waitstatus_to_exitcode(status)
        return self.code is not None

    def wait(self, seconds: float = 120.0) -> int:
        """Its exit code. Kills it and raises TimeoutError if it takes longer."""
        until = time.monotonic() + seconds
        while not self.ended():
            if time.monotonic() > until:
                self.kill()
                raise TimeoutError(f"not over after {seconds:.0f} s:\n{self.said()}")
            time.sleep(0.005)
        assert self.code is not None
        return self.code

    def said(self) -> str:
        return self.output.read_text(encoding="utf-8", errors="replace")


def start(work: Callable[[], int], output: Path, *, processes: int = 1) -> list[Child]:
    """Fork one process, or several that meet over gloo, each doing the same work. What they say goes to files."""
    output.parent.mkdir(parents=True, exist_ok=True)
    port, children = free_port(), []
    for rank in range(processes):
        said = output.with_name(f"{output.name}-{rank}") if processes > 1 else output
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            _be_a_child(work, said, rank, processes, port)
        children.append(Child(pid, said))
    return children


def _be_a_child(work: Callable[[], int], output: Path, rank: int, processes: int, port: int) -> None:
    code = 1
    try:
        descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        if processes > 1:
            os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(processes)}
            os.environ |= {"LOCAL_WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        code = work()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Launched:
    """An `accelerate launch` with all processes that come of it, found again by a mark in their environment."""

    def __init__(self, words: list[str], output: Path, **environment: str) -> None:
        self.mark, self.output = f"CYCLESTYLE_TRIAL={secrets.token_hex(8)}", output
        forget = {"RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}
        kept = {name: value for name, value in os.environ.items() if name not in forget}
        with output.open("wb") as said:
            self.launcher = subprocess.Popen(
                [sys.executable, "-m", "accelerate.commands.launch", *words],
                env=kept | environment | dict([self.mark.split("=")]),
                stdout=said,
                stderr=said,
            )

    def processes(self) -> list[int]:
        """All that live, the launcher included."""
        return [pid for pid in (int(path.name) for path in Path("/proc").glob("[0-9]*")) if self._is_ours(pid)]

    def _is_ours(self, pid: int) -> bool:
        try:
            return self.mark.encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except OSError:
            return False

    def trainings(self) -> list[int]:
        """The launched processes, without those that load pictures for them."""
        ours = self.processes()
        found = [pid for pid in ours if pid != self.launcher.pid and b"cyclestyle" in _read(f"/proc/{pid}/cmdline")]
        return [pid for pid in found if _parent(pid) not in found]

    def wait(self, seconds: float) -> int | None:
        """The launcher's exit code; None if it still runs after so long."""
        try:
            return self.launcher.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def end(self) -> None:
        """Kill whatever is left."""
        while left := self.processes():
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.launcher.poll()
            time.sleep(0.05)
        self.launcher.wait()

    def said(self) -> str:
        return self.output.read_text(encoding="utf-8", errors="replace")


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""


def _parent(pid: int) -> int:
    fields = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    return int(fields[1]) if fields else 0


def wait_for(what: Callable[[], Any], seconds: float, every: float = 0.02) -> bool:
    """Whether something came true in time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if what():
            return True
        time.sleep(every)
    return False


def digest(run: Path) -> dict[str, str]:
    """SHA-256 of every file that should not depend on interruptions: the last checkpoint, painters, metrics, scores."""
    last = max((path for path in (run / "checkpoints").iterdir() if path.name.startswith("step-")), default=None)
    files = [*(sorted(last.iterdir()) if last else []), run / "paint.safetensors", run / "unpaint.safetensors"]
    files += [*run.glob("metrics.jsonl"), *run.glob("scores.jsonl")]  # some disks take none; some runs have no judge
    return {str(path.relative_to(run)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@dataclass(frozen=True)
class Combination:
    """A way in which a run can be run. What it learns depends on the last two."""

    workers: int
    processes: int
    accumulate: int

    def settings(self, run: Path, data: Path, /, **sections: Any) -> Settings:
        """A tiny run of this kind."""
        more = {"data": {"workers": self.workers}, "compute": {"accumulate": self.accumulate}}
        return tiny(run, data, **{n: more.get(n, {}) | sections.get(n, {}) for n in more.keys() | sections.keys()})

    def __str__(self) -> str:
        return f"{self.workers} workers, {self.processes} process(es), accumulation {self.accumulate}"


COMBINATIONS = [Combination(*values) for values in product((0, 2), (1, 2), (1, 2))]


def run_to_end(settings: Settings, output: Path, *, processes: int = 1) -> dict[str, str]:
    """Train in a child (or several), and give the digest. Raises RuntimeError with what was said if it fails."""
    children = start(lambda: train(settings), output, processes=processes)
    codes = [child.wait() for child in children]
    if any(codes):
        raise RuntimeError(f"exit codes {codes}:\n" + "\n".join(child.said() for child in children))
    return digest(settings.run)


def at_each_step(do: Callable[[int], object]) -> None:
    """From now on, in this process, call `do` with each step that was reached. Only for forked ones."""
    take_step = Learner.take_step

    def then_do(learner: Learner, *arguments: Any) -> Any:
        taken = take_step(learner, *arguments)
        do(learner.step)
        return taken

    Learner.take_step = then_do  # type: ignore[method-assign]


def signal_at(step: int, number: int, *, rank: int = 0) -> None:
    """Have this process send itself a signal when it has reached a step, if it is the one of that rank."""
    if int(os.environ.get("RANK", "0")) == rank:
        at_each_step(lambda reached: os.kill(os.getpid(), number) if reached == step else None)


@dataclass(frozen=True)
class Row:
    """A line of a table."""

    what: str
    demanded: str
    found: str
    holds: bool | None
    """None if it could not be tried here: said, and neither a pass nor a failure."""


HOLDS = {True: "yes", False: "**no**", None: "not run"}


def report(title: str, rows: list[Row], began: float) -> int:
    """Print a table; 0 if everything holds, else 1."""
    print(f"\n## {title}\n\n| what | demanded | found | holds |\n|---|---|---|---|")
    for row in rows:
        print(f"| {row.what} | {row.demanded} | {row.found} | {HOLDS[row.holds]} |")
    print(f"\n{time.monotonic() - began:.0f} s.", flush=True)
    return 1 if any(row.holds is False for row in rows) else 0


def main(title: str, trial: Callable[[Path, bool], list[Row]]) -> None:
    """The command line of a trial: small, or at full size with `--full`; the folder can be kept with `--in`."""
    arguments = argparse.ArgumentParser(description=title)
    arguments.add_argument("--full", action="store_true", help="the sizes that the results in results/ were taken with")
    arguments.add_argument("--in", dest="place", type=Path, help="work here and leave everything lying")
    given = arguments.parse_args()
    began = time.monotonic()
    if given.place:
        given.place.mkdir(parents=True, exist_ok=True)
        sys.exit(report(title, trial(given.place, given.full), began))
    with tempfile.TemporaryDirectory(prefix="cyclestyle-") as place:
        sys.exit(report(title, trial(Path(place), given.full), began))
