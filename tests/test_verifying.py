"""What has come is opened and counted, and known again. Covers cyclestyle.data.fetching.verifying."""

import json
from pathlib import Path

import pytest
from loopback import jpeg

from cyclestyle.data.fetching.sources import USUAL
from cyclestyle.data.fetching.verifying import RECORD, SHOWN, layout_of, record, there_already, verify


def write_sets(folder: Path, names: tuple[str, ...] = ("monet_jpg", "photo_jpg"), count: int = 2) -> Path:
    for start, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            (folder / name / f"{number}.jpg").write_bytes(jpeg(100 * start + number))
    return folder


@pytest.mark.parametrize(
    ("names", "layout", "told"),
    [
        (("monet_jpg", "photo_jpg"), "Kaggle", "2 paintings, 2 photos"),
        (("paintings", "photos"), "ours", "2 paintings, 2 photos"),
        (("trainA", "trainB", "testA", "testB"), "CycleGAN", "2 paintings, 2 photos, 4 kept apart for tests"),
        (("trainA", "trainB", "testB"), "CycleGAN", "2 paintings, 2 photos, 2 kept apart for tests"),
    ],
)
def test_each_layout_is_counted_in_its_own_words(
    tmp_path: Path, names: tuple[str, ...], layout: str, told: str
) -> None:
    write_sets(tmp_path, names)
    assert layout_of(tmp_path) == (layout, {name: tmp_path / name for name in names})
    verified = verify(tmp_path)
    assert verified.counts == dict.fromkeys(names, 2)
    assert verified.told == told
    assert verified.sizes == {(256, 256): 2 * len(names)}


def test_each_picture_is_counted_once_while_it_is_opened(tmp_path: Path) -> None:
    seen: list[int] = []
    verify(write_sets(tmp_path), advance=seen.append)
    assert seen == [1, 1, 1, 1]


def test_what_cannot_be_used_is_named_with_its_reason_and_nothing_else_is(tmp_path: Path) -> None:
    photos = write_sets(tmp_path) / "photo_jpg"
    (photos / "page.jpg").write_bytes(b"<html>")
    for number in range(SHOWN):
        (photos / f"z{number:02d}.jpg").write_bytes(b"")
    verified = verify(tmp_path)
    assert verified.counts == {"monet_jpg": 2, "photo_jpg": 3 + SHOWN}
    notes = [note for note in verified.notes() if note.startswith("cannot be used")]
    assert notes[0] == f"cannot be used: {photos / 'page.jpg'}: not a picture (a web page)"
    assert notes[1] == f"cannot be used: {photos / 'z00.jpg'}: empty"
    assert notes[SHOWN:] == ["cannot be used: 1 more; `cyclestyle check` names them"]


def test_a_set_of_which_nothing_can_be_read_is_refused(tmp_path: Path) -> None:
    write_sets(tmp_path)
    for path in (tmp_path / "monet_jpg").iterdir():
        path.write_bytes(b"<html>")
    with pytest.raises(ValueError, match=r"none of the 2 pictures in monet_jpg/ can be read \(not a picture \(a web"):
        verify(tmp_path)


def test_unusual_counts_and_sizes_are_told_of_the_competitions_folders_alone(tmp_path: Path) -> None:
    first, second = write_sets(tmp_path / "one"), write_sets(tmp_path / "two", ("trainA", "trainB"))
    for folder in (first / "photo_jpg", second / "trainB"):
        (folder / "large.jpg").write_bytes(jpeg(1, (300, 200)))
    assert verify(first).notes() == [
        "not as many pictures as usual: 2 in monet_jpg/ (usual: 300), 3 in photo_jpg/ (usual: 7,028 to 7,100)",
        "1 pictures are not 256x256, as those of the competition are",
    ]
    assert verify(second).notes() == []


def test_nothing_and_an_empty_folder_are_not_there(tmp_path: Path) -> None:
    assert there_already(tmp_path / "nowhere") is None
    assert there_already(tmp_path) is None


def test_what_was_recorded_is_known_again_until_some_of_it_is_missing(tmp_path: Path) -> None:
    record(verify(write_sets(tmp_path)), "somewhere")
    assert json.loads((tmp_path / RECORD).read_text())["source"] == "somewhere"
    again = there_already(tmp_path)
    assert again is not None
    assert again.told == "2 paintings, 2 photos"
    photo = tmp_path / "photo_jpg" / "1.jpg"
    content = photo.read_bytes()
    photo.unlink()
    with pytest.raises(ValueError, match=r"holds 1 of 2 pictures in photo_jpg/; remove it, or choose another"):
        there_already(tmp_path)
    photo.write_bytes(b"")
    with pytest.raises(ValueError, match=r"holds 1 empty pictures \(1\.jpg is one\)"):
        there_already(tmp_path)
    photo.write_bytes(content)
    assert there_already(tmp_path) == again


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pictures": 3}', '{"pictures": {"monet_jpg": "many"}}'])
def test_without_a_record_the_competitions_folders_have_to_hold_as_many_as_usual(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    write_sets(tmp_path)
    (tmp_path / RECORD).write_text(content)
    with pytest.raises(ValueError, match="holds 2 of 300 pictures in monet_jpg/"):
        there_already(tmp_path)
    monkeypatch.setitem(USUAL, "monet_jpg", (2, 2))
    monkeypatch.setitem(USUAL, "photo_jpg", (2, 9))
    found = there_already(tmp_path)
    assert found is not None
    assert found.told == "2 paintings, 2 photos"


def test_somebodys_own_sets_are_there_whatever_their_number(tmp_path: Path) -> None:
    write_sets(tmp_path, ("paintings", "photos"), count=1)
    found = there_already(tmp_path)
    assert found is not None
    assert found.counts == {"paintings": 1, "photos": 1}
    (tmp_path / "paintings" / "0.jpg").unlink()
    with pytest.raises(ValueError, match="holds 0 of 1 pictures in paintings/"):
        there_already(tmp_path)


def test_anything_else_in_the_place_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ValueError, match="is not empty, and does not hold both sets of pictures; remove it"):
        there_already(tmp_path)
    for odd in (tmp_path / "file", tmp_path / "link"):
        if odd.name == "link":
            odd.symlink_to(tmp_path / "nowhere")
        with pytest.raises(ValueError, match="is there and is not a folder; choose another place with --to"):
            there_already(odd)
