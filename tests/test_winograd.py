"""Fewer multiplications, the same convolution: for any size, and with the same weights by the same names."""

import copy
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from cyclestyle.config import GeneratorSettings, Settings
from cyclestyle.data.unpaired import Batch
from cyclestyle.networks import winograd
from cyclestyle.networks.generator import build_generator
from cyclestyle.networks.layers import initialise
from cyclestyle.networks.vgg import random_vgg
from cyclestyle.networks.winograd import INPUTS, KERNEL, RESULTS, WinogradConv, pays, with_fewer_products
from cyclestyle.styling.preparing import prepare
from cyclestyle.styling.recipes import StylingSettings
from cyclestyle.training.learner import Learner

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def whatever_the_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small maps too, which the plain convolution is faster for."""
    monkeypatch.setattr(winograd, "LEAST", 1)
    monkeypatch.setattr(winograd, "LEAST_LEARNING", 1)


Draw = Callable[..., list[Path]]


def conv(channels: int, out: int, *, bias: bool = True, padding: int = 0, seed: int = 0) -> nn.Conv2d:
    torch.manual_seed(seed)
    return nn.Conv2d(channels, out, 3, bias=bias, padding=padding).requires_grad_(False)


def test_its_matrices_are_exact_for_every_kernel_and_every_input() -> None:
    """Both sides are bilinear, so that the unit vectors tell all: integers, and halves to 24ths, in float64."""
    for place in range(6):
        for tap in range(3):
            unit, kernel = torch.eye(6, dtype=torch.float64)[place], torch.eye(3, dtype=torch.float64)[tap]
            found = RESULTS @ ((KERNEL @ kernel) * (INPUTS @ unit))
            expected = [float(place == result + tap) for result in range(4)]
            assert found.tolist() == pytest.approx(expected, abs=1e-14)


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(3, 40),
    width=st.integers(3, 40),
    n=st.integers(1, 3),
    channels=st.sampled_from([(1, 1), (3, 5), (16, 8)]),
    bias=st.booleans(),
    padding=st.integers(0, 1),
    layout=st.sampled_from([torch.contiguous_format, torch.channels_last]),
    moves=st.booleans(),
    learns=st.booleans(),
)
def test_it_is_the_convolution_and_its_gradients_for_any_size(
    height: int,
    width: int,
    n: int,
    channels: tuple[int, int],
    bias: bool,
    padding: int,
    layout: torch.memory_format,
    moves: bool,
    learns: bool,
) -> None:
    plain = conv(*channels, bias=bias, padding=padding, seed=height).requires_grad_(learns)
    x = torch.randn(n, channels[0], height, width).to(memory_format=layout).requires_grad_(moves)
    exact = copy.deepcopy(plain).double()
    found, expected = WinogradConv(plain)(x), exact(there := x.detach().double().requires_grad_(moves))
    assert not found._is_view()  # of which autograd would let nobody change anything in place
    assert found.shape == expected.shape
    assert found.is_contiguous(memory_format=layout) or x.is_contiguous()  # one channel is laid out both ways
    assert_near(found, expected)
    if moves or learns:
        gradient = torch.randn_like(found)
        found.backward(gradient)
        expected.backward(gradient.double())
    for mine, theirs in zip([x, *plain.parameters()], [there, *exact.parameters()], strict=True):
        assert (mine.grad is None) == (theirs.grad is None)
        if mine.grad is not None and theirs.grad is not None:
            assert_near(mine.grad, theirs.grad, 3e-5)  # that of the weights is a sum over all places


def assert_near(found: torch.Tensor, expected: torch.Tensor, off: float = 1e-5) -> None:
    assert (found - expected).abs().max() <= off * max(expected.abs().max(), 1)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("frozen", [True, False])
def test_it_is_what_it_says_to_compilers_and_autograd(layout: torch.memory_format, frozen: bool) -> None:
    fast = WinogradConv(conv(4, 6, padding=1).requires_grad_(not frozen))
    x = torch.randn(2, 4, 9, 14).to(memory_format=layout).requires_grad_()
    fast(x)
    assert (fast.kernels is not None) == frozen
    torch.library.opcheck(torch.ops.cyclestyle.winograd.default, (x, fast.weight, fast.bias, fast.kernels, 1))
    for wanted in ([True, True], [True, False], [False, True]):
        given = (torch.randn(2, 6, 9, 14), x.detach(), fast.weight.detach(), fast.kernels, 1, wanted)
        torch.library.opcheck(torch.ops.cyclestyle.winograd_backward.default, given)


def test_a_picture_in_bands_is_the_picture_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    fast, x = WinogradConv(conv(4, 6)), torch.randn(2, 4, 42, 30)
    whole = fast(x)
    for band in (1, 20, 50):
        monkeypatch.setattr(winograd, "BAND", band)
        assert torch.allclose(fast(x), whole, rtol=0, atol=1e-6)


def test_of_other_types_than_float32_it_is_the_plain_one() -> None:
    plain = conv(4, 6)
    x = torch.randn(1, 4, 10, 10)
    for kind in (torch.bfloat16, torch.float64):
        fast = WinogradConv(copy.deepcopy(plain)).to(kind)
        assert torch.equal(fast(x.to(kind)), F.conv2d(x.to(kind), plain.weight.to(kind), plain.bias.to(kind)))


@pytest.mark.parametrize("frozen", [True, False])
def test_small_maps_are_left_to_the_plain_one(monkeypatch: pytest.MonkeyPatch, frozen: bool) -> None:
    plain = conv(4, 6).requires_grad_(not frozen)
    fast, x = WinogradConv(plain), torch.randn(3, 4, 22, 14)  # 5 x 3 tiles each
    monkeypatch.setattr(winograd, "LEAST" if frozen else "LEAST_LEARNING", 45)
    assert not torch.equal(fast(x), plain(x))
    assert torch.allclose(fast(x), plain(x), rtol=0, atol=1e-5)
    monkeypatch.setattr(winograd, "LEAST" if frozen else "LEAST_LEARNING", 46)
    assert torch.equal(fast(x), plain(x))


@pytest.mark.parametrize("upsampling", ["transposed", "resize"])
def test_a_generator_with_it_paints_the_same_and_keeps_its_weights(upsampling: str) -> None:
    plain = build_generator(GeneratorSettings(width=32, blocks=2, upsampling=upsampling)).eval().requires_grad_(False)
    initialise(plain, torch.Generator().manual_seed(0))
    fast = with_fewer_products(copy.deepcopy(plain))
    assert sum(isinstance(module, WinogradConv) for module in fast.modules()) == 4  # the blocks, 128 channels each
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
            nn.Conv2d(64, 128, 3),
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


def test_style_is_transferred_with_it_and_measured_without(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, draw: Draw
) -> None:
    processor(monkeypatch, "AVX2")
    styles = draw(tmp_path, 1, size=(40, 40))
    workshop = prepare(StylingSettings(size=32), styles, CPU, random=True, show=False).workshop
    assert quick([workshop.network]) == 13  # of VGG-19's convolutions all but the first three
    assert quick([random_vgg()]) == 0


def test_it_is_used_where_it_was_measured_to_pay(monkeypatch: pytest.MonkeyPatch) -> None:
    for capability, expected in (("AVX2", True), ("AVX512", False), ("DEFAULT", False), ("NEON", False)):
        processor(monkeypatch, capability)
        assert pays(torch.device("cpu")) is expected
        assert not pays(torch.device("cuda"))
