PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo test bench check format serve docs bundle venv clean

help: ## list the targets
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

demo: $(VENV)/.run ## compress the carried model through the service, show the result, leave the service running
	@$(BIN)/python examples/demo.py

serve: $(VENV)/.run ## start the embedded service
	@$(BIN)/fractune serve

test: $(VENV)/.test ## run the test suite
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile

bench: $(VENV)/.run ## measure what a few minutes can: drawing, the API under load, more workers
	$(BIN)/python benchmarks/fractals.py speed
	$(BIN)/python benchmarks/service_load.py
	$(BIN)/python benchmarks/scale_out.py

check: $(VENV)/.check ## format, lint, types, import contracts, container files, documentation
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint docker/Dockerfile
	$(BIN)/docker-compose config --quiet
	FRACTUNE_SECRETS=secrets $(BIN)/docker-compose --file docker-compose.yml --file docker/production.yml config --quiet
	FRACTUNE_SECRETS=secrets FRACTUNE_OIDC={} $(BIN)/docker-compose --file docker-compose.yml --file docker/production.yml \
	  --file docker/openid.yml config --quiet
	@$(MAKE) --no-print-directory docs

docs: $(VENV)/.check ## build the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

bundle: $(VENV)/.check ## everything a site without internet needs, in dist/
	@docker/bundle/make.sh

format: $(VENV)/.check ## format the code
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

venv: $(VENV)/.run $(VENV)/.test $(VENV)/.check ## everything a developer needs

clean: ## remove the virtual environment and caches
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "Fractune needs Python 3.11 or newer: make PYTHON=python3.12")'
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.run: pyproject.toml constraints.txt | $(BIN)/python
	@echo 'Installing into $(VENV); this takes a minute ...'
	@$(PIP) --editable '.[all]'
	@touch $@

$(VENV)/.test: $(VENV)/.run
	@$(PIP) --editable '.[all,postgres,finetune,torch,test,docs]'
	@touch $@

$(VENV)/.check: $(VENV)/.test
	@$(PIP) --editable '.[all,postgres,finetune,torch,test,docs,dev]'
	@touch $@
