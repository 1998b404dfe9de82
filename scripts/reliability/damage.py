"""Checkpoints that were damaged after they were written, in every file and in every way that disks and people know."""

import os
import random
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from trial import Row, digest, draw_sets, main, run_to_end, start, tiny, train

from cyclestyle.config import Settings
from cyclestyle.runs import RunFolder
from cyclestyle.training.checkpoints import last_checkpoint, steps, verify

STEPS = 12
"""Saved at 5, 10 and 12; the last two are kept."""


@dataclass(frozen=True)
class Damage:
    """A way to damage a file."""

    name: str
    content: bytes | None
    """What is in it then; None if it is gone."""

    def do(self, file: Path) -> None:
        file.unlink()
        if self.content is not None:
            file.write_bytes(self.content)


def damages(whole: bytes, full: bool, chances: random.Random) -> Iterator[Damage]:
    """All the ways, for a file of this content."""
    cuts, bits = (10, 100) if full else (3, 10)
    for length in {0, len(whole) - 1, *chances.sample(range(1, len(whole) - 1), cuts - 2)}:
        yield Damage("truncated", whole[:length])
    last = 8 * len(whole) - 1
    for bit in {0, last, *chances.sample(range(1, last), bits - 2)}:
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        yield Damage("one bit flipped", bytes(flipped))
    yield Damage("missing", None)
    yield Damage("of the same size, all zero", bytes(len(whole)))
    yield Damage("with a byte more", whole + b"\0")
    yield Damage("with its own content twice", whole + whole)


@dataclass
class Tally:
    """What came of one file."""

    done: Counter[str] = field(default_factory=Counter)
    rejected: int = 0
    wrong: list[str] = field(default_factory=list)


def look(checkpoint: Path, before: Path, file: Path, damage: Damage, tally: Tally) -> None:
    """Damage a file, see whether that is found out and the checkpoint before is taken, and mend it."""
    whole, complaints = file.read_bytes(), []
    damage.do(file)
    tally.done[damage.name] += 1
    try:
        verify(checkpoint)
        tally.wrong.append(f"{damage.name}: verified")
    except ValueError as error:
        if file.name not in str(error) or "\n" in str(error):
            tally.wrong.append(f"{damage.name}: {error}")
        else:
            tally.rejected += 1
    found = last_checkpoint(checkpoint.parent, complaints.append)
    if found is None or found.path != before or len(complaints) != 1 or file.name not in complaints[0]:
        tally.wrong.append(f"{damage.name}: took {found and found.path}; {complaints}")
    file.unlink(missing_ok=True)
    file.write_bytes(whole)


def go_on(place: Path, settings: Settings, expected: dict[str, str], processes: int, *, full: bool) -> Row:
    """The command itself, over a damaged last checkpoint: it goes on from the one before, to the same end."""
    ends, wrong, run = 0, list[str](), RunFolder(settings.run)
    files = sorted(steps(run.checkpoints)[-1].iterdir()) if full else [steps(run.checkpoints)[-1] / "manifest.json"]
    for file in files:
        whole = file.read_bytes()
        Damage("cut", whole[: len(whole) // 2]).do(file)
        found = run_to_end(settings, place / "said", processes=processes)
        said = (place / ("said-0" if processes > 1 else "said")).read_text(encoding="utf-8")
        if found != expected or f"passing over a damaged checkpoint: {file}" not in said:
            wrong.append(f"{file.name}: {' '.join(said.split())[:300]}")
        ends += found == expected
    found = f"{ends} {wrong[0] if wrong else ''}"
    return Row(f"runs over a damaged last checkpoint ({processes} process(es))", f"{len(files)}", found, not wrong)


def refuse(place: Path, settings: Settings, processes: int) -> Row:
    """With no whole checkpoint left, a run must not begin anew as if nothing had been."""
    run = RunFolder(settings.run)
    for number, checkpoint in enumerate(steps(run.checkpoints)):
        file = sorted(checkpoint.iterdir())[number]
        Damage("cut", file.read_bytes()[:-1]).do(file)
    before = tree(settings.run)
    children = start(lambda: train(settings), place / "said", processes=processes)
    codes = [child.wait() for child in children]
    errors = [line for child in children for line in child.said().splitlines() if line.startswith("error: ")]
    told = {line for line in errors if "no checkpoint in" in line and "is whole" in line}
    holds = codes == [2] * processes and len(errors) == processes and len(told) == 1 and tree(settings.run) == before
    found = f"exit codes {codes}, {errors[0] if errors else 'no sentence'}"
    demanded = "exit code 2, a sentence, nothing touched"
    return Row(f"all checkpoints damaged ({processes} process(es))", demanded, found, holds)


def tree(run: Path) -> dict[Path, bytes]:
    """All files, but the lock, which says who held it last."""
    return {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name != ".lock"}


def trial(place: Path, full: bool) -> list[Row]:
    """Each file of the last checkpoint of a run (full: of two processes)."""
    processes, rows, chances = 2 if full else 1, list[Row](), random.Random(0)
    settings = tiny(place / "run", draw_sets(place / "data"), schedule={"steps": STEPS})
    expected = run_to_end(settings, place / "said", processes=processes)
    before, checkpoint = steps(RunFolder(settings.run).checkpoints)[-2:]
    for file in sorted(checkpoint.iterdir()):
        tally = Tally()
        for damage in damages(file.read_bytes(), full, chances):
            look(checkpoint, before, file, damage, tally)
        rows.append(_row(file, tally))
    rows += [look_at_links(checkpoint, before), go_on(place, settings, expected, processes, full=full)]
    assert digest(settings.run) == expected
    return [*rows, refuse(place, settings, processes)]


def _row(file: Path, tally: Tally) -> Row:
    cuts, bits = tally.done["truncated"], tally.done["one bit flipped"]
    demanded = f"{cuts} cuts, {bits} flipped bits, {tally.done.total() - cuts - bits} more: named, the one before taken"
    found = f"{tally.rejected} of {tally.done.total()}{'; ' + tally.wrong[0] if tally.wrong else ''}"
    return Row(file.name, demanded, found, not tally.wrong)


def look_at_links(checkpoint: Path, before: Path) -> Row:
    """Files that are something else than files."""
    wrong, kinds = list[str](), 0
    for file in sorted(checkpoint.iterdir()):
        aside = checkpoint.parent.parent / f"aside-{file.name}"
        for kind in ("folder", "link to the same content", "pipe"):
            file.rename(aside)
            if kind == "folder":
                file.mkdir()
            elif kind == "pipe":
                os.mkfifo(file)
            else:
                file.symlink_to(aside)
            kinds += 1
            complaints: list[str] = []
            found = last_checkpoint(checkpoint.parent, complaints.append)
            if found is None or found.path != before or len(complaints) != 1 or file.name not in complaints[0]:
                wrong.append(f"{file.name} a {kind}: {complaints}")
            if kind == "folder":
                shutil.rmtree(file)
            else:
                file.unlink()
            aside.rename(file)
    found_text = f"{kinds - len(wrong)} of {kinds}{'; ' + wrong[0] if wrong else ''}"
    return Row("a folder, link or pipe for each file", "named, the one before taken", found_text, not wrong)


if __name__ == "__main__":
    main("Damaged checkpoints", trial)
