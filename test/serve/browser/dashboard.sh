#!/bin/sh
# The dashboard in a real browser (dashboard.mjs), on a server with a fresh data folder. SSVM_BUILD names the build folder; screenshots go into
# BUILD/screenshots, or where SCREENSHOTS says.
# shellcheck disable=SC1091,SC2154 # variables of modules.sh
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
build=${SSVM_BUILD:-$root/build}
# shellcheck source=test/serve/browser/modules.sh
. "$here/modules.sh"
[ -x "$build/ssvm-control" ] || skip "ssvm-control is not built"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir -p "$scratch/app/functions" "$scratch/app/site"
cp "$root/demo/functions/hello.wasm" "$root/demo/functions/wordcount.wasm" "$scratch/app/functions/"
shots=${SCREENSHOTS:-$build/screenshots}
mkdir -p "$shots"
node "$here/dashboard.mjs" "$modules" "$browser" "$build/ssvm-serve" "$scratch" "$root/demo/functions" "$shots"
