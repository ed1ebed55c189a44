# Two commands do it all on a fresh machine: `make demo` (the main job) and `make test` (the whole suite).
# Needs Python >= 3.11; everything else comes from PyPI (and, for the browser test, from the system's packages).

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
JSON   ?=
export OMP_NUM_THREADS ?= 1

.PHONY: demo test test-fast test-random check bench bench-retrieve bench-http bench-retarget up compose-test clean help

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "MuDaR needs Python 3.11 or newer: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/.run: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --no-warn-script-location -e .
	@touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --no-warn-script-location -e '.[dev,train]'
	@touch $(VENV)/.run $@

demo: $(VENV)/.run ## embed, retrieve, retarget, end to end: make demo [DANCE=clip.mp4 MUSIC=song.ogg]
	@$(BIN)/python -m service.cli.demo $(if $(DANCE),--dance "$(DANCE)") $(if $(MUSIC),--music "$(MUSIC)")

test: $(VENV)/.dev ## set up and run the whole suite
	@tests/install-browser
	$(BIN)/python -m pytest -n 2 $(ARGS)

test-fast: $(VENV)/.dev ## the unit tests that are quick: under a minute
	$(BIN)/python -m pytest -n 2 -m "unit and not slow" $(ARGS)

test-random: $(VENV)/.dev ## the tests of drawn examples, with a new seed and many more examples
	HYPOTHESIS_PROFILE=random $(BIN)/python -m pytest -m hypothesis --hypothesis-seed=random $(ARGS)

check: $(VENV)/.dev ## style, types, import arrows, spelling
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell

bench: $(VENV)/.run ## the speeds, each beside its floor: make bench [JSON=1]
	@$(BIN)/python -m tests.bench $(if $(JSON),--json)

bench-retrieve: $(VENV)/.run ## search beside FAISS Flat: make bench-retrieve [JSON=1] [ARGS=--peers]
	@$(BIN)/python -m tests.bench.retrieve $(if $(JSON),--json) $(ARGS)

bench-http: $(VENV)/.run ## POST /retrieve over HTTP with 200k segments: make bench-http [JSON=1] [ARGS="--exact-rows 300000"]
	@$(BIN)/python -m tests.bench.http $(if $(JSON),--json) $(ARGS)

bench-retarget: $(VENV)/.run ## real dances on other songs: make bench-retarget CLIPS=dir MUSIC=dir [JSON=1]
	@$(BIN)/python -m tests.bench.retargeting $(if $(CLIPS),--clips "$(CLIPS)") $(if $(MUSIC),--music "$(MUSIC)") $(if $(JSON),--json)

up: $(VENV)/.run ## API, worker and broker on this machine, until Ctrl-C
	@$(BIN)/mudar up

compose-test: $(VENV)/.dev ## build and start docker-compose.yml, run the end-to-end test against it, take it down
	@docker/compose-test

clean: ## remove what was built
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
