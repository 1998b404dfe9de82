"""From a list of photos to orders: what is not made yet, read, its style chosen and its masks found."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch.nn.functional as F

from cyclestyle.data.jobs import Job, is_done, mark
from cyclestyle.files import reason, sha256
from cyclestyle.images import Images, Picture, load, luminance, to_images
from cyclestyle.styling.gallery import scaled
from cyclestyle.styling.masks import Regions, corresponding, read_mask, read_regions
from cyclestyle.styling.preparing import Prepared
from cyclestyle.styling.recipes import StylingSettings
from cyclestyle.styling.terms import style_weight
from cyclestyle.styling.workshop import CHOSEN_AT, Order

LEAST_TILE = 16
"""Pixels: one position of the deepest layers of VGG."""


@dataclass(frozen=True)
class Ways:
    """How a list is gone through. Of these, only masks change a picture by more than rounding."""

    batch: int = 1
    tile: int | Literal["auto", "off"] = "auto"
    root: Path | None = None
    """The photos' folder: masks and previews keep its tree."""
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
            raise ValueError(f"{wanted.method} looks at whole pictures and knows no masks; leave --mask out")
        for path in filter(None, (self.mask, self.style_mask)):
            if not path.exists():
                raise FileNotFoundError(f"no such mask: {path}")
        if self.style_mask is not None and self.style_mask.is_dir():
            raise ValueError(f"{self.style_mask} is a folder; give one picture with --style-mask")
        if photos.is_dir() and not self.mask.is_dir():
            raise ValueError(
                f"{self.mask} is one mask for a folder of photos; give a folder of masks by the same names"
            )

    def name(self, photo: Path) -> Path:
        """A photo's place below its folder, without suffix."""
        root = self.root if self.root is not None and self.root.is_dir() else photo.parent
        return photo.relative_to(root).with_suffix("")

    def masks(self, photo: Path) -> dict[str, Path]:
        """The mask files that go with a photo; of folders, those by the same names."""
        found: dict[str, Path] = {}
        if self.mask is not None:
            of_folder = self.mask / f"{self.name(photo)}.png"
            found["mask"] = of_folder if self.mask.is_dir() else self.mask
        if self.style_mask is not None:
            found["style_mask"] = self.style_mask
        return found


class Opened(NamedTuple):
    """A photo that is to be made."""

    job: Job
    order: Order
    colours: Images | None
    """The photo, where only its brightness is painted."""
    description: str
    """What the picture will say of its making."""


def require_apart(jobs: Sequence[Job], prepared: Prepared, ways: Ways) -> None:
    """Raises ValueError where a picture would be written over a style or a mask that is read."""
    read = {path.resolve() for path in prepared.workshop.gallery.paths}
    for job in jobs:
        masks = {path.resolve() for path in ways.masks(job.photo).values()}
        if job.painting.resolve() in read | masks:
            raise ValueError(
                f"{job.painting} is read as a style or a mask, and would be replaced; give another name after --to"
            )


def open_photos(
    jobs: Sequence[Job], prepared: Prepared, ways: Ways, *, kept: Callable[[], None], unread: Callable[[str], None]
) -> Iterator[Opened]:
    """What of a list is to be made.

    Args:
        jobs: which photo goes into which file.
        prepared: what they are made with.
        ways: masks, and where they are.
        kept: is told of each that was made before, in the same way from the same photo.
        unread: is told why a photo cannot be made; the others go on.
    """
    for job in jobs:
        try:
            description = describe(prepared, job.photo, ways)
            done = is_done(job.painting, mark(description))
            opened = None if done else _open(job, load(job.photo), description, prepared, ways)
        except (ValueError, OSError) as error:
            unread(reason(error))
            continue
        if opened is None:
            kept()
        else:
            yield opened


def describe(prepared: Prepared, photo: Path, ways: Ways) -> str:
    """How a picture is made, as it will say itself: the settings, and of which files."""
    masks = {}
    for name, path in ways.masks(photo).items():
        if not path.exists():
            raise FileNotFoundError(f"{photo} has no mask: there is no {path}")
        masks[name] = sha256(path)[:16]
    made = {"stylize": resolved(prepared), **prepared.identity, "photo": sha256(photo)[:16], **masks}
    return json.dumps(made, separators=(",", ":"))


def resolved(prepared: Prepared) -> dict[str, Any]:
    """The settings with what was left open filled in: a default may be another one some day."""
    workshop = prepared.workshop
    filled = {
        "network": workshop.wanted.seen_by,
        "style_taps": list(workshop.layers.style),
        "content_taps": list(workshop.layers.content),
        "style_weight": style_weight(workshop.wanted),
    }
    return workshop.wanted.model_dump(mode="json", exclude_none=True) | filled


def _open(job: Job, photo: Picture, description: str, prepared: Prepared, ways: Ways) -> Opened:
    workshop = prepared.workshop
    wanted, whole = workshop.wanted, photo.size
    key = int(sha256(job.photo)[:15], 16)
    seen = photo if wanted.size is None else scaled(photo, wanted.size)
    least = workshop.network.least(workshop.taps)
    if min(seen.size) < least:
        raise ValueError(
            f"{job.photo} is made at {seen.width} x {seen.height} pixels, and these layers need {least} on each side"
        )
    images = to_images([seen])
    mask, regions = None, None
    chosen = workshop.gallery.choose(
        wanted.target or "one", key + wanted.seed, lambda: workshop.describe(to_images([scaled(photo, CHOSEN_AT)]))
    )
    masks = ways.masks(job.photo)
    if "style_mask" in masks:
        regions = _regions(masks, whole, load(workshop.gallery.paths[chosen.places[0]]).size)
    elif "mask" in masks:
        mask = F.adaptive_avg_pool2d(read_mask(masks["mask"], whole), (images.shape[-2], images.shape[-1]))
        if not bool((mask > 0).any()):
            raise ValueError(f"{masks['mask']} is black: nothing of {job.photo} is to be painted")
    grey = wanted.colour == "luminance"
    source = luminance(images).expand(-1, 3, -1, -1).contiguous() if grey else images
    return Opened(job, Order(source, chosen, key, mask, regions), images if grey else None, description)


def _regions(masks: dict[str, Path], photo: tuple[int, int], style: tuple[int, int]) -> tuple[Regions, Regions]:
    """Of the photo and of the style, one to one."""
    of_photo = read_regions(masks["mask"], photo)
    return of_photo, corresponding(of_photo, read_regions(masks["style_mask"], style))
