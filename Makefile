# make install   a .venv with all that is needed to run
# make demo      the whole loop on this machine, pictures in demo-output/
# make test      lint, types and tests (under 20 minutes; what CI runs)
# make test-full everything, long
# make fuzz      bombs, spoiled sessions and data sets against a running node (SESSIONS, DATASETS, SEED)
#
# Without an NVIDIA card choose the CPU build of torch, which is much smaller:
#   make install TORCH_INDEX=https://download.pytorch.org/whl/cpu

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TORCH_INDEX ?=
PIP_TORCH := $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))
# What takes long is named at the end, so that the whole stays within its 20 minutes.
PYTEST := $(BIN)/python -m pytest --durations=40 --durations-min=3
# Three processes, a file to each, in order: what starts first (acceptance) mostly waits, while the others compute.
PARALLEL ?= -n 3 --dist loadfile --no-loadscope-reorder

SESSIONS ?= 100000
DATASETS ?= 20000
SEED ?= 1

.PHONY: install demo test test-full fuzz lint tools clean

install: $(VENV)/.installed
$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "dicomnode needs Python 3.11 or newer; name it with make PYTHON=python3.12"; exit 1; }
	@echo "Installing into $(VENV); torch is large, this takes a few minutes."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt $(PIP_TORCH) --editable .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt $(PIP_TORCH) --editable ".[dev]"
	touch $@

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
	$(PYTEST) $(PARALLEL)

fuzz: $(VENV)/.installed-dev
	$(BIN)/python -m tests.integration.attack.fuzz --sessions $(SESSIONS) --datasets $(DATASETS) --seed $(SEED)

clean:
	rm -rf $(VENV) build dist *.egg-info demo-output artifacts .mypy_cache .ruff_cache .pytest_cache
