#!/bin/sh
# The admin interfaces against their own OpenAPI document: schemathesis makes requests from it and looks at the answers. Needs python3 with venv; installs
# schemathesis from PyPI into BUILD/schema-test the first time (WHEELS names a folder of wheels instead), and says so and skips where it cannot.
# TIME: seconds of each of the two rounds (30).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
build=${SSVM_BUILD:-$root/build}
venv=$build/schema-test

skip() {
    echo "skipped: $1"
    echo "0 passed, 0 failed, 1 skipped"
    exit 0
}
[ -x "$build/ssvm-control" ] || skip "ssvm-control is not built"
if ! "$venv/bin/st" --version >/dev/null 2>&1; then
    python3 -m venv "$venv" 2>/dev/null || skip "python3 cannot make a virtual environment (Debian: apt-get install python3-venv)"
    "$venv/bin/pip" install -q ${WHEELS:+--no-index --find-links "$WHEELS"} -r "$here/requirements.txt" >"$venv/pip.log" 2>&1 ||
        skip "pip cannot install schemathesis"
fi

scratch=$(mktemp -d)
mkdir "$scratch/site"
"$build/ssvm-serve" "$scratch" --listen 127.0.0.1:0 --log none </dev/null >"$scratch/out" 2>&1 &
server=$!
trap 'kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; rm -rf "$scratch"' EXIT
url=
for _ in $(seq 1800); do
    url=$(sed -n 's/^ssvm-serve: \(http:[^ ]*\) serves .*/\1/p' "$scratch/out")
    [ -n "$url" ] && curl -sf -o "$scratch/openapi.json" "$url/v1/openapi.json" && break
    kill -0 "$server" || break
    sleep 0.1
done
[ -s "$scratch/openapi.json" ] || {
    cat "$scratch/out"
    echo "0 passed, 1 failed, 0 skipped"
    exit 1
}
token=$(cat "$scratch/.ssvm/admin-token")
ask() { # METHOD PATH [CURL OPTION...]
    method=$1 path=$2
    shift 2
    curl -sf -X "$method" -H "Authorization: Bearer $token" "$@" "$url$path"
}

passed=0 failed=0
# The first round has nothing that is there but what its own requests make; the second has a function, a key, and a secret.
# Neither may revoke the token that it uses, and what a function answers is the function's.
for round in empty full; do
    cp "$here/schemathesis.toml" "$scratch/"
    if [ $round = full ]; then
        ask PUT /v1/tenants/default/functions/hello --data-binary "@$root/demo/functions/hello.wasm" >/dev/null || true
        ask PUT /v1/tenants/default/kv/a -d value
        ask PUT /v1/tenants/default/secrets/a -d secret
        cat >>"$scratch/schemathesis.toml" <<'END'
[parameters]
"path.tenant" = "default"
"path.function" = "hello"
"path.key" = "a"
"path.secret" = "a"
END
    fi
    if (cd "$scratch" && "$venv/bin/st" run "$url/v1/openapi.json" -H "Authorization: Bearer $token" --max-time "${TIME:-30}" \
        --phases coverage,fuzzing,stateful --continue-on-failure --request-timeout 30 --warnings off --generation-database none \
        --exclude-path-regex '/invoke$|^/v1/tokens/' >"$scratch/$round.log" 2>&1); then
        passed=$((passed + 1))
        echo "ok      $round: $(sed -n 's/^ *\([0-9]* generated.*\)/\1/p' "$scratch/$round.log")"
    else
        failed=$((failed + 1))
        cut -c1-300 "$scratch/$round.log"
        echo "FAILED  $round: $(grep -E '^(_+ |- |    ?E? )' "$scratch/$round.log" | head -n 4 | tr '\n' ' ')"
    fi
done
if kill -0 "$server" 2>/dev/null && curl -sf "$url/readyz" >/dev/null && ! grep -q 'ended with\|killed by' "$scratch/out"; then
    passed=$((passed + 1))
    echo "ok      all processes live"
else
    failed=$((failed + 1))
    cat "$scratch/out"
    echo "FAILED  all processes live: $(tail -n 2 "$scratch/out" | tr '\n' ' ')"
fi
echo "$passed passed, $failed failed, 0 skipped"
[ $failed = 0 ]
