#!/usr/bin/env bash
# A guest asks the meter: the same answers in every tier, and those that the table of costs gives. Times are only within bounds.
# shellcheck disable=SC1091,SC2154 # variables of run.sh
. "$here/lib.sh"
wasm=$GUESTS/meter.wasm
tiers=interp
"$SSVM" compile --cache none --metered "$wasm" -o compiled.wasm 2>stderr.txt && tiers="interp aot"
ask() { # TIER OPTION... -- FUNCTION ARG...
    local tier=$1 options=()
    shift
    while [ "$1" != -- ]; do
        options+=("$1")
        shift
    done
    "$SSVM" --tier "$tier" --cache none "${options[@]}" --invoke "$2" "$wasm" "${@:3}"
}
move() { # ADDRESS OPTION...: bytes by a function
    "$SSVM" --tier "$tier" --cache none "${@:2}" --invoke "$what" "$file" "$1" "$bytes"
}
for tier in $tiers; do
    line 10 "$tier: a call's cost" ask "$tier" -- second
    line 9999990 "$tier: used and left are the limit" ask "$tier" --gas-limit 10000000 -- sum
    line 41 "$tier: six instructions a turn, one and ten for the call" ask "$tier" -- turns 5
    line 600011 "$tier: many turns" ask "$tier" -- turns 100000
    file=$wasm
    [ "$tier" = interp ] || file=compiled.wasm
    for bytes in 0 1 64 65 256 257 6400; do
        units=$(((bytes + 63) / 64))
        for what in copied filled; do
            line $((15 + units)) "$tier: $bytes bytes $what" move 8 --gas-limit $((15 + units))
            [ "$bytes" = 0 ] && continue
            check "$tier: $bytes bytes $what for less" 134 "" "gas exhausted" move 8 --gas-limit $((4 + units))
            check "$tier: $bytes bytes $what outside" 134 "" "out of bounds memory access" move 65536 --gas-limit 5
        done
    done
    line 555501 "$tier: a guest stops itself" ask "$tier" --gas-limit 10000000 -- until 1000
    line "[65536,262144,262144]" "$tier: memory" ask "$tier" -- memory
    line 1048576 "$tier: the limit of memory" ask "$tier" --memory-page-limit 16 -- memory_limit
    line -1 "$tier: no limit of gas" ask "$tier" -- gas_left
    line -1 "$tier: no limit of CPU time" ask "$tier" -- cpu_left
    line -1 "$tier: no deadline" ask "$tier" -- wall_left
    left=$(ask "$tier" --cpu-limit 60000 -- cpu_left)
    if [ "$left" -gt 0 ] && [ "$left" -le 60000000000 ]; then echo "ok $tier: CPU time left"; else echo "FAILED $tier: CPU time left is $left"; fi
    left=$(ask "$tier" --time-limit 60000 -- wall_left)
    if [ "$left" -gt 0 ] && [ "$left" -le 60000000000 ]; then echo "ok $tier: time left"; else echo "FAILED $tier: time left is $left"; fi
    times=$(ask "$tier" -- time 0 | tr -d '[]')
    cpu=${times%,*} wall=${times#*,}
    if [ "$cpu" -ge 0 ] && [ "$cpu" -le $((wall + 100000000)) ] && [ "$wall" -ge 20000000 ]; then
        echo "ok $tier: time used"
    else
        echo "FAILED $tier: times used are $times"
    fi
    check "$tier: gas runs out at a call" 134 "" "gas exhausted" ask "$tier" --gas-limit 16 -- turns 1
done
"$SSVM" --tier interp --cache none --stats=json --invoke memory "$wasm" 2>stats.json >/dev/null
check "host calls by function" 0 $'{"ssvm_meter.memory_peak": {"calls": 1, "gas": 10}, "ssvm_meter.memory_used": {"calls": 2, "gas": 20}}\n' "" \
    python3 -c 'import json; print(json.dumps(json.load(open("stats.json"))["host_functions"], sort_keys=True))'
