# dockmagic: demo and test are what a newcomer needs; check and bench are for those who change it.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
.PHONY: demo test check bench notebooks docs format clean

$(VENV)/.demo: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -e . nbclient
	touch $@

$(VENV)/.all: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -e '.[test,check,fast]'
	touch $@

demo: $(VENV)/.demo            ## an executed notebook on the embedded engine, offline
	$(BIN)/python scripts/demo

test: $(VENV)/.all             ## everything; parts that need root, dockerd or a registry skip without
	$(BIN)/python scripts/test

check: $(VENV)/.all            ## ruff, mypy, import-linter, the documentation's links
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/mkdocs build --quiet --strict

bench: $(VENV)/.all            ## ratios against dockerd and others, in one run
	$(BIN)/python -m bench

notebooks: $(VENV)/.all        ## run every notebook on the embedded engine
	$(BIN)/python scripts/test notebooks

docs: $(VENV)/.all             ## the documentation as pages, in site/
	$(BIN)/mkdocs build --quiet --strict
	@echo "site/index.html"

format: $(VENV)/.all
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache dist site
