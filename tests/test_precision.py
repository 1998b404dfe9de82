"""Networks in bf16 (cyclestyle.networks.precision): pictures and features stay in fp32, and come near."""

import os
import subprocess
import sys
import threading
from typing import Any

import pytest
import torch
from test_inception import whole
from torch import Tensor

from cyclestyle.config import GeneratorSettings
from cyclestyle.networks import precision
from cyclestyle.networks.extractors import random_network
from cyclestyle.networks.inception import Inception
from cyclestyle.networks.painter import Painter, PainterCard
from cyclestyle.networks.precision import computing_in, full_fp32, knows, settled
from cyclestyle.styling.moments import moments

CPU = torch.device("cpu")


def pictures(count: int, side: int = 64) -> Tensor:
    coarse = torch.rand(count, 3, 5, 5, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return torch.nn.functional.interpolate(coarse, (side, side), mode="bicubic").clamp(-1, 1)


def off(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


@pytest.mark.parametrize("kind", ["vgg19-distilled", "alexnet", "squeezenet", "resnet18"])
def test_features_come_as_the_pictures_are_and_near_those_of_fp32(kind: Any) -> None:
    exact, rough = random_network(kind), computing_in("bf16", random_network(kind))
    images, taps = pictures(2), (exact.taps[0], exact.taps[-1])
    for tap, expected in exact(images, taps).items():
        found = rough(images, taps)[tap]
        assert found.dtype == torch.float32
        assert found.is_contiguous(memory_format=torch.channels_last)
        assert 1e-4 < off(found, expected) < 0.15, tap  # 8 bits, and not 24, through up to 26 layers


def test_gpus_keep_all_bits_of_fp32_where_it_is_asked_for() -> None:
    before = torch.backends.cudnn.allow_tf32
    with full_fp32(), full_fp32():
        assert (torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic) == (False, True)
        assert not torch.backends.cuda.matmul.allow_tf32
    assert torch.backends.cudnn.allow_tf32 == before

    class Asked(torch.nn.Module):
        multiple, said = 1, ()

        def forward(self, images: Tensor) -> Tensor:
            self.said = (*self.said, torch.backends.cudnn.allow_tf32)
            return images

    network, card = Asked(), PainterCard(direction="unknown", generator=GeneratorSettings(), side=None, step=None)
    Painter(network, card, "")(pictures(2, 16))
    assert network.said == (False, False)
    assert torch.backends.cudnn.allow_tf32 == before


def test_threads_that_paint_at_the_same_time_do_not_undo_each_other() -> None:
    cudnn, both, done = torch.backends.cudnn, threading.Barrier(2), threading.Barrier(2)
    before, seen = (cudnn.allow_tf32, cudnn.deterministic), []

    def paint(first: bool) -> None:
        with full_fp32():
            both.wait()
            if not first:
                done.wait()  # the first one has left
            seen.append(cudnn.allow_tf32)
        if first:
            done.wait()

    threads = [threading.Thread(target=paint, args=(first,)) for first in (True, False)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [False, False]
    assert (cudnn.allow_tf32, cudnn.deterministic) == before


@pytest.mark.skipif(not hasattr(torch.backends.cudnn, "conv"), reason="this PyTorch has one flag for all")
@pytest.mark.parametrize("chosen", ["ieee", "tf32", "none"])
@pytest.mark.parametrize("kind", ["cudnn.conv", "cuda.matmul"])
def test_whoever_chose_by_pytorch_s_newer_flags_finds_them_as_they_were(kind: str, chosen: str) -> None:
    """The older flag may not be read then."""
    said = subprocess.run([sys.executable, "-c", CHOSEN, kind, chosen], capture_output=True, text=True, check=True)
    inside, before, after = said.stdout.split()
    assert inside == "ieee"
    assert after == before


CHOSEN = """
import sys
import torch
from cyclestyle.networks.precision import full_fp32
library, kind = sys.argv[1].split(".")
part = getattr(getattr(torch.backends, library), kind)
part.fp32_precision = before = sys.argv[2]
with full_fp32():
    print(part.fp32_precision)
print(before, part.fp32_precision)
"""


@pytest.mark.parametrize("asked", ["highest", "high", "medium"])
def test_products_of_matrices_keep_all_bits_too_and_are_given_back_as_they_were(asked: str) -> None:
    """By what a program asked for, or by the environment of a container: both before anything was imported."""
    surrounding = os.environ | {"TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": str(int(asked == "high"))}
    command = [sys.executable, "-c", PRODUCTS, *([] if asked == "high" else [asked])]
    said = subprocess.run(command, capture_output=True, text=True, check=True, env=surrounding)
    assert said.stdout.split() == ["highest", "False", asked]


PRODUCTS = """
import sys
import torch
from cyclestyle.networks.precision import full_fp32
for asked in sys.argv[1:]:
    torch.set_float32_matmul_precision(asked)
with full_fp32():
    print(torch.get_float32_matmul_precision(), torch.backends.cuda.matmul.allow_tf32)
print(torch.get_float32_matmul_precision())
"""


def test_statistics_are_nearer_than_features() -> None:
    """They are summed in fp32: errors of many positions cancel."""
    exact, rough = (computing_in(one, random_network("vgg19-distilled")) for one in ("fp32", "bf16"))
    images, tap = pictures(1, 96), "relu2_1"
    ours, theirs = (moments(network(images, (tap,))[tap]) for network in (rough, exact))
    assert ours.second.dtype == torch.float32
    assert off(ours.mean, theirs.mean) < 5e-3
    assert off(ours.second, theirs.second) < 1e-2


def test_the_pictures_gradient_is_of_their_kind_and_near() -> None:
    gradients = []
    for one in ("fp32", "bf16"):
        network, leaf = computing_in(one, random_network("vgg19-distilled")), pictures(1).requires_grad_()
        network(leaf, ("relu3_1",))["relu3_1"].square().mean().backward()
        assert leaf.grad is not None
        gradients.append(leaf.grad)
    assert gradients[1].dtype == torch.float32
    # Where two values of a pooling are nearly the same, rounding sends a gradient to the other one
    assert 1e-4 < off(gradients[1], gradients[0]) < 0.5
    assert torch.cosine_similarity(*(gradient.flatten() for gradient in gradients), dim=0) > 0.85


@pytest.mark.parametrize("smaller", [1.0, 2.0**-20, 2.0**-40])
def test_gradients_in_fp16_are_as_good_however_small_they_are(smaller: float) -> None:
    """Those of one picture beside another's, too: style transfer's fall with the number of pixels."""
    gradients = []
    for one in ("fp32", "fp16"):
        network, leaf = computing_in(one, random_network("vgg19-distilled")), pictures(2).requires_grad_()
        found, weights = network(leaf, ("relu1_1", "relu3_1")), torch.tensor([1.0, smaller])
        sum((map_.square().mean((1, 2, 3)) * weights).sum() for map_ in found.values()).backward()
        assert leaf.grad is not None
        gradients.append(leaf.grad / weights.view(2, 1, 1, 1))
    exact, rough = gradients
    assert rough.dtype == torch.float32
    for picture in range(2):
        assert 1e-4 < off(rough[picture], exact[picture]) < 0.3
    assert torch.equal(rough[0], rough[0].nan_to_num())


def test_without_any_slope_gradients_in_fp16_are_0() -> None:
    network, leaf = computing_in("fp16", random_network("vgg19-distilled")), pictures(1).requires_grad_()
    (network(leaf, ("relu1_1",))["relu1_1"] * 0).sum().backward()
    assert leaf.grad is not None
    assert torch.equal(leaf.grad, torch.zeros_like(leaf))


def test_fp32_changes_nothing() -> None:
    plain, same = random_network("alexnet"), computing_in("fp32", random_network("alexnet"))
    images = pictures(1)
    assert torch.equal(plain(images, ("relu3",))["relu3"], same(images, ("relu3",))["relu3"])


def test_inceptions_means_are_taken_in_fp32() -> None:
    tensors = whole()
    exact, rough = Inception(tensors, {}), computing_in("bf16", Inception(tensors, {}))
    images = pictures(1)
    with torch.inference_mode():
        expected, found = exact(images, (64, 192)), rough(images, (64, 192))
    for level in (64, 192):
        assert found[level].dtype == torch.float32
        assert 0 < off(found[level], expected[level]) < 0.01


def test_where_there_is_no_bf16_a_sentence_says_that_fp32_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "knows", lambda wanted, device: False)
    taken, note = settled("bf16", CPU)
    assert taken == "fp32"
    assert note is not None
    assert "fp32 is taken" in note
    assert settled("fp32", CPU) == ("fp32", None)
    monkeypatch.setattr(precision, "knows", lambda wanted, device: True)
    assert settled("bf16", CPU) == ("bf16", None)


def test_a_processor_has_what_torch_says_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for found, expected in (({"avx2": True}, False), ({"avx512_bf16": True}, True), ({"amx_bf16": True}, True)):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda found=found: found, raising=False)
        assert knows("bf16", CPU) is expected
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert not knows("bf16", CPU)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_features_come_near_too() -> None:
    device = torch.device("cuda")
    exact = random_network("vgg19-distilled").to(device)
    rough = computing_in("bf16", random_network("vgg19-distilled")).to(device)
    images = pictures(2).to(device)
    expected, found = (network(images, ("relu3_1",))["relu3_1"] for network in (exact, rough))
    assert off(found, expected) < 0.03
