"""A comparison from what is wanted to the files that show it: pictures, cards, one table, one page."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from cyclestyle.comparison.columns import (
    CONTENT,
    TRUTH,
    Column,
    behaviours,
    between_pictures,
    between_sets,
    competitors,
    costs,
)
from cyclestyle.comparison.cost import Cost, read_cost, trained
from cyclestyle.comparison.exhibition import exhibition
from cyclestyle.comparison.makers import Materials, styling_settings, told_of
from cyclestyle.comparison.making import keep_only, make
from cyclestyle.comparison.methods import LEARNS, Method
from cyclestyle.comparison.notes import notes_of, unsaid
from cyclestyle.comparison.side_by_side import side_by_side
from cyclestyle.comparison.together import Found, Gathered, against_truth, gather_all, measure_all, small_pictures
from cyclestyle.comparison.winners import headline, sentences
from cyclestyle.data.jobs import Job
from cyclestyle.evaluation.asking import Asked, make_card, open_eyes
from cyclestyle.evaluation.card import missing, provenance
from cyclestyle.evaluation.eyes import Eyes
from cyclestyle.evaluation.known import read_truth
from cyclestyle.evaluation.measures import PHOTOS, REAL
from cyclestyle.evaluation.measuring import Folders
from cyclestyle.evaluation.store import Store
from cyclestyle.files import held, write_text, writing_to
from cyclestyle.images import list_pictures
from cyclestyle.processes import Processes
from cyclestyle.runs import find_painter

FORMAT = 1
"""Of `comparison.json`."""
SIDE, PAINTINGS_SHOWN = 128, 12
"""Pixels of a painting in the page, and how many."""


@dataclass(frozen=True)
class Wanted:
    """What somebody wants to compare, and on which terms; see `cyclestyle compare --help`."""

    photos: Path
    to: Path
    methods: Sequence[Method]
    materials: Materials
    held_out: Path | None = None
    truth: Path | None = None
    at_most: int | None = None
    network: Literal["vgg19", "vgg16", "vgg19-distilled"] = "vgg19"
    lpips: Literal["alex", "squeeze", "vgg"] = "alex"
    leave_out: frozenset[str] = frozenset()
    side: int | None = None
    jpeg: int | None = None
    batch: int | None = None
    rows: int = 12

    def asked(self, painted: Path, to: Path, side: int | None) -> Asked:
        """The evaluation of one method, on the terms of all."""
        folders = Folders(painted, self.photos, self.materials.paintings, self.held_out, {}, self.at_most)
        return Asked(
            folders=folders,
            to=to,
            truth=self.truth,
            weights=self.materials.weights,
            random=self.materials.random,
            network=self.network,
            lpips=self.lpips,
            leave_out=self.leave_out,
            side=side,
            jpeg=self.jpeg,
            cache=self.to / "features",
            batch=self.batch,
            seed=self.materials.seed,
            sheet_rows=self.rows,
        )


def compare_all(wanted: Wanted, processes: Processes) -> dict[str, Any]:
    """Make what is missing, measure, and write `comparison.json` and `comparison.html`; gives what the former holds.

    Raises ValueError or FileNotFoundError, in a sentence, for what cannot be compared.
    """
    photos = choose_photos(wanted)
    _require_places(wanted)
    work = {method: jobs_of(method, photos, wanted) for method in wanted.methods}
    eyes = open_eyes(wanted.asked(wanted.photos, wanted.to, None), processes.device)  # lacking weights are told at once
    with writing_to(wanted.to):
        wanted.to.mkdir(parents=True, exist_ok=True)
    with held(wanted.to / ".lock") as ours:
        if not ours:
            raise ValueError(f"another comparison is writing to {wanted.to}; wait for it, or give another --to")
        return _compare(wanted, processes, eyes, work)


def _compare(wanted: Wanted, processes: Processes, eyes: Eyes, work: Mapping[Method, list[Job]]) -> dict[str, Any]:
    """With everything opened, and the folder held."""
    notes: list[str] = []
    folders = {method.name: wanted.to / "methods" / method.name for method in work}
    for method, jobs in work.items():
        notes += make(method, wanted.materials, jobs, folders[method.name])
    keep_common(work, folders)
    around = Folders(Path(), wanted.photos, wanted.materials.paintings, wanted.held_out, {}, wanted.at_most)
    terms = {"side": wanted.side, "jpeg": wanted.jpeg, "seed": wanted.materials.seed}
    gathered = gather_all(folders, around, processes, **terms)
    truth = read_truth(wanted.truth, gathered.sets) if wanted.truth is not None else None
    found = measure_all(gathered, eyes, Store(wanted.to / "features", eyes.identity), processes, wanted.batch)
    near = against_truth(truth, gathered) if truth is not None else []
    cards = {}
    for method in wanted.methods:
        to = wanted.to / "cards" / method.name
        asked = wanted.asked(folders[method.name], to, gathered.terms.side)
        cards[method.name] = make_card(asked, processes) or {}
    spent = {method.name: read_cost(folders[method.name]) for method in wanted.methods}
    floor = next((method.name for method in wanted.methods if method.kind == "photo"), None)
    competing = competitors(list(folders), floor)
    columns = [
        *between_pictures(found.content, CONTENT, competing, eyes.vgg.name),
        *between_sets(found.measures, competing),
        *behaviours(cards),
        *between_pictures(near, TRUTH, competing, ""),
        *costs({name: cost for name, cost in spent.items() if name in competing}),
    ]
    told = _told(wanted, gathered, found, eyes, columns, competing, spent, cards, notes)
    _write(wanted, told, found)
    return told


def keep_common(work: Mapping[Method, list[Job]], folders: Mapping[str, Path]) -> None:
    """Move aside the pictures of photos that some method could not make: all are compared on the same photos.

    Raises ValueError where no photo is left.
    """
    by_photo = list(zip(*work.values(), strict=True))  # every method's jobs are in the order of the photos
    common = [all(job.painting.exists() for job in jobs) for jobs in by_photo]
    if not any(common):
        raise ValueError("there is no photo that every method could make; leave out the method that could not")
    for method, jobs in work.items():
        keep_only(folders[method.name], [job.painting for job, whole in zip(jobs, common, strict=True) if whole])


def choose_photos(wanted: Wanted) -> list[Path]:
    """The photos that are compared: at most so many, from all over the folder.

    Raises FileNotFoundError where there are none, ValueError if two differ in their ending alone.
    """
    photos = list_pictures(wanted.photos)
    stems: dict[str, Path] = {}
    for photo in photos:
        other = stems.setdefault(_stem(photo, wanted.photos).lower(), photo)
        if other != photo:
            raise ValueError(f"{other} and {photo} differ in their ending alone; keep one of them, or rename it")
    count = min(wanted.at_most or len(photos), len(photos))
    return [photos[index * len(photos) // count] for index in range(count)]


def _stem(picture: Path, folder: Path) -> str:
    return picture.relative_to(folder).with_suffix("").as_posix()


def jobs_of(method: Method, photos: Sequence[Path], wanted: Wanted) -> list[Job]:
    """What a method has to make: a PNG for each photo; photos and pictures that are given are taken as they are.

    Raises FileNotFoundError or ValueError where a run or a given picture is not there.
    """
    to = wanted.to / "methods" / method.name
    if method.kind == "photo":
        return [Job(photo, to / photo.relative_to(wanted.photos)) for photo in photos]
    if method.kind == "folder":
        assert method.source is not None
        return _given(method, method.source, photos, wanted, to)
    if method.kind == "run":
        assert method.source is not None
        find_painter(method.source)
    if method.kind == "styling":
        styling_settings(method, wanted.materials)
    return [Job(photo, to / photo.relative_to(wanted.photos).with_suffix(".png")) for photo in photos]


def _given(method: Method, folder: Path, photos: Sequence[Path], wanted: Wanted, to: Path) -> list[Job]:
    there = {_stem(picture, folder): picture for picture in list_pictures(folder)}
    names = [_stem(photo, wanted.photos) for photo in photos]
    lacking = [name for name in names if name not in there]
    if lacking:
        raise ValueError(
            f"--also.{method.name}: {folder} has no picture for {len(lacking):,} of the {len(names):,} photos, first "
            f"{lacking[0]}; give a folder with a picture for each photo, by the same names, or lower --at-most"
        )
    return [Job(there[name], to / there[name].relative_to(folder)) for name in names]


def _require_places(wanted: Wanted) -> None:
    """Raises where a folder is missing, or the comparison would be written among pictures that are compared."""
    read = {"--photos": wanted.photos, "--paintings": wanted.materials.paintings}
    read |= {"--held-out": wanted.held_out, "--truth": wanted.truth}
    read |= {f"--also.{method.name}": method.source for method in wanted.methods if method.kind == "folder"}
    for option, folder in read.items():
        if folder is None:
            continue
        list_pictures(folder)
        if wanted.to.resolve().is_relative_to(folder.resolve()):
            raise ValueError(f"{wanted.to} lies in {folder}, which is given as {option}; give another with --to")
        if folder.resolve().is_relative_to((wanted.to / "methods").resolve()):
            raise ValueError(f"{folder} ({option}) lies in {wanted.to}, which is written to; give another with --to")


def _told(
    wanted: Wanted,
    gathered: Gathered,
    found: Found,
    eyes: Eyes,
    columns: Sequence[Column],
    competing: Sequence[str],
    spent: Mapping[str, Cost | None],
    cards: Mapping[str, Mapping[str, Any]],
    notes: Sequence[str],
) -> dict[str, Any]:
    """Everything that was found, as plain data."""
    counts = {"photos": len(gathered.sets.photos.items), "paintings": len(gathered.sets.paintings.items)}
    if gathered.sets.held_out is not None:
        counts["held-out paintings"] = len(gathered.sets.held_out.items)
    traced, names = provenance(gathered.sets, gathered.terms, eyes), {key: name for name, key in gathered.keys.items()}
    return {
        "format": FORMAT,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "random": wanted.materials.random,
        "headline": headline(columns, competing),
        "sentences": [said._asdict() for said in sentences(columns, competing)],
        "counts": counts,
        "rows": wanted.rows,
        "methods": [_method(method, spent[method.name], cards[method.name]) for method in wanted.methods],
        "competing": list(competing),
        "columns": [asdict(column) for column in columns],
        "notes": [*notes_of(gathered), *unsaid(notes, gathered.sets.photos)],
        "left_out": [*({"what": what, "why": why} for what, why in found.left_out), *missing(eyes)],
        "provenance": traced | {"sets": {names.get(key, key): one for key, one in traced["sets"].items()}},
    }


def _method(method: Method, cost: Cost | None, card: Mapping[str, Any]) -> dict[str, Any]:
    habits = card.get("behaviour", {})
    return {
        "name": method.name,
        "kind": method.kind,
        "told": told_of(method),
        "learns": LEARNS[method.kind],
        "card": f"cards/{method.name}/card.html",
        "verdict": card.get("verdict", ""),
        "trained": trained(method.source) if method.kind == "run" and method.source is not None else None,
        "alarming": [one["name"] + ": " + one["sentence"] for one in habits.values() if one.get("alarming")],
        "cost": asdict(replace(cost, settings={})) if cost is not None and cost.made else None,
        "settings": cost.settings if cost is not None else {"folder": str(method.source)} if method.source else {},
    }


def _write(wanted: Wanted, told: Mapping[str, Any], found: Found) -> None:
    names = [method.name for method in wanted.methods]
    columns = names if told["methods"][0]["kind"] == "photo" else [PHOTOS, *names]
    pictures = side_by_side(found.views, columns, wanted.rows)
    pictures |= small_pictures({REAL: found.views["paintings"]}, [REAL], PAINTINGS_SHOWN, SIDE)
    with writing_to(wanted.to):
        write_text(wanted.to / "comparison.html", exhibition(told, pictures, columns))
        write_text(wanted.to / "comparison.json", json.dumps(told, indent=2, ensure_ascii=False) + "\n")
