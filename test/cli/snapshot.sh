#!/usr/bin/env bash
# snapshot: the module that comes out is in the state that the initialiser left, here and in another engine.
# shellcheck disable=SC1091,SC2154 # variables of run.sh
. "$here/lib.sh"
for wat in "$here"/guest/snapshot/*.wat; do
    wat2wasm --debug-names "$wat" -o "$(basename "$wat" .wat).wasm" || exit 1
done
state=$("$SSVM" --invoke state state.wasm)
check "snapshot" 0 "" "" "$SSVM" snapshot state.wasm -o out.wasm
check "another validator" 0 "" "" wasm-validate out.wasm
line "$state" "state" "$SSVM" --invoke state out.wasm
line "$state" "state, checked memory" "$SSVM" --no-guard --invoke state out.wasm
line "$state" "state, another engine" node -e \
    'WebAssembly.instantiate(require("fs").readFileSync("out.wasm")).then(r => console.log(String(r.instance.exports.state())))'
line 0 "a function that only its export declared" "$SSVM" --invoke itself out.wasm
check "a data segment stays dropped" 134 "" "out of bounds memory access" "$SSVM" --invoke dropped out.wasm
check "an element segment stays dropped" 134 "" "out of bounds table access" "$SSVM" --invoke dropped_elem out.wasm
check "no initialiser any more" 1 "" "" grep -q _initialize <("$SSVM" inspect out.wasm | grep -v wizer)
check "no start function any more" 1 "" "" grep -q '^  start' <("$SSVM" inspect out.wasm)
check "once more" 0 "" "" "$SSVM" snapshot --init nothing out.wasm -o again.wasm
line "$state" "once more: the same" "$SSVM" --invoke state again.wasm
check "options behind the file" 0 "" "" "$SSVM" snapshot plain.wasm --init=nothing --output=plain2.wasm
check "validates" 0 "" "" wasm-validate plain2.wasm
check "the export is gone" 1 "" "no exported function 'nothing'" "$SSVM" --invoke nothing plain2.wasm
check "the initialiser traps" 134 "" "unreachable" "$SSVM" snapshot --init stop plain.wasm -o none.wasm
check "the initialiser takes arguments" 2 "" "takes 1 arguments" "$SSVM" snapshot --init takes plain.wasm -o none.wasm
check "no such initialiser" 1 "" "no exported function 'nobody'" "$SSVM" snapshot --init nobody plain.wasm -o none.wasm
check "none by default" 1 "" "exports neither _initialize nor wizer.initialize" "$SSVM" snapshot plain.wasm -o none.wasm
check "no output file" 2 "" "no file to write" "$SSVM" snapshot plain.wasm
check "no file" 2 "" "no file to snapshot" "$SSVM" snapshot -o none.wasm
check "an argument of nothing" 2 "" "of which function? name it with --init" "$SSVM" snapshot plain.wasm 1 -o none.wasm
check "an initialiser with arguments" 0 "" "" "$SSVM" snapshot --init add_up typed.wasm 40 2 -o typed2.wasm
line 42 "what it was given" "$SSVM" --invoke sum typed2.wasm
check "one too many" 2 "" "3 arguments do not fit" "$SSVM" snapshot --init add_up typed.wasm 1 2 3 -o none.wasm
check "no such typed initialiser" 1 "" "no exported function 'nobody'" "$SSVM" snapshot --init nobody typed.wasm 1 -o none.wasm
check "-o without a value" 2 "" "needs a value" "$SSVM" snapshot plain.wasm -o
check "bad variable" 2 "" "not of the form K=V" "$SSVM" snapshot --env X plain.wasm -o none.wasm
check "cannot write" 1 "" "cannot write 'none/none.wasm'" "$SSVM" snapshot --init nothing plain.wasm -o none/none.wasm
check "nothing was written" 1 "" "" test -e none.wasm
