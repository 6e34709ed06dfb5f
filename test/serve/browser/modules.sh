# shellcheck shell=sh disable=SC2034,SC2154 # variables of those who source it
# Sourced by the tests of pages: finds chromium and node, and installs playwright-core from package-lock.json; says what is missing and ends otherwise.
# Wants $here and $build; gives $browser and $modules.
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
