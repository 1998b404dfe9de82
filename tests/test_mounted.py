"""The competition's pictures are found wherever an image mounts them (cyclestyle.competing.mounted)."""

from pathlib import Path

import pytest
from conftest import Draw

from cyclestyle.competing import mounted
from cyclestyle.competing.mounted import DEEPEST, PAINTINGS, PHOTOS, find_files, find_pictures, list_jpegs


@pytest.fixture
def put(draw: Draw) -> object:
    def make(place: Path, paintings: int = 2, photos: int = 3) -> Path:
        draw(place / PAINTINGS, paintings, suffix=".jpg")
        draw(place / PHOTOS, photos, suffix=".jpg")
        return place

    return make


@pytest.mark.parametrize("inside", [".", "gan-getting-started", "competitions/gan-getting-started", "a/b/c/d/e"])
def test_they_are_found_at_any_depth_and_counted(inside: str, put: object, tmp_path: Path) -> None:
    place = put(tmp_path / inside)  # type: ignore[operator]
    found = find_pictures(tmp_path)
    assert (found.paintings.resolve(), found.photos.resolve()) == (
        (place / PAINTINGS).resolve(),
        (place / PHOTOS).resolve(),
    )
    assert (found.painting_count, found.photo_count) == (2, 3)


def test_what_is_deeper_or_not_both_is_not_taken(put: object, tmp_path: Path, draw: Draw) -> None:
    put(tmp_path / "/".join("abcdef"))  # type: ignore[operator]
    assert DEEPEST == 5
    draw(tmp_path / "half" / PHOTOS, 2, suffix=".jpg")
    with pytest.raises(
        FileNotFoundError, match=r"no monet_jpg/ beside photo_jpg/ .* \(it holds a, half\); attach .*rules"
    ):
        find_pictures(tmp_path)


def test_of_several_the_competitions_own_is_taken_then_the_least_deep(put: object, tmp_path: Path) -> None:
    shallow, deep = put(tmp_path / "other"), put(tmp_path / "x/y/gan-getting-started")  # type: ignore[operator]
    assert find_pictures(tmp_path).photos.parent == deep
    put(tmp_path / "z/w/mine")  # type: ignore[operator]
    (deep / PAINTINGS).rename(deep / "gone")
    assert find_pictures(tmp_path).photos.parent == shallow


def test_nothing_mounted_and_no_folder_are_said(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"\(it is empty\); attach the data of the competition"):
        find_pictures(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no such folder: .*nowhere; give the one in which data are mounted"):
        find_pictures(tmp_path / "nowhere")


def test_an_empty_set_is_said(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / PAINTINGS, 1, suffix=".jpg")
    (tmp_path / PHOTOS).mkdir()
    with pytest.raises(FileNotFoundError, match="photo_jpg holds no JPEGs"):
        find_pictures(tmp_path)


def test_the_search_ends_however_many_folders_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(30):
        (tmp_path / f"folder-{number:02d}" / "inside").mkdir(parents=True)
    monkeypatch.setattr(mounted, "MOST_FOLDERS", 10)
    looked: list[Path] = []
    real = Path.iterdir
    monkeypatch.setattr(Path, "iterdir", lambda self: (looked.append(self), real(self))[1])
    with pytest.raises(FileNotFoundError):
        find_pictures(tmp_path)
    assert len(looked) <= 11


def test_links_in_a_circle_end(tmp_path: Path, put: object) -> None:
    (tmp_path / "circle").symlink_to(tmp_path, target_is_directory=True)
    place = put(tmp_path / "data")  # type: ignore[operator]
    assert find_pictures(tmp_path).photos == place / PHOTOS


def test_jpegs_alone_are_listed_and_files_are_found_by_their_ending(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / PHOTOS, 2, suffix=".jpg")
    draw(tmp_path / PHOTOS, 1, suffix=".png", seed=3)
    (tmp_path / PHOTOS / "list.csv").write_text("")
    assert [path.suffix for path in list_jpegs(tmp_path / PHOTOS)] == [".jpg", ".jpg"]
    (tmp_path / "set" / "deeper").mkdir(parents=True)
    weights = [tmp_path / "set" / "a.PTH", tmp_path / "set" / "deeper" / "b.pth"]
    for path in weights:
        path.write_bytes(b"")
    assert find_files(tmp_path, {".pth"}) == sorted(weights)
