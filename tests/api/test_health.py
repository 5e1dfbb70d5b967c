"""Health, readiness and metrics."""

import pytest

from tests.conftest import Service

pytestmark = pytest.mark.anyio


async def test_health_readiness_and_metrics_need_no_key(service: Service) -> None:
    del service.client.headers["Authorization"]
    assert (await service.client.get("/healthz")).json() == {"status": "ok"}
    ready = await service.client.get("/readyz")
    assert (ready.status_code, ready.json()["checks"]) == (200, {"database": "ok", "schema": "ok"})
    metrics = await service.client.get("/metrics")
    assert 'tessera_http_requests_total{method="GET",route="/readyz",status="200"}' in metrics.text


async def test_the_request_id_is_echoed_or_made(service: Service) -> None:
    given = await service.client.get("/healthz", headers={"X-Request-ID": "abc-123"})
    assert given.headers["x-request-id"] == "abc-123"
    odd = await service.client.get("/healthz", headers={"X-Request-ID": "a b\tc" * 40})
    assert odd.headers["x-request-id"] != "a b\tc" * 40
    assert len(odd.headers["x-request-id"]) == 16
