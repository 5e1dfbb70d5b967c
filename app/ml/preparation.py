"""Learns how features are made comparable, which is part of a model: winsorising, log, scale, levels, the missing."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from app.errors import TooFewCustomers
from app.ml.columns import RATIO_KINDS, Floats, Kind, Values, customers_in
from app.ml.transform import Transform

WINSORISE_AT = (0.005, 0.995)
# Up to this a distribution counts as about symmetric (Bulmer 1979, p. 63).
MODERATE_SKEWNESS = 0.5
# The interquartile range of a normal distribution in standard deviations: robust and standard scale then agree on it.
NORMAL_IQR = 1.3489795003921634
# Where half of the customers share about one value, the quartiles say nothing of the others.
LEAST_IQR_SHARE = 1 / 3
MOST_LEVELS = 20
LEAST_LEVEL_SHARE = 0.01
# Far above any amount or count that can be stored, small enough that its square is finite.
BOUND = 1e18


@dataclass(frozen=True, slots=True)
class Learned:
    """A preparation in plain form, and what had to be left out."""

    stored: dict[str, Any]
    warnings: list[dict[str, str]]


@dataclass(frozen=True, slots=True)
class _Number:
    name: str
    logged: bool
    fill: float
    low: float
    high: float
    some_missing: bool


def learn(values: Values, kinds: Mapping[str, Kind], params: Mapping[str, Any]) -> Learned:
    """Learn a preparation from the features of some customers.

    Numbers are winsorised at the quantiles .005 and .995, logged as sign(x) log(1 + \\|x\\|) where they are money,
    counts or days with a skewness above .5 that this lowers, and scaled by median and interquartile range. Categories
    become one column per level, all levels of a feature together with variance 1, like one number. Unknown numbers
    take the median.

    Parameters
    ----------
    values : mapping of str to ndarray, shape (n,), n >= 1
        float64 with NaN, or object arrays of str | None for categories. Infinities count as unknown.
    kinds : mapping of str to Kind
        The features to use, in order.
    params : mapping
        ``winsorise`` bool; ``log`` "auto", True (all money, counts and days) or False; ``scale`` "robust", "standard"
        or "none"; ``missing_indicator`` bool: being unknown is a column of its own.

    Returns
    -------
    Learned
        Features without any two different known values are left out, with a warning.

    Raises
    ------
    TooFewCustomers
        If no feature is left.

    References
    ----------
    Bulmer, M. G. (1979). Principles of Statistics. Dover, p. 63 (up to .5 about symmetric).
    Tukey, J. W. (1962). The future of data analysis. Annals of Mathematical Statistics 33(1), 1-67 (winsorising).

    Examples
    --------
    >>> params = {"winsorise": False, "log": False, "scale": "standard", "missing_indicator": False}
    >>> learned = learn({"total_spend": np.array([1.0, 3.0])}, {"total_spend": "money"}, params)
    >>> learned.stored["centre"].tolist(), learned.stored["scale"].tolist()
    ([2.0], [1.0])
    """
    customers_in(values, list(kinds))
    warnings: list[dict[str, str]] = []
    numbers: list[_Number] = []
    categories: list[dict[str, Any]] = []
    for name, kind in kinds.items():
        if kind == "category":
            category, why_not = _levels(name, values[name])
            categories += [category] if category else []
        else:
            number, why_not = _number(name, kind, values[name], params)
            numbers += [number] if number else []
        warnings += [why_not] if why_not else []
    if not numbers and not categories:
        reasons = "; ".join(warning["detail"] for warning in warnings)
        raise TooFewCustomers(f"no feature tells these customers apart: {reasons}")
    numbers.sort(key=lambda number: not number.logged)
    stored = _plain(numbers, categories, with_indicators=bool(params["missing_indicator"]))
    _scale(stored, values, str(params["scale"]))
    return Learned(stored, warnings)


def _plain(numbers: list[_Number], categories: list[dict[str, Any]], *, with_indicators: bool) -> dict[str, Any]:
    indicators = [number.name for number in numbers if with_indicators and number.some_missing]
    levels = sum(len(each["levels"]) + each["missing"] + 1 for each in categories)
    columns = len(numbers) + len(indicators) + levels
    return {
        "numbers": [number.name for number in numbers],
        "logged": sum(number.logged for number in numbers),
        "fill": np.array([number.fill for number in numbers], dtype=np.float64),
        "low": np.array([number.low for number in numbers], dtype=np.float64),
        "high": np.array([number.high for number in numbers], dtype=np.float64),
        "indicators": indicators,
        "categories": categories,
        "centre": np.zeros(columns),
        "scale": np.ones(columns),
    }


def _number(
    name: str, kind: Kind, column: npt.NDArray[Any], params: Mapping[str, Any]
) -> tuple[_Number | None, dict[str, str] | None]:
    finite = np.isfinite(column)
    known = np.clip(column[finite], -BOUND, BOUND)
    if not known.size:
        return None, {"code": "all_missing", "detail": f"{name} is unknown for everybody and was left out"}
    low, high = -BOUND, BOUND
    if params["winsorise"]:
        low, high = (float(edge) for edge in np.quantile(known, WINSORISE_AT))
    tamed = np.clip(known, low, high)
    if tamed.min() == tamed.max():
        return None, {"code": "constant_feature", "detail": f"{name} is the same for nearly everybody and was left out"}
    logged = kind in RATIO_KINDS and (params["log"] is True or (params["log"] == "auto" and _skewed(tamed)))
    return _Number(name, logged, float(np.median(known)), low, high, not finite.all()), None


def _skewed(sample: Floats) -> bool:
    skewness = _skewness(sample)
    return skewness > MODERATE_SKEWNESS and abs(_skewness(np.copysign(np.log1p(np.abs(sample)), sample))) < skewness


def _skewness(sample: Floats) -> float:
    deviations = sample - sample.mean()
    # Cubes of money in minor units would overflow.
    deviations /= max(float(np.abs(deviations).max()), 1e-300)
    spread = float(np.mean(deviations**2))
    return float(np.mean(deviations**3) / max(spread**1.5, 1e-300))


def _levels(name: str, column: npt.NDArray[Any]) -> tuple[dict[str, Any] | None, dict[str, str] | None]:
    counts = Counter(column.tolist())
    missing = counts.pop(None, 0)
    if not counts:
        return None, {"code": "all_missing", "detail": f"{name} is unknown for everybody and was left out"}
    if len(counts) == 1 and not missing:
        return None, {"code": "constant_feature", "detail": f"{name} is the same for everybody and was left out"}
    least = LEAST_LEVEL_SHARE * column.size
    # By count, then by name: the order of customers must not matter.
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    levels = [level for level, count in ranked[:MOST_LEVELS] if count >= least]
    if not levels and not missing:
        return None, {"code": "too_many_levels", "detail": f"{name} has no value that 1 % share and was left out"}
    return {"name": name, "levels": levels, "missing": bool(missing)}, None


def _scale(stored: dict[str, Any], values: Values, scale: str) -> None:
    # Without scaling, levels stay 0 and 1 and numbers in their unit: the form that trees and their readers need.
    if scale == "none":
        return
    rows, _ = Transform.of(stored).columns(values, 0, customers_in(values, list(values)))
    count = len(stored["numbers"])
    mean, spread = rows.mean(axis=1), rows.std(axis=1)
    centre, width = mean.copy(), np.where(spread > 0, spread, 1.0)
    if scale == "robust" and count:
        lower, middle, upper = np.quantile(rows[:count], (0.25, 0.5, 0.75), axis=1)
        centre[:count] = middle
        robust = (upper - lower) / NORMAL_IQR
        width[:count] = np.where(robust >= LEAST_IQR_SHARE * width[:count], robust, width[:count])
    at = count + len(stored["indicators"])
    for category in stored["categories"]:
        levels = slice(at, at + len(category["levels"]) + category["missing"] + 1)
        width[levels] = float(np.sqrt((spread[levels] ** 2).sum())) or 1.0
        at = levels.stop
    stored["centre"], stored["scale"] = centre, width
