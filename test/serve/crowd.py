#!/usr/bin/env python3
"""Everything at the same time: files and functions over HTTP/1.1, HTTP/2 and TLS, bodies that go as they come, keys, the queue, deployments, functions that trap
and that run into their deadline, calls between functions, requests to another server, a tenant with a process of its own, what operators look at, and meanwhile
reloads and upgrades. Every client knows what it must be answered, and counts what it asked for; what the server keeps must be the same in the end.

What it is for is what threads do to each other: sanitized.sh runs it with the server's programs built for ThreadSanitizer.
Usage: crowd.py [NAME...]; SSVM_BUILD names the build folder, CROWD_SECONDS how long it goes on. Ends with 'N passed, N failed, N skipped'.
"""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import test_server as base
from isolation import Isolated, read, state
from registry import SPIN, say, wasm
from test_protocol import certificate, tool, trusting
from test_server import PATIENCE, Client, same, until

SECONDS = float(os.environ.get("CROWD_SECONDS", "15"))
T = "/v1/tenants/default"
TRAP = '(module (memory (export "memory") 1) (func (export "_start") unreachable))'
KEEPS = "name: chaos\ngrants:\n  kv: on\n  call: ['*']\n"
ASKS = "name: asks\ngrants:\n  kv: on\n  sql: on\n  secret: [KEY]\n  call: ['*']\n  allow-http: ['127.0.0.1:%d']\n"
TESTS = []


def test(f):
    TESTS.append(f)
    return f


class Secure(Client):
    def __init__(self, server):
        super().__init__(server)
        self.close()
        raw = base.socket.create_connection(("127.0.0.1", server.tls), PATIENCE)
        self.s = trusting().wrap_socket(raw, server_hostname="127.0.0.1")


class Crowd(Isolated):
    """The server, and what it serves; `there` is another server for its functions to ask."""

    def __init__(self, there):
        self.keys = tempfile.mkdtemp(prefix="ssvm-keys-")
        self.there = there
        cert, key = certificate(self.keys)
        # Shorter than what the loads leave between two calls of the tenant, so that its process comes and goes.
        super().__init__("--listen", "127.0.0.1:0", "--listen", "https://127.0.0.1:0", "--tls-cert", cert, "--tls-key", key, "--workers", "2", "--loops", "2",
                         "--isolated-idle", "200ms", "--allow-private", "127.0.0.1:%d" % there.port, "--call-time", "100s", "--log", self.keys + "/log")
        self.log = self.keys + "/log"

    def __enter__(self):
        super().__enter__()
        self.tls = int(until("its TLS address", lambda: re.search(r"https://\S+:(\d+) serves", open(self.dir + "/out").read())).group(1))
        self.write("site/a.txt", "abc")
        self.write("body", os.urandom(150000).hex())
        self.function("hello", "hello")
        self.deploy("greet", read("hello"))
        self.deploy("stream", read("stream"))
        self.deploy("chaos", read("chaos"), KEEPS)
        self.deploy("asks", self.module("asks"), ASKS % self.there.port)
        self.deploy("shown", say("version-0"))
        self.deploy("trap", wasm(TRAP))
        self.deploy("short", wasm(SPIN), "name: short\nlimits:\n  deadline: 50ms\n")
        return self

    def module(self, name):
        with open(state.compile_guest(self.keys, "guest", name, "-DSERVED"), "rb") as f:
            return f.read()

    def __exit__(self, *a):
        super().__exit__(*a)
        shutil.rmtree(self.keys, ignore_errors=True)


class Clients:
    """One thread for each thing that is asked; `counts` how often it was, `wrong` what the answers were that they must not be. `reloads`: workers change meanwhile."""

    def __init__(self, server, reloads=False):
        self.s, self.reloads, self.stop = server, reloads, False
        self.counts, self.wrong, self.threads = {}, [], []

    def start(self, f, new=None, pause=0.0):
        def run():
            client, number = new and new(self.s), 0
            while not self.stop:
                try:
                    closes = f(client, number) == "close"
                    number += 1
                    self.counts[f.__name__] = number
                except Exception as e:  # noqa: BLE001
                    self.wrong.append("%s %d: %r" % (f.__name__, number, e))
                    closes = True
                    time.sleep(0.1)
                if closes and client:
                    client.close()
                    client = new(self.s)
                time.sleep(pause)
            if client:
                client.close()

        self.threads.append(threading.Thread(target=run, daemon=True))
        self.threads[-1].start()

    def end(self):
        self.stop = True
        for t in self.threads:
            t.join(PATIENCE)
        same([t for t in self.threads if t.is_alive()], [])

    # What each asks, and what it must hear. "close": the server ends the connection, as it does in a reload.

    @staticmethod
    def call(client, method, path, body=None, fields=(), status=200):
        r = client.request(method, path, body, fields)
        assert r.status == status, (path, r.status, r.body[:300])
        return r

    def files(self, client, _):
        r = self.call(client, "GET", "/a.txt")
        same(r.body, b"abc")
        return r["connection"]

    def calls(self, client, n):
        r = self.call(client, "POST", "/f/hello/say", b"%d" % n)
        same(r.body, b"hello, %d" % n)
        return r["connection"]

    def deployed(self, client, n):
        r = self.call(client, "POST", "/f/greet/say", b"%d" % n)
        same(r.body, b"hello, %d" % n)
        return r["connection"]

    def over_tls(self, client, n):
        return self.deployed(client, n)

    def over_http2(self, _, n):
        """On one connection, many at a time."""
        out = subprocess.run([tool("h2load"), "-n20", "-c1", "-m5", "-H", "a: %d" % n, "http://127.0.0.1:%d/f/greet/say?name=x" % self.s.port], stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True, timeout=PATIENCE).stdout
        # A connection that is told to go does not begin the rest, and this client does not ask again.
        assert re.search(r"status codes: \d+ 2xx, 0 3xx, 0 4xx, 0 5xx" if self.reloads else "status codes: 20 2xx", out), out[-600:]

    def streams(self, _, n):
        how = ("--http1.1", "--http2-prior-knowledge")[n % 2]
        out = subprocess.run([tool("curl"), "-sS", "--max-time", str(PATIENCE), how, "-H", "Transfer-Encoding: chunked" if n % 4 == 0 else "X-A: b", "--data-binary", "@" + self.s.dir + "/body",
                              "http://127.0.0.1:%d/f/stream?echo" % self.s.port], stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout
        with open(self.s.dir + "/body", "rb") as f:
            assert out == f.read(), (how, n % 4, len(out), out[-200:])

    def alone(self, client, n):
        r = self.call(client, "POST", "/t/alone/f/hello/say", b"%d" % n)
        same(r.body, b"hello, %d" % n)
        return r["connection"]

    def counts_up(self, client, n):
        r = self.call(client, "POST", "/f/chaos", b"add sum")
        same(r.body, b"ok %d" % (n + 1))
        return r["connection"]

    def asks_another(self, client, n):
        r = self.call(client, "POST", "/f/asks", b"http\nGET\nhttp://127.0.0.1:%d/%d\n\n\n0\n" % (self.s.there.port, n))
        same(r.body, b"http: 200\nbody: GET /%d \n" % n)
        return r["connection"]

    def asks_inside(self, client, n):
        r = self.call(client, "POST", "/f/asks", b"call\nasks\n\nenv\vREQUEST_METHOD\n")
        same(r.body, b"call: 200\nbody: env: POST\n\n")
        return r["connection"]

    def traps(self, client, _):
        return self.call(client, "GET", "/f/trap", status=500)["connection"]

    def runs_out(self, client, _):
        return self.call(client, "GET", "/f/short", status=504)["connection"]

    def pushes(self, _, n):
        self.s.ask("POST", T + "/functions/chaos/jobs", b"add ran", [("Content-Type", "text/plain")], status=202)

    def deploys(self, _, n):
        self.s.deploy("shown", say("version-%d" % (n % 3)))
        if self.reloads:  # workers that come may have the table of a moment before
            until("the version is there", lambda: self.s.get("/f/shown").body == b"version-%d" % (n % 3))
        else:
            same(self.s.get("/f/shown").body, b"version-%d" % (n % 3))

    def looks(self, _, n):
        for path in ("/v1/usage?tenant=default", T + "/functions", "/v1/live", "/v1/failures", "/v1/logs"):
            self.s.ask("GET", path)

    def all(self):
        for f in (self.files, self.calls, self.deployed, self.counts_up, self.asks_another, self.asks_inside, self.traps, self.runs_out):
            self.start(f, Client)
        self.start(self.over_tls, Secure)
        self.start(self.alone, Client, pause=0.1)
        for f, pause in ((self.over_http2, 0), (self.streams, 0), (self.pushes, 0.1), (self.deploys, 0.5), (self.looks, 0.3)):
            self.start(f, pause=pause)


def reloads(s, seconds):
    """SIGHUP and SIGUSR2 in turns, each when the one before is done."""
    end, n = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        time.sleep(1)
        s.process.send_signal(signal.SIGUSR2 if n % 2 else signal.SIGHUP)
        n += 1
        until("it is reloaded", lambda: open(s.dir + "/out").read().count("ssvm-serve: reloaded\n") == n)
    return n


def judge(s, clients):
    same(clients.wrong[:5], [], "%d wrong" % len(clients.wrong))
    counts = clients.counts
    assert all(counts.get(f) for f in ("files", "calls", "alone", "deploys", "pushes", "over_tls", "over_http2", "streams")), counts
    total = int(s.ask("GET", T + "/kv/sum") or 0)
    same(total, counts["counts_up"])
    until("every job has run", lambda: (s.ask("GET", T + "/kv/ran") or 0) == counts["pushes"])

    def counted(function):
        rows = s.ask("GET", "/v1/usage?by=function&tenant=default&step=all")["usage"]
        return sum(r["calls"] for r in rows if r["function"] == function)

    for function, asked in (("trap", counts["traps"]), ("short", counts["runs_out"]), ("asks", counts["asks_another"] + 2 * counts["asks_inside"]),
                            ("chaos", counts["counts_up"] + counts["pushes"])):
        until("the ledger has the calls of " + function, lambda: counted(function) == asked)


@test
def all_at_once():
    with state.peer() as there, Crowd(there) as s:
        clients = Clients(s)
        clients.all()
        time.sleep(SECONDS)
        clients.end()
        print("    " + json.dumps(clients.counts))
        judge(s, clients)


@test
def all_at_once_with_reloads():
    with state.peer() as there, Crowd(there) as s:
        clients = Clients(s, True)
        clients.all()
        n = reloads(s, SECONDS)
        clients.end()
        print("    %d reloads and upgrades; %s" % (n, json.dumps(clients.counts)))
        judge(s, clients)


if __name__ == "__main__":
    base.TESTS[:] = TESTS
    sys.exit(base.main())
