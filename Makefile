# Every target sets up its own .venv from constraints.txt when there is none; a second run is at once.
#   make PYTHON=python3.12 test          another interpreter
#   make PIP_ARGS='--index-url URL' demo   more arguments for pip install

PYTHON ?= python3
PIP_ARGS ?=
WORKERS ?= 2
BIN := .venv/bin
INSTALL = $(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt $(PIP_ARGS)

export OMP_NUM_THREADS ?= 1

.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help demo test lint types bench bench-mnist1d docs soak needs clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-13s  %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: .venv/installed ## tune a convolutional network on real images, from nothing to a confirmed model and a report
	$(BIN)/python examples/digits_cnn.py

test: lint types needs ## lint, types, then every test but the soak tests (what CI runs)
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

lint: .venv/installed ## ruff
	$(BIN)/ruff check $(wildcard src tests benchmarks examples)

types: .venv/installed ## mypy --strict on src
	$(BIN)/mypy

docs: .venv/installed ## run the blocks and check the links of README.md and docs/
	$(BIN)/python -m pytest tests/test_docs.py

bench: .venv/benched ## tunebook's engine and search beside their peers, a short version (docs/benchmarks.md has the full one)
	$(BIN)/python benchmarks/engine.py
	$(BIN)/python benchmarks/search.py --suite own --only network_1,branches_1 --seeds 1 --trials 25 \
	  --methods tunebook:auto,tunebook:gp,tunebook:tpe,random,optuna:tpe,optuna:gp,hyperopt,nevergrad,smac,ax,hebo

bench-mnist1d: .venv/installed ## tune four families on mnist1d beside the accuracies that its paper reports
	$(BIN)/python benchmarks/mnist1d_bench.py

soak: .venv/installed needs ## the long tests
	$(BIN)/python -m pytest -m soak --timeout 3600

clean: ## remove caches and built packages (keeps .venv, .venvs and every tunebook-runs)
	rm -rf build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . \( -path ./.venv -o -path ./.venvs \) -prune -o -name __pycache__ -type d -print | xargs rm -rf

needs:
	@scripts/test-needs.sh

.venv/created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "tunebook needs Python 3.11 or newer; $(PYTHON) is older. Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv .venv
	@touch $@

.venv/installed: .venv/created pyproject.toml constraints.txt
	@echo "installing tunebook and its tools into .venv (once, a few minutes)"
	@$(INSTALL) pip
	@$(INSTALL) --build-constraint constraints.txt --group dev -e '.[torch,xgboost,postgres,keras,lightning,huggingface]'
	@touch $@

.venv/benched: .venv/installed $(wildcard benchmarks/peers/*.txt)
	@$(INSTALL) --group bench
	@PIP_ARGS='$(PIP_ARGS)' scripts/peers.sh
	@touch $@
