#!/usr/bin/env bash
# The C APIs as an embedder meets them: the public example programs of wasm-c-api, an installation in a scratch prefix, and our examples built
# against it by pkg-config and by CMake's find_package. Needs SSVM_BUILD (a built tree; default build). Ends with
# 'N passed, N failed, N skipped'.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
build=${SSVM_BUILD:-$PWD/build}
cc=${CC:-cc}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
passed=0 failed=0 skipped=0

# check NAME COMMAND...: one test; what it says is shown when it fails
check() {
    local name=$1
    shift
    if "$@" >"$scratch/log" 2>&1 </dev/null; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED $name: $(tail -n 2 "$scratch/log" | tr '\n' ' ')"
        tail -n 20 "$scratch/log" | sed 's/^/    /'
    fi
}

# ---- The public examples: others' code, fetched, never kept in this tree ----

# The folder of the examples in the crate that ships them, in its one pinned version; fails when the registry cannot be reached.
crate=wasmer-c-api
crate_version=7.5.0
find_examples() {
    local home=${CARGO_HOME:-$HOME/.cargo}

    [ -n "${WASM_C_API_EXAMPLES:-}" ] && echo "$WASM_C_API_EXAMPLES" && return 0
    command -v cargo >/dev/null || return 1
    compgen -G "$home/registry/src/*/$crate-$crate_version" >/dev/null ||
        (cd "$scratch" && timeout 60 cargo info -q "$crate@$crate_version" >/dev/null 2>&1)
    compgen -G "$home/registry/src/*/$crate-$crate_version/tests/wasm-c-api/example"
}

run_public() { # DIR NAME
    local dir="$scratch/public/$2"
    mkdir -p "$dir" &&
        cp "$1/$2.wasm" "$dir" &&
        "$cc" -Iinclude "$1/$2.c" -o "$dir/$2" -L"$build" -lssvm -pthread -Wl,-rpath,"$build" &&
        (cd "$dir" && timeout 60 "./$2" >out && cat out && says "$2" out)
}

# Most of the programs check themselves; these print what went wrong in the guest, and go on.
says() { # NAME OUTPUT
    case $1 in
    trap) grep -q '^> callback abort' "$2" && grep -q '^> unreachable' "$2" && ! grep -q 'Empty' "$2" ;;
    start) grep -q '^> unreachable' "$2" && ! grep -q 'Empty' "$2" ;;
    finalize) grep -q '^Live count 0' "$2" ;;
    threads) [ "$(grep -c '^> Thread [0-9]* running' "$2")" = 30 ] ;;
    *) grep -q '^Done.' "$2" ;;
    esac
}

public="callback finalize global hello hostref memory multi reflect serialize start table threads trap"
if examples=$(find_examples); then
    for name in $public; do
        check "wasm-c-api $name" run_public "$examples" "$name"
    done
else
    echo "the wasm-c-api examples cannot be fetched ($crate $crate_version): skipped"
    skipped=$((skipped + $(echo "$public" | wc -w)))
fi

# ---- An installation ----

prefix=/opt/ssvm-test
root="$scratch/root"
inst="$root$prefix"
install_tree() { DESTDIR="$root" cmake --install "$build" --prefix "$prefix"; }
check "install with DESTDIR" install_tree
libdir=$(dirname "$(find "$inst" -name libssvm.a | head -n 1)")

installed() { # FILE...
    local f
    for f in "$@"; do
        [ -e "$f" ] || { echo "not installed: $f" && return 1; }
    done
}
check "installed files" installed "$inst/bin/ssvm" "$libdir"/libssvm{,-evmc}.so "$libdir"/libssvm.{a,so.0,so.0.1.0} "$inst"/include/{ssvm,wasm}.h \
    "$libdir/pkgconfig/ssvm.pc" "$libdir"/cmake/ssvm/ssvmConfig{,Version}.cmake "$inst/share/man/man3/ssvm.3" \
    "$inst/share/bash-completion/completions/ssvm" "$inst/libexec/ssvm/ssvm-serve"
soname() { readelf -d "$libdir/libssvm.so" | grep -q 'SONAME.*\[libssvm\.so\.0\]'; }
check "soname" soname
finds_library() { # a client loads it by its path, and it finds what it needs beside itself
    env -u LD_LIBRARY_PATH ldd "$libdir/libssvm-evmc.so" | grep -F "libssvm.so.0 => $libdir/libssvm.so.0 "
}
check "libssvm-evmc.so finds libssvm.so" finds_library
needed() { # of a plain build: nothing but libc, libm and the loader
    local extra
    extra=$(readelf -d "$libdir/libssvm.so" | grep NEEDED | grep -vE '\[(libc|libm|libpthread|ld-linux[-a-z0-9_]*)\.so' || true)
    echo "$extra"
    [ -z "$extra" ]
}
check "needs libc and libm only" needed
check "symbols" tools/check-symbols "${build#"$PWD"/}"
size() { # stripped, at most 1 MiB
    strip -o "$scratch/stripped" "$libdir/libssvm.so" && stat -c 'libssvm.so stripped: %s bytes' "$scratch/stripped" &&
        [ "$(stat -c %s "$scratch/stripped")" -le $((1 << 20)) ]
}
check "size" size

# ---- Our examples, outside of the tree ----

export PKG_CONFIG_PATH="$libdir/pkgconfig"
read -ra cflags <<<"$(pkg-config --cflags ssvm)"
read -ra libs <<<"$(pkg-config --libs ssvm)"
by_pkg_config() { # the installed tree is found where it is now, not where DESTDIR pretended
    wat2wasm examples/hello/guest.wat -o "$scratch/hello.wasm" &&
        "$cc" -std=c11 -Wall -Wextra -Werror examples/hello/main.c -o "$scratch/hello" "${cflags[@]}" "${libs[@]}" &&
        LD_LIBRARY_PATH="$libdir" "$scratch/hello" "$scratch/hello.wasm" | diff examples/hello/expected.txt -
}
by_pkg_config_static() {
    "$cc" -std=c11 -DSSVM_STATIC "${cflags[@]}" examples/hello/main.c -o "$scratch/hello-static" \
        "$libdir/libssvm.a" -lm -pthread &&
        "$scratch/hello-static" "$scratch/hello.wasm" | diff examples/hello/expected.txt -
}
by_cmake() {
    cmake -S examples -B "$scratch/examples" -DCMAKE_C_COMPILER="$cc" -DCMAKE_PREFIX_PATH="$inst" &&
        cmake --build "$scratch/examples"
}
run_example() { # NAME
    timeout 60 "$scratch/examples/$1" "$scratch/examples/${1%-static}.wasm" | diff "examples/${1%-static}/expected.txt" -
}
if command -v wat2wasm >/dev/null; then
    check "pkg-config" by_pkg_config
    check "pkg-config static" by_pkg_config_static
    check "find_package" by_cmake
    for name in capture hello hello-static host-function limits template typed-call; do
        check "example $name" run_example "$name"
    done
else
    echo "no wat2wasm: examples skipped"
    skipped=$((skipped + 10))
fi

echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
