#!/usr/bin/env bash
# Reading of options, messages and exit statuses.
# shellcheck disable=SC1091,SC2016,SC2154 # variables of run.sh; commands for another shell
. "$here/lib.sh"
check "no arguments" 2 "" "no file and no verb" "$SSVM"
check "no file" 2 "" "no file to run" "$SSVM" run
check "unknown option" 2 "" "unknown option '--memory-limt', did you mean '--memory-limit'?" "$SSVM" --memory-limt=1 x.wasm
check "unknown option, far from all" 2 "" "unknown option '--zzzzzzzzzz'" "$SSVM" --zzzzzzzzzz x.wasm
check "short option" 2 "" "unknown option '-x'" "$SSVM" -x
check "missing value" 2 "" "option '--dir' needs a value: GUEST:HOST[:ro]" "$SSVM" --dir
check "value for a flag" 2 "" "option '--reactor' takes no value" "$SSVM" --reactor=1 x.wasm
check "how to get help" 2 "" "Try 'ssvm run --help'." "$SSVM" --zzz
check "not a number" 2 "" "option '--gas-limit': 'many' is not a number" "$SSVM" --gas-limit=many x.wasm
check "zero" 2 "" "option '--time-limit': 0 is out of range" "$SSVM" --time-limit=0 x.wasm
check "negative" 2 "" "'-1' is not a size" "$SSVM" --memory-limit=-1 x.wasm
check "size with a bad unit" 2 "" "'1X' is not a size" "$SSVM" --memory-limit=1X x.wasm
check "size too large" 2 "" "out of range" "$SSVM" --memory-limit=99999999999T x.wasm
check "env without value" 2 "" "'A' is not of the form K=V" "$SSVM" --env A x.wasm
check "empty dir" 2 "" "a path is empty" "$SSVM" --dir : x.wasm
check "bad link" 2 "" "is not of the form NAME=FILE" "$SSVM" --link x x.wasm
check "bad result" 2 "" "'text' is not string" "$SSVM" --result=text x.wasm
check "bad stats" 2 "" "'xml' is not json" "$SSVM" --stats=xml x.wasm
check "bad tier" 2 "" "'fast' is not auto, interp or aot" "$SSVM" --tier fast x.wasm
for tier in auto interp aot; do
    check "tier $tier is one" 1 "" "cannot read 'x.wasm'" "$SSVM" --tier $tier x.wasm
done
check "allow-command" 2 "" "option '--allow-command' needs a value: NAME" "$SSVM" --allow-command
check "a command that is not there" 1 "" "there is no program 'no-such-command' in the folders of PATH" "$SSVM" --allow-command=no-such-command "$GUESTS/nop.wasm"
check "a path that is none" 1 "" "there is no program '/no/such/command'" "$SSVM" --allow-command=/no/such/command "$GUESTS/nop.wasm"
check "unknown feature" 2 "" "unknown option '--disable-simt', did you mean '--disable-simd'?" "$SSVM" --disable-simt x.wasm
check "a device without a name" 2 "" "option '--nn-device' is empty" "$SSVM" --nn auto --nn-device= x.wasm
check "no such file" 1 "" "cannot read 'none.wasm': No such file or directory" "$SSVM" none.wasm
check "mistyped verb" 1 "" "did you mean 'ssvm inspect'?" "$SSVM" inspcet
check "a folder" 1 "" "Is a directory" "$SSVM" /
printf '\0asm\1\0\0\0\377' >bad.wasm
check "malformed" 1 "" "ssvm: 'bad.wasm': " "$SSVM" bad.wasm
check "empty file" 1 "" "ssvm: '/dev/null': unexpected end" "$SSVM" /dev/null
printf '\0asm\15\0\1\0' >component.wasm
check "component" 1 "" "component" "$SSVM" component.wasm
: >$'\e[31m.wasm'
check "control characters in names" 1 "" "ssvm: '?[31m.wasm': " "$SSVM" $'\e[31m.wasm'
check "missing imports" 1 "" "no_such_call" "$SSVM" "$GUESTS/missing.wasm"
check "missing imports, all named" 1 "" "env" "$SSVM" "$GUESTS/missing.wasm"
check "disabled feature" 1 "" "simd" "$SSVM" --disable-simd "$GUESTS/simd.wasm"
check "disabled, enabled again" 0 "" "" "$SSVM" --disable-gc --disable-simd --enable-simd "$GUESTS/simd.wasm"
check "enable-all" 0 "" "" "$SSVM" --disable-simd --enable-all "$GUESTS/simd.wasm"
check "enabled as ever" 0 "" "" "$SSVM" --enable-bulk-memory --enable-simd --enable-reference-types "$GUESTS/simd.wasm"
check "version" 0 $'ssvm 0.1.0\n' "" "$SSVM" --version
check "version of a verb" 0 $'ssvm 0.1.0\n' "" "$SSVM" inspect --version
