"""How this process was started."""

import pytest

from cyclestyle.launch import must_be_together, restarts_may_hang, wants_cpu


@pytest.mark.parametrize("word", ["true", "True", "1", "yes"])
def test_the_processor_is_taken_when_asked_for(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.accelerator.is_available", lambda: True)
    monkeypatch.setenv("ACCELERATE_USE_CPU", word)
    assert wants_cpu()
    monkeypatch.setenv("ACCELERATE_USE_CPU", "false")
    assert not wants_cpu()


def test_the_processor_is_taken_where_there_is_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ACCELERATE_USE_CPU", raising=False)
    monkeypatch.setattr("torch.accelerator.is_available", lambda: False)
    assert wants_cpu()


def test_processes_that_do_not_see_each_other_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    must_be_together(2)
    with pytest.raises(ValueError, match="2 processes were started, but each sees only 1"):
        must_be_together(1)
    monkeypatch.delenv("WORLD_SIZE")
    must_be_together(1)


@pytest.mark.parametrize(
    ("restarts", "shared", "warned"), [("3", "True", True), ("0", "True", False), ("3", "False", False)]
)
def test_restarts_that_may_hang_are_warned_of(
    restarts: str, shared: str, warned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert restarts_may_hang() is None
    monkeypatch.setenv("TORCHELASTIC_MAX_RESTARTS", restarts)
    monkeypatch.setenv("TORCHELASTIC_USE_AGENT_STORE", shared)
    assert (restarts_may_hang() is not None) == warned
