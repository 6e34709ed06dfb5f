#!/usr/bin/env bash
# `ssvm compile`, and native code from a cache that is not what it should be: the program runs whatever is there.
# shellcheck disable=SC1091,SC2154 # variables of run.sh
. "$here/lib.sh"
wasm=$GUESTS/tier.wasm
cache=$PWD/cache
check "no file" 2 "" "no file to compile" "$SSVM" compile -o x.wasm
check "no output" 2 "" "'-o FILE' is wanted" "$SSVM" compile "$wasm"
check "two files" 2 "" "more than one FILE" "$SSVM" compile "$wasm" "$wasm" -o x.wasm
check "an unknown option" 2 "" "--fast" "$SSVM" compile --fast "$wasm" -o x.wasm
check "a level that is none" 2 "" "'7' is not a number up to 3" "$SSVM" compile -O 7 "$wasm" -o x.wasm
check "a number of threads that is none" 2 "" "'many' is not a number" "$SSVM" compile -j many "$wasm" -o x.wasm
for loop in 1 1: :1 1:x x:1 1:1:1 4294967296:1; do
    check "loop '$loop'" 2 "" "is not FUNC:OFFSET" "$SSVM" compile --loop "$loop" "$wasm" -o x.wasm
done
check "an input that is not there" 1 "" "missing.wasm" "$SSVM" compile missing.wasm -o x.wasm
echo 'not a module' >text.wasm
check "an input that is no module" 1 "" "text.wasm" "$SSVM" compile text.wasm -o x.wasm
if ! "$SSVM" compile --cache none -O 0 "$wasm" -o x.wasm 2>stderr.txt; then
    check "no compiler: it says so" 1 "" "libssvm-aot.so cannot be opened" "$SSVM" compile "$wasm" -o x.wasm
    exit 0
fi
rm x.wasm
stat_of() { grep -o "\"$1\": [^,]*" stderr.txt | cut -d' ' -f2- | tr -d '"'; }
expect() { # NAME WANTED GOT
    if [ "$2" = "$3" ]; then echo "ok $1"; else echo "FAILED $1: expected '$2', got '$3'"; fi
}
same() { # NAME FILE FILE
    if cmp -s "$2" "$3"; then echo "ok $1"; else echo "FAILED $1: $(cmp "$2" "$3" 2>&1)"; fi
}
check "an unknown CPU" 2 "" "unknown CPU 'z80'" "$SSVM" compile --cpu z80 "$wasm" -o x.wasm
check "an unknown target" 2 "" "unknown target 'pdp11'" "$SSVM" compile --target pdp11 "$wasm" -o x.wasm
check "another target's CPU" 2 "" "for target 'aarch64'" "$SSVM" compile --target aarch64 --cpu x86-64-v3 "$wasm" -o x.wasm
check "no such folder" 1 "" "cannot write 'none/x.wasm'" "$SSVM" compile "$wasm" -o none/x.wasm
mkdir folder
check "a folder in the way" 1 "" "cannot write 'folder'" "$SSVM" compile "$wasm" -o folder
expect "nothing is left of failures" "" "$(ls -d x.wasm* folder.* folder/* 2>/dev/null)"

# The result: the module and its code in one file, which runs natively where the key is.
n=1000
want=$("$SSVM" --tier interp --invoke loop "$wasm" $n)
compile() { "$SSVM" compile --cache "$cache" "$@"; }
check "compiles" 0 "" "" compile --metered "$wasm" -o out.wasm
check "the result runs" 0 "$want"$'\n' "" "$SSVM" --cache "$cache" --stats=json --invoke loop out.wasm $n
expect "natively from the beginning" "native 0" "$(stat_of tier) $(stat_of native_after_ns)"
expect "and nothing was compiled for it" "" "$(find "$cache" -name '????????????????*')"
check "without the key" 0 "$want"$'\n' "'out.wasm': its native code is not used: " "$SSVM" --cache "$PWD/other" --stats=json --invoke loop out.wasm $n
expect "it is interpreted first" interpreted "$(stat_of tier | sed 's/native/interpreted/')"
check "trusted without the key" 0 "$want"$'\n' "" "$SSVM" --cache none --trust-native --stats=json --invoke loop out.wasm $n
expect "natively from the beginning (trusted)" "native 0" "$(stat_of tier) $(stat_of native_after_ns)"
chmod o+w out.wasm
check "trusted in a file that others can write" 0 "$want"$'\n' "" "$SSVM" --cache "$cache" --trust-native --stats=json --invoke loop out.wasm $n
expect "natively all the same" "native 0" "$(stat_of tier) $(stat_of native_after_ns)"
chmod o-w out.wasm
check "where only the interpreter is wanted" 0 "$want"$'\n' "" "$SSVM" --tier interp --stats=json --invoke loop out.wasm $n
expect "it is interpreted" interpreted "$(stat_of tier)"
check "inspect sees the code's section" 0 "*" "" "$SSVM" inspect out.wasm
cmp -n "$(stat -c %s "$wasm")" "$wasm" out.wasm && echo "ok the module itself is as it was"
cp "$wasm" over.wasm
check "over the input" 0 "" "" compile --metered over.wasm -o over.wasm
check "which still runs" 0 "$want"$'\n' "" "$SSVM" --cache "$cache" --stats=json --invoke loop over.wasm $n
expect "natively" native "$(stat_of tier)"
check "what was compiled is compiled again" 0 "" "" compile --metered over.wasm -o over.wasm
same "to the same bytes" out.wasm over.wasm
compile --metered -j 1 "$wasm" -o one.wasm
compile --metered -j 2 "$wasm" -o two.wasm
same "two runs make the same bytes" out.wasm one.wasm
same "one thread and two make the same bytes" one.wasm two.wasm
check "from standard input" 0 "" "" bash -c "'$SSVM' compile --cache '$cache' --metered - -o in.wasm <'$wasm'"
same "the same bytes" out.wasm in.wasm
for level in 0 1 2 3; do
    compile --metered -O $level "$wasm" -o level.wasm
    check "level $level" 0 "$want"$'\n' "" "$SSVM" --cache "$cache" --stats=json --invoke loop level.wasm $n
    expect "level $level is native" native "$(stat_of tier)"
done
[ "$(uname -m)" = aarch64 ] && foreign=x86-64 || foreign=aarch64
check "for another machine" 0 "" "" compile --cpu generic --target "$foreign" "$wasm" -o foreign.wasm
check "which runs here, not natively" 0 "$want"$'\n' "" "$SSVM" --tier interp --invoke loop foreign.wasm $n
check "or compiled here" 0 "$want"$'\n' "no cache folder" "$SSVM" --tier aot --cache none --invoke loop foreign.wasm $n

# Where memory is short LLVM aborts, or cannot be loaded: one message and the status of an error; nothing half made. How much it needs hangs on
# where LLVM is, in libssvm-aot.so or libLLVM.so.
too_short=16 enough=1024 # MiB
while [ $((enough - too_short)) -gt 1 ]; do
    middle=$(((too_short + enough) / 2))
    if (ulimit -v $((middle * 1024)) && compile "$wasm" -o short.wasm) >/dev/null 2>&1; then enough=$middle; else too_short=$middle; fi
done
rm -f short.wasm
for mib in 16 $((enough * 3 / 4)) $((enough - 8)) $((enough - 6)) $((enough - 4)) $((enough - 2)); do
    kib=$((mib * 1024))
    check "with $kib KiB of address space" 1 "" "ssvm: '$wasm': " bash -c "ulimit -v $kib; '$SSVM' compile --cache '$cache' '$wasm' -o short.wasm"
    expect "one line ($kib KiB)" 1 "$(wc -l <stderr.txt)"
    expect "nothing is left ($kib KiB)" "" "$(ls short.wasm* 2>/dev/null)"
done

# Likewise before it runs, whatever the limit: natively, or one message.
for more in -40 -12 -8 -4 -2 0 4 8 16 32 64 96 128 192 384; do
    kib=$(((enough + more) * 1024))
    for folder in none "$PWD/narrow"; do
        (
            ulimit -v $kib
            exec "$SSVM" --tier aot --cache "$folder" --invoke loop "$wasm" $n
        ) >narrow.txt 2>stderr.txt
        case "$? $(cat narrow.txt)" in
        "0 $want") echo "ok with $kib KiB, cache '$folder'" ;;
        "1 ") expect "with $kib KiB, cache '$folder': one message" 1 "$(grep -c "^ssvm: '$wasm': " stderr.txt)" ;;
        *) echo "FAILED with $kib KiB, cache '$folder': $(cat narrow.txt stderr.txt)" ;;
        esac
    done
    rm -rf narrow
done

# Damage in the file: of the image, the module is run without it; cut, it is no module any more.
size=$(stat -c %s out.wasm)
for at in $(seq 1 7); do
    cp out.wasm bad.wasm
    offset=$((($(stat -c %s "$wasm") / 4096 + 1) * 4096 + at * 700))
    [ $offset -lt "$size" ] || offset=$((size - 1))
    printf '\xa5' | dd of=bad.wasm bs=1 seek=$offset conv=notrunc status=none
    check "a damaged image, trusted, byte $at" 0 "$want"$'\n' "" "$SSVM" --trust-native --cache none --invoke loop bad.wasm $n
    check "a damaged image, byte $at" 0 "$want"$'\n' "its native code is not used: " "$SSVM" --cache "$cache" --invoke loop bad.wasm $n
done
head -c $((size - 5000)) out.wasm >cut.wasm
check "a cut file" 1 "" "cut.wasm" "$SSVM" --cache "$cache" --invoke loop cut.wasm $n

# --tier aot and its cache.
aot() { "$SSVM" --tier aot --stats=json "$@"; }
check "aot without a cache" 0 "$want"$'\n' "" aot --cache none --invoke loop "$wasm" $n
expect "is native" "native 0" "$(stat_of tier) $(stat_of native_after_ns)"
mkdir -m 777 open
mkdir real
ln -s real link
for folder in open link; do
    check "aot, cache '$folder'" 0 "$want"$'\n' "" aot --cache "$PWD/$folder" --invoke loop "$wasm" $n
    expect "is native all the same ($folder)" native "$(stat_of tier)"
    expect "nothing is put there ($folder)" "" "$(ls -A open; ls -A real)"
done
rm -rf made
check "aot fills its cache" 0 "$want"$'\n' "" aot --cache "$PWD/made" --invoke loop "$wasm" $n
entry=$(find made -name '????????????????????????????????*')
expect "with one entry" 1 "$(wc -l <<<"$entry")"
check "aot uses it" 0 "$want"$'\n' "" aot --cache "$PWD/made" --invoke loop "$wasm" $n
cp "$entry" good
size=$(stat -c %s good)
damage() { # NAME: what the entry is now
    check "$1" 0 "$want"$'\n' "" aot --cache "$PWD/made" --invoke loop "$wasm" $n
    expect "$1: native" native "$(stat_of tier)"
    same "$1: the entry is made again" good "$entry"
}
for offset in 0 20 100 800 4096 5000 $((size / 2)) $((size - 4096)); do
    cp good "$entry"
    printf '\xa5' | dd of="$entry" bs=1 seek=$offset conv=notrunc status=none
    damage "byte $offset of an entry changed"
done
for length in 0 100 4096 $((size / 2)) $((size - 1)); do
    head -c "$length" good >"$entry"
    damage "an entry cut to $length bytes"
done
cat good good >"$entry"
damage "an entry with something behind it"
cp good "$entry"
printf 'x' >made/index
damage "a damaged index"
chmod 666 "$entry"
check "an entry that others can write" 0 "$want"$'\n' "" aot --cache "$PWD/made" --invoke loop "$wasm" $n
rm -f "$entry"
ln -s "$PWD/good" "$entry"
check "a link for an entry" 0 "$want"$'\n' "" aot --cache "$PWD/made" --invoke loop "$wasm" $n
# Calls through tables that nothing writes, and through others.
calls() { # STDOUT FUNCTION ARGUMENT...
    line "$1" "call through a table: ${*:2}" aot --cache "$PWD/tables" --invoke "$2" "$GUESTS/table.wasm" "${@:3}"
}
calls 1 fixed 0
calls 2 fixed 1
calls 0 fixed 2
calls 7 param 4
for f in set fill copy init; do
    calls 12 $f
done
calls 12 grow
fails() { # TEXT FUNCTION ARGUMENT
    check "call through a table: ${*:2}" 134 "" "$1" aot --cache "$PWD/tables" --invoke "$2" "$GUESTS/table.wasm" "$3"
}
fails "uninitialized element" fixed 3
fails "indirect call type mismatch" fixed 4
fails "uninitialized element" fixed 5
fails "undefined element" fixed 6
fails "undefined element" fixed -1
fails "indirect call type mismatch" param 0
