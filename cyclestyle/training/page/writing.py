"""A run's page, from its folder to one file: pictures over time, curves, what happened, settings and provenance."""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from cyclestyle.config import Settings
from cyclestyle.evaluation.typesetting import pages, picture, viewer
from cyclestyle.files import write_text, writing_to
from cyclestyle.progress import clock
from cyclestyle.training.page.charts import charts
from cyclestyle.training.page.curves import HIGH, WIDE
from cyclestyle.training.page.record import Record, read_run
from cyclestyle.training.page.remarks import headline, nearness, remarks
from cyclestyle.training.page.sheets import COLUMNS, Sheets

FILE = "page.html"
EVENTS_SHOWN = 60
"""The last of those that happened; `events.jsonl` has them all."""


class RunPage:
    """Writes the page of one run again and again, as the training goes on."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.sheets = folder, Sheets()

    def write(self) -> Path:
        """Write it into the run's folder, in one step; gives its path.

        Raises FileNotFoundError where there is no run, ValueError where it cannot be written.
        """
        path, text = self.folder / FILE, run_page(read_run(self.folder), self.sheets)
        with writing_to(self.folder):
            write_text(path, text)
        return path


def run_page(record: Record, sheets: Sheets) -> str:
    """One self-contained HTML file that tells of a training.

    CSS, one script and pictures are inside, and it asks the network for nothing; readable in light and dark, on a phone
    and in print, and without the script. At most about 10 MB, however many samples there are.
    """
    near = nearness(record)
    samples = sheets.samples(record.shown, [near.best] if near is not None else [])
    happened = [line for line in record.events if isinstance(line.get("said"), str) and line.get("event") != "alarm"]
    html = (
        pages(Path(__file__).parent)
        .get_template("run.html.jinja")
        .render(
            record=record,
            made=datetime.now(UTC).isoformat(timespec="seconds"),
            headline=headline(record),
            remarks=remarks(record),
            counts=counts(record),
            samples=samples,
            names=["photo", *(_named(step, record) for step in samples.steps)] if samples is not None else [],
            columns=COLUMNS,
            charts=charts(record),
            size=(WIDE, HIGH),
            happened=happened[-EVENTS_SHOWN:],
            unseen=max(len(happened) - EVENTS_SHOWN, 0),
            settings=settings_told(record.settings),
            provenance=_provenance(record),
            picture=partial(picture, samples.files if samples is not None else {}),
            script=viewer(),
        )
    )
    return html.encode("utf-8", "replace").decode("utf-8")  # half characters, of file names that are no UTF-8


def counts(record: Record) -> dict[str, Any]:
    """The numbers under the headline."""
    told: dict[str, Any] = {"steps": record.step}
    if record.per_epoch:
        told["epochs"] = f"{record.step / record.per_epoch:.3g}"
    found = record.provenance.get("counts")
    told |= found if isinstance(found, Mapping) else {}
    if record.seconds:
        told["of training"] = clock(record.seconds)
    if side := record.setting("data", "crop"):
        told["pixels a side"] = side
    return told


def _named(step: int, record: Record) -> str:
    """A step as people want it named."""
    epoch = f", epoch {step / record.per_epoch:.3g}" if record.per_epoch else ""
    return f"step {step:,}{epoch}"


def settings_told(settings: Mapping[str, Any]) -> dict[str, dict[str, tuple[Any, bool]]]:
    """Settings by section, each with whether it differs from the usual one."""
    sections = {name: dict(one) for name, one in settings.items() if isinstance(one, Mapping)}
    alone = {name: one for name, one in settings.items() if not isinstance(one, Mapping)}
    found = {"run": alone, **sections}
    try:
        usual = Settings.model_validate({"run": ".", "schedule": {"steps": 1}}).model_dump(mode="json")
    except ValidationError:  # the defaults are tested; a page is no place to fail over them
        usual = {}
    return {
        section: {
            name: (value, section not in {"run", "schedule"} and value != _usual(usual, section, name, value))
            for name, value in values.items()
        }
        for section, values in found.items()
        if values
    }


def _usual(usual: Mapping[str, Any], section: str, name: str, value: Any) -> Any:
    """The default; the value itself where this version does not know the setting."""
    found = usual.get(section)
    return found.get(name, value) if isinstance(found, Mapping) else value


def _provenance(record: Record) -> dict[str, dict[str, Any]]:
    """Section by section; what stands alone first."""
    alone = {name: one for name, one in record.provenance.items() if not isinstance(one, Mapping)}
    sections = {name: dict(one) for name, one in record.provenance.items() if isinstance(one, Mapping)}
    return {name: one for name, one in ({"run": alone} | sections).items() if one}
