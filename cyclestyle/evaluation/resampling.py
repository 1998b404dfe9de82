"""What a number owes to chance: a set's features read in blocks, parts of them drawn by a seed, the errors that follow.

The distances between sets are computed from features (n, d) that may lie on a disk and be larger than the memory: they
are read in blocks of rows, as float64 on the CPU, and a part of a set is a view that reads only when it is read.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

BLOCK = 512
"""Rows in memory at a time."""
NORMAL_95 = 1.96
"""Standard errors either side that hold 95 % of a normal distribution."""
RESAMPLED_AT_ONCE = 1 << 20
"""Numbers of a bootstrap in memory at a time."""


class Features(Protocol):
    """One row of numbers for each picture: a tensor, an array, or a file whose slices `rows[a:b]` are such."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, d)."""
        ...

    def __getitem__(self, rows: slice, /) -> Any:
        """The rows from a start to a stop, in anything from which a tensor can be made."""
        ...


class Estimate(NamedTuple):
    """A number of two sets, and how far other pictures of the same kinds would move it."""

    value: float
    standard_error: float
    """inf where a set has too few rows to know."""

    @property
    def interval(self) -> tuple[float, float]:
        """The normal 95 % confidence interval."""
        return self.value - self.resolvable, self.value + self.resolvable

    @property
    def resolvable(self) -> float:
        """Half the width of the 95 % interval: of a difference, the smallest that could be told from 0."""
        return NORMAL_95 * self.standard_error


class Spread(NamedTuple):
    """Numbers of many pictures, told by their median; and its 95 % interval from `low` to `high`."""

    median: float
    lower_quartile: float
    upper_quartile: float
    low: float
    high: float
    count: int


def require_sets(least: int, *sets: Features) -> None:
    """Each is (n, d) with one d and n >= `least`; a ValueError says what is not."""
    shapes = [tuple(features.shape) for features in sets]
    if any(len(shape) != 2 or shape[1] == 0 for shape in shapes):
        raise ValueError(f"expected features of shape (n, d), got {_listed(shapes)}")
    if len({shape[1] for shape in shapes}) > 1:
        raise ValueError(f"the sets have features of different lengths: {_listed(shapes)}; take both from one layer")
    fewest = min(shape[0] for shape in shapes)
    if fewest < least:
        raise ValueError(f"every set needs {least} or more pictures, one has {fewest}; add pictures")


def _listed(shapes: Sequence[tuple[int, ...]]) -> str:
    return " and ".join(map(str, shapes))


def blocks(features: Features, first: int = 0) -> Iterator[tuple[slice, Tensor]]:
    """The rows from `first` on, in order: where a block lies, and its rows (at most 512, d) as float64 on the CPU.

    Raises ValueError where a number is not finite, since one of them would make every statistic NaN.
    """
    count = features.shape[0]
    for start in range(first, count, BLOCK):
        rows = slice(start, min(start + BLOCK, count))
        block = features[rows]
        if isinstance(block, Tensor):
            block = block.detach().to("cpu", torch.float64)
        else:
            block = torch.from_numpy(np.array(block, dtype=np.float64))  # a copy: what is mapped may be read-only
        if not block.sum().isfinite() and not block.isfinite().all():  # the sum alone takes a fifth of the time
            raise ValueError(
                f"the features in rows {rows.start} to {rows.stop - 1} are not all finite; "
                "take them from a layer whose weights are there, and leave out pictures that give NaN"
            )
        yield rows, block


class Part:
    """Some rows of a set, in the set's order, without repetition; nothing is read before a slice is taken."""

    def __init__(self, features: Features, chosen: NDArray[np.int64]) -> None:
        self.features, self.chosen = features, np.sort(chosen)
        self.shape = (len(chosen), features.shape[1])

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, rows: slice) -> Tensor:
        wanted = self.chosen[rows]
        found = torch.empty(len(wanted), self.shape[1], dtype=torch.float64)
        for place in np.unique(wanted // BLOCK):  # whole blocks, since files give nothing but slices
            here = wanted // BLOCK == place
            stop = min((int(place) + 1) * BLOCK, self.features.shape[0])
            block = self.features[int(place) * BLOCK : stop]
            offsets = wanted[here] - int(place) * BLOCK
            if isinstance(block, Tensor):
                picked = block.detach().to("cpu", torch.float64)[torch.from_numpy(offsets)]
            else:
                picked = torch.from_numpy(np.asarray(block)[offsets].astype(np.float64))
            found[torch.from_numpy(here)] = picked
        return found


def disjoint(features: Features, sizes: Sequence[int], random: np.random.Generator) -> list[Part]:
    """Parts of the given sizes, drawn without replacement, no row in two of them; together at most the whole set."""
    order = random.permutation(features.shape[0])
    ends = np.cumsum(sizes)
    return [Part(features, order[end - size : end]) for size, end in zip(sizes, ends, strict=True)]


def jackknife(
    x: Features,
    y: Features,
    statistic: Callable[[Features, Features], float],
    groups: int = 10,
    seed: int = 0,
) -> Estimate:
    """The standard error of any smooth number of two sets, by leaving out one group of rows at a time.

    Each set is cut into `groups` random groups; those of x and of y are left out in turn, and the variances of the two
    add, since the sets are independent. Busing, Meijer, Van der Leeden, "Delete-m jackknife for unequal m", Statistics
    and Computing 9, 1999, which for groups of equal size is (g - 1) / g times the sum of squares. Unlike a
    bootstrap it repeats no picture, which alone would change a Frechet distance. The value is not corrected for bias.

    Args:
        x: (n, d).
        y: (m, d).
        statistic: of two sets; called 1 + 2 `groups` times, with views that read their rows in slices.
        groups: at least 2; a set of fewer rows is cut into single rows.
        seed: of the cut.

    Returns:
        The number of the whole sets; the standard error is inf where a set has fewer than 3 rows.

    Raises:
        ValueError: the sets do not match, are empty, or there are fewer than 2 groups.
    """
    if groups < 2:
        raise ValueError(f"a jackknife needs at least 2 groups, got {groups}; 10 is usual")
    require_sets(1, x, y)
    value = statistic(x, y)
    if min(x.shape[0], y.shape[0]) < 3:
        return Estimate(value, math.inf)
    random = np.random.default_rng(seed)
    variance = 0.0
    for features, without in ((x, lambda rest: statistic(rest, y)), (y, lambda rest: statistic(x, rest))):
        count = features.shape[0]
        cut = np.array_split(random.permutation(count), min(groups, count))
        everything = np.arange(count)
        left = [without(Part(features, np.setdiff1d(everything, group))) for group in cut]
        variance += _grouped_variance(value, np.array(left), np.array([len(group) for group in cut]))
    return Estimate(value, math.sqrt(variance))


def _grouped_variance(value: float, left: NDArray[np.float64], sizes: NDArray[np.int64]) -> float:
    """Busing et al. 1999, from the number of the whole and those without each group."""
    ratios = sizes.sum() / sizes
    pseudo = ratios * value - (ratios - 1) * left
    centre = len(left) * value - ((1 - 1 / ratios) * left).sum()
    return float(((pseudo - centre) ** 2 / (ratios - 1)).mean())


def spread(values: Sequence[float] | NDArray[Any] | Tensor, seed: int = 0, resamples: int = 2000) -> Spread:
    """Median and quartiles of numbers, one for each picture, with a bootstrap interval of the median.

    Percentile interval: Efron, Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13. Quantiles are
    interpolated linearly between neighbours. Infinite numbers count (identical pictures have a PSNR of inf).

    Args:
        values: (n,), n >= 1. Of one value, the interval is that value.
        seed: of the resamples.
        resamples: at least 1.

    Raises:
        ValueError: no values, not a list of numbers, NaN among them, or no resamples.
    """
    if isinstance(values, Tensor):
        values = values.detach().to("cpu", torch.float64).numpy()
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    if ordered.ndim != 1 or len(ordered) == 0:
        raise ValueError(f"expected one number for each picture, got an array of shape {ordered.shape}")
    if np.isnan(ordered).any():
        raise ValueError(f"{np.isnan(ordered).sum()} of {len(ordered)} numbers are NaN; leave those pictures out")
    if resamples < 1:
        raise ValueError(f"a bootstrap needs at least 1 resample, got {resamples}; 2000 is usual")
    count, random = len(ordered), np.random.default_rng(seed)
    at_once = max(RESAMPLED_AT_ONCE // count, 1)
    medians = []
    for done in range(0, resamples, at_once):
        drawn = random.integers(count, size=(min(at_once, resamples - done), count))
        drawn.sort(axis=1)  # of the places, since halves of infinite numbers would not subtract
        medians += [_quantile(ordered, row, 0.5) for row in drawn]
    medians, whole = np.sort(medians), np.arange(count)
    lower, middle, upper = (_quantile(ordered, whole, share) for share in (0.25, 0.5, 0.75))
    low, high = (_quantile(medians, np.arange(resamples), share) for share in (0.025, 0.975))
    return Spread(middle, lower, upper, low, high, count)


def _quantile(ordered: NDArray[np.float64], places: NDArray[np.int64], share: float) -> float:
    """The quantile of the numbers at some places, both in ascending order; infinite neighbours are not subtracted."""
    position = share * (len(places) - 1)
    below = float(ordered[places[math.floor(position)]])
    above = float(ordered[places[math.ceil(position)]])
    return below if below == above else below + (position - math.floor(position)) * (above - below)
