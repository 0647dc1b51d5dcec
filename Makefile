# The project's commands. `make help` lists them.
SHELL := /bin/bash
PYTHON ?= python3.11
UV_VERSION := 0.13.9
UV := build/uv/bin/uv
BIN := .venv/bin
export UV_PYTHON_DOWNLOADS := never

.DEFAULT_GOAL := help
.PHONY: help setup

help: ## list every target
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: build/.environment build/.jars ## prepare everything: the locked environment, the jars, .venv/bin/clickproof

build/uv/bin/uv:
	@echo "installing uv $(UV_VERSION)"
	@$(PYTHON) -m venv build/uv && build/uv/bin/pip install --quiet uv==$(UV_VERSION)

build/.environment: pyproject.toml uv.lock $(UV)
	@echo "installing the locked environment into .venv"
	@$(UV) sync --frozen --quiet --python $(PYTHON)
	@touch $@

build/.jars: flink-conf/pom.xml
	@echo "copying the jars pinned in flink-conf/pom.xml into build/jars"
	@rm -rf build/jars && mvn -q -B -f flink-conf/pom.xml initialize
	@touch $@
