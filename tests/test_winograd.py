"""Fewer multiplications, the same convolution: for any size, and with the same weights by the same names."""

import copy

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from cyclestyle.config import GeneratorSettings
from cyclestyle.networks import winograd
from cyclestyle.networks.generator import build_generator
from cyclestyle.networks.layers import initialise
from cyclestyle.networks.winograd import INPUTS, KERNEL, RESULTS, WinogradConv, pays, with_fewer_products


def conv(channels: int, out: int, *, bias: bool = True, seed: int = 0) -> nn.Conv2d:
    torch.manual_seed(seed)
    return nn.Conv2d(channels, out, 3, bias=bias).requires_grad_(False)


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
)
def test_it_is_the_convolution_for_any_size(
    height: int, width: int, n: int, channels: tuple[int, int], bias: bool
) -> None:
    plain = conv(*channels, bias=bias, seed=height)
    x = torch.randn(n, channels[0], height, width)
    found, expected = WinogradConv(plain)(x), plain.double()(x.double())
    assert found.shape == expected.shape
    assert (found - expected).abs().max() <= 1e-5 * max(expected.abs().max(), 1)


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
            nn.Conv2d(128, 128, 3, padding=1),
            nn.Conv2d(128, 128, 3, dilation=2),
            nn.Conv2d(128, 128, 3, groups=2),
            nn.Conv2d(128, 128, 4),
            nn.Conv2d(64, 128, 3),
            nn.Conv2d(128, 3, 3),
            nn.ConvTranspose2d(128, 128, 3),
        ]
    )
    assert not any(isinstance(module, WinogradConv) for module in with_fewer_products(kinds).modules())


def test_it_is_used_where_it_was_measured_to_pay(monkeypatch: pytest.MonkeyPatch) -> None:
    for capability, expected in (("AVX2", True), ("AVX512", False), ("DEFAULT", False), ("NEON", False)):
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda capability=capability: capability)
        assert pays(torch.device("cpu")) is expected
        assert not pays(torch.device("cuda"))
