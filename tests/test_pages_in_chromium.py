"""The pages of a comparison and of a run as people have them: in a real browser, by hand, by keyboard and by voice."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from chromium import Browser, Page, needs_chromium
from test_exhibition import METHODS, html_of, sample
from test_page import HOSTILE, drawn
from test_writing import full
from told_run import make_run

from cyclestyle.comparison.exhibition import exhibition
from cyclestyle.training.page.writing import RunPage

pytestmark = needs_chromium

PLACES = (0, 3, 11)


@pytest.fixture(scope="module")
def started() -> Iterator[Browser]:
    with Browser.open() as browser:
        yield browser


@pytest.fixture
def browser(started: Browser) -> Iterator[Browser]:
    yield started
    started.close_pages()


def told() -> dict[str, Any]:
    found = sample()
    axes = ("Nearness to the paintings", "Content", "Cost", "Alarming")
    found["sentences"] = [{"axis": axis, "sentence": f"Who is best by {axis}, in a sentence."} for axis in axes]
    return found


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A comparison's page and a run's."""
    place = tmp_path_factory.mktemp("pages")
    pictures = {
        f"{name}/{row}": drawn("photo" if name == "photo" else "painted", 10 * row + column)
        for column, name in enumerate((*METHODS, "real"))
        for row in PLACES
    }
    comparison = place / "comparison.html"
    comparison.write_text(exhibition(told(), pictures, METHODS), encoding="utf-8")
    return {"comparison": comparison, "run": RunPage(full(place / "run")).write()}


def whole(page: Page, path: Path) -> None:
    """Nothing went wrong, and nobody but the file itself was asked for anything."""
    assert page.errors == []
    assert set(page.requests) == {path.as_uri()}


@pytest.mark.parametrize("kind", ["comparison", "run"])
@pytest.mark.parametrize("dark", [False, True])
def test_a_page_fits_its_window_asks_for_nothing_and_can_be_read(
    kind: str, dark: bool, pages: dict[str, Path], browser: Browser
) -> None:
    page = browser.page(1600, 900, dark=dark)
    page.go(pages[kind].as_uri())
    for width in (1600, 1024, 768, 480, 360, 320):
        page.resize(width, 800, touch=width < 500)
        assert (width, page.too_wide()) == (width, [])
    whole(page, pages[kind])
    contrasts = page.evaluate(CONTRASTS)
    assert len(contrasts) > 20
    assert min(contrasts.values()) >= 4.5, min(contrasts, key=contrasts.__getitem__)
    light = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)[0]") > 128
    assert light != dark


CONTRASTS = """(() => {
    const light = (colour) => {
        const [red, green, blue] = colour.match(/[\\d.]+/g).slice(0, 3).map((level) => {
            const share = level / 255;
            return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
        });
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
    };
    const behind = (one) => {
        const colour = getComputedStyle(one).backgroundColor;
        return !/, 0\\)$|transparent/.test(colour) || !one.parentElement ? colour : behind(one.parentElement);
    };
    const found = {};
    for (const one of document.body.querySelectorAll("*")) {
        const own = [...one.childNodes].some((part) => part.nodeType === 3 && part.textContent.trim());
        if (!own || one.closest(".stage, script, svg, option") || !one.checkVisibility()) continue;
        const [text, paper] = [light(getComputedStyle(one).color), light(behind(one))];
        found[`${one.tagName}.${one.className}: ${one.textContent.trim().slice(0, 30)}`] =
            (Math.max(text, paper) + 0.05) / (Math.min(text, paper) + 0.05);
    }
    return found;
})()"""
"""Of each text against its background, as WCAG 2 computes it; 4.5 is its AA."""


def at(page: Page) -> float:
    """Where the left picture is cut, in percent."""
    return float(page.evaluate("document.querySelector('.viewer').style.getPropertyValue('--at')").rstrip("%"))


def seen(page: Page) -> list[str]:
    """The two pictures that lie on each other, by their descriptions."""
    return page.evaluate("['.before', '.after'].map((name) => document.querySelector(name).alt)")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["comparison", "run"])
def test_the_slider_is_moved_by_keys_by_mouse_and_by_touch(kind: str, pages: dict[str, Path], browser: Browser) -> None:
    page = browser.page(1000, 800)
    page.go(pages[kind].as_uri())
    assert at(page) == 50
    page.evaluate("document.querySelector('.reveal').focus()")
    page.press("ArrowRight", "ArrowRight", "ArrowRight")
    assert at(page) == 53
    page.press("Home")
    assert at(page) == 0
    page.press("End")
    assert at(page) == 100
    page.drag(".stage", 0.5, 0.2)
    assert at(page) == pytest.approx(20, abs=2)
    left, _, width, _ = page.place(".stage")
    assert page.evaluate("document.querySelector('.cut').getBoundingClientRect().left") == pytest.approx(
        left + at(page) / 100 * width, abs=2
    )
    whole(page, pages[kind])
    phone = browser.page(360, 740, touch=True)
    phone.go(pages[kind].as_uri())
    phone.drag(".stage", 0.5, 0.8, touch=True)
    assert at(phone) == pytest.approx(80, abs=3)


def test_methods_and_photos_of_a_comparison_are_chosen_by_key_and_by_click(
    pages: dict[str, Path], browser: Browser
) -> None:
    page = browser.page(1000, 800)
    page.go(pages["comparison"].as_uri())
    assert seen(page) == ["photo, picture 1", "monet, picture 1"]  # the nearest one is shown first
    page.evaluate("document.querySelector('input[name=look-right]:checked').focus()")
    page.press("ArrowUp")
    assert seen(page) == ["photo, picture 1", "gatys-nearest, picture 1"]
    page.click(".thumbs label:nth-child(3)")
    assert seen(page) == ["photo, picture 12", "gatys-nearest, picture 12"]
    page.press("ArrowLeft")
    assert seen(page)[0] == "photo, picture 4"
    page.evaluate("document.querySelector('#look-left').focus()")
    page.press("ArrowDown")
    assert seen(page) == ["reinhard, picture 4", "gatys-nearest, picture 4"]
    tags = page.evaluate("[...document.querySelectorAll('.tag')].map((one) => one.textContent)")
    assert tags == ["reinhard", "gatys-nearest"]
    shown, there = page.evaluate(
        """[document.querySelector(".after").src, document.querySelector("[alt='gatys-nearest, picture 4']").src]"""
    )
    assert shown == there
    whole(page, pages["comparison"])


def test_one_goes_through_the_steps_of_a_run_with_a_slider(pages: dict[str, Path], browser: Browser) -> None:
    page = browser.page(1000, 800)
    page.go(pages["run"].as_uri())
    assert seen(page) == ["photo 1", "photo 1, painted at step 1,000, epoch 2.5"]
    page.evaluate("document.querySelector('.over').focus()")
    page.press("ArrowLeft")
    assert seen(page)[1] == "photo 1, painted at step 500, epoch 1.25"
    page.press("Home")
    assert seen(page)[1] == "photo 1, painted at step 250, epoch 0.625"
    assert page.evaluate("document.querySelector('output').textContent") == "step 250, epoch 0.625"
    page.press("ArrowLeft")  # the photo itself is on the left already
    assert seen(page)[1] == "photo 1, painted at step 250, epoch 0.625"


@pytest.mark.parametrize("kind", ["comparison", "run"])
def test_all_pictures_are_there_without_the_script(kind: str, pages: dict[str, Path], browser: Browser) -> None:
    page = browser.page(1000, 800, scripts=False)
    page.go(pages[kind].as_uri())
    html = page.ask("DOM.getDocument")["root"]["nodeId"]
    box = page.ask("DOM.querySelector", nodeId=html, selector=".sheet-table img")["nodeId"]
    sizes = page.ask("DOM.getBoxModel", nodeId=box)["model"]
    assert sizes["width"] > 60
    assert sizes["height"] > 60
    hidden = page.ask("DOM.querySelector", nodeId=html, selector=".viewer")["nodeId"]
    with pytest.raises(AssertionError, match="box model"):
        page.ask("DOM.getBoxModel", nodeId=hidden)


@pytest.mark.parametrize("kind", ["comparison", "run"])
def test_a_screen_reader_is_told_what_there_is(kind: str, pages: dict[str, Path], browser: Browser) -> None:
    page = browser.page(1000, 800)
    page.go(pages[kind].as_uri())
    nodes = page.accessible()
    roles = [node["role"] for node in nodes]
    for role in ("main", "navigation", "heading", "table", "columnheader", "rowheader", "slider", "status"):
        assert role in roles, role
    assert all(node["name"] for node in nodes if node["role"] in {"image", "slider", "radio", "region", "link"})
    assert "Where the left picture ends and the right one begins" in [node["name"] for node in nodes]
    value = page.evaluate("document.querySelector('.reveal').getAttribute('aria-valuetext')")
    assert value.startswith("50% photo, 50% ")
    levels = [node["properties"]["level"] for node in nodes if node["role"] == "heading"]
    assert levels[0] == 1
    assert all(later <= before + 1 for before, later in pairwise(levels))
    said = " ".join(str(node["name"]) for node in nodes if node["role"] == "status" or node["role"] == "StaticText")
    assert "Picture 1 of " in said


@pytest.mark.parametrize("kind", ["comparison", "run"])
def test_everything_is_reached_by_tab_in_the_order_in_which_it_is_seen(
    kind: str, pages: dict[str, Path], browser: Browser
) -> None:
    page = browser.page(1000, 800)
    page.go(pages[kind].as_uri())
    stops = []
    for _ in range(12):
        page.press("Tab")
        where = page.evaluate(
            """(() => {
                const one = document.activeElement, box = one.getBoundingClientRect();
                const ring = [one, one.closest(".stage"), one.nextElementSibling].some(
                    (each) => each && getComputedStyle(each).outlineStyle !== "none");
                return [one.className || one.name || one.tagName, box.top + scrollY, ring];
            })()"""
        )
        stops.append(where)
    assert "reveal" in [name for name, *_ in stops]
    tops = [top for name, top, _ in stops if name == "A" or name == "reveal"]
    assert tops == sorted(tops)
    assert all(ring for *_, ring in stops)


@pytest.mark.parametrize("kind", ["comparison", "run"])
def test_on_paper_all_pictures_are_there(kind: str, pages: dict[str, Path], browser: Browser, tmp_path: Path) -> None:
    page = browser.page(1000, 800)
    page.go(pages[kind].as_uri())
    assert not page.evaluate("document.querySelector('details.all').open")
    page.print_to(tmp_path / "page.pdf")
    assert page.evaluate("document.querySelector('details.all').open")  # opened for the printer
    assert (tmp_path / "page.pdf").stat().st_size > 20_000
    page.look(media="print")
    assert page.evaluate("getComputedStyle(document.querySelector('.viewer')).display") == "none"


@pytest.mark.slow
@pytest.mark.parametrize("hostile", HOSTILE)
def test_no_name_runs_asks_for_anything_or_breaks_the_page(hostile: str, browser: Browser, tmp_path: Path) -> None:
    comparison = told()
    comparison["headline"] = comparison["sentences"][0]["sentence"] = hostile
    comparison["methods"][3] |= {"name": hostile, "told": hostile, "settings": {hostile: hostile}}
    comparison["competing"][2] = hostile
    for column in comparison["columns"]:
        column["cells"][hostile] = column["cells"].pop("monet")
        column["best"] = [hostile if name == "monet" else name for name in column["best"]]
    names = tuple(hostile if name == "monet" else name for name in METHODS)
    path = tmp_path / "comparison.html"
    path.write_text(html_of(comparison, names), encoding="utf-8")
    page = browser.page(360, 740)
    page.go(path.as_uri())
    assert page.too_wide() == []
    assert page.evaluate("document.querySelector('.tag.right').textContent") == " ".join(hostile.split())
    whole(page, path)


def test_a_script_that_found_its_way_into_a_page_does_not_run(
    pages: dict[str, Path], browser: Browser, tmp_path: Path
) -> None:
    path = tmp_path / "run.html"
    evil = (
        """<script>document.title = "evil"</script><img src="http://127.0.0.1:9/x.png" onerror="document.title = 1">"""
    )
    path.write_text(pages["run"].read_text().replace("</main>", f"{evil}</main>"))
    page = browser.page()
    page.go(path.as_uri())
    assert page.evaluate("document.title").startswith("run: Finished")
    assert page.errors  # the browser says that it refused
    assert at(page) == 50  # and the page's own script runs


def test_a_run_that_has_just_begun_is_a_page_too(browser: Browser, tmp_path: Path) -> None:
    path = RunPage(make_run(tmp_path / "run", steps=0)).write()
    page = browser.page(360, 740)
    page.go(path.as_uri())
    assert "Nothing was learnt yet." in page.evaluate("document.body.innerText")
    assert page.too_wide() == []
    whole(page, path)
