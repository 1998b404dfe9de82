"""A folder through a painter: restartable, broken files passed over; and from photos to a submission."""

import math
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Draw
from PIL import Image
from torch import nn

from cyclestyle.config import GeneratorSettings
from cyclestyle.data.jobs import Job, jobs_for
from cyclestyle.data.submission import FEWEST, MOST
from cyclestyle.images import load, save
from cyclestyle.networks.generator import build_generator
from cyclestyle.networks.layers import initialise
from cyclestyle.networks.painter import Painter, PainterCard
from cyclestyle.processes import Processes
from cyclestyle.progress import Progress
from cyclestyle.translation import submission
from cyclestyle.translation.folder import Tally, Treatment, paint_all
from cyclestyle.translation.room import resident
from cyclestyle.translation.submission import FOR_SUBMISSION, build_submission, pictures_of, plan_submission


class Negative(nn.Module):
    """Inverts a picture; knows how many it was given at once."""

    multiple = 1

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.batches.append(len(images))
        return -images


CARD = PainterCard(direction="photo to painting", generator=GeneratorSettings(width=4, blocks=1), side=None, step=None)


def negative(digit: str = "1") -> Painter:
    return Painter(Negative(), CARD, digit * 64)


def paint(jobs: list[Job], painter: Painter, **options: object) -> Tally:
    with Progress("painting", len(jobs), unit="pictures", show=False) as progress:
        tally = paint_all(jobs, painter, "cpu", progress, **options)
        assert progress.done == len(jobs)
    return tally


def inverted(path: Path) -> bytes:
    return (255 - np.asarray(load(path))).tobytes()


@pytest.fixture
def jobs(tmp_path: Path, draw: Draw) -> list[Job]:
    draw(tmp_path / "in", 3, seed=1)
    draw(tmp_path / "in" / "sea", 2, size=(33, 20), seed=2)
    return jobs_for(tmp_path / "in", tmp_path / "out", ".png")


def test_every_photo_is_painted_at_its_own_size(jobs: list[Job]) -> None:
    tally = paint(jobs, negative())
    assert (tally.painted, tally.kept, tally.unread) == (5, 0, [])
    for job in jobs:
        assert load(job.painting).tobytes() == inverted(job.photo)
    assert load(jobs[-1].painting).size == (33, 20)


def test_a_restart_paints_only_what_is_missing(jobs: list[Job]) -> None:
    paint(jobs, negative())
    kept = {job.painting: job.painting.stat().st_mtime_ns for job in jobs[1:]}
    jobs[0].painting.unlink()
    tally = paint(jobs, negative())
    assert (tally.painted, tally.kept, tally.unread) == (1, 4, [])
    assert jobs[0].painting.exists()
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


def test_another_painter_paints_everything_again(jobs: list[Job]) -> None:
    paint(jobs, negative("1"))
    assert paint(jobs, negative("2")).painted == 5
    assert paint(jobs, negative("2")).kept == 5


def test_another_treatment_paints_everything_again(jobs: list[Job]) -> None:
    paint(jobs, negative())
    assert paint(jobs, negative(), treatment=Treatment("mirrored")).painted == 5


def test_a_changed_photo_and_a_truncated_painting_are_painted_again(jobs: list[Job]) -> None:
    paint(jobs, negative())
    save(Image.new("RGB", (24, 24), "teal"), jobs[0].photo)
    whole = jobs[3].painting.read_bytes()
    jobs[3].painting.write_bytes(whole[: len(whole) // 2])
    tally = paint(jobs, negative())
    assert (tally.painted, tally.kept) == (2, 3)
    assert load(jobs[0].painting).tobytes() == inverted(jobs[0].photo)
    assert jobs[3].painting.read_bytes() == whole


def test_unreadable_photos_are_named_and_the_others_painted(jobs: list[Job]) -> None:
    jobs[1].photo.write_bytes(b"not a picture")
    jobs[4].photo.write_bytes(jobs[3].photo.read_bytes()[:-30])
    jobs[0].photo.unlink()
    for batch in (1, 4):
        tally = paint(jobs, negative(str(batch)), batch=batch)
        assert tally.painted == 2
        assert [str(jobs[place].photo) in said for place, said in zip((0, 1, 4), tally.unread, strict=True)] == [
            True
        ] * 3
        assert [job.painting.exists() for job in jobs] == [False, False, True, True, False]


def test_pictures_of_one_size_are_painted_together_but_on_a_cpu_one_by_one(
    jobs: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = negative("1")
    paint(jobs, alone, batch=2)
    assert alone.network.batches == [1] * 5
    monkeypatch.setattr("cyclestyle.networks.painter.ONE_BY_ONE", frozenset())
    together = negative("2")
    paint(jobs, together, batch=2)
    assert together.network.batches == [2, 1, 2]  # three of one size, two of another


def test_pictures_are_the_same_however_many_are_painted_at_once(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "in", 5, size=(40, 28), seed=3)
    draw(tmp_path / "in" / "tall", 3, size=(19, 50), seed=4)
    painted = {}
    for batch in (1, 4):
        jobs = jobs_for(tmp_path / "in", tmp_path / f"out-{batch}", ".png")
        assert paint(jobs, small_painter(), batch=batch).painted == 8
        painted[batch] = [np.asarray(load(job.painting)).astype(int) for job in jobs]
    for one, four in zip(painted[1], painted[4], strict=True):
        assert np.array_equal(one, four)
        assert one.std() > 3  # there is something to see


def test_where_a_batch_is_too_much_for_a_gpu_pictures_are_painted_one_by_one(
    tmp_path: Path, draw: Draw, capsys: pytest.CaptureFixture[str]
) -> None:
    """Which is said once, and not tried again with as many."""
    tried: list[int] = []

    class Small(Painter):
        def __call__(self, images: torch.Tensor) -> torch.Tensor:
            tried.append(len(images))
            if len(images) > 1:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super().__call__(images)

    draw(tmp_path / "in", 7)
    jobs = jobs_for(tmp_path / "in", tmp_path / "out", ".png")
    with Progress("painting", len(jobs), unit="pictures", show=True) as progress:
        assert paint_all(jobs, Small(Negative(), CARD, "1" * 64), "cpu", progress, batch=3).painted == 7
    assert tried == [3, *[1] * 7]
    assert capsys.readouterr().err.count("3 pictures at once are too much for the memory: one by one") == 1
    for job in jobs:
        assert load(job.painting).tobytes() == inverted(job.photo)


def test_too_little_memory_to_compare_with_fp32_costs_the_comparison_alone(
    jobs: list[Job], capsys: pytest.CaptureFixture[str]
) -> None:
    class Exact(Painter):
        calls = 0

        def __call__(self, images: torch.Tensor) -> torch.Tensor:
            Exact.calls += 1
            raise torch.OutOfMemoryError("CUDA out of memory")

    painter = negative()
    with Progress("painting", len(jobs), unit="pictures", show=True) as progress:
        tally = paint_all(jobs, painter, "cpu", progress, batch=3, exact=Exact(Negative(), CARD, "1" * 64))
    assert (tally.painted, Exact.calls) == (5, 1)
    assert painter.network.batches == [1] * 5
    assert "too little memory to compare with fp32" in capsys.readouterr().err


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu_each_file_holds_its_own_painting(tmp_path: Path, draw: Draw) -> None:
    """Batches are on their way there and back at the same time."""
    draw(tmp_path / "in", 23, size=(40, 28), seed=3)
    painter, made = small_painter(), {}
    for device in ("cpu", "cuda"):
        jobs = jobs_for(tmp_path / "in", tmp_path / device, ".png")
        painter.network.to(device)
        with Progress("painting", len(jobs), unit="pictures", show=False) as progress:
            assert paint_all(jobs, painter, device, progress, batch=4).painted == 23
        made[device] = [np.asarray(load(job.painting)).astype(int) for job in jobs]
    for one, other in zip(made["cpu"], made["cuda"], strict=True):
        assert np.abs(one - other).max() <= 1


def small_painter(seed: int = 5) -> Painter:
    generator = build_generator(CARD.generator)
    initialise(generator, torch.Generator().manual_seed(seed), deviation=0.1)
    return Painter(generator.eval(), CARD, "0" * 64)


def test_files_do_not_depend_on_threads(tmp_path: Path, draw: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    draw(tmp_path / "in", 9, size=(40, 28), seed=3)
    found = []
    for threads in (1, 5):
        monkeypatch.setattr("cyclestyle.pipeline.threads_here", lambda threads=threads: threads)
        jobs = jobs_for(tmp_path / "in", tmp_path / f"out-{threads}", ".jpg")
        assert paint(jobs, small_painter()).painted == 9
        found.append([job.painting.read_bytes() for job in jobs])
    assert found[0] == found[1]
    assert len(set(found[0])) == 9


def test_another_precision_paints_again_and_says_how_far_it_is_from_fp32(
    tmp_path: Path, draw: Draw, capsys: pytest.CaptureFixture[str]
) -> None:
    draw(tmp_path / "in", 3, size=(32, 32), seed=3)
    jobs = jobs_for(tmp_path / "in", tmp_path / "out", ".png")
    exact = small_painter()
    half = exact.rounded("bf16")
    for painter in (exact, half, exact):
        with Progress("painting", len(jobs), unit="pictures") as progress:
            assert paint_all(jobs, painter, "cpu", progress, exact=exact).painted == 3
        said = re.findall(
            r"bf16 against fp32, measured on the first painting: [\d.]+ dB PSNR, [\d.]+ of 255 levels on average",
            capsys.readouterr().err,
        )
        assert len(said) == (painter is half)
        assert paint(jobs, painter).kept == 3


def test_what_is_no_picture_is_not_written(jobs: list[Job]) -> None:
    class Burst(Negative):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return super().forward(images) * (math.inf if len(self.batches) == 2 else 1)

    with pytest.raises(ValueError, match=r"picture-01\.png in fp32 gives values that are no numbers; the painter is"):
        paint_all(jobs, Painter(Burst(), CARD, "1" * 64), "cpu", Progress("", 5, unit="", show=False))
    assert [job.painting.exists() for job in jobs] == [True, False, False, False, False]


def test_a_file_that_cannot_be_written_ends_it_with_its_name(jobs: list[Job]) -> None:
    jobs[1].painting.mkdir(parents=True)
    with pytest.raises(OSError, match=r"picture-01\.png"):
        paint_all(jobs, negative(), "cpu", Progress("", 5, unit="", show=False))
    assert not list(jobs[0].painting.parent.rglob(".part-*"))


# Submissions.


def submit(photos: Path, to: Path, painter: Painter) -> object:
    jobs = plan_submission(photos, to, practice=True)
    return build_submission(jobs, painter, to, Processes.join(), batch=1, practice=True)


def members(to: Path) -> dict[str, Image.Image]:
    with zipfile.ZipFile(to) as archive:
        found = {}
        for name in archive.namelist():
            with archive.open(name) as file, Image.open(file) as picture:
                found[name] = picture.convert("RGB")
    return found


def test_a_submission_holds_square_paintings_of_256_and_nothing_is_left_beside_it(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "photos", 2, size=(300, 260), seed=1)
    draw(tmp_path / "photos" / "small", 1, size=(50, 30), seed=2)
    report = submit(tmp_path / "photos", tmp_path / "out" / "images.zip", negative())
    assert (report.count, report.practice) == (3, True)
    pictures = members(tmp_path / "out" / "images.zip")
    assert {picture.size for picture in pictures.values()} == {(256, 256)}
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["images.zip"]


def test_small_photos_are_painted_as_they_are_and_enlarged_afterwards(tmp_path: Path) -> None:
    shrink, enlarge = FOR_SUBMISSION.before, FOR_SUBMISSION.after
    assert shrink(Image.new("RGB", (50, 30))).size == (30, 30)
    assert shrink(Image.new("RGB", (300, 400))).size == (256, 256)
    assert shrink(Image.new("RGB", (300, 200))).size == (200, 200)
    assert enlarge(Image.new("RGB", (30, 30))).size == (256, 256)
    square = Image.effect_noise((256, 256), 50).convert("RGB")
    assert shrink(square).tobytes() == enlarge(square).tobytes() == square.tobytes()


def test_a_stopped_submission_goes_on_and_gives_the_same_bytes(
    tmp_path: Path, draw: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = tmp_path / "photos"
    draw(photos, 4, seed=1)
    submit(photos, tmp_path / "whole.zip", negative())
    to, painter, calls = tmp_path / "stopped.zip", negative(), []

    def stop(images: torch.Tensor) -> torch.Tensor:
        calls.append(len(images))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return -images

    monkeypatch.setattr(painter.network, "forward", stop)
    with pytest.raises(KeyboardInterrupt):
        submit(photos, to, painter)
    assert not to.exists()
    assert len(list(pictures_of(to).iterdir())) == 2
    submit(photos, to, painter)
    assert len(calls) == 5  # four pictures, one of them twice
    assert to.read_bytes() == (tmp_path / "whole.zip").read_bytes()
    assert not pictures_of(to).exists()


def test_a_submission_stopped_among_the_photos_does_not_take_its_own_pictures_for_photos(
    tmp_path: Path, draw: Draw
) -> None:
    draw(tmp_path, 3, seed=1)
    to = tmp_path / "images.zip"
    first = plan_submission(tmp_path, to, practice=True)
    paint(first[:2], negative(), treatment=FOR_SUBMISSION)  # and then it was stopped
    assert plan_submission(tmp_path, to, practice=True) == first


def test_an_unreadable_photo_is_left_out_and_named(
    tmp_path: Path, draw: Draw, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = draw(tmp_path / "photos", 3, seed=1)
    photos[1].write_bytes(b"")
    report = submit(tmp_path / "photos", tmp_path / "images.zip", negative())
    assert report.count == 2
    assert "passed over" in capsys.readouterr().err
    assert set(members(tmp_path / "images.zip")) == {"picture-00.jpg", "picture-02.jpg"}


def test_too_few_and_too_many_photos_are_refused_before_anything_is_painted(
    tmp_path: Path, draw: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw(tmp_path, 3)
    with pytest.raises(ValueError, match=rf"holds 3 pictures.*{FEWEST:,} to {MOST:,}.*--practice"):
        plan_submission(tmp_path, tmp_path / "images.zip", practice=False)
    assert len(plan_submission(tmp_path, tmp_path / "images.zip", practice=True)) == 3
    monkeypatch.setattr(submission, "MOST", 2)
    for practice in (True, False):
        with pytest.raises(ValueError, match="holds 3 pictures; the competition takes at most 2"):
            plan_submission(tmp_path, tmp_path / "images.zip", practice=practice)


# As strong as wanted, with all that the photo's file says.


def as_files(tmp_path: Path, name: str, **options: object) -> Path:
    """A photo with a record and a hole, painted."""
    photo, painting = tmp_path / "photo.png", tmp_path / name
    picture, exif = Image.effect_noise((40, 30), 90).convert("RGBA"), Image.Exif()
    picture.putalpha(Image.linear_gradient("L").resize((40, 30)))
    exif[271], exif[274] = "Camera", 6
    picture.save(photo, exif=exif)
    assert paint([Job(photo, painting)], small_painter(), treatment=Treatment(**options)).painted == 1
    return painting


def test_what_a_photo_s_file_says_goes_along_if_it_should(tmp_path: Path) -> None:
    for suffix, mode in (("png", "RGBA"), ("webp", "RGBA"), ("tif", "RGBA"), ("jpg", "RGB")):
        with Image.open(as_files(tmp_path, f"kept.{suffix}", keep_record=True)) as painting:
            assert (painting.mode, painting.size) == (mode, (30, 40))
            assert painting.getexif()[271] == "Camera"
            assert painting.getexif().get(274, 1) == 1
            if mode == "RGBA":
                assert painting.getchannel("A").getextrema()[0] < 10
    with Image.open(as_files(tmp_path, "bare.png")) as painting:
        assert (painting.mode, 271 in painting.getexif()) == ("RGB", False)


def test_strength_and_colour_are_told_apart_and_the_same_again_is_kept(jobs: list[Job]) -> None:
    found = []
    for options in ({}, {"strength": 0.5}, {"keep_colour": True}, {"strength": 0.5, "keep_colour": True}):
        assert paint(jobs, small_painter(), treatment=Treatment(**options)).painted == 5
        assert paint(jobs, small_painter(), treatment=Treatment(**options)).kept == 5
        found.append(jobs[0].painting.read_bytes())
    assert len(set(found)) == 4
    assert paint(jobs, small_painter(), treatment=Treatment(strength=0)).painted == 5
    assert [load(job.painting).tobytes() for job in jobs] == [load(job.photo).tobytes() for job in jobs]


def test_one_after_the_other_and_in_tiles_the_paintings_are_the_same(
    jobs: list[Job], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    paint(jobs, small_painter())
    expected = [np.asarray(load(job.painting)).astype(int) for job in jobs]
    for job in jobs:
        job.painting.unlink()
    monkeypatch.setattr("cyclestyle.translation.whole.at_once", lambda *given, **named: 1 << 60)
    with Progress("painting", len(jobs), unit="pictures") as progress:
        assert paint_all(jobs, small_painter(), "cpu", progress, max_memory=1 << 40).painted == 5
    assert capsys.readouterr().err.count("painted in tiles, to the same picture") == 5
    for job, whole in zip(jobs, expected, strict=True):
        assert np.abs(np.asarray(load(job.painting)) - whole).max() <= 1
    assert paint(jobs, small_painter()).kept == 5  # how much memory there was is no reason to paint again


def test_photos_too_large_for_the_memory_are_named_and_the_others_painted(jobs: list[Job]) -> None:
    Image.new("RGB", (9_000, 9_000)).save(jobs[1].photo, compress_level=1)
    tally = paint(jobs, small_painter(), max_memory=resident() + (1 << 30))
    assert tally.painted == 4
    assert "picture-01.png takes" in tally.unread[0]
    assert "--max-memory" in tally.unread[0]


def test_a_photo_too_long_for_the_format_is_named(jobs: list[Job], tmp_path: Path) -> None:
    Image.new("RGB", (17_000, 1)).save(jobs[0].photo)
    tally = paint([Job(jobs[0].photo, tmp_path / "long.webp")], negative())
    assert tally.painted == 0
    assert "webp takes at most 16,383 a side" in tally.unread[0]
