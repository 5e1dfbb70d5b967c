"""The documents stay true: every setting, error code, scope and make target is where readers look for it."""

import json
import re
from pathlib import Path

from app import errors
from app.config import PREFIX, Settings
from app.ml.request import PARAMS
from app.web.keys import SCOPES

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
SEGMENTS = (ROOT / "docs" / "segments.md").read_text()


def test_every_setting_is_documented() -> None:
    documented = set(re.findall(rf"`({PREFIX}[A-Z_]+)`", (ROOT / "docs" / "settings.md").read_text()))
    settings = {PREFIX + name.upper() for name in Settings.model_fields}
    assert settings <= documented
    assert {name for name in documented if not name.startswith("TESSERA_TEST_")} <= settings


def codes(kind: type[errors.TesseraError]) -> set[str]:
    return {kind.code}.union(*(codes(child) for child in kind.__subclasses__()))


def test_every_error_code_is_documented() -> None:
    documented = set(re.findall(r"^\| `([a-z_]+)`", (ROOT / "docs" / "errors.md").read_text(), re.MULTILINE))
    assert codes(errors.TesseraError) - {"error"} <= documented


def test_every_scope_is_documented() -> None:
    text = (ROOT / "docs" / "deployment.md").read_text() + README
    assert [scope for scope in SCOPES if f"`{scope}`" not in text] == []


def test_every_parameter_of_a_method_is_documented_with_its_default() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \| `([^`]+)` \| [^|]+", SEGMENTS, re.MULTILINE)
    found = [method for method in PARAMS if method != "decision_tree"]
    documented = {
        (method, name, default)
        for name, methods, default in rows
        for method in (found if methods == "found" else re.findall(r"`(\w+)`", methods))
    }
    assert documented == {
        (method, name, json.dumps(param.default)) for method, params in PARAMS.items() for name, param in params.items()
    }


def test_every_warning_about_a_segmentation_is_documented() -> None:
    fit = "".join(module.read_text() for module in sorted((ROOT / "app" / "ml").glob("*.py")))
    advice = (ROOT / "app" / "modelling" / "segments" / "judgement" / "advice.py").read_text()
    codes = {*re.findall(r'"code": "(\w+)"', fit), *re.findall(r'_warning\("(\w+)"', advice)}
    assert {"no_eligible_k", "indistinct_segments"} < codes
    assert [code for code in sorted(codes) if f"`{code}`" not in SEGMENTS] == []


def test_the_readme_names_only_targets_that_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z-]+)", README))
    assert named
    assert named <= targets


def test_every_decision_says_how_it_is_enforced_on_one_page() -> None:
    decisions = sorted((ROOT / "docs" / "adr").glob("[0-9]*.md"))
    assert len(decisions) >= 8
    for decision in decisions:
        text = decision.read_text()
        assert len(text.splitlines()) <= 60, decision.name
        for section in ("## Context", "## Decision", "## Consequences", "## Alternatives", "## How it is enforced"):
            assert section in text, f"{decision.name} lacks {section}"


def test_lock_files_pin_hashes_and_carry_no_address() -> None:
    for name in ("requirements.lock", "requirements-dev.lock", "requirements-oracles.lock"):
        text = (ROOT / name).read_text()
        assert "--hash=sha256:" in text
        assert "://" not in text
