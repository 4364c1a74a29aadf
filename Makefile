# Everything that a checkout can do. Needs python3 (3.11 or newer), python3-venv and make.

PYTHON ?= python3
VENV ?= .venv
FOR ?=
RATE ?= 50
BENCH ?=
FAULTS ?=

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
NO_INDEX := echo "pip could not install; without PyPI, name a mirror with PIP_INDEX_URL"; exit 1
RUN_STAMP := $(VENV)/.installed
TEST_STAMP := $(VENV)/.installed-test

.DEFAULT_GOAL := help
.PHONY: help demo test bench faults reference clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(RUN_STAMP) ## Gateway and simulators at work, until Ctrl-C; FOR=20s RATE=50
	@$(BIN)/gateway demo --rate $(RATE) $(if $(FOR),--for $(FOR))

test: $(TEST_STAMP) ## Format, lint, types, layers and tests
	@echo "== ruff format"; $(BIN)/ruff format --check .
	@echo "== ruff check"; $(BIN)/ruff check .
	@echo "== mypy"; $(BIN)/mypy
	@echo "== lint-imports"; $(BIN)/lint-imports
	@echo "== pytest"; $(BIN)/python -m pytest --numprocesses auto --dist worksteal

bench: $(TEST_STAMP) ## Benchmarks; BENCH="arguments"
	@$(BIN)/python -m benchmarks $(BENCH)

faults: $(TEST_STAMP) ## Faults at length: crashes, full disks, dead providers; FAULTS="--only kill"
	@$(BIN)/python -m tests.faults $(FAULTS)

reference: $(RUN_STAMP) ## Refresh the tables of settings and provider kinds
	@$(BIN)/python -m gateway.cli.reference

clean: ## Remove the virtual environment and what tools left behind
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; name one with PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
		|| { echo "The venv module is missing: apt-get install python3-venv"; exit 1; }
	@echo "== creating $(VENV)"
	@$(PYTHON) -m venv $(VENV)

$(RUN_STAMP): pyproject.toml | $(BIN)/python
	@echo "== installing gateway into $(VENV), about a minute"
	@$(PIP) install --editable . || { $(NO_INDEX); }
	@touch $@

$(TEST_STAMP): pyproject.toml | $(BIN)/python
	@echo "== installing gateway and its test tools into $(VENV), a few minutes"
	@$(PIP) install --editable '.[test,dev]' || { $(NO_INDEX); }
	@touch $(RUN_STAMP) $@
