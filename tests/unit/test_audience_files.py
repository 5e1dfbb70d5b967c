"""Lines of audience files: the quick way and the careful one say the same."""

import csv
import io
import json
from datetime import UTC, datetime

import orjson
import pytest

from app.activation.audiences.exports import FileFormat, Group, writer

SINCE = datetime(2026, 10, 1, 12, 0, 0, 5, tzinfo=UTC)
ODD = ("=1+1", "a,b", 'q"q', "b\\s", "tab\tin", "ü", "line\nbreak", "-x", "\u2028")


def group(*names: str) -> list[Group]:
    return [("gift", SINCE, "\n".join(orjson.dumps(name).decode() for name in names))]


@pytest.mark.parametrize("odd", ODD)
def test_an_odd_customer_among_plain_ones_changes_only_their_own_line(odd: str) -> None:
    rows = group("plain", odd)
    found = [json.loads(line) for line in writer("ndjson")(rows).decode().split("\n")[:-1]]
    want = {"arm": "gift", "assigned_at": "2026-10-01T12:00:00.000005Z"}
    assert found == [{"customer_id": "plain", **want}, {"customer_id": odd, **want}]
    cells = list(csv.reader(io.StringIO(writer("csv")(rows).decode(), newline="")))
    assert cells[0] == ["plain", "gift", "2026-10-01T12:00:00.000005Z"]
    assert cells[1][0] == (f"'{odd}" if odd[0] in "=-" else odd)


@pytest.mark.parametrize("file_format", ["ndjson", "csv"])
def test_the_quick_way_writes_the_bytes_of_the_careful_one(file_format: FileFormat) -> None:
    write = writer(file_format)
    assert write(group("plain", "other", '"')).startswith(write(group("plain", "other")))
