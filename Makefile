# The two commands of the README are `make demo` and `make test`; each is enough on its own.

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
INSTALLED = $(VENV)/.installed

.PHONY: demo test test-long test-trackers test-containers check docs format bench clean

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

demo: $(INSTALLED)  ## train the example on the embedded images and leave a report
	$(BIN)/scalestudy run examples/digits.yaml --out runs/digits
	@echo "The report: $(CURDIR)/runs/digits/report/index.html"

# Each process takes whole files, and one of them takes all that starts Ray.
test: $(INSTALLED)  ## all tests but the long ones
	$(BIN)/python -m pytest -m "not long and not trackers" --durations 10 \
		--numprocesses 2 --dist loadgroup --no-loadscope-reorder

test-long: $(INSTALLED)  ## the long ones: many kills, ten thousand trials
	$(BIN)/python -m pytest -m long --timeout 3600 --durations 10

test-trackers:  ## MLflow, W&B and datasets, in an environment of their own: they slow every start of Ray Tune
	$(PYTHON) -m venv .venv-trackers
	.venv-trackers/bin/python -m pip install --quiet --constraint constraints.txt --editable ".[dev,trackers]" datasets
	.venv-trackers/bin/python -m pytest -m trackers

test-containers: $(INSTALLED)  ## builds docker/ and runs a study through it; takes root, see the script
	$(BIN)/python -m pip install --quiet --constraint constraints.txt ".[containers]"
	PATH=$(CURDIR)/$(BIN):$$PATH tests/containers.sh

# Where CIFAR-10 lies as Parquet, for what `bench` trains.
DATA ?= ../shared/data

bench: $(INSTALLED)  ## every measurement of benchmarks/README.md, but those beside other hardware
	@echo "Roughly six to ten hours on two cores, nearly all of it side_by_side.py; what that has measured is"
	@echo "kept in runs/side_by_side, so it can be interrupted and called again. Keep the machine quiet."
	$(BIN)/python benchmarks/pipeline.py
	$(BIN)/python benchmarks/trainer.py --model resnet18 --batch 256
	$(BIN)/python benchmarks/trainer.py --model resnet18 --batch 32
	$(BIN)/python benchmarks/trainer.py --model resnet50 --batch 256
	$(BIN)/python benchmarks/trainer.py --whole --model resnet18 --batch 256
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/overhead.py
	$(BIN)/python benchmarks/large_studies.py
	$(BIN)/python benchmarks/forecast.py $(DATA)
	$(BIN)/python benchmarks/side_by_side.py $(DATA) --part time --rounds 3
	$(BIN)/python benchmarks/side_by_side.py $(DATA) --part search --rounds 1

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
