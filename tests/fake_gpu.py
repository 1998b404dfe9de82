"""A GPU that is not there: tensors which only claim to lie on it have a shape and no numbers."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensor,
    FakeTensorMode,
)
from torch.utils._pytree import tree_leaves, tree_map_only

from cyclestyle.evaluation import eyes

CUDA = torch.device("cuda")
REFUSED = (DataDependentOutputException, DynamicOutputShapeException)
"""What is raised where somebody has to wait for a number."""
COPIES = {torch.ops.aten._to_copy, torch.ops.aten.copy_, torch.ops.aten.to}
INDEXED = {torch.ops.aten.index, torch.ops.aten.index_put, torch.ops.aten.index_put_}


class FakeGpu(FakeTensorMode):
    """What is on the CPU is computed; what is on the GPU has a shape and a place, and no numbers."""

    def __init__(self) -> None:
        super().__init__(allow_non_fake_inputs=True)
        self.inside = False
        self.answers = False
        """Whether 1 is said when a number is asked for, which is refused otherwise."""
        self.waits = 0
        """How often one was asked for."""
        self.moved = 0
        """How many tensors went from one device to the other."""
        self.blocked = 0
        """How many of them somebody waited for, since they were not to go by themselves."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self.inside or func is torch.ops.prim.device.default:
            return self.dispatch(func, types, args, kwargs)
        given = tree_leaves((args, kwargs))
        tensors = [one for one in given if isinstance(one, Tensor)]
        asked_for = any(isinstance(one, torch.device) and one.type == "cuda" for one in given)
        if not asked_for and not any(isinstance(one, FakeTensor) for one in tensors):
            return func(*args, **kwargs)
        if func is torch.ops.aten._local_scalar_dense.default:
            self.waits += 1
            if self.answers:
                return torch.ones((), dtype=args[0].dtype).item()
        if func is torch.ops.aten._fused_adam_.tensor_lr:  # of which PyTorch does not know what it gives: nothing
            assert there(tensors)
            return None
        self.inside = True
        try:
            if not all(isinstance(one, FakeTensor) for one in tensors):
                args, kwargs = tree_map_only(Tensor, self.from_tensor, (args, kwargs))
            made = self.dispatch(func, types, args, kwargs)
        finally:
            self.inside = False
        if func.overloadpacket in COPIES or func.overloadpacket in INDEXED:  # a place may be on the other device
            moved = len({one.device.type for one in (*tensors, made) if isinstance(one, Tensor)}) > 1
            self.moved += moved
            self.blocked += moved and not (kwargs.get("non_blocking") or any(one is True for one in args[2:]))
        return made


class Event:
    """What a GPU would tell of: all has happened already."""

    def record(self) -> None: ...

    def synchronize(self) -> None: ...


def sent(module: nn.Module, send: Callable[[Tensor], Tensor], recurse: bool = True) -> nn.Module:
    """`nn.Module._apply`, which would put tensors into the place of others of another kind."""
    for child in module.children():
        child._apply(send)
    with torch.no_grad():
        for name, one in module._parameters.items():
            module._parameters[name] = None if one is None else nn.Parameter(send(one), one.requires_grad)
        for name, buffer in module._buffers.items():
            module._buffers[name] = None if buffer is None else send(buffer)
    return module


@contextmanager
def fake_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGpu]:
    """Let there be one, with memory enough."""
    monkeypatch.setattr(nn.Module, "_apply", sent)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1 << 40, 1 << 40))
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: True)
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 0)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 0)
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "device", lambda device: nullcontext())
    monkeypatch.setattr(Tensor, "pin_memory", lambda tensor: tensor)
    with FakeGpu() as mode:
        yield mode
    eyes._directions.cache_clear()


def there(*tensors: Any) -> bool:
    return all(one.device.type == "cuda" for one in tree_leaves(tensors) if isinstance(one, Tensor))
