"""From a method to its pictures: what each loads before the first one, and how it then makes them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol, cast

import torch
from pydantic import ValidationError

from cyclestyle.comparison.methods import TOLD, Method
from cyclestyle.data.jobs import Job, is_done, mark
from cyclestyle.files import sha256
from cyclestyle.images import list_pictures, load, save, to_images, to_pictures
from cyclestyle.networks.painter import load_painter
from cyclestyle.progress import Progress
from cyclestyle.runs import find_painter
from cyclestyle.settings import describe
from cyclestyle.styling.colour import ColourStatistics, pooled_lab_statistics, reinhard
from cyclestyle.translation.folder import Tally, paint_all

STYLES = {
    "nearest": "the painting nearest to each photo",
    "random": "a painting drawn for each photo",
    "mean": "all paintings, averaged",
    "one": "one painting",
}
"""What a target is, for people."""


class Made(Protocol):
    """What became of a list of jobs."""

    painted: int
    unread: list[str]


class Maker(NamedTuple):
    """A method that has loaded what it needs."""

    settings: dict[str, Any]
    """What its pictures follow from, besides the photos."""
    make: Callable[[Sequence[Job], Progress], Made]
    """Makes the pictures that are not there yet, and counts them."""
    notes: Sequence[str] = ()
    """What is to be said of it, in sentences."""
    units: int = 1
    """That progress is told for a picture."""


@dataclass(frozen=True)
class Styling:
    """What styling methods are told; None: as the method has it."""

    network: str | None = None
    size: int | None = None
    steps: int | None = None


@dataclass(frozen=True)
class Materials:
    """What all methods may use."""

    paintings: Path
    weights: Path | None = None
    random: bool = False
    seed: int = 0
    styling: Styling = Styling()


def styling_words() -> tuple[Sequence[str], Sequence[str]]:
    """The styling methods that there are, and what each can take for the style."""
    from cyclestyle.styling.recipes import METHODS, TARGETS

    return list(METHODS), TARGETS


def told_of(method: Method) -> str:
    """What a method does, for people."""
    if method.kind != "styling":
        return TOLD[method.kind]
    from cyclestyle.styling.recipes import METHODS

    of = f"; the style is that of {STYLES[method.target]}" if method.target else ""
    return f"{TOLD['styling']}: {METHODS[cast(Any, method.recipe)].told}{of}"


def open_maker(method: Method, materials: Materials, device: torch.device) -> Maker:
    """Load everything that a method needs. Raises FileNotFoundError or ValueError where it is not to be had."""
    if method.kind == "reinhard":
        return _colours(materials)
    if method.kind == "run":
        assert method.source is not None
        return _painter(method.source, device)
    assert method.kind == "styling"
    return _styling(method, materials, device)


def _at_once(device: torch.device) -> int:
    return 1 if device.type == "cpu" else 8


def _colours(materials: Materials) -> Maker:
    """Every photo takes the colours of all paintings together, as the cards' row of that name does."""
    paintings = list_pictures(materials.paintings)
    palette = pooled_lab_statistics(to_images([load(path)]) for path in paintings)
    numbers = {"mean": palette.mean.tolist(), "deviation": palette.std.tolist()}
    told = ",".join(f"{value:.9g}" for value in [*numbers["mean"], *numbers["deviation"]])

    def make(jobs: Sequence[Job], progress: Progress) -> Tally:
        return _transfer(jobs, palette, told, progress)

    return Maker({"paintings": len(paintings), **numbers}, make)


def _transfer(jobs: Sequence[Job], palette: ColourStatistics, told: str, progress: Progress) -> Tally:
    """Photos in new colours; those that cannot be read are named."""
    tally = Tally()
    for job in jobs:
        try:
            exif = mark(f"reinhard {told} photo {sha256(job.photo)[:16]}")
            if is_done(job.painting, exif):
                tally.kept += 1
            else:
                transferred = reinhard(to_images([load(job.photo)]), palette)
                save(to_pictures(transferred)[0], job.painting, exif=exif)
                tally.painted += 1
        except (ValueError, FileNotFoundError) as error:
            tally.unread.append(str(error))
        progress.advance()
    return tally


def _painter(run: Path, device: torch.device) -> Maker:
    """A painter that was trained."""
    painter = load_painter(find_painter(run), device)
    batch = _at_once(device)

    def make(jobs: Sequence[Job], progress: Progress) -> Tally:
        return paint_all(jobs, painter, device, progress, batch=batch)

    card = painter.card
    settings = {
        "run": str(run),
        "SHA-256": painter.sha256[:16],
        "steps of training": card.step,
        "trained at": card.side,
    }
    return Maker(settings | {f"generator {key}": value for key, value in card.generator.model_dump().items()}, make)


def styling_settings(method: Method, materials: Materials) -> Any:
    """What a styling method is asked for. Raises ValueError, in a sentence, where that cannot be."""
    from cyclestyle.styling.recipes import StylingSettings

    asked = {
        "method": method.recipe,
        "target": method.target or None,
        "network": materials.styling.network,
        "size": materials.styling.size,
        "steps": materials.styling.steps,
        "seed": materials.seed,
    }
    try:
        return StylingSettings.model_validate({key: value for key, value in asked.items() if value is not None})
    except ValidationError as error:
        raise ValueError(f"{method.name}: {describe(error)}") from None


def _styling(method: Method, materials: Materials, device: torch.device) -> Maker:
    """A method that optimises every picture."""
    from cyclestyle.styling.folder import steps_of, stylize_all
    from cyclestyle.styling.opening import Ways, resolved
    from cyclestyle.styling.preparing import prepare

    settings = styling_settings(method, materials)
    prepared = prepare(settings, [materials.paintings], device, weights=materials.weights, random=materials.random)
    batch = _at_once(device)

    def make(jobs: Sequence[Job], progress: Progress) -> Made:
        return stylize_all(jobs, prepared, progress, ways=Ways(batch=batch))

    return Maker(resolved(prepared), make, prepared.notes, steps_of(prepared))
