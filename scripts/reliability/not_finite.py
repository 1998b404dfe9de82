"""Numbers that are not finite, put into a training at many places, for one step or for good.

What passes is skipped, counted and named; what stays ends the run in a sentence. Nothing not finite is ever saved.

(Not named `numbers.py`: what lies beside a script is imported before the standard library, and torch needs `numbers`.)
"""

import hashlib
import json
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import nn
from trial import Child, Row, draw_sets, main, settings_file, start, tiny, type_command

from cyclestyle.config import Settings
from cyclestyle.data.unpaired import Batch
from cyclestyle.training import cyclegan, loop
from cyclestyle.training.checkpoints import last_checkpoint
from cyclestyle.training.learner import Learner, Taken
from cyclestyle.training.saved import read_facts

STEPS, AT = 38, 27
"""Steps of a run, and before which of them (counted from 0) something happens: later than the guard learns."""

EVERY = 5
NAN, INF = math.nan, math.inf

Undo = Callable[[], object]
Injection = Callable[[Learner], Undo | None]
"""Spoils a learner; gives what takes it back, if it can be taken back."""


@dataclass(frozen=True)
class Case:
    """Something that goes wrong."""

    what: str
    inject: Injection | None = None
    ends: bool = False
    """The run cannot go on; otherwise it ends well."""
    names: str = ""
    """A pattern that is named: in the sentence that ends the run, or in the events."""
    once: bool = True
    """At one step only."""
    skipped: int | None = None
    """Steps that should have been skipped, if that is known."""
    scale: float | None = None
    """Of a loss scaler that is used from the beginning."""
    processes: int = 1
    only: int | None = None
    """The only process to which it happens."""
    small: bool = False
    flat: float = 0.0
    """Share of pictures that are of one colour."""
    settings: dict[str, Any] = field(default_factory=dict)


# --- what goes wrong ----------------------------------------------------------------------------------------------


def weights(net: str, value: float) -> Injection:
    """One weight of a network."""

    def inject(learner: Learner) -> None:
        with torch.no_grad():
            next(getattr(learner.bare, net).parameters()).view(-1)[3] = value

    return inject


def activations(net: str, value: float) -> Injection:
    """One value of what a network makes."""

    def inject(learner: Learner) -> Undo:
        def spoil(module: nn.Module, given: object, made: torch.Tensor) -> torch.Tensor:
            mask = torch.ones_like(made)
            mask.view(-1)[0] = value
            return made * mask

        return getattr(learner.bare, net).register_forward_hook(spoil).remove

    return inject


def loss(value: float) -> Injection:
    """The distance that both cycles are measured with."""

    def inject(learner: Learner) -> Undo:
        sound = cyclegan.distance
        cyclegan.distance = lambda made, true: sound(made, true) * value
        return lambda: setattr(cyclegan, "distance", sound)

    return inject


def gradient(net: str, factor: float) -> Injection:
    """The gradient of one layer, times a factor."""

    def inject(learner: Learner) -> Undo:
        weight = next(getattr(learner.bare, net).parameters())
        return weight.register_hook(lambda gradients: gradients * factor).remove

    return inject


def moments(of: str, name: str, value: float) -> Injection:
    """One of Adam's moments."""

    def inject(learner: Learner) -> None:
        state = next(iter(learner.optimizers[of].state.values()))
        state[name].view(-1)[0] = value

    return inject


def remembered(learner: Learner) -> None:
    """All remembered pictures of one kind."""
    pictures = learner.memories["paintings"].pictures
    assert pictures is not None
    pictures[:, 0, 0, 0] = NAN


def scaler(value: float) -> Injection:
    """The scale of the loss scaler, from now on."""

    def inject(learner: Learner) -> None:
        assert learner.accelerator.scaler is not None
        learner.accelerator.scaler._scale.fill_(value)  # type: ignore[union-attr]

    return inject


def average(learner: Learner) -> None:
    """One weight of an averaged generator."""
    next(iter(learner.averages["paint"].network.state_dict().values())).view(-1)[0] = NAN


# --- the cases ----------------------------------------------------------------------------------------------------

NETS = ("paint", "unpaint", "painting_discriminator", "photo_discriminator")

ONCE = [
    Case(
        "activation of paint nan, one step",
        activations("paint", NAN),
        names="photo is nan",
        skipped=1,
        small=True,
    ),
    Case("activation of unpaint inf, one step", activations("unpaint", INF), names="is (inf|nan)", skipped=1),
    Case(
        "activation of a discriminator nan, one step",
        activations("photo_discriminator", NAN),
        names="photo is nan",
        skipped=1,
    ),
    Case("loss nan, one step", loss(NAN), names="photo is nan", skipped=1),
    Case("loss -inf, one step", loss(-INF), names="cycle/photo is -inf", skipped=1),
    Case("gradient of paint nan, one step", gradient("paint", NAN), names="gradient/generators is nan", skipped=1),
    Case(
        "gradient of a discriminator inf, one step",
        gradient("painting_discriminator", INF),
        names="gradient/discriminators is (inf|nan)",
        skipped=1,
    ),
    Case("gradient times 1e9, one step", gradient("unpaint", 1e9), names="times its usual size", skipped=1, small=True),
    Case("gradient times 1e30, one step", gradient("unpaint", 1e30), names="gradient/generators is", skipped=1),
    Case(
        "2 processes: activation of paint nan in the second alone, one step",
        activations("paint", NAN),
        names="photo is nan",
        skipped=1,
        processes=2,
        only=1,
        small=True,
    ),
    Case(
        "2 processes: gradient nan in the first alone, one step",
        gradient("paint", NAN),
        names="gradient/generators is nan",
        skipped=1,
        processes=2,
        only=0,
    ),
]

FOR_GOOD = [
    *(
        Case(f"weight of {net} {value}", weights(net, value), ends=True, names=rf"{net}\b.*not finite")
        for net in NETS
        for value in (NAN, INF)
    ),
    Case("activation of paint nan, for good", activations("paint", NAN), True, "is nan", once=False, small=True),
    Case(
        "activation of a discriminator inf, for good", activations("photo_discriminator", INF), True, "is", once=False
    ),
    Case("loss nan, for good", loss(NAN), True, "cycle/photo is nan", once=False),
    Case("gradient nan, for good", gradient("painting_discriminator", NAN), True, "gradient/d.* is nan", once=False),
    *(
        Case(f"Adam's {name} {value} ({of})", moments(of, name, value), True, "not finite|no longer finite")
        for of, name, value in (
            ("generators", "exp_avg", NAN),
            ("discriminators", "exp_avg_sq", NAN),
            ("discriminators", "exp_avg_sq", INF),
        )
    ),
    Case("average of paint nan", average, True, "average of paint"),
    Case("remembered pictures nan", remembered, True, "not finite|no longer finite|is nan", small=True),
    Case(
        "scaler's scale nan",
        scaler(NAN),
        True,
        "loss scale",
        scale=1024.0,
        small=True,
    ),
    Case("scaler's scale inf", scaler(INF), True, "loss scale", scale=1024.0),
    Case("scaler's scale 0", scaler(0.0), True, "loss scale", scale=1024.0),
    Case(
        "2 processes: weight nan in the second alone",
        weights("paint", NAN),
        True,
        "",
        processes=2,
        only=1,
    ),
    Case(
        "2 processes: activation nan in the second alone, for good",
        activations("paint", NAN),
        True,
        "is nan",
        once=False,
        processes=2,
        only=1,
    ),
]

OTHER = [
    Case("ordinary overflow: the scaler begins at 3e38", scale=3e38, small=True),
    Case("a scaler at 1024, nothing wrong", scale=1024.0, skipped=0),
    Case("10 % of the pictures of one colour", flat=0.1, skipped=0, small=True),
    Case("half of the pictures of one colour", flat=0.5),
    Case("all pictures of one colour", flat=1.0, small=True),
    Case("all pictures of one colour, no crop", flat=1.0, settings={"data": {"augmentation": "none"}}),
    Case("all of one colour, 2 processes", flat=1.0, processes=2),
]


# --- a training that this happens to ------------------------------------------------------------------------------


def spoilt(case: Case, settings: Settings, rank_of: Callable[[Learner], int] = lambda one: one.processes.rank) -> int:
    """Train, with something going wrong; the weights' digest and the scaler's scale go to a file of this process."""
    step_as_it_is, make = Learner.take_step, loop._accelerator

    def step(self: Learner, batches: Iterator[Batch], factor: float) -> Taken:
        mine = case.only is None or case.only == rank_of(self)
        due = self.step == AT if case.once else self.step >= AT
        undo = case.inject(self) if case.inject and due and mine else None
        taken = step_as_it_is(self, batches, factor)
        if undo:
            undo()
        note = settings.run.with_name(f"{settings.run.name}-{rank_of(self)}.json")
        note.write_text(json.dumps(_noted(self)))
        return taken

    def accelerator(compute: Any) -> Any:
        made = make(compute)
        if case.scale is not None:
            made.scaler = torch.amp.GradScaler("cpu", init_scale=case.scale, growth_interval=1000)
        return made

    Learner.take_step, loop._accelerator = step, accelerator  # type: ignore[method-assign]
    return type_command("train", "--config", settings_file(settings))


def _noted(learner: Learner) -> dict[str, Any]:
    held = [value.numpy().tobytes() for net in learner.bare for value in net.state_dict().values()]
    scale = learner.accelerator.scaler
    steps = {int(s["step"]) for adam in learner.optimizers.values() for s in adam.state.values()}
    return {
        "weights": hashlib.sha256(b"".join(held)).hexdigest(),
        "scale": scale.get_scale() if scale else None,
        "steps of the optimizers": sorted(steps),
        "skipped": learner.guard.skipped,
    }


COLOURS: list[tuple[str, Any]] = [
    *(("RGB", colour) for colour in ((0, 0, 0), (255, 255, 255), (128, 128, 128), (255, 0, 0), (1, 2, 3))),
    *(("L", grey) for grey in (0, 200)),
    ("RGBA", (10, 200, 30, 0)),
    ("RGBA", (10, 200, 30, 128)),
    ("P", 7),
    ("CMYK", (9, 9, 9, 9)),
    ("I;16", 40_000),
]


def draw_flat(folder: Path, share: float) -> None:
    """Replace some of the pictures by ones of a single colour, of all kinds that files have."""
    paths = sorted(folder.glob("*.png"))
    for number, path in enumerate(paths[: math.ceil(share * len(paths))]):
        mode, colour = COLOURS[number % len(COLOURS)]
        path.unlink()
        if mode == "I;16":
            flat = Image.fromarray(np.full((24, 24), colour, dtype=np.uint16))
        else:
            flat = Image.new(mode, (24, 24), colour)
        flat.save(path.with_suffix(".tif" if mode == "CMYK" else ".png"))


# --- what came out ------------------------------------------------------------------------------------------------


def not_finite_in(run: Path) -> list[str]:
    """The files of a run that hold numbers which are not finite."""
    bad = []
    for path in sorted(run.rglob("*.safetensors")):
        if not all(bool(value.isfinite().all()) for value in load_file(path).values()):
            bad.append(str(path.relative_to(run)))
    texts = [*run.rglob("manifest.json"), *run.glob("*.jsonl")]
    return bad + [str(p.relative_to(run)) for p in texts if re.search(r"\b(NaN|Infinity)\b", p.read_text())]


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def judge(case: Case, settings: Settings, children: list[Child]) -> Row:
    """Wait for a run, and compare what came out with what is demanded."""
    wrong: list[str] = []
    try:
        codes = [child.wait(90) for child in children]
    except TimeoutError:
        for child in children:
            child.kill()
        return Row(case.what, "an end", "no end in 90 s", False)
    said, run = " ".join(child.said() for child in children), settings.run
    events, metrics = _lines(run / "events.jsonl"), _lines(run / "metrics.jsonl")
    skips = [line for line in events if line["event"] == "skipped"]
    notes = [json.loads(run.with_name(f"{run.name}-{rank}.json").read_text()) for rank in range(case.processes)]
    skipped = metrics[-1]["skipped"] if metrics and not case.ends else notes[0]["skipped"]
    wrong += [] if codes == [2 if case.ends else 0] * len(codes) else [f"exit codes {codes}"]
    wrong += ["traceback"] if "Traceback" in said else []
    wrong += [f"saved: {', '.join(not_finite_in(run))}"] if not_finite_in(run) else []
    wrong += ["weights differ"] if len({note["weights"] for note in notes}) > 1 and case.only is None else []
    wrong += _checkpoint_lost(run)
    told = next((line for line in reversed(said.splitlines()) if "error:" in line), "") if case.ends else ""
    if not case.ends:
        wrong += [f"{skipped} skipped, not {case.skipped}"] if case.skipped not in (None, skipped) else []
        wrong += ["processes differ"] if len({note["weights"] for note in notes}) > 1 else []
        told = skips[0]["said"] if skips else ""
        wrong += (
            ["its pictures are not named"] if told and not re.search(r"picture-\d+.* with .*picture-\d+", told) else []
        )
    wrong += [f"does not name {case.names}"] if not re.search(case.names, told) else []
    if case.scale and not case.ends:
        told = f"scale {notes[0]['scale']:.3g}; {told}"
        wrong += ["the scale was not lowered"] if case.scale > 1e30 and not notes[0]["scale"] < case.scale else []
        wrong += ["optimizers out of step"] if notes[0]["steps of the optimizers"] != [STEPS - skipped] else []
    told = re.sub(r"/\S*/", "", told)
    found = f"{skipped} skipped; {told[:150]}{'…' if len(told) > 150 else ''}"
    demanded = "ends with 2, named, checkpoint sound" if case.ends else "goes on to the end, skipped and named"
    return Row(case.what, demanded, (f"**{'; '.join(wrong)}**: " if wrong else "") + found.replace("|", "/"), not wrong)


def _checkpoint_lost(run: Path) -> list[str]:
    try:
        found = last_checkpoint(run / "checkpoints", lambda said: None)
        return [] if found and read_facts(found) else ["no checkpoint"]
    except ValueError as error:
        return [str(error).replace(f"{run}/", "")]


def trial(place: Path, full: bool) -> list[Row]:
    """All cases, a few at a time."""
    for share in sorted({case.flat for case in OTHER} | {0.0}):
        data = draw_sets(place / f"data-{share:g}", photos=20, paintings=20)
        draw_flat(data / "photos", share)
        draw_flat(data / "paintings", share)
    cases = [case for case in [*ONCE, *FOR_GOOD, *OTHER] if full or case.small]
    rows: list[Row] = []
    running: list[tuple[Case, Settings, list[Child]]] = []
    for number, case in enumerate(cases):
        sections = {"schedule": {"steps": STEPS}, "report": {"checkpoint_every": EVERY}} | case.settings
        settings = tiny(place / f"run-{number}", place / f"data-{case.flat:g}", **sections)
        said = place / f"said-{number}.txt"
        running.append((case, settings, start(partial(spoilt, case, settings), said, processes=case.processes)))
        if len(running) > 1:
            rows.append(judge(*running.pop(0)))
    return rows + [judge(*one) for one in running]


if __name__ == "__main__":
    main("Numbers that are not finite", trial)
