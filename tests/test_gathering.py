"""Batches of cached pictures are those of the files, to the bit, wherever they are cut out."""

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Draw
from PIL import Image

from cyclestyle.config import DataSettings
from cyclestyle.data.caching import open_caches
from cyclestyle.data.folders import Sets
from cyclestyle.data.gathering import Resident, ResidentBatches, cut_out, fits_on, gathered
from cyclestyle.data.loaders import build_loader
from cyclestyle.data.unpaired import Batch, Places, UnpairedPictures

CPU = torch.device("cpu")
PRESETS = ["paper", "flip", "zoom", "none"]


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory, draw: Draw) -> Sets:
    """Also with what cannot be read, what is of one colour, and what is so in its middle."""
    folder = tmp_path_factory.mktemp("data")
    photos, paintings = draw(folder / "photos", 9, size=(40, 30)), draw(folder / "paintings", 7, seed=1)
    photos[2].write_bytes(b"<html>")
    paintings[5].unlink()
    Image.new("RGB", (24, 24), (200, 30, 60)).save(photos[4])
    framed = Image.new("RGB", (20, 20), (10, 20, 30))
    framed.putpixel((0, 0), (255, 0, 0))  # cuts with that corner are not of one colour
    framed.save(paintings[1])
    return Sets(photos, paintings, [], [])


def settings(preset: str, batch: int = 3) -> DataSettings:
    return DataSettings(augmentation=preset, crop=16, resize=20, batch=batch, workers=0)


def cached(sets: Sets, preset: str, seed: int = 3) -> UnpairedPictures:
    shelves = open_caches(sets, settings(preset), pytest.fail, lambda: False)
    assert shelves is not None
    return UnpairedPictures(sets, settings(preset), seed, shelves)


def of_files(sets: Sets, preset: str, places: Places) -> list[Batch]:
    return list(build_loader(UnpairedPictures(sets, settings(preset), 3), places, settings(preset), pin=False))


def places(first: int = 0, last: int = 40, *, rank: int = 0, processes: int = 1) -> Places:
    return Places(first, last, batch=3, rank=rank, processes=processes)


def same(one: list[Batch], other: list[Batch]) -> bool:
    return len(one) == len(other) and all(
        torch.equal(a.photos, b.photos) and torch.equal(a.paintings, b.paintings) and tuple(a.lost) == tuple(b.lost)
        for a, b in zip(one, other, strict=True)
    )


@pytest.mark.parametrize("preset", PRESETS)
def test_cached_batches_are_those_of_the_files(preset: str, sets: Sets) -> None:
    """Over thirteen epochs: with stand-ins for what is lost or of one colour, and the same sentences."""
    expected = of_files(sets, preset, places())
    found = list(gathered(cached(sets, preset), places(), CPU))
    assert same(found, expected)
    assert any(batch.lost for batch in found)
    assert all(batch.photos.dtype == torch.uint8 for batch in found)


@pytest.mark.parametrize("preset", ["paper", "zoom"])
def test_any_start_and_any_process_gives_its_part(preset: str, sets: Sets) -> None:
    pictures = cached(sets, preset)
    whole = list(gathered(pictures, places(), CPU))
    assert same(list(gathered(pictures, places(17), CPU)), whole[17:])
    shares = [list(gathered(pictures, places(0, 10, rank=rank, processes=2), CPU)) for rank in range(2)]
    assert same([batch for pair in zip(*shares, strict=True) for batch in pair], whole[:20])


@pytest.mark.parametrize("preset", ["paper", "flip", "none"])
def test_batches_cut_out_on_the_device_are_the_same(preset: str, sets: Sets) -> None:
    """On the CPU here, as on a GPU."""
    pictures = cached(sets, preset)
    resident = Resident(pictures, CPU)
    assert same([resident.batch(asked) for asked in places()], of_files(sets, preset, places()))
    assert resident.photos.doubtful.sum() < len(sets.photos)


@pytest.mark.parametrize("often", [0, 1, 2])
def test_batches_gathered_ahead_of_their_turn_are_the_same_and_end_as_well(often: int, sets: Sets) -> None:
    found, batches = [], ResidentBatches(Resident(cached(sets, "paper"), CPU), places())
    for batch in batches:
        found.append(batch)
        for _ in range(often):
            batches.ahead()
        assert (batches.gathered is not None) == (often > 0 and len(found) < 40)
    assert same(found, of_files(sets, "paper", places()))
    assert next(batches, None) is None


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("resident", [True, False])
def test_batches_on_a_gpu_are_the_same(
    resident: bool, preset: str, sets: Sets, monkeypatch: pytest.MonkeyPatch
) -> None:
    device, pictures = torch.device("cuda"), cached(sets, preset)
    assert fits_on(device, pictures) == (preset != "zoom")
    if not resident:
        monkeypatch.setattr("cyclestyle.data.gathering.fits_on", lambda *_: False)
    found = list(gathered(pictures, places(), device))
    assert all(batch.photos.is_cuda == (resident and preset != "zoom") for batch in found)
    brought = [Batch(batch.photos.to(device).cpu(), batch.paintings.to(device).cpu(), batch.lost) for batch in found]
    assert same(brought, of_files(sets, preset, places()))


def test_cutting_out_is_slicing_and_mirroring() -> None:
    pixels = torch.arange(5 * 3 * 9 * 8, dtype=torch.int32).reshape(5, 3, 9, 8)
    chosen = torch.tensor([[4, 0, 0, 0], [1, 3, 2, 1], [1, 2, 1, 0], [0, 3, 2, 1]])
    expected = torch.stack(
        [
            pixels[4, :, 0:6, 0:6],
            pixels[1, :, 3:9, 2:8].flip(2),
            pixels[1, :, 2:8, 1:7],
            pixels[0, :, 3:9, 2:8].flip(2),
        ]
    )
    assert torch.equal(cut_out(pixels, chosen, 6), expected)


def test_files_are_not_held_on_a_device(sets: Sets) -> None:
    assert not fits_on(torch.device("cuda"), UnpairedPictures(sets, settings("paper"), 0))


def test_leaving_early_ends_the_thread(sets: Sets) -> None:
    import threading

    batches = gathered(cached(sets, "zoom"), places(0, 1 << 40), CPU)
    next(batches)
    assert any(thread.name.startswith("pictures") for thread in threading.enumerate())
    batches.close()  # type: ignore[attr-defined]
    assert not any(thread.name.startswith("pictures_") for thread in threading.enumerate())


def test_what_vanishes_after_it_was_cached_is_not_missed(tmp_path: Path, draw: Draw) -> None:
    mine = Sets(draw(tmp_path / "photos", 4), draw(tmp_path / "paintings", 3, seed=1), [], [])
    expected = of_files(mine, "paper", places(0, 8))
    pictures = cached(mine, "paper")
    for path in (*mine.photos, *mine.paintings):
        path.unlink()
    assert same(list(gathered(pictures, places(0, 8), CPU)), expected)


def test_where_nothing_can_be_read_it_stops_and_says_where(tmp_path: Path, draw: Draw) -> None:
    mine = Sets(draw(tmp_path / "photos", 4), draw(tmp_path / "paintings", 3, seed=1), [], [])
    for path in mine.paintings:
        path.write_bytes(b"<html>")
    pictures = cached(mine, "paper")
    with pytest.raises(ValueError, match="is their folder still there"):
        next(gathered(pictures, places(), CPU))
    with pytest.raises(ValueError, match="is their folder still there"):
        Resident(pictures, CPU).batch([0])


def test_a_batch_is_a_writable_tensor_of_its_own(sets: Sets) -> None:
    first, second = (next(gathered(cached(sets, "none"), places(), CPU)) for _ in range(2))
    first.photos.zero_()
    assert np.asarray(second.photos).any()
