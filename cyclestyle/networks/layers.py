"""The few layers that generators and discriminators share, and how their weights begin."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn


class InstanceNorm(nn.Module):
    """Each channel of each picture to mean 0 and variance 1 (Ulyanov et al. 2016), as in the paper: nothing learnt.

    Convolutions before it keep their bias although it has no effect there, as in the reference, whose weights fit.

    One formula in the form that is fastest where it is computed. On a CPU that is PyTorch's group norm with a group for
    each channel: forward in a quarter of `nn.InstanceNorm2d`'s time, and it takes any memory layout. Compiled, it is
    the formula itself, in float32, which is then fused with what stands around it.
    """

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.channels, self.eps = channels, eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # (n, channels, h, w), any float -> the same
        if torch.compiler.is_compiling():
            return written_out(x, self.eps)
        if x.device.type == "cpu":
            return F.group_norm(x, self.channels, eps=self.eps)
        return F.instance_norm(x, eps=self.eps)

    def extra_repr(self) -> str:
        return f"{self.channels}, eps={self.eps}"


def written_out(x: torch.Tensor, eps: float) -> torch.Tensor:
    """Instance norm by its formula, statistics in float32 at least: (n, c, h, w) -> the same."""
    exact = x.to(torch.promote_types(x.dtype, torch.float32))
    variance, mean = torch.var_mean(exact, dim=(2, 3), correction=0, keepdim=True)
    return ((exact - mean) * torch.rsqrt(variance + eps)).to(x.dtype)


ADDS_IN_ORDER = torch.__version__ >= "2.7"
"""Whether reflection padding has a backward pass on CUDA that gives the same bits every time."""


class ReflectionPad(nn.Module):
    """Continue maps by mirroring, `width` values on each side.

    Where the same bits are wanted every time, CUDA's own backward pass adds in one order, but forgets what a pixel
    gives to both sides: in maps that are so small, mirrored strips are set beside the map, which gives the same values.
    With a PyTorch that has no such pass (before 2.7), in all maps.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.may_be_repeated = False
        """Be computed in a form that a compiler repeats on the way back, rather than keep what it gives."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # (n, c, h, w) -> (n, c, h + 2 width, w + 2 width)
        if x.is_cuda and torch.are_deterministic_algorithms_enabled() and self._forgets(x):
            return mirrored_beside(x, self.width)
        if self.may_be_repeated:
            return Mirrored.apply(x, self.width)  # type: ignore[return-value]
        return F.pad(x, (self.width,) * 4, mode="reflect")

    def _forgets(self, x: torch.Tensor) -> bool:
        return not ADDS_IN_ORDER or min(x.shape[-2:]) <= 2 * self.width + 1


class Mirrored(torch.autograd.Function):
    """Reflection padding for the compiler, which knows of what is looked up that it may be looked up again.

    Of padding's own operation it does not, and would keep for the way back what that gives: as much as the maps before.
    """

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, width: int) -> torch.Tensor:
        """(n, c, h, w) -> (n, c, h + 2 width, w + 2 width)."""
        ctx.shape, ctx.width = x.shape, width
        rows, columns = (_mirrored(size, width, x.device) for size in x.shape[-2:])
        return x[..., rows[:, None], columns]

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        """The inverse, added up where a value was looked up several times; of `x` only its shape is asked for."""
        like = gradients[0].new_empty(ctx.shape)
        return torch.ops.aten.reflection_pad2d_backward(gradients[0], like, [ctx.width] * 4), None


def _mirrored(size: int, width: int, device: torch.device) -> torch.Tensor:
    """Which of `size` places is found at each of them, and at `width` more on either side."""
    places = torch.arange(-width, size + width, device=device).abs()
    return size - 1 - (size - 1 - places).abs()


def mirrored_beside(x: torch.Tensor, width: int) -> torch.Tensor:
    """Reflection padding made of strips: (n, c, h, w) -> (n, c, h + 2 width, w + 2 width)."""
    for axis in (-2, -1):
        size = x.shape[axis]
        before = x.narrow(axis, 1, width).flip(axis)
        after = x.narrow(axis, size - 1 - width, width).flip(axis)
        x = torch.cat([before, x, after], axis)
    return x


def initialise(network: nn.Module, generator: torch.Generator, deviation: float = 0.02) -> None:
    """Draw all convolution weights from N(0, 0.02^2) and set biases to zero (CycleGAN, section 7.1)."""
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
                module.weight.normal_(0.0, deviation, generator=generator)
                if module.bias is not None:
                    module.bias.zero_()


def count_parameters(network: nn.Module) -> int:
    """How many numbers a network learns."""
    return sum(parameter.numel() for parameter in network.parameters())
