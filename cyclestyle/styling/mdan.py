"""Style as what a discriminator learns of patches: Markovian deconvolutional adversarial networks, without the network.

Li, Wand, "Precomputed real-time texture synthesis with Markovian generative adversarial networks", ECCV 2016
(arXiv 1604.04382), which it calls MDAN: while a picture is painted, a small discriminator learns to tell the patches of
its features from those of the style, and the picture is to fool it. Both pay the hinge loss.

Differences from the paper:
- each picture has a discriminator of its own, all from the same first weights, so what comes of a picture does not
  depend on the others of its batch;
- where the paper normalises over the patches of a batch (batch norm), each patch is normalised alone, over all of its
  channels and positions (group norm of one group, Wu and He 2018): a patch's score depends on nothing but the patch;
- Adam's rate is 0.002, not 0.02: with this norm, on relu3_1 of a photo and a painting, the hinge loss of a
  discriminator stayed below 1 after ten steps at 0.002 and was at 10 after thirty at 0.02.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from cyclestyle.networks.layers import initialise

# Of the authors' code for MDAN
PATCH = 8  # positions of a patch's side
STRIDE = 4  # positions between patches
WIDTH = 256  # channels
BETAS = (0.5, 0.999)  # Adam's

RATE = 0.002


class PatchDiscriminator(nn.Module):
    """Scores overlapping patches of features, each alone; high is the style.

    Leaky ReLU of slope 0.2, 3 x 3 convolution (not padded: the patch is 2 smaller after it), norm of the patch, leaky
    ReLU, and a convolution as large as what is left of the patch.
    """

    def __init__(
        self, channels: int, seed: int = 0, *, width: int = WIDTH, patch: int = PATCH, stride: int = STRIDE
    ) -> None:
        """Draw the first weights from the seed; nothing else decides them.

        Args:
            channels: of the features.
            seed: of the weights.
            width: channels inside.
            patch: positions of a patch's side, at least 3.
            stride: positions between the beginnings of patches.

        Raises:
            ValueError: a patch below 3, or another of them below 1.
        """
        super().__init__()
        if min(channels, width, patch - 2, stride) < 1:
            raise ValueError(
                f"expected a patch of 3 or more, channels, width and stride of 1 or more, got patch {patch}, channels "
                f"{channels}, width {width}, stride {stride}"
            )
        self.patch, self.stride = patch, stride
        # By way of "meta", since PyTorch would draw weights of its own, from the generator that everybody shares.
        self.inner = nn.Conv2d(channels, width, 3, device="meta").to_empty(device="cpu")
        self.norm = nn.GroupNorm(1, width)
        self.score = nn.Conv2d(width, 1, patch - 2, device="meta").to_empty(device="cpu")
        initialise(self, torch.Generator().manual_seed(seed))

    def forward(self, features: Tensor) -> Tensor:
        """A logit for each patch.

        Args:
            features: (n, channels, h, w) float, taken in the dtype of the weights.

        Returns:
            (n, 1, (h - patch) // stride + 1, (w - patch) // stride + 1)

        Raises:
            ValueError: a map that is smaller than a patch.
        """
        height, width = features.shape[-2:]
        if min(height, width) < self.patch:
            raise ValueError(
                f"a map is {height} x {width} (height x width), smaller than a patch of {self.patch} x {self.patch}; "
                "give a larger picture, or choose a layer that is less deep"
            )
        x = features.to(self.score.weight.dtype)
        # Once for the whole map: patches overlap, and a patch's part is the same as from the patch alone.
        x = self.inner(F.leaky_relu(x, 0.2))
        inside = self.patch - 2
        x = x.unfold(2, inside, self.stride).unfold(3, inside, self.stride)  # (n, width, rows, columns, p, p)
        count, _, rows, columns = x.shape[:4]
        x = x.permute(0, 2, 3, 1, 4, 5).flatten(0, 2)  # (n rows columns, width, p, p)
        x = F.leaky_relu(self.norm(x), 0.2)
        return self.score(x).view(count, 1, rows, columns)


def discriminator_hinge(real: Tensor, fake: Tensor) -> Tensor:
    """What it costs a discriminator to score the style below 1 and the picture above -1.

    Args:
        real: logits of the style, (n, ...).
        fake: logits of the picture, (n, ...), of any number.

    Returns:
        (n,) float64: mean max(0, 1 - real) + mean max(0, 1 + fake), over each picture's patches.
    """
    return _mean(F.relu(1 - real.double())) + _mean(F.relu(1 + fake.double()))


def painter_hinge(fake: Tensor) -> Tensor:
    """What it costs a picture to be scored below 1: mean max(0, 1 - fake), (n, ...) -> (n,) float64."""
    return _mean(F.relu(1 - fake.double()))


class Judge:
    """A discriminator for each picture of a batch, with an optimiser of its own; they never see each other's picture.

    To be told of every step of the pictures: `learn`, then `loss`.
    """

    def __init__(
        self, channels: int, pictures: int, seed: int = 0, *, rate: float = RATE, device: torch.device | None = None
    ) -> None:
        """Begin with the same weights for each picture.

        Args:
            channels: of the features.
            pictures: how many.
            seed: of the weights.
            rate: of Adam.
            device: where the features are; None is the CPU.

        Raises:
            ValueError: fewer than one channel or picture.
        """
        if pictures < 1:
            raise ValueError(f"expected 1 picture or more to judge, got {pictures}")
        self.discriminators = [PatchDiscriminator(channels, seed).to(device) for _ in range(pictures)]
        self.optimizers = [torch.optim.Adam(one.parameters(), rate, BETAS) for one in self.discriminators]

    def learn(self, features: Tensor, style: Tensor | Sequence[Tensor]) -> Tensor:
        """One step of every discriminator, from features as they are; nothing goes back into them.

        Args:
            features: (n, channels, h, w) of the pictures.
            style: (n or 1, channels, h', w'); or several such, of the style turned or scaled, all taken for real.

        Returns:
            (n,) float64: their hinge losses before the step.

        Raises:
            ValueError: not as many pictures as judges, styles of which it is not clear whose they are, or maps smaller
                than a patch.
        """
        self._require(features)
        styles = [style] if isinstance(style, Tensor) else list(style)
        if not styles:
            raise ValueError("there is no map of a style; give one or more")
        losses = []
        for index, (discriminator, optimizer) in enumerate(zip(self.discriminators, self.optimizers, strict=True)):
            reals = [_scores(discriminator, _of_picture(index, one, len(features)).detach()) for one in styles]
            loss = discriminator_hinge(torch.cat(reals, dim=1), _scores(discriminator, features[index].detach()))
            optimizer.zero_grad()
            loss.sum().backward()
            optimizer.step()
            losses.append(loss.detach())
        return torch.cat(losses)

    def loss(self, features: Tensor) -> Tensor:
        """What each picture pays, with a gradient into the features and none into the discriminators.

        Args:
            features: (n, channels, h, w).

        Returns:
            (n,) float64, `painter_hinge`.

        Raises:
            ValueError: not as many pictures as judges, or maps smaller than a patch.
        """
        self._require(features)
        losses = []
        for discriminator, own in zip(self.discriminators, features, strict=True):
            losses.append(painter_hinge(_scores(discriminator, own, frozen=True)))
        return torch.cat(losses)

    def state(self) -> dict[str, Tensor]:
        """All that a restart needs, as tensors by name, so that a safetensors file can hold it."""
        state: dict[str, Tensor] = {}
        for index, (discriminator, optimizer) in enumerate(zip(self.discriminators, self.optimizers, strict=True)):
            for name, tensor in discriminator.state_dict().items():
                state[f"{index}.weights.{name}"] = tensor.clone()
            for parameter, moments in optimizer.state_dict()["state"].items():
                for name, tensor in moments.items():
                    state[f"{index}.adam.{parameter}.{name}"] = tensor.clone()
        return state

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Go on where `state` was taken.

        Raises:
            ValueError: it is of another number of pictures, or of other discriminators.
        """
        pictures = {name.partition(".")[0] for name in state}
        if pictures != {str(index) for index in range(len(self.discriminators))}:
            raise ValueError(f"expected the state of {len(self.discriminators)} judges, got that of {len(pictures)}")
        for index, (discriminator, optimizer) in enumerate(zip(self.discriminators, self.optimizers, strict=True)):
            own = {name.partition(".")[2]: tensor for name, tensor in state.items() if name.startswith(f"{index}.")}
            weights = {name.removeprefix("weights."): own[name] for name in own if name.startswith("weights.")}
            try:
                discriminator.load_state_dict(weights)
            except RuntimeError:
                raise ValueError(
                    "the state is of judges of other features; use that of a run of the same layer and network"
                ) from None
            moments: dict[int, dict[str, Any]] = {}
            for name in own:
                if name.startswith("adam."):
                    _, parameter, what = name.split(".")
                    moments.setdefault(int(parameter), {})[what] = own[name].clone()
            optimizer.load_state_dict(optimizer.state_dict() | {"state": moments})

    def _require(self, features: Tensor) -> None:
        if len(features) != len(self.discriminators):
            raise ValueError(
                f"there are {len(self.discriminators)} judges for {len(features)} pictures; make one for each picture"
            )


def _of_picture(index: int, style: Tensor, count: int) -> Tensor:
    """The style of one picture of `count`: (c, h', w')."""
    if len(style) not in (1, count):
        raise ValueError(f"there are {len(style)} styles for {count} pictures; give one style for all, or one each")
    return style[index if len(style) == count else 0]


def _scores(discriminator: PatchDiscriminator, features: Tensor, *, frozen: bool = False) -> Tensor:
    """One picture's logits in a row: (channels, h, w) -> (1, patches). Frozen, its weights get no gradient."""
    # contiguous, since the order of a sum, and with it the last bit, may follow the memory layout
    features = features[None].contiguous()
    if not frozen:
        return discriminator(features).flatten(1)
    weights = {name: parameter.detach() for name, parameter in discriminator.named_parameters()}
    return functional_call(discriminator, weights, (features,)).flatten(1)


def _mean(values: Tensor) -> Tensor:
    """(n, ...) -> (n,)"""
    return values.flatten(1).mean(1)
