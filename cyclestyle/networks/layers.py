"""The few layers that generators and discriminators share, and how their weights begin."""

import torch
from torch import nn


def instance_norm(channels: int) -> nn.InstanceNorm2d:
    """Each channel of each picture to mean 0 and variance 1 (Ulyanov et al. 2016), as in the paper: nothing learnt.

    Convolutions before it keep their bias although it has no effect there: the paper's parameter counts include it.
    """
    return nn.InstanceNorm2d(channels, affine=False, track_running_stats=False)


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
