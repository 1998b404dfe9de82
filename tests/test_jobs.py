"""Which picture goes where: the tree is kept, no painting takes the place of another one or of a photo."""

import shutil
from pathlib import Path

import pytest
from conftest import Draw
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image
from torch import nn

from cyclestyle.config import GeneratorSettings
from cyclestyle.data.jobs import Job, is_done, jobs_for, mark, refuse_unread
from cyclestyle.images import save
from cyclestyle.networks.painter import Painter, PainterCard
from cyclestyle.translation.folder import description

CARD = PainterCard(direction="photo to painting", generator=GeneratorSettings(), side=None, step=None)
ONE, OTHER = (Painter(nn.Identity(), CARD, digit * 64) for digit in "12")


def touched(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def paintings(jobs: list[Job], to: Path) -> dict[str, str]:
    """Names of paintings by names of photos."""
    return {job.photo.name: job.painting.relative_to(to).as_posix() for job in jobs}


def test_the_tree_is_kept(tmp_path: Path) -> None:
    touched(tmp_path / "in", "a.jpg", "sea/b.PNG", "sea/deep/c.webp", "sea/.hidden.jpg", "notes.txt")
    jobs = jobs_for(tmp_path / "in", tmp_path / "out", ".png")
    assert jobs == [
        Job(tmp_path / "in" / "a.jpg", tmp_path / "out" / "a.png"),
        Job(tmp_path / "in" / "sea" / "b.PNG", tmp_path / "out" / "sea" / "b.png"),
        Job(tmp_path / "in" / "sea" / "deep" / "c.webp", tmp_path / "out" / "sea" / "deep" / "c.png"),
    ]


def test_photos_that_differ_in_their_suffix_only_keep_it(tmp_path: Path) -> None:
    touched(tmp_path / "in", "a.jpg", "a.png", "A.webp", "b.jpg", "sea/a.jpg", "view.from.above.jpg", "view.from.jpg")
    assert {
        path.relative_to(tmp_path / "in").as_posix(): to.relative_to(tmp_path / "out").as_posix()
        for path, to in ((job.photo, job.painting) for job in jobs_for(tmp_path / "in", tmp_path / "out", ".jpg"))
    } == {
        "A.webp": "A-webp.jpg",
        "a.jpg": "a-jpg.jpg",
        "a.png": "a-png.jpg",
        "b.jpg": "b.jpg",
        "sea/a.jpg": "sea/a.jpg",
        "view.from.above.jpg": "view.from.above.jpg",
        "view.from.jpg": "view.from.jpg",
    }


NAMES = st.sampled_from(["a", "A", "b", "a-jpg", "a-png", "a-jpg-jpg", "a.jpg", "sea/a", "sea/a-jpg"])


@settings(max_examples=150, deadline=None)
@given(names=st.sets(st.tuples(NAMES, st.sampled_from([".jpg", ".png", ".JPG"])), min_size=1, max_size=6))
def test_no_two_photos_are_painted_into_one_file(
    names: set[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("photos")
    touched(folder, *(stem + suffix for stem, suffix in names))
    found: set[Path] | None
    try:
        found = {job.painting for job in jobs_for(folder, folder.parent / "out", ".png")}
    except ValueError:
        found = None  # it may refuse, never overwrite
    shutil.rmtree(folder)
    assert found is None or len(found) == len(names)


def test_names_that_would_still_collide_are_refused_by_name(tmp_path: Path) -> None:
    touched(tmp_path / "in", "a.jpg", "a.png", "a-jpg.webp")
    with pytest.raises(ValueError, match=r"a-jpg\.webp and .*a\.jpg would both be painted into .*rename"):
        jobs_for(tmp_path / "in", tmp_path / "out", ".png")


def test_a_single_photo_goes_to_a_file_or_into_a_folder(tmp_path: Path) -> None:
    touched(tmp_path, "in/a.jpg")
    photo = tmp_path / "in" / "a.jpg"
    for to, painting in (
        ("out.webp", "out.webp"),
        ("new/OUT.PNG", "new/OUT.PNG"),
        ("folder", "folder/a.png"),
        ("in.b", "in.b/a.png"),  # no picture's name, so a folder's
    ):
        assert jobs_for(photo, tmp_path / to, ".png") == [Job(photo, tmp_path / painting)]
    (tmp_path / "strange.png").mkdir()
    assert jobs_for(photo, tmp_path / "strange.png", ".png") == [Job(photo, tmp_path / "strange.png" / "a.png")]


def test_a_folder_cannot_go_to_a_file(tmp_path: Path) -> None:
    touched(tmp_path, "in/a.jpg", "file")
    with pytest.raises(ValueError, match=r"out\.png is the name of a picture, but .* is not a single one"):
        jobs_for(tmp_path / "in", tmp_path / "out.png", ".png")
    for photos in (tmp_path / "in", tmp_path / "in" / "a.jpg"):
        with pytest.raises(ValueError, match="is a file that is there already"):
            jobs_for(photos, tmp_path / "file", ".png")


def test_paintings_below_the_photos_are_not_painted_again(tmp_path: Path) -> None:
    touched(tmp_path, "a.jpg", "painted/a.png", "painted/deep/b.png", "painted-before/c.jpg")
    assert paintings(jobs_for(tmp_path, tmp_path / "painted", ".png"), tmp_path / "painted") == {
        "a.jpg": "a.png",
        "c.jpg": "painted-before/c.png",
    }


def test_the_same_folder_is_refused_however_it_is_spelled(tmp_path: Path) -> None:
    touched(tmp_path, "in/a.jpg", "in/deep/b.jpg")
    (tmp_path / "link").symlink_to(tmp_path / "in")
    for to in (tmp_path / "in", tmp_path / "in" / "deep" / "..", tmp_path / "link"):
        with pytest.raises(ValueError, match=r"would replace the photos.*--to"):
            jobs_for(tmp_path / "in", to, ".jpg")


@pytest.mark.parametrize("to", [".", "a.png", "link", "link/a.png"])
def test_a_single_photo_is_never_painted_over_itself(to: str, tmp_path: Path) -> None:
    touched(tmp_path / "in", "a.png")
    (tmp_path / "in" / "link").symlink_to(tmp_path / "in")
    with pytest.raises(ValueError, match=r"would replace the photo.*--to"):
        jobs_for(tmp_path / "in" / "a.png", tmp_path / "in" / to, ".png")


def test_no_photos_and_no_folder_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such picture or folder"):
        jobs_for(tmp_path / "nowhere", tmp_path / "out", ".png")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="no pictures below"):
        jobs_for(tmp_path / "empty", tmp_path / "out", ".png")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_a_painting_says_how_it_was_made_and_that_is_read_again(suffix: str, tmp_path: Path, draw: Draw) -> None:
    photo, another = draw(tmp_path, 2)
    painting = tmp_path / f"painting{suffix}"
    made = mark(description(ONE, photo, "square 256"))
    assert made[ExifTags.Base.Software] == "cyclestyle"
    assert not is_done(painting, made)
    save(Image.new("RGB", (9, 7), "teal"), painting, exif=made)
    assert is_done(painting, made)
    assert is_done(painting, mark(description(ONE, photo, "square 256")))
    assert not is_done(painting, mark(description(OTHER, photo, "square 256")))
    assert not is_done(painting, mark(description(ONE, another, "square 256")))
    assert not is_done(painting, mark(description(ONE, photo, "")))
    photo.write_bytes(another.read_bytes())  # the same name, another content
    assert not is_done(painting, mark(description(ONE, photo, "square 256")))


def test_a_painting_cut_short_or_of_others_is_not_done(tmp_path: Path, draw: Draw) -> None:
    (photo,) = draw(tmp_path, 1)
    painting, made = tmp_path / "painting.png", mark(description(ONE, photo, ""))
    save(Image.effect_noise((64, 64), 80).convert("RGB"), painting, exif=made)
    whole = painting.read_bytes()
    for length in (0, 10, len(whole) // 2, len(whole) - 100):
        painting.write_bytes(whole[:length])
        assert not is_done(painting, made)
    save(Image.new("RGB", (9, 7)), painting)
    assert not is_done(painting, made)


@pytest.mark.parametrize("name", ["monet.gif", "monet.HEIC", "monet.bmp", "monet.jgp", "monet.jpgg"])
def test_a_format_that_is_not_written_makes_no_folder_of_that_name(name: str, tmp_path: Path, draw: Draw) -> None:
    [photo] = draw(tmp_path / "photos", 1)
    with pytest.raises(ValueError, match=rf"{name}: .* is not written; give \.jpeg, \.jpg, "):
        jobs_for(photo, tmp_path / name, ".png")
    (tmp_path / name).mkdir()  # which settles it
    assert jobs_for(photo, tmp_path / name, ".png") == [Job(photo, tmp_path / name / photo.name)]


def test_a_folder_may_have_a_dot_in_its_name(tmp_path: Path, draw: Draw) -> None:
    [photo] = draw(tmp_path / "photos", 1)
    for name in ("monet-1.5", "2026.11.23", "run.v2"):
        assert jobs_for(photo, tmp_path / name, ".png") == [Job(photo, tmp_path / name / photo.name)]
    assert jobs_for(photo.parent, tmp_path / "photos.old", ".png") == [Job(photo, tmp_path / "photos.old" / photo.name)]
    with pytest.raises(ValueError, match="is not written"):
        jobs_for(photo.parent, tmp_path / "photos.gif", ".png")


def test_of_many_photos_that_were_passed_over_the_first_are_named() -> None:
    refuse_unread([], 3)
    with pytest.raises(ValueError, match=r"^2 of 3 photos were passed over: a; b$"):
        refuse_unread(["a", "b"], 3)
    with pytest.raises(ValueError, match=r"^1,000 of 2,000 photos were passed over: x; x; x; x; x; and 995 more$"):
        refuse_unread(["x"] * 1000, 2000)
