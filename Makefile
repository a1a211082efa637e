# Everything that is done with a clone, by hand and by CI alike.
# `make setup` is what every other target starts with; when there is nothing to set up it takes a fraction of a second.

PYTHON ?= python3
VENV := .venv/bin
PYTEST := $(VENV)/python -m pytest
# Tests wait more than they compute. A file's tests stay together: they share what stands.
AT_ONCE := -n auto --maxprocesses 4 --dist loadfile
# Tiers that need more than Python: each has a target of its own.
TIERS := engine or vm or clouds or browser or soak
# What `bench` measures, of what is there.
BENCH ?= $(basename $(notdir $(wildcard $(addprefix bench/,run.py map.py map_memory.py files.py up.py cloud.py))))
# Where `proto` writes; a test points it elsewhere and compares.
OUT ?= .

.DEFAULT_GOAL := help
.PHONY: help setup demo check lint types unit test test-engine test-clouds image test-vm soak fix proto bench clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## packages, account, .venv and the Pulumi engine, on a fresh machine or after a change
	@$(PYTHON) -m tools.setup

demo: setup ## three local nodes, real work over them, the result, all gone again (KEEP=1 leaves them up)
	@$(VENV)/python tools/demo.py

check: lint types unit ## lint, types and unit tests; under two minutes

lint: setup
	$(VENV)/ruff check
	$(VENV)/ruff format --check

types: setup
	$(VENV)/mypy

unit: setup
	$(PYTEST) $(AT_ONCE) -m 'not ($(TIERS))'

test: check test-engine test-clouds test-vm ## the whole test suite

test-engine: setup ## the real engine, sshd and agents
	$(PYTEST) $(AT_ONCE) -m 'engine and not soak'

test-clouds: setup ## both vendors' clouds, rehearsed on this machine
	$(PYTEST) $(AT_ONCE) -m 'clouds and not soak'

image: setup ## the image `debian-12` of the qemu cloud and a root of Debian 13, from Debian's packages; minutes, once, as root
	@$(VENV)/python -m tools.image

test-vm: image ## virtual machines
	$(PYTEST) -m 'vm and not soak'

soak: setup ## long and random; not in `test`
	$(PYTEST) -m soak

fix: setup ## what lint can mend by itself
	$(VENV)/ruff check --fix
	$(VENV)/ruff format

proto: setup ## the protobuf code, from agent/proto/*.proto
	$(VENV)/python -m grpc_tools.protoc -I. --python_out=$(OUT) --pyi_out=$(OUT) --grpc_python_out=$(OUT) agent/proto/agent.proto
	$(VENV)/python -m grpc_tools.protoc -I. --python_out=$(OUT) --pyi_out=$(OUT) agent/proto/runner.proto

bench: setup ## measurements, minutes each (BENCH=run for one); results in bench/RESULTS.md
	@for name in $(BENCH); do echo "== $$name"; $(VENV)/python -m bench.$$name || exit; done

# Only what is made again by itself: never .venv (it destroys), backends or nodes (machines may still live).
clean: ## caches of tools; touches no stack, node or key
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis build gaxx.egg-info
	find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +
