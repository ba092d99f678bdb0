# Two commands do everything: `make run` and `make test`. The rest are their parts.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help setup run down test test-trust check lint unit lock bench format

help: ## Show this list
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: $(VENV)/.installed ## Install everything into .venv (gives .venv/bin/gongfang)

$(VENV)/.installed: requirements/dev.txt requirements/bootstrap.txt pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/dev.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

run: setup ## Start the platform, deploy the sample app, say where to look
	@$(BIN)/gongfang up --detach
	@$(BIN)/gongfang demo --quick

down: ## Stop the platform started by `make run`
	@$(BIN)/gongfang down

check: setup ## The fast part: ruff, pyright strict, import contracts; unit tests beside them
	@$(MAKE) --no-print-directory -j2 lint unit

lint: setup ## ruff, pyright strict, import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/pyright --warnings

unit: setup ## Unit tests alone
	@$(BIN)/python -m pytest tests/unit

test: check ## Everything that must pass
	@$(BIN)/python -m pytest tests/contract tests/api tests/e2e

test-trust: setup ## What takes long: kills, hostile apps, backup and restore, conformance of the whole
	@$(BIN)/python -m pytest tests/trust

format: setup ## Put the code into its one format
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

lock: setup ## Pin every dependency again, with hashes
	@$(BIN)/uv pip compile --quiet --generate-hashes --no-emit-index-url --no-header --universal --python-version 3.11 pyproject.toml --extra server --extra dev requirements/dev.in -o requirements/dev.txt
	@$(BIN)/uv pip compile --quiet --generate-hashes --no-emit-index-url --no-header --universal --python-version 3.11 requirements/bootstrap.in -o requirements/bootstrap.txt

bench: setup ## Run every benchmark and print its table
	@$(BIN)/python bench/run.py
