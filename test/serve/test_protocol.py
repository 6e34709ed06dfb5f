#!/usr/bin/env python3
"""Tests of what carries HTTP: TLS, HTTP/2, bodies that move while their function runs, compressed files, request smuggling; with clients that
are not ours (curl, h2load, openssl, Python's ssl and http.client), and frames made by hand where those are too polite.

Usage: test_protocol.py [NAME...]; SSVM_BUILD names the build folder. Ends with 'N passed, N failed, N skipped'.
"""
import http.client
import os
import re
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import time

import test_server
from test_server import HERE, PATIENCE, SERVE, Client, Server, Skip, best_of, same, test, until

test_server.TESTS.clear()


def tool(name):
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin")
    if not path:
        raise Skip(name + " is missing")
    return path


def run(*command, stdin=b"", timeout=PATIENCE):
    r = subprocess.run(command, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout)
    return r.returncode, r.stdout


def certificate(folder, name="cert", subject="one", password=None):
    cert, key = os.path.join(folder, name + ".pem"), os.path.join(folder, name + ".key")
    secret = ["-passout", "pass:" + password] if password else ["-nodes"]
    subprocess.run([tool("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", *secret, "-keyout", key, "-out", cert, "-days", "2",
                    "-subj", "/CN=" + subject, "-addext", "subjectAltName=IP:127.0.0.1"], check=True, stderr=subprocess.DEVNULL)
    return cert, key


class Tls(Server):
    """A server with a plain and a TLS address."""

    def __init__(self, *options, **popen):
        self.keys = tempfile.mkdtemp(prefix="ssvm-keys-")
        self.cert, self.key = certificate(self.keys)
        super().__init__("--listen", "127.0.0.1:0", "--listen", "https://127.0.0.1:0", "--tls-cert", self.cert, "--tls-key", self.key, "--log",
                         os.path.join(self.keys, "log"), *options, **popen)
        self.log = os.path.join(self.keys, "log")

    def __enter__(self):
        super().__enter__()
        m = until("its TLS address", lambda: re.search(r"https://\S+:(\d+) serves", open(self.dir + "/out").read()))
        if "without TLS" in open(self.dir + "/out").read():
            raise Skip("built without TLS")
        self.tls = int(m.group(1))
        return self

    def __exit__(self, *a):
        super().__exit__(*a)
        shutil.rmtree(self.keys, ignore_errors=True)

    def url(self, path, tls=True):
        return "http%s://127.0.0.1:%d%s" % ("s" if tls else "", self.tls if tls else self.port, path)


def trusting(alpn=None):
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols(alpn)
    return context


def s_client(s, *options, stdin=b""):
    return run(tool("openssl"), "s_client", "-connect", "127.0.0.1:%d" % s.tls, *options, stdin=stdin)[1].decode("latin1")


# ---- TLS


@test
def tls_versions():
    with Tls() as s:
        s.write("site/a.txt", "abc")
        for version, spoken in (("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")):
            assert "Protocol  : " + spoken in s_client(s, version) or "New, " + spoken in s_client(s, version), version
        for version in ("-tls1", "-tls1_1"):
            assert "Cipher is (NONE)" in s_client(s, version, "-cipher", "ALL:@SECLEVEL=0"), version
        for offered, chosen in (("h2,http/1.1", "h2"), ("http/1.1,h2", "h2"), ("http/1.1", "http/1.1")):
            assert "ALPN protocol: " + chosen in s_client(s, "-alpn", offered), offered
        assert "no application protocol" in s_client(s, "-alpn", "spdy/3"), "a protocol that we do not speak"
        text = s_client(s, "-tls1_2", stdin=b"R\nGET / HTTP/1.1\r\n\r\n")
        assert "no renegotiation" in text or "RENEGOTIATING" not in text, text[-500:]
        same(s.get("/a.txt").body, b"abc", "the plain address")


@test
def tls_requests():
    """Many on one connection, small and large, by Python's client."""
    with Tls() as s:
        s.function("hello")
        big = os.urandom(3 << 20)
        s.write("site/big.bin", big)
        s.write("site/a.txt", "abc")
        c = http.client.HTTPSConnection("127.0.0.1", s.tls, timeout=PATIENCE, context=trusting())
        for _ in range(20):
            c.request("GET", "/a.txt")
            same(c.getresponse().read(), b"abc")
            c.request("POST", "/f/hello/say", body="x" * 100000)
            same(c.getresponse().read(), b"hello, " + b"x" * 100000)
        c.request("GET", "/big.bin")
        same(c.getresponse().read(), big)
        c.close()
        env = subprocess.run(["curl", "-sk", "--http1.1", s.url("/a.txt"), "-w", "%{http_version}"], stdout=subprocess.PIPE, check=True).stdout
        same(env, b"abc1.1")


@test
def tls_sessions():
    """A session goes on with any worker: those that are there now were not when it began."""
    def connect(session=None):
        with socket.create_connection(("127.0.0.1", s.tls), PATIENCE) as plain, context.wrap_socket(plain, session=session) as c:
            c.sendall(b"GET /a.txt HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            text = b""
            while part := c.recv(4096):
                text += part
            assert text.endswith(b"abc"), text
            return c.session, c.session_reused

    with Tls("--workers", "2") as s:
        s.write("site/a.txt", "abc")
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = trusting()
            context.minimum_version = context.maximum_version = version
            session, reused = connect()
            same(reused, False, version)
            same(connect(session)[1], True, version)
            before = set(s.processes("ssvm-worker"))
            for pid in before:
                os.kill(pid, signal.SIGKILL)
            until("there are new workers", lambda: len(set(s.processes("ssvm-worker")) - before) == 2)
            for _ in range(4):
                same(connect(session)[1], True, version)


@test
def tls_bad_files():
    """What is wrong with a certificate or a key is said, by a start and by --check, and nothing is asked on the terminal."""
    folder = tempfile.mkdtemp(prefix="ssvm-keys-")
    try:
        cert, key = certificate(folder)
        _, other = certificate(folder, "other")
        locked = certificate(folder, "locked", password="secret")
        with open(folder + "/rubbish.pem", "w") as f:
            f.write("-----BEGIN CERTIFICATE-----\nrubbish\n-----END CERTIFICATE-----\n")
        os.makedirs(folder + "/app/site")
        os.makedirs(folder + "/hidden")
        os.chmod(folder, 0o755)
        hidden = certificate(folder + "/hidden")
        os.chmod(folder + "/hidden", 0o700)

        def start(*options):
            return run(SERVE, folder + "/app", "--data", "none", *options)

        for options, message in (([], "--tls-cert"), (["--tls-cert", cert], "--tls-key"),
                                 (["--tls-cert", folder + "/none.pem", "--tls-key", key], "No such file"),
                                 (["--tls-cert", folder + "/rubbish.pem", "--tls-key", key], "the certificate '" + folder + "/rubbish.pem'"),
                                 (["--tls-cert", cert, "--tls-key", folder + "/none.key"], "the key '" + folder + "/none.key': No such file"),
                                 (["--tls-cert", key, "--tls-key", key], "there is no certificate in PEM"),
                                 (["--tls-cert", cert, "--tls-key", cert], "there is no private key in PEM"), (["--tls-cert", cert, "--tls-key", other], "key values mismatch"),
                                 (["--tls-cert", locked[0], "--tls-key", locked[1]], "a password locks it"),
                                 (["--tls-cert", hidden[0], "--tls-key", hidden[1], "--user", "nobody"], "cert.pem': Permission denied")):
            if "--user" in options and os.geteuid() != 0:
                continue
            for at in ["--listen"], ["--listen", "127.0.0.1:0", "--admin"]:
                status, text = start(*at, "https://127.0.0.1:0", *options)
                assert status == 1 and message in text.decode(), (options, status, text)
                said = [line for line in text.splitlines() if message.encode() in line]
                status, text = start(*at, "https://127.0.0.1:0", *options, "--check")
                same((status, [line for line in text.splitlines() if message.encode() in line]), (1, said), options)
        if os.geteuid() == 0:
            same(start("--listen", "https://127.0.0.1:0", "--tls-cert", hidden[0], "--tls-key", hidden[1], "--check")[0], 0, "root may read it")
        status, text = start("--listen", "https://127.0.0.1:0", "--tls-cert", cert, "--tls-key", key, "--check")
        assert status == 0 and b"ssvm-serve: " not in text, text
        status, text = start("--tls-cert", cert, "--tls-key", key, "--listen", "127.0.0.1:0", "--check")
        assert status == 0 and b"note: '--tls-cert' and '--tls-key' are not used" in text, text
        subprocess.run([tool("openssl"), "req", "-new", "-key", key, "-subj", "/CN=late", "-out", folder + "/late.csr"], check=True, stderr=subprocess.DEVNULL)
        subprocess.run([tool("openssl"), "x509", "-req", "-in", folder + "/late.csr", "-signkey", key, "-days", "-1", "-out", folder + "/late.pem"], check=True, stderr=subprocess.DEVNULL)
        status, text = start("--listen", "https://127.0.0.1:0", "--tls-cert", folder + "/late.pem", "--tls-key", key, "--check")
        assert status == 0 and b"warning: the certificate '" in text and b"has expired" in text, text
    finally:
        shutil.rmtree(folder)


@test
def tls_reload():
    """A new pair is taken, half of one or rubbish is not, and nobody is turned away meanwhile."""
    def subject(s):
        return re.search(r"subject=.*CN = (\w+)", s_client(s)).group(1)

    with Tls("--workers=1") as s:  # each tells of it by itself
        s.write("site/a.txt", "abc")
        same(subject(s), "one")
        cert, key = certificate(s.keys, "new", "two")
        os.rename(cert, s.cert)
        events = lambda: [x["event"] for x in s.lines() if x.get("event", "").startswith("certificate")]  # noqa: E731
        until("half of a pair is refused", lambda: subject(s) == "one" and events() == ["certificate_refused"])
        same(subject(s), "one", "half of a pair")
        os.rename(key, s.key)
        until("the new pair", lambda: subject(s) == "two")
        with open(s.cert, "w") as f:
            f.write("rubbish")
        until("rubbish is refused", lambda: subject(s) == "two" and events() == ["certificate_refused", "certificate_changed", "certificate_refused"])
        same(subject(s), "two", "rubbish")


@test
def tls_slow():
    """Who does not finish his handshake, or does not speak TLS, is not waited for."""
    with Tls("--head-time", "400") as s:
        s.write("site/a.txt", "abc")
        idle = [socket.create_connection(("127.0.0.1", s.tls)) for _ in range(50)]
        for c in idle[25:]:
            c.sendall(b"\x16\x03\x01\x02\x00\x01")
        for data in (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", os.urandom(300), b"\x16\x03\x01\xff\xff" + b"\0" * 100, b"\x80\x2e\x01\x03\x01"):
            with socket.create_connection(("127.0.0.1", s.tls), PATIENCE) as c:
                c.sendall(data)
                c.settimeout(PATIENCE)
                try:
                    while c.recv(4096):
                        pass
                except ConnectionResetError:
                    pass
        for c in idle:
            c.settimeout(PATIENCE)
            try:
                same(c.recv(10), b"")
            except ConnectionResetError:
                pass

        def half():
            """A whole handshake, and then half a head."""
            c = trusting().wrap_socket(socket.create_connection(("127.0.0.1", s.tls), PATIENCE))
            c.sendall(b"GET /a.txt HT")
            assert b"408" in c.recv(4096)

        best_of(10, half)
        until("it serves", lambda: subprocess.run(["curl", "-sk", s.url("/a.txt")], stdout=subprocess.PIPE).stdout == b"abc")


# ---- HTTP/2 with clients of others


@test
def h2_requests():
    tool("curl")
    with Tls() as s:
        s.function("hello").function("env")
        big = os.urandom(3 << 20)
        s.write("site/big.bin", big)
        s.write("site/a.txt", "abc")
        for how in (["-k", "--http2", s.url("")], ["--http2-prior-knowledge", s.url("", False)]):
            def curl(path, *options):
                return subprocess.run(["curl", "-s", "--max-time", str(PATIENCE), *how[:-1], how[-1] + path, *options], stdout=subprocess.PIPE).stdout
            same(curl("/a.txt", "-w", "%{http_version}"), b"abc2")
            same(curl("/big.bin"), big)
            same(curl("/f/hello/say?name=a%20b"), b"hello, a b")
            same(curl("/f/hello/say", "-d", "x" * 50000), b"hello, " + b"x" * 50000)
            same(curl("/f/hello/say", "-d", "x", "-H", "Expect: 100-continue"), b"hello, x")
            same(curl("/none", "-o", "/dev/null", "-w", "%{http_code}"), b"404")
            same(curl("/a.txt", "-X", "POST", "-d", "x" * 100000, "-o", "/dev/null", "-w", "%{http_code}"), b"405")
            same(curl("/a.txt", "-H", "Range: bytes=1-1"), b"b")
            head = curl("/a.txt", "-I").decode()
            assert head.startswith("HTTP/2 200") and "content-length: 3" in head, head
            env = curl("/f/env?q", "-H", "Cookie: a=1", "-H", "X-One: 1").decode()
            for line in ("SERVER_PROTOCOL", "HTTP/2.0", "HTTP_COOKIE", "a=1", "REQUEST_SCHEME", "https" if "-k" in how else "http"):
                assert line in env, (line, env)
            if "-k" in how:  # without TLS, curl 7.88 forgets the second
                same(curl("/a.txt", "--next", "-s", *how[:-1], how[-1] + "/f/hello/say?name=x"), b"abchello, x")


@test
def h2_load():
    h2load = tool("h2load")
    with Tls() as s:
        s.function("hello")
        s.write("site/a.txt", "abc" * 10000)
        for url in (s.url("/a.txt"), s.url("/a.txt", False), s.url("/f/hello/say?x=y"), s.url("/f/hello/say?x=y", False)):
            _, text = run(h2load, "-n2000", "-c20", "-m20", url, timeout=60)
            assert b"status codes: 2000 2xx" in text and b"2000 succeeded, 0 failed" in text, text[-600:]


# ---- HTTP/2 by hand

DATA, HEADERS, PRIORITY, RST, SETTINGS, PING, GOAWAY, WINDOW, CONTINUATION = 0, 1, 2, 3, 4, 6, 7, 8, 9
END_STREAM, END_HEADERS, ACK = 1, 4, 1
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def number(n, bits=7, first=0):
    most = (1 << bits) - 1
    if n < most:
        return bytes([first | n])
    out, n = [first | most], n - most
    while n >= 128:
        out.append(n % 128 | 128)
        n //= 128
    return bytes(out + [n])


def field(name, value, first=b"\x00"):
    return first + number(len(name)) + name + number(len(value)) + value


def head(path=b"/a.txt", method=b"GET", *fields, authority=b"a"):
    out = field(b":method", method) + field(b":scheme", b"http") + field(b":path", path)
    if authority:
        out += field(b":authority", authority)
    return out + b"".join(field(k, v) for k, v in fields)


class H2:
    """A client without manners."""

    def __init__(self, s, settings=b""):
        self.s = socket.create_connection(("127.0.0.1", s.port), PATIENCE)
        self.s.settimeout(PATIENCE)
        self.buf = b""
        self.send(PREFACE + frame(SETTINGS, 0, 0, settings))

    def send(self, data):
        self.s.sendall(data)
        return self

    def get(self, stream, *a, end=END_STREAM, **kw):
        return self.send(frame(HEADERS, END_HEADERS | end, stream, head(*a, **kw)))

    def next(self):
        """kind, flags, stream, payload; None at the end of the connection."""
        while True:
            if len(self.buf) >= 9:
                n = int.from_bytes(self.buf[:3], "big")
                if len(self.buf) >= 9 + n:
                    kind, flags, stream = struct.unpack(">BBI", self.buf[3:9])
                    payload, self.buf = self.buf[9:9 + n], self.buf[9 + n:]
                    return kind, flags, stream, payload
            try:
                data = self.s.recv(1 << 16)
            except (ConnectionResetError, socket.timeout):
                return None
            if not data:
                return None
            self.buf += data

    def until(self, kind, stream=None):
        while True:
            f = self.next()
            if f is None or (f[0] == kind and stream in (None, f[2])):
                return f

    def answer(self, stream):
        """The status of a reply (HPACK: static table or a literal), "reset N" or "goaway N"."""
        while True:
            f = self.next()
            if f is None:
                return "closed"
            if f[0] == GOAWAY:
                return "goaway %d" % struct.unpack(">I", f[3][4:8])
            if f[2] == stream and f[0] == RST:
                return "reset %d" % struct.unpack(">I", f[3])
            if f[2] == stream and f[0] == HEADERS:
                p = f[3]
                while p[0] & 0xe0 == 0x20:  # a table size
                    p = p[1:]
                static = {0x88: 200, 0x89: 204, 0x8a: 206, 0x8b: 304, 0x8c: 400, 0x8d: 404, 0x8e: 500}
                return static.get(p[0]) or int(unhuffman(p[2:2 + (p[1] & 127)]) if p[1] & 128 else p[2:5])


def unhuffman(data):
    """Digits only."""
    codes = {"0": "00000", "1": "00001", "2": "00010", "3": "011001", "4": "011010", "5": "011011", "6": "011100", "7": "011101", "8": "011110", "9": "011111"}
    bits, out = "".join("{:08b}".format(b) for b in data), ""
    while len(out) < 3:
        digit = next(d for d, c in codes.items() if bits.startswith(c))
        out, bits = out + digit, bits[len(codes[digit]):]
    return out


def h2_server(*options):
    s = Server(*options)
    s.write("site/a.txt", "abc")
    s.write("site/big.bin", b"x" * (4 << 20))
    return s


@test
def h2_malformed():
    """Heads that two readers could understand in two ways reset their stream or are refused, and harm no other."""
    cases = [
        ((b"/a.txt", b"GET"), 200), ((b"/a.txt", b"GET", (b"Upper", b"x")), "reset 1"), ((b"/a.txt", b"GET", (b"connection", b"close")), "reset 1"),
        ((b"/a.txt", b"GET", (b"transfer-encoding", b"chunked")), "reset 1"), ((b"/a.txt", b"GET", (b"te", b"gzip")), "reset 1"),
        ((b"/a.txt", b"GET", (b"a", b"b\r\nx: y")), "reset 1"), ((b"/a.txt", b"GET", (b"a\r\nb", b"c")), "reset 1"), ((b"/a.txt", b"GET", (b"a b", b"c")), "reset 1"),
        ((b"/a.txt", b"GET", (b"host", b"b")), 400), ((b"/a.txt", b"GET", (b"host", b"a")), 200), ((b"/a.txt HTTP/1.1\r\nx: y", b"GET"), ("reset 1", 400)),
        ((b"a.txt", b"GET"), ("reset 1", 400)), ((b"http://b/a.txt", b"GET"), ("reset 1", 400)), ((b"", b"GET"), ("reset 1", 400)), ((b"/a.txt", b"BREW"), 501),
        ((b"/a.txt", b"GE T"), ("reset 1", 400)), ((b"/%2e%2e/x", b"GET"), 400), ((b"/a.txt", b"GET", (b"content-length", b"3")), "reset 1"),
        ((b"/a.txt", b"GET", (b":path", b"/b")), "reset 1"), ((b"/a.txt", b"GET", (b"expect", b"x")), 417), ((b"/" + b"x" * 9000, b"GET"), (414, 431)),
        ((b"/a.txt", b"GET", *[(b"a%d" % i, b"b" * 100) for i in range(110)]), 431), ((b"/a.txt", b"GET", *[(b"a%d" % i, b"b") for i in range(120)]), 431),
    ]
    with h2_server() as s:
        for args, wanted in cases:
            c = H2(s).get(1, *args)
            got = c.answer(1)
            assert got == wanted or (isinstance(wanted, tuple) and got in wanted), (args, got, wanted)
            if not str(got).startswith("goaway"):
                same(c.get(3).answer(3), 200, "the next stream after %r" % (args,))
        c = H2(s).get(1, authority=b"")
        assert c.answer(1) in ("reset 1", 400), "no host"
        same(s.get("/a.txt").status, 200)


@test
def h2_bodies():
    """Longer or shorter than they say."""
    with h2_server() as s:
        s.function("hello")
        post = (b"/f/hello/say", b"POST", (b"content-length", b"3"))
        same(H2(s).get(1, *post, end=0).send(frame(DATA, END_STREAM, 1, b"abc")).answer(1), 200)
        same(H2(s).get(1, *post, end=0).send(frame(DATA, END_STREAM, 1, b"abcd")).answer(1), "reset 1")
        same(H2(s).get(1, *post, end=0).send(frame(DATA, END_STREAM, 1, b"ab")).answer(1), "reset 1")
        same(H2(s).get(1, b"/f/hello/say", b"POST", end=0).send(frame(DATA, 0, 1, b"ab") + frame(DATA, END_STREAM, 1, b"c")).answer(1), 200)
        c = H2(s).get(1, b"/f/hello/say", b"POST", (b"content-length", b"99999999"), end=0)
        same(c.answer(1), 413)
    with h2_server("--body-time", "400") as s:
        s.function("hello")
        same(H2(s).get(1, b"/f/hello/say", b"POST", end=0).send(frame(DATA, 0, 1, b"ab")).answer(1), 408)


@test
def h2_floods():
    """Frames that cost us and not them end the connection, soon, and the server lives on small memory."""
    def rapid_reset(c):
        for i in range(1, 4001, 2):
            c.send(frame(HEADERS, END_HEADERS | END_STREAM, i, head(b"/f/hello/say?x=1")) + frame(RST, 0, i, struct.pack(">I", 8)))

    def pings(c):
        for _ in range(400):
            c.send(frame(PING, 0, 0, b"12345678") * 10)

    def settings(c):
        for _ in range(400):
            c.send(frame(SETTINGS, 0, 0) * 10)

    def empties(c):
        c.get(1, b"/f/hello/say", b"POST", end=0)
        for _ in range(400):
            c.send(frame(DATA, 0, 1) * 10)

    def priorities(c):
        for i in range(400):
            c.send(frame(PRIORITY, 0, 2 * i + 1, struct.pack(">IB", 0, 16)) * 10)

    def continuations(c):
        c.send(frame(HEADERS, END_STREAM, 1, head()))
        for _ in range(400):
            c.send(frame(CONTINUATION, 0, 1, field(b"x", b"y" * 1000)) * 4)

    def hpack_bomb(c):
        c.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, head() + field(b"x", b"y" * 3900, b"\x40")))
        for i in range(3, 103, 2):
            c.send(frame(HEADERS, END_HEADERS | END_STREAM, i, head() + b"\xbe" * 16000))

    def bad_frames(c):
        for i in range(400):
            c.send(frame(WINDOW, 0, 0, struct.pack(">I", 0)) * 10)

    with h2_server() as s:
        s.function("hello")
        same(s.get("/f/hello/say?x=1").status, 200)
        for flood in (rapid_reset, pings, settings, empties, priorities, continuations, hpack_bomb, bad_frames):
            c = H2(s)
            try:
                flood(c)
            except (BrokenPipeError, ConnectionResetError):
                pass
            if flood not in (hpack_bomb, priorities): # which cost us no more than their bytes
                f = c.until(GOAWAY)
                assert f is None or f[0] == GOAWAY, flood.__name__
                assert c.until(255) is None, flood.__name__ + ": the connection goes on"
            c.s.close()
            same(s.get("/a.txt").status, 200, flood.__name__)
            same(s.get("/f/hello/say?x=1").status, 200, flood.__name__)


@test
def h2_slow():
    """Preface, head, windows: who lets us wait is not waited for. An answer that nobody takes holds no call."""
    with h2_server("--head-time", "400", "--idle-time", "800", "--write-time", "400", "--loops", "1") as s:
        half = socket.create_connection(("127.0.0.1", s.port))
        half.sendall(PREFACE[:20])
        half.settimeout(PATIENCE)
        closed = half.recv(4096)
        assert closed == b"" or b"408" in closed, closed
        same(H2(s).until(255), None, "nothing after the preface")
        c = H2(s).send(frame(HEADERS, END_STREAM, 1, head()))
        same(c.until(255), None, "a head without its end")

        def windows():
            c = H2(s, struct.pack(">HI", 4, 0)).get(1, b"/big.bin")
            same(c.answer(1), 200)
            assert c.until(RST, 1), "a window that is never opened"
            c = H2(s).get(1, b"/big.bin")
            same(c.answer(1), 200)
            assert c.until(RST, 1), "a window that is opened once"

        best_of(10, windows)  # who is late with his request has none
        until("it serves", lambda: s.get("/a.txt").status == 200)


@test
def h2_limits():
    """A hundred streams at once; the next is refused and may come again."""
    with h2_server() as s:
        s.function("hello")
        c = H2(s)
        for i in range(101):
            c.get(2 * i + 1, b"/f/hello/say", b"POST", end=0)
        same(c.answer(201), "reset 7")
        for i in range(100):
            c.send(frame(DATA, END_STREAM, 2 * i + 1, b"x"))
        done = set()
        while len(done) < 100:
            f = c.next()
            if f[0] == HEADERS:
                done.add(f[2])
        same(c.get(203).answer(203), 200)


# ---- Bodies that move


def final(c):
    """The reply, behind what a client that has ended its side is asked with."""
    r = c.reply()
    return final(c) if r.status == 100 else r


def pieces(c, ends):
    """Reads of a socket with their times, until `ends` is in them."""
    got = []
    while not any(ends in x for _, x in got):
        data = c.recv(1 << 16)
        if not data:
            break
        got.append((time.time(), data))
    return got


@test
def stream_out():
    with Tls("--call-output", "32M") as s:
        s.function("stream")
        def in_pieces(path, first, last):
            c = Client(s)
            c.send(b"GET /f/stream?%s HTTP/1.1\r\nHost: a\r\n\r\n" % path.encode())
            got = pieces(c.s, b"\r\n0\r\n\r\n")
            when = [next(t for t, x in got if y in x) for y in (first, last)]
            assert when[1] - when[0] > 0.4, (path, when)

        best_of(10, lambda: in_pieces("events", b"data: 0", b"data: 2"))
        best_of(10, lambda: in_pieces("flush", b"first", b"second"))
        for how in (["--http1.1"], ["--http1.0"], ["--http2-prior-knowledge"]):
            r = subprocess.run(["curl", "-s", *how, s.url("/f/stream?big", False)], stdout=subprocess.PIPE)
            same((r.returncode, len(r.stdout)), (0, 8 << 20), how)
            r = subprocess.run(["curl", "-s", *how, s.url("/f/stream?fail", False), "-o", "/dev/null"])
            if how != ["--http1.0"]:  # whose end is all that there is to see
                assert r.returncode in (18, 92), (how, r.returncode)
            r = subprocess.run(["curl", "-sI" if how != ["--http2-prior-knowledge"] else "-sI", *how, s.url("/f/stream?events", False)], stdout=subprocess.PIPE)
            assert b" 200" in r.stdout.split(b"\r\n")[0], r.stdout
        c = Client(s).send(b"GET /f/stream?big HTTP/1.1\r\nHost: a\r\n\r\nGET /f/stream?echo HTTP/1.1\r\nHost: a\r\n\r\n")
        same(len(c.reply().body), 8 << 20)
        same((c.reply().body, c.s.close()), (b"", None), "the next on the same connection")


@test
def stream_in():
    """A body larger than all memory of a call, with its length, in chunks, and by HTTP/2; wrong ones are told, or end the connection."""
    with Tls("--max-body", "1G", "--call-memory", "16M", "--max-bodies", "4M", "--workers", "1") as s:
        s.function("stream")
        s.write("zeros", b"\0" * (48 << 20))
        subprocess.run(["curl", "-s", "-d", "x", s.url("/f/stream?count", False)], stdout=subprocess.DEVNULL)
        for how in (["--http1.1"], ["--http1.1", "-H", "Transfer-Encoding: chunked"], ["--http2-prior-knowledge"]):
            r = subprocess.run(["curl", "-s", *how, "-T", s.dir + "/zeros", s.url("/f/stream?count", False)], stdout=subprocess.PIPE)
            same(r.stdout, b"%d" % (48 << 20), how)
        r = subprocess.run(["curl", "-sk", "-T", s.dir + "/zeros", s.url("/f/stream?count")], stdout=subprocess.PIPE)
        same(r.stdout, b"%d" % (48 << 20), "TLS")
        data = os.urandom(1 << 20)
        for how in (["--http1.1"], ["--http2-prior-knowledge"]):
            r = subprocess.run(["curl", "-s", *how, "--data-binary", "@-", s.url("/f/stream?echo", False)], input=data, stdout=subprocess.PIPE)
            assert r.stdout == data, how
        c = Client(s).send(b"POST /f/stream?count HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\nx\r\n")
        same(c.reply().status, 400, "bad chunks")
        c = Client(s).send(b"POST /f/stream?count HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nabc")
        c.s.shutdown(socket.SHUT_WR)
        same(final(c).status, 400, "shorter than it said")
    with Server("--max-body", "100K") as s:
        s.function("stream")
        s.get("/f/stream?count")
        c = Client(s).send(b"POST /f/stream?count HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + b"8000\r\n" + b"x" * 32768 + b"\r\n")
        try:
            for _ in range(10):
                c.send(b"8000\r\n" + b"x" * 32768 + b"\r\n")
        except OSError:
            pass
        same((c.reply().status, s.get("/f/stream?count").body), (413, b"0"))


class Upload:
    """A body that goes as far as the server's windows let it, and what comes back meanwhile."""

    def __init__(self, c, body):
        self.c, self.body, self.at, self.got, self.windows = c, body, 0, b"", [65535, 65535]

    def put(self):
        """What may go now."""
        data = b""
        while self.at < min(len(self.body), *self.windows):
            n = min(16384, min(len(self.body), *self.windows) - self.at)
            data += frame(DATA, END_STREAM if self.at + n == len(self.body) else 0, 1, self.body[self.at:self.at + n])
            self.at += n
        self.c.send(data)

    def take(self):
        """One frame. False: there is none now."""
        f = self.c.next()
        if not f:
            return False
        kind, flags, stream, payload = f
        if kind == SETTINGS and not flags & ACK:
            values = dict(struct.unpack(">HI", payload[i:i + 6]) for i in range(0, len(payload), 6))
            self.windows[1] += values.get(4, 65535) - 65535
            self.c.send(frame(SETTINGS, ACK, 0))
        elif kind == WINDOW:
            self.windows[stream] += struct.unpack(">I", payload)[0]
        elif kind == DATA:
            self.got += payload
        assert kind not in (RST, GOAWAY), "it is broken off after %d bytes in, %d out" % (self.at, len(self.got))
        self.put()
        return True


@test
def stream_in_early():
    """What of a body comes with the head, before the server knows that a function reads it as it comes, takes no room from what its window allows."""
    with Server("--workers", "1", "--loops", "1") as s:
        s.function("stream")
        s.get("/f/stream?count")
        worker, = s.processes("ssvm-worker")
        test_server.runner.stop(worker)  # so that it finds all at once
        try:
            c = H2(s).get(1, b"/f/stream?echo", b"POST", end=0)
            up = Upload(c, os.urandom(500000))
            up.put()
        finally:
            os.kill(worker, signal.SIGCONT)
        c.s.settimeout(1)
        while up.take():  # until our own window is full: then the function waits, and what it has not read stays where it is
            pass
        c.s.settimeout(PATIENCE)
        c.send(frame(WINDOW, 0, 0, struct.pack(">I", 1 << 20)) + frame(WINDOW, 0, 1, struct.pack(">I", 1 << 20)))
        while len(up.got) < len(up.body) and up.take():
            pass
        assert up.got == up.body, len(up.got)


@test
def stream_ends():
    """A client that goes away or does not read ends its call; a deadline holds; all places are free again."""
    with Server("--call-output", "1G", "--write-time", "400", "--call-time", "3s", "--calls", "2", "--workers", "1", "--queue-time", "20s") as s:
        s.function("stream")
        s.get("/f/stream?count")
        for how in ("gone", "silent"):
            held = [Client(s).send(b"GET /f/stream?forever HTTP/1.1\r\nHost: a\r\n\r\n") for _ in range(4)]
            for c in held:
                c.fill()
                if how == "gone":
                    c.close()
            same(s.get("/f/stream?count").body, b"0", how)
            for c in held:
                c.close()

        def ended():
            r = subprocess.run(["curl", "-s", "http://127.0.0.1:%d/f/stream?forever" % s.port, "-o", "/dev/null"])
            assert r.returncode == 18, r.returncode
            lines = [x for x in s.lines() if x.get("path") == "/f/stream"]
            assert any(x.get("lost") for x in lines) and any(x.get("error") in ("deadline", "output_limit") for x in lines), lines

        best_of(5, ended)  # a curl that is late is one that does not read


# ---- Static files


@test
def site_forms():
    with Server("--site-fallback", "/index.html", "--site-immutable") as s:
        old = time.time() - 100
        for name, data in (("index.html", "index"), ("app.3f2a91c0.css", "plain"), ("app.3f2a91c0.css.br", "br"), ("app.3f2a91c0.css.gz", "gz"), ("page.html", "page"),
                           ("big.js", "x" * 300000), ("big.js.gz", "y" * 200000), ("photo-20260101.jpg", "p"), ("only.txt.gz", "z")):
            os.utime(s.write("site/" + name, data), (old, old))

        def get(path, encodings=None, *fields):
            return s.get(path, fields=([("Accept-Encoding", encodings)] if encodings else []) + list(fields))

        for _ in range(2):
            for encodings, body, coding in ((None, b"plain", None), ("br", b"br", "br"), ("gzip, br", b"br", "br"), ("gzip", b"gz", "gzip"), ("br;q=0, gzip;q=0.5", b"gz", "gzip"),
                                            ("br;q=0.0", b"plain", None), ("identity", b"plain", None), ("BR", b"br", "br"), ("brx", b"plain", None)):
                r = get("/app.3f2a91c0.css", encodings)
                same((r.status, r.body, r["content-encoding"], r["vary"], r["content-type"]), (200, body, coding, "Accept-Encoding", "text/css; charset=utf-8"), encodings)
                same(r["cache-control"], "public, max-age=31536000, immutable")
                same(get("/app.3f2a91c0.css", encodings, ("If-None-Match", r["etag"])).status, 304, encodings)
            assert get("/app.3f2a91c0.css", "br")["etag"] != get("/app.3f2a91c0.css", "gzip")["etag"]
            r = get("/big.js", "gzip")
            same((len(r.body), r["content-encoding"]), (200000, "gzip"))
            same((len(get("/big.js").body), get("/big.js")["vary"]), (300000, "Accept-Encoding"))
            r = get("/big.js", "gzip", ("Range", "bytes=0-9"))
            same((r.status, r.body, r["content-encoding"]), (206, b"x" * 10, None), "a range is one of the file itself")
        same((get("/page.html")["cache-control"], get("/page.html")["vary"]), ("no-cache", None))
        same(get("/photo-20260101.jpg")["cache-control"], "no-cache")
        same((get("/only.txt", "gzip").status, get("/only.txt.gz").body), (404, b"z"))
        html = ("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
        same([get(p, None, html).body for p in ("/", "/some/page", "/app/")], [b"index"] * 3)
        same([get(p, None, html).status for p in ("/none.js", "/.git/x", "/a.b/none.txt")], [404] * 3)
        same(get("/some/page").status, 404, "a script that asks")
        same(get("/some/page", None, html)["vary"], "Accept")
        os.remove(os.path.join(s.dir, "site/app.3f2a91c0.css.br"))
        until("the form is gone", lambda: get("/app.3f2a91c0.css", "br, gzip").body == b"gz")
        r = get("/page.html")
        for fields, status in (([("If-Match", r["etag"])], 200), ([("If-Match", '"x"')], 412), ([("If-Match", "*")], 200), ([("If-Unmodified-Since", "Sun, 06 Nov 1994 08:49:37 GMT")], 412),
                               ([("If-Unmodified-Since", r["last-modified"])], 200), ([("Range", "bytes=9-")], 416), ([("Range", "bytes=9-"), ("If-None-Match", r["etag"])], 304)):
            same(get("/page.html", None, *fields).status, status, fields)


# ---- Smuggling


def statuses(port, data):
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as c:
        c.settimeout(3)
        buf = b""
        try:
            c.sendall(data)
            c.shutdown(socket.SHUT_WR)
            while True:
                d = c.recv(65536)
                if not d:
                    break
                buf += d
        except OSError:
            pass
    return " ".join(x.decode() for x in re.findall(rb"HTTP/1\.1 (\d\d\d)", buf) if x != b"100") or "-"


def corpus():
    with open(os.path.join(HERE, "smuggling/expected.txt")) as f:
        for line in f:
            if line.strip() and not line.startswith("#"):
                name, ours, theirs = line.split("|")[:3]
                with open(os.path.join(HERE, "smuggling", name.strip() + ".raw"), "rb") as raw:
                    yield name.strip(), ours.strip(), theirs.strip(), raw.read()


@test
def smuggling():
    with Server() as s:
        s.function("count", "stream")
        s.write("site/twelve.txt", "hello, world")
        same(s.get("/f/count?count").body, b"0")
        wrong = [(name, got, ours) for name, ours, _, data in corpus() for got in [statuses(s.port, data)] if got != ours]
        same(wrong, [])


@test
def smuggling_nginx():
    """The corpus against another server: where both refuse or both take, they agree in what."""
    nginx, folder = tool("nginx"), tempfile.mkdtemp(prefix="ssvm-nginx-")
    os.chmod(folder, 0o755)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    temps = " ".join("%s_temp_path %s/%s;" % (n, folder, n) for n in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    with open(folder + "/conf", "w") as f:
        f.write("worker_processes 1; daemon off; pid %s/pid; error_log %s/err; events {}\nhttp { access_log off; %s server { listen 127.0.0.1:%d; root %s; "
                "location /f/ { return 200 x; } } }\n" % (folder, folder, temps, port, folder))
    with open(folder + "/twelve.txt", "w") as f:
        f.write("hello, world")
    process = subprocess.Popen([nginx, "-c", folder + "/conf", "-p", folder], stderr=subprocess.DEVNULL)
    try:
        until("nginx", lambda: not socket.socket().connect_ex(("127.0.0.1", port)))
        wrong = [(name, got, theirs) for name, _, theirs, data in corpus() if theirs != "-" for got in [statuses(port, data)] if got != theirs]
        same(wrong, [])
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(test_server.main())
