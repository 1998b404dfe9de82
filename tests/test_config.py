"""Settings are typed, frozen, and say what is wrong with them in one line that names the key."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from cyclestyle.config import (
    ComputeSettings,
    DataSettings,
    DiscriminatorSettings,
    EvaluationSettings,
    GeneratorSettings,
    ObjectiveSettings,
    OptimizerSettings,
    ReportSettings,
    ScheduleSettings,
    Section,
    Settings,
    cache_limit,
    seconds,
)
from cyclestyle.settings import (
    CHANGES_NOTHING,
    contradictions,
    describe,
    identity,
    read_settings,
    read_toml,
    without_other_unit,
    write_settings,
)

SMALLEST: dict[str, Any] = {"run": "runs/a", "schedule": {"epochs": 4, "decay_epochs": 2}}


def settings(**values: Any) -> Settings:
    return Settings.model_validate(SMALLEST | values)


def complaint(**values: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        settings(**values)
    return describe(caught.value)


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return found


def test_painters_are_not_measured_unless_it_is_asked_for() -> None:
    assert settings().evaluation.every == 0


def test_the_defaults_are_the_papers() -> None:
    defaults = settings()
    assert (defaults.data.resize, defaults.data.crop, defaults.data.batch) == (286, 256, 1)
    assert (defaults.data.augmentation, defaults.generator.kind, defaults.discriminator.kind) == (
        "paper",
        "resnet",
        "patch",
    )
    assert (defaults.generator.width, defaults.generator.blocks, defaults.generator.upsampling) == (64, 9, "transposed")
    assert (defaults.discriminator.width, defaults.discriminator.layers) == (64, 3)
    assert defaults.discriminator.spectral_norm is False
    assert (defaults.objective.adversarial, defaults.objective.replay) == ("lsgan", 50)
    assert (defaults.objective.cycle, defaults.objective.identity) == (10.0, 5.0)
    optimizer = defaults.optimizer
    assert (optimizer.learning_rate, optimizer.beta1, optimizer.beta2) == (2e-4, 0.5, 0.999)


ONE_UNIT = "schedule: give the length in epochs, in steps or as a budget, not in two of them"

# --- what is refused, and in what words ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"colour": "red"}, "colour = 'red': Extra inputs are not permitted"),
        ({"data": {"bacth": 2}}, "data.bacth = 2: Extra inputs are not permitted"),
        ({"generator": {"layers": 3}}, "generator.layers = 3: Extra inputs are not permitted"),
    ],
)
def test_an_unknown_key_is_refused_by_its_full_name(values: dict[str, Any], text: str) -> None:
    assert complaint(**values) == text


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"data": {"crop": 30}}, "data.crop = 30: should be a multiple of 4"),
        ({"data": {"crop": 12}}, "data.crop = 12: should be greater than or equal to 16"),
        ({"data": {"resize": 255}}, "data: resize (255) is smaller than crop (256)"),
        ({"data": {"batch": 0}}, "data.batch = 0: should be 1 or more, or auto"),
        ({"data": {"workers": -1}}, "data.workers = -1: should be greater than or equal to 0"),
        ({"data": {"augmentation": "all"}}, "data.augmentation = 'all': should be 'paper', 'flip', 'zoom' or 'none'"),
        ({"seed": -1}, "seed = -1: should be greater than or equal to 0"),
        ({"generator": {"kind": "vit"}}, "generator.kind = 'vit': should be 'resnet' or 'unet'"),
        ({"generator": {"width": 0}}, "generator.width = 0: should be greater than 0"),
        ({"generator": {"blocks": 0}}, "generator.blocks = 0: should be greater than 0"),
        ({"generator": {"depth": 4}}, "generator.depth = 4: should be greater than or equal to 5"),
        ({"generator": {"depth": 11}}, "generator.depth = 11: should be less than or equal to 10"),
        ({"generator": {"upsampling": 2}}, "generator.upsampling = 2: should be 'transposed' or 'resize'"),
        ({"discriminator": {"layers": 0}}, "discriminator.layers = 0: should be greater than or equal to 1"),
        ({"discriminator": {"layers": 7}}, "discriminator.layers = 7: should be less than or equal to 6"),
        ({"objective": {"cycle": -1.0}}, "objective.cycle = -1.0: should be greater than or equal to 0"),
        ({"objective": {"identity": -0.5}}, "objective.identity = -0.5: should be greater than or equal to 0"),
        ({"objective": {"replay": -1}}, "objective.replay = -1: should be greater than or equal to 0"),
        ({"objective": {"cycle": float("nan")}}, "objective.cycle = nan: should be a finite number"),
        ({"objective": {"cycle": float("inf")}}, "objective.cycle = inf: should be a finite number"),
        ({"optimizer": {"learning_rate": 0.0}}, "optimizer.learning_rate = 0.0: should be greater than 0"),
        ({"optimizer": {"beta1": 1.0}}, "optimizer.beta1 = 1.0: should be less than 1"),
        ({"optimizer": {"beta2": -0.1}}, "optimizer.beta2 = -0.1: should be greater than or equal to 0"),
        ({"run": ""}, "run is empty; give a path, or leave it out"),
        ({"data": {"photos": ""}}, "data: photos is empty; give a path, or leave it out"),
        ({"seed": 2**63}, "seed = 9223372036854775808: should be less than 9223372036854775808"),
        ({"schedule": {}}, "schedule: how long? give epochs, steps or a budget"),
        ({"schedule": {"decay_steps": 3}}, "schedule: how long? give epochs, steps or a budget"),
        ({"schedule": {"epochs": 1, "steps": 5}}, ONE_UNIT),
        ({"schedule": {"epochs": 1, "decay_steps": 5}}, ONE_UNIT),
        ({"schedule": {"steps": 1, "decay_epochs": 5}}, ONE_UNIT),
        ({"schedule": {"steps": 1, "budget": "1h"}}, ONE_UNIT),
        ({"schedule": {"epochs": 1, "budget": "1h"}}, ONE_UNIT),
        ({"schedule": {"decay_steps": 1, "budget": "1h"}}, ONE_UNIT),
        ({"schedule": {"decay_epochs": 1, "budget": "1h"}}, ONE_UNIT),
        (
            {"schedule": {"budget": "soon"}},
            "schedule.budget = 'soon': should be a time such as 4h40m, 90m or 45s",
        ),
        ({"schedule": {"steps": 4, "decay_steps": 5}}, "schedule: the decay (5) is longer than the whole (4)"),
        ({"schedule": {"epochs": 0.5, "decay_epochs": 1}}, "schedule: the decay (1) is longer than the whole (0.5)"),
        ({"schedule": {"steps": 0}}, "schedule.steps = 0: should be greater than 0"),
        ({"schedule": {"epochs": 0}}, "schedule.epochs = 0: should be greater than 0"),
        (
            {"compute": {"mixed_precision": "fp8"}},
            "compute.mixed_precision = 'fp8': should be 'auto', 'no', 'fp16' or 'bf16'",
        ),
        ({"compute": {"patience": 0}}, "compute.patience = 0: should be greater than 0"),
        ({"compute": {"accumulate": 0}}, "compute.accumulate = 0: should be greater than 0"),
        ({"compute": {"average": 1.0}}, "compute.average = 1.0: should be less than 1"),
        ({"report": {"log_every": 0}}, "report.log_every = 0: should be greater than 0"),
        ({"report": {"sample_every": 0}}, "report.sample_every = 0: should be greater than 0"),
        ({"report": {"samples": 0}}, "report.samples = 0: should be greater than 0"),
        ({"report": {"checkpoint_every": 0}}, "report.checkpoint_every = 0: should be greater than 0"),
        ({"report": {"keep": 0}}, "report.keep = 0: should be greater than or equal to 1"),
        ({"report": {"judge": -1}}, "report.judge = -1: should be greater than or equal to 0"),
        ({"evaluation": {"every": -0.5}}, "evaluation.every = -0.5: should be greater than or equal to 0"),
        ({"evaluation": {"every": float("inf")}}, "evaluation.every = inf: should be a finite number"),
        ({"evaluation": {"pictures": 9}}, "evaluation.pictures = 9: should be greater than or equal to 10"),
        (
            {"evaluation": {"network": "vgg16"}},
            "evaluation.network = 'vgg16': should be 'inception', 'vgg19' or 'random'",
        ),
        ({"evaluation": {"epochs": 1}}, "evaluation.epochs = 1: Extra inputs are not permitted"),
    ],
)
def test_a_value_that_makes_no_sense_is_named_with_what_is_allowed(values: dict[str, Any], text: str) -> None:
    assert complaint(**values) == text


def test_everything_that_is_wrong_stands_in_one_line() -> None:
    text = complaint(data={"batch": 0, "crop": 30}, seed=-1)
    assert "\n" not in text
    assert sorted(part.split(" ")[0] for part in text.split("; ")) == ["data.batch", "data.crop", "seed"]


def test_a_value_that_is_no_number_or_word_is_not_repeated() -> None:
    assert complaint(data=[1, 2, 3]).startswith("data: ")


def test_who_does_not_say_how_long_is_told_how_to() -> None:
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate({"run": "runs/x"})
    assert describe(caught.value) == "how long? give --schedule.epochs 100, --schedule.steps 20000 or --budget 4h"


def test_a_missing_key_is_named() -> None:
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate({"schedule": {"steps": 1}})
    assert describe(caught.value) == "run: Field required"


@pytest.mark.parametrize(
    "values",
    [
        {"data": {"augmentation": "paper", "resize": 256, "crop": 256}},
        {"data": {"augmentation": "flip", "resize": 10, "crop": 256}},  # only `paper` resizes
        {"data": {"crop": 16}, "discriminator": {"layers": 2}},
        {"schedule": {"steps": 4, "decay_steps": 4}},
        {"schedule": {"steps": 4, "decay_steps": 0}},
        {"schedule": {"epochs": 0.25}},
        {"schedule": {"budget": "4h40m"}},
        {"report": {"judge": 0}},
        {"evaluation": {"every": 0, "pictures": 10}},
        {"evaluation": {"every": 1e-9}},
        {"evaluation": {"every": 1e9, "network": "random"}},
        {"generator": {"kind": "unet", "depth": 5}},
        {"objective": {"cycle": 0, "identity": 0, "replay": 0}},
        {"optimizer": {"beta1": 0, "beta2": 0}},
        {"compute": {"average": 0}},
    ],
)
def test_what_lies_on_the_edge_is_allowed(values: dict[str, Any]) -> None:
    settings(**values)


@pytest.mark.parametrize(
    "section",
    [
        DataSettings(),
        GeneratorSettings(),
        DiscriminatorSettings(),
        ObjectiveSettings(),
        OptimizerSettings(),
        ScheduleSettings(steps=1),
        ComputeSettings(),
        ReportSettings(),
        EvaluationSettings(),
        settings(),
    ],
    ids=lambda section: type(section).__name__,
)
def test_every_section_is_frozen_and_explains_its_settings(section: Section) -> None:
    name = next(iter(type(section).model_fields))
    with pytest.raises(ValidationError, match="frozen"):
        setattr(section, name, getattr(section, name))
    own_words = {"beta1", "beta2"}  # every textbook explains these
    sections = {"data", "generator", "discriminator", "objective", "optimizer", "schedule", "compute", "report"}
    sections |= {"evaluation"}
    for field, about in type(section).model_fields.items():
        assert about.description or field in own_words | sections, f"{field} has no help text"


# --- files --------------------------------------------------------------------------------------------------------


FULL = settings(
    run="runs/a folder with 'quotes\" and é",
    seed=2**40,
    data={"photos": "a\\b", "paintings": "c", "augmentation": "zoom", "crop": 64, "batch": 3, "workers": 0},
    generator={"kind": "unet", "width": 8, "depth": 6},
    discriminator={"kind": "pixel", "width": 8, "spectral_norm": True},
    objective={"adversarial": "hinge", "cycle": 0.1, "identity": 1e-30, "replay": 0},
    optimizer={"learning_rate": 1e-5, "discriminator_learning_rate": 0.30000000000000004},
    schedule={"epochs": 0.1, "decay_epochs": 0.05},
    compute={"mixed_precision": "bf16", "accumulate": 2, "average": 0.0},
    report={"keep": 5},
    evaluation={"every": 0.1, "pictures": 50, "network": "vgg19", "weights": "some 'where\"/w"},
)


@pytest.mark.parametrize(
    "written",
    [FULL, settings(), settings(schedule={"steps": 7, "decay_steps": 0}), settings(schedule={"budget": "4h40m"})],
)
def test_written_settings_are_read_back_exactly(tmp_path: Path, written: Settings) -> None:
    path = tmp_path / "config.toml"
    path.write_text(write_settings(written), encoding="utf-8")
    assert read_settings(path) == written
    assert write_settings(read_settings(path)) == write_settings(written)


def test_a_file_with_a_wrong_value_is_named_with_the_key(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('run = "a"\nschedule.steps = 5\ndata.crop = 30\n')
    with pytest.raises(ValueError, match="multiple") as caught:
        read_settings(path)
    assert str(caught.value) == f"{path}: data.crop = 30: should be a multiple of 4"


@pytest.mark.parametrize("content", [b"run = ", b"a = 1\na = 2", b'run = "\xff\xfe"', b"<html>"])
def test_a_file_that_is_no_toml_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"is not (valid TOML|text)") as caught:
        read_toml(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no such settings file: .*nowhere\.toml"):
        read_settings(tmp_path / "nowhere.toml")


# --- a budget of time ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("4h40m", 16800),
        ("4h 40min", 16800),
        (" 4H40M ", 16800),
        ("90m", 5400),
        ("90min", 5400),
        ("1.5h", 5400),
        ("45s", 45),
        ("0.5s", 0.5),
        ("1h1m1s", 3661),
        ("1h30s", 3630),
        ("0h5m", 300),
    ],
)
def test_times_are_read_as_people_write_them(given: str, expected: float) -> None:
    assert seconds(given) == expected
    assert ScheduleSettings(budget=given).budget == given


@pytest.mark.parametrize(
    "given",
    [
        "",
        " ",
        "4",
        "h",
        "-1h",
        "0s",
        "0h0m",
        "4h40",
        "40m4h",
        "1.h",
        ".5h",
        "1,5h",
        "1h1h",
        "4h40mx",
        "1e3s",
        "inf",
        "٣h5",
    ],
)
def test_anything_else_is_no_time_and_the_refusal_gives_an_example(given: str) -> None:
    with pytest.raises(ValueError, match="should be a time such as 4h40m, 90m or 45s"):
        seconds(given)
    with pytest.raises(ValidationError):
        ScheduleSettings(budget=given)


# --- the command line against the file ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"steps"}, {}),
        ({"decay_steps"}, {}),
        ({"epochs"}, {"epochs": 4, "decay_epochs": 2}),
        ({"decay_epochs"}, {"epochs": 4, "decay_epochs": 2}),
        (set(), {"epochs": 4, "decay_epochs": 2}),
        ({"batch", "seed"}, {"epochs": 4, "decay_epochs": 2}),
    ],
)
def test_steps_on_the_command_line_replace_epochs_in_the_file(given: set[str], kept: dict[str, int]) -> None:
    assert without_other_unit(SMALLEST, given) == {"run": "runs/a", "schedule": kept}
    assert SMALLEST["schedule"] == {"epochs": 4, "decay_epochs": 2}  # the file's values themselves stay


def test_epochs_on_the_command_line_replace_steps_in_the_file() -> None:
    values = {"run": "a", "schedule": {"steps": 4, "decay_steps": 2}}
    assert without_other_unit(values, {"epochs"}) == {"run": "a", "schedule": {}}


@pytest.mark.parametrize(
    "schedule", [{"epochs": 4, "decay_epochs": 2}, {"steps": 4, "decay_steps": 2}, {"epochs": 4}, {"budget": "1h"}]
)
@pytest.mark.parametrize("given", ["budget", "steps", "decay_steps", "epochs", "decay_epochs"])
def test_a_length_on_the_command_line_leaves_of_the_file_only_its_own_unit(
    given: str, schedule: dict[str, Any]
) -> None:
    unit = given.removeprefix("decay_")
    kept = {key: value for key, value in schedule.items() if key.removeprefix("decay_") == unit}
    assert without_other_unit({"run": "a", "schedule": schedule}, {given, "run"}) == {"run": "a", "schedule": kept}


def test_a_file_without_a_schedule_stays_as_it_is() -> None:
    assert without_other_unit({"run": "a"}, {"steps"}) == {"run": "a"}


# --- a run and its continuation -----------------------------------------------------------------------------------


CHANGED: dict[str, Any] = {
    "run": "elsewhere",
    "seed": 1,
    "data.folder": "f",
    "data.photos": "p",
    "data.paintings": "m",
    "data.augmentation": "flip",
    "data.resize": 300,
    "data.crop": 128,
    "data.batch": 2,
    "data.workers": 0,
    "data.cache": "off",
    "generator.kind": "unet",
    "generator.width": 32,
    "generator.blocks": 6,
    "generator.depth": 7,
    "generator.upsampling": "resize",
    "generator.residual": True,
    "discriminator.kind": "pixel",
    "discriminator.width": 32,
    "discriminator.layers": 2,
    "discriminator.network": "vgg19",
    "discriminator.weights": "w",
    "discriminator.spectral_norm": True,
    "objective.adversarial": "hinge",
    "objective.cycle": 1.0,
    "objective.identity": 0.0,
    "objective.replay": 0,
    "optimizer.learning_rate": 1e-4,
    "optimizer.discriminator_learning_rate": 1e-4,
    "optimizer.beta1": 0.0,
    "optimizer.beta2": 0.9,
    "schedule.epochs": 5.0,
    "schedule.decay_epochs": 1.0,
    "compute.mixed_precision": "bf16",
    "compute.exact": False,
    "compute.joined": False,
    "compute.compile": True,
    "compute.winograd": "auto",
    "compute.checkpointing": True,
    "compute.graph": True,
    "compute.patience": 3,
    "compute.accumulate": 2,
    "compute.average": 0.0,
    "report.log_every": 1,
    "report.sample_every": 1,
    "report.samples": 1,
    "report.checkpoint_every": 1,
    "report.keep": 9,
    "report.judge": 0,
    "evaluation.every": 0.5,
    "evaluation.pictures": 10,
    "evaluation.network": "random",
    "evaluation.weights": "w",
    "evaluation.precision": "bf16",
}
MAY_CHANGE = {
    *("run", "data.folder", "data.photos", "data.paintings", "data.workers", "data.cache", "discriminator.weights")
}


def test_the_list_of_changes_below_knows_every_setting() -> None:
    other_units = {"schedule.steps", "schedule.decay_steps", "schedule.budget"}
    assert set(CHANGED) | other_units == set(flat(settings().model_dump()))
    assert CHANGES_NOTHING == MAY_CHANGE


@pytest.mark.parametrize("name", CHANGED)
def test_a_change_contradicts_unless_it_changes_nothing_that_is_learnt(name: str) -> None:
    before = settings()
    section, _, key = name.rpartition(".")
    values = SMALLEST.get(section, {}) | {key: CHANGED[name]} if section else CHANGED[name]
    now = settings(**{section or key: values})
    old = flat(before.model_dump(mode="json"))[name]
    free = name in MAY_CHANGE or name.startswith(("report.", "evaluation."))
    assert contradictions(identity(before), now) == ([] if free else [f"{name}: was {old}, is now {CHANGED[name]}"])
    assert (name in identity(before)) is not free


@pytest.mark.parametrize(
    ("schedule", "told"),
    [
        ({"steps": 9}, ["schedule.steps: was None, is now 9"]),
        ({"budget": "1h"}, ["schedule.budget: was None, is now 1h"]),
    ],
)
def test_another_unit_of_length_is_a_contradiction(schedule: dict[str, Any], told: list[str]) -> None:
    assert contradictions(identity(settings()), settings(schedule=schedule)) == [
        "schedule.epochs: was 4.0, is now None",
        "schedule.decay_epochs: was 2.0, is now None",
        *told,
    ]


@pytest.mark.parametrize("before", [FULL, settings(), settings(schedule={"budget": "4h40m"})])
def test_the_same_settings_do_not_contradict_themselves_also_after_a_way_through_json(before: Settings) -> None:
    assert contradictions(identity(before), before) == []
    assert contradictions(json.loads(json.dumps(identity(before))), before) == []


def test_a_setting_that_did_not_exist_when_the_run_began_is_taken_to_have_had_its_default() -> None:
    before = {name: value for name, value in identity(settings()).items() if name != "compute.patience"}
    assert contradictions(before, settings()) == []
    assert contradictions(before, settings(compute={"patience": 3})) == ["compute.patience: was 10, is now 3"]


def test_a_setting_that_no_longer_exists_is_a_contradiction() -> None:
    before = identity(settings()) | {"generator.colour": "red"}
    assert contradictions(before, settings()) == ["generator.colour: was red, is now None"]


# --- sizes of caches ----------------------------------------------------------------------------------------------


def test_the_cache_is_automatic_off_or_a_size() -> None:
    sizes = {"auto": None, "off": 0, "10GB": 10**10, "0.5 gb": 5 * 10**8}
    assert {given: cache_limit(given) for given in sizes} == sizes
    assert DataSettings().cache == "auto"
    for given in ("", "10", "GB", "0GB", "-1GB", "10MB", "on"):
        with pytest.raises(ValidationError, match="auto, off or a size such as 10GB"):
            DataSettings(cache=given)
