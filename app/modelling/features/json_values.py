"""One value of free JSON as what it may mean in SQL: a number, a text, a day."""

from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Date, DateTime, Double, Text, and_, case, cast, func, literal_column, or_

from app.tables.conversion import reporting_day

# Files give text where other callers give numbers. PostgreSQL would also read hexadecimal, Infinity and NaN. Whatever
# is within these bounds fits a double.
_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,2})?$"
_LONGEST_SPELLED, _LONGEST_NUMBER = 100, 300
_TIME = r"[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?"
_DAY = rf"^[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}({_TIME})?$"
_INSTANT = rf"^[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}{_TIME}(Z|[+-][0-9]{{2}}:?[0-9]{{2}})$"
# Tells nearly everything that is no date, at a tenth of the cost of an expression.
_LIKE_A_DATE = "____-__-__%"


def type_and_text(json: ColumnElement[Any]) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    """What a JsonValue is made of, from an expression of type jsonb, as columns `type` and `text`."""
    kind = func.jsonb_typeof(json)
    bare = json.op("#>>", return_type=Text())(literal_column("'{}'"))
    text = case((kind.in_(("string", "number", "boolean")), func.nullif(func.btrim(bare), "")))
    return kind.label("type"), text.label("text")


@dataclass(frozen=True, slots=True)
class JsonValue:
    """A value's type and text. Every cast is guarded: no value whatever makes a query fail.

    text: of a text, number or boolean, without blanks around it; null for blanks, lists and objects.
    """

    type: ColumnElement[Any]
    text: ColumnElement[Any]

    @property
    def is_number(self) -> ColumnElement[bool]:
        """Whether it is a number, a boolean or text that spells a number."""
        spelled = and_(func.length(self.text) <= _LONGEST_SPELLED, self.text.regexp_match(_NUMBER))
        return case(
            (self.type == "boolean", True),
            (and_(self.type == "number", func.length(self.text) <= _LONGEST_NUMBER), True),
            (self.type == "number", _readable(self.text, "double precision")),
            else_=func.coalesce(spelled, False),
        )

    @property
    def number(self) -> ColumnElement[Any]:
        """Null unless is_number; false is 0, true is 1."""
        truth = case((self.text == "true", 1.0), else_=0.0)
        return case((self.type == "boolean", cast(truth, Double)), (self.is_number, cast(self.text, Double)))

    @property
    def is_date(self) -> ColumnElement[bool]:
        """Whether it is text that spells a day or an instant."""
        spelled = func.coalesce(or_(self._is_day, self._is_instant), False)
        return case((and_(self.type == "string", self.text.like(_LIKE_A_DATE)), spelled), else_=False)

    @property
    def _is_day(self) -> ColumnElement[bool]:
        return and_(self.text.regexp_match(_DAY), _readable(func.left(self.text, 10), "date"))

    @property
    def _is_instant(self) -> ColumnElement[bool]:
        return and_(self.text.regexp_match(_INSTANT), _readable(self.text, "timestamp with time zone"))

    def day(self, timezone: ZoneInfo) -> ColumnElement[Any]:
        """Null unless is_date; of an instant the day in this zone, of a time without an offset the day it names."""
        instant: ColumnElement[Any] = cast(self.text, DateTime(timezone=True))
        day = case(
            (self._is_day, cast(func.left(self.text, 10), Date)), (self._is_instant, reporting_day(instant, timezone))
        )
        return case((and_(self.type == "string", self.text.like(_LIKE_A_DATE)), day))


def _readable(text: ColumnElement[Any], kind: str) -> ColumnElement[bool]:
    """Whether a cast of this text would succeed; unlike the cast it never fails."""
    return func.pg_input_is_valid(text, kind)
