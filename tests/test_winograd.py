"""Fewer multiplications, the same convolution and the same gradients: for any size."""

import copy

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from cyclestyle.networks import fewer_products, winograd
from cyclestyle.networks.fewer_products import WinogradConv
from cyclestyle.networks.winograd import INPUTS, KERNEL, RESULTS


@pytest.fixture(autouse=True)
def whatever_the_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small maps too, which the plain convolution is faster for."""
    monkeypatch.setattr(fewer_products, "LEAST", 1)
    monkeypatch.setattr(fewer_products, "LEAST_LEARNING", 1)


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
