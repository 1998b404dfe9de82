"""The page of a comparison: everything stands on it, nothing of it is obeyed, nothing is loaded."""

import base64
import copy
import hashlib
import io
import re
from functools import cache
from html import unescape
from typing import Any

import numpy as np
import pytest
from PIL import Image
from test_page import HOSTILE, Parsed

from cyclestyle.comparison.exhibition import drawing, exhibition
from cyclestyle.evaluation.wording import RANDOM_TITLE

METHODS = ("photo", "reinhard", "gatys-nearest", "monet")


def cell(value: float | None, skill: float | None = None, *, alarming: bool = False) -> dict[str, Any]:
    low, high = (None, None) if value is None else (value - 0.013, value + 0.017)
    ends = (None, None) if skill is None else (skill - 0.11, skill + 0.12)
    return {
        "value": value,
        "low": low,
        "high": high,
        "skill": skill,
        "skill_low": ends[0],
        "skill_high": ends[1],
        "alarming": alarming,
    }


def column(key: str, group: str, title: str, cells: dict[str, Any], best: list[str], **more: Any) -> dict[str, Any]:
    told = {"key": key, "group": group, "title": title, "cells": cells, "best": best}
    return (
        told | {"explained": f"What {title} is.", "better": "lower", "level": "", "certain": True, "moved": {}} | more
    )


def sample() -> dict[str, Any]:
    """A comparison of four methods, as `comparison.json` holds it."""
    lpips = {"photo": cell(0.0), "reinhard": cell(0.2174), "gatys-nearest": cell(0.4512), "monet": cell(0.4813)}
    kid = {
        "photo": cell(2.182, 0.0),
        "reinhard": cell(2.171, 0.0051),
        "gatys-nearest": cell(1.702, 0.2213),
        "monet": cell(1.262, 0.4448),
        "real": cell(0.1131, 1.0),
    }
    grid = {name: cell(0.0) for name in METHODS} | {"monet": cell(6.553, alarming=True)}
    return {
        "format": 1,
        "made": "2026-11-21T17:00:00+00:00",
        "random": False,
        "headline": "monet is nearest to the paintings; reinhard is truest to the photos.",
        "sentences": [{"axis": "Content", "sentence": "By LPIPS reinhard keeps most of the photos."}],
        "counts": {"photos": 12, "paintings": 300},
        "methods": [
            {
                "name": name,
                "kind": kind,
                "told": "told of it",
                "learns": kind == "run",
                "verdict": "",
                "card": f"cards/{name}/card.html",
                "alarming": [],
                "settings": {"steps": 300},
                "cost": None,
            }
            for name, kind in zip(METHODS, ("photo", "reinhard", "styling", "run"), strict=True)
        ],
        "competing": list(METHODS[1:]),
        "columns": [
            column("lpips", "content", "LPIPS", lpips, ["reinhard"]),
            column("kid/x", "sets", "KID-768 × 10³", kid, ["monet", "gatys-nearest"], level="Inception-768"),
            column("checkerboard", "behaviour", "grid", grid, [], better="", certain=False),
            column("seconds", "cost", "seconds a picture", {"monet": cell(0.5413)}, ["monet"], certain=False),
        ],
        "notes": ["Formats differ."],
        "left_out": [{"what": "VGG-19 relu5_1", "why": "the weights end before"}],
        "provenance": {"sets": {"photos": "somewhere"}},
    }


@cache
def tiny() -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((4, 4, 3), 90, np.uint8)).save(file, "PNG")
    return file.getvalue()


def html_of(told: dict[str, Any], names: tuple[str, ...] = METHODS) -> str:
    pictures = {f"{name}/{place}": tiny() for name in (*names, "real") for place in (0, 3, 11)}
    return exhibition(told, pictures, names)


def test_the_page_is_whole_and_loads_nothing() -> None:
    found = Parsed(html_of(sample()))
    tags = [tag for tag, _ in found.elements]
    assert tags.count("script") == 1
    assert tags.count("img") == 5 * 3 + 2  # two that are empty until the script takes pictures out of the table
    assert len([one for tag, one in found.elements if tag == "img" and one.get("src")]) == 5 * 3
    for tag, attributes in found.elements:
        for name in ("src", "href", "xlink:href", "srcset", "style"):
            value = attributes.get(name, "")
            assert value.startswith(("data:image/", "#", "cards/", "max-width:", "left:")) or not value, (tag, value)
        assert not any(name.startswith("on") for name in attributes)


def test_only_the_pages_own_script_may_run() -> None:
    html = html_of(sample())
    (text,) = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', html)
    assert f"script-src 'sha256-{digest}'" in unescape(policy)
    assert "default-src 'none'" in unescape(policy)
    assert "unsafe-inline" not in policy.partition("script-src")[2]


def test_the_winner_by_the_distance_is_shown_beside_the_photos_at_first() -> None:
    def shown(html: str) -> list[str]:
        inputs = [one for tag, one in Parsed(html).elements if tag == "input" and one["type"] == "radio"]
        assert [one["value"] for one in inputs] == ["1", "2", "3"]
        return [one["value"] for one in inputs if "checked" in one]

    assert shown(html_of(sample())) == [str(METHODS.index("monet"))]
    told = sample()
    del told["columns"][1]  # nobody knows who is nearest
    assert shown(html_of(told)) == ["3"]
    told = sample()
    told["columns"][1]["best"] = ["reinhard"]
    assert shown(html_of(told)) == ["1"]


def test_a_training_and_its_cost_are_told_where_they_are_known() -> None:
    told = sample()
    assert "had to be trained first:" not in Parsed(html_of(told)).said()
    told["sentences"].append({"axis": "Cost", "sentence": "monet takes 0.5 s."})
    told["methods"][3]["trained"] = {"steps": 3600, "seconds": 5100.0}
    said = Parsed(html_of(told)).said()
    assert "monet had to be trained first: 3,600 steps, 1:25 h." in said


def test_it_is_told_where_fewer_photos_are_shown_than_were_asked_for() -> None:
    told = sample()
    assert "too large to send" not in html_of(told)
    assert "too large to send" in html_of(told | {"rows": 12})  # three are shown
    assert "too large to send" not in html_of(told | {"rows": 3})


def test_every_value_stands_on_the_page_exactly() -> None:
    numbers = Parsed(html_of(sample())).numbers()
    for one in sample()["columns"]:
        assert {found["value"] for found in one["cells"].values()} <= numbers


def test_what_is_said_stands_on_the_page_and_each_card_is_linked() -> None:
    found = Parsed(html_of(sample()))
    for sentence in ("By LPIPS reinhard keeps", "Formats differ.", "the weights end before", "monet is nearest", "300"):
        assert sentence in found.said()
    links = {attributes["href"] for tag, attributes in found.elements if tag == "a"}
    assert {f"cards/{name}/card.html" for name in METHODS} <= links
    ids = {attributes["id"] for _, attributes in found.elements if "id" in attributes}
    assert {link[1:] for link in links if link.startswith("#")} <= ids


def marks(html: str) -> dict[str, int]:
    return {mark: len(re.findall(f'<td class="{mark}', html)) for mark in ("best", "among")}


def test_only_who_is_apart_from_all_others_is_marked_as_the_best() -> None:
    assert marks(html_of(sample())) == {"best": 1, "among": 3}  # LPIPS; two of KID, and the seconds without intervals
    told = sample()
    told["columns"][0]["best"] = ["reinhard", "monet"]
    assert marks(html_of(told)) == {"best": 0, "among": 5}


def test_an_alarm_is_marked() -> None:
    assert html_of(sample()).count('<span class="chip alarm">alarming') == 1


def test_content_goes_to_the_right_and_style_upwards() -> None:
    found = drawing(sample())
    assert found is not None
    for plot in found.plots.values():
        at = {one.point.name: one for one in plot.points}
        assert set(at) == {*METHODS}
        assert at["photo"].x > at["reinhard"].x > at["gatys-nearest"].x > at["monet"].x
        assert at["monet"].y < at["gatys-nearest"].y < at["reinhard"].y < at["photo"].y
        assert all(one.front for one in plot.points)
        assert at["photo"].y == plot.photos
    assert found.across == "keeps more of the photo (1 − LPIPS) →"
    assert found.up == "↑ nearer to the paintings (skill by KID-768)"


def without(told: dict[str, Any], *parts: str, key: str = "kid/x") -> dict[str, Any]:
    """A comparison without some of the numbers of one column."""
    for one in told["columns"]:
        if one["key"] == key:
            for found in one["cells"].values():
                found.update(dict.fromkeys(parts))
    return told


SKILL = ("skill", "skill_low", "skill_high")


def test_the_drawing_is_of_the_headlines_distance_and_of_no_other() -> None:
    told = without(sample(), *SKILL)
    frechet = copy.deepcopy(sample()["columns"][1]) | {"key": "fid_equal/x", "title": "FID-768, 12 v 12"}
    told["columns"].insert(1, frechet)
    found = drawing(told)
    assert found is not None
    assert found.up == "↑ nearer to the paintings (KID-768 × 10³)"
    assert "there is no skill" in found.explained
    plot = found.plots["wide"]
    at = {one.point.name: one for one in plot.points}
    assert at["monet"].y < at["gatys-nearest"].y < at["reinhard"].y < at["photo"].y  # near is above
    texts = [tick.text for tick in sorted(plot.y_ticks, key=lambda tick: tick.at)]
    assert texts == sorted(texts)  # plain distances, that grow downwards
    assert not any("−" in text for text in texts)
    del told["columns"][2]
    assert drawing(told) is None  # the Frechet distance does not stand in for it
    told["columns"][0]["cells"] = {}
    assert drawing(sample() | {"columns": [told["columns"][0]]}) is None


def test_without_a_skill_the_lines_are_the_distances_of_photos_and_paintings() -> None:
    told = without(sample(), *SKILL)
    told["columns"][1]["cells"]["photos"] = told["columns"][1]["cells"]["photo"]
    told["columns"][1]["cells"]["real"] = cell(1.5)
    found = drawing(told)
    assert found is not None
    plot = found.plots["wide"]
    at = {one.point.name: one for one in plot.points}
    assert plot.photos == at["photo"].y
    assert plot.paintings is not None
    assert at["monet"].y < plot.paintings < at["gatys-nearest"].y


def test_crosses_are_spoken_of_where_there_are_some() -> None:
    told, spoken = sample(), "Thin crosses are"
    assert spoken in " ".join(Parsed(html_of(told)).said().split())
    without(told, "skill_low", "skill_high")
    without(told, "low", "high", key="lpips")
    html = html_of(told)
    assert 'class="spread"' not in html
    assert spoken not in html


def style(level: str) -> dict[str, Any]:
    return column("mmd_mean_std/relu3_1", "style", "means and deviations", {"monet": cell(1.0, 0.5)}, [], level=level)


@pytest.mark.parametrize(
    ("sets", "said"),
    [("Inception-768", "by another network"), ("VGG-19 relu3_1", "by the same network"), (None, "advantage here.")],
)
def test_another_network_is_spoken_of_where_there_is_one(sets: str | None, said: str) -> None:
    told = sample()
    told["columns"].append(style("VGG-19 relu3_1"))
    if sets is None:
        del told["columns"][1]
    else:
        told["columns"][1]["level"] = sets
    text = Parsed(html_of(told)).said()
    assert said in text
    assert sum(words in text for words in ("by another network", "by the same network")) == (sets is not None)


def test_names_in_sentences_are_explained_to_somebody_who_has_never_heard_of_them() -> None:
    text = Parsed(html_of(sample())).said()
    for words in ("KID-768 How far one whole set", "LPIPS How different two pictures look", "reinhard Told of it."):
        assert words in text
    assert "of the way 0% is where" not in text  # no sentence speaks of it
    told = sample()
    told["sentences"][0]["sentence"] = "44% of the way from the photos"
    assert "of the way 0% is where" in Parsed(html_of(told)).said()


def test_an_interval_of_no_width_is_not_written() -> None:
    told = sample()
    told["columns"][0]["cells"]["photo"] |= {"low": 0.0, "high": 0.0}
    html = html_of(told)
    assert "0.00 to 0.00" not in re.sub("<.*?>", "", html)
    assert "0.204 to 0.234" in re.sub("<.*?>", "", html)


def test_there_is_no_drawing_without_skill_and_the_page_stands_all_the_same() -> None:
    told = sample()
    told["columns"] = told["columns"][:1]
    assert drawing(told) is None
    assert 'class="scatter' not in html_of(told)
    told["columns"] = []
    assert "By LPIPS" in Parsed(html_of(told)).said()


def test_the_untouched_photos_are_a_row_though_they_are_no_method() -> None:
    told = sample()
    told["methods"] = told["methods"][1:]
    for one in told["columns"]:
        if "photo" in one["cells"]:
            one["cells"]["photos"] = one["cells"].pop("photo")
    found = Parsed(html_of(told, ("photos", *METHODS[1:])))
    assert "photos, untouched" in found.said()


def test_random_weights_are_told_at_every_number() -> None:
    told = sample() | {"random": True}
    html = html_of(told)
    assert RANDOM_TITLE in html
    assert html.count('class="chip random"') >= 3
    assert 'class="chip random"' not in html_of(sample())


@pytest.mark.parametrize("hostile", HOSTILE)
def test_names_and_sentences_are_shown_and_not_obeyed(hostile: str) -> None:
    told = copy.deepcopy(sample())
    told["headline"] = told["notes"][0] = told["sentences"][0]["sentence"] = hostile
    told["methods"][3] |= {"told": hostile, "settings": {hostile: hostile}, "alarming": [hostile]}
    told["columns"][1] |= {"title": hostile, "explained": hostile, "level": hostile}
    before = {tag for tag, _ in Parsed(html_of(sample())).elements}
    found = Parsed(html_of(told))
    assert {tag for tag, _ in found.elements} <= {*before, "dl", "div", "dt", "dd", "p"}
    assert " ".join(hostile.split()) in found.said()


def test_a_picture_that_is_missing_is_named() -> None:
    with pytest.raises(ValueError, match="names the picture 'monet/0'"):
        exhibition(sample(), {f"{name}/0": tiny() for name in (*METHODS[:3], "real")}, METHODS)
