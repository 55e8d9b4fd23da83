# Two commands set everything up and do the work:
#   make demo    the main job on real text, in an environment of its own (.venv-demo)
#   make test    all tests, C++ and Python, in another (.venv-test)
# `make help` lists the rest.

PYTHON ?= python3
# What pip installs as torch; a version, or the path of a wheel. On Linux the index's own build of torch carries CUDA
# and weighs several GB; point this at a CPU wheel to save them.
TORCH ?= torch==2.13.0
TRITON ?= triton==3.7.1
# full: five to seven minutes of two CPU cores. tiny: the same code path in seconds.
SCALE ?= full
DEMO_OUT ?= demo-out
BENCH_SECONDS ?= 1800
# For each fuzz target.
FUZZ_SECONDS ?= 300

DEMO_PYTHON := .venv-demo/bin/python
TEST_PYTHON := .venv-test/bin/python
PIP_INSTALL := -m pip install --disable-pip-version-check --quiet
CXX_SOURCES := CMakeLists.txt $(shell find csrc -type f)
PY_SOURCES := $(shell find python kernels -type f -name '*.py*' -not -path '*/__pycache__/*')
LINTED_CXX = $(shell find csrc -name '*.hpp' -o -name '*.cpp')

.PHONY: help demo test test-cpp test-python test-slow sanitize fuzz lint format bench wheel clean

help:
	@echo "make demo       main job on real text -> $(DEMO_OUT)/   (SCALE=tiny for a quick look)"
	@echo "make test       C++ and Python tests"
	@echo "make test-slow  the long campaigns"
	@echo "make sanitize   C++ tests under AddressSanitizer, UndefinedBehaviorSanitizer and ThreadSanitizer"
	@echo "make fuzz       count files, counters and JSON Lines, FUZZ_SECONDS=$(FUZZ_SECONDS) each"
	@echo "make lint       ruff, mypy, clang-format;  make format applies the formatters"
	@echo "make bench      benchmarks, stopped after BENCH_SECONDS=$(BENCH_SECONDS)"
	@echo "make wheel      wheel and sdist -> dist/"
	@echo "make clean      remove environments and build products"

demo: .venv-demo/.ready
	$(DEMO_PYTHON) examples/demo --scale $(SCALE) --out "$(DEMO_OUT)"

test: test-cpp test-python

test-cpp: .venv-test/.ready
	@echo "== C++ tests"
	.venv-test/bin/cmake -S . -B build/ctest -G Ninja -DCMAKE_MAKE_PROGRAM="$(CURDIR)/.venv-test/bin/ninja" \
	  -DMIXLAW_TESTS=ON -DMIXLAW_WERROR=ON > build/ctest-configure.log || (cat build/ctest-configure.log; false)
	.venv-test/bin/cmake --build build/ctest
	.venv-test/bin/ctest --test-dir build/ctest --output-on-failure --no-tests=error

test-python: .venv-test/.ready
	@echo "== Python tests"
	$(TEST_PYTHON) -m pytest

test-slow: .venv-test/.ready
	@echo "== long campaigns"
	$(TEST_PYTHON) -m pytest -m slow

CMAKE = .venv-test/bin/cmake -S . -G Ninja -DCMAKE_MAKE_PROGRAM="$(CURDIR)/.venv-test/bin/ninja" \
  -DCMAKE_BUILD_TYPE=RelWithDebInfo

# Addresses and undefined behaviour in all tests; then races, in those that have threads.
sanitize: .venv-test/.ready
	@echo "== C++ tests under sanitizers"
	$(CMAKE) -B build/address -DMIXLAW_TESTS=ON -DMIXLAW_SANITIZE=address,undefined
	.venv-test/bin/cmake --build build/address
	.venv-test/bin/ctest --test-dir build/address --output-on-failure --no-tests=error --parallel 2
	$(CMAKE) -B build/thread -DMIXLAW_TESTS=ON -DMIXLAW_SANITIZE=thread
	.venv-test/bin/cmake --build build/thread
	.venv-test/bin/ctest --test-dir build/thread --output-on-failure --no-tests=error --parallel 2 -L threads

# A target that finds something ends with a report, and its input is in build/fuzz/csrc/fuzz/<target>.last: give that
# file to the target to run it again.
fuzz: .venv-test/.ready
	$(CMAKE) -B build/fuzz -DMIXLAW_FUZZ=ON -DMIXLAW_SANITIZE=address,undefined
	.venv-test/bin/cmake --build build/fuzz
	build/fuzz/csrc/fuzz/fuzz_count_file -max_total_time=$(FUZZ_SECONDS)
	build/fuzz/csrc/fuzz/fuzz_counter -max_total_time=$(FUZZ_SECONDS)
	build/fuzz/csrc/fuzz/fuzz_json_lines -max_total_time=$(FUZZ_SECONDS)

lint: .venv-test/.ready
	$(TEST_PYTHON) -m ruff check .
	$(TEST_PYTHON) -m ruff format --check .
	$(TEST_PYTHON) -m mypy
	.venv-test/bin/clang-format --dry-run --Werror $(LINTED_CXX)

format: .venv-test/.ready
	$(TEST_PYTHON) -m ruff check --fix .
	$(TEST_PYTHON) -m ruff format .
	.venv-test/bin/clang-format -i $(LINTED_CXX)

bench: .venv-test/.ready
	timeout --foreground $(BENCH_SECONDS) $(TEST_PYTHON) -m pytest benchmarks --benchmark-enable --benchmark-only -s

wheel: .venv-test/.ready
	$(TEST_PYTHON) -m build --outdir dist .

clean:
	rm -rf .venv-demo .venv-test build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks

# The demo gets the package as a user would: built and installed, not linked to the checkout.
.venv-demo/.ready: pyproject.toml $(CXX_SOURCES) $(PY_SOURCES)
	@echo "== environment for the demo: .venv-demo (fetches $(TORCH) and the rest, builds mixlaw; a few minutes the first time)"
	@test -x $(DEMO_PYTHON) || $(PYTHON) -m venv .venv-demo
	$(DEMO_PYTHON) $(PIP_INSTALL) $(TORCH) ".[demo]"
	@touch $@

# The tests run on an editable install: Python changes count at once, C++ changes rebuild it.
.venv-test/.ready: pyproject.toml $(CXX_SOURCES)
	@echo "== environment for the tests: .venv-test (fetches $(TORCH) and the rest, builds mixlaw; a few minutes the first time)"
	@test -x $(TEST_PYTHON) || $(PYTHON) -m venv .venv-test
	$(TEST_PYTHON) $(PIP_INSTALL) $(TORCH) $(TRITON) --editable ".[dev]"
	@mkdir -p build
	@touch $@
