"""Numbers as people read them."""

import math

import pytest

from cyclestyle.evaluation.wording import SKILL, Places, number, places, plain, require_card, span, told_apart


@pytest.mark.parametrize(
    ("largest", "written", "factor"),
    [
        (0.0, "0.00", ""),
        (1.6, "1.60", ""),
        (9.996, "9.996", None),
        (45.12, "45.1", ""),
        (142.3, "142", ""),
        (123456.7, "123,457", ""),
        (0.0712, "0.0712", ""),
        (3.1e-7, "3.10", " × 10⁷"),
        (-3.1e-7, "-3.10", " × 10⁷"),
        (2.5e12, "2.50", " × 10⁻¹²"),
    ],
)
def test_the_largest_of_a_column_has_three_digits(largest: float, written: str, factor: str | None) -> None:
    at = places([None, math.nan, math.inf, largest / 3, largest])
    if factor is None:  # a number that rounding lifts to the next power keeps its three digits at least
        assert number(largest, at) == "10.00"
    else:
        assert number(largest, at) == written
        assert at.factor == factor


def test_numbers_of_a_column_have_its_digits() -> None:
    at = places([142.3, 0.4])
    assert [number(value, at) for value in (142.3, 0.4, -0.4, -0.6, 0.0)] == ["142", "0", "0", "-1", "0"]


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, "-"),
        (math.nan, "undefined"),
        (math.inf, "infinite"),
        (-math.inf, "-infinite"),
        (-0.004, "0.00"),
        (-0.006, "-0.01"),
        (1234.5, "1,234.50"),
        (1e30, "1e+30"),
        (3, "3.00"),
    ],
)
def test_numbers_that_are_special(value: float | None, written: str) -> None:
    assert number(value, SKILL) == written


def test_spans_are_readable_with_negative_ends() -> None:
    assert span(-0.5, 0.25) == "-0.50 to 0.25"
    assert span(None, 0.25) == span(0.5, None) == ""
    assert span(2e-7, 4e-7, Places(1, 7)) == "2.0 to 4.0"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0.61049, "0.610"),
        (2.8e-8, "2.8e-08"),
        (1234567, "1,234,567"),
        (True, "yes"),
        (False, "no"),
        (None, "-"),
        ("words", "words"),
        ([0.5396, 0.6772], "0.540, 0.677"),
        ({"1/4": 2.1043, "1/2": None}, "1/4 2.10, 1/2 -"),
        (math.nan, "undefined"),
    ],
)
def test_anything_of_a_card_in_words(value: object, written: str) -> None:
    assert plain(value) == written


def test_rows_that_differ_and_rows_that_do_not() -> None:
    measure = {"different": {"painted": True, "colour": False, "gone": True, "unknown": None}}
    assert told_apart(measure, {"painted": "ours", "colour": "colours"}) == (["ours", "gone"], ["colours"])
    assert told_apart({}, {}) == ([], [])


@pytest.mark.parametrize("card", [{}, {"format": 2}, {"format": "1"}])
def test_cards_of_another_format_are_refused(card: dict) -> None:
    with pytest.raises(ValueError, match="expected 1; evaluate again"):
        require_card(card)
