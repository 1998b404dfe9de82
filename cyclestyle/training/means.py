"""Means of losses between two lines of the journal."""

from collections.abc import Callable

import torch

from cyclestyle.training.cyclegan import Losses


class Means:
    """Means of losses over the steps since they were last taken, kept on the device until then."""

    def __init__(self) -> None:
        self.sums: dict[str, torch.Tensor] = {}
        self.count = 0

    def add(self, losses: Losses) -> None:
        if self.sums:
            sums = torch._foreach_add([self.sums[name] for name in losses], list(losses.values()))
        else:
            sums = [loss.clone() for loss in losses.values()]
        self.sums = dict(zip(losses, sums, strict=True))
        self.count += 1

    def take(self, reduce: Callable[[torch.Tensor], torch.Tensor]) -> dict[str, float]:
        """The means, averaged over processes by `reduce`; counting begins anew. Empty if nothing was added."""
        if not self.count:
            return {}
        names = sorted(self.sums)
        means = reduce(torch.stack([self.sums[name] for name in names]) / self.count).tolist()
        self.sums, self.count = {}, 0
        return dict(zip(names, means, strict=True))

    def state(self) -> dict[str, torch.Tensor]:
        """The sums so far, for a checkpoint between two lines."""
        return {**self.sums, "count": torch.tensor(self.count)}

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """Go on from what `state` gave."""
        self.count = int(state["count"])
        self.sums = {name: total for name, total in state.items() if name != "count"}
