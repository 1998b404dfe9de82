"""An objective is the sum of its terms, picture by picture, and its gradient is that of differences."""

from functools import partial
from typing import Any, get_args

import pytest
import torch
from torch import Tensor

from cyclestyle.networks.extractors import Extractor, random_network
from cyclestyle.styling.gram import gram_loss
from cyclestyle.styling.moments import Moments, moments
from cyclestyle.styling.objective import (
    ContentTerm,
    MapTerm,
    MomentTerm,
    Objective,
    PixelTerm,
    add_up,
    one_by_one,
)
from cyclestyle.styling.recipes import Convention
from cyclestyle.styling.smoothness import total_variation


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 - 1


def vgg() -> Extractor:
    # averages: at the kinks of maxima differences would be of two functions
    return random_network("vgg19-distilled", deepest="relu2_1", pooling="average").double()


def terms(network: Extractor, photos: Tensor, convention: Convention = "relative") -> dict[str, Any]:
    """One or more of each kind."""
    target = network(photos, ("relu2_1",))["relu2_1"]
    style = network(noise(1, 3, 20, 25, seed=8), network.taps)
    gram = partial(gram_loss, convention=convention, image_positions=400)
    return {
        "content": [ContentTerm("relu2_1", target, torch.arange(1.0, len(photos) + 1).double())],
        "style": [MomentTerm(tap, 2.0, gram, moments(style[tap])) for tap in network.taps],
        "maps": [MapTerm("peaks", "relu1_1", 0.5, lambda features: features.square().flatten(1).sum(1))],
        "pixels": [PixelTerm("variation", 3.0, total_variation), PixelTerm("variation", 1.0, total_variation)],
    }


def test_its_parts_are_the_weighted_terms() -> None:
    network, images, photos = vgg(), noise(2, 3, 18, 19), noise(2, 3, 18, 19, seed=1)
    made = terms(network, photos)
    found = Objective(network, **made)(images)
    features = network(images, network.taps)
    apart = (features["relu2_1"] - made["content"][0].target).square().sum((1, 2, 3))
    expected: dict[str, Tensor] = {
        "content": apart * torch.tensor([1.0, 2.0]).double(),
        "style": torch.stack([2 * gram_loss(moments(features[one.tap]), one.target) for one in made["style"]]).sum(0),
        "peaks": 0.5 * features["relu1_1"].square().sum((1, 2, 3)),
        "variation": 4 * total_variation(images),
    }
    assert found.parts.keys() == expected.keys()
    for name, part in expected.items():
        torch.testing.assert_close(found.parts[name], part, rtol=1e-12, atol=0)
        assert not found.parts[name].requires_grad
    torch.testing.assert_close(found.total, torch.stack(list(expected.values())).sum(0))


@pytest.mark.parametrize("convention", get_args(Convention))
def test_its_gradient_is_that_of_differences(convention: Convention) -> None:
    network, images = vgg(), noise(1, 3, 14, 15)
    objective = Objective(network, **terms(network, noise(1, 3, 14, 15, seed=1), convention))
    gradient = objective(images).gradient
    for place in ((0, 0, 0, 0), (0, 1, 7, 8), (0, 2, 13, 14), (0, 0, 3, 11)):
        step = torch.zeros_like(images)
        step[place] = 1e-5
        slope = (objective(images + step).total - objective(images - step).total) / 2e-5
        assert gradient[place].item() == pytest.approx(slope.item(), rel=1e-5)


def test_pictures_that_are_given_stay_as_they_are() -> None:
    network, images = vgg(), noise(1, 3, 14, 15)
    before = images.clone()
    found = Objective(network, **terms(network, images))(images)
    assert torch.equal(images, before)
    assert not images.requires_grad
    assert images.grad is None
    assert found.gradient.is_contiguous()  # though the network likes channels last


def test_pictures_of_a_batch_do_not_influence_one_another() -> None:
    network, images, photos = vgg(), noise(3, 3, 16, 17), noise(3, 3, 16, 17, seed=1)
    together = Objective(network, **terms(network, photos))(images)
    for index in range(3):
        other = images.clone()
        other[[place for place in range(3) if place != index]] *= 0.3
        changed = Objective(network, **terms(network, photos))(other)
        torch.testing.assert_close(changed.gradient[index], together.gradient[index], rtol=1e-12, atol=1e-14)
        torch.testing.assert_close(changed.total[index], together.total[index], rtol=1e-12, atol=0)


def test_one_by_one_is_each_alone_to_the_bit() -> None:
    network, images, photos = vgg(), noise(3, 3, 16, 17), noise(3, 3, 16, 17, seed=1)
    alone = [Objective(network, **terms(network, photo)) for photo in photos.split(1)]
    together = one_by_one(alone)(images)
    assert list(together.parts) == ["content", "style", "peaks", "variation"]
    for index, objective in enumerate(alone):
        own = objective(images[index : index + 1])
        assert torch.equal(together.gradient[index], own.gradient[0])
        for name, part in own.parts.items():
            assert torch.equal(together.parts[name][index], part[0])
    whole = Objective(network, **terms(network, photos))
    assert one_by_one([whole]) is whole


def test_held_pixels_have_no_gradient_and_others_theirs() -> None:
    network, images = vgg(), noise(2, 3, 16, 17)
    made = terms(network, noise(2, 3, 16, 17, seed=1))
    free = (noise(2, 1, 16, 17, seed=2) > 0).double()
    whole, some = Objective(network, **made)(images), Objective(network, **made, free=free)(images)
    assert torch.equal(some.gradient, whole.gradient * free)
    assert 0.3 < free.mean() < 0.7
    assert torch.equal(some.total, whole.total)


def test_guidance_makes_a_term_see_some_positions_alone() -> None:
    network, images = vgg(), noise(1, 3, 16, 17)
    target = terms(network, images)["style"][0].target
    left = torch.zeros(1, 1, 16, 17).double()
    left[..., :8] = 1
    term = MomentTerm("relu1_1", 1.0, gram_loss, target, left)
    found = Objective(network, style=[term])(images)
    features = network(images, ("relu1_1",))["relu1_1"][..., :8]
    torch.testing.assert_close(found.parts["style"], gram_loss(moments(features), target))
    assert not found.gradient[..., 9:].any()  # beyond what these see
    assert found.gradient[..., 8].any()


def test_no_more_of_the_network_is_asked_than_is_needed() -> None:
    network = vgg()
    asked = list[tuple[str, ...]]()

    class Listening:
        taps = network.taps

        def __call__(self, images: Tensor, taps: Any) -> dict[str, Tensor]:
            asked.append(tuple(taps))
            return network(images, taps)

    made = terms(network, noise(1, 3, 14, 15))
    Objective(Listening(), style=[made["style"][0]], maps=made["maps"])(noise(1, 3, 14, 15))
    Objective(Listening(), style=[*reversed(made["style"])], content=made["content"])(noise(1, 3, 14, 15))
    assert asked == [("relu1_1",), ("relu1_1", "relu2_1")]


def test_without_terms_nothing_pulls() -> None:
    found = Objective(vgg())(noise(2, 3, 14, 15))
    assert found.total.tolist() == [0, 0]
    assert not found.gradient.any()
    assert found.gradient.shape == (2, 3, 14, 15)


def test_terms_of_one_name_are_one_part() -> None:
    images = noise(2, 3, 4, 4)
    one, two = torch.tensor([1.0, 2.0]), torch.tensor([10.0, 20.0])
    found = add_up([("style", one), ("content", one), ("style", two)], images)
    assert list(found) == ["style", "content"]
    assert found["style"].tolist() == [11, 22]


def test_a_style_may_be_one_for_all_or_one_for_each() -> None:
    network, images = vgg(), noise(2, 3, 16, 17)
    targets = moments(network(noise(2, 3, 20, 20, seed=3), ("relu1_1",))["relu1_1"])
    each = Objective(network, style=[MomentTerm("relu1_1", 1.0, gram_loss, targets)])(images)
    for index in range(2):
        own = Moments(*(part[index : index + 1] for part in targets))
        alone = Objective(network, style=[MomentTerm("relu1_1", 1.0, gram_loss, own)])(images)
        torch.testing.assert_close(alone.parts["style"][index], each.parts["style"][index], rtol=1e-12, atol=0)
        torch.testing.assert_close(alone.gradient[index], each.gradient[index], rtol=1e-12, atol=1e-16)
