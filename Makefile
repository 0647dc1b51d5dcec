# The project's commands. `make help` lists them.
SHELL := /bin/bash
PYTHON ?= python3.11
UV_VERSION := 0.13.9
UV := build/uv/bin/uv
BIN := .venv/bin
export UV_PYTHON_DOWNLOADS := never
IMAGE := clickproof:0.1.0

.DEFAULT_GOAL := help
.PHONY: help setup demo up down status archive reconcile backfill image package bench bench-smoke bench-curves bench-publish check format test test-long test-unit test-flink test-e2e test-deploy fixture chaos chaos-nightly audit clean

help: ## list every target
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: build/.environment build/.jars ## prepare everything: the locked environment, the jars, .venv/bin/clickproof

demo: setup ## the whole system on this machine: real Kafka, real Flink, clicks of known truth, and the recount; KEEP=1 keeps the dashboard open
	@$(BIN)/clickproof demo $(if $(KEEP),--keep)

ifeq ($(BACKEND),compose)
up: .env
	@docker compose up --detach --build --wait

down:
	@docker compose down --volumes

status:
	@docker compose ps

archive: .env
	@docker compose up --detach --wait archive

reconcile: .env
	@docker compose run --rm reconcile $(if $(DAY),--from $(DAY))
else
up: setup ## start the local broker, cluster, job and heartbeats, and leave them running; BACKEND=compose: in containers
	@$(BIN)/clickproof up

down: setup ## stop the local system and remove its data; BACKEND=compose: the containers and volumes
	@$(BIN)/clickproof down

status: setup ## show what of the local system runs; BACKEND=compose: the containers
	@$(BIN)/clickproof status

archive: setup ## start the archive on the running local system: raw clicks into Parquet files
	@$(BIN)/clickproof archive

reconcile: setup ## recount a day from the archive and publish the corrections: DAY=2026-01-01, by default yesterday (UTC)
	@$(BIN)/clickproof reconcile $(if $(DAY),--from $(DAY)) --publish
endif

backfill: setup ## derive the counts of a span from the archive alone: FROM=2026-01-01 TO=2026-01-02, into counts.csv
	@$(BIN)/clickproof backfill $(if $(FROM),--from $(FROM)) $(if $(TO),--to $(TO)) --out counts.csv

# Peers that are no Flink jobs have an environment of their own, made when one of them is chosen.
comma := ,
PEERS := $(filter spark bytewax quixstreams,$(subst $(comma), ,$(or $(SYSTEMS),spark)))

bench: setup $(if $(PEERS),build/.peers) ## Clickproof beside its peers, then the partition windows: CLICKS=4000000 MINUTES=10 ROUNDS=3 LIMIT=60 SYSTEMS=clickproof,flink-sql
	@$(UV) sync --frozen --quiet --group bench --inexact --python $(PYTHON)
	@$(BIN)/python -m bench.compare --plot $(if $(CLICKS),--clicks $(CLICKS)) $(if $(MINUTES),--minutes $(MINUTES)) $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(LIMIT),--seconds $(LIMIT)) $(if $(SYSTEMS),--systems $(SYSTEMS))
	@$(BIN)/python -m bench.partition_windows
	@$(BIN)/python -m bench.partition_windows_job

bench-smoke: setup ## Clickproof beside Flink SQL once, in a few minutes: shows the ratio, fails on wrong or missing counts, never on time
	@$(BIN)/python -m bench.compare --clicks 2000000 --rounds 1 --systems clickproof,flink-sql --parallelism 2 --out build/bench-smoke --strict

bench-curves: setup ## Clickproof's speed against horizon, ads, a hot ad, duplicates, payload: CURVES=horizon,ads CLICKS=3000000
	@$(UV) sync --frozen --quiet --group bench --inexact --python $(PYTHON)
	@$(BIN)/python -m bench.curves $(if $(CURVES),--curves $(CURVES)) $(if $(CLICKS),--clicks $(CLICKS)) $(if $(ROUNDS),--rounds $(ROUNDS))

bench-publish: setup ## what `make bench` or `make bench-curves` measured last into docs/performance.md: NAME=peak, as the page has it, or curves
	@$(UV) sync --frozen --quiet --group bench --inexact --python $(PYTHON)
	@$(BIN)/python -m bench.publish $(NAME)

image: ## the container image, by Docker: Flink, Python, connectors and Clickproof
	@docker build --platform linux/amd64 --tag $(IMAGE) .

package: setup ## build/clickproof-flink.zip, as managed Flink services take it; SERVICE_PYTHON=3.12 for one with that Python
	@PATH=$(CURDIR)/build/uv/bin:$$PATH $(BIN)/python -m local.managed_package build/clickproof-flink.zip \
	  $(if $(SERVICE_PYTHON),--python $(SERVICE_PYTHON))

check: setup ## format, lint and types
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy

format: setup ## format, and mend what the linter can
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

# One process waits for Flink while the other works.
IN_PARALLEL := --numprocesses 2 --dist loadfile --no-loadscope-reorder

test: setup ## the tests, without those of the next line, of test-deploy and of chaos
	@$(BIN)/pytest $(IN_PARALLEL)

test-long: setup ## the tests that take half a minute each and more
	@$(BIN)/pytest -m long $(IN_PARALLEL)

test-unit: setup ## the tests without a JVM
	@$(BIN)/pytest tests/unit

test-flink: setup ## the job on a local MiniCluster
	@$(BIN)/pytest tests/flink

test-e2e: setup ## a real broker and a real cluster, against the recount
	@$(BIN)/pytest tests/e2e

test-deploy: setup ## image, packages, upgrades and disasters, tried on this machine; they take long
	@$(BIN)/pytest -m deploy

fixture: setup ## keep a savepoint of this release for the tests of later ones, in tests/fixtures
	@$(BIN)/python -m tests.savepoints tests/fixtures/savepoint-$$($(BIN)/python -c 'from importlib.metadata import version; print(version("clickproof"))').zip

chaos: setup ## the attacks, SEEDS=1 of each (minutes for each seed); TESTS_SEED=… runs one again, ONLY=kills one file
	@TESTS_SEEDS=$(or $(SEEDS),1) $(BIN)/pytest -m chaos tests/chaos/$(if $(ONLY),test_$(ONLY).py)

chaos-nightly: ## the attacks with 20 seeds of each kill, and 30 of the soak
	@$(MAKE) chaos SEEDS=20 && TESTS_SEEDS=30 $(BIN)/pytest -m chaos tests/chaos/test_kills.py -k faults_at_random

audit: setup ## look the locked packages up in the advisory database of osv.dev; needs the internet
	@$(UV) audit --frozen

clean: ## remove everything that make made
	@rm -rf build .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis

.env: .env.example
	@umask 077; $(PYTHON) -c 'import re, secrets; print(re.sub("(?m)=$$", lambda _: "=" + secrets.token_urlsafe(24), open(".env.example").read()), end="")' > $@

build/uv/bin/uv:
	@echo "installing uv $(UV_VERSION)"
	@$(PYTHON) -m venv build/uv && build/uv/bin/pip install --quiet uv==$(UV_VERSION)

build/.environment: pyproject.toml uv.lock $(UV)
	@echo "installing the locked environment into .venv"
	@$(UV) sync --frozen --quiet --compile-bytecode --python $(PYTHON)
	@touch $@

build/.jars: flink-conf/pom.xml
	@echo "copying the jars pinned in flink-conf/pom.xml into build/jars"
	@rm -rf build/jars && mvn --quiet --batch-mode --file flink-conf/pom.xml initialize
	@mkdir -p build && touch $@

build/.peers: bench/peers/pyproject.toml bench/peers/uv.lock bench/peers/pom.xml $(UV)
	@echo "installing the peers that are no Flink jobs into build/peers-venv and build/peers-jars"
	@UV_PROJECT_ENVIRONMENT=$(CURDIR)/build/peers-venv $(UV) sync --project bench/peers --frozen --quiet --python $(PYTHON)
	@mvn --quiet --batch-mode --file bench/peers/pom.xml initialize
	@touch $@
