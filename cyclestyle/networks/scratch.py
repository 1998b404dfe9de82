"""Where maps lie that are too large for memory: some of them there nevertheless, the others in files without a name."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import torch
from torch import Tensor

from cyclestyle.networks.areas import Area, Map


class Scratch:
    """Room for maps. What is taken is given back when nothing refers to it any more."""

    def __init__(self, folder: Path, in_memory: int = 0) -> None:
        """Nothing is made before something is written.

        Args:
            folder: on the disk that may be used.
            in_memory: bytes of maps that may be kept in memory instead.
        """
        self.folder, self.in_memory = folder, in_memory
        self.memory = self.disk = 0
        """Bytes that are taken."""
        self.most_memory = self.most_disk = 0

    def take(self, channels: int, height: int, width: int, device: torch.device) -> "Kept":
        """Room for a map."""
        return Kept(self, channels, height, width, device)

    def count(self, memory: int, disk: int) -> None:
        """So many bytes more are taken."""
        self.memory, self.disk = self.memory + memory, self.disk + disk
        self.most_memory, self.most_disk = max(self.most_memory, self.memory), max(self.most_disk, self.disk)


class Kept(Map):
    """A map that is written once and read as often as is wanted; a place's channels lie beside one another."""

    def __init__(self, scratch: Scratch, channels: int, height: int, width: int, device: torch.device) -> None:
        self.scratch, self.device = scratch, device
        self.channels, self.height, self.width = channels, height, width
        size = self.bytes(height, width)
        self.in_memory = scratch.memory + size <= scratch.in_memory
        self.taken = (size, 0) if self.in_memory else (0, size)
        self.values: Tensor | None = None
        self.file: IO[bytes] | None = None
        scratch.count(*self.taken)

    def __del__(self) -> None:
        memory, disk = self.taken
        self.scratch.count(-memory, -disk)

    def write(self, area: Area, part: Tensor) -> None:
        """Values (1, channels, h, w) for an area."""
        values = part.detach()[0].permute(1, 2, 0)  # (h, w, channels)
        if values.is_cuda:
            values = values.contiguous().cpu()  # a GPU turns maps around faster
        if self.in_memory:
            if self.values is None:
                self.values = torch.empty(self.height, self.width, self.channels)
            self.values[slice(*area.rows), slice(*area.columns)] = values
            return
        if self.file is None:
            # Without a buffer, so not copied; without a name, so that nothing is left of it, however the process ends.
            self.file = tempfile.TemporaryFile(dir=self.scratch.folder, buffering=0)  # noqa: SIM115
        for left in self._pieces(values.contiguous(), area):
            while left:
                left = left[self.file.write(left) :]

    def part(self, area: Area) -> Tensor:
        if self.values is not None:
            found = self.values[slice(*area.rows), slice(*area.columns)].clone()
        else:
            assert self.file is not None
            found = torch.empty(area.rows.length, area.columns.length, self.channels)
            for left in self._pieces(found, area):
                while left:
                    count = self.file.readinto(left)  # type: ignore[attr-defined] - what is unbuffered has it
                    assert count  # all of it has been written
                    left = left[count:]
        found = found.to(self.device).permute(2, 0, 1)[None]
        return found.contiguous() if found.is_cuda else found  # as its convolutions are faster in fp32 (`quickest`)

    def _pieces(self, values: Tensor, area: Area) -> Iterator[memoryview]:
        """Bytes of (h, w, channels) that lie side by side in the file, which is wound to where they do."""
        assert self.file is not None
        whole = area.columns.length == self.width
        for number, piece in enumerate(values.view(1 if whole else len(values), -1).numpy()):
            self.file.seek(self.bytes(area.rows.start + number, self.width) + self.bytes(1, area.columns.start))
            yield memoryview(piece).cast("B")

    def room(self, height: int, width: int) -> int:
        return self.bytes(height, width)

    def work(self, share: float) -> float:
        return 0.0

    @property
    def aside(self) -> int:
        return 0
