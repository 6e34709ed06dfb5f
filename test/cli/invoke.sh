#!/usr/bin/env bash
# --invoke, --reactor, --link, traps and limits.
# shellcheck disable=SC1091,SC2016,SC2154 # variables of run.sh; commands for another shell
. "$here/lib.sh"
line 5 "numbers" "$SSVM" --invoke add "$GUESTS/lib.wasm" 2 3
line 1 "the initialiser runs" "$SSVM" --invoke ready "$GUESTS/lib.wasm"
line 7 "reactor" "$SSVM" --reactor "$GUESTS/lib.wasm" add 3 4
check "reactor without a function" 2 "" "--reactor needs the name of a function" "$SSVM" --reactor "$GUESTS/lib.wasm"
line 14 "link" "$SSVM" --link math="$GUESTS/lib.wasm" --invoke twice "$GUESTS/user.wasm" 7
check "link, not there" 1 "" "cannot read 'none.wasm'" "$SSVM" --link math=none.wasm --invoke twice "$GUESTS/user.wasm" 7
check "not linked" 1 "" "math" "$SSVM" --invoke twice "$GUESTS/user.wasm" 7
check "no such function" 1 "" "no exported function 'sub'" "$SSVM" --invoke sub "$GUESTS/lib.wasm"
check "no such function, what there is" 1 "" "its functions are: ready, add, trap, loop, deep, grow, load" "$SSVM" --invoke sub "$GUESTS/lib.wasm"
check "trap" 134 "" "unreachable" "$SSVM" --invoke trap "$GUESTS/lib.wasm"
check "backtrace" 0 "*" "" grep -q "inner" <("$SSVM" --invoke trap "$GUESTS/lib.wasm" 2>&1)
check "stack overflow" 134 "" "call stack exhausted" "$SSVM" --invoke deep "$GUESTS/lib.wasm"
check "out of bounds" 134 "" "out of bounds memory access" "$SSVM" --invoke load "$GUESTS/lib.wasm"
check "the same without guard pages" 134 "" "out of bounds memory access" "$SSVM" --no-guard --invoke load "$GUESTS/lib.wasm"
check "gas limit" 134 "" "gas" "$SSVM" --gas-limit 1000 --invoke loop "$GUESTS/lib.wasm"
check "time limit" 134 "" "deadline" "$SSVM" --time-limit 50 --invoke loop "$GUESTS/lib.wasm"
check "cpu limit" 134 "" "" "$SSVM" --cpu-limit 50 --invoke loop "$GUESTS/lib.wasm"
check "stack limit" 134 "" "call stack exhausted" "$SSVM" --stack-limit 64K --invoke deep "$GUESTS/lib.wasm"
line 1 "memory may grow" "$SSVM" --invoke grow "$GUESTS/lib.wasm" 1
line -1 "memory limit" "$SSVM" --memory-limit 64K --invoke grow "$GUESTS/lib.wasm" 1
line -1 "memory page limit" "$SSVM" --memory-page-limit 2 --invoke grow "$GUESTS/lib.wasm" 2
line 1 "memory page limit, within" "$SSVM" --memory-page-limit=2 --invoke grow "$GUESTS/lib.wasm" 1
line 5 "deterministic, gc-stress, tier" "$SSVM" --deterministic --gc-stress --tier=interp --invoke add "$GUESTS/lib.wasm" 2 3
check "full disk" 1 "" "cannot write to standard output: No space left on device" bash -c '"$SSVM" --invoke add "$GUESTS/lib.wasm" 1 2 >/dev/full'
check "closed pipe" 1 "" "cannot write to standard output: Broken pipe" \
    bash -c 'rm -f p; mkfifo p; exec 3<>p 4>p 3<&-; exec "$SSVM" --invoke add "$GUESTS/lib.wasm" 1 2 >&4 4>&-'
check "closed output" 1 "" "cannot write to standard output: Bad file descriptor" bash -c '"$SSVM" --invoke add "$GUESTS/lib.wasm" 1 2 >&-'
check "stats" 0 $'5\n' "host calls" "$SSVM" --stats --invoke add "$GUESTS/lib.wasm" 2 3
check "stats of a trap" 134 "" "memory" "$SSVM" --stats --invoke trap "$GUESTS/lib.wasm"
check "the older spelling" 0 $'5\n' "gas" "$SSVM" --enable-all-statistics --invoke add "$GUESTS/lib.wasm" 2 3
"$SSVM" --stats=json --invoke add "$GUESTS/lib.wasm" 2 3 2>stats.json >/dev/null
check "stats=json" 0 $'load_ns validate_ns instantiate_ns run_ns tier native_after_ns compile_ns loops_compiled functions functions_interpreted gas memory_peak_bytes gc_heap_bytes host_calls host_functions\n' "" \
    python3 -c 'import json; print(*json.load(open("stats.json")))'
