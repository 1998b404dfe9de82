"""`cyclestyle translate`."""

import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from pydantic import PositiveInt


def translate(
    run: Path,
    photos: Path,
    *,
    to: Path,
    back: Annotated[bool, Parameter(negative=())] = False,
    format: Literal["png", "jpg", "webp"] = "png",
    batch: PositiveInt | None = None,
    precision: Literal["fp32", "bf16", "fp16"] = "fp32",
) -> None:
    """Paint a picture, or every picture in a folder and its sub-folders. Width and height stay.

    The same command again paints only what is missing, or was made by another painter or from another photo. Under
    `accelerate launch` the pictures are shared out among the processes.

    Parameters
    ----------
    run
        A run folder, a `paint.safetensors`, or the reference implementation's `latest_net_G.pth`.
    photos
        A picture or a folder of pictures.
    to
        Folder for the paintings; for a single picture also a file name.
    back
        Go the other way: paintings to photos.
    format
        Of the paintings. JPEG is written at quality 95, 4:4:4.
    batch
        Pictures of one size painted at once. By default 1 on a CPU, which paints them one by one in any case, and 8
        on a GPU.
    precision
        Of the numbers inside the network. With half as many bits (bf16; fp16 on a GPU) the paintings differ a little:
        by how much is measured on the first ones and said. Where that would not be faster, fp32 it is.
    """
    from cyclestyle.data.jobs import jobs_for
    from cyclestyle.networks.painter import load_painter
    from cyclestyle.networks.precision import settled
    from cyclestyle.processes import Processes
    from cyclestyle.progress import Progress
    from cyclestyle.runs import find_painter
    from cyclestyle.translation.folder import paint_all

    weights = find_painter(run, back=back)
    jobs = jobs_for(photos, to, f".{format}")
    processes = Processes.join()
    exact = load_painter(weights, processes.device)
    possible, why = settled(precision, processes.device)
    if why and processes.main:
        print(why, file=sys.stderr)
    share, painter = processes.share(jobs), exact.rounded(possible)
    with Progress("painting", len(share), unit="pictures", show=processes.main) as progress:
        tally = paint_all(share, painter, processes.device, progress, batch=processes.batch(batch), exact=exact)
    kept = f", {tally.kept:,} were there already" if tally.kept else ""
    print(f"{tally.painted:,} painted{kept}: {to}{processes}")
    unread = processes.collect(tally.unread)
    processes.part()
    if unread and processes.main:
        raise ValueError(f"{len(unread):,} of {len(jobs):,} photos were passed over: {'; '.join(unread)}")
