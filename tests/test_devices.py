"""What is computed on, and how it is started there (cyclestyle.competing.devices)."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cyclestyle.competing import devices
from cyclestyle.competing.devices import Device, Machine, Probed, choose, find_machine
from cyclestyle.doctor.computing import runs as runs_on

WHEELS_2_15 = ["sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120"]
OLDER = ["sm_50", "sm_60", "sm_70", "sm_75", "sm_80", "sm_86", "sm_90"]
T4, P100, V100 = ("Tesla T4", (7, 5)), ("Tesla P100-PCIE-16GB", (6, 0)), ("Tesla V100", (7, 0))
L4, H100 = ("NVIDIA L4", (8, 9)), ("NVIDIA H100", (9, 0))


def probed(*cards: tuple[str, tuple[int, int]], built_for: list[str] = WHEELS_2_15) -> Probed:
    found = [Device(name=name, capability=capability) for name, capability in cards]
    return Probed(torch="2.15.0", built_for=built_for, devices=found)


@pytest.mark.parametrize(
    ("found", "processes", "precision"),
    [
        (probed(T4, T4), 2, "fp16"),
        (probed(T4), 1, "fp16"),
        (probed(P100, built_for=OLDER), 1, "no"),
        (probed(V100, built_for=OLDER), 1, "fp16"),
        (probed(L4), 1, "auto"),
        (probed(H100, H100, H100, H100), 4, "auto"),
        (probed(T4, L4), 2, "fp16"),  # what the older one can
    ],
)
def test_each_gpu_gets_a_process_and_a_precision_that_all_have(found: Probed, processes: int, precision: str) -> None:
    machine = choose(found)
    assert (machine.processes, machine.precision, machine.cpu) == (processes, precision, False)
    assert found.devices[0].name in machine.name


@pytest.mark.parametrize("card", [P100, V100])
def test_a_card_that_this_pytorch_was_not_built_for_is_named_with_the_way_out(
    card: tuple[str, tuple[int, int]],
) -> None:
    with pytest.raises(ValueError, match=rf"not built for this GPU \({card[0]}, compute capability .*GPU T4 x2"):
        choose(probed(card))
    with pytest.raises(ValueError, match="not built for this GPU"):
        choose(probed(T4, card))


def test_a_card_that_pytorch_does_not_reach_is_said() -> None:
    with pytest.raises(ValueError, match=r"PyTorch 2\.15\.0 does not reach it: .*doctor.* --device cpu"):
        choose(probed())


@pytest.mark.parametrize(
    ("capability", "built_for", "runs"),
    [
        ((7, 5), ["sm_75"], True),
        ((8, 6), ["sm_80"], True),  # of one generation, up to one's own version
        ((8, 0), ["sm_86"], False),
        ((6, 0), WHEELS_2_15, False),
        ((12, 0), ["sm_90"], False),
        ((12, 0), ["sm_90", "compute_90"], True),  # compiled by the driver
        ((6, 0), ["compute_75"], False),
        ((9, 0), ["sm_90a"], True),
        ((10, 3), ["sm_100"], True),
        ((10, 3), ["sm_100a"], False),
        ((7, 5), ["", "sm_", "nonsense"], False),
    ],
)
def test_what_runs_where(capability: tuple[int, int], built_for: list[str], runs: bool) -> None:
    assert runs_on(*capability, built_for) is runs


def test_without_a_card_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ACCELERATE_USE_CPU", raising=False)
    monkeypatch.setattr(devices, "_has_card", lambda: False)
    monkeypatch.setattr(devices, "_probe", lambda: pytest.fail("asked"))
    machine = find_machine("auto")
    assert (machine.cpu, machine.processes, machine.precision) == (True, 1, "no")


@pytest.mark.parametrize("way", ["option", "variable"])
def test_the_processor_can_be_asked_for(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_has_card", lambda: True)
    monkeypatch.setattr(devices, "_probe", lambda: pytest.fail("asked"))
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true" if way == "variable" else "")
    assert find_machine("cpu" if way == "option" else "auto", 3).processes == 3


@pytest.mark.slow
def test_pytorch_is_asked_in_a_process_of_its_own() -> None:
    found = devices._probe()
    import torch

    assert found.torch == str(torch.__version__)
    assert len(found.devices) == (torch.cuda.device_count() if torch.cuda.is_available() else 0)


@pytest.mark.parametrize("answer", ["", "Traceback", '{"torch": 1}', "[]"])
def test_an_answer_that_is_none_is_a_sentence(answer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        devices.subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 1, stdout=answer, stderr="")
    )
    with pytest.raises(ValueError, match=r"PyTorch cannot be asked for GPUs: .*doctor"):
        devices._probe()


def test_one_process_is_the_command_itself_and_several_are_launched() -> None:
    assert Machine("one").words("train", "--run", "x") == [sys.executable, "-m", "cyclestyle", "train", "--run", "x"]
    words = Machine("two", 2, "fp16", cpu=False).words("train", "--run", "x")
    assert words[:3] == [sys.executable, "-m", "accelerate.commands.launch"]
    assert words[words.index("--num_processes") + 1] == "2"
    assert words[words.index("--mixed_precision") + 1] == "fp16"
    assert words[-5:] == ["-m", "cyclestyle", "train", "--run", "x"]
    ports = {words[words.index("--main_process_port") + 1]}
    assert all(1024 < int(port) < 65536 for port in ports)


def test_nothing_asks_the_network_and_processes_without_gpus_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ACCELERATE_USE_CPU", raising=False)
    assert Machine("one").environment()["ACCELERATE_USE_CPU"] == "true"
    there = Machine("two", 2, "fp16", cpu=False).environment()
    assert "ACCELERATE_USE_CPU" not in there
    assert there["NO_ALBUMENTATIONS_UPDATE"] == "1"
    assert there["PATH"] == os.environ["PATH"]


def test_a_card_is_noticed_without_pytorch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    smi = tmp_path / "nvidia-smi"
    smi.write_text("#!/bin/sh\n")
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert devices._has_card()
