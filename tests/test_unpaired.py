"""Every photo once per epoch, each beside a painting drawn anew, the same for any number of processes and any start."""

import os
import random
from collections import Counter
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cyclestyle.config import DataSettings
from cyclestyle.data.folders import Sets
from cyclestyle.data.loaders import build_loader
from cyclestyle.data.unpaired import (
    ATTEMPTS,
    Batch,
    Places,
    UnpairedPictures,
)

CROP = 16
PHOTOS, PAINTINGS = 7, 5


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Sets:
    """Pictures that can be told apart."""
    folder = tmp_path_factory.mktemp("pictures")
    chances = np.random.default_rng(0)
    paths: list[Path] = []
    for number in range(PHOTOS + PAINTINGS):
        paths.append(folder / f"{number}.png")
        Image.fromarray(chances.integers(0, 256, (CROP, CROP, 3), dtype=np.uint8)).save(paths[-1])
    return Sets(photos=paths[:PHOTOS], paintings=paths[PHOTOS:], test_photos=[], test_paintings=[])


def named(photos: int, paintings: int, seed: int = 0) -> UnpairedPictures:
    """Sets of names without files, for asking what stands where."""
    sets = Sets([Path(f"{n}.jpg") for n in range(photos)], [Path(f"{n}.jpg") for n in range(paintings)], [], [])
    return UnpairedPictures(sets, settings_for("none"), seed)


def settings_for(augmentation: str, *, batch: int = 1, workers: int = 0) -> DataSettings:
    return DataSettings(augmentation=augmentation, crop=CROP, resize=24, batch=batch, workers=workers)


def order(pictures: UnpairedPictures, epoch: int) -> list[int]:
    count = len(pictures.photos)
    return [pictures.photo_at(epoch * count + position)[1] for position in range(count)]


def batches(
    sets: Sets,
    first: int,
    last: int,
    *,
    batch: int = 2,
    workers: int = 0,
    rank: int = 0,
    processes: int = 1,
    augmentation: str = "zoom",
    seed: int = 3,
) -> list[Batch]:
    settings = settings_for(augmentation, batch=batch, workers=workers)
    places = Places(first, last, batch=batch, rank=rank, processes=processes)
    loader = iter(build_loader(UnpairedPictures(sets, settings, seed), places, settings, pin=False))
    try:
        return list(loader)
    finally:
        if workers:  # what is left to the garbage collector takes ten seconds
            loader._shutdown_workers()


def same(one: list[Batch], other: list[Batch]) -> bool:
    return len(one) == len(other) and all(
        torch.equal(a.photos, b.photos) and torch.equal(a.paintings, b.paintings)
        for a, b in zip(one, other, strict=True)
    )


# --- the order of the photos --------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 7, 300])
def test_every_photo_comes_exactly_once_per_epoch(count: int) -> None:
    pictures = named(count, 3)
    for epoch in range(4):
        assert sorted(order(pictures, epoch)) == list(range(count))
        assert {pictures.photo_at(epoch * count + position)[0] for position in range(count)} == {epoch}


@pytest.mark.parametrize(("batch", "processes"), [(1, 1), (2, 1), (3, 2), (4, 3), (5, 8), (50, 2)])
def test_every_photo_comes_once_per_epoch_whatever_the_batch_and_the_number_of_processes(
    batch: int, processes: int
) -> None:
    """Also where an epoch ends in the middle of a batch: none is dropped and none comes twice."""
    count = 23
    steps = -(-count * 5 // (batch * processes))
    pictures = named(count, 3)
    seen = Counter(
        pictures.photo_at(place)
        for rank in range(processes)
        for places in Places(0, steps, batch=batch, rank=rank, processes=processes)
        for place in places
    )
    for epoch in range(5):
        assert all(seen[epoch, photo] == 1 for photo in range(count))


def test_the_order_differs_between_epochs_and_between_seeds() -> None:
    orders = [tuple(order(named(30, 3, seed), epoch)) for seed in range(5) for epoch in range(5)]
    assert len(set(orders)) == 25
    assert tuple(range(30)) not in orders


def test_every_photo_comes_first_equally_often() -> None:
    pictures = named(10, 3)
    counts = Counter(pictures.photo_at(10 * epoch)[1] for epoch in range(1000))
    # Chi-square with 9 degrees of freedom: above 27.9 with a chance of 1 in 1,000.
    assert sum((counts[photo] - 100) ** 2 / 100 for photo in range(10)) < 27.9


def test_what_stands_at_a_place_does_not_depend_on_where_one_looked_before() -> None:
    expected = {place: named(11, 4).photo_at(place) for place in range(55)}
    looked, places = named(11, 4), list(range(55)) * 3
    random.Random(0).shuffle(places)
    for place in places:
        assert looked.photo_at(place) == expected[place]


# --- the paintings beside them ------------------------------------------------------------------------------------


def test_paintings_are_drawn_uniformly() -> None:
    pictures = named(100, 20)
    counts = Counter(pictures.painting_at(epoch, photo) for epoch in range(40) for photo in range(100))
    assert set(counts) == set(range(20))
    # Chi-square with 19 degrees of freedom: above 43.8 with a chance of 1 in 1,000.
    assert sum((counts[painting] - 200) ** 2 / 200 for painting in range(20)) < 43.8


def test_a_photo_stands_beside_other_paintings_in_other_epochs_and_runs() -> None:
    pictures = named(100, 20)
    beside = np.array([[pictures.painting_at(epoch, photo) for photo in range(100)] for epoch in range(20)])
    other = np.array([named(100, 20, seed=1).painting_at(0, photo) for photo in range(100)])
    # Two independent draws agree in 5 of 100; four standard deviations above that are 14.
    for epoch in range(1, 20):
        assert (beside[0] == beside[epoch]).sum() < 14
    assert (beside[0] == other).sum() < 14
    assert min(len(set(column)) for column in beside.T) > 5  # of 20 draws, about 13 are different


def test_the_first_paintings_are_not_the_first_photos() -> None:
    """Order and painting are different draws, though both follow from seed, epoch and index."""
    pictures = named(50, 50)
    agree = sum(order(pictures, epoch)[n] == pictures.painting_at(epoch, n) for epoch in range(20) for n in range(50))
    assert agree < 20 + 4 * 20**0.5


# --- places -------------------------------------------------------------------------------------------------------


def test_one_process_takes_the_row_as_it_stands() -> None:
    assert list(Places(0, 3, batch=2, rank=0, processes=1)) == [[0, 1], [2, 3], [4, 5]]


def test_two_processes_share_each_stretch() -> None:
    assert list(Places(0, 2, batch=2, rank=0, processes=2)) == [[0, 1], [4, 5]]
    assert list(Places(0, 2, batch=2, rank=1, processes=2)) == [[2, 3], [6, 7]]


@pytest.mark.parametrize(("batch", "processes"), [(1, 1), (3, 1), (1, 2), (2, 3), (4, 8)])
def test_all_processes_together_take_what_one_would_take(batch: int, processes: int) -> None:
    shares = [list(Places(2, 9, batch=batch, rank=rank, processes=processes)) for rank in range(processes)]
    together = [[place for share in step for place in share] for step in zip(*shares, strict=True)]
    assert together == list(Places(2, 9, batch=batch * processes, rank=0, processes=1))


def test_a_later_start_goes_on_where_an_earlier_one_would_be() -> None:
    whole = Places(0, 20, batch=3, rank=1, processes=2)
    rest = Places(7, 20, batch=3, rank=1, processes=2)
    assert list(rest) == list(islice(whole, 7, None))
    assert (len(whole), len(rest)) == (20, 13)
    assert list(rest) == list(rest)  # read again, it is the same


# --- batches ------------------------------------------------------------------------------------------------------


def test_a_batch_holds_photos_and_paintings_of_the_crops_size(sets: Sets) -> None:
    for made in batches(sets, 0, 5, batch=3):
        assert made.photos.shape == made.paintings.shape == (3, 3, CROP, CROP)
        assert made.photos.dtype == made.paintings.dtype == torch.uint8
        assert made.photos.is_contiguous()
        there = made.to(torch.device("cpu"))
        assert there.photos.dtype == there.paintings.dtype == torch.float32
        assert torch.equal(there.photos, made.photos.float() / 127.5 - 1)
        assert there.to(torch.device("cpu")).photos is there.photos  # what is float already stays so


def test_the_pixels_are_those_of_the_pictures_that_the_order_names(sets: Sets) -> None:
    def tensor(path: Path) -> torch.Tensor:
        return torch.from_numpy(np.asarray(Image.open(path)).copy()).permute(2, 0, 1)

    pictures = UnpairedPictures(sets, settings_for("none"), 3)
    made = batches(sets, 0, 5, batch=3, augmentation="none")  # 15 pairs: two epochs and one photo
    photos = torch.cat([batch.photos for batch in made])
    paintings = torch.cat([batch.paintings for batch in made])
    for place in range(15):
        epoch, photo = pictures.photo_at(place)
        assert torch.equal(photos[place], tensor(sets.photos[photo]))
        assert torch.equal(paintings[place], tensor(sets.paintings[pictures.painting_at(epoch, photo)]))
    assert sorted(order(pictures, 0)) == list(range(PHOTOS))


def test_the_number_of_workers_changes_nothing(sets: Sets) -> None:
    assert same(batches(sets, 0, 12, workers=0), batches(sets, 0, 12, workers=2))


def test_global_random_states_change_nothing_and_are_left_alone(sets: Sets) -> None:
    expected = batches(sets, 0, 6)
    random.seed(5)
    np.random.seed(5)
    torch.manual_seed(5)
    assert same(batches(sets, 0, 6), expected)
    after = random.random(), np.random.random()
    random.seed(5)
    np.random.seed(5)
    assert after == (random.random(), np.random.random())


@pytest.mark.parametrize("workers", [0, 2])
def test_starting_in_the_middle_gives_the_same_batches(sets: Sets, workers: int) -> None:
    """In the middle of an epoch (7 photos, 2 a batch), in the second one, and where the first ends inside a batch."""
    whole = batches(sets, 0, 10)
    for first in (2, 3, 5) if workers == 0 else (3,):
        assert same(batches(sets, first, 10, workers=workers), whole[first:])


def test_two_processes_together_see_what_one_would_see(sets: Sets) -> None:
    alone = batches(sets, 0, 6, batch=4)
    shares = [batches(sets, 0, 6, batch=2, rank=rank, processes=2) for rank in range(2)]
    together = [
        Batch(torch.cat([a.photos, b.photos]), torch.cat([a.paintings, b.paintings]))
        for a, b in zip(*shares, strict=True)
    ]
    assert same(together, alone)


def test_another_seed_gives_other_batches(sets: Sets) -> None:
    assert same(batches(sets, 0, 3, seed=1), batches(sets, 0, 3, seed=1))
    assert not same(batches(sets, 0, 3, seed=1), batches(sets, 0, 3, seed=2))


def test_a_photo_is_cut_and_mirrored_anew_in_every_epoch(sets: Sets) -> None:
    pictures = UnpairedPictures(sets, settings_for("zoom"), 0)
    wanted = sets.photos[2]
    looks = set()
    for place in range(PHOTOS * 10):
        _, photo = pictures.photo_at(place)
        if sets.photos[photo] == wanted:
            looks.add(pictures[place].photos.numpy().tobytes())
    assert len(looks) == 10


def test_a_photo_and_its_painting_are_cut_and_mirrored_independently(sets: Sets) -> None:
    """With the same pictures on both sides, shared chances would show as equal pixels or equal mirroring."""
    one = Sets(sets.photos[:1], sets.photos[:1], [], [])
    pictures = UnpairedPictures(one, settings_for("flip"), 0)
    equal = sum(torch.equal(pictures[place].photos, pictures[place].paintings) for place in range(200))
    assert 70 < equal < 130  # both mirrored alike in half of all cases; four standard deviations of 7


def test_the_same_batches_come_out_in_another_folder(sets: Sets, tmp_path: Path) -> None:
    """Nothing follows from paths."""
    moved = []
    for path in [*sets.photos, *sets.paintings]:
        moved.append(tmp_path / path.name)
        os.link(path, moved[-1])
    there = Sets(moved[:PHOTOS], moved[PHOTOS:], [], [])
    assert same(batches(there, 0, 4), batches(sets, 0, 4))


# --- pictures that cannot be used ---------------------------------------------------------------------------------


def copied(sets: Sets, folder: Path) -> Sets:
    """The same pictures, which may be lost."""
    folder.mkdir()
    for path in [*sets.photos, *sets.paintings]:
        (folder / path.name).write_bytes(path.read_bytes())
    photos, paintings = ([folder / path.name for path in paths] for paths in (sets.photos, sets.paintings))
    return Sets(photos, paintings, [], [])


def sources(made: list[Batch], sets: Sets, which: str) -> list[int]:
    """Which picture each one is (without augmentation they are found again)."""
    paths = getattr(sets, which)
    known = [torch.from_numpy(np.asarray(Image.open(path)).copy()).permute(2, 0, 1) for path in paths]
    found = torch.cat([getattr(batch, which) for batch in made])
    return [next(n for n, one in enumerate(known) if torch.equal(picture, one)) for picture in found]


def test_a_picture_that_vanished_is_replaced_by_the_same_other_one_every_time(sets: Sets, tmp_path: Path) -> None:
    """Eight epochs: without workers, with them, and from the middle on."""
    mine = copied(sets, tmp_path / "pictures")
    mine.photos[2].unlink()
    mine.paintings[1].write_bytes(b"<html>")
    made = batches(mine, 0, 28, augmentation="none")
    assert same(batches(mine, 0, 28, augmentation="none", workers=2), made)
    assert same(batches(mine, 9, 28, augmentation="none"), made[9:])
    whole = batches(sets, 0, 28, augmentation="none")
    for which, gone in (("photos", 2), ("paintings", 1)):
        found, expected = sources(made, sets, which), sources(whole, sets, which)
        assert gone not in found
        assert gone in expected
        # those that are there stand where they stood, and others stand in, not one alone
        assert [n for n, one in zip(found, expected, strict=True) if one != gone] == [n for n in expected if n != gone]
        assert len({n for n, one in zip(found, expected, strict=True) if one == gone}) > 2


@pytest.mark.parametrize("workers", [0, 2])
def test_what_was_lost_is_named_with_the_reason_in_the_batch_that_missed_it(
    workers: int, sets: Sets, tmp_path: Path
) -> None:
    mine = copied(sets, tmp_path / "pictures")
    mine.photos[2].unlink()
    pictures = UnpairedPictures(mine, settings_for("none"), 3)
    due = [[pictures.photo_at(place)[1] == 2 for place in (2 * number, 2 * number + 1)] for number in range(14)]
    made = batches(mine, 0, 14, augmentation="none", workers=workers)
    assert [len(batch.lost) for batch in made] == [sum(pair) for pair in due]
    assert {sentence for batch in made for sentence in batch.lost} == {unread(mine.photos[2])}
    assert all(isinstance(batch, Batch) and batch.to(torch.device("cpu")).lost == tuple(batch.lost) for batch in made)


def unread(path: Path) -> str:
    from cyclestyle.images import load

    with pytest.raises((ValueError, OSError)) as caught:
        load(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_a_picture_of_one_colour_is_passed_over_and_stands_in_for_none(sets: Sets, tmp_path: Path) -> None:
    mine = copied(sets, tmp_path / "pictures")
    Image.new("RGB", (CROP, CROP), (200, 30, 60)).save(mine.photos[2])
    made = batches(mine, 0, 28, augmentation="none")
    photos = torch.cat([batch.photos for batch in made])
    assert all((photo.amax((1, 2)) > photo.amin((1, 2))).any() for photo in photos)
    assert all(batch.lost == () for batch in made)  # it is there, and can be read
    found, expected = sources(made, sets, "photos"), sources(batches(sets, 0, 28, augmentation="none"), sets, "photos")
    assert [n for n, one in zip(found, expected, strict=True) if one != 2] == [n for n in expected if n != 2]


def test_a_picture_that_is_flat_in_all_channels_but_one_is_not_flat(tmp_path: Path) -> None:
    """Its instance norm is well defined where something varies."""
    ramp = np.zeros((CROP, CROP, 3), dtype=np.uint8)
    ramp[..., 1] = np.arange(CROP)
    Image.fromarray(ramp).save(tmp_path / "ramp.png")
    Image.new("RGB", (CROP, CROP), "red").save(tmp_path / "flat.png")
    one = Sets([tmp_path / "ramp.png"], [tmp_path / "ramp.png"], [], [])
    assert UnpairedPictures(one, settings_for("none"), 0)[0].photos[0, 1].unique().numel() == CROP


def test_where_all_are_of_one_colour_they_are_taken_all_the_same(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        Image.new("RGB", (CROP, CROP), (200, 30, 60)).save(tmp_path / name)
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    pair = UnpairedPictures(Sets(paths, paths, [], []), settings_for("none"), 0)[0]
    assert pair.photos[0, :, 0, 0].tolist() == [200, 30, 60]
    assert pair.lost == ()


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("which", ["photos", "paintings"])
def test_where_a_whole_set_has_vanished_it_stops_and_says_where(
    which: str, workers: int, sets: Sets, tmp_path: Path
) -> None:
    mine = copied(sets, tmp_path / "pictures")
    for path in getattr(mine, which):
        path.unlink()
    with pytest.raises(ValueError, match="is their folder still there") as caught:
        batches(mine, 0, 1, workers=workers)
    assert f"{ATTEMPTS} pictures in a row" in str(caught.value)
    assert str(tmp_path / "pictures") in str(caught.value)
