#!/usr/bin/env bash
# The commands of README: each line of its shell blocks that starts the built program is run as it stands, in a folder that has what it names.
# shellcheck disable=SC1091,SC2154,SC2016 # variables of run.sh
. "$here/lib.sh"
root=$(cd "$here/../.." && pwd)
mkdir build data
ln -s "$SSVM" build/ssvm
ln -s "$root/demo" demo
cp "$GUESTS/nop.wasm" app.wasm
n=0
while IFS= read -r command; do
    case $command in *serve*) continue ;; esac # test/serve does that one
    check "README: $command" 0 "*" "" bash -c "$command"
    n=$((n + 1))
done < <(sed -n '/^```sh$/,/^```$/p' "$root/README.md" | grep '^build/ssvm' | sed 's/ *#.*//')
check "README: has commands" 0 "" "" test "$n" -ge 5

# The C fragment compiles against the public header.
{
    echo '#include <ssvm.h>'
    echo 'int main(void) {'
    sed -n '/^```c$/,/^```$/p' "$root/README.md" | grep -v '^```' | grep -v '^#include'
    echo '(void)module; ssvm_error_delete(err); return 0; }'
} >readme.c
check "README: C" 0 "" "" "${CC:-cc}" -Wall -Werror -I"$root/include" -fsyntax-only readme.c
