"""What the doctor makes of machines: groups that limit memory, cards no build is for, libraries that quarrel."""

import os
import re
import shutil
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import torch

from cyclestyle.data import caching
from cyclestyle.doctor import computing, interpreter, libraries, machine, places, supplies, table
from cyclestyle.doctor.findings import Finding, fine, note, size, wrong
from cyclestyle.doctor.probe import how_it_ended, shortened

ROOT = Path(__file__).resolve().parents[1]
GB = 10**9


def only(found: Any) -> Finding:
    listed = list(found)
    assert len(listed) == 1, listed
    return listed[0]


# cyclestyle.doctor.interpreter


@pytest.mark.parametrize(("version", "state"), [((3, 10, 13), "wrong"), ((3, 11, 0), "fine"), ((3, 14, 0), "fine")])
def test_the_version_of_python(version: tuple[int, ...], state: str) -> None:
    assert only(interpreter.python(version)).state == state
    assert interpreter.is_old(version) == (state == "wrong")


def test_a_newer_python_is_suggested_only_if_it_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, script in (("python3.13", "exit 127"), ("python3.12", "exit 0")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert interpreter.what_to_type().startswith("python3.12 -m venv")
    monkeypatch.setenv("PATH", "/no/such")
    assert interpreter.what_to_type().startswith("install Python 3.11 or newer")


def test_the_oldest_python_is_the_one_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == ">=" + ".".join(map(str, interpreter.OLDEST))


# cyclestyle.doctor.libraries


def test_the_libraries_are_those_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert sorted(library.requirement for library in libraries.NEEDED) == sorted(project["dependencies"])


@pytest.mark.parametrize(
    ("version", "requirement", "suits"),
    [
        ("2.15.0+cu132", "torch>=2.6", True),
        ("2.6", "torch>=2.6", True),
        ("2.6.0", "torch>=2.6", True),
        ("2.5.1", "torch>=2.6", False),
        ("2.10.0", "torch>=2.6", True),
        ("2.1.0", "albumentations>=2.0.8,<2.1", False),
        ("2.1", "albumentations>=2.0.8,<2.1", False),
        ("2.0.8", "albumentations>=2.0.8,<2.1", True),
        ("2.0.7", "albumentations>=2.0.8,<2.1", False),
        ("11.0.0rc1", "pillow>=11", True),
    ],
)
def test_versions_are_compared_by_their_numbers(version: str, requirement: str, suits: bool) -> None:
    assert libraries.suits(version, requirement) == suits


class Installed:
    """Stands for what is installed: versions, and what each asks for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.versions = {library.name: "99" for library in libraries.NEEDED} | {"albumentations": "2.0.8"}
        self.asks: dict[str, list[str]] = {}
        self.modules = {library.module for library in libraries.NEEDED} | {"pip"}
        monkeypatch.setattr(libraries, "version_of", self.versions.get)
        monkeypatch.setattr(libraries, "is_there", lambda module: module in self.modules)
        monkeypatch.setattr(metadata, "requires", self.asks.get)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Installed:
    return Installed(monkeypatch)


def test_everything_installed_is_fine(installed: Installed) -> None:
    installed.asks = {"torch": ["nvidia-nothing>=1"], "scipy": ["numpy>=2", "pytest>=9; extra == 'test'", "~nonsense"]}
    assert only(libraries.libraries()).state == "fine"


def test_a_library_that_is_too_old_is_named(installed: Installed) -> None:
    installed.versions["torch"] = "2.5.1"
    found = only(libraries.libraries())
    assert (found.subject, found.state, found.found) == ("torch", "wrong", "2.5.1; needed: torch>=2.6")
    assert found.do.endswith("-m pip install 'torch>=2.6'")


def test_in_a_notebook_torch_is_never_changed(installed: Installed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Batch")
    installed.versions["torch"] = "2.5.1"
    assert "never upgrade torch" in only(libraries.libraries()).do
    assert "never change torch" in only(computing.cards(cards(P100), TORCH, ["Tesla P100"])).do


def test_two_libraries_that_do_not_suit_one_another_are_a_note(installed: Installed, monkeypatch: Any) -> None:
    monkeypatch.setattr(metadata, "requires", {"torchvision": ["torch (>=2.14.0)"], "scipy": ["numpy<3"]}.get)
    installed.versions |= {"torch": "2.13.0+cpu", "torchvision": "0.29.2", "numpy": "3.1"}
    first, second = libraries.libraries()
    assert (first.state, second.state) == ("note", "note")
    assert first.found == "0.29.2 asks for torch>=2.14.0, which is 2.13.0+cpu"
    assert first.do.endswith("-m pip install torchvision torch==2.13.0")  # PyTorch stays, since it suits the card
    assert second.do.endswith("-m pip install 'numpy<3'")


def test_what_a_library_needs_and_nobody_brings_is_named(installed: Installed, monkeypatch: Any) -> None:
    asks = {"albumentations": ["opencv-python-headless>=4", "pyyaml"], "accelerate": ["huggingface_hub>=0.21"]}
    monkeypatch.setattr(metadata, "requires", asks.get)
    installed.modules |= {"cv2", "yaml"}  # under other names
    found = only(libraries.libraries())
    assert (found.subject, found.state) == ("accelerate", "note")
    assert "huggingface_hub>=0.21, which is not installed" in found.found


def test_a_few_missing_libraries_are_named_each_and_many_together(installed: Installed) -> None:
    installed.modules -= {"torchvision", "cyclopts"}
    assert [one.subject for one in libraries.libraries()] == ["torchvision", "cyclopts"]
    installed.modules.clear()
    found = only(one for one in libraries.libraries() if one.subject == "libraries")
    assert "17 of 17" in found.found
    assert found.do.startswith("`. .venv/bin/activate`")
    assert "uv pip install --python" in found.do  # where there is no pip


# cyclestyle.doctor.computing

TORCH = {"version": "2.15.0+cu132", "cuda": "13.2", "hip": None}
WHEEL = ["sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120"]
"""What PyTorch 2.15 from the package index says that it is built for."""
P100, V100, T4, A100, L4 = [6, 0], [7, 0], [7, 5], [8, 0], [8, 9]


def cards(*capabilities: list[int], **more: Any) -> dict[str, Any]:
    """What the probe tells of cards that compute."""
    listed = [
        {"name": "Card", "capability": each, "memory": 16 * GB, "free": 15 * GB, "bf16": each >= A100, "computes": True}
        for each in capabilities
    ]
    return {"architectures": WHEEL, "cards": [{**card, **more} for card in listed], "why": "", "mps": False}


@pytest.mark.parametrize("capability", [P100, V100, [6, 1], [5, 2]])
def test_a_card_that_the_build_has_no_code_for_is_named(capability: list[int]) -> None:
    found = only(computing.cards(cards(capability, error="no kernel image is available"), TORCH, []))
    assert found.state == "wrong"
    version = ".".join(map(str, capability))
    assert f"compute capability {version}, and torch 2.15.0+cu132 is built for sm_75, sm_80" in found.found
    assert "--index-url https://download.pytorch.org/whl/cu126" in found.do


def test_a_card_that_is_newer_than_the_build_is_named() -> None:
    found = only(computing.cards(cards([13, 0]), TORCH, []))
    assert (found.state, "pytorch.org/get-started" in found.do, "cu126" in found.do) == ("wrong", True, False)


@pytest.mark.parametrize("capability", [T4, A100, L4, [9, 0], [12, 1]])
def test_a_card_that_the_build_has_code_for_is_fine(capability: list[int]) -> None:
    found = only(computing.cards(cards(capability), TORCH, []))
    assert found.state == "fine"
    assert ("no bf16: fp16" in found.found) == (capability == T4)


@pytest.mark.parametrize(
    ("capability", "built_for", "runs"),
    [
        ((8, 6), ["sm_80"], True),
        ((8, 0), ["sm_86"], False),
        ((9, 0), ["sm_80"], False),
        ((9, 0), ["sm_80", "compute_80"], True),
        ((7, 5), ["compute_80"], False),
        ((9, 0), ["sm_90a"], True),
        ((9, 1), ["sm_90a"], False),
        ((10, 3), ["sm_100f"], True),
        ((12, 0), ["sm_100"], False),
        ((12, 1), ["compute_120a"], False),
        ((6, 0), [], False),
        ((6, 0), ["nonsense", "sm_"], False),
    ],
)
def test_which_builds_run_on_which_cards(capability: tuple[int, int], built_for: list[str], runs: bool) -> None:
    assert computing.runs(*capability, built_for) == runs


def test_two_cards_have_a_line_each() -> None:
    found = list(computing.cards(cards(T4, T4), TORCH, []))
    assert [(one.subject, one.state) for one in found] == [("GPU 0", "fine"), ("GPU 1", "fine")]


def test_a_card_that_fails_or_is_taken_is_named() -> None:
    assert "CUDA error" in only(computing.cards(cards(A100, error="CUDA error: out of memory"), TORCH, [])).found
    assert only(computing.cards(cards(A100, computes=False), TORCH, [])).state == "wrong"
    taken = only(computing.cards(cards(A100, free=GB), TORCH, []))
    assert (taken.state, "1.0 GB free" in taken.found) == ("note", True)
    assert only(computing.cards({"error": "Python crashes (SIGSEGV)"}, TORCH, [])).state == "wrong"


def test_a_card_of_amds_is_not_judged_by_nvidias_names() -> None:
    told = {**cards([9, 0]), "architectures": ["gfx90a"]}
    assert only(computing.cards(told, {**TORCH, "cuda": None, "hip": "6.4"}, [])).state == "fine"


SEEN = ["Tesla T4 (driver 470.82)"]
OLD = "The NVIDIA driver on your system is too old (found version 11040)."


@pytest.mark.parametrize(
    ("change", "built", "seen", "hidden", "state", "says"),
    [
        ({}, {}, [], None, "note", "none: training runs on the CPU"),
        ({"mps": True}, {"cuda": None}, [], None, "fine", "Apple's"),
        ({}, {"cuda": None, "version": "2.15.0+cpu"}, SEEN, None, "wrong", "torch 2.15.0+cpu is built without CUDA"),
        ({"why": OLD}, {}, SEEN, None, "wrong", "is too old"),
        ({}, {}, SEEN, None, "wrong", "no reason given"),
        ({}, {}, SEEN, "", "note", "hidden by CUDA_VISIBLE_DEVICES"),
        ({}, {}, SEEN, "-1", "note", "hidden by CUDA_VISIBLE_DEVICES"),
        ({"why": OLD}, {}, SEEN, "0", "wrong", "is too old"),
    ],
)
def test_why_no_card_can_be_used(
    change: Any, built: Any, seen: list[str], hidden: str | None, state: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if hidden is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    found = only(computing.cards({**cards(), **change}, {**TORCH, **built}, seen))
    assert found.state == state
    assert says in found.found
    assert ("a newer driver" in found.do) == (change.get("why") == OLD)


def test_cards_are_asked_of_the_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'Tesla T4, 550.54.15'\necho 'Tesla P100-PCIE-16GB, 550.54.15'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert computing.cards_seen() == ["Tesla T4 (driver 550.54.15)", "Tesla P100-PCIE-16GB (driver 550.54.15)"]
    program.write_text("#!/bin/sh\necho 'NVIDIA-SMI has failed because it could not communicate'\nexit 9\n")
    assert computing.cards_seen() == []
    monkeypatch.setenv("PATH", "/no/such")
    assert computing.cards_seen() == []


@pytest.mark.parametrize(
    ("vendor", "kind", "is_one"),
    [("0x10de", "0x030200", True), ("0x10de", "0x040300", False), ("0x1002", "0x030000", False)],
)
def test_a_card_without_a_driver_is_seen_on_the_bus(vendor: str, kind: str, is_one: bool, tmp_path: Path) -> None:
    assert not computing.without_driver(tmp_path)
    (tmp_path / "0000:00:04.0").mkdir()
    (tmp_path / "0000:00:04.0" / "vendor").write_text(vendor + "\n")
    (tmp_path / "0000:00:04.0" / "class").write_text(kind + "\n")
    (tmp_path / "0000:00:05.0").mkdir()
    assert computing.without_driver(tmp_path) == is_one


def test_a_library_that_cannot_be_imported_is_named() -> None:
    answers = {
        "torch": TORCH,
        "import torchvision": {"error": "RuntimeError: torchvision::nms does not exist"},
    }
    found = only(computing.imports(answers | {"import numpy": {}}))
    assert (found.subject, found.state) == ("torchvision", "wrong")
    assert "nms does not exist" in found.found
    assert found.do.endswith("--force-reinstall torchvision torch==2.15.0")
    assert only(computing.imports({"import PIL": {"error": "E"}})).do.endswith("--no-deps pillow")


def test_what_the_processor_can() -> None:
    told = {"instructions": "AVX512", "bf16": True, "threads": 8}
    assert only(computing.processor(told)).found.startswith("AVX-512, bf16")
    assert only(computing.processor({"error": "E"})).state == "note"


# cyclestyle.doctor.machine

MEMINFO = "MemTotal:       25000000 kB\nMemFree:  1 kB\nMemAvailable:   20000000 kB\nHugePages_Total: 0\n"


def lay(root: Path, files: dict[str, object]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(str(content))
    return root


def test_memory_without_limits(tmp_path: Path) -> None:
    root = lay(tmp_path, {"proc/meminfo": MEMINFO, "proc/self/cgroup": "0::/\n"})
    assert machine.memory_of(root) == machine.Memory(20_000_000 * 1024, 25_000_000 * 1024, None)
    assert only(machine.memory(root)).state == "fine"


def test_memory_within_a_container_of_either_version(tmp_path: Path) -> None:
    stat = "anon 1\ninactive_file 100000000\ntotal_inactive_file 100000000\n"
    inner = {"memory.max": 3 * GB, "memory.current": GB, "memory.stat": stat}
    outer = {"memory.max": "max", "memory.current": GB, "memory.stat": stat}
    groups = {f"sys/fs/cgroup/a/b/{name}": value for name, value in outer.items()}
    groups |= {f"sys/fs/cgroup/a/{name}": value for name, value in inner.items()}
    root = lay(tmp_path / "2", {"proc/meminfo": MEMINFO, "proc/self/cgroup": "0::/a/b\n", **groups})
    expected = machine.Memory(2 * GB + 10**8, 25_000_000 * 1024, 3 * GB)
    assert machine.memory_of(root) == expected
    found = only(machine.memory(root))
    assert (found.state, found.found) == ("note", "2.1 GB free of 3.0 GB allowed here")
    names = {"memory.limit_in_bytes": 3 * GB, "memory.usage_in_bytes": GB, "memory.stat": stat}
    # In a container the path is that of the machine outside, and only the outermost folder is there.
    groups = {f"sys/fs/cgroup/memory/{name}": value for name, value in names.items()}
    lines = "5:cpu:/\n4:memory:/docker/0123\n0::/\n"
    root = lay(tmp_path / "1", {"proc/meminfo": MEMINFO, "proc/self/cgroup": lines, **groups})
    assert machine.memory_of(root) == expected
    lay(root, {"sys/fs/cgroup/memory/memory.limit_in_bytes": 9223372036854771712})  # which is no limit
    assert machine.memory_of(root) == machine.Memory(20_000_000 * 1024, 25_000_000 * 1024, None)


def test_too_little_memory_is_wrong_and_none_told_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = lay(tmp_path, {"proc/meminfo": "MemTotal: 2000000 kB\nMemAvailable: 900000 kB\n"})
    assert only(machine.memory(root)).state == "wrong"
    monkeypatch.setattr(machine, "_psutil", lambda: None)
    assert only(machine.memory(tmp_path / "nothing")).state == "note"


def test_memory_of_this_machine_is_what_psutil_tells() -> None:
    import psutil

    told = machine.memory_of()
    assert told is not None
    assert told.total == psutil.virtual_memory().total
    assert 0 < told.free <= told.total
    assert machine._psutil() is not None


def test_cores_that_a_container_allows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(6)))
    assert only(machine.cores(tmp_path)).found == "6 of 8"
    lay(tmp_path, {"sys/fs/cgroup/cpu/cpu.cfs_quota_us": -1, "sys/fs/cgroup/cpu/cpu.cfs_period_us": 100000})
    assert only(machine.cores(tmp_path)).found == "6 of 8"
    lay(tmp_path, {"sys/fs/cgroup/cpu/cpu.cfs_quota_us": 150000})
    found = only(machine.cores(tmp_path))
    assert (found.state, found.found.split(":")[0]) == ("note", "1.5 of 8")
    lay(tmp_path, {"sys/fs/cgroup/cpu.max": "400000 100000"})
    assert only(machine.cores(tmp_path)) == fine("cores", "4 of 8")


def test_little_shared_memory_is_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(machine.shared_memory(tmp_path / "nothing")) == []
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(64 * 10**6, 0, 64 * 10**6))
    found = only(machine.shared_memory(tmp_path))
    assert (found.state, "--shm-size" in found.do) == ("note", True)


def test_a_machine_without_a_compiler_is_told_what_that_costs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert only(machine.compiler()).found.startswith("none: networks are not compiled")
    (tmp_path / "mine").write_text("#!/bin/sh\n")
    (tmp_path / "mine").chmod(0o755)
    monkeypatch.setenv("CXX", "mine")
    assert str(tmp_path / "mine") in only(machine.compiler()).found


# cyclestyle.doctor.places


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"CYCLESTYLE_CACHE": "/a/b"},
        {"XDG_CACHE_HOME": "/c"},
        {"TORCH_HOME": "/d"},
        {"TORCH_HOME": "~/e", "XDG_CACHE_HOME": "/f"},
        {"HOME": "/g/h"},
    ],
)
def test_caches_are_where_they_are_made(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CYCLESTYLE_CACHE", "XDG_CACHE_HOME", "TORCH_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert places.cache_of_pictures() == caching.cache_folder()
    assert str(places.cache_of_torch()) == torch.hub.get_dir()


def test_nothing_is_left_where_writing_was_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CYCLESTYLE_CACHE", str(tmp_path / "a" / "b"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "c"))
    listed = list(places.disk(None))
    assert "free for this folder, runs, data, cache of pictures, PyTorch's cache" in listed[0].found
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_nearly_full_is_judged_by_what_it_is_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = {"bytes": 2 * GB, "files": 10**6}
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(100 * GB, 0, free["bytes"]))
    monkeypatch.setattr(places, "_files_left", lambda folder: free["files"])
    monkeypatch.setenv("CYCLESTYLE_CACHE", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    def state(listed: list[places.Tried]) -> str:
        return only(places._room(listed)).state

    tried = [places._tried(place) for place in places.places(None)]
    needed, spare = [each for each in tried if each.place.needed], [each for each in tried if not each.place.needed]
    assert (state(needed), state(spare)) == ("note", "note")
    free["bytes"] = GB // 2
    assert (state(needed), state(spare)) == ("wrong", "note")
    free |= {"bytes": 50 * GB, "files": 5}
    assert (state(needed), state(spare)) == ("wrong", "note")
    free["files"] = 10**6
    assert (state(needed), state(spare)) == ("fine", "fine")


# cyclestyle.doctor.supplies


def test_which_folder_of_pictures_is_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(supplies, "INPUT", tmp_path / "input")
    monkeypatch.delenv("KAGGLE_KERNEL_RUN_TYPE", raising=False)
    deep = tmp_path / "input" / "competitions" / "gan-getting-started"
    (deep / "monet_jpg").mkdir(parents=True)
    assert supplies.folder_of_data(None) is None
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Batch")
    assert supplies.folder_of_data(None) == deep
    Path("data/monet").mkdir(parents=True)
    assert supplies.folder_of_data(None) == Path("data/monet")
    assert supplies.folder_of_data(Path("mine")) == Path("mine")


@pytest.mark.parametrize(
    ("answer", "state", "there"),
    [
        ({"counts": {"photos": 7038, "paintings": 300}}, "fine", True),
        ({"refused": "no such folder: x"}, "wrong", False),
        ({"error": "OSError: broken"}, "wrong", False),
        (None, "wrong", False),
    ],
)
def test_what_is_said_of_pictures(answer: Any, state: str, there: bool, tmp_path: Path) -> None:
    found = only(supplies.data(tmp_path / "nothing", answer))
    assert found.state == state
    assert supplies.there(tmp_path / "nothing", answer) == there
    if answer and "counts" in answer:
        assert found.found.startswith("7,038 photos, 300 paintings in ")
    assert only(supplies.data(None, None)).state == "note"


def test_what_is_said_of_weights() -> None:
    kinds = (*supplies.FOR_A_CARD, "vgg16")
    every = {
        kind: {"what": kind.upper(), "file": f"{kind}.pth", "url": "u", "whole": [f"/w/{kind}.pth"], "damaged": []}
        for kind in kinds
    }
    assert only(supplies.weights({"cache": "/c", "networks": every})).state == "fine"
    every["inception"] = {**every["inception"], "whole": [], "damaged": ["/w/inception.pth"]}
    damaged, lacking = supplies.weights({"cache": "/c", "networks": every})
    assert (damaged.state, damaged.do) == ("note", "rm /w/inception.pth")
    assert "would download INCEPTION" in lacking.found
    assert only(supplies.weights({"refused": "no such folder of weights: /w"})).state == "wrong"


# cyclestyle.doctor.table

FINDINGS = [
    fine("Python", "3.12.1"),
    note("a long subject", "words " * 40 + "/a/path/that-stays-whole"),
    wrong("disk", "0.5 GB free\x1b[2J", "rm -r /some/where/old && df -h"),
]


@pytest.mark.parametrize("width", [20, 50, 80, 110, 300])
def test_a_table_keeps_to_its_width_and_its_words_whole(width: int) -> None:
    said = table.table(FINDINGS, width, colours=False)
    assert max(map(len, said.splitlines())) <= min(max(width, 50), 110)
    assert "/a/path/that-stays-whole" in said
    assert "\x1b" not in said
    assert said.splitlines()[0] == "fine   Python          3.12.1"
    assert "1 thing stops the way to a trained painter: disk; 1 note" in " ".join(said.split())


def test_colours_only_stand_around_states() -> None:
    plain, coloured = table.table(FINDINGS, 80, colours=False), table.table(FINDINGS, 80, colours=True)
    assert re.sub(r"\033\[[0-9;]*m", "", coloured) == plain
    assert coloured != plain
    assert table.table(FINDINGS, 80) == plain  # not a terminal


def test_the_sentence_below_a_table() -> None:
    assert table.sentence(FINDINGS[:1]) == "All is fine"
    assert table.sentence(FINDINGS[:2]) == "Nothing stops the way to a trained painter; 1 note"
    assert [table.is_ok(FINDINGS[:count]) for count in (1, 2, 3)] == [True, True, False]


# cyclestyle.doctor.findings, cyclestyle.doctor.probe


def test_sizes_as_people_read_them() -> None:
    assert [size(count) for count in (0, 65536, 64e6, 57.2e9, 300e9)] == [
        "0 bytes",
        "65.5 kB",
        "64.0 MB",
        "57.2 GB",
        "300 GB",
    ]


def test_how_a_process_ended_is_told_in_words() -> None:
    assert how_it_ended(-11, b"") == "Python crashes (SIGSEGV)"
    assert how_it_ended(-99, b"") == "Python crashes (signal 99)"
    assert how_it_ended(1, b"one\ntwo\n") == "two"
    assert how_it_ended(1, b"") == "Python ends with exit code 1"
    assert len(shortened("x" * 1000)) < 400
