"""Small videos with known contents."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

RATE = 48_000


def panned(photo: Image.Image, size: tuple[int, int], frames: int) -> Callable[[int], np.ndarray]:
    """A camera that goes over a photo and closer to it."""
    width, height = size

    def frame(number: int) -> np.ndarray:
        share = number / max(1, frames - 1)
        seen = 0.8 - 0.15 * share  # of the photo's width
        across, down = seen * photo.width, seen * photo.width * height / width
        left, top = share * (photo.width - across), (0.3 + 0.4 * share) * (photo.height - down)
        box = (left, top, left + across, top + down)
        return np.asarray(photo.resize(size, Image.Resampling.BICUBIC, box=box))

    return frame


def make_clip(
    path: Path,
    frame: Callable[[int], np.ndarray],
    frames: int,
    *,
    rate: Fraction | int = 25,
    sound: str | None = "aac",
    sound_rate: int = RATE,
    codec: str = "libx264",
    options: dict[str, str] | None = None,
    ticks: Callable[[int], int] | None = None,
    **context: Any,
) -> Path:
    """Write a video of some frames with a tone of 440 Hz as long as it is.

    `ticks` gives each frame's time in thousandths of a second where frames do not follow one another at the rate.
    """
    base = Fraction(1, 1000) if ticks else 1 / Fraction(rate)
    with av.open(path, "w") as file:
        stream: Any = file.add_stream(codec, rate=rate, options=options or {})
        stream.height, stream.width = frame(0).shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = base
        for name, value in context.items():
            setattr(stream.codec_context, name, value)
        tone = file.add_stream(sound, rate=sound_rate, layout="mono") if sound else None
        for number in range(frames):
            picture = av.VideoFrame.from_ndarray(frame(number), format="rgb24")
            picture.pts, picture.time_base = ticks(number) if ticks else number, base
            file.mux(stream.encode(picture))
        file.mux(stream.encode())
        if tone is not None:
            _sing(file, tone, sound_rate, float(ticks(frames) / 1000 if ticks else frames / Fraction(rate)))
    return path


def _sing(file: Any, tone: Any, rate: int, seconds: float) -> None:
    wave = 0.3 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)
    samples = np.rint(32767 * wave).astype(np.int16)
    for start in range(0, len(samples), 1024):
        frame = av.AudioFrame.from_ndarray(samples[None, start : start + 1024], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
        file.mux(tone.encode(frame))
    file.mux(tone.encode())


def frames_of(path: Path) -> list[np.ndarray]:
    """All frames, RGB."""
    with av.open(path) as file:
        return [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]


def times_of(path: Path) -> list[float]:
    """Seconds at which frames are shown."""
    with av.open(path) as file:
        return [float(frame.time) for frame in file.decode(video=0)]


def sound_of(path: Path) -> tuple[str, np.ndarray]:
    """The sound's codec and its samples."""
    with av.open(path) as file:
        stream = file.streams.audio[0]
        return stream.codec_context.name, np.concatenate([frame.to_ndarray() for frame in file.decode(stream)], axis=1)
