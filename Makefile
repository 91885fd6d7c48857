# Everything runs in an environment of its own, .venv, which the targets make as needed.
PYTHON ?= python3
BIN := .venv/bin
RUN ?= runs/wikitext-smollm2-135m
FUZZ ?= 1000
# Whole files to each process, long ones first.
PARALLEL := -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

# Workers, and the many processes that tests start, share what Python compiled, also where the environment says otherwise.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help demo test thorough faults check calibration bench docs tour paper picture wheel clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  \1|/' | column -t -s '|'

demo: .venv/core ## install, then run the main job on the embedded model (4 to 8 minutes)
	$(BIN)/python -m ripplestats.run --dataset wikitext

test: .venv/dev ## install, then run all tests but the thorough ones
	$(BIN)/python -m pytest $(PARALLEL)

thorough: .venv/dev ## the tests of whole systems: 30 kills, a cluster in trouble, the tour
	$(BIN)/python -m pytest $(PARALLEL) -m thorough

faults: .venv/dev ## kill a run 30 times, and try 17,000 damaged or made-up inputs (FUZZ=1000 of each kind)
	OMP_NUM_THREADS=1 RIPPLESTATS_FUZZ=$(FUZZ) $(BIN)/python -m pytest -m "" tests/faults

check: .venv/dev ## lint, types, order of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

calibration: .venv/dev ## simulate the coverage of all intervals and the size of all tests; writes tests/calibration/results
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.calibration.full

bench: .venv/dev .venv-bench/peers ## time statistics and sweep beside their peers (25 minutes; QUICK=1: some of the sweep)
	$(if $(QUICK),,OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.statistics)
	.venv-bench/bin/python -m benchmarks.sweep $(if $(QUICK),--quick) $(SWEEP)

paper: .venv/core ## build paper/main.pdf from RUN=runs/... (needs latexmk and a LaTeX)
	test -f $(RUN)/estimates.csv || $(MAKE) demo
	$(BIN)/python analyses $(RUN)
	cd paper && max_print_line=1000 latexmk -pdf -interaction=nonstopmode -halt-on-error -quiet main.tex
	$(BIN)/python paper/check_log.py paper/main.log

picture: ## take the README's picture from RUN
	cp $(RUN)/figures/dose_response.png paper/figures/readme.png

tour: .venv/dev ## run the notebook analyses/tour.ipynb anew, and write its outputs into it
	$(BIN)/python -m docs.making.notebook

docs: .venv/dev ## build the documentation into build/site, warnings are errors
	NO_MKDOCS_2_WARNING=1 OMP_NUM_THREADS=1 $(BIN)/python -m mkdocs build --strict --quiet

wheel: .venv/dev ## build dist/*.whl
	$(BIN)/python -m build --wheel

clean: ## remove the environment and what was built; runs/ stays
	rm -rf .venv .venv-bench dist build paper/generated $(filter-out paper/main.tex,$(wildcard paper/main.*))

.venv/core: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "ripplestats needs Python 3.11 or newer, this is %d.%d; call make PYTHON=python3.12" % sys.version_info[:2])'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

.venv/dev: .venv/core
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,docs]'
	touch $@

.venv-bench/peers: .venv/core benchmarks/sweep/constraints.txt
	test -x .venv-bench/bin/python || $(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install --quiet --constraint constraints.txt --constraint benchmarks/sweep/constraints.txt \
	  --editable '.[bench]' || { echo "the sweep's peers do not install here; the table will say so" >&2; \
	  .venv-bench/bin/python -m pip install --quiet --constraint constraints.txt --editable .; }
	touch $@
