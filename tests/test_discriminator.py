"""The discriminators judge patches of exactly the sizes that the paper names."""

from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import nn

from cyclestyle.config import DiscriminatorSettings
from cyclestyle.networks.discriminator import (
    PatchDiscriminator,
    PixelDiscriminator,
    bound_spectrally,
    build_discriminator,
)
from cyclestyle.networks.layers import InstanceNorm, count_parameters, initialise

# (layers, side of the patch, distance between patches, first row that score 0 sees: less than 0, so in the padding)
FIELDS = [(1, 16, 2, -5), (2, 34, 4, -11), (3, 70, 8, -23)]


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=seeded(seed)) * 2 - 1


def without_norms(network: nn.Module) -> nn.Module:
    """Instance norm looks at the whole picture; without it a score depends on its patch alone."""
    for module in network.modules():
        for name, child in module.named_children():
            if isinstance(child, InstanceNorm):
                setattr(module, name, nn.Identity())
    return network


def seen_by(network: nn.Module, side: int, row: int, column: int) -> torch.Tensor:
    """Where a score's gradient with respect to the picture is not zero: (side, side) of bool."""
    images = noise(1, 3, side, side).double().requires_grad_()
    network.double()(images)[0, 0, row, column].backward()
    assert images.grad is not None
    return images.grad.abs().sum((0, 1)) > 0


@pytest.mark.parametrize(("layers", "field", "stride", "start"), FIELDS)
def test_a_score_sees_exactly_its_patch(layers: int, field: int, stride: int, start: int) -> None:
    network = without_norms(PatchDiscriminator(width=2, layers=layers))
    initialise(network, seeded(0), deviation=0.3)
    row, column = 12, 10
    seen = seen_by(network, 180, row, column)
    top, left = stride * row + start, stride * column + start
    expected = torch.zeros(180, 180, dtype=torch.bool)
    expected[top : top + field, left : left + field] = True
    assert expected.sum() == field * field  # nothing of it lies outside the picture
    assert torch.equal(seen, expected)


def test_with_instance_norm_a_score_sees_more_than_its_patch() -> None:
    """So the test above would fail if it left the norms in."""
    network = PatchDiscriminator(width=2)
    initialise(network, seeded(0), deviation=0.3)
    assert seen_by(network, 128, 6, 6).sum() > 70 * 70


def test_a_256_pixel_picture_gets_30x30_scores() -> None:
    assert PatchDiscriminator(width=2)(noise(2, 3, 256, 256)).shape == (2, 1, 30, 30)


@pytest.mark.parametrize(("layers", "side"), [(1, 126), (2, 62), (3, 30), (4, 14), (5, 6), (6, 2)])
def test_the_number_of_scores_follows_from_the_layers(layers: int, side: int) -> None:
    assert PatchDiscriminator(width=1, layers=layers)(noise(1, 3, 256, 256)).shape == (1, 1, side, side)


@pytest.mark.parametrize(("layers", "count"), [(1, 136_385), (2, 662_977), (3, 2_764_737)])
def test_the_number_of_parameters_is_the_papers(layers: int, count: int) -> None:
    with torch.device("meta"):
        network = PatchDiscriminator(width=64, layers=layers)
    channels = [3, *(64 * 2 ** min(layer, 3) for layer in range(layers + 1)), 1]
    by_hand = sum(16 * a * b + b for a, b in pairwise(channels))
    assert count_parameters(network) == by_hand
    assert count_parameters(network) == count


def test_the_parameters_lie_where_the_paper_has_them() -> None:
    with torch.device("meta"):
        network = PatchDiscriminator()
    counts = [count_parameters(layer) for layer in network.body if count_parameters(layer)]
    assert counts == [3_136, 131_200, 524_544, 2_097_664, 8_193]


def test_deep_ones_stop_at_eight_times_the_width() -> None:
    network = PatchDiscriminator(width=2, layers=6)
    assert max(layer.out_channels for layer in network.body if isinstance(layer, nn.Conv2d)) == 16


def test_the_first_layer_is_not_normalised() -> None:
    kinds = [type(layer) for layer in PatchDiscriminator(width=2).body]
    assert kinds[:2] == [nn.Conv2d, nn.LeakyReLU]
    assert kinds.count(InstanceNorm) == 3
    assert all(layer.negative_slope == 0.2 for layer in PatchDiscriminator().body if isinstance(layer, nn.LeakyReLU))


def test_scores_are_not_squashed() -> None:
    """No sigmoid and no tanh at the end: the last layer is linear in its weights."""
    network = PatchDiscriminator(width=4)
    images = noise(1, 3, 64, 64)
    with torch.no_grad():
        before = network(images)
        network.body[-1].weight.mul_(1000)
        network.body[-1].bias.mul_(1000)
        after = network(images)
    assert torch.allclose(after, 1000 * before, rtol=1e-4, atol=1e-2)
    assert after.abs().max() > 10


@pytest.mark.parametrize("network", [PatchDiscriminator(width=4), PixelDiscriminator(width=4)])
def test_pictures_of_a_batch_do_not_see_each_other(network: nn.Module) -> None:
    a, b = noise(1, 3, 64, 48, seed=1), noise(1, 3, 64, 48, seed=2) * 0.1 + 0.5
    with torch.no_grad():
        together = network(torch.cat([a, b]))
        assert torch.allclose(together, torch.cat([network(a), network(b)]), atol=1e-5)


# --- pixels -------------------------------------------------------------------------------------------------------


def test_the_pixel_discriminator_scores_every_pixel() -> None:
    assert PixelDiscriminator(width=4)(noise(2, 3, 20, 28)).shape == (2, 1, 20, 28)


def test_the_pixel_discriminator_sees_one_pixel() -> None:
    network = without_norms(PixelDiscriminator(width=4))
    seen = seen_by(network, 20, 7, 11)
    assert seen.nonzero().tolist() == [[7, 11]]


def test_the_pixel_discriminator_does_not_care_where_a_pixel_is() -> None:
    network, images = PixelDiscriminator(width=4).double(), noise(1, 3, 8, 8).double()
    order = torch.randperm(64, generator=seeded(0))
    shuffled = images.flatten(2)[..., order].view(1, 3, 8, 8)
    with torch.no_grad():
        scores, of_shuffled = network(images), network(shuffled)
    assert torch.allclose(scores.flatten(2)[..., order], of_shuffled.flatten(2))


def test_the_pixel_discriminator_has_the_known_number_of_parameters() -> None:
    assert count_parameters(PixelDiscriminator(64)) == (3 * 64 + 64) + (64 * 128 + 128) + (128 + 1) == 8_705


def test_settings_choose_the_discriminator() -> None:
    with torch.device("meta"):
        assert isinstance(build_discriminator(DiscriminatorSettings(kind="pixel")), PixelDiscriminator)
        assert count_parameters(build_discriminator(DiscriminatorSettings(kind="pixel", width=8))) == 193
        patch = build_discriminator(DiscriminatorSettings(width=8, layers=2))
    assert isinstance(patch, PatchDiscriminator)
    assert sum(isinstance(layer, nn.Conv2d) for layer in patch.body) == 4
    assert patch.body[0].out_channels == 8
    assert count_parameters(build_discriminator(DiscriminatorSettings())) == 2_764_737


# --- spectral norm ------------------------------------------------------------------------------------------------


def largest_singular_values(network: nn.Module) -> list[float]:
    return [
        torch.linalg.matrix_norm(module.weight.detach().flatten(1), ord=2).item()
        for module in network.modules()
        if isinstance(module, nn.Conv2d)
    ]


@pytest.mark.parametrize("build", [lambda: PatchDiscriminator(width=8), lambda: PixelDiscriminator(width=8)])
@pytest.mark.parametrize("deviation", [0.02, 5.0])
def test_spectral_norm_brings_every_largest_singular_value_to_one(
    build: Callable[[], nn.Module], deviation: float
) -> None:
    network = build()
    initialise(network, seeded(0), deviation)
    assert all(abs(value - 1) > 0.1 for value in largest_singular_values(network))
    torch.manual_seed(0)
    bound_spectrally(network)
    network.train()
    with torch.no_grad():
        for _ in range(30):
            network(noise(1, 3, 32, 32))
    values = largest_singular_values(network)
    assert len(values) == (5 if isinstance(network, PatchDiscriminator) else 3)
    assert values == pytest.approx([1.0] * len(values), abs=0.03)


def test_spectral_norm_leaves_the_direction_of_the_weights() -> None:
    network = PatchDiscriminator(width=4)
    initialise(network, seeded(0))
    before = network.body[2].weight.detach().clone()
    bound_spectrally(network)
    after = network.body[2].weight.detach()
    assert torch.allclose(after / after.norm(), before / before.norm(), atol=1e-6)


def test_in_use_spectral_norm_changes_nothing_from_one_call_to_the_next() -> None:
    network = PatchDiscriminator(width=4)
    bound_spectrally(network)
    network.eval()
    images = noise(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(network(images), network(images))


def test_spectral_norm_has_as_many_parameters_as_before() -> None:
    network = PatchDiscriminator(width=4)
    before = count_parameters(network)
    bound_spectrally(network)
    assert count_parameters(network) == before
