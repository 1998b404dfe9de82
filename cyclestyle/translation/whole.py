"""One picture through a painter, whatever its size: at once where there is memory for that, else in tiles.

Both ways lead to the same painting, up to the rounding of single numbers: `networks/streaming` estimates nothing.
"""

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image

from cyclestyle.capacity import free_memory, is_full
from cyclestyle.images import Images, Picture, luminance, to_images, to_levels
from cyclestyle.networks.painter import Painter
from cyclestyle.networks.scratch import Scratch
from cyclestyle.networks.streaming import Needs, can_stream, needs, streamed
from cyclestyle.styling.colour_control import with_luminance
from cyclestyle.translation.room import PIXEL, SHARE, TooLargeError, at_once, in_words, resident

STRONGEST = 1.5
"""Half as much again as the painter does; beyond, there is little left but cut colours."""
TILE, TILE_ON_GPU = 48 << 20, 1 << 30
"""Bytes that tiles are given. On a CPU 8 to 96 MB take about the same time, and more take up to three times as long, in
the system: memory in large pieces is got anew for every step (scripts/benchmarks/results/any_size.md)."""
APART = 96 << 20
"""Bytes left alone under a bound: for the encoder, and for what the allocator does not give back at once."""
COUNTED_ON_GPU = 2_000_000_000
"""Values of the largest map: CUDA's reflection padding counts them, and what is added at the edges, in 32 bits."""
READ_AND_MADE = 8
"""Bytes of a pixel: Pillow takes four for each, of the photo and of the painting."""
CAREFUL = 0.8
"""Of the room under a bound that is planned with."""


@dataclass(frozen=True)
class Plan:
    """How a picture is painted in tiles."""

    tile: int
    """Bytes for tiles."""
    in_memory: int
    """Bytes of maps that need not go to the disk."""
    needs: Needs
    whole: int
    """Bytes that it would take at once."""


def paint_picture(
    painter: Painter,
    picture: Picture,
    *,
    strength: float = 1.0,
    keep_colour: bool = False,
    max_memory: int | None = None,
    aside: Path | None = None,
    say: Callable[[str], object] = lambda text: None,
    tick: Callable[[float], object] = lambda share: None,
) -> Picture:
    """Paint a picture of any size; the painting has the same.

    Args:
        painter: computes on its device, in its precision.
        picture: RGB.
        strength: 0 gives the picture itself, 1 the painting, between them a blend; up to 1.5, which goes as much
            further in the same direction.
        keep_colour: take the painting's brightness alone, and the picture's colours.
        max_memory: bytes that the whole process, with all libraries, may have in memory at its peak. Where the picture
            does not fit into that at once, it is painted in tiles, to the same result. None: what is free.
        aside: a folder for maps that do not fit into memory; by default that for temporary files.
        say: told, in a sentence, if tiles are taken.
        tick: told the share that is done, of a picture that is painted in tiles.

    Raises:
        ValueError: a strength outside of 0 to 1.5, or values that are no numbers.
        TooLargeError: too little memory, or too little room on the disk.
    """
    require_strength(strength)
    if strength == 0:
        return picture.copy()
    plan = plan_for(painter, picture, max_memory)
    if plan is None:
        painting = _at_once(painter, picture, strength, keep_colour)
        if painting is not None:
            return painting
        plan = plan_tiles(painter, picture, max_memory)
    return in_tiles(painter, picture, plan, strength=strength, keep_colour=keep_colour, aside=aside, say=say, tick=tick)


def _at_once(painter: Painter, picture: Picture, strength: float, keep_colour: bool) -> Picture | None:
    """The painting; None where there is too little memory after all, since others take some, and tiles are left."""
    try:
        images = to_images([picture], _device(painter))
        painted = blended(images, painter(images), strength, keep_colour=keep_colour)
        require_numbers(painter, painted)
        return Image.fromarray(to_levels(painted)[0].cpu().numpy())
    except RuntimeError as error:
        if not is_full(error) or not can_stream(painter):
            raise
        return None


def blended(photo: Images, painting: Images, strength: float, *, keep_colour: bool) -> Images:
    """A painting as strong as wanted, in its own colours or in the photo's: (n, 3, h, w), may leave [-1, 1]."""
    if keep_colour:
        painting = with_luminance(photo, luminance(painting))
    return painting if strength == 1 else photo + strength * (painting - photo)


def require_strength(strength: float) -> None:
    """Raises ValueError for a strength that there is not."""
    if not 0 <= strength <= STRONGEST:
        raise ValueError(
            f"a strength of {strength:g} is not possible; give 0 (the photo) to {STRONGEST:g}, where 1 is the painting"
        )


def require_numbers(painter: Painter, painted: Images) -> None:
    """Raises ValueError for what is no picture."""
    if not painted.isfinite().all():
        raise ValueError(not_numbers(painter, "it"))


def not_numbers(painter: Painter, what: str) -> str:
    """What to say of a painting that is no picture."""
    why = "the painter is damaged" if painter.precision == "fp32" else "give --precision fp32"
    return f"painting {what} in {painter.precision} gives values that are no numbers; {why}"


def fits(painter: Painter, picture: Picture, max_memory: int | None = None, pictures: int = 1) -> bool:
    """Whether there is memory to paint so many pictures of a size at once."""
    if not can_stream(painter):
        return True  # there is no other way
    device = _device(painter)
    here = whole = at_once(painter, *picture.size, pictures, halved=device.type == "cuda")
    if device.type != "cpu":
        pixels = pictures * picture.width * picture.height
        here, settings = PIXEL * pixels, painter.card.generator
        values = pixels * settings.width * (2 if settings.upsampling == "resize" else 1)
        if whole > SHARE * free_memory(device) or values > COUNTED_ON_GPU:
            return False
    return here + (0 if max_memory is None else APART) <= _host(max_memory)


def _host(max_memory: int | None) -> float:
    """Bytes that may be planned with, where the program runs."""
    if max_memory is None:
        return SHARE * free_memory(torch.device("cpu"))
    return CAREFUL * (max_memory - resident())


def plan_for(painter: Painter, picture: Picture, max_memory: int | None = None) -> Plan | None:
    """How a picture is painted in tiles; None if it fits at once. The rest as for `plan_tiles`."""
    return None if fits(painter, picture, max_memory) else plan_tiles(painter, picture, max_memory)


def plan_tiles(painter: Painter, picture: Picture, max_memory: int | None = None) -> Plan:
    """How large tiles are, and what is kept where.

    Args:
        painter: which.
        picture: read already.
        max_memory: bytes of the whole process.

    Raises:
        TooLargeError: not even the smallest tiles fit.
    """
    device, least = _device(painter), needs(painter, picture)
    own = READ_AND_MADE // 2 * picture.width * picture.height  # the painting; the photo is there already
    spare = int(_host(max_memory)) - own - APART
    if device.type == "cpu":
        tile = min(TILE, spare - least.aside)
        in_memory = max(spare - least.aside - tile, 0)
    else:
        tile = min(TILE_ON_GPU, int(SHARE * free_memory(device)) - least.aside)
        in_memory = max(spare, 0)
    if least.tile > tile or spare < 0:
        short = in_words(resident() + (own + APART + least.aside + least.tile) / CAREFUL)
        do = "make some memory free" if max_memory is None else f"give --max-memory {short} or more"
        raise TooLargeError(
            f"{picture.width} x {picture.height} pixels take {short} at least, with the program itself; {do}"
        )
    return Plan(tile, in_memory, needs(painter, picture, in_memory), at_once(painter, *picture.size))


def in_tiles(
    painter: Painter,
    picture: Picture,
    plan: Plan,
    *,
    strength: float,
    keep_colour: bool,
    aside: Path | None,
    say: Callable[[str], object],
    tick: Callable[[float], object],
) -> Picture:
    """Paint a picture as `plan_for` has planned it; the rest as for `paint_picture`.

    Raises TooLargeError before it begins if there is too little room on the disk.
    """
    folder = aside or Path(tempfile.gettempdir())
    say(_told(picture, plan, folder))
    free = shutil.disk_usage(folder).free
    if plan.needs.disk > free:
        raise TooLargeError(
            f"{picture.width} x {picture.height} pixels need {in_words(plan.needs.disk)} on the disk of {folder} while "
            f"they are painted, where {in_words(free)} are free; make room there, or give more memory"
        )
    painting, done = Image.new("RGB", picture.size), 0.0

    def count(work: float) -> None:
        nonlocal done
        done += work
        tick(done / plan.needs.work)

    for at in streamed(painter, picture, Scratch(folder, plan.in_memory), plan.tile, count):
        require_numbers(painter, at.painting)
        levels = to_levels(blended(at.photo, at.painting, strength, keep_colour=keep_colour))
        painting.paste(Image.fromarray(levels[0].cpu().numpy()), (at.left, at.top))
    return painting


def _told(picture: Picture, plan: Plan, folder: Path) -> str:
    disk = f", with {in_words(plan.needs.disk)} on the disk of {folder} meanwhile" if plan.needs.disk else ""
    return (
        f"{picture.width} x {picture.height} pixels would take {in_words(plan.whole)} at once: painted in tiles, "
        f"to the same picture{disk}"
    )


def _device(painter: Painter) -> torch.device:
    return next((weights.device for weights in painter.network.parameters()), torch.device("cpu"))
