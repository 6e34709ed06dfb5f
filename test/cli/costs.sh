#!/usr/bin/env bash
# --gas-table: other costs, the same in every tier and however the code came about; nobody but who runs a module says what it costs.
# shellcheck disable=SC1091,SC2154 # variables of run.sh
. "$here/lib.sh"
wasm=$GUESTS/meter.wasm
export XDG_CACHE_HOME=$PWD/cache
printf '%s\n' '# costs' 'local.get 5' 'i32.sub	0 # free' 'i32.sub 2' '' '  ref.test null 3' 'import ssvm_meter.gas_used 100' 'import elsewhere.f 7' >a.gas
printf 'import ssvm_meter.gas_used 0\r\n' >b.gas
turns() { # OPTION...
    "$SSVM" "$@" --invoke turns "$wasm" 100
}
plain=$(turns --tier interp)
tiers=interp
"$SSVM" compile --cache none --metered "$wasm" -o compiled.wasm 2>stderr.txt && tiers="interp aot"
a=$(turns --tier interp --gas-table a.gas)
[ "$a" -gt "$plain" ] && echo "ok a table counts" || echo "FAILED a table counts: $a and $plain"
for tier in $tiers; do
    # The second time the code is the cache's; each table has its own.
    for _ in 1 2; do
        line "$plain" "$tier: as usual" turns --tier "$tier"
        line "$a" "$tier: with a table" turns --tier "$tier" --gas-table a.gas
        line "$((plain - 10))" "$tier: with another" turns --tier "$tier" --gas-table b.gas
    done
    check "$tier: a limit" 0 "*" "" turns --tier "$tier" --gas-table a.gas --gas-limit "$a"
    check "$tier: and one less" 134 "" "gas exhausted" turns --tier "$tier" --gas-table a.gas --gas-limit "$((a - 100))"
done
if [ "$tiers" != interp ]; then
    "$SSVM" compile --gas-table a.gas "$wasm" -o own.wasm 2>stderr.txt
    line "$a" "compiled with a table" "$SSVM" --tier aot --gas-table module --invoke turns own.wasm 100
    check "natively" 0 "*" '"native"' "$SSVM" --tier auto --stats=json --gas-table module --invoke turns own.wasm 100
    line "$plain" "which is believed only if asked for" "$SSVM" --tier aot --invoke turns own.wasm 100
    line "$plain" "in the interpreter too" "$SSVM" --tier interp --invoke turns own.wasm 100
    line "$((plain - 10))" "another one takes its place" "$SSVM" --tier aot --gas-table b.gas --invoke turns own.wasm 100
fi
refused() { # NAME TABLE WORDS
    printf "%b" "$2" >bad.gas
    check "$1" 1 "" "$3" turns --gas-table bad.gas
}
refused "no such instruction" 'i32.add 1\ni32.ad 1\n' "table of costs, line 2: there is no instruction 'i32.ad'"
refused "too much" '\n\ncall 256' "line 3: no cost in this range: '256'"
refused "far too much" 'call 99999999999999999999' "line 1: no cost in this range: '99999999999999999999'"
refused "less than nothing" 'call -1' "line 1: no cost in this range: '-1'"
refused "not executed" 'loop 1' "line 1: it is not executed, and costs nothing: 'loop'"
refused "one word" 'call' "line 1: not 'INSTRUCTION COST' or 'import MODULE.NAME COST': 'call'"
refused "too many words" 'call 1 2 3 4 5' "line 1: there is no instruction 'call 1 2 3 4'"
refused "a word of nothing" 'import 1' "line 1: there is no instruction 'import'"
refused "an import without its module" 'import fd_write 1' "line 1: imports are MODULE.NAME, not 'fd_write'"
refused "an import that costs too much" 'import a.b 1000000001' "line 1: no cost in this range"
# Numbers that would be small ones if they went round in 32 bits (0 and 8) or in 64.
for n in 4294967296 8589934600 18446744073709551616 10000000000000000000000000000000; do
    refused "a cost that goes round: $n" "import a.b $n" "line 1: no cost in this range: '$n'"
    refused "of an instruction: $n" "call $n" "line 1: no cost in this range: '$n'"
done
# As many lines as there may be, and one more; the last of two lines for the same holds.
seq 1 4095 | sed 's/.*/local.get 7/' >lines.gas
printf 'local.get 5\n' >>lines.gas
printf 'local.get 5\n' >one.gas
line "$(turns --tier interp --gas-table one.gas)" "4,096 lines" turns --tier interp --gas-table lines.gas
printf 'local.get 5\n' >>lines.gas
check "4,097 lines" 1 "" "table of costs, line 4097: one more than there may be: 'local.get 5'" turns --gas-table lines.gas
# What is larger is not read on: the second has no end.
head -c 1048577 /dev/zero | tr '\0' '#' >large.gas
check "a large table" 1 "" "'large.gas': larger than 1048576 bytes" turns --gas-table large.gas
check "one without an end" 1 "" "'/dev/zero': larger than 1048576 bytes" turns --gas-table /dev/zero
refused "no text" 'call\0 1' "line 1: there is no instruction 'call"
check "no table" 1 "" "cannot read 'nothing.gas'" turns --gas-table nothing.gas
check "no module" 1 "" "not a wasm file" "$SSVM" --gas-table a.gas a.gas
line "$plain" "a table of nothing" turns --gas-table /dev/null
