"""A list of pictures through a painter: batched, restartable, broken files passed over."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from PIL import Image

from cyclestyle.data.jobs import Job, is_done, mark
from cyclestyle.files import sha256
from cyclestyle.images import Picture, load, save, to_images, to_pictures
from cyclestyle.networks.painter import Painter
from cyclestyle.progress import Progress


@dataclass(frozen=True)
class Treatment:
    """What is done to a photo before it is painted, and to the painting afterwards."""

    name: str = ""
    before: Callable[[Picture], Picture] = lambda photo: photo
    after: Callable[[Picture], Picture] = lambda painting: painting


@dataclass
class Tally:
    """What became of the pictures of a list."""

    painted: int = 0
    kept: int = 0
    """Painted before, by the same painter from the same photo."""
    unread: list[str] = field(default_factory=list)
    """Why photos were passed over, each naming its file."""


@dataclass(frozen=True)
class _Opened:
    job: Job
    photo: Picture
    mark: Image.Exif


def paint_all(
    jobs: Sequence[Job],
    painter: Painter,
    device: torch.device | str,
    progress: Progress,
    *,
    batch: int = 1,
    treatment: Treatment | None = None,
) -> Tally:
    """Paint what is not painted yet. Photos that cannot be read are named in the tally; the others go on."""
    treatment = treatment or Treatment()
    tally = Tally()
    for group in _groups(_open(jobs, painter, treatment, tally, progress), batch):
        images = to_images([opened.photo for opened in group]).to(device)
        for opened, painting in zip(group, to_pictures(painter(images)), strict=True):
            save(treatment.after(painting), opened.job.painting, exif=opened.mark)
            tally.painted += 1
            progress.advance()
    return tally


def _open(
    jobs: Sequence[Job], painter: Painter, treatment: Treatment, tally: Tally, progress: Progress
) -> Iterator[_Opened]:
    """The photos that are to be painted, read and prepared."""
    for job in jobs:
        try:
            exif = mark(description(painter, job.photo, treatment.name))
            if is_done(job.painting, exif):
                tally.kept += 1
                progress.advance()
                continue
            photo = treatment.before(load(job.photo))
        except (ValueError, OSError) as error:
            tally.unread.append(str(error))
            progress.advance()
            continue
        yield _Opened(job, photo, exif)


def description(painter: Painter, photo: Path, treatment: str) -> str:
    """By which painter a painting is made, from which photo, prepared how."""
    return f"painter {painter.sha256[:16]} photo {sha256(photo)[:16]} {treatment}".rstrip()


def _groups(opened: Iterator[_Opened], batch: int) -> Iterator[list[_Opened]]:
    """Runs of up to `batch` pictures of one size."""
    group: list[_Opened] = []
    for one in opened:
        if group and (len(group) == batch or one.photo.size != group[0].photo.size):
            yield group
            group = []
        group.append(one)
    if group:
        yield group
