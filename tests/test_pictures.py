"""Which pictures a run learns from is looked through once, written down, and the same for the whole life of the run."""

import json
import os
import signal
from pathlib import Path

import pytest
from conftest import Draw, as_processes
from PIL import Image

from cyclestyle.config import DataSettings
from cyclestyle.processes import Processes
from cyclestyle.stopping import Stopped, StopRequest
from cyclestyle.training import pictures
from cyclestyle.training.pictures import Choice, Entry, choose, provenance_of, still_there

pytestmark = pytest.mark.usefixtures("fresh_accelerate")

BROKEN = {
    "photos/broken.jpg": b"<html>not a picture</html>",
    "photos/deep/empty.png": b"",
    "photos/Größe\udcff.png": b"x",
    "paintings/cut.png": None,
}


@pytest.fixture
def folder(tmp_path: Path, draw: Draw) -> Path:
    place = tmp_path / "data"
    draw(place / "photos", 12, seed=1)
    draw(place / "photos" / "deep", 2, seed=3)
    draw(place / "paintings", 11, seed=2)
    return place


def spoil(folder: Path) -> None:
    whole = (folder / "paintings" / "picture-00.png").read_bytes()
    for name, content in BROKEN.items():
        (folder / name).write_bytes(whole[:-40] if content is None else content)


def chosen(folder: Path) -> Choice:
    return choose(DataSettings(folder=folder), Processes.join(), StopRequest())


# --- looking through ----------------------------------------------------------------------------------------------


def test_whole_pictures_are_chosen_in_the_order_of_their_names(folder: Path) -> None:
    choice = chosen(folder)
    names = [f"deep/picture-{n:02d}.png" for n in range(2)] + [f"picture-{n:02d}.png" for n in range(12)]
    assert [entry.name for entry in choice.usable["photos"]] == names
    assert all(entry.size == (folder / "photos" / entry.name).stat().st_size for entry in choice.usable["photos"])
    assert choice.unusable == {"photos": [], "paintings": []}
    assert choice.told(Path("pictures.json")) is None
    sets = choice.sets({"photos": folder / "photos", "paintings": folder / "paintings"})
    assert sets.photos == [folder / "photos" / name for name in names]
    assert len(sets.paintings) == 11
    assert sets.test_photos == []


def test_those_that_cannot_be_used_are_left_out_and_listed_with_the_reason(folder: Path) -> None:
    whole = chosen(folder)
    spoil(folder)
    choice = chosen(folder)
    assert choice.usable == whole.usable
    left_out = {f"{name}/{path}": why for name, pairs in choice.unusable.items() for path, why in pairs}
    assert set(left_out) == set(BROKEN)
    assert all(left_out.values())
    assert choice.fingerprints() == whole.fingerprints()
    said = choice.told(Path("runs/x/pictures.json"))
    assert said is not None
    assert said.startswith("4 of 29 pictures cannot be learnt from and are left out (runs/x/pictures.json):\n")
    for name, why in left_out.items():
        assert f"{name.encode('utf-8', 'backslashreplace').decode()}: {why}" in said
    said.encode()  # it can be printed
    assert provenance_of(choice)["counts"] == {"photos": 14, "paintings": 11}
    assert provenance_of(choice)["left out"] == {"photos": 3, "paintings": 1}
    assert provenance_of(choice)["pictures"] == choice.fingerprints()


def test_of_many_that_are_left_out_ten_are_told(folder: Path) -> None:
    for number in range(13):
        (folder / "photos" / f"broken-{number:02d}.png").write_bytes(b"x")
    said = chosen(folder).told(Path("pictures.json"))
    assert said is not None
    assert said.count("broken-") == 10
    assert said.endswith("\n  and 3 more")


@pytest.mark.parametrize("name", ["photos", "paintings"])
def test_where_nothing_is_left_of_a_set_it_is_refused_with_an_example(name: str, folder: Path) -> None:
    for path in sorted((folder / name).rglob("*.png")):
        path.write_bytes(b"x")
    with pytest.raises(ValueError, match=f"no {name[:-1]} in .*{name} can be learnt from") as caught:
        chosen(folder)
    assert "picture-00.png: " in str(caught.value)


def test_an_empty_folder_is_refused(folder: Path) -> None:
    for path in (folder / "paintings").iterdir():
        path.unlink()
    with pytest.raises(ValueError, match=r"no painting in .* can be learnt from \(0 looked at\)"):
        chosen(folder)


def test_several_processes_choose_what_one_would(folder: Path) -> None:
    spoil(folder)
    settings = DataSettings(folder=folder)
    assert as_processes(3, lambda processes: choose(settings, processes, StopRequest())) == [chosen(folder)] * 3


def test_processes_that_see_other_pictures_are_refused(folder: Path, tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "other" / "photos", 3)
    draw(tmp_path / "other" / "paintings", 3)
    places = [folder, tmp_path / "other"]

    def work(processes: Processes) -> Choice:
        return choose(DataSettings(folder=places[processes.rank]), processes, StopRequest())

    refused = as_processes(2, work)
    assert all("do not see the same pictures" in str(error) for error in refused)


def test_being_asked_to_stop_meanwhile_stops_all_of_them(folder: Path) -> None:
    def work(processes: Processes) -> Choice:
        stop = StopRequest()
        if processes.rank == 1:
            stop.signal = "SIGTERM"
        return choose(DataSettings(folder=folder), processes, stop)

    stopped = as_processes(2, work)
    assert [type(one) for one in stopped] == [Stopped, Stopped]
    assert "nothing was learnt yet" in str(stopped[0])


# --- fingerprints -------------------------------------------------------------------------------------------------


def fingerprint(*entries: tuple[str, int]) -> str:
    return Choice({"photos": [Entry(*entry) for entry in entries]}, {"photos": []}).fingerprints()["photos"]


def test_the_fingerprint_follows_names_sizes_and_order() -> None:
    before = fingerprint(("1.jpg", 3), ("2.jpg", 0))
    assert len(before) == 64
    assert fingerprint(("1.jpg", 3), ("2.jpg", 0)) == before
    others = [
        fingerprint(("2.jpg", 0), ("1.jpg", 3)),
        fingerprint(("1.jpg", 3)),
        fingerprint(("1.jpg", 4), ("2.jpg", 0)),
        fingerprint(("0.jpg", 3), ("2.jpg", 0)),
        fingerprint(("deep/1.jpg", 3), ("2.jpg", 0)),
        fingerprint(),
    ]
    assert len({before, *others}) == 7


def test_the_fingerprint_is_the_same_in_another_place_and_on_another_day(folder: Path, tmp_path: Path) -> None:
    before = chosen(folder).fingerprints()
    elsewhere = folder.rename(tmp_path / "elsewhere")
    for path in elsewhere.rglob("*.png"):
        os.utime(path, (0, 0))
    assert chosen(elsewhere).fingerprints() == before


def test_the_fingerprint_follows_what_lies_in_the_folder(folder: Path) -> None:
    before = chosen(folder).fingerprints()
    path = folder / "photos" / "picture-03.png"
    Image.new("RGB", (30, 30), "teal").save(path)
    after = chosen(folder).fingerprints()
    assert after["photos"] != before["photos"]
    assert after["paintings"] == before["paintings"]


def test_the_fingerprint_tells_where_a_name_ends() -> None:
    """Names and sizes run together would make `a1` with 2 bytes and `a` with 12 bytes the same."""
    assert fingerprint(("a1", 2)) != fingerprint(("a", 12))
    assert fingerprint(("a", 1), ("b", 2)) != fingerprint(("a1\nb", 2))


# --- written down -------------------------------------------------------------------------------------------------


def test_what_is_written_down_is_read_back(folder: Path) -> None:
    spoil(folder)
    choice = chosen(folder)
    text = choice.as_json()
    text.encode("utf-8")
    assert Choice.from_json(text) == choice
    assert Choice.from_json(text).fingerprints() == choice.fingerprints()


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "3", "null", '{"photos": 3, "paintings": 3}', '{"photos": {"usable": []}, "paintings": {}}'),
        '{"photos": {"usable": [1], "unusable": []}, "paintings": {"usable": [], "unusable": []}}',
        '{"photos": {"usable": [["a", "b"]], "unusable": []}, "paintings": {"usable": [], "unusable": []}}',
        '{"photos": {"usable": [["a", 1e999]], "unusable": []}, "paintings": {"usable": [], "unusable": []}}',
        "[" * 100_000,
    ],
    ids=range(11),
)
def test_anything_else_is_no_list_of_pictures(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        Choice.from_json(text)


# --- gone on with -------------------------------------------------------------------------------------------------


def test_what_is_still_there_is_not_looked_through_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil(folder)
    choice = chosen(folder)
    monkeypatch.setattr(pictures, "inspect", pytest.fail)
    assert still_there(choice, DataSettings(folder=folder)) == []
    assert still_there(choice, DataSettings(photos=folder / "photos", paintings=folder / "paintings")) == []


def test_one_that_is_lost_is_named_and_too_many_are_refused(folder: Path) -> None:
    choice, settings = chosen(folder), DataSettings(folder=folder)
    gone = folder / "photos" / "picture-03.png"
    gone.unlink()
    assert still_there(choice, settings) == [f"{gone} is gone or was changed"]
    changed = folder / "paintings" / "picture-00.png"
    changed.write_bytes(changed.read_bytes() + b"x")
    assert still_there(choice, settings) == [f"{gone} is gone or was changed", f"{changed} is gone or was changed"]
    (folder / "photos" / "picture-05.png").unlink()  # two of fourteen
    with pytest.raises(ValueError, match="photos: not the pictures that it was begun with") as caught:
        still_there(choice, settings)
    assert "2 of 14" in str(caught.value)
    assert "picture-03.png" in str(caught.value)


def test_new_ones_are_refused_and_named(folder: Path, draw: Draw) -> None:
    choice = chosen(folder)
    draw(folder / "paintings" / "more", 1)
    with pytest.raises(ValueError, match="paintings: not the pictures that it was begun with") as caught:
        still_there(choice, DataSettings(folder=folder))
    assert "1 new, such as more/picture-00.png" in str(caught.value)


def test_a_broken_one_that_is_gone_or_was_mended_is_no_matter(folder: Path) -> None:
    spoil(folder)
    choice = chosen(folder)
    (folder / "photos" / "broken.jpg").unlink()
    Image.new("RGB", (30, 30), "teal").save(folder / "photos" / "deep" / "empty.png")
    assert still_there(choice, DataSettings(folder=folder)) == []


def test_a_folder_that_is_gone_is_named(folder: Path) -> None:
    choice = chosen(folder)
    (folder / "photos").rename(folder / "elsewhere")
    with pytest.raises(FileNotFoundError, match=str(folder)):
        still_there(choice, DataSettings(folder=folder))


def test_the_text_is_json_that_people_can_read(folder: Path) -> None:
    spoil(folder)
    told = json.loads(chosen(folder).as_json())
    assert set(told) == {"photos", "paintings"}
    assert told["paintings"]["usable"][0][0] == "picture-00.png"
    assert [name for name, _ in told["paintings"]["unusable"]] == ["cut.png"]


def test_signals_are_as_before(folder: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    chosen(folder)
    assert signal.getsignal(signal.SIGTERM) is before
