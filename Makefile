# Every target sets up what it needs first. Nothing has to be activated, and nothing outside this folder is changed.

UV_VERSION := 0.13.9
# The first Python on the path that is new enough; PYTHON=/path/to/python3.12 chooses another.
SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))
PYTHON ?= $(shell for name in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$name" -c '$(SUPPORTED)' 2>/dev/null && { command -v "$$name"; break; }; done)
UV := $(shell command -v uv 2>/dev/null || echo .tools/bin/uv)
FETCHED_UV := $(filter .tools/bin/uv,$(UV))
# From elsewhere: uv would count the constraints in pyproject.toml, which are for compiling, as lacking hashes.
INSTALL := "$(UV)" --directory / pip install --quiet --python "$(CURDIR)/.venv/bin/python"
RUN := .venv/bin/python -m
# Where the machine forbids the cache of compiled modules, every start of the service would take seconds longer.
export PYTHONDONTWRITEBYTECODE :=
export UV_PYTHON_DOWNLOADS := never

.DEFAULT_GOAL := help
.PHONY: help setup demo serve test lint check bench lock

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

setup: .venv/tools-installed ## Make .venv with the locked dependencies and the tessera command
	@echo "the command is .venv/bin/tessera; make demo shows what it does"

demo: .venv/installed ## From nothing to a running service with a simulated shop in it (ARGS="--port 8001")
	.venv/bin/tessera demo $(ARGS)

serve: .venv/installed ## Run the service with its own embedded database (ARGS="--port 8001")
	.venv/bin/tessera serve $(ARGS)

test: .venv/oracles-installed ## Run all tests (ARGS="-k rfm")
	$(RUN) pytest -n auto --maxprocesses=4 --dist loadfile --no-loadscope-reorder $(ARGS)

lint: .venv/tools-installed ## Format, lint, types and floors: what CI runs first
	$(RUN) ruff format --check .
	$(RUN) ruff check .
	$(RUN) mypy
	.venv/bin/lint-imports

check: lint ## Format, lint, types, floors and the fast tests: before every commit
	$(RUN) pytest -n auto --maxprocesses=4 --dist loadfile tests/unit tests/contracts app/stats app/ml app/money

bench: .venv/oracles-installed ## Measure, and print ratios against peers in the same run (ARGS="ingest")
	$(RUN) bench $(ARGS)

lock: $(FETCHED_UV) ## Compile the lock files anew from pyproject.toml
	$(COMPILE) pyproject.toml -o requirements.lock
	$(COMPILE) --group dev -c requirements.lock -o requirements-dev.lock
	$(COMPILE) --group oracles -c requirements.lock -c requirements-dev.lock -o requirements-oracles.lock

COMPILE := "$(UV)" pip compile --quiet --generate-hashes --no-header --no-emit-index-url --universal --python-version 3.11

# What the service needs; then what its tests need; then what its tests compare with. Each stamp is made anew
# when a lock file changed, and a second call finds nothing to do.
.venv/installed: pyproject.toml requirements.lock | $(FETCHED_UV)
	@$(REQUIRE_PYTHON)
	@echo "installing Tessera into .venv"
	@test -x .venv/bin/python || "$(UV)" venv --quiet --python "$(PYTHON)" .venv
	@$(INSTALL) --require-hashes -r "$(CURDIR)/requirements.lock"
	@$(INSTALL) --no-deps --editable "$(CURDIR)"
	@touch $@

.venv/tools-installed: .venv/installed requirements-dev.lock
	@echo "installing the tools of its developers"
	@$(INSTALL) --require-hashes -r "$(CURDIR)/requirements-dev.lock"
	@touch $@

.venv/oracles-installed: .venv/tools-installed requirements-oracles.lock
	@echo "installing what its figures are compared with"
	@$(INSTALL) --require-hashes -r "$(CURDIR)/requirements-oracles.lock"
	@touch $@

# Only where the machine has no uv. Into a folder of ours: Debian's pip rightly refuses to touch the system's.
.tools/bin/uv:
	@$(REQUIRE_PYTHON)
	@echo "fetching uv $(UV_VERSION) into .tools"
	@"$(PYTHON)" -m pip install --quiet --disable-pip-version-check --root-user-action ignore --upgrade --target .tools "uv==$(UV_VERSION)"

define REQUIRE_PYTHON
if [ -z "$(PYTHON)" ]; then \
	echo "error: Tessera needs Python 3.11 to 3.14 and finds none on the path, only $$(python3 --version 2>&1)" >&2; \
	echo "  install one, or name it: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; \
	exit 2; \
fi
endef
