#!/bin/sh
# The demo's pages in a real browser (pages.mjs), as demo/run.sh starts them. Needs chromium, node and npm; says what is missing and skips otherwise.
# Screenshots go into BUILD/screenshots, or where SCREENSHOTS says.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
build=${SSVM_BUILD:-$root/build}

skip() {
    echo "skipped: $1"
    echo "0 passed, 0 failed, 1 skipped"
    exit 0
}
browser=$(command -v chromium || command -v chromium-browser || true)
[ -n "$browser" ] || skip "chromium is not installed (Debian: apt-get install chromium)"
{ command -v node && command -v npm; } >/dev/null || skip "node and npm are not installed (Debian: apt-get install nodejs npm)"

modules=$build/browser-test
mkdir -p "$modules"
if ! cmp -s "$here/package-lock.json" "$modules/package-lock.json" || [ ! -d "$modules/node_modules/playwright-core" ]; then
    cp "$here/package.json" "$here/package-lock.json" "$modules/"
    (cd "$modules" && npm ci --no-audit --no-fund --ignore-scripts >npm.log 2>&1) || {
        tail -5 "$modules/npm.log"
        rm -f "$modules/package-lock.json"
        skip "npm cannot install playwright-core"
    }
fi

scratch=$(mktemp -d)
: >"$scratch/out" # it is looked into before the demo has begun
SSVM_BUILD=$build NN=openvino "$root/demo/run.sh" --stay >"$scratch/out" 2>&1 &
pid=$!
trap 'kill "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; rm -rf "$scratch"' EXIT
url=
for _ in $(seq 1200); do
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
