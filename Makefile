# Every target only calls tools. `make run` and `make test` do all the set-up themselves.
PY := .venv/bin/python

.PHONY: help run test test-unit soak check format hosts docs lock parts unit kill cluster host hardware clean
help:
	@echo 'make run         this machine, a captured ready node, a broken one, and the demo; needs no root'
	@echo 'make test        everything: checks, unit tests, real control plane, real node; needs root'
	@echo 'make test-unit   checks and unit tests; needs no root'
	@echo 'make soak        make test with the full random counts'
	@echo 'make hardware    read-only claims on a real Hopper GPU or newer; needs root and one of them'
	@echo 'make format      let ruff format and fix'
	@echo 'make hosts       write every captured host to tests/hosts'
	@echo 'make docs        write docs/ and man/ from the pages and the help of the commands'
	@echo 'make lock        lock the newest packages anew'

run:
	@tools/env.sh run build
	@tools/show.sh check
	@tools/show.sh check --capture tests/hosts/genoa-ready
	@tools/show.sh check --capture tests/hosts/genoa-iommu-pt
	@tools/show.sh demo

test:
	@tools/packages.sh tests/node/packages.txt
	@tools/env.sh dev build real
	@$(MAKE) --no-print-directory --jobs 2 --output-sync=target parts unit kill
	@$(MAKE) --no-print-directory --jobs 2 --output-sync=target cluster host
	@$(PY) -m pytest tests/bench

test-unit:
	@tools/env.sh dev build
	@$(MAKE) --no-print-directory unit kill

soak: export NODEAGENT_SOAK = 1
soak: test

parts:
	@$(PY) -m tests.real.build

unit: check
	@$(PY) -m pytest tests/unit

cluster:
	@$(PY) -m pytest tests/controlplane

host:
	@$(PY) -m pytest tests/machine tests/peer tests/node

hardware:
	@$(PY) -m pytest tests/hardware -m hardware

kill:
	@$(PY) -m pytest tests/kill

check:
	@$(PY) -m ruff format --check --quiet .
	@$(PY) -m ruff check --quiet .
	@$(PY) -m mypy
	@.venv/bin/lint-imports

format:
	@$(PY) -m ruff format .
	@$(PY) -m ruff check --fix .

hosts:
	@$(PY) -m tests.hosts.make

docs:
	@$(PY) -m tools.docs

lock:
	@$(PY) -m tools.lock

clean:
	rm -rf .venv build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
