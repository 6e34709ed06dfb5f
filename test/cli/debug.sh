#!/usr/bin/env bash
# The guest's own files and lines: in backtraces, and for gdb.
# shellcheck disable=SC1091,SC2154 # variables of run.sh
. "$here/lib.sh"
expect() { # NAME WANTED GOT
    if [ "$2" = "$3" ]; then echo "ok $1"; else echo "FAILED $1: expected '$2', got '$3'"; fi
}
if ! command -v clang-22 >/dev/null || ! command -v wasm-ld-22 >/dev/null; then
    echo "ok skipped: there is no clang-22 for wasm32"
    exit 0
fi
guest() { # FILE FLAGS...
    local out=$1
    shift
    clang-22 --target=wasm32 -nostdlib -fuse-ld="$(command -v wasm-ld-22)" -Wl,--no-entry "$@" "$here/debug/guest.c" -o "$out" 2>&1
}
at() { grep -n "/\* $1 \*/" "$here/debug/guest.c" | cut -d: -f1; } # the line with the mark
tiers="interp"
"$SSVM" compile --cache none "$GUESTS/nop.wasm" -o compiled.wasm 2>stderr.txt && tiers="interp aot"
src=$here/debug
inner="($src/divide.h:4 in divide, inlined at $src/guest.c:$(at divides))"
for flags in "-O0 -gdwarf-4" "-O0 -gdwarf-5" "-O2 -gdwarf-5" "-O0 -g0"; do
    # shellcheck disable=SC2086
    guest guest.wasm $flags
    for tier in $tiers; do
        "$SSVM" --tier "$tier" --cache none --invoke work guest.wasm 0 2>"$tier.txt"
        expect "$flags, $tier: exit status" 134 $?
    done
    case $tiers in *aot*) expect "$flags: the same in both tiers" "$(cat interp.txt)" "$(cat aot.txt)" ;; esac
    places=$(grep -o '(.*)' interp.txt | tr '\n' ' ')
    case $flags in
    *-g0) expect "$flags: no places" "" "$places" ;;
    *-O0*)
        expect "$flags: the places" "$inner ($src/guest.c:$(at "calls inner")) ($src/guest.c:$(at "calls outer")) " "$places"
        ;;
    esac
done
# What is not ours says the same of each frame.
if command -v llvm-symbolizer-22 >/dev/null && command -v llvm-objdump-22 >/dev/null; then
    guest guest.wasm -O2 -gdwarf-5
    "$SSVM" --tier interp --invoke work guest.wasm 0 2>interp.txt
    code=$((16#$(llvm-objdump-22 -h guest.wasm | awk '$2 == "CODE" { print $4 }')))
    grep -o 'at 0x[0-9a-f]*' interp.txt | cut -c4- | while read -r place; do
        llvm-symbolizer-22 --obj=guest.wasm "$(printf '0x%x' $((place - code)))" | grep : | sed 's/:[0-9]*$//'
    done >theirs.txt
    expect "as llvm-symbolizer has it" "$(cat theirs.txt)" "$(grep -oE '/[^ ]*:[0-9]+' interp.txt)"
fi
# Names of files are the guest's: nothing in them reaches a terminal.
guest guest.wasm -O0 -gdwarf-4
python3 - <<'EOF'
b = open("guest.wasm", "rb").read()
at = b.index(b".debug_line")
at = b.index(b"guest.c\0", at)
open("odd.wasm", "wb").write(b[:at] + b"\x1b[31m\nc" + b[at + 7:])
EOF
"$SSVM" --tier interp --invoke work odd.wasm 0 2>odd.txt
expect "odd names are clean" 'x1b[31m\x0ac' "$(grep -o 'x1b[^:]*' odd.txt | tail -1)"

[[ $tiers == *aot* ]] || exit 0
# ---- gdb ----
if ! command -v gdb >/dev/null || [ "$(uname -m)" != x86_64 ]; then
    echo "ok skipped: there is no gdb"
    exit 0
fi
# Sanitizers want the address space and the signals for themselves.
if grep -qaE "__(a|t|m)san_init" "$SSVM"; then
    echo "ok skipped: gdb and sanitizers"
    exit 0
fi
debugger() { # COMMANDS ARG...: what gdb prints of ssvm with these arguments, in gdb.txt
    printf 'set pagination off\nset breakpoint pending on\nset confirm off\nset width 0\nhandle SIGSEGV nostop noprint pass\n%s\n' "$1" >commands
    shift
    timeout 100 gdb -nx -batch -x commands --args "$SSVM" "$@" >gdb.txt 2>&1
}
frames() { grep -oE '^#[0-9]+ .*' gdb.txt | sed -E 's/0x[0-9a-f]+ in //; s/ \(\) at / /'; }
text() { sed -n "$1p" "$here/debug/guest.c" | sed 's/^/'"$1"'\t/'; } # as gdb shows a line
guest guest.wasm -O0 -gdwarf-5
inner=$(at "calls inner") after=$(at "after inner") outer=$(at "calls outer")
debugger "break guest.c:$inner
run
bt
next
step
next
step
step
bt" run --debug --cache none --invoke work guest.wasm 5
expect "a backtrace at a line" "#0  outer $src/guest.c:$inner
#1  work $src/guest.c:$outer
#2  ssvm_entry ()" "$(frames | head -3)"
# Over the call, back to the loop's head and its body, then into the call.
expect "the lines of steps" "$(text "$inner")
$(text "$after")
$(text $((inner - 1)))
$(text "$inner")" "$(grep -P '^\d+\t' gdb.txt | head -4)"
expect "inside of the callee" "#0  inner $src/guest.c:" "$(frames | sed -n 4p | sed 's/[0-9]*$//')"
debugger "break inner
run
bt
info breakpoints" run --debug --cache none --invoke work guest.wasm 5
expect "a function by its name" "#0  inner $src/guest.c:$(grep -n 'int x = n' "$src/guest.c" | cut -d: -f1)
#1  outer $src/guest.c:$inner
#2  work $src/guest.c:$outer
#3  ssvm_entry ()" "$(frames)"
# Code from a file and from a cache is the same to gdb.
"$SSVM" compile --debug "$PWD/guest.wasm" -o native.wasm 2>stderr.txt
for file in native.wasm guest.wasm guest.wasm; do
    debugger "break guest.c:$inner
run
bt" run --debug --invoke work "$PWD/$file" 5
    expect "$file: a backtrace" "#0  outer $src/guest.c:$inner" "$(frames | head -1)"
done
# As installed: without symbols.
strip "$SSVM" -o stripped 2>strip.txt
SSVM=$PWD/stripped debugger "break guest.c:$inner
run
bt" run --debug --invoke work "$PWD/guest.wasm" 5
expect "a stripped ssvm: a backtrace" "#0  outer $src/guest.c:$inner" "$(frames | head -1)"
line 63 "a debugged guest computes the same" "$SSVM" run --debug --invoke work guest.wasm 5
line 63 "code for debuggers runs without them" "$SSVM" run --invoke work native.wasm 5
# Optimised guests and guests without debug information have functions at least.
guest guest.wasm -O0 -g0
debugger "break inner
run
bt" run --debug --cache none --invoke work guest.wasm 5
expect "without debug information" "#0  inner ()
#1  outer ()
#2  work ()" "$(frames | head -3)"
