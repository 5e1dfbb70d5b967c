"""What the demo remembers of a home survives, is private, and is never half written."""

import os
import stat
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from app.cli.demo import notes as notebook
from app.cli.demo.filling import begun, noted
from app.cli.demo.guide import best_segment
from app.cli.demo.notes import Notes
from app.cli.failures import CommandFailed, WrongUsage
from app.web.keys import is_mistyped

NOTES = Notes(key="tsr_x", seed=7, customers=4_000, start=date(2024, 11, 1), end=date(2026, 11, 1))


def test_notes_are_read_as_they_were_written(tmp_path: Path) -> None:
    full = NOTES.full({"customers": 4_000})
    notebook.write(tmp_path, NOTES)
    notebook.write(tmp_path, full)
    assert notebook.read(tmp_path) == full
    assert os.listdir(tmp_path) == ["demo.json"]


def test_only_the_owner_may_read_the_key(tmp_path: Path) -> None:
    notebook.write(tmp_path, NOTES)
    assert stat.S_IMODE((tmp_path / "demo.json").stat().st_mode) == 0o600
    assert "tsr_x" not in repr(NOTES)


def test_a_home_without_a_demo_has_no_notes(tmp_path: Path) -> None:
    assert notebook.read(tmp_path) is None
    assert notebook.read(tmp_path / "nowhere") is None


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"start": "2024-13-01", "end": "2026-01-01"}'])
def test_damaged_notes_are_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "demo.json").write_text(text)
    with pytest.raises(CommandFailed, match=r"demo\.json cannot be read"):
        notebook.read(tmp_path)


def test_the_same_demo_goes_on_and_another_is_refused(tmp_path: Path) -> None:
    notebook.write(tmp_path, NOTES)
    assert noted(tmp_path, seed=None, customers=None) == NOTES
    assert noted(tmp_path, seed=7, customers=4_000) == NOTES
    with pytest.raises(WrongUsage, match="--seed 7, not 8"):
        noted(tmp_path, seed=8, customers=None)
    with pytest.raises(WrongUsage, match="--customers 4000, not 500"):
        noted(tmp_path, seed=None, customers=500)


def test_a_new_demo_has_two_years_and_a_key_of_ours() -> None:
    new = begun(seed=None, customers=None)
    assert (new.seed, new.customers, (new.end - new.start).days) == (7, 4_000, 730)
    assert not is_mistyped(new.key)
    assert new.key != begun(seed=None, customers=None).key


def test_a_demo_whose_database_is_gone_is_no_longer_full() -> None:
    assert NOTES.full({"customers": 1}).emptied() == replace(NOTES, rows={}, is_full=False)


def test_the_champions_are_shown_or_else_whoever_is_most() -> None:
    champions, loyal, lost = ({"key": key, "size": size} for key, size in (("champions", 3), ("loyal", 9), ("lost", 5)))
    assert best_segment({"segments": [loyal, champions, lost]}) is champions
    assert best_segment({"segments": [lost, loyal, champions | {"size": 0}]}) is loyal
