#!/usr/bin/env bash
# Real programs as guests: each is built natively and for WASI from the same source, run both ways on the same input, and must print the same and end
# with the same status. SQLite, Lua and bzip2 come from Debian's source packages. Needs SSVM (the program) and SSVM_BUILD (a folder to build in).
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
: "${SSVM:?}" "${SSVM_BUILD:?}"
work=$SSVM_BUILD/programs
mkdir -p "$work"
cd "$work" || exit 1
passed=0 failed=0 skipped=0

cc_guest() { # OUTPUT FLAGS AND FILES...
    local out=$1
    shift
    clang-22 --target=wasm32-wasi --no-wasm-opt -Wno-deprecated -O2 -w -I"$here/compat" -include "$here/compat/compat.h" -D_WASI_EMULATED_SIGNAL \
        -D_WASI_EMULATED_GETPID -D_WASI_EMULATED_PROCESS_CLOCKS -D_WASI_EMULATED_MMAN "$@" -o "$out" \
        -lwasi-emulated-signal -lwasi-emulated-getpid -lwasi-emulated-process-clocks -lwasi-emulated-mman
}
sources() { # the source packages, once; deb-src lines are made from the machine's own configuration
    [ -e sources.ok ] && return
    mkdir -p apt/lists/partial apt/parts
    sed 's/^Types: .*/Types: deb-src/' /etc/apt/sources.list.d/debian.sources >apt/parts/debian.sources 2>/dev/null
    sed -n 's/^deb /deb-src /p' /etc/apt/sources.list >apt/sources.list 2>/dev/null
    local apt="-q -o Dir::Etc::sourcelist=$work/apt/sources.list -o Dir::Etc::sourceparts=$work/apt/parts -o Dir::State::lists=$work/apt/lists -o APT::Sandbox::User=root"
    # shellcheck disable=SC2086
    apt-get $apt update && apt-get $apt source --download-only sqlite3 lua5.4 bzip2 || return 1
    rm -rf sqlite3 lua bzip2
    for p in sqlite3:sqlite3 lua5.4:lua bzip2:bzip2; do
        mkdir -p "${p#*:}"
        tar -xf "$(find . -maxdepth 1 -name "${p%:*}_*.orig.tar.*" | head -1)" -C "${p#*:}" --strip 1 || return 1
    done
    (cd sqlite3 && ./configure --disable-tcl --disable-readline && make sqlite3.c shell.c) && touch sources.ok
}
build_sqlite() {
    local flags="-DSQLITE_THREADSAFE=0 -DSQLITE_OMIT_LOAD_EXTENSION -DSQLITE_OMIT_POPEN -DSQLITE_NOHAVE_SYSTEM -DSQLITE_OMIT_WAL -DSQLITE_MAX_MMAP_SIZE=0 -DHAVE_READLINE=0"
    # shellcheck disable=SC2086
    [ -e sqlite.wasm ] || { cc_guest sqlite.wasm $flags sqlite3/shell.c sqlite3/sqlite3.c && clang-22 -O1 -w $flags sqlite3/shell.c sqlite3/sqlite3.c -o sqlite -lm; }
}
build_lua() {
    [ -e lua.wasm ] && return
    local files
    files=$(find lua/src -name '*.c' ! -name luac.c)
    clang-22 --target=wasm32-wasi -Wno-deprecated -mexception-handling -c "$here/compat/longjmp-tag.s" -o tag.o || return 1
    # shellcheck disable=SC2086
    cc_guest lua.wasm -mllvm -wasm-enable-sjlj -mllvm -wasm-use-legacy-eh=false -mexception-handling -DL_tmpnam=32 $files "$here/compat/setjmp.c" tag.o &&
        cc_guest lua-legacy.wasm -mllvm -wasm-enable-sjlj -mllvm -wasm-use-legacy-eh=true -mexception-handling -DL_tmpnam=32 $files "$here/compat/setjmp.c" tag.o &&
        clang-22 -O2 -w -DLUA_USE_POSIX $files -o lua-native -lm
}
build_bzip2() {
    local files="bzip2/bzip2.c bzip2/blocksort.c bzip2/huffman.c bzip2/crctable.c bzip2/randtable.c bzip2/compress.c bzip2/decompress.c bzip2/bzlib.c"
    # shellcheck disable=SC2086
    [ -e bzip2.wasm ] || { cc_guest bzip2.wasm $files && clang-22 -O2 -w $files -o bzip2-native; }
}
build_go() { GOOS=wasip1 GOARCH=wasm go build -o go.wasm "$here/go/main.go" && go build -o go-native "$here/go/main.go"; }
build_rust() { rustc --edition 2021 -O --target wasm32-wasip1 "$here/rust/main.rs" -o rust.wasm && rustc --edition 2021 -O "$here/rust/main.rs" -o rust-native; }

same() { # NAME: native.out and guest.out, native.status and guest.status
    if cmp -s native.out guest.out && [ "$(cat native.status)" = "$(cat guest.status)" ] && [ -s guest.out ]; then
        echo "ok: $1"
        passed=$((passed + 1))
    else
        echo "FAILED $1: status native $(cat native.status), guest $(cat guest.status); $(diff native.out guest.out | head -n 3 | tr '\n' ' ')"
        diff native.out guest.out | head -20
        failed=$((failed + 1))
    fi
}
both() { # NAME STDIN NATIVE-COMMAND -- GUEST-COMMAND; both run in a scratch folder of their own
    local name=$1 input=$2 native=() guest=()
    shift 2
    while [ "$1" != -- ]; do
        native+=("$1")
        shift
    done
    shift
    guest=("$@")
    rm -rf native.dir guest.dir
    mkdir native.dir guest.dir
    (cd native.dir && "${native[@]}") <"$input" >native.out 2>&1
    echo $? >native.status
    (cd guest.dir && "${guest[@]}") <"$input" >guest.out 2>&1
    echo $? >guest.status
    same "$name"
}
skip() {
    echo "skipped: $1"
    skipped=$((skipped + 1))
}
fail() {
    echo "FAILED $1: see its log"
    failed=$((failed + 1))
}

if sources >sources.log 2>&1; then
    if build_sqlite; then
        both "sqlite shell on a file database" "$here/test.sql" env HOME=/none "$work/sqlite" -vfs unix-none -batch db.sqlite -- "$SSVM" run --env HOME=/none --dir .:. "$work/sqlite.wasm" -vfs unix-none -batch db.sqlite
        # The native build must read the database that the guest wrote.
        ./sqlite -batch guest.dir/db.sqlite 'pragma integrity_check; select count(*), sum(v) from t' >guest.out 2>&1
        ./sqlite -batch native.dir/db.sqlite 'pragma integrity_check; select count(*), sum(v) from t' >native.out 2>&1
        same "sqlite database file read by the native build"
    else fail "sqlite does not build"; fi
    if build_lua; then
        both "lua script" /dev/null "$work/lua-native" "$here/test.lua" out two -- "$SSVM" run --dir .:. --dir "/test:$here" "$work/lua.wasm" /test/test.lua out two
        both "lua script, legacy exceptions" /dev/null "$work/lua-native" "$here/test.lua" out two -- "$SSVM" run --dir .:. --dir "/test:$here" "$work/lua-legacy.wasm" /test/test.lua out two
    else fail "lua does not build"; fi
    if build_bzip2; then
        # 50 MB that compress: the sources themselves, repeated with a counter between.
        [ -e big ] || { for i in $(seq 1 9); do echo "$i" && cat sqlite3/sqlite3.c; done | head -c 50000000 >big; }
        rm -f big.bz2 big.back
        both "bzip2 of 50 MB" big "$work/bzip2-native" -c -- "$SSVM" run "$work/bzip2.wasm" -c
        cp guest.out big.bz2
        "$SSVM" run "$work/bzip2.wasm" -dc <big.bz2 >guest.out
        echo $? >guest.status
        cp big native.out
        echo 0 >native.status
        same "bunzip2 of it"
    else fail "bzip2 does not build"; fi
else
    tail -3 sources.log
    skip "sqlite, lua, bzip2: the source packages cannot be had (sources.log)"
fi
if command -v go >/dev/null && build_go; then
    both "go program" /dev/null ./../go-native out two -- "$SSVM" run --dir /:. "$work/go.wasm" out two
else skip "go program: no go with GOOS=wasip1"; fi
if build_rust 2>rust.log; then
    both "rust program" "$here/main.txt" ./../rust-native out two -- "$SSVM" run --dir .:. "$work/rust.wasm" out two
else skip "rust program: no rustc with target wasm32-wasip1"; fi
rm -rf native.dir guest.dir
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
