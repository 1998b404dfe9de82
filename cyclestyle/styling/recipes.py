"""What can be asked of `cyclestyle stylize`, and what each method is made of.

A method is a recipe: which network sees, at which layers, by which statistic the picture shall be like the style, how
much the photo weighs, and who does the descending. Whatever is not asked for is as the method has it.
"""

from typing import Annotated, Literal, NamedTuple, Self

from cyclopts import Parameter
from pydantic import (
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from cyclestyle.config import Section
from cyclestyle.networks.kinds import NetworkKind, Padding, Pooling, Precision

Method = Literal["gatys", "statistics", "wasserstein", "mmd", "histogram", "mrf", "mdan", "swag"]
Target = Literal["nearest", "random", "mean", "one"]
Optimizer = Literal["adam", "lbfgs", "lbfgsb"]
Colour = Literal["style", "luminance", "matched"]
VariationKind = Literal["squared", "absolute", "isotropic", "keras", "mahendran", "nine-point"]
Convention = Literal[
    "relative",
    "gatys-paper",
    "gatys-code",
    "neural-style",
    "pytorch-examples",
    "johnson",
    "magenta",
    "pystiche",
    "swag",
    "keras",
    "crowsonkb",
]
"""Whose Gram losses, by what they are divided by (gram.py)."""

TARGETS: tuple[Target, ...] = ("nearest", "random", "mean", "one")


class Layers(NamedTuple):
    """At which layers a network is asked."""

    style: tuple[str, ...]
    """Shallow to deep."""
    content: tuple[str, ...]


VGG_LAYERS = Layers(("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"), ("relu4_2",))  # Gatys et al. 2016
LAYERS: dict[NetworkKind, Layers] = {
    "vgg19": VGG_LAYERS,
    "vgg16": VGG_LAYERS,
    "vgg19-distilled": VGG_LAYERS._replace(content=("relu4_1",)),
    "alexnet": Layers(("relu1", "relu2", "relu3", "relu4", "relu5"), ("relu4",)),
    "squeezenet": Layers(("relu1", "fire3", "fire5", "fire7", "fire9"), ("fire7",)),
    "resnet18": Layers(("relu1", "layer1.1", "layer2.1", "layer3.1", "layer4.1"), ("layer3.1",)),
    "resnet50": Layers(("relu1", "layer1.2", "layer2.3", "layer3.5", "layer4.2"), ("layer3.5",)),  # Wang et al. 2021
}


class Recipe(NamedTuple):
    """A method, and what it needs."""

    told: str
    """For people, with its source."""
    network: NetworkKind = "vgg19"
    layers: slice = slice(None)
    """Which of the network's layers for the style."""
    style_weight: float = 30.0
    streams: bool = True
    """Whether its statistics are sums over positions: then pictures of any size can be made in tiles, styles mixed, and
    regions kept apart."""


METHODS: dict[Method, Recipe] = {
    "gatys": Recipe("Gram matrices (Gatys, Ecker, Bethge 2016)"),
    "statistics": Recipe("means and deviations of the channels (Li, Wang, Liu, Hou 2017)"),
    "wasserstein": Recipe("Wasserstein-2 distance of Gaussians"),
    "mmd": Recipe("maximum mean discrepancy (Li, Wang, Liu, Hou 2017)"),
    "histogram": Recipe("Gram matrices and histograms (Wilmot, Risser, Barnes 2017)", streams=False),
    "mrf": Recipe("nearest patches of features (Li, Wand 2016)", layers=slice(2, 4), style_weight=5.0, streams=False),
    "mdan": Recipe(
        "a discriminator of patches of features (MDAN; Li, Wand 2016)",
        layers=slice(2, 3),
        style_weight=0.05,  # hinges of logits, not a plain number as the others are
        streams=False,
    ),
    "swag": Recipe(
        "Gram matrices of a ResNet's features, smoothed by softmax (SWAG; Wang, Li, Vasconcelos 2021)",
        network="resnet50",
        streams=False,
    ),
}

Taps = Annotated[tuple[str, ...] | None, Parameter(negative=(), consume_multiple=True)]


class StylingSettings(Section):
    """How pictures are stylized. What is left open is as the method has it."""

    method: Method = "gatys"
    """gatys: Gram matrices. statistics: means and deviations. wasserstein: Gaussians. mmd: see `kernel`. histogram:
    Gram matrices and histograms. mrf: nearest patches. mdan: a discriminator of patches. swag: a ResNet, smoothed."""
    target: Target | None = None
    """Of a set of paintings, what a photo shall be like: the nearest in Gram space, a random one, the mean of all, or
    the one that there is. By default nearest, or one if there is only one."""
    network: NetworkKind | None = None
    """Whose features. vgg19-distilled is an approximation of VGG-19."""
    style_taps: Taps = None
    """Layers for the style. By default relu1_1 to relu5_1 of VGG, or as many of these as the weights have."""
    content_taps: Taps = None
    """Layers for the content. By default relu4_2 of VGG, or the deepest before it that the weights have."""
    pooling: Pooling = "max"
    """max as the networks were trained; average is what Gatys et al. preferred."""
    padding: Padding = "reflect"
    """Of convolutions at the picture's border; zeros, which the networks were trained with, paint a frame there."""
    content_weight: NonNegativeFloat = 1.0
    """Of the photo's features; 0 leaves it to the start."""
    style_weight: NonNegativeFloat | None = None
    """Of the style."""
    variation_weight: NonNegativeFloat = 1.0
    """Of total variation: takes off specks; 0 leaves them."""
    variation: VariationKind = "squared"
    """Which form of total variation."""
    range_weight: NonNegativeFloat = 0.0
    """Of values outside [-1, 1], which only plain L-BFGS can reach: the others stay inside."""
    convention: Convention = "relative"
    """What Gram losses are divided by. relative: by the style's own size, so that one weight does for every layer and
    network; the others are the published ones, whose weights are of other sizes."""
    kernel: Literal["linear", "polynomial", "gaussian"] = "polynomial"
    """Of mmd. gaussian: misses nothing; sees 1,024 positions at a time, others at each step."""
    histogram_weight: NonNegativeFloat = 1.0
    """Of histograms beside Gram matrices."""
    temperature: PositiveFloat = 1.0
    """Of swag's softmax."""
    optimizer: Optimizer = "adam"
    """adam: batches. lbfgs: fewest evaluations. lbfgsb: the same inside the range of colours (SciPy)."""
    steps: PositiveInt = 300
    """Evaluations at each scale."""
    precision: Precision = "fp32"
    """Of the network's convolutions. bf16: less than half of the time and memory where the hardware has it; statistics
    and pictures stay in fp32."""
    rate: PositiveFloat = 0.04
    """Adam's, where colours go from -1 to 1."""
    history: PositiveInt = 20
    """Steps that L-BFGS remembers, each as large as two pictures."""
    size: PositiveInt | None = 512
    """Longest side in pixels; larger photos are scaled down, smaller ones stay."""
    scales: Annotated[int, Field(ge=1, le=8)] = 1
    """Sizes from coarse to fine, each 1.41 times the one before: large strokes first."""
    style_scale: PositiveFloat = 1.0
    """Longest side of the style against the photo's: smaller gives finer strokes. Never enlarged."""
    start: Literal["photo", "noise", "style"] = "photo"
    """photo, grey noise, or noise with the style's colours."""
    colour: Colour = "style"
    """style: as it comes. luminance: the photo's colours, the style's brightness. matched: the style is first given
    the photo's palette."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Of whatever is drawn."""

    @field_validator("style_taps", "content_taps", mode="before")
    @classmethod
    def _with_commas(cls, taps: object) -> object:
        """relu1_1,relu2_1 is two."""
        if isinstance(taps, (list, tuple)) and all(isinstance(tap, str) for tap in taps):
            named = tuple(part for tap in taps for part in tap.split(",") if part)
            if not named:
                raise ValueError("no layer is named; leave it out for the usual ones")
            return named
        return taps

    @model_validator(mode="after")
    def _can_be(self) -> Self:
        whole = not METHODS[self.method].streams or self.draws
        if self.target == "mean" and whole:
            raise ValueError(f"target = mean: {self.method} looks at whole pictures, not at means; give another target")
        if self.method == "mdan" and self.optimizer != "adam":
            raise ValueError(
                f"optimizer = {self.optimizer}: the discriminator of mdan learns on the way; only adam can follow"
            )
        if self.draws and self.optimizer != "adam":
            raise ValueError(
                f"optimizer = {self.optimizer}: the Gaussian kernel sees other positions at each step; only adam can "
                "follow"
            )
        if self.method == "swag" and self.convention != "relative":
            raise ValueError(
                f"convention = {self.convention}: swag's maps are smoothed to a mean of one, and its weights are those "
                "of relative; leave the convention out"
            )
        if self.target == "mean" and self.colour != "style":
            raise ValueError(f"target = mean: colour = {self.colour} needs one painting per photo; give another target")
        return self

    @property
    def recipe(self) -> Recipe:
        """What is used for what is left open."""
        return METHODS[self.method]

    @property
    def seen_by(self) -> NetworkKind:
        """The network that is asked."""
        return self.network or self.recipe.network

    @property
    def draws(self) -> bool:
        """Whether it compares positions that are drawn, pair by pair."""
        return self.method == "mmd" and self.kernel == "gaussian"

    @property
    def streams(self) -> bool:
        """Whether all statistics are sums over positions."""
        return self.recipe.streams and not self.draws
