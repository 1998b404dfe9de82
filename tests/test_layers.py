"""Instance norm learns nothing and keeps pictures apart; weights begin as the paper says."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cyclestyle.networks.discriminator import PatchDiscriminator
from cyclestyle.networks.generator import ResNetGenerator, UNetGenerator
from cyclestyle.networks.layers import (
    InstanceNorm,
    Mirrored,
    ReflectionPad,
    count_parameters,
    initialise,
    mirrored_beside,
    written_out,
)

NETWORKS = {
    "resnet": lambda: ResNetGenerator(width=16, blocks=2),
    "resnet with resize": lambda: ResNetGenerator(width=16, blocks=2, upsampling="resize"),
    "unet": lambda: UNetGenerator(width=8, depth=5),
    "patch": lambda: PatchDiscriminator(width=16),
}


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def weights(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


# --- instance norm ------------------------------------------------------------------------------------------------


def test_instance_norm_has_neither_parameters_nor_statistics() -> None:
    norm = InstanceNorm(8)
    assert list(norm.parameters()) == []
    assert list(norm.buffers()) == []
    assert norm.state_dict() == {}


def test_instance_norm_gives_each_channel_of_each_picture_mean_0_and_variance_1() -> None:
    x = torch.randn(3, 4, 16, 16, generator=seeded(0)) * torch.tensor([0.5, 2, 10, 300]).view(1, 4, 1, 1) + 7
    y = InstanceNorm(4)(x)
    assert y.mean((2, 3)).abs().max() < 1e-5
    variance = y.var((2, 3), unbiased=False)
    given = x.var((2, 3), unbiased=False)
    assert torch.allclose(variance, given / (given + 1e-5), atol=1e-4)  # Ulyanov et al. 2016, equation 4


def test_instance_norm_forgets_contrast_and_brightness() -> None:
    x = torch.randn(2, 3, 12, 12, generator=seeded(1))
    assert torch.allclose(InstanceNorm(3)(5 * x - 3), InstanceNorm(3)(x), atol=1e-4)


def test_instance_norm_does_not_couple_the_pictures_of_a_batch() -> None:
    norm = InstanceNorm(3)
    a, b = torch.randn(2, 1, 3, 12, 12, generator=seeded(2))
    together = norm(torch.cat([a, 100 * b]))
    assert torch.allclose(together[:1], norm(a), atol=1e-6)


def test_instance_norm_does_the_same_in_training_and_in_use() -> None:
    norm = InstanceNorm(3)
    x = torch.randn(2, 3, 12, 12, generator=seeded(3))
    learning = norm.train()(x)
    norm(50 * x + 3)
    assert torch.equal(norm.eval()(x), learning)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 300.0])
def test_instance_norm_is_pytorchs_with_its_gradient(layout: torch.memory_format, scale: float) -> None:
    x = scale * torch.randn(2, 5, 9, 7, generator=seeded(4)) + scale
    weight = torch.randn(2, 5, 9, 7, generator=seeded(5))
    found = []
    for norm, given in ((InstanceNorm(5), x.to(memory_format=layout)), (nn.InstanceNorm2d(5), x.double())):
        leaf = given.clone().requires_grad_()
        y = norm(leaf)
        (y * weight).sum().backward()
        assert leaf.grad is not None
        found.append((y.double(), leaf.grad.double()))
    for ours, theirs in zip(*found, strict=True):
        assert (ours - theirs).abs().max() <= 2e-5 * theirs.abs().max()


def test_written_out_instance_norm_is_the_same() -> None:
    """As it is compiled; here without a compiler."""
    x = torch.randn(2, 5, 9, 7, generator=seeded(6), requires_grad=True)
    ours, theirs = written_out(x, 1e-5), InstanceNorm(5)(x)
    assert torch.allclose(ours, theirs, atol=1e-6)
    weight = torch.randn(2, 5, 9, 7, generator=seeded(7))
    gradients = [torch.autograd.grad((y * weight).sum(), x)[0] for y in (ours, theirs)]
    assert torch.allclose(*gradients, atol=1e-5)


def test_instance_norm_of_half_precision_has_statistics_in_single() -> None:
    """Values around 300, whose squares leave float16's range and whose mean needs more digits than bfloat16 has."""
    x = torch.randn(1, 3, 64, 64, generator=seeded(8)) + 300
    for dtype in (torch.bfloat16, torch.float16):
        rounded = x.to(dtype)
        for y in (InstanceNorm(3)(rounded), written_out(rounded, 1e-5)):
            assert y.dtype == dtype
            assert (y.double() - InstanceNorm(3)(rounded.double())).abs().max() < 0.05


def test_a_flat_picture_is_no_division_by_zero() -> None:
    x = torch.full((1, 3, 8, 8), 0.7, requires_grad=True)
    y = InstanceNorm(3)(x)
    y.sum().backward()
    assert y.abs().max() < 1e-3
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()


def test_the_formula_loses_no_digits_of_float64() -> None:
    x = torch.randn(2, 3, 9, 8, dtype=torch.float64, generator=seeded(0)) * 1e-3 + 5
    torch.testing.assert_close(written_out(x, 1e-5), F.instance_norm(x, eps=1e-5), rtol=1e-10, atol=1e-10)


# --- reflection ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [1, 2, 3])
@pytest.mark.parametrize("size", [(4, 4), (4, 9), (16, 5)])
def test_strips_beside_a_map_equal_reflection_in_values_and_gradients(width: int, size: tuple[int, int]) -> None:
    x = torch.randn(2, 3, *size, dtype=torch.float64, generator=seeded(0), requires_grad=True)
    expected, found = F.pad(x, (width,) * 4, mode="reflect"), mirrored_beside(x, width)
    assert torch.equal(found, expected)
    weights = torch.randn(expected.shape, dtype=torch.float64, generator=seeded(1))
    wanted, gradient = (torch.autograd.grad((y * weights).sum(), x)[0] for y in (expected, found))
    torch.testing.assert_close(gradient, wanted, rtol=1e-14, atol=1e-14)
    assert gradient.abs().max() > 1


@pytest.mark.parametrize("width", [1, 2, 3])
@pytest.mark.parametrize("size", [(4, 4), (4, 9), (16, 5)])
def test_what_the_compiler_is_given_equals_reflection_in_values_and_gradients(
    width: int, size: tuple[int, int]
) -> None:
    x = torch.randn(2, 3, *size, dtype=torch.float64, generator=seeded(0), requires_grad=True)
    expected, found = F.pad(x, (width,) * 4, mode="reflect"), Mirrored.apply(x, width)
    assert torch.equal(found, expected)
    weights = torch.randn(expected.shape, dtype=torch.float64, generator=seeded(1))
    wanted, gradient = (torch.autograd.grad((y * weights).sum(), x)[0] for y in (expected, found))
    assert torch.equal(gradient, wanted)


@pytest.mark.parametrize("width", [1, 2, 3])
def test_the_layer_pads_like_that_of_pytorch_whatever_it_is_asked_of_determinism(width: int) -> None:
    x = torch.randn(2, 3, 7, 8, generator=seeded(0))
    assert torch.equal(ReflectionPad(width)(x), nn.ReflectionPad2d(width)(x))
    assert ReflectionPad(width).state_dict() == {}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("width", [1, 3])
@pytest.mark.parametrize("beyond", [0, 1, 60])
def test_on_a_gpu_the_gradients_are_right_and_the_same_bits_every_time_where_that_is_wanted(
    width: int, beyond: int
) -> None:
    """Also of maps so small that a pixel gives to both sides, and of the next larger ones."""
    before, side = torch.are_deterministic_algorithms_enabled(), 2 * width + 1 + beyond
    x = torch.randn(8, 32, side, side, generator=seeded(0)).requires_grad_()
    weights = torch.randn(8, 32, side + 2 * width, side + 2 * width, generator=seeded(1))
    (expected,) = torch.autograd.grad((ReflectionPad(width)(x) * weights).sum(), x)
    there, weights = x.detach().cuda().requires_grad_(), weights.cuda()
    try:
        torch.use_deterministic_algorithms(True)
        grads = [torch.autograd.grad((ReflectionPad(width)(there) * weights).sum(), there)[0] for _ in range(20)]
    finally:
        torch.use_deterministic_algorithms(before)
    assert all(torch.equal(gradient, grads[0]) for gradient in grads)
    torch.testing.assert_close(grads[0].cpu(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("upsampling", "layer"), [("transposed", "0"), ("resize", "0.2")])
def test_the_names_of_a_generators_weights_are_those_of_every_painter_before(upsampling: str, layer: str) -> None:
    """Where this fails, painters that people keep can no longer be read."""
    layers = ["encode.1", "encode.4.0", "encode.5.0", "repaint.0.body.1", "repaint.0.body.5"]
    layers += [f"decode.0.{layer}", f"decode.1.{layer}", "decode.3"]
    names = [f"{name}.{kind}" for name in layers for kind in ("weight", "bias")]
    assert list(ResNetGenerator(width=2, blocks=1, upsampling=upsampling).state_dict()) == names


# --- how weights begin --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", NETWORKS)
def test_every_weight_is_drawn_from_n_0_002_and_every_bias_is_zero(kind: str) -> None:
    network = NETWORKS[kind]()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(9)
    initialise(network, seeded(0))
    drawn = []
    for name, value in network.state_dict().items():
        if name.endswith("bias"):
            assert (value == 0).all()
        else:
            drawn.append(value.flatten())
            # Four standard errors: of a mean s/sqrt(n), of a standard deviation s/sqrt(2n).
            count = value.numel()
            assert abs(value.mean()) < 4 * 0.02 / count**0.5
            assert abs(value.std() - 0.02) < 4 * 0.02 / (2 * count) ** 0.5
    everything = torch.cat(drawn) / 0.02
    count = everything.numel()
    assert count + sum(v.numel() for n, v in network.state_dict().items() if n.endswith("bias")) == count_parameters(
        network
    )
    assert abs(everything.pow(4).mean() - 3) < 4 * (96 / count) ** 0.5  # a normal distribution's kurtosis
    assert everything.abs().max() > 3.5  # not truncated


@pytest.mark.parametrize("kind", NETWORKS)
def test_the_same_seed_gives_the_same_weights_and_another_seed_others(kind: str) -> None:
    first, second, other = NETWORKS[kind](), NETWORKS[kind](), NETWORKS[kind]()
    initialise(first, seeded(4))
    torch.rand(17)  # the global state has no part in it
    initialise(second, seeded(4))
    initialise(other, seeded(5))
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name])
        if name.endswith("weight"):
            assert not torch.equal(value, other.state_dict()[name])


def test_initialising_leaves_the_global_random_state_alone() -> None:
    network = NETWORKS["patch"]()
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    initialise(network, seeded(0))
    assert torch.equal(torch.rand(3), expected)


def test_the_layers_of_a_network_begin_differently() -> None:
    network = ResNetGenerator(width=4, blocks=3)
    initialise(network, seeded(0))
    first, second, _ = (weights(block)["body.1.weight"] for block in network.repaint)
    assert not torch.equal(first, second)


def test_initialised_weights_still_learn() -> None:
    network = NETWORKS["patch"]()
    initialise(network, seeded(0))
    assert all(parameter.requires_grad and parameter.is_leaf for parameter in network.parameters())


def test_the_deviation_can_be_chosen() -> None:
    network = nn.Conv2d(64, 64, 5, bias=False)
    initialise(network, seeded(0), deviation=1.5)
    assert abs(network.weight.std().item() - 1.5) < 0.02


def test_parameters_are_counted() -> None:
    assert count_parameters(nn.Sequential(nn.Conv2d(3, 5, 7), InstanceNorm(5), nn.Conv2d(5, 1, 1, bias=False))) == (
        3 * 5 * 49 + 5 + 5
    )
