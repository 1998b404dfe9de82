"""Who lies next to whom: precision and recall, density and coverage, the nearest picture, and Kaggle's memorisation.

All distances are between rows of features (n, d), in float64, a block of rows against a block at a time.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cyclestyle.evaluation.resampling import Features, blocks, disjoint, require_sets

PRECISION_NEIGHBOURS = 3  # Kynkaanniemi et al. 2019
DENSITY_NEIGHBOURS = 5  # Naeem et al. 2020
# |x - y|^2 = |x|^2 + |y|^2 - 2 x.y loses its digits where x and y are close: such pairs are subtracted first
CLOSE = 1e-6
# Distances nearer to each other than this are equal: rounding must not decide who is inside a ball or comes first
TIE = 1e-9
PAIRS_AT_ONCE = 512


class Prdc(NamedTuple):
    """How a set of generated pictures fills the range of the real ones; all but density in [0, 1], higher is better."""

    precision: float
    recall: float
    density: float
    coverage: float


class BalancedPrdc(NamedTuple):
    """`Prdc` over draws of equal numbers: mean and standard deviation of each."""

    mean: Prdc
    deviation: Prdc
    """0 where nothing was left to chance, because both sets had as many rows."""
    count: int
    """Rows of each set in a draw."""


class MiFid(NamedTuple):
    """Kaggle's memorisation-informed Frechet distance, and what it was made of."""

    fid: float
    distance: float
    fired: bool
    value: float


def distances(x: Tensor, y: Tensor) -> Tensor:
    """Euclidean distances of two blocks, (a, d) and (b, d) float64 -> (a, b), to 10 digits also of close rows.

    Equal rows have distance 0 exactly.
    """
    centre = y.mean(0)
    near_x, near_y = x - centre, y - centre  # so that few pairs are close for their size
    scale = near_x.square().sum(1)[:, None] + near_y.square().sum(1)
    squared = torch.addmm(scale, near_x, near_y.mT, alpha=-2)
    found = squared.clamp_min(0).sqrt()
    close = (squared <= CLOSE * scale).nonzero()
    found[close[:, 0], close[:, 1]] = _subtracted(x, y, close)
    return found


def _subtracted(x: Tensor, y: Tensor, pairs: Tensor) -> Tensor:
    """Distances of the pairs (p, 2) of rows of x and y, equal to the last bit for equal rows: (p,)."""
    parts = [torch.linalg.vector_norm(x[i] - y[j], dim=1) for i, j in (p.unbind(1) for p in pairs.split(PAIRS_AT_ONCE))]
    return torch.cat(parts)


def nearest(x: Features, y: Features) -> tuple[Tensor, Tensor]:
    """For each row of x the row of y that is nearest to it, by Euclidean distance.

    Args:
        x: (n, d).
        y: (m, d), m >= 1.

    Returns:
        Distances (n,) float64 and rows of y (n,) int64; of several as near, the first.

    Raises:
        ValueError: the sets do not match, or one is empty.
    """
    require_sets(1, x, y)
    least = torch.full((x.shape[0],), math.inf, dtype=torch.float64)
    index = torch.zeros(x.shape[0], dtype=torch.int64)
    for rows, block in blocks(x):
        for columns, other in blocks(y):
            found = distances(block, other)
            likely = (found <= found.min(1, keepdim=True).values * (1 + TIE)).nonzero()
            found = torch.full_like(found, math.inf)
            found[likely[:, 0], likely[:, 1]] = _subtracted(block, other, likely)
            place = found.argmin(1)
            distance = found.gather(1, place[:, None])[:, 0]
            better = distance < least[rows]
            least[rows] = torch.where(better, distance, least[rows])
            index[rows] = torch.where(better, place + columns.start, index[rows])
    return least, index


def radii(features: Features, k: int) -> Tensor:
    """Distances from each row to its 1st ... k-th nearest neighbour in its own set, itself left out: (n, k) float64."""
    require_sets(k + 1, features)
    found = torch.empty(features.shape[0], k, dtype=torch.float64)
    for rows, block in blocks(features):
        least = torch.full((len(block), k), math.inf, dtype=torch.float64)
        for columns, other in blocks(features):
            apart = distances(block, other)
            if columns == rows:
                apart.fill_diagonal_(math.inf)
            least = torch.cat((least, apart), dim=1).topk(k, largest=False).values
        found[rows] = least
    return found


def prdc(fakes: Features, reals: Features, k: int | None = None) -> Prdc:
    """Fidelity and variety of generated pictures: improved precision and recall, density and coverage.

    A row's ball reaches to its k-th neighbour in its own set. Precision is the share of fakes in some real's ball,
    recall the share of reals in some fake's ball (Kynkaanniemi et al., "Improved precision and recall metric for
    assessing generative models", NeurIPS 2019, eqs. 1 and 2; the ball is closed). Density is the number of reals' balls
    in which a fake lies, divided by k, the mean over fakes; coverage the share of reals with a fake in their ball
    (Naeem et al., "Reliable fidelity and diversity metrics for generative models", ICML 2020; the ball is
    open, as in their code, so density is 1 for a copy of the reals). All four depend on how many rows there are:
    compare at equal numbers (`balanced_prdc`).

    Args:
        fakes: (n, d), generated.
        reals: (m, d).
        k: of all four; None is as in the papers, 3 for precision and recall, 5 for density and coverage.

    Raises:
        ValueError: the sets do not match, k < 1, or a set has fewer than k + 1 rows.
    """
    if k is not None and k < 1:
        raise ValueError(f"neighbours are counted from 1, got k = {k}; 3 or 5 is usual")
    first, second = (PRECISION_NEIGHBOURS, DENSITY_NEIGHBOURS) if k is None else (k, k)
    require_sets(max(first, second) + 1, fakes, reals)
    around_reals, around_fakes = radii(reals, max(first, second)), radii(fakes, first)[:, -1]
    closed, open_ = around_reals[:, first - 1] * (1 + TIE), around_reals[:, second - 1] * (1 - TIE)
    around_fakes = around_fakes * (1 + TIE)
    precise = torch.zeros(fakes.shape[0], dtype=torch.bool)
    recalled, covered = torch.zeros(2, reals.shape[0], dtype=torch.bool)
    inside = 0
    for rows, fake in blocks(fakes):
        for columns, real in blocks(reals):
            apart = distances(fake, real)
            precise[rows] |= (apart <= closed[columns]).any(1)
            recalled[columns] |= (apart <= around_fakes[rows, None]).any(0)
            within = apart < open_[columns]
            covered[columns] |= within.any(0)
            inside += int(within.sum())
    shares = (marks.double().mean().item() for marks in (precise, recalled, covered))
    precision, recall, coverage = shares
    return Prdc(precision, recall, inside / (second * fakes.shape[0]), coverage)


def balanced_prdc(
    fakes: Features, reals: Features, k: int | None = None, draws: int = 20, seed: int = 0
) -> BalancedPrdc:
    """`prdc` of as many fakes as reals: of the larger set, a part drawn anew each time.

    Raises:
        ValueError: as `prdc`, or there are no draws.
    """
    if draws < 1:
        raise ValueError(f"needs at least 1 draw, got {draws}; 20 is usual")
    require_sets(1, fakes, reals)
    count = min(fakes.shape[0], reals.shape[0])
    random = np.random.default_rng(seed)
    if fakes.shape[0] == reals.shape[0]:
        draws = 1  # of everything
    found = []
    for _ in range(draws):
        (made,), (real,) = disjoint(fakes, [count], random), disjoint(reals, [count], random)
        found.append(prdc(made, real, k))
    deviation = np.std(found, axis=0, ddof=1) if draws > 1 else np.zeros(len(Prdc._fields))
    return BalancedPrdc(Prdc(*np.mean(found, axis=0).tolist()), Prdc(*deviation.tolist()), count)


def memorisation(generated: Features, training: Features) -> Tensor:
    """How far each generated picture is from the training picture that it is most like: 1 - |cos|, the smallest.

    As in Kaggle's MiFID, which then takes the mean: the least over training pictures, for each generated one, not the
    other way round. A row of zeros has no direction: it is left out of the training pictures, and as a generated one
    is at distance 1 (Kaggle leaves that out as well; there is none in practice).

    Args:
        generated: (n, d).
        training: (m, d).

    Returns:
        (n,) float64 in [0, 1]; 0 is a copy.

    Raises:
        ValueError: the sets do not match, one is empty, or all training rows are zero.
    """
    require_sets(1, generated, training)
    most = torch.zeros(generated.shape[0], dtype=torch.float64)
    any_direction = False
    for rows, made in blocks(generated):
        made = _directions(made)
        for _, known in blocks(training):
            known = _directions(known[known.any(1)])
            if len(known):
                any_direction = True
                most[rows] = torch.maximum(most[rows], (made @ known.mT).abs().amax(1))
    if not any_direction:
        raise ValueError("every training picture has features of zeros only; give features of a network with weights")
    return (1 - most).clamp_min(0)


def memorisation_within(features: Features) -> Tensor:
    """Of each row the smallest cosine distance 1 - |cos| to another row, (n,): how near paintings come to one another.

    Raises ValueError if there are no rows; of a single one it is inf.
    """
    require_sets(1, features)
    smallest = torch.full((features.shape[0],), math.inf, dtype=torch.float64)
    for rows, block in blocks(features):
        for columns, other in blocks(features):
            apart = 1 - (_directions(block) @ _directions(other).mT).abs()
            if rows == columns:
                apart.fill_diagonal_(math.inf)
            smallest[rows] = torch.minimum(smallest[rows], apart.amin(1))
    return smallest.clamp_min(0)


def _directions(block: Tensor) -> Tensor:
    """Rows at unit length; zeros stay zeros. By the largest number first, so that no square over- or underflows."""
    block = block / block.abs().amax(1, keepdim=True).clamp_min(torch.finfo(block.dtype).tiny)
    return block / torch.linalg.vector_norm(block, dim=1, keepdim=True).clamp_min(0.5)  # at least 1, or of zeros


def mifid(fid: float, distances: Tensor | NDArray[np.float64], epsilon: float = 0.1) -> MiFid:
    """Kaggle's score: the Frechet distance, divided by the mean memorisation distance where that is below epsilon.

    Bai et al., "On training sample memorization: lessons from benchmarking generative modeling with a large-scale
    competition", KDD 2021; the small number is that of Kaggle's published code.

    Args:
        fid: of generated pictures against training pictures.
        distances: (n,), of `memorisation`.
        epsilon: Kaggle's for its first such competition; the one for Monet is not published.

    Raises:
        ValueError: there are no distances.
    """
    if len(distances) == 0:
        raise ValueError("MiFID needs the memorisation distance of at least one generated picture, got none")
    mean = float(distances.mean())
    fired = mean < epsilon
    return MiFid(fid, mean, fired, fid / ((mean if fired else 1.0) + 1e-14))
