#!/bin/sh
# Puts the official scripts as JSON into OUTDIR/json (kept between runs) and prints what was used.
# $SSVM_SPEC may name a folder with json.tar.xz; otherwise they are made from two pinned crates.
set -eu
out=${1:?usage: prepare.sh OUTDIR}
here=$(cd "$(dirname "$0")" && pwd)

if [ -n "${SSVM_SPEC:-}" ] && [ -f "$SSVM_SPEC/json.tar.xz" ]; then
    source="json.tar.xz $(sha256sum <"$SSVM_SPEC/json.tar.xz" | cut -c1-16)"
else
    source="crates $(sha256sum <"$here/convert/Cargo.lock" | cut -c1-16) $(sha256sum <"$here/convert/src/main.rs" | cut -c1-16)"
fi
if [ "$(cat "$out/source" 2>/dev/null)" = "$source" ]; then
    echo "official scripts: $source (cached in $out/json)"
    exit 0
fi
rm -rf "$out"
mkdir -p "$out"
case $source in
json*)
    tar -xJf "$SSVM_SPEC/json.tar.xz" -C "$out"
    ;;
*)
    CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$out/build} cargo build --release --locked --quiet \
        --manifest-path "$here/convert/Cargo.toml"
    "${CARGO_TARGET_DIR:-$out/build}/release/spec-convert" "$out/json"
    ;;
esac
echo "$source" >"$out/source"
echo "official scripts: $source in $out/json"
