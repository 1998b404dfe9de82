"""What the project says of itself is true: its settings files, its commands, its floors and its sizes."""

import ast
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from cyclestyle.cli import build_app
from cyclestyle.settings import read_settings

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted((ROOT / "cyclestyle").rglob("*.py"))
MODULE_LINES, FUNCTION_LINES = 330, 60


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def test_there_is_something_to_look_at() -> None:
    assert len(SOURCES) > 30
    assert list((ROOT / "configs").glob("*.toml"))


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.toml")), ids=lambda path: path.name)
def test_each_settings_file_is_valid(path: Path) -> None:
    settings = read_settings(path)
    assert not settings.run.is_absolute()
    assert path.read_text().startswith("# ")  # what it is for


def test_imports_point_down_the_floors() -> None:
    linter = Path(sys.executable).parent / "lint-imports"
    run = subprocess.run([str(linter), "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("path", SOURCES, ids=dotted)
def test_modules_and_functions_are_short_and_say_what_they_are(path: Path) -> None:
    text = path.read_text()
    tree = ast.parse(text)
    assert ast.get_docstring(tree)
    assert len(text.splitlines()) <= MODULE_LINES
    functions = [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    assert {node.name: lines(node) for node in functions if lines(node) > FUNCTION_LINES} == {}
    assert path.stem not in {"utils", "util", "helpers", "helper", "common", "base", "misc"}
    if path.name == "__init__.py":
        assert len(tree.body) == 1


def lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Without the docstring, which is the help of a command and may be long."""
    first = function.body[0]
    said = 0 if ast.get_docstring(function) is None else first.end_lineno - first.lineno + 1
    return function.end_lineno - function.lineno + 1 - said


COVERED_BY = {
    "cyclestyle.__main__": "test_distributed",
    "cyclestyle.cli": "test_commands",
    "cyclestyle.commands.check": "test_check",
    "cyclestyle.commands.compare": "test_commands",
    "cyclestyle.commands.compete": "test_competition",
    "cyclestyle.commands.evaluate": "test_commands",
    "cyclestyle.commands.page": "test_writing",
    "cyclestyle.commands.stylize": "test_stylize",
    "cyclestyle.commands.submit": "test_commands",
    "cyclestyle.commands.synthesize": "test_commands",
    "cyclestyle.commands.train": "test_commands",
    "cyclestyle.commands.translate": "test_commands",
    "cyclestyle.comparison.comparing": "test_comparison",
    "cyclestyle.comparison.cost": "test_comparison",
    "cyclestyle.comparison.makers": "test_comparison",
    "cyclestyle.comparison.making": "test_comparison",
    "cyclestyle.comparison.summary": "test_comparison",
    "cyclestyle.comparison.together": "test_comparison",
    "cyclestyle.comparison.winners": "test_columns",
    "cyclestyle.competing.probe": "test_devices",
    "cyclestyle.data.looks": "test_likeness",
    "cyclestyle.data.submission_check": "test_submission",
    "cyclestyle.data.submission_zip": "test_submission",
    "cyclestyle.data.survey": "test_check",
    "cyclestyle.doctor.account": "test_doctor_account",
    "cyclestyle.doctor.computing": "test_doctor_machine",
    "cyclestyle.doctor.findings": "test_doctor_machine",
    "cyclestyle.doctor.interpreter": "test_doctor_machine",
    "cyclestyle.doctor.libraries": "test_doctor_machine",
    "cyclestyle.doctor.machine": "test_doctor_machine",
    "cyclestyle.doctor.places": "test_doctor_machine",
    "cyclestyle.doctor.probe": "test_doctor",
    "cyclestyle.doctor.supplies": "test_doctor_machine",
    "cyclestyle.doctor.table": "test_doctor_machine",
    "cyclestyle.doctor.visit": "test_doctor",
    "cyclestyle.evaluation.card": "test_asking",
    "cyclestyle.evaluation.exhibits": "test_asking",
    "cyclestyle.evaluation.eyes": "test_looking",
    "cyclestyle.evaluation.known": "test_asking",
    "cyclestyle.evaluation.measuring": "test_asking",
    "cyclestyle.evaluation.pictures": "test_measured_pictures",
    "cyclestyle.evaluation.roundtrip": "test_asking",
    "cyclestyle.evaluation.sheet": "test_paired",
    "cyclestyle.evaluation.typesetting": "test_page",
    "cyclestyle.evaluation.yardsticks": "test_asking",
    "cyclestyle.exporting.card": "test_export",
    "cyclestyle.exporting.describing": "test_export",
    "cyclestyle.exporting.exporting": "test_export",
    "cyclestyle.exporting.graph": "test_export_graph",
    "cyclestyle.exporting.packages": "test_export",
    "cyclestyle.exporting.parity": "test_export_parity",
    "cyclestyle.exporting.portable": "test_export",
    "cyclestyle.exporting.wording": "test_export",
    "cyclestyle.runs": "test_loop",
    "cyclestyle.commands.serve": "test_serving",
    "cyclestyle.serving.card": "test_serving",
    "cyclestyle.serving.exported": "test_serving",
    "cyclestyle.serving.server": "test_serving",
    "cyclestyle.serving.site": "test_serving",
    "cyclestyle.settings": "test_config",
    "cyclestyle.styling.folder": "test_stylize",
    "cyclestyle.styling.opening": "test_stylize",
    "cyclestyle.styling.preparing": "test_stylize",
    "cyclestyle.styling.recipes": "test_stylize",
    "cyclestyle.training.learner": "test_loop",
    "cyclestyle.training.saved": "test_loop",
    "cyclestyle.training.story": "test_loop",
    "cyclestyle.networks.areas": "test_streaming",
    "cyclestyle.networks.kinds": "test_extractors",
    "cyclestyle.networks.scratch": "test_streaming",
    "cyclestyle.translation.folder": "test_translation",
    "cyclestyle.translation.room": "test_whole",
    "cyclestyle.translation.submission": "test_translation",
    "cyclestyle.video.flow": "test_video_flow",
    "cyclestyle.video.packages": "test_video_painting",
    "cyclestyle.video.painting": "test_video_painting",
    "cyclestyle.video.sound": "test_video_writing",
    "cyclestyle.video.reading": "test_video_reading",
    "cyclestyle.video.writing": "test_video_writing",
}
"""Modules that have no test module of their own name."""


def modules() -> list[Path]:
    scenes = ROOT / "cyclestyle" / "data" / "scenes"
    return [path for path in SOURCES if path.name != "__init__.py" and scenes not in path.parents]


@pytest.mark.parametrize("path", modules(), ids=dotted)
def test_each_module_is_tested_by_a_module_of_its_name_or_one_that_is_named_here(path: Path) -> None:
    module = dotted(path)
    test = ROOT / "tests" / f"{COVERED_BY.get(module, f'test_{path.stem}')}.py"
    assert test.exists()
    # two modules may have one stem: it must be this one that is tested
    assert module in COVERED_BY or module in test.read_text()


def test_only_modules_that_are_there_are_named_as_covered() -> None:
    assert set(COVERED_BY) <= {dotted(path) for path in modules()}


COMMAND = re.compile(r"^(?:\$ )?(?:\w+=\S+ )*(?:uv run )?(?:accelerate launch .*?-m |python3? -m )?cyclestyle (?=\S)")


def readme_commands() -> list[str]:
    """The command lines in the code blocks of the README, without what stands before `cyclestyle`."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    lines = [line.strip() for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [COMMAND.sub("", line, count=1) for line in lines if COMMAND.match(line)]


@pytest.mark.parametrize("line", readme_commands() or ["--help"])
def test_each_command_in_the_readme_is_one_that_can_be_typed(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)  # for the settings files
    words = shlex.split(line, comments=True)
    for end in ("<", ">", "|", "&&", ";"):
        words = words[: words.index(end)] if end in words else words
    build_app().parse_args(words, exit_on_error=False, print_error=False)


def test_commands_are_found_in_a_readme_however_they_are_started() -> None:
    for line in (
        "cyclestyle train --config configs/demo.toml",
        "$ cyclestyle train",
        "uv run cyclestyle train",
        "accelerate launch --num_processes 2 -m cyclestyle train --config x.toml",
        "python -m cyclestyle train",
        "CUDA_VISIBLE_DEVICES=1 cyclestyle train",
    ):
        assert COMMAND.sub("", line, count=1).startswith("train")
    for line in ("cyclestyle/", "  cyclestyle", "git clone cyclestyle", "pip install cyclestyle[kaggle]"):
        assert not COMMAND.match(line)
