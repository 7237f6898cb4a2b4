# Every command installs what it needs and says so on stderr. Standard output belongs to the command.

MAKEFLAGS += --no-print-directory --no-builtin-rules
SHELL := /bin/bash
.DEFAULT_GOAL := help

# Another environment besides the usual one: make test VENV=.venv-3.13 PYTHON=python3.13
VENV := .venv
PY := $(VENV)/bin/python
UV := uv==0.9.30

# The first Python that runs and has a fitting version. A name on the PATH may be a shim without Python. PYTHON=… overrides.
FIT := import sys, ensurepip, ssl; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
FIND_PYTHON = $(or $(PYTHON),$(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c '$(FIT)' >/dev/null 2>&1 && { echo $$p; exit; }; done; echo no-fit-python))

# The name of each ready file has the checksum of its lock file: no work when nothing changed, on any branch.
PY_LOCKS := requirements-dev.txt tests/conformance/requirements.txt
PY_READY := $(VENV)/.ready-$(shell cat $(PY_LOCKS) | cksum | cut -d' ' -f1)
INFRA_LOCK := tests/infra/requirements.txt
INFRA_READY := .venv-infra/.ready-$(shell cat $(INFRA_LOCK) | cksum | cut -d' ' -f1)
NODE_READY := node_modules/.ready-$(shell cat package-lock.json | cksum | cut -d' ' -f1)

# The files of the page /docs, from npm's package. No work when they are there already.
SWAGGER_UI = $(PY) -m tools.swagger_ui

.PHONY: help run demo token customer test quick soak check bench package packaged infra smoke backup restore rebuild openapi docs lock clean FORCE

help:  ## Show these lines
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "make %-9s%s\n", $$1, $$2}' Makefile

run: $(PY_READY) $(NODE_READY)  ## Run storage, mail catcher and functions on this machine, until Ctrl-C
	@$(SWAGGER_UI)
	@exec $(PY) -m devhost.stack

demo: $(PY_READY) $(NODE_READY)  ## Walk a claim from draft to usage figures, on the running stack or its own
	@exec $(PY) -m devhost.demo

token: $(PY_READY)  ## Print a bearer token of the sandbox: ROLE=Incentives.Admin TENANT=<guid> [APP=1]
	@exec $(PY) -m devhost.stack.token $(if $(ROLE),--role '$(ROLE)') $(if $(TENANT),--tenant '$(TENANT)') \
		$(if $(filter-out 0 no false,$(APP)),--app)

customer: $(PY_READY)  ## Register a customer without any claim, on the running stack; print its ids
	@exec $(PY) -m devhost.stack.customer

quick: $(PY_READY)  ## Run the tests without storage, mail, browser or other processes; under a minute: [ARGS=…]
	@exec $(PY) -m pytest --numprocesses=auto -m 'not slow' $(ARGS)

test: $(PY_READY) $(NODE_READY)  ## Run every test, on real storage, mail and browser: [ARGS='tests/core -k window'] [THOROUGH=1]
	@$(SWAGGER_UI)
	@chromium="$$($(PY) -m tools.chromium)" && CPOR_CHROMIUM="$$chromium" exec $(PY) -m pytest --numprocesses=auto $(ARGS)

soak: $(PY_READY) $(NODE_READY)  ## Run two hosts with many callers and kills, then check the tables: [SECONDS=600 KILLS=20 CALLERS=12 SEED=…]
	@exec $(PY) -m tests.soak $(if $(SECONDS),--seconds '$(SECONDS)') $(if $(KILLS),--kills '$(KILLS)') \
		$(if $(CALLERS),--callers '$(CALLERS)') $(if $(SEED),--seed '$(SEED)')

check: $(PY_READY)  ## Check lint, format, types and layers
	@failed=; \
	echo 'lint (ruff)';            $(PY) -m ruff check --quiet --output-format=concise || failed+=' lint'; \
	echo 'format (ruff)';          $(PY) -m ruff format --check --quiet --output-format=concise || failed+=' format'; \
	echo 'types (mypy)';           $(PY) -m mypy --no-error-summary || failed+=' types'; \
	echo 'layers (import-linter)'; $(VENV)/bin/lint-imports --no-logo || failed+=' layers'; \
	if [ "$$failed" ]; then echo "Failed:$$failed" >&2; exit 1; fi

bench: $(PY_READY) $(NODE_READY)  ## Compare the speed with that of the storage SDKs alone: [ARGS='--stored 100000']
	@exec $(PY) -m tests.bench $(ARGS)

package: $(PY_READY) $(NODE_READY)  ## Build the deployment package, dist/cpor.zip, for the cloud's Python
	@$(SWAGGER_UI)
	@exec $(PY) -m tools.package

packaged: $(PY_READY)  ## Check that the deployment package has its libraries: [CPOR_PACKAGE=<zip>]
	@exec $(PY) -m tools.package --check $(CPOR_PACKAGE)

infra: $(PY_READY) $(INFRA_READY)  ## Look for insecure settings in infra/ (checkov)
	@exec $(PY) -m tools.insecure_settings

smoke: $(PY_READY)  ## Send a deployed service a few requests from outside: URL=https://…/api
	@exec $(PY) -m tools.smoke '$(URL)'

backup: $(PY_READY)  ## Copy all tables into a new folder: TO=<folder>, storage as docs/operating.md says
	@exec $(PY) -m tools.backup '$(TO)'

restore: $(PY_READY)  ## Fill empty tables from such a folder: FROM=<folder> [OVER=1]
	@exec $(PY) -m tools.restore $(if $(OVER),--over) '$(FROM)'

rebuild: $(PY_READY)  ## Make indexes and due rows anew from the claims
	@exec $(PY) -m tools.rebuild_indexes

openapi: $(PY_READY)  ## Write openapi.json from the table of operations
	@exec $(PY) -m tools.openapi

docs: $(PY_READY)  ## Write the parts of docs/ that are made from the code
	@exec $(PY) -m tools.pages

COMPILE = UV_PYTHON_DOWNLOADS=never $(VENV)/bin/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url \
	--custom-compile-command 'make lock' $(if $(UPGRADE),--upgrade)

lock: $(PY_READY)  ## Compile the requirement files and the npm lock: [UPGRADE=1]
	@$(PY) -m pip install --quiet --quiet '$(UV)'
	@$(COMPILE) --python-version 3.11 pyproject.toml --output-file requirements.txt
	@$(COMPILE) --python-version 3.11 pyproject.toml --group dev --constraints requirements.txt --output-file requirements-dev.txt
	@$(COMPILE) --python-version 3.13 --no-deps --group worker --output-file tests/conformance/requirements.txt
	@$(COMPILE) --python-version 3.11 --group infra --output-file $(INFRA_LOCK)
	@npm install --package-lock-only --loglevel=error

clean:  ## Remove everything that was installed, built and stored
	@rm -rf .venv .venv-* node_modules cpor_app/swagger_ui .local dist .python_packages .mypy_cache .pytest_cache .ruff_cache .hypothesis .schemathesis .coverage htmlcov .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(PY_READY): $(if $(PYTHON),FORCE)
	@python=$(FIND_PYTHON); command -v "$$python" >/dev/null \
		|| { echo 'Python 3.11, 3.12 or 3.13 is needed, and none was found. PYTHON=<path> names one.' >&2; exit 1; }; \
	"$$python" tools/prepare.py python $@ $(if $(PYTHON),--same-python)

$(INFRA_READY): | $(PY_READY)
	@$(PY) tools/prepare.py infra $@

$(NODE_READY):
	@$(PY) tools/prepare.py node $@

FORCE:
