"""The public reference implementation's files become our networks: same weights, same pictures, nothing executed."""

import copy
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from cyclestyle.config import DiscriminatorSettings, GeneratorSettings
from cyclestyle.networks.discriminator import PatchDiscriminator, PixelDiscriminator
from cyclestyle.networks.generator import ResNetGenerator, UNetGenerator
from cyclestyle.networks.reference import discriminator_from_reference, generator_from_reference, read_reference

# --- the reference's networks, layer for layer (pytorch-CycleGAN-and-pix2pix, models/networks.py) -------------------


def norm(channels: int) -> nn.Module:
    return nn.InstanceNorm2d(channels, affine=False, track_running_stats=False)


class ResnetBlock(nn.Module):
    def __init__(self, dim: int, dropout: bool = False) -> None:
        super().__init__()
        first = [nn.ReflectionPad2d(1), nn.Conv2d(dim, dim, 3), norm(dim), nn.ReLU(True)]
        second = [nn.ReflectionPad2d(1), nn.Conv2d(dim, dim, 3), norm(dim)]
        self.conv_block = nn.Sequential(*first, *([nn.Dropout(0.5)] if dropout else []), *second)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.conv_block(x)


class Reference(nn.Module):
    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.model = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.model(x)


def resnet(ngf: int, blocks: int, *, dropout: bool = False) -> Reference:
    layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(3, ngf, 7), norm(ngf), nn.ReLU(True)]
    for channels in (ngf, 2 * ngf):
        layers += [nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1), norm(2 * channels), nn.ReLU(True)]
    layers += [ResnetBlock(4 * ngf, dropout) for _ in range(blocks)]
    for channels in (4 * ngf, 2 * ngf):
        up = nn.ConvTranspose2d(channels, channels // 2, 3, stride=2, padding=1, output_padding=1)
        layers += [up, norm(channels // 2), nn.ReLU(True)]
    return started(Reference(*layers, nn.ReflectionPad2d(3), nn.Conv2d(ngf, 3, 7), nn.Tanh()))


def patchgan(ndf: int, n_layers: int = 3) -> Reference:
    layers: list[nn.Module] = [nn.Conv2d(3, ndf, 4, 2, 1), nn.LeakyReLU(0.2, True)]
    before = 1
    for n in range(1, n_layers + 1):
        factor = min(2**n, 8)
        stride = 2 if n < n_layers else 1
        conv = nn.Conv2d(ndf * before, ndf * factor, 4, stride, 1)
        layers += [conv, norm(ndf * factor), nn.LeakyReLU(0.2, True)]
        before = factor
    return started(Reference(*layers, nn.Conv2d(ndf * before, 1, 4, 1, 1)))


class UnetBlock(nn.Module):
    def __init__(self, outer: int, inner: int, below: nn.Module | None) -> None:
        super().__init__()
        down = [nn.LeakyReLU(0.2, True), nn.Conv2d(outer, inner, 4, 2, 1)]
        up = [nn.ReLU(True), nn.ConvTranspose2d(inner * (2 if below else 1), outer, 4, 2, 1)]
        self.model = nn.Sequential(*down, *([below] if below else []), *up)


def started(network: Reference) -> Reference:
    """Weights that make every layer matter, biases too."""
    chances = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(0, 0.05, generator=chances)
    return network.eval()


def noise(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 2 - 1


def saved(content: Any, folder: Path, **options: Any) -> Path:
    path = folder / "latest_net_G.pth"
    torch.save(content, path, **options)
    return path


def refusal(path: Path) -> str:
    """The sentence with which a generator's file is refused."""
    with pytest.raises(ValueError, match=r"\w") as caught:
        generator_from_reference(read_reference(path))
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 300 + len(str(path))
    return text


@torch.no_grad()
def assert_same(ours: nn.Module, theirs: nn.Module, images: torch.Tensor) -> None:
    """To rounding, since a norm may be summed in another order: shown in float32, and far below it in float64."""
    expected = theirs(images)
    assert expected.std() > 0.01
    assert torch.allclose(ours.eval()(images), expected, rtol=0, atol=1e-5)
    exact = copy.deepcopy(theirs).double()(images.double())
    assert torch.allclose(copy.deepcopy(ours).eval().double()(images.double()), exact, rtol=0, atol=1e-12)


# --- parity -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("blocks", [6, 9])
def test_a_generator_paints_what_the_references_paints(tmp_path: Path, blocks: int) -> None:
    theirs = resnet(12, blocks)
    ours, settings = generator_from_reference(read_reference(saved(theirs.state_dict(), tmp_path)))
    assert settings == GeneratorSettings(kind="resnet", width=12, blocks=blocks, upsampling="transposed")
    assert_same(ours, theirs, noise(2, 3, 40, 48))


def test_the_references_names_are_those_of_its_files() -> None:
    """From a published latest_net_G.pth of 9 blocks: so the layout above is the real one."""
    names = resnet(4, 9).state_dict().keys()
    for number in (1, 4, 7, 19, 22, 26):
        assert f"model.{number}.weight" in names
    assert {f"model.{number}.conv_block.{inner}.bias" for number in range(10, 19) for inner in (1, 5)} <= names
    assert len(names) == 2 * (6 + 18)
    assert list(patchgan(4).state_dict())[::2] == [f"model.{number}.weight" for number in (0, 2, 5, 8, 11)]


@pytest.mark.parametrize("layers", [1, 3, 5])
def test_a_discriminator_gives_the_references_scores(tmp_path: Path, layers: int) -> None:
    theirs = patchgan(8, layers)
    ours, settings = discriminator_from_reference(read_reference(saved(theirs.state_dict(), tmp_path)))
    assert settings == DiscriminatorSettings(kind="patch", width=8, layers=layers)
    assert_same(ours, theirs, noise(2, 3, 128, 96))


def test_a_file_saved_under_data_parallel_loads(tmp_path: Path) -> None:
    theirs = resnet(6, 6)
    state = {f"module.{name}": value for name, value in theirs.state_dict().items()}
    ours, _ = generator_from_reference(read_reference(saved(state, tmp_path)))
    assert_same(ours, theirs, noise(1, 3, 32, 32))


def test_an_old_file_with_running_statistics_loads(tmp_path: Path) -> None:
    """Before PyTorch 0.4 instance norm stored statistics that the reference never used."""
    theirs = resnet(6, 6)
    state = theirs.state_dict()
    for name, module in theirs.named_modules():
        if isinstance(module, nn.InstanceNorm2d):
            state[f"{name}.running_mean"] = torch.full((module.num_features,), 5.0)
            state[f"{name}.running_var"] = torch.full((module.num_features,), 9.0)
            state[f"{name}.num_batches_tracked"] = torch.tensor(3)
    ours, settings = generator_from_reference(read_reference(saved(state, tmp_path)))
    assert settings.blocks == 6
    assert_same(ours, theirs, noise(1, 3, 32, 32))


def test_a_file_in_the_format_before_pytorch_1_6_loads(tmp_path: Path) -> None:
    theirs = resnet(6, 6)
    path = saved(theirs.state_dict(), tmp_path, _use_new_zipfile_serialization=False)
    assert_same(generator_from_reference(read_reference(path))[0], theirs, noise(1, 3, 32, 32))


def test_a_generator_that_was_trained_with_dropout_loads(tmp_path: Path) -> None:
    """Dropout has no weights but shifts the numbers in the names."""
    theirs = resnet(6, 6, dropout=True)
    assert "model.10.conv_block.6.weight" in theirs.state_dict()
    ours, _ = generator_from_reference(read_reference(saved(theirs.state_dict(), tmp_path)))
    assert_same(ours, theirs, noise(1, 3, 32, 32))


def test_the_order_of_the_names_in_the_file_does_not_matter(tmp_path: Path) -> None:
    theirs = resnet(6, 9)
    state = dict(sorted(theirs.state_dict().items()))  # as text: model.10 before model.4
    assert list(state) != list(theirs.state_dict())
    ours, _ = generator_from_reference(read_reference(saved(state, tmp_path)))
    assert_same(ours, theirs, noise(1, 3, 32, 32))


def test_half_precision_becomes_single(tmp_path: Path) -> None:
    theirs = resnet(6, 6).half()
    ours, _ = generator_from_reference(read_reference(saved(theirs.state_dict(), tmp_path)))
    assert {value.dtype for value in ours.state_dict().values()} == {torch.float32}
    assert_same(ours, theirs.float(), noise(1, 3, 32, 32))


def test_the_order_of_the_layers_decides(tmp_path: Path) -> None:
    """Two residual blocks have the same shapes; swapped, the picture is another one: so parity above is no accident."""
    theirs = resnet(6, 6)
    swapped = {
        name.replace("model.10.", "model.x.").replace("model.11.", "model.10.").replace("model.x.", "model.11."): value
        for name, value in theirs.state_dict().items()
    }
    ours, _ = generator_from_reference(read_reference(saved(swapped, tmp_path)))
    images = noise(1, 3, 32, 32)
    with torch.no_grad():
        assert (ours(images) - theirs(images)).abs().max() > 1e-2


# --- what is refused ----------------------------------------------------------------------------------------------


class Trap:
    """Whoever unpickles this makes a file."""

    def __init__(self, at: Path) -> None:
        self.at = at

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.at,)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("how", ["torch.save", "old torch.save", "pickle", "among the weights"])
def test_code_in_a_file_is_not_executed(tmp_path: Path, how: str) -> None:
    sprung = tmp_path / "sprung"
    pickle.loads(pickle.dumps(Trap(sprung)))
    assert sprung.exists()  # the trap works
    sprung.unlink()

    path = tmp_path / "latest_net_G.pth"
    if how == "pickle":
        path.write_bytes(pickle.dumps(Trap(sprung)))
    elif how == "among the weights":
        torch.save(resnet(2, 6).state_dict() | {"model.99.weight": Trap(sprung)}, path)
    else:
        torch.save(Trap(sprung), path, _use_new_zipfile_serialization=how == "torch.save")
    assert str(path) in refusal(path)
    assert not sprung.exists()


def test_a_whole_pickled_network_is_refused(tmp_path: Path) -> None:
    refusal(saved(resnet(2, 6), tmp_path))


@pytest.mark.parametrize(
    "content",
    [
        [torch.zeros(2)],
        torch.zeros(2),
        None,
        {},
        {"model.1.weight": 3},
        {"state_dict": {"model.1.weight": torch.zeros(4, 3, 7, 7)}},
        {0: torch.zeros(2)},
        {("model.", 1): torch.zeros(2)},
    ],
    ids=repr,
)
def test_what_is_no_dictionary_of_named_tensors_is_refused(tmp_path: Path, content: Any) -> None:
    path = saved(content, tmp_path)
    assert str(path) in refusal(path)


@pytest.mark.parametrize("content", [b"", b"<html>404</html>", bytes(range(256)) * 4, b"PK\x03\x04", b"\x80\x02."])
def test_what_is_no_file_of_weights_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "latest_net_G.pth"
    path.write_bytes(content)
    assert str(path) in refusal(path)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # pickle's, about what damage made of the text in it
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before 1.6"])
def test_a_file_cut_short_anywhere_is_refused(tmp_path: Path, zipped: bool) -> None:
    path = saved(resnet(1, 1).state_dict(), tmp_path, _use_new_zipfile_serialization=zipped)
    whole = path.read_bytes()
    for length in [*range(0, len(whole), 211), len(whole) - 1]:
        path.write_bytes(whole[:length])
        assert str(path) in refusal(path)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before 1.6"])
def test_a_damaged_file_is_refused_or_loads_but_nothing_else(tmp_path: Path, zipped: bool) -> None:
    path = saved(resnet(1, 1).state_dict(), tmp_path, _use_new_zipfile_serialization=zipped)
    whole = path.read_bytes()
    chances = torch.Generator().manual_seed(0)
    for _ in range(150):
        place, value = torch.randint(0, 10**6, (2,), generator=chances).tolist()
        path.write_bytes(whole[: place % len(whole)] + bytes([value % 256]) + whole[place % len(whole) + 1 :])
        try:
            generator_from_reference(read_reference(path))
        except ValueError as error:
            assert "\n" not in str(error)  # noqa: PT017 - either is right


def test_a_unet_is_refused(tmp_path: Path) -> None:
    below: nn.Module | None = None
    for outer, inner in ((8, 8), (4, 8), (2, 4), (2, 2)):
        below = UnetBlock(outer, inner, below)
    assert "ResNet" in refusal(saved(Reference(below).state_dict(), tmp_path))


@pytest.mark.parametrize(
    "network",
    [ResNetGenerator(4, 2), UNetGenerator(2, 5), PatchDiscriminator(4), PixelDiscriminator(4)],
    ids=lambda network: type(network).__name__,
)
def test_our_own_networks_are_no_reference(tmp_path: Path, network: nn.Module) -> None:
    assert "the reference implementation's names" in refusal(saved(network.state_dict(), tmp_path))


def test_a_discriminator_is_no_generator_and_the_other_way_round(tmp_path: Path) -> None:
    assert "ResNet generator" in refusal(saved(patchgan(4).state_dict(), tmp_path))
    with pytest.raises(ValueError, match="PatchGAN"):
        discriminator_from_reference(resnet(4, 6).state_dict())


def test_a_discriminator_deeper_than_ours_is_refused_in_a_sentence() -> None:
    with pytest.raises(ValueError, match=r"\w") as caught:
        discriminator_from_reference(patchgan(1, 7).state_dict())
    assert "\n" not in str(caught.value)


def test_batch_norm_is_refused(tmp_path: Path) -> None:
    state = OrderedDict(resnet(4, 6).state_dict())
    state["model.2.weight"], state["model.2.bias"] = torch.ones(4), torch.zeros(4)
    assert refusal(saved(state, tmp_path)) == "expected 36 tensors for this network, found 38"


def test_a_missing_tensor_and_one_of_another_shape_are_refused(tmp_path: Path) -> None:
    state = resnet(4, 6).state_dict()
    bias = state.pop("model.13.conv_block.1.bias")
    assert refusal(saved(state, tmp_path)) == "expected 36 tensors for this network, found 35"
    state["model.13.conv_block.1.bias"] = bias[:-1]
    assert "model.13.conv_block.1.bias has shape (15,); the network has (16,) there" in refusal(saved(state, tmp_path))


def test_a_tensor_that_claims_a_width_it_does_not_fill_is_refused_before_that_width_is_built(tmp_path: Path) -> None:
    """An expanded tensor takes no room in the file; the first layer of that width alone would take 588 terabytes."""
    state = resnet(4, 6).state_dict()
    state["model.1.weight"] = torch.zeros(1).expand(10**12, 3, 7, 7)
    refusal(saved(state, tmp_path))


def test_a_width_of_nothing_is_refused_in_a_sentence(tmp_path: Path) -> None:
    state = resnet(4, 6).state_dict()
    state["model.1.weight"] = torch.zeros(0, 3, 7, 7)
    refusal(saved(state, tmp_path))
