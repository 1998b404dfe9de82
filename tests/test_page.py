"""The page of a card: everything that the card says stands on it, nothing of it is obeyed, nothing is loaded."""

import base64
import io
import json
import math
import re
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cyclestyle.evaluation.page import page
from cyclestyle.evaluation.wording import RANDOM_TITLE

CARD = Path(__file__).with_name("card.json")
"""Every part of a card, of numbers as they may come."""


def sample_card() -> dict[str, Any]:
    return json.loads(CARD.read_text(encoding="utf-8"))


def drawn(kind: str, seed: int, size: tuple[int, int] = (128, 128)) -> bytes:
    """A small picture: a landscape, the same in dabs, or a spectrum."""
    random, (width, height) = np.random.default_rng(seed), size
    y, x = np.mgrid[0:height, 0:width] / np.array(size[::-1])[:, None, None]
    if kind == "spectrum":
        power = -np.hypot(x - 0.5, y - 0.5) * 2 + random.normal(0, 0.1, y.shape)
        levels = np.stack([255 * np.clip(0.8 + power * side, 0, 1) for side in (1.0, 0.9, 0.4)], -1)
    else:
        hill = 0.55 + 0.12 * np.sin(6 * x + seed) + 0.05 * np.sin(17 * x)
        sky, land = random.integers(120, 235, 3), random.integers(30, 150, 3)
        levels = np.where((y > hill)[..., None], land * (1.2 - 0.6 * y[..., None]), sky * (0.75 + 0.5 * y[..., None]))
        grain = 8 if kind == "painted" else 2
        noise = random.normal(0, grain * 2, (height // grain + 1, width // grain + 1, 3))
        levels = levels + noise.repeat(grain, 0).repeat(grain, 1)[:height, :width]
    file = io.BytesIO()
    Image.fromarray(np.clip(levels, 0, 255).astype(np.uint8)).save(file, "PNG" if kind == "spectrum" else "JPEG")
    return file.getvalue()


@cache
def sample_pictures() -> dict[str, bytes]:
    """The pictures that the sample card names."""
    found = {f"worst-photo-{i}": drawn("photo", i) for i in range(10)}
    found |= {f"worst-painted-{i}": drawn("painted", i) for i in range(10)}
    found |= {f"nearest-{i}": drawn("painted", 40 + i) for i in range(4)}
    found |= {f"spectrum-{i}": drawn("spectrum", i) for i in range(2)}
    return found | {"sheet": drawn("photo", 99, (640, 320))}


HOSTILE = [
    "<script>alert(1)</script>",
    """"><img src=http://evil.example/x onerror=alert(1)>'""",
    "{{ 7 * 7 }}{% raw %}",
    "‮ 睡蓮 Üß \U0001f3a8 &amp; &lt;",
    "x" * 5000,
]
VOID = {"meta", "img", "link", "br", "hr", "input"}
PARTS = (
    "notes",
    "left_out",
    "content",
    "worst",
    "behaviour",
    "copying_gallery",
    "spectra",
    "sheet",
    "truth",
    "provenance",
)


class Parsed(HTMLParser):
    """What a browser would see: elements with attributes, text without the style sheet; every element is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text, self.headings, self.open = "", [], []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attributes]
        assert len(names) == len(set(names)), (tag, names)
        self.elements.append((tag, {name: value or "" for name, value in attributes}))
        if tag not in VOID:
            self.open.append(tag)
        if tag in ("h2", "h3"):
            self.headings.append("")

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attributes}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self.open):
            self.text += data
            if {"h2", "h3"} & set(self.open):
                self.headings[-1] += data

    def said(self) -> str:
        """The text with its white space made even."""
        return " ".join(self.text.split())

    def numbers(self) -> set[float]:
        return {float(attributes["value"]) for tag, attributes in self.elements if tag == "data"}


def parsed(card: dict[str, Any]) -> Parsed:
    return Parsed(page(card, sample_pictures()))


def leaves(value: Any, path: tuple = ()) -> Iterator[tuple[tuple, Any]]:
    """Every number and word of a card, with its place."""
    if isinstance(value, dict):
        for key, one in value.items():
            yield from leaves(one, (*path, key))
    elif isinstance(value, list):
        for index, one in enumerate(value):
            yield from leaves(one, (*path, index))
    else:
        yield path, value


def test_every_number_of_the_card_stands_on_the_page_exactly() -> None:
    numbers = parsed(sample_card()).numbers()
    expected = {value for _, value in leaves(sample_card()) if isinstance(value, float)}
    assert len(expected) > 150
    assert expected - numbers == set()


def test_every_sentence_and_name_of_the_card_stands_on_the_page() -> None:
    card = sample_card()
    said = parsed(card).said()
    silent = {"key", "group", "role", "made", "better", "photo", "painted", "nearest", "picture", "sheet"}
    for path, value in leaves(card):
        if isinstance(value, str) and path[-1] not in silent:
            assert " ".join(value.split()) in said, path
    for names in (
        card["counts"],
        *(one["numbers"] for one in card["behaviour"].values()),
        *card["provenance"].values(),
    ):
        assert all(name in said for name in names)
    assert "21 November 2026, 14:00 UTC" in said
    assert "photos 190 painted 190 paintings 300 held-out paintings 0" in said


def test_rounded_numbers_share_their_column() -> None:
    said = parsed(sample_card()).said()
    assert "painted 0.78 0.70 to 0.86 0.45 0.36 to 0.54" in said  # KID, with its skill
    assert "painted −0.95 4.90 4.70 to 5.10" in said  # a Gram distance of 4.9e-7, its column times 10^7
    assert "value × 10⁷" in said
    assert "painted 0.431 0.420 to 0.443 0.380 to 0.492 190" in said  # LPIPS


def dots(html: str) -> list[float]:
    return [float(x) for x in re.findall(r'class="dot" cx="([\d.]+)%"', html)]


def one_measure(**more: Any) -> dict[str, Any]:
    """A card of one measure with whole numbers: photos 10, painted 4, paintings 2."""
    card = sample_card()
    values = {"photos": 10.0, "painted": 4.0, "real": 2.0}
    measure = {
        "key": "kid",
        "group": "sets",
        "name": "KID",
        "level": "768",
        "better": "lower",
        "main": True,
        "values": {key: {"value": value, "low": value - 1, "high": value + 1} for key, value in values.items()},
        "skill": {"photos": 0.0, "painted": 0.75, "real": 1.0},
    } | more
    keep = {"format", "verdict", "rows", "made"}
    return {key: value for key, value in card.items() if key in keep} | {"measures": [measure]}


def test_dots_and_whiskers_stand_where_the_numbers_are() -> None:
    html = page(one_measure(skill_interval={"painted": [0.5, 1.0]}), {})
    place = lambda skill: (skill + 0.25) / 1.5 * 100  # noqa: E731 - the axis goes from -0.25 to 1.25
    assert dots(html) == pytest.approx([place(0), place(0.75), place(1)], abs=0.01)
    whiskers = re.findall(r'class="whisker( carried)?" x1="([\d.]+)%" x2="([\d.]+)%" y1="10"', html)
    assert [bool(carried) for carried, *_ in whiskers] == [True, False, True]
    # photos and paintings: values of 9 to 11 and 1 to 3, on a scale of 8 values
    expected = [(place(-0.125), place(0.125)), (place(0.5), place(1.0)), (place(0.875), place(1.125))]
    assert [(float(low), float(high)) for _, low, high in whiskers] == [
        pytest.approx(pair, abs=0.01) for pair in expected
    ]


@pytest.mark.parametrize(("skill", "arrow"), [(-3.0, 'x="0.0%"'), (7.0, 'x="100.0%"')])
def test_rows_beyond_the_axis_become_arrows_at_its_end(skill: float, arrow: str) -> None:
    html = page(one_measure(skill={"photos": 0.0, "painted": skill, "real": 1.0}), {})
    assert len(dots(html)) == 2
    assert html.count("<path") == 1
    assert f'<svg {arrow} y="10"' in html


def test_measures_without_skill_are_told_without_an_axis() -> None:
    html = page(one_measure(skill=dict.fromkeys(("photos", "painted", "real"))), {})
    assert "No skill is defined" in html
    assert "<circle" not in html
    assert "NaN" not in html


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_none_do_not_break_the_drawing(wrong: float) -> None:
    card = one_measure(skill={"photos": 0.0, "painted": wrong, "real": 1.0}, skill_interval={"painted": [wrong, wrong]})
    card["measures"][0]["values"]["painted"] = {"value": wrong, "low": None, "high": wrong}
    html = page(card, {})
    assert len(dots(html)) == 2
    assert not re.search(r'(x1|x2|cx|x)="[^"]*(nan|inf)', html)


def test_scale_of_equal_ends_does_not_divide_by_zero() -> None:
    card = one_measure()
    card["measures"][0]["values"]["real"]["value"] = 10.0
    assert len(dots(page(card, {}))) == 3


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_shown_not_obeyed(name: str) -> None:
    card = sample_card()
    calm = parsed(card)
    for row in card["rows"]:
        row["name"] = name
    for path, value in list(leaves(card)):
        if isinstance(value, str) and path[-1] in ("name", "level", "sentence", "explained", "verdict", "what", "why"):
            parent = card
            for step in path[:-1]:
                parent = parent[step]
            parent[path[-1]] = name
    card["notes"], card["made"], card["provenance"] = [name], name, {name: {name: name}}
    card["truth"]["table"], card["counts"] = [["", name], [name, name]], {name: 3}
    card["behaviour"]["cycle"]["numbers"] = {name: name}
    hostile = parsed(card)
    assert " ".join(name.split()) in hostile.said()
    allowed = {tag for tag, _ in calm.elements}
    assert {tag for tag, _ in hostile.elements} <= allowed
    for _, attributes in hostile.elements:
        assert not any(key.startswith("on") for key in attributes)


def test_half_characters_of_file_names_can_be_written() -> None:
    card = sample_card()
    card["rows"][2]["name"] = "old \udcff name"
    assert "old ? name" in page(card, sample_pictures()).encode("utf-8").decode("utf-8")


def test_nothing_is_loaded_and_nothing_runs() -> None:
    html = page(sample_card(), sample_pictures())
    found = Parsed(html)
    assert not {"script", "link", "iframe", "object", "embed", "base", "form"} & {tag for tag, _ in found.elements}
    for _, attributes in found.elements:
        assert attributes.get("src", "data:image/").startswith("data:image/")
        assert attributes.get("href", "#").startswith("#")
        assert not {"srcset", "xlink:href", "action", "background"} & set(attributes)
    assert not re.search(r"url\(|@import|https?:", html)
    assert "default-src 'none'" in html


def test_links_lead_to_sections_that_are_there_and_ids_are_unique() -> None:
    elements = parsed(sample_card()).elements
    ids = [attributes["id"] for _, attributes in elements if "id" in attributes]
    links = [attributes["href"][1:] for tag, attributes in elements if tag == "a"]
    assert len(ids) == len(set(ids))
    assert len(links) > 10
    assert set(links) <= set(ids)


def test_pictures_are_inside_to_the_byte_with_their_sizes() -> None:
    pictures = sample_pictures()
    shown = [attributes for tag, attributes in parsed(sample_card()).elements if tag == "img"]
    assert len(shown) == 20 + 8 + 2 + 1
    assert {base64.b64decode(one["src"].split(",")[1]) for one in shown} == set(pictures.values())
    sheet = next(one for one in shown if one["width"] == "640")
    assert sheet["height"] == "320"
    assert sheet["src"].startswith("data:image/jpeg;base64,")
    assert all(one["alt"] for one in shown)


def test_a_picture_that_is_missing_or_none_is_named() -> None:
    pictures = sample_pictures()
    with pytest.raises(ValueError, match=r"'nearest-2'.*not a PNG"):
        page(sample_card(), pictures | {"nearest-2": b"<svg onload=alert(1)>"})
    with pytest.raises(ValueError, match="'worst-photo-3'"):
        page(sample_card(), {key: value for key, value in pictures.items() if key != "worst-photo-3"})


def test_another_format_is_refused_in_a_sentence() -> None:
    with pytest.raises(ValueError, match="format 2, expected 1"):
        page(sample_card() | {"format": 2}, sample_pictures())


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("emptied", [False, True])
def test_an_absent_part_takes_its_headings_with_it(part: str, emptied: bool) -> None:
    whole, card = parsed(sample_card()), sample_card()
    if emptied:
        card[part] = type(card[part])()
    else:
        del card[part]
    without = parsed(card)
    assert set(without.headings) < set(whole.headings)
    assert all(heading.strip() for heading in without.headings)


def test_the_barest_card_is_a_page() -> None:
    card = {"format": 1, "verdict": "Nothing was measured.", "rows": []}
    found = Parsed(page(card, {}))
    assert found.headings == []
    assert "Nothing was measured." in found.said()


def test_random_weights_are_impossible_to_overlook() -> None:
    card = sample_card()
    assert "random" not in parsed(card).said().lower()
    found = parsed(card | {"random": True})
    said = found.said()
    assert said.index(RANDOM_TITLE) < said.rindex(card["verdict"])
    unlabelled = [heading for heading in found.headings if "random weights" not in heading]
    without_numbers = {"Alarming", "Notes", "Left out", "Provenance", *card["provenance"]}
    behaviour = {"Cycle", "Diversity", "Checkerboard alarming", "Deception"}  # under a heading with the label
    assert {" ".join(heading.split()) for heading in unlabelled} == without_numbers | behaviour
    assert said.startswith("RANDOM WEIGHTS: ")  # the name of the window


def test_alarms_stand_above_the_numbers() -> None:
    said = parsed(sample_card()).said()
    alarm = sample_card()["behaviour"]["checkerboard"]["sentence"]
    assert said.count(alarm) == 2
    assert said.index(alarm) < said.index("The scale Skill says")


def test_explanations_are_said_once_in_a_row() -> None:
    card = sample_card()
    style = [one for one in card["measures"] if one["group"] == "style" and not one["main"]]
    assert len(style) == 2
    for one in style:
        one["explained"] = "How far apart Grams are."
    assert parsed(card).said().count("How far apart Grams are.") == 1


def test_groups_that_are_not_known_are_shown_too() -> None:
    card = one_measure(group="novel", main=False)
    assert "novel" in Parsed(page(card, {})).headings[0]


def test_same_card_same_bytes() -> None:
    assert page(sample_card(), sample_pictures()) == page(sample_card(), sample_pictures())
