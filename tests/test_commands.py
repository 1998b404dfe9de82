"""What a user types: every command in turn on a small world, and every mistake in one line."""

import importlib
import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Draw
from PIL import Image

from cyclestyle import cli, commands
from cyclestyle.config import Settings
from cyclestyle.images import load

pytestmark = [
    pytest.mark.usefixtures("fresh_accelerate"),
    pytest.mark.filterwarnings("ignore:Cyclopts application invoked without tokens"),  # sys.argv is what is tested
]


def typed(*words: object, monkeypatch: pytest.MonkeyPatch) -> int:
    """Type a command; its exit code."""
    monkeypatch.setattr(sys, "argv", ["cyclestyle", *map(str, words)])
    try:
        cli.main()
    except SystemExit as end:
        return 0 if end.code is None else int(end.code)
    return 0


class Terminal:
    """Types commands and reads what they say."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch, self.capsys = monkeypatch, capsys

    def __call__(self, *words: object) -> str:
        """What a command that succeeds prints."""
        self.capsys.readouterr()
        code = typed(*words, monkeypatch=self.monkeypatch)
        said = self.capsys.readouterr()
        assert code == 0, said.err
        return said.out

    def fails(self, *words: object) -> str:
        """The sentence in which a command ends that cannot be carried out."""
        self.capsys.readouterr()
        code = typed(*words, monkeypatch=self.monkeypatch)
        said = self.capsys.readouterr().err
        errors = [
            line
            for line in said.splitlines()
            if not re.match(r"(painting|training|drawing|opening|looking|downloading|stylizing|note)[: ]", line)
        ]
        assert code == 2, said
        assert len(errors) == 1, said
        assert errors[0].startswith("error: ")
        assert "Traceback" not in said
        return errors[0].removeprefix("error: ")


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    monkeypatch.setenv("COLUMNS", "200")
    return Terminal(monkeypatch, capsys)


def test_help_lists_every_command_with_its_purpose(terminal: Terminal) -> None:
    said = " ".join(terminal("--help").split())
    for name, purpose in cli.COMMANDS.items():
        assert name in said
        assert purpose.split()[0] in said


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_each_command_has_a_module_and_a_function_of_its_name_and_help(name: str, terminal: Terminal) -> None:
    module = importlib.import_module(f"cyclestyle.commands.{name}")
    function = getattr(module, name)
    own = [
        key for key, value in vars(module).items() if inspect.isfunction(value) and value.__module__ == module.__name__
    ]
    assert [key for key in own if not key.startswith("_")] == [name]
    said = " ".join(re.sub("[│╭╮╰╯─]", " ", terminal(name, "--help")).split())
    description = inspect.cleandoc(function.__doc__).split("\nParameters\n")[0]
    assert " ".join(description.replace("`", "").split()) in said.replace("`", "")
    for parameter in inspect.signature(function).parameters:
        assert parameter.replace("_", "-") in said.lower() or parameter == "settings"


def test_all_command_modules_are_in_the_table() -> None:
    modules = {path.stem for path in Path(cli.__file__).parent.joinpath("commands").glob("*.py")} - {"__init__"}
    assert modules == set(cli.COMMANDS)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, {"GOMP_SPINCOUNT": str(cli.SPINS)}),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, {"OMP_WAIT_POLICY": "ACTIVE"}),
        ({"GOMP_SPINCOUNT": "5"}, {"GOMP_SPINCOUNT": "5"}),
        ({"KMP_BLOCKTIME": "1"}, {"KMP_BLOCKTIME": "1"}),
    ],
)
def test_threads_spin_for_a_moment_only_unless_told_otherwise(
    given: dict[str, str], found: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
    for name in names:
        monkeypatch.setenv(name, given.get(name, ""))
        if name not in given:
            monkeypatch.delenv(name)
    cli.let_threads_rest()
    assert {name: os.environ[name] for name in names if name in os.environ} == found


def test_in_a_file_lines_stand_as_they_were_said(tmp_path: Path) -> None:
    """`cyclestyle train > log 2>&1`: what is said in the beginning comes before the error that ends it."""
    program = (
        "import sys, cyclestyle.cli as cli\n"
        "sys.argv = ['cyclestyle', '--help']\n"
        "try: cli.main()\n"
        "except SystemExit: pass\n"
        "print('going on')\n"
        "sys.stderr.write('error: the disk is full\\n')\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with (tmp_path / "log").open("w") as log:
        subprocess.run([sys.executable, "-c", program], env=environment, stdout=log, stderr=log, check=True)
    said = (tmp_path / "log").read_text().splitlines()
    assert said[-2:] == ["going on", "error: the disk is full"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="PyTorch comes with another OpenMP there")
def test_pytorchs_threads_wait_as_the_program_chose() -> None:
    program = (
        "import sys, cyclestyle.cli as cli\n"
        "sys.argv = ['cyclestyle', '--help']\n"
        "try: cli.main()\n"
        "except SystemExit: pass\n"
        "assert 'torch' not in sys.modules\n"
        "import torch\n"
    )
    ways = ("OMP_WAIT", "GOMP_", "KMP_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ways)}
    words = [sys.executable, "-c", program]
    run = subprocess.run(
        words, env=environment | {"OMP_DISPLAY_ENV": "verbose"}, capture_output=True, text=True, check=True
    )
    assert f"GOMP_SPINCOUNT = '{cli.SPINS}'" in run.stderr  # which OpenMP says of itself when it is loaded


def imported_by(code: str) -> set[str]:
    """The packages that are imported when it runs in a process of its own."""
    run = subprocess.run([sys.executable, "-X", "importtime", "-c", code], capture_output=True, text=True, check=True)
    return {line.rpartition("|")[2].strip().split(".")[0] for line in run.stderr.splitlines()}


HEAVY = {"torch", "torchvision", "accelerate", "albumentations", "cv2", "numpy", "PIL", "safetensors", "tensorboard"}


def test_the_table_of_commands_imports_nothing_heavy() -> None:
    imported = imported_by("import cyclestyle.cli; cyclestyle.cli.build_app()")
    assert "cyclopts" in imported
    assert not imported & {*HEAVY, "pydantic", "tomli_w", "tqdm", "kaggle"}


def test_no_commands_help_waits_for_pytorch() -> None:
    names = [path.stem for path in Path(commands.__path__[0]).glob("*.py")]
    imported = imported_by(f"for name in {names}: __import__('cyclestyle.commands.' + name)")
    assert "pydantic" in imported
    assert not imported & HEAVY


# Mistakes.

CONFIG = """
run = "{run}"
[data]
folder = "{data}"
crop = 16
resize = 18
workers = 0
[generator]
width = 4
blocks = 1
[discriminator]
width = 4
layers = 1
[schedule]
epochs = 2
decay_epochs = 1
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(CONFIG.format(run=tmp_path / "run", data=tmp_path / "data"))
    return path


def test_an_unknown_command_is_named_with_the_nearest(terminal: Terminal) -> None:
    said = terminal.fails("trane")
    assert '"trane"' in said
    assert '"train"' in said


def test_an_unknown_option_is_named_with_the_nearest(terminal: Terminal, config: Path) -> None:
    said = terminal.fails("train", "--config", config, "--data.fodler", "x")
    assert "--data.fodler" in said
    assert "--data.folder" in said


def test_an_unknown_key_in_a_file_is_named_with_the_nearest(terminal: Terminal, config: Path) -> None:
    config.write_text(config.read_text().replace("crop", "croop"))
    said = terminal.fails("train", "--config", config)
    assert "croop" in said
    assert "data.crop" in said
    assert str(config) in said


def test_a_wrong_value_is_named_with_what_is_allowed_and_in_plain_words(terminal: Terminal, config: Path) -> None:
    said = terminal.fails("train", "--config", config, "--data.crop", "30")
    assert "data.crop" in said
    assert "30" in said
    assert "multiple of 4" in said
    assert "pydantic" not in said
    config.write_text(config.read_text().replace("width = 4", 'width = "wide"'))
    said = terminal.fails("train", "--config", config)
    assert "width" in said
    assert "wide" in said
    assert "pydantic" not in said
    said = terminal.fails("synthesize", "--size", "3")
    assert "--size" in said
    assert "greater than or equal to 16" in said
    assert "pydantic" not in said
    assert '"gif"' in terminal.fails("translate", "run", "photos", "--to", "out", "--format", "gif")


@pytest.mark.parametrize("words", [["--run", ""], ["--run="], ["--data.photos", ""], ["--data.paintings="]])
def test_a_variable_that_is_not_set_is_no_folder(terminal: Terminal, config: Path, words: list[str]) -> None:
    """Else it would be the one where somebody is."""
    said = terminal.fails("train", "--config", config, *words)
    assert said.strip() == f"nothing is given after {words[0].strip('=')}; is a variable not set?"


def test_words_that_nothing_takes_are_repeated(terminal: Terminal, config: Path) -> None:
    said = terminal.fails("check", "data", "two words", "more")
    assert said == "too much is given: 'two words' 'more'; `cyclestyle check --help` shows what there is"
    assert "finite" in terminal.fails("translate", "run", "photos", "--to", "out", "--strength", "nan")


def test_who_has_seen_enough_gets_no_more(tmp_path: Path, draw: Draw) -> None:
    """As `head` does."""
    for name in ("photos", "paintings"):
        draw(tmp_path / name, 1)
    reader, writer = os.pipe()
    os.close(reader)
    words = [sys.executable, "-m", "cyclestyle", "check", tmp_path]
    ended = subprocess.run(words, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (ended.returncode, ended.stderr.splitlines()[-1]) == (141, "stopped: what reads the output has been closed")
    assert "rror" not in ended.stderr, "nor does Python complain at its end"


def test_a_length_in_epochs_and_in_steps_is_refused(terminal: Terminal, config: Path) -> None:
    said = terminal.fails("train", "--config", config, "--schedule.epochs", "2", "--schedule.steps", "9")
    assert "not in two of them" in said
    said = terminal.fails("train", "--config", config, "--budget", "2h", "--schedule.steps", "9")
    assert "not in two of them" in said


def test_a_file_that_is_not_there_or_not_toml_is_named(terminal: Terminal, tmp_path: Path) -> None:
    assert "no such settings file" in terminal.fails("train", "--config", tmp_path / "nowhere.toml")
    assert f"{tmp_path} is a folder" in terminal.fails("train", "--config", tmp_path)
    Image.new("RGB", (9, 9)).save(tmp_path / "photo.jpg")
    assert "photo.jpg is not text" in terminal.fails("train", "--config", tmp_path / "photo.jpg")
    broken = tmp_path / "broken.toml"
    broken.write_text("run = [")
    said = terminal.fails("train", "--config", broken)
    assert str(broken) in said
    assert "not valid TOML" in said


def test_a_missing_argument_is_named(terminal: Terminal, config: Path) -> None:
    assert "--to" in terminal.fails("translate", "run", "photos")
    config.write_text(config.read_text().split("[schedule]")[0])
    assert "schedule" in terminal.fails("train", "--config", config)


def test_missing_folders_and_painters_are_named(terminal: Terminal, config: Path, tmp_path: Path) -> None:
    assert str(tmp_path / "data") in terminal.fails("train", "--config", config)
    said = terminal.fails("translate", tmp_path / "nowhere", tmp_path, "--to", tmp_path / "out")
    assert "no such run or painter" in said
    assert not (tmp_path / "run").exists()  # what is refused leaves nothing behind
    (tmp_path / "run").mkdir()
    assert "holds no paint.safetensors yet" in terminal.fails("translate", tmp_path / "run", tmp_path, "--to", "out")
    assert "what is to be submitted?" in terminal.fails("submit", "--practice")
    said = terminal.fails("submit", tmp_path, "--photos", tmp_path, "--validate", tmp_path / "images.zip")
    assert "leave out RUN and --photos" in said


def test_an_interrupt_is_one_line_and_exit_code_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], config: Path
) -> None:
    def interrupted(settings: Settings, **_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("cyclestyle.training.loop.learn", interrupted)
    assert typed("train", "--config", config, monkeypatch=monkeypatch) == 130
    assert capsys.readouterr().err.splitlines() == ["stopped; the same command goes on from what is finished"]


def test_a_stop_that_has_saved_is_one_line_and_exit_code_75(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], config: Path
) -> None:
    import signal

    from cyclestyle.stopping import Stopped, StopRequest

    before = signal.getsignal(signal.SIGTERM)

    def asked(settings: Settings, *, strict: bool, stop: StopRequest) -> None:
        assert not strict
        signal.raise_signal(signal.SIGTERM)
        raise Stopped(f"stopped ({stop.asked}): all is saved at step 7 of 9")

    monkeypatch.setattr("cyclestyle.training.loop.learn", asked)
    assert typed("train", "--config", config, monkeypatch=monkeypatch) == 75
    assert capsys.readouterr().err.splitlines() == ["stopped (SIGTERM): all is saved at step 7 of 9"]
    assert signal.getsignal(signal.SIGTERM) is before


def test_other_processes_say_which_they_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], config: Path
) -> None:
    monkeypatch.setenv("RANK", "3")
    config.unlink()
    assert typed("train", "--config", config, monkeypatch=monkeypatch) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("process 4: error: ")


def test_what_a_loader_raises_is_told_without_the_frames_of_its_process(
    monkeypatch: pytest.MonkeyPatch, terminal: Terminal, config: Path
) -> None:
    raised = (
        "Caught ValueError in DataLoader worker process 0.\nOriginal Traceback (most recent call last):\n"
        '  File "x.py", line 1, in y\nValueError: 8 pictures in a row cannot be read; is their folder still there?\n'
    )

    def broken(settings: Settings, **_: object) -> None:
        raise ValueError(raised)

    monkeypatch.setattr("cyclestyle.training.loop.learn", broken)
    said = terminal.fails("train", "--config", config)
    assert said == "8 pictures in a row cannot be read; is their folder still there?"


def test_another_process_that_stopped_is_one_line(
    monkeypatch: pytest.MonkeyPatch, terminal: Terminal, config: Path
) -> None:
    def broken(settings: Settings, **_: object) -> None:
        raise RuntimeError(
            "[../third_party/gloo/gloo/transport/tcp/pair.cc:534] Connection closed by peer [127.0.0.1]:1"
        )

    monkeypatch.setattr("cyclestyle.training.loop.learn", broken)
    assert "another process stopped" in terminal.fails("train", "--config", config)


# Where settings come from.


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """The settings with which training would begin."""
    seen: list[Settings] = []
    monkeypatch.setattr("cyclestyle.training.loop.learn", lambda settings, **_: seen.append(settings))
    return seen


def test_a_file_fills_in_and_the_command_line_wins(terminal: Terminal, config: Path, settled: list[Settings]) -> None:
    terminal("train", "--config", config, "--generator.width", "8", "--run", "elsewhere", "--optimizer.beta1", "0.25")
    (settings,) = settled
    assert settings.run == Path("elsewhere")
    assert (settings.generator.width, settings.generator.blocks) == (8, 1)
    assert settings.optimizer.beta1 == 0.25
    assert (settings.schedule.epochs, settings.schedule.decay_epochs) == (2, 1)
    assert settings.seed == 0


def test_steps_on_the_command_line_win_over_epochs_in_the_file_and_the_other_way_round(
    terminal: Terminal, config: Path, settled: list[Settings]
) -> None:
    terminal("train", "--config", config, "--schedule.steps", "30")
    config.write_text(
        config.read_text().replace("epochs = 2", "steps = 9").replace("decay_epochs = 1", "decay_steps = 3")
    )
    terminal("train", "--config", config, "--schedule.epochs", "4")
    first, second = (settings.schedule for settings in settled)
    assert (first.steps, first.decay_steps, first.epochs, first.decay_epochs) == (30, None, None, None)
    assert (second.steps, second.decay_steps, second.epochs, second.decay_epochs) == (None, None, 4, None)


@pytest.mark.parametrize("option", ["--budget", "--schedule.budget"])
def test_a_budget_on_the_command_line_wins_over_a_length_in_the_file_and_the_other_way_round(
    option: str, terminal: Terminal, config: Path, settled: list[Settings]
) -> None:
    terminal("train", "--config", config, option, "4h40m")
    config.write_text(config.read_text().replace("epochs = 2\ndecay_epochs = 1", 'budget = "90m"'))
    terminal("train", "--config", config)
    terminal("train", "--config", config, option, "2h")
    terminal("train", "--config", config, "--schedule.steps", "30")
    schedules = [settings.schedule for settings in settled]
    assert [schedule.budget for schedule in schedules] == ["4h40m", "90m", "2h", None]
    assert [schedule.epochs for schedule in schedules] == [None] * 4
    assert schedules[-1].steps == 30


def test_a_budget_that_is_no_time_is_named_with_an_example(terminal: Terminal, config: Path) -> None:
    said = terminal.fails("train", "--config", config, "--budget", "soon")
    assert "budget = 'soon'" in said
    assert "4h40m" in said
    config.write_text(config.read_text().replace("epochs = 2\ndecay_epochs = 1", 'budget = "tomorrow"'))
    said = terminal.fails("train", "--config", config)
    assert "budget" in said
    assert "4h40m" in said


def test_steps_on_the_command_line_keep_the_decay_of_a_file_in_steps(
    terminal: Terminal, config: Path, settled: list[Settings]
) -> None:
    config.write_text(
        config.read_text().replace("decay_epochs = 1", "decay_steps = 3").replace("epochs = 2", "steps = 9")
    )
    terminal("train", "--config", config, "--schedule.steps", "30")
    terminal("train", "--config", config, "--schedule.decay-steps", "5")
    first, second = (settings.schedule for settings in settled)
    assert (first.steps, first.decay_steps) == (30, 3)
    assert (second.steps, second.decay_steps) == (9, 5)


def test_everything_can_be_given_without_a_file(terminal: Terminal, settled: list[Settings]) -> None:
    terminal(
        *("train", "--run", "runs/x", "--data.folder", "d", "--schedule.steps", "5", "--discriminator.spectral-norm"),
        *("--optimizer.learning-rate", "1e-3", "--compute.mixed-precision", "bf16", "--data.augmentation", "none"),
    )
    (settings,) = settled
    assert settings.discriminator.spectral_norm
    assert settings.optimizer.learning_rate == 1e-3
    assert settings.compute.mixed_precision == "bf16"
    assert settings.data.augmentation == "none"


# From nothing to a submission.


@pytest.mark.slow
def test_from_synthetic_scenes_to_a_valid_submission_and_a_table(terminal: Terminal, tmp_path: Path) -> None:
    scenes, run, out = tmp_path / "scenes", tmp_path / "run", tmp_path / "out"
    said = terminal("synthesize", "--to", scenes, "--photos", 4, "--paintings", 4, "--test", 2, "--processes", 1)
    assert "4 photos, 4 paintings and 2 pairs of 64 x 64 pixels" in said
    assert {folder: len(list((scenes / folder).glob("*.png"))) for folder in ("photos", "paintings")} == {
        "photos": 4,
        "paintings": 4,
    }

    small = ("--generator.width", 4, "--generator.blocks", 1, "--discriminator.width", 4, "--discriminator.layers", 1)
    train = ("train", "--run", run, "--data.folder", scenes, "--data.crop", 32, "--data.augmentation", "flip")
    train = (*train, *small, "--schedule.steps", 3, "--data.workers", 0, "--report.samples", 1)
    said = terminal(*train)
    assert "training for 3 steps on 4 photos and 4 paintings at 32 px" in said
    assert f"painter {run / 'paint.safetensors'}" in said

    assert "2 painted" in terminal("translate", run, scenes / "test/photos", "--to", out)
    assert "0 painted, 2 were there already" in terminal("translate", run, scenes / "test/photos", "--to", out)
    assert load(out / "scene-00000.png").size == (64, 64)
    back = terminal("translate", run, scenes / "paintings" / "scene-00000.png", "--to", tmp_path / "b.jpg", "--back")
    assert "1 painted" in back
    assert (out / "scene-00000.png").read_bytes() != (tmp_path / "b.jpg").read_bytes()
    with Image.open(tmp_path / "b.jpg") as picture:
        assert picture.format == "JPEG"

    archive = tmp_path / "images.zip"
    said = terminal.fails("submit", run, "--photos", scenes / "photos", "--to", archive)
    assert "holds 4 pictures" in said
    assert "--practice" in said
    assert "a practice submission" in terminal(
        "submit", run, "--photos", scenes / "photos", "--to", archive, "--practice"
    )
    assert "4 JPEGs of 256x256" in terminal("submit", "--validate", archive, "--practice")
    assert "7,000" in terminal.fails("submit", "--validate", archive)
    assert sorted(path.name for path in tmp_path.glob("images*")) == ["images.zip"]

    asked = (
        *("evaluate", "--painted", out, "--photos", scenes / "test/photos", "--truth", scenes / "test/paintings"),
        *("--paintings", scenes / "paintings", "--to", tmp_path / "card", "--also.copy", scenes / "test/paintings"),
        *("--run", run),
    )
    said = terminal(*asked, "--random-weights")
    told = json.loads((tmp_path / "card" / "truth.json").read_text())
    assert told["pictures"] == 2
    assert set(told["median"]) == {"photo, untouched", "colour transfer", "painted", "copy"}
    assert told["median"]["copy"]["ciede2000"] == 0.0
    assert load(tmp_path / "card" / "pictures.png").width > 3 * 160
    card = json.loads((tmp_path / "card" / "card.json").read_text())
    rows = {name: cells for name, *cells in card["truth"]["table"][1:]}
    assert list(rows) == ["photo, untouched", "colour transfer", "painted", "copy"]
    assert rows["copy"][1:] == ["1.000", "0.00", "0%", "0%", "0%"]
    assert told["median"]["painted"]["psnr"] == pytest.approx(float(rows["painted"][0]), abs=0.01)
    assert {"cycle", "identity"} <= set(card["behaviour"])
    assert "RANDOM WEIGHTS" in said
    assert " ".join(card["verdict"].split()) in " ".join(said.split())
    assert f"look: {tmp_path / 'card' / 'card.html'}" in said
    assert (tmp_path / "card" / "card.html").stat().st_size > 10_000


def test_weights_that_are_not_there_are_told_before_a_picture_is_opened(
    terminal: Terminal, tmp_path: Path, draw: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.hub.download_url_to_file", lambda *_, **__: (_ for _ in ()).throw(OSError("no network")))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv("CYCLESTYLE_WEIGHTS", raising=False)
    (tmp_path / "weights").mkdir()
    folders = []
    for seed, name in enumerate(("painted", "photos", "paintings")):
        draw(tmp_path / name, 2, seed=seed)
        folders += [f"--{name}", tmp_path / name]
    for more in ((), ("--weights", tmp_path / "weights")):
        said = terminal.fails("evaluate", *folders, "--to", tmp_path / "card", *more)
        for name in ("vgg19-dcbb9e9d.pth", "weights-inception-2015-12-05-6726825d.pth", "alexnet-owt-7be5be79.pth"):
            assert f"put {name} into a folder" in said  # all at once
        assert "--random-weights" in said
    said = terminal.fails("evaluate", *folders, "--to", tmp_path / "card", "--weights", tmp_path / "nowhere")
    assert said.count("no such folder of weights") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--size", "31"), "--size: should be greater than or equal to 32"),
        (("--jpeg", "101"), "--jpeg: should be less than or equal to 100"),
        (("--batch", "0"), "--batch: should be greater than 0"),
        (("--network", "vgg11"), "vgg11"),
        (("--leave-out", "vgg"), "vgg"),
        (("--also.painted", "x"), "--also.painted has the name of a row"),
        (("--run", "nowhere"), "no such run or painter"),
    ],
)
def test_what_an_evaluation_cannot_do_is_said_in_a_sentence(
    terminal: Terminal, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    folders = [word for name in ("painted", "photos", "paintings") for word in (f"--{name}", tmp_path / name)]
    assert said in terminal.fails("evaluate", *folders, "--to", tmp_path / "card", "--random-weights", *words)


def test_unread_photos_are_named_the_others_painted_and_the_exit_code_is_not_zero(
    terminal: Terminal, tmp_path: Path, draw: Draw
) -> None:
    from test_distributed import write_painter

    write_painter(tmp_path / "paint.safetensors")
    photos = draw(tmp_path / "photos", 3)
    photos[1].write_bytes(b"not a picture")
    said = terminal.fails("translate", tmp_path / "paint.safetensors", tmp_path / "photos", "--to", tmp_path / "out")
    assert "1 of 3 photos were passed over" in said
    assert str(photos[1]) in said
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["picture-00.png", "picture-02.png"]


def test_too_few_photos_are_refused_before_anything_is_painted(terminal: Terminal, tmp_path: Path, draw: Draw) -> None:
    from test_distributed import write_painter

    write_painter(tmp_path / "paint.safetensors")
    draw(tmp_path / "photos", 3)
    before = sorted(tmp_path.rglob("*"))
    said = terminal.fails(
        "submit", tmp_path / "paint.safetensors", "--photos", tmp_path / "photos", "--to", tmp_path / "images.zip"
    )
    assert "holds 3 pictures" in said
    assert sorted(tmp_path.rglob("*")) == before


def test_a_submission_that_fails_leaves_the_older_zip_and_touches_no_folder_but_its_own(
    tmp_path: Path, draw: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cyclestyle.config import GeneratorSettings
    from cyclestyle.networks.generator import build_generator
    from cyclestyle.networks.painter import PainterCard, load_painter, save_painter
    from cyclestyle.processes import Processes
    from cyclestyle.translation import submission

    settings = GeneratorSettings(width=4, blocks=1)
    card = PainterCard(direction="photo to painting", generator=settings, side=16, step=0)
    save_painter(build_generator(settings), card, tmp_path / "paint.safetensors")
    photos = draw(tmp_path / "photos", 3)
    to, mine = tmp_path / "images.zip", tmp_path / "images-pictures" / "thesis.txt"
    to.write_bytes(b"older")
    mine.parent.mkdir()
    mine.write_text("precious")
    monkeypatch.setattr(submission, "FEWEST", 3)
    jobs = submission.plan_submission(tmp_path / "photos", to, practice=False)
    photos[0].write_bytes(b"broken")
    painter = load_painter(tmp_path / "paint.safetensors")
    with pytest.raises(ValueError, match="2 of 3 photos could be painted"):
        submission.build_submission(jobs, painter, to, Processes.join(), batch=1, practice=False)
    assert to.read_bytes() == b"older"
    assert mine.read_text() == "precious"
