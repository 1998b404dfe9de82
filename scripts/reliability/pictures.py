"""Pictures that cannot be used, pictures and folders that vanish, loaders that are killed, a logger that fails."""

import io
import json
import multiprocessing
import os
import re
import signal
import socket
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch.utils.tensorboard
from PIL import Image
from trial import Child, Row, digest, draw_sets, main, settings_file, start, tiny, type_command

from cyclestyle.config import Settings
from cyclestyle.data.unpaired import Batch
from cyclestyle.training.checkpoints import last_checkpoint
from cyclestyle.training.learner import Learner, Taken

# --- bad pictures of 16 kinds -------------------------------------------------------------------------------------


def _encoded(chances: np.random.Generator, kind: str) -> bytes:
    picture = Image.fromarray(chances.integers(0, 256, (24, 24, 3), dtype=np.uint8))
    into = io.BytesIO()
    picture.save(into, kind)
    return into.getvalue()


def draw_noise(folder: Path, count: int, *, seed: int, kind: str) -> None:
    """Sound pictures that have nothing in common: `check` compares those that look alike in all ways, for long."""
    folder.mkdir(parents=True)
    chances = np.random.default_rng(seed)
    for number in range(count):
        (folder / f"sound-{number:03d}.{'jpg' if kind == 'JPEG' else 'png'}").write_bytes(_encoded(chances, kind))


def _png_of(width: int, height: int) -> bytes:
    """A PNG whose header claims a size, with right checksums."""
    import struct
    import zlib

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    ends = chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) + ends


def _zip() -> bytes:
    into = io.BytesIO()
    with zipfile.ZipFile(into, "w") as archive:
        archive.writestr("picture.txt", "none")
    return into.getvalue()


def _socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # the names of sockets are short
    socket.socket(socket.AF_UNIX).bind(path.name)
    os.chdir(here)


class Kind(NamedTuple):
    """A way to be no picture."""

    suffix: str
    content: Callable[[np.random.Generator], bytes] | None
    make: Callable[[Path], object] | None
    reason: str
    """What it should be called; a pattern."""


KINDS = (
    Kind(".jpg", lambda chances: b"", None, "^empty$"),
    Kind(".jpg", lambda chances: _encoded(chances, "JPEG")[:40], None, "broken|truncated"),
    Kind(".jpg", lambda chances: (full := _encoded(chances, "JPEG"))[: len(full) * 7 // 10], None, "truncated"),
    Kind(".jpeg", lambda chances: _encoded(chances, "JPEG")[:-2], None, "truncated"),
    Kind(".png", lambda chances: (full := _encoded(chances, "PNG"))[: len(full) // 2], None, "truncated|broken"),
    Kind(".jpg", lambda chances: "Größe: keine.\n".encode() * 9, None, "text"),
    Kind(".jpg", lambda chances: b"<!DOCTYPE html><html><body>404</body></html>", None, "web page"),
    Kind(".png", lambda chances: b"\x7f" + chances.bytes(900), None, "not a picture"),
    Kind(".jpg", lambda chances: _zip(), None, "zip archive"),
    Kind(".png", lambda chances: _png_of(60_000, 60_000), None, "claims 3,600,000,000 pixels"),
    Kind(".png", lambda chances: _png_of(0, 24), None, "broken"),
    Kind(".jpg", lambda chances: _encoded(chances, "GIF"), None, "a GIF named .jpg; convert"),
    Kind(".jpg", lambda chances: _encoded(chances, "PNG"), None, "a PNG named .jpg; rename"),
    Kind(".png", None, lambda path: path.symlink_to("nowhere.png"), "link to nothing"),
    Kind(".jpg", None, os.mkfifo, "pipe"),
    Kind(".png", None, _socket, "socket"),
)


def spoil(folder: Path, each: int) -> dict[str, dict[str, str]]:
    """Put `each` pictures of each kind into both sets in turn, some in sub-folders; patterns of reasons by name."""
    chances = np.random.default_rng(7)
    expected: dict[str, dict[str, str]] = {"photos": {}, "paintings": {}}
    for number in range(each * len(KINDS)):
        kind = KINDS[number % len(KINDS)]
        name = f"{'deeper/' if number % 5 == 0 else ''}bad-{number:03d}{kind.suffix}"
        of = "photos" if (number // len(KINDS) + number) % 2 else "paintings"
        path = folder / of / name
        path.parent.mkdir(exist_ok=True)
        if kind.content is not None:
            path.write_bytes(kind.content(chances))
        elif kind.make is not None:
            kind.make(path)
        expected[of][name] = kind.reason
    return expected


def wrong_in_list(run: Path, expected: dict[str, dict[str, str]]) -> list[str]:
    """In what a run's list of unusable pictures differs from what was spoilt."""
    recorded = json.loads((run / "pictures.json").read_text())
    wrong = []
    for of, names in expected.items():
        found: dict[str, str] = dict(recorded[of]["unusable"])
        wrong += [f"{name} is missing" for name in names.keys() - found.keys()]
        wrong += [f"{name} is a sound one" for name in found.keys() - names.keys()]
        wrong += [f"{n}: {found[n]}" for n in names.keys() & found.keys() if not re.search(names[n], found[n])]
    return wrong


def bad_pictures(place: Path, full: bool) -> list[Row]:
    """The list, for several ways to run; and --strict."""
    data, each = place / "bad", 4 if full else 2
    total = 500 if full else 80
    bad = each * len(KINDS)
    draw_noise(data / "photos", (total - bad) * 6 // 10, seed=1, kind="JPEG")
    draw_noise(data / "paintings", total - bad - (total - bad) * 6 // 10, seed=2, kind="PNG")
    expected, rows = spoil(data, each), []
    ways = {"1 process": (0, 1), "2 workers": (2, 1), "2 processes": (0, 2)}
    for way, (workers, processes) in ways.items():
        settings = tiny(place / way.replace(" ", "-"), data, data={"workers": workers}, schedule={"steps": 10})
        children = run_command(settings, processes=processes)
        codes = [child.wait() for child in children]
        wrong = wrong_in_list(settings.run, expected) if not any(codes) else [children[0].said()[-300:]]
        told = f"{bad} of {total} pictures cannot be learnt from" in children[0].said()
        found = "exact, with fitting reasons" if not wrong else "; ".join(wrong[:4])
        what = f"{bad} bad pictures of {len(KINDS)} kinds among {total}, {way}"
        rows.append(
            Row(
                what, "ends with 0, list exact, number told", f"{codes}, {found}", not any(codes) and not wrong and told
            )
        )
    for processes in (1, 2):
        settings = tiny(place / f"strict-{processes}", data, schedule={"steps": 10})
        children = run_command(settings, "--strict", processes=processes)
        codes, said = [child.wait() for child in children], children[0].said()
        holds = set(codes) == {2} and "--strict refuses" in said and "Traceback" not in said
        rows.append(
            Row(f"--strict, {processes} process(es)", "refused in a sentence", f"{codes}, {_last(said)}", holds)
        )
    return rows + _checked(data, expected)


def _checked(data: Path, expected: dict[str, dict[str, str]]) -> list[Row]:
    """`cyclestyle check` should name the same pictures."""
    said, listed = data.with_name("checked.txt"), data.with_name("checked.json")
    child = start(lambda: type_command("check", data, "--json", listed), said)[0]
    code = child.wait()
    if code:
        return [Row("`cyclestyle check` of the same folder", "ends with 0", f"{code}: {_last(child.said())}", False)]
    named = {Path(one["path"]) for one in json.loads(listed.read_text())["unusable"]}
    meant = {data / of / name for of, names in expected.items() for name in names}
    found = f"{len(named & meant)} named, {len(meant - named)} not named, {len(named - meant)} sound ones named"
    return [Row("`cyclestyle check` of the same folder", "names the same", found, named == meant)]


# --- what happens in mid-run --------------------------------------------------------------------------------------


def run_command(
    settings: Settings, *words: str, processes: int = 1, act: Callable[[], None] = lambda: None
) -> list[Child]:
    """`cyclestyle train` in processes of its own; `act` is done there first."""

    def work() -> int:
        act()
        return type_command("train", "--config", settings_file(settings), *words)

    return start(work, settings.run.with_name(f"{settings.run.name}.txt"), processes=processes)


def at_steps(numbers: list[int], act: Callable[[], object]) -> None:
    """Do something in this process (the first, if there are several) before some of its steps."""
    step_as_it_is = Learner.take_step

    def step(self: Learner, batches: Iterator[Batch], factor: float) -> Taken:
        if self.step in numbers and self.processes.main:
            act()
        return step_as_it_is(self, batches, factor)

    Learner.take_step = step  # type: ignore[method-assign]


def _last(said: str) -> str:
    lines = [line for line in said.strip().splitlines() if line]
    return re.sub(r"/\S*/", "", lines[-1] if lines else "nothing")[:200].replace("|", "/")


def one_picture_lost(place: Path, workers: int) -> Row:
    """A picture is deleted in mid-run."""
    data = draw_sets(place / f"one-lost-{workers}")
    settings = tiny(place / f"lost-{workers}", data, data={"workers": workers, "cache": "off"}, schedule={"steps": 50})
    victim = data / "photos" / "picture-003.png"
    child = run_command(settings, act=lambda: at_steps([10], victim.unlink))[0]
    code = child.wait()
    events = (settings.run / "events.jsonl").read_text()
    lost = [line["said"] for line in map(json.loads, events.splitlines()) if line["event"] == "lost"]
    holds = code == 0 and any(victim.name in said for said in lost)
    found = f"exit code {code}; {_last(lost[0]) if lost else 'not named: ' + _last(child.said())}"
    return Row(f"a photo deleted in mid-run, workers {workers}", "ends with 0, named in events.jsonl", found, holds)


def folder_lost(place: Path, workers: int, processes: int, expected: dict[str, str] | None) -> Row:
    """The photos' folder vanishes in mid-run, and is put back."""
    name = f"folder-{workers}-{processes}"
    data = draw_sets(place / f"data-{name}")
    settings = tiny(place / name, data, data={"workers": workers, "cache": "off"})
    away = data / "photos", data / "elsewhere"
    children = run_command(settings, processes=processes, act=lambda: at_steps([17], lambda: away[0].rename(away[1])))
    codes = [child.wait() for child in children]
    said = "".join(child.said() for child in children)
    kept = last_checkpoint(settings.run / "checkpoints", lambda complaint: None)
    sentence = next((line for line in said.splitlines() if "folder still there" in line), _last(said))
    holds = set(codes) == {2} and "folder still there" in said and "Traceback" not in said and kept is not None
    away[1].rename(away[0])
    again = [child.wait() for child in run_command(settings, processes=processes)]
    same = expected is None or digest(settings.run) == expected
    found = f"{codes}, {_last(sentence)}; {kept.path.name if kept else 'no checkpoint'} whole; again {again}"
    found += ", the same bits" if same else ", **other bits**"
    what = f"the photos' folder vanishes, workers {workers}, {processes} process(es); put back"
    demanded = "exit code 2 in a sentence, checkpoint whole, goes on to the same bits"
    return Row(what, demanded, found, holds and same and not any(again))


def loader_killed(place: Path, data: Path, expected: dict[str, str], numbers: list[int]) -> Row:
    """Processes that load pictures are killed."""
    settings = tiny(place / f"killed-{len(numbers)}", data, data={"workers": 2})

    def kill_one() -> None:
        loaders = multiprocessing.active_children()
        if loaders and loaders[0].pid:
            os.kill(loaders[0].pid, signal.SIGKILL)

    child = run_command(settings, act=lambda: at_steps(numbers, kill_one))[0]
    code = child.wait()
    same = code == 0 and digest(settings.run) == expected
    told = child.said().count("loading begins again")
    found = f"exit code {code}, begun again {told} times, {'the same bits' if same else _last(child.said())}"
    what = f"a loader (of 2) killed with SIGKILL before {len(numbers)} of the steps"
    return Row(what, "goes on, same bits", found, same and told >= 1)


def _fails(*given: Any, **named: Any) -> None:
    raise RuntimeError("the logger is broken")


def board_fails(place: Path, data: Path, how: str, expected: dict[str, str]) -> Row:
    """TensorBoard raises somewhere."""
    settings = tiny(place / f"board-{how}", data)

    def break_it() -> None:
        if how == "import":
            sys.modules["torch.utils.tensorboard"] = None  # type: ignore[assignment]
        else:
            setattr(torch.utils.tensorboard.SummaryWriter, how, _fails)

    child = run_command(settings, act=break_it)[0]
    code = child.wait()
    same = code == 0 and digest(settings.run) == expected
    said = next((line for line in child.said().splitlines() if "cannot be written" in line), "")
    found = f"exit code {code}, {'the same bits' if same else _last(child.said())}; said: {_last(said)}"
    return Row(f"TensorBoard raises at {how}", "ends with 0, same bits", found, same)


def trial(place: Path, full: bool) -> list[Row]:
    """Bad pictures first; then what happens in mid-run, each in a run of its own."""
    place = place.resolve()
    rows = bad_pictures(place, full)
    rows += [one_picture_lost(place, workers) for workers in ((0, 2) if full else (2,))]
    data = draw_sets(place / "data")
    straight = tiny(place / "straight", data)
    assert run_command(straight)[0].wait() == 0
    expected = digest(straight.run)
    ways = ((0, 1), (2, 1), (0, 2), (2, 2)) if full else ((2, 1), (0, 2))
    rows += [folder_lost(place, workers, n, expected if n == 1 else None) for workers, n in ways]
    rows += [loader_killed(place, data, expected, numbers) for numbers in ([12], [*range(3, 28, 3)])[not full :]]
    for how in (
        ("import", "__init__", "add_scalar", "add_image", "flush", "close") if full else ("import", "add_scalar")
    ):
        rows.append(board_fails(place, data, how, expected))
    return rows


if __name__ == "__main__":
    main("Pictures, folders, loaders and loggers that fail", trial)
