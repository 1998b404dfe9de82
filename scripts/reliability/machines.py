"""Two "machines" on one: two launchers that meet over loopback, a worker killed, a whole machine lost.

What works with accelerate 1.15 and torch 2.15, on every machine R of N, with P processes in all (not per machine):

    TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 accelerate launch --multi_gpu --num_machines N --num_processes P \\
        --machine_rank R --main_process_ip HOST --main_process_port PORT \\
        --rdzv_backend c10d --max_restarts 3 -m cyclestyle train --config FILE

- Without the variable, processes that were restarted meet at addresses of the ones before them, and hang or fail
  (pytorch #135712, closed but still so). The `static` backend, the default, cannot do without that shared store.
- `--machine_rank` is not needed with c10d, which gives out ranks itself; but Accelerate refuses a port that is in use
  on rank 0, so one machine should say 0 and it should be HOST.
- Restarts on one machine need c10d too: `torchrun --standalone --nproc_per_node P --max_restarts 3 -m cyclestyle ...`
  with both variables. Accelerate's way (`_one_machine`) always meets at port 29400: one run at a time.
- A worker that is asked to stop (exit code 75) counts as failed and is restarted; ask the launcher instead.
- Here, where HOST is also the other machine, `--rdzv_conf is_host=` says who holds the meeting point.
"""

import os
import random
import signal
import time
from pathlib import Path

from trial import (
    Launched,
    Row,
    digest,
    draw_sets,
    free_port,
    main,
    settings_file,
    start,
    tiny,
    train,
    wait_for,
)

from cyclestyle.config import Settings

LIMIT = 240.0
ENVIRONMENT = {
    "ACCELERATE_USE_CPU": "true",
    "OMP_NUM_THREADS": "1",
    "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",
}


def _settings(place: Path, name: str, steps: int) -> Settings:
    report = {"checkpoint_every": 20, "sample_every": 50}
    return tiny(place / name, place / "data", schedule={"steps": steps}, report=report)


def _words(settings: Settings, machine: int, machines: int, port: int) -> list[str]:
    words = ["--multi_gpu", "--num_machines", str(machines), "--num_processes", "2", "--machine_rank", str(machine)]
    words += ["--main_process_ip", "127.0.0.1", "--main_process_port", str(port), "--rdzv_backend", "c10d"]
    words += ["--rdzv_conf", f"is_host={int(machine == 0)}", "--max_restarts", "3", "--monitor_interval", "1"]
    words += ["--mixed_precision", "no", "--dynamo_backend", "no"]
    return [*words, "-m", "cyclestyle", "train", "--config", str(settings_file(settings))]


def _machine(settings: Settings, machine: int, port: int, *, machines: int = 2, again: str = "") -> Launched:
    said = settings.run.with_name(f"{settings.run.name}-machine-{machine}{again}.txt")
    return Launched(_words(settings, machine, machines, port), said, **ENVIRONMENT)


def _both(settings: Settings, again: str = "") -> list[Launched]:
    port = free_port()
    return [_machine(settings, number, port, again=again) for number in (0, 1)]


def _ended(launched: list[Launched], settings: Settings, expected: dict[str, str]) -> tuple[str, bool]:
    """Wait for the end of all; what came out, and whether it is as it should be."""
    codes = [one.wait(LIMIT) for one in launched]
    for one in launched:
        one.end()
    if any(codes):
        return f"exit codes {codes}: {launched[0].said()[-300:]} {launched[-1].said()[-300:]}".replace("\n", " "), False
    same = digest(settings.run) == expected
    return f"exit codes {codes}, {'the same bits' if same else 'other bits'}", same


def _at_step(settings: Settings, step: int) -> bool:
    """Wait until the checkpoint of a step is there."""
    return wait_for((settings.run / "checkpoints" / f"step-{step:07d}").is_dir, 90)


def _restarted(place: Path, number: int, steps: int, expected: dict[str, str], chances: random.Random) -> Row:
    """One worker of one machine dies; torchrun starts all again."""
    settings = _settings(place, f"killed-{number}", steps)
    machines = _both(settings)
    victim = machines[number % 2]
    reached = _at_step(settings, 20 * chances.randint(1, steps // 40))
    time.sleep(chances.random() * 0.5)
    for pid in victim.trainings():
        os.kill(pid, signal.SIGKILL)
    began = time.monotonic()
    found, holds = _ended(machines, settings, expected)
    took = f", {time.monotonic() - began:.0f} s later"
    what = f"worker of machine {number % 2} killed with SIGKILL in mid-run, --max_restarts 3"
    went_on = any("going on at step" in machine.said() for machine in machines)
    found += took if went_on else ", but it was not restarted"
    return Row(what, "restarted, goes on, same bits as on one machine", found, holds and reached and went_on)


def _machine_lost(place: Path, steps: int, expected: dict[str, str]) -> list[Row]:
    """A machine dies, launcher and all; then the same commands again."""
    rows = []
    for lost in (0, 1):
        settings = _settings(place, f"lost-{lost}", steps)
        machines = _both(settings)
        reached = _at_step(settings, 20)
        machines[lost].end()
        left = machines[1 - lost]
        code = left.wait(15)
        what_left = "waits for it" if code is None else f"ends with {code}"
        said = "meeting point" if lost == 0 else "other machine"
        left.launcher.send_signal(signal.SIGTERM)
        left.wait(40)
        left.end()
        found, holds = _ended(_both(settings, "-again"), settings, expected)
        what = f"machine {lost} ({said}) lost, launcher and all; then the same two commands again"
        rows.append(Row(what, "goes on, same bits", f"the other {what_left} (15 s); again: {found}", holds and reached))
    return rows


def _machine_back(place: Path, steps: int, expected: dict[str, str]) -> Row:
    """The machine that does not hold the meeting point dies, and joins again while the other one waits."""
    settings, port = _settings(place, "back", steps), free_port()
    machines = [_machine(settings, number, port) for number in (0, 1)]
    reached = _at_step(settings, 20)
    machines[1].end()
    time.sleep(3)
    machines[1] = _machine(settings, 1, port, again="-again")
    found, holds = _ended(machines, settings, expected)
    return Row("machine 1 lost, and back after 3 s", "taken in again, same bits", found, holds and reached)


def _one_machine(place: Path, steps: int, expected: dict[str, str]) -> Row:
    """Restarts on a single machine."""
    settings = _settings(place, "single", steps)
    launched = _machine(settings, 0, free_port(), machines=1)
    reached = _at_step(settings, 20)
    for pid in launched.trainings()[:1]:
        os.kill(pid, signal.SIGKILL)
    found, holds = _ended([launched], settings, expected)
    went_on = "going on at step" in launched.said()
    return Row("one machine, one of 2 workers killed", "restarted, same bits", found, holds and reached and went_on)


def trial(place: Path, full: bool) -> list[Row]:
    """The same run of two processes each time: on one machine, then on two."""
    steps, chances = (300 if full else 60), random.Random(11)
    draw_sets(place / "data")
    straight = _settings(place, "straight", steps)
    alone = start(lambda: train(straight), place / "straight.txt", processes=2)
    codes = [child.wait() for child in alone]
    expected = digest(straight.run)
    rows = [Row("2 processes on one machine, forked", "exit code 0", f"{codes}", codes == [0, 0])]
    if full:
        settings = _settings(place, "both", steps)
        found, holds = _ended(_both(settings), settings, expected)
        rows.append(Row("2 machines with 1 process each", "the same bits as on one machine", found, holds))
    rows += [_restarted(place, number, steps, expected, chances) for number in range(10 if full else 1)]
    if full:
        rows += [_one_machine(place, steps, expected), *_machine_lost(place, steps, expected)]
        rows.append(_machine_back(place, steps, expected))
    return rows


if __name__ == "__main__":
    main("Many machines", trial)
