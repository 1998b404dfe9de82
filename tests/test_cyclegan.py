"""The step is the paper's: compared with a plain derivation of it, written here without the project's functions."""

import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import nn

from cyclestyle.config import (
    ComputeSettings,
    DiscriminatorSettings,
    GeneratorSettings,
    ObjectiveSettings,
    ScheduleSettings,
    Settings,
)
from cyclestyle.data.unpaired import Batch
from cyclestyle.training.cyclegan import Fakes, Networks, discriminator_losses, generator_losses, gradients
from cyclestyle.training.learner import Learner, build_networks

Gradients = dict[str, torch.Tensor]

SEED = 34
"""With it both pools of two exchange pictures often in the few steps below."""


def pictures(seed: int, count: int = 2, side: int = 16) -> torch.Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def batch_of(seed: int, count: int = 2, side: int = 16) -> Batch:
    return Batch(photos=pictures(2 * seed, count, side), paintings=pictures(2 * seed + 1, count, side))


class Constant(nn.Module):
    """A discriminator that gives every patch the same score."""

    def __init__(self, score: float) -> None:
        super().__init__()
        self.score = nn.Parameter(torch.tensor(score))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.score.expand(len(images), 1, 2, 2)


def identities(painting_score: float = 0.5, photo_score: float = 0.25) -> Networks:
    return Networks(nn.Identity(), nn.Identity(), Constant(painting_score), Constant(photo_score))


def test_generators_that_change_nothing_have_no_cycle_and_no_identity_loss() -> None:
    batch = batch_of(0)
    losses, fakes = generator_losses(identities(), batch, ObjectiveSettings())
    assert {name: loss.item() for name, loss in losses.items()} == {
        "fool/painting": 0.25,
        "fool/photo": 0.5625,
        "cycle/photo": 0.0,
        "cycle/painting": 0.0,
        "identity/painting": 0.0,
        "identity/photo": 0.0,
    }
    assert torch.equal(fakes.paintings, batch.photos)
    assert torch.equal(fakes.photos, batch.paintings)


def test_each_distance_is_of_the_pictures_and_with_the_weight_that_its_name_says() -> None:
    class Brighter(nn.Module):
        def __init__(self, by: float) -> None:
            super().__init__()
            self.by = by

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images + self.by

    nets = Networks(Brighter(0.25), Brighter(0.5), Constant(0.0), Constant(0.0))
    losses, fakes = generator_losses(nets, batch_of(0), ObjectiveSettings(cycle=10, identity=5))
    assert losses["cycle/photo"].item() == pytest.approx(7.5)
    assert losses["cycle/painting"].item() == pytest.approx(7.5)
    assert losses["identity/painting"].item() == pytest.approx(1.25)
    assert losses["identity/photo"].item() == pytest.approx(2.5)
    torch.testing.assert_close(fakes.photos, batch_of(0).paintings + 0.5)


def test_weight_zero_leaves_the_identity_terms_out_and_computes_nothing_for_them() -> None:
    calls: list[str] = []
    nets = Networks(nn.Identity(), nn.Identity(), Constant(0.0), Constant(0.0))
    nets.paint.register_forward_hook(lambda *_: calls.append("paint"))
    nets.unpaint.register_forward_hook(lambda *_: calls.append("unpaint"))
    losses, _ = generator_losses(nets, batch_of(0), ObjectiveSettings(identity=0))
    assert set(losses) == {"fool/painting", "fool/photo", "cycle/photo", "cycle/painting"}
    assert sorted(calls) == ["paint"] * 2 + ["unpaint"] * 2


def test_discriminators_are_judged_on_half_of_both_errors() -> None:
    batch = batch_of(0)
    losses = discriminator_losses(
        identities(0.5, 0.25), batch, Fakes(batch.paintings, batch.photos), ObjectiveSettings()
    )
    assert {name: loss.item() for name, loss in losses.items()} == {
        "real/painting": 0.125,
        "fake/painting": 0.125,
        "real/photo": 0.28125,
        "fake/photo": 0.03125,
    }


# The plain derivation.


def mse(scores: torch.Tensor, target: float) -> torch.Tensor:
    return ((scores - target) ** 2).mean()


def l1(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    return (one - other).abs().mean()


def plain_generators(
    nets: Networks, batch: Batch, identity: float
) -> tuple[dict[str, float], Gradients, torch.Tensor, torch.Tensor]:
    """Losses, gradients of `paint` and `unpaint`, and the fakes of one batch."""
    to_painting, to_photo, judge_painting, judge_photo = nets
    fake_painting, fake_photo = to_painting(batch.photos), to_photo(batch.paintings)
    losses = {
        "fool/painting": mse(judge_painting(fake_painting), 1),
        "fool/photo": mse(judge_photo(fake_photo), 1),
        "cycle/photo": 10 * l1(to_photo(fake_painting), batch.photos),
        "cycle/painting": 10 * l1(to_painting(fake_photo), batch.paintings),
    }
    if identity:
        losses["identity/painting"] = identity * l1(to_painting(batch.paintings), batch.paintings)
        losses["identity/photo"] = identity * l1(to_photo(batch.photos), batch.photos)
    found = plain_gradients(sum(losses.values()), {"paint": to_painting, "unpaint": to_photo})
    return {name: loss.item() for name, loss in losses.items()}, found, fake_painting.detach(), fake_photo.detach()


def plain_discriminators(
    nets: Networks, batch: Batch, painting: torch.Tensor, photo: torch.Tensor
) -> tuple[dict[str, float], Gradients]:
    """Losses and gradients of the two discriminators, given the fakes that they are shown."""
    _, _, judge_painting, judge_photo = nets
    losses = {
        "real/painting": 0.5 * mse(judge_painting(batch.paintings), 1),
        "fake/painting": 0.5 * mse(judge_painting(painting), 0),
        "real/photo": 0.5 * mse(judge_photo(batch.photos), 1),
        "fake/photo": 0.5 * mse(judge_photo(photo), 0),
    }
    nets_by_name = {"painting_discriminator": judge_painting, "photo_discriminator": judge_photo}
    return {name: loss.item() for name, loss in losses.items()}, plain_gradients(sum(losses.values()), nets_by_name)


def plain_gradients(loss: torch.Tensor, nets: dict[str, nn.Module]) -> Gradients:
    named = {f"{net}.{name}": value for net, module in nets.items() for name, value in module.named_parameters()}
    return dict(zip(named, torch.autograd.grad(loss, list(named.values())), strict=True))


class PlainPool:
    """Fills, then exchanges with probability one half, with the chances that replay.py promises for a pass."""

    def __init__(self, size: int, seed: int, domain: int) -> None:
        self.size, self.key, self.pictures = size, (seed, 0, domain), []
        self.remembered = 0

    def query(self, fresh: torch.Tensor, number: int) -> torch.Tensor:
        chances = np.random.Generator(np.random.PCG64(np.random.SeedSequence((*self.key, number, 4))))
        shown = []
        for picture in fresh:
            if len(self.pictures) < self.size:
                self.pictures.append(picture)
                shown.append(picture)
            elif chances.random() < 0.5:
                place = chances.integers(self.size)
                shown.append(self.pictures[place])
                self.pictures[place] = picture
                self.remembered += 1
            else:
                shown.append(picture)
        return torch.stack(shown)


class PlainAdam:
    """Kingma and Ba 2015, algorithm 1."""

    def __init__(self, rate: float, beta1: float, beta2: float) -> None:
        self.rate, self.beta1, self.beta2 = rate, beta1, beta2
        self.first: Gradients = {}
        self.second: Gradients = {}
        self.steps = 0

    def moves(self, found: Gradients, factor: float) -> Gradients:
        self.steps += 1
        moves = {}
        for name, gradient in found.items():
            zero = torch.zeros_like(gradient)
            self.first[name] = self.beta1 * self.first.get(name, zero) + (1 - self.beta1) * gradient
            self.second[name] = self.beta2 * self.second.get(name, zero) + (1 - self.beta2) * gradient**2
            mean = self.first[name] / (1 - self.beta1**self.steps)
            square = self.second[name] / (1 - self.beta2**self.steps)
            moves[name] = -self.rate * factor * mean / (square.sqrt() + 1e-8)
        return moves


def small(**objective: object) -> Settings:
    return Settings(
        run="nowhere",
        seed=SEED,
        generator=GeneratorSettings(width=4, blocks=1),
        discriminator=DiscriminatorSettings(width=4, layers=1),
        objective=ObjectiveSettings(**{"replay": 2} | objective),
        schedule=ScheduleSettings(steps=10),
    )


def livelier(nets: Networks) -> None:
    """Weights of a size at which every term has gradients far above the rounding errors."""
    chances = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for net in nets:
            for parameter in net.parameters():
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=chances))


def parameters_of(nets: Networks) -> dict[str, torch.Tensor]:
    return {
        f"{net}.{name}": value for net, module in nets._asdict().items() for name, value in module.named_parameters()
    }


def recorded_gradients(learner: Learner) -> Gradients:
    """Filled with the gradients that the optimizers see, at each step anew."""
    seen: Gradients = {}
    names = {id(parameter): name for name, parameter in parameters_of(learner.bare).items()}

    def note(adam: torch.optim.Optimizer, *_: object) -> None:
        for group in adam.param_groups:
            seen.update({names[id(value)]: value.grad.detach().clone() for value in group["params"]})

    for adam in learner.optimizers.values():
        adam.register_step_pre_hook(note)
    return seen


@pytest.mark.usefixtures("fresh_accelerate")
@pytest.mark.parametrize("joined", [True, False])
@pytest.mark.parametrize("identity", [5.0, 0.0])
def test_steps_equal_a_plain_derivation_of_the_papers(identity: float, joined: bool) -> None:
    from accelerate import Accelerator

    settings = small(identity=identity).model_copy(update={"compute": ComputeSettings(joined=joined)})
    learner = Learner(settings, Accelerator(cpu=True))
    livelier(learner.bare)
    plain = build_networks(settings)
    pools = {"paintings": PlainPool(2, SEED, 0), "photos": PlainPool(2, SEED, 1)}
    adams = {"paint": PlainAdam(2e-4, 0.5, 0.999), "discriminator": PlainAdam(2e-4, 0.5, 0.999)}
    seen = recorded_gradients(learner)
    factors = [1.0, 1.0, 0.75, 0.5, 0.25, 0.125]

    for step, factor in enumerate(factors):
        # Each step from the same weights: rounding errors must not add up over the steps. Pools and moments go on.
        for mine, theirs in zip(plain, learner.bare, strict=True):
            mine.load_state_dict(theirs.state_dict())
        before = {name: value.detach().clone() for name, value in parameters_of(plain).items()}
        batch = batch_of(step)

        made, moving, painting, photo = plain_generators(plain, batch, identity)
        judged, judging = plain_discriminators(
            plain, batch, pools["paintings"].query(painting, step), pools["photos"].query(photo, step)
        )
        losses, troubles = learner.take_step(iter([batch]), factor)

        assert troubles == []
        expected = moving | judging
        norms = {
            f"gradient/{name}": math.sqrt(sum(gradient.square().sum().item() for gradient in found.values()))
            for name, found in (("generators", moving), ("discriminators", judging))
        }
        told = {name: loss.item() for name, loss in losses.items()}
        assert told == pytest.approx(made | judged | norms, rel=1e-5, abs=1e-6)
        assert seen.keys() == expected.keys()
        for name, gradient in expected.items():
            torch.testing.assert_close(seen[name], gradient, rtol=1e-5, atol=1e-5)
        # of the gradients that Adam saw: biases before a norm have none but rounding, of which it makes whole steps
        moves = adams["paint"].moves({name: seen[name] for name in moving}, factor)
        moves |= adams["discriminator"].moves({name: seen[name] for name in judging}, factor)
        for name, value in parameters_of(learner.bare).items():
            torch.testing.assert_close(value.detach(), before[name] + moves[name], rtol=0, atol=1e-5, msg=name)
            assert value.grad is None  # nothing is left over for the next step
        # the moves were seen: a step is up to the rate, far above the tolerance
        assert max(move.abs().max().item() for move in moves.values()) > 1e-4 * factor

    assert pools["paintings"].remembered >= 5
    assert pools["photos"].remembered >= 5


def fixed(settings: Settings) -> Networks:
    nets = build_networks(settings)
    livelier(nets)
    return nets


def test_discriminators_learn_nothing_from_the_generators_pass() -> None:
    settings = small()
    nets = fixed(settings)
    after_each: list[Gradients] = []

    def backward(loss: torch.Tensor) -> None:
        loss.backward()
        grads = {name: p.grad for name, p in parameters_of(nets).items() if p.grad is not None}
        after_each.append({name: grad.clone() for name, grad in grads.items()})

    gradients(nets, batch_of(0), lambda fakes: fakes, settings.objective, backward)
    first, second = after_each
    # after the first pass only the generators have gradients, and the second adds nothing to them
    assert {name.split(".")[0] for name in first} == {"paint", "unpaint"}
    assert {name.split(".")[0] for name in second} == set(Networks._fields)
    assert all(torch.equal(second[name], gradient) for name, gradient in first.items())
    assert all(p.requires_grad for p in parameters_of(nets).values())


def test_discriminators_are_shown_what_is_remembered_instead_of_what_was_made() -> None:
    settings = small()
    nets = fixed(settings)
    batch, other = batch_of(0), batch_of(7)
    offered: list[Fakes] = []

    def remember(fakes: Fakes) -> Fakes:
        offered.append(fakes)
        return Fakes(paintings=other.paintings, photos=other.photos)

    losses = gradients(nets, batch, remember, settings.objective, torch.Tensor.backward)
    expected, judging = plain_discriminators(nets, batch, other.paintings, other.photos)
    assert {name: losses[name].item() for name in expected} == pytest.approx(expected, rel=1e-5)
    for name, gradient in judging.items():
        torch.testing.assert_close(parameters_of(nets)[name].grad, gradient, rtol=1e-5, atol=1e-6)
    # what it is offered is what the generators made of this batch, cut off from them
    torch.testing.assert_close(offered[0].paintings, nets.paint(batch.photos).detach())
    torch.testing.assert_close(offered[0].photos, nets.unpaint(batch.paintings).detach())
    assert not any(fakes.requires_grad for fakes in offered[0])
    assert not any(loss.requires_grad for loss in losses.values())


def test_passes_add_their_gradients_up() -> None:
    settings = small(replay=0)
    batches = [batch_of(0), batch_of(1)]

    def found(seen: Iterator[Batch]) -> Gradients:
        nets = fixed(settings)
        for batch in seen:
            gradients(nets, batch, lambda fakes: fakes, settings.objective, torch.Tensor.backward)
        return {name: value.grad for name, value in parameters_of(nets).items() if value.grad is not None}

    both, first, second = found(iter(batches)), found(iter(batches[:1])), found(iter(batches[1:]))
    assert len(both) == len(parameters_of(fixed(settings)))
    for name, gradient in both.items():
        torch.testing.assert_close(gradient, first[name] + second[name], rtol=1e-5, atol=1e-6)
