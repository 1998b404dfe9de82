"""What CUDA graphs record is the same step: on a CPU without the recording, on a GPU with it."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from accelerate import Accelerator

from cyclestyle.config import Settings
from cyclestyle.data.unpaired import Batch
from cyclestyle.training.feed import Feed
from cyclestyle.training.learner import Learner
from cyclestyle.training.recorded import WARM_UP, RecordedPass, cannot_record

pytestmark = pytest.mark.usefixtures("fresh_accelerate")


def wanted(**compute: Any) -> Settings:
    return Settings.model_validate(
        {
            "run": "nowhere",
            "data": {"crop": 16, "resize": 16, "batch": 2},
            "generator": {"width": 4, "blocks": 1},
            "discriminator": {"width": 4, "layers": 1},
            "objective": {"replay": 3},
            "schedule": {"steps": 40},
            "compute": {"mixed_precision": "no"} | compute,
        }
    )


def batches(device: torch.device) -> Iterator[Batch]:
    chances = torch.Generator().manual_seed(0)
    while True:
        photos, paintings = (torch.rand(2, 2, 3, 16, 16, generator=chances) * 2 - 1).to(device)
        yield Batch(photos, paintings)


def state(learner: Learner) -> dict[str, torch.Tensor]:
    weights = {f"{k}.{n}": v.clone() for k, net in learner.bare._asdict().items() for n, v in net.state_dict().items()}
    memories = {name: memory.state() for name, memory in learner.memories.items()}
    return weights | {name: pictures for name, pictures in memories.items() if pictures is not None}


def test_a_pass_that_can_be_recorded_has_the_bits_of_one_that_is_not() -> None:
    """Losses, gradients and memories, while these fill and afterwards; and a step that is skipped leaves no trace."""
    plain, other = (Learner(wanted(), Accelerator(cpu=True)) for _ in range(2))
    recording = RecordedPass(other._gradients, other.memories)
    recording.recorded.warm_up = 0
    recording.recorded = recording.run  # type: ignore[assignment] - as it is recorded, without a GPU to record it

    for number, batch in zip(range(12), batches(torch.device("cpu")), strict=False):
        losses = [plain._pass(batch, number), recording(batch, number)]
        assert losses[0].keys() == losses[1].keys()
        assert all(torch.equal(losses[0][name], losses[1][name]) for name in losses[0])
        for mine, theirs in zip(plain.bare, other.bare, strict=True):
            for one, two in zip(mine.parameters(), theirs.parameters(), strict=True):
                assert torch.equal(one.grad, two.grad)  # type: ignore[arg-type]
        for learner in (plain, other):
            for memory in learner.memories.values():
                memory.take_back() if number % 4 == 3 else memory.settle()
            learner._forget_gradients()
        assert all(torch.equal(value, state(other)[name]) for name, value in state(plain).items())
    assert other.memories["photos"].filled == 3


@pytest.fixture
def same_bits() -> Iterator[None]:
    """As a training that is to be exact: operations that may differ are refused."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def test_what_cannot_be_recorded_is_said_in_a_sentence_and_trained_without() -> None:
    learner = Learner(wanted(graph=True), Accelerator(cpu=True))
    assert learner.recorded is None
    (note,) = learner.notes
    assert note == "steps are not recorded as CUDA graphs: it is a way of using an NVIDIA GPU, and there is none"
    assert learner.take_step(batches(torch.device("cpu")), 1.0).troubles == []


def test_all_that_stands_in_the_way_is_named() -> None:
    cuda = torch.device("cuda")
    assert cannot_record(cuda, 1, 1, "bf16") is None
    reasons = [cannot_record(cuda, 2, 1, "no"), cannot_record(cuda, 1, 2, "no"), cannot_record(cuda, 1, 1, "fp16")]
    assert None not in reasons
    assert len(set(reasons)) == 3


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.usefixtures("same_bits")
def test_recorded_steps_have_the_bits_of_those_that_are_not() -> None:
    """Through the warm-up, the recording and beyond it, with a step in the midst that is skipped."""
    found = []
    for graph in (False, True):
        learner = Learner(wanted(graph=graph), Accelerator())
        given, losses = batches(learner.accelerator.device), []
        for number in range(WARM_UP + 10):
            if number == WARM_UP + 5:
                learner.guard.usual = dict.fromkeys(learner.guard.usual, 1e-9)  # everything is unusual now
            taken = learner.take_step(given, 1.0 - number / 40)
            losses.append({name: loss.clone() for name, loss in taken.losses.items()})
        assert (learner.recorded is not None and learner.recorded.is_recorded) == graph
        found.append((losses, state(learner)))
    (plain, weights), (recorded, others) = found
    for one, two in zip(plain, recorded, strict=True):
        assert all(torch.equal(loss, two[name]) for name, loss in one.items())
    assert all(torch.equal(value, others[name]) for name, value in weights.items())


class Counted(Iterator[Batch]):
    """Batches that know how often they were asked for ahead of their turn."""

    def __init__(self) -> None:
        self.batches, self.asked = batches(torch.device("cpu")), 0

    def ahead(self) -> None:
        self.asked += 1

    def __next__(self) -> Batch:
        return next(self.batches)


def test_the_next_batch_is_gathered_before_a_step_s_numbers_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """While a GPU computes them, that costs nothing; afterwards the GPU would wait for it."""
    learner, source, asked = Learner(wanted(), Accelerator(cpu=True)), Counted(), list[int]()
    look, feed = learner._look, Feed(lambda first: source, 0, print)
    monkeypatch.setattr(learner, "_look", lambda numbers: asked.append(source.asked) or look(numbers))
    for _ in range(3):
        learner.take_step(feed, 1.0)
    assert asked == [1, 2, 3]
