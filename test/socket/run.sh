#!/bin/sh
# Sockets for guests: the published crate (crate.py), guests in C (calls.py), functions of a server (server.py). SSVM_BUILD names the build folder.
set -u
cd "$(dirname "$0")" || exit 1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
status=0
for part in crate.py calls.py server.py; do
    "./$part" >"$scratch/log" 2>&1 || status=1
    cat "$scratch/log"
    # A part that broke off before its totals has failed.
    tail -1 "$scratch/log" | grep -E '^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$' >>"$scratch/totals" ||
        echo "0 passed, 1 failed, 0 skipped" >>"$scratch/totals"
done
awk '{p += $1; f += $3; s += $5} END {print p " passed, " f " failed, " s " skipped"}' "$scratch/totals"
exit $status
