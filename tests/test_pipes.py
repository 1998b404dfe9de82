"""`-` is standard input as a photo and standard output as a painting, and nothing else is written there."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from test_streaming import KINDS, a_painter, noise

from cyclestyle.commands.translate import translate
from cyclestyle.data.jobs import Job
from cyclestyle.networks.painter import save_painter
from cyclestyle.translation.pipes import jobs_and_pipes


@pytest.fixture(scope="module")
def painter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made, path = a_painter(KINDS["resnet"]), tmp_path_factory.mktemp("painter") / "paint.safetensors"
    save_painter(made.network, made.card, path)
    return path


def command(painter: Path, *words: object, photo: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        [sys.executable, "-m", "cyclestyle", "translate", str(painter), *map(str, words)],
        input=photo,
        capture_output=True,
        check=False,
    )


def stored(picture: Image.Image, format: str = "PNG") -> bytes:
    file = io.BytesIO()
    picture.save(file, format)
    return file.getvalue()


@pytest.mark.usefixtures("fresh_accelerate")
def test_a_photo_is_painted_on_its_way_through(painter: Path, tmp_path: Path) -> None:
    photo = stored(noise(30, 20))
    ran = command(painter, "-", "--to", "-", "--format", "webp", photo=photo)
    assert ran.returncode == 0, ran.stderr
    with Image.open(io.BytesIO(ran.stdout)) as piped:
        assert (piped.format, piped.size) == ("WEBP", (30, 20))
    assert b"1 painted: -" in ran.stderr
    (tmp_path / "photo.png").write_bytes(photo)
    translate(painter, tmp_path / "photo.png", to=tmp_path / "painting.webp")
    assert (tmp_path / "painting.webp").read_bytes() == ran.stdout


@pytest.mark.slow
def test_what_is_no_picture_is_told_of_and_nothing_is_written(painter: Path) -> None:
    ran = command(painter, "-", "--to", "-", photo=stored(noise(30, 20))[:-60])
    assert ran.returncode == 2
    assert ran.stdout == b""
    last = ran.stderr.splitlines()[-1]
    assert last.startswith(b"error: 1 of 1 photos were passed over: standard input ")
    assert b"cannot be read" in last
    assert b"Traceback" not in ran.stderr


class Pipe(io.BytesIO):
    """Stands for one of the process's own."""

    def __init__(self, content: bytes = b"", *, terminal: bool = False) -> None:
        super().__init__(content)
        self.buffer, self.terminal = self, terminal

    def isatty(self) -> bool:
        return self.terminal


def lay_pipes(monkeypatch: pytest.MonkeyPatch) -> tuple[Pipe, Pipe]:
    """In a test itself: pytest lays its own between the fixtures and the test."""
    found = Pipe(b"a photo"), Pipe()
    monkeypatch.setattr(sys, "stdin", found[0])
    monkeypatch.setattr(sys, "stdout", found[1])
    return found


def test_files_stand_in_for_pipes_and_are_gone_afterwards(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pipes = lay_pipes(monkeypatch)
    with jobs_and_pipes(Path("-"), Path("-"), ".png") as jobs:
        (job,) = jobs
        assert job.photo.read_bytes() == b"a photo"
        assert job.painting.suffix == ".png"
        job.painting.write_bytes(b"a painting")
        assert pipes[1].getvalue() == b""
    assert pipes[1].getvalue() == b"a painting"
    assert not job.photo.parent.exists()


@pytest.mark.parametrize(("to", "name"), [("out", "out/painting.png"), ("out.jpg", "out.jpg")])
def test_what_came_without_a_name_is_given_one(
    to: str, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pipes = lay_pipes(monkeypatch)
    with jobs_and_pipes(Path("-"), tmp_path / to, ".png") as jobs:
        assert [job.painting for job in jobs] == [tmp_path / name]
    assert pipes[1].getvalue() == b""


def test_without_a_dash_nothing_is_piped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pipes = lay_pipes(monkeypatch)
    (tmp_path / "a.jpg").touch()
    with jobs_and_pipes(tmp_path / "a.jpg", tmp_path / "out", ".png") as jobs:
        assert jobs == [Job(tmp_path / "a.jpg", tmp_path / "out" / "a.png")]
    assert pipes[0].read() == b"a photo"


def test_what_cannot_be_piped_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pipes = lay_pipes(monkeypatch)

    def refused(photos: Path, to: Path, said: str) -> None:
        with pytest.raises(ValueError, match=said), jobs_and_pipes(photos, to, ".png"):
            pass

    refused(tmp_path, Path("-"), "--to - is for one painting, and .* is a folder")
    pipes[0].terminal = True
    refused(Path("-"), tmp_path / "out", "nothing is piped in; type")
    pipes[0].terminal, pipes[1].terminal = False, True
    refused(Path("-"), Path("-"), "a picture is nothing for a terminal; add `> painting.png`")
    monkeypatch.setenv("WORLD_SIZE", "2")
    refused(Path("-"), tmp_path / "out", "leave `accelerate launch` out")
    assert os.listdir(tmp_path) == []  # noqa: PTH208
