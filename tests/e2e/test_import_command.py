"""`tessera import` as a person or a script runs it."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from app.cli import main
from app.jobs.worker import conninfo
from tests.support.imports import csv_of

ROOT = Path(__file__).resolve().parents[2]
FLAT = "transaction_id,customer_id,occurred_at,amount"
WHEN = "2026-10-01 10:00:00"
GOOD = csv_of(FLAT, f"T-1,C-1,{WHEN},10.00", f"T-2,,{WHEN},-5.00")


Outcome = subprocess.CompletedProcess[str]


class Command:
    """Runs `tessera import` in a folder, on a database of the test's own."""

    def __init__(self, folder: Path, database_url: str) -> None:
        self.folder, self.database_url = folder, database_url
        url = make_url(database_url).set(drivername="postgresql").render_as_string(hide_password=False)
        self.settings = {"TESSERA_DATABASE_URL": url, "TESSERA_SECRET": "s" * 40}

    def __call__(self, *arguments: str, stdin: str = "") -> Outcome:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("TESSERA_")}
        return subprocess.run(
            [sys.executable, "-m", "app.cli", "import", *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            cwd=self.folder,
            env={**inherited, "PYTHONPATH": str(ROOT), **self.settings},
            timeout=90,
            check=False,
        )

    def count(self, table: str) -> int:
        with psycopg.connect(conninfo(self.database_url)) as connection:
            found = connection.execute(f"select count(*) from {table}").fetchone()
        return int(found[0]) if found else 0


@pytest.fixture
def command(tmp_path: Path, database_url: str) -> Command:
    return Command(tmp_path, database_url)


@pytest.fixture
def called(
    command: Command, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., Outcome]:
    """The same command by its entry point in this process, which saves the 2 s of reading every module."""

    def call(*arguments: str, stdin: str = "") -> Outcome:
        for name in [name for name in os.environ if name.startswith("TESSERA_")]:
            monkeypatch.delenv(name)
        for name, value in command.settings.items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(command.folder)
        monkeypatch.setattr(sys, "argv", ["tessera", "import", *arguments])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        with pytest.raises(SystemExit) as ended:
            main()
        return Outcome(arguments, int(ended.value.code or 0), *capfd.readouterr())

    return call


def test_a_good_file_is_stored_and_summed_up_in_a_line(command: Command) -> None:
    (command.folder / "orders.csv").write_text(GOOD)
    done = command("transactions", "orders.csv", "--currency", "EUR")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("transactions: 2 created, 0 updated, 0 duplicates, 0 rejected (2 rows in ")
    assert [path.name for path in command.folder.iterdir()] == ["orders.csv"]
    assert (command.count("transactions"), command.count("audit_log")) == (2, 1)


def test_rejected_rows_are_written_beside_the_file_until_none_are_left(command: Command) -> None:
    (command.folder / "orders.csv").write_text(GOOD + f"T-3,C-1,{WHEN},ten\nT-4\n")
    done = command("transactions", "orders.csv", "--currency", "EUR")
    assert done.returncode == 3
    assert "the rejected rows and the reasons are in orders.csv.rejected.ndjson" in done.stderr
    written = command.folder / "orders.csv.rejected.ndjson"
    rejected = sorted(map(json.loads, written.read_text().splitlines()), key=lambda row: row["index"])
    assert [(row["index"], row["code"], row["row"]["transaction_id"]) for row in rejected] == [
        (2, "invalid_amount", "T-3"),
        (3, "wrong_column_count", "T-4"),
    ]
    (command.folder / "orders.csv").write_text(GOOD)
    assert command("transactions", "orders.csv", "--currency", "EUR").returncode == 0
    assert not written.exists()


def test_standard_input_is_read_whatever_format_it_has(command: Command) -> None:
    ndjson = json.dumps({"transaction_id": "T-3", "customer_id": "C-1", "occurred_at": WHEN, "amount": 1})
    for content in (GOOD, ndjson):
        done = command("transactions", "-", "--currency", "EUR", stdin=content)
        assert done.returncode == 0, done.stderr
    assert command.count("transactions") == 3


def test_a_dry_run_stores_nothing_and_says_so(command: Command, called: Callable[..., Outcome]) -> None:
    done = called("transactions", "-", "--currency", "EUR", "--dry-run", stdin=GOOD)
    assert done.stdout.startswith("dry run, nothing is stored: transactions: 2 created")
    assert (command.count("transactions"), command.count("customers"), command.count("audit_log")) == (0, 0, 0)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("transactions", "missing.csv"), "there is no file missing.csv"),
        (("transactions", "."), ". is not a file"),
        (("orders", "-"), "'orders' is not one of"),
        (("transactions", "-"), "no column is 'currency'"),
        (("transactions", "-", "--map", "amount=Total"), "no column 'Total'; the file has 'transaction_id',"),
        (("transactions", "-", "--map", "total=amount"), "no field 'total'; there are transaction_id,"),
        (("transactions", "-", "--map", "amount"), "'amount' is not of the form field=Column"),
        (("transactions", "-", "--currency", "euro"), "'euro' is not an ISO 4217 currency code"),
        (("transactions", "-", "--timezone", "Berlin"), "'Berlin' is not an IANA time zone"),
    ],
)
def test_wrong_usage_ends_with_2_and_says_what_is_right(
    called: Callable[..., Outcome], arguments: tuple[str, ...], problem: str
) -> None:
    done = called(*arguments, stdin=GOOD)
    assert done.returncode == 2
    assert problem in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("content", "problem"), [("", "the file is empty"), ("PK\x03\x04", "a zip or Excel file")])
def test_a_file_that_cannot_be_read_ends_with_1_and_the_reason(
    called: Callable[..., Outcome], content: str, problem: str
) -> None:
    done = called("transactions", "-", "--currency", "EUR", stdin=content)
    assert (done.returncode, done.stdout) == (1, "")
    assert problem in done.stderr
    assert "Traceback" not in done.stderr
