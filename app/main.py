"""The HTTP composition root: settings in, application out."""

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from typing import Any

from fastapi import FastAPI
from sqlalchemy.exc import SQLAlchemyError

from app import __version__
from app.activation.audiences.router import router as audiences_router
from app.activation.exposures.router import router as exposures_router
from app.activation.exposures.service import EXPOSURE_KIND
from app.activation.webhooks.addresses import Allowed
from app.activation.webhooks.guard import Guard
from app.activation.webhooks.router import router as webhooks_router
from app.clock import Clock, SystemClock
from app.config import Settings
from app.db.engine import Database, Session
from app.measurement.attribution.router import router as attribution_router
from app.measurement.campaigns.router import router as campaigns_router
from app.measurement.cohorts.router import router as cohorts_router
from app.measurement.kpis.router import router as kpis_router
from app.measurement.roi.router import router as roi_router
from app.measurement.rollups import lag
from app.modelling.churn import service as churn
from app.modelling.churn.lookup import ChurnLookups
from app.modelling.churn.router import hot_router as churn_hot_router
from app.modelling.churn.router import router as churn_router
from app.modelling.churn.scoring import ChurnModels
from app.modelling.clv import equity as clv
from app.modelling.clv.router import router as clv_router
from app.modelling.features import service as features
from app.modelling.features.compiler import Reporting
from app.modelling.features.router import router as features_router
from app.modelling.memberships import service as memberships
from app.modelling.memberships.freshness import Freshness
from app.modelling.memberships.lookup import Lookups
from app.modelling.memberships.router import hot_router as memberships_hot_router
from app.modelling.memberships.router import router as memberships_router
from app.modelling.registry.shelf import Models
from app.modelling.segments.router import router as segments_router
from app.modelling.segments.settling import Look, Settler
from app.modelling.segments.working import Assigners
from app.operations.audit.router import router as audit_router
from app.operations.jobs.router import router as jobs_router
from app.operations.keys import service as keys
from app.operations.keys.router import router as keys_router
from app.operations.quality.router import router as quality_router
from app.records.costs.router import router as costs_router
from app.records.costs.service import cost_kind
from app.records.customers.router import router as customers_router
from app.records.customers.service import CUSTOMER_KIND
from app.records.events.router import hot_router as events_hot_router
from app.records.events.router import router as events_router
from app.records.events.service import EVENT_KIND
from app.records.exchange_rates.router import router as exchange_rates_router
from app.records.exchange_rates.service import RATE_KIND
from app.records.imports.router import router as imports_router
from app.records.intake.bulk import Intake, Kind
from app.records.intake.customers import CustomerMemory
from app.records.intake.together import Together
from app.records.privacy.router import router as privacy_router
from app.records.rejections.router import router as rejections_router
from app.records.tracking.router import router as tracking_router
from app.records.transactions.router import hot_router as transactions_hot_router
from app.records.transactions.router import router as transactions_router
from app.records.transactions.service import TRANSACTION_KIND
from app.web import health, openapi, problems
from app.web.auth import KeyRing
from app.web.edge import Edge
from app.web.state import ServiceState

# Past its statement timeout a request gets this much longer to answer before 503 is answered for it.
DEADLINE_MARGIN_SECONDS = 5.0
# After start-up nearly everything alive stays alive: looking through it again costs 30 ms pauses.
GC_THRESHOLD = 50_000
# How long start-up waits for the admin key to be stored, and the pause before that is tried again.
ADMIN_KEY_SECONDS = 2.0

ROUTERS = (
    memberships_hot_router,  # first: routes are tried in order, and these are asked most
    transactions_hot_router,
    churn_hot_router,
    events_hot_router,
    health.router,
    customers_router,
    privacy_router,
    transactions_router,
    events_router,
    costs_router,
    exchange_rates_router,
    imports_router,
    tracking_router,
    rejections_router,
    features_router,
    segments_router,
    memberships_router,
    churn_router,
    clv_router,
    webhooks_router,
    kpis_router,
    cohorts_router,
    roi_router,
    campaigns_router,
    audiences_router,
    exposures_router,
    attribution_router,
    jobs_router,
    keys_router,
    audit_router,
    quality_router,
)

DESCRIPTION = """
Customer segmentation that proves what it was worth.

Push customers, transactions and events; ask which segment a customer is in; read key figures with their
evidence. Errors are `application/problem+json`, lists go by cursor, money is decimal text with a currency.
"""


def profile_sections(settings: Settings, lookups: Lookups) -> Mapping[str, Callable[..., Awaitable[Any]]]:
    """What GET /v1/customers/{customer_id} shows besides what was pushed: (session, customer_id, now=...) to JSON."""
    reporting = Reporting(settings.reporting_currency, settings.timezone)
    return {
        "features": partial(features.section, reporting=reporting),
        "memberships": partial(memberships.section, names=lookups.names),
        "scores": partial(_scores, currency=settings.reporting_currency),
    }


async def _scores(session: Session, customer_id: str, *, now: datetime, currency: str) -> dict[str, Any]:
    """What models say of a customer, each with the time that it is of."""
    sections = {"churn": churn.section, "clv": clv.section}
    return {name: await each(session, customer_id, now=now, currency=currency) for name, each in sections.items()}


def record_kinds(settings: Settings) -> Mapping[str, Kind[Any, Any]]:
    """What a refused row may be tried again as, by the kind it was refused as."""
    kinds: tuple[Kind[Any, Any], ...] = (
        CUSTOMER_KIND,
        TRANSACTION_KIND,
        EVENT_KIND,
        cost_kind(settings.timezone),
        RATE_KIND,
        EXPOSURE_KIND,
    )
    return {kind.name: kind for kind in kinds}


def create_app(settings: Settings, *, database_url: str, secret: bytes, clock: Clock | None = None) -> FastAPI:
    database = Database(
        database_url,
        pool_size=settings.pool_size,
        statement_timeout_seconds=settings.statement_timeout_seconds,
        application="tessera service",
    )
    app = FastAPI(
        title="Tessera",
        version=__version__,
        description=DESCRIPTION,
        lifespan=_lifespan,
        redoc_url=None,
    )
    app.state.settings = settings
    app.state.service = ServiceState(
        database=database,
        clock=clock or SystemClock(),
        secret=secret,
        currency=settings.reporting_currency,
        timezone=settings.timezone,
    )
    app.state.keys = KeyRing(database)
    app.state.intake = Intake(CustomerMemory(), secret, app.state.service.clock)
    app.state.record_kinds = record_kinds(settings)
    app.state.lookups = Lookups(database)
    app.state.freshness = Freshness(database)
    app.state.before_metrics = (app.state.freshness.measure, partial(lag.measure, database, app.state.service.clock))
    app.state.assigners = Assigners(Models(secret))
    app.state.clv_models = Models(secret, kind="clv")
    app.state.churn_models = ChurnModels(Models(secret, kind="churn"))
    reporting = Reporting(settings.reporting_currency, settings.timezone)
    app.state.churn_lookups = ChurnLookups(database, app.state.churn_models, reporting, app.state.service.clock)
    settler = Settler(Reporting(settings.reporting_currency, settings.timezone), app.state.assigners)
    at_work = (settler, app.state.service.clock)
    app.state.together = Together(database, app.state.intake, partial(_settle, *at_work), partial(_look_at, *at_work))
    app.state.profile_sections = profile_sections(settings, app.state.lookups)
    app.state.webhook_guard = Guard(Allowed.of(settings.webhook_allow))
    app.state.readiness = health.Readiness(database)
    for router in ROUTERS:
        app.include_router(router)
    problems.install(app)
    app.openapi = lambda: openapi.document(app)  # type: ignore[method-assign]  # FastAPI's documented way
    app.add_middleware(Edge, deadline_seconds=settings.statement_timeout_seconds + DEADLINE_MARGIN_SECONDS)
    return app


async def _settle(settler: Settler, clock: Clock, session: Session, customer_ids: Sequence[str]) -> bool:
    """What the records wing does with those it touched, without knowing what that is."""
    return await settler.settle(session, customer_ids, now=clock.now())


def _look_at(settler: Settler, clock: Clock, customer_ids: Sequence[str]) -> Look | None:
    """The same in its quick way."""
    return settler.look_at(customer_ids, now=clock.now())


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    state: ServiceState = app.state.service
    letting_in = asyncio.create_task(_let_admin_in(state.database, app.state.settings))
    # A database that is away or not migrated yet keeps nobody from asking /readyz why.
    await asyncio.wait({letting_in}, timeout=ADMIN_KEY_SECONDS)
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, 20, 100)
    yield
    letting_in.cancel()
    await app.state.together.close()
    await app.state.lookups.close()
    await app.state.churn_lookups.close()
    await app.state.freshness.close()
    await state.database.close()


async def _let_admin_in(database: Database, settings: Settings) -> None:
    """Store the admin key of the settings, as soon as the database can take it."""
    while settings.admin_key is not None:
        try:
            async with database.write() as session:
                await keys.accept_admin_key(session, key=settings.admin_key.get_secret_value())
            return
        except (SQLAlchemyError, OSError):
            await asyncio.sleep(ADMIN_KEY_SECONDS)
