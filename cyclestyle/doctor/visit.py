"""Look at everything in turn. Each look is on its own: what one of them meets keeps no other from looking."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, Sequence  # noqa: UP035 - for Python 3.8

from cyclestyle.doctor import account, computing, libraries, machine, places, supplies
from cyclestyle.doctor.findings import Finding, looked_at, note
from cyclestyle.doctor.interpreter import is_old, python
from cyclestyle.doctor.probe import Asked
from cyclestyle.doctor.table import as_json, is_ok, table


def visit(data: Path | None = None, weights: Path | None = None) -> list[Finding]:
    """Everything that was found.

    Args:
        data: a folder of both sets; by default data/monet, or what a Kaggle notebook has attached.
        weights: a folder of weights of networks.
    """
    folder = supplies.folder_of_data(data)
    asked = _ask(folder, weights)
    found = looked_at("Python", python)
    if not is_old():
        found += looked_at("libraries", libraries.libraries)
    cheap = looked_at("cores", machine.cores) + looked_at("memory", machine.memory)
    cheap += looked_at("shared memory", machine.shared_memory) + looked_at("compiler", machine.compiler)
    cheap += looked_at("disk", lambda: places.disk(folder)) + looked_at("home", places.home_folder)
    seen = computing.cards_seen()
    if asked and sys.stderr.isatty():
        sys.stderr.write("waiting for PyTorch ...\n")  # from a cold disk, a minute
    answers = asked.answers() if asked else {}
    found += _computing(answers, seen) + cheap
    counted = answers.get(f"data {folder}")
    needed = not supplies.there(folder, counted)
    found += looked_at("kaggle", lambda: account.client(needed))
    found += looked_at("credentials", lambda: account.credentials(needed))
    if "weights" in answers:
        found += looked_at("weights", lambda: supplies.weights(answers["weights"]))
    return found + looked_at("data", lambda: supplies.data(folder, counted))


def _ask(folder: Path | None, weights: Path | None) -> Asked | None:
    """Begin to ask PyTorch; None where there is none that could be asked."""
    if is_old() or not libraries.is_there("torch"):
        return None
    modules = [library.module for library in libraries.NEEDED if library.module != "torch"]
    return Asked(
        {
            "modules": [module for module in modules if libraries.is_there(module)],
            "weights": str(weights) if weights else None,
            "data": [str(folder)] if folder else [],
        }
    )


def _computing(answers: dict[str, Any], seen: list[str]) -> list[Finding]:
    """What PyTorch answered, as far as it did."""
    torch = answers.get("torch")
    if torch is None:
        return [note("GPU", f"{', '.join(seen)}; what PyTorch can do with it is unknown")] if seen else []
    found = looked_at("torch", lambda: computing.torch_itself(torch))
    found += looked_at("libraries", lambda: computing.imports(answers))
    if "processor" in answers:
        found += looked_at("CPU", lambda: computing.processor(answers["processor"]))
    if "cards" in answers:
        found += looked_at("GPU", lambda: computing.cards(answers["cards"], torch, seen))
        found += looked_at("driver", lambda: computing.no_driver(seen, answers["cards"]))
    return found


def main(words: Sequence[str]) -> int:
    """`cyclestyle doctor` where the libraries that read command lines are missing; gives the exit code."""
    purpose = "Look the machine over: what is fine for training here, what is not, and what to type."
    parser = argparse.ArgumentParser("cyclestyle doctor", description=purpose)
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder that holds photos and paintings")
    parser.add_argument("--weights", type=Path, metavar="DIR", help="folder of weights of networks")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    given = parser.parse_args(words)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    findings = visit(given.data, given.weights)
    sys.stdout.write((as_json if given.json else table)(findings) + "\n")
    return 0 if is_ok(findings) else 1
