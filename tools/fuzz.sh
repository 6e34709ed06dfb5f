#!/usr/bin/env bash
# Runs every fuzz target (test/fuzz) under ASan and UBSan: tools/fuzz.sh [SECONDS-EACH [TARGET...]]. Finds go to build-fuzz/finds/TARGET-*.
# Without SECONDS-EACH: half an hour of each, and of every host function a million calls or five minutes.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
seconds=${1:-1800}
host=(--calls 1000000 --each 300)
[ $# = 0 ] || host+=(--seconds "$1")
[ $# = 0 ] || shift
cmake -S . -B build-fuzz -G Ninja -DCMAKE_C_COMPILER=clang-22 -DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_FLAGS_DEBUG="-O1 -g" \
    -DSSVM_SANITIZE=address,undefined -DSSVM_FUZZ=ON -DSSVM_TESTS=ON >/dev/null
cmake --build build-fuzz -j "$(nproc)" --target fuzz >build-fuzz/build.log 2>&1 || {
    tail build-fuzz/build.log
    exit 1
}
mkdir -p build-fuzz/finds
passed=0 failed=0
targets=${*:-$(find build-fuzz/test/fuzz -maxdepth 1 -type f -perm -u+x -name 'fuzz_*' -printf '%f\n' | sort)}
for t in $targets; do
    corpus=build-fuzz/corpus/$t
    mkdir -p "$corpus"
    seeds=()
    [ -d "test/fuzz/seeds/$t" ] && seeds=("test/fuzz/seeds/$t")
    # Through a pipe: fuzz_wasi limits the size of its files, and the log would be one.
    if "build-fuzz/test/fuzz/$t" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=4096 -artifact_prefix="build-fuzz/finds/$t-" \
        -print_final_stats=1 "$corpus" "${seeds[@]}" 2>&1 | cat >"build-fuzz/$t.log"; then
        echo "$t: ok, $(grep -a stat::number_of_executed_units "build-fuzz/$t.log" | grep -oE '[0-9]+$') runs"
        passed=$((passed + 1))
    else
        echo "$t: FAILED"
        grep -aE 'ERROR|SUMMARY|Test unit written|runtime error' "build-fuzz/$t.log" | head -5
        failed=$((failed + 1))
    fi
done
# Every host function with hostile arguments: no libFuzzer, and its seed is in the log. In memory, where there is such a folder.
[ ! -w /dev/shm ] || export TMPDIR=/dev/shm
if [ $# = 0 ]; then
    if build-fuzz/fuzz-host "${host[@]}" >build-fuzz/fuzz-host.log 2>&1; then
        tail -n 1 build-fuzz/fuzz-host.log
        passed=$((passed + 1))
    else
        echo "fuzz-host: FAILED"
        tail -n 30 build-fuzz/fuzz-host.log
        failed=$((failed + 1))
    fi
fi
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
