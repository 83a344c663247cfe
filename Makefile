# Everything a fresh machine needs: `make test`, `make demo`. Each target installs what it uses into .venv.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: install test test-all check docs demo demo-train clean

install: .venv/installed

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[test]'
	touch $@

test: install
	$(BIN)/python -m pytest -n 2 -m "not slow"

test-all: install
	$(BIN)/python -m pytest -n 2

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

docs: .venv/documented
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

.venv/documented: .venv/installed
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[docs]'
	touch $@

demo: install
	$(BIN)/jaxdiff demo

demo-train: install
	$(BIN)/jaxdiff demo-train

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .ruff_cache
