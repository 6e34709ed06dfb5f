#!/bin/sh
# The interpreter against native code: N generated modules of this project's own generator, as many of wasm-smith's, and the gas of every
# official script. Usage: tiers.sh [N] [BUILD]; $SSVM_BUILD is the default of BUILD. SSVM_DIFF_SEED changes the modules (default 1). Modules
# that differ are left in BUILD/tiers.
set -eu
n=${1:-10}
here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "${2:-${SSVM_BUILD:-$here/../../build}}" && pwd)
seed=${SSVM_DIFF_SEED:-1}
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$build/diff-tool}"
if [ ! -x "$build/test/diff-tiers" ]; then
    echo "tiers: there is no native code in this build"
    echo "0 passed, 0 failed, 1 skipped"
    exit 0
fi
cargo build --release --locked --quiet --manifest-path "$here/tool/Cargo.toml"
out=$build/tiers
rm -rf "$out"
mkdir -p "$out"
passed=0
failed=0
skipped=0

add() { # NAME: the last line of its log
    total=$(tail -n 1 "$out/$1.log")
    echo "$1: $(tail -n 2 "$out/$1.log" | head -n 1); $total"
    case $total in
    *passed*skipped)
        # shellcheck disable=SC2086
        set -- "$1" $total
        passed=$((passed + $2))
        failed=$((failed + $4))
        skipped=$((skipped + $6))
        [ "$4" = 0 ] || { head -n 20 "$out/$1.log" && echo "FAILED $1: $(head -n 2 "$out/$1.log" | tr '\n' ' ')"; }
        ;;
    *)
        failed=$((failed + 1))
        echo "FAILED $1: the runner did not end"
        ;;
    esac
}

"$build/test/diff-tiers" --make "$n" --seed "$seed" --save "$out" >"$out/made.log" || true
add made
"$CARGO_TARGET_DIR/release/ssvm-diff" modules "$n" "$seed" |
    "$build/test/diff-tiers" --seed "$seed" --save "$out" >"$out/smith.log" || true
add smith
"$build/test/diff-tiers" --tails "$((n / 2 + 2))" --seed "$seed" --save "$out" >"$out/tails.log" || true
add tails
"$build/test/diff-tiers" --make "$((n / 4 + 1))" --plain --optimise 1 --form 2 --seed "$seed" --save "$out" >"$out/checked.log" || true
add checked
loops="--loops $((n / 2 + 2)) --funcs 12 --statements 4"
# shellcheck disable=SC2086
"$build/test/diff-tiers" $loops --seed "$seed" --save "$out" >"$out/loops.log" || true
add loops
# shellcheck disable=SC2086
"$build/test/diff-tiers" $loops --plain --form 8 --seed "$seed" --save "$out" >"$out/metered.log" || true
add metered
"$build/test/diff-tiers" --endless "$((n * 2))" --funcs 12 --plain --form 8 --seed "$seed" --save "$out" >"$out/endless.log" || true
add endless

# A short run takes the scripts whose business is control and traps.
few='/(address|br_table|call.*|if|labels|left-to-right|loop|memory_grow|memory_trap.*|return_call.*|table_.*|traps.*|try_.*|throw.*|unwind|array.*|struct.*)/'
# Threads that wait for each other count differently from run to run.
scripts=$build/spec/json
[ -d "$scripts" ] || scripts=$here/../../build/spec/json
if [ -d "$scripts" ]; then
    for run in "interp" "aot" "interp --own-costs" "aot --own-costs"; do
        # shellcheck disable=SC2086
        find "$scripts/core" "$scripts/custom" "$scripts/legacy-exceptions" -name test.json | sort |
            if [ "$n" -lt 1000 ]; then grep -E "$few"; else cat; fi |
            xargs "$build/test/spec-runner" --gas-totals --tier $run | grep ': gas ' >"$out/gas.$(echo "$run" | tr -d ' ')" || true
    done
    if [ -s "$out/gas.interp" ] && cmp "$out/gas.interp" "$out/gas.aot" && cmp "$out/gas.interp--own-costs" "$out/gas.aot--own-costs" &&
        ! cmp -s "$out/gas.interp" "$out/gas.interp--own-costs"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED gas of scripts: $(diff "$out/gas.interp" "$out/gas.aot" | head -n 4 | tr '\n' ' ')"
    fi
fi
echo "tiers: $passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
