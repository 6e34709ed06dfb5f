#!/bin/sh
# Show the demo: start ssvm-serve on demo/, call a function or two with curl, print the URL, stay until Ctrl-C.
# Usage: demo/run.sh [--port N] [--once]   (--once, or no terminal: stop after the calls; BUILD or SSVM_BUILD names the build folder)
set -eu
cd "$(dirname "$0")/.."

port=0
once=no
[ -t 1 ] || once=yes
while [ $# -gt 0 ]; do
    case $1 in
    --port) port=${2:?--port needs a number} && shift 2 ;;
    --port=*) port=${1#--port=} && shift ;;
    --once) once=yes && shift ;;
    *) echo "usage: demo/run.sh [--port N] [--once]" >&2 && exit 2 ;;
    esac
done
server=${SSVM_BUILD:-${BUILD:-build}}/ssvm-serve
[ -x "$server" ] || { echo "demo/run.sh: $server is not there: run make first" >&2 && exit 1; }
command -v curl >/dev/null || { echo "demo/run.sh: curl is missing (Debian: apt-get install curl)" >&2 && exit 1; }

scratch=$(mktemp -d)
"$server" demo --listen "127.0.0.1:$port" --log "$scratch/access.log" >"$scratch/out" 2>&1 &
pid=$!
stop() {
    kill "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
    rm -rf "$scratch"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

url=
for _ in $(seq 100); do
    url=$(sed -n 's/^ssvm-serve: \(http:[^ ]*\) serves.*/\1/p' "$scratch/out")
    [ -n "$url" ] && break
    kill -0 "$pid" 2>/dev/null || { cat "$scratch/out" >&2 && exit 1; }
    sleep 0.1
done
[ -n "$url" ] || { echo "demo/run.sh: the server does not start" >&2 && exit 1; }

timed() { curl -sS --fail-with-body --max-time 30 -w '    (%{http_code}, %{size_download} bytes, %{time_total} s)\n' "$@"; }
echo "\$ curl -d 'Jamstack' $url/f/hello/say"
timed -d 'Jamstack' "$url/f/hello/say" | sed '1s/^/  /'
echo "\$ curl --data-binary @demo/site/sample.png '$url/f/image/thumbnail?side=160' -o thumbnail.png"
timed --data-binary @demo/site/sample.png -H 'Content-Type: image/png' "$url/f/image/thumbnail?side=160" -o "$scratch/thumbnail.png"
# Width and height are in the file's first header.
dimensions=$(od -An -tu1 -j16 -N8 "$scratch/thumbnail.png" | awk '{print $3 * 256 + $4 "x" $7 * 256 + $8}')
echo "  thumbnail.png: $dimensions pixels"
[ "$dimensions" = 160x107 ] || { echo "demo/run.sh: not the picture that was asked for" >&2 && exit 1; }
echo "\$ curl -d 'to be or not to be' $url/f/wordcount"
timed -d 'to be or not to be' "$url/f/wordcount" | sed '1s/^/  /'

if [ "$once" = yes ]; then
    echo "the page was at $url/"
    exit 0
fi
echo
echo "The page: $url/     (Ctrl-C ends it)"
wait "$pid"
