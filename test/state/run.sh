#!/bin/sh
# State for guests (ssvm_state): of `ssvm run`, of functions of a server, of Rust guests. SSVM_BUILD names the build folder.
set -u
cd "$(dirname "$0")" || exit 1
exec python3 ./state.py "$@"
