#!/usr/bin/env bash
# Tools see the guest's functions: --profile by our own samples, --perf-map by perf's. The guest's `hot` does nine tenths of the work.
# shellcheck disable=SC1091,SC2154 # variables of run.sh
. "$here/lib.sh"
# A name of what files for tools must not hold.
python3 -c 'import sys; b = open(sys.argv[1], "rb").read(); assert b.count(b"odd____12345") == 1
open("profile.wasm", "wb").write(b.replace(b"odd____12345", b"<&>;\x1b[31m\nab"))' "$GUESTS/profile.wasm"
wasm=$PWD/profile.wasm
tiers="interp"
"$SSVM" compile --cache none "$wasm" -o compiled.wasm 2>stderr.txt && tiers="interp aot"
expect() { # NAME WANTED GOT
    if [ "$2" = "$3" ]; then echo "ok $1"; else echo "FAILED $1: expected '$2', got '$3'"; fi
}
above() { # NAME LEAST PERCENT
    if awk "BEGIN { exit !(\"${3:-0}\" + 0 > $2) }"; then echo "ok $1"; else echo "FAILED $1: '$3' is not above $2"; fi
}
# The share of the stacks that end in the function.
share() { awk -v f="$1" '{ n = split($1, s, ";"); all += $2; if (s[n] == f) own += $2 } END { print all ? 100 * own / all : 0 }' out.folded; }
# Where the interpreter is shows in registers of clang's builds for x86-64 only, and not where sanitizers keep them.
if [ "$(uname -m)" != x86_64 ] || ! grep -qa "clang version" "$SSVM" || grep -qaE "__(a|t|m)san_init" "$SSVM"; then
    check "interp: a flame graph without names" 0 "*" "" "$SSVM" --tier interp --profile=out.svg --invoke work "$wasm" 100000
    tiers=${tiers#interp}
fi
for tier in $tiers; do
    rounds=$([ "$tier" = interp ] && echo 100000 || echo 500000)
    result=$("$SSVM" --tier "$tier" --cache none --invoke work "$wasm" "$rounds")
    check "$tier: folded stacks" 0 "$result"$'\n' "" "$SSVM" --tier "$tier" --cache none --profile=out.folded --invoke work "$wasm" "$rounds"
    above "$tier: hot is hot" 50 "$(share hot)"
    above "$tier: its caller is known" 40 "$(awk '{ all += $2; if ($1 == "main;hot") own += $2 } END { print 100 * own / all }' out.folded)"
    # How many samples: the thread's CPU time in milliseconds; half of it is room for the start and for loaded machines.
    above "$tier: a sample a millisecond" 40 "$(awk '{ all += $2 } END { print all }' out.folded)"
    check "$tier: a flame graph" 0 "$result"$'\n' "" "$SSVM" --tier "$tier" --cache none --profile=out.svg --invoke work "$wasm" "$rounds"
    expect "$tier: it is XML" svg "$(python3 -c 'import sys, xml.etree.ElementTree as t; print(t.parse(sys.argv[1]).getroot().tag.split("}")[1])' out.svg 2>&1)"
    above "$tier: hot's title" 50 "$(grep -o '<title>hot ([0-9]* samples, [0-9.]* %)' out.svg | grep -o '[0-9.]* %' | tr -d ' %')"
    check "$tier: a deep stack" 0 "" "" "$SSVM" --tier "$tier" --cache none --profile=out.folded --invoke deep "$wasm" 3000 30000000
    above "$tier: its inner frames" 50 "$(grep '^\[deeper\];' out.folded | awk '{ n = split($1, s, ";"); if (n == 512 && s[n] == "hot") print 100 }')"
    check "$tier: a trap, profiled" 134 "" "unreachable" "$SSVM" --tier "$tier" --cache none --profile=out.folded --invoke trap "$wasm"
    above "$tier: up to the trap" 50 "$(share hot)"
    check "$tier: a limit beside it" 134 "" "deadline" "$SSVM" --tier "$tier" --cache none --time-limit 300 --profile=out.folded --invoke deep "$wasm" 1 4000000000
    above "$tier: up to the limit" 50 "$(share hot)"
done
if [ -n "${tiers// /}" ]; then
    tier=${tiers##* }
    check "odd names" 0 "*" "" "$SSVM" --tier "$tier" --cache none --profile=out.svg --invoke odd "$wasm" 20000000
    expect "odd names are XML" "<&>;?[31m?ab" "$(python3 -c 'import sys, xml.etree.ElementTree as t
print(*(e.text.split(" (")[0] for e in t.parse(sys.argv[1]).iter() if e.tag.endswith("title") and "<" in e.text))' out.svg 2>&1)"
fi
check "a profile that cannot be written" 1 "" "the profile '$PWD/none/x.svg' cannot be written: No such file or directory" "$SSVM" --profile="$PWD/none/x.svg" --invoke trap "$wasm"
check "a full disk" 1 "*" "the profile '/dev/full' cannot be written: No space left" "$SSVM" --profile=/dev/full --invoke work "$wasm" 1

[[ $tiers == *aot* ]] || exit 0
# The map stays: it is for perf, afterwards. The process's own number names it.
mapped() { # ARG...: the output, the map in out.map
    rm -f out.map
    # shellcheck disable=SC2016 # for the other shell
    bash -c 'echo $$ >pid; exec "$@"' - "$SSVM" --tier aot --cache none "$@" 2>stderr.txt
    local map
    map=/tmp/perf-$(cat pid).map
    [ -e "$map" ] && stat -c %a "$map" >mode && mv "$map" out.map
}
mapped --invoke odd "$wasm" 1 >out.txt
expect "no map unless asked for" "" "$(ls out.map 2>/dev/null)"
mapped --perf-map --invoke odd "$wasm" 1 >out.txt
expect "the map is ours alone" 600 "$(cat mode)"
expect "every function, each a line" "<&>;?[31m?ab cool deep hot main trap" "$(cut -d' ' -f3- out.map | LC_ALL=C sort | tr '\n' ' ' | sed 's/ $//')"
expect "places and sizes" "" "$(grep -vE '^[0-9a-f]{6,16} [0-9a-f]+ ' out.map)"
# One that somebody made before is left alone.
# shellcheck disable=SC2016 # for the other shell
check "a map that is there" 1 "" "cannot be made: File exists" bash -c 'ln -s "$PWD/elsewhere" /tmp/perf-$$.map; echo $$ >pid; exec "$@"' - "$SSVM" --perf-map --invoke odd "$wasm" 1
rm -f "/tmp/perf-$(cat pid).map"
expect "nothing through a link" "" "$(ls elsewhere 2>/dev/null)"
if perf record -o perf.data true >/dev/null 2>&1; then
    bash -c 'echo $$ >pid; exec "$@"' - perf record -e cpu-clock -o perf.data "$SSVM" --tier aot --cache none --perf-map --invoke work "$wasm" 500000 >out.txt 2>stderr.txt
    above "perf sees the function" 50 "$(perf report -i perf.data --stdio 2>/dev/null | awk '$NF == "hot" { print $1 + 0 }')"
    rm -f "/tmp/perf-$(perf script -i perf.data -F pid 2>/dev/null | sort -n | uniq -c | sort -rn | awk 'NR == 1 { print $2 }').map"
fi
