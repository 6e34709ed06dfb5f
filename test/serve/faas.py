#!/usr/bin/env python3
"""Every call of the API of 2020 (doc/format/api.md), as its clients made them: each of its requests, what they were answered, and what is refused today.

Usage: faas.py [NAME...]; SSVM_BUILD names the build folder. Ends with 'N passed, N failed, N skipped'.
"""
import hashlib
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import uuid

import test_server as base
from registry import Registry
from test_server import Server, guest, same

TESTS = []
ZERO = "00000000-0000-0000-0000-000000000000"
TEXT = ("Content-Type", "text/plain")
JSON = ("Content-Type", "application/json")
BYTES = ("Content-Type", "application/octet-stream")


def test(f):
    TESTS.append(f)
    return f


def module():
    """guests/faas.c: a module as the tools of 2020 made them."""
    path = os.path.join(base.GUESTS, "faas.wasm")
    if not os.path.exists(path):
        cc = shutil.which("clang-22") or shutil.which("clang")
        if not cc:
            raise base.Skip("clang is missing")
        source = os.path.join(base.HERE, "guests", "faas.c")
        subprocess.run([cc, "--target=wasm32", "-nostdlib", "-Wl,--no-entry", "-O2", "-o", path, source], check=True)
    return open(path, "rb").read()


class Faas(Registry):
    """A server with one function, deployed by POST /api/executables."""

    def __enter__(self):
        self.wasm = module()
        super().__enter__()
        try:
            self.operator = ("Authorization", "Bearer " + self.token)
            self.new = self.create(self.wasm)
            self.id = self.new["wasm_id"]
            self.admin = ("SSVM_Admin_Key", self.new["admin_key"])
        except BaseException:
            self.__exit__()
            raise
        return self

    def create(self, wasm, *fields):
        return self.api("POST", "/api/executables", wasm, [self.operator, BYTES, ("SSVM_Description", "a test"), *fields])

    def api(self, method, path, body=None, fields=(), status=200):
        """The JSON of an answer; errors have the word `error`, and nothing of how it looks elsewhere."""
        r = self.call(method, path, body.encode() if isinstance(body, str) else body, fields)
        same(r.status, status, "%s %s: %s" % (method, path, r.body[:300]))
        answer = json.loads(r.body)
        if status >= 400:
            assert isinstance(answer["error"], str), answer
        return answer

    def run(self, function, body, *fields, status=200, path="/api/run", id=None):
        r = self.call("POST", "%s/%d/%s" % (path, id or self.id, function), body, fields)
        same(r.status, status, "%s: %s" % (function, r.body[:300]))
        return r

    def form(self, function, parts, *fields, status=200):
        """parts: (name, value) or (name, value, file name, type)."""
        boundary = "----WebKitFormBoundary7MA4YWxkTrZu0gW"
        body = b""
        for name, value, *file in parts:
            head = 'Content-Disposition: form-data; name="%s"' % name
            if file:
                head += '; filename="%s"\r\nContent-Type: %s' % tuple(file)
            body += ("--%s\r\n%s\r\n\r\n" % (boundary, head)).encode() + value + b"\r\n"
        body += ("--%s--\r\n" % boundary).encode()
        return self.run(function, body, ("Content-Type", "multipart/form-data; boundary=" + boundary), *fields, status=status,
                        path="/api/multipart/run")

    def allow(self, *hosts):
        """Deploy the module again, with a manifest that lets it ask these hosts."""
        name = next(f["name"] for f in self.ask("GET", "/v1/tenants/default/functions")["functions"] if f["id"] == self.id)
        manifest = "name: %s\nfetch: on\ngrants:\n  allow-http: [%s]\n" % (name, ", ".join('"%s"' % h for h in hosts))
        self.deploy(name, self.wasm, manifest)


class Elsewhere(http.server.ThreadingHTTPServer):
    """Another server: says what it was asked; /image is a picture, /missing is not there."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen = []
        threading.Thread(target=self.serve_forever, daemon=True).start()
        self.host = "127.0.0.1:%d" % self.server_port

    def url(self, path):
        return "http://%s%s" % (self.host, path)

    def object(self, path, **more):
        return dict({"protocol": "http:", "hostname": "127.0.0.1", "port": self.server_port, "path": path}, **more)

    def __exit__(self, *a):
        self.shutdown()
        self.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.seen.append((self.command, self.path, dict(self.headers), body))
        reply = b"\x89PNG\r\n\x1a\n\0\xff" if self.path == "/image" else b"%s %s" % (self.command.encode(), body)
        self.send_response(404 if self.path == "/missing" else 201 if self.path == "/created" else 200)
        self.send_header("Content-Type", "image/png" if self.path == "/image" else "text/x-elsewhere")
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    do_GET = do_POST = do_PUT = answer

    def log_message(self, *a):
        pass


# ---- The documented calls, in their order


@test
def executables():
    with Faas() as s:
        same(s.new["wasm_sha256"], "0x" + hashlib.sha256(s.wasm).hexdigest())
        same((s.new["usage_key"], s.new["SSVM_Usage_Key"]), (ZERO, ZERO))
        same(uuid.UUID(s.new["admin_key"]).version, 4)
        same(s.new["SSVM_Admin_Key"], s.new["admin_key"])
        again = s.create(s.wasm, ("SSVM-Create-Usage-Key", "true"))
        same(uuid.UUID(again["usage_key"]).version, 4)
        assert again["wasm_id"] != s.id
        same(s.api("GET", "/api/executables", fields=[s.operator]), [{"wasm_id": s.id}, {"wasm_id": again["wasm_id"]}])
        # One object: by everybody, by its owner, and parts of it.
        public = s.api("GET", "/api/executables/%d" % s.id)
        same(public, {"wasm_id": s.id, "wasm_description": "a test", "wasm_sha256": s.new["wasm_sha256"], "wasm_state": ""})
        s.run("say", b"x", TEXT)
        whole = s.api("GET", "/api/executables/%d" % s.id, fields=[s.admin])
        same(sorted(whole), ["latest_execution_time_in_nanoseconds", "total_gas_consumed", "total_invocations", "wasm_callback_object",
                             "wasm_description", "wasm_id", "wasm_sha256", "wasm_state"])
        assert whole["total_invocations"] == 1 and whole["total_gas_consumed"] > 0, whole
        some = s.api("GET", '/api/executables/%d?filterBy=["wasm_as_buffer","full_usage_report"]' % s.id, fields=[s.admin])
        same(bytes(some["wasm_as_buffer"]["data"]), s.wasm)
        same(len(some["full_usage_report"]), 1)
        wrong = s.api("GET", '/api/executables/%d?filterBy=["nonsense"]' % s.id, status=400)
        assert "wasm_id" in wrong["valid_filters_include"], wrong
        # Another module under the same id.
        hello = open(guest("hello"), "rb").read()
        same(s.api("PUT", "/api/update_wasm_binary/%d" % s.id, hello, [s.admin, BYTES]),
             {"wasm_id": s.id, "wasm_sha256": "0x" + hashlib.sha256(hello).hexdigest()})
        same(s.run("say", b"you", TEXT).body, b"hello, you")
        same(s.api("DELETE", "/api/executables/%d" % s.id, fields=[s.admin]), {"wasm_id": s.id})
        s.api("GET", "/api/executables/%d" % s.id, status=404)
        s.run("say", b"you", TEXT, status=404)


@test
def runs():
    with Faas() as s:
        r = s.run("say", b"Second State FaaS", TEXT)
        same((r.body, r["content-type"], r["access-control-allow-origin"]), (b"hello Second State FaaS", "text/plain; charset=utf-8", "*"))
        r = s.run("reverse/bytes", b"\0\1\2\xff", BYTES)
        same((r.body, r["content-type"]), (b"\xff\2\1\0", "application/octet-stream"))
        same(s.run("echo", b'{"a": [1, 2]}', JSON).body, b'{"a": [1, 2]}')
        same(s.run("echo", b"", TEXT).body, b"")
        picture = b"\x89PNG\r\n\x1a\n" + bytes(1000)
        same(s.run("infer", picture, ("Content-Type", "image/png")).body, b"It is a PNG of 1008 bytes")
        same(s.run("infer", bytes(100000), BYTES).body, b"It is a file of 100000 bytes")


@test
def several_arguments():
    with Faas() as s:
        same(s.form("join", [("input_1", b"a"), ("input_2", b"b"), ("input_3", b"c")]).body, b"a|b|c")
        same(s.form("join", [("z_10", b"c"), ("y_9", b"b"), ("x_2", b"a")]).body, b"a|b|c")
        r = s.form("join/bytes", [("input_1", b"a", "a.txt", "text/plain"), ("input_2", b"\xff\0", "b.png", "image/png"), ("input_3", b"")])
        same((r.body, r["content-type"]), (b"a|\xff\0|", "application/octet-stream"))
        for parts in ([("input", b"a")], [("input_1", b"a"), ("other_1", b"b")], [("input_x", b"a")], [("_%d" % i, b"") for i in range(17)]):
            assert s.form("join", parts, status=400)
        s.run("join", b"--x\r\n", ("Content-Type", "multipart/form-data; boundary=x"), path="/api/multipart/run", status=400)
        s.run("join", b"{}", JSON, path="/api/multipart/run", status=400)


@test
def keys():
    with Faas() as s:
        path = "/api/keys/%d/usage_key" % s.id
        s.api("PUT", path, status=401)
        s.api("PUT", path, fields=[("SSVM_Admin_Key", ZERO)], status=401)
        key = s.api("PUT", path, fields=[s.admin])["SSVM_Usage_Key"]
        same(uuid.UUID(key).version, 4)
        s.run("say", b"x", TEXT, status=401)
        s.run("say", b"x", TEXT, ("SSVM_Usage_Key", ZERO), status=401)
        s.api("GET", "/api/state/%d" % s.id, status=401)
        s.api("GET", "/api/executables/%d" % s.id, status=401)
        for name in ("SSVM_Usage_Key", "SSVM-Usage-Key", "ssvm-usage_key"):
            same(s.run("say", b"x", TEXT, (name, key)).body, b"hello x")
        same(s.call("GET", "/api/state/%d" % s.id, fields=[("SSVM-Usage-Key", key)]).status, 200)
        new = s.api("PUT", path, fields=[("SSVM-Admin-Key", s.admin[1])])["SSVM_Usage_Key"]
        s.run("say", b"x", TEXT, ("SSVM_Usage_Key", key), status=401)
        s.run("say", b"x", TEXT, ("SSVM_Usage_Key", new))
        same(s.api("DELETE", path, fields=[s.admin]), {"SSVM_Usage_Key": ZERO})
        s.run("say", b"x", TEXT)


@test
def state_and_surroundings():
    with Faas() as s:
        around = dict(x.split("=", 1) for x in s.run("around", b"", TEXT).body.decode().splitlines()[1:])
        same(around["arg"], "", "the state, before there is one")
        same(around["wasm_id"], str(s.id))
        assert re.fullmatch("[0-9a-f]{32}", around["storage_key"]), around
        same((around["root"], around["write"], around["files"]), ("there", "refused", "none"))
        path = "/api/state/%d" % s.id
        s.api("PUT", path, b"true", [TEXT], status=401)
        same(s.api("PUT", path, "tr\u00fc".encode(), [s.admin, TEXT]), s.id)
        r = s.call("GET", path)
        same((r.status, r.body), (200, "tr\u00fc".encode()))
        base.until("workers know it", lambda: "arg=tr\u00fc".encode() in s.run("around", b"", TEXT).body)
        s.api("PUT", path, b"a\0b", [s.admin, TEXT], status=400)
        s.api("PUT", path, b"\xff", [s.admin, TEXT], status=400)
        other = s.create(s.wasm)["wasm_id"]
        assert around["storage_key"].encode() not in s.run("around", b"", TEXT, id=other).body


@test
def log():
    with Faas("--workers=1") as s:  # calls of several are counted in no order
        s.run("say", b"secret words", TEXT)
        s.run("fail", b"", TEXT, status=500)
        path = "/api/log/%d" % s.id
        s.api("GET", path, status=401)
        base.until("both are there", lambda: len(s.api("GET", path, fields=[s.admin])) == 2)
        rows = s.api("GET", path, fields=[s.admin])
        same(sorted(rows[0]), ["execution_object", "execution_timestamp", "log_id", "wasm_executable_id", "wasm_executable_state"])
        same([r["execution_object"]["status"] for r in rows], [500, 200])
        assert "secret words" not in json.dumps(rows)
        same([list(r) for r in s.api("GET", path + '?filterBy=["log_id"]', fields=[s.admin])], [["log_id"], ["log_id"]])


@test
def ephemeral_storage():
    with Faas() as s:
        key = s.api("POST", "/api/ephemeral_storage", '{"a": [1, null]}', [JSON])["key"]
        path = "/api/ephemeral_storage/" + key
        same(s.api("GET", path), {"value": {"a": [1, None]}})
        same(s.api("PUT", path, '"text"', [JSON]), {"key": key})
        same(s.api("GET", path), {"value": "text"})
        same(s.api("DELETE", path), {"key": key})
        same(s.api("GET", path, status=404), {"error": "Key not found"})
        s.api("PUT", path, "1", [JSON], status=404)
        s.api("DELETE", path, status=404)
        s.api("POST", "/api/ephemeral_storage", "{", [JSON], status=400)
        s.api("GET", "/api/ephemeral_storage", status=405)
        # Nobody fills it without end.
        statuses = [s.call("POST", "/api/ephemeral_storage", b"1", [JSON]).status for _ in range(110)]
        assert statuses[:90] == [200] * 90 and statuses[-1] == 429, statuses


# ---- Requests elsewhere


@test
def callbacks():
    with Elsewhere() as there, Faas("--allow-private", there.host) as s:
        # Not without a manifest that allows it.
        header = ("SSVM_Callback", json.dumps(there.object("/created")))
        s.run("say", b"x", TEXT, header, status=403)
        s.allow(there.host)
        r = s.run("say", b"x", TEXT, header, status=201)
        same((r.body, r["content-type"]), (b"POST hello x", "text/x-elsewhere"))
        method, path, fields, body = there.seen[-1]
        same((method, path, body), ("POST", "/created", b"hello x"))
        # The header, then the body's key, then the stored one; an empty one is none.
        stored = there.object("/stored", method="PUT", headers={"X-Mine": "yes", "Host": "evil", "Content-Length": "1"})
        same(s.api("PUT", "/api/callback/%d" % s.id, json.dumps(stored), [s.admin, JSON]), s.id)
        base.until("workers know it", lambda: s.run("say", b"x", TEXT).body == b"PUT hello x")
        method, path, fields, body = there.seen[-1]
        same((path, fields.get("X-Mine"), fields["Host"], fields["Content-Length"]), ("/stored", "yes", there.host, "7"))
        r = s.run("echo", json.dumps({"b": 1, "SSVM_Callback": there.object("/body"), "a": 2}).encode(), JSON)
        same((r.body, there.seen[-1][1]), (b'POST {"b":1,"a":2}', "/body"))
        r = s.run("echo", json.dumps({"SSVM_Callback": there.object("/body")}).encode(), JSON, ("SSVM-Callback", json.dumps(there.object("/header"))))
        same((r.body, there.seen[-1][1]), (b"POST {}", "/header"))
        before = len(there.seen)
        same(s.run("say", b"x", TEXT, ("SSVM_Callback", "{}")).body, b"hello x")
        same(s.api("PUT", "/api/callback/%d" % s.id, "{}", [s.admin, JSON]), s.id)
        base.until("workers know it", lambda: s.run("say", b"x", TEXT).body == b"hello x")
        assert len(there.seen) <= before + 1
        r = s.form("join", [("a_1", b"1"), ("a_2", b"2"), ("a_3", b"3"), ("ssvm_callback", json.dumps(there.object("/form")).encode())])
        same((r.body, there.seen[-1][1]), (b"POST 1|2|3", "/form"))
        # A function that sends on to itself ends.
        s.run("say", b"x", TEXT, ("SSVM_Callback", json.dumps(there.object("/a"))), ("SSVM-Hops", "3"))
        same(there.seen[-1][2]["SSVM-Hops"], "4")
        s.run("say", b"x", TEXT, ("SSVM_Callback", json.dumps(there.object("/a"))), ("SSVM-Hops", "8"), status=508)
        # A callback that cannot be made is answered, and not to us.
        down = dict(there.object("/"), port=1)
        s.run("say", b"x", TEXT, ("SSVM_Callback", json.dumps(down)), status=403)
        s.run("say", b"x", TEXT, ("SSVM_Callback", json.dumps({"hostname": "example.org"})), status=403)
        for bad in ('{"hostname":"a/b"}', '{"hostname":"u@b"}', '{"hostname":"127.0.0.1","path":"x"}', '{"hostname":"127.0.0.1","path":"/a b"}',
                    '{"hostname":"127.0.0.1","method":"A B"}', '{"hostname":"127.0.0.1","port":0}', '{"hostname":"127.0.0.1","headers":{"a b":"c"}}',
                    '{"hostname":"127.0.0.1","headers":{"a":"b\\r\\nc: d"}}', '{"hostname":"127.0.0.1","protocol":"file:"}', "[]", "x", '{"hostname":1}'):
            s.run("say", b"x", TEXT, ("SSVM_Callback", bad), status=400)
        for bad in ("[]", "1", '{"port":1}', '{"hostname":1}', '{"hostname":"a","more":1}', '{"hostname":"a","port":70000}'):
            s.api("PUT", "/api/callback/%d" % s.id, bad, [s.admin, JSON], status=400)
        s.api("PUT", "/api/callback/%d" % s.id, "{}", [JSON], status=401)


@test
def fetches():
    with Elsewhere() as there, Faas("--allow-private", there.host) as s:
        s.run("echo", b"x", TEXT, ("SSVM_Fetch", there.url("/a")), status=403)
        same(there.seen, [])
        s.allow(there.host)
        same(s.run("echo", b"x", TEXT, ("SSVM_Fetch", there.url("/a"))).body, b"GET ")
        same(s.run("echo", b"x", TEXT, ("SSVM-Fetch", json.dumps(there.object("/a", body="sent")))).body, b"POST sent")
        same(s.run("echo", json.dumps({"SSVM_Fetch": there.url("/b")}).encode(), JSON).body, b"GET ")
        same(s.run("reverse/bytes", b"", TEXT, ("SSVM_Fetch", there.url("/image"))).body, b"\xff\0\n\x1a\n\r" + b"GNP\x89")
        same(s.form("join", [("fetch_1", there.url("/c").encode()), ("input_2", b"b"), ("fetch_3", json.dumps(there.object("/d")).encode())]).body,
             b"GET |b|POST ")
        s.run("echo", b"", TEXT, ("SSVM_Fetch", there.url("/missing")), status=502)
        before = len(there.seen)
        for bad, status in (("http://127.0.0.1:1/", 403), ("http://169.254.169.254/", 403), ("http://localhost:%d/" % s.port, 403),
                            ("http://[::1]:%d/" % there.server_port, 403), ("file:///etc/passwd", 400), ("gopher://%s/" % there.host, 400), ("", 400)):
            r = s.call("POST", "/api/run/%d/echo" % s.id, b"", [TEXT, ("SSVM_Fetch", bad)])
            same((bad, r.status), (bad, status), r.body)
        same(len(there.seen), before)
        # Both: what is fetched goes through the function to the callback.
        r = s.run("say", b"", TEXT, ("SSVM_Fetch", there.url("/a")), ("SSVM_Callback", json.dumps(there.object("/b"))))
        same((r.body, there.seen[-1][1]), (b"POST hello GET ", "/b"))


# ---- What is refused


@test
def refusals():
    with Faas() as s:
        s.api("POST", "/api/executables", s.wasm, [BYTES], status=401)
        s.api("POST", "/api/executables", s.wasm, [BYTES, s.admin], status=401)
        s.api("POST", "/api/executables", b"", [BYTES, s.operator], status=400)
        s.api("POST", "/api/executables", b"no wasm", [BYTES, s.operator], status=422)
        s.api("GET", "/api/executables", status=401)
        for method, path in (("DELETE", "/api/executables/%d"), ("PUT", "/api/update_wasm_binary/%d"), ("DELETE", "/api/keys/%d/usage_key")):
            s.api(method, path % s.id, s.wasm, [BYTES], status=401)
            s.api(method, path % s.id, s.wasm, [BYTES, ("SSVM-Admin-Key", str(uuid.uuid4()))], status=401)
            s.api(method, path % 99999, s.wasm, [BYTES, s.admin], status=404)
            s.api(method, "/api/executables/%2e%2e", s.wasm, [BYTES, s.admin], status=404 if method == "DELETE" else 405)
        other = s.create(s.wasm)
        s.api("DELETE", "/api/executables/%d" % s.id, fields=[("SSVM_Admin_Key", other["admin_key"])], status=401)
        for path in ("1/say/more", "1", "x/say", "-1/say", "99999999999999999999/say", "1/say/bytes/bytes", "1//", "1/memory", "1/__wbindgen_mallocX"):
            r = s.call("POST", "/api/run/" + path, b"", [TEXT])
            assert r.status == 404 and isinstance(json.loads(r.body)["error"], str), (path, r.status, r.body)
        r = s.call("GET", "/api/run/%d/say" % s.id)
        same((r.status, r["allow"]), (405, "POST, OPTIONS"))
        r = s.call("OPTIONS", "/api/run/%d/say" % s.id, fields=[("Origin", "http://a"), ("Access-Control-Request-Method", "POST"),
                                                               ("Access-Control-Request-Headers", "content-type, ssvm_usage_key")])
        same((r.status, r["access-control-allow-origin"], r["access-control-allow-headers"]), (204, "*", "content-type, ssvm_usage_key"))
        same(s.run("say", b"{", JSON, status=400).status, 400)
        same(s.run("say", b'{"a":1,"a":2}', JSON, status=400).status, 400)
        s.run("fail", b"", TEXT, status=500)
        same(s.run("say", b"x", TEXT).body, b"hello x")
        # Guesses of keys are counted; the owner's own is not among them.
        statuses = [s.call("DELETE", "/api/executables/%d" % s.id, fields=[("SSVM_Admin_Key", str(uuid.uuid4()))]).status for _ in range(20)]
        assert statuses[-1] == 429, statuses


@test
def without_a_data_folder():
    with Server("--data", "none") as s:
        s.write("site/api/run/1/x", "a file")
        same(s.get("/api/run/1/x").body, b"a file")
        same(s.get("/api/executables").status, 404)


def main():
    base.TESTS[:] = TESTS
    return base.main()


if __name__ == "__main__":
    sys.exit(main())
