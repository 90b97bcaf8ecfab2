# Two commands matter: `make draw` and `make test`. Each sets up .venv first, at the versions in constraints.txt.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable
PROMPT ?= a red fox to the left of a castle in the snow

# Idle OpenMP threads sleep instead of spinning: a busy neighbour then costs its share, not a factor of ten.
export OMP_WAIT_POLICY := PASSIVE
export GOMP_SPINCOUNT := 0

.PHONY: setup draw synth-demo test test-kill test-web test-postgres docs bench bench-learning bench-serving bench-rollouts clean

draw: $(VENV)/.installed ## draw PROMPT
	$(BIN)/limner draw "$(PROMPT)"

synth-demo: $(VENV)/.installed ## sixty labelled pictures of three classes, and the page that shows them
	$(BIN)/limner synth "fox, car, house" --count 60 --out build/synth-demo --format coco,yolo
	@echo open build/synth-demo/card.html

test: $(VENV)/.installed-test ## lint, types, tests
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 8 --dist loadfile --durations 20

test-kill: $(VENV)/.installed-test ## kill a process fifty times and look whether anything was lost: a few minutes
	$(BIN)/python -m pytest -m long tests/test_kill.py

test-web: $(VENV)/.installed-test ## the page in Debian's chromium, with the embedded models: several minutes
	$(BIN)/python -m pytest -m web tests/web

test-postgres: $(VENV)/.installed-test ## the store on a PostgreSQL of its own, which Debian's postgresql package brings
	$(BIN)/python -m pytest -rs -k postgres tests/test_store.py tests/test_archive.py tests/test_kill.py
	$(BIN)/python -m pytest -rs -m long tests/web/test_several_servers.py

docs: $(VENV)/.installed-test ## refresh the README's help texts; write the API's pages to build/docs
	$(BIN)/python docs/update_readme.py
	$(BIN)/python -m pdoc limner --output-directory build/docs

bench: $(VENV)/.installed-test ## how fast this machine is at what Limner does
	$(BIN)/python benchmarks/speed.py

bench-learning: $(VENV)/.installed-test ## seconds of a learning step, against the original's way
	$(BIN)/python benchmarks/learning.py

bench-serving: $(VENV)/.installed-test ## a crowd of clients, a request against a call, a thousand that wait
	$(BIN)/python benchmarks/serving.py

bench-rollouts: $(VENV)/.installed-test ## the writer's texts and updates a second; TRL=PYTHON compares with trl 1.12 there
	$(BIN)/python benchmarks/rollouts.py $(if $(TRL),--trl-python $(TRL))

setup: $(VENV)/.installed-test ## everything a developer needs

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("Limner needs Python 3.11 or later: make PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) .
	touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(INSTALL) '.[train,test,docs]'
	touch $@

clean: ## remove what the commands above made, except pictures
	rm -rf $(VENV) build .pytest_cache .ruff_cache
