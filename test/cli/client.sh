#!/usr/bin/env bash
# What talks to a server, with servers that are not there, do not know us, or answer rubbish. With a real one: test/serve/loop.py.
# shellcheck disable=SC1091,SC2016,SC2154 # variables of run.sh; commands for another shell
. "$here/lib.sh"
if [ ! -x "$(dirname "$SSVM")/ssvm-client" ]; then
    echo "ok ssvm-client was not built"
    exit 0
fi
unset SSVM_SERVER SSVM_TOKEN XDG_CONFIG_HOME
export HOME=$PWD
# Answers by the path of the URL, whatever is asked behind it.
cat >server.py <<'END'
import http.server, json, sys
def error(code, message):
    return json.dumps({"error": {"code": code, "message": message, "request_id": "r1"}}).encode()
ANSWERS = {
    "denied": (401, error("unauthorized", "no")),
    "scope": (403, error("forbidden", "it may only read")),
    "refused": (422, error("bad_manifest", "ssvm.yaml:3: unknown key 'x'\nssvm.yaml:4: 'gas' is a number")),
    "html": (200, b"<html>"),
    "other": (404, b"nothing here"),
    "colour": (400, error("bad", "\x1b[31mred\x07 \u009b1m")),
    "deep": (200, b"[" * 100000),
    "wrong": (200, b'{"functions": [3, {"name": 5, "targets": "x"}], "tenant": []}'),
    "used": (200, b'{"usage":[{"time":"t","tenant":"a","calls":3,"byte_seconds":541162.157}]}'),
    "good": (200, json.dumps({"tenant": "*", "functions": [{"name": "a", "url": "http://x/f/a", "keyed": False, "targets": [
        {"number": 2, "digest": "00", "weight": 9000, "aliases": ["live"]}, {"number": 3, "digest": "01", "weight": 1000, "aliases": []}]}]}).encode()),
}
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        name = self.path.split("/")[1]
        print(self.command, self.path, self.headers.get("Authorization"), file=log, flush=True)
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if name == "cut":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
            return
        if name == "redirect":
            self.send_response(302)
            self.send_header("Location", "http://127.0.0.1:%d/good/stolen" % self.server.server_port)
            self.end_headers()
            return
        status, body = ANSWERS[name]
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Request-Id", "r1")
        self.end_headers()
        self.wfile.write(body)
    do_PUT = do_POST = do_DELETE = do_GET
    def log_message(self, *args):
        pass
log = open("asked.txt", "w")
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
open("port.tmp", "w").write(str(server.server_port))
import os
os.rename("port.tmp", "port")
server.serve_forever()
END
python3 server.py &
server=$!
trap 'kill $server' EXIT
for _ in $(seq 1200); do [ -e port ] || sleep 0.05; done
url=http://127.0.0.1:$(cat port)
echo secret >token
at() { # PATH VERB...
    local path=$1 verb=$2
    shift 2
    "$SSVM" "$verb" --server "$url/$path" --token-file token "$@"
}
check "no server is said" 1 "" "which server? --server URL" "$SSVM" functions
check "not a URL" 1 "" "a server is http://HOST:PORT" "$SSVM" functions --server ftp://x
check "nobody there" 1 "" "Is 'ssvm serve' running there?" "$SSVM" functions --server http://127.0.0.1:1
check "an unknown name" 1 "" "cannot reach http://no.invalid" "$SSVM" functions --server http://no.invalid
check "no token" 1 "" "wants a token: --token-file" "$SSVM" functions --server "$url/denied"
check "a wrong token" 1 "" "does not know this token (from token)" at denied functions
check "a token that may not" 1 "" "may not do that: it may only read" at scope functions --tenant a
printf 'a\r\nX-Evil: 1' >two
check "a token of two lines" 1 "" "two has no token: one word" "$SSVM" functions --server "$url/good" --token-file two
check "an empty token" 1 "" "has no token" "$SSVM" functions --server "$url/good" --token-file /dev/null
check "no file of a token" 1 "" "'missing': No such file" "$SSVM" functions --server "$url/good" --token-file missing
check "not JSON" 1 "" "the answer is not JSON" at html functions --tenant a
check "too deep" 1 "" "the answer is not JSON" at deep functions --tenant a
check "no ssvm server" 1 "" "has no /v1" at other functions --tenant a
check "cut off" 1 "" "ssvm: $url/cut: " at cut functions --tenant a
check "values of other types" 0 "*" "" at wrong functions
check "no sequences for terminals" 1 "" "?[31mred?" at colour functions --tenant a
check "redirections are not followed" 1 "" "listing: " at redirect functions --tenant a
check "with the token" 1 "" "" grep -q stolen asked.txt
check "functions" 0 $'a: version 2 90.00% @live, version 3 10.00%  http://x/f/a\n' "" at good functions
check "as JSON" 0 "*" "" bash -c '"$@" | python3 -m json.tool' bash "$SSVM" functions --json --server "$url/good" --token-file token
check "usage" 0 $'time=t tenant=a calls=3 byte_seconds=541162.157 \n' "" at used usage --tenant a
check "usage as JSON: the server's digits" 0 "*" "" bash -c '"$@" | grep -q "\"byte_seconds\": 541162.157$"' bash "$SSVM" usage --json --server "$url/used" --token-file token --tenant a
check "the token is sent" 0 "*" "" grep -q "GET /good/v1/tenants/default/functions Bearer secret" asked.txt
check "names are encoded" 0 "*" "" at good functions --tenant 'a/../b?c'
check "all of them" 0 "*" "" grep -q "GET /good/v1/tenants/a%2F..%2Fb%3Fc/functions " asked.txt

mkdir project && printf 'name: a\nstatic: site\n' >project/ssvm.yaml && mkdir project/site && echo hi >project/site/index.html
check "reasons line by line" 1 "" "ssvm.yaml:4: 'gas' is a number" at refused deploy project --tenant a
check "a part of the requests" 0 "*" "" at good deploy project --split 10 --alias new
check "as the server counts" 0 "*" "" grep -q "PUT /good/v1/tenants/default/functions/a?weight=1000&alias=new " asked.txt
check "no requests" 0 "*" "" at good deploy project --split 0
check "in its word" 0 "*" "" grep -q "functions/a?switch=off " asked.txt
check "too much of them" 2 "" "a number of 0 to 100" at good deploy project --split 101
check "no site folder" 1 "" "cannot read 'gone'" bash -c 'mkdir p2 && printf "name: a\nstatic: gone\n" >p2/ssvm.yaml && "$0" deploy p2 --server "$1" --token-file token' "$SSVM" "$url/good"

check "login" 0 "*" "" "$SSVM" login "$url/good" --token-file token
line "600" "the file is ours alone" stat -c %a .config/ssvm/servers
check "from then on" 0 "*" "" "$SSVM" functions
check "another URL has no token there" 1 "" "wants a token" "$SSVM" functions --server "$url/denied"
check "the environment" 1 "" 'does not know this token (from $SSVM_TOKEN)' env SSVM_SERVER="$url/denied" SSVM_TOKEN=x "$SSVM" functions
check "login with a wrong token" 1 "" "does not know this token" env SSVM_TOKEN=x "$SSVM" login "$url/denied"
line "1" "is not remembered" grep -c . .config/ssvm/servers
chmod 644 .config/ssvm/servers
check "a file that others read" 1 "" "is not used: it must be yours alone" "$SSVM" functions
chmod 600 .config/ssvm/servers
check "usage of a verb" 2 "" "Try 'ssvm why --help'" "$SSVM" why
check "an unknown option" 2 "" "did you mean '--server'?" "$SSVM" logs --servr x
check "options behind operands" 1 "" "cannot reach http://127.0.0.1:1" "$SSVM" logs a -f --server http://127.0.0.1:1 --tenant a
check "help of a verb" 0 "*" "" "$SSVM" deploy --help
