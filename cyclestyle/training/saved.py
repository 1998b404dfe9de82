"""A learner as the files of a checkpoint, and back."""

from collections.abc import Callable
from importlib.metadata import version
from typing import Annotated, Any

import torch
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, ValidationError
from torch.optim import Adam

from cyclestyle.config import Section
from cyclestyle.networks.feature_discriminator import FeatureDiscriminator
from cyclestyle.networks.painter import PainterCard, painter_bytes
from cyclestyle.networks.stored import Tensors, kinds, to_bytes
from cyclestyle.settings import describe, identity
from cyclestyle.training.checkpoints import Checkpoint
from cyclestyle.training.learner import Learner

NETWORKS, OPTIMIZERS = "networks.safetensors", "optimizers.safetensors"
DIRECTIONS = {"paint": "photo to painting", "unpaint": "painting to photo"}
PACKAGES = ("cyclestyle", "torch", "accelerate", "albumentations", "pillow", "safetensors")

Files = dict[str, Callable[[], bytes]]
"""Contents by file name, made one at a time."""


class Scaler(Section):
    """The state of fp16's loss scaler."""

    scale: PositiveFloat
    growth_tracker: NonNegativeInt


class Facts(Section):
    """What a checkpoint says beside its tensors."""

    step: NonNegativeInt
    processes: PositiveInt
    precision: str
    """What `auto` came to."""
    settings: dict[str, Any]
    """By dotted name; those that may differ in a continuation are not among them."""
    pictures: dict[str, str]
    """Fingerprint of each set."""
    versions: dict[str, str]
    guard: dict[str, Annotated[float, Field(ge=0)]]
    budget: dict[str, Annotated[float, Field(ge=0)]]
    """Empty if the run's length is not given as time."""
    scaler: Scaler | None = None
    pretrained: str | None = None
    """SHA-256 of the weights that the discriminators look through; None where there are none, or of no file."""


def painters(learner: Learner) -> Files:
    """The averaged generators as files that users can paint with."""
    return {f"{name}.safetensors": lambda name=name: _painter(learner, name) for name in learner.averages}


def _painter(learner: Learner, name: str) -> bytes:
    settings = learner.settings
    card = PainterCard.model_validate(
        {
            "direction": DIRECTIONS[name],
            "generator": settings.generator,
            "side": settings.data.crop,
            "step": learner.step,
        }
    )
    return painter_bytes(learner.averages[name].network, card)


def files(learner: Learner) -> Files:
    """What a checkpoint holds: the main process writes what all share, each process what is its own."""
    own: Files = {_own_name(learner): lambda: to_bytes(_own(learner))}
    if not learner.processes.main:
        return own
    shared: Files = {NETWORKS: lambda: to_bytes(_networks(learner)), OPTIMIZERS: lambda: to_bytes(_adams(learner))}
    return own | shared | painters(learner)


def _own_name(learner: Learner) -> str:
    return f"process-{learner.processes.rank}.safetensors"


def _own(learner: Learner) -> Tensors:
    """What each process has of its own: remembered fakes, and sums of losses."""
    kept = {f"replay.{name}": memory.state() for name, memory in learner.memories.items()}
    remembered = {name: pictures for name, pictures in kept.items() if pictures is not None}
    return remembered | {f"means.{name}": value for name, value in learner.means.state().items()}


def _networks(learner: Learner) -> Tensors:
    return {f"{net}.{name}": v for net, m in learner.bare._asdict().items() for name, v in m.state_dict().items()}


def _adams(learner: Learner) -> Tensors:
    return {
        f"{of}.{place}.{name}": value
        for of, adam in learner.optimizers.items()
        for place, state in adam.state_dict()["state"].items()
        for name, value in state.items()
    }


def facts(learner: Learner) -> dict[str, Any]:
    """What a checkpoint says of a learner beside tensors; `save_checkpoint` adds the step."""
    scaler = learner.accelerator.scaler
    state = scaler.state_dict() if scaler else None
    return {
        "processes": learner.processes.count,
        "precision": learner.accelerator.mixed_precision,
        "settings": identity(learner.settings),
        "versions": {name: version(name) for name in PACKAGES},
        "guard": learner.guard.state(),
        "pretrained": _pretrained(learner),
        "scaler": state and {"scale": state["scale"], "growth_tracker": state["_growth_tracker"]},
    }


def restore(learner: Learner, checkpoint: Checkpoint) -> Facts:
    """Make a learner what was saved. Raises ValueError if it does not fit; then nothing has changed."""
    told = read_facts(checkpoint)
    if told.processes != learner.processes.count:
        raise ValueError(
            f"{checkpoint.path} was written by {told.processes} process(es), this run has "
            f"{learner.processes.count}; go on with --num_processes {told.processes}"
        )
    if told.pretrained != _pretrained(learner):
        raise ValueError(
            f"{checkpoint.path} was written by a run whose discriminators looked through other weights of "
            f"{learner.settings.discriminator.network} (SHA-256 {told.pretrained}, now {_pretrained(learner)}); give "
            "the folder of those with --discriminator.weights"
        )
    networks = checkpoint.tensors(NETWORKS, _networks(learner))
    averages = {
        name: checkpoint.tensors(f"{name}.safetensors", average.network.state_dict())
        for name, average in learner.averages.items()
    }
    adams = checkpoint.tensors(OPTIMIZERS, _adams_like(learner, checkpoint))
    own = checkpoint.tensors(_own_name(learner), _own_like(learner, checkpoint))

    for name, net in learner.bare._asdict().items():
        net.load_state_dict(_below(f"{name}.", networks))
    for name, average in learner.averages.items():
        average.network.load_state_dict(averages[name])
    for name, adam in learner.optimizers.items():
        _restore_adam(adam, _below(f"{name}.", adams))
    device = learner.accelerator.device
    for name, pictures in _below("replay.", own).items():
        learner.memories[name].restore(pictures.to(device))
    learner.means.restore({name: total.to(device) for name, total in _below("means.", own).items()})
    scaler = learner.accelerator.scaler
    if scaler is not None and told.scaler is not None:
        saved = {"scale": told.scaler.scale, "_growth_tracker": told.scaler.growth_tracker}
        scaler.load_state_dict(scaler.state_dict() | saved)
    learner.guard.restore(told.guard)
    learner.step = told.step
    return told


def _pretrained(learner: Learner) -> str | None:
    discriminator = learner.bare.painting_discriminator
    return discriminator.origin.get("sha256") if isinstance(discriminator, FeatureDiscriminator) else None


def read_facts(checkpoint: Checkpoint) -> Facts:
    """A checkpoint's facts. Raises ValueError naming what is wrong with them."""
    try:
        return Facts.model_validate(checkpoint.facts)
    except ValidationError as error:
        raise ValueError(f"{checkpoint.path} cannot be gone on from: {describe(error)}") from None


def _adams_like(learner: Learner, checkpoint: Checkpoint) -> Tensors:
    """What the optimizers' file should hold: two moments for each weight; nothing if no step was taken."""
    expected: Tensors = {}
    if not kinds(checkpoint.path / OPTIMIZERS)[0]:
        return expected
    for name, adam in learner.optimizers.items():
        weights = [weight for group in adam.param_groups for weight in group["params"]]
        for place, weight in enumerate(weights):
            expected[f"{name}.{place}.step"] = torch.empty((), dtype=torch.float32, device="meta")
            expected[f"{name}.{place}.exp_avg"] = expected[f"{name}.{place}.exp_avg_sq"] = weight
    return expected


def _own_like(learner: Learner, checkpoint: Checkpoint) -> Tensors:
    """What this process's own file should hold: how many fakes and which sums differs from step to step."""
    side, room = learner.settings.data.crop, learner.settings.objective.replay
    expected = {"means.count": torch.empty((), dtype=torch.int64, device="meta")}
    for name, kind in kinds(checkpoint.path / _own_name(learner))[0].items():
        if name.startswith("means.") and name != "means.count":
            expected[name] = torch.empty((), device="meta")
        elif name in {f"replay.{memory}" for memory in learner.memories}:
            filled = min(kind.shape[0] if kind.shape else 0, room)
            expected[name] = torch.empty((filled, 3, side, side), device="meta")
    return expected


def _below(prefix: str, tensors: Tensors) -> Tensors:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _restore_adam(adam: Adam, tensors: Tensors) -> None:
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in tensors.items():
        if not bool((value >= 0).all()) and not key.endswith(".exp_avg"):
            raise ValueError(f"an optimizer's {key} is negative or not a number")
        place, name = key.split(".", 1)
        state.setdefault(int(place), {})[name] = value
    adam.load_state_dict({"state": state, "param_groups": adam.state_dict()["param_groups"]})
