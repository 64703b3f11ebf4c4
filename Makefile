# `make demo` and `make test` are all there is to know; CONTRIBUTING.md explains the rest.
PYTHON ?= /usr/bin/python3
VENV := .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo test test-quick check fmt laws memory clean

help:
	@sed -n 's/^## //p' Makefile

## make demo        compare two releases of a package from PyPI, write the difference, prove it
demo: $(VENV)/installed
	@docs/demo.sh $(BIN)

## make test        everything that CI runs; as root with the tests that need root
test: packages-test $(VENV)/installed-test
	$(BIN)/pytest

## make test-quick  without the Debian and PyPI trees, a minute shorter
test-quick: $(VENV)/installed-test
	$(BIN)/pytest -m "not real"

## make laws        5,000 examples for each law and style
laws: packages-test $(VENV)/installed-test
	DIFFER_LAWS=deep $(BIN)/pytest tests/test_laws.py

## make memory      peak memory against the number of files
memory: $(VENV)/installed
	$(BIN)/python bench/memory.py

## make fmt check   format; lint, types, layers, spelling
fmt: $(VENV)/installed-test
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

check: $(VENV)/installed-test
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell

## make clean       remove what make has made
clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache

.PHONY: packages packages-test
packages:
	@docs/install-packages.sh python3 python3-venv ca-certificates

packages-test: packages
	@docs/install-packages.sh acl attr debootstrap e2fsprogs rsync tar umoci util-linux

$(VENV)/installed: setup.cfg pyproject.toml | packages
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -e .
	touch $@

$(VENV)/installed-test: $(VENV)/installed
	$(BIN)/pip install -q -e '.[test,check]'
	touch $@
