"""The whole, from mounted data to a zip, whatever happens on the way (cyclestyle.competing.competition).

What trains and paints here is a program of a second that leaves behind what the real commands do; those themselves are
run by tests/test_kaggle_notebook.py.
"""

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
from conftest import Draw

from cyclestyle.competing import competition, timekeeping
from cyclestyle.competing.children import PATIENCE
from cyclestyle.competing.competition import Competition, Wish, compete
from cyclestyle.competing.devices import Machine
from cyclestyle.files import sha256
from cyclestyle.images import load
from cyclestyle.stopping import Stopped

STAND_IN = """
import hashlib, json, os, signal, sys, time, zipfile
from pathlib import Path
from PIL import Image

command, words = sys.argv[1], sys.argv[2:]
place = Path(os.environ["STAND_IN"])
with (place / "asked.jsonl").open("a") as file:
    file.write(json.dumps([command, *words]) + "\\n")
act = json.loads((place / "act.json").read_text())
option = dict(zip(words, words[1:]))

def painter(text):
    run = Path(option["--run"])
    (run / "checkpoints" / "step-0000001").mkdir(parents=True, exist_ok=True)
    (run / "config.toml").write_text('[schedule]\\nbudget = "%s"\\n' % option["--budget"])
    (run / "pace.jsonl").write_text(json.dumps({"step": 1, "seconds": 0.5}) + "\\n")
    (run / "budget.json").write_text(json.dumps({"painting": act.get("painting", 1.0)}))
    (run / "paint.safetensors").write_text(text)

def save_and_end(*_):
    painter("half trained")
    sys.exit(75)

if command == "train":
    signal.signal(signal.SIGTERM, save_and_end)
    how = act.get("train", "well")
    if how.startswith("some"):
        painter("half trained")
    if "fails" in how:
        sys.exit(2)
    if "dies" in how:
        os.kill(os.getpid(), signal.SIGKILL)
    if "refuses" in how:  # just when it is asked to end
        Path(option["--run"]).mkdir(exist_ok=True)
        Path(option["--run"], "budget.json").write_text(json.dumps({"painting": act["painting"]}))
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(2))
        time.sleep(600)
    if "hangs" in how:
        Path(option["--run"], "budget.json").write_text(json.dumps({"painting": act["painting"]}))
        (place / "hanging").write_text(str(os.getpid()))
        time.sleep(600)
    painter("trained")
elif command == "submit" and "--validate" in words:
    sys.exit(act.get("validate", 0))
elif command == "submit":
    if act.get("submit"):
        sys.exit(act["submit"])
    run, to = Path(words[0]), Path(option["--to"])
    exif = Image.Exif()
    by = hashlib.sha256((run / "paint.safetensors").read_bytes()).hexdigest()[:16]
    exif[0x010E] = "painter %s photo 123 square 256" % by
    with zipfile.ZipFile(to, "w") as archive:
        for photo in sorted(Path(option["--photos"]).iterdir()):
            Image.open(photo).resize((256, 256)).save(place / "one.jpg", exif=exif)
            archive.write(place / "one.jpg", photo.name)
elif command == "evaluate":
    assert len(list(Path(option["--painted"]).iterdir())) == 4
    sys.exit(act.get("evaluate", 0))
"""


class World:
    """Mounted data, a working folder, and what the stand-in is to do."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.place, self.mounted, self.working = tmp_path, tmp_path / "input", tmp_path / "working"
        self.settings = tmp_path / "settings.toml"
        self.settings.write_text('run = "runs/x"\n[data]\ncrop = 64\nresize = 72\n[schedule]\nbudget = "1h"\n')
        stand_in = tmp_path / "stand_in.py"
        stand_in.write_text(STAND_IN)
        monkeypatch.setattr(Machine, "words", lambda self, *command: [sys.executable, str(stand_in), *command])
        monkeypatch.setattr(timekeeping, "seconds_since_start", lambda: 0.0)
        monkeypatch.setenv("STAND_IN", str(tmp_path))
        self.said: list[str] = []
        self.act()

    def act(self, **how: Any) -> None:
        """`train`, `submit`, `validate`, `evaluate`: how each goes; `painting`: seconds that the training measures."""
        (self.place / "act.json").write_text(json.dumps(how))

    def go(self, **given: Any) -> str:
        """Compete; what was said."""
        self.said.clear()
        wish: dict[str, Any] = {
            "mounted": self.mounted,
            "working": self.working,
            "budget": "10m",
            "settings": self.settings,
            "weights": None,
            "device": "cpu",
            "processes": None,
            "practice": True,
            "as_written": False,
            "restart_clock": False,
        }
        compete(Wish(**wish | given), self.said.append)
        return "\n".join(self.said)

    def asked(self) -> list[list[str]]:
        """The commands since this was last asked."""
        path = self.place / "asked.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return [json.loads(line) for line in lines]

    @property
    def names(self) -> list[str]:
        return [" ".join(words[:2]) if "--validate" in words else words[0] for words in self.asked()]

    @property
    def archive(self) -> Path:
        return self.working / "images.zip"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, draw: Draw) -> World:
    monkeypatch.delenv("ACCELERATE_USE_CPU", raising=False)
    place = tmp_path / "input/competitions/gan-getting-started"
    draw(place / "photo_jpg", 4, suffix=".jpg", size=(256, 256))
    draw(place / "monet_jpg", 2, suffix=".jpg", size=(256, 256), seed=5)
    return World(tmp_path, monkeypatch)


def test_it_trains_paints_and_shows_and_says_how_long_it_took(world: World) -> None:
    said = world.go()
    train, submit = world.asked()
    place = world.mounted / "competitions/gan-getting-started"
    options = dict(zip(train[1::2], train[2::2], strict=True))
    assert train[0] == "train"
    assert options["--config"] == str(world.settings)
    assert options["--run"] == str(world.working / "run")
    assert options["--data.photos"] == str(place / "photo_jpg")
    assert options["--data.paintings"] == str(place / "monet_jpg")
    assert 590 <= int(options["--budget"].removesuffix("s")) <= 600
    assert options["--generator.width"] == "32"  # no GPU
    assert submit[:2] == ["submit", str(world.working / "run")]
    assert submit[-1] == "--practice"
    assert zipfile.ZipFile(world.archive).testzip() is None
    assert load(world.working / "painted.jpg").width > 4 * 256
    assert "2 paintings and 4 photos in" in said
    assert "no card: no weights of VGG-19" in said
    assert world.said[-1].startswith(f"done: {world.archive}, after ")


def test_a_second_time_only_looks_at_what_is_there(world: World) -> None:
    world.go()
    before = world.archive.read_bytes()
    world.asked()
    world.go()
    assert world.names == ["submit --validate"]
    assert world.archive.read_bytes() == before


@pytest.mark.parametrize("change", ["another painter", "a zip that is not valid", "a zip that is cut", "no zip"])
def test_what_is_not_this_painters_valid_zip_is_painted_and_nothing_trained(world: World, change: str) -> None:
    world.go()
    mark = world.working / competition.HIDDEN / "trained.json"
    if change == "another painter":
        (world.working / "run" / "paint.safetensors").write_text("another")
        mark.write_text(json.dumps({"painter": sha256(world.working / "run" / "paint.safetensors")}))
    elif change == "a zip that is not valid":
        world.act(validate=2)
    elif change == "a zip that is cut":
        world.archive.write_bytes(world.archive.read_bytes()[:3000])
    else:
        world.archive.unlink()
    world.asked()
    world.go()
    assert world.names == (["submit --validate"] if "not valid" in change else []) + ["submit"]
    assert zipfile.ZipFile(world.archive).testzip() is None


def test_too_few_photos_are_refused_before_anything_is_begun(world: World) -> None:
    with pytest.raises(ValueError, match=r"photo_jpg holds 4 photos; the competition takes 7,000 .* add --practice"):
        world.go(practice=False)
    with pytest.raises(FileNotFoundError, match="no such folder"):
        world.go(mounted=world.place / "nowhere")
    with pytest.raises(ValueError, match=r"--budget soon: should be a time such as"):
        world.go(budget="soon")
    with pytest.raises(FileNotFoundError, match="no such settings file"):
        world.go(settings=world.place / "none.toml")
    assert world.asked() == []


# --- what goes wrong ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("how", "why"), [("fails", "ended with exit code 2"), ("dies", r"was killed \(SIGKILL, as ")])
def test_a_training_that_fails_is_an_error_but_the_painter_that_is_there_paints(
    world: World, how: str, why: str
) -> None:
    world.act(train=f"some, {how}")
    with pytest.raises(ValueError, match=rf"training {why}.*images\.zip is by the painter of its last checkpoint"):
        world.go()
    assert world.names == ["train", "submit"]
    assert zipfile.ZipFile(world.archive).testzip() is None
    world.act()
    world.go()  # again: it is trained to the end, and painted anew
    assert world.names == ["train", "submit"]


@pytest.mark.parametrize("how", ["fails", "dies"])
def test_without_a_painter_nothing_is_painted(world: World, how: str) -> None:
    world.act(train=how)
    with pytest.raises(ValueError, match=r"^training .*, and there is no painter yet$"):
        world.go()
    assert world.names == ["train"]
    assert not world.archive.exists()


def test_painting_that_fails_keeps_an_older_zip(world: World) -> None:
    world.archive.parent.mkdir()
    world.archive.write_bytes(b"older")
    world.act(submit=2)
    with pytest.raises(ValueError, match=r"^painting ended with exit code 2; the same command goes on"):
        world.go()
    world.act(train="some, fails", submit=2)
    (world.working / competition.HIDDEN / "trained.json").unlink()
    with pytest.raises(ValueError, match=r"^training ended .*; and painting ended with exit code 2"):
        world.go()
    assert world.archive.read_bytes() == b"older"


@pytest.mark.slow
def test_a_training_that_does_not_end_in_time_is_asked_to_and_what_it_saved_paints(world: World) -> None:
    world.act(train="hangs", painting=600.0)
    said = world.go()
    assert "the time for training was over before its end" in said
    assert world.names == ["train", "submit"]
    world.act(painting=600.0)
    assert "no time is left for training" in world.go()
    assert world.names == ["submit --validate"]
    assert PATIENCE > 30  # a step of a large network on a processor


@pytest.mark.slow
def test_a_training_that_refuses_when_its_time_is_over_has_failed(world: World) -> None:
    world.act(train="refuses", painting=600.0)
    with pytest.raises(
        ValueError, match=r"^training ended with exit code 2; what it says .*, and there is no painter yet$"
    ):
        world.go()


def test_a_run_that_was_killed_goes_on_with_its_budget_and_knows_what_was_lost(world: World) -> None:
    world.act(train="some, dies")
    with pytest.raises(ValueError, match="SIGKILL"):
        world.go(budget="10m")
    (train, _) = world.asked()
    begun_with = train[train.index("--budget") + 1]
    clock = world.working / competition.HIDDEN / "clock.json"
    kept = json.loads(clock.read_text())
    clock.write_text(json.dumps(kept | {"began": kept["began"] - 100}))  # it was begun longer ago

    def pace() -> list[dict[str, float]]:
        return [json.loads(line) for line in (world.working / "run/pace.jsonl").read_text().splitlines()]

    world.act(train="fails")
    with pytest.raises(ValueError, match="exit code 2"):
        world.go(budget="10m")
    (train, *_) = world.asked()
    assert train[train.index("--budget") + 1] == begun_with
    assert 99 < pace()[-1]["seconds"] < 400  # to whole seconds
    with pytest.raises(ValueError, match="exit code 2"):
        world.go(budget="10m", restart_clock=True)
    assert len(pace()) == 2  # nothing is lost


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_being_asked_to_stop_ends_the_training_first_and_the_same_command_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.act(train="hangs", painting=1.0)
    real = Competition._start

    def start(self: Competition, words: list[str], machine: Machine, over: Any = lambda: False) -> Any:
        def asking() -> bool:
            if (world.place / "hanging").exists() and not self.stop.asked:
                os.kill(os.getpid(), signal.SIGTERM)
            return over()

        return real(self, words, machine, asking)

    with monkeypatch.context() as patch:
        patch.setattr(Competition, "_start", start)
        with pytest.raises(Stopped, match="SIGTERM"):
            world.go()
    assert (world.working / "run" / "paint.safetensors").read_text() == "half trained"
    assert world.names == ["train"]
    world.act()
    world.go()
    assert world.names == ["train", "submit"]


HOLD = """
import sys, time
from pathlib import Path
from cyclestyle.files import held
with held(Path(sys.argv[1])) as ours:
    print(ours, flush=True)
    sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="unguarded there")
def test_a_folder_is_worked_in_by_one_and_a_training_that_is_ending_is_waited_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hold(path: Path) -> "subprocess.Popen[str]":
        path.parent.mkdir(parents=True, exist_ok=True)
        holder = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert holder.stdout is not None
        assert holder.stdout.readline().strip() == "True"
        return holder

    other = hold(world.working / competition.HIDDEN / "lock")
    with pytest.raises(ValueError, match=r"is being worked in by another `cyclestyle compete`"):
        world.go()
    other.communicate("")
    ending = hold(world.working / "run" / ".lock")
    real, waited = time.sleep, list[float]()

    def sleep(seconds: float) -> None:
        if seconds > 1:  # not while a command is watched
            waited.append(seconds)
            ending.communicate("")
        else:
            real(seconds)

    monkeypatch.setattr(competition.time, "sleep", sleep)
    assert "waiting for a training that is ending" in world.go()
    assert len(waited) == 1
    assert world.names == ["train", "submit"]


# --- the card -----------------------------------------------------------------------------------------------------


def with_weights(world: World, *names: str) -> None:
    folder = world.mounted / "datasets/me/weights"
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).write_bytes(b"")


def test_with_weights_there_is_a_card_for_which_time_was_kept_back(world: World) -> None:
    with_weights(world, "vgg19.pth", "inception.pth")
    said = world.go(budget="5h")
    train, _, evaluate = world.asked()
    kept_back = 5 * 3600 - int(train[train.index("--budget") + 1].removesuffix("s"))
    assert competition.LONGEST_CARD <= kept_back <= competition.LONGEST_CARD + 60
    assert evaluate[0] == "evaluate"
    assert evaluate[evaluate.index("--leave-out") + 1] == "lpips"
    assert evaluate[evaluate.index("--weights") + 1] == str(world.mounted / "datasets/me/weights")
    assert "no card" not in said


def test_without_inception_the_card_says_what_it_lacks(world: World) -> None:
    with_weights(world, "vgg19.pth")
    assert "a card without FID, KID and MiFID: there are no weights of Inception" in world.go(budget="5h")


def test_a_card_that_fails_or_has_no_time_is_no_reason_to_fail(world: World) -> None:
    with_weights(world, "vgg19.pth", "inception.pth")
    world.act(evaluate=2)
    assert "no card: measuring ended with exit code 2" in world.go(budget="5h")
    assert "no card: no time is left for it" in world.go(budget="60s")
    assert zipfile.ZipFile(world.archive).testzip() is None


def test_a_sheet_that_cannot_be_made_is_no_reason_to_fail(world: World) -> None:
    world.working.mkdir()
    (world.working / "painted.jpg").mkdir()
    assert "no picture to look at: " in world.go()
    assert zipfile.ZipFile(world.archive).testzip() is None
