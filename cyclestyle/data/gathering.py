"""Batches from cached pictures, without processes that load: on the device itself where the pictures fit there.

Both ways give the bytes that reading the files would.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from cyclestyle.data.augment import Augmentation, Cut
from cyclestyle.data.cache import Cache, core_is_flat
from cyclestyle.data.unpaired import Batch, Places, UnpairedPictures

AT_ONCE = 256
"""Pictures that are brought to a device together."""
SHARE = 3
"""The pictures may take one part in so many of a GPU's free memory."""


def gathered(pictures: UnpairedPictures, places: Places, device: torch.device) -> Iterator[Batch]:
    """The batches of `places` from cached `pictures`, in order."""
    if device.type == "cuda" and fits_on(device, pictures):
        return ResidentBatches(Resident(pictures, device), places)
    if device.type == "cuda" or pictures.augmentation.scaled_to is None:
        return _one_ahead(pictures, places, pin=device.type == "cuda")
    return (pictures.batch(asked) for asked in places)


def _one_ahead(pictures: UnpairedPictures, places: Places, *, pin: bool) -> Iterator[Batch]:
    """While one batch is learnt from, a thread gathers the next."""
    pool = ThreadPoolExecutor(1, thread_name_prefix="pictures")
    try:
        waiting = None
        for asked in places:
            following = pool.submit(pictures.batch, asked, pin=pin)
            if waiting is not None:
                yield waiting.result()
            waiting = following
        if waiting is not None:
            yield waiting.result()
    finally:
        pool.shutdown(cancel_futures=True)


def fits_on(device: torch.device, pictures: UnpairedPictures) -> bool:
    """Whether cached pictures are of one size and take no more than their share of a GPU's memory."""
    caches = [shelf for shelf in pictures.shelves if isinstance(shelf, Cache)]
    if pictures.augmentation.scaled_to is None or len(caches) < 2:
        return False
    free, _ = torch.cuda.mem_get_info(device)
    return sum(int(cache.ends[-1]) for cache in caches) <= free // SHARE


class Resident:
    """Cached pictures of one size, held on a device; batches are cut out of them there."""

    def __init__(self, pictures: UnpairedPictures, device: torch.device) -> None:
        self.pictures, self.device = pictures, device
        self.photos, self.paintings = (_upload(cache, pictures.augmentation, device) for cache in _caches(pictures))

    def batch(self, places: list[int]) -> Batch:
        """The pairs at some places, on the device, still bytes."""
        side, lost = self.pictures.augmentation.side, []
        aside = np.empty((3, side, side), dtype=np.uint8)
        photos: list[tuple[int, Cut]] = []
        paintings: list[tuple[int, Cut]] = []
        for place in places:
            turn = self.pictures.turn(place)
            photo, painting = turn.photo, turn.painting
            if self.photos.doubtful[photo]:
                photo = self.pictures.take_photo(turn, aside, lost)
            if self.paintings.doubtful[painting]:
                painting = self.pictures.take_painting(turn, aside, lost)
            photos.append((photo, turn.photo_cut))
            paintings.append((painting, turn.painting_cut))
        # One transfer for the numbers of both.
        chosen = torch.tensor(
            [[self.photos.slot[index], *cut[:3]] for index, cut in photos]
            + [[self.paintings.slot[index], *cut[:3]] for index, cut in paintings]
        )
        if self.device.type == "cuda":
            chosen = chosen.pin_memory()
        of_photos, of_paintings = chosen.to(self.device, non_blocking=True).chunk(2)
        return Batch(
            cut_out(self.photos.pixels, of_photos, side),
            cut_out(self.paintings.pixels, of_paintings, side),
            tuple(lost),
        )


class ResidentBatches(Iterator[Batch]):
    """The batches of some places; the next one is gathered when it is asked for, or before."""

    def __init__(self, resident: Resident, places: Places) -> None:
        self.resident, self.places = resident, iter(places)
        self.gathered: Batch | None = None

    def ahead(self) -> None:
        """Gather the next batch now, if there is one: while the device is at work, and not while it waits."""
        asked = next(self.places, None) if self.gathered is None else None
        if asked is not None:
            self.gathered = self.resident.batch(asked)

    def __next__(self) -> Batch:
        self.ahead()
        if self.gathered is None:
            raise StopIteration
        batch, self.gathered = self.gathered, None
        return batch


class Held(NamedTuple):
    """A set on a device."""

    pixels: torch.Tensor
    """(n, 3, side, side), bytes."""
    slot: NDArray[np.int64]
    """By picture: where it is among them."""
    doubtful: NDArray[np.bool_]
    """By picture: that it could not be read, or that a cut of it may be of one colour."""


def cut_out(pixels: torch.Tensor, chosen: torch.Tensor, side: int) -> torch.Tensor:
    """Cut (m, 3, side, side) out of (n, 3, h, w).

    Args:
        pixels: all pictures.
        chosen: (m, 4) whole numbers: which picture, the first row, the first column, whether it is mirrored.
        side: of the cuts.
    """
    which, top, left, mirror = chosen.unsqueeze(2).unbind(1)  # (m, 1) each
    along = torch.arange(side, device=pixels.device)
    rows = top + along
    columns = left + torch.where(mirror.bool(), side - 1 - along, along)
    planes = torch.arange(3, device=pixels.device)
    return pixels[which[:, :, None, None], planes[:, None, None], rows[:, None, :, None], columns[:, None, None, :]]


def _caches(pictures: UnpairedPictures) -> list[Cache]:
    caches = [shelf for shelf in pictures.shelves if isinstance(shelf, Cache)]
    assert len(caches) == 2, "only cached pictures are held on a device"
    return caches


def _upload(cache: Cache, augmentation: Augmentation, device: torch.device) -> Held:
    there = np.array([entry.shape is not None for entry in cache.entries])
    side, count = augmentation.scaled_to, int(there.sum())
    assert side is not None, "only pictures of one size are held on a device"
    whole = cache.bytes[: cache.ends[-1]].reshape(count, 3, side, side)
    pixels = torch.empty(whole.shape, dtype=torch.uint8, device=device)
    doubtful = np.ones(len(there), dtype=bool)
    flat = np.empty(count, dtype=bool)
    for first in range(0, count, AT_ONCE):
        part = whole[first : first + AT_ONCE].copy()  # torch wants arrays that could be written
        pixels[first : first + AT_ONCE] = torch.from_numpy(part)
        flat[first : first + AT_ONCE] = core_is_flat(part, augmentation)
    doubtful[there] = flat
    return Held(pixels, np.cumsum(there) - 1, doubtful)
