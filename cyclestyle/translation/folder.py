"""A list of pictures through a painter: batched, restartable, broken files passed over."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import torch
from PIL import Image

from cyclestyle.capacity import is_full
from cyclestyle.data.jobs import Job, is_done, mark
from cyclestyle.data.photo import KEEP_ALPHA, Photo, read_photo, require_room
from cyclestyle.files import sha256
from cyclestyle.images import LARGEST, Images, Picture, load, opened, save, to_images, to_levels
from cyclestyle.networks.painter import Painter, Rounding
from cyclestyle.pipeline import Ahead, Behind, ending_orderly, runs
from cyclestyle.progress import Progress
from cyclestyle.translation.room import TooLargeError, require_to_read
from cyclestyle.translation.whole import blended, fits, not_numbers, paint_picture, require_strength


@dataclass(frozen=True)
class Treatment:
    """What is done to a photo before it is painted, and to the painting afterwards."""

    name: str = ""
    before: Callable[[Picture], Picture] = lambda photo: photo
    after: Callable[[Picture], Picture] = lambda painting: painting
    strength: float = 1.0
    keep_colour: bool = False
    """Take the painting's brightness alone."""
    keep_record: bool = False
    """Give the painting's file the photo's EXIF, colour profile and, where the format can, transparency."""

    def __str__(self) -> str:
        """What paintings are told apart by."""
        strength = "" if self.strength == 1 else f"strength {self.strength:g}"
        return " ".join(filter(None, (self.name, strength, "colours kept" if self.keep_colour else "")))


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
    photo: Photo
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
    max_memory: int | None = None,
) -> Tally:
    """Paint what is not painted yet. Photos that cannot be read are named in the tally; the others go on.

    Photos are decoded, and paintings encoded, while others are painted; with a bound to memory, one after the other.

    Args:
        jobs: which photo goes into which file.
        painter: is on `device`.
        device: where it paints.
        progress: counts photos.
        batch: of one size that are given to the painter at once.
        treatment: of photos before and of paintings afterwards.
        exact: the painter in float32; if `painter` is another, its difference in the first batch is said.
        max_memory: bytes that the whole process may have in memory. None: what is free.
    """
    treatment, tally = treatment or Treatment(), Tally()
    require_strength(treatment.strength)

    def written() -> None:
        tally.painted += 1
        progress.advance(note="")

    def passed_over(why: str) -> None:
        tally.unread.append(why)
        progress.advance(note="")

    def read(job: Job) -> _Opened | None:
        told = description(painter, job.photo, str(treatment))
        if is_done(job.painting, mark(told)):
            return None
        photo = _read(job, treatment, max_memory)
        return _Opened(job, photo, mark(told, photo.exif))

    with ending_orderly(), Behind(written) as behind, Ahead(jobs, _bytes, read) as ahead:
        results = ahead if max_memory is None else (partial(read, job) for job in jobs)
        groups = runs(_to_paint(results, tally, progress), lambda one: one.photo.picture.size, batch)
        told = partial(_tell, painter, exact, progress) if exact is not None and exact is not painter else None
        paintings = _Paintings(painter, torch.device(device), treatment, progress, told, max_memory, passed_over)
        for one, painting in paintings.of(groups):
            write = partial(_write, one, painting, treatment)
            if max_memory is None:
                behind.put(3 * painting.width * painting.height, write)
            else:
                write()
                written()
    return tally


def _read(job: Job, treatment: Treatment, max_memory: int | None) -> Photo:
    if max_memory is not None:
        require_to_read(job.photo, _bytes(job) // 3, max_memory)
    if treatment.keep_record:
        photo = read_photo(job.photo, alpha=job.painting.suffix.lower() in KEEP_ALPHA)
    else:
        photo = Photo(load(job.photo))
    photo = replace(photo, picture=treatment.before(photo.picture))
    require_room(job.photo, job.painting, photo.picture)
    return photo


def _bytes(job: Job) -> int:
    """What a photo takes once it is decoded; 0 where its header cannot be read, and so nothing will be decoded."""
    try:
        with opened(job.photo) as file:
            return 3 * min(file.width * file.height, LARGEST)
    except Exception:  # whatever it is, `load` meets it again and has a sentence for it
        return 0


def _write(one: _Opened, painting: Picture, treatment: Treatment) -> None:
    painting = treatment.after(painting)
    if one.photo.alpha is not None:
        painting.putalpha(one.photo.alpha)
    save(painting, one.job.painting, exif=one.mark, profile=one.photo.profile)


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
            if one.photo.note:
                progress.say(f"{one.job.photo}: {one.photo.note}")
            yield one


@dataclass(frozen=True)
class _Paintings:
    """Photos painted, in their order: those that there is memory for at once, the others in tiles."""

    painter: Painter
    device: torch.device
    treatment: Treatment
    progress: Progress
    told: Callable[[Images, Images], None] | None
    max_memory: int | None
    passed_over: Callable[[str], None]

    def of(self, groups: Iterator[list[_Opened]]) -> Iterator[tuple[_Opened, Picture]]:
        """Each photo with its painting. A GPU has been given the next ones before."""
        before: _Painted | None = None
        told, too_much = self.told, math.inf
        for group in groups:
            if self.treatment.strength == 0:
                yield from ((one, one.photo.picture) for one in group)
                continue
            picture = group[0].photo.picture
            pixels = len(group) * picture.width * picture.height
            together = pixels < too_much and fits(self.painter, picture, self.max_memory, len(group))
            painted = self.together(group, told) if together else None
            if together:
                told = None
                too_much = too_much if painted is not None else pixels
            yield from before.pictures() if before is not None else ()
            before = None
            if painted is None:
                yield from self.alone(group)
                continue
            before = painted
            if self.device.type == "cpu":
                yield from before.pictures()
                before = None
        yield from before.pictures() if before is not None else ()

    def together(self, group: list[_Opened], told: Callable[[Images, Images], None] | None) -> "_Painted | None":
        """Photos of one size as one batch; None where there turned out to be too little memory, which is said."""
        try:
            images = to_images([one.photo.picture for one in group], self.device)
            paintings = self.painter(images)
            if told is not None:
                self.compare(told, images, paintings)
            finite = paintings.isfinite().all()
            paintings = blended(images, paintings, self.treatment.strength, keep_colour=self.treatment.keep_colour)
            return _Painted.on_its_way(group, to_levels(paintings), finite, self.painter)
        except RuntimeError as error:
            if not is_full(error):
                raise
            if len(group) > 1:
                self.progress.say(f"{len(group)} pictures at once are too much for the memory: one by one from here on")
            return None

    def compare(self, told: Callable[[Images, Images], None], images: Images, paintings: Images) -> None:
        """Say how far paintings are from those in fp32, where there is memory for these."""
        try:
            told(images, paintings)
        except RuntimeError as error:
            if not is_full(error):
                raise
            self.progress.say("there is too little memory to compare with fp32")

    def alone(self, group: list[_Opened]) -> Iterator[tuple[_Opened, Picture]]:
        """Paintings one by one, in tiles where there is no memory for a whole one."""
        for one in group:
            folder, name = one.job.painting.parent, one.job.photo.name
            folder.mkdir(parents=True, exist_ok=True)
            try:
                yield (
                    one,
                    paint_picture(
                        self.painter,
                        one.photo.picture,
                        strength=self.treatment.strength,
                        keep_colour=self.treatment.keep_colour,
                        max_memory=self.max_memory,
                        aside=folder,
                        say=lambda text, name=name: self.progress.say(f"{name}: {text}"),
                        tick=lambda share, name=name: self.progress.advance(0, note=f"{name} {min(share, 0.99):.0%}"),
                    ),
                )
            except TooLargeError as error:
                self.passed_over(f"{one.job.photo}: {error}")


@dataclass(frozen=True)
class _Painted:
    """A batch that is painted, or being painted by a GPU."""

    photos: list[_Opened]
    levels: torch.Tensor
    """Bytes (n, h, w, 3)."""
    finite: torch.Tensor
    """Whether all values were."""
    painter: Painter
    there: torch.cuda.Event | None
    """Happens when a GPU has sent both; None: they are there."""

    @classmethod
    def on_its_way(
        cls, photos: list[_Opened], levels: torch.Tensor, finite: torch.Tensor, painter: Painter
    ) -> "_Painted":
        """Levels are sent as soon as a GPU has them: asked for later, they would come after the next batch."""
        if levels.device.type != "cuda":
            return cls(photos, levels, finite, painter, None)
        with torch.cuda.device(levels.device):
            levels, finite = (one.to("cpu", non_blocking=True) for one in (levels, finite))
            there = torch.cuda.Event()
            there.record()
        return cls(photos, levels, finite, painter, there)

    def pictures(self) -> Iterator[tuple[_Opened, Picture]]:
        """Each photo with its painting, once a GPU has come so far. Raises ValueError for what is no picture."""
        if self.there is not None:
            self.there.synchronize()
        if not self.finite:
            names = ", ".join(str(one.job.photo) for one in self.photos)
            raise ValueError(not_numbers(self.painter, names))
        pixels = self.levels.cpu().numpy()
        return ((one, Image.fromarray(levels)) for one, levels in zip(self.photos, pixels, strict=True))


def _tell(painter: Painter, exact: Painter, progress: Progress, images: Images, paintings: Images) -> None:
    rounding = Rounding.between(paintings, exact(images))
    count = "painting" if len(images) == 1 else f"{len(images)} paintings"
    progress.say(f"{painter.precision} against fp32, measured on the first {count}: {rounding}")


def description(painter: Painter, photo: Path, treatment: str) -> str:
    """By which painter a painting is made, in which precision if not fp32, from which photo, prepared how."""
    precision = "" if painter.precision == "fp32" else f"{painter.precision} "
    return f"painter {painter.sha256[:16]} {precision}photo {sha256(photo)[:16]} {treatment}".rstrip()
