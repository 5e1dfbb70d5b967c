"""What may be asked of a fit, with every choice made explicit before anything is learned."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from app.errors import FieldError, InvalidInput
from app.ml.columns import KINDS, Integers, Kind

MethodName = Literal["kmeans", "gaussian_mixture", "hierarchical", "dbscan", "decision_tree"]
METHODS: tuple[MethodName, ...] = get_args(MethodName)
MOST_SEGMENTS = 100
AUTO = "auto"


@dataclass(frozen=True, slots=True)
class FitRequest:
    """How to fit.

    Parameters
    ----------
    method : str
        One of `METHODS`.
    kinds : mapping of str to Kind
        The features to use, in order.
    k : int, "auto" or None
        Number of segments, 1..100; None is "auto". Not for dbscan, which finds it, nor decision_tree, which is given
        it.
    k_range : tuple of 2 int, default (2, 10)
        Where "auto" looks, 2 <= lo <= hi <= 100.
    params : mapping
        See `PARAMS`; what is not given takes its default.
    min_segment_share : float, default .02
        "auto" chooses no k with a smaller segment where it can; 0..0.5.
    seed : int, default 0
        At least 0. Same seed, data and versions: same bytes.
    labels : ndarray of int64, shape (n,), optional
        What decision_tree learns; -1: unknown.
    """

    method: MethodName
    kinds: Mapping[str, Kind]
    k: int | Literal["auto"] | None = None
    k_range: tuple[int, int] = (2, 10)
    params: Mapping[str, Any] = field(default_factory=dict)
    min_segment_share: float = 0.02
    seed: int = 0
    labels: Integers | None = None


@dataclass(frozen=True, slots=True)
class Fitted:
    """What was learned.

    Parameters
    ----------
    model : dict
        Nested dicts, lists, str, int, float, bool, None and arrays: ready for `artifact.seal` and `assign.prepare`.
    labels : ndarray of int64, shape (n,)
        What `assign` says about the customers it was fitted to: 0..k-1, or -1. Segments are in order of the mean of
        the first money feature, the highest first; without one, of their size.
    k : int
        Number of segments.
    k_table : list of dict
        Per k that was looked at: ``k, silhouette, davies_bouldin, calinski_harabasz, stability, smallest_share, cost``
        with ``cost_is`` "inertia" or "bic", ``score, eligible, chosen``, all of them of the ``judged_on`` customers but
        for ``smallest_share`` of the chosen k, which is of everybody. None where undefined.
    warnings : list of dict
        ``code`` and ``detail`` each.
    params : dict
        Every choice, also the defaults, how many customers segments were looked for among (``judged_on``) and how
        anybody is assigned (``assignment``); ready for JSON.
    """

    model: dict[str, Any]
    labels: Integers
    k: int
    k_table: list[dict[str, Any]]
    warnings: list[dict[str, str]]
    params: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Param:
    """A choice: its default, what is allowed as a check and in words."""

    default: Any
    allows: Callable[[Any], bool]
    meaning: str


def _whole(low: int, high: int) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _number(low: float, high: float) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, int | float) and not isinstance(value, bool) and low < value <= high


def _or_none(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or check(value)


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _pca(value: Any) -> bool:
    return _whole(1, 100)(value) or (isinstance(value, float) and 0.0 < value < 1.0)


_PREPARATION: Mapping[str, Param] = {
    "winsorise": Param(True, _flag, "true or false: values beyond the quantiles .005 and .995 count as these"),
    "log": Param("auto", lambda value: isinstance(value, bool) or value == AUTO, 'true, false or "auto"'),
    "scale": Param("robust", lambda value: value in ("robust", "standard", "none"), '"robust", "standard" or "none"'),
    "missing_indicator": Param(False, _flag, "true or false: being unknown is a column of its own"),
    "pca": Param(None, _or_none(_pca), "null, a number of components, or a share of variance between 0 and 1"),
}
_BOOTSTRAPS = {"bootstraps": Param(10, _whole(0, 100), "a whole number from 0 to 100")}

PARAMS: Mapping[MethodName, Mapping[str, Param]] = {
    "kmeans": {**_PREPARATION, **_BOOTSTRAPS, "starts": Param(10, _whole(1, 100), "a whole number from 1 to 100")},
    "gaussian_mixture": {
        **_PREPARATION,
        **_BOOTSTRAPS,
        "starts": Param(3, _whole(1, 100), "a whole number from 1 to 100"),
        "regularisation": Param(1e-3, _number(0, 10), "a number above 0, added to every variance"),
    },
    "hierarchical": {
        **_PREPARATION,
        **_BOOTSTRAPS,
        "sample": Param(10_000, _whole(10, 10_000), "a whole number from 10 to 10000"),
    },
    "dbscan": {
        **_PREPARATION,
        **_BOOTSTRAPS,
        "sample": Param(10_000, _whole(10, 20_000), "a whole number from 10 to 20000"),
        "min_cluster_size": Param(None, _or_none(_whole(2, 20_000)), "null or a whole number from 2 to 20000"),
        "min_samples": Param(None, _or_none(_whole(1, 1_000)), "null or a whole number from 1 to 1000"),
        "eps": Param(None, _or_none(_number(0, 1e6)), "null (HDBSCAN) or a distance above 0 (classic DBSCAN)"),
    },
    "decision_tree": {
        "max_depth": Param(5, _whole(1, 20), "a whole number from 1 to 20"),
        "min_leaf_share": Param(0.01, _number(0, 0.5), "a share above 0 and at most .5"),
    },
}


def resolved(request: FitRequest) -> dict[str, Any]:
    """Check a request and give every parameter its value.

    Parameters
    ----------
    request : FitRequest
        As asked.

    Returns
    -------
    dict
        By name of the parameter, in the order of `PARAMS`.

    Raises
    ------
    InvalidInput
        If a method, kind, parameter or number is not usable; `errors` says which and why.

    Examples
    --------
    >>> resolved(FitRequest("kmeans", {"total_spend": "money"}, k=4, params={"scale": "standard"}))["scale"]
    'standard'
    """
    errors = list(_flaws(request))
    if errors:
        raise InvalidInput("; ".join(f"{error.pointer}: {error.detail}" for error in errors), errors=errors)
    known = PARAMS[request.method]
    return {name: request.params.get(name, param.default) for name, param in known.items()}


def _flaws(request: FitRequest) -> list[FieldError]:
    if request.method not in METHODS:
        return [FieldError("/method", "invalid_value", f"one of {', '.join(METHODS)}")]
    known = PARAMS[request.method]
    flaws = [FieldError("/features", "missing_field", "at least one feature")] if not request.kinds else []
    flaws += [
        FieldError(f"/features/{name}", "invalid_value", f"kind is one of {', '.join(KINDS)}")
        for name, kind in request.kinds.items()
        if kind not in KINDS
    ]
    flaws += [
        FieldError(f"/params/{name}", "invalid_value", f"{known[name].meaning}, not {value!r}")
        if name in known
        else FieldError(f"/params/{name}", "unknown_field", f"{request.method} has {', '.join(known)}")
        for name, value in request.params.items()
        if name not in known or not known[name].allows(value)
    ]
    return flaws + _flaws_of_numbers(request)


def _flaws_of_numbers(request: FitRequest) -> list[FieldError]:
    flaws = []
    if request.k not in (None, AUTO) and not _whole(1, MOST_SEGMENTS)(request.k):
        flaws.append(FieldError("/k", "invalid_value", f'"auto" or a whole number from 1 to {MOST_SEGMENTS}'))
    if request.k not in (None, AUTO) and request.method in ("dbscan", "decision_tree"):
        flaws.append(FieldError("/k", "invalid_value", f"{request.method} takes no k"))
    low, high = request.k_range
    if not (_whole(2, MOST_SEGMENTS)(low) and _whole(2, MOST_SEGMENTS)(high) and low <= high):
        flaws.append(FieldError("/k_range", "invalid_value", f"two whole numbers from 2 to {MOST_SEGMENTS}, in order"))
    if not 0.0 <= request.min_segment_share <= 0.5:
        flaws.append(FieldError("/min_segment_share", "invalid_value", "a share from 0 to .5"))
    if not _whole(0, 2**63 - 1)(request.seed):
        flaws.append(FieldError("/seed", "invalid_value", "a whole number, at least 0"))
    if (request.method == "decision_tree") != (request.labels is not None):
        flaws.append(FieldError("/labels", "invalid_value", "decision_tree learns labels, no other method does"))
    if request.method == "dbscan" and request.params.get("eps") and request.params.get("min_cluster_size"):
        flaws.append(FieldError("/params/eps", "invalid_value", "either eps (DBSCAN) or min_cluster_size (HDBSCAN)"))
    return flaws
