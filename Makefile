# Every target sets up what it needs: a Python 3.11 or newer is enough. `make PYTHON=…` says which one.

export PYTHON UPGRADE

READY := .venv/.ready
BIN := .venv/bin

.PHONY: help demo test check soak bench lock clean always

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile

demo: export COLLECTOR_HOME ?= $(CURDIR)/.collector
demo: $(READY)  ## the whole collector on this machine, with marketplaces to collect from
	@$(BIN)/collector demo $(ARGS)

test: check  ## what `make check` does, and every test; ARGS='-k name' chooses
	@$(BIN)/python -m pytest -n 2 $(ARGS)

check: $(READY)  ## style, types and import contracts
	@echo 'Checking style, types and import contracts'
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

soak: $(READY)  ## the storm of tests/chaos with a thousand blows, about half an hour; ARGS=--seed=2 is another one
	@$(BIN)/python -m pytest tests/chaos --blows 1000 $(ARGS)

bench: $(READY)  ## every benchmark, about forty minutes; ARGS='write_path --json new.json' chooses
	@$(BIN)/python -m pip --quiet --disable-pip-version-check install --require-hashes --only-binary :all: -r requirements/bench.txt
	@$(BIN)/python -m benchmarks $(ARGS)

lock:  ## write requirements/*.txt anew; UPGRADE=--upgrade takes the newest versions
	@sh requirements/lock.sh

clean:  ## remove .venv, the caches and the demo's servers with their data
	@if [ -x $(BIN)/python ] && [ -e .collector ]; then \
	    $(BIN)/python -c 'import pathlib, worker.embedded as e; e.remove(pathlib.Path(".collector"))'; fi
	@rm -rf .venv .collector build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A virtual environment knows its own path: one that was moved, or whose Python is gone, is made again.
ifneq "$(shell $(BIN)/python -c pass 2>/dev/null && cat $(READY) 2>/dev/null)" "$(CURDIR)"
$(READY): always
endif

$(READY): requirements/dev.txt requirements/install.sh pyproject.toml
	@sh requirements/install.sh
	@pwd -P >$@
