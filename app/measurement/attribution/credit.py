"""Paths become credit: each group's journeys go through the model, and come out as whole units that add up."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from uuid import UUID

import numpy as np

from app.errors import FieldError, InvalidInput
from app.measurement.attribution.definitions import PARTS
from app.measurement.attribution.question import Question
from app.measurement.attribution.repository import Path
from app.stats.attribution.journeys import Credits, Journeys
from app.stats.attribution.markov import TooManyStates, markov
from app.stats.attribution.rounding import whole_units
from app.stats.attribution.rules import by_rule, time_decay
from app.stats.attribution.shapley import shapley


@dataclass(frozen=True, slots=True)
class Share:
    """What one channel is credited with: outcomes in parts of 1 / PARTS, value in minor units."""

    parts: int
    revenue_minor: int
    standard_error: float | None = None


@dataclass(frozen=True, slots=True)
class Credited:
    """One group: its channels with their credit, and what nobody can be credited with."""

    segment_id: UUID | None
    shares: dict[str, Share]
    outcomes: int
    revenue_minor: int
    nulls: int
    untouched: int
    untouched_minor: int


def credited(question: Question, names: Sequence[str], paths: Sequence[Path]) -> list[Credited]:
    """The credit of each group that has an outcome or a touch. Raises InvalidInput where a chain is too large."""
    groups: dict[UUID | None, list[Path]] = {}
    # In one order, so that sums of fractions, and what is rounded after them, come out the same every time.
    for path in sorted(paths, key=lambda path: (path.codes or [], path.ages or [])):
        groups.setdefault(path.segment_id, []).append(path)
    return [_of_group(question, names, segment_id, own) for segment_id, own in groups.items()]


def _of_group(question: Question, names: Sequence[str], segment_id: UUID | None, paths: Sequence[Path]) -> Credited:
    touched = [path for path in paths if path.codes]
    untouched = [path for path in paths if not path.codes]
    outcomes, revenue = (sum(each) for each in _endings(touched))
    lost, lost_minor = (sum(each) for each in _endings(untouched))
    found = _modelled(question, journeys_of(names, touched, aged=question.needs_ages))
    parts = whole_units(found.conversions.tolist(), outcomes * PARTS)
    minor = whole_units(found.values.tolist(), revenue)
    errors = [None] * len(parts) if found.standard_errors is None else found.standard_errors.tolist()
    shares = {name: Share(*each) for name, *each in zip(found.channels, parts, minor, errors, strict=True)}
    return Credited(segment_id, shares, outcomes, revenue, sum(path.nulls for path in touched), lost, lost_minor)


def _endings(paths: Sequence[Path]) -> tuple[list[int], list[int]]:
    return [path.converted for path in paths], [path.amount_minor for path in paths]


def journeys_of(names: Sequence[str], paths: Sequence[Path], *, aged: bool) -> Journeys:
    """Paths as they were read, turned round, with those channels only that are on one."""
    codes = [path.codes or () for path in paths]
    lengths = np.fromiter(map(len, codes), np.int64, len(codes))
    flat = np.fromiter(chain.from_iterable(map(reversed, codes)), np.int64, int(lengths.sum()))
    used, touches = np.unique(flat, return_inverse=True)
    ages = None
    if aged:
        days = (path.ages or () for path in paths)
        ages = np.fromiter(chain.from_iterable(map(reversed, days)), np.float64, flat.size)
    counts = np.array([(path.converted, path.amount_minor, path.nulls) for path in paths], dtype=np.float64)
    conversions, values, nulls = counts.reshape(-1, 3).T
    starts = np.cumsum(lengths) - lengths
    channels = tuple(names[code - 1] for code in used.tolist())
    return Journeys(channels, touches.astype(np.int64), starts, conversions, values, nulls, ages)


def _modelled(question: Question, journeys: Journeys) -> Credits:
    model = question.model
    if model == "markov":
        try:
            return markov(journeys, order=question.order or 1)
        except TooManyStates as error:
            detail = f"{error}; ask for a lower order, or for channels instead of campaigns"
            raise InvalidInput(detail, errors=[FieldError("order", "too_many_states", detail)]) from None
    if model == "shapley":
        return shapley(journeys, game=question.game or "conversions")
    if model == "time_decay":
        assert question.half_life_days is not None
        return time_decay(journeys, half_life_days=question.half_life_days)
    return by_rule(journeys, model)
