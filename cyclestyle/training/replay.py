"""The discriminators' memory of made pictures (Shrivastava et al. 2017; CycleGAN, section 4)."""

from typing import NamedTuple

import torch

from cyclestyle.data.unpaired import generator
from cyclestyle.images import Images

REPLAY = 4
"""What the chances are drawn for; the numbers below it are taken in data/unpaired.py."""


class Trade(NamedTuple):
    """What becomes of each picture of a batch, drawn before it is made."""

    remembered: torch.Tensor
    """(n,) bool: whether a remembered picture is shown in its place, or one of the batch."""
    place: torch.Tensor
    """(n,) of the remembered picture in the memory."""
    fresh: torch.Tensor
    """(n,) of the picture in the batch: its own, or an earlier one that was kept and is given back at once."""
    kept: torch.Tensor
    """(n,) where it is kept in the memory; the spare place after the last one if it is not."""

    def to(self, device: torch.device) -> "Trade":
        """The same on a device, to which all of it goes at once."""
        return Trade.unpacked(self.packed().to(device, non_blocking=True))

    def packed(self) -> torch.Tensor:
        """(4, n) whole numbers."""
        return torch.stack([part.long() for part in self])

    @classmethod
    def unpacked(cls, numbers: torch.Tensor) -> "Trade":
        """The inverse of `packed`."""
        remembered, place, fresh, kept = numbers.unbind()
        return cls(remembered.bool(), place, fresh, kept)


def swap(pool: Images, images: Images, trade: Trade) -> tuple[Images, Images]:
    """Carry a trade out: (n, 3, h, w) to show, and the (n, 3, h, w) that stood where pictures are kept now.

    Nothing here waits for a GPU or depends on the numbers in `trade`, so that it can be recorded once and replayed.

    Args:
        pool: (size + 1, 3, h, w), written to.
        images: (n, 3, h, w) fresh ones, detached.
        trade: what `Replay.plan` drew, on their device.
    """
    before = pool[trade.kept]
    shown = torch.where(trade.remembered[:, None, None, None], pool[trade.place], images[trade.fresh])
    pool[trade.kept] = images.to(pool.dtype)
    return shown, before


class Replay:
    """Remembers up to `size` made pictures of one domain.

    While there is room, every picture is kept and also returned. Then each picture is, with probability one half,
    exchanged for a random remembered one; otherwise it is returned and not kept. The chances follow from the key
    and the number of the pass alone, so nothing but the pictures needs to be saved.
    """

    def __init__(self, size: int, *key: int) -> None:
        self.size = size
        self.key = key
        self.pictures: Images | None = None  # (size + 1, 3, h, w): the first `filled` count, the last is spare
        self.filled = 0
        self._undo: list[tuple[int, torch.Tensor, Images]] = []  # (how many there were, places, what stood there)

    def plan(self, count: int, number: int) -> Trade:
        """What becomes of the `count` pictures of pass `number`; how many will be remembered is counted at once."""
        chances = generator(*self.key, number, REPLAY)
        remembered, place, fresh, kept = [False] * count, [0] * count, list(range(count)), [self.size] * count
        holder: dict[int, int] = {}  # which picture of this batch stands at a place
        for own in range(count):
            if self.filled < self.size:
                chosen, self.filled = self.filled, self.filled + 1
            elif self.size and chances.random() < 0.5:
                chosen = int(chances.integers(self.size))
                earlier = holder.get(chosen)
                remembered[own], place[own] = earlier is None, chosen
                if earlier is not None:
                    fresh[own], kept[earlier] = earlier, self.size
            else:
                continue
            kept[own] = chosen
            holder[chosen] = own
        return Trade(torch.tensor(remembered), torch.tensor(place), torch.tensor(fresh), torch.tensor(kept))

    def room(self, images: Images) -> Images:
        """(size + 1, 3, h, w) for pictures like these, made when first asked for."""
        if self.pictures is None:
            self.pictures = images.new_zeros((self.size + 1, *images.shape[1:]), dtype=torch.float32)
        return self.pictures

    def exchange(self, images: Images, number: int) -> Images:
        """Trade (n, 3, h, w) fresh pictures, detached, for as many to show the discriminator in pass `number`."""
        if self.size == 0:
            return images
        before = self.filled
        trade = self.plan(len(images), number).to(images.device)
        shown, stood = swap(self.room(images), images, trade)
        self.note(before, trade.kept, stood)
        return shown

    def note(self, filled: int, kept: torch.Tensor, stood: Images) -> None:
        """Remember how to undo a trade: how many pictures there were, and what stood where others are kept now."""
        self._undo.append((filled, kept, stood))

    def settle(self) -> None:
        """Keep what was exchanged since the last time."""
        self._undo.clear()

    def take_back(self) -> None:
        """Undo what was exchanged since the last `settle`: the step that made these pictures was skipped."""
        assert self.pictures is not None or not self._undo
        while self._undo:
            self.filled, places, stood = self._undo.pop()
            self.pictures[places] = stood  # type: ignore[index]

    def state(self) -> Images | None:
        """The remembered pictures, oldest place first; None if there are none yet."""
        return None if self.pictures is None or not self.size else self.pictures[: self.filled].clone()

    def restore(self, pictures: Images) -> None:
        """Remember what `state` gave."""
        self._undo.clear()
        self.filled = len(pictures)
        self.pictures = None
        self.room(pictures)[: self.filled] = pictures
