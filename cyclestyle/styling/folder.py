"""A list of photos in a style: batched, restartable to the step, broken files passed over."""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import torch
from PIL import ExifTags, Image

from cyclestyle.data.jobs import Job, mark
from cyclestyle.files import writing_to
from cyclestyle.images import Images, Picture, luminance, save, to_pictures
from cyclestyle.progress import Progress, clock
from cyclestyle.stopping import Stopped, StopRequest
from cyclestyle.styling.colour_control import with_luminance
from cyclestyle.styling.memory import estimate, tiles_for
from cyclestyle.styling.opening import Opened, Ways, open_photos
from cyclestyle.styling.preparing import Prepared
from cyclestyle.styling.stylizing import Made, Moment, stylize
from cyclestyle.styling.unfinished import Unfinished

SECONDS_BETWEEN_SAVES = 60.0
REPORT = "stylize.jsonl"
"""In the pictures' folder: a line for each, with its losses and its cost."""
EXPENSIVE = 1 << 30
"""Bytes from which on it is said how many a batch will take."""


@dataclass
class Tally:
    """What became of the photos of a list."""

    painted: int = 0
    kept: int = 0
    """Made before, in the same way from the same photo."""
    seconds: float = 0.0
    """That the painted ones took."""
    unread: list[str] = field(default_factory=list)
    """Why photos were passed over, each naming its file."""
    fell: list[tuple[float, float]] = field(default_factory=list)
    """The objective of each painted picture at the beginning and at the end."""

    def __str__(self) -> str:
        words = f"{self.painted:,} painted"
        if self.fell:
            first, last = (median(ends) for ends in zip(*self.fell, strict=True))
            words += f" (loss {first:.4g} to {last:.4g}, {clock(self.seconds / self.painted)} each)"
        return words + (f", {self.kept:,} were there already" if self.kept else "")


def stylize_all(
    jobs: Sequence[Job],
    prepared: Prepared,
    progress: Progress,
    *,
    ways: Ways | None = None,
    stop: StopRequest | None = None,
) -> Tally:
    """Make what is not made yet. Photos that cannot be made are named in the tally; the others go on.

    Args:
        jobs: which photo goes into which file.
        prepared: what they are made with.
        progress: counts evaluations: `steps_of(prepared)` for each photo.
        ways: how the list is gone through.
        stop: when it asks, what is begun is kept, and `Stopped` is raised.
    """
    ways, tally = ways or Ways(), Tally()
    steps = steps_of(prepared)

    def kept() -> None:
        tally.kept += 1
        progress.advance(steps)

    def unread(why: str) -> None:
        tally.unread.append(why)
        progress.advance(steps)

    single = prepared.workshop.wanted.optimizer != "adam" or ways.mask is not None
    opened = open_photos(jobs, prepared, ways, kept=kept, unread=unread)
    for group in _groups(opened, 1 if single else ways.batch):
        counted = progress.done
        try:
            _make(group, prepared, progress, ways, stop, tally)
        except ValueError as error:  # of these photos: the others go on
            names = ", ".join(str(one.job.photo) for one in group)
            tally.unread.append(f"{names}: {error}")
            progress.advance(counted + steps * len(group) - progress.done)
    return tally


def steps_of(prepared: Prepared) -> int:
    """Evaluations that a photo takes, at most."""
    return prepared.workshop.wanted.steps * prepared.workshop.wanted.scales


def _groups(opened: Iterator[Opened], batch: int) -> Iterator[list[Opened]]:
    """Runs of up to `batch` photos of one size."""
    group: list[Opened] = []
    for one in opened:
        if group and (len(group) == batch or one.order.photo.shape != group[0].order.photo.shape):
            yield group
            group = []
        group.append(one)
    if group:
        yield group


def _make(
    group: list[Opened], prepared: Prepared, progress: Progress, ways: Ways, stop: StopRequest | None, tally: Tally
) -> None:
    """One batch, from where it was left to its files."""
    workshop, device = prepared.workshop, prepared.workshop.device
    descriptions = [one.description for one in group]
    unfinished = Unfinished(group[0].job.painting.parent)
    state = unfinished.find(descriptions, device)
    height, width = group[0].order.photo.shape[-2:]
    at_once = 1 if device.type == "cpu" else len(group)
    side = tiles_for(workshop, at_once, (height, width), ways.tile)
    needed = estimate(workshop, at_once, (height, width), side)
    if needed > EXPENSIVE or (side is not None and ways.tile == "auto"):
        how = "whole" if side is None else f"in tiles of {side} pixels"
        progress.say(f"{group[0].job.photo.name}: {width} x {height}, {how}, about {needed / 1e9:.1f} GB")
    begun = time.monotonic()
    earlier = float(state.pop("seconds")) if state else 0.0
    saved, counted = begun, 0

    def told(moment: Moment) -> None:
        nonlocal saved, counted
        new = (moment.done - counted) * len(group)
        counted = moment.done
        progress.advance(new, f"loss {moment.step.evaluation.total.mean().item():.4g}")
        _preview(group, moment, ways)
        now = time.monotonic()
        asked = stop.asked if stop is not None else None
        if asked or now - saved > SECONDS_BETWEEN_SAVES:
            kept = moment.remembered() | {"seconds": torch.tensor(earlier + now - begun, dtype=torch.float64)}
            unfinished.keep(descriptions, kept)
            saved = now
        if asked:
            raise Stopped(f"stopped ({asked}), what is begun is kept; the same command goes on")

    made = stylize(workshop, [one.order for one in group], side, told, state)
    progress.advance((steps_of(prepared) - counted) * len(group))
    seconds = earlier + time.monotonic() - begun
    for place, one in enumerate(group):
        _write(one, made, place, prepared, seconds / len(group))
        tally.painted += 1
        tally.fell.append((_total(made.first, place), _total(made.last, place)))
    tally.seconds += seconds
    unfinished.drop(descriptions)


def _total(parts: dict[str, torch.Tensor], place: int) -> float:
    return sum(part[place].item() for part in parts.values())


def _picture(one: Opened, images: Images) -> Picture:
    """What becomes of a picture (1, 3, h, w): with the photo's colours, where those are kept."""
    if one.colours is not None and one.colours.shape[-2:] == images.shape[-2:]:
        images = with_luminance(one.colours, luminance(images.cpu()))
    return to_pictures(images)[0]


def _preview(group: list[Opened], moment: Moment, ways: Ways) -> None:
    if ways.previews is None or moment.step.number % ways.preview_every:
        return
    for place, one in enumerate(group):
        to = ways.previews / ways.name(one.job.photo) / f"step-{moment.done:05d}.jpg"
        save(_picture(one, moment.step.images[place : place + 1]), to)


def _write(one: Opened, made: Made, place: int, prepared: Prepared, seconds: float) -> None:
    """The picture, and what it says of itself; and a line in the report."""
    gallery, places = prepared.workshop.gallery, one.order.chosen.places
    styles = [gallery.paths[place].name for place in places]
    exif: Image.Exif = mark(one.description)
    exif[ExifTags.Base.DocumentName] = ", ".join(styles[:8]) + (
        f" and {len(styles) - 8} more" if len(styles) > 8 else ""
    )
    line: dict[str, Any] = {
        "photo": one.job.photo.name,
        "painting": one.job.painting.name,
        "styles": styles if len(styles) <= 8 else len(styles),
        "first": {name: part[place].item() for name, part in made.first.items()},
        "last": {name: part[place].item() for name, part in made.last.items()},
        "evaluations": made.evaluations,
        "seconds": round(seconds, 3),
    }
    save(_picture(one, made.images[place : place + 1]), one.job.painting, exif=exif)
    folder = one.job.painting.parent
    with writing_to(folder), (folder / REPORT).open("a", encoding="utf-8", errors="backslashreplace") as report:
        report.write(json.dumps(line, ensure_ascii=False) + "\n")
