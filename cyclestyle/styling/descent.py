"""Going down: pictures changed step by step until an objective is small.

Adam takes whole batches: every pixel has its own memory, so a picture's way does not depend on the others'. L-BFGS
knows one curvature for all pixels of a picture, and takes one picture. L-BFGS-B (Byrd, Lu, Nocedal, Zhu 1995) does the
same inside a box: no point that it looks at has a pixel outside [-1, 1]. Plain L-BFGS is not clamped on the way, since
that would falsify what it learns of the curvature.

Each ends after a number of evaluations, or before where no way leads further down, and tells of every step. Adam and
L-BFGS can be gone on with from what they tell, to the bit; SciPy's L-BFGS-B keeps its memory to itself and begins anew.
An objective that is no finite number ends them with a ValueError: what follows from it is no picture.
"""

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import Bounds, minimize
from torch import Tensor

from cyclestyle.images import Images
from cyclestyle.styling.curvature import Curvature
from cyclestyle.styling.objective import Evaluation
from cyclestyle.styling.wolfe import Place, strong_wolfe

State = dict[str, Tensor]
"""What an optimiser remembers, flat, so that a file without code can hold it."""


class Step(NamedTuple):
    """One evaluation."""

    number: int
    """Evaluations so far, this one included."""
    evaluation: Evaluation
    """At the pictures as Adam had them before the step, as L-BFGS has them after it."""
    images: Images
    """After it."""
    state: Callable[[], State] | None
    """What is to be remembered to go on from here; None if nothing can be. To be asked for, and kept elsewhere, before
    the next step: it is not copied."""


Evaluate = Callable[[Images], Evaluation]
Seen = Callable[[Step], None]
SLOWING = 0.3
"""Share of Adam's steps over which its rate falls to zero: without it pixels tremble by the rate until the end."""
EPSILON = 1e-12
"""Of Adam: gradients of a picture's pixels are small numbers."""
WOLFE_AT_MOST = 25
"""Evaluations of one line search."""
FIRST_MOVE = 0.01
"""Of L-BFGS where it knows no curvature: by how much pixels are moved in the mean, where colours go from -1 to 1."""
SOUND = 1e-3
"""Share of the slope by which it must become flatter along a step for L-BFGS to learn from it; below is rounding."""


def adam(
    images: Images, evaluate: Evaluate, steps: int, seen: Seen, *, rate: float, state: Mapping[str, Tensor] | None
) -> tuple[Images, State]:
    """Adam (Kingma, Ba 2015), projected into [-1, 1] after every step.

    Args:
        images: (n, 3, h, w), where to begin, or where it was left.
        evaluate: gives the objective and its gradient.
        steps: evaluations in all.
        seen: is told of each.
        rate: of learning, in the pictures' units.
        state: what an earlier call told, to go on from; or `warm_start`.

    Returns:
        The pictures, and what the optimiser remembers.

    Raises:
        ValueError: the objective is no finite number.
    """
    leaf = images.detach().clone()
    optimizer = torch.optim.Adam([leaf], lr=rate, betas=(0.9, 0.99), eps=EPSILON)
    done = 0
    if state:
        done = int(state["done"])
        optimizer.state[leaf] = {name: tensor.clone() for name, tensor in state.items() if name != "done"}

    def remembered() -> State:
        found: dict[str, Tensor] = optimizer.state[leaf]
        return {name: tensor.clone() for name, tensor in found.items()} | {"done": torch.tensor(done)}

    while done < steps:
        evaluation = _finite(evaluate(leaf), done + 1)
        leaf.grad = evaluation.gradient
        optimizer.param_groups[0]["lr"] = rate * min(1.0, (steps - done) / (SLOWING * steps))
        optimizer.step()
        leaf.clamp_(-1, 1)
        done += 1
        seen(Step(done, evaluation, leaf, remembered))
    return leaf, remembered() if optimizer.state[leaf] else {}


def lbfgs(
    images: Images, evaluate: Evaluate, steps: int, seen: Seen, *, history: int, state: Mapping[str, Tensor] | None
) -> tuple[Images, State]:
    """L-BFGS (Liu, Nocedal 1989) with a line search under the strong Wolfe conditions; one picture, without bounds.

    On a GPU the host waits once for every evaluation and once for every step, however long the memory.

    Args:
        images: (1, 3, h, w).
        evaluate: gives the objective and its gradient.
        steps: evaluations in all.
        seen: is told of the first evaluation, and of each step, after all evaluations that it took.
        history: how many earlier steps are remembered: 2 x `history` pictures in float32.
        state: what an earlier call told, to go on from.

    Returns:
        The picture, and what the optimiser remembers.

    Raises:
        ValueError: several pictures, or the objective is no finite number.
    """
    _require_one(images)
    line = _Line(images.detach().clone(), evaluate)
    curvature = Curvature(line.leaf.flatten(), history)
    if state:
        line.restore(state)
        curvature.restore(state)

    def remembered() -> State:
        return line.remembered() | curvature.state()

    if not state and steps > 0:
        line.begin()
        seen(Step(line.count, line.here, line.leaf, remembered))
    while line.count < steps and not line.ended:
        gradient = line.here.gradient.flatten()
        way, slope = curvature.way_down(gradient)
        if slope >= 0 and curvature.known:  # of rounding
            curvature.forget()
            continue
        if not slope < 0:
            line.ended = True
            break
        first = 1.0 if curvature.known else FIRST_MOVE / gradient.abs().mean().item()
        found = line.search(way, slope, first, min(WOLFE_AT_MOST, steps - line.count))
        if found.slope - slope > SOUND * -slope:
            curvature.learn(way * found.at, line.here.gradient.flatten() - gradient)
        seen(Step(line.count, line.here, line.leaf, remembered))
    return line.leaf, remembered()


class _SpentError(Exception):
    """There are no evaluations left."""


class _Line:
    """A picture, the objective there, and looking for the next along a line."""

    here: Evaluation

    def __init__(self, leaf: Images, evaluate: Evaluate) -> None:
        self.leaf, self.evaluate, self.count = leaf, evaluate, 0
        self.ended = False
        """Whether the last line led nowhere: then no other would."""
        self.value: float | None = None
        """The objective here, where the host has it already: a GPU is not waited for again."""

    def begin(self) -> None:
        """The first evaluation."""
        self.count, self.here = 1, _finite(self.evaluate(self.leaf), 1)

    def search(self, way: Tensor, slope: float, first: float, most: int) -> Place[tuple[Evaluation, bool]]:
        """Go along a way (n,), and tell how far; where that is nowhere, it has ended."""
        way = way.view_as(self.leaf)

        def ask(at: float) -> Place[tuple[Evaluation, bool]]:
            there = torch.add(self.leaf, way, alpha=at)
            self.count += 1
            found = self.evaluate(there)
            # At once, as a GPU is waited for. A gradient that is not finite has no finite product, unless the way is 0.
            parts = (found.total.double().sum(), (found.gradient * way).sum(), (there != self.leaf).any())
            value, along, moved = torch.stack([part.double() for part in parts]).tolist()
            if not (math.isfinite(value) and math.isfinite(along)):
                raise ValueError(_no_number(self.count))
            return Place(at, value, along, (found, bool(moved)))

        value = self.here.total.double().sum().item() if self.value is None else self.value
        found = strong_wolfe(Place(0.0, value, slope, (self.here, False)), ask, first, most)
        self.value = found.value
        self.leaf, (self.here, moved) = torch.add(self.leaf, way, alpha=found.at), found.known
        self.ended = not moved
        return found

    def remembered(self) -> State:
        """The last evaluation too: it is not asked for again when the run goes on."""
        numbers = {"count": torch.tensor(self.count), "ended": torch.tensor(self.ended)}
        return (
            numbers
            | {f"part.{name}": part for name, part in self.here.parts.items()}
            | {"gradient": self.here.gradient}
        )

    def restore(self, state: Mapping[str, Tensor]) -> None:
        self.count, self.ended = int(state["count"]), bool(state["ended"])
        parts = {name.removeprefix("part."): part for name, part in state.items() if name.startswith("part.")}
        self.here = Evaluation(parts, state["gradient"])


def lbfgsb(images: Images, evaluate: Evaluate, steps: int, seen: Seen, *, history: int) -> tuple[Images, State]:
    """L-BFGS-B, by SciPy: every point that is evaluated lies in the box [-1, 1]. One picture, float64 in between.

    Returns:
        The best that was seen, and nothing to remember.

    Raises:
        ValueError: several pictures, or the objective is no finite number.
    """
    _require_one(images)
    count, scale = 0, 0.0
    best, least = images.detach().clamp(-1, 1), float("inf")

    def value(flat: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal count, scale, best, least
        if count == steps:  # SciPy itself would end a line search first
            raise _SpentError
        here = torch.tensor(flat, dtype=images.dtype, device=images.device).view(images.shape)
        count += 1
        evaluation = _finite(evaluate(here), count)
        scale = scale or 1 / max(evaluation.gradient.abs().mean().item(), 1e-30)
        total = evaluation.total.item()
        if total <= least:  # of values that rounding makes equal the later one
            best, least = here, total
        seen(Step(count, evaluation, here, None))
        return total * scale, (evaluation.gradient.double() * scale).flatten().cpu().numpy()

    with suppress(_SpentError):
        minimize(
            value,
            best.double().flatten().cpu().numpy(),
            jac=True,
            method="L-BFGS-B",
            bounds=Bounds(-1.0, 1.0),
            options={"maxcor": history, "maxfun": steps, "maxiter": steps, "ftol": 0.0, "gtol": 0.0},
        )
    return best, {}


def _finite(evaluation: Evaluation, number: int) -> Evaluation:
    """Refuse what no step can follow from. `number` counts evaluations."""
    if not bool(evaluation.total.isfinite().all() & evaluation.gradient.isfinite().all()):
        raise ValueError(_no_number(number))
    return evaluation


def _no_number(number: int) -> str:
    return (
        f"the objective or its gradient is no finite number at evaluation {number:,}; give smaller weights, "
        "another start, an optimizer that stays within the range of colours (adam, lbfgsb), or other layers, if a "
        "target's features are all 0"
    )


def _require_one(images: Images) -> None:
    if len(images) != 1:
        raise ValueError(
            f"L-BFGS knows one curvature for one picture, got {len(images)} pictures; use Adam, or batch 1"
        )


def warm_start(state: Mapping[str, Tensor], height: int, width: int) -> State:
    """What Adam remembers, at another size of the pictures: for the next scale of a pyramid.

    A pixel's gradient shrinks as pixels become more, so the moments are scaled by the ratio of areas: the step that
    follows from them stays as large.
    """
    first, second = state["exp_avg"], state["exp_avg_sq"]
    ratio = first.shape[-2] * first.shape[-1] / (height * width)
    size = (height, width)
    return {
        "exp_avg": torch.nn.functional.interpolate(first, size, mode="bilinear", antialias=True) * ratio,
        "exp_avg_sq": torch.nn.functional.interpolate(second, size, mode="bilinear", antialias=True) * ratio**2,
        "step": state["step"].clone(),
        "done": torch.tensor(0),
    }
