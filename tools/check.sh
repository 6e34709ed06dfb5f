#!/usr/bin/env bash
# Runs the test steps and ends with 'N passed, N failed, N skipped' over all of them. Usage: check.sh [--build DIR] [STEP...]; without a step:
# what CI runs; `all`: everything. The log of a step is DIR/check/STEP.log.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
build=build
built=no
if [ "${1:-}" = --build ]; then
    build=$2
    built=yes # the caller built it
    shift 2
fi
jobs=$(nproc)
export SSVM_BUILD="$PWD/$build" SSVM="$PWD/$build/ssvm"

ci_steps="build static unit spec native native_o3 wasi cli api golden bindgen programs image nn sdk state socket wasi_threads crates evmc serve demo gas diff tiers explode aarch64 gcc asan"
all_steps="$ci_steps nn_all systemd chaos tidy asan_serve tsan tsan_serve threads torture fuzz"

configure() { # DIR COMPILER FLAGS...
    local dir=$1 cc=$2
    shift 2
    cmake -S . -B "$dir" -G Ninja -DCMAKE_C_COMPILER="$cc" -DSSVM_TESTS=ON -DDEV=ON "$@" >/dev/null &&
        cmake --build "$dir" -j "$jobs"
}
spec_json() { # prints the folder of the converted official scripts
    test/spec/prepare.sh "$PWD/build/spec" >&2 && echo "$PWD/build/spec/json"
}
run_spec() { # BUILD FLAGS... : core, custom, threads, legacy exceptions
    local dir=$1 json part
    shift
    json=$(spec_json) || return 1
    # The crates have not all of the folders.
    for part in core custom threads legacy-exceptions; do
        [ ! -d "$json/$part" ] || find "$json/$part" -name test.json
    done | sort |
        xargs "$dir/test/spec-runner" "$@"
}

step_build() { configure "$build" "${CC:-clang-22}"; }
step_static() {
    local json
    json=$(spec_json) || return 1
    tools/check-layers && tools/check-size && tools/format --check && tools/check-headers && tools/check-symbols "$build" && tools/check-must-pass "${SSVM_SPEC:+$json}" &&
        tools/check-handlers "$build/libssvm.a" && tools/api-doc --check && tools/eei-doc --check && with_compiler tools/llvm-order --check "$build" && test/bench/report.py && shellcheck setup.sh bench/*.sh tools/*.sh demo/*.sh test/spec/*.sh test/diff/*.sh test/diff/gas/*.sh test/programs/*.sh test/aarch64/*.sh test/nn/*.sh test/nn/guests/*.sh test/*.sh test/image/*.sh test/evmc/*.sh test/serve/*.sh test/serve/schema/*.sh test/cli/*.sh &&
        shellcheck -x test/serve/browser/*.sh
}
step_unit() { ctest --test-dir "$build" --output-on-failure -j "$jobs"; }
step_spec() { run_spec "$build"; }
with_compiler() { # COMMAND...: where the compiler of native code was built
    if [ -e "$build/libssvm-aot.so" ]; then
        "$@"
    else
        echo "0 passed, 0 failed, 1 skipped: there is no LLVM 22"
    fi
}
run_optimised() { # what the optimiser is most likely to break
    local json
    json=$(spec_json) || return 1
    find "$json"/core -name test.json |
        grep -E '/(memory|float_exprs|float_memory|simd_(load|store|lane|memory)|conversions|endianness|loop|br_table|gc|struct|array|try_table)[^/]*/test.json$' |
        sort | xargs "$build/test/spec-runner" --tier aot --optimise 3
}
step_native() { with_compiler run_spec "$build" --tier aot; }
step_native_o3() { with_compiler run_optimised; }
step_wasi() { make -C test/wasi check BUILD="$SSVM_BUILD/wasi" RUNTIME="$SSVM run"; }
step_cli() { test/cli/run.sh; }
step_api() { test/api/run.sh; }
step_golden() { test/golden/run.sh; }
step_bindgen() { test/host/bindgen/run.sh; }
step_programs() { test/programs/run.sh; }
step_nn() { test/nn/run.sh; }
step_nn_all() { test/nn/run.sh all && SSVM_NN=tensorflow test/serve/food.py; }
step_image() { test/image/run.sh; }
step_sdk() { test/sdk/run.py; }
step_state() { test/parts.sh state state.py served.py; }
step_socket() { test/parts.sh socket crate.py calls.py server.py dns.py; }
step_wasi_threads() { test/parts.sh threads threads.py served.py; }
step_crates() { test/parts.sh crates run.py served.py; }
step_evmc() { test/evmc/run.sh; }
# A real server on a free port, what carries HTTP, its processes, versions, ledger while processes are killed, databases, interfaces, and its pages
# in a browser; the developer's loop.
step_serve() {
    test/parts.sh serve test_server.py test_protocol.py processes.py drain.py isolation.py registry.py limits.py crowd.py ledger.py database.py admin.py faas.py schema/run.sh food.py \
        browser/run.sh browser/tutorial.sh browser/dashboard.sh loop.py
}
step_systemd() { test/serve/systemd.sh; }
step_chaos() { test/serve/chaos.py --kills 300; }
step_demo() { demo/run.sh --once; }
step_gas() { test/diff/gas/run.sh; }
step_diff() { test/diff/run.sh; }
step_tiers() { test/diff/tiers.sh; }
step_gcc() { configure build-gcc gcc && run_spec build-gcc && ctest --test-dir build-gcc --output-on-failure -j "$jobs"; }
step_asan() {
    configure build-asan clang-22 -DCMAKE_BUILD_TYPE=Debug -DSSVM_SANITIZE=address,undefined &&
        run_spec build-asan --gc-stress && ctest --test-dir build-asan --output-on-failure -j "$jobs"
}
# The server and its processes under sanitizers, all that they say told.
step_asan_serve() {
    configure build-asan clang-22 -DCMAKE_BUILD_TYPE=Debug -DSSVM_SANITIZE=address,undefined && test/serve/sanitized.sh "$PWD/build-asan"
}
step_tsan() {
    configure build-tsan clang-22 -DCMAKE_BUILD_TYPE=Debug -DSSVM_SANITIZE=thread &&
        ctest --test-dir build-tsan --output-on-failure -j 1
}
# The same under the thread sanitizer: locks, orders and ownership between the threads of each process. Slow: about an hour on two cores.
step_tsan_serve() {
    configure build-tsan clang-22 -DCMAKE_BUILD_TYPE=Debug -DSSVM_SANITIZE=thread && test/serve/sanitized.sh "$PWD/build-tsan"
}
step_threads() {
    local json
    json=$(spec_json) || return 1
    find "$json/threads" -name test.json | sort | xargs "$build/test/spec-runner"
}
step_torture() { test/torture/run.sh && with_compiler test/torture/explode.py --all; }
step_explode() { with_compiler test/torture/explode.py; }
step_aarch64() { test/aarch64/run.sh; }
step_tidy() { run-clang-tidy-22 -quiet -p "$build" -j "$jobs" "$PWD/src/.*\.c$"; }
step_fuzz() { tools/fuzz.sh 60; }

passed=0 failed=0 skipped=0 broken=
count() { # LOG RC: the runner's own totals where it prints them, else the step counts as one
    local line
    line=$(grep -aE '^([^ :]+: )?[0-9]+ passed, [0-9]+ failed' "$1" | tail -1)
    if [ -n "$line" ]; then
        # shellcheck disable=SC2046
        set -- "$1" "$2" $(echo "$line" | grep -oE '[0-9]+ (passed|failed|skipped)' | cut -d' ' -f1)
        passed=$((passed + $3)) failed=$((failed + $4)) skipped=$((skipped + ${5:-0}))
        [ "$2" = 0 ] || [ "$4" != 0 ] || failed=$((failed + 1))
    elif line=$(grep -aoE '[0-9]+ tests failed out of [0-9]+' "$1" | tail -1) && [ -n "$line" ]; then
        # shellcheck disable=SC2086
        set -- "$1" "$2" $line
        failed=$((failed + $3)) passed=$((passed + $8 - $3))
    elif [ "$2" = 0 ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
    fi
}

# A line for each test of a step that failed, or passed when it was tried again (FLAKY, test/runner.py): as all runners print them; those of cmocka
# and ctest are put into that form.
reasons() { # LOG KIND
    awk '/^([^ :]+: )?(FAILED|FLAKY):? / && index($0, kind) { print substr($0, 1, 600); n++ }
        kind == "FLAKY" { next }
        /^\[ *(ERROR|LINE) *\] ---/ { sub(/^\[ *[A-Z]+ *\] --- /, ""); why = why " " $0 }
        /^\[ +OK +\]/ { why = "" }
        /^\[ +FAILED +\] [a-z_0-9]+$/ && why { print "FAILED " $NF ":" substr(why, 1, 600); why = ""; n++ }
        /\*\*\*(Failed|Timeout|Exception)|ERROR: .*Sanitizer|: runtime error: / { print "FAILED " substr($0, 1, 300); n++ }
        NF { last = $0 }
        END { if (!n && kind == "FAILED") print "FAILED without a word; its last: " substr(last, 1, 600) }' kind="$2" "$1"
}

steps=${*:-$ci_steps}
[ "$steps" != all ] || steps=$all_steps
mkdir -p "$build/check"
rm -f "$build/check/flaky"
for step in $steps; do
    [ "$step" = build ] && [ "$built" = yes ] && continue
    log="$build/check/$step.log"
    start=$(date +%s)
    "step_$step" >"$log" 2>&1 </dev/null
    rc=$?
    flaky=$(grep -ac '^FLAKY ' "$log")
    # More than a few that pass only when they are tried again are a failure.
    [ "$flaky" -le 3 ] || rc=1
    count "$log" "$rc"
    printf '%-10s %s (%d s) %s%s\n' "$step" "$([ $rc = 0 ] && echo ok || echo FAILED)" $(($(date +%s) - start)) \
        "$(grep -aE '^([^ :]+: )?[0-9]+ passed, [0-9]+ failed|tests failed out of' "$log" | tail -1)" "$([ "$flaky" = 0 ] || echo ", $flaky flaky")"
    reasons "$log" FLAKY | sed "s/^/$step: /" >>"$build/check/flaky"
    [ $rc = 0 ] || broken="$broken $step"
    [ $rc != 0 ] && [ "$step" = build ] && break
done
# Last, so that who sees only the end sees them: the end of each log, then what failed and why, in few lines.
n=0
for step in $broken; do
    tail -n 40 "$build/check/$step.log" | cut -c1-2000 | sed "s/^/$step: | /"
    n=$((n + 1))
done
head -n 4 "$build/check/flaky"
for step in $broken; do
    reasons "$build/check/$step.log" FAILED | head -n $((18 / n > 1 ? 18 / n : 1)) | sed "s/^/$step: /"
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
