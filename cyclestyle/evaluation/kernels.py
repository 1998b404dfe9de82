"""Maximum mean discrepancy between two sets of features: KID, energy distance and their kin, with standard errors.

Gretton, Borgwardt, Rasch, Schoelkopf, Smola, "A kernel two-sample test", JMLR 13, 2012. A kernel takes two blocks of
rows, (a, d) and (b, d), and gives (a, b). Kernel matrices are never held: only the sums of their rows are.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from cyclestyle.evaluation.neighbours import distances
from cyclestyle.evaluation.resampling import Estimate, Features, blocks, disjoint, require_sets

__all__ = [
    "Estimate",
    "Kernel",
    "difference",
    "energy",
    "estimate",
    "gaussian",
    "halves",
    "kid",
    "polynomial",
    "squared_mmd",
]

Kernel = Callable[[Tensor, Tensor], Tensor]

HALVED_AT_MOST = 2000
"""Rows of which `halves` holds the kernel matrix: 32 MB."""


def polynomial(degree: int = 3, offset: float = 1.0, scale: float | None = None) -> Kernel:
    """k(x, y) = (scale x.y + offset)^degree; without arguments that of KID, (x.y / d + 1)^3.

    Args:
        scale: None is 1 / d, so that features of any length give numbers of one size.

    Raises:
        ValueError: degree < 1, or offset or scale below 0, which would make it no kernel.
    """
    if degree < 1 or offset < 0 or (scale is not None and scale <= 0):
        raise ValueError(
            f"expected degree >= 1, offset >= 0, scale > 0, got {degree}, {offset}, {scale}; KID has 3, 1 and None"
        )

    def kernel(x: Tensor, y: Tensor) -> Tensor:
        return (x @ y.mT * (1 / x.shape[1] if scale is None else scale) + offset) ** degree

    return kernel


def gaussian(bandwidth: float) -> Kernel:
    """k(x, y) = exp(-|x - y|^2 / (2 bandwidth^2)), which tells any two distributions apart.

    Raises:
        ValueError: the bandwidth is not above 0.
    """
    if not bandwidth > 0:
        raise ValueError(f"expected a bandwidth above 0, got {bandwidth}; the median distance of rows is usual")

    def kernel(x: Tensor, y: Tensor) -> Tensor:
        return torch.exp(-distances(x, y).square() / (2 * bandwidth**2))

    return kernel


def energy() -> Kernel:
    """k(x, y) = -|x - y|: the squared MMD is the energy distance 2 E|x - y| - E|x - x'| - E|y - y'|.

    Szekely, Rizzo, "Energy statistics", J. Statistical Planning and Inference 143, 2013; as a kernel: Sejdinovic et
    al., "Equivalence of distance-based and RKHS-based statistics in hypothesis testing", Annals of Statistics 41, 2013.
    It has no setting, and tells any two distributions apart.
    """
    return lambda x, y: -distances(x, y)


def squared_mmd(x: Features, y: Features, kernel: Kernel, unbiased: bool = True) -> float:
    """The squared maximum mean discrepancy of two sets.

    Args:
        x: (n, d).
        y: (m, d).
        unbiased: the U-statistic (Gretton et al. 2012, eq. 3), about 0 for two sets of one kind and so below 0 as often
            as above; else the V-statistic, never below 0, larger the fewer rows there are.

    Raises:
        ValueError: the sets do not match, or have fewer than 2 rows (the V-statistic: than 1).
    """
    least = 2 if unbiased else 1
    require_sets(least, x, y)
    value = 0.0
    for features in (x, y):
        others, itself = _within(features, kernel)
        count = len(others)
        total = others.sum() / (count * (count - 1)) if unbiased else (others + itself).sum() / count**2
        value += total.item()
    across, _ = _across(x, y, kernel)
    return value - 2 * across.mean().item() / y.shape[0]


def estimate(x: Features, y: Features, kernel: Kernel) -> Estimate:
    """The unbiased squared MMD and its standard error, by the jackknife that leaves out one row of either set.

    Arvesen, "Jackknifing U-statistics", Annals of Mathematical Statistics 40, 1969; what the number would be without a
    row follows from the sums of the kernel matrices' rows. Between sets of one kind, where the true value is
    0, the standard error is too large rather than too small (Efron, Stein, "The jackknife estimate of variance",
    Annals of Statistics 9, 1981).

    Args:
        x: (n, d).
        y: (m, d).

    Returns:
        The U-statistic of `squared_mmd`; the standard error is inf where a set has just 2 rows.

    Raises:
        ValueError: the sets do not match, or have fewer than 2 rows.
    """
    require_sets(2, x, y)
    across_x, across_y = _across(x, y, kernel)
    own_x, without_x = _without_each(_within(x, kernel)[0], across_x, y.shape[0])
    own_y, without_y = _without_each(_within(y, kernel)[0], across_y, x.shape[0])
    value = own_x + own_y + 2 * across_x.mean().item() / y.shape[0]  # which both have subtracted
    if min(x.shape[0], y.shape[0]) < 3:
        return Estimate(value, math.inf)
    return Estimate(value, math.sqrt(_variance(without_x) + _variance(without_y)))


def kid(x: Features, y: Features) -> Estimate:
    """Kernel Inception distance of Inception features: `estimate` with (x.y / d + 1)^3, of all pairs at once.

    Binkowski, Sutherland, Arbel, Gretton, "Demystifying MMD GANs", ICLR 2018, section 4. Others report the mean over
    random subsets, which estimates the same number with more noise, and the subsets' deviation, which is not its error.

    Args:
        x: (n, d).
        y: (m, d).

    Raises:
        ValueError: the sets do not match, or have fewer than 2 rows.
    """
    return estimate(x, y, polynomial())


def difference(x: Features, other: Features, y: Features, kernel: Kernel, paired: bool = False) -> Estimate:
    """Whether x or `other` is nearer to y: squared MMD(x, y) - squared MMD(other, y), below 0 if x is.

    The two distances share y, and what y has of chance moves both: the jackknife leaves out a row of y in both at once,
    and where x[i] and other[i] were made of the same photo, those as well. So a difference can be certain where the
    intervals of the two distances overlap.

    Args:
        x: (n, d).
        other: (o, d); where paired, o = n.
        y: (m, d), the reference.
        paired: x[i] and other[i] belong together.

    Returns:
        The difference; the standard error is inf where x or `other` has just 2 rows.

    Raises:
        ValueError: the sets do not match, have fewer than 2 rows, or are paired and have unequal numbers of rows.
    """
    require_sets(2, x, other, y)
    if paired and x.shape[0] != other.shape[0]:
        raise ValueError(
            f"paired sets have as many rows, these have {x.shape[0]} and {other.shape[0]}; give paired=False"
        )
    count = y.shape[0]
    across_x, towards_x = _across(x, y, kernel)
    across_other, towards_other = _across(other, y, kernel)
    own_x, without_x = _without_each(_within(x, kernel)[0], across_x, count)
    own_other, without_other = _without_each(_within(other, kernel)[0], across_other, count)
    towards = 2 * (towards_other / other.shape[0] - towards_x / x.shape[0])  # y with itself is in both, and cancels
    if min(x.shape[0], other.shape[0]) < 3:
        return Estimate(own_x - own_other, math.inf)
    variance = _variance((towards.sum() - towards) / (count - 1))
    variance += _variance(without_x - without_other) if paired else _variance(without_x) + _variance(without_other)
    return Estimate(own_x - own_other, math.sqrt(variance))


def share_of_way(x: Features, photos: Features, y: Features, kernel: Kernel, end: float = 0.0) -> Estimate:
    """How much of the way from `photos` to y the pictures x have come: (P - M) / (P - end), of squared MMDs to y.

    P is that of the photos, M that of x. Both lean on the same y and, row by row, on the same scenes, and the length of
    the way is uncertain too: the jackknife leaves out a scene, or a row of y, in all of them at once.

    Args:
        x: (n, d); x[i] was made of photos[i].
        photos: (n, d).
        y: (m, d), the reference.
        end: squared MMD of what counts as arrived; taken as known.

    Returns:
        The share; the standard error is inf where a set has just 2 rows.

    Raises:
        ValueError: the sets do not match, have fewer than 2 rows, or x and photos have unequal numbers of rows.
    """
    require_sets(2, x, photos, y)
    if x.shape[0] != photos.shape[0]:
        raise ValueError(f"x and photos belong together row by row, these have {x.shape[0]} and {photos.shape[0]} rows")
    count, of_y = y.shape[0], _within(y, kernel)[0]
    inner = of_y.sum()
    itself, itself_without = inner / (count * (count - 1)), (inner - 2 * of_y) / ((count - 1) * (count - 2))
    wholes, scenes, paintings = [], [], []
    for rows in (photos, x):
        across, towards = _across(rows, y, kernel)
        own, without = _without_each(_within(rows, kernel)[0], across, count)
        within = own + 2 * across.sum() / (rows.shape[0] * count)
        wholes.append(own + itself)
        scenes.append(without + itself)
        left = 2 * (towards.sum() - towards) / (rows.shape[0] * (count - 1))
        paintings.append(within - left + itself_without)
    value, by_scene, by_painting = ((p - m) / (p - end) for p, m in (wholes, scenes, paintings))
    if min(x.shape[0], count) < 3:
        return Estimate(value.item(), math.inf)
    return Estimate(value.item(), math.sqrt(_variance(by_scene) + _variance(by_painting)))


def halves(x: Features, kernel: Kernel, splits: int = 20, seed: int = 0) -> Tensor:
    """What no difference looks like at this size: unbiased squared MMD between random halves of one set.

    The splits share rows, so their deviation is that of a number, not of their mean.

    Args:
        x: (n, d). Of more than 2,000 rows, 2,000 are drawn by the seed, since the kernel matrix is held.
        splits: at least 1.
        seed: of the splits.

    Returns:
        (splits,) float64.

    Raises:
        ValueError: not features, fewer than 4 rows, or no splits.
    """
    require_sets(4, x)
    if splits < 1:
        raise ValueError(f"needs at least 1 split, got {splits}; 20 is usual")
    random = np.random.default_rng(seed)
    count = min(x.shape[0], HALVED_AT_MOST)
    (part,) = disjoint(x, [count], random)
    matrix = torch.empty(count, count, dtype=torch.float64)
    for rows, block in blocks(part):
        for columns, other in blocks(part, rows.start):
            matrix[rows, columns] = kernel(block, other)
            matrix[columns, rows] = matrix[rows, columns].mT.clone()
    matrix.fill_diagonal_(0)
    first = torch.zeros(count, splits, dtype=torch.float64)
    for split in range(splits):
        first[torch.from_numpy(random.permutation(count)[: count // 2]), split] = 1
    second, half, rest = 1 - first, count // 2, count - count // 2
    of_first, of_second = matrix @ first, matrix @ second
    within = (first * of_first).sum(0) / (half * (half - 1)) + (second * of_second).sum(0) / (rest * (rest - 1))
    return within - 2 * (first * of_second).sum(0) / (half * rest)


def _within(x: Features, kernel: Kernel) -> tuple[Tensor, Tensor]:
    """Sums of k(x_i, x_j) over all j other than i, and k(x_i, x_i): (n,) each."""
    others, itself = torch.zeros(2, x.shape[0], dtype=torch.float64)
    for rows, block in blocks(x):
        for columns, other in blocks(x, rows.start):
            values = kernel(block, other)
            if columns == rows:
                itself[rows] = values.diagonal()
                others[rows] += (values - itself[rows].diag()).sum(1)
            else:
                others[rows] += values.sum(1)
                others[columns] += values.sum(0)
    return others, itself


def _across(x: Features, y: Features, kernel: Kernel) -> tuple[Tensor, Tensor]:
    """Sums of k(x_i, y_j) over j, (n,), and over i, (m,)."""
    of_x = torch.zeros(x.shape[0], dtype=torch.float64)
    of_y = torch.zeros(y.shape[0], dtype=torch.float64)
    for rows, block in blocks(x):
        for columns, other in blocks(y):
            values = kernel(block, other)
            of_x[rows] += values.sum(1)
            of_y[columns] += values.sum(0)
    return of_x, of_y


def _without_each(others: Tensor, across: Tensor, reference: int) -> tuple[float, Tensor]:
    """What a set adds to the U-statistic, E k(x, x') - 2 E k(x, y); and that without each of its n rows, (n,).

    `reference` is the number of y. Of 2 rows, nothing is left of the second result, and it is not finite.
    """
    count, inner, outer = len(others), others.sum(), across.sum()
    value = inner / (count * (count - 1)) - 2 * outer / (count * reference)
    without = (inner - 2 * others) / ((count - 1) * (count - 2)) - 2 * (outer - across) / ((count - 1) * reference)
    return value.item(), without


def _variance(without: Tensor) -> float:
    """The jackknife's variance from the n numbers without each row: (n - 1) / n times the sum of squares."""
    return (len(without) - 1) * without.var(correction=0).item()
