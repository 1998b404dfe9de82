"""The memory of made pictures: fills, then exchanges about half, and neither loses nor invents a picture."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cyclestyle.training.replay import Replay


def numbered(*numbers: int) -> torch.Tensor:
    """Pictures (n, 3, 2, 2) that carry a number each."""
    return torch.tensor(numbers, dtype=torch.float32)[:, None, None, None].expand(-1, 3, 2, 2).clone()


def numbers_of(pictures: torch.Tensor | None) -> list[int]:
    assert pictures is not None
    assert all((picture == picture.flatten()[0]).all() for picture in pictures)
    return [int(picture.flatten()[0]) for picture in pictures]


def test_it_fills_and_returns_the_current_pictures_meanwhile() -> None:
    memory = Replay(5, 0)
    assert memory.state() is None
    for number in range(5):
        assert numbers_of(memory.exchange(numbered(number), number)) == [number]
        assert numbers_of(memory.state()) == list(range(number + 1))


def test_about_half_are_exchanged_once_it_is_full_and_all_places_are_drawn() -> None:
    size, draws = 10, 2000
    memory = Replay(size, 7)
    memory.exchange(numbered(*range(size)), 0)
    exchanged, taken = 0, [0] * size
    for number in range(1, draws + 1):
        before = numbers_of(memory.state())
        (shown,) = numbers_of(memory.exchange(numbered(1000 + number), number))
        after = numbers_of(memory.state())
        if shown == 1000 + number:
            assert after == before  # returned, not kept
        else:
            place = before.index(shown)
            assert after == [*before[:place], 1000 + number, *before[place + 1 :]]
            exchanged += 1
            taken[place] += 1
    # five standard deviations of binomial(2000, 1/2), and of each place's share
    assert abs(exchanged - draws / 2) < 5 * math.sqrt(draws / 4)
    deviation = math.sqrt(exchanged / size * (1 - 1 / size))
    assert all(abs(count - exchanged / size) < 5 * deviation for count in taken)


def test_a_picture_that_replaced_another_is_returned_later() -> None:
    memory = Replay(1, 3)
    memory.exchange(numbered(0), 0)
    kept, returned = [0], []
    for number in range(1, 60):
        (shown,) = numbers_of(memory.exchange(numbered(number), number))
        if shown != number:
            returned.append(shown)
            kept.append(number)
    assert len(returned) > 10
    assert returned == kept[:-1]  # each one kept comes back, in order, except the one that is still there


@settings(max_examples=60, deadline=None)
@given(size=st.integers(1, 6), batches=st.lists(st.integers(1, 4), min_size=1, max_size=20), seed=st.integers(0, 99))
def test_no_picture_is_ever_lost_or_invented(size: int, batches: list[int], seed: int) -> None:
    memory, given_so_far, shown = Replay(size, seed), 0, []
    for number, count in enumerate(batches):
        fresh = range(given_so_far, given_so_far + count)
        given_so_far += count
        shown += numbers_of(memory.exchange(numbered(*fresh), number))
    held = numbers_of(memory.state())
    first = list(range(min(size, given_so_far)))  # shown while filling, and also kept
    assert sorted(shown + held) == sorted(list(range(given_so_far)) + first)


def test_what_is_given_is_never_written_to_and_what_is_shown_is_never_changed_later() -> None:
    memory = Replay(1, 3)
    given_in = [numbered(number) for number in range(40)]
    shown = [memory.exchange(pictures, number) for number, pictures in enumerate(given_in)]
    seen = [numbers_of(pictures) for pictures in shown]
    memory.exchange(numbered(99, 99, 99, 99, 99, 99), 40)
    assert [numbers_of(pictures) for pictures in given_in] == [[number] for number in range(40)]
    assert [numbers_of(pictures) for pictures in shown] == seen


def test_size_zero_remembers_nothing() -> None:
    memory = Replay(0, 1)
    for number in range(20):
        assert numbers_of(memory.exchange(numbered(number, number + 1), number)) == [number, number + 1]
    assert memory.state() is None


@pytest.mark.parametrize("passes", [1, 2, 5, 30])
def test_a_restored_memory_goes_on_as_if_nothing_had_happened(passes: int) -> None:
    def go(memory: Replay, first: int, last: int) -> list[int]:
        exchanged = (memory.exchange(numbered(2 * number, 2 * number + 1), number) for number in range(first, last))
        return [number for pictures in exchanged for number in numbers_of(pictures)]

    without_stop = Replay(4, 11)
    go(without_stop, 0, passes)
    stopped, state = Replay(4, 11), without_stop.state()
    assert state is not None
    stopped.restore(state)
    assert go(stopped, passes, passes + 40) == go(without_stop, passes, passes + 40)
    assert numbers_of(stopped.state()) == numbers_of(without_stop.state())


def choices(*key: int) -> list[int]:
    memory = Replay(8, *key)
    memory.exchange(numbered(*range(8)), 0)
    return [numbers_of(memory.exchange(numbered(100 + number), number))[0] for number in range(1, 100)]


def test_the_same_key_and_pass_have_the_same_chances() -> None:
    assert choices(5, 0, 1) == choices(5, 0, 1)


def test_another_seed_rank_or_domain_has_other_chances() -> None:
    found = [choices(5, 0, 0), choices(6, 0, 0), choices(5, 1, 0), choices(5, 0, 1)]
    assert all(one != other for place, one in enumerate(found) for other in found[:place])


# --- steps that are skipped ---------------------------------------------------------------------------------------


def held(memory: Replay) -> list[int]:
    state = memory.state()
    return [] if state is None else numbers_of(state)


@settings(max_examples=80, deadline=None)
@given(
    size=st.integers(0, 5),
    taken=st.lists(st.integers(1, 4), max_size=6),
    skipped=st.lists(st.integers(1, 4), min_size=1, max_size=4),
    seed=st.integers(0, 99),
)
def test_what_is_taken_back_restores_the_very_pictures(
    size: int, taken: list[int], skipped: list[int], seed: int
) -> None:
    """Also over several passes of a step, and also while the memory is being filled."""
    memory, fresh = Replay(size, seed), 0
    for number, count in enumerate(taken):
        memory.exchange(numbered(*range(fresh, fresh + count)), number)
        memory.settle()
        fresh += count
    before = held(memory)
    for number, count in enumerate(skipped, start=len(taken)):
        memory.exchange(numbered(*range(1000 + fresh, 1000 + fresh + count)), number)
        fresh += count
    memory.take_back()
    assert held(memory) == before
    assert memory.filled == len(before)
    memory.take_back()  # there is nothing more to take back
    assert held(memory) == before


def test_a_memory_goes_on_after_a_skipped_step_as_if_there_had_been_none() -> None:
    with_skips, without = Replay(4, 11), Replay(4, 11)
    seen: list[list[int]] = [[], []]
    for number in range(60):
        if number % 3 == 1:
            with_skips.exchange(numbered(1000 + number, 2000 + number), number)
            with_skips.take_back()
            continue
        for memory, shown in ((with_skips, seen[0]), (without, seen[1])):
            shown += numbers_of(memory.exchange(numbered(2 * number, 2 * number + 1), number))
            memory.settle()
    assert seen[0] == seen[1]
    assert held(with_skips) == held(without)


def test_what_is_settled_cannot_be_taken_back() -> None:
    memory = Replay(2, 0)
    memory.exchange(numbered(1, 2), 0)
    memory.settle()
    memory.take_back()
    assert held(memory) == [1, 2]


def test_what_is_restored_cannot_be_taken_back() -> None:
    memory = Replay(2, 0)
    memory.exchange(numbered(1), 0)
    memory.restore(numbered(7, 8))
    memory.take_back()
    assert held(memory) == [7, 8]


def test_settling_keeps_no_pictures_alive() -> None:
    memory = Replay(3, 0)
    for number in range(20):
        memory.exchange(numbered(number), number)
        memory.settle()
        assert memory._undo == []


def test_a_trade_goes_to_a_device_in_one_piece_and_is_the_same_there() -> None:
    memory = Replay(2, 3)
    memory.room(torch.zeros(1, 3, 2, 2))
    for number in range(20):
        trade = memory.plan(4, number)
        assert trade.packed().shape == (4, 4)
        for one, two in zip(trade, trade.to(torch.device("cpu")), strict=True):
            assert one.dtype == two.dtype
            assert torch.equal(one, two)
