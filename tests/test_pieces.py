"""What is kept of a video that was stopped: `cyclestyle.video.pieces`."""

import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from cyclestyle.video.pieces import Pieces, pieces_of

FACTS = {"painter": "a", "version": 1}


class StoppedError(Exception):
    """In place of a kill."""


def begin(to: Path, count: int, facts: dict[str, object] = FACTS) -> Path:
    """Some pieces of three frames each, and a stop."""
    with suppress(StoppedError), pieces_of(to, facts) as pieces:
        for number in range(count):
            pieces.next_video().write_bytes(b"video")
            times = [3 * number, 3 * number + 1, 3 * number + 2]
            before = {"photo": np.full((2, 2), number), "painted": np.zeros(3), "steadied": np.ones(3) / 3}
            pieces.add(times, 1, {"trust": number / 3}, before)
        raise StoppedError
    return pieces.folder


def found(to: Path, facts: dict[str, object] = FACTS) -> Pieces:
    with pytest.raises(StoppedError), pieces_of(to, facts) as pieces:
        raise StoppedError
    return pieces


def test_what_was_finished_is_found_again(tmp_path: Path) -> None:
    begin(tmp_path / "a.mp4", 3)
    pieces = found(tmp_path / "a.mp4")
    assert [video.name for video in pieces.videos] == ["000000.mkv", "000001.mkv", "000002.mkv"]
    assert pieces.times == list(range(9))
    assert (pieces.last, pieces.memory) == (1, {"trust": 2 / 3})
    assert (pieces.before["photo"] == 2).all()
    assert (pieces.before["steadied"] == np.ones(3) / 3).all()


def test_only_the_last_frame_is_remembered(tmp_path: Path) -> None:
    folder = begin(tmp_path / "a.mp4", 3)
    assert [path.name for path in folder.glob("*.npz")] == ["000002.npz"]


def test_a_piece_without_its_record_does_not_count(tmp_path: Path) -> None:
    folder = begin(tmp_path / "a.mp4", 2)
    (folder / "000002.mkv").write_bytes(b"half")
    assert len(found(tmp_path / "a.mp4").videos) == 2


def test_nothing_is_left_when_all_is_done(tmp_path: Path) -> None:
    begin(tmp_path / "a.mp4", 2)
    with pieces_of(tmp_path / "a.mp4", FACTS):
        pass
    assert list(tmp_path.iterdir()) == []


def test_other_facts_begin_anew(tmp_path: Path) -> None:
    begin(tmp_path / "a.mp4", 2)
    assert found(tmp_path / "a.mp4", {**FACTS, "painter": "b"}).videos == []
    assert found(tmp_path / "a.mp4").videos == []  # those of the first are gone


def test_two_videos_do_not_meet(tmp_path: Path) -> None:
    begin(tmp_path / "a.mp4", 2)
    assert found(tmp_path / "b.mp4").videos == []
    assert len(found(tmp_path / "a.mp4").videos) == 2


@pytest.mark.parametrize("name", ["000000.mkv", "000001.mkv", "000001.npz", "000001.json", "facts.json"])
@pytest.mark.parametrize("how", ["cut", "other", "empty", "list", "flipped"])
def test_what_was_damaged_is_made_anew(name: str, how: str, tmp_path: Path) -> None:
    folder = begin(tmp_path / "a.mp4", 2)
    content = (folder / name).read_bytes()
    middle = len(content) // 2
    flipped = content[:middle] + bytes([content[middle] ^ 0x41]) + content[middle + 1 :]
    damaged = {"cut": content[:-2], "other": b"\x00\xff damaged", "empty": b"", "list": b"[]", "flipped": flipped}[how]
    (folder / name).write_bytes(damaged)
    pieces = found(tmp_path / "a.mp4")
    assert pieces.videos == pieces.times == []
    assert pieces.before == {}


def test_two_processes_do_not_paint_one_video(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from cyclestyle.video.pieces import pieces_of\n"
        f"with pieces_of(Path(sys.argv[1]), {json.loads(json.dumps(FACTS))}): print('ready', flush=True); input()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, tmp_path / "a.mp4"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdin is not None
    assert other.stdout is not None
    assert other.stdout.readline() == "ready\n"
    with pytest.raises(ValueError, match="another process is painting"), pieces_of(tmp_path / "a.mp4", FACTS):
        pass
    other.communicate("\n")
    assert other.returncode == 0
    assert list(tmp_path.iterdir()) == []


def test_a_name_as_long_as_names_can_be(tmp_path: Path) -> None:
    begin(tmp_path / ("ä" * 125 + ".mp4"), 1)
