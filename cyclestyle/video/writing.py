"""Frames to video files: pieces of a video, each for itself, and the whole with its sound."""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace

from cyclestyle.files import written_aside
from cyclestyle.video.flow import Pixels
from cyclestyle.video.packages import CONTAINERS
from cyclestyle.video.reading import EXACTLY, Clip

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
THREADS = 4
"""Of the encoder: what it writes depends on their number, and must not on the machine's."""
PLAYED = {
    "mp4": {"aac", "mp3", "ac3", "eac3", "alac", "opus", "flac"},
    "mov": {"aac", "mp3", "ac3", "eac3", "alac", "pcm_s16le", "pcm_s16be", "pcm_s24le"},
    "webm": {"opus", "vorbis"},
}
"""Sound that is taken over as it is: what players play in that container. Matroska takes all."""
LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
"""By the number of channels, as encoders know them; files say 5.1(side), or only how many there are."""
SOUND = {"webm": "libopus"}
"""What other sound becomes; AAC where nothing is named."""
BITS = 192_000
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


def even(pixels: Pixels) -> Pixels:
    """With its last row and column twice where their numbers are odd, which H.264 with shared colours cannot be."""
    height, width = pixels.shape[:2]
    return np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")


def write_piece(frames: Iterable[Pixels], to: Path, clip: Clip, container: str) -> None:
    """Some frames as a video of their own, at a steady rate: their times are given to them when pieces are joined."""
    codec = codec_for(container)
    with written_aside(to) as aside, av.open(aside, "w", format="matroska", options=dict(SAME_AGAIN)) as file:
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
        file = stack.enter_context(av.open(aside, "w", format=container, options=options))
        file.metadata.update({name: text for name, text in clip.about.items() if name.lower() not in OWN})
        file.metadata["comment"] = comment
        first = stack.enter_context(av.open(pieces[0]))
        pictures = file.add_stream_from_template(first.streams.video[0])
        pictures.time_base = clip.time_base
        tracks = [_pictures(pieces, times, last, pictures, clip)]
        for number in clip.sounds:
            source = stack.enter_context(av.open(clip.path))
            tracks.append(_sound(source, source.streams.audio[number], file, container, clip.start))
        for _, packet in heapq.merge(*tracks, key=lambda one: one[0]):
            file.mux_one(packet)


def _pictures(
    pieces: Sequence[Path], times: Sequence[int], last: int, stream: Any, clip: Clip
) -> Iterator[tuple[Fraction, av.Packet]]:
    """Packets with their seconds."""
    number = 0
    for piece in pieces:
        with av.open(piece) as file:
            for packet in file.demux(video=0):
                if not packet.size:
                    continue
                packet.stream, packet.time_base = stream, clip.time_base
                packet.pts = packet.dts = times[number]
                packet.duration = times[number + 1] - times[number] if number + 1 < len(times) else last
                number += 1
                yield packet.pts * clip.time_base, packet
    assert number == len(times)


def _sound(
    source: Any, stream: Any, file: Any, container: str, start: Fraction
) -> Iterator[tuple[Fraction, av.Packet]]:
    """Packets with their seconds: as they are where they are played in the container, else encoded anew."""
    played = PLAYED.get(container)
    if played is None or stream.codec_context.codec.canonical_name in played:
        return _taken_over(source, stream, file.add_stream_from_template(stream), start)
    codec = SOUND.get(container, "aac")
    rate = 48_000 if codec == "libopus" else stream.codec_context.sample_rate
    new = file.add_stream(codec, rate=rate, layout=LAYOUTS.get(stream.codec_context.channels, "stereo"))
    new.bit_rate = BITS
    return _encoded_anew(source, stream, new, start)


def _taken_over(source: Any, stream: Any, new: Any, start: Fraction) -> Iterator[tuple[Fraction, av.Packet]]:
    for packet in source.demux(stream):
        if packet.dts is None or packet.pts is None:
            continue
        shift = round(start / packet.time_base)
        packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, new
        yield packet.dts * packet.time_base, packet


def _heard(source: Any, stream: Any) -> Iterator[Any]:
    """Sound, without what cannot be decoded: players pass over it as well, and the frames are painted already."""
    for packet in source.demux(stream):
        with suppress(av.error.FFmpegError):
            yield from packet.decode()


def _encoded_anew(source: Any, stream: Any, new: Any, start: Fraction) -> Iterator[tuple[Fraction, av.Packet]]:
    for frame in _heard(source, stream):
        if frame.pts is not None:
            frame.pts -= round(start / frame.time_base)
        yield from ((packet.dts * packet.time_base, packet) for packet in new.encode(frame))
    yield from ((packet.dts * packet.time_base, packet) for packet in new.encode(None))
