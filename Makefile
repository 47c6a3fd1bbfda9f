# Everything a developer or operator runs. `make help` lists it.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
CARGO ?= cargo
# One profile for tests, demo and end-to-end tests, so that nothing is compiled twice.
BINARY = $(shell $(CARGO) metadata --format-version 1 --no-deps --offline 2>/dev/null | python3 -c 'import json,sys; print(json.load(sys.stdin)["target_directory"])')/debug/smo
TESTBED = python3 -m testbed
# Programs for `make lint`, built once and kept outside the work tree.
TOOLS = $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/smo/tools
CARGO_MACHETE = cargo-machete@0.9.2
CARGO_DENY = cargo-deny@0.20.2
SCHEMATHESIS_VERSION = 4.32.5
SCHEMATHESIS = $(TOOLS)/schemathesis-$(SCHEMATHESIS_VERSION)
# Built together with the program: by itself that would be built with other features of its dependencies, all over again.
TESTED = --lib --bins --test it

# End-to-end tests that say nothing about the generation of Helm, or nothing of SQLite: one variant of them is enough.
ONCE = kills alerts scaling a_cluster_that_is_not_ready an_over_full_cluster a_postgresql_that_restarts

# Compares the output of a command of smo with the document that it printed: $(call compare,COMMAND,FILE).
compare = $(BINARY) $(1) | diff -u $(2) - || { echo '$(2) is out of date: run `make documents`'; exit 1; }
# Installs a program of this version, NAME@VERSION, unless it is there.
install = test "$$($(TOOLS)/bin/$(firstword $(subst @, ,$(1))) --version 2>/dev/null | grep -o '[0-9.]*$$')" = '$(lastword $(subst @, ,$(1)))' || \
	env -u CARGO_TARGET_DIR $(CARGO) install --locked --root $(TOOLS) $(1)

.DEFAULT_GOAL := help
.PHONY: help demo test fuzz lint fmt doc documents e2e bench bench-continuum bench-descriptors bench-deploy bench-reflectors testbed-up testbed-down testbed-env setup-solver \
	setup-postgres setup-tools setup-fuzz clean

help: ## List the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

demo: setup-solver ## Deploy the Brussels example on the simulated continuum (KEEP=1 leaves the server running)
	$(CARGO) build --locked
	python3 examples/demo.py --binary $(BINARY) $(if $(KEEP),--keep)

test: setup-solver lint setup-postgres ## Lints, unit tests, API tests, store tests on SQLite and PostgreSQL, fuzzing
	@log=$$(mktemp); trap 'rm -f "$$log"' EXIT; \
	$(CARGO) test --locked $(TESTED) 2>&1 | tee "$$log"; \
	python3 tests/count.py "$$log"
	python3 -m unittest -q testbed.test_units benches.test_units
	python3 examples/readme.py --binary $(BINARY)
	$(MAKE) --no-print-directory fuzz

fuzz: setup-solver setup-fuzz ## Fuzz a server by its OpenAPI document, a minute (EXAMPLES=N for each operation)
	$(CARGO) build --locked
	python3 tests/fuzz.py --binary $(BINARY) --schemathesis $(SCHEMATHESIS)/bin/schemathesis --examples $(or $(EXAMPLES),100)

lint: setup-solver setup-tools ## Format, clippy, rustdoc, dependencies, printed documents up to date
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	$(CARGO) clippy --locked --test e2e -- -D warnings
	$(CARGO) clippy --locked --lib --no-default-features -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --document-private-items --quiet
	$(CARGO) test --locked --no-run $(TESTED)
	@$(call compare,openapi,docs/openapi.json)
	@$(call compare,config --reference,docs/configuration.md)
	@$(call compare,config --example,config/smo.example.yaml)
	@$(call compare,conditions,docs/conditions-and-events.md)
	@python3 docs/files.py | diff -u docs/files.md - || { echo 'docs/files.md is out of date: run `make documents`'; exit 1; }
	@for descriptor in examples/*/hdag.yaml; do $(BINARY) hdag validate $$descriptor; done
	python3 -m compileall -q testbed examples tests benches
	$(TOOLS)/bin/cargo-machete
	$(TOOLS)/bin/cargo-deny --locked check bans licenses sources

fmt: ## Format the sources
	$(CARGO) fmt

doc: ## Build the documentation of the code
	$(CARGO) doc --no-deps --document-private-items

documents: setup-solver ## Write the documents that the program prints
	$(CARGO) build --locked
	$(BINARY) conditions > docs/conditions-and-events.md
	python3 docs/files.py > docs/files.md
	$(BINARY) openapi > docs/openapi.json
	$(BINARY) config --reference > docs/configuration.md
	$(BINARY) config --example > config/smo.example.yaml

e2e: setup-solver ## End-to-end tests on the test bed: Helm 4 with PostgreSQL, then Helm 3 with SQLite
	$(CARGO) test --locked --test e2e --no-run
	$(TESTBED) up
	trap '$(TESTBED) down' EXIT; source <($(TESTBED) env); \
	E2E_HELM=4 E2E_DATABASE=postgres $(CARGO) test --locked --test e2e -- --nocapture $(E2E); \
	E2E_HELM=3 E2E_DATABASE=sqlite $(CARGO) test --locked --test e2e -- --nocapture $(ONCE:%=--skip %) $(E2E)

bench: setup-solver ## Time the decisions against the same models in CVXPY (ONLY="moves loads replicas cost"; INSTANCES=DIR OUT=FILE: only run a folder)
ifdef INSTANCES
	$(CARGO) bench --locked --bench instances -- --out $(abspath $(or $(OUT),instances.jsonl)) $(abspath $(INSTANCES))
else
	$(if $(ONLY),,$(CARGO) bench --locked --bench optimizer)
	python3 benches/report.py $(ONLY)
endif

bench-continuum: setup-solver ## A server with 100, 1 000 and 10 000 simulated graphs (GRAPHS="100 1000")
	@for graphs in $(or $(GRAPHS),100 1000 10000); do \
		$(CARGO) bench --locked --quiet --bench continuum -- --graphs $$graphs || exit 1; \
	done

bench-descriptors: setup-solver ## Time parsing and checking of hostile descriptors of 1 MiB (ONLY=TEXT: those with it in their names)
	$(CARGO) bench --locked --quiet --bench descriptors -- "$(ONLY)"

bench-deploy: setup-solver ## Time deployments through smo against plain helm, on the test bed
	$(CARGO) build --locked --release
	$(TESTBED) up
	source <($(TESTBED) env); python3 benches/deploy.py --binary $(dir $(BINARY))../release/smo

bench-reflectors: ## Measure the cost of watching 50 000 Secrets of Helm on the test bed (SECRETS=N)
	$(CARGO) build --locked --release
	$(TESTBED) up
	source <($(TESTBED) env); python3 benches/reflectors.py --binary $(dir $(BINARY))../release/smo --secrets $(or $(SECRETS),50000)

testbed-up: ## Start every real system as a local process
	$(TESTBED) up

testbed-down: ## Stop them
	$(TESTBED) down

testbed-env: ## Print what to export to use them by hand
	@$(TESTBED) env

setup-solver: ## Install what HiGHS is built with when it is missing (Debian): cmake, libclang
	@python3 -c 'from testbed import debian; debian.install({"cmake": "cmake", "libclang": "libclang1-14"})'

setup-postgres: ## Install PostgreSQL when it is missing (Debian); no service is started
	@python3 -c 'from testbed import debian; debian.install({"postgres": "postgresql"})'

setup-tools: ## Build cargo-machete and cargo-deny when they are missing
	@$(call install,$(CARGO_MACHETE))
	@$(call install,$(CARGO_DENY))

setup-fuzz: ## Install schemathesis when it is missing
	@test -x $(SCHEMATHESIS)/bin/schemathesis || { \
		python3 -m venv $(SCHEMATHESIS) && $(SCHEMATHESIS)/bin/pip install -q schemathesis==$(SCHEMATHESIS_VERSION); \
	}

clean: ## Remove what was built
	$(CARGO) clean
