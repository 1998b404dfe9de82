"""The generators: pictures in, pictures of the other domain out, at the same size.

The residual one is Johnson et al. 2016 with instance norm, as in CycleGAN (Zhu et al. 2017, section 7.2); the U-Net is
that of pix2pix (Isola et al. 2017, section 6.1.1).
"""

from contextlib import nullcontext

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from cyclestyle.config import GeneratorSettings
from cyclestyle.images import Images
from cyclestyle.networks.layers import InstanceNorm, ReflectionPad


class ResidualBlock(nn.Module):
    """Two convolutions added to their input: repaint the texture, keep the layout."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            ReflectionPad(1),
            nn.Conv2d(channels, channels, 3),
            InstanceNorm(channels),
            nn.ReLU(inplace=True),
            ReflectionPad(1),
            nn.Conv2d(channels, channels, 3),
            InstanceNorm(channels),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.body(x)


def halve(channels: int) -> nn.Sequential:
    """Half the size, twice the channels."""
    return nn.Sequential(
        nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1), InstanceNorm(2 * channels), nn.ReLU(inplace=True)
    )


def double(channels: int, upsampling: str) -> nn.Sequential:
    """Twice the size, half the channels."""
    if upsampling == "transposed":
        up: nn.Module = nn.ConvTranspose2d(channels, channels // 2, 3, stride=2, padding=1, output_padding=1)
    else:
        up = resize_convolution(channels, channels // 2)
    return nn.Sequential(up, InstanceNorm(channels // 2), nn.ReLU(inplace=True))


def resize_convolution(channels: int, narrower: int) -> nn.Sequential:
    """Twice the size with the same number of taps for every pixel, so without a checkerboard (Odena et al. 2016)."""
    return nn.Sequential(Enlarged(scale_factor=2), ReflectionPad(1), nn.Conv2d(channels, narrower, 3))


class Enlarged(nn.Upsample):
    """Each value four times, in the type that it has: on GPUs autocast would make float32 of the largest maps."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cuda", enabled=False) if input.is_cuda else nullcontext():
            return super().forward(input)


class Finish(nn.Module):
    """The last tanh; if `residual`, on what the network adds to the picture instead of on what it makes."""

    LARGEST = 0.98
    """Where the inverse tanh of a picture is cut, which is infinite for pure black and white: 2.5 of 256 levels."""

    def __init__(self, *, residual: bool) -> None:
        super().__init__()
        self.residual = residual

    def forward(self, x: torch.Tensor, images: Images) -> Images:
        if self.residual:
            x = x + images.clamp(-self.LARGEST, self.LARGEST).atanh()
        # In half precision it would be 1 from 3.5 on, where no gradient comes through any more; in fp32 from 9 on.
        return x.to(torch.promote_types(x.dtype, torch.float32)).tanh()


class ResNetGenerator(nn.Module):
    """Encode to a quarter of the size, repaint, decode. Height and width must be multiples of 4, at least 8."""

    multiple = 4
    """Height and width must be multiples of this."""
    checkpointed = False
    """Whether all is computed once more on the way back, part by part, instead of being kept (Chen et al. 2016)."""
    together = 3
    """Residual blocks in a part: of nine, so least is kept of what enters parts and of what is in one (their root)."""

    def __init__(
        self, width: int = 64, blocks: int = 9, upsampling: str = "transposed", *, residual: bool = False
    ) -> None:
        super().__init__()
        self.encode = nn.Sequential(
            ReflectionPad(3),
            nn.Conv2d(3, width, 7),
            InstanceNorm(width),
            nn.ReLU(inplace=True),
            halve(width),
            halve(2 * width),
        )
        self.repaint = nn.Sequential(*(ResidualBlock(4 * width) for _ in range(blocks)))
        self.decode = nn.Sequential(
            double(4 * width, upsampling),
            double(2 * width, upsampling),
            ReflectionPad(3),
            nn.Conv2d(width, 3, 7),
        )
        self.finish = Finish(residual=residual)

    def forward(self, images: Images) -> Images:
        x = self._through(self.encode, images)  # (n, 4 width, h/4, w/4)
        for start in range(0, len(self.repaint), self.together):
            x = self._through(self.repaint[start : start + self.together], x)  # (n, 4 width, h/4, w/4)
        return self.finish(self._through(self.decode, x), images)  # (n, 3, h, w)

    def _through(self, block: nn.Module, x: torch.Tensor) -> torch.Tensor:
        if not (self.checkpointed and torch.is_grad_enabled()):
            return block(x)
        return checkpoint(block, x, use_reentrant=False, preserve_rng_state=False)  # type: ignore[return-value]


def double_unet(channels: int, narrower: int, upsampling: str) -> nn.Module:
    """Twice the size; the paper's kernel of 4 covers each pixel alike, but learns a pattern of its own all the same."""
    if upsampling == "transposed":
        return nn.ConvTranspose2d(channels, narrower, 4, stride=2, padding=1)
    return resize_convolution(channels, narrower)


class UNetLevel(nn.Module):
    """One halving, whatever lies below it, one doubling; the input stands beside the result."""

    def __init__(self, channels: int, inner: int, below: nn.Module | None, upsampling: str) -> None:
        super().__init__()
        down: list[nn.Module] = [nn.LeakyReLU(0.2), nn.Conv2d(channels, inner, 4, stride=2, padding=1)]
        if below is None:  # the innermost may be a single pixel, which has no variance: not normalised on the way down
            up_from = inner
            middle: list[nn.Module] = []
        else:
            up_from = 2 * inner
            middle = [InstanceNorm(inner), below]
        up = [nn.ReLU(), double_unet(up_from, channels, upsampling), InstanceNorm(channels)]
        self.body = nn.Sequential(*down, *middle, *up)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x, self.body(x)], dim=1)


class UNetGenerator(nn.Module):
    """Halve `depth` times, double as often, with a skip connection at every size.

    Height and width must be multiples of 2 to the power of `depth`.
    """

    def __init__(
        self, width: int = 64, depth: int = 8, upsampling: str = "transposed", *, residual: bool = False
    ) -> None:
        super().__init__()
        self.multiple = 2**depth
        wide = 8 * width
        level = UNetLevel(wide, wide, None, upsampling)
        for _ in range(depth - 5):
            level = UNetLevel(wide, wide, level, upsampling)
        for channels in (4 * width, 2 * width, width):
            level = UNetLevel(channels, 2 * channels, level, upsampling)
        self.body = nn.Sequential(
            nn.Conv2d(3, width, 4, stride=2, padding=1),
            level,
            nn.ReLU(),
            double_unet(2 * width, 3, upsampling),
        )
        self.finish = Finish(residual=residual)

    def forward(self, images: Images) -> Images:
        return self.finish(self.body(images), images)  # (n, 3, h, w)


def build_generator(settings: GeneratorSettings) -> ResNetGenerator | UNetGenerator:
    """The generator that the settings describe, with PyTorch's own initial weights."""
    if settings.kind == "unet":
        return UNetGenerator(settings.width, settings.depth, settings.upsampling, residual=settings.residual)
    return ResNetGenerator(settings.width, settings.blocks, settings.upsampling, residual=settings.residual)
