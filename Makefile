# The verbs of this project. A machine with make and Python 3.11 or later needs nothing else.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --no-print-directory

PYTHON ?= python3.11 python3 python3.12 python3.13
# The first of $(PYTHON) that is new enough and can make environments (Debian ships that apart, as python3-venv).
FIND_PYTHON = for python in $(PYTHON); do \
    "$$python" -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' 2> /dev/null && break; python=; done; \
  [ -n "$$python" ] || { echo "setup: none of $(PYTHON) is Python 3.11 or later with venv; name one: make setup PYTHON=…" >&2; exit 2; }
BIN := .venv/bin
LOCKED := .venv/.locked
INSTALLED := .venv/.installed

.PHONY: help setup demo test check scan audit bench chaos lock release releasable

help: ## list the verbs
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1 \2/p' Makefile | awk '{verb = $$2; $$1 = $$2 = ""; printf "make %-7s%s\n", verb, $$0}'

setup: $(INSTALLED) ## make .venv and install what requirements.lock names, every file checked against its hash
	@:

demo: $(INSTALLED) ## real incidents through a real Kafka become alerts and service credits
	@$(BIN)/sla demo

# Four processes for two cores: tests that wait for Kafka leave room for tests that compute (tests/conftest.py).
# Bytecode is kept, whatever the environment says: hundreds of processes would compile the same modules.
test: $(INSTALLED) ## all tests, four files at a time, each with the broker that it needs
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --numprocesses 4 --dist loadfile --no-loadscope-reorder $(ARGS)

check: $(INSTALLED) ## lint, format, types, layers, schema compatibility, documented settings, imports of tests, conventions
	@echo "check: lint";    $(BIN)/ruff check --quiet .
	@echo "check: format";  $(BIN)/ruff format --check --quiet . || $(BIN)/ruff format --check .
	@echo "check: types";   $(BIN)/mypy --no-error-summary
	@echo "check: layers";  $(BIN)/lint-imports --no-logo --no-cache > .venv/layers.log || { cat .venv/layers.log; exit 1; }
	@echo "check: schemas"; $(BIN)/python -m schemas.gate
	@echo "check: settings"; $(BIN)/python -m cli.settings.generate --check
	@echo "check: monitoring"; $(BIN)/python -m deploy.monitoring.generate --check
	@echo "check: tests";   PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --collect-only -qq > .venv/collected.log || \
	  { tail -n 60 .venv/collected.log; exit 1; }
	@echo "check: conventions"; PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -q tests/architecture > .venv/conventions.log || \
	  { tail -n 60 .venv/conventions.log; exit 1; }

scan: $(INSTALLED) .venv/audit/.installed ## static analysis, secrets in the tree, licences, bill of materials (the tools come from the index once)
	@deploy/audit/run

audit: scan ## what scan does, and known vulnerabilities (asks a service on the internet)
	@deploy/audit/run --vulnerabilities

.venv/audit/.installed: deploy/audit/requirements.lock
	@echo "audit: the tools come into an environment of their own"
	@$(BIN)/python -m venv --clear .venv/audit
	@.venv/audit/bin/pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r $<
	@touch $@

bench: $(INSTALLED) ## the measured claims, measured here
	@$(BIN)/sla bench

chaos: $(INSTALLED) ## every fault: 5,000 simulated runs of a task and 80 of notifiers, ten times as many examples of each property, a real identity provider, the operations guide, then kills, pauses, broken brokers and networks
	@$(BIN)/python -m tests.chaos.simulation --seeds 5000
	@$(BIN)/python -m tests.chaos.notify --seeds 0:20 --profile cut,zombie,kill,mixed
	@HYPOTHESIS_PROFILE=many $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder -m hypothesis
	@HYPOTHESIS_PROFILE=explore $(BIN)/python -m pytest tests/property/test_avro_compiled.py tests/property/test_codec_roundtrip.py
	@$(BIN)/python -m pytest tests/providers
	@$(BIN)/python -m pytest tests/kafka/operations_guide.py
	@$(BIN)/python -m tests.faults $(ARGS)

releasable:
	@$(BIN)/python deploy/release.py --check "$(VERSION)"

release: $(INSTALLED) releasable check scan test ## VERSION=0.2.0: check, scan, test, cut the changelog, build both wheels twice alike, tag; nothing is pushed
	@$(BIN)/python deploy/release.py "$(VERSION)"

COMPILE := env -u PIP_FIND_LINKS CUSTOM_COMPILE_COMMAND="make lock" .venv/lock/bin/pip-compile --quiet --generate-hashes \
  --allow-unsafe --strip-extras --no-emit-index-url --no-emit-find-links --no-emit-trusted-host
lock: $(INSTALLED) ## resolve pyproject.toml into the requirements.lock of the project, of the image and of the audit again (needs the index, takes minutes)
	@echo "lock: pip-tools comes into an environment of its own"
	@$(BIN)/python -m venv .venv/lock
	@.venv/lock/bin/pip install --quiet --disable-pip-version-check "pip-tools>=7.5,<8"
	@echo "lock: resolving (minutes)"
	@$(COMPILE) --extra dev -o requirements.lock pyproject.toml
	@echo "lock: resolving what the image needs of it (minutes)"
	@$(COMPILE) --extra postgresql --extra otel --extra build --constraint requirements.lock -o deploy/image/requirements.lock pyproject.toml
	@$(COMPILE) -o deploy/audit/requirements.lock deploy/audit/requirements.in

$(LOCKED): requirements.lock
	@$(BIN)/python -m pip --version > /dev/null 2>&1 || { $(FIND_PYTHON); \
	  echo "setup: making .venv with $$("$$python" --version)"; "$$python" -m venv --clear .venv; }
	@echo "setup: installing $$(grep -c '^[a-z].*==' requirements.lock) packages (about a minute)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	@touch $@

$(INSTALLED): $(LOCKED) pyproject.toml
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@echo "setup: ready"
	@touch $@
