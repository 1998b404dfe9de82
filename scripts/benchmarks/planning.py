"""Whether a run takes what `--plan` said it would: memory, pace and time to the end; of the demo, or another.

    python scripts/benchmarks/planning.py --config configs/demo.toml --data data/scenes --rounds 2

Each plan is followed by the run itself, whole. A machine that others use is another one a minute later: what stands
between the two columns is that, too.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from turns import hardware

PLAN = """
import json
from dataclasses import asdict
from cyclestyle.cli import main, let_threads_rest
let_threads_rest()
from cyclestyle.training.rehearsal import Forecast
Forecast.told = lambda self: json.dumps(asdict(self) | {"total": self.total})
main()
"""
"""The command line, but for what it prints: the numbers as they are."""


def planned(words: list[str]) -> dict[str, float]:
    """What the plan says: memory in bytes, pairs/s, seconds in all."""
    done = subprocess.run([sys.executable, "-c", PLAN, *words, "--plan"], check=True, stdout=subprocess.PIPE, text=True)
    said = json.loads(done.stdout.strip().splitlines()[-1])
    return {
        "memory": said["memory"],
        "pace": said["pairs"] / said["step"],
        "time": said["total"],
        "pairs": said["pairs"],
    }


def made(words: list[str], run: Path, pairs: float) -> dict[str, float]:
    """What the run took. Its time is the command's, imports and all."""
    begun = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "cyclestyle", *words], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    took = time.perf_counter() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"the run ended with {process.returncode}")
    lines = [json.loads(line) for line in (run / "pace.jsonl").read_text(encoding="utf-8").splitlines()]
    first, last = lines[0], lines[-1]  # between them; the first steps are slow, and checkpoints are part of it
    pace = (last["step"] - first["step"]) * pairs / (last["seconds"] - first["seconds"])
    return {"memory": used.ru_maxrss * (1 if sys.platform == "darwin" else 1024), "pace": pace, "time": took}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=Path("configs/demo.toml"))
    parser.add_argument("--data", type=Path, default=Path("data/scenes"), help="made by `cyclestyle synthesize`")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("more", nargs="*", help="more for `cyclestyle train`, after --")
    arguments = parser.parse_args()
    print(f"{hardware()}\n")
    print("| of | said | made | said / made |\n|---|---:|---:|---:|")
    units = {"memory": ("memory, GB", 1e9), "pace": ("pairs/s", 1.0), "time": ("seconds in all", 1.0)}
    for _ in range(arguments.rounds):
        with tempfile.TemporaryDirectory() as folder:
            run = Path(folder) / "run"
            words = ["train", "--config", str(arguments.config), "--data.folder", str(arguments.data)]
            words += ["--run", str(run), *arguments.more]
            said = planned(words)
            took = made(words, run, said["pairs"])
        for name, (unit, scale) in units.items():
            ratio = said[name] / took[name]
            print(f"| {unit} | {said[name] / scale:.3g} | {took[name] / scale:.3g} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
