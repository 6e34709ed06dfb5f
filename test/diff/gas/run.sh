#!/bin/sh
# Gas against counts that are not ours: counters are injected into modules (test/diff/tool) and run in other engines. First N generated
# modules, traps included; then the programs of bench/guest, whose totals must also hold as limits: enough is enough, one less is a trap.
# Usage: run.sh [N] [BUILD]; $SSVM_BUILD is the default of BUILD.
set -eu
n=${1:-200}
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
build=$(cd "${2:-${SSVM_BUILD:-$root/build}}" && pwd)
ssvm=$build/ssvm
work=$build/gas
passed=0
failed=0

result() { # OK NAME TEXT
    if [ "$1" = ok ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
    fi
    echo "$1 $2: $3"
}

export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$build/diff-tool}"
cargo build --release --locked --quiet --manifest-path "$here/../tool/Cargo.toml"
tool=$CARGO_TARGET_DIR/release/ssvm-diff
rm -rf "$work"
mkdir -p "$work/differ"

"$tool" gas "$n" "${SSVM_DIFF_SEED:-1}" "$root/src/wasm/opcode.def" >"$work/records"
for options in "" --no-optimise --no-guard; do
    # shellcheck disable=SC2086
    if "$build/test/diff-runner" --metered $options --save "$work/differ" <"$work/records" >"$work/log"; then
        result ok "generated modules $options" "$(tail -n 1 "$work/log")"
    else
        tail -n 20 "$work/log"
        result FAILED "generated modules $options" "see $work/differ"
    fi
done

gas_of() { # runs "$@"; the gas that --stats=json tells
    "$ssvm" run --stats=json "$@" 2>&1 >"$work/out" </dev/null | grep -o '"gas": *[0-9]*' | head -n 1 | tr -dc 0-9
}

program() { # NAME ARG...
    name=$1
    shift
    ${WASM_CC:-clang-22} --target=wasm32-wasi -O2 -Wno-deprecated -Wl,-z,stack-size=1048576 "$root/bench/guest/$name.c" -o "$work/$name.wasm"
    "$tool" gas 0 0 "$root/src/wasm/opcode.def" "$work/$name.wasm" "$work/$name-counted.wasm"
    want=$(node --no-warnings "$here/count.mjs" "$work/$name-counted.wasm" "$root/src/host/wasi/wasi.def" "$@" 2>&1 >"$work/want" | sed -n 's/^gas //p')
    got=$(gas_of "$work/$name.wasm" "$@")
    if [ -n "$want" ] && [ "$got" = "$want" ] && cmp -s "$work/out" "$work/want"; then
        result ok "$name $*" "$got"
    else
        result FAILED "$name $*" "$got, other engine $want"
        return 0
    fi
    if [ "$(gas_of --gas-limit="$want" "$work/$name.wasm" "$@")" = "$want" ]; then
        result ok "$name $*" "runs with just enough"
    else
        result FAILED "$name $*" "does not run with just enough"
    fi
    if "$ssvm" run --gas-limit=$((want - 1)) "$work/$name.wasm" "$@" >"$work/out" 2>"$work/err" </dev/null; then
        result FAILED "$name $*" "runs with one unit too little"
    elif grep -q "gas exhausted" "$work/err"; then
        result ok "$name $*" "one unit less is a trap"
    else
        result FAILED "$name $*" "one unit less: $(head -n 1 "$work/err")"
    fi
}

program fib 20
program nbody 1000
program fannkuch 6
program mandelbrot 20
program binarytrees 6
program matmul 20
program sha256 1
program sorthash 1000
echo "gas: $passed passed, $failed failed, 0 skipped"
[ "$failed" = 0 ]
