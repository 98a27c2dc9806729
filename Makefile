# Each target does its own set-up, in .venv, from the hash-locked files in requirements/.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SUPPLY := .supply
ANSIBLE := .ansible-venv
PACKAGES := proto agent server cli
PROJECTS := $(PACKAGES:%=%/pyproject.toml)
# Processes that share the tests; most of what they do is waiting.
WORKERS ?= 4
# Hundreds of programs are started by the tests; where nothing may be written each compiles what the one before has compiled.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo fuzz test test-deploy test-faults test-week test-storage check bench bench-agent bench-answers bench-attack bench-cli bench-collectors bench-fleet bench-herd bench-map bench-retention bench-rotation bench-storage bench-watch soak dist deb man generate wire-record clean help

help:  ## List the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 18

demo: $(VENV)/.runtime  ## The main job, on this machine's own sockets (more hosts as root)
	@[ "$$(id -u)" != 0 ] || tests/install-tools ip nsenter
	$(BIN)/python -m demo $(ARGS)

test: $(VENV)/.dev $(ANSIBLE)/.lint  ## All tests; those that need root say so where they cannot run
	tests/install-tools
	$(BIN)/pytest -n $(WORKERS) $(ARGS)

test-deploy: $(VENV)/.dev $(ANSIBLE)/.done  ## Hosts that boot are deployed, upgraded and removed by the Ansible collection, as root (ansible/README.md)
	tests/install-tools
	$(BIN)/pytest tests/system/test_deploy.py $(ARGS)

test-faults: $(VENV)/.dev  ## 1,000 random faults upon a fleet under load, as root (docs/faults.md; ARGS=--count=N for fewer)
	tests/install-tools
	PYTHONPATH=tests:. $(BIN)/python -m faults $(ARGS)

fuzz: $(VENV)/.dev  ## Ten minutes of wrong messages upon a real collector, each night (docs/security.md; ARGS=--help)
	PYTHONPATH=tests:. $(BIN)/python -m fuzz $(ARGS)

test-week: $(VENV)/.dev  ## A collector that is away for a simulated week, with figures (docs/delivery.md; ARGS=--help)
	PYTHONPATH=tests:. $(BIN)/python -m week $(ARGS)

test-storage: $(VENV)/.dev  ## What is kept, on both engines; DATABASE_URL=postgresql+psycopg://… is a server, or a Citus coordinator, of yours to try
	FLEETNET_TEST_DATABASE="$(DATABASE_URL)" $(BIN)/pytest tests/server/storage tests/server/services $(ARGS)

check: $(VENV)/.dev  ## Format, lint (the Ansible collection too), types, import contracts; advisories, where the index has them
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	@$(MAKE) --no-print-directory -s $(ANSIBLE)/.lint
	cd ansible && PATH=$(CURDIR)/$(ANSIBLE)/bin:$$PATH ANSIBLE_HOME=$(CURDIR)/$(ANSIBLE)/home \
	    ANSIBLE_COLLECTIONS_PATH=$(CURDIR)/$(ANSIBLE)/collections ansible-lint -q
	@$(MAKE) --no-print-directory -s $(SUPPLY)/.done || { echo "advisories: nothing was compared, for pip-audit cannot be installed"; exit 0; }; \
	$(SUPPLY)/bin/python packaging/advisories.py requirements/runtime.txt

bench: $(VENV)/.dev  ## Our dump beside ss, netstat, psutil and /proc, as ratios
	tests/install-tools
	$(BIN)/python -m bench $(ARGS)

bench-agent: $(VENV)/.dev  ## What the agent costs its host, each figure beside its bar (as root; 15 minutes, or ARGS=--quick)
	tests/install-tools
	$(BIN)/python -m bench.agent $(ARGS)

bench-answers: $(VENV)/.dev  ## What a row of an answer costs in each format, and a million as lines (ARGS=--help)
	PYTHONPATH=tests:. $(BIN)/python -m bench.answers $(ARGS)

bench-attack: $(VENV)/.dev  ## What attacks upon a collector cost those who report to it (ARGS=--help; 12 minutes)
	$(BIN)/python -m bench.attack $(ARGS)

bench-map: $(VENV)/.dev  ## What a map of a million sockets costs whoever asks for it (ARGS=--help)
	PYTHONPATH=tests:. $(BIN)/python -m bench.map $(ARGS)

bench-cli: $(VENV)/.dev  ## How quick the command line is, beside bare Python and its libraries (ARGS=--help; 5 minutes)
	PYTHONPATH=tests:. $(BIN)/python -m bench.cli $(ARGS)

bench-watch: $(VENV)/.dev  ## What a hundred people who watch cost a collector, beside a hundred agents (as root; ARGS=--help)
	tests/install-tools
	PYTHONPATH=tests:. $(BIN)/python -m bench.watch $(ARGS)

bench-fleet: $(VENV)/.dev  ## One collector and 10,000 simulated agents on this machine (ARGS=--help; ARGS=--postgresql)
	tests/install-tools
	PYTHONPATH=tests:. $(BIN)/python -m bench.fleet $(ARGS)

bench-collectors: $(VENV)/.dev  ## What a second and third collector add before one PostgreSQL, at the storage (ARGS=--help)
	tests/install-tools
	PYTHONPATH=tests:. $(BIN)/python -m bench.collectors $(ARGS)

bench-herd: $(VENV)/.dev  ## 1,000 simulated agents whose collector is away for ten minutes, at twice the speed (ARGS=--help)
	tests/install-tools
	PYTHONPATH=tests:. $(BIN)/python -m bench.fleet.herd $(ARGS)

bench-rotation: $(VENV)/.dev  ## The CA makes way for another while 200 simulated agents report (ARGS=--help; half a minute)
	$(BIN)/python -m bench.fleet.rotation $(ARGS)

bench-storage: $(VENV)/.dev  ## What is kept and how quickly it is found, while it is written to (ARGS=--help; ARGS=--postgresql)
	tests/install-tools
	PYTHONPATH=tests:. $(BIN)/python -m bench.storage $(ARGS)
bench-retention: $(VENV)/.dev  ## A million old rows deleted while hosts report 10,000 changes a second (ARGS=--help; ARGS=--postgresql)
	tests/install-tools
	PYTHONPATH=tests:. $(BIN)/python -m bench.retention $(ARGS)

soak: $(VENV)/.dev  ## Half an hour with 200 agents, as root: what stays in memory (ARGS='--minutes 10'; docs/operations.md)
	tests/install-tools
	PYTHONPATH=tests:. $(BIN)/python -m bench.soak $(ARGS)

dist: $(VENV)/.dev $(SUPPLY)/.done  ## Wheels, what each is made of (CycloneDX), and offline bundles for hosts, in dist/ (ARGS='--python 3.11 --architecture x86_64' for one)
	rm -rf dist
	$(BIN)/pip wheel --quiet --no-deps --no-build-isolation --no-index --wheel-dir dist $(PACKAGES:%=./%)
	for one in agent server cli; do \
	    $(SUPPLY)/bin/python -W ignore -m cyclonedx_py requirements requirements/$$one.txt --pyproject $$one/pyproject.toml \
	        --output-reproducible --output-format JSON --output-file dist/fleetnet-$$one.cdx.json || exit 1; \
	done
	$(BIN)/python packaging/bundle.py --wheels dist --to dist --libraries .libraries $(ARGS)
	cd dist && sha256sum * > SHA256SUMS && cat SHA256SUMS

deb: dist  ## The same, and Debian packages of agent and command line for each, in dist/ (docs/operations.md)
	tests/install-tools dh
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(BIN)/python packaging/deb.py --wheels dist --to dist --libraries .libraries $(ARGS)
	cd dist && sha256sum $$(ls | grep -v SHA256SUMS) > SHA256SUMS

man: $(VENV)/.runtime  ## Manual pages of what --help says, in man/ (man -l man/fleetnet.1)
	$(BIN)/python docs/generate_man.py man

generate: $(VENV)/.dev  ## The Python code of the .proto files, and docs/schema.md
	$(BIN)/python proto/generate.py
	$(BIN)/python docs/generate_schema.py > docs/schema.md

wire-record: $(VENV)/.dev  ## Write down what is new on the wire, for the tests of compatibility; refuses what breaks it
	PYTHONPATH=tests:. $(BIN)/python -m recorded.record_wire

clean:  ## Remove what the targets made
	rm -rf $(VENV) $(SUPPLY) $(ANSIBLE) .libraries dist man demo/run .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.runtime: requirements/runtime.txt $(PROJECTS) requirements/bootstrap
	requirements/bootstrap $(PYTHON) $(VENV) requirements/runtime.txt $(PACKAGES)
	touch $@

# Apart, so that what looks at the packages is not among them.
$(SUPPLY)/.done: requirements/supply.txt requirements/bootstrap
	requirements/bootstrap $(PYTHON) $(SUPPLY) requirements/supply.txt
	touch $@

# Apart, for what deploys is an admin's own and no library of ours.
$(ANSIBLE)/.done: requirements/ansible.txt requirements/bootstrap
	requirements/bootstrap $(PYTHON) $(ANSIBLE) requirements/ansible.txt
	touch $@

$(ANSIBLE)/.lint: requirements/ansible-lint.txt $(ANSIBLE)/.done
	$(ANSIBLE)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/ansible-lint.txt
	mkdir -p $(ANSIBLE)/collections/ansible_collections/fleetnet
	ln -sfn ../../../../ansible $(ANSIBLE)/collections/ansible_collections/fleetnet/fleetnet
	touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.runtime
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	touch $@
