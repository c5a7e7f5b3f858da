# make install   a .venv with all that is needed to run
# make demo      the whole loop on this machine, pictures in demo-output/
# make test      lint, types and tests (what CI runs; the tests take less than 20 minutes on two cores)
# make test-full everything, long
# make dist      wheel and sdist; make sbom (CycloneDX), make licences: what is in an environment; make audit: known holes
# make bench     how fast it is on this machine, in about half an hour (docs/performance.md)
# make docs      the documentation as a site in artifacts/site
# make fuzz      bombs, spoiled sessions, data sets and HL7 messages against a running node (SESSIONS, DATASETS, MESSAGES, SEED)
#
# torch comes for the CPU unless an NVIDIA card answers (nvidia-smi):
#   make install GPU=1                 with CUDA all the same (about 6 GB on disk)
#   make install GPU=0                 for the CPU all the same (about 1.3 GB on disk, all in all)
#   make install TORCH_INDEX=URL       from another index

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
GPU ?= auto
TORCH_INDEX ?=
PIP_INSTALL := $(BIN)/python -m pip install --quiet --constraint constraints.txt
# What takes long is named at the end, so that the whole stays within its 20 minutes.
PYTEST := $(BIN)/python -m pytest --durations=40 --durations-min=3
# Four processes for two cores, a file to each, in the order of tests/conftest.py: some wait while the others compute.
PARALLEL ?= -n 4 --dist loadfile --no-loadscope-reorder

SESSIONS ?= 100000
DATASETS ?= 20000
MESSAGES ?= 10000
SEED ?= 1

# Whose packages are listed: another environment is named with ENVIRONMENT=/opt/dicomnode/bin/python
ENVIRONMENT ?= $(BIN)/python

.PHONY: bench sbom licences audit docs dist install demo test test-full fuzz lint tools clean FORCE

install: $(VENV)/.installed
# Another torch than the one that is there: asked for by name, it is installed anew.
ifneq ($(filter install,$(MAKECMDGOALS)),)
ifneq ($(filter-out auto,$(GPU))$(TORCH_INDEX),)
$(VENV)/.installed: FORCE
REPLACE := $(BIN)/python -m pip uninstall --quiet --yes torch;
endif
endif

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "dicomnode needs Python 3.11 or newer; name it with make PYTHON=python3.12"; exit 1; }
	@echo "Installing into $(VENV); torch is large, this takes a few minutes."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	@index=$$($(BIN)/python deploy/torch_index.py '$(GPU)' '$(TORCH_INDEX)') || exit; set -x; $(REPLACE) $(PIP_INSTALL) $$index torch
	$(PIP_INSTALL) --editable .
	@touch $@
	@echo "$(VENV) takes $$(du -sh $(VENV) | cut -f1) on disk. What next: $(BIN)/dicomnode --help"

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP_INSTALL) --editable ".[dev]"
	@touch $@

demo: install
	$(BIN)/dicomnode demo --out demo-output

tools:
	tests/tools/debian_tools.sh

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: $(VENV)/.installed-dev tools lint
	$(PYTEST) $(PARALLEL) -m "not full"

test-full: $(VENV)/.installed-dev tools lint
	tests/tools/debian_tools.sh viewer
	tests/tools/debian_tools.sh image
	$(PYTEST) $(PARALLEL)

fuzz: $(VENV)/.installed-dev
	$(BIN)/python -m tests.integration.attack.fuzz --sessions $(SESSIONS) --datasets $(DATASETS) --messages $(MESSAGES) --seed $(SEED)

# What a release is made of: wheel and sdist, the bill of materials, the licences.
dist: $(VENV)/.installed-dev
	$(BIN)/python -m build --outdir dist

sbom: $(VENV)/.installed-dev
	@mkdir -p dist
	$(BIN)/cyclonedx-py environment $(ENVIRONMENT) --pyproject pyproject.toml --mc-type application --output-reproducible \
	  --of JSON --output-file dist/sbom.cdx.json

licences: $(VENV)/.installed-dev
	@mkdir -p dist
	$(BIN)/pip-licenses --python $(ENVIRONMENT) --format markdown --with-urls --output-file dist/licences.md

# Asks a vulnerability database on the network; strict: a package that cannot be looked up is no clean one.
audit: $(VENV)/.installed-dev
	$(BIN)/pip-audit --strict --disable-pip --no-deps --requirement constraints.txt

bench: $(VENV)/.installed-dev tools
	$(BIN)/python -m benchmarks.goals

docs: $(VENV)/.installed-dev
	$(BIN)/mkdocs build --strict --site-dir artifacts/site

clean:
	rm -rf $(VENV) build dist *.egg-info demo-output artifacts .mypy_cache .ruff_cache .pytest_cache
