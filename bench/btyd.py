"""BG/NBD on a million customers and on CDNOW's 2,357: against lifetimes, in time and in how likely the fit is."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lifetimes  # type: ignore[import-untyped]  # it brings no types
import numpy as np
import pandas as pd  # type: ignore[import-untyped]  # nor does it
from lifetimes import BetaGeoFitter

from app.stats.btyd.beta_geometric import log_likelihood
from app.stats.btyd.distinct import Floats
from app.stats.btyd.fitting import BtydFit, fit
from app.stats.btyd.forecasting import discounted_expected_purchases, expected_purchases, p_alive
from app.stats.btyd.histories import Histories
from app.stats.btyd.simulation import simulate
from bench.ground import Goal, Series, report

CUSTOMERS = int(os.environ.get("BENCH_BTYD_CUSTOMERS", "1_000_000"))
# A shop of two years with a customer base that mostly stays: about 680,000 distinct histories of a million.
SHOP = {"r": 0.9, "alpha": 55.0, "a": 0.8, "b": 4.0}
DAYS = 730
HORIZON, MONTHS, MONTHLY_RATE = 365.0, 12, 0.01

FIT, THEIR_FIT = "fit: distinct histories, Newton, three starts", "fit: lifetimes BetaGeoFitter.fit as it comes"
SCORE, THEIR_SCORE = "score: P(alive), expected, discounted", "score: lifetimes, the same three"
TWO, THEIR_TWO = "score: P(alive) and expected alone", "score: lifetimes, these two"


def shop(seed: int) -> tuple[Floats, Floats, Floats]:
    """Simulated customers in whole days."""
    age = np.random.default_rng(seed).integers(1, DAYS + 1, CUSTOMERS).astype(np.float64)
    some = simulate("bg_nbd", SHOP, T=age, seed=seed)
    return some.x, np.where(some.x > 0, np.clip(np.ceil(some.t_x), 1, age), 0.0), age


def cdnow() -> tuple[Floats, Floats, Floats]:
    table = pd.read_csv(Path(lifetimes.__file__).parent / "datasets" / "cdnow_customers_summary.csv")
    x, t_x, age = (table[name].to_numpy(dtype=np.float64) for name in ("frequency", "recency", "T"))
    return x, t_x, age


def ours(x: Floats, t_x: Floats, age: Floats) -> BtydFit:
    found = fit(Histories.of(x, t_x, age), "bg_nbd")
    assert isinstance(found, BtydFit)
    return found


def theirs(x: Floats, t_x: Floats, age: Floats) -> Any:
    return BetaGeoFitter().fit(x, t_x, age)


def our_scores(parameters: Mapping[str, float], *customers: Floats) -> None:
    our_two(parameters, *customers)
    # Their monthly discounting, continuously.
    rate = np.log1p(MONTHLY_RATE) * MONTHS / HORIZON
    discounted_expected_purchases("bg_nbd", parameters, HORIZON, float(rate), *customers)


def our_two(parameters: Mapping[str, float], *customers: Floats) -> None:
    p_alive("bg_nbd", parameters, *customers)
    expected_purchases("bg_nbd", parameters, HORIZON, *customers)


def their_scores(fitter: Any, *customers: Floats) -> None:
    their_two(fitter, *customers)
    # What customer_lifetime_value does, without the money: a forecast to the end of each month.
    before, total = 0.0, 0.0
    for month in range(1, MONTHS + 1):
        until = fitter.conditional_expected_number_of_purchases_up_to_time(HORIZON * month / MONTHS, *customers)
        total, before = total + (until - before) / (1 + MONTHLY_RATE) ** month, until


def their_two(fitter: Any, *customers: Floats) -> None:
    fitter.conditional_probability_alive(*customers)
    fitter.conditional_expected_number_of_purchases_up_to_time(HORIZON, *customers)


def shortfall(found: BtydFit, fitter: Any, customers: tuple[Floats, Floats, Floats]) -> float:
    """How much more likely their parameters are than ours, by one and the same likelihood."""
    likelihood = log_likelihood(Histories.of(*customers), at_zero=False)
    return likelihood(np.log(fitter.params_.to_numpy()))[0] - found.log_likelihood


def main(rounds: int = 3) -> None:
    of_shop(rounds)
    series, less, customers = Series(), [], cdnow()
    for _ in range(5 * rounds):
        found = series.timed(FIT, len(customers[0]), ours, *customers)
        fitter = series.timed(THEIR_FIT, len(customers[0]), theirs, *customers)
        less.append(shortfall(found, fitter, customers))
    report("BG/NBD on CDNOW's 2,357", series, [Goal(FIT, THEIR_FIT, 4.0)], unit="customers/s")
    said(less)


def of_shop(rounds: int) -> None:
    fits, scores, twos, less = Series(), Series(), Series(), []
    for seed in range(rounds):
        customers = shop(seed)
        found = fits.timed(FIT, CUSTOMERS, ours, *customers)
        fitter = fits.timed(THEIR_FIT, CUSTOMERS, theirs, *customers)
        less.append(shortfall(found, fitter, customers))
        twos.timed(TWO, CUSTOMERS, our_two, found.parameters, *customers)
        twos.timed(THEIR_TWO, CUSTOMERS, their_two, fitter, *customers)
        scores.timed(SCORE, CUSTOMERS, our_scores, found.parameters, *customers)
        scores.timed(THEIR_SCORE, CUSTOMERS, their_scores, fitter, *customers)
    report(f"BG/NBD fit of {CUSTOMERS:,}", fits, [Goal(FIT, THEIR_FIT, 6.0, 12.0)], unit="customers/s")
    said(less)
    report(f"BG/NBD scores of {CUSTOMERS:,}", scores, [Goal(SCORE, THEIR_SCORE, 5.0)], unit="customers/s")
    report(f"BG/NBD, two of the scores of {CUSTOMERS:,}", twos, [Goal(TWO, THEIR_TWO, 5.0, 8.0)], unit="customers/s")


def said(less: list[float]) -> None:
    verdict = "reached" if max(less) <= 0.01 else "MISSED in some"
    print(f"  their log-likelihood less ours: {', '.join(f'{each:.1e}' for each in less[:5])} (at most 0.01) {verdict}")


if __name__ == "__main__":
    main()
