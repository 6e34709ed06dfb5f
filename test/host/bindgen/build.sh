#!/usr/bin/env bash
# Builds wasm/*.wasm: the guest with each version of wasm-bindgen, two of them processed by its tool with and without names, and the one of
# wasmedge-bindgen. Needs cargo, the targets wasm32-unknown-unknown and wasm32-wasip1, and the crate registry; the results are kept in the tree, so that
# tests need none of them.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
scratch=${SCRATCH:-$(mktemp -d)}
target=wasm32-unknown-unknown
export CARGO_TARGET_DIR="$scratch/target"
mkdir -p "$here/wasm" "$scratch"
cp -r "$here/guest" "$here/process" "$here/wasmedge" "$scratch"

pin() { # FOLDER CRATE VERSION
    sed -i "s/^$2 = .*/$2 = \"=0.2.$3\"/" "$scratch/$1/Cargo.toml"
    rm -f "$scratch/$1/Cargo.lock"
}
build() { # FOLDER
    (cd "$scratch/$1" && RUSTFLAGS="-Aunexpected_cfgs --remap-path-prefix=$scratch= --remap-path-prefix=$HOME=" \
        cargo build --release --quiet --target $target)
}
for version in 89 92 95 100 106 130; do
    pin guest wasm-bindgen $version
    build guest
    install -m 644 "$scratch/target/$target/release/guest.wasm" "$here/wasm/raw-$version.wasm"
done
for version in 92 100; do
    pin process wasm-bindgen-cli-support $version
    for strip in "" strip; do
        out=$scratch/out-$version$strip
        mkdir -p "$out"
        # shellcheck disable=SC2086
        (cd "$scratch/process" && cargo run --quiet -- "$here/wasm/raw-$version.wasm" "$out" $strip)
        install -m 644 "$out/out_bg.wasm" "$here/wasm/$([ -n "$strip" ] && echo stripped || echo processed)-$version.wasm"
    done
done
# Our own attribute, for the target that the published one leaves out; it has no classes.
sed -i "s|^wasm-bindgen = .*|wasm-bindgen = { package = \"ssvm-bindgen\", path = \"$here/../../../sdk/rust/ssvm-bindgen\" }|" "$scratch/guest/Cargo.toml"
rm -f "$scratch/guest/Cargo.lock"
(cd "$scratch/guest" && RUSTFLAGS="-Aunexpected_cfgs --cfg no_classes --remap-path-prefix=$(cd "$here/../../.." && pwd)= --remap-path-prefix=$scratch= --remap-path-prefix=$HOME=" \
    cargo build --release --quiet --target wasm32-wasip1)
install -m 644 "$scratch/target/wasm32-wasip1/release/guest.wasm" "$here/wasm/ssvm-bindgen.wasm"
build wasmedge
install -m 644 "$scratch/target/$target/release/guest_wasmedge.wasm" "$here/wasm/wasmedge.wasm"
