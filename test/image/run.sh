#!/usr/bin/env bash
# host-image.so against decoders and resizers that are not ours (pictures.py). SSVM_BUILD names the build folder.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
build=$(realpath "${SSVM_BUILD:-$here/../../build}")
if [ ! -e "$build/host-image.so" ]; then
    echo "0 passed, 0 failed, 1 skipped: libjpeg62-turbo-dev and libspng-dev were not there, host-image.so is not built"
    exit 0
fi
python=$build/nn/python
for package in pillow:PIL numpy:numpy opencv-python-headless:cv2; do
    [ -d "$python/${package#*:}" ] ||
        python3 -m pip install --quiet --disable-pip-version-check --no-deps --target "$python" "${package%:*}" >&2 ||
        [ "$package" = opencv-python-headless:cv2 ] || {
        echo "FAILED install: ${package%:*} could not be had"
        echo "0 passed, 1 failed, 0 skipped"
        exit 1
    }
done
PYTHONPATH=$python exec python3 "$here/pictures.py" "$build/host-image.so" "$here/../../demo/food/model/samples"
