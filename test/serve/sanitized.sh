#!/usr/bin/env bash
# The tests of a real server with programs that were built with -DSSVM_SANITIZE=address,undefined, or =thread: whatever a sanitizer says of any
# process of it is a failure. Usage: sanitized.sh BUILD [FOLDER/PART...]. Ends with 'N passed, N failed, N skipped'.
set -uo pipefail
build=$(realpath "$1") || exit 1
shift
sanitizer=$(sed -n 's/^SSVM_SANITIZE:[A-Z]*=//p' "$build/CMakeCache.txt")
[ -n "$sanitizer" ] || {
    echo "$build was built without SSVM_SANITIZE"
    exit 1
}
cd "$(dirname "$0")/.." || exit 1
parts=${*:-serve/test_server.py serve/test_protocol.py serve/processes.py serve/drain.py serve/isolation.py serve/registry.py serve/limits.py serve/crowd.py serve/admin.py serve/faas.py state/served.py socket/server.py threads/served.py crates/served.py}
said=$(mktemp -d)
trap 'rm -rf "$said"' EXIT
chmod 777 "$said" # of processes that have become another user
export SSVM_BUILD=$build SSVM=$build/ssvm SSVM_SANITIZED=$sanitizer
# Faults of guests are handled, and pooled stacks are none that fake frames know. Leaks are the unit tests' to find: a process here ends with all it has.
export ASAN_OPTIONS=log_path=$said/asan:allow_user_segv_handler=1:detect_stack_use_after_return=0:detect_leaks=0
export UBSAN_OPTIONS=log_path=$said/ubsan:print_stacktrace=1
# A report neither ends the process nor changes how it ends, and a crash is one; children of processes with threads may have threads.
export TSAN_OPTIONS=log_path=$said/tsan:exitcode=0:die_after_fork=0:handle_segv=0:second_deadlock_stack=1

status=0
for part in $parts; do
    ./parts.sh "${part%/*}" "${part#*/}" >"$said/log" 2>&1 || status=1
    cat "$said/log"
    tail -1 "$said/log" >>"$said/totals"
done
bad=0
for report in "$said"/asan.* "$said"/ubsan.* "$said"/tsan.*; do
    [ -e "$report" ] || continue
    grep -q ' in fail_as_told ' "$report" && continue # the tests' own hook
    head -n 40 "$report"
    bad=$((bad + 1))
done
[ $bad = 0 ] || status=1
awk -v bad=$bad '{p += $1; f += $3; s += $5} END {print p + (bad == 0) " passed, " f + bad " failed, " s " skipped"}' "$said/totals"
exit $status
