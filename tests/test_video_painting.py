"""Videos through a painter: whole, damped, stopped and gone on with; and the command."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from clips import frames_of, make_clip, panned, sound_of, times_of
from PIL import Image
from test_video_flow import clouds
from test_video_reading import broken, quarters
from torch import nn

from cyclestyle.cli import main
from cyclestyle.config import GeneratorSettings
from cyclestyle.networks.generator import build_generator
from cyclestyle.networks.layers import initialise
from cyclestyle.networks.painter import Painter, PainterCard, load_painter, save_painter
from cyclestyle.video.painting import Manner, paint_video, target
from cyclestyle.video.reading import comment_of, look_through, stills

CARD = PainterCard(direction="unknown", generator=GeneratorSettings(), side=None, step=None)


class Restless(nn.Module):
    """Paints other dots wherever a level is another one: what painters do to noise and small shifts."""

    multiple = 1

    def __init__(self) -> None:
        super().__init__()
        self.frames = count()
        self.last = 1 << 30

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if next(self.frames) > self.last:
            raise KeyboardInterrupt
        return (0.8 * images + 0.2 * torch.sin(90 * images)).clamp(-1, 1)


def a_painter(stop_after: int = 1 << 30) -> Painter:
    network = Restless()
    network.last = stop_after - 1
    return Painter(network, CARD, "0" * 64)


def saved(path: Path) -> Path:
    """A real painter, untrained."""
    settings = GeneratorSettings(width=4, blocks=1)
    network = build_generator(settings)
    initialise(network, torch.Generator().manual_seed(0))
    save_painter(network, PainterCard(direction="unknown", generator=settings, side=None, step=None), path)
    return path


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds of a camera that goes over a picture, with a tone."""
    scene = Image.fromarray(clouds(300, 400))
    return make_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", panned(scene, (160, 120), 75), 75)


def test_length_rate_and_sound_stay_and_flicker_is_at_least_halved(clip: Path, tmp_path: Path) -> None:
    painted = paint_video(a_painter(), clip, tmp_path / "to.mp4", show=False)
    assert painted.frames == 75
    assert times_of(tmp_path / "to.mp4") == pytest.approx(times_of(clip), abs=1e-6)
    with av.open(clip) as one, av.open(tmp_path / "to.mp4") as other:
        assert one.duration == other.duration
        assert one.streams.video[0].average_rate == other.streams.video[0].average_rate == 25
    before, after = sound_of(clip), sound_of(tmp_path / "to.mp4")
    assert before[0] == after[0]
    assert (before[1] == after[1]).all()
    assert painted.flicker["steadied"] < 0.5 * painted.flicker["painted"]
    plain = paint_video(a_painter(), clip, tmp_path / "plain.mp4", Manner(steady=False), show=False)
    assert plain.flicker["painted"] == plain.flicker["steadied"] == pytest.approx(painted.flicker["painted"])
    restless, calm = (
        np.mean([np.abs(np.diff(np.array(frames_of(tmp_path / name), float)[:, 40:80, 60:100], axis=0)).mean()])
        for name in ("plain.mp4", "to.mp4")
    )
    assert calm < restless


def test_a_painting_is_that_of_each_frame(tmp_path: Path) -> None:
    still = make_clip(tmp_path / "still.mkv", lambda number: clouds(48, 64), 3, codec="ffv1", sound=None)
    painted = paint_video(a_painter(), still, tmp_path / "to.mp4", show=False)
    assert painted.flicker["painted"] < 0.5
    source = torch.from_numpy(next(stills(look_through(still))).pixels).permute(2, 0, 1)[None] / 127.5 - 1
    wanted = (Restless()(source)[0].permute(1, 2, 0).numpy() + 1) * 127.5
    grey = np.array([0.2126, 0.7152, 0.0722])  # colours are kept at half the size
    assert np.abs(frames_of(tmp_path / "to.mp4")[-1] @ grey - wanted @ grey).mean() < 3


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_what_was_stopped_goes_on_and_becomes_the_same_file(suffix: str, clip: Path, tmp_path: Path) -> None:
    whole = paint_video(a_painter(), clip, tmp_path / f"whole{suffix}", show=False)
    for stop in (40, 10, 2):  # in the second piece, at its beginning, and in the third
        with pytest.raises(KeyboardInterrupt):
            paint_video(a_painter(stop), clip, tmp_path / f"to{suffix}", show=False)
        assert not (tmp_path / f"to{suffix}").exists()
    painter = a_painter()
    rest = paint_video(painter, clip, tmp_path / f"to{suffix}", show=False)
    assert next(painter.network.frames) == 75 - 32  # type: ignore[union-attr]
    assert (tmp_path / f"to{suffix}").read_bytes() == (tmp_path / f"whole{suffix}").read_bytes()
    assert rest.flicker == whole.flicker
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([f"to{suffix}", f"whole{suffix}"])


def test_what_is_painted_already_stays_unless_it_would_be_another(clip: Path, tmp_path: Path) -> None:
    short = make_clip(tmp_path / "short.mp4", lambda number: quarters(), 4, sound=None)
    to = tmp_path / "to.mp4"
    paint_video(a_painter(), short, to, show=False)
    assert comment_of(to).startswith("painter 0000000000000000 photo ")
    again = paint_video(a_painter(stop_after=0), short, to, show=False)
    assert again.was_there
    assert "was there already" in str(again)
    other = paint_video(a_painter(), short, to, Manner(strength=0.5), show=False)
    assert not other.was_there
    assert "strength 0.5" in comment_of(to)
    assert paint_video(a_painter(), short, to, Manner(strength=0.5, steady=False), show=False).was_there is False


def test_a_painting_that_was_cut_short_is_made_anew(tmp_path: Path) -> None:
    short = make_clip(tmp_path / "short.mp4", lambda number: clouds(96, 128, number), 40, sound=None)
    to = tmp_path / "to.mp4"
    paint_video(a_painter(), short, to, show=False)
    whole = to.read_bytes()
    to.write_bytes(whole[: len(whole) // 2])
    assert not paint_video(a_painter(), short, to, show=False).was_there
    assert to.read_bytes() == whole


def test_what_does_not_fit_into_the_memory_that_was_given_is_said(tmp_path: Path) -> None:
    short = make_clip(tmp_path / "short.mp4", lambda number: quarters(), 4, sound=None)
    painter = load_painter(saved(tmp_path / "paint.safetensors"), "cpu")
    with pytest.raises(ValueError, match=r"64 x 48 pixels take .* in addition for what a video takes"):
        paint_video(painter, short, tmp_path / "to.mp4", Manner(max_memory=1_000_000), show=False)
    assert not (tmp_path / "to.mp4").exists()


def test_what_fewer_bits_change_is_said(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    short = make_clip(tmp_path / "short.mp4", lambda number: quarters(), 3, sound=None)
    exact = load_painter(saved(tmp_path / "paint.safetensors"), "cpu")
    paint_video(exact.rounded("bf16"), short, tmp_path / "to.mp4", exact=exact)
    assert capfd.readouterr().err.count("bf16 against fp32, measured on the first frame: ") == 1
    paint_video(exact, short, tmp_path / "exact.mp4", exact=exact)
    assert "against" not in capfd.readouterr().err


def test_strength_zero_is_the_video_itself(tmp_path: Path) -> None:
    short = make_clip(tmp_path / "short.mp4", lambda number: np.roll(quarters(), number, 1), 4, sound=None)
    paint_video(a_painter(stop_after=0), short, tmp_path / "to.mp4", Manner(strength=0), show=False)
    assert np.abs(np.array(frames_of(tmp_path / "to.mp4"), float) - np.array(frames_of(short))).mean() < 4


def test_high_dynamic_range_is_refused_with_what_to_do(tmp_path: Path) -> None:
    hdr = make_clip(tmp_path / "hdr.mkv", lambda n: quarters(), 2, sound=None, color_trc=18)
    with pytest.raises(ValueError, match=r"high dynamic range \(HLG\).*`ffmpeg -i hdr.mkv .*standard.mp4`"):
        paint_video(a_painter(), hdr, tmp_path / "to.mp4", show=False)
    assert [path.name for path in tmp_path.iterdir()] == ["hdr.mkv"]


def test_where_a_video_goes(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    assert target(Path("a/clip.mov"), folder) == folder / "clip.mov"
    assert target(Path("a/clip.avi"), folder) == folder / "clip.mp4"
    assert target(Path("a/clip.avi"), tmp_path / "b.webm") == tmp_path / "b.webm"
    with pytest.raises(ValueError, match="would replace the video"):
        target(tmp_path / "a.mp4", tmp_path)
    with pytest.raises(ValueError, match=r"not written as \.avi"):
        target(tmp_path / "a.mp4", tmp_path / "b.avi")


# --- the command --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def painter_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("painter") / "paint.safetensors")


def translate(painter: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cyclestyle", "translate", painter, *words], capture_output=True, text=True
    )


Typed = Callable[..., tuple[int, str]]


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Typed:
    """`cyclestyle translate` with some words, in this process: its exit code, and what it says of errors."""

    def run(*words: str | Path) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["cyclestyle", "translate", *map(str, words)])
        try:
            main()
        except SystemExit as end:
            return int(end.code or 0), capsys.readouterr().err
        return 0, capsys.readouterr().err

    return run


@pytest.mark.slow  # three processes; within one, it is stopped above
def test_the_command_goes_on_after_a_kill(painter_file: Path, clip: Path, tmp_path: Path) -> None:
    whole = translate(painter_file, clip, "--to", tmp_path / "whole.mp4")
    assert whole.returncode == 0, whole.stderr
    assert "75 frames painted" in whole.stdout
    assert "before it was damped" in whole.stdout
    to = tmp_path / "folder" / "clip.mp4"
    process = subprocess.Popen(
        [sys.executable, "-m", "cyclestyle", "translate", painter_file, clip, "--to", to.parent],
        stderr=subprocess.PIPE,
    )
    while not list(to.parent.glob(".unfinished-*/000000.json")) and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not to.exists()
    rest = translate(painter_file, clip, "--to", to.parent)
    assert rest.returncode == 0, rest.stderr
    assert "frames were painted before; going on" in rest.stderr
    assert to.read_bytes() == (tmp_path / "whole.mp4").read_bytes()
    assert [path.name for path in to.parent.iterdir()] == ["clip.mp4"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("missing.mp4", "--to", "to"), "no such video: missing.mp4"),
        (("clip.mp4", "--to", "to.avi"), "a video is not written as .avi"),
        (("clip.mp4", "--to", "."), "would replace the video clip.mp4"),
        (("clip.mp4", "--to", "to", "--format", "webp"), "--format is for pictures"),
        (("clip.mp4", "--to", "to", "--batch", "4"), "--batch is for pictures"),
        (("clip.mp4", "--to", "-"), "a video is written to a file"),
        (("empty.mp4", "--to", "to"), "empty.mp4 is not a video that can be read (0 bytes)"),
        (("clip.mp4", "--to", "empty.mp4/to.mp4"), "empty.mp4"),
    ],
)
def test_mistakes_are_said_in_one_sentence(
    words: tuple[str, ...],
    said: str,
    typed: Typed,
    painter_file: Path,
    clip: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "clip.mp4").symlink_to(clip)
    broken("empty", tmp_path)
    monkeypatch.chdir(tmp_path)
    status, told = typed(painter_file, *words)
    assert status == 2
    assert said in told
    assert told.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.mp4", "empty.mp4"]


def test_one_of_several_processes_does_not_paint_a_video(
    typed: Typed, painter_file: Path, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    status, told = typed(painter_file, clip, "--to", tmp_path)
    assert status == 2
    assert "leave `accelerate launch` out" in told


def test_without_pyav_it_is_said_what_to_install(
    typed: Typed, painter_file: Path, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    status, told = typed(painter_file, clip, "--to", tmp_path)
    assert status == 2
    assert "needs av" in told
    assert "pip install 'cyclestyle[video]'" in told


def test_an_animated_gif_becomes_a_video_if_it_is_to(typed: Typed, painter_file: Path, tmp_path: Path) -> None:
    pictures = [Image.fromarray(np.roll(quarters(), 4 * step, 1)) for step in range(5)]
    pictures[0].save(tmp_path / "a.gif", save_all=True, append_images=pictures[1:], duration=80)
    assert typed(painter_file, tmp_path / "a.gif", "--to", tmp_path / "a.mp4")[0] == 0
    assert times_of(tmp_path / "a.mp4") == pytest.approx([0, 0.08, 0.16, 0.24, 0.32])
