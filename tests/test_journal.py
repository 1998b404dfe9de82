"""The journal tells what a run does, forgets what will be told again, and can never stop it."""

import json
import math
from pathlib import Path

import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from cyclestyle.runs import RunFolder
from cyclestyle.training.journal import Journal, read_lines, sample_sheet


def journal(folder: Path, *, start: int = 0) -> tuple[Journal, list[str]]:
    complaints: list[str] = []
    folder.mkdir(parents=True, exist_ok=True)
    return Journal(RunFolder(folder), start=start, complain=complaints.append), complaints


def steps(folder: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_each_entry_is_a_line_a_point_on_a_curve_and_a_sheet(tmp_path: Path) -> None:
    book, complaints = journal(tmp_path)
    book.write(10, {"cycle/photo": 1.5, "epoch": 0.25})
    book.write(20, {"cycle/photo": 0.5, "epoch": 0.5})
    book.show(20, Image.new("RGB", (6, 4), "teal"))
    book.close()
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert lines == [
        {"step": 10, "cycle/photo": 1.5, "epoch": 0.25},
        {"step": 20, "cycle/photo": 0.5, "epoch": 0.5},
    ]
    with Image.open(tmp_path / "samples" / "step-0000020.png") as sheet:
        assert sheet.size == (6, 4)
    board = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(point.step, point.value) for point in board.Scalars("cycle/photo")] == [(10, 1.5), (20, 0.5)]
    assert [picture.step for picture in board.Images("samples")] == [20]
    assert complaints == []


def test_lines_after_the_checkpoint_are_forgotten_on_resuming(tmp_path: Path) -> None:
    book, _ = journal(tmp_path)
    for step in (10, 20, 30):
        book.write(step, {"loss": step / 10})
    book.close()
    again, complaints = journal(tmp_path, start=20)
    assert steps(tmp_path) == [10, 20]
    again.write(30, {"loss": 9.0})
    again.close()
    assert steps(tmp_path) == [10, 20, 30]
    assert complaints == []
    board = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(point.step, point.value) for point in board.Scalars("loss")] == [(10, 1.0), (20, 2.0), (30, 9.0)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["metrics.jsonl", "page.html", "tensorboard"]


@pytest.mark.parametrize(
    "half", [b'{"step": 3', b"", b"[3]", b"7", b'"three"', b"{}", bytes(20), b'{"loss": "\xff\xfe', b'{"step": "x"}']
)
def test_a_line_that_was_being_written_when_the_run_was_killed_is_dropped(half: bytes, tmp_path: Path) -> None:
    good = b'{"step": 1, "loss": 0.5}\n{"step": 2, "loss": 0.25}\n'
    (tmp_path / "metrics.jsonl").write_bytes(good + half)
    book, complaints = journal(tmp_path, start=4)
    book.close()
    assert (tmp_path / "metrics.jsonl").read_bytes() == good
    assert complaints == []


def test_a_folder_that_cannot_be_written_is_complained_about_once_and_never_raises(tmp_path: Path) -> None:
    book, complaints = journal(tmp_path)
    book.write(1, {"loss": 1.0})
    (tmp_path / "metrics.jsonl").unlink()
    (tmp_path / "metrics.jsonl").mkdir()
    (tmp_path / "samples").write_text("a file where a folder should be")
    for step in (2, 3):
        book.write(step, {"loss": 1.0})
        book.show(step, Image.new("RGB", (4, 4)))
    book.close()
    (complaint,) = complaints
    assert "the journal cannot be written" in complaint
    assert "metrics.jsonl" in complaint


def test_a_folder_that_cannot_be_opened_is_complained_about_once_and_never_raises(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").mkdir()
    (tmp_path / "tensorboard").write_text("a file where a folder should be")
    book, complaints = journal(tmp_path, start=3)
    book.write(4, {"loss": 1.0})
    book.close()
    assert len(complaints) == 1


def test_a_board_that_breaks_is_complained_about_once_and_the_lines_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch.utils.tensorboard import SummaryWriter

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("no such message type")

    book, complaints = journal(tmp_path)
    book.write(1, {"loss": 1.0})
    monkeypatch.setattr(SummaryWriter, "add_scalar", broken)
    for step in (2, 3):
        book.write(step, {"loss": 1.0})
        book.show(step, Image.new("RGB", (4, 4)))
    book.close()
    (complaint,) = complaints
    assert "no such message type" in complaint
    assert steps(tmp_path) == [1, 2, 3]
    assert len(list((tmp_path / "samples").iterdir())) == 2


def test_what_is_not_finite_is_written_as_null(tmp_path: Path) -> None:
    book, complaints = journal(tmp_path)
    book.write(1, {"a": math.nan, "b": math.inf, "c": 0.5})
    book.close()
    assert (tmp_path / "metrics.jsonl").read_text() == '{"step": 1, "a": null, "b": null, "c": 0.5}\n'
    assert complaints == []


def test_pace_scores_and_events_have_lines_of_their_own_and_only_the_pace_is_remembered_beyond_the_start(
    tmp_path: Path,
) -> None:
    book, _ = journal(tmp_path)
    for step in (10, 20):
        book.pace(step, {"seconds": step / 2})
        book.score(step, {"distance": 1 / step})
        book.tell(step, "lost", said="a picture")
    book.close()
    again, complaints = journal(tmp_path, start=10)
    assert again.scores() == {10: {"step": 10, "distance": 0.1}}
    assert read_lines(tmp_path / "events.jsonl") == [{"step": 10, "event": "lost", "said": "a picture"}]
    # time that was lost was spent all the same
    assert [line["seconds"] for line in read_lines(tmp_path / "pace.jsonl")] == [5.0, 10.0]
    assert read_lines(tmp_path / "nowhere.jsonl") == []
    assert complaints == []


def test_a_journal_in_which_nothing_is_told_leaves_nothing_behind(tmp_path: Path) -> None:
    book, _ = journal(tmp_path, start=7)
    book.close()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_gone_is_not_made_again(tmp_path: Path) -> None:
    book, complaints = journal(tmp_path / "run")
    (tmp_path / "run").rmdir()
    book.write(1, {"loss": 1.0})
    book.show(1, Image.new("RGB", (4, 4)))
    book.tell(1, "lost")
    book.close()
    assert list(tmp_path.iterdir()) == []
    assert len(complaints) == 1


class Plus(nn.Module):
    """Adds a constant, and counts how many pictures it is given at once."""

    def __init__(self, by: float) -> None:
        super().__init__()
        self.by, self.batches = by, []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.batches.append(len(images))
        return images + self.by


def test_a_sheet_has_a_row_for_each_picture_and_six_columns_in_the_order_that_it_says() -> None:
    def level(value: int) -> float:
        return value / 127.5 - 1

    photos = torch.stack([torch.full((3, 5, 4), level(60)), torch.full((3, 5, 4), level(100))])
    paintings = torch.stack([torch.full((3, 5, 4), level(80)), torch.full((3, 5, 4), level(120))])
    paint, unpaint = Plus(10 / 127.5), Plus(30 / 127.5)
    sheet = sample_sheet(paint, unpaint, photos, paintings)

    gap, width, height = 2, 4, 5
    assert sheet.size == (6 * width + 5 * gap, 2 * height + gap)
    found = [
        [sheet.getpixel((column * (width + gap) + 1, row * (height + gap) + 1))[0] for column in range(6)]
        for row in range(2)
    ]
    # photo | painted | and back | painting | unpainted | and back
    assert found == [[60, 70, 100, 80, 110, 120], [100, 110, 140, 120, 150, 160]]
    assert sheet.getpixel((width, 0)) == (255, 255, 255)
    assert set(paint.batches + unpaint.batches) == {1}  # one at a time
