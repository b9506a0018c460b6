# SPDX-License-Identifier: Apache-2.0
PYTHON ?= python3
EXTRAS ?= dev
BIN := .venv/bin
READY := .venv/.ready-$(EXTRAS)

.PHONY: help demo test check format setup packages benchmarks clean

help: ## Show the commands
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: setup ## Adapt the smartwatch example to one person, natively and on an emulated Cortex-M4
	@$(BIN)/mcutrain demo

test: setup ## Run the test suite
	@$(BIN)/pytest -n 2

check: setup ## Lint, formatting and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@git ls-files '*.c' '*.h' ':!tests/golden' | xargs $(BIN)/clang-format --dry-run -Werror
	@$(BIN)/mypy

format: setup ## Format the Python and the C
	@$(BIN)/ruff format .
	@git ls-files '*.c' '*.h' ':!tests/golden' | xargs $(BIN)/clang-format -i

benchmarks: ## Measure accuracy against float training; writes docs/accuracy.md (hours)
	@$(MAKE) --no-print-directory setup EXTRAS=dev,benchmarks
	@$(BIN)/python -m benchmarks
	@$(BIN)/python -m benchmarks.search --jobs 2

setup: packages $(READY) ## Create .venv and install everything
	@$(BIN)/python -m mcutrain.host.building.pio build/pio-core

packages:
	@PYTHON=$(PYTHON) EXTRAS=$(EXTRAS) tools/packages.sh

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("error: Python 3.10 or later is needed" if sys.version_info < (3, 10) else 0)'
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check -e '.[$(EXTRAS)]'
	@touch $@

clean: ## Remove what was built
	@rm -rf build .venv
