"""Which curves the page of a run shows, and what each says to somebody who has never seen one."""

from collections.abc import Iterator

from cyclestyle.training.alarms import WON
from cyclestyle.training.page.curves import Chart, Level, Series, Wanted, chart
from cyclestyle.training.page.record import Points, Record, number_of

LEVELS = 127.5
"""Of 255, in a difference of 1 between pictures in [-1, 1]."""
SIDES = {"photo": "photos", "painting": "paintings"}


def charts(record: Record) -> list[Chart]:
    """Every chart for which a run has numbers."""
    rung = [int(line["step"]) for lines in record.alarms.values() for line in lines]
    found = (chart(wanted, record.step, rung) for wanted in _wanted(record))
    return [one for one in found if one is not None]


def _wanted(record: Record) -> Iterator[Wanted]:
    yield from _nearness(record)
    yield from _round_trips(record)
    for side in ("painting", "photo"):
        yield _contest(record, side)
    yield Wanted(
        "gradients",
        "Gradients",
        "How strongly the networks are pulled at each step. A line that leaps up tells of a training that is about to "
        "break.",
        [Series(of, record.points(f"gradient/{of}")) for of in ("generators", "discriminators")],
    )
    yield Wanted(
        "rate",
        "Learning rate",
        "How large the steps are. Where it falls, a painter settles.",
        [Series("learning rate", record.points("learning_rate"))],
        noisy=False,
    )
    yield Wanted(
        "pace",
        "Pace",
        "Pairs of pictures a second. It follows the machine and what else it does, not the painter.",
        [Series("pairs a second", record.paced("pairs_per_second"))],
        better="higher",
    )
    yield Wanted(
        "waiting",
        "Waiting for pictures",
        "Share of the time in which nothing was learnt, since no picture was ready; more --data.workers help.",
        [Series("share of the time", record.paced("waiting"))],
        better="lower",
    )


def _nearness(record: Record) -> Iterator[Wanted]:
    """How near painted photos come to the paintings, by whatever it was measured with."""
    untouched = record.scored("kid_untouched")
    yield Wanted(
        "kid",
        "Distance to the paintings (KID × 1000)",
        "How far painted photos are from the paintings, as a pretrained network sees them.",
        [
            Series("averaged weights", record.scored("kid")),
            Series("last weights", record.scored("kid_last")),
        ],
        [Level(untouched[-1][1], "untouched photos")] if untouched else [],
        "lower",
    )
    untouched = record.scored("untouched")
    yield Wanted(
        "distance",
        "Distance to the paintings (the run's own yardstick)",
        "How far painted photos are from the paintings in colours and texture, without a pretrained network. Other "
        "paintings of the same set are at about 0.",
        [Series("painted photos", record.scored("distance"))],
        [Level(untouched[-1][1], "untouched photos"), Level(0.0, "other paintings")] if untouched else [],
        "lower",
    )


def _round_trips(record: Record) -> Iterator[Wanted]:
    """Reconstructions in levels of 255, without the weights that they have in the loss."""
    cycle = number_of(record.setting("objective", "cycle"))
    if cycle:
        yield Wanted(
            "cycle",
            "There and back",
            "How much a picture differs from itself after it was sent through both painters, in levels of 255: what "
            "of its content was lost on the way, or hidden.",
            [Series(f"{SIDES[side]} and back", _scaled(record, f"cycle/{side}", cycle)) for side in SIDES],
            better="lower",
        )
    identity = number_of(record.setting("objective", "identity"))
    if identity:
        yield Wanted(
            "identity",
            "What is right already",
            "How much the painter changes a picture that is a painting, and the way back one that is a photo, in "
            "levels of 255.",
            [Series(SIDES[side], _scaled(record, f"identity/{side}", identity)) for side in SIDES],
            better="lower",
        )


def _scaled(record: Record, name: str, weight: float) -> Points:
    return [(step, value / weight * LEVELS) for step, value in record.points(name)]


def _contest(record: Record, side: str) -> Wanted:
    """A generator against its discriminator."""
    told = ""
    if won := WON.get(str(record.setting("objective", "adversarial"))):
        told = f" The judge has won where its loss stays below {won[0]:g} and the painter's above {won[1]:g}."
    real, made = dict(record.points(f"real/{side}")), dict(record.points(f"fake/{side}"))
    judged = [(step, real[step] + made[step]) for step in real if step in made]
    who = "painter" if side == "painting" else "way back"
    return Wanted(
        f"contest-{side}",
        f"The contest over {SIDES[side]}",
        f"The {who} tries to pass its pictures off as {SIDES[side]}, a judge to tell them from real ones; these are "
        f"the losses of both. Neither is to win: who has won teaches the other nothing.{told.replace('painter', who)}",
        [Series(f"the {who}", record.points(f"fool/{side}")), Series("the judge", judged)],
    )
