"""`cyclestyle translate`."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter
from pydantic import Field, PositiveInt

from cyclestyle.networks.kinds import Precision

if TYPE_CHECKING:
    from cyclestyle.translation.folder import Treatment


def translate(
    run: Path,
    photos: Annotated[Path, Parameter(allow_leading_hyphen=True)],
    *,
    to: Annotated[Path, Parameter(allow_leading_hyphen=True)],
    back: Annotated[bool, Parameter(negative=())] = False,
    strength: Annotated[float, Field(ge=0, le=1.5, allow_inf_nan=False)] = 1.0,
    keep_colour: Annotated[bool, Parameter(negative=())] = False,
    format: Literal["png", "jpg", "webp", "tif"] | None = None,
    max_memory: str | None = None,
    batch: PositiveInt | None = None,
    precision: Precision = "fp32",
    steady: Annotated[bool, Parameter(negative="--no-steady")] = True,
) -> None:
    """Paint a picture, a video, or every picture in a folder and its sub-folders. Width and height stay.

    The same command again paints only what is missing, or was made by another painter, from another photo or in
    another strength. A photo's EXIF and colour profile go along; its transparency too, where the format can. Under
    `accelerate launch` the pictures are shared out among the processes.

    A video keeps its length, rate and sound; when it was stopped, the same command goes on. It needs PyAV:
    pip install 'cyclestyle[video]'.

    Parameters
    ----------
    run
        A run folder, a `paint.safetensors`, or the reference implementation's `latest_net_G.pth`.
    photos
        A picture, a video or a folder of pictures; `-` for a picture from standard input.
    to
        Folder for the paintings; for a single picture also a file name, or `-` for standard output. A video becomes
        mp4, m4v, mov, mkv (H.264) or webm (VP9); an animated GIF, too, if that is the name.
    back
        Go the other way: paintings to photos.
    strength
        0 is the photo, 1 the painting, between them a blend of both; up to 1.5 goes further than the painting.
    keep_colour
        Take the painting's brightness alone, and the photo's colours.
    format
        Of the paintings, where --to does not name one: by default png. JPEG is written at quality 95, 4:4:4.
    max_memory
        What the process may have in memory at its peak, for example 2GB; that is all of it: Python and its libraries,
        about 0.6 GB, the photo and the painting. A photo that does not fit is painted in tiles, to the same picture,
        with files on the disk meanwhile. By default that is done where it does not fit into what is free.
    batch
        Pictures of one size painted at once. By default 1 on a CPU, which paints them one by one in any case, and 8
        on a GPU.
    precision
        Of the numbers inside the network. With half as many bits (bf16; fp16 on a GPU) the paintings differ a little:
        by how much is measured on the first ones and said. Where that would not be faster, fp32 it is.
    steady
        Damp the flicker of a video: each painted frame is averaged with those before, moved along with what is seen.
        How much the frames differ from one another, with and without, is said at the end.
    """
    from cyclestyle.runs import find_painter
    from cyclestyle.translation.folder import Treatment
    from cyclestyle.translation.room import bytes_of, require_program
    from cyclestyle.video.packages import means_a_video

    most = None
    if max_memory is not None:
        most = bytes_of(max_memory)
        require_program(max_memory, most)
    weights = find_painter(run, back=back)
    treatment = Treatment(strength=strength, keep_colour=keep_colour, keep_record=True)
    if means_a_video(photos, to):
        _video(weights, photos, to, treatment, steady, most, precision, {"--format": format, "--batch": batch})
    else:
        _pictures(weights, photos, to, treatment, f".{format or 'png'}", most, precision, batch)


def _pictures(
    weights: Path,
    photos: Path,
    to: Path,
    treatment: "Treatment",
    suffix: str,
    most: int | None,
    precision: Precision,
    batch: int | None,
) -> None:
    """Paint a picture or a folder of pictures, and say what came of it."""
    from cyclestyle.data.inspection import passed_over
    from cyclestyle.data.jobs import refuse_unread
    from cyclestyle.footprint import peak_memory
    from cyclestyle.networks.painter import load_painter
    from cyclestyle.networks.precision import settled
    from cyclestyle.processes import Processes
    from cyclestyle.progress import Progress
    from cyclestyle.translation.folder import paint_all
    from cyclestyle.translation.pipes import PIPE, jobs_and_pipes
    from cyclestyle.translation.room import in_words
    from cyclestyle.video.packages import VIDEOS

    with jobs_and_pipes(photos, to, suffix) as jobs:
        processes = Processes.join()
        if photos.is_dir() and processes.main and (line := passed_over(photos, VIDEOS)):
            print(line, file=sys.stderr)
        exact = load_painter(weights, processes.device)
        possible, why = settled(precision, processes.device)
        if why and processes.main:
            print(why, file=sys.stderr)
        share, painter = processes.share(jobs), exact.rounded(possible)
        with Progress("painting", len(share), unit="pictures", show=processes.main) as progress:
            tally = paint_all(
                share,
                painter,
                processes.device,
                progress,
                batch=processes.batch(batch),
                treatment=treatment,
                exact=exact,
                max_memory=most,
            )
        kept = f", {tally.kept:,} were there already" if tally.kept else ""
        peak = "" if most is None else f"; {in_words(peak_memory())} in memory at the most"
        where = sys.stderr if to == PIPE else sys.stdout
        print(f"{tally.painted:,} painted{kept}: {to}{processes}{peak}", file=where)
        unread = processes.collect(tally.unread)
        processes.part()
        if processes.main:
            refuse_unread(unread, len(jobs))


def _video(
    weights: Path,
    video: Path,
    to: Path,
    treatment: "Treatment",
    steady: bool,
    most: int | None,
    precision: Precision,
    for_pictures: dict[str, object],
) -> None:
    """Paint a video, and say what came of it."""
    from cyclestyle.networks.painter import load_painter
    from cyclestyle.networks.precision import settled
    from cyclestyle.processes import Processes
    from cyclestyle.video.packages import require_packages

    for name, value in for_pictures.items():
        if value is not None:
            raise ValueError(f"{name} is for pictures, and {video} is painted as a video; leave it out")
    require_packages()
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ValueError("a video is painted by one process; leave `accelerate launch` out")
    from cyclestyle.video.painting import Manner, paint_video, target

    to = target(video, to)
    processes = Processes.join()
    possible, why = settled(precision, processes.device)
    if why:
        print(why, file=sys.stderr)
    manner = Manner(treatment.strength, treatment.keep_colour, steady, most)
    exact = load_painter(weights, processes.device)
    painted = paint_video(exact.rounded(possible), video, to, manner, exact=exact)
    processes.part()
    print(painted)
