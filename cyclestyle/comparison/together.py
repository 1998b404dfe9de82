"""All methods before the same networks: the same photos, the same paintings, the same terms for every one."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import torch

from cyclestyle.evaluation.exhibits import jpeg, small
from cyclestyle.evaluation.eyes import Eyes
from cyclestyle.evaluation.looking import one_thread
from cyclestyle.evaluation.measures import ALSO, PAINTED, PHOTOS, REAL, Measure
from cyclestyle.evaluation.measuring import Folders, Sets, Terms, gather, see, tables_of, views_of
from cyclestyle.evaluation.paired import nearness
from cyclestyle.evaluation.pictures import PictureSet, View, common_side
from cyclestyle.evaluation.resampling import spread
from cyclestyle.evaluation.store import Store
from cyclestyle.evaluation.yardsticks import all_measures
from cyclestyle.images import load, to_images
from cyclestyle.processes import Processes

LEAST_PAIRS = 6
"""Pictures, below which even differences that all have one sign may be chance: 2 / 2⁵ is more than 5 %."""


@dataclass(frozen=True)
class Gathered:
    """The sets of all methods, and on which terms they are measured."""

    sets: Sets
    terms: Terms
    keys: dict[str, str]
    """Of the rows, by the methods' names."""


class Distance(NamedTuple):
    """How far each method's pictures are from something that each picture has: its photo, or its true painting."""

    key: str
    better: str
    spreads: dict[str, dict[str, float]]
    """Median, quartiles and interval, by method."""
    apart: list[tuple[str, str]]
    """Pairs of methods whose pictures differ by more than chance (95 %), photo by photo."""


class Found(NamedTuple):
    """What follows from the networks."""

    measures: list[Measure]
    """Rows by the methods' names; and the untouched photos and real paintings by their keys."""
    content: list[Distance]
    views: dict[str, list[View]]
    """By the methods' names; and photos, paintings."""
    left_out: list[tuple[str, str]]


def gather_all(
    made: Mapping[str, Path], folders: Folders, processes: Processes, *, side: int | None, jpeg: int | None, seed: int
) -> Gathered:
    """Open the pictures of all methods. `folders` names everything but what was painted.

    Raises FileNotFoundError or ValueError for what cannot be measured.
    """
    first, *others = made
    keys = {first: PAINTED} | {name: ALSO + name for name in others}
    asked = Folders(
        made[first],
        folders.photos,
        folders.paintings,
        folders.held_out,
        {name: made[name] for name in others},
        folders.at_most,
    )
    sets = gather(asked, processes)
    return Gathered(sets, Terms(side or common_side(sets.photos), jpeg, seed), keys)


def measure_all(gathered: Gathered, eyes: Eyes, store: Store, processes: Processes, batch: int | None) -> Found:
    """Every picture once through the networks, and what follows from that."""
    names = {key: name for name, key in gathered.keys.items()}
    views = views_of(gathered.sets, gathered.terms)
    with one_thread() as threads:
        see(views, eyes, store, processes, batch=processes.batch(batch), threads=threads)
        with tempfile.TemporaryDirectory(prefix="cyclestyle-") as matrices:
            seen = tables_of(views, eyes, store, Path(matrices), gathered.terms.seed)
            measures, left_out = all_measures(seen.tables, eyes, seen.training)
        pairs = {names[key]: found for key, found in seen.pairs.items() if key in names}
        content = []
        for column, part in enumerate(eyes.pair_parts):
            numbers = {name: one[:, column] for name, one in pairs.items()}
            content.append(distance(part, "higher" if part == "ssim" else "lower", numbers))
    shown = {names.get(key, key): found for key, found in views.items()}
    return Found([_by_name(measure, names) for measure in measures], content, shown, left_out)


def _by_name(measure: Measure, names: Mapping[str, str]) -> Measure:
    """With rows called as the methods are; the cards' own colour transfer is left out."""
    known = dict(names) | {PHOTOS: PHOTOS, REAL: REAL}

    def renamed(found: Mapping[str, Any]) -> dict[str, Any]:
        return {known[key]: value for key, value in found.items() if key in known}

    return Measure(
        measure.key,
        measure.group,
        measure.name,
        measure.level,
        measure.explained,
        measure.better,
        measure.main,
        values=renamed(measure.values),
        skill=renamed(measure.skill),
        skill_interval=renamed(measure.skill_interval),
        apart=[(known[one], known[two]) for one, two in measure.apart if one in known and two in known],
        fired=renamed(measure.fired),
        different=renamed(measure.different),
    )


def distance(key: str, better: str, numbers: Mapping[str, torch.Tensor], seed: int = 0) -> Distance:
    """Medians of each method's numbers (n,), and which methods differ: by the median of their paired differences.

    Two methods differ where the 95 % bootstrap interval of that median does not hold 0.
    """
    spreads = {name: spread(values, seed=seed)._asdict() for name, values in numbers.items()}
    apart = []
    for one, two in combinations(numbers, 2):
        differences = torch.as_tensor(numbers[one]).double() - torch.as_tensor(numbers[two]).double()
        differences = differences[~differences.isnan()]  # of two infinite numbers: the pictures are alike
        if len(differences) >= LEAST_PAIRS:
            middle = spread(differences, seed=seed)
            if middle.low > 0 or middle.high < 0:
                apart.append((one, two))
    return Distance(key, better, spreads, apart)


def against_truth(truth: PictureSet, gathered: Gathered) -> list[Distance]:
    """How near each method comes to the true paintings, at the pictures' own size; no network is involved."""
    scenes = [item.name for item in truth.items]
    true = truth.names
    found = {}
    for name, key in gathered.keys.items():
        made = gathered.sets.made[key].names
        found[name] = nearness(
            (to_images([load(made[scene].path)]), to_images([load(true[scene].path)])) for scene in scenes
        )
    better = {"psnr": "higher", "ssim": "higher", "ciede2000": "lower"}
    return [
        distance(f"truth/{part}", way, {name: getattr(one, part) for name, one in found.items()})
        for part, way in better.items()
    ]


def small_pictures(views: Mapping[str, Sequence[View]], names: Sequence[str], rows: int, side: int) -> dict[str, bytes]:
    """Pictures to look at, as small JPEGs: `NAME/PLACE` for places from all over the set."""
    there = min(len(views[name]) for name in names)
    shown = min(rows, there)
    places = [index * there // shown for index in range(shown)]
    return {f"{name}/{place}": jpeg(small(views[name][place], side)) for place in places for name in names}
