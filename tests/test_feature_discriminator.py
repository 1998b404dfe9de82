"""A discriminator of features looks through a network that neither learns nor is saved."""

from pathlib import Path

import pytest
import torch
from conftest import Draw
from torch import nn

from cyclestyle.config import DiscriminatorSettings, Settings
from cyclestyle.networks.discriminator import bound_spectrally, build_discriminator, pretrained
from cyclestyle.networks.extractors import Extractor, random_network
from cyclestyle.networks.feature_discriminator import BESIDE_FEATURES, FeatureDiscriminator
from cyclestyle.networks.kinds import NetworkKind
from cyclestyle.networks.layers import initialise
from cyclestyle.training.learner import build_networks
from cyclestyle.training.loop import learn

FEATURES = DiscriminatorSettings(kind="features", network="random", width=4)


@pytest.fixture
def seeing() -> Extractor:
    return random_network("vgg19-distilled")


@pytest.fixture
def judge(seeing: Extractor) -> FeatureDiscriminator:
    made = build_discriminator(FEATURES, seeing)
    assert isinstance(made, FeatureDiscriminator)
    initialise(made, torch.Generator().manual_seed(0), deviation=0.2)
    return made


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.mark.parametrize(("height", "width"), [(32, 32), (64, 128), (100, 77)])
def test_every_depth_is_scored_on_one_grid(judge: FeatureDiscriminator, height: int, width: int) -> None:
    scores = judge(noise(2, 3, height, width))
    assert scores.shape == (2, 5 + BESIDE_FEATURES, -(-height // 8), -(-width // 8))
    assert all(len(scores[0, depth].unique()) > 1 for depth in range(scores.shape[1]))


@pytest.mark.parametrize(
    ("kind", "taps"),
    [
        ("vgg19", ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")),
        ("vgg19-distilled", ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")),
        ("alexnet", ("relu1", "relu2", "relu3")),
        ("squeezenet", ("relu1", "fire2", "fire4", "fire6")),
        ("resnet18", ("relu1", "layer1.0", "layer2.0", "layer3.0", "layer4.0")),
    ],
)
def test_it_looks_at_the_shallowest_features_of_each_resolution(kind: NetworkKind, taps: tuple[str, ...]) -> None:
    made = FeatureDiscriminator(random_network(kind), nn.Conv2d(3, 1, 1), width=2)
    assert made.taps == taps
    side = max(made.least, 64)
    assert made(noise(1, 3, side, side)).shape == (1, len(taps) + BESIDE_FEATURES, -(-side // 8), -(-side // 8))


def test_what_it_looks_through_learns_nothing_and_is_not_saved(judge: FeatureDiscriminator) -> None:
    before = {name: value.clone() for name, value in judge.seeing.state_dict().items()}
    judge.requires_grad_(True)  # as the learner does before each discriminator's turn
    assert not any(weight.requires_grad for weight in judge.seeing.parameters())
    images = noise(1, 3, 32, 32).requires_grad_()
    judge(images).square().mean().backward()
    assert images.grad is not None
    assert images.grad.abs().min() > 0  # it is a path for the generator's gradient
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in judge.parameters())
    assert all(weight.grad is None for weight in judge.seeing.parameters())
    bound_spectrally(judge)
    initialise(judge, torch.Generator().manual_seed(1))
    judge.train()
    assert not judge.seeing.training
    assert all(torch.equal(value, before[name]) for name, value in judge.seeing.state_dict().items())
    assert not any("seeing" in name for name in judge.state_dict())


def test_it_goes_where_the_rest_goes(judge: FeatureDiscriminator) -> None:
    judge.to(torch.float64)
    assert {weight.dtype for weight in judge.seeing.parameters()} == {torch.float64}
    assert judge(noise(1, 3, 32, 32).double()).dtype == torch.float64


def test_both_discriminators_share_what_they_look_through_and_the_seed_decides(tmp_path: Path) -> None:
    wanted = Settings.model_validate(
        {
            "run": tmp_path,
            "data": {"crop": 32, "augmentation": "flip"},
            "generator": {"width": 2, "blocks": 1},
            "discriminator": FEATURES.model_dump() | {"spectral_norm": True},
            "schedule": {"steps": 1},
        }
    )
    one, two = build_networks(wanted), build_networks(wanted)
    first, second = one.discriminators
    assert isinstance(first, FeatureDiscriminator)
    assert isinstance(second, FeatureDiscriminator)
    assert first.seeing is second.seeing
    pairs = zip(first.parameters(), second.parameters(), strict=True)
    assert not any(torch.equal(a, b) for a, b in pairs if a.dim() > 1)  # biases are zero
    other = two.painting_discriminator.state_dict()
    assert all(torch.equal(value, other[name]) for name, value in first.state_dict().items())
    small = wanted.model_copy(update={"data": wanted.data.model_copy(update={"crop": 16})})
    with pytest.raises(ValueError, match=r"^data.crop \(16\) should be at least 32 for .* through random$"):
        build_networks(small)


def test_a_run_goes_on_to_the_same_bits_and_not_with_other_weights(
    tmp_path: Path, draw: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw(tmp_path / "photos", 4, seed=1)
    draw(tmp_path / "paintings", 4, seed=2)

    def wanted(run: str, steps: int) -> Settings:
        return Settings.model_validate(
            {
                "run": tmp_path / run,
                "data": {"folder": tmp_path, "augmentation": "zoom", "crop": 32, "workers": 0},
                "generator": {"width": 2, "blocks": 1},
                "discriminator": FEATURES.model_dump() | {"spectral_norm": True},
                "objective": {"adversarial": "hinge", "replay": 2},
                "schedule": {"steps": 4, "decay_steps": 0},
                "report": {"log_every": 1, "sample_every": 4, "checkpoint_every": steps, "judge": 0},
            }
        )

    whole = learn(wanted("whole", 2))
    paints = (whole.path / "paint.safetensors").read_bytes()
    part = learn(wanted("part", 2))
    last = part.checkpoints / "step-0000004"
    for path in sorted(last.iterdir(), reverse=True):
        path.unlink()
    last.rmdir()
    learn(wanted("part", 2))
    assert (part.path / "paint.safetensors").read_bytes() == paints
    monkeypatch.setattr(FeatureDiscriminator, "origin", {"sha256": "ab" * 32})
    with pytest.raises(ValueError, match=r"other weights of random .*--discriminator\.weights$"):
        learn(wanted("part", 2))


def test_weights_that_are_not_to_be_had_are_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CYCLESTYLE_WEIGHTS", raising=False)
    wanted = DiscriminatorSettings(kind="features", network="vgg19-distilled", weights=tmp_path)
    with pytest.raises(ValueError, match=r"--discriminator\.weights.*--discriminator\.kind patch needs no weights$"):
        pretrained(wanted)
    assert pretrained(DiscriminatorSettings()) is None
