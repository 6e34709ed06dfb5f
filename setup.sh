#!/bin/sh
# The Debian packages that a target needs, nothing else: setup.sh [build|demo|check]. Installs only what is missing, and asks for root
# (sudo) only then.
set -eu

build="cmake ninja-build"
# `ssvm nn install` fetches inference libraries with pip.
demo="curl"
# The compiler of native code, libssvm-aot.so, wants LLVM, and is linked by lld (cmake/llvm.cmake). All else builds without.
compiler="llvm-22-dev lld-22"
# Picture decoding (host-image.so); all else builds without.
image="libjpeg62-turbo-dev libspng-dev"
# The platform (ssvm-control, ssvm-client, and TLS, HTTP/2 and the jail of ssvm-serve); all else builds without.
platform="libsqlite3-dev libpq-dev libssl-dev libnghttp2-dev libcurl4-openssl-dev libyaml-dev libjansson-dev"
check="$compiler $image $platform libcmocka-dev postgresql nghttp2-client nginx-light openssl python3-prometheus-client python3-jsonschema python3-yaml wabt wasi-libc libclang-rt-22-dev libclang-rt-22-dev-wasm32
 clang-format-22 clang-tidy-22 llvm-22 qemu-user libc6-dev-arm64-cross libgcc-12-dev-arm64-cross python3 curl xz-utils pkg-config chromium binutils gdb file mandoc shellcheck"

what=${1:-build}
missing=

want() { # package...
    for p in "$@"; do
        dpkg-query -W -f='${db:Status-Status}' "$p" 2>/dev/null | grep -qx installed || missing="$missing $p"
    done
}
# want_command COMMAND PACKAGE...: a program may be there without its package
want_command() {
    c=$1
    shift
    command -v "$c" >/dev/null 2>&1 || want "$@"
}

if ! command -v dpkg-query >/dev/null 2>&1; then
    echo "setup.sh: not a Debian system; install the equivalents of: $build $check" >&2
    exit 0
fi
want_command cmake cmake
want_command ninja ninja-build
if [ "$what" != build ] || ! command -v cc >/dev/null 2>&1; then
    want_command clang-22 clang-22
fi
want_command make make
if [ "$what" = build ] && apt-cache show libspng-dev >/dev/null 2>&1; then
    # shellcheck disable=SC2086
    want $image $platform
fi
# Of `build`: where the system has it, and LLVM_CONFIG names no other.
if [ "$what" = build ] && [ -z "${LLVM_CONFIG:-}" ]; then
    # shellcheck disable=SC2086
    if apt-cache show $compiler >/dev/null 2>&1; then
        want $compiler
    else
        echo "setup.sh: apt does not know $compiler (apt.llvm.org has them): ssvm is built without the compiler of native code" >&2
    fi
fi
[ "$what" = build ] || {
    want_command curl $demo
    # shellcheck disable=SC2086
    want $image $platform
    python3 -m pip --version >/dev/null 2>&1 || want python3-pip
}
if [ "$what" = check ]; then
    # shellcheck disable=SC2086
    want $check
    want_command gcc gcc
    # Pillow and the like, for tests.
    python3 -c 'import venv, ensurepip' 2>/dev/null || want python3-venv
    want_command node nodejs
    want_command npm npm
    want_command cargo cargo-web rustc-web
fi
# Guests in Rust; Debian's compiler has only what its packages bring, and what is not there is skipped.
targets() {
    if [ "$what" = check ] && command -v rustup >/dev/null 2>&1; then
        rustup --quiet target add wasm32-wasip1 wasm32-wasip1-threads wasm32-unknown-unknown ||
            echo "setup.sh: rustup cannot add the targets for WebAssembly: tests with guests in Rust are skipped" >&2
    fi
}
[ -n "$missing" ] || {
    targets
    exit 0
}

run=
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null 2>&1 || {
        echo "setup.sh: these packages are missing:$missing" >&2
        echo "setup.sh: run as root: apt-get install$missing" >&2
        exit 1
    }
    run=sudo
fi
echo "setup.sh: installing$missing"
$run apt-get update -q
# shellcheck disable=SC2086
$run env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing
targets
