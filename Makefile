# make run, make test: each sets up what is missing first. `make help` lists the rest.

HOST ?= 127.0.0.1
PORT ?= 3000
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --no-deps
# One process more than the two cores of a small machine, because many tests mostly wait.
PYTEST := -n 3 --dist loadfile --no-loadscope-reorder
LOCK := uv pip compile --universal --python-version 3.11 --generate-hashes \
	--no-header --no-emit-index-url --no-annotate --quiet --upgrade

.PHONY: help run test quick coverage check fuzz soak drill alerts-drill bench bench-peers docs client wheel kernels bento \
	image image-test demo-model release-dump lock clean

help:
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

run: .venv/runtime .venv/kernels  ## serve on PORT (default 3000) with the demo model
	@exec $(BIN)/hunyuan serve --host $(HOST) --port $(PORT)

test: check  ## lint, types and every test
	$(BIN)/pytest $(PYTEST)

quick: .venv/dev  ## the tests that start no service, worker, engine or Postgres: under two minutes
	$(BIN)/pytest -n 2 --dist worksteal -m "not slow"

coverage: .venv/dev  ## every test, and which lines and branches none of them reaches
	@mkdir -p build/coverage
	$(BIN)/coverage erase
	$(BIN)/coverage run --parallel-mode -m pytest $(PYTEST)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

check: .venv/dev  ## lint and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

fuzz: .venv/dev  ## ask every route 150 things that its document allows, and some that it does not
	SCHEMA_EXAMPLES=150 $(BIN)/pytest tests/test_schema.py
	$(BIN)/python -m tests.hostile

soak: .venv/dev  ## kill, freeze and steer workers at random, for minutes
	$(BIN)/python -m tests.jobs.soak
	$(BIN)/python -m tests.jobs.soak --postgres

drill: .venv/dev  ## break a service on several machines (namespaces; root): ten minutes
	$(BIN)/python -m tests.drill

alerts-drill: .venv/dev  ## cause the fault of every alert, and see it fire in a real Prometheus: ten minutes
	$(BIN)/python -m tests.alerts_drill

bench: .venv/dev  ## measure, and write build/performance.md
	$(BIN)/python -m bench

wheel: .venv/dev  ## build the package into dist/
	$(BIN)/uv build --no-build-isolation --python $(BIN)/python --quiet

bento: .venv/dev kernels build/requirements.txt  ## package the service as a bento, ready for a container
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/bentoml build

kernels: .venv/dev  ## build the kernels for every instruction set, which the bento takes with it
	$(BIN)/python -m hunyuan_runner.machine.building

image:  ## build the container image with docker, podman or buildah, whichever works here
	@if docker info >/dev/null 2>&1; then docker build --tag hunyuan-runner .; \
	elif podman info >/dev/null 2>&1; then podman build --format docker --tag hunyuan-runner .; \
	elif buildah info >/dev/null 2>&1; then buildah build --format docker --tag hunyuan-runner .; \
	else echo "docker with its daemon, podman or buildah is needed"; exit 1; fi

image-test: .venv/dev  ## build the image without a container engine, and stop it in mid-render: as root
	$(BIN)/pytest -rP tests/image/built_images.py

bench-peers: .venv/dev  ## compare with plain diffusers, and with PEERS, in turns: up to an hour
	$(BIN)/python -m bench.peers $(PEERS)

docs: .venv/dev  ## rewrite the generated tables of the docs
	$(BIN)/python -m docs.tables

client: .venv/dev  ## write the blocking client from the asynchronous one
	$(BIN)/python -m scripts.unasync

demo-model: .venv/dev  ## train the demo model anew (hours)
	$(BIN)/python -m demo_model.train
	$(BIN)/python -m demo_model.evaluate --out demo_model/report

release-dump: .venv/dev  ## keep what the release VERSION leaves, so that tests upgrade it
	$(BIN)/python -m tests.jobs.earlier.dump $(VERSION) $(COMMIT)

lock: .venv/dev  ## pin the newest versions that pyproject.toml allows
	$(BIN)/$(LOCK) --constraint requirements-torch.txt --no-emit-package torch \
		pyproject.toml --extra server --output-file requirements.lock
	$(BIN)/$(LOCK) --constraint requirements.lock --group dev --output-file requirements-dev.lock

clean:  ## remove the virtual environment; data/ stays
	rm -rf .venv

# BentoML reads one file, without the files that it includes.
build/requirements.txt: requirements-torch.txt requirements.lock
	@mkdir -p build
	@cat $^ > $@

.venv/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; name one with: make PYTHON=python3.12 …"; exit 1; }
	@echo "Setting up .venv (some minutes, once)"
	@$(PYTHON) -m venv .venv
	@touch $@

.venv/torch: requirements-torch.txt | .venv/python
	@$(PIP) --retries 2 -r requirements-torch.txt
	@touch $@

.venv/runtime: requirements.lock pyproject.toml .venv/torch
	@$(PIP) --require-hashes -r requirements.lock
	@$(PIP) --no-build-isolation --editable .
	@touch $@

# Those for this CPU, so that the first clip does not wait for the compiler.
.venv/kernels: $(wildcard hunyuan_runner/engine/cpp/*.h hunyuan_runner/engine/cpp/*.cpp) .venv/runtime
	@$(BIN)/python -m hunyuan_runner.machine.building here
	@touch $@

.venv/dev: requirements-dev.lock .venv/runtime
	@$(PIP) --require-hashes -r requirements-dev.lock
	@touch $@
