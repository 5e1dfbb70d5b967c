"""What is to be learned, and what was: plain values that travel to the process that learns, and back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from app.modelling.features.columns import Values


@dataclass(frozen=True, slots=True)
class Previous:
    """The version that a refit continues: its document, the names of its segments by key, all keys ever given.

    document: None where it cannot be opened; then, as with anything in retyped, no segment is recognised.
    retyped: attributes that it reads as another type than the refit does.
    """

    version: int
    document: Mapping[str, Any] | None
    names: Mapping[str, str]
    keys: Sequence[str]
    retyped: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Task:
    """What to learn. features: name, dtype and kind of each; label: the feature that says what a tree learns to tell."""

    method: str
    segmentation_id: str
    features: Sequence[Mapping[str, str]]
    population: str
    currency: str
    min_segment_share: float
    k: int | Literal["auto"] | None = None
    k_range: tuple[int, int] | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    rules: Sequence[Mapping[str, Any]] = ()
    label: str | None = None
    seed: int = 0
    previous: Previous | None = None

    @property
    def kinds(self) -> dict[str, Any]:
        return {each["name"]: each["kind"] for each in self.features if each["name"] != self.label}


@dataclass(frozen=True, slots=True)
class People:
    """The population: a column per feature and circumstance, and what each spent after as_of where that is known."""

    values: Values
    spend_after: Any = None
    days_after: float = 0.0


@dataclass(frozen=True, slots=True)
class Learned:
    """A fitted version: what is kept of it, what it shows of itself, how it continues the one before."""

    document: Mapping[str, Any]
    params: Mapping[str, Any]
    evaluation: Mapping[str, Any]
    profile: Mapping[str, Mapping[str, Any]]
    matching: Mapping[str, Any]
    fingerprint: str
    customers: int
