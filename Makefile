PYTHON ?= python3
N ?= $(if $(filter faults,$(MAKECMDGOALS)),10,200)
MINUTES ?= 10
EXIT ?=
BENCH ?=
VENV := .venv
OTHER_PYTHONS := 3.12 3.13
UV_COMPILE := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links
RUN := $(VENV)/bin

.PHONY: help setup demo test test-engines wheel fuzz audit test-pythons lock faults soak bench-dashboard bench-busy bench-kept rules lint format docs docs-messages bench bench-short bench-growth profile messages screenshots

help:
	@echo "make demo [N=200] [EXIT=1]   start real servers and the gateway, and run N process instances"
	@echo "make test                    set up, lint, and run every test on real servers"
	@echo "make test-engines [ENGINES='camunda-7.24 operaton-1.0' | ENGINE_URL=...]   the tests that speak with an engine, on each kind of it"
	@echo "make test-pythons            the unit tests on Python 3.12 and 3.13, where they are installed"
	@echo "make wheel                   what is installed elsewhere: dist/*.whl, for repositories of topics"
	@echo "make fuzz [MINUTES=10]       hostile random input at every interface of a gateway on real servers; tells how to repeat"
	@echo "make audit                   known vulnerabilities, licences, and the bill of materials (build/sbom.cdx.json)"
	@echo "make faults [N=10]           the fault tests on real servers, N times, until one fails"
	@echo "make soak [TASKS=5000 REPLICAS=2 MINUTES=5 SEED=...]   faults at random, then: lost, duplicated, stuck, misled, unexplained runs"
	@echo "make bench-dashboard         20,000 tasks in a store in memory: what each page asks of it, p50 and p95"
	@echo "make bench-kept              what pages and the API ask of MongoDB with up to 1,000,000 tasks kept, counted"
	@echo "make bench-busy              tasks at a steady rate beside open overviews, and with none open"
	@echo "make bench [BENCH=...]       measure against the engine's ceiling and other clients; see docs/explanation/performance.md"
	@echo "make bench-short | profile   only what is counted; where a gateway's CPU goes"
	@echo "make bench-growth            how a task's cost grows with backlog, topics, replicas and variables"
	@echo "make screenshots             real servers, the demo's work, and the pictures of docs/images"
	@echo "make messages                bring the catalogs of texts up to the templates"
	@echo "make docs                    the documents as a site: build/docs in English, build/docs/pt-br in Portuguese"
	@echo "make docs-messages           bring the catalogs of the documents up to the English texts"
	@echo "make rules                   write the alerts into the manifests for Kubernetes"
	@echo "make lock                    resolve pyproject.toml's bounds into requirements/ (needs uv)"
	@echo "make lint | make format      check, or mend, the style"

setup: $(VENV)/ready

$(VENV)/ready: requirements/dev.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(RUN)/python -m pip install --quiet --require-hashes -r requirements/dev.txt
	printf '%s\n' "$(CURDIR)" > "$$($(RUN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/gateway.pth"
	printf '#!/bin/sh\nexec "%s/python" -m gateway "$$@"\n' "$(CURDIR)/$(RUN)" > $(RUN)/gateway
	chmod +x $(RUN)/gateway
	touch $@

demo: setup
	$(RUN)/python -m sandbox.demo --instances $(N) $(if $(EXIT),--exit)

lint: setup
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy
	$(RUN)/lint-imports
	$(RUN)/deptry .

test: lint
	$(RUN)/python -m pytest
	$(MAKE) --no-print-directory test-pythons

# ENGINES lists kinds of sandbox/kinds.py, by default all that are supported. An engine at ENGINE_URL is only worked with:
# its login is CAMUNDA_USERNAME and CAMUNDA_PASSWORD, or CAMUNDA_TOKEN.
test-engines: setup
	$(RUN)/python -m tests.each_engine

# The unit tests on each other Python that `requires-python` allows, as far as it is installed.
test-pythons: setup
	for version in $(OTHER_PYTHONS); do sh .ci/unit-tests "$$version" || exit 1; done

# Without isolation, as the lock has what builds it.
wheel: setup
	$(RUN)/python -m hatchling build -t wheel -d dist

# The locks hold for each Python that `requires-python` allows: hashes of all wheels, markers where packages differ.
lock: setup
	$(UV_COMPILE) pyproject.toml --extra dev --extra docs -o requirements/dev.txt
	$(UV_COMPILE) pyproject.toml -o requirements/run.txt
	printf 'hatchling>=1.33,<2\n' | $(UV_COMPILE) - -o requirements/build.txt

# The tools have an environment of their own, so that they are no part of what they look at.
audit: setup
	test -x .cache/audit/bin/python || $(PYTHON) -m venv .cache/audit
	.cache/audit/bin/python -m pip install --quiet --require-hashes -r requirements/audit.txt
	$(RUN)/python requirements/audit.py .cache/audit/bin

# The minutes are shared out evenly, to the API one share for each kind of key; `make test` tries the same properties
# with a few fixed examples.
fuzz: setup
	shares=$$(( $$($(RUN)/python -m pytest --collect-only -q tests/fuzz | grep -c ::) + 4 )) && \
		FUZZ_SECONDS=$$(( ($(MINUTES) * 60 + shares - 1) / shares )) $(RUN)/python -m pytest -q --timeout=0 tests/fuzz

# Each run has servers of its own. N is how often; `make demo` takes the same name for its instances.
faults: setup
	for run in $$(seq 1 $(N)); do echo "run $$run of $(N)" && $(RUN)/python -m pytest -x -q tests/faults || exit 1; done

soak: setup
	$(RUN)/python -m sandbox.soak

bench-dashboard: setup
	$(RUN)/python -m bench.dashboard

bench-kept: setup
	$(RUN)/python -m bench.kept

bench-busy: setup
	$(RUN)/python -m bench.busy

# The alerts once more, as the Prometheus Operator takes them.
rules: RULE := deploy/kubernetes/components/monitoring/prometheus-rule.yaml
rules:
	sed '/^spec:/q' $(RULE) > $(RULE).new
	sed -n '/^groups:/,$$p' deploy/prometheus/alerts.yml | sed 's/^./  &/' >> $(RULE).new
	mv $(RULE).new $(RULE)

format: setup
	$(RUN)/ruff format .
	$(RUN)/ruff check --fix .

screenshots: setup
	$(RUN)/python -m tests.browser.screenshots

# Finds the texts of pages anew, and brings the catalogs up to them; then translate what is empty, and commit the .po files.
messages: setup
	$(RUN)/pybabel -q extract -F babel.cfg -k msg -k Kind:3 --sort-output --no-location --omit-header -w 120 -o web/i18n/locale/messages.pot .
	$(RUN)/pybabel -q update -i web/i18n/locale/messages.pot -d web/i18n/locale -D messages --no-fuzzy-matching --ignore-obsolete --ignore-pot-creation-date -w 120

# The page of each language links to the same page of the other one.
docs: SPHINX := $(RUN)/sphinx-build --quiet --fail-on-warning --keep-going
docs: setup
	$(SPHINX) --builder html --doctree-dir build/doctrees/en docs build/docs
	$(SPHINX) --builder html --doctree-dir build/doctrees/pt-br -D language=pt_BR docs build/docs/pt-br

# Decisions are in English only. Then translate what is empty or fuzzy in docs/locale, and commit the .po files.
docs-messages: setup
	$(RUN)/sphinx-build --quiet --builder gettext --doctree-dir build/doctrees/gettext docs build/gettext
	rm -r build/gettext/decisions
	$(RUN)/sphinx-intl update --no-obsolete --line-width 120 --language pt_BR --pot-dir build/gettext --locale-dir docs/locale

bench: setup
	$(RUN)/python -m bench $(BENCH)

bench-short: setup
	$(RUN)/python -m bench --short

bench-growth: setup
	$(RUN)/python -m bench.growth $(BENCH)

profile: setup
	$(RUN)/python -m bench.profile $(BENCH)
