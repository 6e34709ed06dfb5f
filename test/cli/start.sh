#!/usr/bin/env bash
# What a start with native code maps, and what it believes without looking again.
# shellcheck disable=SC1091,SC2154 # variables of run.sh
. "$here/lib.sh"
expect() { # NAME WANTED GOT
    if [ "$2" = "$3" ]; then echo "ok $1"; else echo "FAILED $1: expected '$2', got '$3'"; fi
}
cache=$PWD/cache
# The module with 128 KiB of data.
{
    cat "$GUESTS/maps.wasm"
    printf '\x0b\x8a\x80\x08\x01\x00\x41\x80\x80\x04\x0b\x80\x80\x08'
    head -c 131072 /dev/zero | tr '\0' A
} >maps.wasm
maps() { "$SSVM" --cache "$cache" --dir /:/proc "$@" >maps.txt; }
run() { check "$1" 0 "" "" maps "${@:2}"; }
in_maps() { grep -c -E "$1" maps.txt; }
run "interpreted" --tier interp maps.wasm
expect "interpreted: no image" 0 "$(in_maps "$cache/[0-9a-f]{64}")"
if ! "$SSVM" compile --cache "$cache" maps.wasm -o out.wasm 2>stderr.txt; then
    check "no compiler: interpreted" 0 "*" "" "$SSVM" --cache none --invoke check maps.wasm
    exit 0
fi
run "compiled in this process" --tier aot maps.wasm
# From here on what was read is remembered, if the file system lets it be.
sleep 2.1
for start in first second third; do
    run "cached, $start start" maps.wasm
    expect "cached, $start start: no compiler" 0 "$(in_maps 'LLVM|ssvm-aot')"
    expect "cached, $start start: its code" 1 "$(in_maps "r-xp .*$cache/[0-9a-f]{64}")"
    run "compiled, $start start" out.wasm
    expect "compiled, $start start: no compiler" 0 "$(in_maps 'LLVM|ssvm-aot')"
    expect "compiled, $start start: its code" 1 "$(in_maps "r-xp .*/out.wasm")"
    expect "nothing writable and executable" 0 "$(in_maps '^[^ ]* .wx')"
done
case $(stat -f -c %T .) in
ext2/ext3 | xfs | btrfs | f2fs | overlayfs)
    expect "compiled: data from the file" 1 "$(in_maps "rw-p .*/out.wasm")"
    run "cached" maps.wasm
    expect "cached: data from the cache" 1 "$(in_maps "rw-p .*$cache/[0-9a-f]{64}")"
    ;;
*) ;;
esac
# What one start wrote into its data another does not see; nor does the file.
for module in maps.wasm out.wasm; do
    for _ in 1 2; do check "$module: fresh data" 0 "" "" "$SSVM" --cache "$cache" --invoke check "$module"; done
done

# A file that was valid and is changed: looked at again, whatever was remembered.
for file in maps.wasm out.wasm; do
    cp -p $file valid.wasm
    end=$(LC_ALL=C grep -obUaP '\x0b\x8a\x80\x08\x01\x00\x41' valid.wasm | head -1 | cut -d: -f1)
    for _ in 1 2; do run "valid" valid.wasm; done
    # The end of the last body becomes `nop`.
    at=$(($(LC_ALL=C grep -obUaP '\x0c\x01\x0b\x0b\x0b' valid.wasm | tail -1 | cut -d: -f1) + 4))
    [ "$at" -lt "$end" ] || echo "FAILED the place to damage is not in the code"
    printf '\x01' | dd of=valid.wasm bs=1 seek=$at conv=notrunc status=none
    check "made invalid in place ($file)" 1 "" "valid.wasm" "$SSVM" --cache "$cache" --dir /:/proc valid.wasm
    cp -p valid.wasm other.wasm
    mv other.wasm valid.wasm
    check "and replaced ($file)" 1 "" "valid.wasm" "$SSVM" --cache "$cache" --dir /:/proc valid.wasm
done
# What is switched off is refused, remembered or not.
{
    cat "$GUESTS/simd.wasm"
    printf '\x00\x80\x80\x02\x01x'
    head -c 32766 /dev/zero
} >simd.wasm
sleep 2.1
for _ in 1 2; do check "vectors" 0 "*" "" "$SSVM" --cache "$cache" simd.wasm; done
check "vectors switched off" 1 "*" "simd" "$SSVM" --cache "$cache" --disable-simd simd.wasm
