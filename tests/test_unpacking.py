"""Out of a zip come the pictures of the two sets and nothing else; out of a hostile one comes nothing.

Covers cyclestyle.data.fetching.unpacking.
"""

import io
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from loopback import competition_zip, jpeg

from cyclestyle.data.fetching import unpacking
from cyclestyle.data.fetching.unpacking import UnpackError, look_into, unpack_into

SETS = {"monet_jpg/a.jpg": jpeg(1), "photo_jpg/b.jpg": jpeg(2)}


def pack(path: Path, members: dict[str, bytes], *, method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return path


def unpacked(path: Path, folder: Path) -> dict[str, bytes]:
    """What comes out of a zip, by name."""
    contents = look_into(path)
    folder.mkdir()
    done: list[int] = []
    unpack_into(contents, folder, advance=lambda: done.append(1), check=lambda: None)
    assert len(done) == len(contents.pictures)
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def refusal(path: Path, folder: Path) -> str:
    """Why a zip is not unpacked, which leaves nothing behind."""
    with pytest.raises(UnpackError) as caught:
        unpacked(path, folder)
    said = str(caught.value)
    assert said.startswith(f"{path}: ")
    assert "\n" not in said
    assert not folder.exists() or not [file for file in folder.rglob("*") if file.is_file() and file.name != "a.jpg"]
    assert "submit" not in said  # the reader's advice is for submissions
    return said.removeprefix(f"{path}: ")


def test_pictures_come_out_and_tfrecords_are_counted(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(competition_zip(2, 3, padding=100))
    files = unpacked(tmp_path / "x.zip", tmp_path / "to")
    assert files == {
        **{f"monet_jpg/{number:010x}.jpg": jpeg(number) for number in range(2)},
        **{f"photo_jpg/{number:010x}.jpg": jpeg(1000 + number) for number in range(3)},
    }
    contents = look_into(tmp_path / "x.zip")
    assert contents.layout == "Kaggle"
    assert contents.others == {"monet_tfrec/": 1, "photo_tfrec/": 1}
    assert contents.bytes == sum(map(len, files.values()))


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_other_layouts_also_below_a_folder_with_what_desktops_add(tmp_path: Path, method: int) -> None:
    members = {
        "vangogh2photo/": b"",
        "vangogh2photo/testA/": b"",
        "vangogh2photo/testA/t.JPG": jpeg(1),
        "vangogh2photo/trainA/deeper/a.jpg": jpeg(2),
        "vangogh2photo/trainB/b.png": jpeg(3),
        "vangogh2photo/trainB/.hidden.jpg": jpeg(4),
        "vangogh2photo/notes/c.jpg": jpeg(5),
        "__MACOSX/vangogh2photo/trainA/._a.jpg": b"x",
    }
    path = pack(tmp_path / "x.zip", members, method=method)
    assert unpacked(path, tmp_path / "to") == {
        name: members[f"vangogh2photo/{name}"] for name in ("testA/t.JPG", "trainA/deeper/a.jpg", "trainB/b.png")
    }
    assert look_into(path).layout == "CycleGAN"


def test_a_zip_written_as_a_stream_is_read(tmp_path: Path) -> None:
    """Servers that pack while they send tell the sizes after the data."""

    class Stream(io.RawIOBase):
        def __init__(self) -> None:
            self.sent = b""

        def writable(self) -> bool:
            return True

        def write(self, data: bytes) -> int:
            self.sent += bytes(data)
            return len(data)

    stream = Stream()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in SETS.items():
            with archive.open(name, "w", force_zip64=True) as member:
                member.write(content)
    (tmp_path / "x.zip").write_bytes(stream.sent)
    assert unpacked(tmp_path / "x.zip", tmp_path / "to") == SETS


def test_asked_in_between_it_ends(tmp_path: Path) -> None:
    contents = look_into(pack(tmp_path / "x.zip", SETS))
    with pytest.raises(KeyboardInterrupt):
        unpack_into(contents, tmp_path, advance=lambda: None, check=interrupted)
    assert [path.name for path in tmp_path.iterdir()] == ["x.zip"]


def interrupted() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("../outside.jpg", "climbs out of its folder with '..'"),
        ("monet_jpg/../../outside.jpg", "climbs out of its folder with '..'"),
        ("/etc/outside.jpg", "has an absolute path"),
        ("C:/outside.jpg", "has an absolute path"),
        ("monet_jpg/x.jpg:stream", "has a backslash or a colon"),
        ("monet_jpg\\..\\outside.jpg", "has a backslash or a colon"),
        ("monet_jpg//a.jpg", "has a name that no file can have"),
        ("monet_jpg/\x1b[31m.jpg", "has a name that no file can have"),
        ("monet_jpg/A.JPG", "is there twice (or in another case)"),
        ("monet_jpg/a.jpg/b.jpg", "is a file and a folder"),
        ("monet_jpg/" + 300 * "x" + ".jpg", "has too long a name"),
        (40 * "x/" + "a.jpg", "has too long a name"),
    ],
)
def test_names_that_no_honest_zip_has_are_refused_before_anything_is_written(
    tmp_path: Path, name: str, said: str
) -> None:
    path = pack(tmp_path / "x.zip", {**SETS, name.replace("\\", "|"): jpeg(3)})
    path.write_bytes(path.read_bytes().replace(name.replace("\\", "|").encode(), name.encode()))  # as on Windows
    sentence = refusal(path, tmp_path / "to")
    assert said in sentence
    assert sentence.endswith("nothing was unpacked")
    assert not (tmp_path / "to").exists()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["x.zip"]


@pytest.mark.parametrize(
    ("kind", "said"), [(stat.S_IFLNK, "is a symbolic link"), (stat.S_IFIFO, "is a device or a pipe")]
)
def test_links_and_devices_are_refused(tmp_path: Path, kind: int, said: str) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for name, content in SETS.items():
            archive.writestr(name, content)
        odd = zipfile.ZipInfo("photo_jpg/odd.jpg")
        odd.external_attr = (kind | 0o777) << 16
        archive.writestr(odd, "/etc/passwd")
    assert said in refusal(tmp_path / "x.zip", tmp_path / "to")


def test_a_member_that_grows_out_of_nothing_is_refused(tmp_path: Path) -> None:
    bomb = {**SETS, "photo_jpg/c.jpg": bytes(20 * 2**20)}
    path = pack(tmp_path / "x.zip", bomb, method=zipfile.ZIP_DEFLATED)
    assert "to 20,971,520 bytes, which no picture does; nothing was unpacked" in refusal(path, tmp_path / "to")
    elsewhere = {**SETS, "photo_tfrec/c.tfrec": bytes(20 * 2**20)}  # not unpacked, so no harm
    path = pack(tmp_path / "y.zip", elsewhere, method=zipfile.ZIP_DEFLATED)
    assert unpacked(path, tmp_path / "other") == SETS


def test_a_drawing_of_one_colour_may_shrink_much(tmp_path: Path) -> None:
    drawing = {**SETS, "photo_jpg/c.bmp": bytes(2**19)}
    assert unpacked(pack(tmp_path / "x.zip", drawing, method=zipfile.ZIP_DEFLATED), tmp_path / "to") == drawing


def test_sizes_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    largest, both = max(map(len, SETS.values())), sum(map(len, SETS.values()))
    path = pack(tmp_path / "x.zip", SETS)
    monkeypatch.setattr(unpacking, "MEMBER_BYTES", largest - 1)
    assert f"more than a picture has ({largest - 1:,} at most); nothing was" in refusal(path, tmp_path / "to")
    monkeypatch.setattr(unpacking, "MEMBER_BYTES", largest)
    monkeypatch.setattr(unpacking, "TOTAL_BYTES", both - 1)
    assert f"it would unpack to {both:,} bytes ({both - 1:,} at most)" in refusal(path, tmp_path / "to")
    monkeypatch.setattr(unpacking, "TOTAL_BYTES", both)
    assert unpacked(path, tmp_path / "to") == SETS


def test_the_number_of_members_is_bounded_before_the_directory_is_read(tmp_path: Path) -> None:
    path = pack(tmp_path / "x.zip", SETS)
    content = bytearray(path.read_bytes())
    content[-14:-10] = struct.pack("<HH", 60_000, 60_000)
    path.write_bytes(content)
    assert "declares 60,000 entries" in refusal(path, tmp_path / "to")


def as_declared(path: Path, change: Callable[[bytearray, int], None]) -> None:
    """Change the last entry of the directory, given where it begins."""
    content = bytearray(path.read_bytes())
    change(content, content.rfind(b"PK\1\2"))
    path.write_bytes(content)


def test_members_that_lie_about_themselves_are_refused(tmp_path: Path) -> None:
    path = pack(tmp_path / "x.zip", SETS)
    as_declared(path, lambda content, at: content.__setitem__(slice(at + 42, at + 46), struct.pack("<L", 0)))
    assert "shares bytes with what follows it in the zip: the zip is damaged" in refusal(path, tmp_path / "to")
    path = pack(tmp_path / "y.zip", SETS)
    as_declared(path, lambda content, at: content.__setitem__(slice(at + 24, at + 28), struct.pack("<L", 5)))
    assert "other sizes" in refusal(path, tmp_path / "other")


def test_a_flipped_bit_is_found(tmp_path: Path) -> None:
    path = pack(tmp_path / "x.zip", SETS)
    content = bytearray(path.read_bytes())
    content[content.index(SETS["photo_jpg/b.jpg"]) + 200] ^= 4
    path.write_bytes(content)
    assert "does not match its checksum (CRC-32): the zip is damaged" in refusal(path, tmp_path / "to")


def test_encrypted_members_are_refused_with_a_way_out(tmp_path: Path) -> None:
    path = pack(tmp_path / "x.zip", SETS)
    as_declared(path, lambda content, at: content.__setitem__(at + 8, 1))
    assert "is encrypted: unpack it yourself, and give --from-folder" in refusal(path, tmp_path / "to")


def test_methods_that_are_not_read_are_refused_with_a_way_out(tmp_path: Path) -> None:
    path = pack(tmp_path / "x.zip", SETS, method=zipfile.ZIP_LZMA)
    assert "(method 14): unpack it yourself, and give --from-folder" in refusal(path, tmp_path / "to")


def test_a_zip_that_was_cut_off_is_refused_wherever_that_was(tmp_path: Path) -> None:
    whole = competition_zip(2, 2)
    for length in range(4, len(whole), len(whole) // 25):
        (tmp_path / "x.zip").write_bytes(whole[:length])
        assert refusal(tmp_path / "x.zip", tmp_path / "to").endswith(": the zip is not whole"), length


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"<!DOCTYPE html><html>", "this is HTML or XML (a page that asks to sign in?), not a zip"),
        (b"", "this is an empty file, not a zip"),
        (jpeg(1), "this is a JPEG, not a zip"),
        (b"Rar!\x1a\x07", "this is a RAR archive, not a zip"),
    ],
)
def test_what_is_no_zip_is_called_by_its_name(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "x.zip").write_bytes(content)
    assert refusal(tmp_path / "x.zip", tmp_path / "to") == said


def test_another_competitions_zip_is_told_by_what_it_holds(tmp_path: Path) -> None:
    path = pack(tmp_path / "x.zip", {"train.csv": b"1", "images/a.jpg": jpeg(1), "monet_jpg/a.jpg": jpeg(2)})
    said = refusal(path, tmp_path / "to")
    assert "monet_jpg/ + photo_jpg/" in said
    assert "but images/, monet_jpg/, train.csv: is it another competition's?" in said
    assert "but nothing: is it" in refusal(pack(tmp_path / "y.zip", {}), tmp_path / "to")


def test_what_is_not_there_or_a_folder_is_told(tmp_path: Path) -> None:
    assert refusal(tmp_path / "x.zip", tmp_path / "to") == "there is no such file"
    assert refusal(tmp_path, tmp_path / "to") == f"this is a folder; give it with --from-folder {tmp_path}"
