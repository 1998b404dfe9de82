"""A painter's file gives back the same painter, for any size; any other file is refused in a sentence."""

import copy
import json
import math
import pickle
import re
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from cyclestyle.config import GeneratorSettings
from cyclestyle.files import sha256
from cyclestyle.networks.generator import build_generator
from cyclestyle.networks.kinds import Precision
from cyclestyle.networks.layers import InstanceNorm, initialise
from cyclestyle.networks.painter import (
    Painter,
    PainterCard,
    Rounding,
    load_painter,
    reflect,
    save_painter,
)
from cyclestyle.networks.precision import settled

SMALL = GeneratorSettings(width=2, blocks=1)
KINDS = {
    "resnet": SMALL,
    "resnet with resize": GeneratorSettings(width=2, blocks=2, upsampling="resize"),
    "unet": GeneratorSettings(kind="unet", width=1, depth=5),
}


def card(generator: GeneratorSettings = SMALL, **values: Any) -> PainterCard:
    return PainterCard(
        **({"direction": "photo to painting", "generator": generator, "side": 256, "step": 7038} | values)
    )


def network(generator: GeneratorSettings = SMALL, seed: int = 0) -> nn.Module:
    built = build_generator(generator)
    initialise(built, torch.Generator().manual_seed(seed), deviation=0.2)
    return built.eval()


def painter(generator: GeneratorSettings = SMALL) -> Painter:
    return Painter(network(generator), card(generator), "")


def noise(height: int, width: int, n: int = 1, seed: int = 0) -> torch.Tensor:
    return torch.rand(n, 3, height, width, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def close(painted: torch.Tensor, plain: torch.Tensor) -> bool:
    """Equal but for the order of summation, which another memory layout changes; 1e-4 is 0.013 of 255 levels."""
    return torch.allclose(painted, plain, rtol=0, atol=1e-4)


def refusal(path: Path) -> str:
    """The sentence with which a file is refused: it names the file and is one line of readable length."""
    with pytest.raises(ValueError, match=r"\w") as caught:
        load_painter(path)
    text = str(caught.value)
    assert str(path) in text
    assert "\n" not in text
    assert len(text) < 500 + len(str(path))
    return text


# --- the file -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_painter_comes_back_with_the_same_weights_to_the_bit(tmp_path: Path, kind: str) -> None:
    original, path = network(KINDS[kind]), tmp_path / "paint.safetensors"
    save_painter(original, card(KINDS[kind]), path)
    loaded = load_painter(path)
    assert loaded.card == card(KINDS[kind])
    assert loaded.sha256 == sha256(path)
    assert loaded.network.state_dict().keys() == original.state_dict().keys()
    for name, value in original.state_dict().items():
        assert torch.equal(loaded.network.state_dict()[name], value)
    photos = noise(64, 96, n=2)
    with torch.inference_mode():
        assert close(loaded(photos), original(photos))
    again = tmp_path / "again.safetensors"
    save_painter(loaded.network, loaded.card, again)
    assert again.read_bytes() == path.read_bytes()


def test_what_the_card_says_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "unpaint.safetensors"
    for values in (
        {"direction": "painting to photo", "side": 128, "step": 0},
        {"direction": "photo to painting", "side": 16, "step": 10**9},
        {"direction": "unknown", "side": None, "step": None},
    ):
        written = card(**values)
        save_painter(network(), written, path)
        assert load_painter(path).card == written


def test_a_card_refuses_what_it_does_not_know() -> None:
    with pytest.raises(ValidationError):
        card(direction="sideways")
    with pytest.raises(ValidationError):
        card(colour="red")


def test_a_loaded_painter_is_for_use_and_not_for_training(tmp_path: Path) -> None:
    path = tmp_path / "paint.safetensors"
    save_painter(network().train(), card(), path)
    loaded = load_painter(path)
    assert not loaded.network.training
    assert not any(parameter.requires_grad for parameter in loaded.network.parameters())
    assert not loaded(noise(16, 16)).requires_grad


def test_saving_does_not_change_the_network_and_the_same_network_gives_the_same_bytes(tmp_path: Path) -> None:
    original = network().train()
    before = {name: value.clone() for name, value in original.state_dict().items()}
    written = set()
    for _ in range(12):  # the order of metadata may be left to chance
        save_painter(original, card(), tmp_path / "paint.safetensors")
        written.add((tmp_path / "paint.safetensors").read_bytes())
    assert len(written) == 1
    assert original.training
    assert all(torch.equal(value, before[name]) for name, value in original.state_dict().items())


def test_weights_are_written_in_single_precision(tmp_path: Path) -> None:
    path = tmp_path / "paint.safetensors"
    halved = network().to(torch.bfloat16)
    save_painter(halved, card(), path)
    assert {value.dtype for value in load_file(path).values()} == {torch.float32}
    for name, value in load_painter(path).network.state_dict().items():
        assert torch.equal(value, halved.state_dict()[name].float())


def test_a_failure_while_saving_leaves_the_old_painter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "paint.safetensors"
    save_painter(network(), card(), path)
    old = path.read_bytes()

    def half(weights: Any, metadata: Any) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("cyclestyle.networks.painter.to_bytes", half)
    with pytest.raises(OSError, match="no space left"):
        save_painter(network(seed=1), card(), path)
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]


def test_a_pth_of_the_reference_implementation_loads(tmp_path: Path) -> None:
    original, path = network(GeneratorSettings(width=4, blocks=6)), tmp_path / "latest_net_G.pth"
    numbers = [1, 4, 7, *(f"{10 + block}.conv_block.{inner}" for block in range(6) for inner in (1, 5)), 16, 19, 23]
    ours = original.state_dict()
    names = [name.removesuffix(".weight") for name in ours if name.endswith(".weight")]
    state = {
        f"model.{number}.{part}": ours[f"{name}.{part}"]
        for number, name in zip(numbers, names, strict=True)
        for part in ("weight", "bias")
    }
    torch.save(state, path)
    loaded = load_painter(path)
    assert loaded.card == PainterCard(
        direction="unknown", generator=GeneratorSettings(width=4, blocks=6), side=None, step=None
    )
    assert loaded.sha256 == sha256(path)
    photos = noise(32, 48)
    with torch.inference_mode():
        assert close(loaded(photos), original(photos))
    assert loaded(noise(31, 47)).shape == (1, 3, 31, 47)


# --- any size -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1), (2, 3), (30, 30), (255, 257), (256, 256)])
@pytest.mark.parametrize("kind", KINDS)
def test_the_size_stays(kind: str, size: tuple[int, int]) -> None:
    painted = painter(KINDS[kind])(noise(*size))
    assert painted.shape == (1, 3, *size)
    assert torch.isfinite(painted).all()
    assert painted.abs().max() <= 1


@settings(max_examples=40, deadline=None)
@given(height=st.integers(1, 70), width=st.integers(1, 70), n=st.integers(1, 2), kind=st.sampled_from(sorted(KINDS)))
def test_any_size_stays(height: int, width: int, n: int, kind: str) -> None:
    painted = painter(KINDS[kind])(noise(height, width, n))
    assert painted.shape == (n, 3, height, width)
    assert painted.abs().max() <= 1


@settings(max_examples=60, deadline=None)
@given(height=st.integers(1, 20), width=st.integers(1, 20), below=st.integers(0, 70), beside=st.integers(0, 70))
def test_reflection_is_numpys(height: int, width: int, below: int, beside: int) -> None:
    images = noise(height, width, 2)
    expected = np.pad(images.numpy(), ((0, 0), (0, 0), (0, below), (0, beside)), mode="reflect")
    assert np.array_equal(reflect(images, height + below, width + beside).numpy(), expected)


def test_a_picture_is_continued_to_the_right_and_downwards() -> None:
    row = torch.tensor([[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]).expand(1, 3, 2, 3)
    assert reflect(row, 4, 7)[0, 0].tolist() == [
        [0, 1, 2, 1, 0, 1, 2],
        [3, 4, 5, 4, 3, 4, 5],
        [0, 1, 2, 1, 0, 1, 2],
        [3, 4, 5, 4, 3, 4, 5],
    ]


class Recorder(nn.Module):
    """A network that keeps what it was given, and gives it back."""

    def __init__(self, multiple: int) -> None:
        super().__init__()
        self.multiple = multiple
        self.given: list[torch.Tensor] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.given.append(images)
        return images


@pytest.mark.parametrize(
    ("size", "padded"), [((30, 33), (32, 36)), ((16, 20), (16, 20)), ((17, 400), (20, 400)), ((1, 5), (16, 16))]
)
def test_a_picture_is_continued_no_further_than_needed(size: tuple[int, int], padded: tuple[int, int]) -> None:
    recorder, images = Recorder(4), noise(*size)
    painted = Painter(recorder, card(), "")(images)
    assert torch.equal(painted, images)  # what was added is cut away again, and nothing else
    assert recorder.given[0].shape[-2:] == padded
    pad = ((0, 0), (0, 0), *((0, new - old) for new, old in zip(padded, size, strict=True)))
    assert np.array_equal(recorder.given[0].numpy(), np.pad(images.numpy(), pad, mode="reflect"))


@pytest.mark.parametrize(
    ("kind", "size"),
    [
        ("resnet", (16, 16)),
        ("resnet", (64, 100)),
        ("resnet with resize", (36, 20)),
        ("unet", (64, 96)),
        ("unet", (32, 32)),  # a single pixel at the bottom is what a U-Net is made for: 256 px at depth 8
        ("unet", (32, 64)),
    ],
)
def test_a_picture_of_a_size_that_fits_is_not_padded(kind: str, size: tuple[int, int]) -> None:
    one = painter(KINDS[kind])
    images = noise(*size)
    with torch.inference_mode():
        assert close(one(images), one.network(images))


def test_pictures_of_a_batch_are_painted_as_if_alone() -> None:
    one = painter()
    a, b = noise(30, 21, seed=1), noise(30, 21, seed=2)
    assert torch.equal(one(torch.cat([a, b])), torch.cat([one(a), one(b)]))  # to the bit, on a CPU


@pytest.mark.parametrize("kind", KINDS)
def test_painting_is_the_plain_network_with_pytorchs_own_instance_norm(kind: str) -> None:
    one, images = painter(KINDS[kind]), noise(64, 96)
    plain = copy.deepcopy(one.network)
    for module in list(plain.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, InstanceNorm):
                setattr(module, name, nn.InstanceNorm2d(child.channels, eps=child.eps))
    assert any(isinstance(module, nn.InstanceNorm2d) for module in plain.modules())
    with torch.inference_mode():
        assert close(one(images), plain(images))


# --- fewer bits ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_in_bf16_a_painting_differs_by_a_few_levels_and_the_painter_itself_stays(kind: str) -> None:
    exact, images = painter(KINDS[kind]), noise(64, 96)
    before = exact(images)
    rounded = exact.rounded("bf16")
    painted = rounded(images)
    assert painted.dtype == torch.float32
    assert painted.shape == images.shape
    assert {value.dtype for value in rounded.network.state_dict().values()} == {torch.bfloat16}
    assert torch.equal(exact(images), before)
    found = Rounding.between(painted, before)
    assert 30 < found.decibels < 70
    assert 0 < found.levels < 3
    assert (rounded.card, rounded.sha256, rounded.precision) == (exact.card, exact.sha256, "bf16")


def test_a_painter_in_the_precision_it_has_is_itself() -> None:
    exact = painter()
    assert exact.rounded("fp32") is exact
    half = exact.rounded("bf16")
    assert half.rounded("bf16") is half


def test_rounding_is_told_in_decibels_and_levels() -> None:
    exact = torch.zeros(2, 3, 4, 4)
    found = Rounding.between(exact + 2 / 255, exact)  # each value one level off: 20 log10(255)
    assert found.decibels == pytest.approx(48.1308, abs=1e-3)
    assert found.levels == pytest.approx(1)
    assert str(found) == "48.1 dB PSNR, 1.00 of 255 levels on average"
    assert Rounding.between(exact, exact) == Rounding(math.inf, 0)


CPUS = {"avx512_bf16": True, "amx_bf16": True, "bf16": True, "avx2": False, "fp16_arith": False}


@pytest.mark.parametrize("ability", CPUS)
def test_bf16_is_used_on_a_cpu_that_computes_in_it(ability: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {ability: True}, raising=False)
    used, why = settled("bf16", torch.device("cpu"))
    assert (used == "bf16") is (why is None) is CPUS[ability]
    assert why is None or re.fullmatch(r"PyTorch finds no fast bf16 in this CPU: fp32 is taken", why)


def test_fp16_is_for_cuda_and_fp32_for_every_device() -> None:
    for kind in ("cpu", "mps"):
        used, why = settled("fp16", torch.device(kind))
        assert used == "fp32"
        assert why is not None
        assert f"this {kind.upper()}" in why
    for kind in ("cpu", "mps", "cuda"):
        assert settled("fp32", torch.device(kind)) == ("fp32", None)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_on_a_gpu_half_the_bits_cost_a_few_levels(precision: Precision) -> None:
    exact, images = painter(), noise(64, 96, n=3).cuda()
    exact = replace(exact, network=exact.network.cuda())
    assert settled("fp16", images.device) == ("fp16", None)
    found = Rounding.between(exact.rounded(precision)(images), exact(images))
    assert found.decibels > 30


def test_the_photo_itself_is_not_changed() -> None:
    images = noise(30, 30)
    painter()(images)
    assert torch.equal(images, noise(30, 30))


# --- what is refused ----------------------------------------------------------------------------------------------


def bytes_of(header: Any, data: bytes = b"") -> bytes:
    """A safetensors file with any header (given as an object or as text)."""
    text = header.encode() if isinstance(header, str) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def with_card(path: Path, written: str, weights: dict[str, torch.Tensor] | None = None) -> Path:
    """A painter's file, with another card and other weights where its own were."""
    save_painter(network(), card(), path)
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    own = card().model_dump_json()
    assert any(own in text for text in metadata.values())
    changed = {name: text.replace(own, written) for name, text in metadata.items()}
    save_file(weights or network().state_dict(), path, metadata=changed)
    return path


def lying(**generator: Any) -> str:
    """A card that is right but for some of the generator's settings."""
    values = json.loads(card().model_dump_json())
    return json.dumps(values | {"generator": values["generator"] | generator})


@pytest.fixture
def frugal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stops whoever asks for more than 1 MB of weights or for more than 5,000 tensors, before they are made."""
    empty, left = torch.empty, {"bytes": 1_000_000, "tensors": 5_000}

    def counted(*size: Any, **options: Any) -> torch.Tensor:
        device = empty(0, device=options.get("device")).device  # PyTorch 2.6 names the default one wrongly
        numbers = size[0] if len(size) == 1 and not isinstance(size[0], int) else size
        left["bytes"] -= 4 * math.prod(numbers) if device.type != "meta" else 0
        left["tensors"] -= 1
        assert left["bytes"] >= 0, f"tried to allocate {4 * math.prod(numbers):,} bytes"
        assert left["tensors"] >= 0, "tried to make too many tensors"
        return empty(*size, **options)

    monkeypatch.setattr(torch, "empty", counted)


@pytest.mark.usefixtures("frugal")
def test_the_right_card_loads(tmp_path: Path) -> None:
    """So the refusals below are for what they say."""
    path = with_card(tmp_path / "paint.safetensors", lying())
    assert load_painter(path).card.generator == SMALL


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "paint.safetensors", tmp_path / "latest_net_G.pth", tmp_path):
        with pytest.raises(FileNotFoundError) as caught:
            load_painter(path)
        assert str(caught.value) == f"no such painter: {path}"


HOSTILE: dict[str, bytes] = {
    "nothing": b"",
    "a web page": b"<!doctype html><title>404</title>" * 9,
    "a header of a petabyte": struct.pack("<Q", 10**15) + b"{}",
    "a header that is no JSON": bytes_of('{"a": {"dtype": "F32", "shape": [1'),
    "a header of brackets": bytes_of("[" * 100_000),
    "a tensor of an exabyte": bytes_of(
        {"a": {"dtype": "F32", "shape": [10**9, 10**9], "data_offsets": [0, 4]}}, b"1234"
    ),
    "a tensor beyond the end": bytes_of({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}, b"1234"),
    "tensors that overlap": bytes_of(
        {name: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]} for name in "ab"}, b"1234"
    ),
    "negative offsets": bytes_of({"a": {"dtype": "F32", "shape": [1], "data_offsets": [-4, 0]}}, b"1234"),
    "an unknown type": bytes_of({"a": {"dtype": "X99", "shape": [1], "data_offsets": [0, 4]}}, b"1234"),
    "a pickle": pickle.dumps({"a": 1}),
}


@pytest.mark.parametrize("what", HOSTILE)
@pytest.mark.usefixtures("frugal")
def test_a_file_is_refused_that_holds(tmp_path: Path, what: str) -> None:
    path = tmp_path / "paint.safetensors"
    path.write_bytes(HOSTILE[what])
    assert "is not a whole safetensors file" in refusal(path)


def test_a_painter_cut_short_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "paint.safetensors"
    save_painter(network(), card(), path)
    whole = path.read_bytes()
    for length in (4, 8, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert "is not a whole safetensors file" in refusal(path)


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}, {"card": lying()}])
def test_other_safetensors_are_no_painter(tmp_path: Path, metadata: dict[str, str] | None) -> None:
    path = tmp_path / "model.safetensors"
    save_file(network().state_dict(), path, metadata=metadata)
    assert "is not a painter" in refusal(path)


@pytest.mark.parametrize(
    "written",
    [
        "",
        "{",
        "[]",
        "null",
        "{}",
        "[" * 100_000,
        '{"side":' + "9" * 5000 + "}",
        lying(kind="vit"),
        lying(width=0),
        lying(width="wide"),
        lying(width=10**30),
        lying(unknown=1),
    ],
    ids=lambda written: written[:20],
)
@pytest.mark.usefixtures("frugal")
def test_a_card_that_makes_no_sense_is_refused(tmp_path: Path, written: str) -> None:
    refusal(with_card(tmp_path / "paint.safetensors", written))


@pytest.mark.parametrize("metadata", [{"cyclestyle painter": "1"}, {"cyclestyle painter": "2", "card": lying()}])
def test_a_painter_without_a_card_or_of_a_later_format_is_refused(tmp_path: Path, metadata: dict[str, str]) -> None:
    path = tmp_path / "paint.safetensors"
    save_file(network().state_dict(), path, metadata=metadata)
    refusal(path)


@pytest.mark.parametrize(
    "lie", [{"width": 3}, {"width": 1}, {"blocks": 2}, {"upsampling": "resize"}, {"kind": "unet", "depth": 5}], ids=str
)
def test_a_card_that_lies_about_its_weights_is_refused(tmp_path: Path, lie: dict[str, Any]) -> None:
    assert "does not fit its own card" in refusal(with_card(tmp_path / "paint.safetensors", lying(**lie)))


@pytest.mark.parametrize(
    "lie",
    [
        {"width": 512},
        {"width": 10**9},
        {"kind": "unet", "width": 64},
        {"blocks": 10**9},
        {"width": 64, "blocks": 500},
    ],
    ids=str,
)
@pytest.mark.usefixtures("frugal")
def test_a_card_that_lies_about_its_width_costs_no_memory(tmp_path: Path, lie: dict[str, Any]) -> None:
    """Gigabytes must not be asked for because 10 kB of a file say so."""
    path = with_card(tmp_path / "paint.safetensors", lying(**lie))
    refusal(path)


CHANGES: dict[str, Callable[[dict[str, torch.Tensor]], Any]] = {
    "a tensor missing": lambda weights: weights.pop("encode.1.bias"),
    "a tensor too many": lambda weights: weights.update(more=torch.zeros(1)),
    "a tensor of another shape": lambda weights: weights.update({"encode.1.bias": torch.zeros(5)}),
}


@pytest.mark.parametrize("what", CHANGES)
def test_weights_are_refused_with(tmp_path: Path, what: str) -> None:
    weights = network().state_dict()
    CHANGES[what](weights)
    path = with_card(tmp_path / "paint.safetensors", lying(), weights)
    assert "does not fit its own card" in refusal(path)


@pytest.mark.parametrize("what", ["another network", "a list", "nothing"])
def test_a_wrong_pth_is_refused_by_its_name(tmp_path: Path, what: str) -> None:
    path = tmp_path / "latest_net_G.pth"
    unet = {"model.model.0.weight": torch.zeros(4, 3, 4, 4), "model.model.0.bias": torch.zeros(4)}
    torch.save({"another network": unet, "a list": [], "nothing": {}}[what], path)
    refusal(path)


@pytest.mark.usefixtures("frugal")
def test_a_pth_that_lies_about_its_width_costs_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "latest_net_G.pth"
    state = {"model.1.weight": torch.zeros(500, 3, 7, 7), "model.10.conv_block.1.weight": torch.zeros(1)}
    torch.save(state, path)
    refusal(path)
