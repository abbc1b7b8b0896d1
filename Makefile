# Few verbs. `make demo` and `make test` need nothing but PYTHON (3.11 to 3.13) and a C++20 compiler: everything else is
# installed, pinned, into .venv. The package is installed editable: changes of Python sources need no second install,
# and changes of csrc are built by the next call.

PYTHON ?= python3
PYTEST_ARGS ?=
DEVICE_CODE_ARGS ?=
INSTRUCTIONS_ARGS ?=
BENCH_ARGS ?=
DOCS_ARGS ?=
DOCS_GALLERY ?=
GALLERY_ARGS ?=
PYTHONS ?= $(PYTHON)

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
INSTALL := $(PIP) install --constraint constraints.txt
SOURCES := pyproject.toml setup.py CMakeLists.txt $(shell find cmake csrc -type f)
CXX_FILES := $(shell find csrc tests -name '*.hpp' -o -name '*.cpp' -o -name '*.cu')

.PHONY: demo gallery readme wheels test lint style types device-code ptx instructions format bench docs clean
.DELETE_ON_ERROR:
.NOTPARALLEL:

demo: $(VENV)/.package $(VENV)/.plot  ## the main job: tables, a figure and a data file in demo-output/
	$(BIN)/python examples/demo.py --output demo-output

gallery: $(VENV)/.package $(VENV)/.plot  ## claims, a figure and a number each; GALLERY_ARGS=--record for the docs
	$(BIN)/python examples/gallery --output gallery-output $(GALLERY_ARGS)

readme: $(VENV)/.package $(VENV)/.plot  ## README's output, picture and rates, made anew
	$(BIN)/python examples/readme.py

wheels:  ## portable wheels in build/wheels; PYTHONS='python3.12 python3.13' for those
	bash .ci/wheels $(PYTHONS)

# In several processes, which take tests from each other at the end; PYTEST_ARGS='-n 0' in one. Each has a processor to
# itself, so that threads of NumPy and torch would wait for each other. Bytecode is kept whatever the environment says: each
# process reads that of all tests, and each of some hundred programs that they start that of the package.
test: $(VENV)/.package $(VENV)/.test  ## make test PYTEST_ARGS='-k theory'
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= \
	    $(BIN)/python -m pytest -n auto --dist worksteal $(PYTEST_ARGS)

lint: style types

style: $(VENV)/.lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/clang-format --dry-run -Werror $(CXX_FILES)

# With every optional dependency there, so that everyone sees the same types.
types: $(VENV)/.package $(VENV)/.lint $(VENV)/.test
	$(BIN)/mypy

# Needs nvcc, but no GPU:   make device-code DEVICE_CODE_ARGS=--update   after a change that is meant. Objects of a build
# need no second compilation:   make device-code DEVICE_CODE="$$(find build -path '*kernels_cuda.dir*.o')"
DEVICE_CODE = csrc/cuda/kernels.cu csrc/cuda/residual.cu csrc/cuda/columns.cu csrc/cuda/populations.cu
device-code: $(VENV)/.device
	$(BIN)/python .ci/device_code.py $(DEVICE_CODE) --architectures 80 90 $(DEVICE_CODE_ARGS)

# The kernels' PTX on a CPU; needs nvcc, but no GPU.
ptx: $(VENV)/.package $(VENV)/.test $(VENV)/.device
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest -n auto -m long $(PYTEST_ARGS) tests/test_ptx.py

# Needs valgrind, or perf on a machine that counts:   make instructions INSTRUCTIONS_ARGS=--update   likewise.
instructions: $(VENV)/.build
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python .ci/instructions.py $(INSTRUCTIONS_ARGS)

format: $(VENV)/.lint
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(CXX_FILES)

bench: $(VENV)/.package $(VENV)/.bench  ## make bench BENCH_ARGS='--quick'
	$(BIN)/python -m bench $(BENCH_ARGS)

# The pages' code cells run and the docstrings are read; a warning is an error. Nothing is fetched. The scripts of the
# gallery leave figures of fewer networks than `make gallery` has, and with DOCS_GALLERY=--small of small ones.
docs: $(VENV)/.package $(VENV)/.docs  ## the site: build/docs/index.html
	$(BIN)/python examples/gallery --networks 0.2 --output build/gallery $(DOCS_GALLERY)
	$(BIN)/python -m sphinx -W --keep-going --nitpicky --fresh-env -b html $(DOCS_ARGS) docs build/docs

clean:
	rm -rf $(VENV) build dist demo-output gallery-output *.egg-info resmc/_native*.so
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +

# An environment that can build the package: the build's own requirements are in it, so that they are pinned too.
$(VENV)/.build: constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) setuptools scikit-build-core pybind11 cmake ninja
	@touch $@

$(VENV)/.package: $(VENV)/.build $(SOURCES)
	PATH="$(CURDIR)/$(BIN):$$PATH" $(INSTALL) --no-build-isolation --editable .
	@touch $@

# What one of its extras asks for, without building the package once more.
$(VENV)/.plot $(VENV)/.test $(VENV)/.lint $(VENV)/.device $(VENV)/.bench $(VENV)/.docs: $(VENV)/.%: $(VENV)/.build pyproject.toml
	@$(BIN)/python -c "import tomllib; project = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
	    print(*project['optional-dependencies']['$*'], sep='\n')" >$(VENV)/$*.txt
	$(INSTALL) --requirement $(VENV)/$*.txt
	@touch $@
