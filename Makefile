# The whole life of ChronoFlux from a fresh machine: Python 3.11 or newer and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
READY := $(VENV)/.ready

.PHONY: help setup demo lab app test test-slow test-lowest test-all dist lint typing format docs links gallery lock \
  pictures frames clean browser namespaces network

help:
	@echo "make demo       run the whole thing once: a server, two nodes, a notebook, a reading of the logs"
	@echo "make lab        open notebook 01 in JupyterLab"
	@echo "make app        notebook 02 as a page for visitors (HOST=0.0.0.0 PORT=8866 for other machines)"
	@echo "make test       all quick tests (make test-slow: the rest)"
	@echo "make test-lowest  the quick tests with the lowest versions of all dependencies that are allowed"
	@echo "make test-all   make test-lowest, and the quick tests with each Python from 3.11 on that is found"
	@echo "make dist       build wheel and sdist into dist/, and check what is in them"
	@echo "make lint       ruff, mypy, import-linter"
	@echo "make typing     what the documentation shows, and every public name, for mypy and pyright"
	@echo "make format     put the code into shape"
	@echo "make docs       build the documentation into docs/_build/html (make links: check its external links)"
	@echo "make gallery    execute the notebooks whose code has changed, and keep their outputs for the documentation"
	@echo "make pictures   make the pictures of README and documentation anew, from real runs"
	@echo "make frames     measure the live view's frames and memory in a real browser"
	@echo "make lock       resolve the dependencies anew into requirements.txt"
	@echo "make clean      remove the set-up (.venv) and caches; logs stay"

setup: $(READY)

$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "ChronoFlux needs Python 3.11 or newer; name one: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 2; }
	@echo "setting up $(VENV) (once; two or three minutes)"
	@$(PYTHON) -m venv $(VENV) || { echo "python's venv is missing; Debian: apt install python3-venv"; exit 2; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@# once, not in every process that a test or the demo starts
	@$(BIN)/python -m compileall -q chronoflux
	@$(BIN)/python -m chronoflux.kernels
	@touch $@

demo: setup
	@$(BIN)/python -m chronoflux.demo

lab: setup
	@$(BIN)/jupyter lab $$([ "$$(id -u)" = 0 ] && echo --allow-root) \
	  --LabApp.default_url=/lab/tree/notebooks/01_join_a_room.ipynb

# A page without code, with a node for each visitor. HOST=0.0.0.0 opens it to the network, TOKEN=… locks it.
app: HOST ?= 127.0.0.1
app: PORT ?= 8866
app: setup
	@CHRONOFLUX_APP_TOKEN='$(TOKEN)' $(BIN)/python -m chronoflux app --host $(HOST) --port $(PORT)

# Chromium and Firefox for the browser tests: Debian's, when they are missing and may be installed.
browser:
	@{ command -v chromium chromium-browser google-chrome >/dev/null && \
	   command -v firefox-esr firefox >/dev/null; } || \
	  { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
	    apt-get update -qq && apt-get install -y -qq chromium firefox-esr >/dev/null; } || \
	  echo "no Chromium or no Firefox here: its tests will be skipped"

# What tests break networks with: namespaces, which need root; and for `make test-slow` a TURN server, and the
# proxies of the documentation's recipes.
namespaces:
	@command -v ip >/dev/null && command -v sysctl >/dev/null || \
	  { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
	    apt-get update -qq && apt-get install -y -qq iproute2 procps >/dev/null; } || \
	  echo "no ip here: the tests of networks will be skipped"

network: namespaces
	@command -v turnserver >/dev/null && command -v caddy >/dev/null && command -v nginx >/dev/null || \
	  { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
	    apt-get update -qq && apt-get install -y -qq coturn caddy nginx >/dev/null; } || \
	  echo "no turnserver, caddy or nginx here: the tests of TURN and of proxies will be skipped"

test: setup browser namespaces
	@$(BIN)/python -m pytest -m "not slow" -n 3 --dist worksteal

test-slow: setup browser network
	@$(BIN)/python -m pytest -m slow

# Wheels only: what has none for this Python is no lowest version that one can install. Old versions warn of newer
# ones below them, so warnings are no errors here.
LOWEST := .cache/lowest
test-lowest: setup browser namespaces
	@$(PYTHON) -m venv .cache/lock && .cache/lock/bin/python -m pip install --quiet uv
	@printf 'hatchling\neditables\n' | .cache/lock/bin/uv pip compile --quiet --resolution lowest-direct \
	  --only-binary :all: --python $(PYTHON) --extra test --no-emit-index-url --no-annotate --no-header \
	  --output-file $(LOWEST).txt pyproject.toml -
	@.cache/lock/bin/uv venv --quiet --clear --python $(PYTHON) $(LOWEST)
	@.cache/lock/bin/uv pip install --quiet --python $(LOWEST)/bin/python -r $(LOWEST).txt
	@.cache/lock/bin/uv pip install --quiet --python $(LOWEST)/bin/python --no-deps --no-build-isolation -e .
	@NUMBA_CACHE_DIR=$(CURDIR)/$(LOWEST)-kernels $(LOWEST)/bin/python -m chronoflux.kernels
	@NUMBA_CACHE_DIR=$(CURDIR)/$(LOWEST)-kernels $(LOWEST)/bin/python -m pytest -m "not slow" -n 3 --dist worksteal \
	  -o filterwarnings=default --deselect tests/typing

# Each Python has its own set-up and compiled kernels, so that none disturbs another's.
test-all: test-lowest
	@for version in 3.11 3.12 3.13 3.14; do \
	  python=; for one in python$$version $${PYENV_ROOT:-$$HOME/.pyenv}/versions/$$version.*/bin/python3; do \
	    $$one -c "" 2>/dev/null && python=$$one; done; \
	  [ -n "$$python" ] || { echo "== no Python $$version here"; continue; }; \
	  echo "== Python $$version"; \
	  $(MAKE) --no-print-directory test PYTHON=$$python VENV=.cache/venv-$$version || exit 1; \
	done

dist: setup
	@rm -rf dist
	@$(BIN)/python -m hatchling build -d dist
	@$(BIN)/python -m twine check --strict dist/*
	@$(BIN)/python -m tests.distributions dist

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

typing: setup
	@$(BIN)/python -m pytest -n 0 tests/typing

format: setup
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

# Warnings are errors; nothing is executed and nothing fetched. A link within the documentation that leads
# nowhere is a warning of Sphinx's.
docs: setup
	@$(BIN)/sphinx-build -W --keep-going -q -j auto -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

links: setup
	@$(BIN)/sphinx-build -q -b linkcheck docs docs/_build/links

gallery: setup
	@$(BIN)/python docs/_ext/gallery.py

pictures: setup browser
	@$(BIN)/python docs/_ext/pictures.py
	@$(BIN)/python -m tests.pictures

frames: setup browser
	@$(BIN)/python -m tests.frame_rates
	@$(BIN)/python -m tests.frame_rates --space --frames 0

# What was tested, with hashes, for every platform, and without a word on where it was fetched.
lock:
	@$(PYTHON) -m venv .cache/lock && .cache/lock/bin/python -m pip install --quiet uv
	@printf 'hatchling\neditables\n' | .cache/lock/bin/uv pip compile --quiet --upgrade --universal \
	  --python-version 3.11 --extra lab --extra test --extra docs --generate-hashes --no-emit-index-url \
	  --no-annotate --no-header --output-file requirements.txt pyproject.toml -

clean:
	rm -rf $(VENV) docs/_build docs/_generated docs/reference/api docs/gallery/notebooks .cache .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
