#!/usr/bin/env python3
"""Tests of a real ssvm-serve on a free port: files, functions, hostile clients, overload, reload, end.

Usage: test_server.py [NAME...]; SSVM_BUILD names the build folder. Ends with 'N passed, N failed, N skipped'.
"""
import json
import os
import random
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD = os.environ.get("SSVM_BUILD", os.path.join(ROOT, "build"))
SERVE = os.path.join(BUILD, "ssvm-serve")
PATIENCE = 180  # seconds that anything may take on a busy machine: the bound where nothing is measured
TESTS = []
SANITIZED = os.environ.get("SSVM_SANITIZED", "")  # how the programs are: sanitized.sh
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(ROOT, "test"))
import runner  # noqa: E402
from runner import Skip  # noqa: E402, F401


def test(f):
    TESTS.append(f)
    return f


def same(got, wanted, what=""):
    assert got == wanted, "%s: %r, expected %r" % (what, got, wanted)


# ---- The server and its clients


class Reply:
    def __init__(self, status, fields, body):
        self.status, self.fields, self.body = status, fields, body

    def __getitem__(self, name):
        values = [v for k, v in self.fields if k == name.lower()]
        return values[0] if values else None

    def all(self, name):
        return [v for k, v in self.fields if k == name.lower()]

    def code(self):
        return json.loads(self.body)["error"]["code"]


class Client:
    """One connection. Reads replies strictly: by Content-Length, or in chunks."""

    def __init__(self, server, timeout=PATIENCE):
        self.s = socket.create_connection(("127.0.0.1", server.port), timeout)
        self.s.settimeout(timeout)
        self.buf = b""

    def send(self, data):
        self.s.sendall(data)
        return self

    def fill(self):
        data = self.s.recv(1 << 16)
        if not data:
            raise EOFError("closed")
        self.buf += data

    def reply(self, head_only=False):
        while b"\r\n\r\n" not in self.buf:
            self.fill()
        head, self.buf = self.buf.split(b"\r\n\r\n", 1)
        lines = head.decode("latin1").split("\r\n")
        m = re.fullmatch(r"HTTP/1\.1 (\d\d\d) [^\r\n]+", lines[0])
        assert m, lines[0]
        fields = [tuple(x.split(": ", 1)) for x in lines[1:]]
        fields = [(k.lower(), v) for k, v in fields]
        status = int(m.group(1))
        if ("transfer-encoding", "chunked") in fields:
            return Reply(status, fields, b"" if head_only else self.chunks())
        length = [v for k, v in fields if k == "content-length"]
        assert len(length) == (0 if status in (100, 204, 304) else 1), lines
        n = 0 if head_only or not length else int(length[0])
        while len(self.buf) < n:
            self.fill()
        body, self.buf = self.buf[:n], self.buf[n:]
        return Reply(status, fields, body)

    def chunks(self):
        body = []
        while True:
            while b"\r\n" not in self.buf:
                self.fill()
            size, self.buf = self.buf.split(b"\r\n", 1)
            n = int(size, 16)
            while len(self.buf) < n + 2:
                self.fill()
            assert self.buf[n:n + 2] == b"\r\n", self.buf[n:n + 2]
            body.append(self.buf[:n])
            self.buf = self.buf[n + 2:]
            if n == 0:
                return b"".join(body)

    def request(self, method, path, body=None, fields=()):
        head = "%s %s HTTP/1.1\r\nHost: test\r\n" % (method, path)
        head += "".join("%s: %s\r\n" % f for f in fields)
        if body is not None:
            head += "Content-Length: %d\r\n" % len(body)
        self.send(head.encode("latin1") + b"\r\n" + (body or b""))
        return self.reply(method == "HEAD")

    def closed(self):
        """The server ends the connection, without another byte."""
        try:
            return self.buf == b"" and self.s.recv(1) == b""
        except ConnectionResetError:
            return True

    def close(self):
        self.s.close()


class Clients:
    """Threads, each in run(its number), from `with` on until `stop`."""

    def __init__(self, count):
        self.stop = False
        self.threads = [threading.Thread(target=self.run, args=(i,)) for i in range(count)]

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.stop = True
        for t in self.threads:
            t.join()


class Server:
    def __init__(self, *options, wait=True, **popen):
        self.dir = tempfile.mkdtemp(prefix="ssvm-serve-")
        os.makedirs(self.dir + "/site")
        os.makedirs(self.dir + "/functions")
        self.log = self.dir + "/access.log"
        self.options = options
        self.popen = popen
        self.process = None

    def write(self, path, data):
        path = os.path.join(self.dir, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path + ".new", "wb") as f:
            f.write(data if isinstance(data, bytes) else data.encode())
        os.rename(path + ".new", path)
        return path

    def function(self, name, source=None):
        with open(guest(source or name), "rb") as f:
            self.write("functions/%s.wasm" % name, f.read())
        return self

    def __enter__(self):
        options = list(self.options)
        if "--listen" not in options:
            options += ["--listen", "127.0.0.1:0"]
        if "--log" not in options:
            options += ["--log", self.log]
        if SANITIZED and not {"--call-time", "--config"} & set(options):
            options += ["--call-time", "100s"]  # what takes one of the ten seconds otherwise may take them all
        self.out = open(self.dir + "/out", "w+")
        self.process = subprocess.Popen([SERVE, self.dir, *options], stdout=self.out, stderr=subprocess.STDOUT, **self.popen)
        end = time.time() + PATIENCE
        while time.time() < end:
            m = re.search(r"http://\S+:(\d+) serves", open(self.dir + "/out").read())
            if m:
                self.port = int(m.group(1))
                return self
            if self.process.poll() is not None:
                break
            time.sleep(0.01)
        text = open(self.dir + "/out").read()
        if re.search(r"Sanitizer (failed to allocate|setrlimit)", text):
            raise Skip("a sanitizer wants more address space")
        raise AssertionError("does not start: " + text)

    def again(self):
        """Started anew on its port, when it was killed; its processes may need a while to let it go."""
        self.process.wait()
        self.out.close()
        if "--listen" not in self.options:
            self.options = [*self.options, "--listen", "127.0.0.1:%d" % self.port]

        def start():
            try:
                return self.__enter__()
            except AssertionError as e:
                assert "Address already in use" in str(e), e
                return None

        until("the port is free", start)

    def __exit__(self, *_):
        crashed = self.process.poll()
        if crashed is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                crashed = self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                crashed = "does not end"
        self.out.close()
        text = open(self.dir + "/out").read()
        shutil.rmtree(self.dir, ignore_errors=True)
        if crashed not in (0, "killed") and not getattr(self, "forgiven", False):
            raise AssertionError("server ended with %s\n%s" % (crashed, text[-4000:]))

    def get(self, path, **kw):
        return self.call("GET", path, **kw)

    def call(self, method, path, body=None, fields=()):
        c = Client(self)
        try:
            return c.request(method, path, body, fields)
        finally:
            c.close()

    def raw(self, data):
        """Status of the reply to raw bytes on a new connection, and whether the connection then ends."""
        c = Client(self)
        try:
            c.send(data)
            r = c.reply()
            return r.status, r
        finally:
            c.close()

    def lines(self):
        """The log's lines, once a request made now is in it and it is quiet."""
        mark = "/mark-%d" % time.monotonic_ns()
        self.get(mark)
        until("the log has the last request", lambda: mark in open(self.log).read())
        before = -1
        while os.path.getsize(self.log) != before:
            before = os.path.getsize(self.log)
            time.sleep(0.4)
        with open(self.log) as f:
            return [x for x in map(json.loads, f) if not x.get("path", "").startswith("/mark-")]

    def processes(self, name):
        """Process numbers of our children of that name: ssvm-worker, ssvm-control."""
        found = []
        for pid in open("/proc/%d/task/%d/children" % (self.process.pid, self.process.pid)).read().split():
            try:
                comm, state = re.search(r"\((.*)\) (\S)", open("/proc/%s/stat" % pid).read()).groups()
                if comm == name and state != "Z":
                    found.append(int(pid))
            except OSError:
                pass
        return found

    def files(self):
        """Descriptors of all workers."""
        return sum(len(os.listdir("/proc/%d/fd" % pid)) for pid in self.processes("ssvm-worker"))


GUESTS = tempfile.mkdtemp(prefix="ssvm-guests-")


def guest(name):
    """A function's file: one of the demo's, or built from guests/."""
    kept = os.path.join(ROOT, "demo", "functions", name + ".wasm")
    if os.path.exists(kept):
        return kept
    path = os.path.join(GUESTS, name + ".wasm")
    if os.path.exists(path):
        return path
    cc = shutil.which("clang-22") or shutil.which("clang")
    source = os.path.join(HERE, "guests", name + ".c")
    if not cc or not os.path.isdir("/usr/include/wasm32-wasi"):
        raise Skip("clang with wasi-libc is missing")
    target = ["--target=wasm32", "-nostdlib", "-Wl,--no-entry"] if name in ("typed", "reactor", "seeded", "large", "hosts") else ["--target=wasm32-wasi", "-Wno-deprecated"]
    subprocess.run([cc, *target, "-I" + os.path.join(ROOT, "sdk/c"), "-O2", "-o", path, source], check=True)
    return path


def until(what, f, pause=0.05):
    """Wait until f() is true. A connection that breaks, as those of a process that was just killed do, is no answer yet."""
    end, broken = time.time() + PATIENCE, None
    while time.time() < end:
        try:
            r = f()
            if r:
                return r
        except (OSError, EOFError) as e:
            broken = e
        time.sleep(pause)
    raise AssertionError("never: %s%s" % (what, " (%r)" % broken if broken else ""))


def best_of(n, f):
    """f() without a failed assertion, once in n times: for what must be done before something else is, and a busy machine may be late with."""
    for i in range(n):
        try:
            return f()
        except (AssertionError, EOFError, OSError):
            if i == n - 1:
                raise


# ---- Files


@test
def static_files():
    with Server() as s:
        s.write("site/index.html", "<p>start")
        s.write("site/a.txt", "hello world!")
        s.write("site/sub/index.html", "<p>sub")
        s.write("site/sub/x.js", "1")
        s.write("site/with space & ü.css", "b{}")
        s.write("site/.secret", "no")
        s.write("site/.well-known/x", "yes")
        s.write("secret.txt", "no")
        os.symlink("../secret.txt", s.dir + "/site/out")
        os.symlink("/etc/passwd", s.dir + "/site/abs")
        os.symlink("a.txt", s.dir + "/site/in.txt")
        os.symlink("..", s.dir + "/site/up")
        os.mkfifo(s.dir + "/site/fifo")
        r = s.get("/")
        same((r.status, r["content-type"], r.body), (200, "text/html; charset=utf-8", b"<p>start"))
        r = s.get("/a.txt?x=1")
        same((r.status, r["content-type"], r.body), (200, "text/plain; charset=utf-8", b"hello world!"))
        r = s.get("/sub")
        same((r.status, r["location"]), (301, "/sub/"))
        same(s.get("//sub").status, 301)
        same(s.get("/sub/").body, b"<p>sub")
        same(s.get("/sub/x.js")["content-type"], "text/javascript; charset=utf-8")
        same(s.get("/with%20space%20%26%20%C3%BC.css").body, b"b{}")
        same(s.get("/in.txt").body, b"hello world!", "a link that stays inside")
        same(s.get("/.well-known/x").body, b"yes")
        for path in ("/nothing", "/a.txt/", "/.secret", "/sub/../.secret", "/out", "/abs", "/up/secret.txt", "/fifo", "/sub/nothing/x",
                     "/functions/x", "/" + "a" * 300):
            same(s.get(path).status, 404, path)
        for path in ("/../secret.txt", "/..%2fsecret.txt", "/%2e%2e/secret.txt", "/a%00.txt", "/sub/..\\a.txt", "/%zz", "/a%2ftxt"):
            same(s.get(path).status, 400, path)
        same(s.get("/sub/../a.txt").status, 200)
        r = s.call("HEAD", "/a.txt")
        same((r.status, r["content-length"]), (200, "12"))
        r = s.call("POST", "/a.txt", b"x")
        same((r.status, r["allow"]), (405, "GET, HEAD, OPTIONS"))


@test
def conditions_and_ranges():
    with Server() as s:
        s.write("site/a.txt", "0123456789")
        big = bytes(random.Random(1).randbytes(3 << 20))
        s.write("site/big.bin", big)
        s.write("site/empty.txt", "")
        for path, data in (("/a.txt", b"0123456789"), ("/big.bin", big)):
            r = s.get(path)
            tag, date = r["etag"], r["last-modified"]
            same(r.body == data, True, path)
            for f, status in ((("If-None-Match", tag), 304), (("If-None-Match", '"x", W/%s' % tag), 304), (("If-None-Match", "*"), 304),
                              (("If-None-Match", '"x"'), 200), (("If-Modified-Since", date), 304),
                              (("If-Modified-Since", "Sun, 06 Nov 1994 08:49:37 GMT"), 200), (("If-Modified-Since", "rubbish"), 200)):
                same(s.get(path, fields=[f]).status, status, f)
            same(s.get(path, fields=[("If-None-Match", '"x"'), ("If-Modified-Since", date)]).status, 200)
            n = len(data)
            for value, want in (("bytes=2-4", data[2:5]), ("bytes=7-", data[7:]), ("bytes=-3", data[-3:]), ("bytes=0-0", data[:1]),
                                ("bytes=5-99999999", data[5:]), ("bytes=-99999999", data)):
                r = s.get(path, fields=[("Range", value)])
                same((r.status, r.body == want), (206, True), value)
                same(r["content-range"].split("/")[1], str(n))
            for value in ("bytes=99999999-", "bytes=-0"):
                r = s.get(path, fields=[("Range", value)])
                same((r.status, r["content-range"]), (416, "bytes */%d" % n), value)
            for value in ("bytes=4-2", "bytes=1-2,4-5", "items=1-2", "bytes=", "bytes=x-1", "bytes=1-x", "bytes=-", "bytes=1-2x",
                          "bytes=99999999999999999999999-"):
                r = s.get(path, fields=[("Range", value)])
                same((r.status, len(r.body)), (200, n), value)
            same(s.get(path, fields=[("Range", "bytes=0-1"), ("If-Range", tag)]).status, 206)
            same(s.get(path, fields=[("Range", "bytes=0-1"), ("If-Range", '"x"')]).status, 200)
        same(s.get("/empty.txt").body, b"")
        same(s.get("/empty.txt", fields=[("Range", "bytes=0-")]).status, 416)


@test
def files_that_change():
    with Server() as s:
        s.write("site/a.txt", "one")
        same(s.get("/a.txt").body, b"one")
        old = time.time() - 100
        os.utime(s.dir + "/site/a.txt", (old, old))
        until("the file is kept", lambda: s.get("/a.txt").body == b"one")
        for _ in range(3):
            s.get("/a.txt")
        s.write("site/a.txt", "two!")
        until("the new file is served", lambda: s.get("/a.txt").body == b"two!")
        os.unlink(s.dir + "/site/a.txt")
        until("it is gone", lambda: s.get("/a.txt").status == 404)
        s.write("site/a.txt", "three")
        until("each worker has seen it", lambda: all(s.get("/a.txt").body == b"three" for _ in range(8)))
        os.rename(s.dir + "/site", s.dir + "/old")
        s.write("site/b.txt", "b")
        until("another folder takes its place", lambda: s.get("/b.txt").status == 200 and s.get("/a.txt").status == 404)


@test
def cache_is_bounded():
    with Server("--site-cache", "64K", "--loops", "1") as s:
        old = time.time() - 100
        for i in range(60):
            p = s.write("site/%d.txt" % i, bytes([65 + i % 26]) * 5000)
            os.utime(p, (old, old))
        c = Client(s)
        for _ in range(3):
            for i in range(60):
                same(c.request("GET", "/%d.txt" % i).body, bytes([65 + i % 26]) * 5000)
        # Bodies larger than the socket takes at once, evicted while they are being sent.
        for i in range(3):
            p = s.write("site/m%d.txt" % i, bytes([97 + i]) * 50000)
            os.utime(p, (old, old))
        slow = Client(s)
        slow.send(b"".join(b"GET /m%d.txt HTTP/1.1\r\nHost: a\r\n\r\n" % (i % 3) for i in range(200)))
        for i in range(60):
            c.request("GET", "/%d.txt" % i)
        for i in range(200):
            same(slow.reply().body == bytes([97 + i % 3]) * 50000, True)


# ---- The protocol


H = b"Host: a\r\n"
BAD = [
    (b"GET / HTTP/1.1\r\n\r\n", 400), (b"GET / HTTP/1.1\r\n" + H + H + b"\r\n", 400), (b"GET / HTTP/1.1\n" + H + b"\n", 400),
    (b"GET / HTTP/2.0\r\n" + H + b"\r\n", 505), (b"BREW / HTTP/1.1\r\n" + H + b"\r\n", 501), (b"GET /\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\n" + H + b"A: b\r\n c\r\n\r\n", 400), (b"GET / HTTP/1.1\r\n" + H + b"A\0: b\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\n" + H + b"A: b\0\r\n\r\n", 400), (b"GET /\0 HTTP/1.1\r\n" + H + b"\r\n", 400),
    (b"POST / HTTP/1.1\r\n" + H + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\nx", 400),
    (b"POST / HTTP/1.1\r\n" + H + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n", 400),
    (b"POST /f/hello/say HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n", 400),
    (b"POST /f/hello/say HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: gzip\r\n\r\n", 501),
    (b"POST / HTTP/1.1\r\n" + H + b"Expect: more\r\n\r\n", 417),
    (b"POST /f/hello/say HTTP/1.1\r\n" + H + b"Content-Length: 999999999\r\n\r\n", 413),
    (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n" + H + b"\r\n", 414), (b"GET /" + b"a" * 3000 + b" HTTP/1.1\r\n" + H + b"\r\n", 414),
    (b"GET / HTTP/1.1\r\n" + H + b"A: " + b"b" * 20000 + b"\r\n\r\n", 431),
    (b"GET / HTTP/1.1\r\n" + H + b"A: b\r\n" * 120 + b"\r\n", 431), (b"\x16\x03\x01\x00\xa5\x01\r\n", 400),
]
SMUGGLED = b"GET /smuggled HTTP/1.1\r\n" + H + b"\r\n"


@test
def malformed_requests():
    """Each is refused with its status, the connection ends, and nothing behind it is taken for a request."""
    with Server() as s:
        s.function("hello")
        for data, status in BAD:
            c = Client(s)
            c.send(data + SMUGGLED)
            got = c.reply()
            same(got.status, status, data[:60])
            same(got["connection"] if status not in (413, 414) or b"a" * 9000 in data else "close", "close", data[:60])
            if got["connection"] == "close":
                same(c.closed(), True, data[:60])
            c.close()
        same([x for x in s.lines() if "smuggled" in x.get("path", "") and x["status"] != 404], [])


@test
def pipelining():
    with Server() as s:
        s.function("hello")
        s.write("site/a.txt", "file")
        c = Client(s)
        one = b"POST /f/hello/say HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n%03d"
        two = b"GET /a.txt HTTP/1.1\r\nHost: a\r\n\r\n"
        three = b"POST /f/hello/say HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n%02d\r\n1;x=y\r\n!\r\n0\r\nT: v\r\n\r\n"
        c.send(b"".join(one % i + two + three % (i % 100) for i in range(100)))
        for i in range(100):
            same(c.reply().body, b"hello, %03d" % i)
            same(c.reply().body, b"file")
            same(c.reply().body, b"hello, %02d!" % (i % 100))
        c.send(one % 1 + two + two[:-2] + b"Connection: close\r\n\r\n" + two)
        same([c.reply().body for _ in range(3)], [b"hello, 001", b"file", b"file"])
        same(c.closed(), True, "after Connection: close")


@test
def pieces():
    """Requests that come byte by byte, and a client that ends its side after the request."""
    with Server() as s:
        s.function("hello")
        c = Client(s)
        c.s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        data = b"POST /f/hello/say HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
        for _ in range(2):
            for i in range(len(data)):
                c.send(data[i:i + 1])
            same(c.reply().body, b"hello, abcde")
        c.send(b"GET /f/hello/say?x=end HTTP/1.1\r\nHost: a\r\n\r\n" * 2)
        c.s.shutdown(socket.SHUT_WR)
        same([c.reply().body for _ in range(2)], [b"hello, end"] * 2)
        same(c.closed(), True)


@test
def versions_and_continue():
    with Server() as s:
        s.function("hello")
        c = Client(s).send(b"GET /f/hello/say?x=a HTTP/1.0\r\n\r\n")
        same(c.reply().body, b"hello, a")
        same(c.closed(), True, "HTTP/1.0")
        c = Client(s).send(b"GET /f/hello/say?x=a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        same(c.reply()["connection"], "keep-alive")
        same(c.request("GET", "/f/hello/say?x=b").body, b"hello, b")
        c = Client(s).send(b"POST /f/hello/say HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        same(c.reply().status, 100)
        same(c.send(b"hi").reply().body, b"hello, hi")
        c.send(b"POST /f/none/say HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        same(c.reply().status, 404, "refused without asking for the body")
        same(c.closed(), True)
        same(s.raw(b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n")[0], 204)
        same(s.raw(b"GET http://a/f/hello/say?x=abs HTTP/1.1\r\nHost: a\r\n\r\n")[1].body, b"hello, abs")


@test
def large_bodies():
    with Server("--max-body", "4M") as s:
        s.function("wordcount")
        text = b"word " * 700000
        c = Client(s)
        for _ in range(3):
            same(json.loads(c.request("POST", "/f/wordcount", text).body), {"bytes": 3500000, "lines": 0, "words": 700000})
        chunks = b"".join(b"%x\r\n%s\r\n" % (len(text[i:i + 9999]), text[i:i + 9999]) for i in range(0, len(text), 9999))
        c.send(b"POST /f/wordcount HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n")
        same(json.loads(c.reply().body)["words"], 700000)
        same(c.request("GET", "/f/wordcount").status, 405)
        c.send(b"POST /f/wordcount HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            for _ in range(600):
                c.send(b"2710\r\n" + b"a" * 10000 + b"\r\n")
        except OSError:
            pass
        r = c.reply()
        same((r.status, r.code()), (413, "body_too_large"))
        r = s.call("POST", "/f/wordcount", fields=[("Content-Length", "5000000")])
        same((r.status, r.code(), r["access-control-allow-origin"]), (413, "body_too_large", "*"))


@test
def memory_for_bodies_is_bounded():
    with Server("--max-body", "4M", "--max-bodies", "4M", "--workers", "1", "--loops", "1") as s:
        s.function("wordcount")
        body = b"x" * 3000000
        first = Client(s).send(b"POST /f/wordcount HTTP/1.1\r\nHost: a\r\nContent-Length: 3000001\r\n\r\n" + body)
        until("it is read", lambda: runner.nothing_waits(s.port, first.s))
        answer = s.call("POST", "/f/wordcount", body)
        same((answer.status, answer["retry-after"]), (503, "1"))
        same(first.send(b"x").reply().status, 200)
        first.close()
        until("the memory is given back", lambda: s.call("POST", "/f/wordcount", body).status == 200)


# ---- Hostile clients


@test
def slow_clients():
    best_of(5, slow_clients_once)  # who is late with what he sends at once is a slow client as well


def slow_clients_once():
    with Server("--head-time", "600", "--body-time", "600", "--idle-time", "900", "--write-time", "600") as s:
        s.function("hello")
        s.write("site/big.bin", b"b" * (32 << 20))
        before = s.files()
        drip = Client(s).send(b"GET / HTTP/1.1\r\nHost: a\r\nX: ")
        silent = Client(s)
        body = Client(s).send(b"POST /f/hello/say HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nab")
        idle = Client(s)
        same(idle.request("GET", "/f/hello/say?x=i").status, 200)
        deaf = Client(s)
        deaf.s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.send(b"GET /big.bin HTTP/1.1\r\nHost: a\r\n\r\n")
        start = time.time()
        while time.time() - start < 0.4:
            try:
                drip.send(b"y")
            except OSError:
                break  # we were late, and were answered
            time.sleep(0.1)
        same(drip.reply().status, 408)
        same(drip.closed(), True)
        same(silent.closed(), True, "no request at all")
        same(body.reply().status, 408)
        same(body.closed(), True)
        same(idle.closed(), True)
        until("the deaf client is given up", lambda: s.files() <= before + 2)  # each keeps the site's folder
        def slow():
            """A slow client that makes progress is served."""
            c = Client(s)
            c.send(b"GET /big.bin HTTP/1.1\r\nHost: a\r\n\r\n")
            n = 0
            while n < 4 << 20:
                time.sleep(0.05)
                got = len(c.s.recv(1 << 18))
                assert got > 0, "cut off"
                n += got

        best_of(10, slow)


@test
def many_connections():
    """1,000 connections are held, and each is answered, twice."""
    with Server() as s:
        s.function("hello")
        clients = [Client(s) for _ in range(1000)]
        for round in range(2):
            for i, c in enumerate(clients):
                c.send(b"GET /f/hello/say?x=%d HTTP/1.1\r\nHost: a\r\n\r\n" % i)
            for i, c in enumerate(clients):
                same(c.reply().body, b"hello, %d" % i)
        for c in clients:
            c.close()


@test
def too_many_connections():
    with Server("--max-connections", "20", "--workers", "1") as s:
        s.function("hello")
        held = [Client(s) for _ in range(20)]
        for c in held:
            same(c.request("GET", "/f/hello/say?x=1").status, 200)
        for _ in range(5):
            c = Client(s)
            r = c.reply()
            same((r.status, r["retry-after"], r.code()), (503, "1", "too_many_connections"))
            same(c.closed(), True)
        for c in held:
            c.close()
        until("there is room again", lambda: s.get("/f/hello/say?x=1").status == 200)


@test
def no_descriptors_left():
    import resource
    def limit():
        resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))
    with Server(preexec_fn=limit) as s:
        s.function("hello")
        s.write("site/a.txt", "a")
        held = []
        for _ in range(260):
            try:
                held.append(Client(s, 2))
            except OSError:
                break
        statuses = set()
        for c in held:
            try:
                statuses.add(c.request("GET", "/f/hello/say?x=1").status)
            except (OSError, EOFError):
                statuses.add("closed")
        assert 200 in statuses and 503 in statuses, statuses
        for c in held:
            c.close()
        until("it serves again", lambda: s.get("/a.txt").status == 200)


@test
def little_address_space():
    """Under ulimit -v calls have less memory or fewer places; whatever the limit, the server lives and recovers."""
    if SANITIZED:
        raise Skip("sanitizers want address space")

    def under(kilobytes, strict):
        def limit():
            resource.setrlimit(resource.RLIMIT_AS, (kilobytes << 10, kilobytes << 10))

        replies = []

        def client():
            for path in ("/f/hello/say?x=1", "/a.txt", "/f/env") * 5 + ("/f/odd?sleep",) * strict:
                try:
                    replies.append(s.get(path).status)
                except (OSError, EOFError):
                    replies.append("closed")

        with Server("--data", "none", preexec_fn=limit) as s:
            s.function("hello").function("env").function("odd")
            s.write("site/a.txt", "x" * 100000)
            clients = [threading.Thread(target=client) for _ in range(8)]
            for c in clients:
                c.start()
            for c in clients:
                c.join()
            assert set(replies) <= ({200} if strict else {200, 503, "closed"}), (kilobytes, replies)
            for path in ("/f/hello/say?x=1", "/a.txt", "/f/env"):
                until("%s with %d KB" % (path, kilobytes), lambda: s.get(path).status == 200)

    under(512 << 10, True)
    for kilobytes in (31 << 10, 63 << 9, 32 << 10, 64 << 10):  # one instance fits, and a hundred KB beside it, or two
        under(kilobytes, False)


@test
def memory_that_calls_leave():
    """Calls that fill much memory find it empty, several at once too; what stays of it for the next ones is bounded, and goes back when nothing happens."""
    def resident():
        with open("/proc/%d/statm" % s.processes("ssvm-worker")[0]) as f:
            return int(f.read().split()[1]) * resource.getpagesize()

    answers = []

    def fill(pages):
        for n in pages:
            r = s.get("/f/typed/fill?n=%d" % n)
            answers.append((r.status, r.body))

    with Server("--data", "none", "--workers", "1") as s:
        s.function("typed")
        until("it serves", lambda: s.get("/f/typed/add?a=1&b=2").status == 200)
        before = resident()
        fill([320] * 8 + [16, 320, 480, 700, 320, 16, 320])
        crowd = [threading.Thread(target=fill, args=([200, 240, 16, 200, 300] * 4,)) for _ in range(4)]
        for t in crowd:
            t.start()
        for t in crowd:
            t.join()
        fill([320] * 8)
        if not SANITIZED:  # their shadow of it stays
            until("what stays is bounded", lambda: resident() < before + (32 + 8 << 20))
            until("nothing stays", lambda: resident() < before + (8 << 20))
        fill([320, 320])
    same(answers, [(200, b"0")] * (15 + 80 + 8 + 2))


@test
def no_memory_to_load_a_function():
    """An old file that there was no memory for is not taken for a broken one: it is loaded when there is memory again."""
    if SANITIZED:
        raise Skip("sanitizers want address space")
    with Server("--data", "none", "--workers", "1") as s:
        s.function("hello")
        until("it serves", lambda: s.get("/f/hello/say?x=1").status == 200)
        with open(guest("hello"), "rb") as f:
            module = f.read()
        section = b"\x01x" + bytes(80 << 20) # more than a heap of a thread may grow to
        size = bytes([len(section) & 0x7F | 0x80, len(section) >> 7 & 0x7F | 0x80, len(section) >> 14 & 0x7F | 0x80, len(section) >> 21])
        path = s.write("large.wasm", module + b"\0" + size + section)
        os.utime(path, (1000000000, 1000000000))
        os.rename(path, s.dir + "/functions/large.wasm")
        worker, = s.processes("ssvm-worker")
        with open("/proc/%d/statm" % worker) as f:
            used = int(f.read().split()[0]) * resource.getpagesize()
        before = resource.prlimit(worker, resource.RLIMIT_AS, (used + (8 << 20), resource.RLIM_INFINITY))
        reply = s.get("/f/large/say?x=1")
        assert (reply.status, reply["Retry-After"]) == (503, "1"), (reply.status, reply.body)
        resource.prlimit(worker, resource.RLIMIT_AS, before)
        until("it is loaded", lambda: s.get("/f/large/say?x=1").status == 200)
        assert s.get("/f/hello/say?x=1").status == 200


@test
def rubbish():
    """Random and mutated bytes: no crash, no leak of descriptors, and the server still answers."""
    r = random.Random(7)
    seeds = [d for d, _ in BAD] + [b"POST /f/hello/say HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
                                   b"GET /f/env?a=b HTTP/1.1\r\nHost: a\r\nCookie: x\r\n\r\n", b"GET /a.txt HTTP/1.1\r\nHost: a\r\nRange: bytes=1-\r\n\r\n"]
    with Server("--head-time", "500", "--body-time", "500") as s:
        s.function("hello").function("env")
        s.write("site/a.txt", "abc")
        until("it serves", lambda: s.get("/a.txt").status == 200)
        before = s.files()
        for i in range(1500):
            data = bytearray(r.choice(seeds)) if i % 3 else bytearray(r.randbytes(r.randrange(200)))
            for _ in range(r.randrange(6)):
                at = r.randrange(len(data) + 1)
                kind = r.randrange(3)
                if kind == 0:
                    data[at:at] = r.choice([b"\r\n", b"\0", b"\n", b" ", b"%", b"..", b"\xff", b": ", b"0\r\n\r\n", b"A" * 500])
                elif kind == 1 and at < len(data):
                    data[at] = r.randrange(256)
                else:
                    del data[at:at + r.randrange(8)]
            c = Client(s)
            try:
                c.send(bytes(data))
                if r.randrange(2):
                    c.s.shutdown(socket.SHUT_WR)
                if r.randrange(4) == 0:
                    c.s.settimeout(0.02)
                    c.s.recv(1000)
            except OSError:
                pass
            if r.randrange(3) == 0:  # reset instead of a clean end
                c.s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            c.close()
        until("it still serves", lambda: s.get("/a.txt").status == 200)
        until("all connections are over", lambda: s.files() <= before + 2)


# ---- Functions


@test
def hello():
    with Server() as s:
        s.function("hello")
        r = s.call("POST", "/f/hello/say", "Zoë".encode())
        same((r.status, r["content-type"], r.body.decode()), (200, "text/plain; charset=utf-8", "hello, Zoë"))
        same(r["access-control-allow-origin"], "*")
        assert re.fullmatch("[0-9a-f]{16}", r["x-request-id"]) and r["server-timing"].startswith("call;dur=")
        same(s.get("/f/hello/say?name=A%20b+c").body, b"hello, A b c")
        same(s.call("POST", "/f/hello/say", b'["x \\u00e4"]', [("Content-Type", "application/json")]).body.decode(), "hello, x ä")
        same(s.call("POST", "/f/hello/say", b'{"a": 1}', [("Content-Type", "application/json")]).body, b'hello, {"a": 1}')
        same(s.call("HEAD", "/f/hello/say?name=x").status, 200)
        for path, body, fields, status, code in (
                ("/f/hello/nope", b"", (), 404, "no_function"), ("/f/hello", b"", (), 404, "no_function"),
                ("/f/nope/say", b"", (), 404, "no_function"), ("/f/../x", b"", (), 405, "method_not_allowed"),
                ("/f/hello/say/more", b"", (), 404, "no_function"), ("/f//", b"", (), 404, "no_function"),
                ("/f/.hidden/x", b"", (), 404, "no_function"), ("/f/hello%20/say", b"", (), 404, "no_function"),
                ("/f/hello/__wbindgen_malloc", b"", (), 404, "no_function"), ("/f/hello/_start", b"", (), 404, "no_function"),
                ("/f/hello/say", b"\xff\xfe", (), 400, "bad_arguments"),
                ("/f/hello/say", b'["a", "b"]', (("Content-Type", "application/json"),), 400, "bad_arguments"),
                ("/f/hello/say", b'["a"', (("Content-Type", "application/json"),), 400, "bad_arguments"),
                ("/f/hello/say?a=%zz", b"", (), 400, "bad_arguments")):
            r = s.call("POST", path, body, fields)
            same((r.status, r.code()), (status, code), path)
            assert re.fullmatch("[0-9a-f]{16}", json.loads(r.body)["error"]["request_id"])
        r = s.call("PUT", "/f/hello/say", b"x")
        same((r.status, r["allow"]), (405, "GET, HEAD, POST, OPTIONS"))


@test
def pictures():
    sample = open(os.path.join(ROOT, "demo/site/sample.png"), "rb").read()
    with Server() as s:
        s.function("image")
        r = s.call("POST", "/f/image/thumbnail?side=90", sample, [("Content-Type", "image/png")])
        same((r.status, r["content-type"], r.body[16:24]), (200, "image/png", b"\0\0\0\x5a\0\0\0\x3c"))
        again = s.call("POST", "/f/image/thumbnail?side=90", sample)
        same(again.body == r.body, True, "the same bytes every time")
        r = s.call("POST", "/f/image/rotate", r.body)
        same(r.body[16:24], b"\0\0\0\x3c\0\0\0\x5a")
        r = s.call("POST", "/f/image/grayscale", b"not a picture at all")
        same((r.status, r.code()), (422, "function_error"))
        assert "format" in json.loads(r.body)["error"]["message"], r.body
        same(s.call("POST", "/f/image/flip", sample[:3000]).status, 422, "a truncated picture")
        r = s.call("POST", "/f/image/thumbnail?side=x", sample)
        same((r.status, r.code()), (400, "bad_arguments"))


@test
def typed_numbers():
    with Server() as s:
        s.function("typed")
        r = s.get("/f/typed/add?a=2&b=40")
        same((r.status, r["content-type"], r.body), (200, "application/json", b"42"))
        r = s.call("POST", "/f/typed/add", b"[2, 40]", [("Content-Type", "application/json")])
        same(r.body, b"42")
        same(s.call("POST", "/f/typed/half?", b"3").body, b"1.5")
        same(s.get("/f/typed/nothing").status, 204)
        for path in ("/f/typed/add?a=2", "/f/typed/add?a=2&b=x", "/f/typed/add?a=1&b=2&c=3", "/f/typed/add?a=99999999999&b=1"):
            r = s.get(path)
            same((r.status, r.code()), (400, "bad_arguments"), path)
        for _ in range(3):
            same(s.get("/f/typed/count").body, b"1", "a fresh instance each time")


@test
def initialised_once():
    """An `_initialize` that needs only itself is run for a version; one that asks the host, for each request; a later one is a new version."""
    with Server() as s:
        s.function("reactor").function("seeded")
        same(s.get("/f/reactor/sum").body, b"924472248", "what _initialize made")
        same({s.get("/f/reactor/changed").body for _ in range(5)}, {b"1"}, "a fresh instance each time")
        steps = int(s.get("/f/reactor/steps").body)
        for _ in range(9):
            s.get("/f/reactor/sum")
        used = until("the log has them", lambda: [x["gas"] for x in s.lines() if x.get("function") == "reactor/sum"][9:])
        assert max(used) < steps / 100, (used, steps)
        same(len({s.get("/f/seeded/seed").body for _ in range(5)}), 5, "random bytes of its own for each instance")
        same(s.get("/f/reactor/_initialize").status, 404, "not to be called")
        until("the log tells", lambda: {"function_initialised", "function_no_snapshot"} <= {x.get("event") for x in s.lines()})
        lines = [x for x in s.lines() if x.get("event") in ("function_initialised", "function_no_snapshot")]
        same({(x["event"], x["function"]) for x in lines}, {("function_initialised", "reactor"), ("function_no_snapshot", "seeded")})
    with Server("--call-time", "50") as s:
        s.function("reactor")
        r = s.get("/f/reactor/sum")
        same((r.status, r.code()), (504, "deadline"), "an _initialize that takes too long is the call's as before")


@test
def large_snapshots():
    """Files of a few bytes whose `_initialize` leaves much, many at once and in many versions: bounded, told, and all answer."""
    with Server("--max-module", "8M", "--call-memory", "16M") as s:
        names = ["large%d" % i for i in range(8)]
        answers = []
        for _ in range(2):
            for name in names:
                s.function(name, "large")
            threads = [threading.Thread(target=lambda n=n: answers.append(s.get("/f/%s/last" % n).status)) for n in names]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            time.sleep(1.1)
        same(set(answers), {200}, "all answer")
        same(s.get("/f/large0/last").body, b"%d" % (((6 << 20) - 1) % 255 + 1), "what _initialize made")
        events = [x for x in s.lines() if x.get("event") in ("function_initialised", "function_no_snapshot")]
        refused = [x for x in events if x["event"] == "function_no_snapshot"]
        assert refused and len(refused) < len(events), events
        assert all("too large" in str(x) for x in refused), refused
        peak = max(int(re.search(r"VmHWM:\s+(\d+)", open("/proc/%d/status" % pid).read()).group(1)) // 1024
                   for pid in s.processes("ssvm-worker"))
        print("      at most %d MB" % peak)
        assert peak < 400, peak


@test
def limits_of_calls():
    with Server("--call-time", "300") as s:
        s.function("typed").function("odd")
        r = s.get("/f/typed/spin")
        same((r.status, r.code()), (504, "deadline"))
        r = s.get("/f/odd?hour")
        same((r.status, r.code()), (504, "deadline"), "a sleeping guest")
        assert until("its line", lambda: [x for x in s.lines() if x.get("error") == "deadline"])[0]["run_ms"] >= 300
    with Server("--call-memory", "2M") as s:
        s.function("typed").function("odd").function("hello")
        r = s.get("/f/typed/trap")
        same((r.status, r.code()), (500, "trap"))
        assert b"unreachable" not in r.body
        same(s.get("/f/typed/deep?n=1").status, 500)
        assert int(s.get("/f/typed/grow").body) < 32
        r = s.get("/f/odd?trap")
        same((r.status, r.code()), (500, "trap"))
        line = until("its line", lambda: [x for x in s.lines() if x.get("error") == "trap" and x["path"] == "/f/typed/trap"])[0]
        assert "unreachable" in line["note"], line
        trace = until("its lines", lambda: [x for x in s.lines() if x.get("event") == "backtrace" and x["id"] == line["id"]])[0]
        assert re.match(r"  0: \S+ at 0x[0-9a-f]+", trace["text"]), trace
        same(s.get("/f/hello/say?a=b").body, b"hello, b")
    with Server("--call-gas", "100000") as s:
        s.function("typed")
        same(s.get("/f/typed/add?a=1&b=2").body, b"3")
        r = s.get("/f/typed/spin")
        same((r.status, r.code()), (500, "gas_exhausted"))


@test
def long_calls_stop_nobody():
    """While more calls than loops spin, short calls and files are answered."""
    def spin(s):
        spins = [Client(s).send(b"GET /f/typed/spin HTTP/1.1\r\nHost: a\r\n\r\n") for _ in range(6)]
        time.sleep(0.1)
        for i in range(50):
            same(s.get("/f/hello/say?x=%d" % i).body, b"hello, %d" % i)
            same(s.get("/a.txt").body, b"file")
        for c in spins:
            c.s.setblocking(False)
            try:
                c.fill()
                assert False, "the spinning calls had ended before the short ones"
            except BlockingIOError:
                pass
            c.s.settimeout(PATIENCE)
        for c in spins:
            same(c.reply().status, 504)
            same(c.request("GET", "/a.txt").body, b"file", "the connection goes on")

    times = iter((3, 10, 30))

    def run():
        with Server("--call-time", "%ds" % next(times), "--loops", "2") as s:
            s.function("typed").function("hello")
            s.write("site/a.txt", "file")
            spin(s)  # unknown to be long
            spin(s)

    best_of(3, run)


@test
def overload():
    def at_once(s, n):
        clients = [Client(s).send(b"GET /f/typed/spin HTTP/1.1\r\nHost: a\r\n\r\n") for _ in range(n)]
        return [c.reply() for c in clients]

    with Server("--call-time", "1500", "--calls", "1", "--queue", "1", "--workers", "1") as s:
        def fill():
            replies = at_once(s, 5)
            same(sorted(r.status for r in replies), [503, 503, 503, 504, 504])
            same({(r["retry-after"], r.code()) for r in replies if r.status == 503}, {("1", "overloaded")})

        s.function("typed").function("hello")
        same(s.get("/f/typed/spin").status, 504)  # known to be long from here on
        best_of(5, fill)
        until("it serves again", lambda: s.get("/f/hello/say?x=1").status == 200)
    with Server("--call-time", "2s", "--calls", "1", "--queue-time", "300", "--workers", "1") as s:
        s.function("typed")
        same(s.get("/f/typed/spin").status, 504)
        best_of(5, lambda: same(sorted(r.status for r in at_once(s, 2)), [503, 504]))


@test
def clients_that_leave():
    """A client that goes away during a call costs nothing afterwards."""
    with Server("--call-time", "500") as s:
        s.function("typed").function("hello")
        same(s.get("/f/hello/say?x=1").status, 200)
        before = s.files()
        for i in range(40):
            c = Client(s).send(b"GET /f/typed/spin HTTP/1.1\r\nHost: a\r\n\r\n" * (1 + i % 3))
            if i % 2:
                c.s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            c.close()
        until("it still serves", lambda: s.get("/f/hello/say?x=1").status == 200)
        until("all is given back", lambda: s.files() <= before + 2)
    with Server("--call-time", "600s", "--calls", "2", "--loops", "1") as s:
        s.function("typed").function("hello")
        for _ in range(6):  # each would hold its place for ten minutes
            c = Client(s).send(b"GET /f/typed/spin HTTP/1.1\r\nHost: a\r\n\r\n")
            time.sleep(0.1)
            c.s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            c.close()
        until("calls of clients that broke off are ended", lambda: s.get("/f/hello/say?x=1").status == 200)
        for pause in (0, 0.1):  # a clean end, with the request or during the call
            for _ in range(6):
                c = Client(s).send(b"GET /f/typed/spin HTTP/1.1\r\nHost: a\r\n\r\n")
                time.sleep(pause)
                c.close()
            until("calls of clients that closed are ended", lambda: s.get("/f/hello/say?x=1").status == 200)
        # What a client broke off before it was read was never a request.
        until("no call is left", lambda: 12 <= len([x for x in s.lines() if x.get("lost") and x["path"] == "/f/typed/spin"]) <= 18)


@test
def clients_that_end_their_side():
    """After its last request a client may shut down its side; it is answered, also by a long call, which tries it with 100 Continue."""
    def once(s, version, pause, passed_over):
        c = Client(s).send(b"GET /f/odd?sleep HTTP/%s\r\nHost: a\r\n\r\n" % version.encode())
        time.sleep(pause)
        c.s.shutdown(socket.SHUT_WR)
        statuses = [c.reply().status]
        while statuses[-1] == 100:
            statuses.append(c.reply().status)
        same((statuses[-1], c.closed()), (200, True), version)
        same(statuses, passed_over + [200], version)  # unless it was over by then

    with Server("--call-time", "60s", "--loops", "1") as s:
        s.function("odd")
        for version, passed_over in (("1.1", [100]), ("1.0", [])):
            for pause in (0, 0.05):
                for _ in range(2):  # not known to be long, then known
                    best_of(10, lambda: once(s, version, pause, passed_over))


@test
def cors():
    ask = [("Origin", "https://page"), ("Access-Control-Request-Method", "POST"), ("Access-Control-Request-Headers", "content-type,x-y")]
    with Server() as s:
        s.function("hello")
        r = s.call("OPTIONS", "/f/hello/say", fields=ask)
        same((r.status, r["access-control-allow-origin"], r["access-control-allow-headers"]), (204, "*", "content-type,x-y"))
        assert "POST" in r["access-control-allow-methods"] and r["access-control-max-age"]
        same(s.get("/f/nope/say", fields=ask[:1])["access-control-allow-origin"], "*", "errors can be read too")
    with Server("--cors-origin", "https://page") as s:
        s.function("hello")
        r = s.call("POST", "/f/hello/say", b"x", ask[:1])
        same((r["access-control-allow-origin"], r["vary"]), ("https://page", "Origin"))
        r = s.call("POST", "/f/hello/say", b"x", [("Origin", "https://other")])
        same((r.status, r["access-control-allow-origin"], r["vary"]), (200, None, "Origin"))
    with Server("--cors-origin", "none") as s:
        s.function("hello")
        same(s.call("POST", "/f/hello/say", b"x", ask[:1])["access-control-allow-origin"], None)


# ---- CGI


@test
def cgi_environment():
    with Server() as s:
        s.function("env")
        r = s.call("POST", "/f/env/a%20b/../c?x=1&y=%20", b"the body", [
            ("Content-Type", "text/x"), ("X-Thing", "one"), ("X-Thing", "two"), ("Proxy", "http://evil"), ("X_Thing", "spoof"),
            ("Cookie", "a=1"), ("Cookie", "b=2"), ("Transfer_Encoding", "x"), ("Host2", "h")])
        same((r.status, r["x-args"]), (200, "1 env"))
        head, body = r.body.split(b"\n\n", 1)
        env = dict(x.split("=", 1) for x in head.decode().split("\n"))
        same(body, b"the body")
        for k, v in (("GATEWAY_INTERFACE", "CGI/1.1"), ("REQUEST_METHOD", "POST"), ("SCRIPT_NAME", "/f/env"), ("PATH_INFO", "/c"),
                     ("QUERY_STRING", "x=1&y=%20"), ("CONTENT_LENGTH", "8"), ("CONTENT_TYPE", "text/x"), ("HTTP_X_THING", "one, two"),
                     ("HTTP_COOKIE", "a=1; b=2"), ("SERVER_PROTOCOL", "HTTP/1.1"), ("SERVER_NAME", "test"), ("REMOTE_ADDR", "127.0.0.1"),
                     ("SERVER_PORT", str(s.port)), ("HTTP_HOST", "test"), ("REQUEST_URI", "/f/env/a%20b/../c?x=1&y=%20")):
            same(env.get(k), v, k)
        for k in ("HTTP_PROXY", "HTTP_TRANSFER_ENCODING", "PATH", "HOME"):
            same(env.get(k), None, k)
        env = s.get("/f/env").body.decode()
        assert "PATH_INFO" not in env and "CONTENT_LENGTH" not in env
        same(s.call("DELETE", "/f/env").status, 200)
        many = [("A%d" % (i % 2), "v" * 200) for i in range(70)]
        same(s.get("/f/env", fields=many).status, 431, "fields that grow when joined")


@test
def cgi_replies():
    with Server() as s:
        s.function("odd")
        r = s.get("/f/odd?status")
        same((r.status, r.body), (418, b"teapot"))
        r = s.get("/f/odd?location")
        same((r.status, r["location"]), (302, "/elsewhere"))
        r = s.get("/f/odd?created")
        same((r.status, r["location"], r.body), (201, "/new", b"made"))
        r = s.get("/f/odd?own")
        same((r.status, r.body, r["transfer-encoding"], r["connection"]), (200, b"own", None, None))
        same((r.all("access-control-allow-origin"), r.all("set-cookie")), (["https://one"], ["a=1", "b=2"]))
        for how in ("nothing", "headless", "untyped", "badstatus", "continue", "split", "longfields"):
            r = s.get("/f/odd?" + how)
            same((r.status, r.code()), (502, "bad_reply"), how)
        r = s.get("/f/odd?exit")
        same((r.status, r.code()), (500, "exit"))
        try:
            s.get("/f/odd?flood")
            raise AssertionError("the end of a reply that was broken off")
        except EOFError:
            pass
        until("the log says why", lambda: any(x.get("error") == "output_limit" and "lost" not in x for x in s.lines()))
        same(s.get("/f/odd?errors").body, b"quiet")
        same(s.get("/f/odd?note").body, b"noted")
        same(s.get("/f/odd?sleep").body, b"slept")
        same(s.get("/f/odd?file").body, b"closed", "nothing is granted")
        until("a note is told", lambda: any(x.get("event") == "stderr" for x in s.lines()))
        lines = s.lines()
        assert any(x.get("event") == "stderr" and 'note for the "log"\x1b[31m\n' == x["text"] for x in lines)
        assert all(len(x.get("text", "")) <= 65536 for x in lines)
        assert os.path.getsize(s.log) < 100000


# ---- Change, log, start and end


@test
def functions_that_change():
    with Server() as s:
        s.function("a", "hello")
        same(s.get("/f/a/say?x=1").body, b"hello, 1")
        s.function("b", "hello")
        same(s.get("/f/b/say?x=1").body, b"hello, 1", "a new function is there at once")
        time.sleep(1.1)
        s.function("a", "typed")
        until("the new version is used by each worker", lambda: all(s.get("/f/a/add?a=1&b=2").body == b"3" for _ in range(8)))
        until("the old one is not", lambda: s.get("/f/a/say?x=1").status == 404)
        os.unlink(s.dir + "/functions/b.wasm")
        until("a removed function is gone", lambda: s.get("/f/b/say?x=1").status == 404)
        s.function("b", "hello")
        until("and back", lambda: s.get("/f/b/say?x=1").status == 200)
        os.mkdir(s.dir + "/functions/d.wasm")
        same(s.get("/f/d/x").status, 404, "a folder")
        os.mkfifo(s.dir + "/functions/e.wasm")
        same(s.get("/f/e/x").status, 404, "a pipe")


@test
def broken_functions():
    with Server() as s:
        s.write("functions/bad.wasm", b"\0asm\1\0\0\0\xff\xff\xff")
        old = time.time() - 100
        os.utime(s.dir + "/functions/bad.wasm", (old, old))
        s.write("functions/empty.wasm", b"")
        os.utime(s.dir + "/functions/empty.wasm", (old, old))
        # A module that imports what nobody provides.
        s.write("functions/lost.wasm", b"\0asm\1\0\0\0\1\4\1\x60\0\0\2\x08\1\1x\2yy\0\0\7\5\1\1f\0\0")
        os.utime(s.dir + "/functions/lost.wasm", (old, old))
        for name in ("bad", "empty", "lost"):
            r = s.get("/f/%s/f" % name)
            same((r.status, r.code()), (502, "function_broken"), name)
        until("the log tells", lambda: {x["function"] for x in s.lines() if x.get("event") == "function_broken"} == {"bad", "empty", "lost"})
        s.function("bad", "hello")
        until("repaired", lambda: s.get("/f/bad/say?x=1").status == 200)


@test
def functions_being_written():
    """A file that is written in place, in pieces, while it is called: never a crash, the old version goes on."""
    data = open(guest("hello"), "rb").read()
    with Server() as s:
        s.function("hello")
        same(s.get("/f/hello/say?x=1").status, 200)
        statuses = set()
        for _ in range(3):
            with open(s.dir + "/functions/hello.wasm", "wb") as f:
                for i in range(0, len(data), len(data) // 12 + 1):
                    f.write(data[i:i + len(data) // 12 + 1])
                    f.flush()
                    statuses.add(s.get("/f/hello/say?x=1").status)
                    time.sleep(0.1)
        assert statuses <= {200, 503}, statuses
        assert 200 in statuses
        until("complete again", lambda: s.get("/f/hello/say?x=1").status == 200)


@test
def access_log():
    with Server("--workers=1") as s:  # the lines of several come in no order
        s.function("hello")
        s.get("/f/hello/say?x=1")
        c = Client(s).send(b'GET /a%22"\\%0a HTTP/1.1\r\nHost: a\r\n\r\n')
        c.reply()
        s.get("/" + "x" * 1500)
        until("all are told", lambda: len(s.lines()) >= 3)
        lines = s.lines()
        same(len(lines), 3)
        same((lines[0]["function"], lines[0]["status"], lines[0]["method"], lines[0]["client"]), ("hello/say", 200, "GET", "127.0.0.1"))
        assert lines[0]["gas"] > 0 and lines[0]["memory"] >= 65536 and lines[0]["ms"] >= lines[0]["run_ms"] > 0
        same(len({x["id"] for x in lines}), 3)
        same(lines[1]["path"], '/a%22"\\%0a')
        assert len(lines[2]["path"]) <= 256


@test
def log_that_blocks():
    """A pipe that nobody reads, and a full disk: serving goes on."""
    r, w = os.pipe()
    with Server("--log", "-", stdin=subprocess.DEVNULL) as s:
        pass
    s = Server("--log", "/proc/self/fd/%d" % w, pass_fds=[w])
    s.log = None
    with s:
        s.function("hello")
        c = Client(s)
        for i in range(20000):
            c.send(b"GET /%s HTTP/1.1\r\nHost: a\r\n\r\n" % (b"n" * 200))
            if i % 50 == 49:
                for _ in range(50):
                    c.reply()
        same(c.request("GET", "/f/hello/say?x=1").status, 200)
        os.close(r)
        os.close(w)
    if os.path.exists("/dev/full"):
        with Server("--log", "/dev/full") as s:
            s.function("hello")
            same(s.get("/f/hello/say?x=1").status, 200)


@test
def log_on_a_full_disk():
    """A log that may not grow is a full disk: serving goes on; later lines are whole again, and say how many are missing."""
    def soft(n, pid=0):
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (n, resource.RLIM_INFINITY))

    with Server("--data", "none", "--workers", "1", preexec_fn=lambda: soft(2000)) as s:
        s.function("hello")
        for i in range(100):
            same(s.get("/f/hello/say?x=%d" % i).status, 200)
        until("the log is full", lambda: os.path.getsize(s.log) == 2000)
        time.sleep(0.5)
        soft(resource.RLIM_INFINITY, s.processes("ssvm-worker")[0])
        same(s.get("/later").status, 404)
        until("the log goes on", lambda: all(x in open(s.log).read() for x in ("log_dropped", '"/later"')))
        whole, torn, dropped = [], 0, 0
        for line in open(s.log):
            try:
                x = json.loads(line)
                dropped += x.get("lines", 0)
                whole.append(x.get("path"))
            except ValueError:
                torn += 1
        assert "/later" in whole and torn <= 1, (whole, torn)
        same(whole.count("/f/hello/say") + dropped, 100)


@test
def end_with_patience():
    """SIGTERM: the running call is answered, idle connections end, new ones are not taken, status 0."""
    def patient():
        with Server("--call-time", "60s", "--drain-time", "60s") as s:
            s.function("odd").function("typed").function("hello")
            s.get("/f/odd?sleep")
            running = [Client(s).send(b"GET /f/odd?sleep HTTP/1.1\r\nHost: a\r\n\r\n") for _ in range(4)]
            idle = Client(s)
            idle.request("GET", "/f/hello/say?x=1")
            time.sleep(0.15)  # they run by now, as a rule
            s.process.send_signal(signal.SIGTERM)
            for c in running:
                r = c.reply()
                same((r.status, r.body, r["connection"]), (200, b"slept", "close"))
            same(idle.closed(), True)
            same(s.process.wait(PATIENCE), 0)
            try:
                Client(s, 1)
                assert False, "still listening"
            except OSError:
                pass

    def impatient():
        with Server("--call-time", "600s", "--drain-time", "300") as s:
            s.function("typed")
            c = Client(s).send(b"GET /f/typed/spin HTTP/1.1\r\nHost: a\r\n\r\n")
            time.sleep(0.3)
            s.process.send_signal(signal.SIGTERM)
            same(c.reply().status, 504, "what does not end is ended")
            same(s.process.wait(PATIENCE), 0)

    best_of(5, patient)
    best_of(5, impatient)


@test
def killed_and_back():
    with Server() as s:
        s.function("hello")
        same(s.get("/f/hello/say?x=1").status, 200)
        clients = [Client(s) for _ in range(50)]
        for c in clients:
            c.send(b"GET /f/hello/say?x=1 HTTP/1.1\r\nHost: a\r\n\r\n")
        s.process.kill()
        s.again()
        same(s.get("/f/hello/say?x=2").body, b"hello, 2", "the same port")


@test
def command_line():
    def run(*args, **kw):
        p = subprocess.run([SERVE, *args], capture_output=True, text=True, timeout=PATIENCE, **kw)
        return p.returncode, p.stdout, p.stderr
    code, out, err = run("--help")
    same((code, err), (0, ""))
    page = open(os.path.join(ROOT, "man", "ssvm-serve.1")).read().replace("\\-", "-")
    for option in re.findall(r"^  (--[a-z-]+)", out, re.M):
        assert option in page, "%s is not in the manual page" % option
    same(run("--version")[0], 0)
    for args in (["--nope"], ["--call-time", "x"], ["--call-time"], ["a", "b"], ["-x"], ["--max-body=99999G"]):
        code, out, err = run(*args)
        same(code, 2, args)
        assert err.startswith("ssvm-serve: ") and err.count("\n") == 1, err
    folder = tempfile.mkdtemp(prefix="ssvm-")
    code, out, err = run(folder, "--data", "none")
    same(code, 1)
    assert "neither a folder 'site' nor a folder 'functions'" in err
    same(run(folder + "/nothing")[0], 1)
    os.makedirs(folder + "/functions")
    shutil.copy(guest("hello"), folder + "/functions/")
    code, out, err = run(folder, "--check", "--call-time=2s")
    same((code, err), (0, ""))
    assert "call-time: 2s" in out and "function: /f/hello/say" in out, out
    with open(folder + "/functions/bad.wasm", "w") as f:
        f.write("no")
    code, out, err = run(folder, "--check")
    same(code, 1)
    assert "function 'bad' is broken" in err, err
    for where in ("nonsense", "127.0.0.1", "127.0.0.1:99999", "::1:80", "host.invalid:80", "[::1:80"):
        code, out, err = run(folder, "--listen", where)
        same(code, 1 if where == "host.invalid:80" else 2, where)  # it may be one tomorrow; the others are no addresses
        assert err.count("\n") >= 1
    code, out, err = run(folder, "--log", "/nonexistent/x", "--listen", "127.0.0.1:0")
    same(code, 1)
    with Server() as s:
        code, out, err = run(s.dir, "--listen", "127.0.0.1:%d" % s.port)
        same(code, 1, "the port is taken")
        assert "cannot listen" in err
    shutil.rmtree(folder)


@test
def ipv6():
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        raise Skip("no IPv6 here")
    with Server("--listen", "[::1]:0") as s:
        s.function("env")
        c = socket.create_connection(("::1", s.port))
        c.sendall(b"GET /f/env HTTP/1.1\r\nHost: [::1]:80\r\nConnection: close\r\n\r\n")
        data = b""
        while True:
            got = c.recv(65536)
            if not got:
                break
            data += got
        assert b"REMOTE_ADDR=::1\n" in data and b"SERVER_NAME=[::1]\n" in data, data


@test
def many_at_once():
    """Calls of all kinds from several threads, through steals of loops and the queue: every answer is the right one."""
    with Server("--call-time", "60s", "--queue-time", "60s", "--calls", "3", "--loops", "2") as s:
        s.function("hello").function("typed").function("wordcount")
        s.write("site/a.txt", "file")
        wrong = []

        def client(seed):
            r = random.Random(seed)
            try:
                c = Client(s)
                for i in range(150):
                    kind = r.randrange(5)
                    if kind == 0:
                        got, want = c.request("GET", "/a.txt").body, b"file"
                    elif kind == 1:
                        n = r.choice([1000, 100000, 3000000])
                        x = c.request("GET", "/f/typed/work?n=%d" % n)
                        got, want = (x.status, x.body[:200] if x.status != 200 else 0), (200, 0)
                    elif kind == 2:
                        got, want = c.request("POST", "/f/wordcount", b"a b c").body, b'{"bytes":5,"lines":0,"words":3}\n'
                    else:
                        got, want = c.request("POST", "/f/hello/say", b"%d" % i).body, b"hello, %d" % i
                    if got != want:
                        wrong.append((got, want))
            except Exception as e:  # noqa: BLE001
                wrong.append(repr(e))

        threads = [threading.Thread(target=client, args=(i,)) for i in range(12)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        same(wrong[:5], [])


def main():
    if not os.path.exists(SERVE):
        sys.exit("test_server.py: %s is not there" % SERVE)
    status = runner.run(TESTS, sys.argv[1:])
    shutil.rmtree(GUESTS, ignore_errors=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
