"""The card in sentences: how far the painted pictures come, what that rests on, and what contradicts it."""

from collections.abc import Mapping, Sequence

from cyclestyle.evaluation.behaviour import Behaviour
from cyclestyle.evaluation.measures import COLOUR, PAINTED, PHOTOS, REAL, Measure


def verdict(measures: Sequence[Measure], behaviours: Sequence[Behaviour] = (), *, random: bool) -> str:
    """One sentence on the main measure; and one on what is alarming, whatever that measure says."""
    main = next((measure for measure in measures if measure.main), None)
    if main is None or REAL not in main.values or PAINTED not in main.values:
        return "There are too few pictures to place the painted ones between photos and paintings."
    told = f"By {_cited(main)} {_placed(main)}"
    told = f"With random weights, which say nothing about quality: b{told[1:]}." if random else f"{told}."
    alarming = [one.name.lower() for one in behaviours if one.alarming]
    return f"{told} Alarming: {', '.join(alarming)}." if alarming else told


def _placed(main: Measure) -> str:
    """Where the painted pictures stand, beginning with whose place it is."""
    ours, transfer = main.skill.get(PAINTED), main.skill.get(COLOUR)
    if ours is None:
        return (
            "the untouched photos cannot be told from real paintings, so nothing can be placed between them; the "
            f"painted pictures {_against_photos(main)}"
        )
    low, high = main.skill_interval.get(PAINTED, (ours, ours))
    if not main.different.get(PAINTED, False):
        told = "the painted pictures cannot be told from untouched photos"
    elif ours < 0:
        told = "the painted pictures are farther from the paintings than the untouched photos are"
        told += f" (at {ours:.2f}, photos 0, paintings 1)"
    else:
        told = f"the painted pictures have come {ours:.0%} of the way from photos to real paintings"
        told += f" (95 %: {low:.0%} to {high:.0%})"
    return told if transfer is None else f"{told}; colour transfer alone comes to {transfer:.0%}"


def _against_photos(main: Measure) -> str:
    """Which of the two is nearer to the paintings, where there is no scale."""
    if not main.different.get(PAINTED, False):
        return "cannot be told from untouched photos either"
    nearer = main.values[PAINTED].value < main.values[PHOTOS].value
    return f"are {'nearer to' if nearer else 'farther from'} the paintings than the photos"


def resolution(measures: Sequence[Measure], counts: Mapping[str, int]) -> str:
    """What difference can be told apart at these sample sizes."""
    main = next((measure for measure in measures if measure.main), None)
    if main is None or main.resolvable is None:
        return ""
    on_scale = main.skill.get(REAL) is not None
    at_length = main.values[PHOTOS].value - main.values[REAL].value if on_scale else None
    told = (
        f"With {counts['painted']} painted pictures and {counts['reference']} reference paintings, differences in "
        f"{main.name} below about {main.resolvable:.2g} cannot be told from chance (95 %)"
    )
    if at_length:
        told += f": {main.resolvable / at_length:.2f} on the scale"
    return f"{told}. Another training of the same painter may move it by more."


def contradictions(measures: Sequence[Measure], grid: Behaviour | None, names: Mapping[str, str]) -> list[str]:
    """Where measures disagree, and what is known of the reason. `names` of the rows, by their keys."""
    main = next((measure for measure in measures if measure.main), None)
    said = []
    if main is not None and _farther(main):
        said.append(_what_is_wrong(measures, grid))
    elif worse := [one for one in measures if one.key.startswith(("mmd_", "palette")) and _farther(one)]:
        levels = ", ".join(dict.fromkeys(measure.level for measure in worse))
        most = _worst(worse)
        said.append(
            f"Yet at {levels} the painted pictures are farther from the paintings than the photos are, most by "
            f"{most.name} at {most.level}."
        )
    said += _levels_disagree([measure for measure in measures if measure.key.startswith("kid/")], grid, names)
    return said


def _what_is_wrong(measures: Sequence[Measure], grid: Behaviour | None) -> str:
    """Of pictures that are farther from the paintings than the photos are: by which measure, at which layer."""
    palette = next(measure for measure in measures if measure.key == "palette")
    told = "The painted pictures are farther from the paintings than the photos are"
    if _nearer(palette):
        told += ", although their palette is nearer"
    layers = [measure for measure in measures if measure.key.startswith("mmd_") and _farther(measure)]
    if layers:
        worst = _worst(layers)
        levels = ", ".join(dict.fromkeys(measure.level for measure in layers))
        told += f": what is wrong is texture (at {levels}; most by {worst.name} at {worst.level})"
    if grid is not None and grid.alarming:
        told += f"; see the grid of period {grid.numbers['period']:.0f} pixels in the spectrum"
    return f"{told}."


def _worst(measures: Sequence[Measure]) -> Measure:
    return max(measures, key=lambda one: one.values[PAINTED].value / max(one.values[PHOTOS].value, 1e-30))


def _cited(measure: Measure) -> str:
    """Its name, and its level where the name does not tell it."""
    name = measure.name.removesuffix(" × 10³")
    return name if measure.level.startswith("Inception") else f"{name} ({measure.level})"


def _farther(measure: Measure) -> bool:
    return measure.values[PAINTED].value > measure.values[PHOTOS].value and measure.different.get(PAINTED, False)


def _nearer(measure: Measure) -> bool:
    return measure.values[PAINTED].value < measure.values[PHOTOS].value and measure.different.get(PAINTED, False)


def _levels_disagree(levels: Sequence[Measure], grid: Behaviour | None, names: Mapping[str, str]) -> list[str]:
    """Pairs of rows that two levels put in different order, by more than chance."""
    if len(levels) < 2:
        return []
    deep, *others = levels
    said = []
    for other in others:
        rows = [key for key in deep.values if key in other.values and key != REAL]
        pairs = [
            (one, two)
            for index, one in enumerate(rows)
            for two in rows[index + 1 :]
            if _way(deep, one, two) * _way(other, one, two) < 0
        ]
        if not pairs:
            continue
        certain = [pair for pair in pairs if all(_apart(measure, *pair) for measure in (deep, other))]
        named = ", ".join(f"{names[one]} and {names[two]}" for one, two in certain or pairs)
        told = f"{deep.level} and {other.level} put {named} in different order"
        if not certain:
            told += ", which may be chance."
        else:
            told += ": the shallow level sees fine texture, the deep one larger shapes"
            rings = grid is not None and grid.alarming and any(PAINTED in pair for pair in certain)
            told += " (there is a grid on the painted pictures)." if rings else "."
        said.append(told)
    return said


def _way(measure: Measure, one: str, two: str) -> float:
    return measure.values[one].value - measure.values[two].value


def _apart(measure: Measure, one: str, two: str) -> bool:
    return (one, two) in measure.apart or (two, one) in measure.apart
