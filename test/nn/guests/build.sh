#!/bin/sh
# Builds the guests, and those of examples/: build.sh DIR. With Rust's target wasm32-wasip1, or a clang with wasi-libc, missing, the .wasm files of the tree are
# taken, and a line says so. build.sh --keep writes the files of the tree.
set -eu
cd "$(dirname "$0")"
out=${1:?usage: build.sh DIR|--keep}
keep=no
if [ "$out" = --keep ]; then
    out=$PWD/wasm
    keep=yes
fi
mkdir -p "$out"
target=${GUESTS_TARGET:-$out/target}

libdir=$(rustc --print target-libdir --target wasm32-wasip1 2>/dev/null || true)
if command -v cargo >/dev/null 2>&1 && [ -d "$libdir" ]; then
    cargo fetch --quiet --locked
    flags="--remap-path-prefix=$(cd ../../.. && pwd)=. --remap-path-prefix=$HOME=."
    for folder in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*; do
        flags="$flags --remap-path-prefix=$folder=crates"
    done
    RUSTFLAGS=$flags cargo build --quiet --release --locked --target wasm32-wasip1 --target-dir "$target"
    RUSTFLAGS=$flags cargo build --quiet --release --locked --target wasm32-wasip1 --target-dir "$target" --manifest-path ../../../examples/nn-rust/Cargo.toml
    for f in "$target"/wasm32-wasip1/release/*.wasm; do
        cp "$f" "$out/$(basename "$f")"
    done
else
    echo "guests: Rust's target wasm32-wasip1 is not here (rustup target add wasm32-wasip1): the Rust guests of the tree are used"
    [ $keep = yes ] || cp wasm/guest-[!c]*.wasm wasm/nn-rust.wasm "$out"
fi
cc=${WASM_CC:-$(command -v clang-22 || command -v clang || true)}
if [ -n "$cc" ] && [ -d /usr/include/wasm32-wasi ]; then
    compile() { # SOURCE NAME
        "$cc" --target=wasm32-wasi -O2 -Wall -Wextra -Werror -Wno-deprecated -Wl,--strip-all -I../../../sdk/c -o "$out/$2.wasm" "$1"
    }
    for f in c/*.c; do
        compile "$f" "guest-c-$(basename "$f" .c)"
    done
    compile ../../../examples/nn-c/main.c nn-c
else
    echo "guests: there is no clang with wasi-libc (Debian: clang-22 lld-22 wasi-libc libclang-rt-22-dev-wasm32): the C guests of the tree are used"
    [ $keep = yes ] || cp wasm/guest-c-*.wasm wasm/nn-c.wasm "$out"
fi
