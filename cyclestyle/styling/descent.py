"""Going down: pictures changed step by step until an objective is small.

Adam takes whole batches: every pixel has its own memory, so a picture's way does not depend on the others'. L-BFGS
knows one curvature for all pixels of a picture, and takes one picture. L-BFGS-B (Byrd, Lu, Nocedal, Zhu 1995) does the
same inside a box: no point that it looks at has a pixel outside [-1, 1]. Plain L-BFGS is not clamped on the way, since
that would falsify what it learns of the curvature.

Each ends after a number of evaluations, or before where no way leads further down, and tells of every step. Adam and
L-BFGS can be gone on with from what they tell, to the bit; SciPy's L-BFGS-B keeps its memory to itself and begins anew.
An objective that is no finite number ends them with a ValueError: what follows from it is no picture.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import Bounds, minimize
from torch import Tensor

from cyclestyle.images import Images
from cyclestyle.styling.objective import Evaluation

State = dict[str, Tensor]
"""What an optimiser remembers, flat, so that a file without code can hold it."""


class Step(NamedTuple):
    """One evaluation."""

    number: int
    """Evaluations so far, this one included."""
    evaluation: Evaluation
    """At the pictures as they were before the step."""
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

    Args:
        images: (1, 3, h, w).
        evaluate: gives the objective and its gradient.
        steps: evaluations in all.
        seen: is told of each step, after all evaluations that it took.
        history: how many earlier steps are remembered: 2 x `history` pictures in float32.
        state: what an earlier call told, to go on from.

    Returns:
        The picture, and what the optimiser remembers.

    Raises:
        ValueError: several pictures, or the objective is no finite number.
    """
    _require_one(images)
    leaf = images.detach().clone()
    optimizer = torch.optim.LBFGS(
        [leaf],
        max_iter=1,
        max_eval=WOLFE_AT_MOST,
        history_size=history,
        tolerance_grad=0.0,
        tolerance_change=0.0,
        line_search_fn="strong_wolfe",
    )
    asked = _Asked(evaluate, leaf, steps)
    if state:
        asked.restore(state)
        optimizer.state[leaf] = _unpacked(state, history)

    def remembered() -> State:
        return _packed(optimizer.state[leaf]) | asked.remembered()

    while asked.count < steps and not asked.ended:
        before, start = asked.count, leaf.clone()
        try:
            optimizer.step(asked)
        except _SpentError:
            assert asked.lowest is not None  # a step begins with an evaluation, or with one that is known
            leaf.copy_(asked.lowest)
        asked.ended, asked.lowest = torch.equal(leaf, start), None
        if asked.count > before:
            seen(Step(asked.count, asked.last, leaf, remembered))
    return leaf, remembered()


class _SpentError(Exception):
    """There are no evaluations left."""


class _Asked:
    """The objective as torch's L-BFGS asks for it: scaled, counted, and not twice at the same place.

    Its curvature is dropped where y s < 1e-10, an absolute number, so the scale must not be tiny: the gradient's mean
    size is made 1 at the beginning.
    """

    def __init__(self, evaluate: Evaluate, leaf: Tensor, most: int) -> None:
        self.evaluate, self.leaf, self.most = evaluate, leaf, most
        self.count, self.scale = 0, 0.0
        self.at: Tensor | None = None
        self.last: Evaluation
        self.lowest: Tensor | None = None
        """Where the objective was smallest since this was last made None."""
        self.least = 0.0
        self.ended = False
        """Whether the last step led nowhere: then no other would."""

    def __call__(self) -> float:
        if self.at is None or not torch.equal(self.at, self.leaf):
            if self.count == self.most:
                raise _SpentError
            self.count += 1
            self.at, self.last = self.leaf.clone(), _finite(self.evaluate(self.leaf), self.count)
        size = self.last.gradient.abs().mean().item()
        self.scale = self.scale or (1 / size if size > 0 else 1.0)
        self.leaf.grad = self.last.gradient * self.scale
        value = self.last.total.item() * self.scale
        if self.lowest is None or value < self.least:
            self.lowest, self.least = self.at, value
        return value

    def remembered(self) -> State:
        """The last evaluation too: it is not asked for again when the run goes on."""
        assert self.at is not None  # there was a step
        numbers = {"count": torch.tensor(self.count), "ended": torch.tensor(self.ended)}
        parts = {f"part.{name}": part for name, part in self.last.parts.items()}
        scale = {"scale": torch.tensor(self.scale, dtype=torch.float64)}
        return numbers | scale | parts | {"at": self.at, "gradient": self.last.gradient}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        self.count, self.ended, self.scale = int(state["count"]), bool(state["ended"]), float(state["scale"])
        parts = {name.removeprefix("part."): part for name, part in state.items() if name.startswith("part.")}
        self.at, self.last = state["at"], Evaluation(parts, state["gradient"])


LISTS = ("old_dirs", "old_stps", "ro")


def _packed(found: Mapping[str, object]) -> State:
    """What torch's L-BFGS remembers, as tensors: lists are stacked, numbers wrapped."""
    packed: State = {}
    for name, value in found.items():
        if name in LISTS:
            packed |= {f"{name}.{index}": one for index, one in enumerate(value)}  # type: ignore[arg-type]
        elif name != "al" and value is not None:  # written before it is read
            packed[name] = value if isinstance(value, Tensor) else torch.tensor(value, dtype=torch.float64)
    return packed


def _unpacked(state: Mapping[str, Tensor], history: int) -> dict[str, object]:
    found: dict[str, object] = {
        name: [state[f"{name}.{index}"] for index in range(history) if f"{name}.{index}" in state] for name in LISTS
    }
    for name in ("d", "prev_flat_grad"):
        if name in state:
            found[name] = state[name].clone()
    for name in ("t", "H_diag", "prev_loss"):
        if name in state:
            found[name] = state[name].item() if state[name].dtype == torch.float64 else state[name]
    return found | {"func_evals": int(state["func_evals"]), "n_iter": int(state["n_iter"])}


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
        raise ValueError(
            f"the objective or its gradient is no finite number at evaluation {number:,}; give smaller weights, "
            "another start, or an optimizer that stays within the range of colours (adam, lbfgsb)"
        )
    return evaluation


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
