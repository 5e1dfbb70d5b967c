"""Bytes of files that nobody vouches for: which format they are, whether they are whole, whether they are text."""

import codecs
import gzip
import io
import zlib
from pathlib import Path
from typing import IO, Literal, cast

from app.errors import TooLarge, Unreadable

Format = Literal["csv", "ndjson", "parquet"]

GZIP, PARQUET = b"\x1f\x8b", b"PAR1"
# What people send instead of what they meant to send.
OTHERS = ((b"PK\x03\x04", "a zip or Excel file"), (b"\xd0\xcf\x11\xe0", "an old Excel file"), (b"%PDF", "a PDF"))
WIDE_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
EXTENSIONS: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".parquet": "parquet",
    ".pq": "parquet",
}
HEAD_BYTES = 64
# A row is read whole; far longer than any real one, and still nothing that could hurt.
LONGEST_LINE = 4 * 1024 * 1024
# An upload may unpack to this much: a file of lines is held in memory as columns.
LARGEST_INFLATED = 16 * 1024**3


def format_of(path: Path, name: str) -> Format:
    """The format of a file by its name, or by how it begins when the name says nothing."""
    suffixes = [suffix.lower() for suffix in Path(name).suffixes if suffix.lower() != ".gz"]
    if suffixes and suffixes[-1] in EXTENSIONS:
        return EXTENSIONS[suffixes[-1]]
    head = head_of(path).removeprefix(codecs.BOM_UTF8).lstrip()
    if head.startswith(PARQUET):
        return "parquet"
    return "ndjson" if head.startswith(b"{") else "csv"


def head_of(path: Path) -> bytes:
    """How the file begins, unpacked. Raises Unreadable when it is empty or damaged at once."""
    with unpacked(path) as file:
        head = _read(file, HEAD_BYTES, done=0)
    if not head:
        raise Unreadable("the file is empty")
    return head


def require_format(path: Path, claimed: Format) -> None:
    """Raise Unreadable when the first bytes show that the file is something else."""
    head = head_of(path)
    if head.startswith(WIDE_MARKS):
        raise Unreadable("the file is UTF-16; convert it, for example with: iconv -f UTF-16 -t UTF-8")
    for magic, name in OTHERS:
        if head.startswith(magic):
            raise Unreadable(f"the file is not {_named(claimed)} but {name}")
    if head.startswith(PARQUET) != (claimed == "parquet"):
        detail = "but Parquet" if claimed != "parquet" else "although it was sent as such"
        raise Unreadable(f"the file is not {_named(claimed)} {detail}")
    begins = head.removeprefix(codecs.BOM_UTF8).lstrip()[:1]
    if claimed == "ndjson" and begins == b"[":
        raise Unreadable("the file is one JSON array; NDJSON has one object on each line and nothing around them")
    if claimed == "ndjson" and begins != b"{":
        raise Unreadable("the file is not NDJSON: its first line does not begin with {")
    if claimed == "csv" and begins == b"{":
        raise Unreadable("the file is not CSV but looks like NDJSON")


def _named(format_: Format) -> str:
    return {"csv": "CSV", "ndjson": "NDJSON", "parquet": "Parquet"}[format_]


def unpacked(path: Path) -> IO[bytes]:
    """The file's bytes, inflated when they are gzip, whatever it is called."""
    file = path.open("rb")
    if file.peek(2)[:2] != GZIP:
        return file
    file.close()
    return cast(IO[bytes], gzip.open(path))


def _read(file: IO[bytes], size: int, *, done: int) -> bytes:
    try:
        return file.read(size)
    except EOFError:
        raise Unreadable(f"the gzip file ends too early, {done} unpacked bytes in: it was cut off") from None
    except (zlib.error, gzip.BadGzipFile) as error:
        raise Unreadable(f"the gzip file is damaged, about {done} unpacked bytes in: {error}") from None


class TextBytes(io.RawIOBase):
    """The bytes of a text file, checked as they pass: UTF-8, no endless line, no bomb; it counts its lines."""

    def __init__(self, path: Path, *, limit: int | None = None) -> None:
        super().__init__()
        self._file, self._limit = unpacked(path), limit
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self.bytes_read = self.lines = self._since_newline = 0
        self.ends_in_newline = True

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = _read(self._file, size, done=self.bytes_read)
        self._look_at(data)
        return data

    def readinto(self, room: memoryview) -> int:  # type: ignore[override]  # the standard library passes nothing else
        data = self.read(len(room))
        room[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()

    def _look_at(self, data: bytes) -> None:
        try:
            self._decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:
            raise self._not_text(data, error) from None
        self.bytes_read += len(data)
        if self._limit is not None and self.bytes_read > self._limit:
            raise TooLarge(f"the file unpacks to more than {self._limit} bytes")
        last = data.rfind(b"\n") if b"\n" in data else data.rfind(b"\r")
        self._since_newline = len(data) - last - 1 if last >= 0 else self._since_newline + len(data)
        self.lines += data.count(b"\n")
        if data:
            self.ends_in_newline = data.endswith(b"\n")
        if self._since_newline > LONGEST_LINE:
            raise Unreadable(
                f"line {self.lines + 1} is longer than {LONGEST_LINE} bytes: these are not rows of a table"
            )

    def _not_text(self, data: bytes, error: UnicodeDecodeError) -> Unreadable:
        pending = len(error.object) - len(data)
        place = error.start - pending
        line = self.lines + data.count(b"\n", 0, max(place, 0)) + 1
        byte = error.object[error.start]
        where = f"line {line}, byte {self.bytes_read + place + 1} of the file: 0x{byte:02X} is not UTF-8"
        if b"\x00" in data[:HEAD_BYTES]:
            return Unreadable(f"the file is not text ({where})")
        return Unreadable(
            f"{where}. If the file is Latin-1 or Windows-1252, convert it: iconv -f WINDOWS-1252 -t UTF-8"
        )


def count_lines(path: Path, *, limit: int | None) -> int:
    """Lines of a text file, after looking at every byte of it. Raises Unreadable, TooLarge."""
    with TextBytes(path, limit=limit) as text:
        while text.read(LONGEST_LINE):
            pass
        return text.lines + (not text.ends_in_newline)
