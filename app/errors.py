"""The one error tree: what can go wrong, named once, for HTTP, jobs and the command line alike.

TesseraError
├─ InvalidInput       what was sent cannot be used; says where and why
│  ├─ BadWindow  BadCursor  UnknownFeature  UnknownMetric  MissingRates
│  ├─ MethodNotAvailable  TooFewCustomers
│  └─ IdempotencyKeyReused
├─ Unreadable         the bytes are not the format they claim to be
├─ TooLarge           more bytes, rows or depth than one call may carry
├─ UnsupportedMedia   a content type or encoding nobody here reads
├─ Unauthenticated    no valid key
├─ Forbidden          a valid key without the scope
├─ NotFound           CustomerNotFound, JobNotFound, ...
├─ Conflict           the state of the thing forbids it
│  └─ NotReady  ModelTampered  ModelFormatUnknown
├─ TooMany            slow down
├─ Unavailable        try again soon
└─ Fault              our own fault
"""

import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = str(Path(__file__).parent)


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing wrong with the input: a JSON pointer (or parameter name), a stable code, a sentence."""

    pointer: str
    code: str
    detail: str


class TesseraError(Exception):
    """Base of every error that a caller may see: a stable code and a sentence for a person."""

    code = "error"
    title = "Something went wrong"

    def __init__(self, detail: str | None = None, *, errors: Sequence[FieldError] = ()) -> None:
        self.detail = detail or self.title
        self.errors = tuple(errors)
        super().__init__(self.detail)


class InvalidInput(TesseraError):
    code = "invalid_input"
    title = "The request cannot be used as it is"


class BadWindow(InvalidInput):
    code = "bad_window"
    title = "The time window is not usable"


class BadCursor(InvalidInput):
    code = "bad_cursor"
    title = "The cursor was not made by this service for this list"


class UnknownFeature(InvalidInput):
    code = "unknown_feature"
    title = "There is no such feature"


class UnknownMetric(InvalidInput):
    code = "unknown_metric"
    title = "There is no such metric"


class MethodNotAvailable(InvalidInput):
    code = "method_not_available"
    title = "This version does not have this method yet"


class TooFewCustomers(InvalidInput):
    code = "too_few_customers"
    title = "There are too few customers to learn from"


class MissingRates(InvalidInput):
    code = "missing_exchange_rates"
    title = "Amounts in several currencies cannot be added without exchange rates"


class IdempotencyKeyReused(InvalidInput):
    code = "idempotency_key_reused"
    title = "This idempotency key was used with another body"


class Unreadable(TesseraError):
    code = "unreadable_body"
    title = "The body could not be read"


class TooLarge(TesseraError):
    code = "too_large"
    title = "The body is too large"


class UnsupportedMedia(TesseraError):
    code = "unsupported_media_type"
    title = "This content type or encoding is not read here"


class Unauthenticated(TesseraError):
    code = "unauthenticated"
    title = "A valid API key is needed"


class Forbidden(TesseraError):
    code = "missing_scope"
    title = "The API key lacks the scope for this"


class NotFound(TesseraError):
    code = "not_found"
    title = "There is no such thing"


class CustomerNotFound(NotFound):
    code = "customer_not_found"
    title = "There is no such customer"


class JobNotFound(NotFound):
    code = "job_not_found"
    title = "There is no such job"


class SegmentationNotFound(NotFound):
    code = "segmentation_not_found"
    title = "There is no such segmentation"


class SegmentNotFound(NotFound):
    code = "segment_not_found"
    title = "There is no such segment"


class PredictiveModelNotFound(NotFound):
    code = "model_not_found"
    title = "There is no such model"


class RejectionNotFound(NotFound):
    code = "rejection_not_found"
    title = "There is no such rejection"


class CampaignNotFound(NotFound):
    code = "campaign_not_found"
    title = "There is no such campaign"


class InitiativeNotFound(NotFound):
    code = "initiative_not_found"
    title = "There is no such initiative"


class HoldoutNotFound(NotFound):
    code = "holdout_not_found"
    title = "There is no such holdout"


class WebhookNotFound(NotFound):
    code = "webhook_not_found"
    title = "There is no such webhook endpoint"


class KeyNotFound(NotFound):
    code = "key_not_found"
    title = "There is no such API key"


class Conflict(TesseraError):
    code = "conflict"
    title = "The state of this thing forbids it"


class NotReady(Conflict):
    code = "not_ready"
    title = "Something else has to happen first"


class NoAudience(Conflict):
    code = "no_audience"
    title = "This campaign has nobody to hand out"


class NoActiveModel(Conflict):
    code = "no_active_model"
    title = "No model of this kind is active"


class ModelTampered(Conflict):
    code = "model_tampered"
    title = "The stored model is not the one that was signed, and is not opened"


class ModelFormatUnknown(Conflict):
    code = "model_format_unknown"
    title = "The stored model was written by a version this one cannot read"


class TooMany(TesseraError):
    code = "too_many_requests"
    title = "Too many requests"


class Unavailable(TesseraError):
    code = "unavailable"
    title = "Temporarily unavailable; try again"


class Fault(TesseraError):
    code = "internal_error"
    title = "The service failed; the request id helps to find out why"


def places(error: BaseException) -> list[str]:
    """Where in our own code an unforeseen error passed, innermost last, for the log.

    The error's message stays out: drivers put the offending values, and so people, into it.
    """
    frames = traceback.extract_tb(error.__traceback__)
    return [f"{f.filename.removeprefix(HERE)}:{f.lineno} {f.name}" for f in frames if f.filename.startswith(HERE)][-6:]
