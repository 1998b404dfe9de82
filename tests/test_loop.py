"""A run writes what it promises, and an interrupted one ends like one that never stopped, to the bit."""

import json
import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from conftest import Draw
from PIL import Image
from safetensors.torch import load_file

from cyclestyle.config import Settings, read_settings
from cyclestyle.data.folders import find_sets
from cyclestyle.data.unpaired import Batch, Places, UnpairedPictures, build_loader
from cyclestyle.images import load, to_images
from cyclestyle.networks.painter import load_painter
from cyclestyle.runs import RunFolder
from cyclestyle.training.learner import Learner
from cyclestyle.training.loop import learn

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
        "report": {"log_every": 2, "sample_every": 4, "samples": 2, "checkpoint_every": 4},
    }
    for name, section in sections.items():
        values[name] = values.get(name, {}) | section if isinstance(section, dict) else section
    return Settings.model_validate(values)


def lines(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def without_timing(run: Path) -> list[dict[str, float]]:
    return [{name: value for name, value in line.items() if name != "pairs_per_second"} for line in lines(run)]


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
    wanted = settings(data, tmp_path / "run")
    run = learn(wanted)
    assert run.path == tmp_path / "run"
    assert sorted(path.name for path in run.path.iterdir()) == [
        "checkpoints",
        "config.toml",
        "metrics.jsonl",
        "paint.safetensors",
        "provenance.json",
        "samples",
        "tensorboard",
        "unpaint.safetensors",
    ]
    assert read_settings(run.config) == wanted
    provenance = json.loads(run.provenance.read_text())
    assert provenance["seed"] == 0
    assert provenance["counts"] == {"photos": 5, "paintings": 4}
    assert provenance["versions"]["torch"] == torch.__version__.split("+")[0]
    assert provenance["hardware"]["devices"]
    assert set(provenance["pictures"]) == {"photos", "paintings"}

    assert [line["step"] for line in lines(run.path)] == [2, 4, 6, 8, 9]
    for line in lines(run.path):
        assert all(math.isfinite(value) for value in line.values())
        assert line["pairs_per_second"] > 0
        assert line["epoch"] == pytest.approx(line["step"] / 5)
    # the rate of the last step that a line covers; the sixth to last is the first that falls
    rates = [line["learning_rate"] / 2e-4 for line in lines(run.path)]
    assert rates == pytest.approx([1, 6 / 7, 4 / 7, 2 / 7, 1 / 7])

    assert sorted(path.name for path in run.sample(0).parent.iterdir()) == [
        f"step-{step:07d}.png" for step in (4, 8, 9)
    ]
    assert load(run.sample(9)).size == (6 * 16 + 5 * 2, 2 * 16 + 2)
    assert [path.name for path in sorted(run.checkpoints.iterdir())] == ["step-0000008", "step-0000009"]
    assert list(run.tensorboard.glob("events.*"))

    # what users get are the averages of the last checkpoint, with their card
    kept = state(run.path, 9)
    for name, direction in (("paint", "photo to painting"), ("unpaint", "painting to photo")):
        painter = load_painter(run.painter(back=name == "unpaint"))
        assert (painter.card.direction, painter.card.side, painter.card.step) == (direction, 16, 9)
        assert painter.card.generator == wanted.generator
        for key, value in painter.network.state_dict().items():
            assert torch.equal(value, kept[f"average-{name}/{key}"])
            assert not torch.equal(value, kept[f"{name}/{key}"]) or not value.any()  # bias zero may stay


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
    assert [path.name for path in stopped.checkpoints.iterdir()] == ["step-0000004"]
    learn(wanted)

    expected = state(whole.path, 9)
    assert {name.split("/")[0] for name in expected} == {
        *NETWORKS,
        "average-paint",
        "average-unpaint",
        "adam-generators",
        "adam-discriminators",
        "replay-0",
        "means-0",
    }
    assert expected["replay-0/photos"].shape == (3, 3, 16, 16)
    for step in (8, 9):
        assert same_bits(state(stopped.path, step), state(whole.path, step))
    assert without_timing(stopped.path) == without_timing(whole.path)
    for name in ("paint.safetensors", "unpaint.safetensors", "samples/step-0000008.png", "samples/step-0000009.png"):
        assert (stopped.path / name).read_bytes() == (whole.path / name).read_bytes()


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
    assert without_timing(wanted.run) == without_timing(whole.path)


def test_a_damaged_last_checkpoint_costs_only_the_steps_since_the_one_before(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = learn(settings(data, tmp_path / "run"))
    before, told = state(run.path, 9), without_timing(run.path)
    file = run.checkpoints / "step-0000009" / "adam-generators.safetensors"
    file.write_bytes(file.read_bytes()[:-7])
    capsys.readouterr()
    learn(settings(data, tmp_path / "run"))
    said = capsys.readouterr().out
    assert "passing over a damaged checkpoint" in said
    assert "adam-generators.safetensors" in said
    assert "going on at step 8 of 9" in said
    assert same_bits(state(run.path, 9), before)
    assert without_timing(run.path) == told


def test_the_same_settings_give_the_same_weights_and_another_seed_others(data: Path, tmp_path: Path) -> None:
    one = learn(settings(data, tmp_path / "one"))
    # the reports and the loader processes change nothing of what is learnt
    other = learn(
        settings(
            data, tmp_path / "other", report={"log_every": 3, "sample_every": 7, "samples": 1}, data={"workers": 1}
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


def test_a_run_that_was_stopped_before_its_first_checkpoint_may_begin_anew_with_other_settings(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        interrupt(patch, before=1)
        with pytest.raises(KeyboardInterrupt):
            learn(settings(data, tmp_path / "run"))
    run = learn(settings(data, tmp_path / "run", seed=5))
    assert same_bits(state(run.path, 9), state(learn(settings(data, tmp_path / "other", seed=5)).path, 9))


def test_weights_that_are_no_longer_finite_stop_the_run_and_leave_the_checkpoint_before(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Learner.take_step

    def take_step(self: Learner, batches: Iterator[Batch], factor: float) -> Any:
        losses = real(self, batches, factor)
        if self.step == 6:
            next(self.bare.paint.parameters()).data[0] = float("nan")
        return losses

    monkeypatch.setattr(Learner, "take_step", take_step)
    with pytest.raises(ValueError, match="no longer finite numbers at step 8"):
        learn(settings(data, tmp_path / "run"))
    run = RunFolder(tmp_path / "run")
    assert [path.name for path in run.checkpoints.iterdir()] == ["step-0000004"]
    assert load_painter(run.painter()).card.step == 4


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


def test_a_checkpoint_of_another_number_of_processes_is_refused(data: Path, tmp_path: Path) -> None:
    run = learn(settings(data, tmp_path / "run"))
    for path in sorted(run.checkpoints.iterdir()):
        for file in path.glob("*.json"):
            file.write_text(file.read_text().replace('"processes": 1', '"processes": 2'))
        seal(path)
    with pytest.raises(ValueError, match="--num_processes 2"):
        learn(settings(data, tmp_path / "run"))


def seal(path: Path) -> None:
    """Make the manifest agree with what the files hold now."""
    from cyclestyle.files import sha256

    manifest = json.loads((path / "manifest.json").read_text())
    for name, entry in manifest["files"].items():
        entry |= {"bytes": (path / name).stat().st_size, "sha256": sha256(path / name)}
    (path / "manifest.json").write_text(json.dumps(manifest))


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
    places = Places(0, wanted.compute.accumulate, batch=wanted.data.batch, rank=0, processes=1)
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


def test_bf16_trains_in_finite_numbers_and_hands_over_fp32(data: Path, tmp_path: Path) -> None:
    run = learn(settings(data, tmp_path / "run", compute={"mixed_precision": "bf16"}))
    tensors = state(run.path, 9)
    assert all(torch.isfinite(value).all() for value in tensors.values())
    assert {value.dtype for name, value in tensors.items() if name != "means-0/count"} == {torch.float32}
    assert all(math.isfinite(value) for line in lines(run.path) for value in line.values())
    full = learn_in_fp32(data, tmp_path)
    assert not same_bits(tensors, state(full.path, 9))  # it was not fp32 all the same
    assert lines(run.path)[0]["cycle/photo"] == pytest.approx(lines(full.path)[0]["cycle/photo"], rel=0.05)


def learn_in_fp32(data: Path, tmp_path: Path) -> RunFolder:
    AcceleratorState._reset_state(reset_partial_state=True)
    return learn(settings(data, tmp_path / "fp32"))


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
