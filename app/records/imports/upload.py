"""Taking in a file of any size over HTTP: bounded, and without a database connection held while it trickles in."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import IO, Annotated

import anyio
from fastapi import Depends, Path, Query, Request
from starlette.requests import ClientDisconnect

from app.errors import FieldError, InvalidInput, TooLarge, Unreadable, UnsupportedMedia
from app.records.imports.options import Options, checked, pairs
from app.records.imports.schemas import Records
from app.records.intake.envelope import DEFAULT_SOURCE

LARGEST_UPLOAD = 2 * 1024**3
PIECE_BYTES = 1024**2
# Up to here a file never touches the disk.
IN_MEMORY_BYTES = 1024**2
# A client that sends nothing for so long has gone.
PATIENCE_SECONDS = 60.0
GZIP = b"\x1f\x8b"
MEDIA_TYPES = {
    "text/csv": "csv",
    "application/x-ndjson": "ndjson",
    "application/vnd.apache.parquet": "parquet",
}

# Together they fit into the address of a request.
MapText = Annotated[str, Query(max_length=200)]


@dataclass(frozen=True, slots=True)
class Upload:
    """A received file and what its sender says of it."""

    file: IO[bytes]
    size: int
    format: str
    options: Options

    def pieces(self) -> Iterator[bytes]:
        self.file.seek(0)
        while piece := self.file.read(PIECE_BYTES):
            yield piece


def options_of(
    records: Annotated[Records, Path(description="What a row of the file is.")],
    columns: Annotated[
        list[MapText] | None,
        Query(
            alias="map",
            max_length=100,
            description="`field:Column` for each column that is not named like its field; repeat for several.",
            examples=[["customer_id:CustomerID", "occurred_at:InvoiceDate"]],
        ),
    ] = None,
    source: Annotated[
        str, Query(min_length=1, max_length=100, description="The system whose identifiers these are.")
    ] = DEFAULT_SOURCE,
    currency: Annotated[
        str | None, Query(max_length=3, description="Currency of rows that name none.", examples=["GBP"])
    ] = None,
    timezone: Annotated[str, Query(max_length=64, description="Zone of times without an offset (IANA name).")] = "UTC",
    dry_run: Annotated[bool, Query(description="Check everything and store nothing.")] = False,  # noqa: FBT002  a query parameter has a name
) -> Options:
    """What the sender says of a file. Raises InvalidInput."""
    return checked(Options(records, pairs(columns or [], separator=":"), source, currency, timezone, dry_run))


async def received(request: Request, options: Annotated[Options, Depends(options_of)]) -> AsyncIterator[Upload]:
    """The whole body in a temporary file. Raises UnsupportedMedia, TooLarge, Unreadable or InvalidInput."""
    format_ = _format(request)
    with tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES) as file:
        size = await _store(request, file)
        if not size:
            detail = "The body is empty; send the file in it"
            raise InvalidInput(detail, errors=[FieldError("", "empty_body", detail)])
        file.seek(0)
        if request.headers.get("content-encoding", "").strip().lower() == "gzip" and file.read(2) != GZIP:
            raise Unreadable("The body says gzip and is not")
        yield Upload(file, size, format_, options)


def _format(request: Request) -> str:
    media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if media_type not in MEDIA_TYPES:
        raise UnsupportedMedia(f"Send {', '.join(MEDIA_TYPES)}, not {media_type or 'a body without a content type'}")
    encoding = request.headers.get("content-encoding", "").strip().lower()
    if encoding not in ("", "identity", "gzip"):
        raise UnsupportedMedia(f"Content-Encoding {encoding!r} is not read here; gzip is")
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > LARGEST_UPLOAD:
        raise _too_large()
    return MEDIA_TYPES[media_type]


async def _store(request: Request, file: IO[bytes]) -> int:
    size, held = 0, bytearray()
    stream = request.stream()
    try:
        while True:
            with anyio.fail_after(PATIENCE_SECONDS):
                chunk = await anext(stream, None)
            if chunk is None:
                break
            held += chunk
            size += len(chunk)
            if size > LARGEST_UPLOAD:
                raise _too_large()
            if len(held) >= PIECE_BYTES:
                await anyio.to_thread.run_sync(file.write, bytes(held))
                held.clear()
    except TimeoutError:
        raise Unreadable(f"Nothing came for {PATIENCE_SECONDS:g} seconds; the upload was given up") from None
    except ClientDisconnect:
        raise Unreadable("The connection ended before the file did") from None
    file.write(held)
    return size


def _too_large() -> TooLarge:
    return TooLarge(f"A file has at most {LARGEST_UPLOAD} bytes; split it, or use `tessera import`")
