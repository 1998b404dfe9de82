"""A list of pictures through a painter: batched, restartable, broken files passed over."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from cyclestyle.data.jobs import Job, is_done, mark
from cyclestyle.files import sha256
from cyclestyle.images import LARGEST, Images, Picture, load, opened, save, to_images, to_levels
from cyclestyle.networks.painter import Painter, Rounding
from cyclestyle.networks.precision import Precision
from cyclestyle.pipeline import Ahead, Behind, ending_orderly, runs
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
    exact: Painter | None = None,
) -> Tally:
    """Paint what is not painted yet. Photos that cannot be read are named in the tally; the others go on.

    Photos are decoded, and paintings encoded, while others are painted.

    Args:
        jobs: which photo goes into which file.
        painter: is on `device`.
        device: where it paints.
        progress: counts photos.
        batch: of one size that are given to the painter at once.
        treatment: of photos before and of paintings afterwards.
        exact: the painter in float32; if `painter` is another, its difference in the first batch is said.
    """
    treatment, tally = treatment or Treatment(), Tally()

    def written() -> None:
        tally.painted += 1
        progress.advance()

    def read(job: Job) -> _Opened | None:
        exif = mark(description(painter, job.photo, treatment.name))
        return None if is_done(job.painting, exif) else _Opened(job, treatment.before(load(job.photo)), exif)

    with ending_orderly(), Behind(written) as behind, Ahead(jobs, _bytes, read) as ahead:
        groups = runs(_to_paint(ahead, tally, progress), lambda one: one.photo.size, batch)
        told = partial(_tell, painter, exact, progress) if exact is not None and exact is not painter else None
        for painted in _painted(groups, painter, torch.device(device), told):
            for one, pixels in zip(painted.photos, painted.pixels(), strict=True):
                behind.put(pixels.nbytes, partial(_write, one, Image.fromarray(pixels), treatment))
    return tally


def _bytes(job: Job) -> int:
    """What a photo takes once it is decoded; 0 where its header cannot be read, and so nothing will be decoded."""
    try:
        with opened(job.photo) as file:
            return 3 * min(file.width * file.height, LARGEST)
    except Exception:  # whatever it is, `load` meets it again and has a sentence for it
        return 0


def _write(one: _Opened, painting: Picture, treatment: Treatment) -> None:
    save(treatment.after(painting), one.job.painting, exif=one.mark)


def _to_paint(results: Iterable[Callable[[], _Opened | None]], tally: Tally, progress: Progress) -> Iterator[_Opened]:
    """The photos that are to be painted; the others are counted."""
    for result in results:
        try:
            one = result()
        except (ValueError, OSError) as error:
            tally.unread.append(str(error))
            progress.advance()
            continue
        if one is None:
            tally.kept += 1
            progress.advance()
        else:
            yield one


@dataclass(frozen=True)
class _Painted:
    """A batch that is painted, or being painted by a GPU."""

    photos: list[_Opened]
    levels: torch.Tensor
    """Bytes (n, h, w, 3)."""
    finite: torch.Tensor
    """Whether all values were."""
    precision: Precision

    def pixels(self) -> NDArray[np.uint8]:
        """(n, h, w, 3), once a GPU has come so far. Raises ValueError for what is no picture."""
        if not self.finite:
            names = ", ".join(str(one.job.photo) for one in self.photos)
            why = "the painter is damaged" if self.precision == "fp32" else "give --precision fp32"
            raise ValueError(f"painting {names} in {self.precision} gives values that are no numbers; {why}")
        return self.levels.cpu().numpy()


def _painted(
    groups: Iterator[list[_Opened]],
    painter: Painter,
    device: torch.device,
    told: Callable[[Images, Images], None] | None,
) -> Iterator[_Painted]:
    """The photos painted; a GPU has been given the next ones before."""
    before: _Painted | None = None
    for group in groups:
        images = to_images([one.photo for one in group], device)
        paintings = painter(images)
        if told is not None:
            told(images, paintings)
            told = None
        if before is not None:
            yield before
        before = _Painted(group, to_levels(paintings), paintings.isfinite().all(), painter.precision)
        if device.type == "cpu":
            yield before
            before = None
    if before is not None:
        yield before


def _tell(painter: Painter, exact: Painter, progress: Progress, images: Images, paintings: Images) -> None:
    rounding = Rounding.between(paintings, exact(images))
    count = "painting" if len(images) == 1 else f"{len(images)} paintings"
    progress.say(f"{painter.precision} against fp32, measured on the first {count}: {rounding}")


def description(painter: Painter, photo: Path, treatment: str) -> str:
    """By which painter a painting is made, in which precision if not fp32, from which photo, prepared how."""
    precision = "" if painter.precision == "fp32" else f"{painter.precision} "
    return f"painter {painter.sha256[:16]} {precision}photo {sha256(photo)[:16]} {treatment}".rstrip()
