"""Settings fitted to a machine, and a run's budget to what is left (cyclestyle.competing.fitting)."""

import json
from pathlib import Path
from typing import Any

import pytest

from cyclestyle.competing.devices import Machine
from cyclestyle.competing.fitting import budget_for, fitted, painting_time
from cyclestyle.config import Settings
from cyclestyle.runs import RunFolder
from cyclestyle.settings import read_settings

CPU, T4, L4 = Machine("cpu"), Machine("T4", 2, "fp16", cpu=False), Machine("L4", 1, "auto", cpu=False)
ROOT = Path(__file__).resolve().parents[1]


def settings(**sections: Any) -> Settings:
    return Settings.model_validate({"run": "run", "schedule": {"budget": "1h"}} | sections)


def test_a_gpu_takes_the_settings_as_they_are_but_for_the_precision_that_it_lacks() -> None:
    assert fitted(settings(), L4, as_written=False) == []
    assert fitted(settings(), T4, as_written=False) == ["--compute.mixed-precision", "fp16"]
    assert fitted(settings(), T4, as_written=True) == ["--compute.mixed-precision", "fp16"]
    assert fitted(settings(compute={"mixed_precision": "no"}), T4, as_written=False) == []


def test_a_processor_alone_gets_smaller_networks_and_cuts() -> None:
    words = fitted(settings(), CPU, as_written=False)
    options = dict(zip(words[::2], words[1::2], strict=True))
    assert options == {
        "--data.crop": "128",
        "--data.resize": "143",
        "--generator.width": "32",
        "--discriminator.width": "32",
    }
    assert fitted(settings(), CPU, as_written=True) == []


def test_what_is_small_already_stays() -> None:
    small = settings(data={"crop": 64, "resize": 72}, generator={"width": 8}, discriminator={"width": 8})
    assert fitted(small, CPU, as_written=False) == []


def test_a_unet_keeps_its_side_which_has_to_fit_its_depth() -> None:
    assert "--data.crop" not in fitted(settings(generator={"kind": "unet"}), CPU, as_written=False)


def test_the_changes_can_be_typed_and_are_valid(tmp_path: Path) -> None:
    from cyclestyle.cli import build_app

    for machine in (CPU, T4):
        words = fitted(read_settings(ROOT / "configs/kaggle-5h.toml"), machine, as_written=False)
        typed = ["train", "--config", str(ROOT / "configs/kaggle-5h.toml"), *words]
        _, bound, _ = build_app().parse_args(typed, exit_on_error=False, print_error=False)
        assert isinstance(bound.arguments["settings"], Settings)


# --- the budget ---------------------------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "run")


def begun(run: RunFolder, budget: str = "100s", *pace: dict[str, float]) -> None:
    (run.checkpoints / "step-0000010").mkdir(parents=True)
    run.config.write_text(f'run = "x"\n[schedule]\nbudget = "{budget}"\n')
    run.pace.write_text("".join(json.dumps(line) + "\n" for line in pace))


def told(run: RunFolder) -> list[dict[str, float]]:
    return [json.loads(line) for line in run.pace.read_text().splitlines()]


def test_a_new_run_gets_what_is_left(run: RunFolder) -> None:
    assert budget_for(run, 71.6) == "72s"
    assert budget_for(run, -5.0) == "1s"
    run.path.mkdir()
    run.pace.write_text('{"step": 5, "seconds": 9}\n')  # killed before its first checkpoint: begun anew
    assert budget_for(run, 50.0) == "50s"
    assert told(run) == [{"step": 5, "seconds": 9}]


def test_a_run_that_goes_on_keeps_its_budget_and_is_told_what_was_lost(run: RunFolder) -> None:
    begun(run, "100s", {"step": 10, "seconds": 20.0}, {"step": 20, "seconds": 30.0})
    assert budget_for(run, 45.0) == "100s"
    assert told(run)[2:] == [{"step": 20, "seconds": 55.0}]
    assert budget_for(run, 45.0) == "100s"  # it knows
    assert len(told(run)) == 3


def test_more_time_than_a_run_knows_of_changes_nothing(run: RunFolder) -> None:
    begun(run, "100s", {"step": 10, "seconds": 20.0})
    assert budget_for(run, 500.0) == "100s"
    assert told(run) == [{"step": 10, "seconds": 20.0}]


def test_lines_that_were_cut_and_a_file_that_is_gone_do_not_matter(run: RunFolder) -> None:
    begun(run, "100s", {"step": 10, "seconds": 20.0})
    with run.pace.open("a") as file:
        file.write('{"step": 20, "sec')
    budget_for(run, 60.0)
    lines = run.pace.read_text().splitlines()
    assert json.loads(lines[-1]) == {"step": 10, "seconds": 40.0}
    assert lines[-2] == '{"step": 20, "sec'
    run.pace.unlink()
    budget_for(run, 60.0)
    assert told(run) == [{"step": 0, "seconds": 40.0}]


def test_a_run_of_steps_is_given_what_is_left_and_refuses_it_by_itself(run: RunFolder) -> None:
    begun(run)
    run.config.write_text('run = "x"\n[schedule]\nsteps = 5\n')
    assert budget_for(run, 60.0) == "60s"


def test_what_a_training_measured_is_read(run: RunFolder) -> None:
    assert painting_time(run) is None
    run.path.mkdir()
    for content, expected in (('{"painting": 12.5}', 12.5), ("{", None), ("[]", None), ('{"gone": 1}', None)):
        (run.path / "budget.json").write_text(content)
        assert painting_time(run) == expected
