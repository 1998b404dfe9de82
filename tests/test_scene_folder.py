"""Folders of scenes: nothing of somebody else's gets mixed into a set."""

from pathlib import Path

import pytest

from cyclestyle.data.scenes.folder import SceneFolder, write_scenes

FEW = SceneFolder(seed=0, size=16, photos=2, paintings=1, test=1)


def test_a_picture_that_is_no_scene_is_refused_by_name_and_kept(tmp_path: Path) -> None:
    stranger = tmp_path / "photos" / "mine.png"
    stranger.parent.mkdir()
    stranger.write_bytes(b"mine")
    with pytest.raises(ValueError, match=r"mine\.png is not one of these scenes"):
        list(write_scenes(tmp_path, FEW))
    assert stranger.read_bytes() == b"mine"


def test_scenes_that_are_missing_from_a_complete_folder_are_drawn_again(tmp_path: Path) -> None:
    list(write_scenes(tmp_path, FEW))
    gone = tmp_path / "photos" / "scene-00001.png"
    before = gone.read_bytes()
    gone.unlink()
    list(write_scenes(tmp_path, FEW))
    assert gone.read_bytes() == before


@pytest.mark.parametrize("content", [b"{", b"", b"\xff\xfe\x00", b"[1]"])
def test_a_damaged_record_is_refused_by_its_name(content: bytes, tmp_path: Path) -> None:
    list(write_scenes(tmp_path, FEW))
    (tmp_path / "scenes.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"holds other scenes \(.*scenes\.json\); remove it"):
        list(write_scenes(tmp_path, FEW))


def test_a_folder_of_other_scenes_is_refused(tmp_path: Path) -> None:
    list(write_scenes(tmp_path, FEW))
    with pytest.raises(ValueError, match="holds other scenes"):
        list(write_scenes(tmp_path, SceneFolder(seed=1, size=16, photos=2, paintings=1, test=1)))
