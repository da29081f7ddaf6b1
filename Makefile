# `make run` and `make test` are all a newcomer needs; both make the environment first. The rest is for developers.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
SNAKEMAKE := $(BIN)/snakemake

.PHONY: install doctor run smoke test test-fast dry-run check faults bench docs docs-serve lock schema clean help

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(VENV)/ready ## only the environment, in .venv

doctor: $(VENV)/ready ## can a run start here, and how long would each target take
	@$(BIN)/python -m phasemill doctor

run: $(VENV)/ready ## simulate, train, evaluate and report at scale laptop
	@$(BIN)/python workflow/unlock.py
	$(SNAKEMAKE) --profile profiles/local all --config scale=laptop
	@echo "Report: $(CURDIR)/results/laptop/index.html"

smoke: $(VENV)/ready ## the whole pipeline in less than six minutes, numbers without meaning
	@$(BIN)/python workflow/unlock.py
	$(SNAKEMAKE) --profile profiles/local all --config scale=smoke
	@echo "Report: $(CURDIR)/results/smoke/index.html"

test: $(VENV)/ready ## every test (Slurm and browser tests only where those are installed)
	$(BIN)/python -m pytest

test-fast: $(VENV)/ready ## under two minutes: units, configuration, dry runs
	$(BIN)/python -m pytest -m "not physics and not workflow and not faults and not slurm and not browser and not performance"

faults: $(VENV)/ready ## at least 50 kills, in every stage of the four wings (a quarter of an hour)
	PHASEMILL_FAULTS=56 $(BIN)/python -m pytest -s --timeout 7200 tests/faults/test_kills.py

bench: $(VENV)/ready ## speed as ratios against peers (installs py-pde, exponax and DeepXDE) -> results/performance.json
	$(BIN)/python -m pip install --quiet --constraint requirements.lock --editable '.[peers]'
	$(BIN)/python -m pytest -m performance -s tests/performance
	$(BIN)/python -m phasemill performance results/performance.json --output results/performance.html

docs: $(VENV)/ready ## the manual, in site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

docs-serve: $(VENV)/ready ## the manual while you write it, on port 8000
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve

check: $(VENV)/ready ## formats, lints, types
	$(BIN)/ruff format --check src tests workflow docs
	$(BIN)/ruff check src tests workflow docs
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile workflow
	$(SNAKEMAKE) --lint

dry-run: $(VENV)-dry/ready ## the DAG alone, without torch, numba or xarray
	$(VENV)-dry/bin/snakemake -n -c1 all --config scale=smoke
	$(VENV)-dry/bin/snakemake -n -c1 all --config scale=paper
	$(VENV)-dry/bin/snakemake -n --profile slurm all

$(VENV)/ready: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14) and "phasemill needs Python 3.11 to 3.13; name one with: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	@touch $@

$(VENV)-dry/ready: requirements.lock
	$(PYTHON) -m venv $(VENV)-dry
	$(VENV)-dry/bin/python -m pip install --quiet --constraint requirements.lock snakemake snakemake-executor-plugin-slurm pydantic
	@touch $@

lock: $(VENV)/ready ## remake requirements.lock from pyproject.toml
	$(BIN)/python workflow/lock.py

schema: $(VENV)/ready ## remake config/schema.json from the model
	$(BIN)/python -m phasemill schema > config/schema.json

clean: ## remove the environments; data and results stay
	rm -rf $(VENV) $(VENV)-dry
