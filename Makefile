# A Python from 3.10 to 3.13; name another with: make venv PYTHON=python3.12
PYTHON ?= python3

# Two tests at a time, those of a file in one process, in the order of the files: the long ones first
PYTEST = .venv/bin/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder --nbmake --nbmake-timeout=300
PAGE = tests/demo/test_page.py
LONG = $(addprefix tests/, training/test_trainer.py runs/test_experiment.py separation/test_separator.py training/test_distributed.py)
FAST = audio data models reporting separation
OTHERS = $(filter-out $(PAGE) $(LONG), $(sort $(wildcard tests/*/test_*.py)))

# Means of a finished `make reproduce`, and how far another one may be from them
EXPECTED = results/comparisons/reproduce/expected.csv

# The tests that hold with every version: scores, features, masks, splits, mixtures, saved models
NUMBERS = same_scores repeatable metrics bootstrap front_end clustering corpus store librispeech splits speech mixture mixtures evaluation_set pretrained sce lstm

# PyTorch and its metrics, and the tests that skip without them
TORCH = torch==2.13.0 torchmetrics==1.9.0
TORCH_TESTS = project/test_pytorch_page data/test_datasets evaluation/test_other_packages commands/test_train_with_torch

.DEFAULT_GOAL := help
.PHONY: help venv reproduce figures demo bench torture test test-fast test-slow test-browser test-torch test-oldest coverage lint docs notebooks clean distclean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' Makefile

venv: .venv/.installed  ## install the package and its tools into .venv; repeated only if the dependencies change

# Stamps are touched last: an interrupted installation has none, and begins anew.
.venv/.installed: setup.cfg pyproject.toml constraints.txt
	@command -v "$(PYTHON)" >/dev/null || { \
		echo "There is no '$(PYTHON)' here. Install Python 3.10 to 3.13, or name one: make venv PYTHON=python3.11"; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' || { \
		echo "'$(PYTHON)' is $$("$(PYTHON)" --version), and TensorFlow wants Python 3.10 to 3.13." \
			"Name another: make venv PYTHON=python3.11"; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "'$(PYTHON)' cannot make virtual environments. On Debian and Ubuntu: apt install python3-venv"; exit 1; }
	@echo "Installing TensorFlow and the rest into .venv (some minutes, 2.7 GB on disk)"
	@rm -f $@
	@"$(PYTHON)" -m venv --clear .venv
	@.venv/bin/python -m pip install -q -c constraints.txt -e ".[dev]"
	@touch $@

.venv/.notebooks: .venv/.installed
	@.venv/bin/python -m pip install -q -c constraints.txt -e ".[notebooks]"
	@touch $@

.venv/.demo: .venv/.installed
	@.venv/bin/python -m pip install -q -c constraints.txt -e ".[demo]"
	@touch $@

.venv/.torture: .venv/.demo
	@.venv/bin/python -m pip install -q -c constraints.txt -e ".[demo,torture]"
	@touch $@

.venv/.docs: .venv/.installed
	@.venv/bin/python -m pip install -q -c constraints.txt -e ".[docs]"
	@touch $@

.venv/.browser: .venv/.demo
	@.venv/bin/python -m pip install -q -c constraints.txt -e ".[demo,browser]"
	@touch $@

.venv-oldest/.installed: setup.cfg pyproject.toml constraints-oldest.txt
	@rm -f $@
	@"$(PYTHON)" -m venv --clear .venv-oldest
	@.venv-oldest/bin/python -m pip install -q -c constraints-oldest.txt -e ".[test]"
	@touch $@

# PyTorch lies beside the environment, so that all other tests run without it
.torch/.installed: .venv/.installed
	@.venv/bin/python -m pip install -q -c constraints.txt --upgrade --target .torch $(TORCH)
	@touch $@

reproduce: venv  ## train and score on the embedded corpus; resumes an interrupted run (from the beginning: ARGS="resume=false overwrite=true")
	@.venv/bin/python -m lab41_sce.experiment +exp=reproduce run_dir=runs/reproduce resume=true $(ARGS)
	@.venv/bin/python -m lab41_sce.article.timing --out runs/reproduce/timing.csv --batch 32 --rounds 3
	@.venv/bin/python -m lab41_sce.article runs/reproduce --timing runs/reproduce/timing.csv
	@.venv/bin/python -m lab41_sce.runs.reproduction runs/reproduce $(EXPECTED)

figures: venv  ## draw the article's figures of a run: make figures RUN=runs/reproduce
	@.venv/bin/python -m lab41_sce.article.draw $(or $(RUN),runs/reproduce)

bench: venv  ## measure training, losses, separation, corpora, other programs; takes half an hour, needs an idle machine (ARGS="--quick")
	@.venv/bin/python -m benchmarks runs/bench $(ARGS)

torture: venv .venv/.torture  ## run the reliability campaigns, some hours (ARGS="-k faults", ARGS="--quick"); writes results/reliability
	@.venv/bin/python -m pytest -q -rs -m torture tests/reliability $(ARGS)

demo: venv .venv/.demo  ## serve the web page that separates recordings (options: ARGS="--port 8000")
	@.venv/bin/python -m lab41_sce.demo $(ARGS)

test: venv  ## run the tests in some minutes, without the slow ones and those that need a browser
	@$(PYTEST) -m "not slow" $(LONG) $(OTHERS)

test-fast: venv  ## run the tests of audio, data, models, tables and separation in under a minute, for use while editing
	@$(PYTEST) -m "not slow" $(FAST:%=tests/%)

test-slow: venv  ## run the slow tests: the notebooks, trainings, a comparison of all systems, the benchmarks
	@$(PYTEST) notebooks
	@$(PYTEST) -m slow tests

test-browser: venv .venv/.browser  ## run the tests of the web page in a browser; screenshots go to build/page
	@command -v chromium >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && { \
		apt-get update -qq; DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium; } \
		>/dev/null; } || echo "There is no chromium here, and it cannot be installed: install it by hand."
	@.venv/bin/python -m pytest -q -rs tests/demo

test-torch: venv .torch/.installed  ## run the tests that need PyTorch, installed into .torch: the page for its users, datasets, its metrics, its trainer
	@PYTHONPATH=.torch .venv/bin/python -m pytest -q -rs $(TORCH_TESTS:%=tests/%.py)

test-oldest: .venv-oldest/.installed  ## run the tests of numerical results with the oldest supported versions, in .venv-oldest
	@.venv-oldest/bin/python -m pytest -q $(wildcard $(NUMBERS:%=tests/*/test_%.py))

coverage: venv .venv/.torture  ## see which lines and branches of the package the tests reach; writes results/reliability/coverage.md
	@mkdir -p build results/reliability && rm -f build/coverage*
	@$(PYTEST) --cov --cov-report= notebooks tests
	@.venv/bin/python -m coverage report --format=markdown --show-missing --skip-covered > build/uncovered.md
	@mv build/uncovered.md results/reliability/coverage.md
	@.venv/bin/python -m coverage report --format=total --fail-under=90

lint: venv  ## check the code with ruff and mypy
	@.venv/bin/python -m ruff check
	@.venv/bin/python -m mypy lab41_sce

docs: venv .venv/.docs  ## build the documentation into build/docs (open build/docs/index.html)
	@NO_MKDOCS_2_WARNING=1 .venv/bin/python -m mkdocs build --strict --quiet

notebooks: venv .venv/.notebooks  ## open the notebooks in Jupyter Lab
	@.venv/bin/python -m jupyterlab

clean:  ## remove caches and build products; keep runs/ and .venv
	@rm -rf build dist *.egg-info .pytest_cache .ruff_cache
	@find . \( -name '.venv*' -o -name .git -o -name runs \) -prune -o \
		\( -name __pycache__ -o -name .ipynb_checkpoints \) -type d -prune -exec rm -rf {} +

distclean: clean  ## remove .venv too; keep runs/
	@rm -rf .venv .venv-oldest .torch
