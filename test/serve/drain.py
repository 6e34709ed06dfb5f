#!/usr/bin/env python3
"""Reloads and ends cut no answer that has begun, and lose no request that was taken: clients that read late or slowly, on connections of HTTP/1.1, HTTP/2 and TLS.

Usage: drain.py [NAME...]; SSVM_BUILD names the build folder. Ends with 'N passed, N failed, N skipped'.
"""
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

import test_server as base
from test_protocol import DATA, END_STREAM, GOAWAY, H2, HEADERS, PING, RST, SETTINGS, WINDOW, Tls, frame, tool, trusting
from test_server import PATIENCE, Client, same, until

TESTS = []
SIZE = 400000  # more than a client's window takes, less than the server's socket
SECONDS = float(os.environ.get("DRAIN_SECONDS", "8"))
LATE = 0.4, 1.5, 4.5  # seconds after a reload: before idle connections are closed, then, and after a linger's two seconds


def test(f):
    TESTS.append(f)
    return f


def narrow(s, tls=False):
    """A socket that holds little of what was not read."""
    c = socket.socket()
    c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    c.settimeout(PATIENCE)
    c.connect(("127.0.0.1", s.tls if tls else s.port))
    if tls:
        context = trusting()
        context.set_alpn_protocols(["h2"])
        c = context.wrap_socket(c, server_hostname="127.0.0.1")
    return c


class Wide(H2):
    """A client whose windows are open, and whose socket is not."""

    def __init__(self, s, tls=False):
        self.s, self.buf = narrow(s, tls), b""
        self.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 1 << 24)) + frame(WINDOW, 0, 0, struct.pack(">I", 1 << 24)))

    def body(self, stream):
        """All of a reply's body. Says something in between, as clients do that open their windows."""
        body = b""
        while True:
            f = self.next()
            assert f, "the connection ends after %d bytes" % len(body)
            assert not (f[0] == RST and f[2] == stream), "reset after %d bytes: %r" % (len(body), f)
            if f[0] == DATA and f[2] == stream:
                body += f[3]
                if f[1] & END_STREAM:
                    return body
                self.send(frame(WINDOW, 0, 0, struct.pack(">I", len(f[3]))))


def reload(s, number=signal.SIGHUP):
    before = open(s.dir + "/out").read().count("ssvm-serve: reloaded\n")
    s.process.send_signal(number)
    until("it is reloaded", lambda: open(s.dir + "/out").read().count("ssvm-serve: reloaded\n") > before)


def big(*options):
    s = Tls(*options)
    s.body = os.urandom(SIZE)
    s.write("site/big.bin", s.body)
    s.write("site/a.txt", "abc")
    return s


@test
def taken_late():
    """The server has sent all that it had to send, as far as it can see, and the client reads it after the reload."""
    def http2(s, tls):
        return Wide(s, tls).get(1, b"/big.bin")

    def read2(c):
        c.send(frame(PING, 0, 0, b"12345678"))
        time.sleep(0.1)
        return c.body(1)

    def http1(s, _):
        c = Client(s)
        c.s.close()
        c.s = narrow(s)
        return c.send(b"GET /big.bin HTTP/1.1\r\nHost: a\r\n\r\n")

    def read1(c):
        c.send(b"GET /a.txt HTTP/1.1\r\nHost: a\r\n\r\n")
        time.sleep(0.1)
        return c.reply().body

    with big() as s:
        late = [(t, begin, read, tls) for t in LATE for begin, read, tls in ((http2, read2, False), (http2, read2, True), (http1, read1, False))]
        clients = [begin(s, tls) for _, begin, _, tls in late]
        time.sleep(0.5)  # for the replies to be in the sockets
        reload(s)
        began, wrong = time.monotonic(), []
        for (t, begin, read, tls), c in zip(late, clients):
            time.sleep(max(0, began + t - time.monotonic()))
            try:
                same(read(c) == s.body, True)
            except (AssertionError, OSError, EOFError) as e:
                wrong.append((t, begin.__name__, tls, repr(e)))
        same(wrong, [])


@test
def told_to_go():
    """HTTP/2: who asks before he reads that he should not is answered; who asks later is told that it was not looked at."""
    def asks(c, stream):
        """200, or how it was told that somebody else may be asked."""
        c.get(stream, b"/a.txt")
        while True:
            f = c.next()
            assert f, "the connection ends, and it was not said what became of %d" % stream
            if f[0] == GOAWAY and struct.unpack(">I", f[3][:4])[0] < stream:
                return "goaway"
            if f[0] == HEADERS and f[2] == stream:
                return 200
            assert not (f[0] == RST and f[2] == stream), f

    with big() as s:
        for number in (signal.SIGHUP, signal.SIGUSR2):
            used, fresh, idle = H2(s), H2(s), H2(s)
            same(used.get(1, b"/a.txt").answer(1), 200)
            same(idle.get(1, b"/a.txt").answer(1), 200)
            reload(s, number)
            notice = idle.until(GOAWAY)
            same(notice and notice[3], struct.pack(">II", (1 << 31) - 1, 0), "the first GOAWAY refuses nothing")
            assert asks(used, 3) in (200, "goaway")
            time.sleep(1.5)
            same(asks(fresh, 1), 200, "who had asked nothing yet")
            last = idle.until(GOAWAY)
            same(last and last[3], struct.pack(">II", 1, 0), "the last one says which was the last")
            assert idle.until(255) is None


def reading_slowly(s):
    """A client that has begun to read a reply of which most is still the server's."""
    c = Client(s)
    c.s.close()
    c.s = narrow(s)
    c.send(b"GET /huge.bin HTTP/1.1\r\nHost: a\r\n\r\n")
    while len(c.buf) < 1000:
        c.fill()
    return c


@test
def stopped_while_retiring():
    """The server ends while workers of a generation before still answer: they have drain-time as all others have."""
    with big("--drain-time", "%ds" % PATIENCE) as s:
        s.write("site/huge.bin", s.body * 16)
        c = reading_slowly(s)
        reload(s)
        time.sleep(1.5)
        s.process.send_signal(signal.SIGTERM)
        time.sleep(1.5)
        same(c.reply().body == s.body * 16, True)
        c.close()
        same(s.process.wait(PATIENCE), 0)


@test
def longer_than_drain_time():
    """A reload and an upgrade leave a reply retire-time, however short drain-time is; the end of the server leaves it drain-time, however long retire-time is."""
    with big("--drain-time", "100ms", "--retire-time", "600s") as s:
        s.write("site/huge.bin", s.body * 16)
        for number in (signal.SIGHUP, signal.SIGUSR2):
            before = s.processes("ssvm-worker")
            c = reading_slowly(s)
            reload(s, number)
            reload(s)  # the others have nothing to do, and go
            until("one of them is left", lambda: len(set(before) & set(s.processes("ssvm-worker"))) == 1)
            time.sleep(2.5)  # the second that is left to those who wait, and then drain-time
            same(len(set(before) & set(s.processes("ssvm-worker"))), 1)
            same(c.reply().body == s.body * 16, True)
            c.close()
            until("it is gone", lambda: not set(before) & set(s.processes("ssvm-worker")))
        c = reading_slowly(s)
        reload(s)
        s.process.send_signal(signal.SIGTERM)
        until("the server is gone", lambda: s.process.poll() is not None)
        s.forgiven = True  # it was at something
        c.close()


@test
def retire_time():
    """When it is over, a retired worker goes, whatever it was at; drain-time has no say in it."""
    with big("--drain-time", "600s", "--retire-time", "100ms") as s:
        s.write("site/huge.bin", s.body * 16)
        before = s.processes("ssvm-worker")
        c = reading_slowly(s)
        reload(s)
        until("they are gone", lambda: not set(before) & set(s.processes("ssvm-worker")))
        cut = True
        try:
            cut = c.reply().body != s.body * 16
        except (EOFError, OSError):
            pass
        same(cut, True)
        s.forgiven = True  # it says so
        c.close()


@test
def slow_crowd():
    """Readers that are slow, and uploads that are echoed, through reloads and upgrades that never pause."""
    wrong, counts, stop = [], {}, threading.Event()

    def http2(s, tls=False):
        c = Wide(s, tls).get(1, b"/big.bin")
        time.sleep(0.3)
        body = b""
        while True:
            f = c.next()
            assert f, "the connection ends after %d bytes" % len(body)
            if f[0] == GOAWAY and struct.unpack(">I", f[3][:4])[0] < 1:
                return False
            assert not (f[0] == RST and f[2] == 1), "reset after %d bytes: %r" % (len(body), f)
            if f[0] == DATA and f[2] == 1:
                body += f[3]
                c.send(frame(WINDOW, 0, 0, struct.pack(">I", max(1, len(f[3])))))
                time.sleep(0.01)
                if f[1] & END_STREAM:
                    same(body == s.body, True, len(body))
                    c.s.close()
                    return True

    def secure(s):
        return http2(s, True)

    def http1(s):
        c = Client(s)
        c.s.close()
        c.s = narrow(s)
        c.send(b"GET /big.bin HTTP/1.1\r\nHost: a\r\n\r\n")
        time.sleep(0.3)
        while len(c.buf) < SIZE // 2:
            c.fill()
            time.sleep(0.001)
        same(c.reply().body == s.body, True)
        c.close()
        return True

    def echo(s, how="--http2-prior-knowledge"):
        r = subprocess.run([tool("curl"), "-sS", "--max-time", str(PATIENCE), how, "--limit-rate", "400k", "--data-binary", "@" + s.dir + "/site/big.bin", "http://127.0.0.1:%d/f/stream?echo" % s.port],
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert r.stdout == s.body, (r.returncode, len(r.stdout), r.stderr[-200:])
        return True

    def echo1(s):
        return echo(s, "--http1.1")

    def run(s, f):
        while not stop.is_set():
            try:
                done = f(s)
            except (AssertionError, OSError, EOFError) as e:
                wrong.append((f.__name__, repr(e)))
                return
            key = f.__name__ if done else f.__name__ + " again"
            counts[key] = counts.get(key, 0) + 1

    with big("--loops", "2", "--workers", "2") as s:
        s.function("stream")
        threads = [threading.Thread(target=run, args=(s, f)) for f in (http2, secure, http1, echo, echo1) for _ in range(2)]
        for t in threads:
            t.start()
        end, n = time.monotonic() + SECONDS, 0
        while time.monotonic() < end and not wrong:
            reload(s, signal.SIGUSR2 if n % 2 else signal.SIGHUP)
            n += 1
        stop.set()
        for t in threads:
            t.join(PATIENCE)
        print("    %d reloads and upgrades; %s" % (n, counts))
        same(wrong, [])
        same(sorted(f for f in counts if " " not in f), sorted(f.__name__ for f in (http2, secure, http1, echo, echo1)))


if __name__ == "__main__":
    base.TESTS[:] = TESTS
    sys.exit(base.main())
