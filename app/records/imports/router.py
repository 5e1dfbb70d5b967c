"""Imports over HTTP."""

from typing import Annotated
from uuid import uuid4

from fastapi import Depends, Request, Response

from app.jobs import repository as jobs
from app.jobs.queue import enqueue
from app.records.imports.definitions import JOB_KIND
from app.records.imports.schemas import BODY, ImportAccepted
from app.records.imports.upload import Upload, received
from app.web.answers import accepted
from app.web.auth import Require, principal_of
from app.web.routing import router_for
from app.web.sessions import WriteSession

router = router_for("/v1/imports", tag="Imports")


@router.post(
    "/{records}",
    operation_id="import_file",
    summary="Import a file of customers, transactions or events",
    status_code=202,
    response_model=ImportAccepted,
    openapi_extra=BODY,
    dependencies=[Depends(Require("ingest"))],
)
# The upload stands before the session: no connection waits while a file comes in.
async def import_file(
    upload: Annotated[Upload, Depends(received)], request: Request, session: WriteSession
) -> Response:
    """The file is kept and imported by a job. Its `result` has `lines` (rows of the file), `received` = `created` +
    `updated` + `duplicates` + `rejected` (records: transactions where rows are their lines, rows otherwise), `reasons`
    (rejected by code), `first_rejected` (at most 100), `ignored_columns`, `dry_run` and `notes`.

    Columns named like a field are that field; `map` names others. What is not mapped is ignored and listed in the
    result. Importing a file again, or one that overlaps it, stores nothing twice. Bad rows are kept under
    `GET /v1/rejections`; `/rows/{n}` in their pointers counts the rows of the file from 0.

    Transactions: rows that share a `transaction_id` and map `product_id`, `quantity` and `unit_price` are lines of
    one transaction, wherever they stand. Its amount is the sum of quantity x unit price, rounded half up to the
    digits of the currency; a negative sum, or a negative `amount`, is a refund. An empty `customer_id` is a guest.
    Attributes of customers are mapped as `attributes.<name>:Column`, properties of events as `properties.<name>:Column`.
    """
    job_id = uuid4()
    arguments = {**upload.options.as_arguments(), "format": upload.format}
    await enqueue(session, JOB_KIND, arguments=arguments, key_id=principal_of(request).key_id, job_id=job_id)
    for piece, content in enumerate(upload.pieces()):
        await jobs.add_upload_piece(session, job_id, piece=piece, content=content)
    return accepted(job_id, {"job_id": job_id, "records": upload.options.records, "bytes": upload.size})
