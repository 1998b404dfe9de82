"""`cyclestyle submit`."""

import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from pydantic import PositiveInt


def submit(
    run: Path | None = None,
    *,
    photos: Path | None = None,
    to: Path = Path("images.zip"),
    validate: Path | None = None,
    practice: Annotated[bool, Parameter(negative=())] = False,
    batch: PositiveInt | None = None,
    precision: Literal["fp32", "bf16", "fp16"] = "fp32",
) -> None:
    """Build or check a submission for the Kaggle competition gan-getting-started.

    `submit RUN --photos DIR` paints every photo and packs 7,000 to 10,000 JPEGs of 256x256 pixels into one zip, reads
    it back and checks it. The same command again goes on where it was stopped; under `accelerate launch` the photos are
    shared out. `submit --validate FILE` checks a zip from anywhere.

    Parameters
    ----------
    run
        A run folder or a `paint.safetensors`.
    photos
        Folder of photos.
    to
        The zip. The competition wants it to be called images.zip.
    validate
        A zip to check; nothing is painted.
    practice
        Accept fewer pictures than the competition would, and say so.
    batch
        Pictures painted at once. By default 1 on a CPU, which paints them one by one in any case, and 8 on a GPU.
    precision
        Of the numbers inside the network. With half as many bits (bf16; fp16 on a GPU) the paintings differ a little:
        by how much is measured on the first ones and said. Where that would not be faster, fp32 it is.
    """
    from cyclestyle.data.submission_check import validate_submission

    if validate is not None:
        if run is not None or photos is not None:
            raise ValueError("--validate checks a zip that is there; leave out RUN and --photos")
        print(validate_submission(validate, practice=practice))
        return
    if run is None or photos is None:
        raise ValueError("what is to be submitted? give RUN and --photos DIR, or --validate FILE")
    from cyclestyle.networks.painter import load_painter
    from cyclestyle.networks.precision import settled
    from cyclestyle.processes import Processes
    from cyclestyle.runs import find_painter
    from cyclestyle.translation.submission import build_submission, plan_submission

    weights = find_painter(run)
    jobs = plan_submission(photos, to, practice=practice)
    processes = Processes.join()
    exact = load_painter(weights, processes.device)
    possible, why = settled(precision, processes.device)
    if why and processes.main:
        print(why, file=sys.stderr)
    painter, batch = exact.rounded(possible), processes.batch(batch)
    report = build_submission(jobs, painter, to, processes, batch=batch, practice=practice, exact=exact)
    if report is not None:
        print(report)
    processes.part()
