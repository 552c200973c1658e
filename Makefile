# Two commands are enough: `make demo` and `make test`. Both install what they need, once.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
# Tests that run beside each other: one more than the two cores of a small machine, as pages and
# databases are waited for.
WORKERS ?= 3
STAMP  := $(VENV)/.installed-by-make
NODE   := apps/node_modules/.installed-by-make

# Idle OpenMP threads that spin make a busy small machine several times slower.
export OMP_WAIT_POLICY ?= PASSIVE
# Files of tests lie in memory where there is room: no power cut is waited for at each commit.
ROOMY := $(shell test "$$(df --output=avail /dev/shm 2>/dev/null | tail -1)" -gt 4000000 \
	2>/dev/null && echo /dev/shm)
export PYTEST_DEBUG_TEMPROOT ?= $(ROOMY)
# Node comes with the environment, from a wheel.
NPM := PATH="$(CURDIR)/$(BIN):$$PATH" npm --prefix apps --silent --no-fund --no-audit

.PHONY: install demo test test-all test-python test-js test-plugins check imports format docs bench clean

install: $(STAMP)

$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $(STAMP)

$(NODE): $(STAMP) apps/package-lock.json
	$(NPM) ci
	touch $(NODE)

demo: install
	$(BIN)/cdm-inspect demo

# Everything that guards a promise, in less than half an hour on two cores.
test: MARKS = not long
test: test-js test-python test-plugins

# Everything, as before a release.
test-all: MARKS = long or not long
test-all: test-js test-python test-plugins

# Modules run beside each other, each test with one thread.
test-python: install
	$(BIN)/python tests/needs.py
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "$(MARKS)" \
		-n $(WORKERS) --dist loadfile --no-loadscope-reorder

test-js: $(NODE)
	$(NPM) test

# Each plugin as its users have it: from a wheel, beside the host and not inside its environment.
test-plugins: install
	rm -rf build/wheels build/plugins
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps \
		--no-build-isolation \
		--wheel-dir build/wheels plugins/*/
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-index \
		--target build/plugins build/wheels/*.whl
	printf '%s\n' plugins/*/ | OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 \
		PYTHONPATH=$(CURDIR)/build/plugins \
		xargs -P $(WORKERS) -I {} $(BIN)/python -m pytest -c {}pyproject.toml {}

check: install $(NODE)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(MAKE) --no-print-directory imports
	$(BIN)/codespell
	$(NPM) run check
	test ! -x $(BIN)/hadolint || $(BIN)/hadolint docker/Dockerfile

imports: install
	PYTHONPATH=$$(printf '%s:' plugins/*/) $(BIN)/lint-imports

docs: install
	$(BIN)/python -m pytest tests/house -q

# All scorers on the demo's line; for real parts give the script other folders.
bench: install
	test -d demo-line/data/A || $(BIN)/cdm-inspect demo
	$(BIN)/python benchmarks/real_parts.py --data demo-line/data/A --preset tiny --budget 3m

clean:
	rm -rf $(VENV) demo-line build apps/node_modules
