# One command for each thing one does here. All of them make the virtual environment first, where it is missing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
SECONDS ?= 120
ENGINE ?= hypothesis

.PHONY: help demo test test-all fuzz check format clean

help:  ## Show this list.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

$(INSTALLED): pyproject.toml constraints.txt
	@echo 'setting up $(VENV) (a few minutes)'
	@$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(INSTALLED)  ## Set up, then run the whole job on the embedded demo corpus.
	$(BIN)/mmdata demo
	@echo '      mmdata is in $(BIN); for this shell to find it: . $(BIN)/activate'

test: $(INSTALLED)  ## Set up, then run the fast tests.
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m 'not slow'

test-all: $(INSTALLED)  ## Set up, then run all tests, those that take minutes included.
	$(BIN)/python -m pytest -n 2 --dist loadgroup

fuzz: $(INSTALLED)  ## Fuzz every reader of hostile input for SECONDS=120 in all; ENGINE=atheris follows the coverage.
	$(BIN)/python -m tests.fuzz --seconds $(SECONDS) --engine $(ENGINE)

check: $(INSTALLED)  ## Run the linter, the formatter's check and the type checker.
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy mmdata cli

format: $(INSTALLED)  ## Format the code and mend what the linter can mend.
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean:  ## Remove the virtual environment and what tools left.
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage fuzz-findings
