"""The sound of a video, into a painted one: as it is where its container plays it, else encoded anew."""

from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from typing import Any

import av

from cyclestyle.video.reading import Clip, Clock

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
RATES = {
    "aac": (7350, 8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000),
    "libopus": (48_000,),
}
"""Samples a second that encoders take."""
BITS = 192_000


def sound(source: Any, stream: Any, file: Any, container: str, clip: Clip) -> Iterator[tuple[Fraction, av.Packet]]:
    """A track's packets, each with its seconds.

    Args:
        source: the clip, opened for this track alone.
        stream: the track in it.
        file: being written; is given a stream at once.
        container: FFmpeg's name of its kind.
        clip: whose beginning is the file's.
    """
    name = stream.codec_context.codec.canonical_name
    if name in PLAYED.get(container, file.supported_codecs):
        new = file.add_stream_from_template(stream)
        new.metadata.update(stream.metadata)
        return _taken_over(source, stream, new, clip)
    codec, rate = SOUND.get(container, "aac"), stream.codec_context.sample_rate
    rates = RATES[codec]
    rate = next((possible for possible in rates if possible >= rate), rates[-1])
    new = file.add_stream(codec, rate=rate, layout=LAYOUTS.get(stream.codec_context.channels, "stereo"))
    new.bit_rate = BITS
    new.metadata.update(stream.metadata)
    return _encoded_anew(source, stream, new, clip)


def _taken_over(source: Any, stream: Any, new: Any, clip: Clip) -> Iterator[tuple[Fraction, av.Packet]]:
    clock = Clock.of(clip, stream.time_base)
    for packet in source.demux(stream):
        if packet.dts is None or packet.pts is None:
            continue
        shift = clock.shift(packet.dts, packet.duration or 0)
        packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, new
        yield packet.dts * packet.time_base, packet


def _encoded_anew(source: Any, stream: Any, new: Any, clip: Clip) -> Iterator[tuple[Fraction, av.Packet]]:
    for frame in _alike(_in_time(_heard(source, stream), clip), new):
        yield from ((packet.dts * packet.time_base, packet) for packet in new.encode(frame))
    yield from ((packet.dts * packet.time_base, packet) for packet in new.encode(None))


def _heard(source: Any, stream: Any) -> Iterator[Any]:
    """Sound, without what cannot be decoded: players pass over it as well, and the frames are painted already."""
    for packet in source.demux(stream):
        with suppress(av.error.FFmpegError):
            yield from packet.decode()


def _in_time(frames: Iterator[Any], clip: Clip) -> Iterator[Any]:
    """Counted from the beginning of the clip."""
    clock = None
    for frame in frames:
        if frame.pts is not None:
            clock = clock or Clock.of(clip, frame.time_base)
            frame.pts -= clock.shift(frame.pts, round(Fraction(frame.samples, frame.sample_rate) / frame.time_base))
        yield frame


def _alike(frames: Iterator[Any], new: Any) -> Iterator[Any]:
    """In one rate and layout, though a broadcast changes both between programmes."""
    resampler, before = None, None
    for frame in frames:
        shape = (frame.format.name, frame.layout.name, frame.sample_rate)
        if shape != before:
            yield from resampler.resample(None) if resampler is not None else ()
            resampler = av.AudioResampler(format="fltp", layout=new.layout, rate=new.rate)
            before = shape
        assert resampler is not None
        yield from resampler.resample(frame)
    yield from resampler.resample(None) if resampler is not None else ()
