"""Networks compiled in place (torch.compile): the same formulas, in fewer and larger operations."""

import warnings
from collections.abc import Collection

import torch
import torch._functorch.config as functorch_config
from torch import nn

from cyclestyle.files import reason
from cyclestyle.networks.layers import ReflectionPad

BUDGET = 0.99
"""Share of what the compiler would keep for the way back. Below 1, what takes no convolution is computed again there,
if that keeps less. It takes some time, little beside convolutions on a processor without AVX-512."""


def compiled(networks: Collection[nn.Module], device: torch.device) -> list[str]:
    """Compile networks, if there is what compiles; sentences on why it was not done.

    Weights keep their names. Where convolutions are as fast with maps by channels (CPUs with AVX-512), they are laid
    out so: what is compiled between them is faster then. With AVX2 such convolutions take up to twice as long, and the
    compiler is kept from doing that by itself.
    """
    why = cannot_compile(device)
    if why:
        return [f"networks are not compiled: {why}"]
    options: dict[str, bool] = {}
    processor = torch.backends.cpu.get_cpu_capability() if device.type == "cpu" else ""
    if processor.startswith("AVX512"):
        for network in networks:
            network.to(memory_format=torch.channels_last)
    elif processor == "AVX2":
        options = {"layout_optimization": False}
        keep_less(networks)
    for network in networks:
        network.compile(dynamic=False, options=options)  # sizes are few: joined batches and single ones
    return []


def keep_less(networks: Collection[nn.Module]) -> None:
    """Let the compiler keep for the way back what convolutions give, and not what norms and padding make of it."""
    functorch_config.activation_memory_budget = BUDGET
    for network in networks:
        for module in network.modules():
            if isinstance(module, ReflectionPad):
                module.may_be_repeated = True


def cannot_compile(device: torch.device) -> str | None:
    """Why nothing can be compiled here, in a sentence; None if it can. Found by trying."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            probe = torch.compile(lambda x: (x * 2 + 1).relu().sum())
            probe(torch.zeros(8, device=device))
    except Exception as error:
        return f"{type(error).__name__}: {reason(error).splitlines()[0][:200]}"
    return None
