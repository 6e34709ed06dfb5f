#!/usr/bin/env bash
# Backend plugins against the model's reference answers, and the verb `nn`. run.sh: with OpenVINO and LiteRT; run.sh all: with TensorFlow and
# ONNX Runtime too. SSVM_BUILD names the build folder; FOOD the folder of the model (expected.json).
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
build=${SSVM_BUILD:-$here/../../build}
build=$(realpath "$build")
food=${FOOD:-$here/../../demo/food/model}
export SSVM_BUILD=$build SSVM=${SSVM:-$build/ssvm}
backends="openvino litert"
[ "${1:-}" != all ] || backends="$backends onnxruntime tensorflow"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
passed=0 failed=0

count() { # NAME LOG RC: its `ok` and `FAILED` lines; a program that broke off has failed
    local good bad
    good=$(grep -c '^ok ' "$2")
    bad=$(grep -c '^FAILED ' "$2")
    [ "$3" = 0 ] || [ "$bad" != 0 ] || bad=1
    [ "$good" != 0 ] || bad=$((bad + 1))
    passed=$((passed + good)) failed=$((failed + bad))
    echo "$1: $good passed, $bad failed"
    [ "$bad" = 0 ] || grep -v '^ok ' "$2"
}
run() { # NAME COMMAND...
    local name=$1
    shift
    "$@" >"$scratch/log" 2>&1
    count "$name" "$scratch/log" $?
}

# shellcheck disable=SC2086
libraries=$("$here/libraries.sh" $backends) || {
    echo "FAILED install: the libraries could not be had"
    echo "0 passed, 1 failed, 0 skipped"
    exit 1
}
# Pillow decodes the pictures: not ours.
python=$build/nn/python
[ -d "$python/PIL" ] || python3 -m pip install --quiet --disable-pip-version-check --target "$python" pillow >&2
PYTHONPATH=$python python3 "$here/tensors.py" "$food" "$scratch/tensors" || failed=$((failed + 1))

model=$food/food_mobilenet_v2_224
golden() { # BACKEND MODEL
    run "golden $1 ${2##*.}" "$build/test/nn/nn-golden" "$build/nn-$1.so" "$libraries/$1" "$2" "$scratch/tensors" "$scratch/answer"
}
hostile() { # BACKEND MODEL COUNT
    run "hostile $1 ${2##*.}" "$build/test/nn/nn-hostile" "$build/nn-$1.so" "$libraries/$1" "$2" "$3"
}
types() { # BACKEND MODEL...
    local name=$1
    shift
    run "types $name" "$build/test/nn/nn-types" "$build/nn-$name.so" "$libraries/$name" "$@"
}
python3 "$here/identity.py" "$scratch/id" || failed=$((failed + 1))
for backend in $backends; do
    case $backend in
    openvino) golden "$backend" "${model}_frozen.pb" && golden "$backend" "$model.onnx" && golden "$backend" "$model.tflite" && hostile "$backend" "${model}_frozen.pb" 30 &&
        types "$backend" "$scratch"/id/*.onnx "$scratch"/id/*.pb "$here"/model/*.tflite ;;
    litert) golden "$backend" "$model.tflite" && hostile "$backend" "$model.tflite" 300 && types "$backend" "$here"/model/*.tflite ;;
    onnxruntime) golden "$backend" "$model.onnx" && hostile "$backend" "$model.onnx" 300 && types "$backend" "$scratch"/id/*.onnx ;;
    tensorflow) golden "$backend" "${model}_frozen.pb" && hostile "$backend" "${model}_frozen.pb" 60 && types "$backend" "$scratch"/id/*.pb ;;
    esac
done
old() { # a library that is too old is told as that
    local said
    said=$("$build/test/nn/nn-types" "$build/nn-onnxruntime.so" "$build/test/nn/nn-old.so" "$model.onnx")
    case $said in
    *"ONNX Runtime 1.2.0 is too old: 1.17 or newer is needed"*) echo "ok $said" ;;
    *) echo "FAILED $said" ;;
    esac
}
run old old
gpu() { # WANTED DEVICE VARIABLE...: what a build for CUDA says on a machine with such a driver
    local wanted=$1 device=$2 said
    shift 2
    said=$(env "LD_LIBRARY_PATH=$build/test/nn/driver" "$@" "$build/test/nn/nn-device" "$build/nn-onnxruntime.so" "$build/test/nn/nn-cuda.so" "$device")
    case $said in
    *"$wanted") echo "ok $device $*: $said" ;;
    *) echo "FAILED $device $*: $said, not $wanted" ;;
    esac
}
gpus() {
    gpu cpu cpu FAKE_GPUS=0
    gpu cpu,gpu cpu FAKE_GPUS=1
    gpu cpu,gpu gpu FAKE_GPUS=2
    gpu "it has no device 'gpu' here; it has: cpu" gpu FAKE_GPUS=0
    gpu "it has no device 'npu' here; it has: cpu,gpu" npu FAKE_GPUS=1
    gpu "could not use the gpu: libcublas is missing" gpu FAKE_GPUS=1 "FAKE_CUDA=libcublas is missing"
}
run gpus gpus
run install python3 "$here/install.py" "$libraries" "$backends"
run guests env SSVM_NN="$backends" PYTHONPATH="$python" "$here/guests/run.py"
echo "$passed passed, $failed failed, 0 skipped"
[ $failed = 0 ]
