#!/bin/sh
# Differential tests: N generated modules run here and in another engine, and ten times as many verdicts of the validator.
# Usage: run.sh [N] [BUILD]; $SSVM_BUILD is the default of BUILD. SSVM_DIFF_SEED changes the modules (default 1). The official scripts' modules
# are mutated too when they are in BUILD/spec. Modules that differ are left in BUILD/diff.
set -eu
n=${1:-500}
here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "${2:-${SSVM_BUILD:-$here/../../build}}" && pwd)
seed=${SSVM_DIFF_SEED:-1}
runner=$build/test/diff-runner
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$build/diff-tool}"

cargo build --release --locked --quiet --manifest-path "$here/tool/Cargo.toml"
tool=$CARGO_TARGET_DIR/release/ssvm-diff
rm -rf "$build/diff"
mkdir -p "$build/diff"
spec=
[ ! -d "$build/spec/json" ] || spec=$build/spec/json
agreed=0
differed=0
skipped=0

compare() { # NAME RUNNER-OPTION TOOL-ARGUMENTS...
    name=$1
    option=$2
    shift 2
    mkdir -p "$build/diff/$name"
    # shellcheck disable=SC2086
    "$tool" "$@" | "$runner" $option --save "$build/diff/$name" >"$build/diff/$name.log" || true
    total=$(tail -n 1 "$build/diff/$name.log")
    echo "$name: $total"
    case $total in
    *agreed*skipped)
        # shellcheck disable=SC2086
        set -- $total
        agreed=$((agreed + $1))
        differed=$((differed + $3))
        skipped=$((skipped + $5))
        [ "$3" = 0 ] || { head -n 20 "$build/diff/$name.log" && echo "FAILED $name: $(head -n 2 "$build/diff/$name.log" | tr '\n' ' ')"; }
        ;;
    *)
        echo "FAILED $name: the runner did not end"
        differed=$((differed + 1))
        ;;
    esac
}

few=$((n / 10 + 1))
compare verdict "" verdict $((n * 10)) "$seed" ${spec:+"$spec"}
compare exec "" exec "$n" "$seed"
compare exec-plain --no-optimise exec $few $((seed + 1))
compare exec-checked --no-guard exec $few $((seed + 2))
compare exec-metered --metered exec $few $((seed + 3))
compare exec-gc --gc-stress exec $few $((seed + 4))
echo "diff: $agreed passed, $differed failed, $skipped skipped"
[ "$differed" = 0 ]
