# Two commands do everything on a fresh machine with Python 3.11, git and make:  make demo  and  make test
PYTHON ?= python3.11
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
export FIFTYONE_DO_NOT_TRACK := true
unexport PYTHONDONTWRITEBYTECODE  # or every stage and every test worker would compile the project anew
PARALLEL := --numprocesses logical --maxprocesses 8 --dist worksteal

.PHONY: help demo test unit check repro review results lock docs clean

help:  ## say what can be made
	@grep -hE '^[a-z]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 10

demo: .venv/installed data/raw/weights/weights.json  ## run the main job on a drawn scrape with planted defects
	python -m pipeline use demo
	python -m pipeline fetch demo
	dvc repro
	python -m pipeline results

test: .venv/installed data/raw/weights/weights.json  ## run all tests but the long ones of .ci/run
	pytest $(PARALLEL) -m "not kill_all"

unit: .venv/installed  ## run the tests that need neither DVC nor other processes, in half a minute
	pytest $(PARALLEL) -m "not pipeline"

check: .venv/installed  ## lint, types, import rules
	ruff check .
	ruff format --check .
	mypy
	lint-imports

repro: .venv/installed data/raw/weights/weights.json  ## run what is out of date of the profile in params.yaml
	python -m pipeline prune
	dvc repro
	python -m pipeline results

review: .venv/installed  ## open the curated dataset in the FiftyOne App
	python -m pipeline review

results: .venv/installed  ## print what was measured, and write reports/index.html
	python -m pipeline results

lock: .venv/installed  ## resolve requirements.lock anew from pyproject.toml
	uv pip compile pyproject.toml --group dev --extra ray --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--upgrade --quiet --output-file requirements.lock

docs: .venv/installed  ## write docs/tables.md, and quote docs/results in README.md
	python -m pipeline tables
	python -m pipeline readme

clean:  ## delete the environment; data stays
	rm -rf .venv

# The lock pins uv as well: its own lines of the lock install it, with their hashes.
.venv/installed: requirements.lock
	@command -v $(PYTHON) >/dev/null || { echo "error: $(PYTHON) is not installed: install Python 3.11 or later, or say make PYTHON=…"; exit 1; }
	$(PYTHON) -m venv .venv
	awk '/^[a-z]/ {own = /^uv==/} own && !/#/' requirements.lock > .venv/uv.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r .venv/uv.txt
	$(BIN)/uv pip sync --quiet --require-hashes --compile-bytecode --python $(BIN)/python requirements.lock
	touch $@

data/raw/weights/weights.json: | .venv/installed
	python -m pipeline fetch weights
