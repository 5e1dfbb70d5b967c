"""Answers about credit: settles what was asked, has journeys counted and modelled, puts costs and evidence beside."""

from collections import defaultdict
from datetime import timedelta
from typing import Any
from uuid import UUID

from app.clock import InvalidInstant, Window, format_instant, parse_instant, parse_window
from app.db.engine import Session
from app.errors import BadWindow, FieldError, InvalidInput, SegmentationNotFound
from app.measurement.attribution import repository
from app.measurement.attribution.definitions import DEFAULT_WINDOW_DAYS, HALF_LIFE_DAYS
from app.measurement.attribution.incrementality import compared
from app.measurement.attribution.question import Question, Sent
from app.measurement.attribution.reading import credit_of, refuse_unconverted
from app.measurement.attribution.showing import Booked, Showing
from app.measurement.costs import Dimension, Ledger, spent
from app.measurement.kpis.question import Reporting
from app.measurement.spells import segmentation_exists

Shown = dict[str, Any]
MEDIA = "media"


async def answer(session: Session, *, sent: Sent, reporting: Reporting) -> Shown:
    """The credit of every channel or campaign, by segment where asked.

    Raises BadWindow, InvalidInput, SegmentationNotFound, MissingRates.
    """
    _refuse_misplaced(sent)
    window = _window(sent, reporting)
    await repository.prepare(session)
    question = Question(
        model=sent.model,
        order=(sent.order or 1) if sent.model == "markov" else None,
        game=(sent.game or "conversions") if sent.model == "shapley" else None,
        half_life_days=(sent.half_life_days or HALF_LIFE_DAYS) if sent.model == "time_decay" else None,
        window=window,
        look_back=timedelta(days=sent.look_back_days),
        outcome=sent.outcome,
        by=sent.by,
        segmentation_id=await _segmentation(session, sent),
        reporting=reporting,
    )
    groups, touched = await credit_of(session, question)
    nobody = await repository.of_nobody(session, question)
    await refuse_unconverted(session, question, nobody.unconverted)
    whole = question.segmentation_id is None
    showing = Showing(
        question,
        touched=touched,
        segments={} if whole else await repository.segments_of(session, _known(question)),
        costs=await _costs(session, question),
        beside=await compared(session, question) if whole and question.has_money else {},
    )
    newest = await repository.data_as_of(session, reporting)
    return {
        "model": question.model,
        "order": question.order,
        "game": question.game,
        "half_life_days": question.half_life_days,
        "outcome": question.outcome,
        "by": question.by,
        "from": format_instant(window.start),
        "to": format_instant(window.end),
        "look_back_days": sent.look_back_days,
        "currency": reporting.currency,
        **showing.shown(groups, nobody),
        "data_as_of": newest and format_instant(newest),
    }


def _known(question: Question) -> UUID:
    assert question.segmentation_id is not None
    return question.segmentation_id


def _refuse_misplaced(sent: Sent) -> None:
    """Refuse what would be ignored otherwise."""
    of = {"order": "markov", "game": "shapley", "half_life_days": "time_decay"}
    flaws = [
        FieldError(name, "not_of_this_model", f"{name} says something with model={model} only")
        for name, model in of.items()
        if getattr(sent, name) is not None and sent.model != model
    ]
    if sent.segmentation_id is not None and sent.group_by is None:
        detail = "segmentation_id says something with group_by=segment only"
        flaws.append(FieldError("segmentation_id", "without_group_by", detail))
    if flaws:
        raise InvalidInput(flaws[0].detail, errors=flaws)


def _window(sent: Sent, reporting: Reporting) -> Window:
    """The asked window; without `to` it ends now, without `from` it begins a quarter of a year before its end."""
    to = format_instant(reporting.now) if sent.to is None else sent.to
    try:
        if sent.from_ is not None:
            return parse_window(sent.from_, to, reporting.zone)
        end = parse_window("1900-01-01", to, reporting.zone).end
        return Window(max(end - timedelta(days=DEFAULT_WINDOW_DAYS), parse_instant("1900-01-01T00:00:00Z")), end)
    except InvalidInstant as error:
        raise BadWindow(str(error), errors=[FieldError(error.field or "from", error.code, error.detail)]) from None


async def _segmentation(session: Session, sent: Sent) -> UUID | None:
    """The segmentation to group by: the one named, else the only active one; null when not grouped by segment."""
    if sent.group_by is None:
        return None
    if sent.segmentation_id is not None:
        if not await segmentation_exists(session, sent.segmentation_id):
            raise SegmentationNotFound()
        return sent.segmentation_id
    active = await repository.active_segmentations(session)
    if len(active) == 1:
        return active[0][0]
    names = ", ".join(f"{segmentation_id} ({name})" for segmentation_id, name in active) or "none"
    detail = f"segmentation_id is needed unless exactly one segmentation is active; active: {names}"
    raise InvalidInput(detail, errors=[FieldError("segmentation_id", "ambiguous", detail)])


async def _costs(session: Session, question: Question) -> dict[str | None, Booked] | None:
    """What the ledger says of each channel or campaign, under null what it says of none; null without a whole day."""
    if question.days is None:
        return None
    start, end = question.days
    dimension: Dimension = question.by
    found: defaultdict[str | None, list[int]] = defaultdict(lambda: [0, 0])
    for each in await spent(session, Ledger(start, end), currency=question.reporting.currency, by=(dimension,)):
        booked = found[each.group[0]]
        booked[0] += each.amount_minor
        booked[1] += each.amount_minor if each.category == MEDIA else 0
    return {name: Booked(*booked) for name, booked in found.items()}
