"""Unpaired batches: every photo once per epoch, each beside a painting drawn anew.

Nothing here keeps a random state. The photos are read as one endless row, epoch after epoch, each epoch in an order of
its own; a step takes the next stretch of it, and each process its share of the stretch. What stands at a place in the
row, and how it is cut and mirrored, follows from (seed, epoch, index, domain) alone. So the number of workers or
processes changes nothing, no photo is dropped or seen twice, and training can go on from any step.
"""

import atexit
import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from cyclestyle.config import DataSettings
from cyclestyle.data.augment import augment, build_augmentation
from cyclestyle.data.folders import Sets
from cyclestyle.images import Images, load
from cyclestyle.stopping import ignore_signals

# What a number is drawn for. They are part of every seed: changing one changes every run.
ORDER, PAINTING, AUGMENT_PHOTO, AUGMENT_PAINTING = range(4)
INSTEAD_OF_PHOTO, INSTEAD_OF_PAINTING = 5, 6  # 4 is the replay memory's

PR_SET_PDEATHSIG = 1  # of Linux' prctl
ATTEMPTS = 8
"""Pictures in a row that may be unreadable; after so many it is not the pictures, it is the folder."""


class Pair(NamedTuple):
    """A photo and a painting that have nothing to do with each other."""

    photo: torch.Tensor  # (3, crop, crop)
    painting: torch.Tensor  # (3, crop, crop)
    lost: tuple[str, ...]
    """Why others had to stand in for the pictures whose turn it was: a sentence for each."""


class Batch(NamedTuple):
    """Pairs, stacked."""

    photos: Images  # (n, 3, crop, crop)
    paintings: Images  # (n, 3, crop, crop)
    lost: tuple[str, ...] = ()
    """Sentences on pictures that others had to stand in for."""

    def to(self, device: torch.device) -> "Batch":
        """The same on a device."""
        return Batch(self.photos.to(device, non_blocking=True), self.paintings.to(device, non_blocking=True), self.lost)


class UnpairedPictures(Dataset[Pair]):
    """The pair at a place in the endless row of photos."""

    def __init__(self, sets: Sets, settings: DataSettings, seed: int) -> None:
        self.photos: Sequence[Path] = sets.photos
        self.paintings: Sequence[Path] = sets.paintings
        self.chain = build_augmentation(settings)
        self.seed = seed
        self._order: tuple[int, np.ndarray] | None = None

    def __getitem__(self, index: int) -> Pair:
        epoch, photo = self.photo_at(index)
        stranger = self.painting_at(epoch, photo)
        lost: list[str] = []
        return Pair(
            photo=self._cut(self.photos, photo, (epoch, photo), AUGMENT_PHOTO, INSTEAD_OF_PHOTO, lost),
            painting=self._cut(self.paintings, stranger, (epoch, photo), AUGMENT_PAINTING, INSTEAD_OF_PAINTING, lost),
            lost=tuple(lost),
        )

    def _cut(
        self, paths: Sequence[Path], index: int, turn: tuple[int, int], augmenting: int, instead: int, lost: list[str]
    ) -> torch.Tensor:
        """A picture, cut; where it can no longer be read, or the cut is of one colour, another chosen by the turn.

        A single colour teaches nothing, and instance norm makes enormous gradients of it. If nothing else comes up,
        it is taken all the same.
        """
        flat: torch.Tensor | None = None
        for attempt in range(ATTEMPTS):
            if attempt:
                index = int(generator(self.seed, *turn, instead, attempt).integers(len(paths)))
            try:
                picture = load(paths[index])
            except (ValueError, OSError) as error:
                lost.append(str(error))
                continue
            cut = augment(self.chain, picture, draw_seed(self.seed, *turn, augmenting))
            if (cut.amax(dim=(1, 2)) > cut.amin(dim=(1, 2))).any():
                return cut
            flat = cut
        if flat is None:
            raise ValueError(f"{ATTEMPTS} pictures in a row cannot be read; is their folder still there? {lost[-1]}")
        return flat

    def names(self, place: int) -> tuple[Path, Path]:
        """The photo and the painting whose turn it is at a place in the row."""
        epoch, photo = self.photo_at(place)
        return self.photos[photo], self.paintings[self.painting_at(epoch, photo)]

    def photo_at(self, place: int) -> tuple[int, int]:
        """(epoch, index of the photo) at a place in the row."""
        epoch, position = divmod(place, len(self.photos))
        if self._order is None or self._order[0] != epoch:
            self._order = epoch, generator(self.seed, epoch, 0, ORDER).permutation(len(self.photos))
        return epoch, int(self._order[1][position])

    def painting_at(self, epoch: int, index: int) -> int:
        """Index of the painting that stands beside photo `index` in `epoch`."""
        return int(generator(self.seed, epoch, index, PAINTING).integers(len(self.paintings)))


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


def build_loader(pictures: UnpairedPictures, places: Places, settings: DataSettings, *, pin: bool) -> DataLoader[Batch]:
    """Batches in the order of `places`, loaded ahead by `workers` processes."""
    loader = DataLoader(
        pictures,
        batch_sampler=places,
        num_workers=settings.workers,
        collate_fn=_stack,
        pin_memory=pin,
        worker_init_fn=partial(_begin_worker, os.getpid()),
    )
    return cast(DataLoader[Batch], loader)  # DataLoader's type does not know what collate_fn makes of its items


def _begin_worker(parent: int, number: int) -> None:
    """Leave signals to the parent, and end with it.

    PyTorch watches the parent too, but asks for its number later: if it is killed before that, the worker stays.
    """
    ignore_signals()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


@atexit.register
def _end_workers() -> None:
    """Python asks children that are left to end, and waits; these ignore it."""
    for child in multiprocessing.active_children():
        child.kill()


def _stack(pairs: list[Pair]) -> Batch:
    return Batch(
        torch.stack([pair.photo for pair in pairs]),
        torch.stack([pair.painting for pair in pairs]),
        tuple(sentence for pair in pairs for sentence in pair.lost),
    )


def generator(*key: int) -> np.random.Generator:
    """A random generator that follows from a few whole numbers alone."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(key)))


def draw_seed(*key: int) -> int:
    """A seed that follows from a few whole numbers alone."""
    return int(np.random.SeedSequence(key).generate_state(1, np.uint32)[0])
