"""Customers as they were at a cutoff with what happened afterwards, checked and rid of those of whom that is unknown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from app.errors import FieldError, InvalidInput, TooFewCustomers
from app.ml.classification.learning import MOST_LEARNED_FROM, Sample, drawn
from app.ml.classification.request import BTYD_COLUMNS, ClassifierRequest
from app.ml.columns import Values, customers_in, taken
from app.ml.transform import MISSING

LEAST_OF_A_CLASS = 50
MANY_UNKNOWN = 0.5
MOST_GROUPS = 50


@dataclass(frozen=True, slots=True)
class Cohort:
    """Customers at a cutoff.

    Parameters
    ----------
    values : mapping of str to ndarray, shape (n,)
        Their features then; float64 with NaN, or object arrays of str | None for categories.
    outcomes : ndarray, shape (n,)
        What happened: bool, or where it is not known of all, float64 with NaN or objects with None.
    cutoff : str or None
        When, for people to read.
    """

    values: Values
    outcomes: npt.NDArray[Any]
    cutoff: str | None = None


@dataclass(frozen=True, slots=True)
class Labelled:
    """A cohort without the customers whose outcome is unknown, and how many these were; drawn where it is large."""

    sample: Sample
    cutoff: str | None
    unlabelled: int
    labelled: int

    def shown(self, role: str) -> dict[str, Any]:
        """Plain data."""
        outcomes = self.sample.outcomes
        return {
            "role": role,
            "cutoff": self.cutoff,
            "n": int(outcomes.size),
            "positives": int(outcomes.sum()),
            "drawn_from": self.labelled,
            "unlabelled": self.unlabelled,
        }

    def warnings(self) -> list[dict[str, str]]:
        """What to mind about it."""
        whole = self.unlabelled + self.labelled
        if self.unlabelled < MANY_UNKNOWN * whole:
            return []
        detail = f"the outcome is unknown for {self.unlabelled} of {whole} customers; they may differ from the others"
        return [{"code": "labels_missing", "detail": detail}]


def labelled(cohorts: Sequence[Cohort], request: ClassifierRequest) -> list[Labelled]:
    """Check the columns of cohorts and leave out customers whose outcome is unknown.

    Parameters
    ----------
    cohorts : sequence of Cohort
        In order of time.
    request : ClassifierRequest
        Says which columns are read.

    Returns
    -------
    list of Labelled
        With the features, the columns of purchases and the protected one, as far as they are there.

    Raises
    ------
    InvalidInput
        If there is no cohort, a column is missing or not as long as the others, or an outcome is neither true nor
        false.
    """
    if not cohorts:
        raise InvalidInput("there is nothing to learn from")
    needed = [*request.kinds, *([request.protected] if request.protected else [])]
    if request.algorithm == "btyd" or not request.kinds:
        needed += BTYD_COLUMNS
    welcome = [name for name in BTYD_COLUMNS if all(name in each.values for each in cohorts)]
    names = list(dict.fromkeys([*needed, *welcome]))
    protected: dict[str, str] = {request.protected: "category"} if request.protected else {}
    kinds = {**dict.fromkeys(names, "number"), **protected, **request.kinds}
    found = [_labelled(each, names, kinds) for each in cohorts]
    if any(not each.sample.outcomes.size for each in found):
        detail = "there is a cohort without any customer whose outcome is known"
        raise InvalidInput(detail, errors=[FieldError("/definition", "no_customers", detail)])
    if request.protected and len(set(groups_of(found[-1].sample.values[request.protected]))) > MOST_GROUPS:
        detail = f"{request.protected} has more than {MOST_GROUPS} values: rates are compared between few groups"
        raise InvalidInput(detail, errors=[FieldError("/protected", "too_many_groups", detail)])
    return [replace(each, sample=drawn([each.sample], most=MOST_LEARNED_FROM, seed=request.seed)) for each in found]


def refuse_hopeless(known: Sequence[Labelled], request: ClassifierRequest) -> None:
    """Refuse to learn from outcomes that are all alike, or too few of a kind.

    Parameters
    ----------
    known : sequence of Labelled
        In order of time.
    request : ClassifierRequest
        Says what the outcome is.

    Raises
    ------
    InvalidInput
        With the code "everyone_active" or "one_class".
    TooFewCustomers
        With the code "too_few_positives" or "too_few_negatives".
    """
    learned = np.concatenate([each.sample.outcomes for each in (known[:-1] or known)])
    positives, negatives = int(learned.sum()), int((~learned).sum())
    if not positives and request.horizon_days is not None and negatives:
        detail = (
            f"every customer bought again within {request.horizon_days} days: there is nobody to learn leaving from"
        )
        raise InvalidInput(detail, errors=[FieldError("/definition/horizon_days", "everyone_active", detail)])
    if not positives or not negatives:
        what = "the outcome is known of nobody" if not learned.size else "the outcome is the same for everybody"
        raise InvalidInput(what, errors=[FieldError("/definition", "one_class", what)])
    for count, code, words in (
        (positives, "too_few_positives", "to whom it happened"),
        (negatives, "too_few_negatives", "to whom it did not happen"),
    ):
        if count < LEAST_OF_A_CLASS:
            detail = f"there are {count} customers {words} to learn from, and {LEAST_OF_A_CLASS} are needed"
            raise TooFewCustomers(detail, errors=[FieldError("/definition", code, detail)])


def groups_of(column: npt.NDArray[Any]) -> list[str]:
    """Name the group of each customer by its value.

    Parameters
    ----------
    column : ndarray, shape (n,)
        Levels or numbers.

    Returns
    -------
    list of str
        "(missing)" for None and what is no finite number.

    Examples
    --------
    >>> groups_of(np.array([1.0, np.nan])), groups_of(np.array(["a", None], dtype=object))
    (['1', '(missing)'], ['a', '(missing)'])
    """
    if column.dtype == object:
        return [MISSING if each is None else str(each) for each in column.tolist()]
    return [f"{each:g}" if np.isfinite(each) else MISSING for each in column.tolist()]


def _labelled(cohort: Cohort, names: list[str], kinds: Mapping[str, str]) -> Labelled:
    n = customers_in(cohort.values, names)
    outcomes = _outcomes(cohort.outcomes)
    if outcomes.shape != (n,):
        raise InvalidInput(f"there is one outcome per customer, not {outcomes.size} for {n}")
    known = np.flatnonzero(~np.isnan(outcomes))
    values = {name: _column(name, each, kinds) for name, each in taken(cohort.values, names, known).items()}
    return Labelled(Sample(values, outcomes[known] > 0.5), cohort.cutoff, n - known.size, known.size)


def _column(name: str, column: npt.NDArray[Any], kinds: Mapping[str, str]) -> npt.NDArray[Any]:
    if kinds[name] == "category":
        return column.astype(object)
    try:
        return column.astype(np.float64)
    except (TypeError, ValueError):
        detail = f"{name} is not a number for everybody"
        raise InvalidInput(detail, errors=[FieldError(f"/features/{name}", "invalid_value", detail)]) from None


def _outcomes(outcomes: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    try:
        found = np.asarray(outcomes).astype(np.float64)
    except (TypeError, ValueError):
        found = np.full(1, 2.0)
    if not np.isin(found[~np.isnan(found)], (0.0, 1.0)).all():
        detail = "an outcome is true, false or unknown"
        raise InvalidInput(detail, errors=[FieldError("/definition", "invalid_value", detail)])
    return found
