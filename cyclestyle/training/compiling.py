"""Networks compiled in place (torch.compile): the same formulas, in fewer and larger operations."""

import warnings
from collections.abc import Iterable

import torch
from torch import nn

from cyclestyle.files import reason


def compiled(networks: Iterable[nn.Module], device: torch.device) -> list[str]:
    """Compile networks, if there is what compiles; sentences on why it was not done.

    Weights keep their names. Where convolutions are as fast with maps by channels (CPUs with AVX-512), they are laid
    out so: what is compiled between them is faster then. With AVX2 such convolutions take up to twice as long.
    """
    why = cannot_compile(device)
    if why:
        return [f"networks are not compiled: {why}"]
    for network in networks:
        if device.type == "cpu" and torch.backends.cpu.get_cpu_capability().startswith("AVX512"):
            network.to(memory_format=torch.channels_last)
        network.compile(dynamic=False)  # sizes are few: joined batches and single ones
    return []


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
