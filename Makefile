PYTHON ?= python3
BIN := .venv/bin
export TF_CPP_MIN_LOG_LEVEL ?= 3

.PHONY: demo test lint requirements clean

demo: .venv/installed  ## artificial corpus, training, evaluation and an annotated video in demo/
	$(BIN)/python -m emotion demo

test: .venv/installed  ## style, then all tests, fast ones first
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest -q -m "not slow"
	$(BIN)/python -m pytest -q -m slow

.venv/installed: requirements.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt -e ".[test]"
	touch $@

requirements: pyproject.toml  ## resolves the ranges of pyproject.toml anew
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --no-header --no-annotate --python-version 3.10 \
		--upgrade $< --output-file requirements.txt

clean:
	rm -rf .venv demo
