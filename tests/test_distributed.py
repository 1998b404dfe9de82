"""What `accelerate launch` starts, one process or two, learns and paints the same.

Starting a process costs many seconds of imports, so there are two launches: one process that types a command, and two
that run the worker below. What they leave behind is looked at by many tests.
"""

import inspect
import json
import os
import shutil
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Draw
from safetensors.torch import load_file

from cyclestyle.config import Settings
from cyclestyle.networks.generator import build_generator
from cyclestyle.networks.layers import initialise
from cyclestyle.networks.painter import PainterCard, save_painter
from cyclestyle.settings import write_settings

TIMEOUT = 120  # seconds; it takes about 20

pytestmark = pytest.mark.slow  # CI runs them: a run of two processes, and what the others compare with it


def grads_and_weights(settings: Settings, accelerator: Any) -> dict[str, torch.Tensor]:
    """The gradients of the first step, and the weights after three, of all networks."""
    from cyclestyle.data.folders import find_sets
    from cyclestyle.data.loaders import build_loader
    from cyclestyle.data.unpaired import Places, UnpairedPictures
    from cyclestyle.training.learner import Learner

    learner = Learner(settings, accelerator)
    named = {f"{net}.{name}": p for net, m in learner.bare._asdict().items() for name, p in m.named_parameters()}
    names, found = {id(parameter): name for name, parameter in named.items()}, {}

    def note(adam: torch.optim.Optimizer, *_: object) -> None:
        for parameter in (parameter for group in adam.param_groups for parameter in group["params"]):
            found.setdefault(f"gradient {names[id(parameter)]}", parameter.grad.clone())

    for adam in learner.optimizers.values():
        adam.register_step_pre_hook(note)
    pictures = UnpairedPictures(find_sets(settings.data), settings.data, settings.seed)
    places = Places(
        0,
        3 * settings.compute.accumulate,
        batch=settings.data.pairs,
        rank=accelerator.process_index,
        processes=accelerator.num_processes,
    )
    batches = iter(build_loader(pictures, places, settings.data, pin=False))
    for _ in range(3):
        learner.take_step(batches, 1.0)
    return found | {f"weight {name}": parameter.detach().clone() for name, parameter in named.items()}


WORKER = '''
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, PartialState
from accelerate.state import AcceleratorState
from safetensors.torch import save_file

from cyclestyle.cli import main
from cyclestyle.config import Settings
from cyclestyle.settings import read_settings
from cyclestyle.data.unpaired import UnpairedPictures
from cyclestyle.training import learner
from cyclestyle.training.learner import Learner
from cyclestyle.training.loop import parameters_agree

GRADS_AND_WEIGHTS

place = Path(sys.argv[1])
told = {}
# Several commands share one meeting of the processes: none of them may end it.
PartialState.destroy_process_group = lambda self, group=None: None

# Three steps, compared with one process by the tests.
for name in ("plain", "accumulating"):
    settings = read_settings(place / f"{name}.toml")
    AcceleratorState._reset_state()
    accelerator = Accelerator(gradient_accumulation_steps=settings.compute.accumulate)
    rank = accelerator.process_index
    told["processes"], told["kind"] = accelerator.num_processes, str(accelerator.distributed_type)
    save_file(grads_and_weights(settings, accelerator), place / f"{name}-{rank}.safetensors")


def command(*words):
    """Type a command; its exit code."""
    sys.argv = ["cyclestyle", *map(str, words)]
    AcceleratorState._reset_state()
    try:
        main()
    except SystemExit as end:
        return end.code or 0
    return 0


# A whole run, watched.
seen = []
look_up, take_step = UnpairedPictures.photo_at, Learner.take_step


def photo_at(self, index):
    seen.append(look_up(self, index))
    return seen[-1]


def watched_step(self, batches, factor):
    losses = take_step(self, batches, factor)
    if self.step == 20 and "agree" not in told:
        told["agree"] = parameters_agree(self)
        told["processes in the run"] = self.accelerator.num_processes
        bits = {f"{n}.{k}": v.clone() for n, net in self.bare._asdict().items() for k, v in net.state_dict().items()}
        save_file(bits, place / f"weights-{rank}.safetensors")
        with torch.no_grad():
            next(self.bare.paint.parameters())[rank, 0, 0, 0] += 1e-3  # only to see that it would be noticed
        told["agree when one differs"] = parameters_agree(self)
        with torch.no_grad():
            next(self.bare.paint.parameters()).copy_(bits["paint." + next(iter(self.bare.paint.state_dict()))])
    return losses


UnpairedPictures.photo_at, Learner.take_step = photo_at, watched_step
told["train"] = command("train", "--config", place / "run.toml")
told["seen"] = list(seen)


# The same again in another folder, but the second process is asked to stop in the midst of it.
def stopping_step(self, batches, factor):
    taken = take_step(self, batches, factor)
    if self.step == 7 and rank == 1 and "stopped" not in told:
        os.kill(os.getpid(), signal.SIGTERM)
    told["step of the stop"] = self.step
    return taken


Learner.take_step = stopping_step
again = ("train", "--config", place / "run.toml", "--run", place / "again")
told["stopped"] = command(*again)
Learner.take_step = take_step
told["went on"] = command(*again)


# Painters are to be measured on the way, without weights to be had: only the first process looks for them.
nowhere = ("--evaluation.network", "vgg19", "--evaluation.weights", place / "nowhere", "--run", place / "weightless")
told["without weights"] = command("train", "--config", place / "run.toml", *nowhere)


# A loss that is not finite, on the second process alone.
def spoilt_gradients(*given, **ways):
    losses = real_gradients(*given, **ways)
    calls.append(1)
    return losses | {"cycle/photo": torch.tensor(float("nan"))} if rank == 1 and len(calls) == 2 else losses


def skipping_step(self, batches, factor):
    taken = take_step(self, batches, factor)
    told["skipped by"] = self.guard.skipped
    if self.step == 3:
        told["agree after skipping"] = parameters_agree(self)
    return taken


calls, real_gradients = [], learner.gradients
learner.gradients, Learner.take_step = spoilt_gradients, skipping_step
brief = ("--schedule.steps", 3, "--schedule.decay-steps", 1)
told["spoilt"] = command("train", "--config", place / "run.toml", "--run", place / "spoilt", *brief)
painter, photos = place / "painter.safetensors", place / "photos"
told["translate"] = command("translate", painter, photos, "--to", place / "painted-by-two")
told["submit"] = command("submit", painter, "--photos", photos, "--to", place / "two" / "images.zip", "--practice")
told["broken"] = command("translate", painter, place / "some-broken", "--to", place / "painted-in-spite")
(place / f"told-{rank}.json").write_text(json.dumps(told))
'''


def launch(arguments: list[str], *, processes: int) -> subprocess.CompletedProcess[str]:
    """`accelerate launch` on this machine's processor."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    several = ["--multi_gpu", "--main_process_port", str(port)] if processes > 1 else []
    words = [sys.executable, "-m", "accelerate.commands.launch", "--num_processes", str(processes), *several]
    words += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", *arguments]
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PYTEST")
        and name not in {"RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}
    }
    environment |= {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    running = subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        stdout, stderr = running.communicate(timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        running.terminate()  # not kill: the launched ones would outlive the launcher
        stdout, stderr = running.communicate(timeout=60)
        pytest.fail(f"not done after {TIMEOUT} s\n{stdout}\n{stderr}")
    return subprocess.CompletedProcess(words, running.returncode, stdout, stderr)


def settings(place: Path, name: str, **sections: dict[str, Any]) -> Settings:
    values: dict[str, Any] = {
        "run": place / name,
        "data": {"folder": place, "augmentation": "zoom", "crop": 16, "workers": 0},
        "generator": {"width": 4, "blocks": 1},
        "discriminator": {"width": 4, "layers": 1},
        "objective": {"replay": 3},
        "schedule": {"steps": 20, "decay_steps": 10},
        "report": {"log_every": 5, "sample_every": 20, "samples": 1, "checkpoint_every": 10},
    }
    for section, chosen in sections.items():
        values[section] = values.get(section, {}) | chosen
    return Settings.model_validate(values)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, draw: Draw) -> Iterator[Path]:
    """Where the two processes worked, after they have ended."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in the launched processes
    place = tmp_path_factory.mktemp("two")
    draw(place / "photos", 10, seed=1)
    draw(place / "paintings", 7, seed=2)
    shutil.copytree(place / "photos", place / "some-broken")
    for number in (3, 4):  # one for each process
        (place / "some-broken" / f"picture-{number:02d}.png").write_bytes(b"not a picture")
    write_painter(place / "painter.safetensors")
    for name, sections in {
        "plain": {"objective": {"replay": 0}},
        "accumulating": {"objective": {"replay": 0}, "compute": {"accumulate": 2}},
        "run": {
            "discriminator": {"spectral_norm": True},
            "evaluation": {"every": 1, "network": "random", "pictures": 10},
        },
    }.items():
        (place / f"{name}.toml").write_text(write_settings(settings(place, name, **sections)))
    (place / "worker.py").write_text(WORKER.replace("GRADS_AND_WEIGHTS", inspect.getsource(grads_and_weights)))
    ended = launch([str(place / "worker.py"), str(place)], processes=2)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    (place / "stdout").write_text(ended.stdout)
    (place / "stderr").write_text(ended.stderr)
    yield place
    torch.set_num_threads(threads)


def write_painter(path: Path) -> None:
    card = PainterCard.model_validate(
        {"direction": "photo to painting", "generator": {"width": 4, "blocks": 1}, "side": 16, "step": 1}
    )
    generator = build_generator(card.generator)
    initialise(generator, torch.Generator().manual_seed(5), deviation=0.1)
    save_painter(generator, card, path)


def told(place: Path) -> list[dict[str, Any]]:
    return [json.loads((place / f"told-{rank}.json").read_text()) for rank in (0, 1)]


def test_two_processes_really_ran(place: Path) -> None:
    assert [one["processes"] for one in told(place)] == [2, 2]
    assert [one["processes in the run"] for one in told(place)] == [2, 2]
    assert [one["train"] for one in told(place)] == [0, 0]
    said = (place / "stdout").read_text()
    assert said.count(f"everything goes to {place / 'run'}\n") == 1  # said once, not twice
    assert said.count("going on at step 7, training for 20 steps") == 1


def test_weights_are_equal_on_both_to_the_bit_after_twenty_steps(place: Path) -> None:
    one, other = (load_file(place / f"weights-{rank}.safetensors") for rank in (0, 1))
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []
    assert [found["agree"] for found in told(place)] == [True, True]


def test_weights_that_drift_apart_would_be_noticed(place: Path) -> None:
    assert [found["agree when one differs"] for found in told(place)] == [False, False]


def test_each_photo_is_seen_exactly_once_per_epoch_over_both(place: Path) -> None:
    seen = [tuple(pair) for one in told(place) for pair in one["seen"]]
    # 20 steps of two pairs are four epochs of ten photos
    assert Counter(seen) == Counter((epoch, photo) for epoch in range(4) for photo in range(10))
    assert [len(one["seen"]) for one in told(place)] == [20, 20]


def test_each_process_remembers_its_own_fakes(place: Path) -> None:
    checkpoint = place / "run" / "checkpoints" / "step-0000020"
    one, other = (load_file(checkpoint / f"process-{rank}.safetensors") for rank in (0, 1))
    assert one.keys() == other.keys()
    for name in ("replay.photos", "replay.paintings"):
        assert one[name].shape == (3, 3, 16, 16)
        assert not any(torch.equal(mine, theirs) for mine in one[name] for theirs in other[name])


def test_a_signal_that_reaches_one_process_stops_both_at_the_same_step(place: Path) -> None:
    assert [one["stopped"] for one in told(place)] == [75, 75]
    assert [one["step of the stop"] for one in told(place)] == [7, 7]
    assert (place / "stderr").read_text().count("all is saved at step 7 of 20; the same command goes on") == 2


def test_two_processes_that_stopped_and_went_on_end_like_two_that_never_stopped(place: Path) -> None:
    assert [one["went on"] for one in told(place)] == [0, 0]
    for name in ("networks", "optimizers", "paint", "unpaint", "process-0", "process-1"):
        one, other = (
            load_file(place / run / "checkpoints" / "step-0000020" / f"{name}.safetensors") for run in ("run", "again")
        )
        assert one.keys() == other.keys()
        assert [key for key, value in one.items() if not torch.equal(value, other[key])] == [], name
    assert (place / "run" / "metrics.jsonl").read_bytes() == (place / "again" / "metrics.jsonl").read_bytes()


def test_painters_are_measured_by_one_and_after_a_stop_as_without_it(place: Path) -> None:
    found = (place / "run" / "scores.jsonl").read_bytes()
    lines = [json.loads(line) for line in found.splitlines()]
    assert [line["step"] for line in lines if "kid" in line] == [5, 10, 15, 20]  # two processes, ten photos
    assert (place / "again" / "scores.jsonl").read_bytes() == found


def test_weights_that_are_not_to_be_had_are_refused_by_both(place: Path) -> None:
    assert [one["without weights"] for one in told(place)] == [2, 2]
    said = (place / "stderr").read_text()
    assert said.count(f"no such folder of weights: {place / 'nowhere'}") == 2
    assert said.count("give one with --evaluation.weights DIR; --evaluation.every 0 trains without measuring") == 2
    assert not (place / "weightless").exists()


def test_a_step_that_is_not_finite_on_one_process_is_skipped_by_both(place: Path) -> None:
    assert [one["skipped by"] for one in told(place)] == [1, 1]
    assert [one["agree after skipping"] for one in told(place)] == [True, True]
    lines = [json.loads(line) for line in (place / "spoilt" / "events.jsonl").read_text().splitlines()]
    (line,) = [line for line in lines if line["event"] == "skipped"]
    assert line["step"] == 2
    assert "cycle/photo is nan" in line["said"]
    assert line["said"].count(" with ") == 2  # the pair of each process


def test_the_run_folder_is_written_by_one(place: Path) -> None:
    lines = [json.loads(line) for line in (place / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [5, 10, 15, 20]
    assert [line["epoch"] for line in lines] == [1.0, 2.0, 3.0, 4.0]
    assert len(list((place / "run" / "tensorboard").glob("events.*"))) == 1


@pytest.mark.usefixtures("fresh_accelerate")
@pytest.mark.parametrize(("name", "batch"), [("plain", 2), ("accumulating", 4)])
def test_two_processes_learn_what_one_learns_from_a_batch_as_large(name: str, batch: int, place: Path) -> None:
    from accelerate import Accelerator

    alone = settings(place, name, objective={"replay": 0}, data={"batch": batch})
    expected = grads_and_weights(alone, Accelerator(cpu=True))
    found = load_file(place / f"{name}-0.safetensors")
    assert found.keys() == expected.keys()
    for net in ("paint", "unpaint", "painting_discriminator", "photo_discriminator"):
        gradients = [key for key in expected if key.startswith(f"gradient {net}.")]
        largest = max(expected[key].abs().max() for key in gradients)
        for key in gradients:
            assert (found[key] - expected[key]).abs().max() < 2e-5 * largest, key
            weight = key.replace("gradient", "weight")
            # Adam makes full steps of gradients that are nothing but rounding errors; such weights have no say.
            sure = expected[key].abs() > 1e-3 * largest
            assert ((found[weight] - expected[weight]).abs() < 1e-6)[sure].all(), weight
            assert weight.endswith("bias") or sure.float().mean() > 0.9


@pytest.mark.usefixtures("fresh_accelerate")
def test_two_processes_paint_and_submit_the_same_bytes_as_one(place: Path) -> None:
    from cyclestyle.commands.submit import submit
    from cyclestyle.commands.translate import translate

    assert [(one["translate"], one["submit"]) for one in told(place)] == [(0, 0), (0, 0)]
    translate(place / "painter.safetensors", place / "photos", to=place / "painted-by-one")
    names = sorted(path.name for path in (place / "painted-by-one").iterdir())
    assert len(names) == 10
    assert sorted(path.name for path in (place / "painted-by-two").iterdir()) == names
    for name in names:
        assert (place / "painted-by-two" / name).read_bytes() == (place / "painted-by-one" / name).read_bytes()

    submit(place / "painter.safetensors", photos=place / "photos", to=place / "one" / "images.zip", practice=True)
    assert (place / "two" / "images.zip").read_bytes() == (place / "one" / "images.zip").read_bytes()
    assert sorted(path.name for path in (place / "two").iterdir()) == ["images.zip"]


def test_broken_photos_of_all_processes_are_named_and_all_others_painted(place: Path) -> None:
    painted = sorted(path.stem for path in (place / "painted-in-spite").iterdir())
    assert painted == [f"picture-{number:02d}" for number in range(10) if number not in (3, 4)]
    assert max(one["broken"] for one in told(place)) == 2
    said = (place / "stderr").read_text()
    assert said.count("error: 2 of 10 photos were passed over") == 1
    assert "picture-03.png" in said
    assert "picture-04.png" in said


@pytest.mark.slow
@pytest.mark.usefixtures("fresh_accelerate")
def test_one_launched_process_trains_what_the_same_command_trains_without_a_launcher(place: Path) -> None:
    from cyclestyle.training.loop import learn

    brief = {"schedule": {"steps": 3, "decay_steps": 1}}
    (place / "one.toml").write_text(write_settings(settings(place, "launched", **brief)))
    ended = launch(["-m", "cyclestyle", "train", "--config", str(place / "one.toml")], processes=1)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    learn(settings(place, "not launched", **brief))
    for name in ("paint", "networks", "optimizers", "process-0"):
        one, other = (
            load_file(place / run / "checkpoints" / "step-0000003" / f"{name}.safetensors")
            for run in ("launched", "not launched")
        )
        assert one.keys() == other.keys()
        assert all(torch.equal(value, other[key]) for key, value in one.items())


@pytest.mark.slow
def test_a_submission_launched_on_two_processes_is_one_submission(tmp_path: Path, draw: Draw) -> None:
    # As a user types it, with no Accelerator made before: by itself, Accelerate's state would not see a second process.
    draw(tmp_path / "photos", 5)
    write_painter(tmp_path / "paint.safetensors")
    words = ["submit", "paint.safetensors", "--photos", "photos", "--to", "images.zip", "--practice"]
    places = [str(tmp_path / word) if "." in word or word == "photos" else word for word in words]
    done = launch(["-m", "cyclestyle", *places], processes=2)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("a practice submission") == 1
    assert "5 JPEGs" in done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images.zip", "paint.safetensors", "photos"]


@pytest.mark.slow
def test_a_plan_made_by_two_processes_is_told_by_one_and_leaves_nothing(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "photos", 6, seed=1)
    draw(tmp_path / "paintings", 5, seed=2)
    (tmp_path / "run.toml").write_text(write_settings(settings(tmp_path, "runs/planned")))
    done = launch(["-m", "cyclestyle", "train", "--config", str(tmp_path / "run.toml"), "--plan"], processes=2)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("pairs/s (") == 1
    assert list(tmp_path.glob("runs/*")) == []  # also of names that begin with a dot
