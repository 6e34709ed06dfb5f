#!/usr/bin/env bash
# ssvm new and ssvm build: every template is built by its own compiler, where that is, and what it makes answers; mistakes say what to do.
# shellcheck disable=SC1091,SC2016,SC2154 # variables of run.sh; commands for another shell
. "$here/lib.sh"
if [ ! -x "$(dirname "$SSVM")/ssvm-client" ]; then
    echo "ok ssvm-client was not built"
    exit 0
fi
greeting=$'Content-Type: text/plain; charset=utf-8\n\nHello, Ada!\n'
made() { # LANG KIND NAME
    check "new $1 $2" 0 "*" "" "$SSVM" new --lang "$1" --template "$2" "$3"
    check "ssvm.yaml of $1 $2" 0 "*" "" "$SSVM" deploy --check "$3"
    check "build $1 $2" 0 "*" "" "$SSVM" build "$3"
}
greets() { # NAME MODULE: a CGI program
    check "$1 greets" 0 "$greeting" "" bash -c 'printf Ada | "$0" run "$1"' "$SSVM" "$1/$2"
}
[ -x "$(command -v clang)" ] || { mkdir -p tools && ln -sf "$(command -v clang-22)" tools/clang && PATH=$PWD/tools:$PATH; }
made c function c-one
greets c-one build/c-one.wasm
made c page c_page
greets c_page build/c_page.wasm
check "a page has its files" 0 "" "" test -s c_page/site/index.html -a -s c_page/site/page.js
check "and its name" 0 "*" "" grep -q "<h1>c_page</h1>" c_page/site/index.html
if rustup target list --installed 2>/dev/null | grep -qx wasm32-wasip1; then
    made rust function rust-one
    check "rust greets" 0 $'Hello, Ada!\n\n' "" "$SSVM" run --invoke greet rust-one/target/wasm32-wasip1/release/rust_one.wasm Ada
    export CARGO_TARGET_DIR=$PWD/rust-one/target # what both need is compiled once
    check "new rust ai" 0 "*" "" "$SSVM" new --template ai rust_ai
    check "its model" 0 "" "" cmp rust_ai/model/food.tflite "$here/../../demo/food/model/food_mobilenet_v2_224.tflite"
    sed -i "s|^module: .*|module: rust_ai.wasm|; s|^build: \(.*\)|build: \1 \&\& cp $CARGO_TARGET_DIR/wasm32-wasip1/release/rust_ai.wasm .|" rust_ai/ssvm.yaml
    check "build rust ai" 0 "*" "" "$SSVM" build rust_ai
    check "it asks for inference" 0 "*" "" bash -c '"$0" inspect rust_ai/rust_ai.wasm | grep -q ssvm_tensorflow' "$SSVM"
    unset CARGO_TARGET_DIR
else
    echo "ok rust: skipped, there is no target wasm32-wasip1"
fi
if [ -x "$(command -v go)" ]; then
    made go function goone
    greets goone build/goone.wasm
else
    echo "ok go: skipped, there is no go"
fi
if [ -x "$(command -v npm)" ] && npm ping >/dev/null 2>&1; then
    made assemblyscript function asone
    greets asone build/asone.wasm
else
    echo "ok assemblyscript: skipped, there is no npm, or no registry"
fi

check "a folder that is there" 1 "" "'c-one' is there already" "$SSVM" new c-one
check "no name" 2 "" "which name?" "$SSVM" new
check "a bad name" 2 "" "which name?" "$SSVM" new ../x
check "an unknown language" 2 "" "rust, c, go or assemblyscript" "$SSVM" new --lang cobol x
check "ai elsewhere" 2 "" "in rust alone" "$SSVM" new --lang c --template ai x
check "an unknown template" 2 "" "function, page or ai" "$SSVM" new --template x x
mkdir empty
check "no project" 1 "" "no ssvm.yaml in" "$SSVM" build empty
check "and what to do" 1 "" "'ssvm new NAME' makes a project" "$SSVM" dev empty
check "no folder" 1 "" "cannot go into 'nowhere'" "$SSVM" build nowhere
project() { # NAME LINE...: a project with this manifest
    mkdir -p "$1"
    local name=$1
    shift
    printf '%s\n' "$@" >"$name/ssvm.yaml"
}
project mistakes 'name: a' 'modul: x' 'limits: {deadline: soon}'
check "mistakes with lines" 1 "" "ssvm.yaml:2: unknown key 'modul'" "$SSVM" build mistakes
check "all of them" 1 "" "ssvm.yaml:3: 'deadline' is a time" "$SSVM" build mistakes
project broken 'name: a' 'module: a.wasm' 'build: "echo oh no; exit 3"'
check "a build that fails" 1 "" "the build failed (exit status 3): echo oh no; exit 3" "$SSVM" build broken
check "its words are shown" 1 "" "oh no" "$SSVM" build broken
project nothing 'name: a' 'module: a.wasm' 'build: "true"'
check "a build that makes nothing" 1 "" "'a.wasm' is not there after: true" "$SSVM" build nothing
project notool 'name: a' 'module: a.wasm' 'build: cargo build'
check "a compiler that is missing" 1 "" "rustup target add wasm32-wasip1" env PATH=/usr/bin:/bin bash -c 'command -v cargo >/dev/null && echo rustup target add wasm32-wasip1 >&2 && exit 1; exec "$0" build notool' "$SSVM"
# The schema by somebody else's reader of schemas, where there is one; what the reader refuses, it refuses.
if python3 -c 'import jsonschema, yaml' 2>/dev/null; then
    cat >schema.py <<'END'
import json, sys, yaml, jsonschema
schema = json.load(open(sys.argv[1]))
jsonschema.Draft202012Validator.check_schema(schema)
jsonschema.Draft202012Validator(schema).validate(yaml.safe_load(open(sys.argv[2])))
END
    "$SSVM" deploy --schema >schema.json
    sed -n '/^\.EX$/,/^\.EE$/p' "$here/../../man/ssvm.yaml.5" | grep -v '^\.E' | sed 's/\\-/-/g' >manual.yaml
    project manual "$(cat manual.yaml)"
    check "the manual's example" 0 "*" "" "$SSVM" deploy --check manual
    "$SSVM" deploy --check manual >printed.yaml
    for file in c-one/ssvm.yaml c_page/ssvm.yaml manual/ssvm.yaml printed.yaml; do
        check "the schema takes $file" 0 "" "" python3 schema.py schema.json "$file"
    done
    check "the schema refuses mistakes" 1 "" "ValidationError" python3 schema.py schema.json mistakes/ssvm.yaml
fi
