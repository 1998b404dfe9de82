"""Which convolutions are computed with fewer multiplications: where a CPU is slow enough at multiplying."""

from typing import TypeVar

import torch
from torch import Tensor, nn

from cyclestyle.networks.winograd import TILE, convolution, settled

FEWEST, FEWEST_LEARNING = 64, 256
"""Channels on either side from which on it was measured to pay: where weights are frozen
(scripts/benchmarks/results/painting.md, measuring.md), and where they learn (step.md)."""
WIDEST = 96
"""Channels that there must be on one side at least."""
LEAST, LEAST_LEARNING = 16, 64
"""Tiles from which on it does, likewise: weights are transformed for all tiles of a batch together, when they learn
each time anew."""

Network = TypeVar("Network", bound=nn.Module)


class WinogradConv(nn.Conv2d):
    """A 3 x 3 convolution, of the weights that a plain one has.

    It is the plain one in other types than float32, and for maps so small that this is faster.
    """

    def __init__(self, plain: nn.Conv2d) -> None:
        padding, bias = int(plain.padding[0]), plain.bias is not None
        super().__init__(plain.in_channels, plain.out_channels, 3, padding=padding, bias=bias, device="meta")
        self.weight, self.bias = plain.weight, plain.bias
        self.register_buffer("kernels", None, persistent=False)

    def forward(self, input: Tensor) -> Tensor:  # (n, c, h, w) -> (n, o, h + 2 padding - 2, w + 2 padding - 2)
        if input.dtype != torch.float32 or input.is_cuda or torch.is_autocast_enabled("cpu"):
            return super().forward(input)
        down, across = (-(-(size + 2 * int(self.padding[0]) - 2) // TILE) for size in input.shape[-2:])
        if len(input) * down * across < (LEAST_LEARNING if self.weight.requires_grad else LEAST):
            return super().forward(input)
        if self.kernels is None and not self.weight.requires_grad and input.device.type == "cpu":
            self.kernels = settled(self.weight)
        return convolution(input, self.weight, self.bias, self.kernels, int(self.padding[0]))


def pays(device: torch.device) -> bool:
    """Whether fewer multiplications are faster here: on x86 with AVX2; with AVX-512 the direct way is as fast."""
    return device.type == "cpu" and torch.backends.cpu.get_cpu_capability() == "AVX2"


def quickest(network: Network, device: torch.device) -> Network:
    """A frozen network, on its device, as is fastest there; it is changed.

    On a CPU with fewer products, where that is faster; else as `laid_out`.
    """
    return with_fewer_products(network) if pays(device) else laid_out(network, device)


def laid_out(network: Network, device: torch.device) -> Network:
    """A frozen network, on its device, with maps in the layout that is fastest there; it is changed.

    On a GPU in fp32 that is the plain one: no tensor core computes its convolutions (`full_fp32`).
    """
    if device.type == "cuda" and next(network.parameters()).dtype == torch.float32:
        return network.to(memory_format=torch.contiguous_format)
    return network


def with_fewer_products(network: Network, fewest: int = FEWEST) -> Network:
    """Put it in the place of the convolutions that gain by it, which have so many channels on either side.

    The network is changed, its weights' names are not.
    """
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if type(child) is nn.Conv2d and _gains(child, fewest):
                setattr(module, name, WinogradConv(child))
    return network


def _gains(conv: nn.Conv2d, fewest: int) -> bool:
    plain = (conv.kernel_size, conv.stride, conv.dilation, conv.groups) == ((3, 3), (1, 1), (1, 1), 1)
    fewer, more = sorted((conv.in_channels, conv.out_channels))
    return plain and conv.padding in {(0, 0), (1, 1)} and fewer >= fewest and more >= WIDEST
