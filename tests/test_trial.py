"""`batch = "auto"` takes what is fastest, and what fits."""

from typing import Any

import pytest
import torch
from accelerate import Accelerator

from cyclestyle.config import ComputeSettings, Settings
from cyclestyle.data.unpaired import Batch
from cyclestyle.processes import Processes
from cyclestyle.training import trial
from cyclestyle.training.cyclegan import Losses, Remember
from cyclestyle.training.learner import Learner
from cyclestyle.training.trial import BATCHES, require_memory, settled

pytestmark = pytest.mark.usefixtures("fresh_accelerate")


def wanted(**data: Any) -> Settings:
    return Settings.model_validate(
        {
            "run": "nowhere",
            "data": {"crop": 16, "resize": 16} | data,
            "generator": {"width": 4, "blocks": 1},
            "discriminator": {"width": 4, "layers": 1},
            "schedule": {"steps": 5},
        }
    )


def settle(settings: Settings) -> tuple[int, list[str]]:
    said: list[str] = []
    found = settled(settings, Accelerator(cpu=True), Processes.join(), said.append)
    return found.data.pairs, said


def paces(monkeypatch: pytest.MonkeyPatch, found: dict[int, float | Exception]) -> list[int]:
    """Pairs a second by batch, in place of steps; the batches that are tried, in their order."""
    tried: list[int] = []

    def timed(settings: Settings, accelerator: Accelerator) -> float:
        tried.append(settings.data.pairs)
        pace = found[settings.data.pairs]
        if isinstance(pace, Exception):
            raise pace
        return pace

    monkeypatch.setattr(trial, "_timed", timed)
    return tried


class OutOfMemoryError(RuntimeError):
    """Called as CUDA's is."""


def test_a_number_stays() -> None:
    assert settle(wanted(batch=3)) == (3, [])


@pytest.mark.slow
def test_real_steps_end_in_one_of_the_batches_and_say_so() -> None:
    found, said = settle(wanted(batch="auto"))
    assert found in BATCHES
    assert said[0].startswith(f"batch {found}: ")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("found", "best", "last"),
    [
        ({1: 10.0, 2: 18.0, 4: 30.0, 8: 31.0}, 4, 8),  # a tenth more at least
        ({1: 10.0, 2: 9.0}, 1, 2),
        ({1: 10.0, 2: 20.0, 4: OutOfMemoryError("full")}, 2, 4),
        ({1: 10.0, 2: MemoryError()}, 1, 2),
        ({1: 10.0, 2: 20.0, 4: 0.0}, 2, 4),  # it fits, but leaves too little
    ],
)
def test_the_largest_that_is_worth_it_and_fits(
    found: dict[int, float | Exception], best: int, last: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = paces(monkeypatch, found)
    assert settle(wanted(batch="auto"))[0] == best
    assert tried[-1] == last


def test_where_not_even_one_fits_it_says_what_to_lower(monkeypatch: pytest.MonkeyPatch) -> None:
    paces(monkeypatch, {1: OutOfMemoryError("full")})
    with pytest.raises(ValueError, match=r"not even one pair fits into memory; lower --data\.crop"):
        settle(wanted(batch="auto"))


def test_what_was_tried_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that ended in its midst had counted a pass: from then on gradients would be exchanged in the wrong one."""
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=2)
    settings = wanted(batch="auto").model_copy(update={"compute": ComputeSettings(accumulate=2)})
    whole, passes = Learner._gradients, 0

    def full(learner: Learner, batch: Batch, remember: Remember) -> Losses:
        nonlocal passes
        passes += len(batch.photos) == 2
        if passes == 3:
            raise OutOfMemoryError("full")
        return whole(learner, batch, remember)

    monkeypatch.setattr(Learner, "_gradients", full)
    assert settled(settings, accelerator, Processes.join(), str).data.pairs == 1
    assert passes == 3
    assert (accelerator.step, accelerator._models) == (0, [])


def test_other_errors_are_not_taken_for_a_full_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    paces(monkeypatch, {1: RuntimeError("something else")})
    with pytest.raises(RuntimeError, match="something else"):
        settle(wanted(batch="auto"))


@pytest.mark.parametrize(
    ("changes", "each"),
    [
        ({}, 4 * (60 * 4 + 40)),
        ({"compute": {"checkpointing": True}}, 4 * (9 * 4 + 40)),
        ({"compute": {"mixed_precision": "bf16"}}, 2 * (60 * 4 + 40)),
    ],
)
def test_what_no_memory_can_hold_is_refused_before_a_system_kills_it(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], each: int
) -> None:
    monkeypatch.setattr(trial, "total_memory", lambda: 10 * each * 16**2)
    for batch in ("auto", 10):
        require_memory(Settings.model_validate(wanted(batch=batch).model_dump() | changes), torch.device("cpu"))
    too_many = Settings.model_validate(wanted(batch=11).model_dump() | changes)
    require_memory(too_many, torch.device("meta"))  # a GPU refuses by itself
    with pytest.raises(ValueError, match=r"^a step of 11 pairs at 16 px .* --data\.batch"):
        require_memory(too_many, torch.device("cpu"))
