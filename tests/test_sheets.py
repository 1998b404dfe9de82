"""Sheets cut into their pictures, some of many (cyclestyle.training.page.sheets)."""

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some
from PIL import Image
from told_run import noise_sheet, sheet

from cyclestyle.training.page import sheets as module
from cyclestyle.training.page.sheets import COLUMNS, ROWS_SHOWN, STEPS_SHOWN, Sheets, cut_sheet, spread


def made(folder: Path, steps: list[int], rows: int = 2, side: int = 16) -> dict[int, Path]:
    paths = {step: folder / f"step-{step:07d}.png" for step in steps}
    for step, path in paths.items():
        sheet(path, rows, side, seed=step)
    return paths


def colour(file: bytes) -> tuple[int, ...]:
    return Image.open(io.BytesIO(file)).convert("RGB").getpixel((4, 4))  # type: ignore[return-value]


def test_a_sheet_is_cut_along_its_gaps(tmp_path: Path) -> None:
    sheet(tmp_path / "one.png", 3, 20, seed=9)
    rows = cut_sheet(tmp_path / "one.png")
    assert rows is not None
    assert [[picture.size for picture in row] for row in rows] == [[(20, 20)] * 6] * 3
    for place, row in enumerate(rows):
        for column, picture in enumerate(row):
            assert picture.getcolors() == [(400, (40 * column, 30 * place, 9))]


@pytest.mark.parametrize("size", [(100, 99), (106, 17), (1, 1), (4, 4), (106, 35), (107, 34)])
def test_a_picture_that_is_no_sheet_is_not_cut(size: tuple[int, int], tmp_path: Path) -> None:
    Image.new("RGB", size).save(tmp_path / "one.png")
    assert cut_sheet(tmp_path / "one.png") is None


def test_the_same_photos_are_shown_at_each_step_and_all_columns_of_the_last(tmp_path: Path) -> None:
    found = Sheets().samples(made(tmp_path, [10, 20, 30]))
    assert found is not None
    assert (found.steps, found.rows, found.left_out) == ([10, 20, 30], 2, 0)
    names = {f"photo/{row}" for row in range(2)} | {
        f"painted {step}/{row}" for step in (10, 20, 30) for row in range(2)
    }
    assert set(found.files) == names | {f"last {column}/{row}" for column in range(len(COLUMNS)) for row in range(2)}
    assert colour(found.files["painted 20/1"]) == pytest.approx((40, 30, 20), abs=4)
    assert colour(found.files["photo/1"]) == pytest.approx((0, 30, 30), abs=4)
    assert colour(found.files["last 5/0"]) == pytest.approx((200, 0, 30), abs=4)


def test_a_hundred_sheets_make_a_bounded_file(tmp_path: Path) -> None:
    first = tmp_path / "step-0000001.png"
    noise_sheet(first, 8, 128, 1)
    paths = {step: first.with_name(f"step-{step:07d}.png") for step in range(1, 101)}
    for path in paths.values():
        if path != first:
            path.hardlink_to(first)
    found = Sheets().samples(paths, always=[42])
    assert found is not None
    assert len(found.steps) == STEPS_SHOWN
    assert {1, 42, 100} <= set(found.steps)
    assert (found.rows, found.left_out) == (ROWS_SHOWN, 100 - STEPS_SHOWN)
    assert sum(map(len, found.files.values())) <= module.MOST_BYTES


def test_pictures_are_made_smaller_until_they_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise_sheet(tmp_path / "1.png", 2, 128, 1)
    monkeypatch.setattr(module, "MOST_BYTES", 250_000)
    found = Sheets().samples({1: tmp_path / "1.png"})
    assert found is not None
    assert 0 < sum(map(len, found.files.values())) <= 250_000
    assert Image.open(io.BytesIO(found.files["photo/0"])).width in module.SIDES[1:]


def test_broken_sheets_and_those_of_other_photos_are_left_out(tmp_path: Path) -> None:
    paths = made(tmp_path, [10, 20, 30, 40])
    sheet(paths[10], 3, 16)  # the run went on with fewer samples: those are of other photos
    paths[20].write_bytes(paths[20].read_bytes()[:-60])
    paths[40].write_bytes(b"")
    found = Sheets().samples(paths)
    assert found is not None
    assert (found.steps, found.left_out) == ([30], 3)
    assert Sheets().samples({40: paths[40]}) is None
    assert Sheets().samples({}) is None


def test_a_sheet_that_was_cut_is_remembered(tmp_path: Path) -> None:
    sheets, paths = Sheets(), made(tmp_path, [10, 20])
    first = sheets.samples(paths)
    paths[10].write_bytes(paths[10].read_bytes()[:-60])  # it still says its size
    assert cut_sheet(paths[10]) is None
    second = sheets.samples(paths | made(tmp_path, [30]))
    assert first is not None
    assert second is not None
    assert second.steps == [10, 20, 30]
    assert second.files["painted 10/0"] == first.files["painted 10/0"]


@given(some.integers(1, 200), some.integers(2, 20), some.lists(some.integers(0, 199), max_size=4))
def test_a_choice_has_both_ends_no_more_than_asked_and_what_is_wanted(count: int, most: int, always: list[int]) -> None:
    places = list(range(0, 10 * count, 10))
    wanted = [10 * place for place in always]
    chosen = spread(places, most, wanted)
    assert chosen == sorted(set(chosen))
    assert set(chosen) <= set(places)
    assert len(chosen) == min(most, count)
    assert {places[0], places[-1]} <= set(chosen)
    inner = {place for place in wanted if place in places} - {places[0], places[-1]}
    assert len(inner & set(chosen)) >= min(len(inner), max(most - 2, 0))


def test_without_wishes_a_choice_is_even() -> None:
    assert spread(list(range(101)), 6) == [0, 20, 40, 60, 80, 100]
