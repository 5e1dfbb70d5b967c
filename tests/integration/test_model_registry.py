"""Fitted models that are not what was signed: refused by name, while everything else is served and kept current."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, text, update

from app.db.engine import Session
from app.modelling.registry.shelf import Models
from app.tables.registry import models
from app.tables.segments import segmentation_versions
from tests.conftest import Service
from tests.support.modelling import Modelling
from tests.support.records import transaction
from tests.support.shop import shop

pytestmark = pytest.mark.anyio

Damage = Callable[[Session, UUID], Awaitable[None]]


@pytest.fixture
async def modelling(service: Service) -> Modelling:
    """The shop, with nobody waiting."""
    modelling = Modelling(service)
    await service.push(*shop())
    await modelling.drain()
    return modelling


async def model_of(modelling: Modelling, segmentation_id: str, version: int = 1) -> UUID:
    v = segmentation_versions.c
    query = select(v.model_id).where(v.segmentation_id == UUID(segmentation_id), v.version == version)
    async with modelling.state.database.read() as session:
        found: UUID = (await session.execute(query)).scalar_one()
    return found


async def damage(modelling: Modelling, how: Damage, model_id: UUID) -> Modelling:
    """Do it to the stored model, and start the service's worker anew: what was opened before stays open."""
    async with modelling.state.database.write() as session:
        await how(session, model_id)
    modelling.service.app.state.assigners.__init__(Models(modelling.state.secret))
    return Modelling(modelling.service)


def _set(**values: Any) -> Damage:
    async def do(session: Session, model_id: UUID) -> None:
        await session.execute(update(models).where(models.c.model_id == model_id).values(**values))

    return do


def _bytes(statement: str) -> Damage:
    async def do(session: Session, model_id: UUID) -> None:
        await session.execute(text(statement), {"model_id": model_id})

    return do


async def _of_another(session: Session, model_id: UUID) -> None:
    """Content and signature of another model, right in themselves."""
    statement = """update models m set content = o.content, signature = o.signature, fingerprint = o.fingerprint
                     from models o where m.model_id = :model_id and o.model_id <> m.model_id"""
    done = await session.execute(text(statement), {"model_id": model_id})
    assert done.rowcount == 1


DAMAGES: dict[str, tuple[Damage, str]] = {
    "content": (
        _bytes(
            "update models set content = set_byte(content, 40, get_byte(content, 40) # 1) where model_id = :model_id"
        ),
        "model_tampered",
    ),
    "cut off": (
        _bytes("update models set content = substring(content from 1 for 50) where model_id = :model_id"),
        "model_tampered",
    ),
    "signature": (
        _bytes(
            "update models set signature = set_byte(signature, 0, get_byte(signature, 0) # 1) where model_id = :model_id"
        ),
        "model_tampered",
    ),
    "no signature": (_set(signature=b""), "model_tampered"),
    "fingerprint": (_set(fingerprint="another"), "model_tampered"),
    "algorithm": (_set(algorithm="kmeans"), "model_tampered"),
    "format": (_set(format="tessera-model/99"), "model_format_unknown"),
    "swapped": (_of_another, "model_tampered"),
}


@pytest.mark.parametrize("kind", DAMAGES)
async def test_a_model_that_is_not_what_was_signed_cannot_be_activated(modelling: Modelling, kind: str) -> None:
    good = await modelling.learn_and_activate("Good")
    bad = await modelling.learn("Bad")
    how, code = DAMAGES[kind]
    modelling = await damage(modelling, how, await model_of(modelling, bad))
    job = await modelling.finish(await modelling.client.post(f"/v1/segmentations/{bad}/activate"))
    assert (job["status"], job["error"]["code"]) == ("failed", code)
    assert (await modelling.get(f"/v1/segmentations/{bad}"))["status"] == "candidate"
    answer = await modelling.client.post(f"/v1/segmentations/{bad}/assign", json={"rows": [{}]})
    assert (answer.status_code, answer.json()["code"]) == (409, code)
    assert (await modelling.start(good, "refresh"))["version"] == 1
    # Learning anew is the way out of it.
    await modelling.result(await modelling.client.post(f"/v1/segmentations/{bad}/refit", json={}))
    assert (await modelling.start(bad, "activate"))["version"] == 2
    memberships = (await modelling.get("/v1/customers/C-24/segments"))["memberships"]
    assert [(each["segmentation"], each["segment_key"]) for each in memberships] == [
        ("Bad", "champions"),
        ("Good", "champions"),
    ]


@pytest.mark.parametrize("kind", ["content", "format"])
async def test_an_active_model_that_was_damaged_harms_no_other_segmentation(modelling: Modelling, kind: str) -> None:
    bad = await modelling.learn_and_activate("Bad")
    await modelling.learn_and_activate("Good")
    how, code = DAMAGES[kind]
    modelling = await damage(modelling, how, await model_of(modelling, bad))
    modelling.service.clock.advance(timedelta(hours=1))
    rows = [
        transaction(f"N-{n}", customer_id="C-00", occurred_at="2026-11-01T11:00:00Z", amount="99") for n in range(12)
    ]
    await modelling.service.push(*rows)
    await modelling.drain()
    memberships = (await modelling.get("/v1/customers/C-00/segments"))["memberships"]
    # The good one moved the customer, the bad one is served as it stood.
    assert {each["segmentation"]: each["segment_key"] for each in memberships} == {"Bad": "lost", "Good": "champions"}
    found = await modelling.get(f"/v1/segmentations/{bad}")
    assert sum(each["size"] for each in found["segments"]) == 25
    job = await modelling.finish(await modelling.client.post(f"/v1/segmentations/{bad}/refresh"))
    assert (job["status"], job["error"]["code"]) == ("failed", code)
    answer = await modelling.client.get("/v1/customers/C-00/segments/explanation")
    assert (answer.status_code, answer.json()["code"]) == (409, code)
    # It can be retired all the same.
    assert (await modelling.start(bad, "archive"))["left"] == 25
    memberships = (await modelling.get("/v1/customers/C-00/segments"))["memberships"]
    assert [each["segmentation"] for each in memberships] == ["Good"]


async def test_the_model_of_another_version_is_not_taken_for_this_one(modelling: Modelling) -> None:
    segmentation_id = await modelling.learn_and_activate("RFM")
    modelling.service.clock.advance(timedelta(hours=1))
    await modelling.result(await modelling.client.post(f"/v1/segmentations/{segmentation_id}/refit", json={}))
    modelling = await damage(modelling, _of_another, await model_of(modelling, segmentation_id, 2))
    job = await modelling.finish(await modelling.client.post(f"/v1/segmentations/{segmentation_id}/activate"))
    assert (job["status"], job["error"]["code"]) == ("failed", "model_tampered")
    shown = await modelling.get(f"/v1/segmentations/{segmentation_id}")
    assert (shown["version"], shown["status"]) == (1, "active")
    assert await modelling.keys_of("C-24") == ["champions"]


async def test_a_model_signed_with_another_secret_is_not_opened(modelling: Modelling) -> None:
    segmentation_id = await modelling.learn("RFM")
    stranger = Models(b"another secret")
    async with modelling.state.database.read() as session:
        with pytest.raises(Exception, match="not the one that was signed"):
            await stranger.open(session, await model_of(modelling, segmentation_id))


async def test_where_a_model_comes_from_is_shown(modelling: Modelling) -> None:
    segmentation_id = await modelling.learn("RFM", as_of="2026-10-30T00:00:00Z")
    model = (await modelling.get(f"/v1/segmentations/{segmentation_id}"))["model"]
    assert (model["algorithm"], model["format"], model["customers"]) == ("rfm", "tessera-model/1", 25)
    assert (model["window_from"], model["window_to"][:19]) == (None, "2026-10-30T00:00:00")
    assert len(model["fingerprint"]) == 64
    again = await modelling.learn("Again", as_of="2026-10-30T00:00:00Z")
    assert (await modelling.get(f"/v1/segmentations/{again}"))["model"]["fingerprint"] == model["fingerprint"]
    await modelling.service.push(transaction("N-1", customer_id="C-24", occurred_at="2026-10-29T00:00:00Z"))
    other = await modelling.learn("Other", as_of="2026-10-30T00:00:00Z")
    assert (await modelling.get(f"/v1/segmentations/{other}"))["model"]["fingerprint"] != model["fingerprint"]
