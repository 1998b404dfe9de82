"""Settings read from TOML and written to it, and compared: may a run be gone on with on other settings?"""

import json
import tomllib
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import ValidationError

from cyclestyle.config import Settings

CHANGES_NOTHING = frozenset(
    {"run", "data.workers", "data.cache", "data.folder", "data.photos", "data.paintings", "discriminator.weights"}
)
"""Settings that may differ between a run and its continuation (pictures and weights are compared by fingerprint)."""


TOLD = ("report.", "evaluation.")
"""Beginnings of settings that change nothing of what is learnt."""


def read_toml(path: Path) -> dict[str, Any]:
    """The values of a TOML file. Raises FileNotFoundError or ValueError with the place of the mistake."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FileNotFoundError(f"no such settings file: {path}") from None
    except IsADirectoryError:
        raise IsADirectoryError(f"{path} is a folder, and a settings file (TOML) is expected") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not text, and a settings file (TOML) is expected") from None
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path} is not valid TOML: {error}") from None


def read_settings(path: Path) -> Settings:
    """The settings in a TOML file. Raises ValueError naming the key, what it holds and what is allowed."""
    try:
        return Settings.model_validate(read_toml(path))
    except ValidationError as error:
        raise ValueError(f"{path}: {describe(error)}") from None


UNITS = ({"epochs", "decay_epochs"}, {"steps", "decay_steps"}, {"budget"})


def without_other_unit(values: dict[str, Any], given: set[str]) -> dict[str, Any]:
    """Drop a file's length in one unit where the command line gives it in another."""
    schedule = values.get("schedule")
    chosen = next((unit for unit in UNITS if given & unit), None)
    if chosen is None or not isinstance(schedule, dict):
        return values
    others = set().union(*UNITS) - chosen
    return values | {"schedule": {key: value for key, value in schedule.items() if key not in others}}


def describe(error: ValidationError) -> str:
    """What pydantic found, in one line: `data.crop = 30: should be a multiple of 4`."""
    found = []
    for problem in error.errors():
        place = ".".join(str(part) for part in problem["loc"])
        if (place, problem["type"]) == ("schedule", "missing"):
            found.append(_how_long(problem["input"]))
            continue
        message = problem["msg"].removeprefix("Value error, ").replace("Input should", "should")
        given = problem["input"]
        shown = f" = {given!r}" if isinstance(given, (str, int, float, bool)) else ""
        found.append(f"{place}{shown}: {message}" if place else message)
    return "; ".join(found)


def _how_long(given: Any) -> str:
    """What to type where no length is given: of a run that is there, its own settings."""
    run = given.get("run") if isinstance(given, dict) else None
    if run and (Path(run) / "config.toml").is_file():
        return f"to go on with this run, type `cyclestyle train --config {Path(run) / 'config.toml'}`"
    return "how long? give --schedule.epochs 100, --schedule.steps 20000 or --budget 4h"


def write_settings(settings: Settings) -> str:
    """Settings as TOML; `read_settings` gives them back. Unset values are left out."""
    return tomli_w.dumps(json.loads(settings.model_dump_json(exclude_none=True)))


def identity(settings: Settings) -> dict[str, Any]:
    """The settings that make a run what it is, by dotted name: all but those that may differ in its continuation."""
    flat = _flat(settings.model_dump(mode="json"))
    return {name: value for name, value in flat.items() if name not in CHANGES_NOTHING and not name.startswith(TOLD)}


def contradictions(before: dict[str, Any], now: Settings) -> list[str]:
    """In what a continued run differs from the run so far (its `identity`), as `name: was X, is now Y`.

    A setting that did not exist when the run began is taken to have had its default.
    """
    after, usual = identity(now), identity(Settings.model_validate({"run": ".", "schedule": {"steps": 1}}))
    names = [*after, *(name for name in before if name not in after)]
    return [
        f"{name}: was {before.get(name, usual.get(name))}, is now {after.get(name)}"
        for name in names
        if before.get(name, usual.get(name)) != after.get(name)
    ]


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat
