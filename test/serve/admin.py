#!/usr/bin/env python3
"""The admin interfaces over HTTP: where they are and where not, who may what, hostile requests, and a control process that dies.

Usage: admin.py [NAME...]; SSVM_BUILD names the build folder. Ends with 'N passed, N failed, N skipped'.
"""
import json
import os
import re
import signal
import sys
import threading
import time

import test_server as base
from registry import Registry
from test_server import Client, best_of, guest, same, until

TESTS = []
PATHS = ("/v1/whoami", "/v1/openapi.json", "/dashboard", "/metrics")


def test(f):
    TESTS.append(f)
    return f


class Port:
    """Another address of a server's."""

    def __init__(self, port):
        self.port = port

    def get(self, path, fields=()):
        c = Client(self)
        try:
            return c.request("GET", path, fields=fields)
        finally:
            c.close()


@test
def an_address_of_their_own():
    with Registry("--admin", "127.0.0.1:0") as s:
        s.write("site/a.txt", "a")
        s.write("site/v1/whoami", "a file")
        token = ("Authorization", "Bearer " + s.token)
        out = open(s.dir + "/out").read()
        admin = Port(int(re.search(r"http://\S+:(\d+) is for operators", out).group(1)))
        for path in PATHS:
            same(admin.get(path, [token]).status, 200, path)
        for path in PATHS[1:]:
            same(s.get(path, fields=[token]).status, 404, path)
        same(s.get("/v1/whoami", fields=[token]).body, b"a file")
        same(s.get("/a.txt").body, b"a")
        same(admin.get("/a.txt").status, 404)
        same(admin.get("/f/x").status, 404)
        for port in (s, admin):
            same(port.get("/livez").status, 200)
            same(port.get("/readyz").status, 200)
            same(port.get("/api/executables/1").status, 404)


@test
def other_spellings_are_no_way_in():
    with Registry() as s:
        s.write("site/index.html", "start")
        token = ("Authorization", "Bearer " + s.token)
        for path in ("//v1/whoami", "/x/../v1/whoami", "/%761/whoami", "/./v1/whoami", "/v1%2fwhoami", "/V1/whoami", "/v1", "/dashboard/..", "/metrics/", "/metrics%3f"):
            r = s.get(path, fields=[token])
            assert r.status in (404, 400), (path, r.status)
            assert b"scopes" not in r.body and b"ssvm_requests" not in r.body, path
        # As a proxy would ask for it: the path of the absolute form counts.
        status, r = s.raw(("GET http://test/v1/whoami HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer %s\r\n\r\n" % s.token).encode())
        same(status, 200)


@test
def who_may_what():
    """Each route of the document, with each scope, without a token, and of another tenant: 401, 403, 404, or done."""
    with Registry() as s:
        s.ask("POST", "/v1/tenants", {"name": "other"}, status=201)
        document = s.ask("GET", "/v1/openapi.json")
        tokens = {}
        for scope in ("read", "invoke", "deploy", "state", "admin"):
            tokens[scope] = s.ask("POST", "/v1/tenants/default/tokens", {"name": scope, "scopes": [scope]}, status=201)["token"]
        checked = 0
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                if operation.get("security") == []:
                    continue
                needs = re.search(r"scope (\w+)", operation["description"])
                needs = needs.group(1) if needs else None
                operators = "all tenants" in operation["description"]
                for scope, token in tokens.items():
                    for tenant in ("default", "other"):
                        if tenant == "other" and "{tenant}" not in path:
                            continue
                        target = path.replace("{tenant}", tenant).replace("{function}", "f")
                        target = re.sub(r"\{\w+\}", "999999", target)
                        r = s.call(method.upper(), target, b"", [("Authorization", "Bearer " + token)])
                        may = not operators and tenant == "default" and (needs is None or scope in (needs, "admin"))
                        assert (r.status not in (401, 403)) == may, (method, target, scope, r.status, r.body[:200])
                        checked += 1
                target = re.sub(r"\{\w+\}", "999999", path)
                same(s.call(method.upper(), target, b"").status, 401, target)
        assert checked > 200, checked


@test
def tenants_see_their_own():
    with Registry() as s:
        s.ask("POST", "/v1/tenants", {"name": "other"}, status=201)
        mine = s.ask("POST", "/v1/tenants/default/tokens", {"name": "a", "scopes": ["admin"]}, status=201)["token"]
        other = s.ask("POST", "/v1/tenants/other/tokens", {"name": "a", "scopes": ["admin"]}, status=201)["token"]
        hello = open(guest("hello"), "rb").read()
        s.deploy("hello", hello, token=mine)
        s.deploy("hello", hello, tenant="other", token=other)
        same(s.call("POST", "/t/other/f/hello/say", b"you").body, b"hello, you")
        same(s.call("POST", "/f/hello/say", b"me").body, b"hello, me")
        same([t["name"] for t in s.ask("GET", "/v1/tenants", token=mine)["tenants"]], ["default"])
        same([f["tenant"] for f in s.ask("GET", "/v1/tenants/other/functions", token=other)["functions"]], ["other"])
        base.until("both are counted", lambda: len(s.ask("GET", "/v1/usage?by=function")["usage"]) == 2)
        for path in ("/v1/usage?by=function", "/v1/logs", "/v1/failures", "/metrics"):
            r = s.get(path, fields=[("Authorization", "Bearer " + other)])
            assert r.status == 200 and b'"default"' not in r.body, (path, r.body)
            same(s.get(path + ("&" if "?" in path else "?") + "tenant=default", fields=[("Authorization", "Bearer " + other)]).status, 403)
        s.ask("DELETE", "/v1/tenants/default", status=409)
        s.ask("DELETE", "/v1/tenants/other", token=other, status=403)
        s.ask("DELETE", "/v1/tenants/other", status=204)
        until("its functions are gone", lambda: s.call("POST", "/t/other/f/hello/say", b"x").status == 404)
        same(s.get("/v1/whoami", fields=[("Authorization", "Bearer " + other)]).status, 401)
        same(s.call("POST", "/f/hello/say", b"me").body, b"hello, me")


@test
def hostile_requests():
    with Registry() as s:
        token = "Authorization: Bearer %s\r\n" % s.token
        head = "PUT /v1/tenants/default/kv/a HTTP/1.1\r\nHost: a\r\n" + token
        for raw, status in (
            (head + "Content-Length: 999999999999\r\n\r\n", 413),
            (head + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx", 400),
            (head + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 204),
            (head + "Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
            (head.replace("PUT", "BREW") + "\r\n", 501),
            (head.replace("/kv/a", "/kv/" + "a" * 9000) + "\r\n", 414),
            (head.replace("/kv/a", "/kv/%00") + "Content-Length: 0\r\n\r\n", 404),
            (head.replace("/kv/a", "/kv/%") + "Content-Length: 0\r\n\r\n", 404),
            (head.replace("/kv/a", "/kv/a?ttl_s=-1") + "Content-Length: 0\r\n\r\n", 400),
            (head.replace("/kv/a", "/kv/a?ttl_s=1&ttl_s=2") + "Content-Length: 0\r\n\r\n", 400),
            (head + "If-Match: x\r\nContent-Length: 0\r\n\r\n", 400),
        ):
            same(s.raw(raw.encode())[0], status, raw[:200])
        # A module may be larger than other bodies, but not from anybody.
        large = "PUT /v1/tenants/default/functions/f HTTP/1.1\r\nHost: a\r\n%sContent-Length: 20000000\r\n\r\n"
        same(s.raw((large % "").encode())[0], 413)
        c = Client(s, 0.5)
        c.send((large % token).encode())
        try:
            raise AssertionError(c.reply().status)
        except TimeoutError:
            pass
        c.close()
        for field in ("Basic YTpi", "Bearer", "Bearer ", "bearer x", "Bearer " + "x" * 4000, "Bearer " + s.token + "x", "Bearer\t" + s.token):
            r = s.get("/v1/whoami", fields=[("Authorization", field)])
            same((field[:20], r.status), (field[:20], 401))
        # Scripts in names and values stay text: JSON, without sniffing.
        r = s.get("/v1/tenants/%3Cscript%3E/functions", fields=[("Authorization", "Bearer " + s.token)])
        same((r.status, r["content-type"], r["x-content-type-options"]), (404, "application/json", "nosniff"))
        assert "<script>" not in r.body.decode()
        deep = b"[" * 100000
        same(s.call("POST", "/api/ephemeral_storage", deep).status, 400)
        same(s.call("POST", "/v1/tokens", b'{"a":' + deep, [("Authorization", "Bearer " + s.token)]).status, 400)
        # Several on one connection, one of them with a body that nobody reads.
        c = Client(s)
        for _ in range(3):
            same(c.request("POST", "/v1/nothing", b"x" * 100000).status, 404)
            same(c.request("HEAD", "/v1/whoami", fields=[("Authorization", "Bearer " + s.token)]).status, 200)
        c.close()


@test
def owners_call_their_functions():
    with Registry() as s:
        s.deploy("hello", open(guest("hello"), "rb").read())
        s.deploy("env", open(guest("env"), "rb").read())
        s.ask("PUT", "/v1/tenants/default/functions/hello/key")
        path = "/v1/tenants/default/functions/%s/invoke?path=%s"
        token = ("Authorization", "Bearer " + s.token)
        until("the key is known", lambda: s.call("POST", "/f/hello/say", b"x").status == 401)
        r = s.call("POST", path % ("hello", "/say"), b"you", [token])
        same((r.status, r.body, r["content-type"]), (200, b"hello, you", "text/plain; charset=utf-8"))
        r = s.call("POST", path % ("hello", "/say") + "&version=1", b"you", [token])
        same((r.status, r.body), (200, b"hello, you"))
        same(s.call("POST", path % ("hello", "/say") + "&version=7", b"you", [token]).status, 404)
        same(s.call("POST", path % ("hello", "/nothing"), b"you", [token]).status, 404)
        same(s.call("POST", path % ("nothing", "/say"), b"you", [token]).status, 404)
        same(s.call("POST", path % ("hello", "say"), b"you", [token]).status, 400)
        body = os.urandom(3000000)
        r = s.call("POST", path % ("env", "/a%2Fb%3Fc%3Dd"), body, [token, ("X-Mine", "yes"), ("Content-Type", "text/x-y")])
        same(r.status, 200)
        head, _, rest = r.body.partition(b"\n\n")
        assert rest == body and b"HTTP_X_MINE=yes" in head and b"CONTENT_TYPE=text/x-y" in head, head
        assert s.token.encode() not in r.body and b"AUTHORIZATION" not in head, head
        job = s.ask("POST", "/v1/tenants/default/functions/hello/jobs?path=/say", b"later", status=202)["id"]
        until("the job is done", lambda: all(j["id"] != job for j in s.ask("GET", "/v1/tenants/default/jobs")["jobs"]))


@test
def many_wait_for_logs():
    """Who waits for lines of the log takes none of the threads that answer calls, and not all of those that answer operators."""
    with Registry("--workers", "1", "--calls", "2") as s:
        hello = open(guest("hello"), "rb").read()
        s.deploy("hello", hello)
        cursor = s.ask("GET", "/v1/logs")["cursor"]
        path, token = "/v1/logs?wait=%d&level=error&cursor=" + cursor, [("Authorization", "Bearer " + s.token)]
        waits = iter((3, 8, 20, 30))

        def many():
            done, wait = [], next(waits)
            waiting = [threading.Thread(target=lambda: done.append(s.get(path % wait, fields=token).status)) for _ in range(40)]
            for t in waiting:
                t.start()
            until("those too many are refused", lambda: len(done) >= 24)
            same(s.call("POST", "/f/hello/say", b"x").status, 200)
            s.ask("GET", "/v1/whoami")
            none = done.count(200) == 0
            for t in waiting:
                t.join()
            assert none, "answered only after those that wait"
            same((done.count(200), done.count(429)), (16, 24))

        best_of(4, many)
        s.ask("GET", path % 1)


@test
def control_dies():
    with Registry() as s:
        token = [("Authorization", "Bearer " + s.token)]
        s.ask("PUT", "/v1/tenants/default/kv/a", b"kept", status=204)
        for _ in range(3):
            for pid in s.processes("ssvm-control"):
                os.kill(pid, signal.SIGKILL)
            start, refused = time.time(), 0
            while True:
                same(s.get("/livez").status, 200)
                r = s.get("/v1/tenants/default/kv/a", fields=token)
                if r.status == 200:
                    break
                same((r.status, r["retry-after"]), (503, "1"), r.body)
                same(json.loads(r.body)["error"]["code"], "unavailable")
                refused += 1
                time.sleep(0.02)
            same(r.body, b"kept")
            assert time.time() - start < base.PATIENCE, time.time() - start


def main():
    base.TESTS[:] = TESTS
    return base.main()


if __name__ == "__main__":
    sys.exit(main())
