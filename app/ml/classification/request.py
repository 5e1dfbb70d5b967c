"""What may be asked of a classifier, checked before anything is learned."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from app.errors import FieldError, InvalidInput
from app.ml.columns import KINDS, Kind

# The simplest first, by how many numbers are learned: four of the model of purchases, one a column, 8 leaves of each of
# 150 trees, 64 leaves of each of 100.
Candidate = Literal["btyd", "logistic", "gradient_boosting", "random_forest"]
Algorithm = Literal["auto", "btyd", "logistic", "gradient_boosting", "random_forest"]
CANDIDATES: tuple[Candidate, ...] = get_args(Candidate)
ALGORITHMS: tuple[Algorithm, ...] = get_args(Algorithm)
# The history of purchases as features tell it: x = purchase_days - 1, T and t_x from the two ages, all in days.
BTYD_COLUMNS = ("purchase_days", "days_since_last_purchase", "days_since_first_purchase")
LONGEST_HORIZON = 3_650


@dataclass(frozen=True, slots=True)
class ClassifierRequest:
    """How to learn.

    Parameters
    ----------
    algorithm : str
        One of `ALGORITHMS`; "auto" tries all that the data allow and takes the simplest that is not clearly worse than
        the best (`choosing.choose`).
    kinds : mapping of str to Kind
        The features to learn from, in order. "btyd" alone needs none.
    horizon_days : int or None
        The outcome is "no purchase within so many days", 1..3,650; None: the outcome is something else, which no
        model of purchases can tell.
    seed : int, default 0
        At least 0. Same seed, data and versions: the same document, to the byte.
    insist : tuple of str
        Features to keep although they alone tell the outcome.
    protected : str or None
        A column of categories by which rates are compared; learned from only if it is among `kinds`.
    """

    algorithm: Algorithm
    kinds: Mapping[str, Kind]
    horizon_days: int | None = None
    seed: int = 0
    insist: tuple[str, ...] = ()
    protected: str | None = None


def checked(request: ClassifierRequest) -> ClassifierRequest:
    """Refuse what cannot be learned from.

    Parameters
    ----------
    request : ClassifierRequest
        As asked.

    Returns
    -------
    ClassifierRequest
        The same.

    Raises
    ------
    InvalidInput
        If the algorithm, a kind, the horizon or the seed is not usable; `errors` says which and why.

    Examples
    --------
    >>> checked(ClassifierRequest("logistic", {"total_spend": "money"})).seed
    0
    >>> checked(ClassifierRequest("btyd", {})).algorithm
    Traceback (most recent call last):
    app.errors.InvalidInput: /algorithm: btyd tells whether customers buy within horizon_days, and none is given
    """
    errors = _flaws(request)
    if errors:
        raise InvalidInput("; ".join(f"{error.pointer}: {error.detail}" for error in errors), errors=errors)
    return request


def candidates_of(request: ClassifierRequest) -> tuple[Candidate, ...]:
    """Give the algorithms that a request lets compete, the simplest first.

    Parameters
    ----------
    request : ClassifierRequest
        As asked.

    Returns
    -------
    tuple of str

    Examples
    --------
    >>> candidates_of(ClassifierRequest("auto", {"total_spend": "money"}, horizon_days=90))
    ('btyd', 'logistic', 'gradient_boosting', 'random_forest')
    """
    if request.algorithm != "auto":
        return (request.algorithm,)
    by_history = ("btyd",) if request.horizon_days is not None else ()
    by_features = tuple(each for each in CANDIDATES if each != "btyd") if request.kinds else ()
    return (*by_history, *by_features)


def _flaws(request: ClassifierRequest) -> list[FieldError]:
    flaws = []
    if request.algorithm not in ALGORITHMS:
        flaws.append(FieldError("/algorithm", "invalid_value", f"one of {', '.join(ALGORITHMS)}"))
    if request.algorithm == "btyd" and request.horizon_days is None:
        detail = "btyd tells whether customers buy within horizon_days, and none is given"
        flaws.append(FieldError("/algorithm", "invalid_value", detail))
    by_purchases = request.algorithm == "btyd" or (request.algorithm == "auto" and request.horizon_days is not None)
    if not request.kinds and not by_purchases:
        flaws.append(FieldError("/features", "missing_field", "at least one feature"))
    flaws += [
        FieldError(f"/features/{name}", "invalid_value", f"kind is one of {', '.join(KINDS)}")
        for name, kind in request.kinds.items()
        if kind not in KINDS
    ]
    if request.horizon_days is not None and not 1 <= request.horizon_days <= LONGEST_HORIZON:
        detail = f"a whole number of days from 1 to {LONGEST_HORIZON}"
        flaws.append(FieldError("/definition/horizon_days", "invalid_value", detail))
    if not 0 <= request.seed < 2**63:
        flaws.append(FieldError("/seed", "invalid_value", "a whole number, at least 0"))
    return flaws
