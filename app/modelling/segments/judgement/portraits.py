"""Portraits of segments: a name, what tells the members from everybody else, and their typical figures."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from app.modelling.features.columns import Floats, Values, is_category
from app.modelling.features.definitions import Feature
from app.modelling.segments.judgement.effects import (
    NEGLIGIBLE,
    Effect,
    Groups,
    Integers,
    effects_of,
    level_counts,
    magnitude,
)
from app.modelling.segments.judgement.naming import MOST_WORDS, Sayings, unique_names
from app.modelling.segments.judgement.vocabulary import (
    Direction,
    Said,
    category_said,
    label_of,
    number_said,
    shortened,
    theme_of,
)

DRIVERS = 3
# What is unknown of most members does not speak for them.
LEAST_KNOWN = 0.5
QUARTILES = (0.25, 0.5, 0.75)
AVERAGE, EVERYBODY, NOBODY = "average customers", "all customers", "empty segment"
UNKNOWN = "little known customers"
DIGITS = 4
_UNSAID = ("as given", "-1 to 1", "ratio")
Bound = Literal["above", "at_least", "below", "at_most"]
# With ties at the median, as of customers with one purchase, only one of the two tells segments apart.
_BOUNDS: Mapping[Direction, tuple[Bound, Bound]] = {"high": ("above", "at_least"), "low": ("below", "at_most")}


@dataclass(frozen=True, slots=True)
class Driver:
    """A feature in which members differ from all other customers.

    effect_size: Cliff's delta, of a category the difference of shares; magnitude puts it into a word.
    segment_median, everyone_median: of those of whom it is known; None of categories. segment_share, everyone_share: of
    a number the share that lies, as bound says, on the driver's side of everyone's median; of a category the share
    with `category`, and no bound.
    """

    feature: str
    direction: Direction
    category: str | None
    effect_size: float
    magnitude: str
    segment_median: float | None
    everyone_median: float | None
    bound: Bound | None
    segment_share: float
    everyone_share: float
    unit: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Portrait:
    """One segment in words and figures. typical: for each feature the median, of a category the commonest level."""

    label: int
    name: str
    description: str
    size: int
    share: float | None
    drivers: tuple[Driver, ...]
    typical: Mapping[str, Mapping[str, Any]]

    def shown(self) -> dict[str, Any]:
        """As plain JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Column:
    """The figures of one feature: quartiles by segment and of everyone, or how many have each level."""

    effect: Effect
    quartiles: Floats
    beyond: Mapping[Bound, Floats]
    levels: tuple[str, ...]
    shares: Floats
    known: Integers

    @property
    def feature(self) -> Feature:
        return self.effect.feature


def portray(
    values: Values,
    labels: Integers,
    *,
    names_taken: Mapping[int, str],
    features: Sequence[Feature],
    currency: str,
    k: int | None = None,
) -> list[Portrait]:
    """One portrait for each label 0..k-1, in this order; the same for the same customers.

    Labels are -1 for customers in no segment, who still are among the others. names_taken: names that stay, by label,
    however well they still fit. k: where the last segments may be empty. Money is in `currency`.
    """
    groups = Groups.of(labels, k)
    features = list(dict.fromkeys(features))
    columns = [_column(effect, values, groups) for effect in effects_of(values, groups, features)]
    strongest = [_strongest(columns, label) for label in range(groups.k)]
    sayings = [_sayings(some, label, _plain(columns, label, groups)) for label, some in enumerate(strongest)]
    names = unique_names(sayings, names_taken)
    return [
        _portrait(label, name, groups, columns=columns, strongest=strongest[label], currency=currency)
        for label, name in enumerate(names)
    ]


def _column(effect: Effect, values: Values, groups: Groups) -> _Column:
    """Row 0 of quartiles, beyond, shares and known is everyone, row i + 1 segment i."""
    column = values[effect.feature.name]
    if is_category(effect.feature):
        levels, counts, known = level_counts(column, groups)
        counts, known = np.vstack((counts.sum(axis=0), counts[1:])), np.concatenate(([known.sum()], known[1:]))
        shares = counts[:, :-1] / np.maximum(known, 1.0)[:, np.newaxis]
        return _Column(effect, np.empty((0, 3)), {}, tuple(levels), shares, known.astype(np.int64))
    numbers = np.asarray(column, dtype=np.float64)
    parts = [numbers, *(numbers[groups.members(label)] for label in range(groups.k))]
    parts = [part[np.isfinite(part)] for part in parts]
    quartiles = np.array([np.quantile(part, QUARTILES) if part.size else (np.nan,) * 3 for part in parts])
    middle = quartiles[0, 1]
    sides: Mapping[Bound, Any] = {
        "above": np.greater,
        "at_least": np.greater_equal,
        "below": np.less,
        "at_most": np.less_equal,
    }
    beyond = {
        bound: np.array([is_there(part, middle).mean() if part.size else np.nan for part in parts])
        for bound, is_there in sides.items()
    }
    return _Column(effect, quartiles, beyond, (), np.empty((0, 0)), np.array([part.size for part in parts]))


def _strongest(columns: Sequence[_Column], label: int) -> list[_Column]:
    """What tells a segment from the others, the strongest first, one of each theme."""
    telling = [
        column
        for column in columns
        if column.effect.beyond(label, NEGLIGIBLE) and column.effect.known[label] >= LEAST_KNOWN
    ]
    telling.sort(key=lambda column: -round(abs(float(column.effect.against_others[label])), DIGITS))
    of_theme: dict[str, _Column] = {}
    for column in telling:
        of_theme.setdefault(theme_of(column.feature), column)
    return list(of_theme.values())


def _sayings(strongest: Sequence[_Column], label: int, plain: str) -> Sayings:
    most = strongest[:MOST_WORDS]
    strengths = tuple(abs(float(column.effect.against_others[label])) for column in most)
    return Sayings(tuple(_said(column, label) for column in most), strengths, plain)


def _plain(columns: Sequence[_Column], label: int, groups: Groups) -> str:
    """What a segment is called of which there is nothing to say."""
    size = int(groups.sizes[label])
    if size == 0:
        return NOBODY
    if size == groups.labels.size:
        return EVERYBODY
    # To be average is a finding too: it takes figures.
    return AVERAGE if any(column.effect.known[label] >= LEAST_KNOWN for column in columns) else UNKNOWN


def _said(column: _Column, label: int) -> Said:
    direction, level = _direction(column, label), column.effect.levels[label]
    if level is not None:
        return category_said(column.feature, direction, level, _share(column, label + 1, level))
    low, middle, high = column.quartiles[label + 1].tolist()
    return number_said(column.feature, direction, (low, middle, high))


def _direction(column: _Column, label: int) -> Direction:
    above = bool(column.effect.against_others[label] > 0)
    if column.effect.levels[label] is not None:
        return "is" if above else "is_not"
    return "high" if above else "low"


def _share(column: _Column, row: int, level: str) -> float:
    return float(column.shares[row, column.levels.index(level)])


def _portrait(
    label: int,
    name: str,
    groups: Groups,
    *,
    columns: Sequence[_Column],
    strongest: Sequence[_Column],
    currency: str,
) -> Portrait:
    size, everyone = int(groups.sizes[label]), groups.labels.size
    drivers = tuple(_driver(column, label, currency) for column in strongest[:DRIVERS])
    share = round(size / everyone, DIGITS) if everyone else None
    typical = {column.feature.name: _typical(column, label, currency) for column in columns}
    return Portrait(label, name, _description(size, everyone, drivers), size, share, drivers, typical)


def _description(size: int, everyone: int, drivers: Sequence[Driver]) -> str:
    if size == 0:
        return f"None of {_counted(everyone)}."
    who = f"{size:,} of {_counted(everyone)} ({size / everyone:.1%})"
    if size == everyone:
        return f"{who}: there is nobody else to compare them with."
    if not drivers:
        return f"{who}. No feature tells them from the other customers."
    return f"{who}. Against the others: {'; '.join(driver.meaning for driver in drivers)}."


def _counted(customers: int) -> str:
    return "1 customer" if customers == 1 else f"{customers:,} customers"


def _driver(column: _Column, label: int, currency: str) -> Driver:
    feature, effect = column.feature, float(column.effect.against_others[label])
    direction, level = _direction(column, label), column.effect.levels[label]
    figures = _of_number(column, label, direction, currency) if level is None else _of_level(column, label, level)
    return Driver(
        feature=feature.name,
        direction=direction,
        category=level,
        effect_size=round(effect, DIGITS),
        magnitude=magnitude(effect),
        unit=_unit(feature, currency),
        **figures,
    )


def _of_level(column: _Column, label: int, level: str) -> dict[str, Any]:
    mine, everyones = _share(column, label + 1, level), _share(column, 0, level)
    often = "more" if column.effect.against_others[label] > 0 else "less"
    said = f"{label_of(column.feature)} {often} often {shortened(level)}"
    return {
        "segment_median": None,
        "everyone_median": None,
        "bound": None,
        "segment_share": round(mine, DIGITS),
        "everyone_share": round(everyones, DIGITS),
        "meaning": f"{said}: {mine:.0%} of members, {everyones:.0%} of everyone",
    }


def _of_number(column: _Column, label: int, direction: Direction, currency: str) -> dict[str, Any]:
    bound, mine, everyones = max(
        ((each, float(column.beyond[each][label + 1]), float(column.beyond[each][0])) for each in _BOUNDS[direction]),
        key=lambda found: found[1] - found[2],
    )
    medians = float(column.quartiles[label + 1, 1]), float(column.quartiles[0, 1])
    words = [_figure(column.feature, median, currency) for median in medians]
    # Medians where they differ; where they tie, as of refunds that most never ask for, who lies beyond them.
    if words[0] != words[1] and (medians[0] > medians[1]) == (direction == "high"):
        figures = f"median {words[0]}, of everyone {words[1]}"
    else:
        where = f"{bound.replace('_', ' ')} everyone's median of {words[1]}"
        figures = f"{mine:.0%} of members {where}, of everyone {everyones:.0%}"
    return {
        "segment_median": _rounded(medians[0]),
        "everyone_median": _rounded(medians[1]),
        "bound": bound,
        "segment_share": round(mine, DIGITS),
        "everyone_share": round(everyones, DIGITS),
        "meaning": f"{'higher' if direction == 'high' else 'lower'} {label_of(column.feature)}: {figures}",
    }


def _figure(feature: Feature, value: float, currency: str) -> str:
    if feature.is_money:
        return f"{value:,.2f} {currency}"
    if feature.unit == "share":
        return f"{value:.1%}"
    number = f"{value:,.0f}" if value == round(value) else f"{value:,.2f}"
    if feature.unit in _UNSAID:
        return number
    return f"{number} {feature.unit.removesuffix('s') if value == 1 else feature.unit}"


def _rounded(value: float) -> float:
    """Without the noise of the last bits: the middle of two amounts of cents is no more exact than this."""
    return round(value, 6)


def _unit(feature: Feature, currency: str) -> str:
    return currency if feature.is_money else feature.unit


def _typical(column: _Column, label: int, currency: str) -> dict[str, Any]:
    """The median, or the commonest level and its share; null where it is known of no member."""
    known, unit = int(column.known[label + 1]), _unit(column.feature, currency)
    if not is_category(column.feature):
        return {
            "median": _rounded(float(column.quartiles[label + 1, 1])) if known else None,
            "unit": unit,
            "known": known,
        }
    shares = column.shares[label + 1]
    most = int(shares.argmax()) if shares.size and shares.max() > 0 else None
    found: dict[str, Any] = {"most_common": None, "share": None}
    if most is not None:
        found = {"most_common": column.levels[most], "share": round(float(shares[most]), DIGITS)}
    return {**found, "unit": unit, "known": known}
