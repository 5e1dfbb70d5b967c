"""What may be asked of a churn model, refused with the place and the reason before anything is queued."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from app.errors import FieldError, InvalidInput
from app.modelling.churn.definitions import Definition
from app.modelling.churn.schemas import ChurnModelIn, InterventionIn, MoneyIn
from app.modelling.features.attributes import is_attribute
from app.modelling.features.definitions import BY_NAME
from app.modelling.predictions.repository import Wanted
from app.money import InvalidAmount, to_minor


def wanted(asked: ChurnModelIn, *, now: datetime, currency: str) -> Wanted:
    """The model to learn, everything said explicitly. Raises InvalidInput."""
    definition = asked.definition.model_dump(mode="json")
    errors = [*_flaws(asked, Definition.of({**definition, "positive": None}), now)]
    intervention, more = _intervention(asked.intervention, currency)
    errors += more
    if errors:
        raise InvalidInput("; ".join(f"{each.pointer}: {each.detail}" for each in errors), errors=errors)
    request = {
        "definition": definition,
        "algorithm": asked.algorithm,
        "features": asked.features,
        "seed": asked.seed or 0,
        "insist_on": asked.insist_on or [],
        "protected_attribute": asked.protected_attribute,
        "intervention": intervention,
        "retrain": None if asked.retrain is None else asked.retrain.model_dump(mode="json"),
    }
    return Wanted(asked.algorithm, request, asked.as_of or now, asked.name)


def _flaws(asked: ChurnModelIn, definition: Definition, now: datetime) -> list[FieldError]:
    errors = []
    if asked.as_of is not None and asked.as_of > now:
        errors.append(FieldError("/as_of", "in_the_future", "what happens after now is not known yet"))
    if asked.algorithm == "btyd" and definition.kind == "label":
        detail = "btyd tells whether somebody buys again; a label is learned by one of the others"
        errors.append(FieldError("/algorithm", "not_applicable", detail))
    named = [*((f"/features/{at}", each) for at, each in enumerate(asked.features or ()))]
    named += [(f"/insist_on/{at}", each) for at, each in enumerate(asked.insist_on or ())]
    if asked.protected_attribute is not None:
        named.append(("/protected_attribute", asked.protected_attribute))
    for pointer, name in named:
        if "\x00" in name or not (name in BY_NAME or is_attribute(name)):
            errors.append(FieldError(pointer, "unknown_feature", f"{name!r} is not a feature"))
        elif definition.kind == "label" and name == definition.label:
            errors.append(FieldError(pointer, "is_the_label", "the label itself cannot be learned from"))
    if len(set(asked.features or ())) < len(asked.features or ()):
        errors.append(FieldError("/features", "repeated", "each feature once"))
    return errors


def _intervention(asked: InterventionIn | None, currency: str) -> tuple[Mapping[str, Any] | None, list[FieldError]]:
    if asked is None:
        return None, []
    errors: list[FieldError] = []
    cost = _minor(asked.cost, currency, at="/intervention/cost", errors=errors)
    value = None
    if asked.value_saved is not None:
        value = _minor(asked.value_saved, currency, at="/intervention/value_saved", errors=errors)
    rates = asked.success_rate if isinstance(asked.success_rate, list) else [asked.success_rate] * 2
    if rates[0] > rates[1]:
        errors.append(FieldError("/intervention/success_rate", "reversed", "the lower rate comes first"))
    return {"cost_minor": cost, "success_rate": rates, "value_saved_minor": value}, errors


def _minor(asked: MoneyIn, currency: str, *, at: str, errors: list[FieldError]) -> int:
    if asked.currency != currency:
        detail = f"in the reporting currency, which is {currency}"
        errors.append(FieldError(f"{at}/currency", "not_reporting_currency", detail))
        return 0
    try:
        minor = to_minor(asked.amount, currency)
    except InvalidAmount as error:
        errors.append(FieldError(f"{at}/amount", error.code, str(error)))
        return 0
    if minor < 0:
        errors.append(FieldError(f"{at}/amount", "negative_amount", "not below 0"))
    return minor
