#!/usr/bin/env bash
# The cache's folder is removed, replaced, damaged and closed while programs start from it and compile into it: they give their results.
# Entries are not cut in place here: who does that to a file which a program has mapped ends the program (doc/internals/cache.md). Longer:
# SSVM_CACHE_SECONDS.
# shellcheck disable=SC1091,SC2154 # variables of run.sh
. "$here/lib.sh"
wasm=$GUESTS/tier.wasm
if ! "$SSVM" compile --cache none -O 0 "$wasm" -o x.wasm 2>stderr.txt; then
    check "no compiler: interpreted" 0 "*" "" "$SSVM" --cache none --invoke loop "$wasm" 1000
    exit 0
fi
seconds=${SSVM_CACHE_SECONDS:-6}
RANDOM=${SSVM_CACHE_SEED:-1}
n=2000000
want=$("$SSVM" --tier interp --invoke loop "$wasm" $n)
entry() { find cache -maxdepth 1 -type f -name '????????????????????????????????*' 2>/dev/null | head -n 1; }
swap() { # COMMAND with a copy of an entry, which then takes its place
    local at
    at=$(entry)
    [ -n "$at" ] && cp "$at" copy && "$@" copy && mv copy "$at"
}
spoil() {
    local at
    case $((RANDOM % 14)) in
    0) rm -rf cache ;;
    1) mv cache "old.$RANDOM" && mkdir -m 700 cache ;;
    2) mv cache "old.$RANDOM" && touch cache ;;
    3) mv cache "old.$RANDOM" && mkdir -m 700 elsewhere && ln -s "$PWD/elsewhere" cache ;;
    4) chmod 777 cache ;;
    5) chmod 500 cache ;;
    6) rm -f cache/key ;;
    7) echo short >cache/key ;;
    8) : >cache/index ;;
    9) head -c 300000 /dev/urandom >cache/index ;;
    10) rm -f cache/lock cache/tmp.* ;;
    11) swap truncate -s $((RANDOM % 20000)) ;;
    12) swap cp "$wasm" ;;
    13) at=$(entry) && [ -n "$at" ] && rm "$at" && mkdir "$at" ;;
    esac
    # Back to a folder that may be used, now and then.
    if [ $((RANDOM % 3)) = 0 ]; then
        if [ -L cache ] || [ ! -d cache ]; then rm -f cache; fi
        mkdir -p cache && chmod 700 cache
        rm -rf elsewhere
    fi
} 2>/dev/null
start() { # NUMBER: programs, until the time is over
    local tier=auto runs=0
    while [ "$SECONDS" -lt "$seconds" ]; do
        "$SSVM" --tier $tier --cache "$PWD/cache" --invoke loop "$wasm" $n >"out$1.txt" 2>"err$1.txt"
        if [ "$? $(cat "out$1.txt")" != "0 $want" ]; then
            echo "FAILED start $1, tier $tier: got '$(cat "out$1.txt")' '$(cat "err$1.txt")'"
            return
        fi
        [ $tier = auto ] && tier=aot || tier=auto
        runs=$((runs + 1))
    done
    echo "ok $runs starts give their results ($1)"
}
SECONDS=0
for i in 1 2 3; do start $i & done
while [ "$SECONDS" -lt "$seconds" ]; do
    spoil
    sleep "0.0$((RANDOM % 10))"
done
wait
rm -rf cache
check "and afterwards" 0 "$want"$'\n' "" "$SSVM" --tier aot --cache "$PWD/cache" --stats=json --invoke loop "$wasm" $n
check "a second start" 0 "$want"$'\n' "" "$SSVM" --tier aot --cache "$PWD/cache" --stats=json --invoke loop "$wasm" $n
