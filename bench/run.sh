#!/usr/bin/env bash
# make bench: builds the guests, then times this build beside native code and the peers that PATH or $PEER_* name (bench/peers.py).
# LUA and SQLITE: folders with the sources (see guest/Makefile); found in cargo's cache when the crates lua-src and libsqlite3-sys are there.
set -euo pipefail
cd "$(dirname "$0")/.."
out=$PWD/build/bench
: "${LUA:=$(find ~/.cargo/registry/src -maxdepth 3 -type d -path '*lua-src-*/lua-5.4*' 2>/dev/null | sort | tail -1)}"
: "${SQLITE:=$(find ~/.cargo/registry/src -maxdepth 3 -type d -path '*libsqlite3-sys-*/sqlite3' 2>/dev/null | sort | tail -1)}"
make -s -C bench/guest OUT="$out" LUA="$LUA" SQLITE="$SQLITE"
export PATH="$PWD/build:$out:$PATH"
engines=native,ssvm-interp
command -v wasm3 >/dev/null && engines=$engines,wasm3
bench/peers.py --guests "$out" --set interp --engines "$engines" "$@"
bench/peers.py --guests "$out" --startup --engines "$engines"
bench/peers.py --guests "$out" --startup --only bigdata --engines "$engines"
for program in instantiate interrupt; do # an empty request in process; how late an interruption comes
    ${CC:-clang-22} -O2 -D_GNU_SOURCE -DSSVM_STATIC -Iinclude "bench/$program.c" build/libssvm.a -o "$out/$program" -lm -lpthread
    echo
    "$out/$program"
done
"$out/instantiate" "$out/nop.wasm" "$out/bigdata.wasm" # whole requests, beside wasmtime-run where it is
if command -v nginx >/dev/null && command -v wrk >/dev/null; then bench/http-cpu.py; else echo "http: needs nginx and wrk (Debian: nginx-light, wrk)"; fi
