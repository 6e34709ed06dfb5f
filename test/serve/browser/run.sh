#!/bin/sh
# The demo's pages in a real browser (pages.mjs), as demo/run.sh starts them. Needs chromium, node and npm; says what is missing and skips otherwise.
# Screenshots go into BUILD/screenshots, or where SCREENSHOTS says.
# shellcheck disable=SC1091,SC2154 # variables of modules.sh
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
build=${SSVM_BUILD:-$root/build}

# shellcheck source=test/serve/browser/modules.sh
. "$here/modules.sh"

scratch=$(mktemp -d)
: >"$scratch/out" # it is looked into before the demo has begun
SSVM_BUILD=$build NN=openvino "$root/demo/run.sh" --stay >"$scratch/out" 2>&1 &
pid=$!
trap 'kill "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; rm -rf "$scratch"' EXIT
url=
for _ in $(seq 3000); do
    url=$(sed -n 's/^The page: \(http:[^ ]*\) .*/\1/p' "$scratch/out")
    [ -n "$url" ] && break
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.1
done
[ -n "$url" ] || {
    cat "$scratch/out"
    exit 1
}
shots=${SCREENSHOTS:-$build/screenshots}
mkdir -p "$shots"
node "$here/pages.mjs" "$modules" "$url" "$browser" "$root/demo/food/model" "$pid" OpenVINO "$shots"
