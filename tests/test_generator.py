"""The generators are the paper's to the last parameter, keep the size, and treat every picture alone."""

from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from cyclestyle.config import DiscriminatorSettings, GeneratorSettings
from cyclestyle.networks.discriminator import build_discriminator
from cyclestyle.networks.generator import (
    ResidualBlock,
    ResNetGenerator,
    UNetGenerator,
    build_generator,
    double,
    halve,
    resize_convolution,
)
from cyclestyle.networks.layers import count_parameters, initialise


def initialised(network: nn.Module, seed: int = 0, deviation: float = 0.02) -> nn.Module:
    initialise(network, torch.Generator().manual_seed(seed), deviation)
    return network.eval()


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.fixture(autouse=True)
def _without_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


# --- the paper's networks -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "count"),
    [
        ({"kind": "resnet", "blocks": 6}, 7_837_699),
        ({"kind": "resnet", "blocks": 9}, 11_378_179),
        ({"kind": "unet", "depth": 7}, 41_825_667),
        ({"kind": "unet", "depth": 8}, 54_409_603),
    ],
)
def test_the_number_of_parameters_is_the_papers(values: dict, count: int) -> None:
    with torch.device("meta"):  # counted, not filled
        network = build_generator(GeneratorSettings(width=64, **values))
    assert count_parameters(network) == count
    assert sum(value.numel() for value in network.state_dict().values()) == count  # nothing else is stored


def test_the_whole_system_has_28_285_832_parameters() -> None:
    with torch.device("meta"):
        generators = [build_generator(GeneratorSettings()) for _ in range(2)]
        discriminators = [build_discriminator(DiscriminatorSettings()) for _ in range(2)]
    assert sum(map(count_parameters, generators + discriminators)) == 28_285_832


def test_the_parameters_lie_where_the_paper_has_them() -> None:
    with torch.device("meta"):
        network = ResNetGenerator()
    assert [count_parameters(layer) for layer in network.encode if count_parameters(layer)] == [9_472, 73_856, 295_168]
    assert count_parameters(network.repaint) == 10_621_440
    assert [count_parameters(layer) for layer in network.decode if count_parameters(layer)] == [295_040, 73_792, 9_411]


def test_the_default_settings_build_the_papers_network() -> None:
    with torch.device("meta"):
        network = build_generator(GeneratorSettings())
    assert isinstance(network, ResNetGenerator)
    assert count_parameters(network) == 11_378_179


def test_every_setting_reaches_the_network() -> None:
    with torch.device("meta"):
        resize = build_generator(GeneratorSettings(width=8, blocks=2, upsampling="resize"))
        transposed = build_generator(GeneratorSettings(width=8, blocks=2))
        unet = build_generator(GeneratorSettings(kind="unet", width=8, depth=6))
    assert any(isinstance(module, nn.Upsample) for module in resize.modules())
    assert not any(isinstance(module, nn.ConvTranspose2d) for module in resize.modules())
    assert sum(isinstance(module, nn.ConvTranspose2d) for module in transposed.modules()) == 2
    assert sum(isinstance(module, ResidualBlock) for module in transposed.modules()) == 2
    assert isinstance(unet, UNetGenerator)
    assert sum(isinstance(module, nn.Conv2d) for module in unet.modules()) == 6  # halvings
    assert count_parameters(resize) == count_parameters(transposed)


# --- sizes --------------------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(rows=st.integers(2, 24), columns=st.integers(2, 24), upsampling=st.sampled_from(["transposed", "resize"]))
def test_any_size_that_4_divides_is_kept(rows: int, columns: int, upsampling: str) -> None:
    network = initialised(ResNetGenerator(width=2, blocks=1, upsampling=upsampling))
    painted = network(noise(1, 3, 4 * rows, 4 * columns))
    assert painted.shape == (1, 3, 4 * rows, 4 * columns)
    assert painted.abs().max() <= 1


@pytest.mark.parametrize("size", [(32, 32), (32, 64), (96, 32), (64, 64)])
def test_a_unet_keeps_any_size_that_its_halvings_divide(size: tuple[int, int]) -> None:
    network = initialised(UNetGenerator(width=2, depth=5))
    assert network.multiple == 32
    assert network(noise(2, 3, *size)).shape == (2, 3, *size)


@pytest.mark.parametrize("depth", [5, 7, 8])
def test_a_unet_halves_down_to_a_single_pixel(depth: int) -> None:
    network = initialised(UNetGenerator(width=1, depth=depth))
    sizes: list[int] = []
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda _module, _given, made: sizes.append(made.shape[-1]))
    network(noise(1, 3, 2**depth, 2**depth))
    assert sizes == [2**level for level in range(depth - 1, -1, -1)]


def test_halving_and_doubling_are_inverse_in_shape() -> None:
    x = noise(2, 6, 8, 12)
    assert halve(6)(x).shape == (2, 12, 4, 6)
    for upsampling in ("transposed", "resize"):
        assert double(6, upsampling)(x).shape == (2, 3, 16, 24)
        assert double(12, upsampling)(halve(6)(x)).shape == x.shape


# --- values -------------------------------------------------------------------------------------------------------

SMALL = {
    "resnet": lambda: ResNetGenerator(width=4, blocks=2),
    "resnet with resize": lambda: ResNetGenerator(width=4, blocks=2, upsampling="resize"),
    "unet": lambda: UNetGenerator(width=2, depth=5),
}


@pytest.mark.parametrize("kind", SMALL)
def test_the_output_stays_within_minus_one_and_one_and_uses_that_range(kind: str) -> None:
    painted = initialised(SMALL[kind](), deviation=1.0)(noise(1, 3, 32, 32) * 100)
    assert painted.abs().max() <= 1
    assert painted.min() < -0.9
    assert painted.max() > 0.9


@pytest.mark.parametrize("kind", SMALL)
def test_pictures_of_a_batch_do_not_see_each_other(kind: str) -> None:
    network = initialised(SMALL[kind](), deviation=0.1)
    a, b = noise(1, 3, 32, 32, seed=1), noise(1, 3, 32, 32, seed=2) * 0.1 + 0.5
    together = network(torch.cat([a, b]))
    assert torch.allclose(together, torch.cat([network(a), network(b)]), atol=1e-5)
    assert not torch.allclose(together[0], together[1], atol=1e-2)


@pytest.mark.parametrize("kind", SMALL)
def test_training_and_use_give_the_same_picture(kind: str) -> None:
    """No dropout and no running statistics."""
    network = initialised(SMALL[kind](), deviation=0.1)
    photo = noise(1, 3, 32, 32)
    assert torch.equal(network.train()(photo), network.eval()(photo))


@pytest.mark.parametrize("kind", SMALL)
def test_the_photo_itself_is_not_changed(kind: str) -> None:
    network, photo = initialised(SMALL[kind]()), noise(1, 3, 32, 32)
    network(photo)
    assert torch.equal(photo, noise(1, 3, 32, 32))


@pytest.mark.parametrize("kind", SMALL)
def test_every_weight_has_a_gradient(kind: str) -> None:
    network = initialised(SMALL[kind]())
    with torch.enable_grad():
        (network(noise(1, 3, 64, 64)) * noise(1, 3, 64, 64, seed=1)).sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        if name.endswith("weight"):
            assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("kind", SMALL)
def test_a_flat_picture_is_painted_with_finite_numbers(kind: str) -> None:
    assert torch.isfinite(initialised(SMALL[kind]())(torch.full((1, 3, 32, 32), 0.3))).all()


def test_a_residual_block_without_weights_is_the_identity() -> None:
    block = ResidualBlock(4)
    for parameter in block.parameters():
        parameter.zero_()
    x = noise(1, 4, 6, 6) - 0.5  # negative values too: nothing is cut after the sum
    assert torch.equal(block(x), x)


def test_a_residual_block_adds_something_of_variance_1() -> None:
    """Its last layer is instance norm, without a ReLU."""
    block = initialised(ResidualBlock(4), deviation=1.0)
    x = noise(1, 4, 16, 16)
    added = block(x) - x
    assert torch.allclose(added.var((2, 3), unbiased=False), torch.ones(1, 4), atol=1e-3)
    assert added.min() < -1


def test_resizing_leaves_no_checkerboard_on_a_flat_input_and_transposed_convolution_does() -> None:
    """Odena et al. 2016; looked at before instance norm, away from the border."""
    flat = torch.ones(1, 8, 10, 10)
    for upsampling, smooth in (("resize", True), ("transposed", False)):
        layers = initialised(double(8, upsampling), deviation=0.5)[:-2]
        inner = layers(flat)[..., 2:-2, 2:-2]
        ripple = (inner - inner.mean((2, 3), keepdim=True)).abs().max()
        assert (ripple < 1e-5) == smooth
        assert torch.allclose(inner[..., ::2, ::2].std((2, 3)), torch.zeros(1, 4), atol=1e-5)  # it repeats every 2


def test_resizing_keeps_a_flat_input_flat_up_to_the_border() -> None:
    made = initialised(double(8, "resize"), deviation=0.5)[:-2](torch.ones(1, 8, 4, 4))
    assert (made - made[..., :1, :1]).abs().max() < 1e-5


def test_a_unet_hands_the_finest_details_past_the_bottleneck() -> None:
    """With the level below silenced, the skip connection alone still shows where a pixel was changed."""
    network = initialised(UNetGenerator(width=4, depth=5), deviation=0.5)
    level = network.body[1]
    for parameter in level.body.parameters():
        parameter.zero_()
    photo = noise(1, 3, 32, 32)
    changed = photo.clone()
    changed[..., 20, 12] *= -1
    difference = (network(photo) - network(changed)).abs().amax((0, 1))
    rows, columns = difference.nonzero(as_tuple=True)
    # Row 20 enters rows 9 and 10 of the halved picture, and those come out at rows 17 to 22; columns likewise.
    assert (rows.min(), rows.max()) == (17, 22)
    assert (columns.min(), columns.max()) == (9, 14)


@pytest.mark.parametrize("build", [ResNetGenerator, UNetGenerator])
def test_a_residual_network_that_adds_nothing_gives_the_picture_back(build: type) -> None:
    network = build(4, 1) if build is ResNetGenerator else build(4, 5)
    residual = build(4, 1, residual=True) if build is ResNetGenerator else build(4, 5, residual=True)
    assert count_parameters(residual) == count_parameters(network)
    for parameter in residual.parameters():
        torch.nn.init.zeros_(parameter)
    images = torch.rand(2, 3, 32, 32) * 2 - 1
    assert torch.allclose(residual(images), images.clamp(-0.98, 0.98), atol=1e-6)
    for parameter in network.parameters():
        torch.nn.init.zeros_(parameter)
    assert not network(images).any()


def test_a_resize_convolution_gives_every_pixel_the_same_taps() -> None:
    layer = resize_convolution(8, 4)
    made = layer(torch.full((1, 8, 6, 6), 0.3))
    assert made.shape == (1, 4, 12, 12)
    assert (made - made[..., :1, :1]).abs().max() < 1e-6


def test_the_unet_takes_resize_convolutions_too() -> None:
    network = UNetGenerator(4, 5, "resize")
    assert not any(isinstance(module, nn.ConvTranspose2d) for module in network.modules())
    images = torch.rand(1, 3, 32, 64) * 2 - 1
    assert network(images).shape == images.shape
