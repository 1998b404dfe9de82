"""The table of commands. Each is imported only when it is called, so `--help` does not wait for torch."""

import itertools
import os
import sys
from pathlib import Path
from typing import Any

from cyclopts import App, ArgumentCollection, CycloptsError, UnusedCliTokensError
from cyclopts.config import Dict

from cyclestyle.files import reason
from cyclestyle.stopping import EXIT_CODE, Stopped

LONGEST = 1_500
"""Letters of a sentence."""

SPINS = 3_000
"""Looks at whether the wait is over, before a thread sleeps."""

CLOSED = 141
"""Exit code where nobody reads the output any more; what shells tell of programs that SIGPIPE has ended."""

COMMANDS = {
    "download": "Bring the pictures of a style here: downloaded by the kaggle client, unpacked, opened and counted.",
    "synthesize": "Make the embedded data: procedural landscapes as photos and as paintings.",
    "check": "Look through the pictures before an hour is spent on them: broken, alike, leaking.",
    "train": "Train a painter, and the way back, from two sets of pictures.",
    "page": "Write the page of a training run: pictures over time, curves, alarms, settings.",
    "translate": "Paint a picture or a folder of pictures.",
    "stylize": "Paint photos in a style by Gatys' method or one of its relatives, without training.",
    "export": "A painter as one ONNX file, for ONNX Runtime and browsers, checked against PyTorch.",
    "serve": "A page on which a photo becomes a painting, in the visitor's own browser.",
    "evaluate": "How good is a set of painted pictures? A card of content, style, distances and habits.",
    "compare": "Several methods side by side: pictures, measures and cost, on one page.",
    "submit": "Build or check a submission for the Kaggle competition gan-getting-started.",
    "compete": "From the competition's data to a valid images.zip within a budget of time: what its notebook runs.",
    "doctor": "Look the machine over: what is fine for training here, what is not, and what to type.",
}


def build_app(typed: str | None = None) -> App:
    """The command line. No command is imported but the one that is `typed`, whose docstring is then its help."""
    app = App(
        name="cyclestyle",
        help="Turn one set of pictures into another, without pairs: photos into Monets, and back.",
        config=settings_file,
        suppress_keyboard_interrupt=False,  # `main` says what it means
    )
    for name, purpose in COMMANDS.items():
        app.command(f"cyclestyle.commands.{name}:{name}", name=name, help=None if name == typed else purpose)
    return app


def let_threads_rest() -> None:
    """Threads that wait for one another are to spin for a moment only, then sleep.

    Left alone, OpenMP's spin for milliseconds, and with one competitor everything takes several times as long. To sleep
    at once is no way out: alone, small steps then take twice as long (scripts/benchmarks/results/neighbours.md). OpenMP
    reads it once, when PyTorch is loaded, so this has to come before. What somebody has chosen stays; processes that
    are started from here have it from the environment.
    """
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"} & os.environ.keys():
        os.environ["GOMP_SPINCOUNT"] = str(SPINS)


def settings_file(app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
    """Fill in from the file given as `--config` what the command line leaves open."""
    chosen = next((argument for argument in arguments if "--config" in argument.names), None)
    if chosen is None or not chosen.tokens:
        return
    from cyclestyle.settings import read_toml, without_other_unit

    path = Path(chosen.tokens[0].value)
    given = {
        name.lstrip("-").rpartition(".")[2].replace("-", "_")
        for argument in arguments
        if argument.tokens
        for name in argument.names
    }
    values: dict[str, Any] = without_other_unit(read_toml(path), given)
    Dict(values, source=str(path), use_commands_as_keys=False)(app, commands, arguments)


def main() -> None:
    """Run a command; mistakes of people end in one sentence and exit code 2, interrupts in 130, a saved stop in 75."""
    for stream in (sys.stdout, sys.stderr):
        # File names may hold bytes that no encoding knows; in a file that takes both, lines stand as they were said.
        stream.reconfigure(errors="backslashreplace", line_buffering=True)  # type: ignore[union-attr]
    let_threads_rest()
    for before, word in itertools.pairwise(sys.argv):
        name, equals, value = word.partition("=")
        if word == "" or (name.startswith("--") and equals and not value):
            _complain(f"error: nothing is given after {name or before}; is a variable not set?")
            sys.exit(2)
    app = build_app(next(iter(sys.argv[1:]), None))
    try:
        app(sys.argv[1:], exit_on_error=False, print_error=False)
    except Stopped as stopped:
        _complain(str(stopped))
        sys.exit(EXIT_CODE)
    except KeyboardInterrupt:
        _complain("stopped; the same command goes on from what is finished")
        sys.exit(130)
    except BrokenPipeError:
        _complain("stopped: what reads the output has been closed")
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains of it at its end
        sys.exit(CLOSED)
    except (CycloptsError, ValueError, OSError) as error:
        if os.environ.get("CYCLESTYLE_TRACEBACK"):
            raise
        _complain(f"error: {_sentence(error)}")
        sys.exit(2)
    except RuntimeError as error:
        if type(error).__name__ == "OutOfMemoryError":
            _complain(_memory_full())
            sys.exit(2)
        if not any(sign in str(error) for sign in ("Connection closed by peer", "Connection reset by peer")):
            raise
        _complain("error: another process stopped; what it says is the reason")
        sys.exit(2)


def _memory_full() -> str:
    ways = {"train": "--data.batch, --data.crop or --generator.width", "stylize": "--batch, --size or --tile"}
    return f"error: the GPU's memory is full; lower {ways.get(sys.argv[1], '--batch')}"


def _sentence(error: Exception) -> str:
    """An error in one line, without the frames and links of the libraries that found it."""
    text = " ".join(reason(error).split())
    if "Original Traceback" in text:  # of a process that loads pictures
        text = text.rsplit("Error: ", 1)[-1]
    if not isinstance(error, CycloptsError):
        return text if len(text) <= LONGEST else text[:LONGEST] + "…"
    if type(error.__cause__).__module__.startswith("pydantic"):
        from cyclestyle.settings import describe

        described = describe(error.__cause__)  # type: ignore[arg-type] - its type is known by its module
        argument = getattr(error, "argument", None)
        return f"{argument.name}: {described}" if argument and described.startswith("should") else described
    if isinstance(error, UnusedCliTokensError):
        text = f"too much is given: {' '.join(map(repr, error.unused_tokens or []))}"
    command = sys.argv[1] + " " if len(sys.argv) > 1 and sys.argv[1] in COMMANDS else ""
    return f"{text.rstrip('.')}; `cyclestyle {command}--help` shows what there is"


def _complain(sentence: str) -> None:
    """Say it; of several processes, the others say which they are."""
    rank = int(os.environ.get("RANK", "0"))
    print(f"process {rank + 1}: {sentence}" if rank else sentence, file=sys.stderr)  # noqa: T201 - this is the printing
