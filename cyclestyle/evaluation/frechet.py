"""The Frechet distance between two sets of features (FID, where they are Inception's), exactly and in little memory.

Heusel et al., "GANs trained by a two time-scale update rule converge to a local Nash equilibrium", NIPS 2017, eq. 6:
d^2 = |m1 - m2|^2 + Tr(S1 + S2 - 2 (S1 S2)^1/2), with the mean and covariance of either set. It is far from 0 also
between two samples of one kind, the more so the fewer rows there are; `frechet_floor` says how far.

With S = A A', Tr (S1 S2)^1/2 is the sum of the singular values of A1' A2. So no root of a d x d matrix is ever needed,
nor anything added to make it exist; and where a set has no more rows than columns, its centred rows are such an A.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from cyclestyle.evaluation.resampling import Features, blocks, disjoint, require_sets

AT_ONCE = 8192
"""Rows of products that are made a triangle together: few of them at a time take twice as long."""


class Floor(NamedTuple):
    """The Frechet distance between parts of one set: mean and standard deviation over splits."""

    mean: float
    deviation: float
    """Of one split; the splits share rows, so this is no error of the mean."""
    sizes: tuple[int, int]


@dataclass(frozen=True)
class Moments:
    """What must be remembered of features to have their mean and covariance: add two, and have those of both sets.

    Products are summed around the mean, not around 0, so nothing cancels however many rows there are:
    Chan, Golub, LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances", 1979, eq. 2.1.
    """

    count: int
    mean: Tensor  # (d,) float64
    products: Tensor  # (d, d) float64: sum of the products of the deviations from that mean

    @classmethod
    def of(cls, features: Features) -> "Moments":
        """The moments of (n, d) features, n >= 1, read block by block."""
        require_sets(1, features)
        width = features.shape[1]
        total = cls(0, torch.zeros(width, dtype=torch.float64), torch.zeros(width, width, dtype=torch.float64))
        for _, block in blocks(features):
            mean = block.mean(0)
            apart = block - mean
            total = total + cls(len(block), mean, apart.mT @ apart)
        return total

    def __add__(self, other: "Moments") -> "Moments":
        count = self.count + other.count
        step = other.mean - self.mean
        products = (self.products + other.products).addr_(step, step, alpha=self.count * other.count / count)
        return Moments(count, self.mean + step * (other.count / count), products)

    @property
    def covariance(self) -> Tensor:
        """(d, d) float64, divided by n - 1. Raises ValueError for fewer than 2 rows."""
        if self.count < 2:
            raise ValueError(f"a covariance needs at least 2 pictures, got {self.count}; add pictures")
        return self.products / (self.count - 1)


def frechet(x: Features, y: Features) -> float:
    """The squared Frechet distance of two sets: FID, where the features are Inception's 2048.

    Args:
        x: (n, d), n >= 2.
        y: (m, d), m >= 2.

    Returns:
        With covariances divided by n - 1. Never below 0: what rounding leaves there is made 0.

    Raises:
        ValueError: the sets do not match, or have fewer than 2 rows.
    """
    require_sets(2, x, y)
    small, large = (x, y) if x.shape[0] <= y.shape[0] else (y, x)
    if small.shape[0] > small.shape[1]:
        one, two = Moments.of(x), Moments.of(y)
        return frechet_gaussian(one.mean, one.covariance, two.mean, two.covariance)
    return _of_few(small, large)


def frechet_gaussian(mean1: Tensor, covariance1: Tensor, mean2: Tensor, covariance2: Tensor) -> float:
    """The squared Frechet distance of two Gaussians, which is also their squared Wasserstein-2 distance.

    Dowson, Landau, "The Frechet distance between multivariate normal distributions", J. Multivariate Analysis 12, 1982.

    Args:
        mean1: (d,).
        covariance1: (d, d), symmetric, positive semi-definite; it may be singular.
        mean2: (d,).
        covariance2: (d, d).

    Returns:
        Never below 0: what rounding leaves there is made 0.

    Raises:
        ValueError: the shapes do not match.
    """
    width = mean1.numel()
    shapes = [tuple(given.shape) for given in (mean1, covariance1, mean2, covariance2)]
    if shapes != [(width,), (width, width)] * 2:
        raise ValueError(f"expected means (d,) and covariances (d, d) of one d, got {', '.join(map(str, shapes))}")
    first, second = (covariance.detach().to("cpu", torch.float64) for covariance in (covariance1, covariance2))
    shift = mean1.detach().to("cpu", torch.float64) - mean2.detach().to("cpu", torch.float64)
    root = torch.linalg.svdvals(_half_factor(first).mT @ _half_factor(second)).sum()
    return _never_negative(shift.square().sum() + first.trace() + second.trace() - 2 * root)


def frechet_floor(x: Features, sizes: tuple[int, int] | None = None, splits: int = 20, seed: int = 0) -> Floor:
    """What the distance is where there is no difference: between two parts of one set that share no row.

    Args:
        x: (n, d), n >= 4.
        sizes: rows of the two parts; None is halves, the largest equal parts there are.
        splits: at least 1.
        seed: of the splits.

    Raises:
        ValueError: a part has fewer than 2 rows, both have more than the set, or there are no splits.
    """
    if splits < 1:
        raise ValueError(f"needs at least 1 split, got {splits}; 20 is usual")
    require_sets(4, x)
    count = x.shape[0]
    sizes = sizes or (count // 2, count // 2)
    if min(sizes) < 2 or sum(sizes) > count:
        raise ValueError(
            f"cannot take parts of {sizes[0]} and {sizes[1]} pictures out of {count}; "
            f"give at least 2 each and at most {count} together"
        )
    random = np.random.default_rng(seed)
    found = [frechet(*disjoint(x, sizes, random)) for _ in range(splits)]
    return Floor(float(np.mean(found)), float(np.std(found, ddof=1)) if splits > 1 else 0.0, sizes)


def _of_few(few: Features, many: Features) -> float:
    """The squared distance where the smaller set has no more rows than columns: no d x d matrix is made.

    With centred rows X (n, d) and Y (m, d), the root's trace is the sum of the singular values of Y X' (m, n), over
    sqrt((n - 1)(m - 1)). A tall matrix has those of the R of its QR, which can be found piece by piece. Eigenvalues of
    X Y' Y X' would do as well, but the root of one that should be 0 is 1e-8 times the largest, not 1e-16.

    The larger set is read once: around the mean of its first rows, and what that lacks of its own is taken off after.
    """
    count = few.shape[0]
    centred = torch.cat([block for _, block in blocks(few)])
    mean = centred.mean(0)
    centred -= mean
    about, lack = torch.zeros_like(mean), torch.zeros_like(mean)
    squares, pieces = torch.zeros((), dtype=torch.float64), []
    for rows, block in blocks(many):
        about = about if rows.start else block.mean(0)
        apart = block - about
        lack += apart.sum(0)
        squares += apart.square().sum()
        pieces.append(torch.cat([apart @ centred.mT, apart.new_ones(len(apart), 1)], 1))
        if sum(map(len, pieces)) > max(2 * count, AT_ONCE):
            pieces = [torch.linalg.qr(torch.cat(pieces), mode="r").R]
    lack /= many.shape[0]
    triangle = torch.linalg.qr(torch.cat(pieces), mode="r").R
    products = triangle[:, :-1] - triangle[:, -1:] * (centred @ lack)  # the last column was of ones
    root = torch.linalg.svdvals(products).sum() / ((count - 1) * (many.shape[0] - 1)) ** 0.5
    squares -= many.shape[0] * lack.square().sum()
    traces = centred.square().sum() / (count - 1) + squares / (many.shape[0] - 1)
    return _never_negative((mean - (about + lack)).square().sum() + traces - 2 * root)


def _half_factor(covariance: Tensor) -> Tensor:
    """A (d, r) with A A' the covariance: Cholesky's, or where it is singular, without directions of mere rounding."""
    factor, failed = torch.linalg.cholesky_ex(covariance)
    if not failed:
        return factor
    values, vectors = torch.linalg.eigh(covariance)
    kept = values > len(values) * torch.finfo(values.dtype).eps * values[-1]
    return vectors[:, kept] * values[kept].sqrt()


def _never_negative(distance: Tensor) -> float:
    return max(distance.item(), 0.0)
