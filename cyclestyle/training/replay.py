"""The discriminators' memory of made pictures (Shrivastava et al. 2017; CycleGAN, section 4)."""

import torch

from cyclestyle.data.unpaired import generator
from cyclestyle.images import Images

REPLAY = 4
"""What the chances are drawn for; the numbers below it are taken in data/unpaired.py."""


class Replay:
    """Remembers up to `size` made pictures of one domain.

    While there is room, every picture is kept and also returned. Then each picture is, with probability one half,
    exchanged for a random remembered one; otherwise it is returned and not kept. The chances follow from the key
    and the number of the pass alone, so nothing but the pictures needs to be saved.
    """

    def __init__(self, size: int, *key: int) -> None:
        self.size = size
        self.key = key
        self.pictures: Images | None = None  # (size, 3, h, w), of which the first `filled` count
        self.filled = 0
        self._undo: list[tuple[int, int, torch.Tensor]] = []  # (how many there were, place, what stood there)

    def exchange(self, images: Images, number: int) -> Images:
        """Trade (n, 3, h, w) fresh pictures, detached, for as many to show the discriminator in pass `number`."""
        if self.size == 0:
            return images
        if self.pictures is None:
            self.pictures = images.new_zeros((self.size, *images.shape[1:]), dtype=torch.float32)
        chances = generator(*self.key, number, REPLAY)
        shown = images.clone()
        for place in range(len(images)):
            if self.filled < self.size:
                self._put(self.filled, images[place])
                self.filled += 1
            elif chances.random() < 0.5:
                chosen = int(chances.integers(self.size))
                shown[place] = self.pictures[chosen]
                self._put(chosen, images[place])
        return shown

    def _put(self, place: int, image: torch.Tensor) -> None:
        assert self.pictures is not None
        self._undo.append((self.filled, place, self.pictures[place].clone()))
        self.pictures[place] = image

    def settle(self) -> None:
        """Keep what was exchanged since the last time."""
        self._undo.clear()

    def take_back(self) -> None:
        """Undo what was exchanged since the last `settle`: the step that made these pictures was skipped."""
        assert self.pictures is not None or not self._undo
        while self._undo:
            self.filled, place, before = self._undo.pop()
            self.pictures[place] = before  # type: ignore[index]

    def state(self) -> Images | None:
        """The remembered pictures, oldest place first; None if there are none yet."""
        return None if self.pictures is None else self.pictures[: self.filled].clone()

    def restore(self, pictures: Images) -> None:
        """Remember what `state` gave."""
        self._undo.clear()
        self.filled = len(pictures)
        self.pictures = pictures.new_zeros((self.size, *pictures.shape[1:]))
        self.pictures[: self.filled] = pictures
