#!/usr/bin/env bash
# Going over to native code while a program runs, and what may go wrong behind it. The results to expect are those of --tier aot.
# shellcheck disable=SC1091,SC2154 # variables of run.sh
. "$here/lib.sh"
wasm=$GUESTS/tier.wasm
if ! "$SSVM" compile --cache none "$wasm" -o compiled.wasm 2>stderr.txt; then
    check "no compiler: interpreted" 0 "*" "" "$SSVM" --cache none --invoke loop "$wasm" 1000
    exit 0
fi
n=100000000
stat_of() { grep -o "\"$1\": [^,]*" stderr.txt | cut -d' ' -f2- | tr -d '"'; }
expect() { # NAME WANTED GOT
    if [ "$2" = "$3" ]; then echo "ok $1"; else echo "FAILED $1: expected '$2', got '$3'"; fi
}
positive() { if [ "${2:-0}" -gt 0 ]; then echo "ok $1"; else echo "FAILED $1: '$2' is not above 0"; fi; }
# The compilers that run for the process, and all that it left.
compilers() { pgrep -f -- "compile --fill-cache $PWD/$1" | tr '\n' ' '; }
settle() { # FOLDER: until nobody compiles into it
    for _ in $(seq 600); do [ -z "$(compilers "$1")" ] && return; sleep 0.05; done
    echo "FAILED a compiler does not end"
}

switches() { # FUNCTION ARG...
    local name=$1 expected
    shift
    expected=$("$SSVM" --tier aot --cache none --invoke "$name" "$wasm" "$@")
    rm -rf cache
    check "$name: the first start's result" 0 "$expected"$'\n' "" "$SSVM" --cache "$PWD/cache" --stats=json --invoke "$name" "$wasm" "$@"
    expect "$name: became native" native "$(stat_of tier)"
    positive "$name: while it ran" "$(stat_of native_after_ns)"
    positive "$name: a loop that ran was entered" "$(stat_of loops_compiled)"
    check "$name: the second start's result" 0 "$expected"$'\n' "" "$SSVM" --cache "$PWD/cache" --stats=json --invoke "$name" "$wasm" "$@"
    expect "$name: native from the beginning" "native 0" "$(stat_of tier) $(stat_of native_after_ns)"
}
switches loop $n
switches nested $n
switches calls $((4 * n)) # the quickest of them: it must still run when a busy machine has compiled it
switches deep 300 $n

loop() { "$SSVM" --tier aot --cache none --invoke loop "$wasm" "$1"; }
result=$(loop $n)
check "without a cache" 0 "$result"$'\n' "" "$SSVM" --cache none --stats=json --invoke loop "$wasm" $n
expect "became native there too" native "$(stat_of tier)"

# Killed compilers: the program runs on. The one that it started, and all of them. Where one was done
# before it was killed, nothing is known: again.
begin() { # CACHE
    "$SSVM" --cache "$1" --stats=json --invoke loop "$wasm" $n >out.txt 2>stderr.txt &
    pid=$!
}
for _ in $(seq 20); do
    rm -rf killed
    begin "$PWD/killed"
    for _ in $(seq 400); do
        child=$(pgrep -P $pid -f fill-cache) && break
        sleep 0.01
    done
    kill -9 "${child:-none}" 2>/dev/null
    for _ in $(seq 400); do
        zombie=$(pgrep -P $pid -r Z) || break
        sleep 0.01
    done
    wait $pid
    got="$? $(cat out.txt)"
    settle killed
    [ "$(stat_of tier)" = interpreted ] && break
done
expect "no zombie is left" "" "$zombie"
expect "a killed compiler" "0 $result" "$got"
expect "interpreted then" interpreted "$(stat_of tier)"
# As often as the loop asks for one.
for _ in $(seq 20); do
    rm -rf killed
    begin "$PWD/killed"
    while kill -0 $pid 2>/dev/null; do
        for child in $(compilers killed); do kill -9 "$child" 2>/dev/null; done
        sleep 0.01
    done
    wait $pid
    got="$? $(cat out.txt)"
    settle killed
    [ "$(stat_of tier)" = interpreted ] && break
done
expect "all compilers killed" "0 $result" "$got"
expect "interpreted without them" interpreted "$(stat_of tier)"
expect "nothing half made is left in the cache" "" "$(find killed -name 'tmp.*')"

# Without a cache that takes anything a child compiles too; killed, all stays interpreted.
for _ in $(seq 20); do
    begin none
    while kill -0 $pid 2>/dev/null; do
        pkill -9 -P $pid -f -- "compile --fill-cache none" 2>/dev/null
        sleep 0.01
    done
    wait $pid
    got="$? $(cat out.txt)"
    [ "$(stat_of tier)" = interpreted ] && break
done
expect "all compilers killed, without a cache" "0 $result" "$got"
expect "interpreted without them and it" interpreted "$(stat_of tier)"
mkdir ro
"$SSVM" --cache "$PWD/ro" --tier aot --invoke loop "$wasm" 1000 >out.txt 2>stderr.txt
find ro -name '????????????????*' -delete
(
    ulimit -f 8 # KiB: less than an image has
    exec "$SSVM" --cache "$PWD/ro" --stats=json --invoke loop "$wasm" $n
) >out.txt 2>stderr.txt
expect "a cache that takes nothing" "0 $result" "$? $(cat out.txt)"

# A compiler that stands still: later starts of the same program do not leave more of them behind.
"$SSVM" --cache "$PWD/still" --invoke loop "$wasm" 500000 >out.txt 2>&1
stopped=
# Until all of them stand: one may have started another meanwhile.
while [ "$stopped" != "$(compilers still)" ]; do
    stopped=$(compilers still)
    for child in $stopped; do kill -STOP "$child" 2>/dev/null; done
    sleep 0.05
done
if [ -n "$stopped" ]; then
    # Long enough for their compilers to know whom they work for, and too short.
    for count in $n 1; do
        for _ in 1 2 3; do "$SSVM" --cache "$PWD/still" --invoke loop "$wasm" "$count" >out.txt 2>&1; done
        for _ in $(seq 1000); do [ "$(compilers still)" = "$stopped" ] && break; sleep 0.02; done
        expect "who waits for a compiler ends with who wanted it ($count)" "$stopped" "$(compilers still)"
    done
    # And where orphans have another parent than the first process.
    cat >reaper.py <<'EOF'
import ctypes, subprocess, sys
sys.exit(ctypes.CDLL(None).prctl(36, 1, 0, 0, 0) or subprocess.call(sys.argv[1:]))
EOF
    export -f compilers
    # shellcheck disable=SC2016
    python3 reaper.py bash -c 'for count in '"$n"' 1 1; do "$0" --cache "$PWD/still" --invoke loop "$1" $count >out.txt 2>&1; done
        for _ in $(seq 1000); do [ "$(compilers still)" = "$2" ] && break; sleep 0.02; done
        compilers still >left.txt' "$SSVM" "$wasm" "$stopped"
    expect "who waits for a compiler ends with who wanted it, below a reaper" "$stopped" "$(cat left.txt)"
    for child in $stopped; do kill -CONT "$child" 2>/dev/null; done
fi
settle still

# An end before the compiler's: it goes on.
check "ends first" 0 "*" "" "$SSVM" --cache "$PWD/after" --invoke loop "$wasm" 500000
settle after
check "the cache is filled" 0 "$(loop 500000)"$'\n' "" "$SSVM" --cache "$PWD/after" --stats=json --invoke loop "$wasm" 500000
rm -rf after
for tier in "$PWD/after" none; do
    check "a trap while compiling ($tier)" 134 "*" "unreachable" "$SSVM" --cache "$tier" --invoke trap "$wasm" 3000000
    check "a deadline while compiling ($tier)" 134 "*" "deadline" "$SSVM" --cache "$tier" --time-limit 60 --invoke forever "$wasm"
done
settle after
check "a deadline in native code" 134 "*" "deadline" "$SSVM" --cache "$PWD/after" --time-limit 1500 --invoke forever "$wasm"

# Two starts at once: one compiles, both have it.
rm -rf both
for i in 1 2; do "$SSVM" --cache "$PWD/both" --stats=json --invoke calls "$wasm" $n >out$i.txt 2>err$i.txt & done
wait
expect "two at once" "$(cat out1.txt)" "$(cat out2.txt)"
for i in 1 2; do
    cp err$i.txt stderr.txt
    expect "start $i of two became native" native "$(stat_of tier)"
done

# Folders that may not be used, and no compiler: interpreted, without a word too many.
mkdir -m 777 open
touch file
for cache in open file; do
    check "cache '$cache'" 0 "$(loop 1000)"$'\n' "" "$SSVM" --cache "$PWD/$cache" --invoke loop "$wasm" 1000
    expect "nothing in '$cache'" "" "$(ls -A open)"
done
mkdir alone
cp "$SSVM" alone/ssvm
check "no library" 0 "$(loop 20000000)"$'\n' "" alone/ssvm --cache "$PWD/alone/cache" --stats=json --invoke loop "$wasm" 20000000
expect "interpreted without it" interpreted "$(stat_of tier)"
check "compile says so" 1 "" "libssvm-aot.so cannot be opened" alone/ssvm compile --cache none "$wasm" -o x.wasm

# Where gas ends: the same place for every limit, with branches that took in what they decide on.
cat >branch.wat <<'W'
(module (memory (data "\01")) (func (export "f") (local i32)
  (block (br_if 0 (i32.load8_u (local.get 0))))
  (block (br_if 0 (i32.load8_u offset=1 (local.get 0))) (drop (i32.const 1)) (drop (i32.const 2)))
  (if (i32.load8_u (local.get 0)) (then (drop (i32.const 3)) (drop (i32.const 4))))
  (if (i32.load8_u offset=1 (local.get 0)) (then) (else (drop (i32.const 5)) (drop (i32.const 6))))))
W
wat2wasm branch.wat -o branch.wasm
places() { # TIER
    for limit in $(seq 40); do "$SSVM" --tier "$1" --cache "$PWD/cache" --gas-limit "$limit" --invoke f branch.wasm 2>&1; done
}
expect "places where gas ends" "$(places aot)" "$(places interp)"
expect "and there are several" yes "$([ "$(places interp | grep -o 'at 0x[0-9a-f]*' | sort -u | wc -l)" -gt 4 ] && echo yes)"

# Functions that only pass on are skipped by native code without gas; backtraces have them all the same: parameters in another order and
# constants, a chain longer than what is skipped at once, a circle, too many parameters, with results, through a table, under an import.
cat >passing.wat <<'W'
(module (import "wasi_snapshot_preview1" "proc_raise" (func $raise (param i32) (result i32)))
  (table 1 funcref) (elem (i32.const 0) $turn) (global $rest (mut i32) (i32.const 20))
  (func $leaf (param i32 f32 i64 f64) (result i64)
    (if (i32.eqz (local.get 0)) (then (unreachable)))
    (i64.add (i64.add (i64.extend_i32_s (local.get 0)) (i64.trunc_f32_s (local.get 1)))
             (i64.add (i64.mul (local.get 2) (i64.const 3)) (i64.trunc_f64_s (local.get 3)))))
  (func $turn (param i64 i32) (result i64) (call $leaf (local.get 1) (f32.const -7) (local.get 0) (f64.const 1e9)))
  (func $one (param i32 i64) (result i64) (call $turn (local.get 1) (local.get 0)))
  (func $two (param i32 i64) (result i64) (call $one (local.get 0) (local.get 1)))
  (func $three (param i32) (result i64) (call $two (local.get 0) (i64.const -1)))
  (func $four (param i32) (result i64) (call $three (local.get 0)))
  (func $five (param i32) (result i64) (call $four (local.get 0)))
  (func $circle (call $step))
  (func $step (global.set $rest (i32.sub (global.get $rest) (i32.const 1))) (if (i32.eqz (global.get $rest)) (then (unreachable))) (call $circle))
  (func $pair (param i32) (result i32 i32) (drop (call $three (local.get 0))) (i32.const 2) (local.get 0))
  (func $passed (param i32) (result i32 i32) (call $pair (local.get 0)))
  (func $many (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i64) (call $three (local.get 16)))
  (func $some (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i64) (call $three (local.get 15)))
  (func $host (param i32) (result i32) (call $raise (local.get 0)))
  (func (export "one") (param i32 i64) (result i64) (i64.add (call $one (local.get 0) (local.get 1)) (i64.const 1)))
  (func (export "five") (param i32) (result i64) (call $five (local.get 0)))
  (func (export "circle") (call $circle))
  (func (export "pair") (param i32) (result i32) (i32.sub (call $passed (local.get 0))))
  (func (export "many") (param i32) (result i64)
    (call $many (i32.const 1) (i32.const 2) (i32.const 3) (i32.const 4) (i32.const 5) (i32.const 6) (i32.const 7) (i32.const 8) (i32.const 9)
      (i32.const 10) (i32.const 11) (i32.const 12) (i32.const 13) (i32.const 14) (i32.const 15) (i32.const 16) (local.get 0)))
  (func (export "some") (param i32) (result i64)
    (call $some (i32.const 1) (i32.const 2) (i32.const 3) (i32.const 4) (i32.const 5) (i32.const 6) (i32.const 7) (i32.const 8) (i32.const 9)
      (i32.const 10) (i32.const 11) (i32.const 12) (i32.const 13) (i32.const 14) (i32.const 15) (local.get 0)))
  (func (export "table") (param i32) (result i64) (call_indirect (param i64 i32) (result i64) (i64.const 5) (local.get 0) (i32.const 0)))
  (func (export "host") (param i32) (result i32) (call $host (local.get 0)))
  (export "turn" (func $turn)))
W
wat2wasm --debug-names passing.wat -o passing.wasm
passing() { # TIER
    for call in "one 0 4" "one 3 4" "five 0" "five 2" circle "pair 0" "pair 9" "many 0" "many 1" "some 0" "some 1" "table 0" "table 1" \
        "turn 1 0" "turn 1 2" "host 99" "host 6"; do
        # shellcheck disable=SC2086
        "$SSVM" --tier "$1" --cache "$PWD/cache" --invoke "${call%% *}" passing.wasm ${call#"${call%% *}"} 2>&1
        echo "$call: $?"
    done
}
passing interp >interp.txt
expect "what is passed on" "$(cat interp.txt)" "$(passing aot)"
expect "its frames are there" "leaf turn one two three four five five" "$(sed -n '/^one 3 4/,/^five 0/s/^ *[0-9]*: \([a-z]*\) at .*/\1/p' interp.txt | paste -sd' ')"
sed 's/(i32.const 20)/(i32.const 2000)/' passing.wat >deep.wat
wat2wasm --debug-names deep.wat -o deep.wasm
circle() { "$SSVM" --tier "$1" --cache "$PWD/cache" --invoke circle deep.wasm 2>&1; }
expect "a deep stack of it" "$(circle interp)" "$(circle aot)"
