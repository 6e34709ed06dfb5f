#!/usr/bin/env bash
# Typed calls through `ssvm run --invoke`: the guest of guest/ (every kind of type) built with six versions of wasm-bindgen, two modules that
# its tool has processed, wasmedge-bindgen's ABI, and hostile modules. What is expected follows from the Rust source.
set -uo pipefail
cd "$(dirname "$0")" || exit 1
ssvm=${SSVM:-../../../build/ssvm}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
raw=(wasm/raw-89.wasm wasm/raw-92.wasm wasm/raw-95.wasm wasm/raw-100.wasm wasm/raw-106.wasm wasm/raw-130.wasm)
# Our own attribute (sdk/rust/ssvm-bindgen) knows no classes.
modules=("${raw[@]}" wasm/ssvm-bindgen.wasm)
options=()
passed=0 failed=0

call() { # STATUS STDOUT STDERR-PART NAME ARG... : in every module of $modules
    local status=$1 stdout=$2 stderr=$3 name=$4 module out rc
    shift 4
    for module in "${modules[@]}"; do
        out=$("$ssvm" run "${options[@]}" --invoke "$name" "$module" "$@" 2>"$scratch/stderr" && echo -n .)
        rc=$?
        out=${out%.}
        if [ "$rc" = "$status" ] && [ "$out" = "$stdout" ] && { [ -z "$stderr" ] || grep -qF -- "$stderr" "$scratch/stderr"; }; then
            passed=$((passed + 1))
        else
            failed=$((failed + 1))
            echo "FAILED $module $name $*: expected $status, '$stdout', stderr with '$stderr'; got $rc, '$out', stderr '$(cat "$scratch/stderr")'"
        fi
    done
}
line() { # a result that is a line
    local stdout=$1
    shift
    call 0 "$stdout"$'\n' "" "$@"
}
bytes() { # a result that is written as it is
    local stdout=$1
    shift
    call 0 "$stdout" "" "$@"
}

# ---- Raw modules: the module tells its types -------------------------------------------------------------------
line "hello Bob" say Bob
line "hello " say ""
line "hello 日本" say 日本
line "STRASSE" shout straße
bytes cba reverse abc
printf 'from a file' >"$scratch/in"
bytes "elif a morf" reverse "@$scratch/in"
bytes cba@ reverse @@abc
bytes tfel@ reverse -- @left
line 5 add 2 3
line 5 add 0x2 +3
line -2147483648 add 2147483647 1
line 4294967295 invert 0
line 0 invert 4294967295
line -9223372036854775808 add64 9223372036854775807 1
line 18446744073709551615 invert64 0
line 1 invert64 18446744073709551614
line -32642 small -128 255 -32768 65535
line -56 low8 200
line 1.5 half 3
line 5e+307 half 1e308
line -0 half -0.0
line Infinity half inf
line NaN half nan
line 0.1 half 0.2
line 0.05 half32 0.1
line false not true
line true not 0
line b next_char a
line ê next_char é
line 😁 next_char 😀
line "[1,3,6]" prefix_sums 1,2,3
line "[1,3,6]" prefix_sums "[1, 2, 3]"
line "[]" prefix_sums ""
line 0.75 total 0.5,0.25
line "[18446744073709551615,0]" wide 0,18446744073709551615
line "[44,-1]" narrow 300,-1
line "[3,4.5]" floats 1.5,2.25
bytes $'\xc5' clamp a
bytes xxxx fill abcd 120
line "[60,[10,20,30]]" scale 1,2,3 10
line 6 opt_u32 5
line 4294967295 opt_u32 4294967294
line null opt_u32 4294967295
line null opt_u32 null
line null opt_u32
line 5 opt_i32 -5
line -2147483647 opt_i32 2147483647
line null opt_i32
line 3 opt_f32 1.5
line null opt_f32
line 5 opt_f64 2.5
line null opt_f64
line -9007199254740993 opt_i64 9007199254740993
line null opt_i64
line false opt_bool true
line null opt_bool
line y opt_char y
line null opt_char x
line null opt_char
line -50 opt_i8 -100
line 0 opt_i8 -1
line null opt_i8
line hi opt_string hi
line null opt_string none
line null opt_string
bytes cba opt_bytes abc
line null opt_bytes
line "a!" res_string a
call 1 "" "empty text" res_string ""
line 7 res_u32 7
call 1 "" "negative" res_u32 -1
line 9 res_f64 3
call 1 "" "no root" res_f64 -1
bytes "" res_unit true
call 1 "" "not good" res_unit false
line 9 res_error 9
call 1 "" "more than nine" res_error 10
line null res_opt 0
line one res_opt 1
call 1 "" "only 0 and 1" res_opt 2
call 1 "" ": null" res_null true
call 1 "" ": undefined" res_null false
bytes "" nothing
line 3 boom 2
call 134 "" "unreachable" boom 5
call 134 "" "oops" fail_with oops
line "some text" js_text "some text"
line false js_kind text
line null js_number text
line "[\"a\",\"b c\"]" split "a,b c"
line "one+two" join '["one","two"]'
line "" join '[]'
modules=("${raw[@]}")
line 2 color 1
line 1 color 5
line 5 opt_color 2
line null opt_color
line null opt_counter
modules=("${raw[@]}" wasm/ssvm-bindgen.wasm)
call 2 "" "argument 2 of 'add' is missing" add 1
call 2 "" "'add' takes 2 arguments, not 3" add 1 2 3
call 2 "" "argument 2 of 'add' is wrong: 'x' is not a number" add 1 x
call 2 "" "argument 1 of 'add' is wrong: '2147483648' is out of range for i32 (-2147483648 to 2147483647)" add 2147483648 0
call 2 "" "argument 1 of 'invert' is wrong: '-1' is out of range for u32 (0 to 4294967295)" invert -1
call 2 "" "argument 1 of 'invert64' is wrong: '18446744073709551616' is out of range" invert64 18446744073709551616
call 2 "" "argument 1 of 'small' is wrong: '128' is out of range for i8 (-128 to 127)" small 128 0 0 0
call 2 "" "argument 1 of 'add' is wrong: '1.5' is not a whole number" add 1.5 0
call 2 "" "is not true or false" not maybe
call 2 "" "is not a character" next_char ab
call 2 "" "element 1, '70000', is out of range for i16" narrow 1,70000
call 1 "" "no exported function 'nosuch'" nosuch
printf '\xff\xfe' >"$scratch/bad"
call 2 "" "is not valid UTF-8" say "@$scratch/bad"
call 1 "" "No such file" say "@$scratch/none"
options=(--result=int)
call 1 "" "does not return what was asked for" say Bob
options=()

# ---- Processed modules: the wasm type and the caller decide ----------------------------------------------------
# In the stripped ones the tool had no names: malloc and free are only known by their types.
modules=(wasm/processed-92.wasm wasm/processed-100.wasm wasm/stripped-92.wasm wasm/stripped-100.wasm)
line "hello Bob" say Bob
line "hello 42" say string:42
call 2 "" "a number that is meant as text is written string:42" say 42
line "STRASSE" shout straße
line cba reverse abc
options=(--result=bytes)
bytes cba reverse abc
options=()
line 5 add 2 3
line 9 add64 4 5
line 1.5 half 3
line 0.05 half32 0.1
options=(--result=bool)
line true not 0
options=()
line "a!" res_string a
call 1 "" "empty text" res_string ""
line 7 res_u32 7
call 1 "" "negative" res_u32 -1
call 1 "" "more than nine" res_error 10
bytes "" nothing
call 134 "" "unreachable" boom 5
call 134 "" "oops" fail_with oops
call 2 "" "do not fit 'add'" add 1
modules=(wasm/processed-100.wasm wasm/stripped-100.wasm)
line "some text" js_text "some text"
line 0 js_kind text
bytes xxxx fill abcd 120
line 9 res_f64 3
call 1 "" "no root" res_f64 -1
options=(--result=none)
bytes "" res_unit 1
call 1 "" "not good" res_unit 0
options=()
call 1 "" ": null" res_null 1
call 1 "" ": undefined" res_null 0

# ---- wasmedge-bindgen ------------------------------------------------------------------------------------------
modules=(wasm/wasmedge.wasm)
line "hello Bob" say Bob
printf abc >"$scratch/abc"
bytes cba reverse "@$scratch/abc"
line 5 add i32:2 i32:3
line -7.5 mul i64:-3 f64:2.5
line '[8,"a!"]' pair a u32:7
line 8 check i32:4
call 1 "" "negative" check i32:-4

# ---- Plain functions of any module -----------------------------------------------------------------------------
for wat in hostile/*.wat; do
    wat2wasm --enable-all "$wat" -o "$scratch/$(basename "$wat" .wat).wasm" || failed=$((failed + 1))
done
modules=("$scratch/plain.wasm")
line 3 add 1 2
line -1 add 4294967295 0
line "[1,2.5,-3]" three
line 0.5 halve 1
bytes "" none
call 2 "" "argument 1 of 'add' is wrong: '4294967296' is out of range" add 4294967296 0
call 2 "" "do not fit 'add', whose wasm type is (i32, i32) -> (i32)" add text 0
call 1 "" "no allocator" pair text
call 1 "" "export 'memory' is not a function" memory

# ---- Hostile modules: errors, whatever they tell -----------------------------------------------------------------
# The section that says `version 0.2.100`: without it nobody asks for descriptors.
section='{"schema_version":"0.2.100","version":"0.2.100"}'
for name in hostile types; do
    { cat "$scratch/$name.wasm"; printf '\x00\x4c\x17__wasm_bindgen_unstable\x30\x00\x00\x00%s' "$section"; } >"$scratch/$name-raw.wasm"
done
modules=("$scratch/types-raw.wasm")
call 1 "" "type descriptor ends too early" empty
call 134 "" "type descriptor of more than 4096 words" endless
call 1 "" "type descriptor begins with 99" nofunction
call 1 "" "too deep" deep
call 1 "" "unknown word 77" unknown
call 1 "" "more than 64 parameters" params
call 1 "" "name of 4294967295 characters" name
call 1 "" "does not fit the types" mismatch 1
call 1 "" "closure" closure
call 134 "" "unreachable" traps
modules=("$scratch/hostile-raw.wasm")
call 1 "" "the allocator of the module returned 0x0" badmalloc text
call 1 "" "outside its memory" badptr
call 1 "" "outside its memory" badlen
call 1 "" "not valid UTF-8" badtext
line "ok" fine
call 134 "" "string of 4294967295 bytes at 0xffffffff" badstring
call 134 "" "import 'wbg.__wbg_fetch_0123456789abcdef' needs a JavaScript host" fetch
options=(--gas-limit=100000)
call 134 "" "gas" badgas
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" = 0 ]
