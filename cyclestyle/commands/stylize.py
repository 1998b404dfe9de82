"""`cyclestyle stylize`."""

import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from pydantic import PositiveInt

from cyclestyle.stopping import StopRequest
from cyclestyle.styling.recipes import StylingSettings


def stylize(
    photos: Path,
    *,
    style: Annotated[list[Path], Parameter(negative=(), consume_multiple=True)],
    to: Path,
    settings: Annotated[StylingSettings | None, Parameter(name="*")] = None,
    mix: Annotated[list[float] | None, Parameter(negative=(), consume_multiple=True)] = None,
    mask: Path | None = None,
    style_mask: Path | None = None,
    weights: Path | None = None,
    random_weights: Annotated[bool, Parameter(negative=())] = False,
    tile: int | Literal["auto", "off"] = "auto",
    batch: PositiveInt | None = None,
    previews: Path | None = None,
    preview_every: PositiveInt = 50,
    format: Literal["png", "jpg", "webp"] = "png",
    config: Path | None = None,
) -> None:
    """Paint photos in the style of a picture or of many, by descending on the photo itself: Gatys and his relatives.

    The same command again makes only what is missing, and goes on in the middle of a picture. Under
    `accelerate launch` the photos are shared out among the processes.

    Parameters
    ----------
    photos
        A picture or a folder of pictures.
    style
        A painting or a folder of paintings; several for a mix.
    to
        Folder for the pictures; for a single photo also a file name.
    mix
        How much each `--style` counts in `--target mean`, by default each picture the same.
    mask
        Of a photo, in its size: white is painted, black stays. With `--style-mask`, colours are regions. For a folder
        of photos a folder of PNG files by the same names.
    style_mask
        Of the style, in its size: a region is painted like that of the same colour here.
    weights
        Folder of network weights (also: CYCLESTYLE_WEIGHTS), if they should not be downloaded into torch's cache.
    random_weights
        Use a seeded random network. Nothing is downloaded.
    tile
        Compute in tiles of so many pixels: the same picture in less memory, some slower. auto: if memory asks for it.
    batch
        Photos of one size at once, with adam. By default 1 on a CPU, and 8 on a GPU.
    previews
        Folder for pictures on the way.
    preview_every
        Steps between previews.
    format
        Of the pictures. JPEG is written at quality 95, 4:4:4.
    config
        Settings file (TOML); what else is given here wins over it.
    """
    with StopRequest() as stop:
        from cyclestyle.data.inspection import passed_over
        from cyclestyle.data.jobs import jobs_for, refuse_unread
        from cyclestyle.processes import Processes
        from cyclestyle.progress import Progress
        from cyclestyle.styling.folder import steps_of, stylize_all
        from cyclestyle.styling.opening import Ways, require_apart
        from cyclestyle.styling.preparing import prepare

        wanted = settings or StylingSettings()
        jobs = jobs_for(photos, to, f".{format}")
        processes = Processes.join()
        with processes.all_or_none():
            ways = Ways(processes.batch(batch), tile, photos, mask, style_mask, previews, preview_every)
            ways.check(wanted, photos, style)
            prepared = prepare(
                wanted, style, processes.device, weights=weights, random=random_weights, shares=mix, show=processes.main
            )
            require_apart(jobs, prepared, ways)
        if photos.is_dir() and processes.main and (line := passed_over(photos)):
            print(line, file=sys.stderr)
        share = processes.share(jobs)
        with Progress("stylizing", len(share) * steps_of(prepared), unit="steps", show=processes.main) as progress:
            for note in prepared.notes:
                progress.say(f"note: {note}")
            tally = stylize_all(share, prepared, progress, ways=ways, stop=stop)
        print(f"{tally}: {to}{processes}")
        unread = processes.collect(tally.unread)
        processes.part()
        if processes.main:
            refuse_unread(unread, len(jobs))
