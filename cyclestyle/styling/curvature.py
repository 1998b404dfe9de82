"""What L-BFGS knows of an objective's curvature, and the way down that follows from it.

Byrd, Nocedal, Schnabel, "Representations of quasi-Newton matrices and their use in limited memory methods", Math.
Programming 63, 1994, theorem 2.2: with the last steps S, the changes Y of the gradient along them, and g the gradient,

    H g = c g + S a - c Y b,    R b = S'g,    R' a = (D + c Y'Y) b - c Y'g,    c = s'y / y'y of the newest,

where D is the diagonal of S'Y and R its upper triangle. All that is needed of the large vectors is their products with
g: a step reads the memory twice, and the device is asked for numbers once, not twice for every pair in it as in the
usual two loops (Nocedal 1980), to which this is equal. Products with a new change of the gradient are those with the
gradient after it, less those before.
"""

from collections.abc import Mapping

import numpy as np
import torch
from scipy.linalg import solve_triangular
from torch import Tensor


class Curvature:
    """Steps, and how the gradient changed along each: the last `most` of them."""

    def __init__(self, like: Tensor, most: int) -> None:
        """`like`: a gradient, (n,). The memory is 2 x `most` as large; it is taken as it fills."""
        self.most, self.learnt = most, 0
        self.fresh = False
        """Whether the newest pair's products with the others are still to be found."""
        self.pairs = like.new_empty(most, 2, len(like))
        self.along = np.zeros((most, most))
        """Products of steps (rows) with changes (columns), by their places in `pairs`; those of older changes with
        newer steps are not needed, and stay as they were."""
        self.changes = np.zeros((most, most))
        """Products of changes with one another."""
        self.seen = np.zeros((most, 2))
        """Products of all pairs with the last gradient."""

    @property
    def known(self) -> int:
        """How many pairs there are."""
        return min(self.learnt, self.most)

    def learn(self, step: Tensor, change: Tensor) -> None:
        """Remember a step (n,), and how much the gradient changed along it. Their product must be above 0, and the
        gradient have been the last that `way_down` was asked for."""
        self.pairs[self.learnt % self.most, 0] = step
        self.pairs[self.learnt % self.most, 1] = change
        self.learnt, self.fresh = self.learnt + 1, True

    def forget(self) -> None:
        """Know nothing again."""
        self.learnt, self.fresh = 0, False

    def way_down(self, gradient: Tensor) -> tuple[Tensor, float]:
        """The step (n,) to where a quadratic with this curvature is lowest, and the slope along it, which is below 0
        but for rounding. Of nothing known, the steepest way."""
        if not self.known:
            return -gradient, -(gradient @ gradient).item()
        rows = self.pairs[: self.known].flatten(0, 1)
        newest = (self.learnt - 1) % self.most
        step, change = self.pairs[newest]
        own = torch.stack([step @ change, change @ change, gradient @ gradient])
        *found, steepness, bend, size = torch.cat([rows @ gradient, own]).tolist()
        self._fill(np.array(found).reshape(-1, 2), newest, steepness, bend)
        scale = steepness / bend
        by_gradient, weights = self.seen[: self.known], self._weights(scale)
        slope = -scale * size - float((by_gradient * weights).sum())
        mixed = torch.tensor(weights.flatten(), dtype=rows.dtype).to(rows.device) @ rows
        return mixed.add_(gradient, alpha=scale).neg_(), slope

    def _fill(self, found: np.ndarray, newest: int, steepness: float, bend: float) -> None:
        """Take in the products of all pairs with a gradient: how they differ from the last is those with its change."""
        known = self.known
        if self.fresh:
            apart = found - self.seen[:known]
            self.along[:known, newest] = apart[:, 0]
            self.changes[:known, newest] = self.changes[newest, :known] = apart[:, 1]
            self.along[newest, newest], self.changes[newest, newest] = steepness, bend
            self.fresh = False
        self.seen[:known] = found

    def _weights(self, scale: float) -> np.ndarray:
        """What each step and each change counts for in H g, (known, 2): a and -c b."""
        by_age = (np.arange(self.known) + self.learnt - self.known) % self.most
        square = np.ix_(by_age, by_age)
        upper, changes = np.triu(self.along[square]), self.changes[square]
        steps_now, changes_now = self.seen[by_age].T
        solved = np.asarray(solve_triangular(upper, steps_now))
        inner = upper.diagonal() * solved + scale * (changes @ solved - changes_now)
        weights = np.empty((self.known, 2))
        weights[by_age, 0] = solve_triangular(upper, inner, trans="T")
        weights[by_age, 1] = -scale * solved
        return weights

    def state(self) -> dict[str, Tensor]:
        """All that is needed to go on from here; not copied."""
        known = self.known
        numbers = {
            "along": self.along[:known, :known],
            "changes": self.changes[:known, :known],
            "seen": self.seen[:known],
        }
        kept = {name: torch.tensor(one) for name, one in numbers.items()}
        counts = {"learnt": torch.tensor(self.learnt), "fresh": torch.tensor(self.fresh)}
        return kept | counts | {"pairs": self.pairs[:known]}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what `state` told."""
        self.learnt, self.fresh = int(state["learnt"]), bool(state["fresh"])
        known = self.known
        self.pairs[:known] = state["pairs"]
        self.along[:known, :known], self.changes[:known, :known], self.seen[:known] = (
            state[name].cpu().numpy() for name in ("along", "changes", "seen")
        )
