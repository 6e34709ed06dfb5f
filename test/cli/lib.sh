# What the scripts share: check NAME STATUS STDOUT STDERR-PART COMMAND... ; "*" as STDOUT accepts anything.
# shellcheck shell=bash
check() {
    local name=$1 status=$2 stdout=$3 stderr=$4 out rc
    shift 4
    out=$("$@" 2>stderr.txt && echo -n .)
    rc=$?
    # A failing command prints no dot: its output is compared without trailing newlines.
    [ $rc = 0 ] && out=${out%.}
    if [ "$rc" = "$status" ] && { [ "$stdout" = "*" ] || [ "$out" = "$stdout" ]; } && { [ -z "$stderr" ] || grep -qF -- "$stderr" stderr.txt; }; then
        echo "ok $name"
    else
        echo "FAILED $name: expected $status, '$stdout', stderr with '$stderr'; got $rc, '$out', '$(cat stderr.txt)'"
    fi
}
line() { # STDOUT-LINE NAME COMMAND...
    local out=$1 name=$2
    shift 2
    check "$name" 0 "$out"$'\n' "" "$@"
}
