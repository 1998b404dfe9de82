"""`batch = "auto"`: as many pairs at once as the device is fastest with, found by trying."""

import time
from collections.abc import Callable, Iterator

import torch
from accelerate import Accelerator, PartialState

from cyclestyle.capacity import free_memory, is_full, total_memory
from cyclestyle.config import Settings
from cyclestyle.data.unpaired import Batch
from cyclestyle.processes import Processes
from cyclestyle.training.learner import Learner
from cyclestyle.training.recorded import WARM_UP

BATCHES = (1, 2, 4, 8, 16, 32, 64)
WORTH_IT = 1.1
"""Times as many pairs a second as with half of them: below it, more steps for the same pictures teach more."""
SHARE = 0.6
"""Of the device's memory that may be taken: pictures may lie there, too, in up to a third of the rest
(data/gathering.py), and evaluation and whatever else runs need some."""
LEAST = {"resnet": 60, "unet": 9}
LEAST_CHECKPOINTED = 9
LEAST_BESIDE = 40
"""Numbers that a step keeps of a pair at the least: for each pixel and channel of the first layer, and for each pixel.
Measured on a CPU, 4 to 32 channels: 80 and 67; checkpointed 11 to 22 and 26 to 125; U-Nets 11 and 80."""
TIMED = 3
"""Steps, after those in which compilers and allocators settle."""


def settled(settings: Settings, accelerator: Accelerator, processes: Processes, say: Callable[[str], None]) -> Settings:
    """The settings with a number for `batch = "auto"`, the same on all processes.

    A larger batch is taken only if it is faster by more than a tenth and leaves memory free; the learning rate stays.
    Raises ValueError where not even one pair fits.
    """
    if settings.data.batch != "auto":
        return settings
    best, pace = 1, 0.0
    for batch in BATCHES:
        found = _pace(with_batch(settings, batch), accelerator)
        slowest = -processes.most(-found)[0]
        if slowest <= pace * WORTH_IT:
            break
        best, pace = batch, slowest
    if not pace:
        raise ValueError("not even one pair fits into memory; lower --data.crop or --generator.width")
    if accelerator.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()  # of batches that are not taken
    say(f"batch {best}: {pace:.3g} pairs/s on each device, the most that is worth its memory")
    return with_batch(settings, best)


def require_memory(settings: Settings, device: torch.device) -> None:
    """Raises ValueError for a step that a processor's memory cannot hold: asked to, systems kill the program."""
    if device.type != "cpu":
        return  # a GPU says so itself
    batch = 1 if settings.data.batch == "auto" else settings.data.batch
    each = LEAST_CHECKPOINTED if settings.compute.checkpointing else LEAST[settings.generator.kind]
    size = 4 if settings.compute.mixed_precision in {"no", "auto"} else 2
    needed = size * batch * (each * settings.generator.width + LEAST_BESIDE) * settings.data.crop**2
    there = total_memory()
    if needed > there:
        raise ValueError(
            f"a step of {batch:,} pairs at {settings.data.crop} px takes {needed / 1e9:,.0f} GB or more, and there are "
            f"{there / 1e9:,.0f}; lower --data.batch, --data.crop or --generator.width"
        )


def with_batch(settings: Settings, batch: int) -> Settings:
    """The settings with this many pairs at once."""
    return settings.model_copy(update={"data": settings.data.model_copy(update={"batch": batch})})


def _pace(settings: Settings, accelerator: Accelerator) -> float:
    """Pairs a second of one process; 0 if they do not fit."""
    found, scaler = 0.0, accelerator.scaler
    scale = scaler.state_dict() if scaler else {}
    try:
        found = _timed(settings, accelerator)
    except (RuntimeError, MemoryError) as error:
        if not is_full(error):
            raise
    # outside of the `except`, whose error would keep all tensors of the step alive
    accelerator.free_memory()  # also counts passes anew, which ended in the midst of a step
    if scaler:  # noise taught it, and it may have been left in the midst of a step
        scaler.load_state_dict(scale)
        scaler._per_optimizer_states.clear()
    if settings.compute.compile:
        torch.compiler.reset()  # of so many sizes it would stop compiling
    return found


def _timed(settings: Settings, accelerator: Accelerator) -> float:
    pairs = _pairs(settings, accelerator.device)
    # Alone: of several processes one may run out of memory, and the others would wait for it in the midst of a step.
    learner = Learner(settings, accelerator, Processes(PartialState(), accelerator.device))
    learner.nets = learner.bare
    free, spent = _free(accelerator.device), list[float]()
    for step in range((WARM_UP + 1 if learner.recorded else 2) + TIMED):
        if step == 1 and settings.data.pairs > 1 and _free(accelerator.device) < (1 - SHARE) * free:
            return 0.0
        begun = _now(accelerator.device)
        learner.take_step(pairs, 1.0)
        spent.append(_now(accelerator.device) - begun)
    return settings.data.pairs * settings.compute.accumulate / min(spent[-TIMED:])


def _pairs(settings: Settings, device: torch.device) -> Iterator[Batch]:
    """Noise, over and over."""
    side, chances = settings.data.crop, torch.Generator().manual_seed(settings.seed)
    noise = torch.rand(2, settings.data.pairs, 3, side, side, generator=chances).to(device) * 2 - 1
    while True:
        yield Batch(noise[0], noise[1])


def _free(device: torch.device) -> int:
    """Bytes that can still be had; of a GPU, without what PyTorch holds for the next step."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        return torch.cuda.mem_get_info(device)[0]
    return free_memory(device)


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
