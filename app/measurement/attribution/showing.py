"""Credit as it is answered: rows by group and channel with costs and evidence, what is unattributed, and the totals."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from app.measurement.attribution.credit import Credited, Share
from app.measurement.attribution.definitions import PARTS
from app.measurement.attribution.question import Question
from app.measurement.attribution.repository import Path
from app.money import exponent, from_minor

Shown = dict[str, Any]
NOTHING = Share(0, 0)
NO_SEGMENT: Shown = {"segment": None, "segment_key": None, "segment_name": None}


@dataclass(frozen=True, slots=True)
class Booked:
    """Costs of a channel in minor units: all of them, and those for media."""

    all_minor: int
    media_minor: int


@dataclass(frozen=True, slots=True)
class Showing:
    """What stands beside credit: channels touched, segments in their order, costs and evidence by channel.

    touched: also without credit. costs: null where no day begins in the window, of which the ledger could speak.
    """

    question: Question
    touched: Sequence[str]
    segments: Mapping[UUID, Shown]
    costs: Mapping[str | None, Booked] | None
    beside: Mapping[str, Shown]

    @property
    def is_grouped(self) -> bool:
        return self.question.segmentation_id is not None

    def shown(self, groups: Sequence[Credited], nobody: Path) -> Shown:
        place: dict[UUID | None, int] = {segment_id: position for position, segment_id in enumerate(self.segments)}
        groups = sorted(groups, key=lambda each: place.get(each.segment_id, len(place)))
        attributed = sum(each.outcomes for each in groups)
        shown: Shown = {
            "data": [row for each in groups for row in self._rows(each)],
            "unattributed": self._unattributed(groups, nobody),
            "totals": self._totals(groups, nobody),
        }
        if not attributed:
            everything = nobody.converted + sum(each.untouched for each in groups)
            shown["reason"] = "no_touchpoints" if everything else "no_outcomes"
        return shown

    def _rows(self, group: Credited) -> Iterator[Shown]:
        names = set(group.shares)
        if not self.is_grouped:
            names |= {*self.touched, *(name for name in self.costs or () if name is not None)}
        for name in sorted(names):
            yield self._row(name, group.shares.get(name, NOTHING), group)

    def _row(self, name: str, share: Share, group: Credited) -> Shown:
        row: Shown = {self.question.by: name}
        if self.is_grouped:
            row["group"] = self._group(group)
        row |= {
            "conversions": share.parts / PARTS,
            "share": share.parts / PARTS / group.outcomes if group.outcomes else None,
            "revenue": self._revenue(share.revenue_minor),
        }
        row |= self._returns(name, share)
        row["incrementality"] = self.beside.get(name)
        if share.standard_error is not None:
            row["standard_error"] = share.standard_error
        return row

    def _returns(self, name: str, share: Share) -> Shown:
        """Costs and what came back of them; what cannot be divided is null, and `reasons` says why."""
        empty = dict.fromkeys(("cost", "media_cost", "roas", "cost_per_acquisition"))
        if self.is_grouped or self.costs is None:
            # The ledger does not know for which segment something was spent, nor at what time of a day.
            reason = "costs_have_no_segment" if self.is_grouped else "no_whole_day"
            return {**empty, "reasons": dict.fromkeys(empty, reason)}
        booked, reasons = self.costs.get(name, Booked(0, 0)), {}
        roas = cpa = None
        if not self.question.has_money:
            reasons["roas"] = "outcome_has_no_currency"
        elif booked.media_minor:
            roas = share.revenue_minor / booked.media_minor
        else:
            reasons["roas"] = "zero_denominator"
        if share.parts:
            cpa = booked.all_minor / 10 ** exponent(self.question.reporting.currency) / (share.parts / PARTS)
        else:
            reasons["cost_per_acquisition"] = "zero_denominator"
        found = {
            "cost": self._money(booked.all_minor),
            "media_cost": self._money(booked.media_minor),
            "roas": roas,
            "cost_per_acquisition": cpa,
        }
        return {**found, "reasons": reasons} if reasons else found

    def _unattributed(self, groups: Sequence[Credited], nobody: Path) -> Shown:
        shown: Shown = {
            "conversions": nobody.converted + sum(each.untouched for each in groups),
            "revenue": self._revenue(nobody.amount_minor + sum(each.untouched_minor for each in groups)),
            "without_customer": nobody.converted,
            "cost": self._cost(None),
        }
        if self.is_grouped:
            shown["groups"] = [
                {
                    "group": self._group(each),
                    "conversions": each.untouched,
                    "revenue": self._revenue(each.untouched_minor),
                }
                for each in groups
            ]
        return shown

    def _totals(self, groups: Sequence[Credited], nobody: Path) -> Shown:
        attributed = sum(each.outcomes for each in groups)
        attributed_minor = sum(each.revenue_minor for each in groups)
        untouched = nobody.converted + sum(each.untouched for each in groups)
        untouched_minor = nobody.amount_minor + sum(each.untouched_minor for each in groups)
        return {
            "conversions": attributed + untouched,
            "revenue": self._revenue(attributed_minor + untouched_minor),
            "attributed_conversions": attributed,
            "attributed_revenue": self._revenue(attributed_minor),
            "journeys_without_outcome": sum(each.nulls for each in groups) if self.question.needs_nulls else None,
            "cost": self._cost(*(self.costs or ())),
        }

    def _group(self, group: Credited) -> Shown:
        return NO_SEGMENT if group.segment_id is None else dict(self.segments.get(group.segment_id, NO_SEGMENT))

    def _cost(self, *names: str | None) -> Shown | None:
        if self.costs is None:
            return None
        return self._money(sum(self.costs.get(name, Booked(0, 0)).all_minor for name in names))

    def _revenue(self, minor: int) -> Shown | None:
        return self._money(minor) if self.question.has_money else None

    def _money(self, minor: int) -> Shown:
        currency = self.question.reporting.currency
        return {"amount": from_minor(minor, currency), "currency": currency}
