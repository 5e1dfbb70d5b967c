"""Fitted models in SQL."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import insert, select

from app.db.engine import Session
from app.tables.registry import models


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A model as it is kept; the signature covers content and everything that `about` says."""

    model_id: UUID
    kind: str
    algorithm: str
    format: str
    content: bytes
    signature: bytes
    fingerprint: str

    @property
    def about(self) -> dict[str, str]:
        return about(self.model_id, kind=self.kind, algorithm=self.algorithm, fingerprint=self.fingerprint) | {
            "format": self.format
        }


def about(model_id: UUID, *, kind: str, algorithm: str, fingerprint: str) -> dict[str, str]:
    """What is signed together with a model, so that none can be passed off as another."""
    return {"model_id": str(model_id), "kind": kind, "algorithm": algorithm, "fingerprint": fingerprint}


async def add(session: Session, values: Mapping[str, Any]) -> None:
    """Keep a model; its id is among the values, because it is signed."""
    await session.execute(insert(models).values(**values))


async def find(session: Session, model_id: UUID) -> StoredModel | None:
    """One model with its content; null when there is none."""
    m = models.c
    query = select(m.model_id, m.kind, m.algorithm, m.format, m.content, m.signature, m.fingerprint)
    row = (await session.execute(query.where(m.model_id == model_id))).one_or_none()
    return None if row is None else StoredModel(*row)
