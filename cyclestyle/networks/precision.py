"""Networks that compute in half of the bits: half the memory and, where the hardware has them, over twice as fast.

bf16 has the range of fp32 and 8 bits of precision. Pictures are normalised in fp32 before, and features are given back
in fp32, so that all that is summed over them (moments, distances, means) is as exact as ever.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from cyclestyle.networks.kinds import Precision

TYPES: dict[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
Network = TypeVar("Network", bound=nn.Module)
LARGEST = 1.0
"""Gradients in fp16 begin at: on their way it has four decades above and seven below."""


def settled(wanted: Precision, device: torch.device) -> tuple[Precision, str | None]:
    """The precision to compute in where one was asked for, and a sentence if it is another one.

    Half the bits without instructions for them are imitated: several times slower than float32, and less exact.
    """
    if wanted == "fp32" or knows(wanted, device):
        return wanted, None
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else f"this {device.type.upper()}"
    other = "; fp16 is fast there" if device.type == "cuda" else ""
    return "fp32", f"PyTorch finds no fast {wanted} in {where}: fp32 is taken{other}"


def exact_device(device: torch.device) -> torch.device:
    """Where float64 can be had for what lies on a device: Apple's MPS has none."""
    return torch.device("cpu") if device.type == "mps" else device


def knows(precision: Precision, device: torch.device) -> bool:
    """Whether a device computes in a precision itself."""
    if device.type == "cuda":
        return precision != "bf16" or torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu" and precision == "bf16":
        told = getattr(torch.cpu, "get_capabilities", dict)()  # PyTorch before 2.10 does not tell
        return any(told.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    return precision == "fp32"


@contextmanager
def full_fp32() -> Iterator[None]:
    """Let convolutions and products of matrices on GPUs keep all bits of fp32, and come out the same each time.

    PyTorch's default for convolutions is TF32, with 10 of 23 bits, which gradients through VGG feel most; for products
    some containers set it (TORCH_ALLOW_TF32_CUBLAS_OVERRIDE), and callers may. The flags hold for all threads, so they
    are put back when the last one leaves.
    """
    global _within
    with _entering:
        if _within == 0:
            _before[:] = _flags()
            _set([True, False, False, "highest", *["ieee"] * len(_parts())])
        _within += 1
    try:
        yield
    finally:
        with _entering:
            _within -= 1
            if _within == 0:
                _set(_before)


_entering, _within = threading.Lock(), 0
_before: list[bool | str] = []


def _parts() -> list[Any]:
    """Where newer versions of PyTorch have the precision of fp32: by libraries and kinds of operations."""
    return [part for part in (*_convolving(), *_multiplying()) if hasattr(part, "fp32_precision")]


def _convolving() -> list[Any]:
    return [getattr(torch.backends.cudnn, kind, None) for kind in ("conv", "rnn")]


def _multiplying() -> list[Any]:
    return [getattr(library, "matmul", None) for library in (torch.backends.cuda, torch.backends.mkldnn)]


def _flags() -> list[bool | str]:
    cudnn, parts = torch.backends.cudnn, [part.fp32_precision for part in _parts()]
    try:
        allowed = cudnn.allow_tf32
    except RuntimeError:  # somebody has set the newer flags otherwise than the older one, which may not be read then
        allowed = any(part.fp32_precision == "tf32" for part in _convolving())
    try:
        products = torch.get_float32_matmul_precision()
    except RuntimeError:
        products = "high" if any(part.fp32_precision == "tf32" for part in _multiplying()) else "highest"
    return [cudnn.deterministic, cudnn.benchmark, allowed, products, *parts]


def _set(flags: Sequence[Any]) -> None:
    """Both the older flag and the newer ones, else nobody might read the older one; in this order, as it sets them."""
    cudnn = torch.backends.cudnn
    cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32 = flags[:3]
    torch.set_float32_matmul_precision(flags[3])
    for part, precision in zip(_parts(), flags[4:], strict=True):
        part.fp32_precision = precision


def with_gradients_in_range(
    see: Callable[[Tensor], Sequence[Tensor]], x: Tensor, inside: torch.dtype
) -> Sequence[Tensor]:
    """`see(x)`, which computes in a type; in fp16 gradients are scaled on their way back, as small ones would be lost.

    Those of style transfer fall with the number of a picture's pixels; below 6e-8 they are 0 in fp16.

    Args:
        see: maps (n, ...) in float32 of pictures (n, ...), each picture's its own.
        x: in float32.
        inside: what it computes in.
    """
    if inside != torch.float16 or not (x.requires_grad and torch.is_grad_enabled()):
        return see(x)
    return _ScaledBack.apply(see, x)


class _ScaledBack(torch.autograd.Function):
    """Each picture's gradients times a power of two that brings the largest near `LARGEST`, then over it."""

    @staticmethod
    def forward(ctx: Any, see: Callable[[Tensor], Sequence[Tensor]], x: Tensor) -> tuple[Tensor, ...]:
        with torch.enable_grad():
            ctx.begun = x.detach().requires_grad_()
            ctx.maps = see(ctx.begun)
        return tuple(map_.detach() for map_ in ctx.maps)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor]:
        largest = torch.stack([one.abs().flatten(1).amax(1) for one in gradients]).amax(0)  # (n,)
        factor = torch.exp2(torch.log2(LARGEST / largest.clamp(min=1e-30)).floor()).view(-1, 1, 1, 1)
        (gradient,) = torch.autograd.grad(ctx.maps, ctx.begun, [one * factor for one in gradients])
        return None, gradient / factor


def computing_in(precision: Precision, network: Network) -> Network:
    """Let a frozen network's convolutions compute in a precision. Returns the network itself, changed."""
    for parameter in network.parameters():
        parameter.data = parameter.data.to(TYPES[precision])  # buffers stay: what pictures are normalised with is exact
    return network
