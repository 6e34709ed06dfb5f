#!/usr/bin/env bash
# make bench-nn: the talk's picture in every way at hand (nn-peers.py: table, JSON and SVG into BUILD/bench) and behind HTTP (nn-serve.py).
# nn.sh [--build-only] [--tract]: --tract builds the guest that runs the model itself too, which takes half an hour. LIBRARIES: which are fetched into
# BUILD/nn and measured (default litert and openvino; also onnxruntime and tensorflow). PYTHON: one that has tensorflow, for the peers in Python.
set -euo pipefail
cd "$(dirname "$0")/.."
build=$(cd "${BUILD:-build}" && pwd)
mkdir -p "$build/bench"
RUSTFLAGS=-Ctarget-cpu=native cargo build --quiet --release --locked --manifest-path bench/food-native/Cargo.toml --target-dir "$build/bench/food-native"
for program in food nn; do
    ${CC:-clang-22} -O2 -D_GNU_SOURCE -DSSVM_STATIC -Wall -Wextra -Iinclude "bench/$program.c" "$build/libssvm.a" \
        "$build/bench/food-native/release/libfood_native.a" -o "$build/bench/$program" -lm -lpthread -ldl
done
if [[ " $* " == *" --tract "* ]]; then
    RUSTFLAGS=-Ctarget-feature=+simd128 cargo build --quiet --release --locked --target wasm32-wasip1 --manifest-path bench/tract/Cargo.toml \
        --target-dir "$build/bench/tract"
    "$build/ssvm" compile -o "$build/bench/tract.wasm" "$build/bench/tract/wasm32-wasip1/release/tract.wasm"
fi
[[ " $* " != *" --build-only "* ]] || exit 0
for library in ${LIBRARIES:-litert openvino}; do
    "$build/ssvm" nn install "$library" --to "$build/nn"
done
bench/nn-peers.py --build "$build" --libraries "$build/nn" --python "${PYTHON:-python3}" --json "$build/bench/nn.json" --svg "$build/bench/nn.svg"
for library in litert openvino; do
    [ ! -d "$build/nn/$library" ] || bench/nn-serve.py --build "$build" --libraries "$build/nn" --library "$library"
done
