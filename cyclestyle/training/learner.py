"""All that changes while a run learns, in one place: built from settings, saved, restored, moved one step on."""

from collections.abc import Iterator
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn
from torch.optim import Adam

from cyclestyle.config import Settings
from cyclestyle.data.unpaired import Batch
from cyclestyle.networks.discriminator import bound_spectrally, build_discriminator
from cyclestyle.networks.generator import build_generator
from cyclestyle.networks.layers import initialise
from cyclestyle.training.average import Average
from cyclestyle.training.checkpoints import Checkpoint, Tensors
from cyclestyle.training.cyclegan import Fakes, Losses, Networks, gradients
from cyclestyle.training.means import Means
from cyclestyle.training.replay import Replay


class Learner:
    """Four networks, two optimizers, two averages, two memories, and the number of steps they have taken."""

    def __init__(self, settings: Settings, accelerator: Accelerator) -> None:
        self.settings, self.accelerator = settings, accelerator
        self.bare = build_networks(settings)
        self.averages = {
            "paint": Average(self.bare.paint, settings.compute.average),
            "unpaint": Average(self.bare.unpaint, settings.compute.average),
        }
        for average in self.averages.values():
            average.network.to(accelerator.device)
        # One by one: under DDP each network needs a reducer of its own, since not all take part in each backward pass.
        self.nets = Networks(*(accelerator.prepare(network) for network in self.bare))
        # The optimizers are not prepared: Accelerate would step its one loss scaler after each of the two (fp16).
        self.optimizers = {
            "generators": self._adam(self.bare.generators, settings.optimizer.learning_rate),
            "discriminators": self._adam(
                self.bare.discriminators,
                settings.optimizer.discriminator_learning_rate or settings.optimizer.learning_rate,
            ),
        }
        rank, size = accelerator.process_index, settings.objective.replay
        self.memories = {
            "paintings": Replay(size, settings.seed, rank, 0),
            "photos": Replay(size, settings.seed, rank, 1),
        }
        self.means = Means()
        self.step = 0

    @property
    def pairs(self) -> int:
        """Photos, and as many paintings, that a step learns from, over all processes."""
        return self.settings.data.batch * self.settings.compute.accumulate * self.accelerator.num_processes

    def is_finite(self) -> bool:
        """Whether all weights, the averaged ones too, are finite numbers."""
        networks = [*self.bare, *(average.network for average in self.averages.values())]
        return all(bool(parameter.isfinite().all()) for network in networks for parameter in network.parameters())

    def _adam(self, networks: tuple[nn.Module, nn.Module], learning_rate: float) -> Adam:
        optimizer = self.settings.optimizer
        parameters = [parameter for network in networks for parameter in network.parameters()]
        adam = Adam(parameters, lr=learning_rate, betas=(optimizer.beta1, optimizer.beta2))
        for group in adam.param_groups:
            group["initial_lr"] = learning_rate
        return adam

    def take_step(self, batches: Iterator[Batch], factor: float) -> Losses:
        """One update of all networks from the next batch (or batches, if accumulating).

        The learning rates are their initial ones times `factor`. Returns the mean losses, which `means` takes in too.
        """
        total: Losses = {}
        passes = self.settings.compute.accumulate
        for part in range(passes):
            batch = Batch(*(images.to(self.accelerator.device, non_blocking=True) for images in next(batches)))
            number = self.step * passes + part
            # One context around everything: with two, Accelerate would count each pass twice.
            with self.accelerator.accumulate(*self.nets):
                losses = gradients(
                    self.nets,
                    batch,
                    lambda fakes, number=number: self._remember(fakes, number),
                    self.settings.objective,
                    self.accelerator.backward,
                )
            total = {name: total.get(name, 0.0) + loss / passes for name, loss in losses.items()}
        self._descend(factor)
        self.step += 1
        for name, average in self.averages.items():
            average.update(getattr(self.bare, name), self.step)
        self.means.add(total)
        return total

    def _remember(self, fakes: Fakes, number: int) -> Fakes:
        return Fakes(
            paintings=self.memories["paintings"].exchange(fakes.paintings, number),
            photos=self.memories["photos"].exchange(fakes.photos, number),
        )

    def _descend(self, factor: float) -> None:
        """Update all four networks, with one update of the loss scaler (fp16) for the two optimizers."""
        scaler = self.accelerator.scaler
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * factor
            if scaler is None:
                optimizer.step()
            else:
                scaler.step(optimizer)
            optimizer.zero_grad(set_to_none=True)
        if scaler is not None:
            scaler.update()

    def tensors(self) -> dict[str, Tensors]:
        """What a checkpoint holds, by file: the main process writes the networks, each process what is its own."""
        rank = self.accelerator.process_index
        remembered = {name: state for name, memory in self.memories.items() if (state := memory.state()) is not None}
        files: dict[str, Tensors] = {f"replay-{rank}": remembered, f"means-{rank}": self.means.state()}
        if self.accelerator.is_main_process:
            files |= {name: dict(net.state_dict()) for name, net in self.bare._asdict().items()}
            files |= {f"average-{name}": dict(average.network.state_dict()) for name, average in self.averages.items()}
            files |= {f"adam-{name}": _adam_tensors(adam) for name, adam in self.optimizers.items()}
        return files

    def facts(self) -> dict[str, Any]:
        """What a checkpoint holds beside tensors."""
        scaler = self.accelerator.scaler
        return {"processes": self.accelerator.num_processes, "scaler": scaler.state_dict() if scaler else None}

    def restore(self, checkpoint: Checkpoint) -> None:
        """Become what was saved. Raises ValueError if it was saved by another number of processes."""
        processes = checkpoint.facts["processes"]
        if processes != self.accelerator.num_processes:
            raise ValueError(
                f"{checkpoint.path} was written by {processes} process(es), this run has "
                f"{self.accelerator.num_processes}; go on with --num_processes {processes}"
            )
        for name, net in self.bare._asdict().items():
            net.load_state_dict(checkpoint.tensors(name))
        for name, average in self.averages.items():
            average.network.load_state_dict(checkpoint.tensors(f"average-{name}"))
        for name, adam in self.optimizers.items():
            _restore_adam(adam, checkpoint.tensors(f"adam-{name}"))
        remembered = checkpoint.tensors(f"replay-{self.accelerator.process_index}")
        for name, pictures in remembered.items():
            self.memories[name].restore(pictures.to(self.accelerator.device))
        sums = checkpoint.tensors(f"means-{self.accelerator.process_index}")
        self.means.restore({name: total.to(self.accelerator.device) for name, total in sums.items()})
        if self.accelerator.scaler is not None and checkpoint.facts["scaler"]:
            self.accelerator.scaler.load_state_dict(checkpoint.facts["scaler"])
        self.step = checkpoint.facts["step"]


def build_networks(settings: Settings) -> Networks:
    """The four networks with their initial weights, which follow from the seed alone."""
    nets = Networks(
        paint=build_generator(settings.generator),
        unpaint=build_generator(settings.generator),
        painting_discriminator=build_discriminator(settings.discriminator),
        photo_discriminator=build_discriminator(settings.discriminator),
    )
    chances = torch.Generator().manual_seed(settings.seed)
    for network in nets:
        initialise(network, chances)
    if settings.discriminator.spectral_norm:
        # The power iteration starts from torch's own generator: let it follow from the seed, alike on every process.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            for discriminator in nets.discriminators:
                bound_spectrally(discriminator)
    return nets


def _adam_tensors(adam: Adam) -> Tensors:
    return {
        f"{place}.{name}": value for place, state in adam.state_dict()["state"].items() for name, value in state.items()
    }


def _restore_adam(adam: Adam, tensors: Tensors) -> None:
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in tensors.items():
        place, name = key.split(".", 1)
        state.setdefault(int(place), {})[name] = value
    adam.load_state_dict({"state": state, "param_groups": adam.state_dict()["param_groups"]})
