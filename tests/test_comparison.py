"""A whole comparison from folders of drawn pictures: it makes, goes on, measures, tells, and refuses in a sentence.

Paintings here are drawn pictures in other colours; so colour transfer is a good method, and a blur is a bad one.
"""

import json
import multiprocessing
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Draw
from PIL import Image, ImageFilter

from cyclestyle.comparison import comparing, making
from cyclestyle.comparison.comparing import Wanted, choose_photos, compare_all, jobs_of, keep_common
from cyclestyle.comparison.cost import Cost, here, peak_memory, read_cost, write_cost
from cyclestyle.comparison.makers import Maker, Materials, Styling, open_maker, told_of
from cyclestyle.comparison.making import keep_only, make
from cyclestyle.comparison.methods import Method, choose
from cyclestyle.comparison.notes import notes_of, unsaid
from cyclestyle.comparison.summary import table
from cyclestyle.comparison.together import gather_all
from cyclestyle.config import GeneratorSettings
from cyclestyle.data.jobs import Job
from cyclestyle.evaluation import asking, measures
from cyclestyle.evaluation.eyes import Eyes
from cyclestyle.evaluation.measuring import Folders
from cyclestyle.images import list_pictures, load, to_images
from cyclestyle.networks.generator import build_generator
from cyclestyle.networks.lpips import random_lpips
from cyclestyle.networks.painter import PainterCard, save_painter
from cyclestyle.networks.vgg import random_vgg
from cyclestyle.processes import Processes
from cyclestyle.progress import Progress
from cyclestyle.styling.colour import lab_statistics
from cyclestyle.styling.recipes import LAYERS, METHODS
from cyclestyle.translation.folder import Tally

COUNT, SIDE = 8, 32


class World:
    """Photos, paintings, a painter, and pictures that were given."""

    def __init__(self, place: Path, draw: Draw) -> None:
        self.place = place
        self.photos, self.paintings = place / "photos", place / "paintings"
        draw(self.photos, COUNT, size=(SIDE, SIDE), suffix=".jpg")
        for path in draw(self.paintings, 12, size=(SIDE, SIDE), seed=1):
            bands = zip(load(path).split(), (1, 0.8, 0.4), strict=True)
            warm = Image.merge("RGB", [band.point(lambda level, by=by: level * by) for band, by in bands])
            warm.save(path)
        self.given = place / "given"
        self.given.mkdir()
        for path in self.photos.iterdir():
            load(path).filter(ImageFilter.GaussianBlur(3)).save(self.given / f"{path.stem}.png")
        settings = GeneratorSettings(width=4, blocks=1)
        torch.manual_seed(0)
        card = PainterCard(direction="photo to painting", generator=settings, side=SIDE, step=7)
        save_painter(build_generator(settings), card, place / "run" / "paint.safetensors")

    def wanted(
        self, *words: str, to: str = "comparison", run: bool = False, given: bool = False, **more: Any
    ) -> Wanted:
        runs = [str(self.place / "run")] if run else []
        methods = choose(words, runs, {"given": self.given} if given else {}, ["gatys"], ["nearest"])
        materials = Materials(self.paintings, random=True)
        return replace(Wanted(self.photos, self.place / to, methods, materials), **more)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, draw: Draw) -> World:
    return World(tmp_path_factory.mktemp("world"), draw)


@pytest.fixture(scope="module", autouse=True)
def _quickly() -> Iterator[None]:
    """A shallower network and fewer draws than people get: one layer, of which there are columns of every kind."""

    def small(asked: Any, device: torch.device) -> Eyes:
        return Eyes(random_vgg(0, "relu1_2"), None, random_lpips(0), torch.device("cpu"))

    with pytest.MonkeyPatch.context() as patch:
        for module in (asking, comparing):
            patch.setattr(module, "open_eyes", small)
        patch.setattr(measures, "DRAWS", 2)
        patch.setattr(measures, "SPLITS", 5)
        yield


@pytest.fixture(scope="module")
def told(world: World) -> dict[str, Any]:
    """All kinds of methods that need no weights; the process of one of them is a real one, which takes a while."""
    real = making._in_a_process

    def apart(method: Method, *rest: Any) -> list[str]:
        return (real if method.name == "reinhard" else making._make)(method, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(making, "_in_a_process", apart)
        wanted = world.wanted("reinhard", "photo", run=True, given=True, truth=world.given)
        return compare_all(wanted, Processes.join())


def names(told: dict[str, Any]) -> list[str]:
    return [one["name"] for one in told["methods"]]


def column(told: dict[str, Any], key: str) -> dict[str, Any]:
    return next(one for one in told["columns"] if one["key"] == key)


def test_every_method_has_its_pictures_its_card_and_its_place(world: World, told: dict[str, Any]) -> None:
    to = world.place / "comparison"
    assert names(told) == ["photo", "reinhard", "run", "given"]
    for name in names(told):
        made = list_pictures(to / "methods" / name)
        assert [path.stem for path in made] == [path.stem for path in list_pictures(world.photos)]
        card = json.loads((to / "cards" / name / "card.json").read_text())
        assert told["provenance"]["sets"][name].startswith(str(to / "methods" / name))
        assert card["counts"]["painted"] == COUNT
        assert (to / next(one["card"] for one in told["methods"] if one["name"] == name)).exists()
    assert json.loads((to / "comparison.json").read_text()) == json.loads(json.dumps(told))
    html = (to / "comparison.html").read_text()
    assert html.count("<img") == 4 * COUNT + 12 + 2  # two that the script fills
    assert {path.name for path in to.iterdir()} == {
        *("methods", "cards", "features", "comparison.html", "comparison.json", ".lock")
    }


def test_the_photos_keep_everything_and_do_not_compete(told: dict[str, Any]) -> None:
    assert "photo" not in told["competing"]
    for key, nothing in {"lpips": 0.0, "ssim": 1.0}.items():
        cells = column(told, key)["cells"]
        assert cells["photo"]["value"] == pytest.approx(nothing, abs=1e-6)
        assert "photo" not in column(told, key)["best"]
        assert column(told, key)["best"]
    for one in told["columns"]:
        if one["group"] in {"sets", "style"} and one["cells"]["photo"]["skill"] is not None:
            assert one["cells"]["photo"]["skill"] == pytest.approx(0, abs=1e-9)
            assert one["cells"]["real"]["skill"] == pytest.approx(1)


def test_the_numbers_are_those_of_the_cards(world: World, told: dict[str, Any]) -> None:
    for name in ("reinhard", "run", "given"):
        card = json.loads((world.place / "comparison" / "cards" / name / "card.json").read_text())
        for one in (*card["measures"], *card["content"]):
            shown = [other for other in told["columns"] if other["key"] == one["key"]]
            values = one["values"] if "values" in one else {"painted": {"value": one["rows"]["painted"]["median"]}}
            for other in shown:
                assert other["cells"][name]["value"] == pytest.approx(values["painted"]["value"])


def test_colour_transfer_wins_at_colour_by_more_than_chance(told: dict[str, Any]) -> None:
    assert column(told, "palette")["best"][0] == "reinhard"
    assert "given" not in column(told, "palette")["best"]


def test_what_was_made_here_has_a_cost_and_what_was_given_has_none(world: World, told: dict[str, Any]) -> None:
    cells = column(told, "seconds")["cells"]
    assert set(cells) == {"reinhard", "run"}
    for name in cells:
        cost = read_cost(world.place / "comparison" / "methods" / name)
        assert cost is not None
        assert cost.made == COUNT
        assert 0 < cost.seconds < 60
        assert cost.each == pytest.approx(cells[name]["value"])
        assert 50 << 20 < cost.peak_memory < 20 << 30  # torch alone is larger than the former
    (run,) = (one for one in told["methods"] if one["name"] == "run")
    assert run["settings"]["steps of training"] == 7
    assert run["learns"] is True


def test_the_terminal_has_a_line_for_every_method_and_no_long_one(told: dict[str, Any]) -> None:
    lines = table(told).splitlines()
    assert max(map(len, lines)) <= 110
    for name in (*names(told), "real paintings"):
        assert any(line.startswith(name + " ") for line in lines)
    assert "RANDOM WEIGHTS" in lines[0]


def test_the_same_again_makes_nothing_anew_and_fewer_photos_put_pictures_aside(
    world: World, told: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "_in_a_process", making._make)  # the same work, in this process
    made = world.place / "comparison" / "methods" / "reinhard"
    before = {path.name: path.stat().st_mtime_ns for path in list_pictures(made)}
    cost = read_cost(made)
    again = compare_all(world.wanted("reinhard", at_most=3), Processes.join())
    assert {path.name: path.stat().st_mtime_ns for path in list_pictures(made)}.items() <= before.items()
    assert len(list_pictures(made)) == 3
    assert again["counts"]["photos"] == 3
    again = compare_all(world.wanted("reinhard"), Processes.join())
    assert {path.name: path.stat().st_mtime_ns for path in list_pictures(made)} == before
    assert read_cost(made) == cost
    assert names(again) == ["reinhard"]
    assert "photos, untouched" in (world.place / "comparison" / "comparison.html").read_text()


def test_colour_transfer_gives_each_photo_the_colours_of_all_paintings(world: World, tmp_path: Path) -> None:
    maker = open_maker(Method("reinhard", "reinhard"), Materials(world.paintings), torch.device("cpu"))
    job = Job(list_pictures(world.photos)[0], tmp_path / "made.png")
    with Progress("made", 1, unit="pictures", show=False) as progress:
        assert maker.make([job], progress).painted == 1
        assert maker.make([job], progress).painted == 0
    found = lab_statistics(to_images([load(job.painting)]))
    assert found.mean.tolist() == pytest.approx(maker.settings["mean"], abs=0.05)  # but for what leaves the range


def test_a_styling_method_tells_what_was_left_open_too(tmp_path: Path, draw: Draw) -> None:
    paintings = draw(tmp_path, 2, size=(48, 48))[0].parent
    method = Method("gatys-nearest", "styling", recipe="gatys", target="nearest")
    materials = Materials(paintings, random=True, styling=Styling(network="squeezenet", size=48, steps=1))
    settings = open_maker(method, materials, torch.device("cpu")).settings
    assert settings["network"] == "squeezenet"
    assert settings["style_taps"] == list(LAYERS["squeezenet"].style)
    assert settings["content_taps"] == list(LAYERS["squeezenet"].content)
    assert settings["style_weight"] == METHODS["gatys"].style_weight
    assert told_of(method).endswith("; the style is that of the painting nearest to each photo")
    assert METHODS["gatys"].told in told_of(method)


def test_the_truth_is_reached_by_those_who_paint_it(told: dict[str, Any]) -> None:
    assert column(told, "truth/ssim")["best"] == ["given"]
    assert column(told, "truth/ciede2000")["cells"]["given"]["value"] == 0
    assert any(one["axis"] == "Truth" and "given" in one["sentence"] for one in told["sentences"])


def test_one_photo_is_compared_too(world: World) -> None:
    told = compare_all(world.wanted("photo", to="one", given=True, at_most=1), Processes.join())
    assert told["left_out"]
    assert told["headline"].startswith("One method")
    assert column(told, "ssim")["best"] == ["given"]
    assert not column(told, "ssim")["certain"]  # there is no other
    assert "given" in table(told)


def test_a_broken_photo_is_told_of_once(world: World) -> None:
    photos = Path(shutil.copytree(world.photos, world.place / "with a broken one"))
    (photos / "broken.jpg").write_bytes(next(world.photos.iterdir()).read_bytes()[:200])
    wanted = world.wanted("photo", "reinhard", to="broken", run=True, photos=photos)
    folders = {method.name: wanted.to / "methods" / method.name for method in wanted.methods}
    said = []
    for method in wanted.methods:
        folders[method.name].mkdir(parents=True)
        way = make if method.kind == "photo" else making._make
        said += way(method, wanted.materials, jobs_of(method, list_pictures(photos), wanted), folders[method.name])
    assert sum("broken.jpg" in sentence for sentence in said) == 2  # each method that makes something says so
    around = Folders(Path(), photos, world.paintings, None, {}, None)
    gathered = gather_all(folders, around, Processes.join(), side=None, jpeg=None, seed=0)
    told = [*notes_of(gathered), *unsaid(said, gathered.sets.photos)]
    (note,) = (note for note in told if "cannot be read" in note or "broken" in note)
    assert note.startswith("1 of the photos cannot be read and are left out")
    assert note.count("broken.jpg") == 1


# What is refused, before anything is made.


def refused(wanted: Wanted, match: str) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=match):
        compare_all(wanted, Processes.join())
    assert not wanted.to.exists()


def test_mistakes_are_told_before_anything_is_written(world: World, tmp_path: Path, draw: Draw) -> None:
    (tmp_path / "empty").mkdir()
    few = draw(tmp_path / "few", 2)[0].parent
    photo = Method("photo", "photo")
    fresh = world.wanted("photo", to="fresh")
    refused(replace(fresh, to=world.photos / "x"), "lies in .* which is given as --photos")
    refused(replace(fresh, photos=tmp_path / "nowhere"), "no such folder")
    refused(replace(fresh, photos=tmp_path / "empty"), "no pictures below")
    refused(replace(fresh, materials=Materials(tmp_path / "empty")), "no pictures below")
    refused(replace(fresh, held_out=tmp_path / "nowhere"), "no such folder")
    refused(replace(fresh, methods=[photo, Method("r", "run", tmp_path / "nowhere")]), "no such run or painter")
    refused(
        replace(fresh, methods=[photo, Method("x", "folder", few)]),
        "no picture for 6 of the 8 photos, first picture-02",
    )
    refused(replace(fresh, methods=[photo, Method("x", "folder", tmp_path / "empty")]), "no pictures below")


def test_a_target_that_a_method_cannot_have_is_told_at_once(world: World) -> None:
    impossible = Method("mrf-mean", "styling", recipe="mrf", target="mean")
    refused(replace(world.wanted("photo", to="fresh"), methods=[impossible]), "mrf-mean: .*target = mean")


def test_photos_that_differ_in_their_ending_alone_are_refused(world: World, tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path, 2)
    draw(tmp_path, 2, suffix=".jpg")
    with pytest.raises(ValueError, match="differ in their ending alone"):
        choose_photos(replace(world.wanted("photo"), photos=tmp_path))


def test_photos_are_taken_from_all_over_the_folder(world: World) -> None:
    chosen = choose_photos(replace(world.wanted("photo"), at_most=4))
    assert [path.stem for path in chosen] == [f"picture-0{number}" for number in (0, 2, 4, 6)]


# The process of a method.


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="the system knows no fork")
def test_a_process_that_refuses_says_so_with_the_name_of_its_method(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fork, since it imports nothing anew; that a fresh process starts too is shown by `told`."""
    fork = multiprocessing.get_context("fork")
    monkeypatch.setattr(multiprocessing, "get_context", lambda _: fork)
    gone = Method("gone", "run", tmp_path / "nowhere")
    with pytest.raises(ValueError, match="gone: no such run or painter"):
        make(gone, Materials(world.paintings), [Job(world.photos, tmp_path / "made" / "x.png")], tmp_path / "made")


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (-signal.SIGKILL, "killed .SIGKILL.; perhaps the memory"),
        (-signal.SIGSEGV, "killed .SIGSEGV"),
        (3, "with code 3"),
    ],
)
def test_the_death_of_a_process_is_a_sentence(code: int, said: str) -> None:
    assert re.search(said, making._of_death(code))


def test_other_pictures_go_aside_and_come_back(tmp_path: Path, draw: Draw) -> None:
    first, second, third = draw(tmp_path / "made", 3)
    content = second.read_bytes()
    keep_only(tmp_path / "made", [first])
    assert list_pictures(tmp_path / "made") == [first]
    keep_only(tmp_path / "made", [second, third])
    assert list_pictures(tmp_path / "made") == [second, third]
    assert second.read_bytes() == content


class Slow:
    """Makes pictures that it says took something; some are there already."""

    def __init__(self, there: int) -> None:
        self.there = there

    def __call__(self, jobs: Sequence[Job], progress: Progress) -> Tally:
        kept = min(self.there, len(jobs))
        self.there -= kept
        return Tally(len(jobs) - kept, kept)


def test_costs_add_up_over_what_was_really_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs, method = [Job(tmp_path, tmp_path / str(number)) for number in range(6)], Method("slow", "run")

    def cost(there: int, **settings: Any) -> Cost:
        monkeypatch.setattr(making, "open_maker", lambda *_: Maker(settings, Slow(there)))
        making._make(method, Materials(tmp_path), jobs, tmp_path)
        found = read_cost(tmp_path)
        assert found is not None
        return found

    assert cost(6, steps=1).made == 0
    assert cost(4, steps=1).made == 2
    first = cost(2, steps=1)
    assert first.made == 6
    assert cost(6, steps=1) == first  # nothing made, nothing changed
    assert cost(0, steps=2).made == 6  # other settings: these are other pictures
    assert cost(0, steps=2).made == 12


def test_costs_are_read_as_they_were_written_and_damage_is_none(tmp_path: Path) -> None:
    cost = here(torch.device("cpu"), {"taps": ("a", "b"), "place": Path("x")}).after(3, 1.5)
    write_cost(tmp_path, cost)
    assert read_cost(tmp_path) == cost
    assert cost.each == 0.5
    assert here(torch.device("cpu"), {}).each is None
    for damaged in ("{", "[]", '{"other": 1}'):
        (tmp_path / "cost.json").write_text(damaged)
        assert read_cost(tmp_path) is None


HIGH_WATER = "print(int(open('/proc/self/status').read().split('VmHWM:')[1].split()[0]) * 1024)"


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system tells no memory")
def test_memory_is_told_at_its_peak_and_the_system_gives_a_child_its_own() -> None:
    large = torch.ones(96 << 18)  # 96 MiB
    there = peak_memory()
    assert there >= large.numel() * 4
    del large
    assert peak_memory() > there - (4 << 20)  # the system counts in steps
    child = subprocess.run([sys.executable, "-c", HIGH_WATER], capture_output=True, text=True, check=True, timeout=20)
    assert int(child.stdout) < 64 << 20  # an interpreter alone, though this process is larger


def test_only_photos_that_every_method_could_make_are_compared(tmp_path: Path) -> None:
    photos = [tmp_path / f"{name}.png" for name in "abc"]
    methods = {name: Method(name, "reinhard") for name in ("one", "two")}
    work = {method: [Job(photo, tmp_path / name / photo.name) for photo in photos] for name, method in methods.items()}
    folders = {name: tmp_path / name for name in methods}
    for name, made in {"one": "abc", "two": "ac"}.items():
        folders[name].mkdir()
        for letter in made:
            Image.new("RGB", (4, 4)).save(folders[name] / f"{letter}.png")
    keep_common(work, folders)
    assert all(sorted(path.name for path in folder.glob("*.png")) == ["a.png", "c.png"] for folder in folders.values())
    (folders["two"] / "a.png").unlink()
    (folders["two"] / "c.png").unlink()
    with pytest.raises(ValueError, match="no photo that every method could make"):
        keep_common(work, folders)
