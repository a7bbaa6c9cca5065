# Every target sets up the environment it needs; `make help` lists them.

PYTHON ?= $(shell for python in python3.11 python3 python; do "$$python" -c \
	'import sys; sys.version_info[:2] == (3, 11) and print(sys.executable)' 2>/dev/null \
	| grep . && break; done)
BIN := .venv/bin
WORKSPACE ?= workspace
MODEL_NAME ?= loupe
REST_PORT ?= 8501
GRPC_PORT ?= 8500
LOCK := .venv/tools/bin/uv pip compile --quiet --generate-hashes --python-version 3.11 \
	--python-platform x86_64-manylinux_2_39 --no-annotate --custom-compile-command 'make lock'

# One word for the shell, whatever is in it: a path may hold blanks and quotes.
quote = '$(subst ','\'',$(1))'
flag = $(if $(2),$(1) $(call quote,$(2)))
SETTINGS = $(call flag,--config,$(CONFIG)) $(foreach setting,$(SET),--set $(call quote,$(setting)))
RUN_FLAGS = $(call flag,--data,$(DATA)) $(SETTINGS)

# The suite waits for processes half of its time. Slow folders come first in the alphabet.
TEST_WORKERS := --numprocesses=2 --no-loadscope-reorder
SYSTEM_PACKAGES := postgresql redis-server chromium curl debootstrap
# Only where the program is not there yet: these may have come from elsewhere.
PROGRAM_PACKAGES := kubectl:kubernetes-client dockerd:docker.io ip:iproute2
# Parts of docker.io that newer releases of Debian have as packages of their own.
SPLIT_PACKAGES := docker-cli docker-buildx

.DEFAULT_GOAL := help
.PHONY: help packages setup environment run test check format smoke compile serve bench doctor lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo
	@echo "  make run DATA='my photos' WORKSPACE=folder CONFIG=name SET=\"train.epochs=3 data.span=1\""
	@echo "  Values in SET hold no blanks; for those call: .venv/bin/loupe run --set 'name=a value'"
	@echo "  make turns every failure into exit code 2 and prints the real one ('Error 3' is trained"
	@echo "  but not blessed); .venv/bin/loupe run ends with the real one itself."

setup: environment ## make or update the environment in .venv
	@echo "The environment in .venv is ready."

environment:
	@python=$(call quote,$(PYTHON)); if [ -z "$$python" ]; then \
		echo "No Python 3.11 was found on PATH. Install it, or name it:" \
			"make setup PYTHON=/path/to/python3.11" >&2; exit 6; fi; \
	"$$python" -m tools.setup_environment

run: environment ## images in, pushed model out (DATA, WORKSPACE, CONFIG, SET)
	@$(BIN)/loupe run --workspace $(call quote,$(WORKSPACE)) $(RUN_FLAGS)

test: environment ## run every test, two at a time (ARGS="-k name" for some, ARGS=-n0 for one at a time)
	@$(BIN)/python -m pytest $(TEST_WORKERS) $(ARGS)

packages: ## Debian packages that some tests use and skip without (needs root)
	@missing=$$(dpkg-query --show --showformat='$${Package} ' $(SYSTEM_PACKAGES) 2>&1 >/dev/null \
		| sed -n 's/.*matching //p'); for pair in $(PROGRAM_PACKAGES); do \
		command -v "$${pair%:*}" >/dev/null || missing="$$missing $${pair#*:}"; done; \
		if [ -n "$$missing" ]; then apt-get update -qq || exit; case "$$missing" in *docker.io*) \
		for name in $(SPLIT_PACKAGES); do apt-cache show "$$name" >/dev/null 2>&1 \
		&& missing="$$missing $$name"; done;; esac; DEBIAN_FRONTEND=noninteractive apt-get \
		install -qq --yes --no-install-recommends $$missing >/dev/null; fi

check: environment ## check format, lint and types, changing nothing
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/pyright

format: environment ## format and fix what can be fixed by itself
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

smoke: environment ## the whole pipeline on tiny data, in a workspace of its own
	@$(BIN)/loupe run --config smoke --workspace $(call quote,$(WORKSPACE)/smoke)

compile: environment ## write the pipeline for Kubeflow Pipelines (CONFIG, SET, OUTPUT)
	@$(BIN)/loupe kubeflow compile --workspace $(call quote,$(WORKSPACE)) $(SETTINGS) \
		$(call flag,--output,$(OUTPUT))

serve: environment ## serve the last pushed model (REST_PORT, GRPC_PORT)
	@$(BIN)/python -m serving.model_server --rest_api_port=$(REST_PORT) --port=$(GRPC_PORT) \
		--model_name=$(MODEL_NAME) \
		--model_base_path=$(call quote,$(abspath $(WORKSPACE))/serving/$(MODEL_NAME))

bench: environment ## measure speed and memory against plain Keras
	@$(BIN)/python -m benchmarks $(ARGS)

doctor: environment ## check this machine and say what to do about what is wrong
	@$(BIN)/loupe doctor --workspace $(call quote,$(WORKSPACE))

lock: environment ## write requirements/*.lock from setup.py (ARGS=--upgrade for new versions)
	@for name in bootstrap compiler build; do \
		$(LOCK) $(ARGS) requirements/$$name.in --output-file requirements/$$name.lock || exit; done
	@$(LOCK) $(ARGS) setup.py --extra dev --output-file requirements/dev.lock
	@for name in pipeline pipeline-gpu model-server gateway; do $(LOCK) $(ARGS) setup.py --extra $$name \
		--constraint requirements/dev.lock --output-file requirements/$$name.lock || exit; done

clean: ## remove the environment and caches; workspaces and their models stay
	@rm -rf .venv build loupe.egg-info .pytest_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -not -path './workspace/*' -prune -exec rm -rf {} +
