#!/bin/sh
# Show the demo: start ssvm-serve on an empty folder, deploy demo/'s pages and functions to it, call them with curl, print the URL, stay until Ctrl-C.
# Usage: demo/run.sh [--port N] [--once | --stay]   (--once: stop after the calls, the default without a terminal; --stay: do not)
# BUILD or SSVM_BUILD names the build folder.
# NN: the library that runs the network: litert, openvino, tensorflow or none. It is fetched into BUILD/nn when it is not there.
# MODEL and LABELS: files of another network and its labels, instead of the one that knows drawn food.
set -eu
cd "$(dirname "$0")/.."

die() {
    echo "demo/run.sh: $1" >&2
    exit 1
}
port=0
once=no
[ -t 1 ] || once=yes
while [ $# -gt 0 ]; do
    case $1 in
    --port) port=${2:?--port needs a number} && shift 2 ;;
    --port=*) port=${1#--port=} && shift ;;
    --once) once=yes && shift ;;
    --stay) once=no && shift ;;
    *) echo "usage: demo/run.sh [--port N] [--once | --stay]" >&2 && exit 2 ;;
    esac
done
build=${SSVM_BUILD:-${BUILD:-build}}
ssvm=$build/ssvm
# LiteRT is the lightest: 22 MB to fetch, 27 MB on disk, an answer 0.05 s after the start of a process, where OpenVINO takes 59 MB, 140 MB and 0.6 s. But it
# reads .tflite files only.
case ${MODEL:-x.tflite} in
*.tflite) nn=${NN:-litert} ;;
*) nn=${NN:-openvino} ;;
esac
case $nn in
litert | openvino | tensorflow | none) ;;
*) die "NN is litert, openvino, tensorflow or none, not '$nn'" ;;
esac
for program in "$ssvm" "$build/ssvm-serve" "$build/ssvm-control" "$build/ssvm-client"; do
    [ -x "$program" ] || die "$program is not there: run make first"
done
command -v curl >/dev/null || die "curl is missing (Debian: apt-get install curl)"
[ -z "${MODEL:-}" ] || [ -n "${LABELS:-}" ] || die "MODEL needs LABELS: a file with a label on each line"
[ -z "${LABELS:-}" ] || [ -n "${MODEL:-}" ] || die "LABELS needs MODEL: the network whose labels they are"
[ -z "${MODEL:-}" ] || [ "$nn" != none ] || die "MODEL needs a library that runs it: not NN=none"
for file in ${MODEL:+"$MODEL"} ${LABELS:+"$LABELS"}; do
    [ -f "$file" ] || die "there is no file '$file'"
done
case $nn:${MODEL:-} in
litert:?*.tflite | tensorflow:?*.pb | *:) ;;
litert:*) die "litert reads .tflite files, not '$MODEL': NN=openvino reads others" ;;
tensorflow:*) die "tensorflow reads .pb files, not '$MODEL': NN=openvino reads others" ;;
esac

scratch=$(mktemp -d)
pid=
stop() {
    [ -z "$pid" ] || kill "$pid" 2>/dev/null || true
    [ -z "$pid" ] || wait "$pid" 2>/dev/null || true
    rm -rf "$scratch"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# ---- The library

grant=none
library=
if [ "$nn" != none ]; then
    if [ -e "$build/nn/$nn/VERSION" ] || "$ssvm" nn install "$nn" --to "$build/nn" >"$scratch/install" 2>&1; then
        grant=$nn=$build/nn/$nn
        library=$("$ssvm" nn list --json --to "$build/nn" | sed -n "/\"backend\":\"$nn\"/s/.*\"version\":\"\([^\"]*\)\".*/\1/p")
    else
        sed 's/^/  /' "$scratch/install" >&2
        echo "demo/run.sh: $nn cannot be fetched, so the lunch page will show pictures without saying what is on them; the rest works" >&2
    fi
fi

# ---- The functions and the page, with what was chosen: a folder for each, with its ssvm.yaml

project() { # NAME MODULE: a folder that can be deployed
    mkdir "$scratch/$1"
    cp "$2" "$scratch/$1/$1.wasm"
    cp "demo/functions/$1.yaml" "$scratch/$1/ssvm.yaml"
}
for name in hello image wordcount; do
    project $name demo/functions/$name.wasm
done
if [ "$nn" = litert ]; then
    project food demo/functions/food-tflite.wasm
else
    project food demo/functions/food.wasm
fi
if [ -n "${MODEL:-}" ] && [ "$grant" != none ]; then
    # The function checks the graph's names, and starts from there with it.
    "$ssvm" snapshot --init use_model -o "$scratch/food/food.wasm" demo/functions/food.wasm "@$MODEL" "@$LABELS" ||
        die "the model '$MODEL' does not fit"
fi
mkdir "$scratch/pages"
cp -R demo/site "$scratch/pages/"
cp demo/pages.yaml "$scratch/pages/ssvm.yaml"
name=$(basename "${MODEL:-}" | tr -cd 'A-Za-z0-9._-')
inference=true
[ "$grant" != none ] || inference=false
printf '{"inference": %s, "library": "%s", "model": "%s"}\n' "$inference" "$library" "$name" >"$scratch/pages/site/demo.json"

# ---- The server

: >"$scratch/out" # it is looked into before the server has begun
mkdir "$scratch/root"
# The first picture loads the network, which takes seconds where the machine is busy.
"$build/ssvm-serve" "$scratch/root" --listen "127.0.0.1:$port" --log "$scratch/access.log" --nn "$grant" --call-time 60s >"$scratch/out" 2>&1 &
pid=$!
url=
for _ in $(seq 100); do
    url=$(sed -n 's/^ssvm-serve: \(http:[^ ]*\) serves.*/\1/p' "$scratch/out")
    [ -n "$url" ] && break
    kill -0 "$pid" 2>/dev/null || { cat "$scratch/out" >&2 && exit 1; }
    sleep 0.1
done
[ -n "$url" ] || die "the server does not start"

# ---- Deployed as anybody would

token=$scratch/root/.ssvm/admin-token
functions="hello image wordcount"
[ "$grant" = none ] || functions="$functions food" # it may only be deployed where a library is granted
for name in pages $functions; do
    echo "\$ ssvm deploy $name"
    "$ssvm" deploy --no-build --server "$url" --token-file "$token" "$scratch/$name" >"$scratch/deployed" || die "$name was not deployed"
    sed 's/^/  /' "$scratch/deployed"
done
timed() { curl -sS --fail-with-body --max-time 60 -w '    (%{http_code}, %{size_download} bytes, %{time_total} s)\n' "$@"; }
echo "\$ curl -d 'Jamstack' $url/f/hello/say"
timed -d 'Jamstack' "$url/f/hello/say" | sed '1s/^/  /'
echo "\$ curl --data-binary @demo/site/sample.png '$url/f/image/thumbnail?side=160' -o thumbnail.png"
timed --data-binary @demo/site/sample.png -H 'Content-Type: image/png' "$url/f/image/thumbnail?side=160" -o "$scratch/thumbnail.png"
# Width and height are in the file's first header.
dimensions=$(od -An -tu1 -j16 -N8 "$scratch/thumbnail.png" | awk '{print $3 * 256 + $4 "x" $7 * 256 + $8}')
echo "  thumbnail.png: $dimensions pixels"
[ "$dimensions" = 160x107 ] || die "not the picture that was asked for"
echo "\$ curl -d 'to be or not to be' $url/f/wordcount"
timed -d 'to be or not to be' "$url/f/wordcount" | sed '1s/^/  /'
if [ "$grant" != none ]; then
    hotdog=demo/food/model/samples/hotdog.jpg
    # classify says what is wrong where infer, the talk's function, only ends.
    timed --data-binary "@$hotdog" "$url/f/food/classify" >"$scratch/answer" || {
        cat "$scratch/answer" "$scratch/out" >&2
        die "the network gives no answer"
    }
    echo "\$ curl --data-binary @$hotdog $url/f/food/infer      # $library"
    timed --data-binary "@$hotdog" "$url/f/food/infer" >"$scratch/answer"
    sed '1s/^/  /' "$scratch/answer"
    [ -n "${MODEL:-}" ] || grep -q '"Hot dog"' "$scratch/answer" || die "that is no answer about a hot dog"
fi

echo "\$ ssvm usage --by=function"
"$ssvm" usage --by=function --server "$url" --token-file "$token" | sed 's/^/  /'
if [ "$once" = yes ]; then
    echo "the page was at $url/"
    exit 0
fi
echo
echo "The page: $url/     the dashboard: $url/dashboard (token: $(cat "$token"))     (Ctrl-C ends it)"
wait "$pid"
