"""A video through a painter: piece by piece, so that one that was stopped goes on where it was."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import chain, islice
from pathlib import Path

import av
import cv2
import numpy as np
import torch
from PIL import Image

from cyclestyle.files import sync, writing_to
from cyclestyle.images import to_images
from cyclestyle.networks.painter import Painter, Rounding
from cyclestyle.pipeline import ending_orderly, fetched
from cyclestyle.progress import Progress
from cyclestyle.translation.folder import Treatment, description
from cyclestyle.translation.room import TooLargeError, in_words, resident
from cyclestyle.translation.whole import fits, paint_picture, require_strength
from cyclestyle.video.flow import Motion, motion
from cyclestyle.video.packages import CONTAINERS
from cyclestyle.video.pieces import Pieces, pieces_of
from cyclestyle.video.reading import HDR, Clip, Still, comment_of, look_through, stills
from cyclestyle.video.steadying import KEPT, Flicker, Steadier
from cyclestyle.video.writing import codec_for, container_of, join, require_size, write_piece

PIECE = 32
"""Frames of a piece: what is lost at the most when painting is stopped."""
AHEAD = 2
"""Frames that are decoded, with their motion, while another one is painted."""
BESIDE = 600
"""Bytes of a frame's pixel that reading, comparing and encoding frames take beside painting; measured at 720 and 1080
rows (scripts/benchmarks/results/video.md)."""
VERSION = 1
"""Of what is done to frames: pieces that another version has made are made anew."""


@dataclass(frozen=True)
class Manner:
    """How the frames of a video are painted."""

    strength: float = 1.0
    keep_colour: bool = False
    steady: bool = True
    """Whether flicker is damped."""
    max_memory: int | None = None

    def __str__(self) -> str:
        """What videos are told apart by."""
        treatment = str(Treatment(strength=self.strength, keep_colour=self.keep_colour))
        return " ".join(filter(None, (treatment, "" if self.steady else "not steadied")))


@dataclass(frozen=True)
class Painted:
    """A video that has been painted."""

    path: Path
    frames: int
    flicker: dict[str, float]
    """Mean differences along the motion, in levels of 255: of the clip, of the frames as painted, of those shown."""
    steady: bool = True
    was_there: bool = False

    def __str__(self) -> str:
        """In a sentence."""
        if self.was_there:
            return f"was there already: {self.path}"
        if not self.flicker:
            return f"{self.frames:,} frames painted: {self.path}"
        photo, alone, shown = (f"{self.flicker[name]:.1f}" for name in ("photo", "painted", "steadied"))
        between = f"{shown} of 255 levels, {alone} before it was damped" if self.steady else f"{alone} of 255 levels"
        return (
            f"{self.frames:,} frames painted: {self.path}; from one to the next they differ by {between} "
            f"({photo} in the video itself)"
        )


def target(video: Path, to: Path) -> Path:
    """The file that a video is painted into: `to`, or one of the same name in the folder `to`.

    Raises ValueError for a kind of file that is not written, or for the video itself.
    """
    if str(to) == "-":
        raise ValueError("a video is written to a file, which has to be gone back in; give --to a name")
    if to.is_dir() or not to.suffix:
        to = to / (video.stem + (video.suffix if video.suffix.lower() in CONTAINERS else ".mp4"))
    container_of(to)
    if to.resolve() == video.resolve():
        raise ValueError(f"the painting would replace the video {video}; give another folder or name after --to")
    return to


def paint_video(
    painter: Painter,
    video: Path,
    to: Path,
    manner: Manner | None = None,
    *,
    exact: Painter | None = None,
    show: bool = True,
) -> Painted:
    """Paint a video's frames; length, rate, size and sound stay. What was stopped goes on, what is there is kept.

    Args:
        painter: computes on its device, in its precision.
        video: any that FFmpeg reads.
        to: .mp4, .m4v, .mov or .mkv (H.264), or .webm (VP9).
        manner: by default at strength 1, steadied.
        exact: the painter in float32; if `painter` is another, its difference on the first frame is said.
        show: whether progress is told.

    Raises:
        FileNotFoundError, ValueError: what cannot be read, or written that way; in one sentence.
    """
    manner = manner or Manner()
    require_strength(manner.strength)
    container, clip = container_of(to), look_through(video)
    if clip.transfer in HDR:
        raise ValueError(
            f"{video} has high dynamic range ({HDR[clip.transfer]}), which painters have never seen; convert it with "
            f"`ffmpeg -i {video.name} -vf zscale=t=linear,tonemap=hable,zscale=p=bt709:t=bt709:m=bt709,format=yuv420p "
            f"standard.mp4`"
        )
    told = description(painter, video, str(manner))
    clip = clip.squared() if container == "webm" else clip  # PyAV 18 cannot write there what is not square
    require_size(clip, container)
    if _is_there(to, told):
        return Painted(to, clip.frames, {}, manner.steady, was_there=True)
    facts = {"version": VERSION, "told": told, "codec": codec_for(container), "device": _device(painter)}
    facts |= {"torch": torch.__version__, "av": av.__version__, "cv2": cv2.__version__}
    beside = to.with_suffix(f".{codec_for(container)}")  # .mkv can be made of what was painted for .mp4
    with writing_to(to.parent), ending_orderly(), pieces_of(beside, facts) as pieces:
        steadier = Steadier(manner.strength, manner.keep_colour, KEPT if manner.steady else 0.0)
        if pieces.videos:
            steadier.go_on(pieces.before, Flicker(**pieces.memory))
        with Progress("painting", clip.frames, unit="frames", done=len(pieces.times), show=show) as progress:
            _paint(_Work(painter, exact, steadier, manner, progress, pieces.folder), clip, container, pieces)
            if clip.left_out:
                progress.say(f"left out, and not in {to.name}: {clip.left_out}")
        whole = pieces.folder / f"whole{to.suffix}"  # there, since a kill could leave half of it
        try:
            join(pieces.videos, pieces.times, pieces.last, whole, clip, container, told)
        except av.error.FFmpegError as error:
            if isinstance(error, OSError):  # the disk
                raise
            raise ValueError(
                f"all frames are painted, but {to} cannot be written: {error.strerror}; type the same again with "
                "another kind of file after --to, .mkv takes most"
            ) from None
        whole.replace(to)
        sync(to.parent)
    return Painted(to, len(pieces.times), steadier.flicker.levels(), manner.steady)


def _paint(work: "_Work", clip: Clip, container: str, pieces: Pieces) -> None:
    """All frames that are not painted yet, and their pieces."""
    skip = len(pieces.times)
    if skip:
        work.progress.say(f"{skip:,} frames were painted before; going on")
    moving = fetched(_moving(clip, skip, work.steadier), AHEAD)
    for first in moving:
        write_piece(work.shown(islice(chain([first], moving), PIECE)), pieces.next_video(), clip, container)
        pieces.add(work.times, work.last, asdict(work.steadier.flicker), work.steadier.state())
        work.times = []


@dataclass
class _Work:
    """What is done to each frame."""

    painter: Painter
    exact: Painter | None
    steadier: Steadier
    manner: Manner
    progress: Progress
    aside: Path
    """Folder for maps of a frame that do not fit into memory."""
    at_first: int = field(default_factory=resident)
    """Bytes in memory before the first frame."""
    said: bool = False
    """Whether it was told that frames are painted in tiles."""
    times: list[int] = field(default_factory=list)
    """Ticks of the frames of this piece."""
    last: int = 0
    """Ticks that the last of them is shown."""

    def shown(self, frames: Iterable[tuple[Still, Motion | None]]) -> Iterator[np.ndarray]:
        """The frames as they will be seen."""
        for still, along in frames:
            yield self.steadier.next(still.pixels, self.painted(still), along)
            self.times.append(still.time)
            self.last = still.duration
            self.progress.advance()

    def painted(self, still: Still) -> np.ndarray:
        """A frame's painting at strength 1, in its own colours."""
        if self.manner.strength == 0:
            return still.pixels
        picture = Image.fromarray(still.pixels)
        self.tell(picture)
        most, beside = self.manner.max_memory, 0
        if most is not None:  # what is not there yet, but will be
            beside = max(0, BESIDE * picture.width * picture.height - max(0, resident() - self.at_first))
            most -= beside
        try:
            painting = paint_picture(self.painter, picture, max_memory=most, aside=self.aside, say=self.say_once)
        except TooLargeError as error:
            raise TooLargeError(f"{error}, and {in_words(beside)} in addition for what a video takes") from None
        return np.asarray(painting)

    def tell(self, picture: Image.Image) -> None:
        """How far the painter is from the exact one, once, where there is room for both."""
        exact, self.exact = self.exact, None
        if exact is None or exact is self.painter or not fits(exact, picture, self.manner.max_memory):
            return
        images = to_images([picture], next(exact.network.parameters()).device)
        rounding = Rounding.between(self.painter(images), exact(images))
        self.progress.say(f"{self.painter.precision} against fp32, measured on the first frame: {rounding}")

    def say_once(self, text: str) -> None:
        """Not for each frame."""
        if not self.said:
            self.progress.say(text)
        self.said = True


def _moving(clip: Clip, skip: int, steadier: Steadier) -> Iterator[tuple[Still, Motion | None]]:
    """Frames, each with how it moved since the one before."""
    before = steadier.before.photo if steadier.before is not None else None
    for still in stills(clip, skip):
        yield still, None if before is None else motion(before, still.pixels)
        before = still.pixels


def _is_there(to: Path, told: str) -> bool:
    """Whether a video is whole, and made in that way."""
    try:
        return to.exists() and comment_of(to) == told and look_through(to).frames > 0
    except ValueError:
        return False


def _device(painter: Painter) -> str:
    return next((weights.device.type for weights in painter.network.parameters()), "cpu")
