# Everything a developer does. `make help` lists the targets; CI calls only these.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
STAMP := $(VENV)/.ready
SETUP_INPUTS := uv.lock pyproject.toml $(wildcard libs/*/pyproject.toml services/*/pyproject.toml)

.DEFAULT_GOAL := help
.PHONY: help setup demo up down secrets certificates compose-up compose-down compose-demo logs \
        check fmt lint type layers tidy test unit contract integration e2e deploy-check artefacts \
        audit sbom digests release-check container-test kube-test sim chaos crash-points mutants \
        bench-smoke bench-teams bench-failover bench-restore bench-sagas bench-gate clean

help: ## List the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-14s %s\n", $$1, $$2}'

setup: $(STAMP) ## Create .venv with everything that is needed, as locked

$(STAMP): $(SETUP_INPUTS)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@test -x $(UV) || $(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv>=0.6'
	@$(UV) sync --quiet --all-packages --locked --inexact
	@touch $@

demo: setup ## Run the main job in one process: a dossier of this environment
	@$(BIN)/folkmoot demo $(ARGS)

up: setup ## Start real Kafka and NATS and every service as a process of its own
	@$(BIN)/folkmoot up $(ARGS)

down: setup ## Stop what `make up` started
	@$(BIN)/folkmoot down

PIP_AUDIT := pip-audit==2.10.1
SBOM ?= dist/folkmoot.cdx.json

# Containers, by Docker or what stands in for it: `make compose-up COMPOSE='podman compose'`.
COMPOSE ?= docker compose
ENGINE ?= docker

# With SECURE=1 connections to the brokers are encrypted; with RELEASE=1 images are pinned by digest.
COMPOSED = $(COMPOSE) $(if $(RELEASE),--env-file .env --env-file deploy/compose/release.env) \
           -f docker-compose.yml $(if $(SECURE),-f deploy/compose/secure.yml)

secrets: setup ## Make a password and an nkey for each user of the brokers, in deploy/secrets
	@$(BIN)/python -m deploy.secrets

certificates: setup ## Make an authority and a certificate for the brokers, in deploy/secrets
	@$(BIN)/python -m deploy.certificates

compose-up: secrets $(if $(SECURE),certificates) ## Build the images, start the whole platform in containers, wait until all is ready
	@$(COMPOSED) up --build --detach --wait --wait-timeout 180 $(ARGS)

compose-down: ## Stop the containers; ARGS=--volumes deletes what they kept as well
	@$(COMPOSED) --profile '*' down --remove-orphans $(ARGS)

compose-demo: secrets $(if $(SECURE),certificates) ## Run the main job in containers; its report goes to ./dossier
	@mkdir -p dossier
	@FOLKMOOT_USER=$$(id -u):$$(id -g) $(COMPOSED) --profile demo run --build --rm demo

logs: ## Follow the logs of the containers; ARGS=election for those of one service
	@$(COMPOSED) logs --follow --tail 50 $(ARGS)

check: fmt-check lint type layers tidy ## All checks that run no service, fastest first

.PHONY: fmt-check
fmt-check: setup
	@$(BIN)/ruff format --check --quiet .

fmt: setup ## Format the code
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix --quiet .

lint: setup ## Lint
	@$(BIN)/ruff check --quiet .

type: setup ## Check the types
	@$(BIN)/mypy libs services tests bench examples deploy

layers: setup ## Check who imports whom
	@rm -rf $(VENV)/layers && mkdir -p $(VENV)/layers/folkmoot
	@cp -r libs/*/src/folkmoot/* services/*/src/folkmoot/* $(VENV)/layers/folkmoot/
	@PYTHONPATH=$(VENV)/layers $(BIN)/lint-imports --no-cache > $(VENV)/layers.txt \
	  || (cat $(VENV)/layers.txt; exit 1)

tidy: setup ## Check sizes, purity and anatomy
	@$(BIN)/pytest -q tests/tidy

test: setup ## Run every test, those on real Kafka and NATS included
	@$(BIN)/pytest

unit: setup ## Run the tests that need no broker
	@$(BIN)/pytest -q -m 'not kafka and not e2e'

contract: setup ## Run the behaviour suites on every adapter
	@$(BIN)/pytest -q tests/contract

integration: setup ## Run what needs a real broker but not the whole platform
	@$(BIN)/pytest -q tests/integration

e2e: setup ## Run the whole platform, embedded and as processes
	@$(BIN)/pytest -q tests/e2e

deploy-check: setup ## Check what is deployed, without an engine
	@$(BIN)/pytest -q -m 'not e2e' tests/deploy

artefacts: setup ## Make the generated files anew: metrics and traces pages, dashboards, manifests
	@$(BIN)/python -m deploy.artefacts

audit: setup ## Look up known vulnerabilities of what is locked; needs the network
	@$(UV) export --quiet --frozen --all-packages --all-extras --no-emit-workspace \
	  --format requirements.txt --output-file $(VENV)/locked.txt
	@$(UV) tool run --quiet --from $(PIP_AUDIT) pip-audit --strict --disable-pip --require-hashes \
	  --requirement $(VENV)/locked.txt $(ARGS)

sbom: setup ## List the parts of what is shipped, as CycloneDX, in SBOM=FILE
	@mkdir -p $(dir $(SBOM))
	@$(UV) export --quiet --frozen --all-packages --all-extras --no-dev \
	  --format cyclonedx1.5 --preview-features sbom-export > $(SBOM)

digests: ## Pin the images of others by digest, for a release; ARGS="--inspect COMMAND" asks otherwise
	@$(PYTHON) -m deploy.digests resolve $(ARGS)

release-check: ## See that a release pins every image of others
	@$(PYTHON) -m deploy.digests check

container-test: setup ## Run the main job in containers while they are killed, cut off and frozen
	@$(BIN)/python -m tests.containers --compose '$(COMPOSE)' --engine '$(ENGINE)' $(ARGS)

kube-test: setup ## Run the manifests for Kubernetes by `podman play kube`, and the main job in them
	@$(BIN)/python -m tests.containers.kube $(ARGS)

chaos: setup ## Kill, pause and cut everything for SECONDS, drawn from SEED; ARGS=--help
	@$(BIN)/python -m tests.chaos $(if $(SECONDS),--seconds $(SECONDS)) \
	  $(if $(SEED),--seed $(SEED)) $(ARGS)

crash-points: setup ## Kill -9 at every entry of a saga, on a file and on Kafka; ARGS=--help
	@$(BIN)/python -m tests.crashes $(ARGS)

sim: setup ## Run SEEDS=n simulated worlds, each with other faults
	@$(BIN)/folkmoot-sim --seeds $(or $(SEEDS),2000) $(ARGS)

mutants: setup ## Plant defects into the kernel and the machines, and see each noticed
	@$(BIN)/python -m tests.mutants.run $(ARGS)

bench-smoke: setup ## Measure the first run and the no-op saga; JSON=FILE writes the rows
	@$(BIN)/python -m bench.smoke $(if $(JSON),--json $(JSON))

bench-teams: setup ## Measure the election of 10,000 teams; JSON=FILE writes the rows
	@$(BIN)/python -m bench.teams $(if $(JSON),--json $(JSON))

bench-failover: setup ## Measure fail-over and the kernel beside others; JSON=FILE writes the rows
	@$(BIN)/python -m bench.failover $(if $(JSON),--json $(JSON)) $(ARGS)

bench-restore: setup ## Measure restoring a shard from its log and from a snapshot; JSON=FILE as above
	@$(BIN)/python -m bench.restore $(if $(JSON),--json $(JSON))

bench-sagas: setup ## Measure sagas beside other engines and a bare loop; JSON=FILE writes the rows
	@$(BIN)/python -m bench.sagas $(if $(JSON),--json $(JSON)) $(ARGS)

bench-gate: setup ## Fail if sagas have become slower beside the bare loop; ARGS=--record records
	@$(BIN)/python -m bench.sagas.gate $(ARGS)

clean: ## Remove what was made: the environment, caches and local data
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .folkmoot dist
