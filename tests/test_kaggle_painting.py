"""A whole submission by the real commands: memory, a kill in the middle, and how many processes share the work."""

import json
import os
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Draw

from cyclestyle.competing.devices import Machine
from cyclestyle.config import GeneratorSettings
from cyclestyle.files import sha256
from cyclestyle.networks.generator import build_generator
from cyclestyle.networks.layers import initialise
from cyclestyle.networks.painter import PainterCard, save_painter
from cyclestyle.translation.submission import pictures_of

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="kills by signal, /proc")

COUNTING = """
import atexit, json, os, sys
from cyclestyle import cli
from cyclestyle.footprint import peak_memory
from cyclestyle.translation import folder

written, write = [], folder._write

def counted(one, painting, treatment):
    write(one, painting, treatment)
    written.append(one.job.painting.name)

folder._write = counted
sys.argv = ["cyclestyle", *sys.argv[2:]]
place = sys.argv.pop(1)
atexit.register(lambda: open(place, "w").write(json.dumps({"painted": sorted(written), "peak": peak_memory()})))
cli.main()
"""
"""The command line, which tells at its end what was painted and how much memory that took."""


def tiny_painter(to: Path) -> Path:
    settings = GeneratorSettings(width=4, blocks=1)
    network = build_generator(settings)
    initialise(network, torch.Generator().manual_seed(3))
    save_painter(network, PainterCard(direction="photo to painting", generator=settings, side=64, step=1), to)
    return to


def submit(painter: Path, photos: Path, to: Path) -> "subprocess.Popen[bytes]":
    """Begin to paint, telling beside the zip."""
    words = [sys.executable, "-c", COUNTING, "-", str(to.with_suffix(".json")), "submit", str(painter)]
    words += ["--photos", str(photos), "--to", str(to), "--practice"]
    environment = os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def told(to: Path) -> dict[str, Any]:
    return json.loads(to.with_suffix(".json").read_text())


def peak(painter: Path, photos: Path, to: Path) -> int:
    """Bytes at the most while all photos are painted and zipped."""
    assert submit(painter, photos, to).wait() == 0
    assert len(told(to)["painted"]) == len(zipfile.ZipFile(to).namelist())
    return told(to)["peak"]


def killed_and_begun_again(painter: Path, photos: Path, to: Path, when: int) -> tuple[set[str], set[str]]:
    """Kill it when so many are painted, spoil one of them, and begin again: what was there whole, and what was painted
    the second time."""
    first, waiting = submit(painter, photos, to), pictures_of(to)
    while first.poll() is None and (not waiting.is_dir() or len(list(waiting.glob("*.jpg"))) < when):
        time.sleep(0.002)
    first.kill()
    first.wait()
    there = sorted(waiting.glob("[!.]*.jpg"))
    there[0].write_bytes(there[0].read_bytes()[:-100])
    assert submit(painter, photos, to).wait() == 0
    assert not waiting.is_dir() or not list(waiting.glob("[!.]*"))  # but for half a file of the one that was killed
    return {path.name for path in there[1:]}, set(told(to)["painted"])


def with_processes(painter: Path, photos: Path, to: Path, count: int) -> str:
    """The zip's SHA-256."""
    machine = Machine("processors", count)
    words = machine.words("submit", str(painter), "--photos", str(photos), "--to", str(to), "--practice")
    environment = machine.environment() | {"OMP_NUM_THREADS": "1"}
    subprocess.run(words, env=environment, check=True, capture_output=True, timeout=1800)
    return sha256(to)


def many(folder: Path, originals: list[Path], count: int) -> Path:
    """So many photos, of which each original is several."""
    folder.mkdir(parents=True)
    for number in range(count):
        shutil.copy(originals[number % len(originals)], folder / f"photo-{number:05d}.jpg")
    return folder


@pytest.mark.slow
def test_memory_does_not_grow_with_the_photos(tmp_path: Path, draw: Draw) -> None:
    originals = draw(tmp_path / "originals", 20, size=(256, 256), suffix=".jpg")
    painter = tiny_painter(tmp_path / "paint.safetensors")
    few, more = (
        peak(painter, many(tmp_path / str(count), originals, count), tmp_path / f"{count}.zip") for count in (60, 600)
    )
    assert more - few < 50e6  # 540 paintings would be 106 MB as pixels


@pytest.mark.slow
def test_after_a_kill_nothing_that_is_valid_is_painted_again_and_the_bytes_are_the_same(
    tmp_path: Path, draw: Draw
) -> None:
    originals = draw(tmp_path / "originals", 20, size=(256, 256), suffix=".jpg")
    painter, photos = tiny_painter(tmp_path / "paint.safetensors"), many(tmp_path / "photos", originals, 300)
    whole = tmp_path / "whole.zip"
    assert submit(painter, photos, whole).wait() == 0
    kept, painted = killed_and_begun_again(painter, photos, tmp_path / "killed.zip", 100)
    assert len(kept) >= 90
    assert not kept & painted
    assert len(kept) + len(painted) == 300
    assert sha256(tmp_path / "killed.zip") == sha256(whole)
    shared = {count: with_processes(painter, photos, tmp_path / f"by-{count}.zip", count) for count in (2, 3)}
    assert set(shared.values()) == {sha256(whole)}
