"""The discriminators: a picture in, a map of scores out, one for each patch. Real is high. No sigmoid at the end."""

from contextlib import nullcontext

import torch
from torch import nn
from torch.nn.utils.parametrizations import _SpectralNorm
from torch.nn.utils.parametrize import register_parametrization

from cyclestyle.config import DiscriminatorSettings
from cyclestyle.files import reason
from cyclestyle.images import Images
from cyclestyle.networks.extractors import Extractor, load_network, random_network
from cyclestyle.networks.feature_discriminator import FeatureDiscriminator
from cyclestyle.networks.layers import InstanceNorm


class PatchDiscriminator(nn.Module):
    """Judges overlapping patches (Isola et al. 2017, section 6.1.2): with 3 layers 70x70 pixels each.

    (n, 3, 256, 256) gives (n, 1, 30, 30) scores.
    """

    def __init__(self, width: int = 64, layers: int = 3) -> None:
        super().__init__()
        body: list[nn.Module] = [nn.Conv2d(3, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2, inplace=True)]
        channels = width
        for layer in range(1, layers + 1):
            wider = width * min(2**layer, 8)
            stride = 2 if layer < layers else 1
            body += [
                nn.Conv2d(channels, wider, 4, stride=stride, padding=1),
                InstanceNorm(wider),
                nn.LeakyReLU(0.2, inplace=True),
            ]
            channels = wider
        self.body = nn.Sequential(*body, nn.Conv2d(channels, 1, 4, stride=1, padding=1))

    def forward(self, images: Images) -> torch.Tensor:
        return self.body(images)  # (n, 1, h', w')


class PixelDiscriminator(nn.Module):
    """Judges each pixel alone, so colours only (Isola et al. 2017: the 1x1 'PixelGAN')."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, width, 1),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(width, 2 * width, 1),
            InstanceNorm(2 * width),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(2 * width, 1, 1),
        )

    def forward(self, images: Images) -> torch.Tensor:
        return self.body(images)  # (n, 1, h, w)


Discriminator = PatchDiscriminator | PixelDiscriminator | FeatureDiscriminator


def build_discriminator(settings: DiscriminatorSettings, seeing: Extractor | None = None) -> Discriminator:
    """The discriminator that the settings describe, with PyTorch's own initial weights and without spectral norm.

    `seeing` is what `pretrained` gives for them. Two discriminators may share it.
    """
    if settings.kind == "pixel":
        return PixelDiscriminator(settings.width)
    if settings.kind == "patch":
        return PatchDiscriminator(settings.width, settings.layers)
    assert seeing is not None
    patches = PatchDiscriminator(max(1, settings.width // 2), settings.layers)
    return FeatureDiscriminator(seeing, patches, settings.width)


def pretrained(settings: DiscriminatorSettings) -> Extractor | None:
    """The network that a discriminator of features looks through; None for the others.

    Raises ValueError and FileNotFoundError, saying what to do, where its weights are not to be had.
    """
    if settings.kind != "features":
        return None
    if settings.network == "random":
        return random_network("vgg19-distilled")
    try:
        return load_network(settings.network, settings.weights)
    except (ValueError, OSError) as error:
        ways = reason(error).replace("--weights", "--discriminator.weights")
        raise ValueError(f"{ways}; --discriminator.kind patch needs no weights") from None


def bound_spectrally(discriminator: nn.Module) -> None:
    """Divide every convolution's weight by its largest singular value (Miyato et al. 2018), from now on.

    To be called after the weights have been initialised: the power iteration starts from them.
    """
    for module in list(discriminator.modules()):
        if isinstance(module, nn.Conv2d):
            register_parametrization(module, "weight", SpectralNorm(module.weight))


class SpectralNorm(_SpectralNorm):
    """PyTorch's, one step of the power iteration each time, in fp32: on GPUs autocast would round its vectors."""

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cuda", enabled=False) if weight.is_cuda else nullcontext():
            return super().forward(weight)
