"""What somebody wants to know who comes back to a training: how far it is, whether it went well, where it turned, and
whether to go on. No sentence says more than the numbers of the run can bear.
"""

from collections.abc import Iterator
from typing import NamedTuple

from cyclestyle.progress import clock
from cyclestyle.training.judge import best_step
from cyclestyle.training.page.charts import LEVELS
from cyclestyle.training.page.record import Points, Record, number_of
from cyclestyle.training.score import CHANCE

OF_KID = 0.05
"""Share of the untouched photos' KID, below which a difference between two of one run is taken for chance."""
LATE = 1 / 3
"""Share of a run that counts as its end."""
LEAST = 4
"""Looks, below which nothing is said of a trend."""

MEASURED = {"kid": ("KID × 1000", "kid_untouched"), "distance": ("its own yardstick", "untouched")}
"""Of a score, the surer first: what people call it, and the entry of the photos themselves."""


class Remark(NamedTuple):
    """A question, and its answer."""

    question: str
    answer: str


class Nearness(NamedTuple):
    """How near to the paintings a run came, by one measure."""

    measure: str
    """kid or distance."""
    name: str
    points: Points
    untouched: float | None
    """Of the photos themselves."""
    chance: float
    """What of a difference may be chance."""
    best: int
    """The last step that cannot be told from the nearest one."""

    @property
    def last(self) -> float:
        return self.points[-1][1]

    @property
    def turned(self) -> bool:
        """Whether it came nearer before than it is at the end."""
        return self.best != self.points[-1][0]

    @property
    def gain(self) -> float | None:
        """By how much it came nearer in the last third of the run; None where that cannot be said."""
        if len(self.points) < LEAST:
            return None
        before = [value for step, value in self.points if step <= (1 - LATE) * self.points[-1][0]]
        return before[-1] - self.last if before else None


def nearness(record: Record) -> Nearness | None:
    """By KID where it was measured, else by the run's own yardstick; None where nothing was."""
    for measure, (name, photos) in MEASURED.items():
        points, untouched = record.scored(measure), record.scored(photos)
        best = best_step(record.scores, {step for step, _ in points}, [measure])
        if points and best is not None:
            floor = untouched[-1][1] if untouched else None
            chance = CHANCE if measure == "distance" else OF_KID * abs(floor or points[-1][1])
            if measure == "kid":  # of those that chance cannot tell apart, the last, as for the other measure
                lowest = dict(points)[best]
                best = max(step for step, value in points if best <= step and value <= lowest + chance)
            return Nearness(measure, name, points, floor, chance, best)
    return None


def headline(record: Record) -> str:
    """The run in one sentence."""
    took = f" in {clock(record.seconds)}" if record.seconds else ""
    if not record.step:
        return "Nothing was learnt yet."
    if record.finished:
        where = f"Finished: {record.step:,} steps{took}"
    else:
        of = f" of {record.total:,}" if record.total else ""
        where = f"At step {record.step:,}{of}{took}"
    parts = [where]
    near = nearness(record)
    if near is not None:
        parts.append(f"what it paints is {_standing(near)}")
    rung = _still_ringing(record)
    if rung:
        parts.append(f"{len(rung)} alarm{'s' if len(rung) > 1 else ''} at the end ({', '.join(rung)})")
    return f"{'; '.join(parts)}."


def remarks(record: Record) -> list[Remark]:
    """The questions that can be answered."""
    return [Remark(question, answer) for question, answer in _remarks(record) if answer]


def _remarks(record: Record) -> Iterator[tuple[str, str]]:
    if not record.step:
        return
    near = nearness(record)
    yield "How far is it?", _how_far(record)
    yield "Did it go well?", " ".join(filter(None, [_how_near(near), _round_trips(record)]))
    yield "Where did it turn?", _turn(record, near)
    yield "What may be wrong?", _alarms(record)
    yield "Should it go on?", _advice(record, near)


def _how_far(record: Record) -> str:
    epochs = f" ({record.step / record.per_epoch:.3g} epochs)" if record.per_epoch else ""
    told = f"{record.step:,} steps{epochs}"
    if record.total and not record.finished:
        told = f"{record.step:,} of {record.total:,} steps{epochs}"
        if record.seconds:
            left = record.seconds * (record.total - record.step) / record.step
            return f"{told} in {clock(record.seconds)}; at that pace the others take {clock(left)}."
    budget = record.setting("schedule", "budget")
    took = f" in {clock(record.seconds)}" if record.seconds else ""
    return f"{told}{took}{f', of a budget of {budget}' if budget else ''}{', to the end' if record.finished else ''}."


def _standing(near: Nearness) -> str:
    """Where a painter is between the photos and the paintings."""
    last, photos, chance = near.last, near.untouched, near.chance
    if photos is None:
        return f"at {_written(last)} from the paintings by {near.name}"
    if _farther(near):
        return "farther from the paintings than the untouched photos"
    if last >= photos - chance:
        return "no nearer to the paintings than the untouched photos"
    if near.measure == "distance" and last <= chance:
        return "as near to the paintings as these are to one another"
    return "nearer to the paintings than the untouched photos"


def _farther(near: Nearness) -> bool:
    """Whether it is farther from the paintings than where it set out, by more than chance."""
    return near.untouched is not None and near.last > near.untouched + near.chance


def _how_near(near: Nearness | None) -> str:
    if near is None:
        return "How near it comes to the paintings was not looked at (report.judge, evaluation.every)."
    photos = "" if near.untouched is None else f", the untouched photos {_written(near.untouched)}"
    others = ", other paintings about 0" if near.measure == "distance" else ""
    bare = f" by {near.name}" if near.measure == "distance" else f" by {near.name} of the averaged weights"
    sentence = f"At step {near.points[-1][0]:,} what it paints is {_standing(near)}{bare}: {_written(near.last)}"
    return f"{sentence}{photos}{others}."


def _round_trips(record: Record) -> str:
    """What becomes of a photo that is painted and turned back, at the beginning and at the end."""
    weight, points = number_of(record.setting("objective", "cycle")), record.points("cycle/photo")
    if not weight or len(points) < LEAST:
        return ""
    part = max(1, len(points) // 8)
    began, ended = (sum(v for _, v in some) / len(some) / weight * LEVELS for some in (points[:part], points[-part:]))
    return (
        f"A photo that is painted and turned back differs from itself by {ended:.0f} of 255 levels, {began:.0f} at the "
        "beginning."
    )


def _turn(record: Record, near: Nearness | None) -> str:
    if near is None:
        return ""
    if len(near.points) == 1:
        return "It was looked at once; a second look will tell which way it goes."
    if not near.turned:
        return "It did not: it was never nearer to the paintings than at the last look, by more than chance."
    best = dict(near.points)[near.best]
    kept = "Its checkpoint is kept." if near.best in record.kept else "Its checkpoint is not kept."
    return (
        f"After step {near.best:,}: there it was at {_written(best)}, at step {near.points[-1][0]:,} it is at "
        f"{_written(near.last)}, farther from the paintings. {kept}"
    )


def _alarms(record: Record) -> str:
    """Each kind of alarm, when it rang, and what it says."""
    told = []
    for lines in record.alarms.values():
        first, last = int(lines[0]["step"]), int(lines[-1]["step"])
        when = f"at step {first:,}" if first == last else f"from step {first:,} to {last:,}"
        told.append(f"{when.capitalize()}: {lines[-1]['said']}.")
    return " ".join(told)


def _still_ringing(record: Record) -> list[str]:
    """Kinds of alarms that rang at the last look."""
    looks = [line["step"] for lines in record.alarms.values() for line in lines]
    last = max([*looks, *record.scores], default=0)
    return [kind for kind, lines in record.alarms.items() if int(lines[-1]["step"]) >= last]


def _advice(record: Record, near: Nearness | None) -> str:
    ringing = _still_ringing(record)
    mend = "First see to what may be wrong, above. " if ringing else ""
    if not record.finished:
        return f"{mend}It is not at its end: the command that began it goes on from its last checkpoint."
    if near is None:
        return f"{mend}Look at the pictures of the last steps: where they no longer change, more steps will not help."
    if near.turned and near.best in record.kept:
        place = record.run.checkpoints / f"step-{near.best:07d}"
        better = f"cyclestyle translate {place} PHOTOS --to FOLDER"
        return f"{mend}No; the painter of step {near.best:,} is the better one: `{better}`."
    if near.turned:
        return f"{mend}No: it was nearer before. A new run that ends at about step {near.best:,} would settle there."
    if near.measure == "distance" and near.last <= near.chance:
        return f"{mend}Hardly: its own yardstick sees nothing left to win; `cyclestyle evaluate` sees more."
    if near.gain is None:
        short = "It is farther than the photos themselves: most likely it was too short. " if _farther(near) else ""
        return f"{mend}{short}Too few looks to say which way it goes; a lower --report.checkpoint-every gives more."
    if near.gain > near.chance:
        return (
            f"{mend}Probably: in the last third it still came nearer, by {_written(near.gain)}. A new run with a "
            "longer schedule would show (a schedule that has ended is not made longer)."
        )
    return f"{mend}Hardly: in the last third it came no nearer by more than chance."


def _written(value: float) -> str:
    return f"{value:.3g}".replace("-", "−") if abs(value) >= 0.1 else f"{value:.2f}".replace("-", "−")
