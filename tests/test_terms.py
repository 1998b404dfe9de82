"""Terms are what their settings say, in units of what features of nothing would lose; and every method descends."""

from functools import partial
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from cyclestyle.networks.extractors import Extractor, random_network
from cyclestyle.styling.descent import adam
from cyclestyle.styling.gallery import Chosen, Gallery
from cyclestyle.styling.gram import gram_loss
from cyclestyle.styling.kernel_mmd import Draws, gaussian_mmd, pair_distance
from cyclestyle.styling.mdan import Judge
from cyclestyle.styling.moments import Moments, moments
from cyclestyle.styling.mrf import mrf_loss
from cyclestyle.styling.objective import Objective
from cyclestyle.styling.recipes import METHODS, Layers, Method, StylingSettings
from cyclestyle.styling.statistics import content_loss
from cyclestyle.styling.terms import (
    content_terms,
    judged_terms,
    map_terms,
    moment_terms,
    pixel_terms,
    style_weight,
)
from cyclestyle.styling.workshop import Order, Workshop

BOTH = Layers(("relu1_1", "relu2_1"), ("relu2_1",))
BY_MOMENTS = [("gatys", {}), ("statistics", {}), ("wasserstein", {}), ("mmd", {"kernel": "linear"}), ("mmd", {})]


def noise(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype) * 2 - 1


@pytest.fixture(scope="module")
def network() -> Extractor:
    """Averages: at the kinks of maxima differences would be of two functions."""
    return random_network("vgg19-distilled", deepest="relu2_1", pooling="average").double()


def asked(method: Any = "gatys", **others: Any) -> StylingSettings:
    return StylingSettings.model_validate({"method": method, "network": "vgg19-distilled"} | others)


def targets_of(network: Extractor, images: Tensor) -> dict[str, Moments]:
    return {tap: moments(features) for tap, features in network(images, BOTH.style).items()}


# --- content ------------------------------------------------------------------------------------------------------


def test_content_is_the_mean_over_layers_of_relative_distances(network: Extractor) -> None:
    photos, images = noise(2, 3, 20, 22), noise(2, 3, 20, 22, seed=1)
    layers = Layers(("relu1_1",), ("relu1_1", "relu2_1"))
    found = Objective(network, content_terms(network, photos, layers, asked(content_weight=4.0)))(images)
    own, wanted = network(images, layers.content), network(photos, layers.content)
    expected = sum(2 * content_loss(own[tap], wanted[tap]) for tap in layers.content)
    torch.testing.assert_close(found.parts["content"], expected, rtol=1e-12, atol=0)


def test_features_of_nothing_lose_the_content_weight(network: Extractor) -> None:
    terms = content_terms(network, noise(2, 3, 20, 22), BOTH, asked(content_weight=7.0))
    assert sum(term(torch.zeros_like(term.target)) for term in terms).tolist() == pytest.approx([7, 7])  # type: ignore[union-attr]
    assert sum(term(term.target) for term in terms).tolist() == [0, 0]  # type: ignore[union-attr]


def test_without_weight_nobody_asks_for_content(network: Extractor) -> None:
    def unasked(images: Tensor, taps: Any) -> dict[str, Tensor]:
        raise AssertionError("nobody needs features")

    assert content_terms(unasked, noise(1, 3, 20, 22), BOTH, asked(content_weight=0)) == []


# --- style --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "others"), BY_MOMENTS)
def test_features_of_nothing_lose_the_style_weight(network: Extractor, method: Any, others: Any) -> None:
    targets = targets_of(network, noise(1, 3, 30, 31))
    for weight, expected in ((None, METHODS[method].style_weight), (3.0, 3.0)):
        terms = moment_terms(asked(method, style_weight=weight, **others), BOTH, targets, 400)
        assert [term.tap for term in terms] == ["relu1_1", "relu2_1"]
        none = [
            Moments(torch.zeros_like(term.target.mean), torch.zeros_like(term.target.second), term.target.positions)
            for term in terms
        ]
        lost = [(term.weight * term.loss(own, term.target)).item() for term, own in zip(terms, none, strict=True)]
        assert lost == pytest.approx([expected / 2, expected / 2])
        kept = [term.loss(term.target, term.target).item() for term in terms]
        assert kept == pytest.approx([0, 0], abs=1e-12)


def test_methods_by_moments_are_different_distances(network: Extractor) -> None:
    targets = targets_of(network, noise(1, 3, 30, 31))
    own = targets_of(network, 0.5 * noise(1, 3, 20, 22, seed=1))["relu2_1"]
    found = [
        moment_terms(asked(method, **others), BOTH, targets, 400)[1].loss(own, targets["relu2_1"]).item()
        for method, others in BY_MOMENTS
    ]
    assert len({round(value, 6) for value in found}) == len(BY_MOMENTS)
    gram = gram_loss(own, targets["relu2_1"])
    assert found[0] == pytest.approx(gram.item())


def test_conventions_reach_the_loss(network: Extractor) -> None:
    """Keras's with the pixels of the photo, not those of the layer."""
    targets = targets_of(network, noise(1, 3, 30, 31))
    own = targets_of(network, noise(1, 3, 20, 22, seed=1))["relu2_1"]
    (_, term) = moment_terms(asked(convention="keras"), BOTH, targets, 440)
    expected = gram_loss(own, targets["relu2_1"], "keras", 440)
    assert term.loss(own, term.target).item() == pytest.approx(expected.item(), rel=1e-12)
    (_, usual) = moment_terms(asked(), BOTH, targets, 440)
    assert usual.loss(own, term.target).item() != pytest.approx(expected.item(), rel=0.1)


def test_guidance_goes_to_its_layer(network: Extractor) -> None:
    targets = targets_of(network, noise(1, 3, 30, 31))
    weights = {"relu2_1": torch.rand(1, 1, 10, 11)}
    terms = moment_terms(asked(), BOTH, targets, 400, weights)
    assert terms[0].guidance is None
    assert terms[1].guidance is weights["relu2_1"]


# --- whole maps ---------------------------------------------------------------------------------------------------


def test_map_terms_compare_each_picture_with_its_own_style(network: Extractor) -> None:
    """Whose maps may have other sizes than the next one's."""
    features = network(noise(2, 3, 26, 28), BOTH.style)
    styles = [network(noise(1, 3, size, size, seed=size), BOTH.style) for size in (24, 30)]
    for method, expected in {
        "mrf": partial(mrf_loss, stride=2),
        "mmd": lambda own, style: gaussian_mmd(own, style, bandwidth=pair_distance(style, style)),
    }.items():
        draws = [{tap: Draws(seed) for tap in BOTH.style} for seed in (5, 6)]  # of maps so small, all positions
        terms = map_terms(asked(method, kernel="gaussian", style_weight=8.0), BOTH, styles, draws)
        assert [(term.name, term.tap, term.weight) for term in terms] == [
            ("style", "relu1_1", 4.0),
            ("style", "relu2_1", 4.0),
        ]
        for term in terms:
            found = term.loss(features[term.tap])
            for index, style in enumerate(styles):
                alone = expected(features[term.tap][index : index + 1], style[term.tap])
                assert found[index].item() == pytest.approx(alone.item(), rel=1e-9)
            assert torch.equal(term.loss(features[term.tap]), found)  # the same function each time


def test_a_gaussian_kernel_comes_near_the_style_at_all_positions_not_only_where_it_looks() -> None:
    """Of which there are nine times as many as are compared at a time."""
    network, layers = random_network("vgg19", deepest="relu1_1"), Layers(("relu1_1",), ())
    coarse = (noise(1, 3, 12, 12, seed=seed, dtype=torch.float32) for seed in (1, 2))
    photo, style = (F.interpolate(one, (96, 96), mode="bicubic") for one in coarse)
    seen = network(style.clamp(-0.5, 1), layers.style)
    wanted = asked("mmd", kernel="gaussian", style_weight=1.0, variation_weight=0.0)
    objective = Objective(network, maps=map_terms(wanted, layers, [seen], [{"relu1_1": Draws(3)}]))
    (style,), width = seen.values(), pair_distance(*seen.values(), *seen.values())

    def left(images: Tensor) -> float:
        (found,) = network(images, layers.style).values()
        return gaussian_mmd(found, style, bandwidth=width, positions=None, unbiased=True).item()

    made, _ = adam(photo.clamp(-1, 1), objective, 60, lambda step: None, rate=0.04, state=None)
    assert left(made) < 0.3 * left(photo)


def test_histograms_are_at_their_layers_or_at_the_first(network: Extractor) -> None:
    styles = [network(noise(1, 3, 24, 24), network.taps)]
    wanted = asked("histogram", style_weight=6.0, histogram_weight=0.5)
    (term,) = map_terms(wanted, BOTH, styles, [])
    assert (term.name, term.tap, term.weight) == ("histogram", "relu1_1", 3.0)
    (term,) = map_terms(wanted, Layers(("relu2_1",), ()), styles, [])
    assert (term.tap, term.weight) == ("relu2_1", 3.0)
    two = map_terms(wanted, Layers(("relu1_1", "relu2_1", "relu4_1"), ()), styles, [])
    assert [(one.tap, one.weight) for one in two] == [("relu1_1", 1.5), ("relu4_1", 1.5)]


def test_judges_learn_a_step_each_time_and_their_own_picture_alone() -> None:
    layers = Layers(("relu1_1",), ())
    features, style = noise(2, 8, 12, 12, dtype=torch.float32).relu(), noise(2, 8, 14, 13, seed=1).float().relu()
    styles = [{"relu1_1": one} for one in style.split(1)]
    judges = [{"relu1_1": Judge(8, 1, seed)} for seed in (1, 2)]
    before = [judge["relu1_1"].state() for judge in judges]
    (term,) = judged_terms(asked("mdan", style_weight=5.0), layers, styles, judges)
    assert (term.name, term.weight) == ("style", 5.0)
    first, second = term.loss(features), term.loss(features)
    assert first.shape == (2,)
    assert not torch.equal(first, second)
    for index, seed in enumerate((1, 2)):
        alone = Judge(8, 1, seed)
        assert all(torch.equal(one, before[index][name]) for name, one in alone.state().items())
        for found in (first, second):
            alone.learn(features[index : index + 1], style[index : index + 1])
            assert torch.equal(alone.loss(features[index : index + 1])[0], found[index])


# --- pixels -------------------------------------------------------------------------------------------------------


def test_pixel_terms_are_those_that_have_a_weight() -> None:
    assert [term.name for term in pixel_terms(asked())] == ["variation"]
    assert pixel_terms(asked(variation_weight=0.0)) == []
    terms = pixel_terms(asked(variation_weight=2.0, variation="absolute", range_weight=3.0))
    assert [(term.name, term.weight) for term in terms] == [("variation", 2.0), ("range", 3.0)]
    steps = torch.tensor([0.0, 1.0, 0.0, 1.0]).expand(1, 3, 4, 4)
    squared = pixel_terms(asked(variation_weight=1.0))[0].loss(0.5 * steps)
    assert squared != terms[0].loss(0.5 * steps)
    assert terms[1].loss(steps) == 0
    assert terms[1].loss(2 * steps) > 0


def test_a_weight_that_is_given_is_taken_also_if_it_is_0() -> None:
    assert style_weight(asked()) == METHODS["gatys"].style_weight
    assert style_weight(asked(style_weight=0)) == 0


# --- all together -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "others"), BY_MOMENTS)
def test_the_whole_gradient_is_that_of_differences(network: Extractor, method: Any, others: Any) -> None:
    wanted = asked(method, variation_weight=0.3, range_weight=2.0, **others)
    photos, images = noise(1, 3, 22, 23), 1.2 * noise(1, 3, 22, 23, seed=1)
    objective = Objective(
        network,
        content_terms(network, photos, BOTH, wanted),
        moment_terms(wanted, Layers(("relu1_1",), ()), targets_of(network, noise(1, 3, 30, 31, seed=2)), 22 * 23),
        (),
        pixel_terms(wanted),
    )
    gradient = objective(images).gradient
    for place in ((0, 0, 0, 0), (0, 1, 11, 12), (0, 2, 21, 22), (0, 0, 4, 17), (0, 1, 20, 1)):
        step = torch.zeros_like(images)
        step[place] = 1e-5
        slope = (objective(images + step).total - objective(images - step).total) / 2e-5
        assert gradient[place].item() == pytest.approx(slope.item(), rel=2e-5, abs=1e-10)


EVERY_METHOD: list[tuple[Any, dict[str, Any]]] = [(method, {}) for method in get_args(Method)]
EVERY_METHOD += [("mmd", {"kernel": "linear"}), ("mmd", {"kernel": "gaussian"})]


@pytest.mark.parametrize(("method", "others"), EVERY_METHOD)
def test_every_method_descends(method: Method, others: dict[str, Any], draw: Any, tmp_path: Path) -> None:
    if method == "swag":
        network, layers = random_network("resnet18", deepest="layer1.0"), Layers(("relu1", "layer1.0"), ("layer1.0",))
    else:
        network, layers = random_network("vgg19", deepest="relu2_1"), BOTH
    wanted = asked(method, network=network.kind, variation_weight=0.0, **others)
    (painting,) = draw(tmp_path, 1, size=(44, 40), seed=3)
    workshop = Workshop(wanted, network, layers, Gallery([painting], [1.0]), torch.device("cpu"))
    photo = noise(1, 3, 40, 44, seed=5, dtype=torch.float32)
    order = Order(photo, Chosen((0,), (1.0,)), 7)
    companions = workshop.companions(order)
    objective = workshop.objective([order], photo, [companions], None)
    told = list[dict[str, float]]()
    made, _ = adam(
        photo,
        objective,
        10,
        lambda step: told.append({name: part.item() for name, part in step.evaluation.parts.items()}),
        rate=0.02,
        state=None,
    )
    assert all(set(one) == {"content", "style", *(["histogram"] if method == "histogram" else [])} for one in told)
    if method != "mdan":
        assert sum(told[-1].values()) < 0.97 * sum(told[0].values())
        assert told[-1]["style"] < told[0]["style"]
    judges = {tap: one for tap, one in companions.items() if isinstance(one, Judge)}
    assert bool(judges) == (method == "mdan")
    for tap, judge in judges.items():  # which learnt on the way: it is by what they know now that pictures are compared
        before, after = (judge.loss(network(images, (tap,))[tap]).item() for images in (photo, made))
        assert after < before
