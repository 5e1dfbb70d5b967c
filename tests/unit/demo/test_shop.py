"""The shop is a pure function of its seed, size and dates, and what it tells is possible."""

import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

from app.cli.demo import catalogue as world
from app.cli.demo.events import EMAIL_CLICK, EMAIL_OPEN, EMAIL_SENT, VISIT
from app.cli.demo.purchases import GUEST
from app.cli.demo.shop import Shop, simulate

ROOT = Path(__file__).parents[3]
SMALL = {"customers": 800, "start": date(2025, 1, 1), "end": date(2026, 1, 1)}


def test_the_same_arguments_give_the_same_bytes() -> None:
    assert simulate(3, **SMALL).digest() == simulate(3, **SMALL).digest()


def test_another_process_gets_the_same_bytes() -> None:
    code = "from app.cli.demo.shop import simulate; print(simulate(3, customers=800).digest())"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout.strip() == simulate(3, customers=800).digest()


def test_every_argument_matters() -> None:
    kinds = [
        simulate(3, **SMALL),
        simulate(4, **SMALL),
        simulate(3, **{**SMALL, "customers": 801}),
        simulate(3, **{**SMALL, "end": date(2026, 1, 2)}),
    ]
    assert len({each.digest() for each in kinds}) == len(kinds)


@pytest.mark.parametrize("arguments", [{"customers": 0}, {"end": SMALL["start"] + timedelta(days=29)}])
def test_a_shop_without_customers_or_time_is_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="a shop needs a customer and 30 days"):
        simulate(3, **{**SMALL, **arguments})


@pytest.mark.parametrize("customers", [1, 2, 40])
def test_a_tiny_shop_works(customers: int) -> None:
    small = simulate(5, **{**SMALL, "customers": customers})
    assert len(small.customers) == customers
    assert not small.campaigns, "campaigns need an audience"


def test_the_default_shop_is_small_enough_to_load_in_seconds() -> None:
    default = simulate()
    assert len(default.customers) == 4_000
    assert 50_000 < len(default.transactions) + len(default.events) < 80_000


def test_everything_happens_between_start_and_end(shop: Shop) -> None:
    start, end = np.datetime64(shop.start), np.datetime64(shop.end)
    for instants in (shop.customers.created_at, shop.transactions.occurred_at, shop.events.occurred_at):
        assert instants.min() >= start
        assert instants.max() < end


def test_rows_stand_in_the_order_of_time(shop: Shop) -> None:
    rows = shop.transactions
    purchases, refunds = rows.occurred_at[: rows.purchases], rows.occurred_at[rows.purchases :]
    for instants in (shop.customers.created_at, purchases, refunds, shop.events.occurred_at, shop.rates.on):
        assert (np.diff(instants) >= np.timedelta64(0)).all()


def test_nobody_does_anything_before_they_are_there(shop: Shop) -> None:
    created = shop.customers.created_at
    assert (shop.events.occurred_at >= created[shop.events.customer]).all()
    known = shop.transactions.customer != GUEST
    assert (shop.transactions.occurred_at[known] >= created[shop.transactions.customer[known]]).all()


def test_refunds_follow_their_purchase_and_never_exceed_it(shop: Shop) -> None:
    rows = shop.transactions
    back = np.flatnonzero(rows.is_refund)
    of = rows.refunds[back]
    assert (back >= rows.purchases).all()
    assert (of < rows.purchases).all()
    assert np.unique(of).size == of.size, "a purchase is refunded once"
    assert (rows.occurred_at[back] > rows.occurred_at[of]).all()
    assert (rows.amount_minor[back] <= rows.amount_minor[of]).all()
    for column in (rows.customer, rows.currency, rows.channel):
        np.testing.assert_array_equal(column[back], column[of])


def test_amounts_are_the_sum_of_their_lines_at_list_prices(shop: Shop) -> None:
    rows, lines = shop.transactions, shop.transactions.lines
    value = lines.quantity * lines.unit_price_minor
    bought = slice(0, rows.purchases)
    np.testing.assert_array_equal(np.add.reduceat(value, lines.start[:-1]), rows.amount_minor[bought])
    currency = np.repeat(rows.currency[bought], np.diff(lines.start))
    for code in (world.EUR, world.GBP):
        ladder = world.prices(code)
        here = currency == code
        np.testing.assert_array_equal(
            lines.unit_price_minor[here], ladder[lines.product[here] % ladder.size], err_msg=world.CURRENCIES[code]
        )
    assert (rows.amount_minor[bought] > 0).all()
    assert ((rows.margin_minor >= 0) & (rows.margin_minor < rows.amount_minor)).all()


def test_britons_pay_in_pounds_and_all_others_in_euros(shop: Shop) -> None:
    rows = shop.transactions
    known = rows.customer != GUEST
    british = shop.customers.country[rows.customer[known]] == world.COUNTRIES.index("GB")
    np.testing.assert_array_equal(rows.currency[known] == world.GBP, british)
    assert 0 < british.mean() < 1


def test_mails_go_to_the_treated_who_agreed_and_to_nobody_else(shop: Shop) -> None:
    events = shop.events
    for position in range(len(shop.campaigns)):
        chosen, treated = shop.assignments.of(position)
        sent = events.customer[(events.kind == EMAIL_SENT) & (events.campaign == position)]
        np.testing.assert_array_equal(np.sort(sent), chosen[treated])
        assert shop.customers.marketing_consent[chosen].all()


def test_mails_are_opened_after_they_are_sent_and_clicked_after_that(shop: Shop) -> None:
    events = shop.events

    def first(kind: int, position: int) -> dict[int, np.datetime64]:
        rows = (events.kind == kind) & (events.campaign == position)
        return dict(zip(events.customer[rows].tolist(), events.occurred_at[rows], strict=True))

    for position in range(len(shop.campaigns)):
        sent, opened, clicked = (first(kind, position) for kind in (EMAIL_SENT, EMAIL_OPEN, EMAIL_CLICK))
        assert opened
        assert clicked
        assert all(sent[who] < at for who, at in opened.items())
        assert all(opened[who] < at for who, at in clicked.items())


def test_purchases_are_credited_to_a_campaign_only_after_a_click(shop: Shop) -> None:
    rows, events = shop.transactions, shop.events
    clicks = events.kind == EMAIL_CLICK
    at = dict(
        zip(
            zip(events.campaign[clicks].tolist(), events.customer[clicks].tolist(), strict=True),
            events.occurred_at[clicks],
            strict=True,
        )
    )
    credited = np.flatnonzero(rows.campaign >= 0)
    assert credited.size
    for row in credited:
        assert at[int(rows.campaign[row]), int(rows.customer[row])] <= rows.occurred_at[row]


def test_an_online_purchase_is_preceded_by_a_visit_that_day(shop: Shop) -> None:
    rows, events = shop.transactions, shop.events
    online = np.flatnonzero((rows.channel[: rows.purchases] != world.STORE) & (rows.customer[: rows.purchases] >= 0))
    visits = events.kind == VISIT
    first = np.full(len(shop.customers), np.datetime64("2100-01-01", "s"))
    np.minimum.at(first, events.customer[visits], events.occurred_at[visits])
    assert (first[rows.customer[online]] <= rows.occurred_at[online]).all()


def test_campaigns_never_overlap_and_lie_in_the_history_whole(shop: Shop) -> None:
    assert len(shop.campaigns) >= 6
    ends = [campaign.end_day for campaign in shop.campaigns]
    starts = [campaign.first_day for campaign in shop.campaigns]
    assert all(end <= start for end, start in zip(ends, starts[1:], strict=False))
    assert ends[-1] <= shop.season.days


def test_rates_stand_for_business_days_and_begin_before_the_shop(shop: Shop) -> None:
    assert np.is_busday(shop.rates.on).all()
    assert shop.rates.on[0] < np.datetime64(shop.start)
    gaps = np.diff(np.concatenate([shop.rates.on, [np.datetime64(shop.end)]]))
    assert gaps.max() <= np.timedelta64(3, "D"), "no day is further than a weekend from its rate"
    pounds = shop.rates.rate[shop.rates.pairs.index(("GBP", "EUR"))]
    assert ((pounds > 1.0) & (pounds < 1.4)).all()


def test_costs_cover_every_day_once_for_each_running_cost(shop: Shop) -> None:
    running = [cost for cost in shop.costs if cost.campaign_id is None]
    assert {cost.category for cost in shop.costs} == {"media", "technology", "incentive"}
    assert {cost.currency for cost in shop.costs} == {"EUR", "GBP"}
    for name in {cost.cost_id.rsplit("-", 2)[0] for cost in running}:
        days = sum((cost.ends_on - cost.starts_on).days for cost in running if cost.cost_id.startswith(name))
        assert days == shop.season.days, name
    assert len({cost.cost_id for cost in shop.costs}) == len(shop.costs)
