#!/usr/bin/env bash
# libraries.sh BACKEND...: installs them with `ssvm nn install` where they are not yet, into the build folder (it costs a download once), and
# prints the folder that holds them. SSVM and SSVM_BUILD as elsewhere.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
build=${SSVM_BUILD:-$root/build}
for backend in "$@"; do
    [ -e "$build/nn/$backend/VERSION" ] || "${SSVM:-$build/ssvm}" nn install "$backend" --to "$build/nn" >&2
done
echo "$build/nn"
