"""What a run tells while it learns: a line of metrics, curves, sheets of samples. It can never stop a run."""

import json
import math
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from cyclestyle.images import Images, Picture, grid, save, to_pictures
from cyclestyle.runs import RunFolder


class Journal:
    """Writes what a run tells, from one process.

    `metrics.jsonl` and `scores.jsonl` follow from the settings alone: they are the same, to the byte, whether a run was
    interrupted or not. `pace.jsonl` tells how fast it went, `events.jsonl` what happened; `tensorboard/` and
    `page.html` show it all.
    """

    def __init__(self, run: RunFolder, *, start: int, complain: Callable[[str], None]) -> None:
        self.run, self.complain = run, complain
        self.complained = False
        for lines in (run.metrics, run.scores, run.events):
            self._guard(_forget_after, lines, start)
        self._guard(_forget_after, run.pace, 1e18)  # only half a line: time that was lost was spent all the same
        self.start = start
        self.board: Any = None
        self.page: Any = None
        self.news = False  # told since the page was written

    def _draw(self, draw: Callable[[Any], object]) -> None:
        """Draw on TensorBoard's board, made when first needed; if that fails, go on without it."""
        if self.board is False:
            return
        try:
            if self.board is None:
                from torch.utils.tensorboard import SummaryWriter  # imported here, since even that may fail

                _hush_board()
                # purge_step hides what an interrupted run wrote after its last checkpoint.
                self.board = SummaryWriter(str(self.run.tensorboard), purge_step=self.start + 1)
            draw(self.board)
        except Exception as error:  # of whatever kind: the lines are the truth, the board only shows them
            self.board = False
            self.complain(f"TensorBoard cannot be written ({error}); the lines of metrics.jsonl go on")

    def write(self, step: int, values: dict[str, float]) -> None:
        """Add a line of metrics, and a point to each curve."""
        self._guard(self._write, self.run.metrics, step, values)

    def pace(self, step: int, values: dict[str, float]) -> None:
        """Add a line on how fast it goes."""
        self._guard(self._write, self.run.pace, step, values)

    def score(self, step: int, values: dict[str, float]) -> None:
        """Add a line on how good a checkpoint is."""
        self._guard(self._write, self.run.scores, step, values)

    def _write(self, lines: Path, step: int, values: dict[str, float]) -> None:
        self.news = True
        # NaN is not JSON: what is not finite is written as null.
        _append(lines, {"step": step} | {n: value if math.isfinite(value) else None for n, value in values.items()})
        self._draw(lambda board: [board.add_scalar(name, value, step) for name, value in values.items()])

    def tell(self, step: int, event: str, **facts: Any) -> None:
        """Keep what happened."""
        self.news = True
        self._guard(_append, self.run.events, {"step": step, "event": event} | facts)

    def show(self, step: int, sheet: Picture) -> None:
        """Keep a sheet of samples."""
        self.news = True
        self._guard(self._show, step, sheet)

    def _show(self, step: int, sheet: Picture) -> None:
        if not self.run.path.is_dir():
            raise FileNotFoundError(f"{self.run.path} is gone")
        save(sheet, self.run.sample(step))
        self._draw(lambda board: board.add_image("samples", np.asarray(sheet), step, dataformats="HWC"))

    def scores(self) -> dict[int, dict[str, Any]]:
        """The scores so far, by step; none if they cannot be read."""
        lines: dict[int, dict[str, Any]] = {}
        self._guard(lambda: lines.update((int(line["step"]), line) for line in read_lines(self.run.scores)))
        return lines

    def publish(self) -> None:
        """Write the page of the run anew, if there is news."""
        if self.news:
            self.news = False
            self._guard(self._publish)

    def _publish(self) -> None:
        from cyclestyle.training.page.writing import RunPage  # imported here, since it reads what is written here

        self.page = self.page or RunPage(self.run.path)
        self.page.write()

    def close(self) -> None:
        """Publish what is new, and let go of the board."""
        self.publish()
        if self.board:
            self._draw(lambda board: board.close())

    def _guard(self, write: Callable[..., None], *arguments: object) -> None:
        """A full disk, a lost share or a broken library silences the journal, and says so once; training goes on."""
        try:
            write(*arguments)
        except Exception as error:  # of whatever kind: nothing that is only told may stop what is learnt
            if not self.complained:
                self.complained = True
                self.complain(f"the journal cannot be written ({error}); training goes on without it")


def _hush_board() -> None:
    """TensorBoard's own thread ends with a traceback where its disk fails; its next call tells us so in a sentence."""
    others = threading.excepthook

    def hook(ended: threading.ExceptHookArgs) -> None:
        if not type(ended.thread).__module__.startswith("tensorboard."):
            others(ended)

    threading.excepthook = hook


def _append(lines: Path, line: dict[str, Any]) -> None:
    with lines.open("ab+") as file:
        whole = file.tell() == 0 or (file.seek(-1, os.SEEK_END), file.read(1))[1] == b"\n"
        # A full disk may have cut the line before; this one shall not be lost with it.
        file.write((b"" if whole else b"\n") + json.dumps(line).encode() + b"\n")


def read_lines(lines: Path) -> list[dict[str, Any]]:
    """The whole lines of a file, as far as they can be read; none if there is no file."""
    if not lines.exists():
        return []
    texts = lines.read_text(encoding="utf-8", errors="replace").splitlines()
    return [json.loads(text) for text in texts if math.isfinite(_step_of(text))]


def _forget_after(lines: Path, step: float) -> None:
    """Drop the lines that an interrupted run wrote after its last checkpoint; they will be written again."""
    if not lines.exists():
        return
    kept = [line for line in lines.read_text(encoding="utf-8", errors="replace").splitlines() if _step_of(line) <= step]
    aside = lines.with_suffix(".part")
    aside.write_text("".join(line + "\n" for line in kept), encoding="utf-8")
    aside.replace(lines)


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
