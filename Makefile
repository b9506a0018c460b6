# SPDX-License-Identifier: Apache-2.0
PYTHON ?= python3
EXTRAS ?= dev
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready-$(EXTRAS)
LOCK := requirements/dev.txt
# pip writes nothing of where it looks for packages, and asks for no newer pip.
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
# Of all builds of the fuzzer together.
FUZZ_SECONDS ?= 60

.PHONY: help demo labs test test-all quick fuzz check format site setup packages lock sbom bench fit benchmarks clean

help: ## Show the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: setup ## Adapt the smartwatch example to one person, natively and on an emulated Cortex-M4
	@mkdir -p build/reports
	@$(BIN)/mcutrain demo --report build/reports/demo.html

labs: setup ## Execute the four labs in full, with their solutions
	@$(BIN)/python labs/execute.py

test: setup ## Run the test suite
	@$(BIN)/python -m pytest -n 2 -m "not exhaustive"

test-all: setup ## Run the test suite, and the largest cases that it leaves out
	@$(BIN)/python -m pytest -n 2

quick: setup ## Run the quick part of it, in under a minute
	@$(BIN)/python -m pytest -n 2 --quick

fuzz: setup ## Fuzz the device's session for a minute, or FUZZ_SECONDS=N
	@PYTHON=$(PYTHON) EXTRAS=$(EXTRAS),fuzz tools/packages.sh
	@$(BIN)/python -m tests.fuzz --seconds $(FUZZ_SECONDS)

check: setup ## Lint, formatting and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@git ls-files '*.c' '*.h' ':!tests/golden' | xargs $(BIN)/clang-format --dry-run -Werror
	@for system in linux darwin win32; do $(BIN)/mypy --platform $$system --cache-dir .mypy_cache/$$system || exit 1; done

format: setup ## Format the Python and the C
	@$(BIN)/ruff format .
	@git ls-files '*.c' '*.h' ':!tests/golden' | xargs $(BIN)/clang-format -i

site: setup ## Build the documentation into build/site, without network
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build

bench: setup ## Count instructions of models on each core, beside other engines (minutes)
	@$(BIN)/python -m benchmarks.instructions

fit: setup ## Fit what predicts instructions to counts on each core (minutes)
	@$(BIN)/python -m benchmarks.instructions.fit

benchmarks: ## Measure accuracy against float training; writes docs/accuracy.md (hours)
	@$(MAKE) --no-print-directory setup EXTRAS=dev,benchmarks
	@$(BIN)/python -m benchmarks
	@$(BIN)/python -m benchmarks.search --jobs 2

setup: packages $(READY) ## Create .venv and install everything
	@$(BIN)/python -m mcutrain.host.building.pio build/pio-core
	@case "$(EXTRAS)" in *dev*) tools/emulators.sh build/node ;; esac

packages:
	@PYTHON=$(PYTHON) EXTRAS=$(EXTRAS) tools/packages.sh

# What is locked first, each file by its hash, and then the package itself, which brings nothing.
# The benchmarks' extra is not locked: torch has a build for each kind of computer.
$(READY): pyproject.toml $(LOCK)
	@$(PYTHON) -c 'import sys; sys.exit("error: Python 3.10 or later is needed" if sys.version_info < (3, 10) else 0)'
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install --require-hashes -r $(LOCK)
	@$(PIP) install --no-deps --no-build-isolation -e .
	@case "$(EXTRAS)" in *benchmarks*) $(PIP) install --no-build-isolation -e '.[$(EXTRAS)]' ;; esac
	@touch $@

lock: setup ## Resolve requirements/dev.txt anew, for every Python that is supported
	@tools/lock.sh $(BIN)/uv $(LOCK)

sbom: setup ## List what is installed, as CycloneDX: build/sbom.json
	@mkdir -p build
	@$(BIN)/python tools/sbom.py build/sbom.json

clean: ## Remove what was built
	@rm -rf build .venv
