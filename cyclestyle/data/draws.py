"""The chances of an epoch, drawn all at once: in which order, beside what, cut where.

They follow from (seed, epoch) alone, and what a picture gets of them from its index: nothing keeps a random state.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cyclestyle.data.augment import Augmentation, Cuts

# What a number is drawn for. They are part of every seed: changing one changes every run.
ORDER, PAINTING, AUGMENT_PHOTO, AUGMENT_PAINTING = range(4)
INSTEAD_OF_PHOTO, INSTEAD_OF_PAINTING = 5, 6  # 4 is the replay memory's


class Epoch(NamedTuple):
    """Every photo once; (photos,) each."""

    order: NDArray[np.int64]
    """The photo at each position."""
    beside: NDArray[np.int64]
    """By photo: the painting that stands beside it."""
    photos: Cuts
    """By photo: its chances."""
    paintings: Cuts
    """By photo: those of the painting beside it."""


class Draws:
    """Any epoch's chances; the last two are kept, since a batch may lie in both."""

    def __init__(self, seed: int, photos: int, paintings: int, augmentation: Augmentation) -> None:
        self.seed, self.photos, self.paintings, self.augmentation = seed, photos, paintings, augmentation
        self._known: dict[int, Epoch] = {}

    def epoch(self, number: int) -> Epoch:
        """The chances of an epoch."""
        known = self._known.get(number)
        if known is None:
            known = self._draw(number)
            self._known = {**dict(list(self._known.items())[-1:]), number: known}
        return known

    def _draw(self, number: int) -> Epoch:
        def chances(purpose: int) -> np.random.Generator:
            return generator(self.seed, number, 0, purpose)

        return Epoch(
            order=chances(ORDER).permutation(self.photos),
            beside=chances(PAINTING).integers(self.paintings, size=self.photos),
            photos=self.augmentation.draw(chances(AUGMENT_PHOTO), self.photos),
            paintings=self.augmentation.draw(chances(AUGMENT_PAINTING), self.photos),
        )


def generator(*key: int) -> np.random.Generator:
    """A random generator that follows from a few whole numbers alone."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(key)))


def draw_seed(*key: int) -> int:
    """A seed that follows from a few whole numbers alone."""
    return int(np.random.SeedSequence(key).generate_state(1, np.uint32)[0])
