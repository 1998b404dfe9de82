"""Inception's features: torch-fidelity's, level by level; and what a file that is not whole still gives."""

import copy
import json
import os
from pathlib import Path

import pytest
import torch
from torchvision.models.inception import BasicConv2d, Inception3

from cyclestyle.networks import inception
from cyclestyle.networks.inception import Inception, load_inception, resize

SIZES = [(299, 299), (64, 80), (331, 310)]


def pixels(*size: int, count: int = 2) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, *size), generator=torch.Generator().manual_seed(2), dtype=torch.uint8)


def whole(classes: int = 1008) -> dict[str, torch.Tensor]:
    """Weights under which every level differs from picture to picture, and the norms matter."""
    with torch.device("meta"):
        network = Inception3(num_classes=classes, aux_logits=False, init_weights=False)
    network = network.to_empty(device="cpu")
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, BasicConv2d):
                weight, norm = module.conv.weight, module.bn
                weight.normal_(0, (2 / weight[0].numel()) ** 0.5, generator=generator)
                for tensor, low, high in (
                    (norm.weight, 0.7, 1.3),
                    (norm.bias, -0.2, 0.3),
                    (norm.running_mean, -0.2, 0.2),
                    (norm.running_var, 0.5, 1.5),
                ):
                    tensor.uniform_(low, high, generator=generator)
                norm.num_batches_tracked.zero_()
        network.fc.weight.zero_()
        network.fc.bias.zero_()
    return network.state_dict()


@pytest.fixture(scope="module")
def tensors() -> dict[str, torch.Tensor]:
    return whole()


@pytest.fixture(scope="module")
def file(tensors: dict[str, torch.Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "weights-inception-2015-12-05-6726825d.pth"
    torch.save(tensors, path)
    return path


@pytest.fixture(scope="module")
def ours(file: Path) -> Inception:
    return load_inception(file.parent)


def assert_close(found: torch.Tensor, expected: torch.Tensor) -> None:
    assert found.shape == expected.shape
    # Different from picture to picture, or agreement would mean little
    assert (expected[0] - expected[1]).abs().max() > 1e-3 * expected.abs().max()
    assert float((found - expected).norm() / expected.norm()) < 1e-5


def reference(path: Path, *levels: str) -> torch.nn.Module:
    extractor = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3", reason="torch-fidelity is not here")
    return extractor.FeatureExtractorInceptionV3("x", list(levels), feature_extractor_weights_path=str(path))


# --- parity -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
def test_features_are_torch_fidelitys(ours: Inception, file: Path, size: tuple[int, int]) -> None:
    assert ours.levels == (64, 192, 768, 2048)
    theirs, images = reference(file, "64", "192", "768", "2048"), pixels(*size)
    found = ours(images / 127.5 - 1, ours.levels)
    for features, expected in zip(found.values(), theirs(images), strict=True):
        assert_close(features, expected)


def test_folded_norms_give_the_features_of_those_that_are_not(
    ours: Inception, tensors: dict[str, torch.Tensor]
) -> None:
    """To 1e-6; the same branches with torchvision's convolutions and norms, in the plain layout."""
    theirs = Inception3(num_classes=1008, aux_logits=False, init_weights=False).eval()
    theirs.load_state_dict(tensors)
    plain = copy.deepcopy(ours).to(memory_format=torch.contiguous_format)
    for name in plain.blocks:
        units = {
            key.rpartition(".")[2]: unit
            for key, unit in theirs.named_modules()
            if isinstance(unit, BasicConv2d) and key.partition(".")[0] == name
        }
        plain.blocks[name] = inception.Block(inception.BRANCHES.get(name, ((name,),)), units)
    images = pixels(299, 299) / 127.5 - 1
    with torch.inference_mode():
        found, expected = ours(images, ours.levels), plain(images, ours.levels)
    for level in ours.levels:
        assert float((found[level] - expected[level]).norm() / expected[level].norm()) < 1e-6


@pytest.mark.parametrize("size", [(299, 299), (17, 500), (256, 300), (1, 2)])
def test_pictures_are_scaled_as_tensorflow_1_did(size: tuple[int, int]) -> None:
    module = pytest.importorskip("torch_fidelity.interpolate_compat_tensorflow", reason="torch-fidelity is not here")
    images = pixels(*size).float()
    expected = module.interpolate_bilinear_2d_like_tensorflow1x(images, size=(299, 299), align_corners=False)
    assert torch.allclose(resize(images, 299), expected, rtol=0, atol=1e-4)


def test_scaling_reads_output_i_at_i_times_input_over_output() -> None:
    """Known by hand: 4 values to 8 and to 3, the first never moved, the last repeated."""
    row = torch.tensor([0.0, 10.0, 20.0, 40.0])
    images = row.expand(1, 1, 4, 4)
    assert resize(images, 8)[0, 0, 0].tolist() == [0, 5, 10, 15, 20, 30, 40, 40]
    assert torch.allclose(resize(images, 3)[0, 0, 0], torch.tensor([0.0, 10 + 10 / 3, 20 + 2 / 3 * 20]))
    assert torch.allclose(resize(images.mT, 3)[0, 0, :, 0], torch.tensor([0.0, 10 + 10 / 3, 20 + 2 / 3 * 20]))


def test_the_average_does_not_count_padding_and_the_last_block_has_a_maximum(ours: Inception) -> None:
    ones = torch.ones(1, 4, 5, 5)
    block = inception.Block(((inception.AVERAGE,), (inception.MAXIMUM,)), {})
    assert torch.equal(block(ones), torch.ones(1, 8, 5, 5))
    pools = {name: {step for branch in ours.blocks[name].branches for step in branch} for name in ours.blocks}
    assert [name for name, steps in pools.items() if inception.MAXIMUM in steps] == ["Mixed_7c"]


# --- how deep -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("block", "levels"),
    [("Mixed_7b", (64, 192, 768)), ("Mixed_6e", (64, 192)), ("Conv2d_4a_3x3", (64,))],
)
def test_levels_end_where_numbers_do(tensors: dict[str, torch.Tensor], block: str, levels: tuple[int, ...]) -> None:
    finite = {name: tensor for name, tensor in tensors.items() if not name.startswith(block)}
    network = Inception(finite, {})
    assert network.levels == levels
    with pytest.raises(ValueError, match=rf"have no level 2048; there are .*{levels[-1]}$"):
        network(torch.zeros(1, 3, 32, 32), (64, 2048))


def test_without_the_first_level_there_is_no_network(tensors: dict[str, torch.Tensor]) -> None:
    some = {name: tensor for name, tensor in tensors.items() if not name.startswith("Conv2d_2b")}
    with pytest.raises(ValueError, match="first convolutions"):
        Inception(some, {})


def test_nothing_deeper_than_asked_for_is_computed(ours: Inception) -> None:
    used: list[str] = []
    hooks = [
        block.register_forward_hook(lambda *_, name=name: used.append(name)) for name, block in ours.blocks.items()
    ]
    assert list(ours(torch.zeros(1, 3, 32, 32), (192, 64))) == [64, 192]
    for hook in hooks:
        hook.remove()
    assert used == ["Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "Conv2d_3b_1x1", "Conv2d_4a_3x3"]


def test_features_of_a_picture_do_not_depend_on_its_batch(ours: Inception) -> None:
    images = pixels(80, 64, count=3) / 127.5 - 1
    together = ours(images, (768,))[768]
    alone = torch.cat([ours(images[number : number + 1], (768,))[768] for number in range(3)])
    assert torch.allclose(together, alone, rtol=0, atol=1e-5 * float(alone.abs().max()))


def test_weights_take_no_gradient_and_nothing_is_drawn(tensors: dict[str, torch.Tensor]) -> None:
    state = torch.random.get_rng_state()
    network = Inception(tensors, {})
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert not network.training
    assert torch.equal(state, torch.random.get_rng_state())


# --- which network ------------------------------------------------------------------------------------------------


def test_torchvisions_own_inception_is_not_taken_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its tensors are named and shaped alike, up to the number of classes; its features are others."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv("CYCLESTYLE_WEIGHTS", raising=False)
    monkeypatch.setattr("cyclestyle.networks.weights._fetch", lambda *_: (_ for _ in ()).throw(OSError("offline")))
    torch.save(whole(classes=1000), tmp_path / "inception_v3_google-0cc3c7bd.pth")
    with pytest.raises(FileNotFoundError, match=r"\(inception_v3_google-0cc3c7bd.pth: another network"):
        load_inception(tmp_path)


def test_provenance_names_file_and_levels(ours: Inception) -> None:
    provenance = ours.provenance
    assert provenance == json.loads(json.dumps(provenance))
    assert provenance["levels"] == [64, 192, 768, 2048]
    assert provenance["weights"]["file"] == "weights-inception-2015-12-05-6726825d.pth"
    assert provenance["weights"]["published"] is False  # its name claims a hash that these random weights have not


@pytest.mark.assets
@pytest.mark.skipif("CYCLESTYLE_ASSETS" not in os.environ, reason="CYCLESTYLE_ASSETS names no folder of real weights")
def test_real_weights_give_torch_fidelitys_features() -> None:
    folder = Path(os.environ["CYCLESTYLE_ASSETS"]) / "weights"
    network, images = load_inception(folder), pixels(256, 256)
    assert network.levels == (64, 192, 768)
    theirs = reference(folder / "torch_fidelity_inception_to_768.pth", "64", "192", "768")
    for features, expected in zip(network(images / 127.5 - 1, network.levels).values(), theirs(images), strict=True):
        assert_close(features, expected)
