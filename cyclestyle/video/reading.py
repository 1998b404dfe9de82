"""A video file: what is in it, and its frames one by one, upright, in RGB."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation

from cyclestyle.video.flow import Pixels

HDR = {16: "PQ", 18: "HLG"}
"""Transfer curves of high dynamic range (ITU-T H.273)."""
LARGE = 576
"""Rows above which a video that does not say it is taken to have the colour matrix of BT.709, as players do."""
MATRICES = {
    1: Colorspace.ITU709,
    4: Colorspace.FCC,
    5: Colorspace.ITU601,
    6: Colorspace.ITU601,
    7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
}
"""By the numbers of ITU-T H.273."""
EXACTLY = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
SAY_THEIR_LENGTH = ("mp4", "matroska")
"""Containers whose header tells it, so that a file that was cut short can be told from a short one."""
MISSING = Fraction(1, 2)
"""Seconds that may be missing at the end: lengths are rounded, and sound ends a little earlier or later."""
JUMP = Fraction(1, 4)
"""Seconds back from which on a clock has begun anew: files that were put one after the other. Less is carelessness."""
COVER = 0x400
"""FFmpeg's sign for a picture that is no video."""


@dataclass(frozen=True)
class Clip:
    """A video file, looked through."""

    path: Path
    width: int
    height: int
    """Upright."""
    frames: int
    """About; what is decoded counts."""
    rate: Fraction
    """Frames a second, on average."""
    time_base: Fraction
    """Seconds of a tick."""
    aspect: Fraction
    """Width of a pixel by its height, upright."""
    start: Fraction
    """Seconds at which the file's clock begins."""
    sounds: tuple[int, ...]
    """Which of the tracks of sound are in a coding that is known."""
    primaries: int
    transfer: int
    """Numbers of ITU-T H.273; 2 is unknown."""
    about: dict[str, str]
    """Title, author and the like."""
    left_out: str
    """What is in the file and does not become part of a painted one, in words."""

    def squared(self) -> "Clip":
        """With square pixels, made by stretching: for containers that do not tell of others."""
        return replace(self, width=max(1, round(self.width * self.aspect)), aspect=Fraction(1))


@dataclass(frozen=True)
class Still:
    """One frame."""

    pixels: Pixels
    time: int
    """Ticks from the beginning."""
    duration: int
    """Ticks that it is shown, where it is the last."""


def look_through(path: Path) -> Clip:
    """What is in a video file: every packet is read, one frame decoded.

    Raises FileNotFoundError or ValueError, in one sentence, for what is no video, has no pictures or is cut short.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no such video: {path}")
    try:
        with opened(path) as file:
            streams = [stream for stream in file.streams.video if not stream.disposition & COVER]  # no cover pictures
            if not streams:
                what = "sound but no moving pictures" if file.streams.audio else "no moving pictures"
                raise _UnusableError(f"{path} holds {what}; give a video")
            count, ends = 0, Fraction(0)
            start = Fraction(file.start_time or 0, 1_000_000)
            from_zero = start if "mp4" in file.format.name else 0  # Matroska's length counts from zero
            for packet in file.demux():  # subtitles as well: they may last longer
                count += packet.stream is streams[0] and packet.size > 0
                if packet.pts is None:
                    continue
                ends = max(ends, (packet.pts + (packet.duration or 0)) * packet.time_base - from_zero)
            told = Fraction(file.duration or 0, 1_000_000)
            if any(name in file.format.name for name in SAY_THEIR_LENGTH) and told - ends > MISSING:
                raise _UnusableError(
                    f"{path} is cut short: it should last {float(told):.1f} s, and after {float(ends):.1f} s there is "
                    f"nothing more; copy it anew, or keep what is there with "
                    f"`ffmpeg -i {path.name} -c copy whole{path.suffix}`"
                )
        return _described(path, count, start)
    except _UnusableError as error:
        raise ValueError(str(error)) from None
    except av.error.FFmpegError as error:
        raise ValueError(
            f"{path} is not a video that can be read ({path.stat().st_size:,} bytes): {error.strerror}"
        ) from None


class _UnusableError(Exception):
    """Ours, which is not to be taken for one of FFmpeg's."""


def _described(path: Path, count: int, start: Fraction) -> Clip:
    """From the header and the first frame, which alone knows how it is turned."""
    with opened(path) as file:
        stream = _pictures(file)
        first = next(file.decode(stream), None)
        if first is None or not count:
            raise _UnusableError(f"{path} holds no frame that can be decoded; give another video")
        rate = stream.average_rate or stream.guessed_rate or Fraction(25)
        turned = first.rotation % 180 != 0
        aspect = Fraction(stream.sample_aspect_ratio or 1) or Fraction(1)
        width, height = (first.height, first.width) if turned else (first.width, first.height)
        return Clip(
            path,
            width,
            height,
            frames=count,
            rate=Fraction(rate).limit_denominator(100_000),
            time_base=Fraction(stream.time_base or 1 / rate),
            aspect=1 / aspect if turned else aspect,
            start=start,
            sounds=tuple(number for number, sound in enumerate(file.streams.audio) if sound.codec_context is not None),
            primaries=first.color_primaries,
            transfer=first.color_trc,
            about=dict(file.metadata),
            left_out=_left_out(file),
        )


def _left_out(file: av.container.InputContainer) -> str:
    counts = {
        "further tracks of pictures": sum(not stream.disposition & COVER for stream in file.streams.video) - 1,
        "tracks of sound in an unknown coding": sum(sound.codec_context is None for sound in file.streams.audio),
        "tracks of subtitles": len(file.streams.subtitles),
        "chapters": len(file.chapters()),
        "attachments": len(file.streams.attachments),
    }
    return ", ".join(f"{what} ({count})" for what, count in counts.items() if count)


@dataclass
class Clock:
    """Times of one track, from the beginning of the file; where its clock begins anew, they go on."""

    start: int
    """Ticks at which the file's clock begins."""
    jump: int
    """Ticks back that are taken for a new beginning."""
    ends: int | None = None
    """Ticks at which what came last ended."""

    def shift(self, time: int, duration: int) -> int:
        """What is to be taken off the times of something."""
        if self.ends is not None and time - self.start < self.ends - self.jump:
            self.start = time - self.ends
        self.ends = max(self.ends or 0, time - self.start + duration)
        return self.start

    @classmethod
    def of(cls, clip: Clip, time_base: Fraction) -> "Clock":
        """For a track whose ticks are so long."""
        return cls(round(clip.start / time_base), round(JUMP / time_base))


def opened(path: Path) -> av.container.InputContainer:
    """A file of that name, whatever else its name could mean to FFmpeg, and in whatever letters its title is."""
    # Older torchvisions let FFmpeg speak through Python's logging. Its threads then wait for Python, and whoever ends
    # them, holding Python, for the threads: for ever.
    av.logging.set_level(None)
    return av.open(f"file:{path}", metadata_errors="replace")


def _pictures(file: av.container.InputContainer) -> av.video.stream.VideoStream:
    stream = next(stream for stream in file.streams.video if not stream.disposition & COVER)
    stream.thread_type = "AUTO"
    return stream


def stills(clip: Clip, skip: int = 0) -> Iterator[Still]:
    """The frames of a video in the order of their times, from a certain one on.

    Those before are decoded as well, without being converted: the way to a frame is the same each time.
    Raises ValueError for what cannot be decoded.
    """
    clock = Clock.of(clip, clip.time_base)
    usual = max(1, round(1 / clip.rate / clip.time_base))
    before, number = -usual, 0
    try:
        with opened(clip.path) as file:
            for frame in file.decode(_pictures(file)):
                time = before + usual
                if frame.pts is not None:
                    time = frame.pts - clock.shift(frame.pts, usual)
                before = max(time, before + 1, 0)  # times that stand still or go back are moved on by a tick
                number += 1
                if number > skip:
                    yield Still(to_pixels(frame, clip), before, frame.duration or usual)
    except av.error.FFmpegError as error:
        raise ValueError(
            f"{clip.path} cannot be decoded after frame {number:,}: {error.strerror}; repair it with "
            f"`ffmpeg -i {clip.path.name} whole.mp4`"
        ) from None


def to_pixels(frame: VideoFrame, clip: Clip) -> Pixels:
    """A frame in RGB, upright, in the clip's size: by the matrix and the range that it says, or that players assume."""
    quarters = round(frame.rotation / 90) % 4
    width, height = (clip.height, clip.width) if quarters % 2 else (clip.width, clip.height)
    assumed = Colorspace.ITU709 if min(width, height) > LARGE else Colorspace.ITU601
    transparent = any(component.is_alpha for component in frame.format.components)
    rgb = frame.reformat(
        width=width,
        height=height,
        format="rgba" if transparent else "rgb24",
        src_colorspace=MATRICES.get(frame.colorspace, assumed),
        interpolation=EXACTLY,
        dst_color_range=ColorRange.JPEG,
    ).to_ndarray()
    if transparent:  # on white, as pictures are
        share = rgb[..., 3:].astype(np.float32) / 255
        rgb = np.rint(rgb[..., :3] * share + 255 * (1 - share)).astype(np.uint8)
    return np.ascontiguousarray(np.rot90(rgb, quarters), np.uint8)


def comment_of(path: Path) -> str:
    """What a video says about its making; nothing if it cannot be read."""
    try:
        with opened(path) as file:
            return {name.lower(): text for name, text in file.metadata.items()}.get("comment", "")
    except (av.error.FFmpegError, OSError):
        return ""
