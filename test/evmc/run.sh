#!/usr/bin/env bash
# Contracts for Ethereum clients: builds the contracts, has the test client (evmc-test) load libssvm-evmc.so and run them in each tier, and compares the
# layout of EVMC's structs with the header that the crate evmc-sys brings. SSVM_BUILD names the build folder. Ends with
# 'N passed, N failed, N skipped'.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
build=${SSVM_BUILD:-$PWD/build}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
passed=0 failed=0 skipped=0

count() { # LOG RC: what evmc-test counted
    local line
    line=$(grep -E '^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$' "$1" | tail -1)
    if [ -n "$line" ]; then
        passed=$((passed + ${line%% passed*}))
        line=${line#*, }
        failed=$((failed + ${line%% failed*}))
        [ "$2" = 0 ] || [ "${line%% failed*}" != 0 ] || failed=$((failed + 1))
    else
        failed=$((failed + 1))
    fi
    [ "$2" = 0 ] || head -n 40 "$1"
}
check() { # NAME COMMAND...
    local name=$1
    shift
    if "$@" >"$scratch/log" 2>&1 </dev/null; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        head -n 20 "$scratch/log"
        echo "FAILED $name: $(tail -n 2 "$scratch/log" | tr '\n' ' ')"
    fi
}

# ---- Layout ----

crate=evmc-sys
crate_version=9.0.0 # the newest there is: ABI 9
find_header() {
    local home=${CARGO_HOME:-$HOME/.cargo}

    [ -n "${EVMC_HEADER:-}" ] && echo "$EVMC_HEADER" && return 0
    command -v cargo >/dev/null || return 1
    compgen -G "$home/registry/src/*/$crate-$crate_version" >/dev/null ||
        (cd "$scratch" && timeout 60 cargo info -q "$crate@$crate_version" >/dev/null 2>&1)
    compgen -G "$home/registry/src/*/$crate-$crate_version/evmc.h"
}
same_layout() { # HEADER
    cc -std=gnu17 -Isrc test/evmc/layout.c -o "$scratch/ours" &&
        cc -std=gnu17 -DOTHER="\"$1\"" test/evmc/layout.c -o "$scratch/theirs" &&
        "$scratch/ours" >"$scratch/ours.txt" && "$scratch/theirs" >"$scratch/theirs.txt" &&
        [ -s "$scratch/ours.txt" ] && diff "$scratch/ours.txt" "$scratch/theirs.txt"
}
if header=$(find_header); then
    check "the layout is that of $crate $crate_version" same_layout "$header"
else
    echo "the crate $crate cannot be fetched: skipped"
    skipped=$((skipped + 1))
fi

# ---- Contracts ----

clang=$(command -v clang-22 || command -v clang || true)
if [ -z "$clang" ] || ! echo 'void f(void) {}' | "$clang" --target=wasm32 -x c -c - -o "$scratch/f.o" 2>/dev/null; then
    echo "no clang for wasm32: skipped"
    echo "$passed passed, $failed failed, $((skipped + 1)) skipped"
    [ "$failed" = 0 ]
    exit
fi
contract() { # SOURCE OUT FLAGS...
    local source=$1 out=$2
    shift 2
    "$clang" --target=wasm32 -O2 -ffreestanding -nostdlib -std=c23 -Wall -Wextra -Isdk/c "$source" -o "$scratch/$out" -Wl,--no-entry,--export=main "$@"
}
check "the token is compiled" contract examples/ethereum/erc20.c erc20.wasm -Wl,-z,stack-size=4096
check "its initialiser is compiled" contract examples/ethereum/deploy.c deploy.wasm -DRUNTIME="\"$scratch/erc20.wasm\""
check "the probe is compiled" contract test/evmc/contract/probe.c probe.wasm -Wno-infinite-recursion -Wl,-z,stack-size=16384

run_tests() { # FLAGS...
    timeout 300 "$build/test/evmc/evmc-test" "$build/libssvm-evmc.so" "$scratch" "$@" >"$scratch/log" 2>&1
    count "$scratch/log" $?
}
run_tests
if [ -e "$build/libssvm-aot.so" ]; then
    run_tests --tier aot
else
    echo "there is no LLVM 22: native code skipped"
    skipped=$((skipped + 1))
fi
run_tests --fuzz "${EVMC_CALLS:-10000}"
grep -E '^(seed|[0-9]+ calls)' "$scratch/log"

echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
