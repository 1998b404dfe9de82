"""Video files as `cyclestyle.video.reading` takes them: turned, stretched, irregular, transparent, broken."""

import struct
import wave
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from clips import make_clip
from PIL import Image

from cyclestyle.video.reading import HDR, comment_of, look_through, stills

RED = (200, 30, 30)


def quarters(height: int = 48, width: int = 64) -> np.ndarray:
    """Red, green, blue and white, clockwise from the upper left."""
    frame = np.zeros((height, width, 3), np.uint8)
    for row, column, colour in (
        (0, 0, RED),
        (0, 1, (30, 200, 30)),
        (1, 1, (30, 30, 200)),
        (1, 0, (220,) * 3),
    ):
        top, left = row * height // 2, column * width // 2
        frame[top : top + height // 2, left : left + width // 2] = colour
    return frame


def middles(pixels: np.ndarray) -> list[tuple[int, ...]]:
    """The four colours, clockwise from the upper left."""
    height, width = pixels.shape[:2]
    near, far = (1, 4), (3, 4)
    places = (near, near), (near, far), (far, far), (far, near)
    return [tuple(pixels[height * y // of, width * x // by].tolist()) for (y, of), (x, by) in places]


def alike(found: list[tuple[int, ...]], wanted: list[tuple[int, ...]], most: int = 3) -> None:
    assert np.abs(np.array(found) - np.array(wanted)).max() <= most, (found, wanted)


COLOURS = middles(quarters())


def test_what_is_in_a_clip(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", lambda number: quarters(), 12, rate=Fraction(30_000, 1001))
    clip = look_through(path)
    assert (clip.width, clip.height, clip.frames, clip.sounds) == (64, 48, 12, (0,))
    assert clip.rate == Fraction(30_000, 1001)
    assert clip.aspect == 1
    found = list(stills(clip))
    assert len(found) == 12
    assert [float(one.time * clip.time_base) for one in found] == pytest.approx([n * 1001 / 30_000 for n in range(12)])
    alike(middles(found[-1].pixels), COLOURS)


def test_from_a_certain_frame_on(tmp_path: Path) -> None:
    clip = look_through(make_clip(tmp_path / "a.mp4", lambda n: np.full((32, 32, 3), 20 * n, np.uint8), 10))
    every = list(stills(clip))
    rest = list(stills(clip, skip=7))
    assert [one.time for one in rest] == [one.time for one in every[7:]]
    assert all((one.pixels == other.pixels).all() for one, other in zip(rest, every[7:], strict=True))


def test_irregular_times_are_kept(tmp_path: Path) -> None:
    times = [0, 40, 55, 200, 201, 500]
    path = make_clip(tmp_path / "a.mkv", lambda n: quarters(), 6, ticks=lambda n: (*times, 540)[n], sound=None)
    clip = look_through(path)
    assert [round(1000 * float(one.time * clip.time_base)) for one in stills(clip)] == times


def turn(path: Path, matrix: tuple[int, int, int, int]) -> None:
    """Write a display matrix into an MP4, as phones do that are held upright (ISO/IEC 14496-12, 8.3.2)."""
    content = bytearray(path.read_bytes())
    a, b, c, d = (0x10000 * value for value in matrix)
    place = content.index(b"tkhd") + 44  # of version 0
    content[place : place + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 0x40000000)
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("matrix", "moved"), [((0, 1, -1, 0), 1), ((-1, 0, 0, -1), 2), ((0, -1, 1, 0), 3)], ids=["90", "180", "270"]
)
def test_a_video_of_a_phone_is_turned_upright(matrix: tuple[int, int, int, int], moved: int, tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", lambda number: quarters(), 3, sound=None)
    turn(path, matrix)
    clip = look_through(path)
    assert (clip.width, clip.height) == ((64, 48) if moved == 2 else (48, 64))
    alike(middles(next(stills(clip)).pixels), COLOURS[-moved:] + COLOURS[:-moved])  # clockwise


def test_pixels_that_are_not_square_keep_their_shape(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", lambda n: quarters(), 3, sound=None, sample_aspect_ratio=Fraction(16, 11))
    assert look_through(path).aspect == Fraction(16, 11)
    turn(path, (0, 1, -1, 0))
    assert look_through(path).aspect == Fraction(11, 16)


@pytest.mark.parametrize("matrix", [1, 5, 7, 9], ids=["709", "601", "240M", "2020"])
def test_colours_are_read_by_the_matrix_that_the_file_names(matrix: int, tmp_path: Path) -> None:
    from av.video.reformatter import Colorspace

    spaces = {1: Colorspace.ITU709, 5: Colorspace.ITU601, 7: Colorspace.SMPTE240M, 9: Colorspace.BT2020}
    path = tmp_path / "a.mkv"
    with av.open(path, "w") as file:
        stream = file.add_stream("libx264", rate=25, options={"qp": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv444p"
        stream.codec_context.colorspace, stream.codec_context.color_range = matrix, 1
        for _ in range(3):
            frame = av.VideoFrame.from_ndarray(quarters(), format="rgb24")
            file.mux(stream.encode(frame.reformat(format="yuv444p", dst_colorspace=spaces[matrix])))
        file.mux(stream.encode())
    alike(middles(next(stills(look_through(path))).pixels), COLOURS, most=2)


def test_an_animated_gif_is_a_video_and_what_is_transparent_in_it_white(tmp_path: Path) -> None:
    pictures, duration = [], [100, 300, 50, 100]
    for left in range(0, 40, 10):
        picture = Image.new("RGBA", (64, 48), (0, 0, 0, 0))
        picture.paste((*RED, 255), (left, 0, left + 20, 48))
        pictures.append(picture)
    pictures[0].save(tmp_path / "a.gif", save_all=True, append_images=pictures[1:], duration=duration, disposal=2)
    clip = look_through(tmp_path / "a.gif")
    found = list(stills(clip))
    assert [round(1000 * float(one.time * clip.time_base)) for one in found] == [0, 100, 400, 450]
    alike([tuple(found[0].pixels[20, column].tolist()) for column in (5, 60)], [RED, (255,) * 3])


def test_pixels_whose_shape_only_the_container_tells_keep_it(tmp_path: Path) -> None:
    path = make_clip(
        tmp_path / "a.mp4",
        lambda n: quarters(),
        2,
        sound=None,
        codec="libvpx-vp9",
        sample_aspect_ratio=Fraction(16, 11),
    )
    clip = look_through(path)
    assert clip.aspect == Fraction(16, 11)
    assert (clip.squared().width, clip.squared().aspect) == (93, 1)
    assert next(stills(clip.squared())).pixels.shape == (48, 93, 3)


def test_a_stream_without_times_is_taken_at_its_rate(tmp_path: Path) -> None:
    raw = tmp_path / "a.h264"
    make_clip(raw, lambda n: np.roll(quarters(), n, 1), 6, sound=None, options={"bf": "0"})
    clip = look_through(raw)
    assert clip.frames == 6
    assert [float(one.time * clip.time_base) for one in stills(clip)] == pytest.approx([n / 25 for n in range(6)])


def test_a_clock_that_begins_late_is_not_a_file_cut_short(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mkv", lambda n: quarters(), 5, ticks=lambda n: 3_600_000 + 40 * n, sound=None)
    clip = look_through(path)
    assert [round(1000 * float(one.time * clip.time_base)) for one in stills(clip)] == [0, 40, 80, 120, 160]


def test_files_put_one_after_the_other_are_one(tmp_path: Path) -> None:
    """As recorders and `cat` leave transport streams: the clock begins anew in the middle."""
    one = make_clip(tmp_path / "one.ts", lambda n: quarters(), 25, sound="mp2", options={"bf": "0"})
    both = tmp_path / "both.ts"
    both.write_bytes(2 * one.read_bytes())
    clip = look_through(both)
    times = [float(still.time * clip.time_base) for still in stills(clip)]
    assert [time - times[0] for time in times] == pytest.approx([n / 25 for n in range(50)], abs=0.001)


def test_further_tracks_are_named_and_last_as_long_as_they_like(tmp_path: Path) -> None:
    short, long = (
        make_clip(tmp_path / f"{n}.mkv", lambda _: quarters(), n, sound=None, options={"bf": "0"}) for n in (5, 60)
    )
    path = tmp_path / "both.mkv"
    with av.open(short) as one, av.open(long) as other, av.open(path, "w") as file:
        streams = [file.add_stream_from_template(given.streams.video[0]) for given in (one, other)]
        for given, stream in zip((one, other), streams, strict=True):
            for packet in given.demux(video=0):
                if packet.dts is not None:
                    packet.stream = stream
                    file.mux(packet)
    clip = look_through(path)
    assert clip.frames == 5
    assert clip.left_out == "further tracks of pictures (1)"


def test_a_title_in_other_letters_than_utf_8(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.avi", lambda n: quarters(), 3, sound=None, codec="mpeg4")
    with av.open(path) as given, av.open(tmp_path / "b.avi", "w") as file:
        file.metadata["title"] = "Gr??e aus"
        stream = file.add_stream_from_template(given.streams.video[0])
        for packet in given.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                file.mux(packet)
    content = (tmp_path / "b.avi").read_bytes()
    assert b"Gr??e" in content
    path.write_bytes(content.replace(b"Gr??e", "Grüße".encode("latin-1")))
    assert len(list(stills(look_through(path)))) == 3


@pytest.mark.parametrize("name", ["12:30.mp4", "file:a.mp4", "concat:a.mp4", "%03d.mp4", "-a b'c.mp4"])
def test_names_that_mean_something_else_to_ffmpeg(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_clip(tmp_path / "a.mp4", lambda n: quarters(), 3, sound=None).rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert len(list(stills(look_through(Path(name))))) == 3


def test_high_dynamic_range_is_recognised(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mkv", lambda n: quarters(), 2, sound=None, color_trc=16, color_primaries=9)
    assert look_through(path).transfer in HDR


def test_what_a_video_says_of_itself(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", lambda n: quarters(), 2)
    assert comment_of(path) == ""
    assert comment_of(tmp_path / "none.mp4") == ""


def broken(kind: str, folder: Path) -> Path:
    path = folder / f"{kind}.mp4"
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("not a video at all\n" * 50)
    elif kind == "sound":
        path = path.with_suffix(".wav")
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, 8000, 0, "NONE", ""))
            file.writeframes(bytes(8000))
    elif kind in {"half", "half.mkv"}:
        whole = make_clip(
            folder / f"whole.{'mkv' if kind == 'half.mkv' else 'mp4'}",
            lambda n: np.random.default_rng(n).integers(0, 256, (64, 64, 3), dtype=np.uint8),
            60,
            options={"movflags": "faststart"} if kind == "half" else {},
        )
        path = path.with_suffix(whole.suffix)
        content = whole.read_bytes()
        path.write_bytes(content[: len(content) * 2 // 5])
    return path


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("empty", "empty.mp4 is not a video that can be read (0 bytes)"),
        ("text", "text.mp4 is not a video that can be read (950 bytes)"),
        ("sound", "sound.wav holds sound but no moving pictures; give a video"),
        ("half.mkv", ".mkv is cut short: it should last 2.4 s"),
        ("half", "half.mp4 "),
        ("missing", "no such video: "),
    ],
)
def test_what_is_no_whole_video_is_said_in_a_sentence(kind: str, said: str, tmp_path: Path) -> None:
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        list(stills(look_through(broken(kind, tmp_path))))
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_ffmpeg_never_speaks_through_pythons_logging(tmp_path: Path) -> None:
    """Its threads would wait for Python while Python waits for them; older torchvisions switch it on."""
    clip = make_clip(tmp_path / "a.mp4", lambda _: quarters(), 2)
    av.logging.set_level(av.logging.ERROR)
    try:
        look_through(clip)
        assert av.logging.get_level() is None
    finally:
        av.logging.set_level(None)
