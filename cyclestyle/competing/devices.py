"""What there is to compute with, and how a command is started on all of it."""

import json
import os
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from cyclestyle.doctor.computing import runs

BF16_FROM, TENSOR_CORES_FROM = 8, 7
"""Major compute capabilities (Ampere; Volta)."""

LONGEST_PROBE = 180.0
"""Seconds; from a cold disk PyTorch takes a minute."""


class Device(BaseModel):
    """A GPU."""

    name: str
    capability: tuple[int, int]


class Probed(BaseModel):
    """What `cyclestyle.competing.probe` says."""

    torch: str
    built_for: list[str]
    """As in `sm_75`, or `compute_90` for what a newer card's driver compiles by itself."""
    devices: list[Device]


@dataclass(frozen=True)
class Machine:
    """What commands are started on."""

    name: str
    processes: int = 1
    precision: Literal["no", "fp16", "auto"] = "no"
    """For training: fp16 on cards that have tensor cores but no bf16."""
    cpu: bool = True

    def words(self, *command: str) -> list[str]:
        """What to start for a command of ours: itself, or Accelerate's launcher with as many processes as GPUs."""
        own = ["-m", "cyclestyle", *command]
        if self.processes == 1:
            return [sys.executable, *own]
        launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_machines", "1"]
        launch += ["--num_processes", str(self.processes), "--main_process_port", str(_free_port())]
        launch += ["--mixed_precision", "fp16" if self.precision == "fp16" else "no", "--dynamo_backend", "no"]
        return [*launch, *own]

    def environment(self) -> dict[str, str]:
        """Nothing is asked of the network on the way."""
        added = {"NO_ALBUMENTATIONS_UPDATE": "1", "HF_HUB_OFFLINE": "1"}
        return os.environ | added | ({"ACCELERATE_USE_CPU": "true"} if self.cpu else {})


def find_machine(asked: Literal["auto", "cpu"], processes: int | None = None) -> Machine:
    """All GPUs, or the processor where there is none. Raises ValueError for a GPU that this PyTorch cannot use."""
    wants_cpu = asked == "cpu" or os.environ.get("ACCELERATE_USE_CPU", "").lower() in {"1", "true", "yes", "on"}
    if wants_cpu or not _has_card():
        count = processes or 1
        return Machine(f"no GPU, {_cores()} cores" + (f", {count} processes" if count > 1 else ""), count)
    return choose(_probe(), processes)


def choose(found: Probed, processes: int | None = None) -> Machine:
    """How GPUs are used. Raises ValueError, with what to do, if PyTorch cannot compute on one of them."""
    if not found.devices:
        raise ValueError(
            f"this machine has a GPU, but PyTorch {found.torch} does not reach it: `cyclestyle doctor` tells more; "
            "--device cpu does without"
        )
    for device in found.devices:
        if not runs(*device.capability, found.built_for):
            major, minor = device.capability
            raise ValueError(
                f"PyTorch {found.torch} was not built for this GPU ({device.name}, compute capability {major}.{minor}; "
                f"it has {', '.join(found.built_for)}): choose another one in the notebook's settings (Accelerator: "
                "GPU T4 x2)"
            )
    oldest = min(device.capability for device in found.devices)[0]
    precision = "auto" if oldest >= BF16_FROM else "fp16" if oldest >= TENSOR_CORES_FROM else "no"
    count = processes or len(found.devices)
    names = sorted({device.name for device in found.devices})
    told = {"auto": "bf16", "fp16": "fp16", "no": "fp32"}[precision]
    return Machine(
        f"{len(found.devices)} x {' and '.join(names)}, {count} process(es), {told}", count, precision, False
    )


def _probe() -> Probed:
    words = [sys.executable, "-m", "cyclestyle.competing.probe"]
    try:
        answer = subprocess.run(words, capture_output=True, text=True, timeout=LONGEST_PROBE, check=False)
        said: Any = json.loads(answer.stdout.strip().splitlines()[-1])
        return Probed.model_validate(said)
    except (subprocess.TimeoutExpired, IndexError, ValueError, ValidationError):
        raise ValueError(
            "PyTorch cannot be asked for GPUs: `cyclestyle doctor` tells more; --device cpu does without"
        ) from None


def _has_card() -> bool:
    """Whether there is an NVIDIA GPU, whatever PyTorch says of it."""
    return any(Path("/dev").glob("nvidia[0-9]*")) or shutil.which("nvidia-smi") is not None


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
