#!/usr/bin/env bash
# Builds with the allocation hook under ASan and UBSan, and runs the torture tests. Ends with 'N passed, N failed, N skipped'.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
build="build-torture"
cmake -S . -B "$build" -G Ninja -DCMAKE_C_COMPILER="${CC:-clang-22}" -DCMAKE_BUILD_TYPE=Debug -DSSVM_TORTURE=ON -DSSVM_TESTS=ON -DDEV=ON \
    -DSSVM_SANITIZE=address,undefined >/dev/null && cmake --build "$build" -j "$(nproc)" -t torture-lifetime torture-alloc torture-typed || exit 1
passed=0 failed=0
for seed in 1 2 3 4; do
    if "$build/test/torture/torture-lifetime" "$seed" 40000; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
done
for test in alloc typed; do
    if "$build/test/torture/torture-$test"; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
done
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" = 0 ]
