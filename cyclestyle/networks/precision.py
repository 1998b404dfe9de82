"""Networks that compute in bf16: half the memory and, where the hardware has it, more than twice as fast.

bf16 has the range of fp32 and 8 bits of precision. Pictures are normalised in fp32 before, and features are given back
in fp32, so that all that is summed over them (moments, distances, means) is as exact as ever.
"""

from typing import Literal, TypeVar

import torch
from torch import nn

Precision = Literal["fp32", "bf16"]
Network = TypeVar("Network", bound=nn.Module)


def has_bf16(device: torch.device) -> bool:
    """Whether a device computes bf16 itself; others imitate it, which is slower than fp32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return False
    found = getattr(torch.cpu, "get_capabilities", dict)()  # PyTorch before 2.10 does not tell
    return any(found.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def settled(wanted: Precision, device: torch.device) -> tuple[Precision, str | None]:
    """The precision that is taken, and a sentence where it is not the one that was wanted."""
    if wanted == "bf16" and not has_bf16(device):
        kind = "processor" if device.type == "cpu" else "device"
        return "fp32", f"this {kind} has no instructions for bf16 and would be slower with it: fp32 is taken"
    return wanted, None


def computing_in(precision: Precision, network: Network) -> Network:
    """Let a frozen network's convolutions compute in a precision. Returns the network itself, changed."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    for parameter in network.parameters():
        parameter.data = parameter.data.to(dtype)  # buffers stay: what pictures are normalised with is exact
    return network
