#!/bin/sh
# Pages as the tutorials of 2020 had them (tutorial/), on a server of their own, calling functions over /api of another: tutorial.mjs. SSVM_BUILD names the
# build folder.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
build=${SSVM_BUILD:-$root/build}
# shellcheck source=test/serve/browser/modules.sh
. "$here/modules.sh"
[ -x "$build/ssvm-control" ] || skip "ssvm-control is not built"
cc=$(command -v clang-22 || command -v clang || true)
[ -n "$cc" ] || skip "clang is not installed"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir -p "$scratch/app/site"
"$cc" --target=wasm32 -nostdlib -Wl,--no-entry -O2 -o "$scratch/infer.wasm" "$here/../guests/faas.c"
shots=${SCREENSHOTS:-$build/screenshots}
mkdir -p "$shots"
node "$here/tutorial.mjs" "$modules" "$browser" "$build/ssvm-serve" "$scratch" "$root/demo/functions" "$shots"
