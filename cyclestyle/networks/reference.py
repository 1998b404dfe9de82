"""Weights of the public reference implementation (pytorch-CycleGAN-and-pix2pix) in our networks.

Its `latest_net_G.pth` is a plain dictionary of tensors whose names count the layers of one `nn.Sequential` called
`model`: `model.1.weight`, `model.10.conv_block.1.bias`, ... Ours have the same layers in the same order under names
that say what they are for, so the convolutions correspond one to one.
"""

import re
from pathlib import Path

import torch
from torch import nn

from cyclestyle.config import DiscriminatorSettings, GeneratorSettings
from cyclestyle.networks.discriminator import build_discriminator
from cyclestyle.networks.generator import build_generator
from cyclestyle.networks.stored import is_plain

State = dict[str, torch.Tensor]

# Old checkpoints carry the running statistics of instance norm, which nothing ever used.
_UNUSED = re.compile(r"\.(running_mean|running_var|num_batches_tracked)$")


def read_reference(path: Path) -> State:
    """The tensors in a reference checkpoint; nothing in the file is executed.

    Raises ValueError for anything that is not a plain dictionary of tensors in the reference's names.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged files make the restricted unpickler raise errors of every kind
        reason = str(error).strip().splitlines()[0][:120] if str(error).strip() else type(error).__name__
        raise ValueError(f"{path} is not a file of plain weights: {reason}") from None
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor) and is_plain(value) for name, value in state.items()
    ):
        raise ValueError(f"{path} does not hold a plain dictionary of tensors, as latest_net_G.pth does")
    state = {name.removeprefix("module."): value for name, value in state.items() if not _UNUSED.search(name)}
    if not state or not all(name.startswith("model.") for name in state):
        raise ValueError(f"{path} does not have the reference implementation's names (model.1.weight, ...)")
    return state


def generator_from_reference(state: State) -> tuple[nn.Module, GeneratorSettings]:
    """A residual generator with the reference's weights; width and number of blocks are read from them."""
    blocks = len({name.split(".")[1] for name in state if ".conv_block." in name})
    first = state.get("model.1.weight")
    if not blocks or first is None or first.ndim != 4 or not first.numel():
        raise ValueError("these are not the weights of a reference ResNet generator; other networks cannot be read")
    settings = GeneratorSettings(kind="resnet", width=first.shape[0], blocks=blocks)
    with torch.device("meta"):  # a tensor may claim a width that no other fills
        network = build_generator(settings)
    _copy_in_order(state, network)
    return network, settings


def discriminator_from_reference(state: State) -> tuple[nn.Module, DiscriminatorSettings]:
    """A PatchGAN discriminator with the reference's weights; width and depth are read from them."""
    convolutions = [name for name in state if name.endswith(".weight")]
    first = state.get("model.0.weight")
    if first is None or first.shape[1:] != (3, 4, 4):
        raise ValueError("these are not the weights of a reference PatchGAN discriminator")
    layers = len(convolutions) - 2
    if not first.numel() or not 1 <= layers <= 6:
        raise ValueError("only reference PatchGAN discriminators with 1 to 6 layers can be read")
    settings = DiscriminatorSettings(kind="patch", width=first.shape[0], layers=layers)
    with torch.device("meta"):
        network = build_discriminator(settings)
    _copy_in_order(state, network)
    return network, settings


def _copy_in_order(state: State, network: nn.Module) -> None:
    """Give the network's convolutions the weights of `state`, both taken from the first layer to the last."""
    ordered = sorted(state, key=_layer_order)
    ours = network.state_dict()
    if len(ordered) != len(ours):
        raise ValueError(f"expected {len(ours)} tensors for this network, found {len(ordered)}")
    for own_name, name in zip(_in_layer_order(ours), ordered, strict=True):
        if ours[own_name].shape != state[name].shape:
            expected, found = tuple(ours[own_name].shape), tuple(state[name].shape)
            raise ValueError(f"{name} has shape {found}; the network has {expected} there")
        ours[own_name] = state[name].float()
    network.load_state_dict(ours, assign=True)


def _in_layer_order(state: State) -> list[str]:
    """Our names, in the order of the layers (the order of registration), each bias before its weight."""
    names = list(state)
    return [other for name in names if name.endswith(".weight") for other in (name.replace(".weight", ".bias"), name)]


def _layer_order(name: str) -> tuple[list[int], str]:
    return [int(part) for part in name.split(".") if part.isdigit()], name
