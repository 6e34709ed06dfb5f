#!/usr/bin/env bash
# make bench-peers: builds the peers that package registries have, into build/bench. wasm3 is 0.5.0, out of the sources of the PyPI package pywasm3;
# wasmtime's library is 48.0.0, of the PyPI package wasmtime, its headers those of the crate wasmtime-c-api-impl.
set -euo pipefail
cd "$(dirname "$0")/.."
out=$PWD/build/bench
mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
pip download -q --no-deps --no-binary :all: -d "$work" pywasm3==0.5.0
tar -xzf "$work"/pywasm3-*.tar.gz -C "$work" --strip 1
clang-22 -O3 -DNDEBUG -w -I"$work/wasm3" bench/wasm3-run.c "$work"/wasm3/m3_*.c -o "$out/wasm3" -lm
pip download -q --no-deps -d "$work" wasmtime==48.0.0
python3 -m zipfile -e "$work"/wasmtime-48.0.0-*.whl "$out/wasmtime-wheel"
# What the guests lua and sqlite are made of: the crates are only fetched.
cat >"$work/Cargo.toml" <<'TOML'
[package]
name = "sources"
version = "0.0.0"
edition = "2021"
[lib]
path = "lib.rs"
[dependencies]
lua-src = "=551.1.0"
wasmtime-c-api-impl = "=48.0.0"
libsqlite3-sys = { version = "=0.40.0", features = ["bundled"] }
TOML
touch "$work/lib.rs"
cargo fetch --quiet --manifest-path "$work/Cargo.toml"
make -s -C bench wasmtime-run OUT="$out" WHEEL="$out/wasmtime-wheel" \
    HEADERS="$(find ~/.cargo/registry/src -maxdepth 3 -type d -path '*wasmtime-c-api-impl-48.0.0/include' | head -1)"
echo "bench-peers: $out/wasm3, $out/wasmtime-run, and the sources of Lua and SQLite in cargo's cache"
