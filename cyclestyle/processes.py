"""The processes that `accelerate launch` started, and what they agree on; one, where nothing was launched."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from accelerate import PartialState

from cyclestyle.capacity import require_code
from cyclestyle.files import reason
from cyclestyle.launch import must_be_together, wants_cpu

Item = TypeVar("Item")
PATIENCE = timedelta(hours=2)
"""How long processes wait for one another: the main one may measure large sets alone meanwhile."""


@dataclass(frozen=True)
class Processes:
    """This process's place among the others, and its device.

    They talk over a group of their own, on the processors: agreeing on something never waits for a GPU.
    """

    state: PartialState
    device: torch.device
    group: Any = None
    """The group that they talk over; None if alone."""

    @classmethod
    def join(cls) -> "Processes":
        """Meet the other processes."""
        state = PartialState(cpu=wants_cpu())
        must_be_together(state.num_processes)
        assert state.device is not None  # set as soon as there is a state
        require_code(state.device)
        # Of one that ends, gloo hears at once; one that only computes for long is waited for.
        group = dist.new_group(backend="gloo", timeout=PATIENCE) if state.num_processes > 1 else None
        return cls(state, state.device, group)

    @property
    def main(self) -> bool:
        return self.state.is_main_process

    @property
    def rank(self) -> int:
        return self.state.process_index

    @property
    def count(self) -> int:
        return self.state.num_processes

    def share(self, items: Sequence[Item]) -> Sequence[Item]:
        """Every n-th item, so that large and small pictures are spread evenly."""
        return items[self.rank :: self.count]

    def batch(self, wanted: int | None) -> int:
        """How many pictures at once: measured, a CPU is fastest with one; a GPU wants several."""
        return wanted or (1 if self.device.type == "cpu" else 8)

    def wait(self) -> None:
        """Until all processes are here."""
        if self.group is not None:
            dist.barrier(group=self.group)

    def collect(self, items: list[Item]) -> list[Item]:
        """The items of all processes, once all are here."""
        if self.group is None:
            return items
        gathered: list[list[Item]] = [[] for _ in range(self.count)]
        dist.all_gather_object(gathered, items, group=self.group)
        return [item for part in gathered for item in part]

    def told(self, item: Item) -> Item:
        """The main process's item."""
        return self.collect([item])[0]

    def most(self, *values: float) -> list[float]:
        """The largest of each value over all processes: of flags, whether any is set."""
        if self.group is None:
            return [float(value) for value in values]
        together = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(together, dist.ReduceOp.MAX, group=self.group)
        return together.tolist()

    @contextmanager
    def all_or_none(self) -> Iterator[None]:
        """What one process refuses inside, all refuse, with its sentence: none is left waiting for the others."""
        refusal: Exception | None = None
        try:
            yield
        except (ValueError, OSError) as error:
            refusal = error
        first = next((said for said in self.collect([reason(refusal) if refusal else None]) if said is not None), None)
        if refusal is not None:
            raise refusal
        if first is not None:
            raise ValueError(first)

    def part(self) -> None:
        """Leave the others."""
        self.state.destroy_process_group()

    def __str__(self) -> str:
        """Which of how many; empty if alone."""
        return "" if self.count == 1 else f" (process {self.rank + 1} of {self.count})"
