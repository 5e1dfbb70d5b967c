"""Models of this process: each is fetched and checked once, and stays, because models never change."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from typing import Any
from uuid import UUID, uuid4

from app.db.engine import Session
from app.errors import ModelTampered
from app.ml.artifact import FORMAT, seal, unseal
from app.modelling.registry import repository

KEPT = 64
# What a model's numbers depend on.
LIBRARIES = ("numpy", "scipy", "scikit-learn")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a model comes from: the data by its fingerprint and size, the window of facts, the seed."""

    algorithm: str
    fingerprint: str
    customers: int
    window_to: datetime
    seed: int | None


class Models:
    """The models of one kind of thing, signed with the service's secret."""

    def __init__(self, secret: bytes, *, kind: str = "segmentation") -> None:
        self._secret, self._kind = secret, kind
        self._opened: OrderedDict[UUID, Mapping[str, Any]] = OrderedDict()

    async def keep(self, session: Session, document: Mapping[str, Any], origin: Origin) -> UUID:
        """Sign and keep a model; its id."""
        model_id = uuid4()
        about = repository.about(
            model_id, kind=self._kind, algorithm=origin.algorithm, fingerprint=origin.fingerprint
        ) | {"format": FORMAT}
        content, signature = seal(document, secret=self._secret, about=about)
        values = {
            **{name: about[name] for name in ("kind", "algorithm", "fingerprint", "format")},
            "model_id": model_id,
            "content": content,
            "signature": signature,
            "libraries": {library: version(library) for library in LIBRARIES},
            "customers": origin.customers,
            "window_to": origin.window_to,
            "seed": origin.seed,
        }
        await repository.add(session, values)
        return model_id

    async def open(self, session: Session, model_id: UUID) -> Mapping[str, Any]:
        """A model. Raises ModelTampered and ModelFormatUnknown."""
        if model_id in self._opened:
            self._opened.move_to_end(model_id)
            return self._opened[model_id]
        stored = await repository.find(session, model_id)
        if stored is None:
            raise ModelTampered("The stored model is gone")
        opened = unseal(stored.content, stored.signature, secret=self._secret, about=stored.about)
        self._opened[model_id] = opened
        if len(self._opened) > KEPT:
            self._opened.popitem(last=False)
        return opened
