"""What people take for pictures: `cyclestyle.data.formats`."""

from pathlib import Path

from cyclestyle.data.formats import MEANT, READ, passed_over
from cyclestyle.images import SUFFIXES


def test_each_ending_is_read_or_is_not() -> None:
    assert {ending for endings in READ.values() for ending in endings} == SUFFIXES
    assert not SUFFIXES & MEANT.keys()


def test_what_is_not_listed_is_named(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    for name in ("a.jpg", "b.gif", "c.txt", "below/d.HEIC", "below/e.mp4", ".f.gif"):
        (tmp_path / name).touch()
    assert [path.relative_to(tmp_path).as_posix() for path in passed_over(tmp_path)] == ["b.gif", "below/d.HEIC"]
    assert passed_over(tmp_path, {".mp4"})[-1].name == "e.mp4"
