"""A run's batches are the same whether its pictures are cached or not."""

from pathlib import Path

import pytest
import torch
from conftest import Draw, as_processes

from cyclestyle.config import Settings
from cyclestyle.data.folders import Sets
from cyclestyle.data.unpaired import Batch
from cyclestyle.processes import Processes
from cyclestyle.training.supply import Supply

CPU = torch.device("cpu")


@pytest.fixture
def sets(tmp_path: Path, draw: Draw) -> Sets:
    return Sets(draw(tmp_path / "photos", 7), draw(tmp_path / "paintings", 5, seed=1), [], [])


def settings(cache: str) -> Settings:
    data = {"augmentation": "paper", "crop": 16, "resize": 20, "batch": 2, "workers": 0, "cache": cache}
    return Settings.model_validate(
        {"run": "unused", "data": data, "discriminator": {"layers": 2}, "schedule": {"steps": 9}, "seed": 4}
    )


def taken(sets: Sets, cache: str, processes: Processes, first: int = 0) -> list[Batch]:
    supply = Supply(sets, settings(cache), processes, CPU)
    supply.cache(pytest.fail, lambda: False)
    assert (supply.cached is not None) == (cache != "off")
    return list(supply.batches(first, 9))


def same(one: list[Batch], other: list[Batch]) -> bool:
    return len(one) == len(other) and all(
        torch.equal(a.photos, b.photos) and torch.equal(a.paintings, b.paintings)
        for a, b in zip(one, other, strict=True)
    )


def test_cached_or_not_each_process_gets_its_share(sets: Sets) -> None:
    cached, read = (
        as_processes(2, lambda processes, cache=cache: taken(sets, cache, processes)) for cache in ("auto", "off")
    )
    for mine, other in zip(cached, read, strict=True):
        assert same(mine, other)
    assert not same(*cached)


def test_it_begins_anywhere(sets: Sets) -> None:
    for cache in ("auto", "off"):
        (whole,), (rest,) = (as_processes(1, lambda p, at=at, c=cache: taken(sets, c, p, at)) for at in (0, 5))
        assert same(rest, whole[5:])


def test_names_are_those_of_the_pictures_that_come(sets: Sets) -> None:
    (supply,) = as_processes(1, lambda processes: Supply(sets, settings("off"), processes, CPU))
    photo, painting = supply.names(3)
    assert photo in sets.photos
    assert painting in sets.paintings
    before = [supply.names(place) for place in range(30)]
    supply.cache(pytest.fail, lambda: False)
    assert [supply.names(place) for place in range(30)] == before


def test_where_nothing_can_be_cached_files_are_read_and_that_is_said(
    sets: Sets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CYCLESTYLE_CACHE", str(tmp_path / "file"))
    (supply,) = as_processes(1, lambda processes: Supply(sets, settings("auto"), processes, CPU))
    said: list[str] = []
    supply.cache(said.append, lambda: False)
    assert len(said) == 1
    (expected,) = as_processes(1, lambda processes: taken(sets, "off", processes))
    assert same(list(supply.batches(0, 9)), expected)
