"""Fitted versions at work: opened once, kept ready, and put in the order in which they ask about each other."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import structlog

from app.db.engine import Session
from app.errors import InvalidInput, ModelFormatUnknown, ModelTampered, UnknownFeature
from app.modelling.features.definitions import Feature
from app.modelling.features.derived import Derived
from app.modelling.registry.shelf import Models
from app.modelling.rules.requirements import order
from app.modelling.segments.assigning import Assigner
from app.modelling.segments.methods import method_named
from app.modelling.segments.repository import Version

KEPT = 64

log = structlog.get_logger("tessera.memberships")


@dataclass(frozen=True, slots=True)
class Working:
    """A version and what it does."""

    version: Version
    assigner: Assigner


class Assigners:
    """The versions of this process; a version never changes, so each is made ready once."""

    def __init__(self, models: Models) -> None:
        self._models = models
        self._ready: OrderedDict[tuple[UUID, int], Assigner] = OrderedDict()

    async def of(self, session: Session, version: Version) -> Working:
        """One version. Raises ModelTampered and ModelFormatUnknown."""
        key = (version.segmentation_id, version.version)
        if key not in self._ready:
            # Versions older than the registry hold what they learned, plain numbers, themselves.
            fitted = {"fitted": version.model}
            document = fitted if version.model_id is None else await self._models.open(session, version.model_id)
            self._ready[key] = method_named(version.method).assigner(document, version.segmentation_id)
            if len(self._ready) > KEPT:
                self._ready.popitem(last=False)
        self._ready.move_to_end(key)
        return Working(version, self._ready[key])

    async def of_all(self, session: Session, versions: Sequence[Version]) -> list[Working]:
        """These versions in the order in which they ask about each other.

        One whose model is not what was signed is left out, with an error in the log: its members stay as they are,
        and the other segmentations go on.
        """
        ready = []
        for version in versions:
            try:
                ready.append(await self.of(session, version))
            except (ModelTampered, ModelFormatUnknown, UnknownFeature, InvalidInput) as error:
                log.error(
                    "a model cannot be used",
                    segmentation_id=str(version.segmentation_id),
                    version=version.version,
                    error=error.code,
                )
        return in_order(ready)


def in_order(ready: Sequence[Working]) -> list[Working]:
    """Those that are asked about first."""
    by_id = {each.version.segmentation_id: each for each in ready}
    asked = {own: {ask.segmentation_id for ask in each.assigner.asks} for own, each in by_id.items()}
    return [by_id[each] for each in order(asked) if each in by_id]


def with_dependents(chosen: Sequence[Working], everybody: Sequence[Working]) -> list[Working]:
    """These and all that ask about them, or about such, in order."""
    found = {each.version.segmentation_id for each in chosen}
    for each in in_order(everybody):
        if any(ask.segmentation_id in found for ask in each.assigner.asks):
            found.add(each.version.segmentation_id)
    own = {each.version.segmentation_id: each for each in (*everybody, *chosen)}
    return in_order([each for number, each in own.items() if number in found])


def features_of(working: Sequence[Working]) -> tuple[Feature, ...]:
    """What these versions read, each feature once; an attribute may be read as several types."""
    return tuple(dict.fromkeys(feature for each in working for feature in each.assigner.features))


def derived_of(working: Sequence[Working]) -> tuple[Derived, ...]:
    return tuple({column.name: column for each in working for column in each.assigner.derived}.values())


def apart(working: Sequence[Working]) -> list[list[Working]]:
    """The same in few groups, none of which reads an attribute as two types at once.

    In order: none before those that it asks about.
    """
    groups: list[tuple[dict[str, str], list[Working]]] = []
    for each in working:
        read: dict[str, str] = {feature.name: feature.dtype for feature in each.assigner.features}
        asked = {ask.segmentation_id for ask in each.assigner.asks}
        awaited = [
            place
            for place, (_, members) in enumerate(groups)
            if any(member.version.segmentation_id in asked for member in members)
        ]
        for types, members in groups[max(awaited, default=0) :]:
            if all(types.get(name, dtype) == dtype for name, dtype in read.items()):
                types.update(read)
                members.append(each)
                break
        else:
            groups.append((read, [each]))
    return [members for _, members in groups]
