"""Frames to video files: pieces of a video, each for itself, and the whole with its sound."""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace

from cyclestyle.files import written_aside
from cyclestyle.video.flow import Pixels
from cyclestyle.video.packages import CONTAINERS
from cyclestyle.video.reading import EXACTLY, Clip, opened
from cyclestyle.video.sound import sound

H264, VP9 = "libx264", "libvpx-vp9"
ENCODERS = {"webm": VP9}
"""H.264 everywhere else: every browser, phone and television plays it."""
OPTIONS = {
    # No frame refers to a later one: pieces can be joined, and each packet has its frame's time, however irregular.
    H264: {"crf": "18", "preset": "medium", "bf": "0"},
    VP9: {"crf": "24", "b": "0", "cpu-used": "4", "row-mt": "1", "lag-in-frames": "0", "auto-alt-ref": "0"},
}
SAME_AGAIN = {"fflags": "+bitexact"}
"""Without it Matroska gives each file a random number."""
LARGEST = {H264: 16_384, VP9: 65_536}
"""Pixels of a side that encoders take."""
THREADS = 4
"""Of the encoder: what it writes depends on their number, and must not on the machine's."""
OWN = {"encoder", "comment", "major_brand", "minor_version", "compatible_brands", "duration"}
"""What a container says of itself, not of what is in it."""


def container_of(path: Path) -> str:
    """FFmpeg's name of the container that a file name asks for. Raises ValueError for one that is not written."""
    name = CONTAINERS.get(path.suffix.lower())
    if name is None:
        raise ValueError(
            f"a video is not written as {path.suffix or path}; give a name that ends with {', '.join(CONTAINERS)}, "
            "or a folder, after --to"
        )
    return name


def codec_for(container: str) -> str:
    """What a container's frames are encoded with."""
    return ENCODERS.get(container, H264)


def require_size(clip: Clip, container: str) -> None:
    """Raises ValueError for frames that are too large to be encoded."""
    most = LARGEST[codec_for(container)]
    if max(clip.width, clip.height) > most:
        other = "; give a name that ends with .webm after --to" if max(clip.width, clip.height) <= LARGEST[VP9] else ""
        raise ValueError(
            f"{clip.path} has frames of {clip.width} x {clip.height} pixels, and {container} takes sides up "
            f"to {most:,}{other}"
        )


def even(pixels: Pixels) -> Pixels:
    """With its last row and column twice where their numbers are odd, which H.264 with shared colours cannot be."""
    height, width = pixels.shape[:2]
    return np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")


def write_piece(frames: Iterable[Pixels], to: Path, clip: Clip, container: str) -> None:
    """Some frames as a video of their own, at a steady rate: their times are given to them when pieces are joined."""
    codec = codec_for(container)
    with written_aside(to) as aside, av.open(f"file:{aside}", "w", format="matroska", options=dict(SAME_AGAIN)) as file:
        stream: Any = file.add_stream(codec, rate=clip.rate, options=OPTIONS[codec])
        stream.height, stream.width = clip.height + clip.height % 2, clip.width + clip.width % 2
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.thread_count = THREADS
        context.sample_aspect_ratio = clip.aspect
        context.color_range, context.colorspace = 1, 1  # 16 to 235; the matrix of BT.709
        # HDR's curves are refused earlier; 2, unknown, is taken for that of BT.709 by everybody
        context.color_primaries = 1 if clip.primaries == 2 else clip.primaries
        context.color_trc = 1 if clip.transfer == 2 else clip.transfer
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(even(pixels), format="rgb24").reformat(
                format="yuv420p",
                dst_colorspace=Colorspace.ITU709,
                interpolation=EXACTLY,
                src_color_range=ColorRange.JPEG,
                dst_color_range=ColorRange.MPEG,
            )
            frame.pts, frame.time_base = number, 1 / clip.rate
            frame.pict_type = 0
            file.mux(stream.encode(frame))
        file.mux(stream.encode())


def join(
    pieces: Sequence[Path], times: Sequence[int], last: int, to: Path, clip: Clip, container: str, comment: str
) -> None:
    """Pieces one after the other, each frame at its time, with the clip's sound; in one step.

    Args:
        pieces: as `write_piece` has written them.
        times: of all frames, in the clip's ticks.
        last: ticks that the last frame lasts.
        to: the file.
        clip: where sound, title and the like are taken from.
        container: FFmpeg's name.
        comment: is kept in the file.
    """
    options = SAME_AGAIN | ({"movflags": "faststart"} if container in {"mp4", "mov"} else {})
    with written_aside(to) as aside, ExitStack() as stack:
        file = stack.enter_context(av.open(f"file:{aside}", "w", format=container, options=options))
        file.metadata.update({name: text for name, text in clip.about.items() if name.lower() not in OWN})
        if said := next((text for name, text in clip.about.items() if name.lower() == "comment"), None):
            file.metadata.setdefault("description", said)
        file.metadata["comment"] = comment
        first = stack.enter_context(opened(pieces[0]))
        pictures = file.add_stream_from_template(first.streams.video[0])
        pictures.time_base = clip.time_base
        tracks = [_pictures(pieces, times, last, pictures, clip)]
        for number in clip.sounds:
            source = stack.enter_context(opened(clip.path))
            tracks.append(sound(source, source.streams.audio[number], file, container, clip))
        for _, packet in heapq.merge(*tracks, key=lambda one: one[0]):
            file.mux_one(packet)


def _pictures(
    pieces: Sequence[Path], times: Sequence[int], last: int, stream: Any, clip: Clip
) -> Iterator[tuple[Fraction, av.Packet]]:
    """Packets with their seconds."""
    number = 0
    for piece in pieces:
        with opened(piece) as file:
            for packet in file.demux(video=0):
                if not packet.size:
                    continue
                packet.stream, packet.time_base = stream, clip.time_base
                packet.pts = packet.dts = times[number]
                packet.duration = times[number + 1] - times[number] if number + 1 < len(times) else last
                number += 1
                yield packet.pts * clip.time_base, packet
    assert number == len(times)
