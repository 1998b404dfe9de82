"""Fewer products for convolutions that gain by it, on processors that do; the weights and their names stay."""

import copy
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from torch import nn

from cyclestyle.config import GeneratorSettings, Settings
from cyclestyle.data.unpaired import Batch
from cyclestyle.evaluation.asking import Asked, open_eyes
from cyclestyle.evaluation.measuring import Folders
from cyclestyle.networks import fewer_products
from cyclestyle.networks.fewer_products import WinogradConv, pays, with_fewer_products
from cyclestyle.networks.generator import build_generator
from cyclestyle.networks.layers import initialise
from cyclestyle.styling.preparing import prepare
from cyclestyle.styling.recipes import StylingSettings
from cyclestyle.training.learner import Learner

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def whatever_the_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small maps too, which the plain convolution is faster for."""
    monkeypatch.setattr(fewer_products, "LEAST", 1)
    monkeypatch.setattr(fewer_products, "LEAST_LEARNING", 1)


Draw = Callable[..., list[Path]]


@pytest.mark.parametrize("frozen", [True, False])
def test_small_maps_are_left_to_the_plain_one(monkeypatch: pytest.MonkeyPatch, frozen: bool) -> None:
    plain = nn.Conv2d(4, 6, 3).requires_grad_(not frozen)
    x = torch.randn(3, 4, 22, 14, generator=torch.Generator().manual_seed(0))  # 5 x 3 tiles each
    fast = WinogradConv(plain)
    monkeypatch.setattr(fewer_products, "LEAST" if frozen else "LEAST_LEARNING", 45)
    assert not torch.equal(fast(x), plain(x))
    assert torch.allclose(fast(x), plain(x), rtol=0, atol=1e-4)
    monkeypatch.setattr(fewer_products, "LEAST" if frozen else "LEAST_LEARNING", 46)
    assert torch.equal(fast(x), plain(x))


@pytest.mark.parametrize("upsampling", ["transposed", "resize"])
def test_a_generator_with_it_paints_the_same_and_keeps_its_weights(upsampling: str) -> None:
    plain = build_generator(GeneratorSettings(width=32, blocks=2, upsampling=upsampling)).eval().requires_grad_(False)
    initialise(plain, torch.Generator().manual_seed(0))
    fast = with_fewer_products(copy.deepcopy(plain))
    expected = 4 + (upsampling == "resize")  # the blocks, 128 channels each; and where 64 become of them
    assert sum(isinstance(module, WinogradConv) for module in fast.modules()) == expected
    assert fast.state_dict().keys() == plain.state_dict().keys()
    for name, value in plain.state_dict().items():
        assert torch.equal(fast.state_dict()[name], value)
    x = torch.rand(1, 3, 48, 36) * 2 - 1
    assert torch.allclose(fast(x), plain(x), rtol=0, atol=1e-4)  # 0.013 of 255 levels


def test_other_convolutions_stay() -> None:
    kinds = nn.ModuleList(
        [
            nn.Conv2d(128, 128, 3, stride=2),
            nn.Conv2d(128, 128, 3, padding=2),
            nn.Conv2d(128, 128, 3, padding="same"),
            nn.Conv2d(128, 128, 3, dilation=2),
            nn.Conv2d(128, 128, 3, groups=2),
            nn.Conv2d(128, 128, 4),
            nn.Conv2d(48, 128, 3),
            nn.Conv2d(64, 64, 3),
            nn.Conv2d(128, 3, 3),
            nn.ConvTranspose2d(128, 128, 3),
        ]
    )
    assert not any(isinstance(module, WinogradConv) for module in with_fewer_products(kinds).modules())


def processor(monkeypatch: pytest.MonkeyPatch, capability: str) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)


def learner(**compute: Any) -> Learner:
    settings = Settings.model_validate(
        {
            "run": "nowhere",
            "data": {"crop": 16, "resize": 16},
            "generator": {"width": 64, "blocks": 1, "upsampling": "resize"},
            "discriminator": {"width": 4, "layers": 1},
            "schedule": {"steps": 40},
            "compute": {"mixed_precision": "no"} | compute,
        }
    )
    return Learner(settings, Accelerator(cpu=True))


def quick(networks: Iterable[nn.Module]) -> int:
    return sum(isinstance(module, WinogradConv) for network in networks for module in network.modules())


@pytest.mark.usefixtures("fresh_accelerate")
def test_a_run_that_asks_for_it_learns_the_same_on_processors_that_gain_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    processor(monkeypatch, "AVX2")
    plain, other = learner(), learner(winograd="auto")
    assert quick(plain.bare) == 0
    assert quick(other.bare) == 4  # two in the one block of each generator; those of 128 channels stay
    assert quick(average.network for average in other.averages.values()) == 0  # their weights change without learning
    for mine, theirs in zip(plain.bare, other.bare, strict=True):
        assert [name for name, _ in mine.named_parameters()] == [name for name, _ in theirs.named_parameters()]
    photos, paintings = torch.rand(2, 1, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    losses = [one.take_step(iter([Batch(photos, paintings)]), 1.0).losses for one in (plain, other)]
    for name, loss in losses[0].items():
        off = 1e-3 if name.startswith("gradient/") else 1e-5  # of which rounding decides where a ReLU begins
        assert losses[1][name].item() == pytest.approx(loss.item(), rel=off)
    processor(monkeypatch, "AVX512")
    assert quick(learner(winograd="auto").bare) == 0


def test_style_is_transferred_and_pictures_are_measured_with_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, draw: Draw
) -> None:
    processor(monkeypatch, "AVX2")
    styles = draw(tmp_path, 1, size=(40, 40))
    workshop = prepare(StylingSettings(size=32), styles, CPU, random=True, show=False).workshop
    assert quick([workshop.network]) == 14  # of VGG-19's convolutions all but the first two
    images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    vectors = []
    for capability, expected in (("AVX512", 0), ("AVX2", 11)):
        processor(monkeypatch, capability)
        eyes = open_eyes(Asked(Folders(tmp_path, tmp_path, tmp_path), tmp_path, random=True), CPU)
        assert quick([eyes.vgg]) == expected
        vectors.append(eyes.look(images)[0])
    assert 0 < (vectors[1] - vectors[0]).norm() < 3e-5 * vectors[0].norm()


def test_it_is_used_where_it_was_measured_to_pay(monkeypatch: pytest.MonkeyPatch) -> None:
    for capability, expected in (("AVX2", True), ("AVX512", False), ("DEFAULT", False), ("NEON", False)):
        processor(monkeypatch, capability)
        assert pays(torch.device("cpu")) is expected
        assert not pays(torch.device("cuda"))
