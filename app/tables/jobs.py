"""Long work as its caller sees it, and the files that imports read."""

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Column, ForeignKey, Index, Integer, Table, Uuid, text
from sqlalchemy.dialects.postgresql import BYTEA

from app.tables.metadata import document, identifier, instant, metadata, one_of

JOB_STATUSES = ("queued", "running", "succeeded", "failed", "cancelled")

# One row per piece of long work: the public record. The queue that runs it is procrastinate's own tables.
jobs = Table(
    "jobs",
    metadata,
    Column("job_id", Uuid, primary_key=True, server_default=text("gen_random_uuid()")),
    identifier("kind"),
    identifier("status"),
    document("arguments"),
    Column("progress_done", BigInteger, nullable=False, server_default="0"),
    Column("progress_total", BigInteger),
    identifier("progress_unit", nullable=True),
    document("checkpoint", nullable=True, default=None),
    document("result", nullable=True, default=None),
    document("error", nullable=True, default=None),
    Column("cancel_requested", Boolean, nullable=False, server_default=text("false")),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("key_id", Uuid),
    instant("created_at", defaults_to_now=True),
    instant("started_at", nullable=True),
    instant("finished_at", nullable=True),
    one_of("status", JOB_STATUSES),
    CheckConstraint(
        "(finished_at is not null) = (status in ('succeeded', 'failed', 'cancelled'))", name="finished_when_over"
    ),
    Index(None, "created_at", "job_id"),
)

# One row per piece of an uploaded file, in order; removed when its job is over.
job_uploads = Table(
    "job_uploads",
    metadata,
    Column("job_id", Uuid, ForeignKey("jobs.job_id", ondelete="CASCADE"), primary_key=True),
    Column("piece", Integer, primary_key=True),
    Column("content", BYTEA, nullable=False),
)
