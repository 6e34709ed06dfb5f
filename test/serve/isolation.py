#!/usr/bin/env python3
"""Tests of tenants with a process of their own (isolation 'process'): that all works there as anywhere, and that nothing is shared.

Usage: isolation.py [NAME...]; SSVM_BUILD names the build folder. Ends with 'N passed, N failed, N skipped'.
"""
import contextlib
import ctypes
import fcntl
import glob
import json
import mmap
import os
import pwd
import random
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import time

import test_server as base
from processes import Load, stand_still
from registry import SPIN, Registry, say, wasm
from test_server import PATIENCE, Client, Skip, guest, same, until

sys.path.insert(0, os.path.join(base.HERE, "..", "state"))
import lib as state  # noqa: E402

TESTS = []
NOISE_SEED, NOISE_PACKETS = int(os.environ.get("NOISE_SEED", "1")), int(os.environ.get("NOISE_PACKETS", "500"))
ROOT = os.path.join(base.HERE, "..", "..")
GRANTS = "grants:\n  kv: on\n  sql: on\n  secret: [KEY]\n  call: ['*']\n  allow-http: [example.org]\n"
ALONE = "/t/alone/f/"


def test(f):
    TESTS.append(f)
    return f


def read(name):
    with open(guest(name), "rb") as f:
        return f.read()


def output(s):
    return open(s.dir + "/out").read()


class Isolated(Registry):
    """A server with a tenant `alone`, which has a process of its own, and a tenant `other`, which has not; each has `hello`."""

    def __enter__(self):
        super().__enter__()
        if os.path.exists(self.dir + "/made"):  # it is started again
            return self
        self.write("made", "")
        self.ask("POST", "/v1/tenants", {"name": "alone", "isolation": "process"}, status=201)
        self.ask("POST", "/v1/tenants", {"name": "other"}, status=201)
        for tenant in ("alone", "other"):
            self.deploy("hello", read("hello"), tenant=tenant)
        return self

    def own(self):
        return self.processes("ssvm-isolated")

    def hello(self, tenant="alone", said=b"you"):
        r = self.call("POST", "/t/%s/f/hello/say" % tenant, said)
        return r.status, r.body


@test
def own_process():
    """Its functions run in a process of their own, which comes when it is needed and goes when it is not; the answers are the same."""
    with Isolated("--workers", "1", "--isolated-idle", "300ms") as s:
        same(s.own(), [])
        same(s.hello("other"), (200, b"hello, you"))
        same(s.own(), [])
        same(s.hello(), (200, b"hello, you"))
        first = s.own()
        same(len(first), 1)
        for i in range(20):
            same(s.hello(said=b"%d" % i), (200, b"hello, %d" % i))
        until("it has gone", lambda: s.own() == [])
        same(s.hello(), (200, b"hello, you"))
        assert s.own() != first
        assert "ended" not in output(s), output(s)



def curl(s, path, *options):
    return subprocess.run(["curl", "-s", "--max-time", str(PATIENCE), "http://127.0.0.1:%d%s" % (s.port, path), *options], stdout=subprocess.PIPE).stdout


@test
def bodies():
    """Requests and replies of all sizes and framings, over HTTP/1.1 and HTTP/2, that are whole or go while the function runs."""
    with Isolated("--workers", "1") as s:
        s.deploy("stream", read("stream"), tenant="alone")
        s.deploy("env", read("env"), tenant="alone")
        s.deploy("env", read("env"), tenant="other")
        for size in (1, 16384, 16385, 65536, 200000, 3000000):
            body = os.urandom(size // 2).hex().encode().ljust(size, b"x")
            same(s.hello(said=body), (200, b"hello, " + body), size)
            with open(s.dir + "/body", "wb") as f:
                f.write(body)
            for how in (["--http1.1"], ["--http1.1", "-H", "Transfer-Encoding: chunked"], ["--http2-prior-knowledge"]):
                for path, answer in (("hello/say", b"hello, " + body), ("stream?echo", body), ("stream?count", b"%d" % size)):
                    got = curl(s, ALONE + path, *how, "-X", "POST", "--data-binary", "@" + s.dir + "/body")
                    assert got == answer, (size, how, path, len(got), got[:100])
        for how in ("--http1.0", "--http1.1", "--http2-prior-knowledge"):
            same(curl(s, ALONE + "stream?events", how), b"".join(b"data: %d\n\n" % i for i in range(3)))
            same(len(curl(s, ALONE + "stream?big", how)), 8 << 20)
            same(curl(s, ALONE + "hello/none", how, "-o", "/dev/null", "-w", "%{http_code}"), b"404")
            # What a function sees of its client is the same, wherever it runs.
            mine, others = (re.sub(r"(?m)^(REQUEST_ID|REMOTE_PORT|SERVER_PORT|REQUEST_TIME)=.*\n", "",
                                   curl(s, "/t/%s/f/env/a%%20b?q=1" % t, how, "-H", "X-One: 1", "-H", "SSVM-Inner: 1").decode()).replace("/t/%s/" % t, "/t/T/")
                            for t in ("alone", "other"))
            same([x for x in mine.split("\n") if "INNER" not in x], [x for x in others.split("\n") if "INNER" not in x])
            assert "INNER" not in mine, mine
        head = curl(s, ALONE + "hello/say?name=x", "-I").decode()
        assert "200 OK" in head and "ontent-Length: 8" in head and "nner" not in head, head
        c = Client(s)
        for i in range(30):  # on one connection, in turn with another tenant's
            same(c.request("POST", "/t/%s/f/hello/say" % ("alone", "other")[i % 2], b"%d" % i).body, b"hello, %d" % i)
        c.close()
        same(len(s.own()), 1)


@test
def events_while_they_come():
    """More streams of events at once than there are threads for anything; who leaves is noticed."""
    with Isolated("--workers", "1", "--calls", "64", "--call-time", "60s") as s:
        s.deploy("stream", read("stream"), tenant="alone")
        clients = []
        for _ in range(40):
            c = Client(s)
            c.send(b"GET /t/alone/f/stream?forever HTTP/1.1\r\nHost: a\r\n\r\n")
            clients.append(c)
        for c in clients:
            got = b""
            while b"\r\n\r\n" not in got:
                piece = c.s.recv(65536)
                assert piece, got
                got += piece
            assert got.startswith(b"HTTP/1.1 200"), got
        same(s.hello(), (200, b"hello, you"))
        same(s.hello("other"), (200, b"hello, you"))
        for c in clients:
            c.close()

        def running():
            return [r for r in s.ask("GET", "/v1/live")["requests"] if r["function"] == "stream"]
        until("nobody runs for who has left", lambda: not running())


@test
def crash():
    """A request that crashes its process: it has a clear answer, the process is replaced, and another tenant's requests do not notice."""
    with Isolated("--workers", "2", "--role=test", env=dict(os.environ, SSVM_TEST_CRASH="/t/alone/f/crash/say")) as s:
        s.deploy("crash", read("hello"), tenant="alone")
        with Load(s, 4, path="/t/other/f/hello/say") as load:
            shared = s.workers()
            same(s.hello(), (200, b"hello, you"))
            for _ in range(5):
                load.runs()
                before = s.own()
                r = s.call("POST", "/t/alone/f/crash/say", b"x")
                same((r.status, r.code()), (502, "process_ended"))
                same(s.hello(), (200, b"hello, you"))  # though the worker may hand it to the process that ends
                assert s.own() != before
            for _ in range(3):
                before = s.own()
                os.kill(before[0], signal.SIGKILL)
                same(s.hello(), (200, b"hello, you"))
                assert s.own() != before
            # One that ends each process before its function begins is handed on, but not for ever.
            r = s.call("POST", "/t/alone/f/crash/say?soon", b"x")
            same((r.status, r.code()), (502, "process_ended"))
            same(s.hello(), (200, b"hello, you"))
        same(load.failed, [])
        same(s.workers(), shared)
        same(output(s).count("worker of tenant 'alone' (process"), 8 + 3)
        assert "was ended by signal 11" in output(s) or base.SANITIZED


def put(token):
    """A connection's token (serve/token.h), by its descriptor: the request may be taken."""
    with mmap.mmap(token, 4096) as m:
        m[0:8] = (1).to_bytes(8, sys.byteorder)


def take(token):
    """Was it there? Nobody else is about to take it."""
    with mmap.mmap(token, 4096) as m:
        there = m[0:8] != bytes(8)
        m[0:8] = bytes(8)
        return there


SYS_PIDFD_OPEN, SYS_PIDFD_GETFD = 434, 438


def take_fds(pid, numbers):
    """A process's descriptors, as our own."""
    libc = ctypes.CDLL(None, use_errno=True)
    pidfd = libc.syscall(SYS_PIDFD_OPEN, pid, 0)
    fds = [libc.syscall(SYS_PIDFD_GETFD, pidfd, n, 0) if pidfd >= 0 else -1 for n in numbers]
    if pidfd >= 0:
        os.close(pidfd)
    if -1 in fds:
        for fd in fds:
            if fd >= 0:
                os.close(fd)
        raise Skip("a process's descriptors cannot be had here")
    return fds


def connections(pid):
    """Those of workers to the process, as sockets of our own."""
    numbers = [int(n) for n in os.listdir("/proc/%d/fd" % pid) if os.readlink("/proc/%d/fd/%s" % (pid, n)).startswith("socket:")]
    streams = []
    for fd in take_fds(pid, numbers):
        sock = socket.socket(fileno=fd)
        if sock.type == socket.SOCK_STREAM:
            streams.append(sock)
        else:
            sock.close()
    return streams


def unread(pid):
    """Bytes that workers have sent to the process and that it has not read."""
    total = 0
    for sock in connections(pid):
        with sock:
            total += int.from_bytes(fcntl.ioctl(sock, termios.FIONREAD, bytes(4)), sys.byteorder)
    return total


@test
def handed_on():
    """A process that dies with requests that it has not begun: its successor has them, each once. What cannot be sent again is told as lost."""
    with Isolated("--workers", "1") as s:
        s.deploy("stream", read("stream"), tenant="alone")
        calls = 0

        def killed_after(c, n):
            """The process, which stood still, is killed when it had been sent so much."""
            until("it is sent", lambda: unread(pid) > n)
            os.kill(pid, signal.SIGKILL)

        for size in (1, 10, 20000, 200000):
            for path in ("hello/say", "stream?echo"):
                body = b"x" * size
                c = Client(s)
                same(c.request("POST", ALONE + "hello/say", b"x").status, 200)  # its loop has a connection that waits
                pid = s.own()[0]
                base.runner.stop(pid)
                chunked = path != "hello/say" and size < 20001
                c.send(b"POST /t/alone/f/%s HTTP/1.1\r\nHost: a\r\n%s\r\n\r\n" %
                       (path.encode(), b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % size))
                if chunked and size:
                    c.send(b"%x\r\n%s\r\n" % (size, body))
                elif size:
                    c.send(body)
                killed_after(c, min(size, 50000))
                if chunked:
                    c.send(b"0\r\n\r\n")
                r = c.reply()
                if size == 200000:
                    same((r.status, r.code()), (502, "process_ended"), path)
                else:
                    same((r.status, r.body), (200, body if path != "hello/say" else b"hello, " + body), (path, size))
                c.close()
                calls += 1 + (path == "hello/say" and r.status == 200)
        rows = {x["function"]: x["calls"] for x in s.ask("GET", "/v1/usage?by=function&tenant=alone&step=all")["usage"]}
        same(rows["hello"], calls)


class Impostor:
    """What answers at a tenant's door instead of its process, which stands still; until the supervisor finds that out, after some ten seconds."""

    def __init__(self, s):
        same(s.hello()[0], 200)
        self.pid = s.own()[0]
        base.runner.stop(self.pid)
        argument = [a for a in open("/proc/%d/cmdline" % self.pid).read().split("\0") if a.startswith("--role=")][0]
        self.door = socket.socket(fileno=take_fds(self.pid, [int(argument.split(":")[4])])[0])
        self.since = time.time()
        for c in connections(self.pid):
            c.shutdown(socket.SHUT_RDWR)
            c.close()

    def accept(self):
        """The next request's connection, and its token; the request is read."""
        def look():
            try:
                return socket.recv_fds(self.door, 1, 2)
            except BlockingIOError:
                return None
        _, fds, _, _ = until("somebody knocks", look, pause=0.001)
        c = socket.socket(fileno=fds[0])
        c.settimeout(PATIENCE)
        got = b""
        while b"\r\n\r\n" not in got:
            got += c.recv(65536)
        return c, fds[1], got

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.door.close()
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)


def told(s, answer, path=ALONE + "hello/say"):
    """What the client gets when its tenant's process acts so, by the connection, its token and how often it was asked; and how often that was."""
    while True:
        with Impostor(s) as i:
            c = Client(s)
            c.send(b"GET %s HTTP/1.1\r\nHost: a\r\n\r\n" % path.encode())
            asked = 0
            while True:
                there, token, request = i.accept()
                asked += 1
                again = answer(there, token, asked)
                os.close(token)
                there.close()
                if not again:
                    break
            try:
                r = c.reply()
            except EOFError:
                r = None
            c.close()
            if time.time() - i.since < 8:  # else the supervisor may have had a hand in it
                return r, asked, request


@test
def tokens():
    """Who takes the token may run the request: a process that ends without it is asked no more, the next one is, three in all; one that had it was the last."""
    with Isolated("--workers", "1") as s:
        def leave(c, token, asked):
            c.shutdown(socket.SHUT_RDWR)
            return asked < 3

        def begin_and_leave(c, token, asked):
            same(take(token), True)
            c.shutdown(socket.SHUT_RDWR)

        def leave_then_answer(c, token, asked):
            if asked < 3:
                c.shutdown(socket.SHUT_RDWR)
                return True
            same(take(token), True)
            c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nright")
        r, asked, _ = told(s, leave)
        same((r.status, r.code(), asked), (502, "process_ended", 3))
        r, asked, _ = told(s, begin_and_leave)
        same((r.status, r.code(), asked), (502, "process_ended", 1))
        r, asked, _ = told(s, leave_then_answer)
        same((r.status, r.body, asked), (200, b"right", 3))


@test
def ends_with_its_reply():
    """A process whose reply and end are heard of at the same moment: the next request is asked of another one."""
    with Isolated("--workers", "1") as s:
        with Impostor(s) as i:
            c = Client(s)
            for said in (b"a", b"b"):
                c.send(b"GET %shello/say HTTP/1.1\r\nHost: a\r\n\r\n" % ALONE.encode())
                there, token, _ = i.accept()
                stand_still(s.workers()[0])
                there.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n" + said)
                there.close()
                os.close(token)
                os.kill(s.workers()[0], signal.SIGCONT)
                same(c.reply().body, said)
            c.close()


@test
def hostile_replies():
    """A process in its guest's hands replies as it likes: what is no reply is told as such, and nobody else notices."""
    ok = b"HTTP/1.1 200 OK\r\n"
    wrong = [b"", b"\0" * 40000, b"HTTP/1.1 200 OK", b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
             b"HTTP/1.1 101 Switching\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 600 No\r\nContent-Length: 0\r\n\r\n", ok + b"\r\n", ok + b"A" * 20000,
             ok + b"Content-Length: 5\r\n\r\nfour", ok + b"Content-Length: \r\n\r\n", ok + b"Content-Length: -1\r\n\r\n", ok + b"Content-Length: 0x1\r\n\r\na",
             ok + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\na", ok + b"Content-Length: 99999999999999999999\r\n\r\na",
             ok + b"Content-Length: 999999999999999999\r\n\r\na", ok + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
             ok + b"Transfer-Encoding: gzip\r\n\r\n", ok + b"Content-Length: 1\r\n folded: 1\r\n\r\na", ok + b"Content-Length: 1\r\nA\x00B: c\r\n\r\na",
             ok + b"Content-Length: 1\r\nA: b\rc: d\r\n\r\na", ok + b"Content-Length: 1\r\nA: b\nc: d\r\n\r\na", ok + b"Content-Length: 1\r\nno colon\r\n\r\na"]
    with Isolated("--workers", "1") as s:
        worker = s.workers()
        for reply in wrong:
            def answer(c, token, asked):
                take(token)
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it may have seen enough
                    c.sendall(reply)
                    c.shutdown(socket.SHUT_WR)
            r, _, _ = told(s, answer)
            same((r.status, r.code()), (502, "process_ended"), reply[:80])

        def broken_off(c, token, asked):
            c.sendall(ok + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n")
        r, _, _ = told(s, broken_off)
        assert r is None or r.body != b"hello", "the client took it for whole"

        def says_too_much(c, token, asked):  # of itself for the log, of others nothing
            c.sendall(ok + b"SSVM-Inner: 18446744073709551615 1 1 1 %s\r\nServer: other\r\nContent-Length: 1\r\n\r\naHTTP/1.1 200 OK\r\n\r\n" % (b"x" * 100))
        r, _, _ = told(s, says_too_much)
        same((r.status, r.body, r["server"]), (200, b"a", "ssvm"))
        same(s.hello("other"), (200, b"hello, you"))
        same(s.hello(), (200, b"hello, you"))
        same(s.workers(), worker)


def spoil(token):
    """All that a process in its guest's hands can do to a token, so that the other side waits for it, or ends."""
    os.set_blocking(token, True)
    os.write(token, b"\xff" * 4096)
    for change in (lambda: os.ftruncate(token, 0), lambda: os.ftruncate(token, 1 << 20), lambda: fcntl.fcntl(token, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)):
        try:
            change()
        except PermissionError:
            continue
        raise AssertionError("a token's memory can be changed")
    fcntl.lockf(token, fcntl.LOCK_EX)


@test
def spoilt_tokens():
    """Neither side makes the other wait, or run what it should not, with the token that both have."""
    with Isolated("--workers", "1") as s:
        s.deploy("count", read("hello"), tenant="alone")
        same(s.hello(), (200, b"hello, you"))
        own = s.own()
        calls = 0
        with Load(s, 2, path="/t/alone/f/hello/say") as load:
            for there in (True, False):  # a worker in its guest's hands, and the process that it hands requests to
                with Channel(s, s.workers()[0], 0) as c:
                    pairs = [c.ask_for("ASK_ISOLATED", ("TENANT", b"alone"))[2] for _ in range(8)]
                    for token, end in pairs:
                        spoil(token)
                        (put if there else take)(token)
                        os.write(end, b"POST /t/alone/f/count/say HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nSSVM-Inner: 0123456789abcdef 192.0.2.1 1 80 0 1 0 0\r\n\r\nx")
                    for token, end in pairs:
                        with socket.socket(fileno=end) as to:
                            to.setblocking(True)
                            to.settimeout(PATIENCE)
                            got = to.recv(65536)
                        os.close(token)
                        same(got.split()[1] == b"200", there, got)  # what is not there to be taken does not run
                        calls += there
                    pid = c.pid
                until("there is another worker", lambda: s.workers() not in ([], [pid]))
            load.runs()
        same(s.own(), own)  # it has never hung
        rows = {x["function"]: x["calls"] - x["errors"] for x in s.ask("GET", "/v1/usage?by=function&tenant=alone&step=all")["usage"]}
        same(rows["count"], calls)

        def spoil_and_answer(c, token, asked):
            spoil(token)
            c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nright")
        worker = s.workers()
        request = b"POST /t/alone/f/hello/say HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nyou"
        with Impostor(s) as i:
            clients = [Client(s) for _ in range(8)]
            for c in clients:
                c.send(request)
            held = [i.accept() for _ in clients]
            for there, token, _ in held:
                spoil_and_answer(there, token, 1)
            same([c.reply().body for c in clients], [b"right"] * 8)
            # The connections wait for more, with tokens that nobody has taken.
            for c in clients:
                c.send(request)
            for there, token, _ in held:
                there.shutdown(socket.SHUT_RDWR)
                there.close()
                os.close(token)
            same(s.hello("other"), (200, b"hello, you"))
        for c in clients:
            same(c.reply().body, b"hello, you")  # by the next process
            c.close()
        same(s.workers(), worker)


@test
def hang():
    """A process whose loop stops is killed and replaced; its requests end, no other's."""
    with Isolated("--workers", "1", "--role=test", env=dict(os.environ, SSVM_TEST_HANG="/t/alone/f/hang/say")) as s:
        s.deploy("hang", read("hello"), tenant="alone")
        with Load(s, 2, path="/t/other/f/hello/say", pause=0.01) as load:
            shared = s.workers()
            r = s.call("POST", "/t/alone/f/hang/say", b"x")
            same((r.status, r.code()), (502, "process_ended"))
            until("it is replaced", lambda: s.hello() == (200, b"hello, you"))
        same((load.failed, s.workers()), ([], shared))
        assert "hangs: it is killed" in output(s)


@test
def limits():
    """Deadlines, keys, sizes, and how many processes there may be."""
    with Isolated("--workers", "1", "--isolated", "1", "--isolated-idle", "200ms") as s:
        s.deploy("spin", wasm(SPIN), "name: spin\nlimits:\n  deadline: 100ms\n", tenant="alone")
        r = s.get(ALONE + "spin")
        same((r.status, r.code()), (504, "deadline"))
        s.deploy("small", read("hello"), "name: small\nlimits:\n  body: 100\n  rate: 2\n", tenant="alone")
        same(s.call("POST", ALONE + "small/say", b"x" * 101).status, 413)
        same(curl(s, ALONE + "small/say", "-H", "Transfer-Encoding: chunked", "-d", "x" * 1000, "-o", "/dev/null", "-w", "%{http_code}"), b"413")
        until("the rate is kept", lambda: s.call("POST", ALONE + "small/say", b"x").status == 429, pause=0)
        s.ask("PUT", "/v1/tenants/alone/functions/hello/key")
        same(s.hello()[0], 401)
        s.ask("DELETE", "/v1/tenants/alone/functions/hello/key", status=204)
        same(s.hello()[0], 200)
        s.ask("POST", "/v1/tenants", {"name": "second", "isolation": "process"}, status=201)
        s.deploy("hello", read("hello"), tenant="second")
        with Load(s, 1, path="/t/alone/f/hello/say"):
            r = s.call("POST", "/t/second/f/hello/say", b"x")
            same((r.status, r.code(), r["retry-after"]), (503, "overloaded", "1"))
        until("there is room", lambda: s.hello("second")[0] == 200)
        same(s.ask("GET", "/v1/tenants/second")["isolation"], "process")
        same(s.ask("GET", "/v1/tenants/other")["isolation"], "shared")
        s.ask("PUT", "/v1/tenants/other", {"isolation": "none"}, status=400)


@test
def what_is_seen():
    """Ledger, log, `why`, live requests and the access log know its requests as anybody's."""
    with Isolated("--workers", "2") as s:
        s.deploy("spin", wasm(SPIN), "name: spin\nlimits:\n  deadline: 50ms\n", tenant="alone")
        for i in range(25):
            same(s.hello(said=b"%d" % i)[0], 200)
        r = s.get(ALONE + "spin")
        same(r.status, 504)
        rows = {x["function"]: x for x in s.ask("GET", "/v1/usage?by=function&tenant=alone&step=all")["usage"]}
        same((rows["hello"]["calls"], rows["spin"]["calls"], rows["spin"]["errors"]), (25, 1, 1))
        assert rows["hello"]["gas"] > 0
        why = until("why is told", lambda: [f for f in s.ask("GET", "/v1/failures?tenant=alone")["failures"] if r["x-request-id"] in f.values()])
        same((why[0]["tenant"], why[0]["function"], why[0]["status"]), ("alone", "spin", 504))

        def line():
            found = [x for x in map(json.loads, open(s.log)) if x.get("id") == r["x-request-id"]]
            return found and found[0]
        got = until("the access log has it", line)
        same((got["status"], got["function"], got["error"], got["run_ms"] >= 50), (504, "spin", "deadline", True))
        assert 'tenant="alone"' in s.get("/metrics", fields=[("Authorization", "Bearer " + s.token)]).body.decode()


@test
def state_and_triggers():
    """Keys and values, SQL, secrets, calls of functions, the queue, time tables and /api: as everywhere."""
    with Isolated("--workers", "2") as s:
        with open(state.compile_guest(s.dir, "guest", "guest-isolated", "-DSERVED"), "rb") as f:
            module = f.read()
        for name in ("a", "b"):
            s.deploy(name, module, "name: %s\n%s" % (name, GRANTS), tenant="alone")

        def words(*of, path=ALONE + "a"):
            r = s.call("POST", path, "\n".join(map(str, of)).encode() + b"\n")
            same(r.status, 200, r.body)
            return r.body.decode()
        s.ask("PUT", "/v1/tenants/alone/secrets/KEY", b"sesame", status=204)
        same(words("set", "k", "v", 0, "get", "k", "increment", "n", 40, "secret", "KEY"), "set: ok\nget: v\nincrement: 40\nsecret: sesame\n")
        same(words("sql", "create table t(a)", "."), "sql: 0 changes,\n")
        same(words("call", "b", "", "get\vk"), "call: 200\nbody: get: v\n\n")
        same(words("push", "b", "increment\vn\v2", 0)[:5], "push:")
        until("the queue's job is done", lambda: words("get", "n") == "get: 42\n")
        s.ask("POST", "/v1/tenants/alone/functions/a/jobs", b"increment\nn\n1\n", status=202)
        until("the operator's job is done", lambda: words("get", "n") == "get: 43\n")
        s.deploy("b", module, "name: b\n%striggers:\n  cron:\n    - schedule: every 1s\n      body: \"increment\\nc\\n1\\n\"\n" % GRANTS, tenant="alone")
        until("the time table's call is made", lambda: re.match(r"get: \d", words("get", "c")))
        r = s.call("POST", "/v1/tenants/alone/functions/a/invoke", b"get\nk\n", [("Authorization", "Bearer " + s.token)])
        same((r.status, r.body), (200, b"get: v\n"))
        number = s.ask("GET", "/v1/tenants/alone/functions/hello")["id"]
        r = s.call("POST", "/api/run/%s/say" % number, b"you")
        same((r.status, r.body), (200, b"hello, you"))
        same(len(s.own()), 1)
        rows = {x["function"]: x["calls"] for x in s.ask("GET", "/v1/usage?by=function&tenant=alone&step=all")["usage"]}
        assert rows["a"] > 5 and rows["b"] >= 3, rows


@test
def routes():
    """Routes, aliases, versions and static files of the tenant; files are no guest's, and need no process."""
    with Isolated("--workers", "1") as s:
        s.deploy("page", say("one"), "name: page\nroutes:\n  - /page\n  - path: /sub\n    host: a.example\nstatic:\n  dir: site\n  path: /files\n", tenant="alone",
                 files=[("index.html", b"static")])
        same(s.get("/files/index.html").body, b"static")
        same(s.own(), [])
        same(s.get("/page").body, b"one")
        same(curl(s, "/sub", "-H", "Host: a.example"), b"one")
        same(s.get("/sub").status, 404)
        first = s.ask("GET", "/v1/tenants/alone/functions/page/versions")["versions"][0]["digest"]
        s.deploy("page", say("two"), tenant="alone")
        same(s.get(ALONE + "page").body, b"two")
        same(s.get(ALONE + "page@" + first[:12]).body, b"one")
        same(s.get(ALONE + "page@" + "0" * 12).status, 404)
        s.ask("DELETE", "/v1/tenants/alone/functions/page", status=204)
        same(s.get(ALONE + "page").status, 404)


@test
def native_code():
    """It is compiled at deployment, for the tenant's own cache, before there is a process; which then runs it and compiles nothing."""
    if base.SANITIZED == "thread":
        raise Skip("with the thread sanitizer the server has no native code")
    with Isolated("--workers", "1") as s:
        cache = s.dir + "/.ssvm/cache/"

        before, others = images(cache + "tenant-alone/"), images(cache)
        assert before, "hello has no native code"
        s.deploy("page", say("native"), tenant="alone")
        mine = images(cache + "tenant-alone/")
        same((len(mine), images(cache), s.own()), (len(before) + 1, others, []))
        same(s.get(ALONE + "page").body, b"native")
        with open("/proc/%d/maps" % s.own()[0]) as f:
            assert cache + "tenant-alone/" in f.read(), "it is interpreted"
        for _ in range(20):
            same(s.get(ALONE + "page").body, b"native")
        same(images(cache + "tenant-alone/"), mine)
        # The same module of another tenant is another's native code.
        s.deploy("page", say("native"), tenant="other")
        same((images(cache + "tenant-alone/"), len(images(cache))), (mine, len(others) + 1))


def images(folder):
    return sorted(n for n in os.listdir(folder) if os.path.getsize(os.path.join(folder, n)) > 4096) if os.path.isdir(folder) else []


@test
def native_code_elsewhere():
    """With --cache DIR it is compiled at deployment all the same, where the process looks for it; and likewise when a tenant moves to a process."""
    with tempfile.TemporaryDirectory() as cache, Isolated("--workers", "1", "--cache", cache) as s:
        s.deploy("page", say("elsewhere"), tenant="alone")
        s.deploy("page", say("elsewhere"), tenant="other")
        s.deploy("page", say("second"), tenant="other")
        mine, others = cache + "/tenant-alone", cache + "/tenant-other"
        compiled = images(mine)
        same((len(compiled), len(images(cache)), s.own()), (2, 3, []))  # hello, page; of `other` both versions of that
        same(images(s.dir + "/.ssvm/cache") + images(s.dir + "/.ssvm/cache/tenant-alone"), [])

        def runs_compiled(tenant, answer, folder, wanted):
            pids = s.own()

            def look():  # until workers know of the process, they run it themselves
                same(s.get("/t/%s/f/page" % tenant).body, answer)
                return [p for p in s.own() if p not in pids]
            pid = until("it has a process", look)[0]
            with open("/proc/%d/maps" % pid) as f:
                assert folder in f.read(), "it is interpreted"
            for _ in range(20):
                same(s.get("/t/%s/f/page" % tenant).body, answer)
            same(images(folder), wanted)
        runs_compiled("alone", b"elsewhere", mine, compiled)
        same(images(others), [])
        s.ask("PUT", "/v1/tenants/other", {"isolation": "process"})
        moved = images(others)
        same(len(moved), 2)  # hello and the version that gets requests; the one before gets none
        runs_compiled("other", b"second", others, moved)
    with Isolated("--workers", "1", "--cache", "none") as s:
        same((s.hello(), images(s.dir + "/.ssvm/cache"), images(s.dir + "/.ssvm/cache/tenant-alone")), ((200, b"hello, you"), [], []))


@test
def setting_changes():
    """From shared to a process and back under load: no request fails; the modules are where their tenant is."""
    with Isolated("--workers", "2", "--isolated-idle", "200ms") as s:
        with Load(s, 4, path="/t/other/f/hello/say") as load:
            for _ in range(3):
                s.ask("PUT", "/v1/tenants/other", {"isolation": "process"})
                load.runs()
                until("it has a process", lambda: len(s.own()) == 1)
                s.ask("PUT", "/v1/tenants/other", {"limits": {}})
                same(s.ask("GET", "/v1/tenants/other")["isolation"], "process")
                s.ask("PUT", "/v1/tenants/other", {"isolation": "shared"})
                load.runs()
                until("it has none", lambda: s.own() == [])
        same(load.failed, [])


@test
def reload_and_drain():
    """SIGHUP under load, settings that change, the end of the server: no request is dropped, and nothing stays."""
    with Isolated("--workers", "2") as s:
        s.deploy("slow", read("stream"), tenant="alone")
        with Load(s, 4, path="/t/alone/f/hello/say") as load:
            for i in range(3):
                load.runs()
                before = s.own()
                s.process.send_signal(signal.SIGHUP)
                until("it is reloaded", lambda: output(s).count("ssvm-serve: reloaded\n") == i + 1)
                load.runs()
                until("there is another process", lambda: s.own() and not set(before) & set(s.own()))
            same(load.failed, [])
            control = s.processes("ssvm-control")
            os.kill(control[0], signal.SIGKILL)
            load.runs()
            until("control is back", lambda: s.processes("ssvm-control") not in ([], control))
            same(load.failed, [])
        c = Client(s)
        c.send(b"GET /t/alone/f/slow?events HTTP/1.1\r\nHost: a\r\n\r\n")
        got = c.s.recv(65536)
        s.process.send_signal(signal.SIGTERM)
        while b"\r\n0\r\n\r\n" not in got:
            piece = c.s.recv(65536)
            assert piece, got
            got += piece
        assert b"data: 2" in got, got
        c.close()
        same(s.process.wait(PATIENCE), 0)


@test
def upgrade():
    """SIGUSR2 under load: no request is dropped, and the new program's process takes over."""
    with Isolated("--workers", "1") as s:
        with Load(s, 4, path="/t/alone/f/hello/say") as load:
            load.runs()
            before = s.own()
            s.process.send_signal(signal.SIGUSR2)
            until("it is upgraded", lambda: "ssvm-serve: reloaded\n" in output(s))
            load.runs()
            until("there is another process", lambda: s.own() and not set(before) & set(s.own()))
        same(load.failed, [])


@test
def all_killed():
    """kill -9 of the whole server: what was answered is counted by the next one, for its tenant."""
    with Isolated("--workers", "1") as s:
        for i in range(50):
            same(s.hello(said=b"%d" % i)[0], 200)
        os.kill(s.process.pid, signal.SIGKILL)
        s.again()
        row = s.ask("GET", "/v1/usage?by=function&tenant=alone&step=all")["usage"][0]
        same(row["calls"], 50)
        same(s.hello(), (200, b"hello, you"))
        same(s.ask("GET", "/v1/usage?by=function&tenant=alone&step=all")["usage"][0]["calls"], 51)


# ---- Nothing is shared


@test
def nothing_of_others():
    """What the process has: channels, its ring, its door, connections of workers; no file of the server, no key, no other's memory."""
    with Isolated("--workers", "1", env=dict(os.environ, PGPASSWORD="sesame")) as s:
        same(s.hello(), (200, b"hello, you"))
        same(s.hello("other"), (200, b"hello, you"))
        pid = s.own()[0]
        assert pid not in s.workers()

        def descriptors():
            """None while the function is compiled, whose code comes in memory of its own."""
            found = []
            for fd in os.listdir("/proc/%d/fd" % pid):
                with contextlib.suppress(FileNotFoundError):
                    found.append(os.readlink("/proc/%d/fd/%s" % (pid, fd)))
            return None if any("ssvm-compile" in k for k in found) else found

        kinds = until("nothing is compiled", descriptors)
        rings = [k for k in kinds if "/rings/" in k or "ssvm-records" in k]
        for k in kinds:
            # Memory for a compiler that is just asked for is its own, too.
            if base.SANITIZED and k == s.dir + "/out":
                continue  # where it says what it finds
            assert k in ("/dev/null", s.dir + "/.ssvm/cache/tenant-alone", "/memfd:ssvm-compile (deleted)") or k.startswith(("socket:", "anon_inode:[event", "pipe:")) or k in rings, kinds
        for line in open("/proc/%d/maps" % pid):
            where = line.split(None, 5)[5:] and line.split(None, 5)[5].strip()
            if where and s.dir in where:
                assert "/.ssvm/rings/" in where and where.endswith("-alone") or "/.ssvm/cache/tenant-alone/" in where, line
            assert "ssvm-tickets" not in (where or "") and "ssvm-tally" not in (where or ""), line
        with open("/proc/%d/environ" % pid, "rb") as f:
            assert b"sesame" not in f.read()
        with open("/proc/%d/cmdline" % pid, "rb") as f:
            assert b"--database" not in f.read()
        status = open("/proc/%d/status" % pid).read()
        assert base.SANITIZED or re.search(r"Seccomp:\s+2", status) and re.search(r"NoNewPrivs:\s+1", status), status


def message(kinds, kind, *values):
    """A message of platform/message.h; values are (tag, bytes)."""
    names, tags = kinds
    return struct.pack("<HHQ", names.index(kind) + 1, 0, 7) + b"".join(struct.pack("<HI", tags.index(t) + 1, len(v)) + v for t, v in values)


def definitions():
    names, tags = [], []
    for what, name in re.findall(r"(?m)^(KIND|PUSH|ASK|TAG)\((\w+)", open(ROOT + "/src/platform/message.def").read()):
        (tags if what == "TAG" else names).append(name if what != "ASK" else "ASK_" + name)
    return names, tags


class Channel:
    """The channel to control of a process that stands still, in its guest's hands."""

    def __init__(self, s, pid, number=None):
        self.pid = pid
        argument = [a for a in open("/proc/%d/cmdline" % pid).read().split("\0") if a.startswith("--role=")][0]
        numbers = [int(n) for n in re.findall(r":(\d+)", argument)]
        base.runner.stop(pid)
        try:
            self.sock = socket.socket(fileno=take_fds(pid, [numbers[1 if number is None else number]])[0])
        except Skip:
            os.kill(pid, signal.SIGCONT)
            raise
        self.sock.settimeout(PATIENCE)
        self.kinds = definitions()
        self.supervised = number == 0  # it is the one to the supervisor, who kills whoever does not show that he lives

    def ask(self, kind, *values):
        """The answer: whether it is an error, its text; its descriptors are closed."""
        refused, data, fds = self.ask_for(kind, *values)
        for fd in fds:
            os.close(fd)
        return refused, data

    def ask_for(self, kind, *values):
        """With its descriptors."""
        if self.supervised:
            self.sock.send(message(self.kinds, "BEAT"))
        self.sock.send(message(self.kinds, kind, *values))
        while True:
            data, fds, _, _ = socket.recv_fds(self.sock, 1 << 17, 4)
            _, _, number = struct.unpack_from("<HHQ", data)
            if number == 7:
                return b"it is not for this worker" in data or b"no process has this" in data, data, fds
            for fd in fds:
                os.close(fd)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()
        with contextlib.suppress(ProcessLookupError):  # the watch may have been faster
            os.kill(self.pid, signal.SIGKILL)


@test
def forbidden_messages():
    """A process in its guest's hands asks control and the supervisor for what is another tenant's, or nobody's: nothing of it is answered."""
    with Isolated("--workers", "1") as s:
        for tenant in ("alone", "other"):
            s.ask("PUT", "/v1/tenants/%s/kv/k" % tenant, b"%s's" % tenant.encode(), status=204)
            s.ask("PUT", "/v1/tenants/%s/secrets/KEY" % tenant, b"%s's secret" % tenant.encode(), status=204)
        s.deploy("page", say("of other"), tenant="other")
        ready = {t: bytes.fromhex(s.ask("GET", "/v1/tenants/%s/functions/%s/versions" % (t, f))["versions"][0]["digest"]) for t, f in
                 (("alone", "hello"), ("other", "page"))}
        same(s.hello(), (200, b"hello, you"))
        with Channel(s, s.own()[0]) as c:
            mine, other = ("TENANT", b"alone"), ("TENANT", b"other")
            get = [("OP", b"get"), ("KEY", b"k")]
            refused, data = c.ask("KV", mine, *get)
            assert not refused and b"alone's" in data, data
            refused, data = c.ask("MODULE", mine, ("DIGEST", ready["alone"]))
            assert not refused and b"no such module" not in data, data
            _, data = c.ask("MODULE", mine, ("DIGEST", ready["other"]))
            assert b"no such module" in data, data
            for kind, *values in (("KV", other, *get), ("KV", *get), ("KV", ("OP", b"get"), ("KEY", b"k"), ("TENANT", b"default")), ("SECRET", other, ("NAME", b"KEY")),
                                  ("SQL", other, ("TEXT", b"select 1")), ("QUEUE_PUSH", other, ("FUNCTION", b"hello"), ("BODY", b"")), ("MODULE", other, ("DIGEST", ready["other"])),
                                  ("FETCH", mine, ("URL", b"http://example.org/"), ("ALLOW", b"example.org")), ("COMMAND", mine, ("NAME", b"sh"), ("ALLOW", b"sh")),
                                  ("SOCKET", ("OP", b"socket"), ("ALLOW", b"*:*")), ("FORWARD", ("METHOD", b"GET"), ("PATH", b"/v1/tenants")), ("EPHEMERAL", ("OP", b"get")),
                                  ("LOG", other, ("TEXT", b"words")), ("FAILURE", ("RECORD", bytes(512)))):
                refused, data = c.ask(kind, *values)
                assert refused and b"other's" not in data, (kind, values, data)
        until("it is replaced", lambda: s.hello() == (200, b"hello, you"))
        with Channel(s, s.own()[0], 0) as c:
            refused, data = c.ask("ASK_ISOLATED", ("TENANT", b"other"))
            assert refused, data
        assert "worker_refused" in json.dumps(s.ask("GET", "/v1/logs"))
        # A worker of all tenants has no business with the state of one that has a process of its own.
        with Channel(s, s.workers()[0]) as c:
            refused, data = c.ask("KV", ("TENANT", b"alone"), *get)
            assert refused and b"alone's" not in data, data
            refused, data = c.ask("KV", ("TENANT", b"other"), *get)
            assert not refused and b"other's" in data, data
            refused, data = c.ask("MODULE", ("TENANT", b"alone"), ("DIGEST", ready["alone"]))
            assert refused, data
            pid = c.pid
        until("there is another worker", lambda: s.workers() not in ([], [pid]))
        same(s.hello("other"), (200, b"hello, you"))


@test
def places_of_nobody():
    """A worker of all tenants in its guest's hands asks for processes of tenants that have none, or that there are none of: they take no place of those who have."""
    with Isolated("--workers", "2", "--isolated", "1") as s:
        with Channel(s, s.workers()[0], 0) as c:
            for name in [b"nobody-%d" % i for i in range(20)] + [b"other", b"default", b"alon", b"alonee", b"alone\0", b"", b"a\nisolated x", b"x" * 64]:
                refused, data = c.ask("ASK_ISOLATED", ("TENANT", name))
                assert refused, (name, data)
            assert c.ask("ASK_ISOLATED")[0]
            same(s.own(), [])
            same(s.hello(), (200, b"hello, you"))  # by the other worker
            same(len(s.own()), 1)
            same(c.ask("ASK_ISOLATED", ("TENANT", b"alone"))[0], False)
            s.ask("POST", "/v1/tenants", {"name": "late", "isolation": "process"}, status=201)
            until("it is known", lambda: b"too many tenants" in c.ask("ASK_ISOLATED", ("TENANT", b"late"))[1])
            s.ask("PUT", "/v1/tenants/late", {"isolation": "shared"})
            until("that it is not is known", lambda: c.ask("ASK_ISOLATED", ("TENANT", b"late"))[0])
            same(s.hello(), (200, b"hello, you"))
            assert not any("nobody" in name for name in os.listdir(s.dir + "/.ssvm/rings") + os.listdir(s.dir + "/.ssvm/cache"))
            pid = c.pid
        until("there is another worker", lambda: pid not in s.workers() and len(s.workers()) == 2)


def processors():
    return os.sysconf("SC_NPROCESSORS_ONLN")


class Compile:
    """Something for a compiler that does not end, or (`ends`) that is no module."""

    def __init__(self, ends=False):
        self.r, self.w = os.pipe()
        if ends:
            os.close(self.w)
            self.w = None
        self.null = os.open("/dev/null", os.O_WRONLY)

    def ask(self, c):
        n = struct.pack("<Q", 0)
        socket.send_fds(c.sock, [message(c.kinds, "ASK_COMPILE", ("NUMBER", n), ("COUNT", n), ("LIMIT", n), ("OP", b"none"))], [self.r, self.null, self.null])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for fd in (self.r, self.w, self.null):
            if fd is not None:
                os.close(fd)


def status_of(data):
    """The NUMBER of an answer about a compiler: its status as waitpid has it."""
    return struct.unpack("<q", data[-8:])[0]


@test
def compilers_that_do_not_end():
    """A worker in its guest's hands has compilers that never end: the others have theirs, and when it is gone so are they."""
    with Registry("--workers", "2") as s:
        first, second = s.workers()
        with Channel(s, second, 0) as other:
            with Compile() as endless, Compile(ends=True) as short:
                with Channel(s, first, 0) as c:
                    for _ in range(8):
                        endless.ask(c)
                    until("they run", lambda: len(s.processes("ssvm")) >= min(processors(), 8))
                    for _ in range(3):
                        short.ask(other)
                        data, _, _, _ = socket.recv_fds(other.sock, 1 << 17, 4)
                        assert status_of(data) > 0, data  # it has run, and found no module
                        other.sock.send(message(other.kinds, "BEAT"))
                        c.sock.send(message(c.kinds, "BEAT"))
                    assert len(s.processes("ssvm")) >= min(processors(), 8)
                until("they are gone", lambda: not s.processes("ssvm"))
        until("there are others", lambda: not {first, second} & set(s.workers()) and len(s.workers()) == 2)


@test
def compilers_at_their_limit():
    """Who compiles for too long is killed, and the worker hears of it."""
    with Registry("--workers", "1", "--role=test", env=dict(os.environ, SSVM_TEST_COMPILE="300")) as s:
        with Compile() as endless, Channel(s, s.workers()[0], 0) as c:
            endless.ask(c)
            data, _, _, _ = socket.recv_fds(c.sock, 1 << 17, 4)
            same(status_of(data), signal.SIGKILL)
            pid = c.pid
        until("there is another worker", lambda: s.workers() not in ([], [pid]))
        assert "a compiler (process " in output(s), output(s)


@test
def ring_without_a_head():
    """A worker in its guest's hands leaves a ring that is none: the next one in its place starts, and its requests are counted."""
    with Registry("--workers", "1") as s:
        s.deploy("hello", read("hello"))
        pid = s.workers()[0]
        same(s.call("POST", "/f/hello/say", b"you").status, 200)
        rings = glob.glob(s.dir + "/.ssvm/rings/*")
        if not rings:
            raise Skip("the rings are in memory here")
        until("it is counted", lambda: s.ask("GET", "/v1/usage?by=function&step=all")["usage"][0]["calls"] == 1)
        base.runner.stop(pid)
        for ring in rings:
            with open(ring, "r+b") as f:
                f.write(bytes(16))  # what it is, and how large
        os.kill(pid, signal.SIGKILL)
        until("there is another worker", lambda: s.workers() not in ([], [pid]))
        until("it serves", lambda: s.call("POST", "/f/hello/say", b"you").status == 200)
        until("it is counted", lambda: s.ask("GET", "/v1/usage?by=function&step=all")["usage"][0]["calls"] >= 2)


@test
def large_messages_to_the_supervisor():
    """What a worker says beside a packet is not read into the supervisor's memory."""
    def peak(s):
        return int(re.search(r"VmHWM:\s*(\d+) kB", open("/proc/%d/status" % s.process.pid).read()).group(1)) << 10

    with Isolated("--workers", "2") as s:
        before = peak(s)
        with Channel(s, s.workers()[0], 0) as c:
            fd = os.memfd_create("large")
            for size in (1 << 30, 256 << 20, 65536 + 1):
                os.ftruncate(fd, size)
                os.pwrite(fd, message(c.kinds, "ASK_ISOLATED", ("TENANT", b"alone"), ("BODY", b""))[12:-4] + struct.pack("<I", size - 17), 0)
                whole = message(c.kinds, "ASK_ISOLATED")
                socket.send_fds(c.sock, [whole[:2] + struct.pack("<H", 2) + whole[4:]], [fd])
                data, fds, _, _ = socket.recv_fds(c.sock, 1 << 17, 4)
                assert b"no process has this" in data and not fds, (size, data)
            os.ftruncate(fd, 0)  # the same, and short: it is a message
            os.pwrite(fd, message(c.kinds, "ASK_ISOLATED", ("TENANT", b"alone"))[12:], 0)
            socket.send_fds(c.sock, [whole[:2] + struct.pack("<H", 2) + whole[4:]], [fd])
            data, fds, _, _ = socket.recv_fds(c.sock, 1 << 17, 4)
            same(len(fds), 2, data)
            for each in fds + [fd]:
                os.close(each)
            assert peak(s) < before + (64 << 20), (before, peak(s))
            pid = c.pid
        until("there is another worker", lambda: pid not in s.workers() and len(s.workers()) == 2)


class Noise:
    """Packets to the supervisor that no worker of ours sends, by chance: kinds, values, lengths, flags, descriptors."""

    def __init__(self, channel, seed):
        self.c, self.random, self.waited = channel, random.Random(seed), []

    def descriptors(self):
        r, fds = self.random, []
        for _ in range(r.choice([0, 0, 0, 1, 2, 3, 3, 3, 4, 5, 8])):
            what = r.randrange(6)
            if what == 0:
                fds.append(os.open(r.choice(["/", "/proc/self", "/dev/null", "/dev/zero"]), r.choice([os.O_RDONLY, os.O_PATH])))
            elif what == 1:
                fds += os.pipe()
            elif what == 2:
                fds += [x.detach() for x in socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)]
            elif what == 3:
                fds.append(os.eventfd(0))
            else:
                fd = os.memfd_create("noise")
                os.write(fd, self.values())
                if r.random() < 0.2:  # as long as no message is, or one with nothing in it
                    os.truncate(fd, r.choice([0, 1, 1 << 20, 1 << 40]))
                fds.append(fd)
        while len(fds) > 8:
            os.close(fds.pop())
        return fds

    def number(self):
        return struct.pack("<Q", self.random.choice([0, 1, 2, 3, 7, 8, 255, 1 << 31, (1 << 31) - 1, (1 << 32) - 1, 1 << 32, 1 << 63, (1 << 64) - 1, self.random.getrandbits(64)]))

    def value(self):
        r = self.random
        return r.choice([self.number, self.number, lambda: r.choice([b"alone", b"other", b"none", b"cache", b"openvino", b"../../x", b"a/b", b"-", b"", b"x" * 64, b"x" * 65, b"y" * 9000, b"\0alone", b"%s%n", b"\xff\xfe"]),
                         lambda: r.randbytes(r.randrange(20))])()

    def values(self):
        r, tags = self.random, self.c.kinds[1]
        out = b"".join(struct.pack("<HI", r.choice([tags.index(t) + 1 for t in ("NUMBER", "COUNT", "LIMIT", "TENANT", "NAME", "OP")] + [0, r.randrange(65536), r.randrange(len(tags) + 2)]), len(v)) + v
                       for v in (self.value() for _ in range(r.randrange(8))))
        return out if r.random() < 0.9 else out[:r.randrange(len(out) + 1)] + r.randbytes(r.randrange(12))

    def packet(self):
        r, names = self.random, self.c.kinds[0]
        kind = r.choice([names.index(k) + 1 for k in ("ASK_COMPILE", "ASK_COMPILE", "ASK_ISOLATED", "ASK_LIBRARY", "LIBRARY_END", "READY", "BEAT", "HELLO", "SETTINGS", "WORKER", "DRAIN")] + [0, r.randrange(len(names) + 3), 65535])
        whole = struct.pack("<HHQ", kind, r.choice([0, 0, 0, 0, 1, 2, 2, 3, 65535, r.randrange(65536)]), r.choice([0, 7, r.getrandbits(64)])) + self.values()
        return whole if r.random() < 0.93 else whole[:r.randrange(20)]

    def send(self):
        fds = self.descriptors()
        try:
            socket.send_fds(self.c.sock, [self.packet()], fds)
        finally:
            for fd in fds:
                os.close(fd)
        while select.select([self.c.sock], [], [], 0)[0]:  # what is answered
            _, fds, _, _ = socket.recv_fds(self.c.sock, 1 << 17, 16)
            for fd in fds:
                os.close(fd)


@test
def noise_to_the_supervisor():
    """A worker in its guest's hands says to the supervisor whatever comes to its mind: it goes on, keeps nothing of it, and the others do not notice."""
    def links(s):
        return [os.readlink("/proc/%d/fd/%s" % (s.process.pid, fd)) for fd in os.listdir("/proc/%d/fd" % s.process.pid)]

    with Isolated("--workers", "2", "--isolated", "4", "--isolated-idle", "10s") as s:
        before = links(s)
        for turn in range(4):
            same(s.hello(), (200, b"hello, you"))
            same(s.hello("other"), (200, b"hello, you"))
            pid = s.own()[0] if turn % 2 else s.workers()[0]
            with Channel(s, pid, 0) as c:
                noise = Noise(c, NOISE_SEED + turn)
                for _ in range(NOISE_PACKETS):
                    noise.send()
            until("there is another worker", lambda: pid not in s.own() + s.workers() and len(s.workers()) == 2)
            same(s.process.poll(), None)
        s.process.send_signal(signal.SIGHUP)
        until("it is reloaded", lambda: "ssvm-serve: reloaded\n" in output(s))
        until("its functions answer", lambda: s.hello() == (200, b"hello, you"))

        def kept():
            return [f for f in links(s) if f not in before and ("noise" in f or f.startswith("pipe:") or f in ("/", "/dev/zero", "/proc/%d" % os.getpid()))]

        until("nothing of it is kept", lambda: not kept())


@test
def lies_of_a_worker():
    """A worker of all tenants in its guest's hands speaks to the process itself, and lies about the client: that is all that it can lie about."""
    with Isolated("--workers", "1") as s:
        s.deploy("small", read("hello"), "name: small\nlimits:\n  body: 100\n", tenant="alone")
        key = s.ask("PUT", "/v1/tenants/alone/functions/hello/key")["usage_key"]
        same(s.hello()[0], 401)
        # Control's own calls need no key, and come by workers all the same.
        token = [("Authorization", "Bearer " + s.token)]
        same(s.call("POST", "/v1/tenants/alone/functions/hello/invoke?path=/say", b"you", token).body, b"hello, you")
        s.ask("POST", "/v1/tenants/alone/functions/hello/jobs?path=/say", b"you", status=202)

        def calls():
            rows = {x["function"]: x["calls"] - x["errors"] for x in s.ask("GET", "/v1/usage?by=function&tenant=alone&step=all")["usage"]}
            return rows.get("hello")
        until("the queue's job is done", lambda: calls() == 2)

        def lie(path, flags=0, trigger=1, body=b"x", fields=b"", peer=b"192.0.2.1"):
            """On a connection of its own, which the supervisor gives to any worker."""
            with Channel(s, s.workers()[0], 0) as c:
                _, _, fds = c.ask_for("ASK_ISOLATED", ("TENANT", b"alone"))
                with socket.socket(fileno=fds[1]) as to:
                    put(fds[0])
                    to.setblocking(True)
                    to.settimeout(PATIENCE)
                    to.sendall(b"POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n%sSSVM-Inner: 0123456789abcdef %s 1 80 %d %d 0 0\r\n\r\n%s" %
                               (path, len(body), fields, peer, flags, trigger, body))
                    got = b""
                    while b"\r\n\r\n" not in got:
                        got += to.recv(65536)
                os.close(fds[0])
                worker = c.pid
            until("there is another worker", lambda: s.workers() not in ([], [worker]))
            return int(got.split()[1])
        hello = b"/t/alone/f/hello/say"
        for flags in (0, 1):  # nobody outside, or a client
            for trigger in range(3):
                same(lie(hello, flags, trigger), 401, (flags, trigger))
        for wrong in (b"", b"0" * 80, b"f" * 80, b"7fffffffffffffff" + b"0" * 64):
            same(lie(hello, fields=b"SSVM-Pass: %s\r\n" % wrong), 401, wrong)
        same(lie(hello, 1, fields=b"SSVM-Usage-Key: %s\r\n" % key.encode()), 200)
        same(lie(b"/t/other/f/hello/say"), 404)  # another tenant's functions are not there
        same(lie(b"/f/hello/say"), 404)
        same(lie(b"/t/alone/f/none/say"), 404)
        same(lie(b"/v1/tenants", 1), 405)  # nor is control: a path of files, of which there are none
        same(lie(b"/t/alone/f/small/say"), 200)  # as any client's: it has no key
        same(lie(b"/t/alone/f/small/say", body=b"x" * 101), 413)  # the process knows the limits
        same(lie(b"/t/alone/f/small/say", trigger=99), 400)
        same(lie(b"/t/alone/f/small/say", peer=b"nowhere"), 400)
        same(calls(), 3)


# ---- Inference


GRANT_NN = "name: infer\ngrants:\n  nn: on\n"
WIRE_BYTES, WIRE_TEXT, WIRE_PATH = 6552, 408, 2456  # struct sv_nn_wire of host/nn/wire.h, and where its members are


class Inferring(Isolated):
    """With the fake backend of test/nn, and a function `infer` of each tenant. The workers of all tenants have it in processes of theirs, too."""

    def __init__(self, *options, **more):
        if not os.path.exists(os.path.join(base.BUILD, "nn-fake.so")):
            raise Skip("the fake backend is not built")
        super().__init__("--workers", "1", "--nn", "fake", *options, **more)
        self.folders = set()

    def __enter__(self):
        made = os.path.exists(self.dir + "/made")
        super().__enter__()
        for tenant in () if made else ("alone", "other"):
            self.deploy("infer", read("infer"), GRANT_NN, tenant=tenant)
        return self

    def infer(self, words="", tenant="alone", query="", status=200):
        r = self.call("POST", "/t/%s/f/infer%s" % (tenant, query), words.encode())
        same(r.status, status, r.body)
        return r.body.decode()

    def libraries(self):
        """Their processes; `folders` has where those that were seen may write."""
        pids = self.processes("ssvm-nn")
        for pid in pids:
            with contextlib.suppress(OSError), open("/proc/%d/environ" % pid) as f:
                self.folders.update(re.findall(r"TMPDIR=([^\0]+)", f.read()))
        return pids

    def left(self):
        return sorted(f for f in self.folders if os.path.exists(f))

    def told(self, tenant="alone"):
        """What the host's log has of the tenant's inferences."""
        return json.dumps(self.ask("GET", "/v1/logs?tenant=%s" % tenant))


@test
def inference():
    """The same results and refusals as in the workers of all tenants; in a process of the library for each session at work, which ends with the tenant's."""
    with Inferring("--nn-isolate", "--call-time", "60s") as s:
        same(s.infer(), "run: 0\noutput: 32 1 3 5 7 9 11 13 15\nsum: 4 28\n")
        own = s.own()
        same(len(s.libraries()), 1)
        for words in ("", "cost=77", "run-fail", "odd-shape", "load-fail", "huge=300000", "in=2", "load-crash", "run-crash", "run-exit", "cost=9999999999"):
            for query in ("", "?3"):
                same(s.infer(words, query=query), s.infer(words, "other", query), words)
        same(s.own(), own)  # a library's crash is that of one run
        until("the log tells why", lambda: "its process ended" in s.told() and "told to fail" in s.told())
        # And whose it was: the tenant's log, and that of the workers of all tenants.
        same({x.get("function") for x in s.ask("GET", "/v1/logs?tenant=alone")["lines"] if x["event"] == "function_host"}, {"infer"})
        lines = [x for x in s.lines() if x.get("event") == "function_host"]
        same({(x.get("tenant"), x["function"]) for x in lines}, {("other", "infer")})
        assert any("told to fail" in x["message"] for x in lines), lines
        # A deadline ends the run, though the library does not listen; and so does the client.
        s.deploy("infer", read("infer"), GRANT_NN + "limits:\n  deadline: 300ms\n", tenant="alone")
        for _ in range(3):
            there = set(s.libraries())
            r = s.call("POST", ALONE + "infer", b"sleep=100000 stubborn")
            same((r.status, r.code()), (504, "deadline"))
            until("the run's process is gone", lambda: set(s.libraries()) <= there)
        # A small memory limit counts the model in both.
        for tenant in ("alone", "other"):
            s.deploy("infer", read("infer"), GRANT_NN + "limits:\n  memory: 4MiB\n", tenant=tenant)
            same(s.infer("cost=1000000", tenant), s.infer("", tenant))
            same(s.infer("cost=5000000", tenant), "no session\n")
        same(s.own(), own)
        assert base.SANITIZED or re.search(r"Seccomp_filters:\s+2\n", open("/proc/%d/status" % own[0]).read()), "its jail is wider with --nn"
        os.kill(own[0], signal.SIGKILL)
        until("its libraries end with it", lambda: s.libraries() == [])
        same(s.infer(), s.infer("", "other"))
        same((len(s.libraries()), len(s.folders) > 1), (1, True))
    until("nothing of them is left", lambda: not s.left())


@test
def inference_over_time():
    """In the workers of all tenants, whose libraries are in them: the reply comes at the deadline, though the library goes on."""
    with Inferring() as s:
        s.deploy("infer", read("infer"), GRANT_NN + "limits:\n  deadline: 300ms\n", tenant="other")
        begun = time.monotonic()
        r = s.call("POST", "/t/other/f/infer", b"sleep=20000 stubborn")
        same((r.status, r.code()), (504, "deadline"))
        assert time.monotonic() - begun < 19, "the reply waited for the library"
        same(s.infer("", "other"), "run: 0\noutput: 32 1 3 5 7 9 11 13 15\nsum: 4 28\n")


@test
def inference_of_pictures():
    """LiteRT, against what TensorFlow says of pictures (expected.json); the library is in a process of the tenant's, and nowhere else."""
    folder = os.path.join(base.BUILD, "nn", "litert")
    if not os.path.isdir(folder):
        raise Skip("LiteRT is not in the build folder: food.py fetches it")
    model = os.path.join(ROOT, "demo/food/model")
    with open(model + "/expected.json") as f:
        samples = json.load(f)["samples"][:4]
    with Isolated("--workers", "1", "--nn", "litert=" + folder, "--call-time", "60s") as s:
        s.deploy("food", read("food-tflite"), "name: food\ngrants:\n  nn: on\n", tenant="alone", query="?native=off")
        for one in samples:
            with open(os.path.join(model, one["file"]), "rb") as f:
                r = s.call("POST", ALONE + "food/classify", f.read())
            same(r.status, 200, r.body)
            answer = json.loads(r.body)
            same((answer["label"], answer["confidence"]), (one["top1"]["label"], one["confidence"]), one["file"])
            assert abs(answer["probability"] - one["top1"]["probability"]) <= one["tolerance"], (one["file"], answer)
        mapped = {}
        for pid in s.own() + s.processes("ssvm-nn"):
            with open("/proc/%d/maps" % pid) as f:
                mapped[pid] = folder in f.read()
        same(mapped, {**{pid: False for pid in s.own()}, **{pid: True for pid in s.processes("ssvm-nn")}})
        same(len(mapped), 2)


@test
def inference_is_nobody_elses():
    """Each tenant's libraries are its own, whoever else has the same model; they end with its process, and no other's do."""
    with Inferring("--isolated-idle", "60s") as s:
        s.ask("POST", "/v1/tenants", {"name": "second", "isolation": "process"}, status=201)
        s.deploy("infer", read("infer"), GRANT_NN, tenant="second")
        answer = s.infer()
        first, first_own = s.libraries(), s.own()
        same(len(first), 1)
        same(s.infer("", "second"), answer)
        both = s.libraries()
        same((len(both), set(first) <= set(both)), (2, True))
        second = [p for p in both if p not in first]
        for pid in both:
            with open("/proc/%d/maps" % pid) as f:
                assert "nn-fake" in f.read()
            status = open("/proc/%d/status" % pid).read()
            assert re.search(r"Seccomp:\s+2", status) and re.search(r"NoNewPrivs:\s+1", status), status
        same(s.infer("escape"), "run: 1\n")
        has_landlock = ctypes.CDLL(None).syscall(444, None, 0, 1) > 0
        until("it tells what it could", lambda: ("could: nothing" if has_landlock else "could: files write") in s.told())
        os.kill(first_own[0], signal.SIGKILL)
        until("they end with it", lambda: set(s.libraries()) == set(second))
        same((s.infer("", "second"), set(s.libraries())), (answer, set(second)))
        s.process.send_signal(signal.SIGUSR2)  # another program takes over what there is
        until("it is upgraded", lambda: "ssvm-serve: reloaded\n" in output(s))
        until("the process before has gone, and its library", lambda: not set(second) & set(s.libraries()))
        same(s.infer("", "second"), answer)
        pids = s.libraries()
        same(len(pids), 1)
        os.kill(s.process.pid, signal.SIGKILL)
        until("they end with the server", lambda: not os.path.exists("/proc/%d" % pids[0]))
        s.again()
    for folder in s.left():  # of what was killed as a whole
        os.rmdir(folder)


@test
def inference_as_another_user():
    """The library is the server's user's, as its folder is; what it left there goes, too."""
    if os.geteuid() != 0:
        raise Skip("needs root")
    s = Inferring("--user", "nobody")
    nobody = pwd.getpwnam("nobody")
    os.chown(s.dir, nobody.pw_uid, nobody.pw_gid)
    with s:
        same(s.infer("run-crash"), "run: 1\n")
        answer = s.infer()
        same({os.stat("/proc/%d" % p).st_uid for p in s.libraries() + s.own()}, {nobody.pw_uid})
        made = s.left()
        same([os.stat(f).st_uid for f in made], [nobody.pw_uid])
        os.makedirs(made[0] + "/of/a")
        for folder in ("", "/of", "/of/a"):
            with open(made[0] + folder + "/file", "w"):
                pass
        for folder in ("/of", "/of/a"):
            os.chown(made[0] + folder, nobody.pw_uid, nobody.pw_gid)
        os.kill(s.own()[0], signal.SIGKILL)
        until("it is removed", lambda: not os.path.exists(made[0]))
        same(s.infer(), answer)
        s.libraries()
    until("nothing of it is left", lambda: not s.left())


@test
def hostile_inference():
    """A process in its guest's hands has libraries started and ended as it likes: its own alone, so many, and what it tells them opens nothing."""
    with Inferring("--isolated-idle", "60s") as s:
        s.ask("POST", "/v1/tenants", {"name": "second", "isolation": "process"}, status=201)
        s.deploy("infer", read("infer"), GRANT_NN, tenant="second")
        s.infer("", "second")
        theirs, second_own = s.libraries(), s.own()
        same(s.hello(), (200, b"hello, you"))
        own = [p for p in s.own() if p not in second_own][0]
        # A worker of all tenants has its libraries itself.
        with Channel(s, s.workers()[0], 0) as c:
            _, data, fds = c.ask_for("ASK_LIBRARY", ("NAME", b"fake"))
            assert not fds and b"no such backend" in data, data
            pid = c.pid
        until("there is another worker", lambda: s.workers() not in ([], [pid]))
        with Channel(s, own, 0) as c:
            for name in (b"", b"litert", b"../fake", b"fake\0", b"fake.so", b"f" * 200, b"fake,fake", b"Fake"):
                _, data, fds = c.ask_for("ASK_LIBRARY", ("NAME", name))
                assert not fds and b"no such backend" in data, (name, data)
            _, data, (fd,) = c.ask_for("ASK_LIBRARY", ("NAME", b"fake"))
            mine = until("it is started", lambda: [p for p in s.libraries() if p not in theirs])
            same(len(mine), 1)
            # It is confined before it hears anything; and the library is the server's to name.
            until("it is confined", lambda: re.search(r"Seccomp:\s+2", open("/proc/%d/status" % mine[0]).read()))
            with socket.socket(fileno=fd) as to:
                to.settimeout(PATIENCE)
                ask = bytearray(WIRE_BYTES)
                struct.pack_into("<IiI", ask, 0, 1, 0, 1)
                ask[WIRE_TEXT:WIRE_TEXT + 4] = b"none"  # a device that is not there, and a library likewise
                ask[WIRE_PATH:WIRE_PATH + 6] = b"absent"
                to.send(ask)
                got = to.recv(1 << 16)
                same(struct.unpack_from("<i", got, 4)[0], 0, got[WIRE_TEXT:WIRE_TEXT + 100])
                assert got[WIRE_TEXT:].startswith(b"Fake 1.0\0"), got[WIRE_TEXT:WIRE_TEXT + 100]
                to.send(b"nonsense")
                same(to.recv(1 << 16), b"")
            until("it has ended", lambda: set(s.libraries()) == set(theirs))
            # So many of one tenant, whoever asks for more; its others go on.
            kept, numbers = [], []
            for i in range(40):
                _, data, fds = c.ask_for("ASK_LIBRARY", ("NAME", b"fake"))
                assert len(fds) == (i < 32), (i, data)
                kept += fds
                if fds:
                    at = data.index(struct.pack("<HI", c.kinds[1].index("NUMBER") + 1, 8)) + 6
                    numbers.append(data[at:at + 8])
            until("they are there", lambda: len(s.libraries()) - len(theirs) == 32)
            for n in range(64):  # numbers of anybody's
                c.sock.send(message(c.kinds, "LIBRARY_END", ("NUMBER", struct.pack("<Q", n))))
            until("its own are ended", lambda: set(s.libraries()) == set(theirs))
            refused, starts = 0, 0
            for _ in range(300):
                _, data, fds = c.ask_for("ASK_LIBRARY", ("NAME", b"fake"))
                for fd in fds:
                    os.close(fd)
                starts += len(fds)
                refused += not fds
            assert refused > 0 and starts > 0, (starts, refused)
            for fd in kept:
                os.close(fd)
        until("what it had ends with it", lambda: set(s.libraries()) == set(theirs))
        same(s.infer(), s.infer("", "second"))
        same(set(theirs) <= set(s.libraries()), True)


if __name__ == "__main__":
    base.TESTS[:] = TESTS
    sys.exit(base.main())
