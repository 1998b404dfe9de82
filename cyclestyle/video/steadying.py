"""Flicker: measured along the optical flow, and damped by averaging along it.

A painter sees every frame for the first time: noise and a shift by a part of a pixel are enough for other strokes. What
one frame shows is therefore blended with what the frames before have shown, moved to where it is now. Where nothing in
the frame before can be trusted to be the same thing, the frame stands for itself: nothing is dragged along.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch

from cyclestyle.translation.whole import blended
from cyclestyle.video.flow import Motion, Pixels, Values

KEPT = 0.8
"""Of what the frames before have shown, where it is trusted wholly: a mean over five frames, 0.2 s. Flicker falls
to a sixth (scripts/benchmarks/results/video.md); 0.9 would halve it once more, and lag behind the light."""


@dataclass
class Flicker:
    """Mean absolute differences, in levels of 255, between each frame and the one before moved onto it.

    Weighted by trust in the flow: where something has come into view there is nothing to compare.
    """

    trust: float = 0.0
    """Sum of all weights."""
    photo: float = 0.0
    painted: float = 0.0
    steadied: float = 0.0
    """Sums of weighted differences."""

    def add(self, along: Motion, before: "Frame", now: "Frame") -> None:
        """One step from frame to frame."""
        self.trust += float(along.trust.sum(dtype=np.float64))
        for name in ("photo", "painted", "steadied"):
            apart = np.abs(along.carried(getattr(before, name)) - getattr(now, name)).mean(2)
            setattr(self, name, getattr(self, name) + float((apart * along.trust).sum(dtype=np.float64)))

    def levels(self) -> dict[str, float]:
        """The means; of a video with nothing to compare, nothing."""
        names = ("photo", "painted", "steadied")
        return {name: getattr(self, name) / self.trust for name in names} if self.trust else {}


@dataclass(frozen=True)
class Frame:
    """One frame as it came, as it would be shown by itself, and as it is shown."""

    photo: Values
    painted: Values
    steadied: Values


@dataclass(frozen=True)
class Memory:
    """The frame before; paintings as the painter made them, in their own colours and at strength 1."""

    photo: Pixels
    painted: Pixels
    steadied: Values
    shown: Frame


@dataclass
class Steadier:
    """Goes through the frames of a video in their order. What it has to remember fits into `state`."""

    strength: float = 1.0
    keep_colour: bool = False
    kept: float = KEPT
    """0: nothing is damped, flicker is measured all the same."""
    flicker: Flicker = field(default_factory=Flicker)
    before: Memory | None = None

    def next(self, photo: Pixels, painted: Pixels, along: Motion | None) -> Pixels:
        """A frame, its painting and how it moved since the frame before, to what is shown; (h, w, 3)."""
        steadied = painted.astype(np.float32)
        if self.before is not None and along is not None and self.kept:
            carried = along.carried(self.before.steadied)
            steadied += self.kept * along.trust[..., None] * (carried - steadied)
            np.clip(steadied, 0, 255, out=steadied)  # cubic interpolation goes beyond
        shown = self._shown(photo, painted, steadied)
        if self.before is not None and along is not None:
            self.flicker.add(along, self.before.shown, shown)
        self.before = Memory(photo, painted, steadied, shown)
        return np.rint(shown.steadied).clip(0, 255).astype(np.uint8)

    def _shown(self, photo: Pixels, painted: Pixels, steadied: Values) -> Frame:
        """In the strength and the colours that are wanted. The photo's share is never averaged: it does not flicker."""
        plain, alone = photo.astype(np.float32), painted.astype(np.float32)
        if self.strength != 1 or self.keep_colour:
            alone, steadied = self._blended(plain, alone), self._blended(plain, steadied)
        return Frame(plain, alone, steadied)

    def _blended(self, photo: Values, painting: Values) -> Values:
        of_photo, of_painting = (
            torch.from_numpy(values).permute(2, 0, 1)[None] / 127.5 - 1 for values in (photo, painting)
        )
        levels = (blended(of_photo, of_painting, self.strength, keep_colour=self.keep_colour)[0] + 1) * 127.5
        return levels.clamp(0, 255).permute(1, 2, 0).numpy()

    def state(self) -> dict[str, np.ndarray]:
        """What the next frame is compared with; with it and `flicker` another one goes on as this one would."""
        assert self.before is not None
        return {"photo": self.before.photo, "painted": self.before.painted, "steadied": self.before.steadied}

    def go_on(self, state: Mapping[str, np.ndarray], flicker: Flicker) -> None:
        """From what another one remembered."""
        photo, painted, steadied = (state[name] for name in ("photo", "painted", "steadied"))
        self.before = Memory(photo, painted, steadied, self._shown(photo, painted, steadied))
        self.flicker = flicker
