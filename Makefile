# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Everything made here stays in .venv, .nox and .cache of this checkout; `make clean` removes them.
# It works with the GNU make 3.81 that macOS has.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory
SHELL := /bin/sh

PY := .venv/bin/python
VERSION := $(shell sed -n 's/^version: *//p' galaxy.yml)
TARBALL := .cache/build/keysmith-mongodb-$(VERSION).tar.gz
INSTALLED := .cache/collections/ansible_collections/keysmith/mongodb/MANIFEST.json

# What the built collection is made of. Folders are listed too: their time changes when a file goes.
# The name "docs" alone is a target.
SOURCES := galaxy.yml $(shell find README.md CHANGELOG.md COPYING LICENSES requirements.txt \
	changelogs/changelog.yaml docs/. meta plugins playbooks roles \
	-name __pycache__ -prune -o -print 2>/dev/null)

# Ansible of the make targets sees this checkout's settings only, not those of the user or the machine.
ANSIBLE := ANSIBLE_CONFIG=tests/tools/ansible.cfg $(PY) -m ansible

# Environments hold the path of the checkout: one that was moved or copied gets new ones.
ifneq ($(wildcard .cache/place),)
ifneq ($(shell cat .cache/place),$(CURDIR))
$(shell rm -rf .venv .nox .cache)
endif
endif

.PHONY: help demo test unit slow test-all trust versions mutants coverage lint format sanity docs bench build release clean

help:  ## this list (the default)
	@echo "keysmith.mongodb $(VERSION)"
	@sed -n 's/^\([a-z-]*\):.*## */\1|/p' Makefile | while IFS='|' read -r name text; do \
		printf '  make %-8s %s\n' "$$name" "$$text"; done

demo: $(INSTALLED)  ## revoke keys of a made-up organization on both APIs, on this machine only
	@$(PY) tests/tools/demo.py

# A file of tests stays in one process, as its tests may share one run of ansible-playbook. What is
# skipped is told, with the reason.
PYTEST := $(PY) -m pytest -rs -n auto

test: .venv/.test-ready  ## the tests to run while you work, in 3 minutes (ARGS="-k name" picks some)
	@$(PYTEST) --dist loadfile -m "not slow" $(ARGS)
	@echo "Left to make test-all: kills and races, AWX, the audit page, make trust, make versions"

unit: .venv/.test-ready  ## the unit tests alone, in 30 seconds
	@$(PYTEST) -m "not slow" tests/unit $(ARGS)
	@echo "Left to make test-all: tests/integration and tests/meta, make trust, make versions"

slow: .venv/.test-ready .cache/awx  ## the integration tests that make test leaves out
	@$(PYTEST) --dist loadfile -m slow $(ARGS)

# ARGS means another thing to each of them.
test-all:  ## everything: test, slow, trust and versions (half an hour)
	@for target in test slow trust versions; do $(MAKE) $$target ARGS= || exit; done

trust: .venv/.test-ready .cache/awx .cache/prism  ## real servers, secrets, hostile answers, sudden death: see docs/trust.md (ARGS="peers" picks some)
	@$(PY) -m tests.tools.trust $(ARGS)

versions: .venv/.test-ready  ## tests that start Ansible on the other ansible-cores, modules on every Python (CORES="2.16" picks some)
	@$(PY) -m tests.tools.versions $(ARGS) $(CORES)

mutants: .venv/.mutants-ready  ## put small mistakes into module_utils: do the tests find them? (an hour or two; ARGS="--resume" goes on after an interruption, "--again" tries what was missed)
	@$(PY) -m tests.tools.mutants $(ARGS)

coverage: .venv/.mutants-ready .cache/awx  ## which lines and branches of plugins the unit and integration tests go through
	@rm -rf .cache/coverage && mkdir -p .cache/coverage
	@$(PY) -m coverage run --rcfile=tests/coverage.ini -m pytest -n auto --dist loadfile tests/unit tests/integration
	@$(PY) -m coverage combine -q --rcfile=tests/coverage.ini
	@$(PY) -m coverage report --rcfile=tests/coverage.ini

# In CI antsibull-nox tells what is to be reformatted, and does not do it. It calls ansible-galaxy from the PATH.
lint: .venv/.lint-ready  ## format, style, types, docs, licences, changelog, ansible-lint, galaxy-importer
	@test -t 1 || export NO_COLOR=1; CI=true PATH="$(CURDIR)/.venv/bin:$$PATH" $(PY) -m nox $(ARGS)

format: .venv/.lint-ready  ## put the Python code into ruff's format
	@env -u CI PATH="$(CURDIR)/.venv/bin:$$PATH" $(PY) -m nox -s formatters

sanity: .venv/.demo-ready  ## ansible-test sanity on every ansible-core that can be had (CORES="2.19 2.20" picks some)
	@$(PY) tests/tools/sanity.py $(CORES)

docs: .venv/.docs-ready $(INSTALLED)  ## guides and the modules' pages as HTML in .cache/docs
	@tests/tools/docs.sh

bench: .venv/.bench-ready  ## this collection against uri, curl and bare requests (an hour; ARGS=--quick: 3 minutes)
	@$(PY) -m tests.benchmark $(ARGS)

build: $(TARBALL)  ## the collection as an archive in .cache/build
	@echo $(TARBALL)

# The archive is built anew, from what was found to be clean.
release: .venv/.lint-ready  ## look whether all is ready for a release, and tell how to make it
	@$(PY) tests/tools/release.py
	@rm -f $(TARBALL) && $(MAKE) build
	@PATH="$(CURDIR)/.venv/bin:$$PATH" $(PY) -m nox -s build-import-check
	@$(PY) tests/tools/release.py $(TARBALL)

clean:  ## remove everything that was made here
	rm -rf .venv .nox .cache .ansible .mypy_cache .ruff_cache .pytest_cache .hypothesis tests/output
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# One environment, grown as needed, so that the first `make demo` installs no more than it uses.
# Its Python is a link, which leads nowhere after an upgrade of the system: then all is made anew.
$(PY):
	@rm -f .venv/.*-ready

.venv/.demo-ready: $(PY) Makefile tests/tools/venv.sh requirements.txt tests/requirements-demo.txt
	@tests/tools/venv.sh .venv tests/requirements-demo.txt
	@mkdir -p .cache && echo "$(CURDIR)" >.cache/place
	@touch $@

.venv/.test-ready: .venv/.demo-ready tests/requirements.txt
	@tests/tools/venv.sh .venv tests/requirements.txt
	@touch $@

.venv/.bench-ready: .venv/.test-ready tests/requirements-bench.txt
	@tests/tools/venv.sh .venv tests/requirements-bench.txt
	@touch $@

.venv/.mutants-ready: .venv/.test-ready tests/requirements-mutants.txt
	@tests/tools/venv.sh .venv tests/requirements-mutants.txt
	@touch $@

.venv/.lint-ready: .venv/.demo-ready tests/requirements-lint.txt
	@tests/tools/venv.sh .venv tests/requirements-lint.txt
	@touch $@

.venv/.docs-ready: .venv/.demo-ready tests/requirements-docs.txt
	@tests/tools/venv.sh .venv tests/requirements-docs.txt
	@touch $@

# Where it cannot be had, the tests that need it are skipped.
.cache/awx: tests/tools/awx_collection.py | .venv/.demo-ready
	@echo "Getting the collection awx.awx (once, 54 MB)…"
	@$(PY) tests/tools/awx_collection.py $@ || true

# Holds requests to the API's specification; without it, or without npm, those tests are skipped.
.cache/prism:
	@echo "Getting prism (once, 90 MB)…"
	@npm install --prefix $@ --no-save --no-audit --no-fund --silent @stoplight/prism-cli@5 || rm -rf $@

$(TARBALL): .venv/.demo-ready $(SOURCES)
	@mkdir -p $(@D)
	@$(ANSIBLE) galaxy collection build --force --output-path $(@D) >.cache/build/log 2>&1 \
		|| { cat .cache/build/log; exit 1; }
	@touch $@

$(INSTALLED): $(TARBALL)
	@$(ANSIBLE) galaxy collection install --offline --force --no-deps -p .cache/collections $(TARBALL) \
		>.cache/build/log 2>&1 || { cat .cache/build/log; exit 1; }
	@touch $@
