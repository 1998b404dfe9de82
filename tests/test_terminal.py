"""The card in a terminal: the verdict first, never wider than the terminal, nothing of it obeyed."""

import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from cyclestyle.evaluation.terminal import WIDTH, table
from cyclestyle.evaluation.wording import RANDOM_TITLE

CARD = Path(__file__).with_name("card.json")
"""Every part of a card, of numbers as they may come."""


def sample_card() -> dict[str, Any]:
    return json.loads(CARD.read_text(encoding="utf-8"))


def columns(line: str) -> int:
    return sum(2 if unicodedata.east_asian_width(one) in "WF" else 1 for one in line if not unicodedata.combining(one))


def line_of(text: str, start: str) -> list[str]:
    """The words of the line that starts so."""
    return next(line for line in text.splitlines() if line.startswith(start)).split()


def test_verdict_comes_first_and_all_fits() -> None:
    text = table(sample_card())
    assert " ".join(text.split()).startswith(sample_card()["verdict"])
    assert max(map(columns, text.splitlines())) <= WIDTH
    assert len(text.splitlines()) <= 45
    assert not any(line != line.rstrip() for line in text.splitlines())


def test_main_measures_stand_with_their_skill() -> None:
    text = table(sample_card())
    # photos, painted, real paintings; skill of painted, its interval; skill of the others
    assert line_of(text, "KID × 10³, Inception-768 ↓")[-9:] == [
        "1.61",
        "0.45",
        "0.12",
        "0.78",
        "0.70",
        "to",
        "0.86",
        "0.14",
        "0.42",
    ]
    assert line_of(text, "Recall, Inception-768, k = 3 ↑")[-6:] == ["0.421", "0.653", "0.882", "0.50", "0.17", "0.41"]
    assert "FID, " not in text  # not a main measure


def test_content_stands_with_quartiles_and_interval() -> None:
    lpips = line_of(table(sample_card()), "LPIPS (alex, v0.1) ↓")
    assert lpips[-9:] == ["0.431", "0.380", "to", "0.492", "0.420", "to", "0.443", "0.152", "0.551"]
    assert line_of(table(sample_card()), "SSIM of luminance ↑")[-1] == "-"  # the older painter was not measured


def test_every_sentence_is_said_and_alarms_are_first() -> None:
    card = sample_card()
    said = " ".join(table(card).split())
    for one in card["behaviour"].values():
        assert f"{one['name']}: {one['sentence']}" in said
    assert "! Checkerboard" in said
    assert said.index("Checkerboard:") < said.index("Cycle:")
    for sentence in (card["resolution"], *card["notes"], card["left_out"][0]["what"], card["left_out"][0]["why"]):
        assert sentence in said
    assert "190 photos, 190 painted, 300 paintings, 0 held-out paintings" in said


def test_what_cannot_be_told_from_the_photos_is_marked() -> None:
    card = sample_card()
    assert "?" not in table(card)
    card["measures"][0]["different"]["painted"] = False
    text = table(card)
    assert "0.78?" in line_of(text, "KID")
    assert "? cannot be told from the untouched photos" in text


def test_rows_without_room_are_named() -> None:
    card = sample_card()
    for number in range(12):
        card["rows"].append({"key": f"also:{number}", "name": f"painter number {number}", "role": "other"})
        for measure in card["measures"]:
            measure["skill"][f"also:{number}"] = 0.5
        card["content"][0]["rows"][f"also:{number}"] = card["content"][0]["rows"]["painted"]
    text = table(card)
    assert max(map(columns, text.splitlines())) <= WIDTH
    said = " ".join(text.split())
    assert "Skill of these is in the page: " in said
    assert "The median of these is in the page: " in said
    for number in range(12):
        assert f"painter number {number}" in said


def test_tiny_numbers_are_written_with_their_factor() -> None:
    card = sample_card()
    for one in card["measures"][0]["values"].values():
        one.update({key: value * 1e-9 for key, value in one.items()})
    assert "Inception-768 × 10⁹ ↓" in table(card)
    assert "1.61" in line_of(table(card), "KID")


@pytest.mark.parametrize(
    "name",
    [
        "\x1b[2J\x1b]0;owned\x07",
        "two\nlines\r\ttabs",
        "\u202e reversed",
        "\udcff",
        "睡蓮" * 400,
        "x" * 5000,
        "🎨 " * 300,
        "e\u0301" * 200,
    ],
)
def test_hostile_names_neither_move_the_cursor_nor_widen_the_table(name: str) -> None:
    card = sample_card()
    for row in card["rows"]:
        row["name"] = name
    for measure in (*card["measures"], *card["content"]):
        measure["name"] = measure["level"] = name
    for one in card["behaviour"].values():
        one["name"] = one["sentence"] = name
    card |= {"verdict": name, "resolution": name, "notes": [name], "left_out": [{"what": name, "why": name}]}
    card["counts"] = {name: 1}
    text = table(card)
    assert all(one.isprintable() for line in text.split("\n") for one in line)
    assert max(map(columns, text.split("\n"))) <= WIDTH
    text.encode("utf-8")


@pytest.mark.parametrize(
    "part", ["measures", "content", "behaviour", "resolution", "notes", "left_out", "counts", "truth", "provenance"]
)
def test_absent_parts_leave_no_title(part: str) -> None:
    card = sample_card()
    del card[part]
    text = table(card)
    blocks = text.split("\n\n")
    assert all(block.strip() for block in blocks)
    title = {"measures": "Skill:", "content": "Content:", "behaviour": "Behaviour"}.get(part)
    assert title is None or title not in text


def test_nothing_but_a_verdict() -> None:
    assert table({"format": 1, "verdict": "Nothing was measured.", "rows": []}) == "Nothing was measured."


def test_measures_without_skill_or_values() -> None:
    card = sample_card()
    card["measures"] = card["measures"][:1]
    measure = card["measures"][0]
    measure["skill"], measure["values"] = {"painted": None}, {"painted": {"value": 0.4, "low": None, "high": None}}
    del measure["skill_interval"], measure["different"]
    assert line_of(table(card), "KID")[-6:] == ["-", "0.400", "-", "-", "-", "-"]


def test_random_weights_stand_first_last_and_with_every_table() -> None:
    assert "random" not in table(sample_card()).lower()
    lines = table(sample_card() | {"random": True}).splitlines()
    assert RANDOM_TITLE.upper() in lines[0]
    assert RANDOM_TITLE.upper() in lines[-1]
    for title in ("Skill:", "Content:", "Behaviour"):
        assert next(line for line in lines if line.startswith(title)).endswith("(RANDOM WEIGHTS)")


def test_another_format_is_refused_in_a_sentence() -> None:
    with pytest.raises(ValueError, match="format 0, expected 1"):
        table(sample_card() | {"format": 0})


def test_distances_to_the_truth_stand_there_too() -> None:
    text = table(sample_card())
    assert line_of(text, "photo, untouched") == ["photo,", "untouched", "14.21", "0.512", "19.31"]
    assert text.index("Painted pictures are nearer to the truth") < text.index("photo, untouched")
    card = sample_card()
    del card["truth"]
    assert "19.31" not in table(card)
