"""The documents stay true: every setting, error code, scope and make target is where readers look for it."""

import re
from pathlib import Path

from app import errors
from app.config import PREFIX, Settings
from app.web.keys import SCOPES

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


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
