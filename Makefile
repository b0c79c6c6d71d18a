# Two commands do everything on a fresh machine with Python 3.11 to 3.13, git and make:  make demo  and  make test
PYTHON ?=
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

review: .venv/installed  ## decide cases in the FiftyOne App; QUEUE=labels|pairs|off-topic|audit|disputes|mine|all STEWARD=name
	python -m pipeline review $(if $(QUEUE),--queue $(QUEUE)) $(if $(STEWARD),--steward "$(STEWARD)")

results: .venv/installed  ## print what was measured, and write reports/index.html
	python -m pipeline results

lock: .venv/installed  ## resolve requirements.lock anew from pyproject.toml
	uv pip compile pyproject.toml --group dev --extra ray --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--universal --fork-strategy fewest `# one version of each package for every Python that is supported` \
		--upgrade --quiet --output-file requirements.lock

docs: .venv/installed  ## write docs/tables.md and docs/params.md, and quote docs/results in README.md and docs/results.md
	python -m pipeline tables
	python -m pipeline params
	python -m pipeline quote

clean:  ## delete the environment; data stays
	rm -rf .venv

# An environment that works is kept, unless PYTHON names another. The lock pins uv as well: its own lines of the lock
# install it, with their hashes.
.venv/installed: requirements.lock install/stages_find_python.pth
	@{ test -z "$(PYTHON)" && sh install/choose_python.sh $(BIN)/python && $(BIN)/python -m pip; } >/dev/null 2>&1 || \
		{ python=$$(sh install/choose_python.sh $(PYTHON)) && "$$python" -m venv --clear .venv; }
	awk '/^[a-z]/ {own = /^uv==/} own && !/#/' requirements.lock > .venv/uv.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r .venv/uv.txt
	$(BIN)/uv pip sync --require-hashes --compile-bytecode --python $(BIN)/python requirements.lock
	cp install/stages_find_python.pth .venv/lib/python3.*/site-packages/
	touch $@

data/raw/weights/weights.json: | .venv/installed
	python -m pipeline fetch weights
