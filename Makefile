# Two commands are enough: `make demo` and `make test`. Both install what they need, once.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
# Tests that run beside each other.
WORKERS ?= 2
STAMP  := $(VENV)/.installed-by-make

# Idle OpenMP threads that spin make a busy small machine several times slower.
export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: install demo test test-plugins check format docs bench clean

install: $(STAMP)

$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $(STAMP)

demo: install
	$(BIN)/cdm-inspect demo

# Modules run beside each other, each test with one thread; what trains by the clock runs alone.
test: install
	$(BIN)/python -m pytest -m alone
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not alone" \
		-n $(WORKERS) --dist loadfile --no-loadscope-reorder
	$(MAKE) test-plugins

# Each plugin as its users have it: from a wheel, beside the host and not inside its environment.
test-plugins: install
	rm -rf build/wheels build/plugins
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps \
		--no-build-isolation \
		--wheel-dir build/wheels plugins/*/
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-index \
		--target build/plugins build/wheels/*.whl
	set -e; for plugin in plugins/*/; do \
		PYTHONPATH=$(CURDIR)/build/plugins HF_HUB_OFFLINE=1 \
			$(BIN)/python -m pytest -c $$plugin/pyproject.toml $$plugin; \
	done

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell
	test ! -x $(BIN)/hadolint || $(BIN)/hadolint docker/Dockerfile

docs: install
	$(BIN)/python -m pytest tests/house -q

# All scorers on the demo's line; for real parts give the script other folders.
bench: install
	test -d demo-line/data/A || $(BIN)/cdm-inspect demo
	$(BIN)/python benchmarks/real_parts.py --data demo-line/data/A --preset tiny --budget 3m

clean:
	rm -rf $(VENV) demo-line build
