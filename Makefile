# `make run` sets everything up and starts the service; `make help` lists the rest. Written for GNU make 3.81 and newer.

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?=
STRICT ?=
ARGS ?=
SEEDS ?= 100
MINUTES ?= 60
# A test that hangs is shown with its stack after 15 minutes and ends the run.
LIMITS := -o faulthandler_timeout=900 -o faulthandler_exit_on_timeout=true

.DEFAULT_GOAL := help
.PHONY: help run test soak demo bench lint format clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "  PYTHON=python3.12  the interpreter for $(VENV)        STRICT=1  make test fails on every skipped test"
	@echo "  SEEDS=100 MINUTES=60  how long make soak takes         ARGS=...  passed on to run, test, soak and bench"

run: $(VENV)/.installed ## set up and start the service (settings: .env, see .env.example)
	@exec $(BIN)/communities run $(ARGS)

test: $(VENV)/.installed-test ## set up and run all tests, the official servers included where they can run
	@$(BIN)/python -m tests.network.netbox
	@exec $(BIN)/python -m pytest $(LIMITS) $(if $(STRICT),--no-skips) $(ARGS)

soak: $(VENV)/.installed-test ## histories with every fault, seed by seed, and 200 kills: what was lost, doubled, resurrected
	@exec $(BIN)/python -m tests.soak --seeds $(SEEDS) --minutes $(MINUTES) $(ARGS)

demo: $(VENV)/.installed-test ## the service on a simulated network: no internet, no account needed
	@exec $(BIN)/python -m tests.demo $(ARGS)

bench: $(VENV)/.installed-test ## the benchmark tables
	@exec $(BIN)/python -m bench $(ARGS)

lint: $(VENV)/.installed-test ## lint, format check, type check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed-test ## rewrite the code in the project's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove what make has made; data, .env and communities.toml stay
	rm -rf $(VENV) build dist ./*.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis tests/network/node_modules bench/labeler_peer/node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/.python
	@echo "installing into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	@echo "installing what the tests need into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	@touch $@

$(VENV)/.python:
	@for python in "$(PYTHON)" python3.13 python3.12 python3.11 python3; do \
	  [ -n "$$python" ] || continue; \
	  if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found=$$python; break; fi; \
	  if [ "$$python" = "$(PYTHON)" ]; then echo "PYTHON=$$python is not Python 3.11 or newer." >&2; exit 1; fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo "Python 3.11 or newer is needed and was not found. Install it, then run make again:" >&2; \
	  if command -v apt-get >/dev/null; then echo "  sudo apt-get install -y python3 python3-venv" >&2; \
	  elif command -v brew >/dev/null; then echo "  brew install python@3.13" >&2; \
	  else echo "  https://www.python.org/downloads/" >&2; fi; \
	  exit 1; \
	fi; \
	if ! "$$found" -c 'import ensurepip, venv' 2>/dev/null; then \
	  version=$$("$$found" -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	  echo "$$found has no venv module. Install it, then run make again:" >&2; \
	  echo "  sudo apt-get install -y python$$version-venv" >&2; \
	  exit 1; \
	fi; \
	echo "making $(VENV) with $$("$$found" --version)"; \
	"$$found" -m venv $(VENV) && touch $@
