# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# All created files stay in the checkout, in directories that Git ignores. `make clean` removes them.
# Compatible with GNU make 3.81, the version on macOS.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory
SHELL := /bin/sh
# Otherwise, pytest rewrites the assertions of all tests in each process.
unexport PYTHONDONTWRITEBYTECODE

PY := .venv/bin/python
VERSION := $(shell sed -n 's/^version: *//p' galaxy.yml)
TARBALL := .cache/build/keysmith-mongodb-$(VERSION).tar.gz
INSTALLED := .cache/collections/ansible_collections/keysmith/mongodb/MANIFEST.json

# Sources of the built collection. The list includes directories, because their modification time changes when a file is
# deleted. "docs/." instead of "docs", because "docs" is a target.
SOURCES := galaxy.yml $(shell find README.md CHANGELOG.md COPYING LICENSES requirements.txt \
	changelogs/changelog.yaml docs/. meta plugins playbooks roles \
	-name __pycache__ -prune -o -print 2>/dev/null)

# Ignore the Ansible settings of the user and the machine.
ANSIBLE := ANSIBLE_CONFIG=tests/tools/ansible.cfg $(PY) -m ansible

# Environments contain the path of the checkout. Delete them if the checkout was moved or copied.
ifneq ($(wildcard .cache/place),)
ifneq ($(shell cat .cache/place),$(CURDIR))
$(shell rm -rf .venv .nox .cache)
endif
endif

.PHONY: help demo test unit slow test-all trust versions mutants coverage lint format sanity docs bench build release clean

help:  ## show this list (default)
	@echo "keysmith.mongodb $(VERSION)"
	@sed -n 's/^\([a-z-]*\):.*## */\1|/p' Makefile | while IFS='|' read -r name text; do \
		printf '  make %-8s %s\n' "$$name" "$$text"; done

demo: $(INSTALLED)  ## revoke keys of a sample organization in the emulator, with both APIs
	@$(PY) tests/tools/demo.py

# -rs reports skipped tests.
PYTEST := $(PY) -m pytest -rs
# All tests of a file run in one process, because they may share one run of ansible-playbook. tests/conftest.py orders
# the files.
BY_FILE := --dist loadfile --no-loadscope-reorder

test: .venv/.test-ready  ## run the tests to use while you work: 3 minutes (ARGS="-k name" selects tests)
	@$(PYTEST) -n auto $(BY_FILE) -m "not slow" $(ARGS)
	@echo "Not run (see make test-all): kills and races, examples in the docs, AWX, audit report, make trust, make versions"

unit: .venv/.test-ready  ## run only the unit tests: half a minute
	@$(PYTEST) -n auto -m "not slow" tests/unit $(ARGS)
	@echo "Not run (see make test-all): tests/integration, tests/meta, make trust, make versions"

# One process more than processors, because these tests often wait.
slow: .venv/.test-ready .cache/awx  ## run the integration tests that make test skips
	@$(PYTEST) -n $$(($$(getconf _NPROCESSORS_ONLN) + 1)) $(BY_FILE) -m slow $(ARGS)

# ARGS has a different meaning for each target.
test-all:  ## run test, slow, trust and versions: 30 minutes
	@for target in test slow trust versions; do $(MAKE) $$target ARGS= || exit; done

trust: .venv/.test-ready .cache/awx .cache/prism  ## run the tests with real servers, fuzzing and kills, see docs/trust.md (ARGS="peers" selects some)
	@$(PY) -m tests.tools.trust $(ARGS)

versions: .venv/.test-ready  ## run tests with other ansible-core versions, and modules with every Python (CORES="2.16" selects some)
	@$(PY) -m tests.tools.versions $(ARGS) $(CORES)

mutants: .venv/.mutants-ready  ## test the tests with small mistakes in module_utils: one to two hours (ARGS="--resume" continues after an interruption, "--again" repeats those not found)
	@$(PY) -m tests.tools.mutants $(ARGS)

coverage: .venv/.mutants-ready .cache/awx  ## measure which lines and branches of plugins the unit and integration tests cover
	@rm -rf .cache/coverage && mkdir -p .cache/coverage
	@$(PY) -m coverage run --rcfile=tests/coverage.ini -m pytest -n auto --dist loadfile tests/unit tests/integration
	@$(PY) -m coverage combine -q --rcfile=tests/coverage.ini
	@$(PY) -m coverage report --rcfile=tests/coverage.ini

# With CI=true, antsibull-nox only reports what to format. It calls ansible-galaxy from the PATH.
lint: .venv/.lint-ready  ## check format, style, types, docs, English, licenses, changelog, ansible-lint, galaxy-importer
	@test -t 1 || export NO_COLOR=1; CI=true PATH="$(CURDIR)/.venv/bin:$$PATH" $(PY) -m nox $(ARGS)

format: .venv/.lint-ready  ## format the Python code with ruff
	@env -u CI PATH="$(CURDIR)/.venv/bin:$$PATH" $(PY) -m nox -s formatters

sanity: .venv/.test-ready  ## run ansible-test sanity with every available ansible-core (CORES="2.19 2.20" selects some)
	@$(PY) tests/tools/sanity.py $(CORES)

docs: .venv/.docs-ready $(INSTALLED)  ## build the guides and the module reference as HTML in .cache/docs
	@tests/tools/docs.sh

bench: .venv/.bench-ready  ## compare the speed with uri, curl and requests: one hour (ARGS=--quick: 3 minutes)
	@$(PY) -m tests.benchmark $(ARGS)

build: $(TARBALL)  ## build the collection's archive in .cache/build
	@echo $(TARBALL)

# Builds a new archive from the checked working tree.
release: .venv/.lint-ready  ## check that everything is ready for a release, and print the commands
	@$(PY) tests/tools/release.py
	@rm -f $(TARBALL) && $(MAKE) build
	@PATH="$(CURDIR)/.venv/bin:$$PATH" $(PY) -m nox -s build-import-check
	@$(PY) tests/tools/release.py $(TARBALL)

clean:  ## remove all created files
	rm -rf .venv .nox .cache .ansible .mypy_cache .ruff_cache .pytest_cache .hypothesis tests/output
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# One environment that grows as needed, so that the first `make demo` installs only what it uses.
# Its Python is a link that breaks when the system is upgraded. In that case, everything is installed again.
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

# If the download fails, the tests that need it are skipped.
.cache/awx: tests/tools/awx_collection.py | .venv/.demo-ready
	@echo "Downloading the collection awx.awx (once, 54 MB)…"
	@$(PY) tests/tools/awx_collection.py $@ || true

# Checks requests against the API's specification. Without it, or without npm, those tests are skipped.
.cache/prism:
	@echo "Downloading prism (once, 90 MB)…"
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
