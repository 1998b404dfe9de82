"""Which methods are compared, under which names."""

from pathlib import Path

import pytest

from cyclestyle.comparison.methods import Method, choose, split

RECIPES, TARGETS = ("gatys", "mmd"), ("nearest", "random", "mean", "one")


def chosen(*words: str, runs: tuple[str, ...] = (), **also: Path) -> list[Method]:
    return choose(words, runs, also, RECIPES, TARGETS)


def test_words_come_with_commas_and_one_by_one_and_each_counts_once() -> None:
    assert split(["a,b", " c , a", ",", ""]) == ["a", "b", "c"]


def test_the_photos_come_first_and_all_others_in_their_order() -> None:
    found = chosen("gatys-mean,reinhard", "photo", "reinhard", "mmd")
    assert [one.name for one in found] == ["photo", "gatys-mean", "reinhard", "mmd"]
    assert found[1] == Method("gatys-mean", "styling", recipe="gatys", target="mean")
    assert found[3] == Method("mmd", "styling", recipe="mmd")


@pytest.mark.parametrize(
    ("word", "near"),
    [("gatys-nearst", "gatys-nearest"), ("foto", "photo"), ("mdd", "mmd"), ("gatys-", "gatys")],
)
def test_an_unknown_method_names_the_nearest_known_one(word: str, near: str) -> None:
    with pytest.raises(ValueError, match=f"'{word}' is not a method; the nearest is {near};"):
        chosen(word)


def test_nothing_to_compare_is_a_sentence() -> None:
    with pytest.raises(ValueError, match="nothing to compare; name some with --methods"):
        chosen("", " , ")


def test_runs_of_one_name_are_told_apart_whatever_their_case() -> None:
    found = chosen("photo", runs=("a/monet,b/monet", "c/Monet/paint.safetensors", "d/photo", "e/painted"))
    assert [one.name for one in found] == ["photo", "monet", "monet-2", "Monet-3", "photo-2", "painted-2"]
    assert found[3].source == Path("c/Monet/paint.safetensors")


def test_a_run_is_called_by_what_can_be_a_folder() -> None:
    (found,) = chosen(runs=("runs/my run: 1",))
    assert found.name == "my-run-1"


@pytest.mark.parametrize("name", ["photo", "Reinhard", "painted", "real", "Paintings"])
def test_a_folder_cannot_have_the_name_of_another_row(name: str) -> None:
    with pytest.raises(ValueError, match=f"--also.{name} has the name of another"):
        chosen("photo", "reinhard", **{name: Path("x")})


@pytest.mark.parametrize("name", ["../up", "a/b", ".hidden", ""])
def test_a_folder_has_a_plain_name(name: str) -> None:
    with pytest.raises(ValueError, match="use letters"):
        choose(["photo"], [], {name: Path("x")}, RECIPES, TARGETS)
