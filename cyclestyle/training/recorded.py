"""A step as CUDA graphs: thousands of small operations recorded once, and started with one call each time after.

At one pair a step a GPU waits for Python most of the time. A graph cannot wait for the processor, nor choose: so
whatever differs from step to step is a tensor that it reads (the pictures, what becomes of them in the memories, the
learning rates), and what is asked of the numbers (are they finite?) is asked between the graph of the gradients and
that of the update.

Not tried on a GPU so far: it was written after PyTorch's documentation; what can be tested without one is.
"""

import gc
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from cyclestyle.data.unpaired import Batch
from cyclestyle.training.cyclegan import Fakes, Losses, Remember
from cyclestyle.training.replay import Replay, Trade, swap

WARM_UP = 11
"""Calls before the recording, which are taken as they are: cuDNN chooses, allocators settle, optimizers make their
memory. PyTorch asks for three, and for eleven under DDP."""

Gradients = Callable[[Batch, Remember], Losses]
"""Adds a batch's gradients to all networks."""


class Recorded:
    """A function of tensors, recorded as a CUDA graph after a few calls.

    The function must do the same with tensors of the same shapes each time, and nothing else that lasts.
    """

    def __init__(self, function: Callable[..., Any], *, warm_up: int = WARM_UP) -> None:
        self.function, self.warm_up = function, warm_up
        self.calls = 0
        self.stream: torch.cuda.Stream | None = None
        self.graph: torch.cuda.CUDAGraph | None = None
        self.inputs: list[torch.Tensor] = []
        self.result: Any = None

    def __call__(self, *given: torch.Tensor) -> Any:
        """What the function returns; its tensors are written over by the next call."""
        self.calls += 1
        if self.calls <= self.warm_up:
            return self._aside(given)
        if self.graph is None:
            self._record(given)
        assert self.graph is not None
        for own, new in zip(self.inputs, given, strict=True):
            own.copy_(new, non_blocking=True)
        self.graph.replay()
        return self.result

    def _aside(self, given: Sequence[torch.Tensor]) -> Any:
        """As a call without a graph; on the stream that will be recorded.

        It is one stream for all: memory that was taken on one is not given to another, and what autograd keeps of a
        stream that is not recorded would break the recording off.
        """
        self.stream = self.stream or torch.cuda.Stream()
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            result = self.function(*given)
        torch.cuda.current_stream().wait_stream(self.stream)
        return result

    def _record(self, given: Sequence[torch.Tensor]) -> None:
        self.inputs = [tensor.clone() for tensor in given]
        graph = torch.cuda.CUDAGraph()
        gc.collect()  # of what lies in cycles, memory is not given back before
        # Threads that load pictures may ask for pinned memory meanwhile, which "global" would not let them.
        with torch.cuda.graph(graph, stream=self.stream, capture_error_mode="thread_local"):
            self.result = self.function(*self.inputs)
        self.graph = graph


class RecordedPass:
    """The gradients of one batch, with both memories, as one graph."""

    def __init__(self, gradients: Gradients, memories: Mapping[str, Replay]) -> None:
        self.gradients, self.memories = gradients, memories
        self.recorded = Recorded(self.run)

    @property
    def is_recorded(self) -> bool:
        """Whether gradients lie where the graph writes them, and have to stay there."""
        return self.recorded.graph is not None

    def __call__(self, batch: Batch, number: int) -> Losses:
        """The losses of pass `number`; the gradients are in the networks."""
        filled = [memory.filled for memory in self.memories.values()]
        plans = [memory.plan(len(batch.photos), number).packed() for memory in self.memories.values()]
        packed = torch.stack(plans).to(batch.photos.device, non_blocking=True)  # all in one transfer
        losses, stood = self.recorded(batch.photos, batch.paintings, packed)
        for memory, before, plan, pictures in zip(self.memories.values(), filled, packed, stood, strict=True):
            memory.note(before, plan[Trade._fields.index("kept")], pictures)
        return losses

    def run(
        self, photos: torch.Tensor, paintings: torch.Tensor, packed: torch.Tensor
    ) -> tuple[Losses, list[torch.Tensor]]:
        """What is recorded: the losses, and what stood in the memories where fakes are kept now.

        Args:
            photos: (n, 3, h, w).
            paintings: (n, 3, h, w).
            packed: (2, 4, n), the trades of both memories.
        """
        trades = dict(zip(self.memories, map(Trade.unpacked, packed), strict=True))
        stood: list[torch.Tensor] = []

        def remember(fakes: Fakes) -> Fakes:
            shown = {}
            for name, memory in self.memories.items():
                fresh = getattr(fakes, name)
                shown[name], before = swap(memory.room(fresh), fresh, trades[name])
                stood.append(before)
            return Fakes(**shown)

        return self.gradients(Batch(photos, paintings), remember), stood


def cannot_record(device: torch.device, processes: int, passes: int, precision: str | None) -> str | None:
    """Why a step cannot be recorded; None if it can."""
    if device.type != "cuda":
        return "it is a way of using an NVIDIA GPU, and there is none"
    if processes > 1:
        return "several processes exchange gradients in the midst of a step"
    if passes > 1:
        return "compute.accumulate is above 1"
    if precision == "fp16":
        return "the loss scaler of fp16 has to look at the gradients; bf16 has none"
    return None
