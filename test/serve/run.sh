#!/bin/sh
# All tests of the server: a real one on a free port (test_server.py), what carries HTTP (test_protocol.py), its processes (processes.py), its ledger while processes are killed (ledger.py), each of its databases (database.py), the developer's loop (loop.py), the lunch function on real libraries (food.py), the demo's pages and the dashboard in a browser. SSVM_BUILD names the build folder.
set -u
cd "$(dirname "$0")" || exit 1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
status=0
for part in test_server.py test_protocol.py processes.py registry.py ledger.py database.py admin.py faas.py schema/run.sh food.py browser/run.sh browser/tutorial.sh browser/dashboard.sh loop.py; do
    "./$part" >"$scratch/log" 2>&1 || status=1
    cat "$scratch/log"
    # A part that broke off before its totals has failed.
    tail -1 "$scratch/log" | grep -E '^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$' >>"$scratch/totals" ||
        echo "0 passed, 1 failed, 0 skipped" >>"$scratch/totals"
done
awk '{p += $1; f += $3; s += $5} END {print p " passed, " f " failed, " s " skipped"}' "$scratch/totals"
exit $status
