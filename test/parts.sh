#!/bin/sh
# Runs the parts of a test, programs in FOLDER that end with 'N passed, N failed, N skipped', and adds them up. Usage: parts.sh FOLDER PART...
# SSVM_BUILD names the build folder.
set -u
cd "$(dirname "$0")/$1" || exit 1
shift
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
status=0
for part; do
    "./$part" >"$scratch/log" 2>&1 || status=1
    cat "$scratch/log"
    # A part that broke off before its totals has failed.
    tail -1 "$scratch/log" | grep -E '^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$' >>"$scratch/totals" || {
        echo "FAILED $part: it broke off; its last: $(tail -n 3 "$scratch/log" | cut -c1-200 | tr '\n' ' ')"
        echo "0 passed, 1 failed, 0 skipped" >>"$scratch/totals"
    }
done
awk '{p += $1; f += $3; s += $5} END {print p " passed, " f " failed, " s " skipped"}' "$scratch/totals"
exit $status
