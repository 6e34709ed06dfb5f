#!/bin/sh
# Makes guests.h from the .wat files: embed.sh OUTPUT. The result is kept in the tree so that unit tests need no wat2wasm.
set -eu
cd "$(dirname "$0")"
out=$1
tmp=$(mktemp)
{
    echo "/* Guests of the API tests as bytes, made by test/api/guests/embed.sh from the .wat files there."
    echo " * Not to be edited. */"
    echo "#ifndef TEST_API_GUESTS_H"
    echo "#define TEST_API_GUESTS_H"
    echo
    echo "/* clang-format off */"
    for wat in *.wat; do
        if [ -f "${wat%.wat}.wasm" ]; then # what Debian's wat2wasm cannot yet: kept as bytes
            cp "${wat%.wat}.wasm" "$tmp"
        else
            wat2wasm --enable-all "$wat" -o "$tmp"
        fi
        echo "static const unsigned char guest_${wat%.wat}[] = {"
        od -An -v -tx1 "$tmp" | sed 's/ \(..\)/0x\1,/g; s/^/    /'
        echo "};"
    done
    echo "/* clang-format on */"
    echo
    echo "#endif"
} >"$out"
rm -f "$tmp"
