# The two commands of the README are `make demo` and `make test`; each is enough on its own.

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
INSTALLED = $(VENV)/.installed

.PHONY: demo pictures test test-long test-trackers test-containers check docs format bench clean

# What pip says is kept in a file, and shown only where it fails.
$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -m venv $(VENV)
	@{ $(BIN)/python -m pip install --upgrade pip && \
	$(BIN)/python -m pip install --constraint constraints.txt --editable ".[dev]"; \
	} >$(VENV)/pip.log 2>&1 || { cat $(VENV)/pip.log; exit 1; }
	@touch $@

demo:  ## train the demo's study on the embedded images, and leave a report
	@echo "Installs into $(VENV) (once, some minutes), trains 128 small networks (one to three minutes on two cores), says what helps most."
	@$(MAKE) --silent --no-print-directory $(INSTALLED)
	@mkdir -p runs
	@test -e runs/demo.yaml || $(BIN)/scalestudy init runs/demo.yaml --preset demo
	@$(BIN)/scalestudy run runs/demo.yaml --out runs/demo

pictures: demo  ## docs/images anew, from the demo's run; the page's takes chromium
	$(BIN)/python docs/pictures.py runs/demo

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
	$(BIN)/python benchmarks/large_data.py
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
