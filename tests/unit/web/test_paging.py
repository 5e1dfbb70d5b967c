"""Signed cursors."""

import pytest

from app.errors import BadCursor
from app.web.paging import make_cursor, page, read_cursor

SECRET = b"s" * 32


def test_a_cursor_comes_back_as_it_was_made() -> None:
    cursor = make_cursor(SECRET, "keys", ["2026-01-01", "a b/ü"])
    assert read_cursor(SECRET, "keys", cursor) == ["2026-01-01", "a b/ü"]


@pytest.mark.parametrize("cursor", ["", "x", "AAAA", "é", "=" * 10, "not a cursor at all", "a" * 4_000])
def test_text_that_is_no_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(BadCursor):
        read_cursor(SECRET, "keys", cursor)


def test_a_cursor_of_another_list_or_another_secret_is_refused() -> None:
    cursor = make_cursor(SECRET, "keys", [1])
    with pytest.raises(BadCursor):
        read_cursor(SECRET, "jobs", cursor)
    with pytest.raises(BadCursor):
        read_cursor(b"t" * 32, "keys", cursor)


def test_the_last_page_has_no_cursor() -> None:
    rows = [{"n": n} for n in range(3)]
    assert page(rows, limit=3, secret=SECRET, listing="x", key=("n",))["next_cursor"] is None
    first = page(rows, limit=2, secret=SECRET, listing="x", key=("n",))
    assert first["data"] == [{"n": 0}, {"n": 1}]
    assert read_cursor(SECRET, "x", first["next_cursor"]) == [1]
