"""What a method costs: seconds for each picture that was really made, and the memory of the process that made it."""

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from cyclestyle.files import write_text
from cyclestyle.footprint import peak_memory
from cyclestyle.runs import RunFolder
from cyclestyle.training.journal import read_lines

FILE = "cost.json"


@dataclass(frozen=True)
class Cost:
    """Of the pictures of one method, on one device."""

    device: str
    threads: int
    settings: dict[str, Any] = field(default_factory=dict)
    """What the pictures follow from, besides the photos."""
    made: int = 0
    """Pictures that were timed: those that were there already cost nothing and tell nothing."""
    seconds: float = 0.0
    """That making them took in all, without imports, without reading weights or paintings."""
    preparation: float = 0.0
    """Seconds before the first picture: reading weights, looking at the paintings. Of the last time."""
    peak_memory: int = 0
    """Bytes of the process at its largest, with everything that it loaded."""
    peak_gpu_memory: int | None = None
    """Bytes in tensors on the GPU at the most; None without one."""

    @property
    def each(self) -> float | None:
        """Seconds for a picture, None where none was timed."""
        return self.seconds / self.made if self.made else None

    def after(self, made: int, seconds: float) -> "Cost":
        """With some more pictures, and the memory as it is now."""
        return replace(
            self,
            made=self.made + made,
            seconds=self.seconds + seconds,
            peak_memory=max(self.peak_memory, peak_memory()),
            peak_gpu_memory=_larger(self.peak_gpu_memory, _peak_gpu_memory()),
        )

    def continues(self, other: "Cost") -> bool:
        """Whether both are of the same work: then they add up."""
        return (self.device, self.threads, self.settings) == (other.device, other.threads, other.settings)


def read_cost(folder: Path) -> Cost | None:
    """What is known of the pictures in a folder; None where nothing is, or what is there cannot be read."""
    try:
        return Cost(**json.loads((folder / FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def write_cost(folder: Path, cost: Cost) -> None:
    """Keep it beside the pictures."""
    write_text(folder / FILE, json.dumps(asdict(cost), indent=2) + "\n")


def trained(source: Path) -> dict[str, float] | None:
    """Steps and seconds that a run folder, or the one that a painter lies in, tells of its training; None without."""
    run = RunFolder(source if source.is_dir() else source.parent)
    try:
        told = [(int(line["step"]), float(line["seconds"])) for line in read_lines(run.pace)]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return {"steps": max(step for step, _ in told), "seconds": max(took for _, took in told)} if told else None


def here(device: torch.device, settings: dict[str, Any]) -> Cost:
    """Nothing made yet, by this process on its device."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    # through JSON, so that it equals what is read again
    return Cost(device=name, threads=torch.get_num_threads(), settings=json.loads(json.dumps(settings, default=str)))


def _peak_gpu_memory() -> int | None:
    return torch.cuda.max_memory_allocated() if torch.cuda.is_initialized() else None


def _larger(one: int | None, other: int | None) -> int | None:
    return max((value for value in (one, other) if value is not None), default=None)
