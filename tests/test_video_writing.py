"""Video files as `cyclestyle.video.writing` makes them: times, colours, sound, what players can play."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from clips import frames_of, make_clip, sound_of, times_of
from test_video_flow import clouds
from test_video_painting import a_painter
from test_video_reading import quarters

from cyclestyle.video.painting import paint_video
from cyclestyle.video.reading import Clip, comment_of, look_through, stills
from cyclestyle.video.writing import container_of, even, join, require_size, write_piece


def rewritten(source: Path, to: Path, frames: list[np.ndarray] | None = None, piece: int = 4) -> Clip:
    """The frames of a video, or others in their place, in pieces and joined."""
    clip, container = look_through(source), container_of(to)
    found = list(stills(clip))
    frames = frames or [one.pixels for one in found]
    pieces = []
    for start in range(0, len(frames), piece):
        pieces.append(to.with_name(f"{start:03}.mkv"))
        write_piece(frames[start : start + piece], pieces[-1], clip, container)
    join(pieces, [one.time for one in found], found[-1].duration, to, clip, container, "made by a test")
    return clip


@pytest.mark.parametrize("suffix", [".mp4", ".m4v", ".mov", ".mkv", ".webm"])
def test_pieces_become_one_video_with_the_same_times_colours_and_length(suffix: str, tmp_path: Path) -> None:
    source = make_clip(tmp_path / "source.mp4", lambda n: np.roll(quarters(), n, 1), 10, rate=Fraction(24_000, 1001))
    to = tmp_path / f"to{suffix}"
    rewritten(source, to)
    before, after = frames_of(source), frames_of(to)
    assert len(after) == len(before)
    since = [time - times_of(to)[0] for time in times_of(to)]  # sound of AAC begins before zero, which Matroska cannot
    assert since == pytest.approx(times_of(source), abs=0.0015)
    assert np.abs(np.array(after).astype(int) - np.array(before))[:, :, 8:-8].mean() < 3
    with av.open(source) as one, av.open(to) as other:
        assert other.duration / 1e6 == pytest.approx(one.duration / 1e6, abs=0.05)
        assert float(other.streams.video[0].average_rate) == pytest.approx(24_000 / 1001, rel=0.01)
        assert other.streams.video[0].codec_context.name.startswith("vp9" if suffix == ".webm" else "h264")
        assert len(other.streams.audio) == 1
    assert comment_of(to) == "made by a test"


def test_irregular_times_are_kept(tmp_path: Path) -> None:
    times = [0, 40, 55, 200, 201, 500, 510]
    source = make_clip(tmp_path / "source.mkv", lambda n: quarters(), 7, ticks=lambda n: (*times, 900)[n], sound=None)
    for suffix in (".mp4", ".mkv", ".webm"):
        rewritten(source, tmp_path / f"to{suffix}")
        assert [round(1000 * time) for time in times_of(tmp_path / f"to{suffix}")] == times


def test_colours_stay_within_two_levels(tmp_path: Path) -> None:
    """As read by a player that goes by what the file says; 4:2:0 keeps colours of large areas."""
    patches = np.random.default_rng(0).integers(10, 246, (6, 8, 3))
    chart = np.repeat(np.repeat(patches, 32, 0), 32, 1).astype(np.uint8)
    source = make_clip(tmp_path / "source.mp4", lambda n: chart, 4, sound=None)
    for suffix in (".mp4", ".webm"):
        rewritten(source, tmp_path / f"to{suffix}", [chart] * 4)
        clip = look_through(tmp_path / f"to{suffix}")
        shown = next(stills(clip)).pixels.astype(float).reshape(6, 32, 8, 32, 3)[:, 8:24, :, 8:24].mean((1, 3))
        assert np.abs(shown - patches).max() <= 2
        with av.open(tmp_path / f"to{suffix}") as file:
            frame = next(file.decode(video=0))
            assert (int(frame.colorspace), int(frame.color_range)) == (1, 1)


def test_odd_sizes_get_their_last_row_and_column_twice(tmp_path: Path) -> None:
    assert even(clouds(33, 31)).shape == (34, 32, 3)
    assert (even(clouds(33, 31))[-1, :31] == clouds(33, 31)[-1]).all()
    assert even(clouds(32, 30)).shape == (32, 30, 3)
    source = make_clip(tmp_path / "source.mkv", lambda n: clouds(33, 31), 3, codec="ffv1", sound=None)
    rewritten(source, tmp_path / "to.mp4")
    assert frames_of(tmp_path / "to.mp4")[0].shape == (34, 32, 3)


def test_pixels_that_are_not_square_stay_so(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "s.mp4", lambda n: quarters(), 3, sound=None, sample_aspect_ratio=Fraction(16, 11))
    rewritten(source, tmp_path / "to.mp4")
    assert look_through(tmp_path / "to.mp4").aspect == Fraction(16, 11)


def packets(path: Path) -> list[bytes]:
    with av.open(path) as file:
        return [bytes(packet) for packet in file.demux(file.streams.audio[0]) if packet.size]


@pytest.mark.parametrize(
    ("sound", "source", "to", "codec", "copied"),
    [
        ("aac", "s.mp4", "t.mp4", "aac", True),
        ("aac", "s.mp4", "t.mkv", "aac", True),
        ("aac", "s.mp4", "t.webm", "opus", False),
        ("libopus", "s.mkv", "t.webm", "opus", True),
        ("pcm_s16le", "s.mkv", "t.mp4", "aac", False),
        ("pcm_s16le", "s.mov", "t.mov", "pcm_s16le", True),
        ("libmp3lame", "s.mp4", "t.mp4", "mp3float", True),
    ],
)
def test_sound_is_taken_over_where_the_container_plays_it_and_encoded_anew_elsewhere(
    sound: str, source: str, to: str, codec: str, copied: bool, tmp_path: Path
) -> None:
    path = make_clip(tmp_path / source, lambda n: quarters(), 25, sound=sound)
    rewritten(path, tmp_path / to, piece=10)
    name, samples = sound_of(tmp_path / to)
    assert name == codec
    assert (packets(tmp_path / to) == packets(path)) is copied
    before = sound_of(path)[1]
    assert samples.shape[-1] == pytest.approx(before.shape[-1], abs=4096)
    tone = np.abs(np.fft.rfft(samples[0].reshape(-1)[4800:43200].astype(float)))
    assert abs(int(tone.argmax()) * 48_000 / 38_400 - 440) < 5


def test_two_tracks_of_sound_and_a_title_go_along(tmp_path: Path) -> None:
    one = make_clip(tmp_path / "one.mp4", lambda n: quarters(), 20)
    source = tmp_path / "two.mp4"
    with av.open(one) as given, av.open(source, "w") as file:
        file.metadata["title"] = "Am Fluss"
        streams = {}
        for stream in (given.streams.video[0], given.streams.audio[0]):
            streams[stream.index] = [file.add_stream_from_template(stream)]
        streams[1].append(file.add_stream_from_template(given.streams.audio[0]))
        for packet in given.demux():
            if packet.dts is not None:
                content, index = bytes(packet), packet.stream.index
                for stream in streams[index]:
                    copy = av.Packet(content)
                    copy.stream, copy.time_base = stream, packet.time_base
                    copy.pts, copy.dts, copy.duration = packet.pts, packet.dts, packet.duration
                    file.mux(copy)
    rewritten(source, tmp_path / "to.mp4")
    with av.open(tmp_path / "to.mp4") as file:
        assert len(file.streams.audio) == 2
        assert file.metadata["title"] == "Am Fluss"


def test_a_file_that_begins_late_keeps_picture_and_sound_together(tmp_path: Path) -> None:
    """A stream that was cut out of a broadcast: its clock begins at ten seconds."""
    one = make_clip(tmp_path / "one.mp4", lambda n: quarters(), 25, options={"bf": "0"})
    late = tmp_path / "late.ts"
    with av.open(one) as given, av.open(late, "w", format="mpegts") as file:
        streams = {stream.index: file.add_stream_from_template(stream) for stream in given.streams}
        for packet in given.demux():
            if packet.dts is not None:
                shift = round(10 / packet.time_base)
                packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                packet.stream = streams[packet.stream.index]
                file.mux(packet)
    assert times_of(late)[0] > 9
    rewritten(late, tmp_path / "to.mp4")
    assert times_of(tmp_path / "to.mp4")[0] == pytest.approx(0, abs=0.1)
    assert sound_begins(tmp_path / "to.mp4") == pytest.approx(sound_begins(late), abs=0.002)


def sound_begins(path: Path) -> float:
    """Seconds after the first frame."""
    with av.open(path) as file:
        starts = [stream.start_time * stream.time_base for stream in (file.streams.audio[0], file.streams.video[0])]
    return float(starts[0] - starts[1])


def test_the_same_frames_give_the_same_bytes(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "source.mp4", lambda n: np.roll(clouds(96, 128), n, 1), 12)
    for suffix in (".mp4", ".mkv", ".webm"):
        for name in "ab":
            rewritten(source, tmp_path / f"{name}{suffix}")
        assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


@pytest.mark.parametrize("rate", [11_127, 22_255, 192_000])
def test_sound_of_a_rate_that_aac_does_not_have(rate: int, tmp_path: Path) -> None:
    source = make_clip(tmp_path / "a.mkv", lambda n: quarters(), 25, sound="pcm_s16le", sound_rate=rate)
    rewritten(source, tmp_path / "to.mp4")
    with av.open(tmp_path / "to.mp4") as file:
        assert (
            file.streams.audio[0].codec_context.sample_rate == {11_127: 12_000, 22_255: 24_000, 192_000: 96_000}[rate]
        )
        assert file.streams.audio[0].duration * file.streams.audio[0].time_base == pytest.approx(1, abs=0.1)


def test_sound_that_the_container_cannot_hold_is_encoded_anew(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "a.flv", lambda n: quarters(), 25, sound="adpcm_swf", sound_rate=22_050, codec="flv")
    rewritten(source, tmp_path / "to.mkv")
    assert sound_of(tmp_path / "to.mkv")[0] == "aac"


@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".mkv"])
def test_programmes_whose_sound_differs_and_whose_clock_begins_anew(suffix: str, tmp_path: Path) -> None:
    parts = [
        make_clip(tmp_path / f"{rate}.ts", lambda n: quarters(), 25, sound="mp2", sound_rate=rate, options={"bf": "0"})
        for rate in (48_000, 44_100)
    ]
    source = tmp_path / "both.ts"
    source.write_bytes(b"".join(part.read_bytes() for part in parts))
    rewritten(source, tmp_path / f"to{suffix}")
    with av.open(tmp_path / f"to{suffix}") as file:
        assert file.duration / 1e6 == pytest.approx(2, abs=0.15)
    assert len(frames_of(tmp_path / f"to{suffix}")) == 50


def test_what_webm_cannot_tell_of_its_pixels_is_made_square(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "s.mp4", lambda n: quarters(), 3, sound=None, sample_aspect_ratio=Fraction(16, 11))
    paint_video(a_painter(), source, tmp_path / "to.webm", show=False)
    assert frames_of(tmp_path / "to.webm")[0].shape == (48, 94, 3)


def test_frames_that_no_encoder_takes_are_refused_before_any_is_painted(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "s.mkv", lambda n: np.zeros((2, 17_000, 3), np.uint8), 2, codec="ffv1", sound=None)
    clip = look_through(source)
    with pytest.raises(ValueError, match=r"17000 x 2 pixels, and mp4 takes sides up to 16,384; give .*\.webm"):
        require_size(clip, "mp4")
    require_size(clip, "webm")


def test_language_and_the_own_comment_go_along(tmp_path: Path) -> None:
    one = make_clip(tmp_path / "one.mkv", lambda n: quarters(), 10, options={"bf": "0"})
    source = tmp_path / "two.mkv"
    with av.open(one) as given, av.open(source, "w") as file:
        file.metadata["comment"] = "from the balcony"
        for stream in given.streams:
            file.add_stream_from_template(stream)
        file.streams.audio[0].metadata["language"] = "deu"
        for packet in given.demux():
            if packet.dts is not None:
                packet.stream = file.streams[packet.stream.index]
                file.mux(packet)
    rewritten(source, tmp_path / "to.mkv")
    with av.open(tmp_path / "to.mkv") as file:
        assert file.streams.audio[0].metadata["language"] == "deu"
        assert "from the balcony" in file.metadata.values()
    assert comment_of(tmp_path / "to.mkv") == "made by a test"


@pytest.mark.parametrize("name", ["a.avi", "a", "a.png"])
def test_what_is_not_written_is_said_with_what_is(name: str) -> None:
    with pytest.raises(ValueError, match=r"give a name that ends with \.mp4, \.m4v, \.mov, \.mkv, \.webm"):
        container_of(Path(name))


def with_damaged_sound(source: Path, to: Path) -> Path:
    """Every third packet of the sound is noise."""
    rng = np.random.default_rng(0)
    with av.open(source) as given, av.open(to, "w") as file:
        streams = {stream.index: file.add_stream_from_template(stream) for stream in given.streams}
        for number, packet in enumerate(packet for packet in given.demux() if packet.dts is not None):
            copy = packet
            if packet.stream.type == "audio" and number % 3 == 0:
                copy = av.Packet(rng.integers(0, 256, packet.size, dtype=np.uint8).tobytes())
                copy.time_base, copy.pts, copy.dts = packet.time_base, packet.pts, packet.dts
            copy.stream = streams[packet.stream.index]
            file.mux(copy)
    return to


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_sound_that_is_damaged_does_not_lose_the_frames(suffix: str, tmp_path: Path) -> None:
    whole = make_clip(tmp_path / "whole.mp4", lambda n: quarters(), 50)
    source = with_damaged_sound(whole, tmp_path / "damaged.mp4")
    rewritten(source, tmp_path / f"to{suffix}")
    assert len(frames_of(tmp_path / f"to{suffix}")) == 50
    with av.open(tmp_path / f"to{suffix}") as file:
        assert file.duration / 1e6 == pytest.approx(2, abs=0.1)
