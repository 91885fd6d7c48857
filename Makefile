# Everything runs in an environment of its own, .venv, which the targets make as needed.
PYTHON ?= python3
BIN := .venv/bin
RUN ?= runs/wikitext-smollm2-135m

.DEFAULT_GOAL := help
.PHONY: help demo test check calibration bench paper wheel clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  \1|/' | column -t -s '|'

demo: .venv/core ## install, then run the main job on the embedded model (about 4 minutes)
	$(BIN)/python -m ripplestats.run --dataset wikitext

test: .venv/dev ## install, then run all tests
	$(BIN)/python -m pytest

check: .venv/dev ## lint, types, order of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

calibration: .venv/dev ## simulate the coverage of all intervals and the size of all tests; writes tests/calibration/results
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.calibration.full

bench: .venv/dev ## time the statistics beside R and statsmodels; writes benchmarks/results
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.statistics

paper: .venv/core ## build paper/main.pdf from RUN=runs/... (needs latexmk and a LaTeX)
	test -f $(RUN)/estimates.csv || $(MAKE) demo
	ln -sfn $(abspath $(RUN)) paper/run
	cd paper && latexmk -pdf -interaction=nonstopmode -halt-on-error -quiet main.tex

wheel: .venv/dev ## build dist/*.whl
	$(BIN)/python -m build --wheel

clean: ## remove the environment and what was built; runs/ stays
	rm -rf .venv dist build paper/run paper/main.pdf paper/main.aux paper/main.log paper/main.fls paper/main.fdb_latexmk

.venv/core: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "ripplestats needs Python 3.11 or newer, this is %d.%d; call make PYTHON=python3.12" % sys.version_info[:2])'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

.venv/dev: .venv/core
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@
