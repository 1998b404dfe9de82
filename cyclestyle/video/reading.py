"""A video file: what is in it, and its frames one by one, upright, in RGB."""

from collections.abc import Iterator
from dataclasses import dataclass
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
MATRICES = {1: Colorspace.ITU709, 5: Colorspace.ITU601, 6: Colorspace.ITU601, 9: Colorspace.BT2020}
"""By the numbers of ITU-T H.273."""
EXACTLY = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
SAY_THEIR_LENGTH = ("mp4", "matroska")
"""Containers whose header tells it, so that a file that was cut short can be told from a short one."""
MISSING = Fraction(1, 2)
"""Seconds that may be missing at the end: lengths are rounded, and sound ends a little earlier or later."""


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
    unknown_sounds: int
    primaries: int
    transfer: int
    """Numbers of ITU-T H.273; 2 is unknown."""
    about: dict[str, str]
    """Title, author and the like."""

    @property
    def seconds(self) -> float:
        return float(self.frames / self.rate)


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
        with av.open(path) as file:
            streams = [stream for stream in file.streams.video if not stream.disposition & 0x400]  # no cover pictures
            if not streams:
                what = "sound but no moving pictures" if file.streams.audio else "no moving pictures"
                raise _UnusableError(f"{path} holds {what}; give a video")
            count, ends = 0, Fraction(0)
            start = Fraction(file.start_time or 0, 1_000_000)
            for packet in file.demux(streams[0], *file.streams.audio):
                if packet.pts is None:
                    continue
                count += packet.stream is streams[0]
                ends = max(ends, (packet.pts + (packet.duration or 0)) * packet.time_base - start)
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
    with av.open(path) as file:
        stream = _pictures(file)
        first = next(file.decode(stream), None)
        if first is None or not count:
            raise _UnusableError(f"{path} holds no frame that can be decoded; give another video")
        rate = stream.average_rate or stream.guessed_rate or Fraction(25)
        turned = first.rotation % 180 != 0
        aspect = Fraction(stream.codec_context.sample_aspect_ratio or 1) or Fraction(1)
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
            unknown_sounds=sum(sound.codec_context is None for sound in file.streams.audio),
            primaries=first.color_primaries,
            transfer=first.color_trc,
            about=dict(file.metadata),
        )


def _pictures(file: av.container.InputContainer) -> av.video.stream.VideoStream:
    stream = next(stream for stream in file.streams.video if not stream.disposition & 0x400)
    stream.thread_type = "AUTO"
    return stream


def stills(clip: Clip, skip: int = 0) -> Iterator[Still]:
    """The frames of a video in the order of their times, from a certain one on.

    Those before are decoded as well, without being converted: the way to a frame is the same each time.
    Raises ValueError for what cannot be decoded.
    """
    before, number = -1, 0
    start = round(clip.start / clip.time_base)
    usual = max(1, round(1 / clip.rate / clip.time_base))
    try:
        with av.open(clip.path) as file:
            for frame in file.decode(_pictures(file)):
                time = before + usual if frame.pts is None else frame.pts - start
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
        with av.open(path) as file:
            return {name.lower(): text for name, text in file.metadata.items()}.get("comment", "")
    except (av.error.FFmpegError, OSError):
        return ""
