"""Averaged generators: what a run hands over."""

import copy

import torch
from torch import nn


class Average:
    """An exponential moving average of a network's weights, with a warm-up.

    After `t` steps the decay is at most (1 + t) / (10 + t), so that a short run is not an average of its beginning
    (the rule of TensorFlow's ExponentialMovingAverage).
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.network = copy.deepcopy(network).requires_grad_(False).eval()
        self._known: tuple[nn.Module | None, list[torch.Tensor], list[torch.Tensor]] = None, [], []

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Take in the weights after step `step`, counted from 1."""
        decay = min(self.decay, (1 + step) / (10 + step))
        if self._known[0] is not network:  # to look them up at each step would keep a GPU waiting
            self._known = network, list(self.network.parameters()), list(network.parameters())
        torch._foreach_lerp_(*self._known[1:], 1.0 - decay)
