"""`cyclestyle submit`."""

from pathlib import Path
from typing import Annotated

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
        Pictures painted at once. By default 1 on a CPU, where more is slower, and 8 on a GPU.
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
    from cyclestyle.processes import Processes
    from cyclestyle.runs import find_painter
    from cyclestyle.translation.submission import build_submission, plan_submission

    weights = find_painter(run)
    jobs = plan_submission(photos, to, practice=practice)
    processes = Processes.join()
    painter = load_painter(weights, processes.device)
    report = build_submission(jobs, painter, to, processes, batch=processes.batch(batch), practice=practice)
    if report is not None:
        print(report)
    processes.part()
