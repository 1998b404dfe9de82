"""The few layers that generators and discriminators share, and how their weights begin."""

import torch
import torch.nn.functional as F
from torch import nn


def instance_norm(channels: int) -> nn.InstanceNorm2d:
    """Each channel of each picture to mean 0 and variance 1 (Ulyanov et al. 2016), as in the paper: nothing learnt.

    Convolutions before it keep their bias although it has no effect there: the paper's parameter counts include it.
    """
    return nn.InstanceNorm2d(channels, affine=False, track_running_stats=False)


class ReflectionPad(nn.Module):
    """Continue maps by mirroring, `width` values on each side.

    CUDA's own backward pass adds in an order left to chance. Where the same bits are wanted every time, mirrored strips
    are set beside the map instead, which gives the same values.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # (n, c, h, w) -> (n, c, h + 2 width, w + 2 width)
        if x.is_cuda and torch.are_deterministic_algorithms_enabled():
            return mirrored_beside(x, self.width)
        return F.pad(x, (self.width,) * 4, mode="reflect")


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
