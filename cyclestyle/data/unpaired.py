"""Unpaired batches: every photo once per epoch, each beside a painting drawn anew.

Nothing here keeps a random state. The photos are read as one endless row, epoch after epoch, each epoch in an order of
its own; a step takes the next stretch of it, and each process its share of the stretch. What stands at a place in the
row, and how it is cut and mirrored, follows from (seed, epoch, index, domain) alone. So the number of workers or
processes changes nothing, no photo is dropped or seen twice, and training can go on from any step.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import torch
from torch.utils.data import Dataset, Sampler

from cyclestyle.config import DataSettings
from cyclestyle.data.augment import Augmentation, Cut, in_range
from cyclestyle.data.decoding import Pixels, read_pixels
from cyclestyle.data.draws import INSTEAD_OF_PAINTING, INSTEAD_OF_PHOTO, Draws, generator
from cyclestyle.data.folders import Sets

ATTEMPTS = 8
"""Pictures in a row that may be unreadable; after so many it is not the pictures, it is the folder."""


class Shelf(Protocol):
    """Where the pictures of a set come from, as `Augmentation.prepare` or `to_keep` gives them."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Pixels:
        """Raises ValueError or OSError, with a sentence, for a picture that cannot be read."""
        ...


class Files:
    """Read from the disk each time."""

    def __init__(self, paths: Sequence[Path], augmentation: Augmentation) -> None:
        self.paths, self.augmentation = paths, augmentation

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Pixels:
        return self.augmentation.prepare(read_pixels(self.paths[index]))


class Batch(NamedTuple):
    """Photos and as many paintings, each pair of which has nothing to do with each other.

    They are bytes until they are on the device: a quarter to move, and made floats by the one that is to learn.
    """

    photos: torch.Tensor  # (n, 3, crop, crop), bytes, or Images
    paintings: torch.Tensor  # (n, 3, crop, crop), likewise
    lost: tuple[str, ...] = ()
    """Why others had to stand in for the pictures whose turn it was: a sentence for each."""

    def to(self, device: torch.device) -> "Batch":
        """The same on a device, as Images: float, in [-1, 1]."""
        photos, paintings = (in_range(one.to(device, non_blocking=True)) for one in (self.photos, self.paintings))
        return Batch(photos, paintings, self.lost)


class Turn(NamedTuple):
    """What stands at a place in the row."""

    epoch: int
    photo: int
    painting: int
    photo_cut: Cut
    painting_cut: Cut


class UnpairedPictures(Dataset[Batch]):
    """The pairs at places in the endless row of photos."""

    def __init__(
        self, sets: Sets, settings: DataSettings, seed: int, shelves: tuple[Shelf, Shelf] | None = None
    ) -> None:
        """`shelves`: where photos and paintings come from, if not from their files."""
        self.photos: Sequence[Path] = sets.photos
        self.paintings: Sequence[Path] = sets.paintings
        self.augmentation = Augmentation(settings)
        self.seed = seed
        self.shelves: tuple[Shelf, Shelf] = shelves or (
            Files(sets.photos, self.augmentation),
            Files(sets.paintings, self.augmentation),
        )
        self.draws = Draws(seed, len(sets.photos), len(sets.paintings), self.augmentation)

    def __getitem__(self, index: int) -> Batch:
        """The pair at one place."""
        return self.batch([index])

    def __getitems__(self, places: list[int]) -> Batch:
        """What PyTorch's loader asks for a batch."""
        return self.batch(places)

    def batch(self, places: Sequence[int], *, pin: bool = False) -> Batch:
        """The pairs at some places. `pin`: in memory that a GPU fetches from by itself."""
        side = self.augmentation.side
        photos, paintings = (
            torch.empty((len(places), 3, side, side), dtype=torch.uint8, pin_memory=pin) for _ in range(2)
        )
        lost: list[str] = []
        for place, photo, painting in zip(places, photos.numpy(), paintings.numpy(), strict=True):
            turn = self.turn(place)
            self.take_photo(turn, photo, lost)
            self.take_painting(turn, painting, lost)
        return Batch(photos, paintings, tuple(lost))

    def take_photo(self, turn: Turn, out: Pixels, lost: list[str]) -> int:
        """Cut a turn's photo into (3, crop, crop); returns its index, or that of the one which stands in for it."""
        key = turn.epoch, turn.photo, INSTEAD_OF_PHOTO
        return self._take(self.shelves[0], turn.photo, turn.photo_cut, key, out, lost)

    def take_painting(self, turn: Turn, out: Pixels, lost: list[str]) -> int:
        """Likewise its painting."""
        key = turn.epoch, turn.photo, INSTEAD_OF_PAINTING
        return self._take(self.shelves[1], turn.painting, turn.painting_cut, key, out, lost)

    def _take(self, shelf: Shelf, index: int, cut: Cut, key: tuple[int, int, int], out: Pixels, lost: list[str]) -> int:
        """A picture, cut; where it can no longer be read, or the cut is of one colour, another chosen by the key.

        A single colour teaches nothing, and instance norm makes enormous gradients of it. If nothing else comes up,
        it is taken all the same.
        """
        flat: tuple[int, Pixels] | None = None
        for attempt in range(ATTEMPTS):
            if attempt:
                index = int(generator(self.seed, *key, attempt).integers(len(shelf)))
            try:
                prepared = shelf[index]
            except (ValueError, OSError) as error:
                lost.append(str(error))
                continue
            self.augmentation.cut(prepared, cut, out)
            if not is_flat(out):
                return index
            flat = index, out.copy()
        if flat is None:
            raise ValueError(f"{ATTEMPTS} pictures in a row cannot be read; is their folder still there? {lost[-1]}")
        out[:] = flat[1]
        return flat[0]

    def names(self, place: int) -> tuple[Path, Path]:
        """The photo and the painting whose turn it is at a place in the row."""
        turn = self.turn(place)
        return self.photos[turn.photo], self.paintings[turn.painting]

    def turn(self, place: int) -> Turn:
        """All that is drawn for a place in the row."""
        number, photo = self.photo_at(place)
        epoch = self.draws.epoch(number)
        return Turn(number, photo, int(epoch.beside[photo]), epoch.photos.of(photo), epoch.paintings.of(photo))

    def photo_at(self, place: int) -> tuple[int, int]:
        """(epoch, index of the photo) at a place in the row."""
        epoch, position = divmod(place, len(self.photos))
        return epoch, int(self.draws.epoch(epoch).order[position])

    def painting_at(self, epoch: int, index: int) -> int:
        """Index of the painting that stands beside photo `index` in `epoch`."""
        return int(self.draws.epoch(epoch).beside[index])


def is_flat(pixels: Pixels) -> bool:
    """Whether (3, h, w) is of one colour."""
    corner, middle = pixels[:, 0, 0], pixels[:, pixels.shape[1] // 2, pixels.shape[2] // 2]
    # These two pixels tell it of nearly every picture that is not.
    return corner.tobytes() == middle.tobytes() and not (pixels != corner[:, None, None]).any()


class Places(Sampler[list[int]]):
    """The places of one process's batches, from `first` to before `last` (counted in passes)."""

    def __init__(self, first: int, last: int, *, batch: int, rank: int, processes: int) -> None:
        self.first, self.last, self.batch, self.rank, self.processes = first, last, batch, rank, processes

    def __len__(self) -> int:
        return self.last - self.first

    def __iter__(self) -> Iterator[list[int]]:
        for number in range(self.first, self.last):
            start = (number * self.processes + self.rank) * self.batch
            yield list(range(start, start + self.batch))
