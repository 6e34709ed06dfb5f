#!/usr/bin/env bash
# Programs: arguments, environment, exit status, output that cannot be written.
# shellcheck disable=SC1091,SC2016,SC2154 # variables of run.sh; commands for another shell
. "$here/lib.sh"
check "arguments" 3 $'echo.wasm\none\n--two' "" "$SSVM" "$GUESTS/echo.wasm" one --two
check "with the verb" 1 "echo.wasm" "" "$SSVM" run "$GUESTS/echo.wasm"
check "-- before the file" 2 $'echo.wasm\n-x' "" "$SSVM" run -- "$GUESTS/echo.wasm" -x
check "nothing is inherited" 0 "" "" env A=1 "$SSVM" "$GUESTS/env.wasm"
check "env" 0 $'A=1\nB=x=y\nE=\n' "" "$SSVM" --env A=1 --env=B=x=y --env E= "$GUESTS/env.wasm"
check "inherit-env" 0 $'HELLO=world\n' "" env HELLO=world "$SSVM" --inherit-env HELLO --inherit-env NOT_SET "$GUESTS/env.wasm"
check "nop" 0 "" "" "$SSVM" "$GUESTS/nop.wasm"
check "a full disk is the guest's to see" 77 "" "" bash -c '"$SSVM" "$GUESTS/echo.wasm" >/dev/full'
check "a closed pipe too" 77 "" "" bash -c 'rm -f p; mkfifo p; exec 3<>p 4>p 3<&-; exec "$SSVM" "$GUESTS/echo.wasm" >&4 4>&-'
check "a library is not a program" 2 "" "name a function with --invoke: ready, add, trap, loop, deep, grow, load" "$SSVM" "$GUESTS/lib.wasm"
mkdir folder
check "dir GUEST:HOST" 0 "" "" "$SSVM" --dir /:folder "$GUESTS/file.wasm"
check "it was created" 0 "*" "" test -f folder/new
rm folder/new
check "dir HOST::GUEST" 0 "" "" "$SSVM" --dir folder::/ "$GUESTS/file.wasm"
check "dir PATH" 0 "" "" "$SSVM" --dir folder "$GUESTS/file.wasm"
rm folder/new
check "dir read-only" 69 "" "" "$SSVM" --dir /:folder:ro "$GUESTS/file.wasm"
check "nothing was created" 1 "*" "" test -e folder/new
check "no dir" 8 "" "" "$SSVM" "$GUESTS/file.wasm"
check "no such dir" 1 "" "nowhere" "$SSVM" --dir /:nowhere "$GUESTS/file.wasm"
