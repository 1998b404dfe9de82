"""All that changes while a run learns, in one place: built from settings, moved one step on (saved by saved.py)."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from accelerate import Accelerator
from torch import nn
from torch.optim import Adam

from cyclestyle.config import Settings
from cyclestyle.data.unpaired import Batch
from cyclestyle.networks.discriminator import bound_spectrally, build_discriminator, pretrained
from cyclestyle.networks.feature_discriminator import FeatureDiscriminator
from cyclestyle.networks.fewer_products import FEWEST_LEARNING, pays, with_fewer_products
from cyclestyle.networks.generator import ResNetGenerator, build_generator
from cyclestyle.networks.layers import initialise
from cyclestyle.processes import Processes
from cyclestyle.training.average import Average
from cyclestyle.training.compiling import compiled
from cyclestyle.training.cyclegan import Fakes, Losses, Networks, Remember, gradients
from cyclestyle.training.feed import Feed
from cyclestyle.training.guard import GRADIENT, Guard, Trouble
from cyclestyle.training.means import Means
from cyclestyle.training.recorded import Recorded, RecordedPass, cannot_record
from cyclestyle.training.replay import Replay


class Taken(NamedTuple):
    """What came of a step."""

    losses: Losses
    troubles: list[Trouble]
    """Why it was skipped, on any process; empty if it was taken."""


class Learner:
    """Four networks, two optimizers, two averages, two memories, and the number of steps they have taken."""

    def __init__(self, settings: Settings, accelerator: Accelerator, processes: Processes | None = None) -> None:
        self.settings, self.accelerator = settings, accelerator
        self.processes = processes or Processes.join()
        with self.processes.all_or_none():  # where pretrained weights are wanted, a machine may lack them
            self.bare = build_networks(settings)
        self.averages = {
            "paint": Average(self.bare.paint, settings.compute.average),
            "unpaint": Average(self.bare.unpaint, settings.compute.average),
        }
        for average in self.averages.values():
            average.network.to(accelerator.device)
        if settings.compute.winograd == "auto" and pays(accelerator.device):
            for generator in self.bare.generators:  # not the averages, whose weights seem frozen and are not
                with_fewer_products(generator, FEWEST_LEARNING)
        # One by one: under DDP each network needs a reducer of its own, since not all take part in each backward pass.
        self.nets = Networks(*(accelerator.prepare(network) for network in self.bare))
        self.notes: list[str] = []
        """Sentences on what was asked for and cannot be had here."""
        if settings.compute.compile:
            self.notes += compiled(self.bare, accelerator.device)
        recording = settings.compute.graph and self._can_record()
        # The optimizers are not prepared: Accelerate would step its one loss scaler after each of the two (fp16).
        self.optimizers = {
            "generators": self._adam(self.bare.generators, settings.optimizer.learning_rate, recording),
            "discriminators": self._adam(
                self.bare.discriminators,
                settings.optimizer.discriminator_learning_rate or settings.optimizer.learning_rate,
                recording,
            ),
        }
        rank, size = accelerator.process_index, settings.objective.replay
        self.memories = {
            "paintings": Replay(size, settings.seed, rank, 0),
            "photos": Replay(size, settings.seed, rank, 1),
        }
        self.recorded = RecordedPass(self._gradients, self.memories) if recording else None
        self.recorded_update = Recorded(self._update) if recording else None
        self.means = Means()
        self.guard = Guard(settings.compute.patience)
        self.step = 0

    @property
    def pairs(self) -> int:
        """Photos, and as many paintings, that a step learns from, over all processes."""
        return self.settings.data.pairs * self.settings.compute.accumulate * self.accelerator.num_processes

    def not_finite(self) -> list[str]:
        """The networks, averages and optimizers that hold numbers which are not finite."""
        held: dict[str, list[torch.Tensor]] = {
            name: list(net.state_dict().values()) for name, net in self.bare._asdict().items()
        }
        held |= {f"average of {name}": list(a.network.state_dict().values()) for name, a in self.averages.items()}
        held |= {f"optimizer of the {name}": _moments(adam) for name, adam in self.optimizers.items()}
        held |= {f"memory of {n}": [m] for n, memory in self.memories.items() if (m := memory.state()) is not None}
        held["means"] = list(self.means.state().values())
        scaler = self.accelerator.scaler
        if scaler is not None:  # 0 has no inverse
            held["loss scaler"] = [1 / torch.tensor(scaler.get_scale()), torch.tensor(scaler.get_scale())]
        return [name for name, tensors in held.items() if not all(bool(tensor.isfinite().all()) for tensor in tensors)]

    def _adam(self, networks: tuple[nn.Module, nn.Module], learning_rate: float, recording: bool) -> Adam:
        optimizer = self.settings.optimizer
        parameters = [parameter for network in networks for parameter in network.parameters()]
        # Recorded, the rate has to be a tensor, which the graph reads.
        rate = torch.tensor(learning_rate, device=self.accelerator.device) if recording else learning_rate
        betas = (optimizer.beta1, optimizer.beta2)
        adam = Adam(parameters, lr=rate, betas=betas, fused=True, capturable=recording)
        for group in adam.param_groups:
            group["initial_lr"] = learning_rate
        adam._warned_capturable_if_run_uncaptured = True  # as it is while a recording is prepared
        return adam

    def _can_record(self) -> bool:
        accelerator = self.accelerator
        precision, passes = accelerator.mixed_precision, self.settings.compute.accumulate
        why = cannot_record(accelerator.device, accelerator.num_processes, passes, precision)
        if why:
            self.notes.append(f"steps are not recorded as CUDA graphs: {why}")
        return why is None

    def take_step(self, batches: Iterator[Batch], factor: float) -> Taken:
        """One update of all networks from the next batch (or batches, if accumulating).

        The learning rates are their initial ones times `factor`. If anything is not finite on any process, the step is
        counted but changes no weight, average or memory on any of them. Otherwise `means` takes in its mean losses.
        """
        total: Losses = {}
        passes = self.settings.compute.accumulate
        for part in range(passes):
            batch = next(batches).to(self.accelerator.device)
            number = self.step * passes + part
            # One context around everything: with two, Accelerate would count each pass twice.
            with self.accelerator.accumulate(*self.nets):
                losses = self.recorded(batch, number) if self.recorded else self._pass(batch, number)
            total = {name: total.get(name, 0.0) + loss / passes for name, loss in losses.items()}
        total |= self._gradient_norms()
        if isinstance(batches, Feed):
            batches.ahead()  # a GPU is at work now; from `_look` on it waits for the next step
        troubles = self._look(total)
        if troubles:
            self._skip(troubles)
        else:
            self._descend(factor)
            self.means.add(total)
            for memory in self.memories.values():
                memory.settle()
        self.step += 1
        if not troubles:
            for name, average in self.averages.items():
                average.update(getattr(self.bare, name), self.step)
        return Taken(total, troubles)

    def _pass(self, batch: Batch, number: int) -> Losses:
        def remember(fakes: Fakes) -> Fakes:
            return Fakes(
                paintings=self.memories["paintings"].exchange(fakes.paintings, number),
                photos=self.memories["photos"].exchange(fakes.photos, number),
            )

        return self._gradients(batch, remember)

    def _gradients(self, batch: Batch, remember: Remember) -> Losses:
        settings, backward = self.settings, self.accelerator.backward
        joined = settings.compute.joined and not settings.compute.checkpointing  # larger batches take more memory
        return gradients(self.nets, batch, remember, settings.objective, backward, joined=joined)

    def _gradient_norms(self) -> Losses:
        """The norm of all gradients of each optimizer, scaled back (fp16).

        It overflows where Adam's squares would, so a finite norm is safe to step with.
        """
        scaler, norms = self.accelerator.scaler, {}
        for name, optimizer in self.optimizers.items():
            if scaler is not None:
                scaler.unscale_(optimizer)
            found = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
            norms[GRADIENT + name] = nn.utils.get_total_norm(found)
        return norms

    def _look(self, numbers: Losses) -> list[Trouble]:
        """What is wrong on any process; the same list on all."""
        plain = dict(zip(numbers, torch.stack(list(numbers.values())).tolist(), strict=True))
        scaler = self.accelerator.scaler
        troubles = self.guard.look(plain, scaler.get_scale() if scaler else None)
        if any(self.processes.most(bool(troubles))):
            return sorted(set(self.processes.collect(troubles)))
        self.guard.take(plain)
        return []

    def _skip(self, troubles: list[Trouble]) -> None:
        self.guard.skip(troubles)
        for memory in self.memories.values():
            memory.take_back()
        self._forget_gradients()
        if self.accelerator.scaler is not None:
            self.accelerator.scaler.update()  # lowers the scale for what `unscale_` found

    def _descend(self, factor: float) -> None:
        """Update all four networks, with one update of the loss scaler (fp16) for the two optimizers."""
        rates = [factor * adam.param_groups[0]["initial_lr"] for adam in self.optimizers.values()]
        if self.accelerator.device.type == "cuda":  # what is recorded reads them in float32: the same bits without it
            rates = torch.tensor(rates).tolist()
        if self.recorded_update is None:
            self._update(*rates)
        else:
            self.recorded_update(*torch.tensor(rates).to(self.accelerator.device, non_blocking=True))
        if self.accelerator.scaler is not None:
            self.accelerator.scaler.update()
        self._forget_gradients()

    def _update(self, *rates: float | torch.Tensor) -> None:
        scaler = self.accelerator.scaler
        for optimizer, rate in zip(self.optimizers.values(), rates, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = rate
            if scaler is None:
                optimizer.step()
            else:
                scaler.step(optimizer)

    def _forget_gradients(self) -> None:
        """So that the next ones are not added to them. A recorded pass writes over them, always in the same place."""
        if self.recorded is None or not self.recorded.is_recorded:
            for optimizer in self.optimizers.values():
                optimizer.zero_grad(set_to_none=True)


def build_networks(settings: Settings) -> Networks:
    """The four networks with their initial weights, which follow from the seed alone."""
    seeing = pretrained(settings.discriminator)
    nets = Networks(
        paint=build_generator(settings.generator),
        unpaint=build_generator(settings.generator),
        painting_discriminator=build_discriminator(settings.discriminator, seeing),
        photo_discriminator=build_discriminator(settings.discriminator, seeing),
    )
    judge, crop = nets.painting_discriminator, settings.data.crop
    if isinstance(judge, FeatureDiscriminator) and judge.least > crop:
        raise ValueError(
            f"data.crop ({crop}) should be at least {judge.least} for discriminators of features through "
            f"{settings.discriminator.network}"
        )
    for generator in nets.generators:
        if settings.compute.checkpointing and isinstance(generator, ResNetGenerator):
            generator.checkpointed = True
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


def _moments(adam: Adam) -> list[torch.Tensor]:
    return [value for state in adam.state.values() for value in state.values()]
