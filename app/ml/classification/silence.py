"""Fits buying and leaving to the histories of a cohort, for a classifier that needs no outcomes to learn from."""

from typing import Any

import numpy as np

from app.errors import FieldError, TooFewCustomers
from app.ml.classification.purchases import columns_of, histories_of, medians
from app.ml.classification.request import BTYD_COLUMNS
from app.ml.columns import Values, customers_in
from app.stats.btyd.families import Family
from app.stats.btyd.fitting import BtydFit, fit
from app.stats.btyd.histories import Histories
from app.stats.estimate import Undetermined

FAMILIES: tuple[Family, ...] = ("mbg_nbd", "bg_nbd")
# Six mixtures with each are one call for one customer: enough for a mean, few enough to be quick.
BACKGROUND = 32
WHY_NOT = {
    "no_repeat_purchases": "nobody bought on a second day, so nothing tells how long customers stay",
    "too_few": "there are fewer customers with purchases than the model has parameters",
}


def learn_purchases(values: Values, horizon_days: int | None, *, seed: int) -> dict[str, Any]:
    """Fit MBG/NBD and BG/NBD and take the one of the higher likelihood, one that converged if either did.

    Parameters
    ----------
    values : mapping of str to ndarray, shape (n,)
        The features of `request.BTYD_COLUMNS` at the cutoff; who has an unknown one is left out.
    horizon_days : int
        How long nothing must be bought.
    seed : int
        Of the search and of the background.

    Returns
    -------
    dict
        Plain, for `purchases.Purchases`.

    Raises
    ------
    InvalidInput
        If a column is missing.
    TooFewCustomers
        If no history says when customers come back ("no_repeat_purchases", "too_few").

    References
    ----------
    Fader, P. S., Hardie, B. G. S. and Lee, K. L. (2005). Counting your customers the easy way. Marketing Science 24(2),
    275-284. Batislam, E. P., Denizel, M. and Filiztekin, A. (2007). Empirical validation and comparison of models for
    customer base analysis. IJRM 24(3), 201-209.
    """
    n = customers_in(values, BTYD_COLUMNS)
    columns = columns_of(values, np.full(len(BTYD_COLUMNS), np.nan), 0, n)
    fill = medians(columns)
    known = columns[:, np.isfinite(columns).all(axis=0) & (columns[0] >= 1.0)]
    histories = Histories.of(*histories_of(known))
    fits = [fit(histories, family, seed=seed) for family in FAMILIES]
    determined = [each for each in fits if isinstance(each, BtydFit)]
    if not determined:
        reason = next(each.reason for each in fits if isinstance(each, Undetermined))
        detail = WHY_NOT.get(reason, "the histories of purchases do not determine the model")
        raise TooFewCustomers(detail, errors=[FieldError("/algorithm", reason, detail)])
    best = max(determined, key=lambda each: (each.convergence.converged, each.log_likelihood))
    some = np.sort(np.random.default_rng(seed).permutation(known.shape[1])[:BACKGROUND])
    return {
        "family": best.family,
        "parameters": best.parameters,
        "log_likelihood": best.log_likelihood,
        "converged": best.convergence.converged,
        "horizon_days": float(horizon_days or 0),
        "fill": fill,
        "background": known[:, some],
        "warnings": _warnings(best),
    }


def _warnings(found: BtydFit) -> list[dict[str, str]]:
    if found.convergence.converged:
        return []
    detail = f"{found.family} did not converge ({found.convergence.reason}); its limit is used"
    return [{"code": "not_converged", "detail": detail}]
