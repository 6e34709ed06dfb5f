#!/usr/bin/env bash
# Images for aarch64, made here and run under qemu-user by an ssvm that was built for it: results, messages of traps, backtraces and exit statuses
# must be those of this machine's interpreter. Needs SSVM (the program here, with its compiler) and SSVM_BUILD (a folder to build in). Ends with
# 'N passed, N failed, N skipped'.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
: "${SSVM:?}" "${SSVM_BUILD:?}"
root=/usr/aarch64-linux-gnu
work=$SSVM_BUILD/aarch64
skip() {
    echo "aarch64: $1"
    echo "0 passed, 0 failed, 1 skipped"
    exit 0
}
command -v qemu-aarch64 >/dev/null || skip "there is no qemu-aarch64"
[ -e $root/lib/libc.so.6 ] || skip "there is no C library for aarch64 (libc6-dev-arm64-cross)"
[ -e "$SSVM_BUILD/libssvm-aot.so" ] || skip "there is no compiler of native code in this build"
# LLVM's linker knows all machines; the system's own may know this one alone.
linker=(-DCMAKE_EXE_LINKER_FLAGS=-fuse-ld=lld -DCMAKE_SHARED_LINKER_FLAGS=-fuse-ld=lld -DCMAKE_MODULE_LINKER_FLAGS=-fuse-ld=lld)
# Of the same sources: what makes images and what runs them must be of one build.
cmake -S "$here/../.." -B "$work/build" -G Ninja -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 -DCMAKE_C_COMPILER=clang-22 \
    -DCMAKE_C_COMPILER_TARGET=aarch64-linux-gnu "${linker[@]}" -DLLVM_CONFIG=/bin/false -DDEV=ON >/dev/null && cmake --build "$work/build" -j "$(nproc)" --target ssvm_cli || exit 1
rm -rf "$work/here" "$work/there" "$work/cache"
mkdir -p "$work/here" "$work/there"
passed=0 failed=0
interpreted() { (cd "$work/here" && "$SSVM" --tier interp "$@"); }
emulated() { (cd "$work/there" && qemu-aarch64 -L $root "$work/build/ssvm" --cache "$work/cache" "$@"); }
result() { # NAME GOOD
    if [ "$2" = yes ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED $1: $(diff "$work/here.txt" "$work/there.txt" | head -n 5 | tr '\n' ' ')"
    fi
}
module() { # NAME: here/NAME.wasm, for aarch64 there
    "$SSVM" compile --target aarch64 --cpu generic --cache "$work/cache" "$work/here/$1.wasm" -o "$work/there/$1.wasm" || result "compile $1" no
}
same() { # NAME ARG...
    local name=$1
    shift
    { interpreted "$@" 2>&1; echo "status $?"; } >"$work/here.txt"
    { emulated "$@" 2>&1; echo "status $?"; } >"$work/there.txt"
    result "$name" "$(cmp -s "$work/here.txt" "$work/there.txt" && echo yes)"
}
native() { # NAME ARG...: it was native code that ran
    local name=$1
    shift
    emulated --stats=json "$@" >"$work/there.txt" 2>&1
    : >"$work/here.txt"
    result "$name is native" "$(grep -q '"tier": "native"' "$work/there.txt" && echo yes)"
}

for wat in "$here/traps.wat" "$here/../cli/guest/tier.wat" "$here/../cli/guest/simd.wat" "$here/tails.wat"; do
    name=$(basename "$wat" .wat)
    wat2wasm --enable-all --debug-names "$wat" -o "$work/here/$name.wasm" || exit 1
    module "$name"
done
grep -o 'export "[a-z_]*"' "$here/traps.wat" | cut -d'"' -f2 >"$work/traps.txt"
while read -r name; do
    for arg in 0 9; do same "$name $arg" --invoke "$name" traps.wasm $arg; done
done <"$work/traps.txt"
for name in loop nested calls; do same "$name" --invoke $name tier.wasm 100000; done
same deep --invoke deep tier.wasm 300 1000
for arg in 0 8 200; do same "swing $arg" --invoke swing tails.wasm $arg; done
same "swing back" --invoke swing_back tails.wasm 7
for name in host host_exit; do same "tail calls: $name" --invoke $name tails.wasm; done
# Statistics count gas, which is a form of code of its own.
for name in traps tails; do
    "$SSVM" compile --target aarch64 --cpu generic --cache "$work/cache" --metered "$work/here/$name.wasm" -o "$work/there/metered-$name.wasm"
done
native traps --invoke caught metered-traps.wasm 1
native "tail calls" --invoke swing metered-tails.wasm 8
# Programs for WASI, with lines in their backtraces. Left out of the traps: `stack`, because how
# deep it is differs between tiers; and `store`, to a constant address, whose frame LLVM leaves without a place on aarch64.
if echo 'int main(void) { return 0; }' | clang-22 --target=wasm32-wasi -Wno-deprecated -x c - -o "$work/empty.wasm" 2>/dev/null; then
    for name in args libc trap exit_code clock stdio; do
        clang-22 --target=wasm32-wasi -Wno-deprecated -O1 -g -w -I"$here/../wasi" "$here/../wasi/$name.c" -o "$work/here/$name.wasm" || exit 1
        module $name
        case $name in
        trap) for kind in load divide unreachable signature table abort; do same "trap $kind" trap.wasm $kind; done ;;
        exit_code) same "exit code" exit_code.wasm return 42 ;;
        *) same $name $name.wasm one two ;;
        esac
    done
fi
# Modules with a result that is known: bombs.py.
PYTHONPATH=$here/../torture python3 - "$work/here" >"$work/bombs.txt" <<'END' || exit 1
import sys
import bombs

for name in ("casts-60", "tries_nested-300", "loops_row-200", "switch-1000", "selects-2000", "states-300"):
    made, result = bombs.BOMBS[name]()
    with open("%s/%s.wasm" % (sys.argv[1], name), "wb") as f:
        f.write(made.bytes())
    print(name)
END
while read -r name; do
    module "$name"
    same "$name" --invoke run "$name.wasm" 7
done <"$work/bombs.txt"
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" = 0 ]
