"""What only PyTorch can tell, asked in a process of its own: one that crashes or hangs takes nobody along.

`ask` starts the process and `Asked.answers` waits for it; `answer` is what that process does. It writes a line when it
begins with a question and a line with what it found, so that whoever asked knows where it ended.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any, Callable, Iterator  # noqa: UP035 - for Python 3.8

PATIENCE = 120.0
"""Seconds for everything. PyTorch from a cold network disk takes a minute."""
LONGEST = 300
"""Letters of what an error says."""

Answers = dict  # of names of questions: dictionaries


class Asked:
    """A process that was asked, and its answers."""

    def __init__(self, words: dict[str, Any]) -> None:
        # The same places to import from as here, in the same order, whatever the working folder holds.
        program = (
            "import sys; sys.path = [place for place in sys.path if place]; import json; "
            "sys.path = json.loads(sys.argv[1]); from cyclestyle.doctor.probe import answer; "
            "answer(json.loads(sys.argv[2]))"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, json.dumps(sys.path), json.dumps(words)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "NO_ALBUMENTATIONS_UPDATE": "1"},  # nothing goes on the network
        )

    def answers(self, patience: float = PATIENCE) -> Answers:
        """A dictionary for each question; with the key `error` where it failed, and no more after one that crashed."""
        ended = ""
        try:
            said, complaints = self.process.communicate(timeout=patience)
        except subprocess.TimeoutExpired:
            self.process.kill()
            said, complaints = self.process.communicate()
            ended = f"no answer within {patience:.0f} seconds"
        found: Answers = {}
        open_question = "torch"
        for line in said.decode("utf-8", "replace").splitlines():
            try:
                told = json.loads(line)
            except ValueError:  # killed while it wrote
                continue
            open_question = told["question"]
            if "answer" in told:
                found[open_question], open_question = told["answer"], ""
        if self.process.returncode and open_question:
            found[open_question] = {"error": ended or how_it_ended(self.process.returncode, complaints)}
        return found


def how_it_ended(code: int, complaints: bytes) -> str:
    """How a process crashed: the signal's name, or else the last thing that it said."""
    if code < 0:
        try:
            return f"Python crashes ({signal.Signals(-code).name})"
        except ValueError:
            return f"Python crashes (signal {-code})"
    last = complaints.decode("utf-8", "replace").strip().splitlines()[-1:]
    return shortened(last[0]) if last else f"Python ends with exit code {code}"


def shortened(text: str) -> str:
    """The first line of what an error says, and not too much of it."""
    first = (text.strip() or "no reason given").splitlines()[0]
    return first if len(first) <= LONGEST else first[:LONGEST] + "…"


def answer(words: dict[str, Any]) -> None:
    """What the process does: every question in turn, each on a line of the standard output that it alone writes to."""
    told = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # libraries that print do so elsewhere
    warnings.simplefilter("ignore")

    def tell(question: str, **more: Any) -> None:
        told.write(json.dumps({"question": question, **more}) + "\n")
        told.flush()

    for question, look in questions(words):
        tell(question)
        try:
            found = look()
        except Exception as error:
            found = {"error": shortened(f"{type(error).__name__}: {error}"), "module": getattr(error, "name", None)}
        tell(question, answer=found)
        if question == "torch" and "error" in found:
            return  # all others need it


def questions(words: dict[str, Any]) -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    """What is asked; every question but the first needs PyTorch. `words`: modules to import, folders to look into."""
    yield "torch", _torch
    yield "processor", _processor
    yield "cards", _cards
    yield "weights", lambda: _weights(words["weights"])
    for folder in words["data"]:
        yield f"data {folder}", lambda folder=folder: _data(folder)
    for module in words["modules"]:
        yield f"import {module}", lambda module=module: _imported(module)


def _torch() -> dict[str, Any]:
    import torch

    return {"version": torch.__version__, "cuda": torch.version.cuda, "hip": torch.version.hip}


def _imported(module: str) -> dict[str, Any]:
    importlib.import_module(module)
    return {}


def _processor() -> dict[str, Any]:
    import torch

    from cyclestyle.networks.precision import knows

    return {
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "bf16": knows("bf16", torch.device("cpu")),
    }


def _cards() -> dict[str, Any]:
    """What PyTorch can compute on; tried, not only asked."""
    import torch

    from cyclestyle.networks.precision import knows

    found: dict[str, Any] = {"architectures": torch.cuda.get_arch_list(), "cards": [], "why": ""}
    found["mps"] = torch.backends.mps.is_available()
    if not torch.cuda.is_available():
        if torch.version.cuda or torch.version.hip:
            try:
                torch.zeros(1, device="cuda")
            except Exception as error:
                found["why"] = shortened(str(error))
        return found
    for number in range(torch.cuda.device_count()):
        properties, device = torch.cuda.get_device_properties(number), torch.device("cuda", number)
        card = {
            "name": properties.name,
            "capability": [properties.major, properties.minor],
            "memory": properties.total_memory,
        }
        try:
            with torch.cuda.device(device):
                card["bf16"] = knows("bf16", device)
                card["free"] = torch.cuda.mem_get_info(device)[0]
                card["computes"] = float((torch.arange(8.0, device=device) * 2).sum()) == 56
        except Exception as error:
            card["error"] = shortened(str(error))
        found["cards"].append(card)
    return found


def _weights(folder: str | None) -> dict[str, Any]:
    """For each network whose weights are known, the files that would be looked at."""
    from cyclestyle.networks.weights import KNOWN, places, torch_cache

    found = {}
    for kind, known in KNOWN.items():
        try:
            files = [path for paths in places(known, Path(folder) if folder else None) for path in paths]
        except FileNotFoundError as error:
            return {"refused": str(error)}
        found[kind] = {
            "what": known.what,
            "file": known.file,
            "url": known.url,
            "whole": [str(path) for path in files if _is_whole(path)],
            "damaged": [str(path) for path in files if not _is_whole(path)],
        }
    return {"cache": str(torch_cache()), "networks": found}


def _is_whole(path: Path) -> bool:
    """Whether a file of weights has its end; what the numbers in it are is not looked at."""
    from zipfile import is_zipfile

    from cyclestyle.networks.stored import kinds

    try:
        if path.suffix.lower() == ".safetensors":
            kinds(path)
            return True
        with path.open("rb") as file:
            begins = file.read(2)
        return is_zipfile(path) if begins == b"PK" else bool(begins)
    except (OSError, ValueError):
        return False


def _data(folder: str) -> dict[str, Any]:
    """How many pictures a folder of both sets holds."""
    from cyclestyle.config import DataSettings
    from cyclestyle.data.folders import find_roots
    from cyclestyle.images import list_pictures

    try:
        roots = find_roots(DataSettings(folder=Path(folder)))
        counts = {name: len(list_pictures(root)) for name, root in roots.items() if not name.startswith("test")}
    except (OSError, ValueError) as error:
        return {"refused": str(error).replace("--data.", "--")}
    return {"counts": counts}
