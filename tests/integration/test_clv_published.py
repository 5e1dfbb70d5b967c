"""Lifetime value models of two real shops through the API: published fits, forecasts against what happened."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from app.config import Settings
from tests.conftest import ADMIN_KEY, Service
from tests.integration.test_kpis_online_retail import invoices
from tests.support.answers import be_sound
from tests.support.clv import Clv, cdnow, online_retail

pytestmark = [pytest.mark.anyio, pytest.mark.real_data]

# Fader, Hardie and Lee (2005), table 2, Batislam et al. (2007), and Fader and Hardie (2013), to the digits that
# shared/data/cdnow/reference.json has of independent fits: parameters, log-likelihood, holdout purchases expected.
PUBLISHED: dict[str, tuple[dict[str, float], float, float]] = {
    "bg_nbd": ({"r": 0.2426, "alpha": 4.4136, "a": 0.7929, "b": 2.4259}, -9582.429, 1653.41),
    "mbg_nbd": ({"r": 0.5248, "alpha": 6.1831, "a": 0.8914, "b": 1.6140}, -9582.136, 1576.73),
    "pareto_nbd": ({"r": 0.5533, "alpha": 10.5777, "s": 0.6062, "beta": 11.6687}, -9594.976, 1665.51),
}
GAMMA_GAMMA = {"p": 6.2496, "q": 3.7442, "v": 15.4435}
NINE_MONTHS = {"calibration_end": "1997-09-30", "time_unit": "week", "horizon_days": 273}


@pytest.fixture
def settings(request: pytest.FixtureRequest) -> Settings:
    currency = getattr(request, "param", "USD")
    return Settings(_env_file=None, admin_key=ADMIN_KEY, reporting_currency=currency, pool_size=4)


@pytest.fixture
def clv(service: Service) -> Clv:
    service.client.event_hooks["response"].append(be_sound)
    return Clv(service)


async def test_cdnow_is_fitted_as_published_and_its_holdout_is_told_honestly(clv: Clv, real_data: Path) -> None:
    clv.store(cdnow(real_data / "cdnow"))
    for family, (parameters, log_likelihood, expected) in PUBLISHED.items():
        found = await clv.train(model=family, **NINE_MONTHS)
        assert found["convergence"]["converged"] is True
        for name, value in parameters.items():
            assert found["parameters"][name] == pytest.approx(value, rel=1e-3)
            interval = found["parameter_intervals"][name]
            assert interval["low"] < found["parameters"][name] < interval["high"]
            assert found["standard_errors"][name] > 0
        assert found["log_likelihood"] == pytest.approx(log_likelihood, abs=0.01)
        assert (found["customers"], found["repeat_purchases"]) == (2_357, 2_457)
        be_the_published_values(found["gamma_gamma"])
        holdout = found["holdout"]
        assert (holdout["from"], holdout["to"], holdout["actual"]) == ("1997-10-01", "1998-06-30", 1_882)
        assert holdout["expected"] == pytest.approx(expected, abs=0.01)
        # Nine months over Christmas: every family is low, and says so; only Pareto/NBD is uncertain enough to cover it.
        assert holdout["low"] < expected < holdout["high"]
        assert holdout["covered"] is (family == "pareto_nbd")
        assert ("outside the interval" in holdout["statement"]) is not holdout["covered"]
        assert "too low" in holdout["statement"]
        assert sum(each["actual"] for each in holdout["by_time"]) == 1_882
        assert sum(each["expected"] for each in holdout["by_time"]) == pytest.approx(expected, abs=0.01)
        assert holdout["value"]["actual"] == pytest.approx(70_976.39)
        assert holdout["seasonal"]["offered"] is False
    await one_customer_is_as_published(clv)


def be_the_published_values(found: dict[str, Any]) -> None:
    for name, value in GAMMA_GAMMA.items():
        assert found[name] == pytest.approx(value, rel=1e-3)
    assert found["log_likelihood"] == pytest.approx(-4055.918, abs=0.01)
    # reference.json: corr_x_mx.
    assert (found["customers"], found["frequency_value_correlation"]) == (946, pytest.approx(0.1139, abs=5e-5))


async def one_customer_is_as_published(clv: Clv) -> None:
    """Fader, Hardie and Lee (2005), Implementing the BG/NBD model in Excel: E(Y(39) | 2, 30.43, 38.86) = 1.226."""
    models = (await clv.get("/v1/clv/models"))["data"]
    [bg] = [each for each in models if each["model"] == "bg_nbd"]
    await clv.activate(bg["model_id"])
    as_of = "1997-10-01T00:00:00Z"
    found = await clv.get("/v1/customers/0001/clv", as_of=as_of)
    assert found["expected_purchases"] == pytest.approx(1.226, abs=5e-4)
    assert found["p_alive"] == pytest.approx(0.7266, abs=5e-5)
    assert (found["purchase_days"], found["age_at_last_purchase_days"], found["age_days"]) == (3, 213, 272)


QUARTER = {"calibration_end": "2011-09-09", "time_unit": "day", "horizon_days": 90}


@pytest.mark.parametrize("settings", ["GBP"], indirect=True)
async def test_a_wholesaler_is_fitted_by_every_family_or_told_why_not(clv: Clv, real_data: Path) -> None:
    table = invoices(real_data / "online_retail" / "online_retail_2010_2011.csv.gz")
    clv.store(online_retail(table), currency="GBP")
    reference = json.loads((real_data / "online_retail" / "reference.json").read_text())["bgnbd_holdout_90d"]
    # 90 complete days after the cut are over then.
    clv.service.clock.advance(datetime(2011, 12, 9, tzinfo=UTC) - clv.state.clock.now())
    for family in PUBLISHED:
        found = await clv.train(model=family, **QUARTER)
        convergence, holdout = found["convergence"], found["holdout"]
        assert convergence["converged"] or convergence["reason"], convergence
        assert (found["customers"], holdout["days"]) == (reference["customers"], 90)
        # The reference leaves out purchases of amount 0: one day of one customer, which is activity here.
        assert holdout["actual"] == reference["actual_days"] + 1
        # The issue asks for 54 %; an oracle reaches 66.9 %.
        assert 0.54 <= holdout["value"]["top_decile_share"] < holdout["value"]["best_possible_share"]
        await clv.activate(found["model_id"])
        scores = await everybody(clv)
        # 4,337 by the reference's rule, and one whose only purchase had amount 0.
        assert len(scores) == 4_338
        for each in scores:
            assert each["clv"] is not None
            assert 0 <= each["p_alive"] <= 1
            assert 0 <= each["expected_purchases"] < 91


async def everybody(clv: Clv) -> list[dict[str, Any]]:
    """Everybody's scores, page by page."""
    found: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        page = await clv.get("/v1/clv/customers", limit=1_000, **cursor)
        found += page["data"]
        if page["next_cursor"] is None:
            return found
        cursor = {"cursor": page["next_cursor"]}
