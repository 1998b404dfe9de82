"""What a run tells while it learns: a line of metrics, curves, sheets of samples. It can never stop a run."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.tensorboard import SummaryWriter

from cyclestyle.images import Images, Picture, grid, save, to_pictures
from cyclestyle.runs import RunFolder


class Journal:
    """Writes `metrics.jsonl` (the truth), `tensorboard/` (shows it) and `samples/`, from one process."""

    def __init__(self, run: RunFolder, *, start: int, complain: Callable[[str], None]) -> None:
        self.run, self.complain = run, complain
        self.complained = False
        self._guard(lambda: _forget_after(run.metrics, start))
        # purge_step hides what an interrupted run wrote after its last checkpoint.
        self.board: SummaryWriter | None = None
        self._guard(self._open_board, start)

    def _open_board(self, start: int) -> None:
        self.board = SummaryWriter(str(self.run.tensorboard), purge_step=start + 1)

    def write(self, step: int, values: dict[str, float]) -> None:
        """Add a line of numbers, and a point to each curve."""
        self._guard(self._write, step, values)

    def _write(self, step: int, values: dict[str, float]) -> None:
        with self.run.metrics.open("a", encoding="utf-8") as file:
            # NaN is not JSON: what is not finite is written as null.
            finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
            file.write(json.dumps({"step": step} | finite) + "\n")
        if self.board is not None:
            for name, value in values.items():
                self.board.add_scalar(name, value, step)

    def show(self, step: int, sheet: Picture) -> None:
        """Keep a sheet of samples."""
        self._guard(self._show, step, sheet)

    def _show(self, step: int, sheet: Picture) -> None:
        save(sheet, self.run.sample(step))
        if self.board is not None:
            self.board.add_image("samples", np.asarray(sheet), step, dataformats="HWC")

    def close(self) -> None:
        if self.board is not None:
            self._guard(self.board.close)

    def _guard(self, write: Callable[..., None], *arguments: object) -> None:
        """A full disk or a lost share silences the journal, and says so once; training goes on."""
        try:
            write(*arguments)
        except OSError as error:
            if not self.complained:
                self.complained = True
                self.complain(f"the journal cannot be written ({error}); training goes on without it")


def _forget_after(metrics: Path, step: int) -> None:
    """Drop the lines that an interrupted run wrote after its last checkpoint; they will be written again."""
    if not metrics.exists():
        return
    kept = [
        line for line in metrics.read_text(encoding="utf-8", errors="replace").splitlines() if _step_of(line) <= step
    ]
    aside = metrics.with_suffix(".part")
    aside.write_text("".join(line + "\n" for line in kept), encoding="utf-8")
    aside.replace(metrics)


def _step_of(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):  # a line that was being written when the run was killed
        return float("inf")


@torch.inference_mode()
def sample_sheet(paint: nn.Module, unpaint: nn.Module, photos: Images, paintings: Images) -> Picture:
    """Columns photo | painted | and back | painting | unpainted | and back; a row for each picture."""
    painted, unpainted = _each(paint, photos), _each(unpaint, paintings)
    columns = [photos, painted, _each(unpaint, painted), paintings, unpainted, _each(paint, unpainted)]
    rows = zip(*(to_pictures(column) for column in columns), strict=True)
    return grid([list(row) for row in rows])


def _each(network: nn.Module, images: Images) -> Images:
    """One at a time, so that a sheet needs no more memory than a step."""
    return torch.cat([network(image) for image in images.split(1)])
