#!/usr/bin/env bash
# Golden tests: each NAME.txt here holds parts that begin with a line `### PART`: `wat NAME` (compiled to NAME.wasm), `command` (run by bash
# in a scratch folder, `ssvm` in the path), and what it must give: `stdout`, `stderr`, `exit`. `--rebase` writes what it gives now.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
SSVM=$(realpath "${SSVM:-$here/../../build/ssvm}")
rebase=no
if [ "${1:-}" = --rebase ]; then
    rebase=yes
    shift
fi
passed=0 failed=0
top=$(mktemp -d)
trap 'rm -rf "$top"' EXIT
mkdir "$top/bin"
ln -s "$SSVM" "$top/bin/ssvm"
export PATH="$top/bin:$PATH" LC_ALL=C.UTF-8

split() { # FILE: its parts as files of ./parts
    awk '/^### / { part = $2; if (part == "wat") part = $3 ".wat"; file = "parts/" part; printf "" >file; next } file { print >file }' "$1"
}
for file in "${@:-$here/*.txt}"; do
    for test in $file; do
        scratch=$top/$(basename "$test" .txt)
        mkdir -p "$scratch/parts" "$scratch/got"
        cd "$scratch" || exit 1
        split "$test"
        for wat in parts/*.wat; do
            [ ! -e "$wat" ] || wat2wasm --enable-all --debug-names "$wat" -o "$(basename "$wat" .wat).wasm" || exit 1
        done
        bash parts/command >got/stdout 2>got/stderr </dev/null
        echo $? >got/exit
        if [ $rebase = yes ]; then
            { awk '/^### stdout$/ { exit } { print }' "$test"; for part in stdout stderr exit; do echo "### $part"; cat "got/$part"; done; } >new
            cp new "$test"
        fi
        if { diff -u parts/stdout got/stdout && diff -u parts/stderr got/stderr && diff -u parts/exit got/exit; } >differ; then
            passed=$((passed + 1))
        else
            failed=$((failed + 1))
            cat differ
            echo "FAILED $(basename "$test"): $(grep -v '^[-+@ ][-+@ ]' differ | grep -m 4 '^[-+]' | tr '\n' ' ')"
        fi
    done
done
echo "$passed passed, $failed failed, 0 skipped"
[ $failed = 0 ]
