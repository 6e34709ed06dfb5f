#!/bin/sh
# Rebuild demo/functions/*.wasm from their sources. They are kept in the tree, so that the demo needs no Rust.
set -eu
cd "$(dirname "$0")/functions"

if ! command -v cargo >/dev/null 2>&1; then
    echo "demo/build.sh: cargo is not installed; the demo uses the .wasm files of the tree" >&2
    exit 1
fi
if ! rustc --print target-libdir --target wasm32-unknown-unknown >/dev/null 2>&1 ||
    [ ! -d "$(rustc --print target-libdir --target wasm32-unknown-unknown)" ]; then
    echo "demo/build.sh: Rust's target is missing: rustup target add wasm32-unknown-unknown" >&2
    exit 1
fi

build=${BUILD:-$(mktemp -d)}
build_rust() { # NAME FOLDER FLAGS...: functions/NAME.wasm from the crate in FOLDER
    name=$1
    crate=$2
    shift 2
    # Paths of this machine stay out of the module.
    cargo fetch --quiet --manifest-path "$crate/Cargo.toml" --locked
    flags="--remap-path-prefix=$(dirname "$PWD")=. --remap-path-prefix=$HOME=."
    for folder in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*; do
        flags="$flags --remap-path-prefix=$folder=crates"
    done
    RUSTFLAGS=$flags cargo build --manifest-path "$crate/Cargo.toml" --release --locked --target wasm32-unknown-unknown \
        --target-dir "$build/$name" "$@"
    set -- "$build/$name"/wasm32-unknown-unknown/release/*.wasm
    cp "$1" "$name.wasm"
}
build_rust hello hello
build_rust image image
build_rust food ../food
build_rust food-tflite ../food --features tflite

cc=${WASM_CC:-$(command -v clang-22 || command -v clang || true)}
if [ -n "$cc" ] && [ -d /usr/include/wasm32-wasi ]; then
    "$cc" --target=wasm32-wasi -O2 -Wall -Wextra -Wno-deprecated -Wl,--strip-all -o wordcount.wasm wordcount/wordcount.c
else
    echo "demo/build.sh: no clang with wasi-libc; functions/wordcount.wasm stays as it is" >&2
fi
[ -n "${BUILD:-}" ] || rm -rf "$build"
ls -l ./*.wasm
