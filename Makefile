# The two commands of the README are `make demo` and `make test`; each is enough on its own.

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
INSTALLED = $(VENV)/.installed

.PHONY: demo test test-long test-containers check docs format bench clean

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

demo: $(INSTALLED)  ## train the example on the embedded images and leave a report
	$(BIN)/scalestudy run examples/digits.yaml --out runs/digits
	@echo "The report: $(CURDIR)/runs/digits/report/index.html"

test: $(INSTALLED)  ## all tests but the long ones
	$(BIN)/python -m pytest -m "not long"

test-long: $(INSTALLED)  ## the long ones: many kills, ten thousand trials
	$(BIN)/python -m pytest -m long --timeout 3600

test-containers: $(INSTALLED)  ## builds docker/ and runs a study through it; takes root, see the script
	$(BIN)/python -m pip install --quiet --constraint constraints.txt ".[containers]"
	PATH=$(CURDIR)/$(BIN):$$PATH tests/containers.sh

check: $(INSTALLED)  ## what the code must pass before it lands
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PATH=$(CURDIR)/$(BIN):$$PATH .ci/check-containers

docs: $(INSTALLED)  ## what is generated of docs/: the study file's page and its JSON Schema
	$(BIN)/python docs/study_file.py

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build dist *.egg-info
