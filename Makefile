PYTHON ?= python3
BIN := .venv/bin
PYTEST := python -m pytest -q --numprocesses 2 --dist loadfile

.PHONY: demo starter test parity docs requirements clean

# A training that was broken off goes on where it was.
TRAIN = $(BIN)/python train_model.py --data demo/dataset --protocol speaker-kfold --epochs 40 \
	--cache demo/cache --run $(@D) $(if $(wildcard $(@D)/run.json),--resume)

demo: demo/annotated.mp4 demo/run-audio/metrics.json demo/run-video/metrics.json
	$(BIN)/python -m emotion evaluate demo/run demo/run-audio demo/run-video --cache demo/cache
	@echo "demo/annotated.mp4 is the annotated video; demo/run holds the model and its pictures."
	@echo "The corpus is drawn and spoken by this program: its numbers mean nothing about people."

demo/annotated.mp4: demo/run/metrics.json
	$(BIN)/python run_inference.py --video_path demo/clip.mp4 --model demo/run --output $@

demo/run/metrics.json: demo/dataset/synthetic.json
	$(TRAIN)
demo/run-audio/metrics.json: demo/dataset/synthetic.json
	$(TRAIN) --modality audio
demo/run-video/metrics.json: demo/dataset/synthetic.json
	$(TRAIN) --modality video

demo/dataset/synthetic.json: .venv/installed
	$(BIN)/python -m emotion synthetic demo/dataset --clip demo/clip.mp4

# The starter, from the corpora (docs/starter.md); each part goes on where it was broken off.
STARTER ?= build/starter
MODEL ?= saved_models/starter
FER2013 ?= dataset/fer2013
RAVDESS ?= dataset/ravdess
CREMAD ?= dataset/CREMA-D
FACE = --data $(FER2013) --preset face_expression
VOICE = --preset face_voice --modality audio --batch-size 32 \
	--labels neutral,happy,sad,angry,fearful,disgust,surprised
PART = $(BIN)/python train_model.py --cache $(STARTER)/cache --run $(@D) \
	$(if $(wildcard $(@D)/run.json),--resume) $(if $(EPOCHS),--epochs $(EPOCHS),$1)

starter: $(STARTER)/face/metrics.json $(STARTER)/voice/metrics.json
	$(BIN)/python -m emotion evaluate $(STARTER)/face --views 2 --cache $(STARTER)/cache
	$(BIN)/python -m emotion evaluate $(STARTER)/voice --cache $(STARTER)/cache
	$(BIN)/python -m emotion starter $(STARTER)/face $(STARTER)/voice --output $(MODEL) \
		--cache $(STARTER)/cache

$(STARTER)/mixed/metrics.json: .venv/installed
	$(call PART,--epochs 60) $(FACE)
$(STARTER)/face/metrics.json: $(STARTER)/mixed/metrics.json
	$(call PART,--epochs 14) $(FACE) --init $(<D) --learning-rate 0.03 \
		--set augmentation.face_mixup=0
$(STARTER)/cremad/metrics.json: .venv/installed
	$(call PART,--epochs 24) --data $(CREMAD) $(VOICE)
$(STARTER)/voice/metrics.json: $(STARTER)/cremad/metrics.json
	$(call PART,--epochs 26) --data $(RAVDESS) --extra-data $(CREMAD) --init $(<D) \
		--protocol ravdess-holdout --learning-rate 0.0005 $(VOICE)

test: .venv/installed  ## style and hints, then all tests, fast ones first
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/$(PYTEST) -m "not slow"
	$(BIN)/$(PYTEST) -m "slow and not alone"
	$(BIN)/python -m pytest -q -m alone
	$(BIN)/python -m pytest -q --nbmake docs/tutorial.ipynb

fuzz: .venv/installed  ## N damaged recordings (4000), from seeds: refused in a sentence, or used
	PYTHONPATH=.:tests $(BIN)/python tests/fuzz.py --seeds 0 $(or $N,4000) $(if $(DATA),--data $(DATA))

kills: .venv/installed  ## N calls (200) that are killed at random moments, once or two at a time
	PYTHONPATH=.:tests $(BIN)/python tests/kills.py --count $(or $N,200) --data $(DATA)

parity: .venv-parity/installed  ## encoders against PyTorch's, number by number; nothing is skipped
	EMOTION_REQUIRE_PARITY=1 .venv-parity/bin/python -m pytest -q tests/parity

docs: .venv-docs/installed  ## the guides and the reference as a site in site/; a warning is an error
	.venv-docs/bin/zensical build --clean --strict

.venv-docs/installed: Makefile
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check \
		"mkdocstrings[python]~=1.0" ruff "zensical~=0.0.73"
	touch $@

.venv/installed: EXTRAS = test
.venv-parity/installed: EXTRAS = test,parity
.venv/installed .venv-parity/installed: requirements.txt pyproject.toml
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check \
		-r requirements.txt -e ".[$(EXTRAS)]"
	touch $@

requirements: pyproject.toml  ## resolves the ranges of pyproject.toml anew
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --no-header --no-annotate --python-version 3.11 \
		--upgrade $< --output-file requirements.txt

clean:
	rm -rf .venv .venv-docs .venv-parity demo site
