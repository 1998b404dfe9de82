"""What a device has left, and can (cyclestyle.capacity)."""

from pathlib import Path

import psutil
import pytest
import torch

from cyclestyle import capacity
from cyclestyle.capacity import free_memory, is_full, require_code, total_memory

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def test_there_is_some() -> None:
    assert 1 << 20 < free_memory(CPU) < 1 << 50


def test_a_container_s_limit_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit, used = tmp_path / "memory.max", tmp_path / "memory.current"
    monkeypatch.setattr(capacity, "CONTAINER", [(limit, used)])
    assert free_memory(CPU) == pytest.approx(psutil.virtual_memory().available, rel=0.2)
    limit.write_text("max\n")
    used.write_text("1000000\n")
    assert free_memory(CPU) > 3_000_000
    limit.write_text("3000000\n")
    assert free_memory(CPU) == 2_000_000
    # what is in memory only because it was read from files can be had
    stat = tmp_path / "memory.stat"
    stat.write_text("anon 400000\ninactive_file 250000\nactive_file 50000\nfile 300000\n")
    assert free_memory(CPU) == 2_300_000
    stat.write_text("inactive_file 1\nactive_file 1\ntotal_inactive_file 7\ntotal_active_file 8\n")
    assert free_memory(CPU) == 2_000_015
    stat.unlink()
    limit.write_text("1000\n")
    assert free_memory(CPU) == 0


def test_what_pytorch_holds_for_what_comes_counts_as_free(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("mem_get_info", (5, 100)), ("memory_reserved", 60), ("memory_allocated", 20)):
        monkeypatch.setattr(torch.cuda, name, lambda device, value=value: value)
    assert free_memory(CUDA) == 45


def test_a_full_memory_is_known_whoever_says_so() -> None:
    assert is_full(RuntimeError("CUDA error: out of memory"))
    assert is_full(RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"))
    assert is_full(RuntimeError("GET was unable to find an engine to execute this computation"))
    assert is_full(MemoryError())
    assert is_full(RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"))
    later = RuntimeError("the recording could not be ended")
    later.__context__ = torch.OutOfMemoryError("full")
    assert is_full(later)
    assert not is_full(RuntimeError("CUDA error: an illegal memory access was encountered"))


def test_a_card_that_pytorch_was_not_built_for_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    said = "CUDA error: no kernel image is available for execution on the device"

    def failing(*given: object, **named: object) -> None:
        raise RuntimeError(said)

    require_code(CPU)
    monkeypatch.setattr(torch, "ones", failing)
    require_code(CPU)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla P100")
    with pytest.raises(ValueError, match=r"was not built for Tesla P100; .*CUDA_VISIBLE_DEVICES="):
        require_code(CUDA)
    said = "CUDA error: an illegal memory access was encountered"
    with pytest.raises(RuntimeError, match="illegal"):
        require_code(CUDA)


def test_a_container_has_no_more_than_its_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(capacity, "CONTAINER", [(limit, tmp_path / "memory.current")])
    machine = psutil.virtual_memory().total + psutil.swap_memory().total
    assert total_memory() == machine
    limit.write_text("max\n")
    assert total_memory() == machine
    limit.write_text("1000000\n")
    assert total_memory() == 1_000_000
