# make run: install, prepare the embedded model, serve.  make test: everything.  make check: the fast part.
PYTHON ?= $(shell command -v python3.11 || echo python3)
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 7860
WORKERS ?= 3

.PHONY: run test check test-gpu pictures api audit sbom format clean

run: $(VENV)/runtime
	$(BIN)/python -m core models prepare
	$(BIN)/python app.py --port $(PORT)

# Three workers on two cores: many tests wait for processes that they start. A file stays on one worker: its tests share
# servers and models. The order of files is that of tests/conftest.py, slow ones first. Two browsers have the machine to
# themselves: three would wait for each other.
test: $(VENV)/dev
	$(BIN)/python -m pytest -m "not gpu and not browser" -n $(WORKERS) --dist loadfile --no-loadscope-reorder
	$(BIN)/python -m pytest -m browser -n 2 --dist loadfile --no-loadscope-reorder

check: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest -q -m "not gpu and not slow and not browser" -n $(WORKERS) --dist loadfile

test-gpu: $(VENV)/dev
	$(BIN)/python -m pytest -m gpu tests/gpu

pictures: $(VENV)/dev
	$(BIN)/python docs/take_pictures.py

# The pages of docs that are made from the code: the calls of the page, the data formats, and model support.
api: $(VENV)/dev
	$(BIN)/python docs/make_architecture.py
	$(BIN)/python docs/make_api.py
	$(BIN)/python docs/make_formats.py
	$(BIN)/python docs/make_model_support.py

# Known holes in what is installed, and a list of it all (CycloneDX). The advisories are asked for at pypi.org: behind a
# mirror that has none, or without a network, the target fails and says so.
audit: $(VENV)/dev
	@$(BIN)/pip-audit --local --skip-editable --strict || { echo "Not audited as clean: either holes are listed above," \
	  "or the advisories of pypi.org cannot be reached from here; then run it where they can."; exit 1; }

sbom: $(VENV)/dev
	$(BIN)/cyclonedx-py environment --output-reproducible --output-file sbom.json $(BIN)/python

format: $(VENV)/dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# A stamp a requirements file: nothing is installed twice.
$(VENV)/runtime: requirements.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

$(VENV)/dev: $(VENV)/runtime requirements-dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@

clean:
	rm -rf $(VENV) .test-home .pytest_cache .ruff_cache .hypothesis
