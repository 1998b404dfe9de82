"""Compiled networks are the same networks; where nothing compiles, the run goes on and says so."""

from typing import Any

import pytest
import torch
from torch import nn

from cyclestyle.config import Settings
from cyclestyle.data.unpaired import Batch
from cyclestyle.training.compiling import compiled
from cyclestyle.training.cyclegan import Networks, gradients
from cyclestyle.training.learner import build_networks

CPU = torch.device("cpu")


def wanted(**sections: Any) -> Settings:
    return Settings.model_validate(
        {
            "run": "nowhere",
            "generator": {"width": 8, "blocks": 1},
            "discriminator": {"width": 8, "layers": 1},
            "schedule": {"steps": 10},
        }
        | sections
    )


def found_by(nets: Networks, settings: Settings, joined: bool) -> tuple[dict[str, float], list[torch.Tensor]]:
    photos, paintings = torch.rand(2, 2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    batch = Batch(photos, paintings)
    losses = gradients(nets, batch, lambda fakes: fakes, settings.objective, torch.Tensor.backward, joined=joined)
    return {name: loss.item() for name, loss in losses.items()}, [
        p.grad.clone() for net in nets for p in net.parameters() if p.grad is not None
    ]


def assert_alike(one: tuple[dict[str, float], list[torch.Tensor]], two: Any) -> None:
    assert one[0] == pytest.approx(two[0], rel=1e-5)
    largest = max(gradient.abs().max().item() for gradient in one[1])
    assert largest > 0
    for mine, theirs in zip(one[1], two[1], strict=True):
        assert (mine - theirs).abs().max() <= 1e-5 * largest


@pytest.mark.slow  # the compiler takes half a minute
def test_compiled_networks_have_the_losses_and_gradients_of_plain_ones_and_keep_their_names() -> None:
    settings = wanted()
    plain, others = build_networks(settings), build_networks(settings)
    if notes := compiled(others, CPU):
        pytest.skip(notes[0])
    assert [list(net.state_dict()) for net in others] == [list(net.state_dict()) for net in plain]
    assert_alike(found_by(others, settings, joined=True), found_by(plain, settings, joined=False))


@pytest.mark.slow
def test_compiled_generators_keep_the_outputs_of_convolutions_and_hardly_more() -> None:
    """And not the maps that norms and padding make of them, which are computed again on the way back."""
    settings = wanted(generator={"width": 8, "blocks": 4})
    images, found = torch.rand(1, 3, 128, 128), list[int]()
    for compiling in (False, True):
        network = build_networks(settings).paint
        if compiling and (notes := compiled([network], CPU)):
            pytest.skip(notes[0])
        if torch.backends.cpu.get_cpu_capability() != "AVX2":
            pytest.skip("done where it was measured to pay")
        own = {parameter.data_ptr() for parameter in network.parameters()}
        kept: dict[int, int] = {}

        def keep(tensor: torch.Tensor, own: set[int] = own, kept: dict[int, int] = kept) -> torch.Tensor:
            if tensor.data_ptr() not in own:
                kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            painted = network(images)
        found.append(sum(kept.values()) if not compiling else _saved(painted, own))
    plain, other = found
    assert other < 0.45 * plain


def _saved(painted: torch.Tensor, own: set[int]) -> int:
    """Bytes that a compiled network keeps; hooks are not told of them."""
    node = painted.grad_fn
    saved = [tensor for tensor in getattr(node, "saved_tensors", ()) if tensor.data_ptr() not in own]
    assert saved, "one graph, which ends in the painting"
    return sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in saved}.values())


def test_without_a_compiler_nothing_is_compiled_and_a_sentence_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("no C++ compiler\nand a long story")

    monkeypatch.setattr(torch, "compile", broken)
    network = nn.Conv2d(3, 3, 1)
    assert compiled([network], CPU) == ["networks are not compiled: RuntimeError: no C++ compiler"]
    assert network._compiled_call_impl is None
    assert network(torch.zeros(1, 3, 2, 2)).shape == (1, 3, 2, 2)


@pytest.mark.parametrize("joined", [True, False])
def test_checkpointed_generators_have_the_bits_of_plain_ones(joined: bool) -> None:
    plain, checkpointed = wanted(), wanted(compute={"checkpointing": True})
    one = found_by(build_networks(plain), plain, joined)
    two = found_by(build_networks(checkpointed), checkpointed, joined)
    assert one[0] == two[0]
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(one[1], two[1], strict=True))


def test_checkpointing_keeps_less() -> None:
    """Counted in what autograd saves, not in what the process takes."""
    kept = []
    for checkpointing in (False, True):
        nets = build_networks(wanted(generator={"width": 8, "blocks": 9}, compute={"checkpointing": checkpointing}))
        saved: dict[int, int] = {}

        def keep(tensor: torch.Tensor, saved: dict[int, int] = saved) -> torch.Tensor:
            saved[tensor.data_ptr()] = tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            made = nets.paint(torch.zeros(1, 3, 64, 64))
        kept.append(sum(saved.values()))
        assert made.requires_grad
    assert kept[1] < 0.6 * kept[0]


def test_a_unet_is_not_checkpointed() -> None:
    with pytest.raises(ValueError, match=r"compute\.checkpointing is for generator\.kind = resnet"):
        wanted(generator={"kind": "unet"}, compute={"checkpointing": True})
