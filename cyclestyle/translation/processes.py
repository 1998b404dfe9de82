"""The processes that `accelerate launch` started, sharing out a list of pictures; one, where nothing was launched."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from accelerate import PartialState
from accelerate.utils import gather_object

from cyclestyle.launch import must_be_together, wants_cpu

Item = TypeVar("Item")


@dataclass(frozen=True)
class Processes:
    """This process's place among the others, and its device."""

    state: PartialState
    device: torch.device

    @classmethod
    def join(cls) -> "Processes":
        """Meet the other processes."""
        state = PartialState(cpu=wants_cpu())
        must_be_together(state.num_processes)
        assert state.device is not None  # set as soon as there is a state
        return cls(state, state.device)

    @property
    def main(self) -> bool:
        return self.state.is_main_process

    def share(self, items: Sequence[Item]) -> Sequence[Item]:
        """Every n-th item, so that large and small pictures are spread evenly."""
        return items[self.state.process_index :: self.state.num_processes]

    def batch(self, wanted: int | None) -> int:
        """How many pictures at once: measured, a CPU is fastest with one; a GPU wants several."""
        return wanted or (1 if self.device.type == "cpu" else 8)

    def wait(self) -> None:
        """Until all processes are here."""
        self.state.wait_for_everyone()

    def collect(self, items: list[Item]) -> list[Item]:
        """The items of all processes, once all are here."""
        return gather_object(items)

    def part(self) -> None:
        """Leave the others."""
        self.state.destroy_process_group()

    def __str__(self) -> str:
        """Which of how many; empty if alone."""
        if self.state.num_processes == 1:
            return ""
        return f" (process {self.state.process_index + 1} of {self.state.num_processes})"
