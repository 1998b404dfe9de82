"""A list of photos in a style: batched, restartable to the step, broken files passed over."""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Literal, NamedTuple

import torch
from PIL import ExifTags, Image

from cyclestyle.data.jobs import Job, is_done, mark
from cyclestyle.files import sha256
from cyclestyle.images import Images, Picture, load, luminance, save, to_images, to_pictures
from cyclestyle.progress import Progress, clock
from cyclestyle.stopping import Stopped, StopRequest
from cyclestyle.styling.colour_control import with_luminance
from cyclestyle.styling.gallery import scaled
from cyclestyle.styling.masks import Regions, corresponding, read_mask, read_regions
from cyclestyle.styling.memory import estimate, tiles_for
from cyclestyle.styling.preparing import Prepared
from cyclestyle.styling.recipes import StylingSettings
from cyclestyle.styling.stylizing import Made, Moment, stylize
from cyclestyle.styling.unfinished import Unfinished
from cyclestyle.styling.workshop import CHOSEN_AT, Order

SECONDS_BETWEEN_SAVES = 60.0
REPORT = "stylize.jsonl"
"""In the pictures' folder: a line for each, with its losses and its cost."""
LEAST_TILE = 16
"""Pixels: one position of the deepest layers of VGG."""
EXPENSIVE = 1 << 30
"""Bytes from which on it is said how many a batch will take."""


@dataclass(frozen=True)
class Ways:
    """How a list is gone through; nothing of it changes a picture, but for rounding."""

    batch: int = 1
    tile: int | Literal["auto", "off"] = "auto"
    mask: Path | None = None
    style_mask: Path | None = None
    previews: Path | None = None
    preview_every: int = 50

    def check(self, wanted: StylingSettings, photos: Path, styles: Sequence[Path]) -> None:
        """Raises ValueError or FileNotFoundError for what cannot be used, before anything is begun."""
        if isinstance(self.tile, int):
            if self.tile < LEAST_TILE:
                raise ValueError(f"--tile {self.tile}: give at least {LEAST_TILE} pixels, auto or off")
            if not wanted.streams:
                raise ValueError(f"{wanted.method} looks at whole pictures, not at tiles; leave --tile out")
        if self.style_mask is not None and (self.mask is None or len(styles) != 1 or styles[0].is_dir()):
            raise ValueError("--style-mask goes with --mask and one painting as --style; give those, or leave it out")
        if self.mask is None:
            return
        if not wanted.streams:
            raise ValueError(
                f"{wanted.method} looks at whole pictures and knows no masks; take gatys, or leave --mask out"
            )
        for path in filter(None, (self.mask, self.style_mask)):
            if not path.exists():
                raise FileNotFoundError(f"no such mask: {path}")
        if photos.is_dir() and not self.mask.is_dir():
            raise ValueError(
                f"{self.mask} is one mask for a folder of photos; give a folder of masks of the same names"
            )


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


class _Opened(NamedTuple):
    job: Job
    order: Order
    colours: Images | None
    """The photo, where only its brightness is painted."""
    description: str


def stylize_all(
    jobs: Sequence[Job],
    prepared: Prepared,
    progress: Progress,
    *,
    ways: Ways | None = None,
    stop: StopRequest | None = None,
) -> Tally:
    """Make what is not made yet. Photos that cannot be read are named in the tally; the others go on.

    Args:
        jobs: which photo goes into which file.
        prepared: what they are made with.
        progress: counts evaluations: `steps_of(prepared)` for each photo.
        ways: how the list is gone through.
        stop: when it asks, what is begun is kept, and `Stopped` is raised.

    Raises:
        ValueError: something that concerns all photos: masks, memory, a painting too small beside a photo.
    """
    ways, tally = ways or Ways(), Tally()
    wanted = prepared.workshop.wanted
    single = wanted.optimizer != "adam" or ways.mask is not None
    for group in _groups(_open(jobs, prepared, ways, tally, progress), 1 if single else ways.batch):
        _make(group, prepared, progress, ways, stop, tally)
    return tally


def steps_of(prepared: Prepared) -> int:
    """Evaluations that a photo takes, at most."""
    return prepared.workshop.wanted.steps * prepared.workshop.wanted.scales


def _open(jobs: Sequence[Job], prepared: Prepared, ways: Ways, tally: Tally, progress: Progress) -> Iterator[_Opened]:
    """The photos that are to be made, read and their styles chosen."""
    for job in jobs:
        try:
            description = describe(prepared, job.photo, ways)
            if is_done(job.painting, mark(description)):
                tally.kept += 1
                progress.advance(steps_of(prepared))
                continue
            photo = load(job.photo)
            least = prepared.workshop.network.least(prepared.workshop.taps)
            if min(photo.size) < least:
                raise ValueError(
                    f"{job.photo} is {photo.width} x {photo.height} pixels, and these layers need {least} on each side"
                )
        except (ValueError, OSError) as error:
            tally.unread.append(str(error))
            progress.advance(steps_of(prepared))
            continue
        yield _opened(job, photo, description, prepared, ways)


def describe(prepared: Prepared, photo: Path, ways: Ways) -> str:
    """How a picture is made, as it will say itself: the settings, and of which files."""
    asked = prepared.workshop.wanted.model_dump(mode="json", exclude_none=True)
    masks = {name: sha256(path)[:16] for name, path in _masks(photo, prepared, ways).items()}
    made = {"stylize": asked, **prepared.identity, "photo": sha256(photo)[:16], **masks}
    return json.dumps(made, separators=(",", ":"))


def _masks(photo: Path, prepared: Prepared, ways: Ways) -> dict[str, Path]:
    """The mask files that go with a photo. Of folders, those of the same name."""
    found: dict[str, Path] = {}
    if ways.mask is not None:
        found["mask"] = ways.mask / f"{photo.stem}.png" if ways.mask.is_dir() else ways.mask
    if ways.style_mask is not None:
        found["style_mask"] = ways.style_mask
    return found


def _opened(job: Job, photo: Picture, description: str, prepared: Prepared, ways: Ways) -> _Opened:
    workshop = prepared.workshop
    wanted, size = workshop.wanted, photo.size
    key = int(sha256(job.photo)[:15], 16)
    chosen = workshop.gallery.choose(
        wanted.target or "one", key + wanted.seed, lambda: workshop.describe(to_images([scaled(photo, CHOSEN_AT)]))
    )
    images = to_images([photo if wanted.size is None else scaled(photo, wanted.size)])
    masks = _masks(job.photo, prepared, ways)
    mask, regions = None, None
    if "style_mask" in masks:
        style = load(workshop.gallery.paths[chosen.places[0]])
        regions = _regions(masks, size, style.size)
    elif "mask" in masks:
        height, width = images.shape[-2:]
        mask = torch.nn.functional.adaptive_avg_pool2d(read_mask(masks["mask"], size), (height, width))
    grey = wanted.colour == "luminance"
    source = luminance(images).expand(-1, 3, -1, -1).contiguous() if grey else images
    return _Opened(job, Order(source, chosen, key, mask, regions), images if grey else None, description)


def _regions(masks: dict[str, Path], photo: tuple[int, int], style: tuple[int, int]) -> tuple[Regions, Regions]:
    """Of the photo and of the style, one to one."""
    of_photo = read_regions(masks["mask"], photo)
    return of_photo, corresponding(of_photo, read_regions(masks["style_mask"], style))


def _groups(opened: Iterator[_Opened], batch: int) -> Iterator[list[_Opened]]:
    """Runs of up to `batch` photos of one size."""
    group: list[_Opened] = []
    for one in opened:
        if group and (len(group) == batch or one.order.photo.shape != group[0].order.photo.shape):
            yield group
            group = []
        group.append(one)
    if group:
        yield group


def _make(
    group: list[_Opened], prepared: Prepared, progress: Progress, ways: Ways, stop: StopRequest | None, tally: Tally
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


def _picture(one: _Opened, images: Images) -> Picture:
    """What becomes of a picture (1, 3, h, w): with the photo's colours, where those are kept."""
    if one.colours is not None and one.colours.shape[-2:] == images.shape[-2:]:
        images = with_luminance(one.colours, luminance(images.cpu()))
    return to_pictures(images)[0]


def _preview(group: list[_Opened], moment: Moment, ways: Ways) -> None:
    if ways.previews is None or moment.step.number % ways.preview_every:
        return
    for place, one in enumerate(group):
        to = ways.previews / one.job.painting.stem / f"step-{moment.done:05d}.jpg"
        save(_picture(one, moment.step.images[place : place + 1]), to)


def _write(one: _Opened, made: Made, place: int, prepared: Prepared, seconds: float) -> None:
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
    with (one.job.painting.parent / REPORT).open("a", encoding="utf-8") as report:
        report.write(json.dumps(line, ensure_ascii=False) + "\n")
