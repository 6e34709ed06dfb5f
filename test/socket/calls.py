#!/usr/bin/env python3
"""Sockets of guests in C: both eras' functions, limits of grants, calls that are ended, datagrams under load. SSVM_BUILD names the build folder."""
import os
import signal
import socket
import sys
import threading
import time

from lib import BUILD, PATIENCE, Guest, Skip, compile_guest, free_port, peer, read_all, read_exactly, same, test, main

HOME = ("--allow-connect=127.0.0.1:*", "--allow-listen=127.0.0.1:0")
ACCES, REFUSED = "2", "14"


def says(folder, wanted, *args, grants=HOME):
    with Guest(compile_guest(folder, "calls"), *args, grants=grants) as g:
        same(g.answer(), wanted, " ".join(args))


@test
def both_eras(folder):
    says(folder, "1 0 0 0 127.0.0.1 1", "accepts")


@test
def edges_are_told_once(folder):
    says(folder, "0:1(1) 0:2(0) 0:1(1) 0:2(0) 0:1(1)", "edges")


@test
def tiers_agree(folder):
    if not os.path.exists(BUILD + "/libssvm-aot.so"):
        raise Skip("native code is not compiled here")
    for tier in ("interp", "aot"):
        says(folder, "0:1(1) 0:2(0) 0:1(1) 0:2(0) 0:1(1)", "edges", grants=HOME + ("--tier=" + tier, "--cache=none"))


@test
def no_other_interface(folder):
    """Addresses of an allow-list are other machines on another interface."""
    says(folder, " ".join(["50"] * 18), "device")


@test
def nothing_without_a_grant(folder):
    with Guest(compile_guest(folder, "calls"), "accepts", grants=()) as g:
        out, status, err = g.end()
    same((out, status), ("", 1))
    assert "sock_open" in err and "--allow-connect HOST:PORT" in err and "--allow-listen ADDR:PORT" in err, err


def address(family, text, port):
    return "%d:%s:%d" % (1 if family == socket.AF_INET else 2, socket.inet_pton(family, text).hex(), port)


@test
def addresses_are_looked_at(folder):
    """What a list allows, by the address that is used: refused by the kernel (nobody listens there), or by us."""
    port = free_port()
    v4, v6 = socket.AF_INET, socket.AF_INET6
    cases = [
        ("127.0.0.1:%d" % port, v4, "127.0.0.1", REFUSED),
        ("127.0.0.1:%d" % port, v4, "127.0.0.2", ACCES),
        ("127.0.0.0/8:%d" % port, v4, "127.0.0.2", REFUSED),
        ("localhost:%d" % port, v4, "127.0.0.1", REFUSED),
        ("*:%d" % port, v4, "127.0.0.1", ACCES),
        ("*:*", v4, "127.0.0.1", ACCES),
        ("*:*", v4, "0.0.0.0", ACCES),
        ("*:*", v4, "10.1.2.3", ACCES),
        ("*:*", v4, "192.168.1.1", ACCES),
        ("*:*", v4, "169.254.169.254", ACCES),
        ("*:*", v4, "224.0.0.1", ACCES),
        ("*:*", v4, "255.255.255.255", ACCES),
        ("127.0.0.1:%d" % port, v4, "0.0.0.0", REFUSED),
        ("127.0.0.1:*", v4, "127.0.0.1", REFUSED),
        ("127.0.0.1:1", v4, "127.0.0.1", ACCES),
    ]
    with socket.socket(v6) as s:
        has6 = s.connect_ex(("::1", port)) == 111
    if has6:
        cases += [
            ("[::1]:%d" % port, v6, "::1", REFUSED),
            ("*:*", v6, "::1", ACCES),
            ("*:*", v6, "::", ACCES),
            ("*:*", v6, "::ffff:127.0.0.1", ACCES),
            ("*:*", v6, "::ffff:0.0.0.0", ACCES),
            ("*:*", v6, "64:ff9b::7f00:1", ACCES),
            ("*:*", v6, "fe80::1", ACCES),
            ("*:*", v6, "fd00::1", ACCES),
            ("[::1]:%d" % port, v6, "::ffff:127.0.0.1", ACCES),
            ("127.0.0.1:%d" % port, v6, "::ffff:127.0.0.1", REFUSED),
        ]
    for rule, family, text, wanted in cases:
        says(folder, wanted, "connect", address(family, text, port), grants=["--allow-connect", rule])


@test
def wrong_grants_are_told(folder):
    for option, text in (("--allow-connect", "example.com"), ("--allow-connect", "::1"), ("--allow-connect", "a:b:80"), ("--allow-connect", "example.com:0"),
                         ("--allow-connect", "example.com:99999"), ("--allow-listen", "example.com:80"), ("--allow-listen", "*.example.com:80")):
        with Guest(compile_guest(folder, "calls"), "edges", grants=[option, text]) as g:
            out, status, err = g.end()
        assert status == 2 and out == "" and text.split(":")[0] in err, (option, text, status, err)


@test
def paths_stay_in_the_guest_s_folders(folder):
    inside = os.path.join(folder, "in")
    os.makedirs(inside + "/sub", exist_ok=True)
    os.symlink(folder, inside + "/out")
    d = "--dir=/d:" + inside
    says(folder, "0 through 3 x.sock", "paths", "/d/x.sock", grants=["--allow-af-unix", d])
    same(os.path.exists(inside + "/x.sock"), True)
    says(folder, "0 through 3 y.sock", "paths", "/d/sub/../sub/y.sock", grants=["--allow-af-unix", d])
    for path in ("/d/../z.sock", "/d/out/z.sock", "/z.sock", folder + "/z.sock", "z.sock"):
        says(folder, ACCES + "  0", "paths", path, grants=["--allow-af-unix", d])
    says(folder, "69  0", "paths", "/d/r.sock", grants=["--allow-af-unix", d + ":ro"])
    says(folder, ACCES + "  0", "paths", "/d/w.sock", grants=["--allow-listen=127.0.0.1:0", d])
    same([n for n in os.listdir(folder) if n.endswith(".sock")], [])


def ends(folder, how, act):
    """A guest that stays in a call, which is ended: it must not outlast its peer, who holds for much longer."""
    for end in ("deadline", "kill"):
        # On a busy machine a guest may be late with its port.
        for limit in (300, 3000, 30000) if end == "deadline" else (None,):
            g = Guest(compile_guest(folder, "calls"), "stay", how, grants=HOME + (("--time-limit=%d" % limit,) if limit else ()))
            if g.says_its_port():
                break
        with g:
            held = act(g.port())
            if end == "kill":
                time.sleep(0.1)
                g.process.send_signal(signal.SIGTERM)
            out, status, err = g.end()
            if held:
                held.close()
        if end == "deadline":
            assert status == 134 and "deadline exceeded" in err, (how, out, status, err)
        else:
            same(status, -signal.SIGTERM, how)


def ended(how, act=lambda port: None):
    def f(folder):
        ends(folder, how, act)
    f.__name__ = how + "_is_ended"
    test(f)


def connected(port):
    return socket.create_connection(("127.0.0.1", port), PATIENCE)


ended("accept")
ended("accept_flags")
ended("poll")
ended("recv_from")
ended("recv", connected)
ended("send", connected)
ended("connect")


@test
def streams_under_load(folder):
    """64 connections, each with messages of all sizes; what comes back is what went, in order."""
    import random
    with Guest(compile_guest(folder, "server"), "echo", 64) as g:
        port = g.port()
        bad = []

        def client(i):
            r = random.Random(i)
            with socket.create_connection(("127.0.0.1", port), PATIENCE) as c:
                for _ in range(40):
                    out = r.randbytes(r.choice((1, 7, 100, 4096, 20000)))
                    c.sendall(out)
                    if read_exactly(c, len(out)) != out:
                        bad.append(i)

        threads = [threading.Thread(target=client, args=(i,)) for i in range(64)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        same(bad, [])
        out, status, err = g.end()
        same(status, 0, err)


@test
def hostile_peers(folder):
    """Connections that are reset, half closed, or never say anything, beside one that works."""
    import struct
    with Guest(compile_guest(folder, "server"), "http", 40) as g:
        port = g.port()
        silent = [socket.create_connection(("127.0.0.1", port), PATIENCE) for _ in range(10)]
        for _ in range(10):
            c = socket.create_connection(("127.0.0.1", port), PATIENCE)
            c.sendall(b"GET / HT")
            c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            c.close()  # a reset
        half = []
        for _ in range(10):
            c = socket.create_connection(("127.0.0.1", port), PATIENCE)
            c.sendall(b"GET / HTTP/1.1\r\n\r\n")
            c.shutdown(socket.SHUT_WR)
            half.append(c)
        for c in half:
            assert read_all(c).endswith(b"Hello from a guest\n")
            c.close()
        for _ in range(10):
            with socket.create_connection(("127.0.0.1", port), PATIENCE) as c:
                c.sendall(b"GET /x HTTP/1.1\r\n\r\n" * 3)
                got = b""
                while got.count(b"404 Not Found") < 3:
                    got += c.recv(65536)
        for c in silent:
            c.close()
        same(g.end()[1], 0)


@test
def datagrams_under_load(folder):
    """32 senders at once, each waiting for its own answer; a sender asks again when a datagram is lost, which they may be."""
    count, lost, bad = 32, [], []
    with Guest(compile_guest(folder, "udp"), 1 << 30) as g:
        to = ("127.0.0.1", g.port())

        def client(i):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
                s.settimeout(5)
                for k in range(100):
                    out = b"%d %d " % (i, k) + b"x" * (k * 10)
                    for _ in range(20):
                        s.sendto(out, to)
                        try:
                            got, who = s.recvfrom(4096)
                        except socket.timeout:
                            lost.append(i)
                            continue
                        if got == out and who == to:
                            break
                        if not got.startswith(b"%d " % i):
                            bad.append((i, got[:20]))
                    else:
                        bad.append((i, k))

        threads = [threading.Thread(target=client, args=(i,)) for i in range(count)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        same(bad, [], "lost %d" % len(lost))


@test
def strangers_are_not_answered(folder):
    """A datagram socket may answer whom it has heard, and nobody else."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s, Guest(compile_guest(folder, "udp"), 1, grants=["--allow-listen=127.0.0.1:0"]) as g:
        s.settimeout(PATIENCE)
        s.sendto(b"known", ("127.0.0.1", g.port()))
        same(s.recv(100), b"known")
        same(g.answer(), "ok 0")


@test
def connections_end_with_the_guest(folder):
    with peer(read_all) as (port, said):
        with Guest(compile_guest(folder, "calls"), "connect", address(socket.AF_INET, "127.0.0.1", port)) as g:
            same(g.answer(), "0")
    same(said[0][0], b"")


if __name__ == "__main__":
    sys.exit(main())
