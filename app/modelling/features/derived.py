"""Columns that are no feature of the registry but are read beside them, such as the conditions of a written rule."""

from dataclasses import dataclass, field
from typing import Any, Literal

from sqlalchemy import ColumnElement


@dataclass(frozen=True, slots=True)
class Derived:
    """One more figure about a customer, identified by its name.

    expression: a scalar, correlated with customers.c.customer_id and with app.modelling.features.compiler.AS_OF.
    next_change: the first instant after as_of at which it changes by time alone; null when it never does.
    """

    name: str
    dtype: Literal["number", "category"]
    expression: ColumnElement[Any] = field(compare=False)
    next_change: ColumnElement[Any] | None = field(default=None, compare=False)
