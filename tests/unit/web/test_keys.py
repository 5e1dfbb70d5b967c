"""API keys as text."""

from hypothesis import given
from hypothesis import strategies as st

from app.web.keys import fingerprint, hint, is_mistyped, new_key


def test_a_new_key_is_recognised_and_unlike_the_last() -> None:
    key = new_key()
    assert key.startswith("tsr_")
    assert not is_mistyped(key)
    assert key != new_key()


@given(st.integers(4, 49), st.sampled_from("0aZ"))
def test_a_changed_character_is_found_by_the_checksum(position: int, put: str) -> None:
    key = new_key()
    changed = key[:position] + put + key[position + 1 :]
    assert is_mistyped(changed) == (changed != key)


def test_keys_of_other_forms_are_left_to_the_database() -> None:
    assert not is_mistyped("an-admin-key-from-the-settings-of-32+")


def test_the_hint_does_not_give_the_key_away() -> None:
    key = new_key()
    assert hint(key) == key[:8] + "…"
    assert key.encode() not in fingerprint(key)
