"""The house keeps its shape: sizes, names, floors, one place that commits."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
APP = ROOT / "app"
MODULES = sorted(APP.rglob("*.py"))
FORBIDDEN_NAMES = {"models", "utils", "helpers", "common", "core", "misc", "manager"}
MAX_FILE_LINES = 400
# Tables of declarations: one row each, nothing to read twice.
DECLARATIONS = {APP / "money" / "iso4217.py"}
MAX_DECLARATION_LINES = 600
MAX_FUNCTION_LINES = 50


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def walked(path: Path) -> tuple[ast.AST, ...]:
    """Every node of a module."""
    return tuple(ast.walk(parsed(path)))


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in walked(path) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def lines_without_docstring(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    whole = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    has_docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    return whole - ((first.end_lineno or first.lineno) - first.lineno + 1 if has_docstring else 0)


def test_there_is_something_to_check() -> None:
    assert len(MODULES) > 50


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_module_is_small_named_for_its_idea_and_says_why_it_exists(path: Path) -> None:
    limit = MAX_DECLARATION_LINES if path in DECLARATIONS else MAX_FILE_LINES
    assert len(path.read_text().splitlines()) <= limit
    assert path.stem not in FORBIDDEN_NAMES
    assert not FORBIDDEN_NAMES & set(path.relative_to(APP).parts)
    assert ast.get_docstring(parsed(path)), "a module opens with the reason it exists"
    long = [f"{f.name}: {lines_without_docstring(f)}" for f in functions(path)]
    assert [each for each in long if int(each.rsplit(" ", 1)[1]) > MAX_FUNCTION_LINES] == []


def nodes() -> Iterator[tuple[str, ast.AST]]:
    """Everything in app, with the module it stands in."""
    for path in MODULES:
        module = str(path.relative_to(APP))
        for node in walked(path):
            yield module, node


def is_call_of_method(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == name


def test_only_the_engine_ends_transactions() -> None:
    assert [module for module, node in nodes() if is_call_of_method(node, "commit")] == []
    begins = {
        module
        for module, node in nodes()
        if isinstance(node, ast.AsyncWith) and any(is_call_of_method(item.context_expr, "begin") for item in node.items)
    }
    assert begins == {"db/engine.py"}


def test_services_and_routers_hold_no_sql() -> None:
    holders = [
        module
        for module, node in nodes()
        if module.endswith(("service.py", "router.py"))
        and isinstance(node, ast.ImportFrom)
        and (node.module or "").split(".")[0] == "sqlalchemy"
        and {alias.name for alias in node.names} & {"select", "insert", "update", "delete", "text"}
    ]
    assert holders == []


def catches_everything(node: ast.AST) -> bool:
    if not isinstance(node, ast.ExceptHandler) or isinstance(node.body[-1], ast.Raise):
        return False
    return node.type is None or (isinstance(node.type, ast.Name) and node.type.id in ("Exception", "BaseException"))


def test_nobody_catches_everything_but_the_last_handlers() -> None:
    assert {module for module, node in nodes() if catches_everything(node)} <= LAST_HANDLERS


# The outermost layers: of a request, of a readiness check, of a job, of the loops that keep sums and memberships current, queue
# the work of the night and send messages, of a command, of a single check of the set-up, of the thread that fills the demo.
LAST_HANDLERS = {
    "web/edge.py",
    "web/health.py",
    "jobs/runtime.py",
    "measurement/rollups/folding.py",
    "modelling/predictions/nightly.py",
    "modelling/segments/current.py",
    "activation/webhooks/courier.py",
    "cli/__init__.py",
    "cli/check.py",
    "cli/demo/filling.py",
}


def test_the_floors_hold() -> None:
    lint_imports = Path(sys.executable).with_name("lint-imports")
    outcome = subprocess.run([lint_imports, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stdout[-3_000:]


def test_the_web_process_starts_without_the_heavy_libraries() -> None:
    # Loaded by training and imports: seconds and hundreds of megabytes.
    heavy = {"sklearn", "pyarrow", "pandas", "scipy.stats", "duckdb", "procrastinate.cli"}
    code = "import sys, app.main; print(*sys.modules)"
    outcome = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(outcome.stdout.split())
    assert "fastapi" in loaded
    assert heavy & loaded == set()
