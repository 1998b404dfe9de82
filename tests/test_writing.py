"""The page of a run: all that it told stands on it, nothing of it is obeyed (cyclestyle.training.page.writing)."""

import re
import sys
from pathlib import Path

import pytest
from test_page import HOSTILE, Parsed
from told_run import make_run, noise_sheet, write_lines

from cyclestyle.commands.page import page
from cyclestyle.training.journal import Journal
from cyclestyle.training.page.record import read_run
from cyclestyle.training.page.sheets import MOST_BYTES, Sheets
from cyclestyle.training.page.writing import RunPage, run_page, settings_told


def html_of(run: Path) -> str:
    return run_page(read_run(run), Sheets())


def full(folder: Path) -> Path:
    return make_run(
        folder,
        distances={500: 0.5, 1000: 0.2},
        alarms=[500],
        sheets=[250, 500, 1000],
        kept=[500, 1000],
    )


def test_all_that_a_run_told_stands_on_its_page(tmp_path: Path) -> None:
    found = Parsed(html_of(full(tmp_path / "a run")))
    said = found.said()
    for part in (
        "Training run a run",
        "Finished: 1,000 steps in 8:20 min; what it paints is nearer to the paintings than the untouched photos.",
        "At step 500: flat at 500.",
        "a.png is gone",  # what happened
        "step 250, epoch 0.625",
        "painted photos: 0.50 at step 500, 0.20 at step 1,000",
        "photos and back: 34.7 at step 50, 14.0 at step 1,000",
        "photos 400 paintings 300 of training 8:20 min",
        "cycle 10.0",
        "python 3.12",
    ):
        assert part in said, part
    both = "Both ways, at step 1,000, epoch 2.5"
    assert found.headings[:4] == ["In short", "The same pictures over time", both, "Curves"]


def test_pictures_are_inside_and_each_says_what_it_is(tmp_path: Path) -> None:
    found = Parsed(html_of(full(tmp_path / "run")))
    shown = [one for tag, one in found.elements if tag == "img" and "src" in one]
    assert len(shown) == 2 * (1 + 3) + 2 * 6
    assert all(one["src"].startswith("data:image/jpeg;base64,") for one in shown)
    assert {one["alt"] for one in shown} >= {
        "photo 2",
        "photo 2, painted at step 500, epoch 1.25",
        "photo again, row 1",
    }


def test_nothing_is_loaded_and_only_its_own_script_runs(tmp_path: Path) -> None:
    html = html_of(full(tmp_path / "run"))
    found = Parsed(html)
    tags = [tag for tag, _ in found.elements]
    assert tags.count("script") == 1
    assert not {"link", "iframe", "object", "embed", "base", "form"} & set(tags)
    for _, attributes in found.elements:
        assert attributes.get("src", "data:image/").startswith("data:image/")
        assert attributes.get("href", "#").startswith("#")
        assert not any(name.startswith("on") for name in attributes)
    assert not re.search(r"url\(|@import|https?:", html)
    assert re.search(r"default-src 'none'.*script-src 'sha256-[\w+/]{43}='", html)


def test_links_lead_to_sections_that_are_there(tmp_path: Path) -> None:
    for run in (full(tmp_path / "full"), make_run(tmp_path / "bare", steps=0)):
        elements = Parsed(html_of(run)).elements
        ids = [attributes["id"] for _, attributes in elements if "id" in attributes]
        links = {attributes["href"][1:] for tag, attributes in elements if tag == "a"}
        assert len(ids) == len(set(ids))
        assert links <= set(ids)


def test_a_run_of_one_sheet_has_no_slider_over_the_steps_and_one_without_any_no_pictures(tmp_path: Path) -> None:
    def sliders(html: str) -> int:
        return sum(one.get("type") == "range" for _, one in Parsed(html).elements)

    assert sliders(html_of(full(tmp_path / "full"))) == 2
    assert sliders(html_of(make_run(tmp_path / "one", sheets=[1000]))) == 1
    assert sliders(html_of(make_run(tmp_path / "none"))) == 0


@pytest.mark.parametrize("hostile", HOSTILE)
def test_what_a_run_holds_is_shown_and_not_obeyed(hostile: str, tmp_path: Path) -> None:
    run = full(tmp_path / "run")
    calm = {tag for tag, _ in Parsed(html_of(run)).elements}
    write_lines(
        run / "events.jsonl",
        [
            {"step": 7, "event": "alarm", "kind": hostile, "said": hostile},
            {"step": 8, "event": hostile, "said": hostile},
            {"step": 9, "event": [hostile], "said": "x"},
        ],
    )
    (run / "config.toml").write_text(f"[data]\ncrop = 16\n[{toml(hostile)}]\n{toml(hostile)} = {toml(hostile)}\n")
    (run / "provenance.json").write_text('{"counts": 3, "versions": {"a": ["<b>"]}, "x": "<script>"}')
    found = Parsed(html_of(run))
    assert {tag for tag, _ in found.elements} <= calm
    assert " ".join(hostile.split()) in found.said()


def toml(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def test_settings_that_are_not_the_usual_ones_are_marked(tmp_path: Path) -> None:
    told = settings_told(read_run(make_run(tmp_path / "run")).settings)
    assert told["objective"]["cycle"] == (10.0, False)
    assert told["data"]["crop"] == (16, True)
    assert told["schedule"]["steps"] == (1000, False)  # there is no usual one
    assert settings_told({"objective": {"cycle": 3.0, "unheard of": 1}})["objective"] == {
        "cycle": (3.0, True),
        "unheard of": (1, False),
    }


def test_only_the_last_of_many_events_are_on_the_page(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    write_lines(run / "events.jsonl", [{"step": n, "event": "lost", "said": f"picture-{n:04d}"} for n in range(500)])
    said = Parsed(html_of(run)).said()
    assert "picture-0499" in said
    assert "picture-0439" not in said
    assert "440 before them are in events.jsonl" in said


def test_a_run_of_a_hundred_heavy_sheets_is_a_page_that_one_can_send(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", steps=5000, total=5000)
    first = run / "samples" / "step-0000050.png"
    noise_sheet(first, 8, 128, 1)
    for step in range(100, 5001, 50):
        first.with_name(f"step-{step:07d}.png").hardlink_to(first)
    path = RunPage(run).write()
    assert path == run / "page.html"
    assert path.stat().st_size < MOST_BYTES * 4 / 3 + 400_000
    assert "88 more sheets" in path.read_text()


def test_the_command_says_where_the_page_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = full(tmp_path / "run")
    page(run)
    assert capsys.readouterr().out == f"look: {run / 'page.html'}\n"
    assert (run / "page.html").read_text().rstrip().endswith("</html>")
    assert not list(run.glob(".part*"))


def test_the_command_refuses_what_is_no_run_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="give the folder that `cyclestyle train` wrote"):
        page(tmp_path)
    run = full(tmp_path / "run")
    (run / "page.html").mkdir()
    with pytest.raises(ValueError, match="run cannot be written"):
        page(run)
    assert not list(run.glob(".part*"))


def journal(run: Path) -> tuple[Journal, list[str]]:
    complaints: list[str] = []
    return Journal(read_run(run).run, start=1000, complain=complaints.append), complaints


def test_the_journal_writes_the_page_where_there_is_news_and_only_there(tmp_path: Path) -> None:
    run = full(tmp_path / "run")
    book, complaints = journal(run)
    book.publish()
    assert not (run / "page.html").exists()
    book.tell(1000, "measured", said="It was measured.")
    book.publish()
    first = (run / "page.html").read_text()
    assert "It was measured." in first
    (run / "page.html").unlink()
    book.publish()
    assert not (run / "page.html").exists()
    book.tell(1000, "measured", said="Once more.")
    book.close()
    assert "Once more." in (run / "page.html").read_text()
    assert complaints == []


def test_a_page_that_cannot_be_written_is_complained_about_once_and_stops_nothing(tmp_path: Path) -> None:
    run = full(tmp_path / "run")
    book, complaints = journal(run)
    (run / "page.html").mkdir()
    for _ in range(2):
        book.tell(1000, "lost", said="x")
        book.publish()
    book.close()
    (complaint,) = complaints
    assert "run cannot be written" in complaint
    assert "training goes on" in complaint


def test_what_no_page_can_be_made_of_stops_no_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = full(tmp_path / "run")
    book, complaints = journal(run)
    monkeypatch.setitem(sys.modules, "jinja2", None)  # a broken installation
    monkeypatch.delitem(sys.modules, "cyclestyle.training.page.writing")
    monkeypatch.delitem(sys.modules, "cyclestyle.evaluation.typesetting")
    book.tell(1000, "lost", said="x")
    book.publish()
    assert len(complaints) == 1
    assert read_run(run).events[-1]["said"] == "x"
