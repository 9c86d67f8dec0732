# make run: install, prepare the embedded model, serve.  make test: all tests without a GPU.  make test-gpu: the others.
# make check: linter and fast tests.
PYTHON ?= $(shell command -v python3.11 || echo python3)
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 7860
WORKERS ?= 3

.PHONY: run test check test-gpu pictures api audit sbom format clean

run: $(VENV)/runtime
	$(BIN)/python -m core models prepare
	$(BIN)/python app.py --port $(PORT)

# Three workers on two cores, because many tests wait for processes that they start. A file stays on one worker, because
# its tests share servers and models. tests/conftest.py orders the files, slow ones first. Browser tests run afterwards
# with two workers: three browsers would wait for each other.
test: $(VENV)/dev
	$(BIN)/python -m pytest -m "not gpu and not browser" -n $(WORKERS) --dist loadfile --no-loadscope-reorder
	$(BIN)/python -m pytest -m browser -n 2 --dist loadfile --no-loadscope-reorder

check: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest -q -m "not gpu and not slow and not browser" -n $(WORKERS) --dist loadfile

test-gpu: $(VENV)/dev
	$(BIN)/python -m pytest -m gpu tests/gpu
	$(BIN)/python -m pytest tests/core/export/test_nf4_folder.py tests/core/export/test_merge.py \
		tests/core/chat/test_exported_model.py

pictures: $(VENV)/dev
	$(BIN)/python docs/take_pictures.py

# The pages of docs/ that are made from the code: file tree, API calls, data formats, metrics, and model support.
api: $(VENV)/dev
	$(BIN)/python docs/make_architecture.py
	$(BIN)/python docs/make_api.py
	$(BIN)/python docs/make_formats.py
	$(BIN)/python docs/make_metrics.py
	$(BIN)/python docs/make_model_support.py

# Known vulnerabilities of the installed packages, and a list of all packages (CycloneDX). The advisories come from
# pypi.org: without a network, or behind a mirror that has none, the target fails with a message.
audit: $(VENV)/dev
	@$(BIN)/pip-audit --local --skip-editable --strict || { echo "The audit failed: either vulnerabilities are listed above," \
	  "or the advisories of pypi.org cannot be reached; then run it where they can."; exit 1; }

sbom: $(VENV)/dev
	$(BIN)/cyclonedx-py environment --output-reproducible --output-file sbom.json $(BIN)/python

format: $(VENV)/dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# One stamp per requirements file, so that nothing is installed twice.
$(VENV)/runtime: requirements.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

$(VENV)/dev: $(VENV)/runtime requirements-dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@

clean:
	rm -rf $(VENV) .test-home .pytest_cache .ruff_cache .hypothesis
