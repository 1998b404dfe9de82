"""Every setting of a training run, typed, frozen, with its help text.

Files in `configs/` hold values only, in TOML; the command line wins over the file. The docstring below a field is what
`cyclestyle train --help` prints. Sizes are in pixels, widths in channels.
"""

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from cyclopts import Parameter
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)


class Section(BaseModel):
    """A frozen group of settings that refuses names it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _no_empty_path(cls, given: Any) -> Any:
        """Which would be the folder where one is."""
        for name, field in cls.model_fields.items():
            is_path = Path in (field.annotation, *get_args(field.annotation))
            if is_path and isinstance(given, dict) and given.get(name) == "":
                raise ValueError(f"{name} is empty; give a path, or leave it out")
        return given


class DataSettings(Section):
    """Which pictures are learnt from, and how they are cut."""

    folder: Path | None = None
    """Folder that holds both sets: `photos/` + `paintings/`, `monet_jpg/` + `photo_jpg/` or `trainA/` + `trainB/`."""
    photos: Path | None = None
    """Folder of photos, where the two sets do not lie in one `folder`."""
    paintings: Path | None = None
    """Folder of paintings."""
    augmentation: Literal["paper", "flip", "zoom", "none"] = "paper"
    """paper: scale to `resize`, cut out `crop`, mirror half of them. flip: scale to `crop`, mirror half.
    zoom: cut out 50 to 100 % of the area, scale to `crop`, mirror half. none: scale to `crop`."""
    resize: PositiveInt = 286
    """Side to which pictures are scaled before the crop (`paper`)."""
    crop: Annotated[int, Field(ge=16, multiple_of=4)] = 256
    """Side of the square that the networks see."""
    batch: PositiveInt | Literal["auto"] = 1
    """Pairs per device and pass. The paper's is 1; the learning rate is not scaled with it. auto: as many as the device
    is fastest with, found by trying before the first step."""
    workers: NonNegativeInt = 2
    """Processes that load pictures which are not cached, per device. They change nothing but the speed."""
    cache: str = "auto"
    """Decode and scale pictures once and keep them below CYCLESTYLE_CACHE (else ~/.cache): `auto` takes at most 4 GB
    and half of the free disk, or give a size such as 10GB; `off`: read the files each time. Changes nothing but the
    speed."""

    @field_validator("cache")
    @classmethod
    def _is_a_size(cls, given: str) -> str:
        cache_limit(given)
        return given

    @field_validator("batch", mode="before")
    @classmethod
    def _is_a_batch(cls, given: object) -> object:
        number = int(given) if isinstance(given, str) and given.isdigit() else given
        if number != "auto" and (not isinstance(number, int) or number < 1):
            raise ValueError("should be 1 or more, or auto")
        return number

    @property
    def pairs(self) -> int:
        """Pairs per device and pass, once `auto` has been settled."""
        assert self.batch != "auto"  # training/trial.py comes first
        return self.batch

    @model_validator(mode="after")
    def _crop_fits(self) -> Self:
        if self.augmentation == "paper" and self.resize < self.crop:
            raise ValueError(f"resize ({self.resize}) is smaller than crop ({self.crop})")
        return self


def cache_limit(given: str) -> int | None:
    """Bytes that `10GB` allows; None for `auto`, 0 for `off`. Raises ValueError for anything else."""
    if given in {"auto", "off"}:
        return None if given == "auto" else 0
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*gb", given.strip().lower())
    if match is None or not float(match[1]):
        raise ValueError("should be auto, off or a size such as 10GB")
    return round(float(match[1]) * 10**9)


class GeneratorSettings(Section):
    """The network that paints, and its twin that goes the other way."""

    kind: Literal["resnet", "unet"] = "resnet"
    """resnet: Johnson's, the paper's. unet: with skip connections, as in pix2pix."""
    width: PositiveInt = 64
    """Channels after the first layer; all others follow from it."""
    blocks: PositiveInt = 9
    """Residual blocks (resnet): the paper has 6 for 128 px and 9 for 256 px."""
    depth: Annotated[int, Field(ge=5, le=10)] = 8
    """Halvings (unet): 7 for 128 px, 8 for 256 px."""
    upsampling: Literal["transposed", "resize"] = "transposed"
    """Transposed convolution (the paper's) or nearest-neighbour resize and convolution (no checkerboard)."""
    residual: bool = False
    """Let the network make a change to the picture rather than the picture: sharp from the first step, so for short
    trainings; the paper's networks make the picture."""


class DiscriminatorSettings(Section):
    """The network that tells real pictures from made ones."""

    kind: Literal["patch", "pixel", "features"] = "patch"
    """patch: judges overlapping patches. pixel: judges each pixel alone. features: judges what a pretrained network
    sees at several depths (Sauer et al. 2021), and patches beside it: textures are learnt several times sooner."""
    width: PositiveInt = 64
    """Channels after the first layer; with `features`, the patches have half of them."""
    layers: Annotated[int, Field(ge=1, le=6)] = 3
    """Halving layers (patch, features): 1 sees 16x16 pixels, 2 sees 34x34, 3 sees 70x70 (the paper's)."""
    network: Literal["vgg19", "vgg16", "vgg19-distilled", "alexnet", "squeezenet", "resnet18", "resnet50", "random"] = (
        "squeezenet"
    )
    """Through which `features` looks. random: a seeded VGG that was never trained, if no weights can be had."""
    weights: Path | None = None
    """Folder of its weights; else CYCLESTYLE_WEIGHTS, torch's cache, or a download."""
    spectral_norm: bool = False
    """Bound each layer's Lipschitz constant (Miyato et al. 2018)."""


class ObjectiveSettings(Section):
    """What the networks minimise."""

    adversarial: Literal["lsgan", "hinge", "vanilla"] = "lsgan"
    """Least squares (the paper's), hinge, or binary cross-entropy."""
    cycle: NonNegativeFloat = 10.0
    """Weight of the L1 distance between a picture and its round trip."""
    identity: NonNegativeFloat = 5.0
    """Weight of the L1 distance between a painting and its own repainting, likewise for photos. 0: off."""
    replay: NonNegativeInt = 50
    """Made pictures remembered for the discriminators, per domain and process. 0: none."""


class OptimizerSettings(Section):
    """Adam, twice: one for both generators, one for both discriminators."""

    learning_rate: PositiveFloat = 2e-4
    """Of the generators, and of the discriminators unless they have their own."""
    discriminator_learning_rate: PositiveFloat | None = None
    """Of the discriminators."""
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.5
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.999


class ScheduleSettings(Section):
    """How long, and how the learning rate falls: constant, then linearly towards zero at the end.

    Give the length in epochs, in steps or as a budget of time. An epoch is every photo once; a step is one update of
    all networks.
    """

    epochs: PositiveFloat | None = None
    """Length in epochs."""
    decay_epochs: NonNegativeFloat | None = None
    """How many of them, at the end, with a falling learning rate. Half, unless given."""
    steps: PositiveInt | None = None
    """Length in steps."""
    decay_steps: NonNegativeInt | None = None
    """How many of them, at the end, with a falling learning rate. Half, unless given."""
    budget: Annotated[str | None, Parameter(name=("--budget", "--schedule.budget"))] = None
    """Length as wall-clock time, all in all, as in 4h40m: the learning rate falls to zero in time for all photos to be
    painted and zipped before it is over."""

    @field_validator("budget")
    @classmethod
    def _is_a_time(cls, given: str | None) -> str | None:
        if given is not None:
            seconds(given)
        return given

    @model_validator(mode="after")
    def _one_unit(self) -> Self:
        in_epochs = (self.epochs, self.decay_epochs) != (None, None)
        in_steps = (self.steps, self.decay_steps) != (None, None)
        if in_epochs + in_steps + (self.budget is not None) > 1:
            raise ValueError("give the length in epochs, in steps or as a budget, not in two of them")
        if self.budget is not None:
            return self
        length, decay = (self.steps, self.decay_steps) if in_steps else (self.epochs, self.decay_epochs)
        if length is None:
            raise ValueError("how long? give epochs, steps or a budget")
        if decay is not None and decay > length:
            raise ValueError(f"the decay ({decay:g}) is longer than the whole ({length:g})")
        return self


_TIME = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m(?:in)?)?(?:(\d+(?:\.\d+)?)s)?")


def seconds(given: str) -> float:
    """`4h40m`, `90m`, `1.5h`, `45s` in seconds. Raises ValueError for anything else, and for no time at all."""
    match = _TIME.fullmatch(given.strip().lower().replace(" ", ""))
    parts = [float(part or 0) for part in match.groups()] if match else [0.0]
    total = sum(part * unit for part, unit in zip(parts, (3600, 60, 1), strict=False))
    if total <= 0:
        raise ValueError("should be a time such as 4h40m, 90m or 45s")
    return total


class ComputeSettings(Section):
    """How the hardware is used."""

    mixed_precision: Literal["auto", "no", "fp16", "bf16"] = "auto"
    """auto: bf16 on a GPU that has it, else no. Losses and statistics stay in fp32."""
    exact: bool = True
    """Compute the same bits every time, on GPUs too, where some operations are faster if their order is left to
    chance. A run that was killed then ends like one that never stopped."""
    joined: bool = True
    """Send pictures that go through the same network together: the same mathematics in fewer operations, and more
    memory; not with `checkpointing`."""
    compile: bool = False
    """Compile the networks (torch.compile): a minute or two before the first step. Later ones are faster on CPUs with
    AVX2, by a tenth or two, and keep less; elsewhere `--plan` tells."""
    winograd: Literal["auto", "no"] = "no"
    """auto: on CPUs that gain by it (with AVX2, without AVX-512), the 3 x 3 convolutions of 256 channels and more by
    Winograd's algorithm, which multiplies a quarter as often. The same mathematics; sums are rounded differently, as
    between two processors."""
    checkpointing: bool = False
    """Compute the layers of a resnet a second time on the way back instead of keeping what they made: less than half
    of the memory, a fifth more time; `--plan` tells how much."""
    graph: bool = False
    """Record a step as CUDA graphs after a few: on one GPU, where one pair at a time leaves it waiting."""
    patience: PositiveInt = 10
    """Steps in a row that may be skipped because something in them is not a finite number; then the run stops."""
    accumulate: PositiveInt = 1
    """Passes per step; the batch of a step is data.batch x accumulate x processes."""
    average: Annotated[float, Field(ge=0, lt=1)] = 0.999
    """Decay of the averaged generators (EMA), which are what a run hands over. It warms up; 0: the last weights."""


class ReportSettings(Section):
    """What is written while training. Changes nothing of what is learnt."""

    log_every: PositiveInt = 50
    """Steps between two lines of metrics.jsonl (means over the steps between)."""
    sample_every: PositiveInt = 1000
    """Steps between two sheets of samples: the same pictures every time."""
    samples: PositiveInt = 4
    """Photos and paintings on a sheet."""
    checkpoint_every: PositiveInt = 1000
    """Steps between two checkpoints; one is always written at the end."""
    keep: Annotated[int, Field(ge=1)] = 2
    """Last checkpoints kept, besides the best; older ones are removed once a newer one is safe."""
    judge: NonNegativeInt = 32
    """Photos painted at each checkpoint to see how near the paintings they come (which checkpoint is the best?) and
    whether something has gone wrong. 0: none."""


class EvaluationSettings(Section):
    """How painters are measured on the way with a pretrained network: KID of painted photos against paintings.

    Test pictures are used where the data has them. `cyclestyle evaluate` measures the rest.
    """

    every: NonNegativeFloat = 0.0
    """Epochs between two measurements of the averaged and the last weights, each with a checkpoint; the one that came
    nearest is kept. 0: none."""
    pictures: Annotated[int, Field(ge=10)] = 100
    """Photos painted each time."""
    network: Literal["inception", "vgg19", "random"] = "inception"
    """Whose features are compared. random: a seeded network that was never trained, if no weights can be had."""
    weights: Path | None = None
    """Folder of its weights; else CYCLESTYLE_WEIGHTS, torch's cache, or a download."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Of the network's convolutions. bf16: for quick curves, where the hardware has it; `cyclestyle evaluate` always
    takes fp32."""


class Settings(Section):
    """A whole training run."""

    run: Path
    """Folder of the run; made if missing. If it holds an unfinished run, training goes on from its last checkpoint."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Everything random follows from it."""
    data: DataSettings = DataSettings()
    generator: GeneratorSettings = GeneratorSettings()
    discriminator: DiscriminatorSettings = DiscriminatorSettings()
    objective: ObjectiveSettings = ObjectiveSettings()
    optimizer: OptimizerSettings = OptimizerSettings()
    schedule: ScheduleSettings
    compute: ComputeSettings = ComputeSettings()
    report: ReportSettings = ReportSettings()
    evaluation: EvaluationSettings = EvaluationSettings()

    @model_validator(mode="after")
    def _crop_suits_the_networks(self) -> Self:
        crop, depth, layers = self.data.crop, self.generator.depth, self.discriminator.layers
        if self.compute.checkpointing and self.generator.kind != "resnet":
            raise ValueError(
                "compute.checkpointing is for generator.kind = resnet; a U-Net needs little memory as it is"
            )
        if self.generator.kind == "unet" and crop % 2**depth:
            raise ValueError(f"data.crop ({crop}) should be a multiple of {2**depth} for a U-Net of depth {depth}")
        # The last normalised map has crop / 2^layers - 1 values a side, and one alone has no variance.
        if self.discriminator.kind in {"patch", "features"} and crop // 2**layers < 3:
            raise ValueError(
                f"data.crop ({crop}) should be at least {3 * 2**layers} for a discriminator of {layers} layers"
            )
        return self
