"""From photos to a file that the competition takes."""

import contextlib
import dataclasses
from pathlib import Path

from PIL import Image

from cyclestyle.data.jobs import Job
from cyclestyle.data.submission import FEWEST, MOST, SIDE, submission_names, write_submission
from cyclestyle.data.submission_check import SubmissionReport, validate_submission
from cyclestyle.files import IN_PROGRESS, written_aside
from cyclestyle.images import Picture, fit, list_pictures
from cyclestyle.networks.painter import Painter
from cyclestyle.processes import Processes
from cyclestyle.progress import Progress
from cyclestyle.translation.folder import Treatment, paint_all


def _shrink(photo: Picture) -> Picture:
    """The largest centred square; larger ones come down to 256 px, smaller ones are painted as they are."""
    return fit(photo, min(SIDE, *photo.size))


def _enlarge(painting: Picture) -> Picture:
    if painting.size == (SIDE, SIDE):
        return painting
    return painting.resize((SIDE, SIDE), Image.Resampling.BICUBIC)


FOR_SUBMISSION = Treatment(f"square {SIDE}", before=_shrink, after=_enlarge)


def plan_submission(photos: Path, to: Path, *, practice: bool) -> list[Job]:
    """Which photo becomes which file, or ValueError for what the competition would refuse: before hours are spent."""
    if to.is_dir() or not to.name:
        raise ValueError(f"{to} is a folder; give the zip a name: --to {to / 'images.zip'}")
    found = list_pictures(photos)
    _must_suffice(len(found), f"{photos} holds {len(found):,} pictures", practice=practice)
    names = submission_names(found)
    return [Job(photo, pictures_of(to) / names[photo]) for photo in found]


def _must_suffice(count: int, found: str, *, practice: bool) -> None:
    if count > MOST:
        raise ValueError(f"{found}; the competition takes at most {MOST:,}")
    if count < FEWEST and not practice:
        raise ValueError(
            f"{found}; the competition takes {FEWEST:,} to {MOST:,}. "
            "To build a smaller zip for practice, add --practice"
        )


def pictures_of(to: Path) -> Path:
    """The folder in which a submission's pictures wait until all of them are there; removed afterwards."""
    return to.with_name(f".{to.stem}-pictures")


def build_submission(
    jobs: list[Job],
    painter: Painter,
    to: Path,
    processes: Processes,
    *,
    batch: int,
    practice: bool,
    exact: Painter | None = None,
) -> SubmissionReport | None:
    """Paint all jobs (shared out), zip them, read the zip back. The report goes to the main process.

    With `exact`, the painter in float32, it is said how far `painter` is from it.

    Raises ValueError if too few photos can be read, or if the zip is not valid; an older zip then stays as it was.
    """
    share = processes.share(jobs)
    with Progress("painting", len(share), unit="pictures", show=processes.main) as progress:
        tally = paint_all(
            share, painter, processes.device, progress, batch=batch, treatment=FOR_SUBMISSION, exact=exact
        )
        unread = processes.collect(tally.unread)
        for reason in unread:
            progress.say(f"passed over: {reason}")
    if not processes.main:
        return None
    painted = [job.painting for job in jobs if job.painting.exists()]
    left = len(jobs) - len(unread)
    _must_suffice(left, f"{left:,} of {len(jobs):,} photos could be painted", practice=practice)
    with written_aside(to) as aside:
        write_submission([(picture.name, picture) for picture in painted], aside)
        report = validate_submission(aside, practice=practice)
    for job in jobs:
        job.painting.unlink(missing_ok=True)
    for left in pictures_of(to).glob(f"{IN_PROGRESS}*"):  # by a process that was killed
        left.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # somebody put something there
        pictures_of(to).rmdir()
    return dataclasses.replace(report, path=to)
