# TopicAssign. `make run` starts it; `make help` lists the rest.
SHELL := /bin/sh
VENV := .venv
PYTHON := $(VENV)/bin/python
PORT ?= 8000

.DEFAULT_GOAL := help
.PHONY: help run test lint bench bench-learning screenshots vendor lock messages clean venv-run venv-dev

help: ## This list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

run: venv-run ## Start TopicAssign with its sample project on http://127.0.0.1:8000 (PORT=... for another)
	@exec $(PYTHON) manage.py start --port $(PORT) --sample

test: venv-dev ## All tests; PostgreSQL, Redis and Chromium are used where present
	@$(PYTHON) scripts/test.py

lint: venv-dev ## Style, types, missing migrations, vendored files
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy .
	$(PYTHON) manage.py makemigrations --check --dry-run
	$(PYTHON) scripts/messages.py --check
	@if command -v npm >/dev/null 2>&1; then \
	  [ -d node_modules ] || npm ci --ignore-scripts --no-audit --no-fund; node scripts/vendor.mjs --check; \
	else echo "npm is not here: the vendored browser files were not checked."; fi

bench: venv-dev ## Measure the application; ARGS="--rows 10000,100000 --database both"
	$(PYTHON) bench/app.py $(ARGS)

bench-learning: venv-dev ## Measure how well the AI learns; ARGS="FILE ... --seeds 0,1,2 --no-deep"
	$(PYTHON) bench/learning.py $(ARGS)

screenshots: venv-dev ## Take the pictures of the documentation anew (needs Chromium); ARGS="view focus --port 8123"
	@$(PYTHON) scripts/screenshots.py $(ARGS)

vendor: ## Copy the pinned browser files into static/vendor (needs npm)
	npm ci --ignore-scripts --no-audit --no-fund
	node scripts/vendor.mjs

lock: ## Write requirements.lock from pyproject.toml (use Python 3.11)
	@$(find_python); "$$py" scripts/lock.py

messages: venv-dev ## Collect sentences into locale/ and compile the translations
	@$(PYTHON) scripts/messages.py

clean: ## Delete what is built: environment, caches, static files. Your data in var/ stays
	rm -rf $(VENV) node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis test-results bench/results var/staticfiles
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

venv-run: $(VENV)/.run
venv-dev: $(VENV)/.dev

# A supported Python that can make environments. A name on the PATH proves nothing, so each is tried.
find_python = py=; for name in $(PYTHON_BIN) python3 python3.13 python3.12 python3.14 python3.11 python; do \
	  if "$$name" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null; \
	  then py=$$name; break; fi; done; \
	if [ -z "$$py" ]; then echo "Python 3.11 to 3.14 with venv is needed (on Debian: python3 and python3-venv)." >&2; exit 1; fi

$(PYTHON):
	@$(find_python); echo "Making $(VENV) with $$($$py --version) ..."; "$$py" -m venv $(VENV)

# What the product needs; the lock's second part is for development and tests.
$(VENV)/.run: requirements.lock | $(PYTHON)
	@echo "Installing the packages (once, a few minutes) ..."
	@sed '/^# --- development/,$$d' requirements.lock > $(VENV)/run.lock
	@$(PYTHON) -m pip install -qq --disable-pip-version-check -r $(VENV)/run.lock
	@touch $@

$(VENV)/.dev: requirements.lock | $(PYTHON)
	@echo "Installing the packages and the tools for tests (once, a few minutes) ..."
	@$(PYTHON) -m pip install -qq --disable-pip-version-check -r requirements.lock
	@touch $@ $(VENV)/.run
