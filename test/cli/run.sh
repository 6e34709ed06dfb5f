#!/usr/bin/env bash
# Runs every other script here, each with the path of ssvm in SSVM, the compiled guests in GUESTS and a scratch folder of its own as the
# working directory. A script prints `ok TEXT` and `FAILED TEXT`.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
SSVM=$(realpath "${SSVM:-$here/../../build/ssvm}")
GUESTS=$(mktemp -d)
export SSVM GUESTS here
# Not the user's cache: what programs leave behind is to go with the rest.
export XDG_CACHE_HOME=$GUESTS/cache
mkdir "$XDG_CACHE_HOME"
trap 'rm -rf "$GUESTS" 2>/dev/null' EXIT
for wat in "$here"/guest/*.wat; do
    wat2wasm --enable-all --debug-names "$wat" -o "$GUESTS/$(basename "$wat" .wat).wasm" || exit 1
done
passed=0 failed=0
for script in "$here"/[a-z]*.sh; do
    case $script in */run.sh | */lib.sh) continue ;; esac
    [ $# = 0 ] || [[ " $* " == *" $(basename "$script" .sh) "* ]] || continue
    scratch=$(mktemp -d)
    log=$(cd "$scratch" && bash "$script" 2>&1)
    rc=$?
    rm -rf "$scratch"
    good=$(grep -c '^ok ' <<<"$log")
    bad=$(grep -c '^FAILED ' <<<"$log")
    # A script that stops early has failed, whatever it printed.
    [ $rc = 0 ] || [ "$bad" != 0 ] || bad=1
    [ "$good" != 0 ] || bad=$((bad + 1))
    passed=$((passed + good)) failed=$((failed + bad))
    [ "$bad" = 0 ] || grep -v '^ok ' <<<"$log" | sed "s|^|$(basename "$script"): |"
done
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" = 0 ]
