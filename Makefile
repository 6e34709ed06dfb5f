# The door to the build (CMake is inside). `make` builds, `make demo` shows the main job on real input, `make check` sets up what it needs and
# runs every test of CI. CC, BUILD, JOBS, CMAKE_FLAGS, DESTDIR and PREFIX may be set.
BUILD ?= build
JOBS ?= $(shell nproc)
PREFIX ?= /usr/local
CMAKE_FLAGS ?=
ifeq ($(origin CC),default)
CC := $(or $(shell command -v clang-22 2>/dev/null),cc)
endif
GENERATOR := $(if $(shell command -v ninja 2>/dev/null),-G Ninja)
CONFIGURE = cmake -S . $(GENERATOR) -DCMAKE_C_COMPILER=$(CC) -DCMAKE_INSTALL_PREFIX=$(PREFIX) $(CMAKE_FLAGS)
SANITIZED = $(CONFIGURE) -DCMAKE_BUILD_TYPE=Debug -DSSVM_TESTS=ON -DDEV=ON

all: $(BUILD)/CMakeCache.txt
	@cmake --build $(BUILD) -j $(JOBS)
$(BUILD)/CMakeCache.txt:
	@$(CONFIGURE) -B $(BUILD) >/dev/null
setup:
	@./setup.sh build
demo:
	@./setup.sh demo
	@$(MAKE) --no-print-directory all
	@demo/run.sh $(DEMO_FLAGS)

# Tests. test: on the built tree, under a minute. check: what CI runs. check-all: everything, hours.
test: tests-built
	@tools/check.sh --build $(BUILD) unit static cli wasi
check:
	@./setup.sh check
	@tools/check.sh
check-all:
	@./setup.sh check
	@tools/check.sh all
# 10,000 generated modules against another engine, 100,000 verdicts against another validator, 100,000 functions in both tiers: hours.
check-diff: tests-built
	@SSVM_BUILD=$(abspath $(BUILD)) test/diff/run.sh 10000
	@SSVM_BUILD=$(abspath $(BUILD)) test/diff/gas/run.sh 2000
	@SSVM_BUILD=$(abspath $(BUILD)) test/diff/tiers.sh 3000
# Processes killed under load, 300 times: one node, and three on a PostgreSQL. About ten minutes; the times are those of a quiet machine.
chaos: tests-built
	@SSVM_BUILD=$(abspath $(BUILD)) test/serve/chaos.py --kills 300 --back 1
tests-built:
	@$(CONFIGURE) -B $(BUILD) -DSSVM_TESTS=ON -DDEV=ON >/dev/null && cmake --build $(BUILD) -j $(JOBS)
# Sanitizers. tsan: the unit tests, guests' threads, and the server's tests (test/serve/sanitized.sh; about an hour on two cores).
asan:
	@$(SANITIZED) -B $(BUILD)-asan -DSSVM_SANITIZE=address,undefined >/dev/null && cmake --build $(BUILD)-asan -j $(JOBS)
	@tools/check.sh --build $(BUILD)-asan unit spec wasi cli
ubsan: asan
tsan:
	@$(SANITIZED) -B $(BUILD)-tsan -DSSVM_SANITIZE=thread >/dev/null && cmake --build $(BUILD)-tsan -j $(JOBS)
	@tools/check.sh --build $(BUILD)-tsan unit threads
	@test/serve/sanitized.sh $(BUILD)-tsan
fuzz:
	@tools/fuzz.sh
# BENCH: sections (doc/benchmarks.md), ROUNDS, ONLY: programs, BENCH_OUT: the report's folder. All may be empty.
bench: all
	@BUILD=$(BUILD) bench/run.sh $(if $(BENCH),--sections "$(BENCH)") $(if $(ROUNDS),--rounds $(ROUNDS)) \
	  $(if $(ONLY),--only $(ONLY)) $(if $(BENCH_OUT),--out "$(BENCH_OUT)")
bench-peers:
	@BUILD=$(BUILD) bench/get-peers.sh
# Inference: native, guests, peers, and behind HTTP. NN_FLAGS, LIBRARIES, PYTHON: bench/nn.sh.
bench-nn: all
	@BUILD=$(BUILD) bench/nn.sh $(NN_FLAGS)
format:
	@tools/format
lint:
	@tools/check.sh static tidy

install: all
	@cmake --install $(BUILD)
clean:
	rm -rf $(BUILD) $(BUILD)-*
.PHONY: all setup demo test check check-all check-diff chaos tests-built asan ubsan tsan fuzz bench bench-peers bench-nn format lint install clean
