"""Both sets are found in every layout that people have; what is missing is named."""

import os
from pathlib import Path

import pytest

from cyclestyle.config import DataSettings
from cyclestyle.data.folders import Sets, find_sets, fingerprint

# Finding reads names only, so empty files will do.


def fill(folder: Path, *names: str) -> list[Path]:
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).touch()
    return [folder / name for name in names]


def test_our_layout_with_test_pictures(tmp_path: Path) -> None:
    expected = Sets(
        photos=fill(tmp_path / "photos", "1.jpg", "2.jpg"),
        paintings=fill(tmp_path / "paintings", "a.png"),
        test_photos=fill(tmp_path / "test" / "photos", "3.jpg"),
        test_paintings=fill(tmp_path / "test" / "paintings", "b.png", "c.png"),
    )
    assert find_sets(DataSettings(folder=tmp_path)) == expected


def test_our_layout_without_test_pictures(tmp_path: Path) -> None:
    photos, paintings = fill(tmp_path / "photos", "1.jpg"), fill(tmp_path / "paintings", "a.png")
    assert find_sets(DataSettings(folder=tmp_path)) == Sets(photos, paintings, [], [])


def test_kaggles_layout(tmp_path: Path) -> None:
    photos, paintings = fill(tmp_path / "photo_jpg", "1.jpg", "2.jpg"), fill(tmp_path / "monet_jpg", "a.jpg")
    fill(tmp_path / "photo_tfrec", "photo01.tfrec")
    fill(tmp_path / "monet_tfrec", "monet01.tfrec")
    assert find_sets(DataSettings(folder=tmp_path)) == Sets(photos, paintings, [], [])


def test_in_the_cyclegan_layout_a_is_the_painter(tmp_path: Path) -> None:
    """As in monet2photo: trainA holds the Monets."""
    expected = Sets(
        paintings=fill(tmp_path / "trainA", "monet.jpg"),
        photos=fill(tmp_path / "trainB", "photo.jpg"),
        test_paintings=fill(tmp_path / "testA", "monet.jpg"),
        test_photos=fill(tmp_path / "testB", "photo.jpg"),
    )
    assert find_sets(DataSettings(folder=tmp_path)) == expected


def test_two_folders_of_any_name(tmp_path: Path) -> None:
    horses, zebras = fill(tmp_path / "horses", "h.jpg"), fill(tmp_path / "zebras" / "more", "z.jpg")
    settings = DataSettings(photos=tmp_path / "horses", paintings=tmp_path / "zebras")
    assert find_sets(settings) == Sets(photos=horses, paintings=zebras, test_photos=[], test_paintings=[])


@pytest.mark.parametrize(("given", "missing"), [("photos", "paintings"), ("paintings", "photos")])
def test_one_of_two_folders_is_not_enough(tmp_path: Path, given: str, missing: str) -> None:
    fill(tmp_path / "here", "1.jpg")
    with pytest.raises(ValueError, match=rf"--data\.{given} is given without --data\.{missing}"):
        find_sets(DataSettings(**{given: tmp_path / "here"}))


def test_no_folder_at_all_says_what_to_give() -> None:
    with pytest.raises(ValueError, match=r"give --data\.folder, or --data\.photos and --data\.paintings"):
        find_sets(DataSettings())


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        find_sets(DataSettings(folder=tmp_path / "nowhere"))
    assert str(caught.value) == f"no such folder: {tmp_path / 'nowhere'}"


def test_a_folder_of_another_layout_says_what_was_looked_for_and_what_is_there(tmp_path: Path) -> None:
    fill(tmp_path / "cats", "1.jpg")
    fill(tmp_path / "trainA", "1.jpg")
    with pytest.raises(FileNotFoundError) as caught:
        find_sets(DataSettings(folder=tmp_path))
    text = str(caught.value)
    assert text.startswith(str(tmp_path))
    for known in ("paintings/ + photos/", "monet_jpg/ + photo_jpg/", "trainA/ + trainB/"):
        assert known in text
    assert "it holds cats/, trainA/" in text
    assert "\n" not in text


def test_an_empty_folder_holds_no_folders(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="it holds no folders"):
        find_sets(DataSettings(folder=tmp_path))


def test_an_empty_set_is_named(tmp_path: Path) -> None:
    fill(tmp_path / "photos", "1.jpg")
    fill(tmp_path / "paintings", "notes.txt")
    with pytest.raises(FileNotFoundError) as caught:
        find_sets(DataSettings(folder=tmp_path))
    assert str(tmp_path / "paintings") in str(caught.value)


def test_the_fingerprint_follows_names_sizes_and_order(tmp_path: Path) -> None:
    first, second = fill(tmp_path / "photos", "1.jpg", "2.jpg")
    first.write_bytes(b"abc")
    before = fingerprint([first, second])
    assert len(before) == 64
    assert fingerprint([first, second]) == before

    assert fingerprint([second, first]) != before
    assert fingerprint([first]) != before
    os.utime(first, (0, 0))
    assert fingerprint([first, second]) == before  # a date is not the picture's

    first.write_bytes(b"abcd")
    assert fingerprint([first, second]) != before
    first.write_bytes(b"abc")
    renamed = first.rename(first.with_name("0.jpg"))
    assert fingerprint([renamed, second]) != before


def test_the_fingerprint_is_the_same_in_another_place(tmp_path: Path) -> None:
    here, there = fill(tmp_path / "here", "1.jpg"), fill(tmp_path / "elsewhere" / "deep", "1.jpg")
    assert fingerprint(here) == fingerprint(there)


def test_the_fingerprint_tells_where_a_name_ends(tmp_path: Path) -> None:
    """Names and sizes run together would make `a1` with 2 bytes and `a` with 12 bytes the same."""
    (tmp_path / "a1").write_bytes(b"x" * 2)
    (tmp_path / "a").write_bytes(b"x" * 12)
    assert fingerprint([tmp_path / "a1"]) != fingerprint([tmp_path / "a"])
