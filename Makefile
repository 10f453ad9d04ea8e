# Two commands on a fresh machine with Python 3.11 and pip: `make demo` and `make test`.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PEERS  ?= .venv-peers

.PHONY: demo test test-cluster test-kubeflow crd check lint nightly bench clean clients conformance

demo: $(VENV)/.core            ## the whole loop on real data: attack, alarm, containment, hardening, promotion
	$(BIN)/hauberk demo

test: $(VENV)/.dev             ## the tests
	$(BIN)/pytest

check: lint test               ## lint, types, contracts, shape, tests

lint: $(VENV)/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

test-cluster: $(VENV)/.dev     ## the operator against an API server: ours, or HAUBERK_TEST_KUBECONFIG
	$(BIN)/pytest tests/cluster -m cluster --timeout 900

crd: $(VENV)/.dev              ## write the definition of ModelShield anew, after a change of the Spec
	$(BIN)/hauberk operator crd > deploy/crd/modelshields.hauberk.dev.yaml
	cp deploy/crd/modelshields.hauberk.dev.yaml deploy/helm/hauberk/crds/

nightly: $(VENV)/.dev          ## the long tests too
	$(BIN)/pytest -m "not cluster and not kubeflow" --timeout 3600

bench-%: $(VENV)/.dev          ## one benchmark; writes benchmarks/results/NAME.json
	$(BIN)/python -m benchmarks.$*

bench-lab: $(PEERS)/.done     ## the lab against other libraries, in an environment of its own
	$(PEERS)/bin/python -m benchmarks.lab

bench-parity: $(PEERS)/.done  ## what our attacks find beside what other libraries' find
	$(PEERS)/bin/python -m benchmarks.parity

bench-harden: $(PEERS)/.done  ## hardening against the published schedule, a plain loop and ART
	$(PEERS)/bin/python -m benchmarks.harden

bench-detection-peers: $(VENV)/.dev ## ours beside others; HAUBERK_DRIFT_PYTHON names theirs
	$(BIN)/python -m benchmarks.detection_peers

bench: bench-loop bench-detection bench-vet bench-poison bench-ledger bench-lab bench-parity bench-tabular bench-distributed bench-gateway bench-scale bench-extraction bench-campaigns bench-watch bench-small_twin bench-harden bench-ablation bench-auto bench-trees bench-detector   ## all benchmarks

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.core: $(VENV)/bin/python pyproject.toml constraints.txt
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

$(VENV)/.dev: $(VENV)/.core
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

# The official clients need other versions than ours, so they live apart; tests use them if named.
clients: $(VENV)-clients/.done ## kserve's and Triton's clients, for HAUBERK_PEERS_PYTHON

$(VENV)-clients/.done: requirements-clients.txt
	$(PYTHON) -m venv $(VENV)-clients
	$(VENV)-clients/bin/pip install --quiet --disable-pip-version-check -r requirements-clients.txt
	touch $@

conformance: $(VENV)-forms/.done ## reports, bills and signatures by the official tools, which live apart too
	PYTHONPATH=src HAUBERK_MODEL_SIGNING=$(CURDIR)/$(VENV)-forms/bin/model_signing \
	$(VENV)-forms/bin/python -m pytest tests/conformance/test_official_forms.py tests/conformance/test_model_signing.py

$(VENV)-forms/.done: requirements-forms.txt
	$(PYTHON) -m venv $(VENV)-forms
	$(VENV)-forms/bin/pip install --quiet --disable-pip-version-check -r requirements-forms.txt
	touch $@

$(PEERS)/.done: pyproject.toml constraints.txt benchmarks/peers.txt
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	$(PEERS)/bin/pip install --quiet --disable-pip-version-check --no-deps -r benchmarks/peers.txt
	touch $@

# Pipelines, Ray, MLflow and torchrun: minutes, and extras that the other tests do without.
test-kubeflow: $(VENV)/.kubeflow $(VENV)-mlflow/.done ## the tests of the Kubeflow and MLflow adapters
	HAUBERK_MLFLOW=$(CURDIR)/$(VENV)-mlflow/bin/mlflow $(BIN)/pytest --timeout 1200 tests/kubeflow -m kubeflow

$(VENV)/.kubeflow: $(VENV)/.dev
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,kubeflow,mlflow,ray]'
	touch $@

$(VENV)-mlflow/.done: requirements-mlflow.txt
	$(PYTHON) -m venv $(VENV)-mlflow
	$(VENV)-mlflow/bin/pip install --quiet --disable-pip-version-check -r requirements-mlflow.txt
	touch $@

clean:
	rm -rf $(VENV) $(PEERS) $(VENV)-clients $(VENV)-forms $(VENV)-mlflow .hauberk build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
