"""The pictures of a comparison's page: large where there is room, and never a file that cannot be sent."""

import io
from pathlib import Path

import numpy as np
import pytest
from conftest import Draw
from PIL import Image

from cyclestyle.comparison import side_by_side as module
from cyclestyle.comparison.side_by_side import SIDES, side_by_side, weight
from cyclestyle.evaluation.pictures import Item, View


def views(paths: list[Path], side: int) -> list[View]:
    return [View(Item(path.name, path, str(path), "PNG", side, side, False), side) for path in paths]


def noisy(folder: Path, count: int, side: int) -> list[Path]:
    folder.mkdir()
    chances = np.random.default_rng(0)
    paths = [folder / f"{number:03d}.png" for number in range(count)]
    for path in paths:
        Image.fromarray(chances.integers(0, 256, (side, side, 3), dtype=np.uint8)).save(path)
    return paths


def sides(pictures: dict[str, bytes]) -> set[int]:
    return {Image.open(io.BytesIO(file)).width for file in pictures.values()}


def test_pictures_are_as_they_were_measured_where_there_is_room(tmp_path: Path, draw: Draw) -> None:
    paths = draw(tmp_path / "one", 5, size=(64, 64))
    found = side_by_side({"photo": views(paths, 64), "monet": views(paths, 64)}, ["photo", "monet"], 12)
    assert set(found) == {f"{name}/{place}" for name in ("photo", "monet") for place in range(5)}
    assert sides(found) == {64}  # none is enlarged


def test_rows_come_from_all_over(tmp_path: Path, draw: Draw) -> None:
    paths = draw(tmp_path / "one", 9, size=(32, 32))
    assert set(side_by_side({"photo": views(paths, 32)}, ["photo"], 3)) == {"photo/0", "photo/3", "photo/6"}


@pytest.mark.parametrize("most", [90_000, 30_000])
def test_pictures_become_smaller_and_then_fewer_until_all_fit(
    most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", most)
    paths = noisy(tmp_path / "noise", 8, 128)
    found = side_by_side({"photo": views(paths, 128)}, ["photo"], 8)
    assert 0 < weight(found) <= most
    assert sides(found) == {SIDES[-1]}
    assert len(found) < 8


def test_one_row_is_shown_however_heavy_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 10)
    paths = noisy(tmp_path / "noise", 4, 96)
    assert set(side_by_side({"photo": views(paths, 96)}, ["photo"], 4)) == {"photo/0"}
