"""`cyclestyle check` says what is in the sets, names all that is wrong with them, and changes nothing.

Covers cyclestyle.commands.check and cyclestyle.data.survey.
"""

import io
import json
import os
import re
import sys
from pathlib import Path

import pytest
from PIL import Image, ImageOps
from test_likeness import jpeg, landscape, matted

from cyclestyle import cli
from cyclestyle.data.survey import SHOWN

pytestmark = pytest.mark.filterwarnings("ignore:Cyclopts application invoked without tokens")


class Checked:
    """Types `cyclestyle check` and reads what it says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch, self.capsys = monkeypatch, capsys
        self.out, self.error, self.code = "", "", -1

    def __call__(self, *words: object) -> str:
        self.monkeypatch.setattr(sys, "argv", ["cyclestyle", "check", *map(str, words)])
        self.capsys.readouterr()
        self.code = 0
        try:
            cli.main()
        except SystemExit as end:
            self.code = 0 if end.code is None else int(end.code)
        said = self.capsys.readouterr()
        assert "Traceback" not in said.err
        errors = [line for line in said.err.splitlines() if not line.startswith("looking: ")]
        assert len(errors) == (1 if self.code else 0), said.err
        self.out, self.error = said.out, "".join(errors).removeprefix("error: ")
        return said.out

    def part(self, title: str) -> list[str]:
        """The names below a title."""
        return re.search(rf"^{re.escape(title)}.*\n((?:  .*\n)*)", self.out, re.MULTILINE)[1].splitlines()


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Checked:
    monkeypatch.setenv("COLUMNS", "200")
    return Checked(monkeypatch, capsys)


def write(picture: Image.Image, path: Path, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, **options)
    return path


def write_sets(folder: Path, *, photos: int = 3, paintings: int = 2, tests: int = 0) -> Path:
    """Different pictures in our layout."""
    counts = {"photos": photos, "paintings": paintings, "test/photos": tests, "test/paintings": tests}
    for start, (name, count) in enumerate(counts.items()):
        for number in range(count):
            write(landscape(100 * start + number), folder / name / f"{number}.png")
    return folder


def test_good_sets_are_summed_up_in_a_few_lines(check: Checked, tmp_path: Path) -> None:
    write_sets(tmp_path, tests=1)
    assert check(tmp_path, "--strict").splitlines() == [
        "photos: 3 of 3 can be used; 192x144; colour 3",
        "paintings: 2 of 2 can be used; 192x144; colour 2",
        "test photos: 1 of 1 can be used; 192x144; colour 1",
        "test paintings: 1 of 1 can be used; 192x144; colour 1",
        "",
        "all 5 can be learnt from",
    ]
    assert check.code == 0


def test_sizes_and_modes_are_counted_upright(check: Checked, tmp_path: Path) -> None:
    photos = write_sets(tmp_path) / "photos"
    sideways = Image.Exif()
    sideways[274] = 6
    write(landscape(50), photos / "a.jpg", exif=sideways)
    write(landscape(51).convert("L"), photos / "b.png")
    write(landscape(52, (400, 300)).convert("CMYK"), photos / "c.jpg")
    first = check(tmp_path).splitlines()[0]
    assert first == ("photos: 6 of 6 can be used; 144x192 to 400x300, most often 192x144 (4); colour 4, CMYK 1, grey 1")


def test_each_one_that_cannot_be_used_is_named_with_its_reason(check: Checked, tmp_path: Path) -> None:
    folder = write_sets(tmp_path)
    bad = [folder / "photos" / f"bad-{number:02d}.jpg" for number in range(SHOWN + 5)]
    for path in bad:
        path.write_bytes(b"")
    (folder / "paintings" / "x.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    (folder / "paintings" / "notes.txt").write_text("by me")
    (folder / "paintings" / "more.TXT").write_text("by me")
    (folder / "photos" / "LICENSE").write_text("by me")
    before = sorted(tmp_path.rglob("*"))
    check(folder)
    assert check.code == 0
    assert check.part("cannot be used: 16") == [
        *(f"  {path}: empty" for path in bad),
        f"  {folder / 'paintings' / 'x.heic'}: a HEIC; convert it to JPEG or PNG",
    ]
    assert "photos: 3 of 18 can be used; " in check.out
    assert "also there: 3 other files (.txt 2, no ending 1)\n" in check.out
    assert check.out.endswith("5 of 21 can be learnt from; training goes on without the other 16 (--strict refuses)\n")
    assert sorted(tmp_path.rglob("*")) == before
    check(folder, "--strict")
    assert (check.code, check.error) == (2, "16 cannot be used and 0 are in two sets (--strict)")
    assert "cannot be used: 16" in check.out


def test_findings_name_the_pictures(check: Checked, tmp_path: Path) -> None:
    photos = write_sets(tmp_path) / "photos"
    grey = write(landscape(60).convert("L").convert("RGB"), photos / "grey.png")
    flat = write(Image.new("RGB", (90, 90), "teal"), photos / "flat.png")
    framed = write(matted(landscape(61)), photos / "framed.png")
    small = write(landscape(62, (80, 40)), photos / "small.png")
    same = write(landscape(0), photos / "same.bmp")
    alike = write(jpeg(ImageOps.mirror(landscape(1)), 60), photos / "alike.png")
    check(tmp_path, "--strict")
    assert check.code == 0  # nothing of this forbids training
    assert check.part("greyscale: 1") == [f"  {grey}"]
    assert check.part("of one colour: 1") == [f"  {flat}"]
    assert check.part("with a frame: 1") == [f"  {framed} (top, bottom, left, right)"]
    assert check.part("with a side below 64 pixels: 1") == [f"  {small} (80x40)"]
    assert check.part("the same pixels: 1") == [f"  {photos / '0.png'} = {same}"]
    assert check.part("one picture (recompressed") == [f"  {photos / '1.png'} ~ {alike} (mirrored)"]
    assert "in two sets" not in check.out
    assert check.out.endswith("\nall 11 can be learnt from\n")
    check(tmp_path, "--tiny", 30)
    assert "with a side below" not in check.out


def test_leaks_are_named_and_strict_refuses_them(check: Checked, tmp_path: Path) -> None:
    folder = write_sets(tmp_path, tests=2)
    into_test = write(jpeg(landscape(0), 50), folder / "test" / "photos" / "z.png")
    into_paintings = write(landscape(1), folder / "paintings" / "z.png")
    photos = folder / "photos"
    check(folder, "--strict")
    assert (check.code, check.error) == (2, "0 cannot be used and 2 are in two sets (--strict)")
    assert check.part("in two sets that should share none: 2") == [
        f"  {photos / '0.png'} ~ {into_test}",
        f"  {photos / '1.png'} = {into_paintings}",
    ]
    assert check.out.endswith("; 2 pictures in two sets: keep each in one of them (--strict refuses)\n")
    check(folder)
    assert check.code == 0


def test_test_scenes_may_be_there_as_photo_and_as_painting(check: Checked, tmp_path: Path) -> None:
    folder = write_sets(tmp_path, tests=2)
    write(jpeg(landscape(200), 50), folder / "test" / "paintings" / "0.png")
    check(folder, "--strict")
    assert check.code == 0
    assert "one picture" not in check.out


def test_ten_names_are_shown_and_all_are_in_the_json(check: Checked, tmp_path: Path) -> None:
    folder, report = write_sets(tmp_path / "data", tests=1), tmp_path / "out" / "report.json"
    for number in range(SHOWN + 3):
        write(landscape(number + 20).convert("L"), folder / "photos" / f"grey-{number:02d}.png")
    (folder / "photos" / "bad.jpg").write_bytes(b"")
    write(landscape(0), folder / "test" / "photos" / "leak.png")
    check(folder, "--json", report)
    assert len(check.part(f"greyscale: {SHOWN + 3}")) == SHOWN + 1
    assert check.part(f"greyscale: {SHOWN + 3}")[-1] == "  and 3 more (--json FILE names all)"

    told = json.loads(report.read_text())
    assert (told["learnt_from"], told["looked_at"]) == (18, 19)
    assert list(told["sets"]) == ["photos", "paintings", "test photos", "test paintings"]
    assert told["sets"]["photos"] == {
        "folder": str(folder / "photos"),
        "usable": 16,
        "unusable": 1,
        "sizes": {"192x144": 16},
        "modes": {"L": 13, "RGB": 3},
        "other_files": {},
    }
    assert told["unusable"] == [{"set": "photos", "path": str(folder / "photos" / "bad.jpg"), "reason": "empty"}]
    assert told["greyscale"] == [str(folder / "photos" / f"grey-{number:02d}.png") for number in range(SHOWN + 3)]
    assert told["leaks"] == told["duplicates"]
    assert told["leaks"] == [
        [
            {"path": str(folder / "photos" / "0.png"), "set": "photos", "mirrored": False},
            {"path": str(folder / "test" / "photos" / "leak.png"), "set": "test photos", "mirrored": False},
        ]
    ]
    assert set(told) >= {"borders", "tiny", "flat", "near_duplicates"}
    first = (check.out, report.read_bytes())
    check(folder, "--json", report)
    assert (check.out, report.read_bytes()) == first


def test_names_that_are_no_utf8_are_printed_and_come_back_from_the_json(check: Checked, tmp_path: Path) -> None:
    folder = write_sets(tmp_path)
    (folder / "photos" / os.fsdecode(b"caf\xe9.jpg")).write_bytes(b"")
    (folder / "photos" / "two\nlines.jpg").write_bytes(b"")
    grey = io.BytesIO()
    landscape(9).convert("L").save(grey, "PNG")
    (folder / "paintings" / os.fsdecode(b"gr\xfcn.png")).write_bytes(grey.getvalue())
    (folder / "paintings" / os.fsdecode(b"a.\xff")).write_bytes(b"no picture")
    check(folder, "--json", tmp_path / "report.json")
    assert check.code == 0
    assert "caf\\xe9.jpg: empty\n" in check.out
    assert "two\\nlines.jpg: empty\n" in check.out
    assert "gr\\xfcn.png\n" in check.out
    assert "(.\\xff 1)" in check.out
    told = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    names = [os.fsencode(entry["path"]).rpartition(b"/")[2] for entry in told["unusable"]]
    assert sorted(names) == [b"caf\xe9.jpg", b"two\nlines.jpg"]
    assert os.fsencode(told["greyscale"][0]).endswith(b"gr\xfcn.png")


def test_two_folders_of_any_name_and_one_within_the_other(check: Checked, tmp_path: Path) -> None:
    folder = write_sets(tmp_path)
    check("--photos", folder / "photos", "--paintings", folder / "paintings")
    assert check.out.startswith("photos: 3 of 3 ")
    check("--photos", folder / "photos", "--paintings", folder, "--strict")
    assert (check.code, check.error) == (2, "0 cannot be used and 3 are in two sets (--strict)")


def test_a_set_without_a_usable_picture_is_an_error_after_the_report(check: Checked, tmp_path: Path) -> None:
    """Also where no file has a picture's ending that is read."""
    folder = write_sets(tmp_path, paintings=0)
    (folder / "paintings").mkdir()
    (folder / "paintings" / "x.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    check(folder, "--json", tmp_path / "report.json")
    assert check.code == 2
    assert check.error == f"none of the paintings in {folder / 'paintings'} can be used (1 looked at)"
    assert "paintings: 0 of 1 can be used\n" in check.out
    assert "x.heic: a HEIC" in check.out
    assert json.loads((tmp_path / "report.json").read_text())["sets"]["paintings"]["usable"] == 0
    (folder / "paintings" / "x.heic").unlink()
    check(folder)
    assert "(0 looked at)" in check.error


def test_an_empty_test_folder_is_no_test_set_and_no_error(check: Checked, tmp_path: Path) -> None:
    folder = write_sets(tmp_path)
    (folder / "test" / "photos").mkdir(parents=True)
    check(folder)
    assert check.code == 0
    (folder / "test" / "photos" / "a.jpg").write_bytes(b"")
    check(folder)
    assert check.error.startswith("none of the test photos in ")


@pytest.mark.parametrize(
    "words", [(), ("here", "--photos", "a"), ("here", "--photos", "a", "--paintings", "b"), ("--photos", "a")]
)
def test_it_must_be_clear_which_pictures(check: Checked, words: tuple[str, ...]) -> None:
    check(*words)
    assert (check.code, check.error.split(";")[0]) == (
        2,
        "which pictures? give a folder that holds both sets, or else --photos DIR and --paintings DIR",
    )


def test_what_is_not_there_is_named(check: Checked, tmp_path: Path) -> None:
    check(tmp_path / "nowhere")
    assert check.error == f"no such folder: {tmp_path / 'nowhere'}"
    check("--photos", tmp_path / "nowhere", "--paintings", tmp_path)
    assert check.error == f"no such folder: {tmp_path / 'nowhere'}"
    check(tmp_path)
    assert "holds none of the known pairs of folders" in check.error
    assert check.error.endswith("or give two folders with --photos and --paintings")
