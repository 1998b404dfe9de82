"""Distances between sets: each row of the card against the reference paintings, and the scale on which they stand.

On the scale the untouched photos are 0 and real paintings, held against real paintings, are 1. Distances with an
unbiased estimate (MMD, KID) use all pictures. Those that depend on how many pictures there are (Frechet distance,
precision, recall, nearest neighbours) are placed on the scale by equal numbers of each set, drawn several times.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cyclestyle.evaluation.kernels import Kernel, difference, estimate, halves, share_of_way
from cyclestyle.evaluation.resampling import Estimate
from cyclestyle.evaluation.store import Rows

Parts = Mapping[str, Rows]
Array = NDArray[np.float64]
PHOTOS, COLOUR, PAINTED, REAL = "photos", "colour", "painted", "real"
ALSO = "also:"
"""Before the names of further rows."""
NAMES = {PHOTOS: "photos, untouched", COLOUR: "colour transfer", PAINTED: "painted", REAL: "real paintings"}
SPLITS, DRAWS = 20, 10
DRAWN_AT_MOST = 1000
"""Pictures of a set in a draw."""


def row_name(key: str) -> str:
    """What a card calls a row."""
    return NAMES.get(key) or key.removeprefix(ALSO)


class Value(NamedTuple):
    """A number, with its 95 % interval where one is known."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Measure:
    """One distance: what it is, and what it says of each row."""

    key: str
    group: str
    """sets, style, texture, colour or variety."""
    name: str
    level: str
    """Of which network, and where in it."""
    explained: str
    better: str = "lower"
    main: bool = False
    values: dict[str, Value] = field(default_factory=dict)
    skill: dict[str, float | None] = field(default_factory=dict)
    skill_interval: dict[str, tuple[float, float]] = field(default_factory=dict)
    resolvable: float | None = None
    """Half of the widest 95 % interval of the difference between the painted pictures and another row."""
    apart: list[tuple[str, str]] = field(default_factory=list)
    """Pairs of rows that differ by more than chance (95 %)."""
    fired: dict[str, bool] = field(default_factory=dict)
    """Of MiFID: whether a row was made worse for being copies."""
    different: dict[str, bool] = field(default_factory=dict)
    """Whether a row differs from the untouched photos by more than chance (95 %)."""


@dataclass(frozen=True)
class Tables:
    """What was seen of every set."""

    rows: Mapping[str, Parts]
    """Pictures made of the same photos, in the same order; the photos themselves come first."""
    reference: Parts
    real: Parts | None
    """Other real paintings; None: the reference is split into halves."""
    seed: int = 0

    def count(self, part: str) -> int:
        """How many pictures of each set an equal draw can have."""
        made = min(len(parts[part]) for parts in self.rows.values())
        there = len(self.reference[part])
        paintings = there // 2 if self.real is None else min(there, len(self.real[part]))
        return min(made, paintings, DRAWN_AT_MOST)

    def draws(self, *names: str) -> Iterator[tuple[dict[str, Array], Array]]:
        """Equal numbers of every row and of the reference, the parts side by side; the rows show the same scenes."""
        first, count, random = names[0], self.count(names[0]), np.random.default_rng(self.seed)
        for _ in range(DRAWS):
            scenes = random.permutation(len(self.rows[PHOTOS][first]))[:count]
            paintings = random.permutation(len(self.reference[first]))
            if self.real is None:
                others = side_by_side(self.reference, names, paintings[count : 2 * count])
            else:
                others = side_by_side(self.real, names, random.permutation(len(self.real[first]))[:count])
            drawn = {key: side_by_side(parts, names, scenes) for key, parts in self.rows.items()} | {REAL: others}
            yield drawn, side_by_side(self.reference, names, paintings[:count])


def side_by_side(parts: Parts, names: Sequence[str], places: NDArray[np.int64]) -> Array:
    """Some rows of several parts."""
    return np.hstack([parts[name].take(places) for name in names]).astype(np.float64)


def spread_over(count: int, at_most: int) -> NDArray[np.int64]:
    """At most so many places from all over a set of `count`."""
    shown = min(count, at_most)
    return np.arange(shown) * count // shown


def discrepancy(told: Measure, part: str, kernel: Kernel, tables: Tables, *, scale: float = 1.0) -> Measure:
    """Fill in a squared MMD: unbiased, from all pictures, with intervals."""
    reference = tables.reference[part]
    values = {key: valued(estimate(parts[part], reference, kernel), scale) for key, parts in tables.rows.items()}
    if tables.real is not None:
        values[REAL] = valued(estimate(tables.real[part], reference, kernel), scale)
    elif len(reference) >= 4:
        split = halves(reference, kernel, splits=SPLITS, seed=tables.seed) * scale
        values[REAL] = Value(split.mean().item(), *split.quantile(split.new_tensor([0.025, 0.975])).tolist())
    rows = {key: parts[part] for key, parts in tables.rows.items()}
    between = {
        (one, two): difference(rows[one], rows[two], reference, kernel, paired=True)
        for one, two in combinations(rows, 2)
    }
    with_painted = [scale * found.resolvable for pair, found in between.items() if PAINTED in pair]
    widest = max(with_painted, default=math.inf)
    return _on_the_scale(
        told,
        values,
        skill_interval=_skill_intervals(rows, reference, kernel, values, scale),
        resolvable=widest if math.isfinite(widest) else None,
        different={two: abs(one.value) > one.resolvable for (first, two), one in between.items() if first == PHOTOS},
        apart=[pair for pair, found in between.items() if abs(found.value) > found.resolvable],
    )


def _skill_intervals(
    rows: Mapping[str, Rows], reference: Rows, kernel: Kernel, values: Mapping[str, Value], scale: float
) -> dict[str, tuple[float, float]]:
    """95 %, of every row but the photos; that real paintings stand where they do is taken as known."""
    if skill_of(values, PHOTOS) is None:
        return {}
    end = values[REAL].value / scale
    found = {
        key: share_of_way(made, rows[PHOTOS], reference, kernel, end).interval
        for key, made in rows.items()
        if key != PHOTOS
    }
    return {key: (low, high) for key, (low, high) in found.items() if math.isfinite(high - low)}


def at_equal_sizes(
    told: Measure, parts: tuple[str, ...], statistic: Callable[[Array, Array], float], tables: Tables
) -> Measure:
    """Fill in a number that depends on how many pictures there are: the mean over draws of equal numbers.

    `statistic` takes a row's and the reference's vectors, with the parts side by side.
    """
    drawn: dict[str, list[float]] = {}
    for rows, reference in tables.draws(*parts):
        for key, vectors in rows.items():
            drawn.setdefault(key, []).append(statistic(vectors, reference))
    found = _on_the_scale(told, {key: Value(float(np.mean(numbers))) for key, numbers in drawn.items()})
    way = np.subtract(drawn[PHOTOS], drawn[REAL])
    clear = abs(way.mean()) > 2 * way.std()  # else the ends of the scale change places from draw to draw
    return found if clear else replace(found, skill=dict.fromkeys(found.skill))


def _on_the_scale(told: Measure, values: dict[str, Value], **more: Any) -> Measure:
    skill = {key: skill_of(values, key, told.better) for key in values}
    return replace(told, values=values, skill=skill, **more)


def skill_of(values: Mapping[str, Value], key: str, better: str = "lower") -> float | None:
    """Where a row stands between the untouched photos (0) and real paintings (1).

    None where there is no such scale: the photos stand no farther from the paintings than real paintings do, or by no
    more than chance (95 %) where an interval is known, or than the last digits of a number.
    """
    if REAL not in values:
        return None
    photos, real = values[PHOTOS], values[REAL].value
    way = photos.value - real if better == "lower" else real - photos.value
    if not way > 1e-9 * max(abs(photos.value), abs(real), 1e-30) or (photos.low is not None and photos.low <= real):
        return None
    made = photos.value - values[key].value
    return (made if better == "lower" else -made) / way


def valued(found: Estimate, scale: float = 1.0) -> Value:
    """An estimate in the card's form, in units of 1 / `scale`."""
    low, high = (scale * end for end in found.interval)
    return Value(scale * found.value, low, high) if math.isfinite(high - low) else Value(scale * found.value)
