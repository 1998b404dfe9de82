"""What PyTorch said of itself and of the machine, and what that means for a training."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path
from typing import Any, Iterable, Iterator, Sequence  # noqa: UP035 - for Python 3.8

from cyclestyle.doctor.findings import Finding, fine, note, size, wrong
from cyclestyle.doctor.libraries import NEEDED, in_notebook, pip

REINSTALL = pip("--force-reinstall", "torch", "torchvision")
CHOOSE = "https://pytorch.org/get-started/locally/ gives the command for your driver"
LEGACY = pip("torch<2.15", "torchvision", "--index-url", "https://download.pytorch.org/whl/cu126")
"""CUDA 12.6 was the last for cards before Turing, and PyTorch 2.14 the last made for it (pytorch issue 190385)."""
INSTALLED_AS = {library.module: library.name for library in NEEDED}
NVIDIA, DISPLAY = "0x10de", "0x03"
"""Maker of a PCI device; how the class of one that is a graphics card begins."""


def torch_itself(answer: dict[str, Any]) -> Iterable[Finding]:
    """Whether PyTorch can be imported, and for what it was built."""
    if answer.get("module") and answer["error"].startswith("ModuleNotFoundError"):
        missing = answer["module"]
        if missing != "torch":  # that one is among the libraries
            yield wrong("torch", f"cannot be imported: {missing} is missing", REINSTALL)
    elif "error" in answer:
        do = "restart the notebook from a fresh environment" if in_notebook() else REINSTALL
        yield wrong("torch", f"cannot be imported: {answer['error']}", do)
    else:
        build = f"CUDA {answer['cuda']}" if answer["cuda"] else f"ROCm {answer['hip']}" if answer["hip"] else "the CPU"
        yield fine("torch", f"{answer['version']}, built for {build}")


def imports(answers: dict[str, Any]) -> Iterable[Finding]:
    """Libraries that are installed but cannot be imported."""
    for question, answer in answers.items():
        if question.startswith("import ") and "error" in answer:
            module = question.split(" ", 1)[1]
            do = pip("--force-reinstall", "--no-deps", INSTALLED_AS[module])
            if module == "torchvision":  # the one that was made for the PyTorch that is there
                do = pip("--force-reinstall", "torchvision", f"torch=={answers['torch']['version'].split('+')[0]}")
            yield wrong(module, f"installed, but cannot be imported: {answer['error']}", do)


def processor(answer: dict[str, Any]) -> Iterable[Finding]:
    """How fast the CPU can be."""
    if "error" in answer:
        yield note("CPU", f"PyTorch does not tell: {answer['error']}")
        return
    words = {"AVX2": "AVX2", "AVX512": "AVX-512", "DEFAULT": "neither AVX2 nor AVX-512"}
    told = words.get(answer["instructions"], answer["instructions"])
    found = f"{told}, {'bf16' if answer['bf16'] else 'no bf16'}, PyTorch takes {answer['threads']} of the cores"
    if answer["instructions"] == "DEFAULT" and platform.machine() == "x86_64":
        yield note("CPU", f"{found}: several times slower than one of the last ten years")
    else:
        yield fine("CPU", found)


def cards(answer: dict[str, Any], torch: dict[str, Any], seen: Sequence[str]) -> Iterable[Finding]:
    """Every card that PyTorch sees, or why it sees none of those that the machine has (`seen`)."""
    if "error" in answer:
        yield wrong("GPU", f"asking for one fails: {answer['error']}", f"nvidia-smi; {CHOOSE}")
        return
    if answer["cards"]:
        for number, card in enumerate(answer["cards"]):
            name = "GPU" if len(answer["cards"]) == 1 else f"GPU {number}"
            yield _card(name, card, torch, answer["architectures"])
        return
    yield _no_card(answer, torch, seen)


def _card(subject: str, card: dict[str, Any], torch: dict[str, Any], built_for: Sequence[str]) -> Finding:
    major, minor = card["capability"]
    found = f"{card['name']}, {size(card['memory'])}"
    if not torch["hip"] and not runs(major, minor, built_for):
        found += f": compute capability {major}.{minor}, and torch {torch['version']} is built for {_listed(built_for)}"
        do = CHOOSE if (major, minor) >= (7, 5) else LEGACY
        if in_notebook():
            do = "in the notebook's settings choose the accelerator GPU T4 x2; never change torch there"
        return wrong(subject, found, f"{do}; or compute on the CPU: CUDA_VISIBLE_DEVICES= cyclestyle ...")
    if "error" in card or not card.get("computes"):
        why = card.get("error", "2 x 28 is not 56 there")
        return wrong(subject, f"{found}: does not compute: {why}", f"nvidia-smi, to see who holds it; {CHOOSE}")
    found += f" ({size(card['free'])} free), sm_{major}{minor}, {'bf16' if card['bf16'] else 'no bf16: fp16'}"
    if card["free"] < card["memory"] / 2:
        return note(subject, found, "somebody else uses it: nvidia-smi; --data.batch 1 takes least memory")
    return fine(subject, found)


def _listed(built_for: Sequence[str]) -> str:
    return ", ".join(built_for) or "no card"


def runs(major: int, minor: int, built_for: Sequence[str]) -> bool:
    """Whether a build has code for a card.

    `sm_86` is machine code, for cards of the same major version and no older minor one; `sm_90a` for that one card;
    `sm_100f` for its family; `compute_90` is translated by the driver, for that card and all newer ones.
    """
    for name in built_for:
        kind, _, version = name.partition("_")
        digits = "".join(letter for letter in version if letter.isdigit())
        if not digits:
            continue
        of = (int(digits[:-1] or 0), int(digits[-1]))
        if kind == "compute":
            fits = (major, minor) >= of if version == digits else (major, minor) == of
        elif version.endswith("a"):
            fits = (major, minor) == of
        else:
            fits = major == of[0] and minor >= of[1]
        if fits:
            return True
    return False


def _no_card(answer: dict[str, Any], torch: dict[str, Any], seen: Sequence[str]) -> Finding:
    """What it means that PyTorch sees no card."""
    if answer["mps"]:
        return fine("GPU", "Apple's (MPS)")
    if not seen:
        return note("GPU", "none: training runs on the CPU, for which configs/demo.toml is made")
    machine = f"{', '.join(seen)} in this machine"
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if hidden is not None and hidden.strip() in {"", "-1"}:
        return note("GPU", f"{machine}, hidden by CUDA_VISIBLE_DEVICES", "unset CUDA_VISIBLE_DEVICES")
    if not torch["cuda"]:
        return wrong("GPU", f"{machine}, but torch {torch['version']} is built without CUDA", CHOOSE)
    old = "driver" in answer["why"] and "old" in answer["why"]
    do = f"a newer driver, or a torch built for an older CUDA: {CHOOSE}" if old else f"nvidia-smi; {CHOOSE}"
    return wrong("GPU", f"{machine}, but torch cannot use it: {answer['why'] or 'no reason given'}", do)


def cards_seen() -> list[str]:
    """NVIDIA's cards of which the driver tells, with its version; or else that there is one without a driver."""
    try:
        words = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
        told = subprocess.run(words, capture_output=True, timeout=20, check=True, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.SubprocessError):
        return []
    lines = told.stdout.decode("utf-8", "replace").splitlines()
    return [line.replace(", ", " (driver ", 1) + ")" for line in lines if ", " in line]


def without_driver(root: Path = Path("/sys/bus/pci/devices")) -> bool:
    """Whether a card of NVIDIA's is on the bus."""
    for device in root.glob("*"):
        try:
            told = [(device / name).read_text().strip() for name in ("vendor", "class")]
        except OSError:
            continue
        if told[0] == NVIDIA and told[1].startswith(DISPLAY):
            return True
    return False


def no_driver(seen: Sequence[str], answer: dict[str, Any]) -> Iterator[Finding]:
    """A finding if there is a card and nobody answers for it."""
    if not seen and not answer.get("cards") and without_driver():
        do = "install NVIDIA's driver; in a container, start it with --gpus all"
        yield note("driver", "an NVIDIA card is on the bus, but no driver answers (nvidia-smi)", do)
