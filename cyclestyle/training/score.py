"""How near painted pictures come to paintings as a set, without a pretrained network.

Each picture becomes a short list of numbers: its colours, and how strongly filters of random weights respond at three
sizes. Random filters tell textures apart about as well as learnt ones (Ustyuzhaninov et al. 2017, "What does it take to
generate natural textures?"). Two sets are compared by the unbiased squared MMD with the kernel of KID (Binkowski et al.
2018, "Demystifying MMD GANs").

It is a yardstick within one run: numbers of different sets of paintings cannot be compared, nor those of KID.
"""

import math

import torch
import torch.nn.functional as F

from cyclestyle.images import Images

FILTERS, TAPS, SCALES = 32, 5, 3
COLOURS = 9
SEED = 0
LEAST_SIDE = 12
"""Pixels: a quarter of it is still more than the filters' reflected margin of 2."""

FAINT = 0.01
"""Added to responses before the logarithm. What rounding to 8 bits leaves in a flat picture responds with 0.001."""

SMALLEST_SPREAD = 0.02
"""Least spread by which numbers are divided: paintings that are all alike in something cannot blow it up."""

CHANCE = 0.12
"""How much of a difference between two distances may be chance, with 32 pictures a side."""

FAR = 3.0
"""Spreads from the paintings' mean beyond which a number hardly grows: one odd picture in 32 would else decide. Halves
the chance error; the order of sets stays."""


class Yardstick:
    """Measures pictures against one set of paintings.

    32 pictures a side: other paintings of the set -0.1 to 0.1, painted by the demo -0.1 to 0.1 and by a short training
    on real Monets 0.35, photos 1.0; photos inverted 1.1 to 1.3, blurred 1.4 to 2.2, noisy 2 to 3.5. Chance error 0.12.
    """

    def __init__(self, paintings: Images) -> None:
        """`paintings`: (n, 3, h, w) in [-1, 1], n at least 2; about 8 ms each at 128 px on one core."""
        raw = descriptions(paintings)
        if len(raw) < 2:
            raise ValueError(f"a yardstick needs at least two paintings, got {len(raw)}")
        if not raw.isfinite().all():
            raise ValueError("a yardstick cannot be made of paintings that hold numbers which are not finite")
        self.centre, self.spread = raw.mean(0), raw.std(0).clamp_min(SMALLEST_SPREAD)
        self.paintings = self._placed(raw)

    def distance(self, images: Images) -> float:
        """How far (n, 3, h, w) pictures in [-1, 1], n at least 2, are from the paintings; lower is nearer.

        About 0 (of either sign) for other paintings of the same set, inf for pictures that are not finite. The same
        bits for the same pictures: it is always computed on the CPU, one picture at a time, in fp32.
        """
        raw = descriptions(images)
        if len(raw) < 2:
            raise ValueError(f"a set of at least two pictures is needed, got {len(raw)}")
        return squared_mmd(self._placed(raw), self.paintings) if raw.isfinite().all() else math.inf

    def _placed(self, raw: torch.Tensor) -> torch.Tensor:
        """Descriptions in spreads from the paintings' centre, bounded, texture and colour of equal weight: (n, d)."""
        z = (raw - self.centre) / self.spread
        z = z / (1 + (z / FAR).square()).sqrt()
        # squares of a painting sum to about d, as the kernel expects
        weights = torch.cat(
            [torch.full((count,), z.shape[1] / (2 * count)) for count in (z.shape[1] - COLOURS, COLOURS)]
        )
        return z * weights.to(z).sqrt()


def squared_mmd(x: torch.Tensor, y: torch.Tensor) -> float:
    """Unbiased squared MMD of two samples (m, d) and (n, d) with the kernel (x . y / d + 1)^3. May be negative."""
    within = [(k.sum() - k.trace()) / (len(k) * (len(k) - 1)) for k in (_kernel(x, x), _kernel(y, y))]
    return (within[0] + within[1] - 2 * _kernel(x, y).mean()).item()


def _kernel(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return (x @ y.mT / x.shape[1] + 1) ** 3


def descriptions(images: Images) -> torch.Tensor:
    """What is compared of each picture of (n, 3, h, w): (n, 201) float64, 192 of texture and 9 of colour."""
    if images.ndim != 4 or images.shape[1] != 3 or min(images.shape[2:]) < LEAST_SIDE:
        raise ValueError(
            f"pictures of shape (n, 3, h, w) with sides of at least {LEAST_SIDE} are needed, got {tuple(images.shape)}"
        )
    filters = random_filters()
    described = torch.empty(len(images), 2 * FILTERS * SCALES + COLOURS, dtype=torch.float64)
    for index, image in enumerate(images):
        described[index] = _description(image[None].detach().cpu().float(), filters)
    return described


def random_filters() -> torch.Tensor:
    """(32, 3, 5, 5): normal, mean 0 (so that grey of any brightness gives no response), length 1."""
    weights = torch.randn(FILTERS, 3, TAPS, TAPS, generator=torch.Generator().manual_seed(SEED), dtype=torch.float32)
    weights = weights - weights.mean((1, 2, 3), keepdim=True)
    return weights / weights.flatten(1).norm(dim=1)[:, None, None, None]


def _description(image: torch.Tensor, filters: torch.Tensor) -> torch.Tensor:
    """One picture (1, 3, h, w): for each size and filter, log mean and log deviation of what is above 0; colours."""
    found = []
    scaled, margin = image, TAPS // 2
    with torch.autocast("cpu", enabled=False):
        for _ in range(SCALES):
            edged = F.pad(scaled, (margin,) * 4, mode="reflect")
            above = F.conv2d(edged, filters)[0].flatten(1).relu()  # (32, h w)
            found += [(above.mean(1) + FAINT).log(), (above.std(1) + FAINT).log()]
            scaled = F.avg_pool2d(scaled, 2)
        return torch.cat([*found, _colours(image)]).double()


def _colours(image: torch.Tensor) -> torch.Tensor:
    """Means, deviations and covariances of red, green and blue: (9,)."""
    pixels = image[0].flatten(1)
    covariance = pixels.cov()
    rows, columns = torch.triu_indices(3, 3, offset=1)
    return torch.cat([pixels.mean(1), covariance.diagonal().clamp_min(0).sqrt(), covariance[rows, columns]])
