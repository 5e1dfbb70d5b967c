"""What a fitted model says of customers: alive or not, how many purchases, what they are worth, and how sure that is."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from app.modelling.clv.task import DAYS_PER_UNIT, TimeUnit
from app.stats.btyd.families import PARAMETERS
from app.stats.btyd.fitting import BtydFit
from app.stats.btyd.forecasting import discounted_expected_purchases, outlook
from app.stats.btyd.gamma_gamma import NAMES, GammaGammaFit, expected_value
from app.stats.btyd.information import Convergence
from app.stats.btyd.uncertainty import Customers, customer_value

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
LEVEL = 0.95
METHOD = "delta_log"
DAYS_PER_YEAR = 365.25


@dataclass(frozen=True, slots=True)
class Known:
    """Customers as a model sees them, one each: days, and what a purchase day was worth on average, in major units.

    value_days: of how many days that is the mean.
    """

    repeat_purchases: Integers
    age_at_last_purchase: Integers
    age: Integers
    value_days: Integers
    mean_value: Floats


@dataclass(frozen=True, slots=True)
class Valued:
    """What is expected of each over the horizon. Money in major units, None where the model knows no values.

    is_valued: where the expected value of a purchase exists; elsewhere customers differ so much that it is without
    bound. low, high: of clv, from the uncertainty of the parameters; None where that is not known, or was not asked for.
    """

    p_alive: Floats
    expected_purchases: Floats
    expected_value: Floats | None
    clv: Floats | None
    is_valued: npt.NDArray[np.bool_]
    low: Floats | None = None
    high: Floats | None = None


@dataclass(frozen=True, slots=True)
class Valuer:
    """A fitted model, ready to say what customers are worth. spending: None where it knows no values."""

    buying: BtydFit
    spending: GammaGammaFit | None
    days_per_unit: int
    horizon_days: int
    discount_rate_annual: float

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "Valuer":
        spending = document["spending"]
        return cls(
            BtydFit(family=document["family"], **_read(document["buying"], PARAMETERS[document["family"]])),
            None if spending is None else GammaGammaFit(**_read(spending, NAMES)),
            DAYS_PER_UNIT[document["time_unit"]],
            document["horizon_days"],
            document["discount_rate_annual"],
        )

    @property
    def horizon(self) -> float:
        return self.horizon_days / self.days_per_unit

    @property
    def rate(self) -> float:
        """Continuous, per unit of time."""
        return float(np.log1p(self.discount_rate_annual)) * self.days_per_unit / DAYS_PER_YEAR

    def value(self, known: Known, *, with_interval: bool = True) -> Valued:
        """What is expected of these customers over the horizon."""
        each = self._customers(known)
        family, parameters = self.buying.family, self.buying.parameters
        # With an interval the discounted purchases come with it.
        rate = self.rate if self.spending is not None and not with_interval else 0.0
        alive, purchases, discounted = outlook(family, parameters, self.horizon, rate, each.x, each.t_x, each.T)
        if self.spending is None:
            return Valued(alive, purchases, None, None, np.zeros(each.x.size, np.bool_))
        of_spending = self.spending.parameters
        worth = expected_value(of_spending, each.valued, each.mean_value)
        is_valued = of_spending["p"] * each.valued + of_spending["q"] > 1
        if not with_interval:
            return Valued(alive, purchases, worth, discounted * worth, is_valued)
        clv, low, high = customer_value(
            self.buying, self.spending, customers=each, t=self.horizon, discount_rate=self.rate, level=LEVEL
        )
        return Valued(alive, purchases, worth, clv, is_valued, low, high)

    def moves(self, known: Known) -> Floats | None:
        """How far each customer's value moves with one standard deviation along each axis of what is uncertain.

        Shape (n, axes). Sums of it are the moves of sums; axes are independent. None where uncertainty is not known.
        """
        if self.spending is None or self.buying.log_covariance is None or self.spending.log_covariance is None:
            return None
        each, buying, spending = self._customers(known), self.buying.parameters, self.spending.parameters
        purchases = self._purchases(each, buying)
        worth = expected_value(spending, each.valued, each.mean_value)
        found = [
            worth * (self._purchases(each, _moved(buying, axis)) - self._purchases(each, _moved(buying, -axis))) / 2
            for axis in _axes(self.buying.log_covariance)
        ]
        for axis in _axes(self.spending.log_covariance):
            up, down = (expected_value(_moved(spending, move), each.valued, each.mean_value) for move in (axis, -axis))
            found.append(purchases * (up - down) / 2)
        return np.column_stack(found)

    def _customers(self, known: Known) -> Customers:
        unit = float(self.days_per_unit)
        return Customers(
            known.repeat_purchases.astype(np.float64),
            known.age_at_last_purchase / unit,
            known.age / unit,
            known.value_days.astype(np.float64),
            known.mean_value,
        )

    def _purchases(self, each: Customers, buying: Mapping[str, float]) -> Floats:
        """Expected within the horizon, discounted."""
        return discounted_expected_purchases(
            self.buying.family, buying, self.horizon, self.rate, each.x, each.t_x, each.T
        )


def valued(document: Mapping[str, Any], known: Known) -> tuple[Valued, Floats | None]:
    """What a fitted model says of customers, and how that moves, as one call for another process."""
    valuer = Valuer.of(document)
    return valuer.value(known, with_interval=False), valuer.moves(known)


def document_of(
    buying: BtydFit,
    spending: GammaGammaFit | None,
    *,
    unit: TimeUnit,
    horizon_days: int,
    discount_rate_annual: float,
) -> dict[str, Any]:
    """A fitted model as plain values, from which `Valuer.of` makes it again."""
    return {
        "family": buying.family,
        "buying": _plain(buying),
        "spending": None if spending is None else _plain(spending),
        "time_unit": unit,
        "horizon_days": horizon_days,
        "discount_rate_annual": discount_rate_annual,
    }


def _plain(found: BtydFit | GammaGammaFit) -> dict[str, Any]:
    """Without the estimates, which can be made from the rest."""
    covariance = found.log_covariance
    return {
        "parameters": dict(found.parameters),
        "log_covariance": None if covariance is None else covariance.tolist(),
        "log_likelihood": found.log_likelihood,
        "customers": found.customers,
        "convergence": {**asdict(found.convergence), "at_bounds": list(found.convergence.at_bounds)},
    }


def _read(plain: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    # In the order of the covariance, which a stored document does not keep.
    covariance, convergence = plain["log_covariance"], plain["convergence"]
    return {
        **plain,
        "parameters": {name: plain["parameters"][name] for name in names},
        "log_covariance": None if covariance is None else np.asarray(covariance, dtype=np.float64),
        "estimates": {},
        "convergence": Convergence(**{**convergence, "at_bounds": tuple(convergence["at_bounds"])}),
    }


def _axes(covariance: Floats) -> Floats:
    """The principal axes, one standard deviation long each, as rows."""
    sizes, axes = np.linalg.eigh(covariance)
    found: Floats = (axes * np.sqrt(np.maximum(sizes, 0.0))).T
    return found


def _moved(parameters: Mapping[str, float], move: Floats) -> dict[str, float]:
    factors = np.exp(move)
    return {name: value * float(factor) for (name, value), factor in zip(parameters.items(), factors, strict=True)}
