#!/usr/bin/env bash
# ssvm inspect.
# shellcheck disable=SC1091,SC2016,SC2154 # variables of run.sh; commands for another shell
. "$here/lib.sh"
bindgen=$here/../host/bindgen/wasm
check "text" 0 "*" "" "$SSVM" inspect "$GUESTS/lib.wasm"
has() { # NAME TEXT COMMAND...
    local name=$1 text=$2
    shift 2
    if "$@" 2>&1 | grep -qF -- "$text"; then echo "ok $name"; else echo "FAILED $name: no '$text' in the output of $*"; fi
}
has "exports" "func   add  (i32, i32) -> (i32)" "$SSVM" inspect "$GUESTS/lib.wasm"
has "memory" "memory 0:   1 pages or more" "$SSVM" inspect "$GUESTS/lib.wasm"
has "features" "simd" "$SSVM" inspect "$GUESTS/simd.wasm"
has "a known import" "wasi_snapshot_preview1.fd_write  (i32, i32, i32, i32) -> (i32)    from: wasi" "$SSVM" inspect "$GUESTS/echo.wasm"
has "an unknown import" "missing: 'wasi_snapshot_preview1' has no function 'no_such_call'" "$SSVM" inspect "$GUESTS/missing.wasm"
for version in 89 92 95 100 106 130; do
    has "types of 0.2.$version" "typed: say(String) -> String" "$SSVM" inspect "$bindgen/raw-$version.wasm"
    has "slices of 0.2.$version" "typed: reverse(&[u8]) -> Vec<u8>" "$SSVM" inspect "$bindgen/raw-$version.wasm"
    has "options of 0.2.$version" "typed: res_opt(i32) -> Result<Option<String>>" "$SSVM" inspect "$bindgen/raw-$version.wasm"
    has "classes of 0.2.$version" "counter_inc" "$SSVM" inspect "$bindgen/raw-$version.wasm"
done
has "producers" "rustc" "$SSVM" inspect "$bindgen/raw-100.wasm"
"$SSVM" inspect --json "$bindgen/raw-100.wasm" >m.json
line "say(String) -> String" "json" python3 -c 'import json; print(next(e["signature"] for e in json.load(open("m.json"))["exports"] if e["name"] == "say"))'
line "features" "json, all parts" python3 -c 'import json; m = json.load(open("m.json")); print([k for k in ("features", "bytes", "sections", "imports", "producers", "memories", "tables") if k in m][0])'
"$SSVM" inspect --host --json >host.json
line 46 "host, json" python3 -c 'import json; print(len({f["name"] for f in next(m for m in json.load(open("host.json"))["modules"] if m["id"] == "wasi")["functions"]}))'
has "host" "fd_write" "$SSVM" inspect --host
check "host and a file" 2 "" "--host takes no file" "$SSVM" inspect --host x.wasm
check "no file" 2 "" "no file to inspect" "$SSVM" inspect
check "two files" 2 "" "more than one file" "$SSVM" inspect a b
check "no such file" 1 "" "cannot read 'none'" "$SSVM" inspect none
check "an option of run" 2 "" "unknown option '--invoke'" "$SSVM" inspect --invoke x
check "full disk" 1 "" "No space left on device" bash -c '"$SSVM" inspect --host >/dev/full'
# A name that a terminal would obey.
printf '\0asm\1\0\0\0\0\13\11\33[31mred!x' >evil.wasm
check "control characters" 0 $'1\n' "" bash -c '"$SSVM" inspect evil.wasm | grep -c "?\[31mred!"'
