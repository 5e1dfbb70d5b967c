"""What a process remembers of the rows it stored a moment ago."""

from collections.abc import Sequence

from app.records.intake.recent import REMEMBER_AT_MOST, RecentFacts

SHELF = ("transactions", "crm")


def contents(rows: Sequence[tuple[str, int]]) -> object:
    return lambda positions: [(rows[position][1],) for position in positions]


def remember(facts: RecentFacts, epoch: int, rows: Sequence[tuple[str, int]]) -> None:
    facts.at(epoch).remember(SHELF, [name for name, _ in rows], contents(rows))  # type: ignore[arg-type]


def known(facts: RecentFacts, epoch: int, rows: Sequence[tuple[str, int]]) -> set[int]:
    return facts.at(epoch).known(SHELF, [name for name, _ in rows], contents(rows))  # type: ignore[arg-type]


def test_rows_of_several_batches_are_known_by_identifier_and_content() -> None:
    facts = RecentFacts()
    with facts.writing(), facts.writing():
        remember(facts, 1, [("a", 1), ("b", 2)])
        remember(facts, 1, [("c", 3)])
    assert known(facts, 1, [("c", 3), ("x", 9), ("b", 2), ("a", 7)]) == {0, 2}


def test_a_lone_writer_is_remembered_for_nobody() -> None:
    facts = RecentFacts()
    remember(facts, 1, [("a", 1)])
    assert known(facts, 1, [("a", 1)]) == set()


def test_another_epoch_knows_nothing_of_the_last_and_an_old_one_adds_nothing() -> None:
    facts = RecentFacts()
    with facts.writing(), facts.writing():
        remember(facts, 1, [("a", 1)])
        assert known(facts, 2, [("a", 1)]) == set()
        remember(facts, 2, [("b", 2)])
        remember(facts, 1, [("c", 3)])
    assert known(facts, 2, [("a", 1), ("b", 2), ("c", 3)]) == {1}


def test_the_memory_starts_anew_when_it_is_full() -> None:
    facts = RecentFacts()
    with facts.writing(), facts.writing():
        remember(facts, 1, [(f"n-{number}", number) for number in range(REMEMBER_AT_MOST + 1)])
        remember(facts, 1, [("a", 1)])
    assert known(facts, 1, [("n-0", 0), ("a", 1)]) == {1}
