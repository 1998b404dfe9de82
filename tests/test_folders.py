"""Both sets are found in every layout that people have; what is missing is named."""

from pathlib import Path

import pytest

from cyclestyle.config import DataSettings
from cyclestyle.data.folders import Sets, find_roots, find_sets, require_apart

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


def test_the_folder_of_each_set_is_told_also_where_nothing_lies_in_it(tmp_path: Path) -> None:
    for name in ("photos", "paintings", "test/photos"):
        (tmp_path / name).mkdir(parents=True)
    roots = {"photos": tmp_path / "photos", "paintings": tmp_path / "paintings"}
    assert find_roots(DataSettings(folder=tmp_path)) == roots | {"test photos": tmp_path / "test" / "photos"}
    assert find_roots(DataSettings(**roots)) == roots


def test_a_test_folder_with_nothing_in_it_is_no_test_set(tmp_path: Path) -> None:
    photos, paintings = fill(tmp_path / "photos", "1.jpg"), fill(tmp_path / "paintings", "a.png")
    fill(tmp_path / "test" / "photos", "notes.txt")
    found = find_sets(DataSettings(folder=tmp_path))
    assert found == Sets(photos, paintings, [], [])
    assert found.roots["test photos"] == tmp_path / "test" / "photos"


@pytest.mark.parametrize(("photos", "paintings"), [("all", "all"), ("all", "all/monet"), ("all/photos", "all/./")])
def test_a_set_that_holds_the_other_one_is_refused(tmp_path: Path, photos: str, paintings: str) -> None:
    """Sub-folders belong to a set, so these pictures would be learnt from as both."""
    for name in ("all/monet", "all/photos", "all-of-them"):
        (tmp_path / name).mkdir(parents=True)
    with pytest.raises(ValueError, match=r"give (the folder of each|folders side by side)"):
        require_apart(find_roots(DataSettings(photos=tmp_path / photos, paintings=tmp_path / paintings)))
    require_apart(find_roots(DataSettings(photos=tmp_path / "all", paintings=tmp_path / "all-of-them")))
