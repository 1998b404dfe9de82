"""A run writes what it promises, and an interrupted one ends like one that never stopped, to the bit."""

import contextlib
import copy
import errno
import itertools
import json
import math
import multiprocessing
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from conftest import Draw
from PIL import Image
from safetensors.torch import load_file, save_file

from cyclestyle import cli
from cyclestyle.config import Settings
from cyclestyle.data.folders import find_sets
from cyclestyle.data.loaders import build_loader
from cyclestyle.data.unpaired import Batch, Places, UnpairedPictures
from cyclestyle.evaluation.gauge import Gauge
from cyclestyle.evaluation.kernels import kid
from cyclestyle.files import sha256
from cyclestyle.images import fit, load, to_images, to_pictures
from cyclestyle.networks import weights
from cyclestyle.networks.painter import load_painter
from cyclestyle.networks.vgg import random_vgg
from cyclestyle.runs import RunFolder, find_painter
from cyclestyle.settings import read_settings, write_settings
from cyclestyle.stopping import Stopped, StopRequest
from cyclestyle.training import checkpoints, learner, loop, trial
from cyclestyle.training.cyclegan import Losses
from cyclestyle.training.exam import Exam
from cyclestyle.training.judge import Judge, Judgement
from cyclestyle.training.learner import Learner
from cyclestyle.training.loop import learn
from cyclestyle.training.panel import Panel
from cyclestyle.training.score import CHANCE

pytestmark = pytest.mark.usefixtures("fresh_accelerate")


@pytest.fixture
def data(tmp_path: Path, draw: Draw) -> Path:
    folder = tmp_path / "data"
    draw(folder / "photos", 5, seed=1)
    draw(folder / "paintings", 4, seed=2)
    return folder


def settings(folder: Path, run: Path, /, **sections: dict[str, Any]) -> Settings:
    values: dict[str, Any] = {
        "run": run,
        "data": {"folder": folder, "augmentation": "zoom", "crop": 16, "workers": 0},
        "generator": {"width": 4, "blocks": 1},
        "discriminator": {"width": 4, "layers": 1},
        "objective": {"replay": 3},
        "schedule": {"steps": 9, "decay_steps": 6},
        "report": {"log_every": 2, "sample_every": 4, "samples": 2, "checkpoint_every": 4, "judge": 0},
    }
    for name, section in sections.items():
        values[name] = values.get(name, {}) | section if isinstance(section, dict) else section
    return Settings.model_validate(values)


def lines(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def events(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]


def kept(run: Path) -> list[str]:
    return sorted(path.name for path in (run / "checkpoints").iterdir())


def state(run: Path, step: int) -> dict[str, torch.Tensor]:
    """Every tensor of a checkpoint, copied: what is loaded is mapped, and would change with the file."""
    folder = run / "checkpoints" / f"step-{step:07d}"
    return {
        f"{file.stem}/{name}": value.clone()
        for file in sorted(folder.glob("*.safetensors"))
        for name, value in load_file(file).items()
    }


def same_bits(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


def interrupt(monkeypatch: pytest.MonkeyPatch, before: int) -> None:
    """Somebody presses Ctrl-C in the middle of a step."""
    real = Learner.take_step

    def take_step(self: Learner, batches: Iterator[Batch], factor: float) -> Any:
        if self.step == before:
            next(batches)
            raise KeyboardInterrupt
        return real(self, batches, factor)

    monkeypatch.setattr(Learner, "take_step", take_step)


def test_a_run_writes_everything_that_it_promises(data: Path, tmp_path: Path) -> None:
    wanted = settings(data, tmp_path / "run", report={"judge": 4})
    run = learn(wanted)
    assert run.path == tmp_path / "run"
    assert sorted(path.name for path in run.path.iterdir() if path.name != "events.jsonl") == [
        ".lock",
        "checkpoints",
        "config.toml",
        "metrics.jsonl",
        "pace.jsonl",
        "page.html",
        "paint.safetensors",
        "pictures.json",
        "provenance.json",
        "samples",
        "scores.jsonl",
        "tensorboard",
        "unpaint.safetensors",
    ]
    assert read_settings(run.config) == wanted
    provenance = json.loads(run.provenance.read_text())
    assert provenance["seed"] == 0
    assert provenance["counts"] == {"photos": 5, "paintings": 4}
    assert provenance["left out"] == {"photos": 0, "paintings": 0}
    assert provenance["versions"]["torch"] == torch.__version__.split("+")[0]
    assert provenance["hardware"]["devices"]
    assert set(provenance["pictures"]) == {"photos", "paintings"}

    assert [line["step"] for line in lines(run.path)] == [2, 4, 6, 8, 9]
    for line in lines(run.path):
        assert all(math.isfinite(value) for value in line.values())
        assert line["epoch"] == pytest.approx(line["step"] / 5)
        assert line["skipped"] == 0
        assert line["gradient/generators"] > 0
    pace = [json.loads(line) for line in run.pace.read_text().splitlines()]
    assert [line["step"] for line in pace] == [2, 4, 6, 8, 9]
    assert all(line["pairs_per_second"] > 0 for line in pace)
    assert all(0 < line["waiting"] < 1 for line in pace)
    assert [line["seconds"] for line in pace] == sorted(line["seconds"] for line in pace)
    # the rate of the last step that a line covers; the sixth to last is the first that falls
    rates = [line["learning_rate"] / 2e-4 for line in lines(run.path)]
    assert rates == pytest.approx([1, 6 / 7, 4 / 7, 2 / 7, 1 / 7])

    assert sorted(path.name for path in run.sample(0).parent.iterdir()) == [
        f"step-{step:07d}.png" for step in (4, 8, 9)
    ]
    assert load(run.sample(9)).size == (6 * 16 + 5 * 2, 2 * 16 + 2)
    scores = [json.loads(line) for line in run.scores.read_text().splitlines()]
    assert [line["step"] for line in scores] == [4, 8, 9]
    assert len({line["untouched"] for line in scores}) == 1
    best = min(scores, key=lambda line: line["distance"])["step"]
    assert kept(run.path) == [f"step-{step:07d}" for step in sorted({best, 8, 9})]
    assert list(run.tensorboard.glob("events.*"))

    # what users get are the averages of the last checkpoint, with their card
    held = state(run.path, 9)
    for name, direction in (("paint", "photo to painting"), ("unpaint", "painting to photo")):
        painter = load_painter(run.painter(back=name == "unpaint"))
        assert (painter.card.direction, painter.card.side, painter.card.step) == (direction, 16, 9)
        assert painter.card.generator == wanted.generator
        for key, value in painter.network.state_dict().items():
            assert torch.equal(value, held[f"{name}/{key}"])
            assert not torch.equal(value, held[f"networks/{name}.{key}"]) or not value.any()  # bias zero may stay


NETWORKS = ("paint", "unpaint", "painting_discriminator", "photo_discriminator")

RESUMED = {
    "plain": {},
    "accumulating": {"compute": {"accumulate": 2}},
    "with workers": {"data": {"workers": 2, "batch": 2}},
    "resize, spectral norm, accumulating, with workers": {
        "data": {"workers": 2},
        "compute": {"accumulate": 2},
        "generator": {"upsampling": "resize"},
        "discriminator": {"spectral_norm": True},
    },
}


@pytest.mark.parametrize("kind", RESUMED)
def test_stopped_and_started_again_equals_never_stopped_to_the_bit(
    kind: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = learn(settings(data, tmp_path / "whole", **RESUMED[kind]))
    wanted = settings(data, tmp_path / "stopped", **RESUMED[kind])
    with monkeypatch.context() as patch:
        interrupt(patch, before=7)
        with pytest.raises(KeyboardInterrupt):
            learn(wanted)
    stopped = RunFolder(wanted.run)
    assert [line["step"] for line in lines(stopped.path)] == [2, 4, 6]  # of which the last will be told again
    assert kept(stopped.path) == ["step-0000004"]
    learn(wanted)

    expected = state(whole.path, 9)
    assert {name.split(".")[0] for name in expected} == {
        *(f"networks/{name}" for name in NETWORKS),
        *("optimizers/generators", "optimizers/discriminators", "process-0/replay", "process-0/means"),
        *(name for name in {key.split(".")[0] for key in expected} if name.startswith(("paint/", "unpaint/"))),
    }
    assert expected["process-0/replay.photos"].shape == (3, 3, 16, 16)
    assert_alike(stopped.path, whole.path)


def assert_alike(one: Path, other: Path) -> None:
    """That two finished runs ended in the same bits, and told the same."""
    for step in (8, 9):
        assert same_bits(state(one, step), state(other, step))
        facts = [
            json.loads((run / f"checkpoints/step-{step:07d}/manifest.json").read_text())["facts"]
            for run in (one, other)
        ]
        assert facts[0] == facts[1]
    names = ["metrics.jsonl", "paint.safetensors", "unpaint.safetensors", "pictures.json"]
    names += [f"samples/step-{step:07d}.png" for step in (4, 8, 9)]
    names += ["scores.jsonl"] if (other / "scores.jsonl").exists() else []
    for name in names:
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


@pytest.mark.slow
def test_a_line_of_metrics_across_a_checkpoint_is_the_same_after_a_stop(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = {"log_every": 3, "checkpoint_every": 4, "sample_every": 9, "samples": 1}
    whole = learn(settings(data, tmp_path / "whole", report=report))
    wanted = settings(data, tmp_path / "stopped", report=report)
    with monkeypatch.context() as patch:
        interrupt(patch, before=5)
        with pytest.raises(KeyboardInterrupt):
            learn(wanted)
    learn(wanted)
    assert (wanted.run / "metrics.jsonl").read_bytes() == whole.metrics.read_bytes()


def test_a_damaged_last_checkpoint_costs_only_the_steps_since_the_one_before(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = learn(settings(data, tmp_path / "run"))
    before, told = state(run.path, 9), run.metrics.read_bytes()
    file = run.checkpoints / "step-0000009" / "optimizers.safetensors"
    file.write_bytes(file.read_bytes()[:-7])
    capsys.readouterr()
    learn(settings(data, tmp_path / "run"))
    said = capsys.readouterr().out
    assert "passing over a damaged checkpoint" in said
    assert "optimizers.safetensors" in said
    assert "going on at step 8, training for 9 steps" in said
    assert same_bits(state(run.path, 9), before)
    assert run.metrics.read_bytes() == told


def test_the_same_settings_give_the_same_weights_and_another_seed_others(data: Path, tmp_path: Path) -> None:
    one = learn(settings(data, tmp_path / "one"))
    # the reports, the cache and the loader processes change nothing of what is learnt
    other = learn(
        settings(
            data,
            tmp_path / "other",
            report={"log_every": 3, "sample_every": 7, "samples": 1},
            data={"workers": 1, "cache": "off"},
        )
    )
    assert same_bits(state(one.path, 9), state(other.path, 9))
    seeded = learn(settings(data, tmp_path / "seeded", seed=1))
    assert not same_bits(state(one.path, 9), state(seeded.path, 9))


def test_a_finished_run_trained_again_does_nothing(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = learn(settings(data, tmp_path / "run"))
    held = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    interrupt(monkeypatch, before=9)
    learn(settings(data, tmp_path / "run"))
    assert {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()} == held
    assert "finished: 9 steps" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("sections", "named"),
    [
        ({"optimizer": {"learning_rate": 1e-3}}, r"optimizer\.learning_rate: was 0\.0002, is now 0\.001"),
        ({"schedule": {"steps": 12}}, r"schedule\.steps: was 9, is now 12"),
        ({"generator": {"width": 8}}, r"generator\.width: was 4, is now 8"),
        ({"seed": 5}, "seed: was 0, is now 5"),
        ({"compute": {"average": 0.9}}, r"compute\.average: was 0\.999, is now 0\.9"),
    ],
)
def test_settings_that_contradict_the_run_are_refused_by_name(
    sections: dict[str, Any], named: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt(monkeypatch, before=5)
    with pytest.raises(KeyboardInterrupt):
        learn(settings(data, tmp_path / "run"))
    config = (tmp_path / "run" / "config.toml").read_bytes()
    with pytest.raises(ValueError, match=named) as refusal:
        learn(settings(data, tmp_path / "run", **sections))
    assert str(tmp_path / "run") in str(refusal.value)
    assert "--run" in str(refusal.value)
    assert (tmp_path / "run" / "config.toml").read_bytes() == config


@pytest.mark.slow
def test_a_run_that_was_stopped_before_its_first_checkpoint_may_begin_anew_with_other_settings(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        interrupt(patch, before=1)
        with pytest.raises(KeyboardInterrupt):
            learn(settings(data, tmp_path / "run"))
    run = learn(settings(data, tmp_path / "run", seed=5))
    assert same_bits(state(run.path, 9), state(learn(settings(data, tmp_path / "other", seed=5)).path, 9))


@pytest.mark.parametrize(
    ("step", "said"),
    [(6, "stopped at step 7: .*paint.* hold numbers that are not finite"), (8, "no longer finite at step 8")],
)
def test_weights_that_are_no_longer_finite_stop_the_run_and_leave_the_checkpoint_before(
    step: int, said: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Learner.take_step

    def take_step(self: Learner, batches: Iterator[Batch], factor: float) -> Any:
        taken = real(self, batches, factor)
        if self.step == step:
            next(self.bare.paint.parameters()).data[0] = float("nan")
        return taken

    monkeypatch.setattr(Learner, "take_step", take_step)
    with pytest.raises(ValueError, match=said) as refusal:
        learn(settings(data, tmp_path / "run"))
    assert "The checkpoint step-0000004 is whole" in str(refusal.value)
    assert "--optimizer.learning-rate" in str(refusal.value)
    assert kept(tmp_path / "run") == ["step-0000004"]
    assert load_painter(RunFolder(tmp_path / "run").painter()).card.step == 4


def test_a_painter_that_is_gone_is_handed_over_again(data: Path, tmp_path: Path) -> None:
    run = learn(settings(data, tmp_path / "run"))
    before = run.painter().read_bytes()
    run.painter().unlink()
    learn(settings(data, tmp_path / "run"))
    assert run.painter().read_bytes() == before


def test_fp16_without_a_gpu_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="fp16"):
        learn(settings(data, tmp_path / "run", compute={"mixed_precision": "fp16"}))


def test_other_pictures_are_refused_but_the_same_ones_elsewhere_are_not(
    data: Path, tmp_path: Path, draw: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        interrupt(patch, before=5)
        with pytest.raises(KeyboardInterrupt):
            learn(settings(data, tmp_path / "run"))
    moved = tmp_path / "moved"
    shutil.move(data, moved)
    draw(moved / "paintings", 5, seed=2)
    with pytest.raises(ValueError, match="paintings: not the pictures that it was begun with") as refusal:
        learn(settings(moved, tmp_path / "run"))
    assert "photos:" not in str(refusal.value)
    (moved / "paintings" / "picture-04.png").unlink()
    learn(settings(moved, tmp_path / "run"))
    assert lines(tmp_path / "run")[-1]["step"] == 9


def reseal(path: Path, change: Callable[[dict[str, Any]], object] = lambda facts: None) -> None:
    """Make the manifest agree with what the files hold now, as somebody would who knows how it is sealed."""
    content = json.loads((path / "manifest.json").read_text())
    del content["sha256"]
    change(content["facts"])
    for name, entry in content["files"].items():
        entry |= {"bytes": (path / name).stat().st_size, "sha256": sha256(path / name)}
    (path / "manifest.json").write_bytes(checkpoints._sealed(content))


def test_a_checkpoint_of_another_number_of_processes_is_refused(data: Path, tmp_path: Path) -> None:
    run = learn(settings(data, tmp_path / "run"))
    for path in run.checkpoints.iterdir():
        reseal(path, lambda facts: facts.update(processes=2))
    with pytest.raises(ValueError, match="--num_processes 2"):
        learn(settings(data, tmp_path / "run"))


def gradients(wanted: Settings) -> dict[str, torch.Tensor]:
    """Those that the optimizers see in the first step."""
    AcceleratorState._reset_state(reset_partial_state=True)
    learner = Learner(wanted, Accelerator(cpu=True, gradient_accumulation_steps=wanted.compute.accumulate))
    names = {id(value): f"{net}.{name}" for net, module in learner.bare._asdict().items() for name, value in
             module.named_parameters()}  # fmt: skip
    seen: dict[str, torch.Tensor] = {}
    for adam in learner.optimizers.values():
        adam.register_step_pre_hook(
            lambda adam, *_: seen.update(
                {names[id(p)]: p.grad.clone() for group in adam.param_groups for p in group["params"]}
            )
        )
    pictures = UnpairedPictures(find_sets(wanted.data), wanted.data, wanted.seed)
    places = Places(0, wanted.compute.accumulate, batch=wanted.data.pairs, rank=0, processes=1)
    learner.take_step(iter(build_loader(pictures, places, wanted.data, pin=False)), 1.0)
    assert seen.keys() == set(names.values())
    return seen


def test_two_accumulated_passes_have_the_gradients_of_one_batch_of_two(data: Path, tmp_path: Path) -> None:
    accumulated = gradients(settings(data, tmp_path / "a", objective={"replay": 0}, compute={"accumulate": 2}))
    together = gradients(settings(data, tmp_path / "b", objective={"replay": 0}, data={"batch": 2}))
    alone = gradients(settings(data, tmp_path / "c", objective={"replay": 0}))
    # In units of a network's largest gradient: sums in another order round differently, and biases before an instance
    # norm have gradients of nothing but rounding errors.
    largest = {net: max(g.abs().max() for name, g in together.items() if name.startswith(net)) for net in NETWORKS}
    for name, gradient in together.items():
        assert (accumulated[name] - gradient).abs().max() < 2e-5 * largest[name.split(".")[0]], name
    assert max((together[name] - gradient).abs().max() for name, gradient in alone.items()) > 1e-3


@pytest.mark.slow
def test_bf16_trains_in_finite_numbers_and_hands_over_fp32(data: Path, tmp_path: Path) -> None:
    run = learn(settings(data, tmp_path / "run", compute={"mixed_precision": "bf16"}))
    tensors = state(run.path, 9)
    assert all(torch.isfinite(value).all() for value in tensors.values())
    assert {value.dtype for name, value in tensors.items() if name != "process-0/means.count"} == {torch.float32}
    assert all(math.isfinite(value) for line in lines(run.path) for value in line.values())
    full = learn_in_fp32(data, tmp_path)
    assert not same_bits(tensors, state(full.path, 9))  # it was not fp32 all the same
    assert lines(run.path)[0]["cycle/photo"] == pytest.approx(lines(full.path)[0]["cycle/photo"], rel=0.05)


def learn_in_fp32(data: Path, tmp_path: Path) -> RunFolder:
    AcceleratorState._reset_state(reset_partial_state=True)
    return learn(settings(data, tmp_path / "fp32"))


@pytest.mark.slow
def test_the_unet_trains_and_paints(data: Path, tmp_path: Path) -> None:
    run = learn(
        settings(
            data,
            tmp_path / "run",
            data={"crop": 64},
            generator={"kind": "unet", "width": 2, "depth": 5},
            schedule={"steps": 3, "decay_steps": 1},
        )
    )
    assert [line["step"] for line in lines(run.path)] == [2, 3]
    painter = load_painter(run.painter())
    assert painter.card.generator.kind == "unet"
    painted = painter(to_images([Image.new("RGB", (50, 30), "teal")]))
    assert painted.shape == (1, 3, 30, 50)
    assert torch.isfinite(painted).all()


@pytest.mark.parametrize("adversarial", ["hinge", "vanilla"])
def test_other_objectives_train_in_finite_numbers(adversarial: str, data: Path, tmp_path: Path) -> None:
    run = learn(
        settings(
            data,
            tmp_path / "run",
            objective={"adversarial": adversarial, "identity": 0},
            discriminator={"kind": "pixel"},
            optimizer={"discriminator_learning_rate": 1e-4},
            schedule={"steps": 2, "decay_steps": 0},
        )
    )
    assert all(math.isfinite(value) for line in lines(run.path) for value in line.values())
    assert "identity/photo" not in lines(run.path)[0]


@pytest.mark.slow
def test_learning_makes_round_trips_shorter(data: Path, tmp_path: Path) -> None:
    run = learn(
        settings(
            data,
            tmp_path / "run",
            data={"augmentation": "none"},
            optimizer={"learning_rate": 2e-3},
            schedule={"steps": 60, "decay_steps": 30},
            report={"log_every": 20, "sample_every": 60, "checkpoint_every": 60},
        )
    )
    first, *_, last = lines(run.path)
    assert last["cycle/photo"] < 0.9 * first["cycle/photo"]
    assert last["cycle/painting"] < 0.9 * first["cycle/painting"]


def test_a_test_set_is_what_is_shown_and_none_falls_back_to_the_training_set(
    data: Path, tmp_path: Path, draw: Draw
) -> None:
    draw(data / "test" / "photos", 3, seed=3)
    draw(data / "test" / "paintings", 1, seed=4)
    run = learn(settings(data, tmp_path / "run", schedule={"steps": 1, "decay_steps": 0}, report={"samples": 3}))
    sheet = load(run.sample(1))
    assert sheet.size == (6 * 16 + 5 * 2, 16)  # as many rows as both have
    shown = sheet.crop((0, 0, 16, 16))
    expected = load(data / "test" / "photos" / "picture-00.png").resize((16, 16), Image.Resampling.BICUBIC)
    assert shown.tobytes() == expected.tobytes()


# --- asked to stop ------------------------------------------------------------------------------------------------


def ask(monkeypatch: pytest.MonkeyPatch, after: Callable[[int], bool]) -> None:
    """Somebody sends SIGTERM during each step for which it is time."""
    real = Learner.take_step

    def take_step(self: Learner, batches: Iterator[Batch], factor: float) -> Any:
        taken = real(self, batches, factor)
        if after(self.step):
            asked[0].signal = "SIGTERM"
        return taken

    asked: list[StopRequest] = []
    monkeypatch.setattr(Learner, "take_step", take_step)
    monkeypatch.setattr(StopRequest, "__enter__", lambda self: (asked.insert(0, self), self)[1])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["plain", "accumulating"])
def test_stopped_after_every_single_step_equals_never_stopped_to_the_bit(
    kind: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged = {"report": {"judge": 3}}
    whole = learn(settings(data, tmp_path / "whole", **RESUMED[kind], **judged))
    wanted = settings(data, tmp_path / "stopped", **RESUMED[kind], **judged)
    with monkeypatch.context() as patch:
        ask(patch, lambda step: True)
        for step in range(1, 10):
            with pytest.raises(
                Stopped, match=rf"^stopped \(SIGTERM\): all is saved at step {step} of 9; the same command"
            ):
                learn(wanted)
            assert f"step-{step:07d}" in kept(wanted.run)
    learn(wanted)
    assert_alike(wanted.run, whole.path)


def test_stopped_before_the_first_step_nothing_was_learnt_and_it_begins_again(data: Path, tmp_path: Path) -> None:
    stop = StopRequest()
    stop.signal = "SIGUSR1"
    with pytest.raises(Stopped, match="nothing was learnt yet"):
        learn(settings(data, tmp_path / "run"), stop=stop)
    assert kept(tmp_path / "run") == []
    learn(settings(data, tmp_path / "run"))
    assert kept(tmp_path / "run") == ["step-0000008", "step-0000009"]


def test_stopped_while_a_checkpoint_is_judged_it_is_judged_after_going_on(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = learn(settings(data, tmp_path / "whole", report={"judge": 3}))
    real, stop = Judge.look, StopRequest()

    def look(self: Judge, paint: Any, hurried: Callable[[], bool]) -> Judgement | None:
        stop.signal = "SIGTERM"
        return real(self, paint, hurried)

    wanted = settings(data, tmp_path / "run", report={"judge": 3})
    with monkeypatch.context() as patch:
        patch.setattr(Judge, "look", look)
        with pytest.raises(Stopped, match="saved at step 4"):
            learn(wanted, stop=stop)
    assert not (wanted.run / "scores.jsonl").exists()
    learn(wanted)
    assert_alike(wanted.run, whole.path)


@pytest.mark.slow
def test_a_batch_that_was_found_by_trying_stays_when_the_run_goes_on(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = settings(data, tmp_path / "run", data={"batch": "auto"})
    with monkeypatch.context() as patch:
        patch.setattr(trial, "_timed", lambda found, accelerator: {1: 1.0, 2: 2.0, 4: 2.0}[found.data.pairs])
        interrupt(patch, before=7)
        with pytest.raises(KeyboardInterrupt):
            learn(wanted)
    monkeypatch.setattr(trial, "_timed", lambda *_: pytest.fail("it is known"))
    learn(wanted)
    assert read_settings(wanted.run / "config.toml").data.batch == 2
    assert_alike(wanted.run, learn(settings(data, tmp_path / "whole", data={"batch": 2})).path)


# --- steps that are not taken -------------------------------------------------------------------------------------


def inject(monkeypatch: pytest.MonkeyPatch, at: Callable[[int], bool], spoil: Callable[[Any, Losses], None]) -> None:
    """Spoil the losses or gradients of the passes for which it is time, counted from 0."""
    real, count = learner.gradients, iter(range(1000))

    def gradients(nets: Any, *given: Any, **ways: Any) -> Losses:
        losses = real(nets, *given, **ways)
        if at(next(count)):
            spoil(nets, losses)
        return losses

    monkeypatch.setattr(learner, "gradients", gradients)


def a_loss(name: str, value: float) -> Callable[[Any, Losses], None]:
    return lambda nets, losses: losses.update({name: torch.tensor(value)})


def a_gradient(net: str, value: float) -> Callable[[Any, Losses], None]:
    def spoil(nets: Any, losses: Losses) -> None:
        *_, last = getattr(nets, net).parameters()
        last.grad.flatten()[0] = value

    return spoil


SPOILT = {
    "a generator's loss is nan": (a_loss("cycle/photo", math.nan), "cycle/photo is nan"),
    "a discriminator's loss is inf": (a_loss("fake/painting", math.inf), "fake/painting is inf"),
    "a generator's gradient is nan": (a_gradient("unpaint", math.nan), "gradient/generators is nan"),
    "a discriminator's gradient is inf": (
        a_gradient("photo_discriminator", math.inf),
        "gradient/discriminators is inf",
    ),
    "a gradient whose square is too large": (a_gradient("paint", 1e38), "gradient/generators is inf"),
}


@pytest.mark.parametrize("kind", SPOILT)
def test_a_step_that_is_not_finite_is_skipped_counted_and_named_with_its_pictures(
    kind: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil, reason = SPOILT[kind]
    inject(monkeypatch, lambda number: number == 5, spoil)
    run = learn(settings(data, tmp_path / "run", report={"checkpoint_every": 1, "keep": 9, "log_every": 1}))
    before, after = state(run.path, 5), state(run.path, 6)
    changed = {name for name in after if not torch.equal(after[name], before[name])}
    assert changed == set()
    assert not same_bits(state(run.path, 7), after)
    assert [line["skipped"] for line in lines(run.path)] == [0] * 5 + [1] * 4
    assert "cycle/photo" not in lines(run.path)[5]
    assert all(math.isfinite(value) for line in lines(run.path) for value in line.values())

    (told,) = [event for event in events(run.path) if event["event"] == "skipped"]
    pictures = UnpairedPictures(find_sets(settings(data, run.path).data), settings(data, run.path).data, 0)
    photo, painting = pictures.names(5)
    assert told["said"] == f"step 6 was skipped: {reason}; its pictures: {photo} with {painting}"
    assert told["said"] in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_skipped_step_is_the_same_after_a_stop(
    accumulate: int, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also what the memories exchanged in the passes before the spoilt one is taken back."""
    options = {"compute": {"accumulate": accumulate}}

    def spoilt(number: int) -> bool:
        return number == 7 * accumulate - 1  # the last pass of the seventh step

    with monkeypatch.context() as patch:
        inject(patch, spoilt, a_loss("cycle/photo", math.nan))
        whole = learn(settings(data, tmp_path / "whole", **options))
    assert lines(whole.path)[-1]["skipped"] == 1
    (told,) = [event["said"] for event in events(whole.path) if event["event"] == "skipped"]
    pictures = UnpairedPictures(find_sets(settings(data, whole.path).data), settings(data, whole.path).data, 0)
    names = [" with ".join(map(str, pictures.names(place))) for place in range(6 * accumulate, 7 * accumulate)]
    assert told.endswith(f"its pictures: {', '.join(names)}")
    wanted = settings(data, tmp_path / "stopped", **options)
    with monkeypatch.context() as patch:
        inject(patch, spoilt, a_loss("cycle/photo", math.nan))
        ask(patch, lambda step: step == 7)
        with pytest.raises(Stopped):
            learn(wanted)
    learn(wanted)
    assert_alike(wanted.run, whole.path)


def test_as_many_in_a_row_as_there_is_patience_stop_the_run_with_advice_and_the_last_checkpoint(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inject(monkeypatch, lambda number: number >= 5, a_loss("cycle/photo", math.nan))
    wanted = settings(data, tmp_path / "run", compute={"patience": 3}, schedule={"steps": 30, "decay_steps": 6})
    with pytest.raises(ValueError, match="stopped at step 8: cycle/photo is nan, again and again") as refusal:
        learn(wanted)
    assert "The checkpoint step-0000004 is whole" in str(refusal.value)
    assert "--compute.mixed-precision no" in str(refusal.value)
    assert kept(tmp_path / "run") == ["step-0000004"]


def test_a_run_of_nothing_but_flat_pictures_does_not_end_in_numbers_that_are_not_finite(
    data: Path, tmp_path: Path
) -> None:
    for path in data.rglob("*.png"):
        Image.new("RGB", (24, 24), (120, 40, len(path.name))).save(path)
    run = learn(settings(data, tmp_path / "run"))
    assert all(torch.isfinite(value).all() for value in state(run.path, 9).values())


# --- which checkpoint is the best, and what is rung ---------------------------------------------------------------


def judge_as(
    monkeypatch: pytest.MonkeyPatch, distances: dict[int, float], alarms: dict[str, str] | None = None
) -> None:
    """Judge each step's painter with the distance that is given for it."""

    def look(self: Judge, paint: Any, hurried: Any) -> Judgement:
        return Judgement({"distance": distances[at[0]], "untouched": 1.0}, alarms or {})

    at = steps_taken(monkeypatch)
    monkeypatch.setattr(Judge, "look", look)


def steps_taken(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of steps that were taken, always up to date."""
    at: list[int] = [0]
    real = Learner.take_step

    def take_step(self: Learner, batches: Iterator[Batch], factor: float) -> Any:
        taken = real(self, batches, factor)
        at[0] = self.step
        return taken

    monkeypatch.setattr(Learner, "take_step", take_step)
    return at


def test_the_best_checkpoint_is_kept_besides_the_last_told_at_the_end_and_can_be_painted_with(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    judge_as(monkeypatch, {2: 0.9, 4: 0.1, 6: 0.5, 8: math.inf, 10: 0.4, 12: 0.3})
    wanted = settings(
        data, tmp_path / "run", report={"judge": 2, "checkpoint_every": 2}, schedule={"steps": 12, "decay_steps": 4}
    )
    run = learn(wanted)
    assert kept(run.path) == ["step-0000004", "step-0000010", "step-0000012"]
    best = run.checkpoints / "step-0000004"
    assert f"nearer to the paintings came {best}" in capsys.readouterr().out
    assert load_painter(find_painter(best)).card.step == 4
    assert load_painter(find_painter(best, back=True)).card.direction == "painting to photo"
    assert [json.loads(line)["distance"] for line in run.scores.read_text().splitlines()] == [
        0.9,
        0.1,
        0.5,
        None,
        0.4,
        0.3,
    ]


def test_a_last_checkpoint_that_is_the_best_is_not_told_apart(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    judge_as(monkeypatch, {4: 0.9, 8: 0.5, 9: 0.1})
    run = learn(settings(data, tmp_path / "run", report={"judge": 2, "keep": 1}))
    assert kept(run.path) == ["step-0000009"]
    assert "nearer" not in capsys.readouterr().out


def test_an_alarm_is_said_once_and_kept_each_time_but_not_at_the_very_beginning(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    judge_as(monkeypatch, dict.fromkeys(range(1, 10), 0.5), {"copy": "the paintings are copies"})
    run = learn(settings(data, tmp_path / "run", report={"judge": 2, "checkpoint_every": 1}))
    rung = [event for event in events(run.path) if event["event"] == "alarm"]
    assert [event["step"] for event in rung] == [3, 4, 5, 6, 7, 8, 9]  # from a quarter of the way on
    assert {(event["kind"], event["said"]) for event in rung} == {("copy", "the paintings are copies")}
    assert capsys.readouterr().err.count("the paintings are copies") == 1


# --- painters measured on the way ---------------------------------------------------------------------------------


MEASURED = {"every": 1, "network": "random", "pictures": 10}


def scores(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "scores.jsonl").read_text().splitlines()]


def kids_as(monkeypatch: pytest.MonkeyPatch, kids: dict[int, float], untouched: float = 9.0) -> None:
    """Measure each step's painter as the KID that is given for it."""

    def look(self: Panel, *painters: Any, examined: bool, hurried: Any) -> Judgement:
        values = {"kid": kids[at[0]], "kid_last": 0.0, "kid_untouched": untouched} if examined else {}
        return Judgement({"distance": 1.0 / at[0], "untouched": 1.0} | values, {})

    at = steps_taken(monkeypatch)
    monkeypatch.setattr(Panel, "look", look)


@pytest.mark.slow
def test_painters_are_measured_at_the_first_step_of_an_epoch_and_at_the_end_as_their_checkpoints_would_be(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = learn(settings(data, tmp_path / "run", evaluation=MEASURED, report={"keep": 9}))
    assert kept(run.path) == [f"step-{step:07d}" for step in (4, 5, 8, 9)]  # five photos are an epoch
    assert [line["step"] for line in scores(run.path)] == [5, 9]
    said = capsys.readouterr().err

    vgg = random_vgg()
    photos, paintings = ([load(path) for path in sorted((data / name).iterdir())] for name in ("photos", "paintings"))

    def features(images: torch.Tensor) -> torch.Tensor:
        seen = to_images([picture for image in images.split(1) for picture in to_pictures(image)])
        return torch.cat([vgg(image, ("relu4_1",))["relu4_1"].mean((2, 3)) for image in seen.split(1)])

    originals = to_images([fit(photo, 16) for photo in photos])
    expected = features(to_images([fit(painting, 16) for painting in paintings]))
    for line in scores(run.path):
        checkpoint = run.checkpoints / f"step-{line['step']:07d}"
        painter = load_painter(find_painter(checkpoint))
        with torch.inference_mode():
            found = {"kid": torch.cat([painter(photo) for photo in originals.split(1)]), "kid_untouched": originals}
            last = {
                name.removeprefix("paint."): value
                for name, value in load_file(checkpoint / "networks.safetensors").items()
                if name.startswith("paint.")
            }
            painter.network.load_state_dict(last)
            found["kid_last"] = torch.cat([painter(photo) for photo in originals.split(1)])
        assert set(line) == {"step", *found}
        for name, images in found.items():
            assert line[name] == pytest.approx(1000 * kid(features(images), expected).value, rel=1e-5), name
        assert line["kid"] != line["kid_last"]
        assert f"step {line['step']}: KID x 1000 of {vgg.name} relu4_1: {line['kid']:.4g} with av" in said


def test_measuring_changes_nothing_of_what_is_learnt_told_or_judged(data: Path, tmp_path: Path) -> None:
    brief = {"judge": 3, "keep": 9}
    without = learn(settings(data, tmp_path / "without", report=brief))
    measured = learn(settings(data, tmp_path / "with", report=brief, evaluation=MEASURED))
    assert_alike_but_scores(measured.path, without.path)
    before = {line["step"]: line for line in scores(without.path)}
    for line in scores(measured.path):
        told = {name: value for name, value in line.items() if not name.startswith("kid")}
        assert line["step"] == 5 or told == before[line["step"]]


def assert_alike_but_scores(one: Path, other: Path) -> None:
    for step in (8, 9):
        assert same_bits(state(one, step), state(other, step))
    for name in ("metrics.jsonl", "paint.safetensors", "unpaint.safetensors", "pictures.json"):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


def test_a_run_that_measures_nothing_opens_no_network(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "open_gauge", lambda *_: pytest.fail("opened"))
    run = learn(settings(data, tmp_path / "run", evaluation={"network": "random"}))
    assert not run.scores.exists()
    assert kept(run.path) == ["step-0000008", "step-0000009"]


def test_curves_of_the_kids_are_drawn(data: Path, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = learn(settings(data, tmp_path / "run", evaluation=MEASURED))
    board = EventAccumulator(str(run.tensorboard)).Reload()
    for name in ("kid", "kid_last", "kid_untouched"):
        drawn = [(point.step, pytest.approx(point.value)) for point in board.Scalars(name)]
        assert drawn == [(line["step"], line[name]) for line in scores(run.path)]


def test_without_an_average_there_is_only_one_painter_to_measure(data: Path, tmp_path: Path) -> None:
    run = learn(settings(data, tmp_path / "run", evaluation=MEASURED, compute={"average": 0}))
    assert all(line["kid"] == line["kid_last"] for line in scores(run.path))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("every", "expected"),
    [
        (1, [5, 9]),
        (0.5, [3, 5, 8, 9]),  # of five photos, the half of an epoch is over in the third step
        (0.4, [2, 4, 6, 8, 9]),
        (0.2, [1, 2, 3, 4, 5, 6, 7, 8, 9]),
        (1e-9, [1, 2, 3, 4, 5, 6, 7, 8, 9]),
        (1.8, [9]),
        (1000, [9]),
    ],
)
def test_the_epochs_between_two_measurements_may_be_any_number(
    every: float, expected: list[int], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kids_as(monkeypatch, dict.fromkeys(range(1, 10), 1.0))
    run = learn(settings(data, tmp_path / "run", evaluation=MEASURED | {"every": every}, report={"keep": 9}))
    assert [line["step"] for line in scores(run.path) if "kid" in line] == expected
    assert kept(run.path) == [f"step-{step:07d}" for step in sorted({4, 8, *expected})]


@pytest.mark.slow
@pytest.mark.parametrize("judge", [0, 3])
def test_stopped_after_every_step_a_run_is_measured_like_one_that_never_stopped(
    judge: int, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = {"report": {"judge": judge}, "evaluation": MEASURED | {"every": 0.5}}
    whole, wanted = learn(settings(data, tmp_path / "whole", **measured)), settings(data, tmp_path / "run", **measured)
    with monkeypatch.context() as patch:
        ask(patch, lambda step: True)
        for _ in range(9):
            with pytest.raises(Stopped):
                learn(wanted)
    learn(wanted)
    assert_alike(wanted.run, whole.path)


class Killed(BaseException):
    """A process is killed: nothing is cleaned up that Python would not."""


@pytest.mark.slow
def test_a_kill_or_a_stop_in_the_midst_of_measuring_leaves_nothing_half_recorded(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = {"report": {"judge": 3, "keep": 1}, "evaluation": MEASURED}
    whole, wanted = learn(settings(data, tmp_path / "whole", **measured)), settings(data, tmp_path / "run", **measured)
    real, stop, looked = Gauge.look, StopRequest(), [0]

    def look(self: Gauge, images: torch.Tensor) -> torch.Tensor:
        looked[0] += 1
        if looked[0] == 9 + 7:  # after the paintings and the photos: the second photo as the last weights paint it
            raise Killed
        if looked[0] == 2 * 9 + 16 + 3:  # of the second session, at the end of the run
            stop.signal = "SIGTERM"
        return real(self, images)

    with monkeypatch.context() as patch:
        patch.setattr(Gauge, "look", look)
        with pytest.raises(Killed):
            learn(wanted)
        assert kept(wanted.run)[-1] == "step-0000005"
        assert [line["step"] for line in scores(wanted.run)] == [4]
        with pytest.raises(Stopped, match="saved at step 9 of 9"):
            learn(wanted, stop=stop)
        assert looked[0] == 2 * 9 + 16 + 3
        assert [line["step"] for line in scores(wanted.run)] == [4, 5, 8]
    learn(wanted)
    assert kept(wanted.run) == kept(whole.path)
    assert (wanted.run / "scores.jsonl").read_bytes() == whole.scores.read_bytes()
    assert (wanted.run / "paint.safetensors").read_bytes() == whole.painter().read_bytes()


def test_a_stop_before_the_first_picture_is_measured_is_heeded(data: Path, tmp_path: Path) -> None:
    stop = StopRequest()
    stop.signal = "SIGTERM"
    with pytest.raises(Stopped, match="nothing was learnt yet"):
        learn(settings(data, tmp_path / "run", evaluation=MEASURED), stop=stop)


@pytest.mark.slow
def test_the_best_by_kid_is_kept_and_told_though_its_distance_is_not_the_least(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kids_as(monkeypatch, {5: 7.0, 10: 2.0, 15: 2.0, 20: math.nan, 25: 4.0, 30: 3.0})
    run = learn(settings(data, tmp_path / "run", evaluation=MEASURED, schedule={"steps": 30, "decay_steps": 6}))
    assert kept(run.path) == [f"step-{step:07d}" for step in (15, 28, 30)]  # of equal ones the last
    assert f"nearer to the paintings came {run.checkpoints / 'step-0000015'}" in capsys.readouterr().out
    lines = {line["step"]: line for line in scores(run.path)}
    assert (lines[20]["kid"], lines[25]["kid"]) == (None, 4.0)
    assert "kid" not in lines[28]


def test_after_a_last_painter_whose_pictures_are_not_finite_the_best_before_is_told(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kids_as(monkeypatch, {5: 7.0, 9: math.nan})
    run = learn(settings(data, tmp_path / "run", evaluation=MEASURED, report={"keep": 1}))
    assert kept(run.path) == ["step-0000005", "step-0000009"]
    assert f"nearer to the paintings came {run.checkpoints / 'step-0000005'}" in capsys.readouterr().out


def test_a_painter_whose_pictures_are_not_finite_does_not_stop_the_run(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = Panel.look

    def spoilt(self: Panel, paint: torch.nn.Module, last: torch.nn.Module, **options: Any) -> Judgement | None:
        huge = copy.deepcopy(paint)  # finite, but what follows from it is not
        for parameter in huge.parameters():
            parameter.data.fill_(3e38)
        return look(self, huge, last, **options)

    monkeypatch.setattr(Panel, "look", spoilt)
    run = learn(settings(data, tmp_path / "run", evaluation=MEASURED, report={"judge": 3}))
    for line in scores(run.path):
        assert line["distance"] is None
        if line["step"] in {5, 9}:
            assert line["kid"] is None
            assert math.isfinite(line["kid_last"])


@pytest.mark.slow
def test_a_run_begun_without_measuring_may_go_on_with_it_and_the_other_way_round(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    long = {"schedule": {"steps": 15, "decay_steps": 6}, "report": {"judge": 3, "keep": 9}}
    whole = learn(settings(data, tmp_path / "whole", **long))
    for name, first, second, measured in (
        ("with", {}, MEASURED, [10, 15]),
        ("without", MEASURED, {}, [5]),
    ):
        with monkeypatch.context() as patch:
            ask(patch, lambda step: step == 7)
            with pytest.raises(Stopped):
                learn(settings(data, tmp_path / name, **long, evaluation=first))
        capsys.readouterr()
        run = learn(settings(data, tmp_path / name, **long, evaluation=second))
        assert same_bits(state(run.path, 15), state(whole.path, 15))
        assert [line["step"] for line in scores(run.path) if "kid" in line] == measured
        assert bool(read_settings(run.config).evaluation.every) is bool(second)
        # nothing is said to be nearer by a measure that the last painter was not measured with
        said = capsys.readouterr().out
        told = {line["step"]: line["kid" if second else "distance"] for line in scores(run.path)
                if ("kid" if second else "distance") in line}  # fmt: skip
        assert ("nearer to the paintings came" in said) is (min(told.values()) < told[15] - (0 if second else CHANCE))


def test_a_finished_run_is_not_measured_again(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = settings(data, tmp_path / "run", evaluation=MEASURED)
    told = learn(wanted).scores.read_bytes()
    monkeypatch.setattr(Exam, "sit", lambda *_: pytest.fail("measured"))
    learn(wanted)
    assert (wanted.run / "scores.jsonl").read_bytes() == told


def test_weights_that_are_not_to_be_had_are_a_sentence_before_anything_is_made(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(*_: object) -> None:
        raise OSError(errno.ENETUNREACH, "Network is unreachable")

    monkeypatch.setattr(weights, "_fetch", offline)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "empty"))
    monkeypatch.delenv("CYCLESTYLE_WEIGHTS", raising=False)
    with pytest.raises(ValueError, match="Network is unreachable") as refusal:
        learn(settings(data, tmp_path / "run", evaluation={"every": 1}))
    said = str(refusal.value)
    assert "weights-inception-2015-12-05-6726825d.pth" in said
    for way in (
        "--evaluation.weights DIR",
        "CYCLESTYLE_WEIGHTS",
        "--evaluation.network random",
        "--evaluation.every 0",
    ):
        assert way in said
    assert not re.search(r"--(random-)?weights", said)  # which `train` has not
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("unreadable", ["photos", "paintings"])
def test_test_sets_too_small_to_measure_with_are_told_and_the_run_goes_on(
    unreadable: str, data: Path, tmp_path: Path, draw: Draw, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("photos", "paintings"):
        for path in draw(data / "test" / name, 3, seed=5)[: 2 if name == unreadable else 0]:
            path.write_bytes(b"<html>")
    run = learn(settings(data, tmp_path / "run", evaluation=MEASURED))
    said = capsys.readouterr().err
    assert said.count("painters are not measured: ") == 1
    assert f"1 {unreadable}" in said
    assert not run.scores.exists()
    assert lines(run.path)[-1]["step"] == 9


@pytest.mark.slow
def test_a_budget_keeps_back_the_time_of_measuring(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "time_to_paint", lambda *_: 100.0)
    monkeypatch.setattr(loop, "time_to_sit", lambda *_, pictures, **__: pictures * 0.5)
    budget = {"schedule": {"steps": None, "decay_steps": None, "budget": "104s"}}
    # five photos take 2.5 s; the budget may be over during one measurement, and another one comes at the end
    with pytest.raises(
        ValueError, match=r"a budget of 104s leaves no time to train: .* 5 photos, and measuring, takes"
    ):
        learn(settings(data, tmp_path / "run", **budget, evaluation=MEASURED))
    monkeypatch.setattr(loop, "time_to_sit", lambda *_, pictures, **__: pictures * 0.25)
    run = learn(settings(data, tmp_path / "run", **budget, evaluation=MEASURED))
    assert scores(run.path)[-1]["step"] == int(kept(run.path)[-1].removeprefix("step-"))


@pytest.mark.filterwarnings("ignore:Cyclopts application invoked without tokens")  # sys.argv is what is tested
def test_measuring_can_be_asked_for_on_the_command_line(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run.toml").write_text(write_settings(settings(data, tmp_path / "run")))
    words = f"train --config {tmp_path / 'run.toml'} --evaluation.every 1 --evaluation.network random"
    monkeypatch.setattr(sys, "argv", ["cyclestyle", *words.split()])
    with contextlib.suppress(SystemExit):
        cli.main()
    assert [line["step"] for line in scores(tmp_path / "run")] == [5, 9]
    assert read_settings(tmp_path / "run" / "config.toml").evaluation.network == "random"


# --- what stands in the folder ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "edit", [lambda path, now: path.write_text(write_settings(now)), lambda path, now: path.unlink()]
)
def test_an_edited_or_missing_settings_file_in_the_folder_does_not_hide_a_contradiction(
    edit: Callable[[Path, Settings], object], data: Path, tmp_path: Path
) -> None:
    run = learn(settings(data, tmp_path / "run"))
    now = settings(data, tmp_path / "run", optimizer={"learning_rate": 1e-3})
    edit(run.config, now)
    with pytest.raises(ValueError, match=r"optimizer\.learning_rate: was 0\.0002, is now 0\.001"):
        learn(now)


def one_less(path: Path) -> None:
    told = json.loads(path.read_text())
    told["photos"]["usable"].pop()
    path.write_text(json.dumps(told))


@pytest.mark.parametrize(
    "edit",
    [
        one_less,
        pytest.param(lambda path: path.unlink(), marks=pytest.mark.slow),
        pytest.param(lambda path: path.write_text("{"), marks=pytest.mark.slow),
    ],
)
def test_a_missing_or_edited_list_of_pictures_is_made_again_from_the_pictures(
    edit: Callable[[Path], object], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, wanted = learn(settings(data, tmp_path / "whole")), settings(data, tmp_path / "run")
    with monkeypatch.context() as patch:
        interrupt(patch, before=5)
        with pytest.raises(KeyboardInterrupt):
            learn(wanted)
    edit(wanted.run / "pictures.json")
    learn(wanted)
    assert_alike(wanted.run, whole.path)


def test_a_missing_list_of_pictures_does_not_let_other_pictures_in(data: Path, tmp_path: Path, draw: Draw) -> None:
    run = learn(settings(data, tmp_path / "run"))
    run.pictures.unlink()
    draw(data / "photos", 6, seed=1)
    with pytest.raises(ValueError, match=r"photos: not the pictures that it was begun with"):
        learn(settings(data, tmp_path / "run"))


HOLD = "import sys; from pathlib import Path; from cyclestyle.files import held\n"
HOLD += "with held(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"


def test_a_second_run_in_the_same_folder_is_refused_and_harms_nothing(data: Path, tmp_path: Path) -> None:
    run = learn(settings(data, tmp_path / "run"))
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file() and path != run.lock}
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(run.lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(ValueError, match=rf"is being trained in by process {other.pid} on .*--run"):
            learn(settings(data, tmp_path / "run"))
    finally:
        other.communicate()
    assert {path: path.read_bytes() for path in before} == before
    learn(settings(data, tmp_path / "run"))


def test_what_a_killed_process_was_writing_is_cleared(data: Path, tmp_path: Path) -> None:
    run = learn(settings(data, tmp_path / "run"))
    (run.path / ".part-0123.safetensors").write_bytes(b"half")
    (run.checkpoints / ".part-step-0000010").mkdir()
    learn(settings(data, tmp_path / "run"))
    assert list(run.path.glob(".part-*")) == []


def full_disk(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device", "there")


def test_a_full_disk_is_a_sentence_and_the_run_goes_on_to_the_same_bits_once_there_is_space(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, wanted = learn(settings(data, tmp_path / "whole")), settings(data, tmp_path / "run")
    real = checkpoints.write_synced
    with monkeypatch.context() as patch:
        patch.setattr(
            checkpoints,
            "write_synced",
            lambda path, content: (full_disk if "0008" in str(path) else real)(path, content),
        )
        with pytest.raises(ValueError, match=r"step 8 cannot be saved: No space left on device") as refusal:
            learn(wanted)
    assert "The checkpoint step-0000004 is whole" in str(refusal.value)
    assert kept(wanted.run) == ["step-0000004"]
    learn(wanted)
    assert_alike(wanted.run, whole.path)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_folder_that_vanishes_is_a_sentence_and_is_not_made_again(
    workers: int, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Learner.take_step

    def take_step(self: Learner, batches: Iterator[Batch], factor: float) -> Any:
        if self.step == 5:
            shutil.rmtree(tmp_path / "run")
        return real(self, batches, factor)

    monkeypatch.setattr(Learner, "take_step", take_step)
    with pytest.raises(ValueError, match="step 8 cannot be saved: No such file"):
        learn(settings(data, tmp_path / "run", data={"workers": workers}))
    assert not multiprocessing.active_children()  # its loaders have ended
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]


# --- what is told can never stop it -------------------------------------------------------------------------------


def a_folder_in_its_place(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (run / "metrics.jsonl").mkdir(parents=True)


def no_tensorboard(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)


def broken_tensorboard(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torch.utils.tensorboard import SummaryWriter

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the protocol buffers of two versions do not agree")

    monkeypatch.setattr(SummaryWriter, "add_scalar", broken)
    monkeypatch.setattr(SummaryWriter, "close", broken)


def tensorboard_that_does_not_open(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.utils.tensorboard.SummaryWriter.__init__", full_disk)


@pytest.mark.parametrize(
    "broken",
    [
        tensorboard_that_does_not_open,
        *(
            pytest.param(way, marks=pytest.mark.slow)
            for way in (a_folder_in_its_place, no_tensorboard, broken_tensorboard)
        ),
    ],
)
def test_a_journal_that_cannot_be_written_is_complained_about_once_and_changes_nothing(
    broken: Callable[[Path, pytest.MonkeyPatch], None],
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    whole = learn(settings(data, tmp_path / "whole"))
    with monkeypatch.context() as patch:
        broken(tmp_path / "run", patch)
        capsys.readouterr()
        run = learn(settings(data, tmp_path / "run"))
        said = capsys.readouterr().err
        assert said.count("cannot be written") == 1
        assert (broken is a_folder_in_its_place) == ("the journal cannot be written" in said)
    assert same_bits(state(run.path, 9), state(whole.path, 9))
    assert broken is a_folder_in_its_place or run.metrics.read_bytes() == whole.metrics.read_bytes()


@pytest.mark.parametrize("content", [None, b"\xff\xfe", b'{"step": 3, "seconds": "soon"}\n'])
def test_a_strange_list_of_paces_does_not_keep_a_run_from_going_on(
    content: bytes | None, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = settings(data, tmp_path / "run")
    with monkeypatch.context() as patch:
        interrupt(patch, before=5)
        with pytest.raises(KeyboardInterrupt):
            learn(wanted)
    pace = wanted.run / "pace.jsonl"
    pace.unlink()
    if content is None:
        pace.mkdir()
    else:
        pace.write_bytes(content)
    learn(wanted)
    assert lines(wanted.run)[-1]["step"] == 9


# --- bad pictures -------------------------------------------------------------------------------------------------


def test_bad_pictures_are_left_out_told_listed_and_change_nothing_and_strict_refuses_them(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = learn(settings(data, tmp_path / "whole"))
    (data / "photos" / "broken.jpg").write_bytes(b"<html>")
    (data / "paintings" / "a-empty.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"2 of 11 pictures cannot be learnt from(?s:.)*--strict refuses"):
        learn(settings(data, tmp_path / "strict"), strict=True)
    assert not (tmp_path / "strict" / "pictures.json").exists()
    capsys.readouterr()
    run = learn(settings(data, tmp_path / "run"))
    said = capsys.readouterr().out
    assert "2 of 11 pictures cannot be learnt from and are left out" in said
    assert "photos/broken.jpg: " in said
    assert "paintings/a-empty.png: " in said
    assert same_bits(state(run.path, 9), state(whole.path, 9))
    left_out = {
        name: [path for path, _ in one["unusable"]] for name, one in json.loads(run.pictures.read_text()).items()
    }
    assert left_out == {"photos": ["broken.jpg"], "paintings": ["a-empty.png"]}
    assert json.loads(run.provenance.read_text())["left out"] == {"photos": 1, "paintings": 1}


def test_a_picture_that_vanishes_meanwhile_is_told_once_and_others_stand_in_also_after_a_stop(
    tmp_path: Path, draw: Draw, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    draw(data / "photos", 11, seed=1)
    draw(data / "paintings", 4, seed=2)
    brief = {"schedule": {"steps": 24, "decay_steps": 2}, "report": {"checkpoint_every": 12}}
    wanted = settings(data, tmp_path / "run", data={"cache": "off"}, **brief)
    real = Learner.take_step

    def take_step(self: Learner, batches: Iterator[Batch], factor: float) -> Any:
        if self.step == 1:
            (data / "photos" / "picture-03.png").unlink(missing_ok=True)
        return real(self, batches, factor)

    monkeypatch.setattr(Learner, "take_step", take_step)
    learn(wanted)
    said = capsys.readouterr().err
    assert said.count("picture-03.png") == said.count("another picture stands in for it") == 1
    (told,) = [event for event in events(wanted.run) if event["event"] == "lost"]
    assert "picture-03.png" in told["said"]
    learn(wanted)
    assert f"{data / 'photos' / 'picture-03.png'} is gone or was changed" in capsys.readouterr().out


# --- checkpoints that somebody else made --------------------------------------------------------------------------


def rewrite(path: Path, name: str, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = load_file(path / name)
    change(tensors)
    (path / name).unlink()
    save_file(tensors, path / name)


def wider(tensors: dict[str, torch.Tensor]) -> None:
    name = next(iter(sorted(tensors)))
    tensors[name] = torch.zeros(7, 7)


STRANGE = {
    "a weight of another shape": lambda path: rewrite(path, "networks.safetensors", wider),
    "a moment that is missing": lambda path: rewrite(
        path, "optimizers.safetensors", lambda t: t.pop("generators.0.exp_avg")
    ),
    "a moment too many": lambda path: rewrite(
        path, "optimizers.safetensors", lambda t: t.update({"x.0.y": torch.ones(1)})
    ),
    "more remembered than there is room for": lambda path: rewrite(
        path, "process-0.safetensors", lambda t: t.update({"replay.photos": torch.zeros(4, 3, 16, 16)})
    ),
    "a picture of another size": lambda path: rewrite(
        path, "process-0.safetensors", lambda t: t.update({"replay.photos": torch.zeros(1, 3, 999, 16)})
    ),
    "a painter of another type": lambda path: rewrite(
        path, "paint.safetensors", lambda t: t.update({name: value.half() for name, value in t.items()})
    ),
    "a pickle": lambda path: torch.save({"paint": torch.ones(3)}, path / "networks.safetensors"),
    "a file less": lambda path: (path / "optimizers.safetensors").write_bytes(b""),
}


@pytest.mark.parametrize("kind", STRANGE)
def test_a_checkpoint_that_does_not_fit_is_refused_in_a_sentence(kind: str, data: Path, tmp_path: Path) -> None:
    run = learn(settings(data, tmp_path / "run", report={"keep": 1}))
    path = run.checkpoints / "step-0000009"
    STRANGE[kind](path)
    reseal(path)
    with pytest.raises(ValueError, match=re.escape(str(path))) as refusal:
        learn(settings(data, tmp_path / "run"))
    assert len(str(refusal.value)) < 400 + len(str(path))
    assert kept(run.path) == ["step-0000009"]


@pytest.mark.parametrize(
    "change",
    [
        lambda facts: facts.pop("guard"),
        lambda facts: facts.update(guard={"skipped": -1}),
        lambda facts: facts.update(guard=[]),
        lambda facts: facts.update(budget={"rate": math.nan}),
        lambda facts: facts.update(scaler={"scale": -1.0, "growth_tracker": 0}),
        lambda facts: facts.update(processes=0),
        lambda facts: facts.update(more="x"),
        lambda facts: facts.update(settings=3),
    ],
)
def test_facts_that_make_no_sense_are_refused_in_a_sentence(
    change: Callable[[dict[str, Any]], object], data: Path, tmp_path: Path
) -> None:
    run = learn(settings(data, tmp_path / "run", report={"keep": 1}))
    reseal(run.checkpoints / "step-0000009", change)
    with pytest.raises(ValueError, match=r"step-0000009 cannot be gone on from"):
        learn(settings(data, tmp_path / "run"))


# --- a budget of time ---------------------------------------------------------------------------------------------


def test_a_budget_that_leaves_no_time_to_train_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a budget of 2s leaves no time to train"):
        learn(settings(data, tmp_path / "run", schedule={"steps": None, "decay_steps": None, "budget": "2s"}))


@pytest.mark.slow
def test_a_run_with_a_budget_ends_with_it_also_after_a_stop_and_its_rate_has_fallen(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "time_to_paint", lambda *_: 100.0)
    wanted = settings(
        data,
        tmp_path / "run",
        schedule={"steps": None, "decay_steps": None, "budget": "110s"},
        report={"log_every": 1, "checkpoint_every": 1000, "sample_every": 1000},
    )
    with monkeypatch.context() as patch:
        ask(patch, lambda step: step == 4)
        with pytest.raises(Stopped, match="saved at step 4"):
            learn(wanted)
    run = learn(wanted)
    pace = [json.loads(line)["seconds"] for line in run.pace.read_text().splitlines()]
    assert pace[-2] < 10 < pace[-1] + 2 * max(after - before for before, after in itertools.pairwise(pace))
    assert pace == sorted(pace)
    rates = [line["learning_rate"] / 2e-4 for line in lines(run.path)]
    assert rates[0] == 1
    assert 0 < rates[-1] < 0.2
    assert rates == sorted(rates, reverse=True)
    learn(wanted)  # it is over
    assert len(lines(run.path)) == len(rates)
