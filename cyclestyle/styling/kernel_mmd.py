"""Maximum mean discrepancy between the positions of two feature maps: with a Gaussian kernel it misses nothing.

Li, Wang, Liu, Hou, "Demystifying neural style transfer", IJCAI 2017; Gretton, Borgwardt, Rasch, Schoelkopf, Smola, "A
kernel two-sample test", JMLR 13, 2012. The Gram loss and its relatives see means and covariances, and cost what the
positions cost; a Gaussian kernel tells any two distributions apart, and costs pairs of positions, so they are sampled.
Kernel matrices are made in blocks, and made again for the gradient.
"""

import itertools
from collections.abc import Callable, Mapping
from typing import Literal

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

BLOCK = 1024
"""Positions along either side of the part of a kernel matrix that is held: 4 MB for each picture."""

Kernel = Callable[[Tensor, Tensor], Tensor]
"""(n, a, c) and (n, b, c) -> (n, a, b)."""


def gaussian_mmd(
    features: Tensor,
    style: Tensor,
    *,
    bandwidth: float | Tensor | None = None,
    positions: int | None = 1024,
    seed: int = 0,
    unbiased: bool = False,
) -> Tensor:
    """Squared MMD of the kernel exp(-|x - y|^2 / (2 s^2)) between the positions of feature maps and of their style.

    A plain number, between 0 and 2 whatever the scale of the features.

    Args:
        features: (n, c, h, w).
        style: (n or 1, c, h', w').
        bandwidth: s, one for all or (n,); None takes `pair_distance`, as Li et al. 2017 do, anew at every call and
            without its gradient. For the loss to be one function of the picture, compute it once and give it.
        positions: how many of each map are looked at, drawn without replacement; None is all.
        seed: of the draw. The same seed draws the same positions of maps of one size, in any batch.
        unbiased: the U-statistic, whose mean is 0 between two samples of one kind and which may lie below 0; else the
            V-statistic, never below 0, and 0 at the style itself.

    Returns:
        (n,), in float32 or float64.

    Raises:
        ValueError: maps that do not match, a bandwidth or a number of positions not above 0, or fewer than 2 positions
            for the U-statistic.
    """
    x, y = _sampled(features, style, positions, seed)
    if bandwidth is None:
        squared = _pair_square(x, y)
    else:
        told = isinstance(bandwidth, Tensor)  # a number is not sent to a GPU to be asked there
        given = bandwidth.to(x) if told else x.new_full((), bandwidth)
        if given.shape not in ((), (1,), (len(x),)) or not bool((given > 0).all() if told else bandwidth > 0):
            raise ValueError(f"expected a bandwidth above 0, one for all or one per picture, got {bandwidth}")
        squared = given.square()
    # all points in one place: the kernel is 1 whatever the bandwidth
    squared = torch.where(squared > 0, squared, 1).reshape(-1, 1, 1)
    centre = y.detach().mean(1, keepdim=True)  # distances do not change, and less cancels in them

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return torch.exp(-_squares(a, b) / (2 * squared))

    return squared_mmd(x - centre, y - centre, kernel, unbiased)


class Draws:
    """Seeds, another one for each step: whoever descends looks at all positions in time, not at a sample of them.

    At the same few places for ever a picture would take on the style there alone, and the others would not be seen.
    """

    def __init__(self, seed: int) -> None:
        self.seed, self.steps = seed, 0

    def next(self) -> int:
        """The seed of the step that is begun."""
        self.steps += 1
        return (self.seed + self.steps) % 2**63

    def state(self) -> dict[str, Tensor]:
        """All that a restart needs."""
        return {"steps": torch.tensor(self.steps)}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Go on where `state` was taken."""
        self.steps = int(state["steps"])


def pair_distance(features: Tensor, style: Tensor, *, positions: int | None = 1024, seed: int = 0) -> Tensor:
    """Root mean square distance between a position of one map and one of the other: (n,), without gradient.

    The arguments are those of `gaussian_mmd`, of whose kernel it is the usual bandwidth (Li et al. 2017).
    """
    return _pair_square(*_sampled(features, style, positions, seed)).sqrt()


def kernel_mmd(
    features: Tensor,
    style: Tensor,
    kernel: Literal["linear", "polynomial"],
    *,
    offset: float = 1.0,
    positions: int | None = 1024,
    seed: int = 0,
    unbiased: bool = False,
) -> Tensor:
    """Squared MMD of the kernel x.y, or (x.y + offset)^2, from pairs of positions: (n,).

    From all positions, and biased, it is what `linear_mmd` and `polynomial_mmd` have from sums in no time; it is here
    for its U-statistic, and to be compared. Arguments and errors are those of `gaussian_mmd`.
    """
    if kernel not in ("linear", "polynomial") or offset < 0:
        raise ValueError(f"expected linear or polynomial with an offset of 0 or more, got {kernel!r} and {offset}")
    x, y = _sampled(features, style, positions, seed)

    def linear(a: Tensor, b: Tensor) -> Tensor:
        return a @ b.mT

    def polynomial(a: Tensor, b: Tensor) -> Tensor:
        return (a @ b.mT + offset).square()

    return squared_mmd(x, y, linear if kernel == "linear" else polynomial, unbiased)


def squared_mmd(x: Tensor, y: Tensor, kernel: Kernel, unbiased: bool = False) -> Tensor:
    """Squared MMD between points (n, a, c) and (n, b, c), for each of n pairs of sets: (n,).

    Args:
        x: the points of one side.
        y: of the other.
        kernel: of blocks of points.
        unbiased: the U-statistic (Gretton et al. 2012, eq. 3), else the V-statistic (eq. 5).

    Raises:
        ValueError: the U-statistic of fewer than 2 points.
    """
    if unbiased and min(x.shape[1], y.shape[1]) < 2:
        raise ValueError(
            f"the unbiased MMD needs 2 or more positions of each map, got {x.shape[1]} and {y.shape[1]}; give larger "
            "maps, or unbiased=False"
        )
    with torch.autocast(x.device.type, enabled=False):
        within = _within(x, kernel, unbiased) + _within(y, kernel, unbiased)
        return within - 2 * _total(x, y, kernel) / (x.shape[1] * y.shape[1])


def _within(points: Tensor, kernel: Kernel, unbiased: bool) -> Tensor:
    """The mean of the kernel over pairs of points of one set, the U-statistic's without those of a point and itself."""
    count = points.shape[1]
    return _total(points, points, kernel, unbiased) / (count * (count - 1) if unbiased else count**2)


def _total(x: Tensor, y: Tensor, kernel: Kernel, without_diagonal: bool = False) -> Tensor:
    """The sum of a kernel matrix that is never held whole: (n,)."""

    def part(a: Tensor, b: Tensor, crossed: bool) -> Tensor:
        matrix = kernel(a, b)
        total = matrix.sum((1, 2))
        return total - matrix.diagonal(dim1=1, dim2=2).sum(1) if crossed else total

    rows, columns = x.split(BLOCK, 1), y.split(BLOCK, 1)
    if len(rows) == len(columns) == 1:
        return part(x, y, without_diagonal)
    total = x.new_zeros(len(x))
    for (i, a), (j, b) in itertools.product(enumerate(rows), enumerate(columns)):
        crossed = without_diagonal and i == j
        total = total + checkpoint(part, a, b, crossed, use_reentrant=False, preserve_rng_state=False)
    return total


def _squares(a: Tensor, b: Tensor) -> Tensor:
    """Squared distances of all pairs, (n, a, c) and (n, b, c) -> (n, a, b), none below 0."""
    squares = a.square().sum(2)[:, :, None] + b.square().sum(2)[:, None, :]
    return (squares - 2 * a @ b.mT).clamp_min(0)


def _pair_square(x: Tensor, y: Tensor) -> Tensor:
    """Mean squared distance of the pairs of a point of either set, without making the pairs: (n,), detached."""
    x, y = x.detach(), y.detach()
    middle = y.mean(1, keepdim=True)
    x, y = x - middle, y - middle
    return x.square().sum(2).mean(1) + y.square().sum(2).mean(1) - 2 * (x.mean(1) * y.mean(1)).sum(1)


def _sampled(features: Tensor, style: Tensor, positions: int | None, seed: int) -> tuple[Tensor, Tensor]:
    """The chosen positions of both maps as points, (n, a, c) and (n, b, c), in float32 at least."""
    if features.ndim != 4 or style.ndim != 4 or features.shape[1] != style.shape[1] or min(features.shape) == 0:
        raise ValueError(
            f"expected feature maps (n, c, h, w) of one layer, got {tuple(features.shape)} and {tuple(style.shape)}"
        )
    if len(style) not in (1, len(features)):
        raise ValueError(f"there are {len(style)} styles for {len(features)} pictures; give one for all, or one each")
    if positions is not None and positions < 1:
        raise ValueError(f"expected 1 position or more, got {positions}; None is all of them")
    dtype = torch.promote_types(torch.promote_types(features.dtype, style.dtype), torch.float32)
    x, y = (_points(maps, positions, seed).to(dtype) for maps in (features, style))
    return x, y.expand(len(x), -1, -1)


def _points(maps: Tensor, positions: int | None, seed: int) -> Tensor:
    points = maps.flatten(2).mT  # (n, h w, c)
    count = points.shape[1]
    if positions is None or count <= positions:
        return points
    return points[:, _chosen(count, positions, seed, maps.device)]


def _chosen(count: int, positions: int, seed: int, device: torch.device) -> Tensor:
    """Which points, the same on every device."""
    drawn = torch.randperm(count, generator=torch.Generator().manual_seed(seed))[:positions]
    return drawn.to(device, non_blocking=True)  # else a GPU would be waited for at each step
