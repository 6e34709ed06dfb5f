#!/usr/bin/env bash
# A signal ends `ssvm run` with all that is its own: the process of an isolated backend, and the folder that it may write to.
same() { # NAME HAVE WANT
    if [ "$2" = "$3" ]; then echo "ok $1"; else echo "FAILED $1: '$2', not '$3'"; fi
}
# The folder of a process; it has one as soon as it is another program than ours.
folder_of() {
    tr '\0' '\n' <"/proc/$1/environ" 2>/dev/null | sed -n 's/^TMPDIR=//p'
}
is_gone() {
    for _ in $(seq 100); do
        [ -e "/proc/$1" ] || return 0
        sleep 0.1
    done
    return 1
}

[ -e "$(dirname "$SSVM")/nn-fake.so" ] || {
    echo "ok the backend of the tests is not built"
    exit 0
}
set -m # so that what runs in the background hears SIGINT
for signal in INT TERM HUP; do
    # Whoever runs the tests may ignore them, as nohup does.
    env --default-signal="$signal" "$SSVM" run --nn fake --nn-isolate "$GUESTS/nn-sleep.wasm" >out.txt 2>&1 &
    pid=$! child='' folder=''
    for _ in $(seq 600); do
        child=$(pgrep -P "$pid" ssvm-nn) && folder=$(folder_of "$child") && [ -d "$folder" ] && break
        sleep 0.1
    done
    same "it has a process, and that a folder" "$(basename "${folder%-*}")" "ssvm-nn"
    sleep 0.5 # into its run
    kill "-$signal" "$pid"
    wait "$pid" 2>/dev/null
    same "SIG$signal is what it ends by" "$?" $((128 + $(kill -l "$signal")))
    is_gone "$child"
    same "its process has ended with it" "$?" 0
    [ ! -e "$folder" ]
    same "and its folder is gone" "$?" 0
    is_gone "$child" || kill -9 "$child"
    [ ! -d "$folder" ] || rmdir "$folder"
done
