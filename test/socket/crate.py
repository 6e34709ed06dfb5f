#!/usr/bin/env python3
"""The published crate wasmedge_wasi_socket, unmodified: one test for each of its functions. The other side of every connection is Python's. SSVM_BUILD
names the build folder."""
import contextlib
import os
import socket
import struct
import sys
import threading

from lib import PATIENCE, Guest, cargo_guest, free_port, peer, read_all, read_exactly, same, test, main


def guest(*args, **kw):
    return Guest(cargo_guest() + "/guest-socket.wasm", *args, **kw)


def answers(name, wanted, *args, **kw):
    with guest(name, *args, **kw) as g:
        same(g.answer(), "ok " + wanted, name)


def plain(name, wanted):
    """A test of a function that needs no other side."""
    def f(_):
        answers(name, wanted)
    f.__name__ = name
    test(f)


plain("new", "true")
plain("type", "Stream Datagram")
plain("timeouts", "true 1.5s 2.5s true")
plain("nonblocking", "false true false")
plain("options", "true true true true true")
plain("get_addrinfo", "1 16 14 [31, 144, 127, 0, 0, 1]")


def refused(name):
    """A test of a function that no guest may use: the host's network devices are not its affair."""
    def f(_):
        with guest(name) as g:
            same(g.answer(), "error Uncategorized Protocol not available (os error 50)", name)
    f.__name__ = name
    test(f)


refused("device")
refused("bind_device")


def echo(c):
    got = c.recv(1000)
    c.sendall(got)
    return got


@test
def new6(_):
    if socket.has_ipv6:
        answers("new6", "true")


@test
def connect_send_recv(_):
    with peer(echo) as (port, said):
        answers("connect_send_recv", "5 hello", port)
    same(said[0][0], b"hello")


@test
def timed_out(_):
    with peer(read_all) as (port, _said):
        answers("timed_out", "WouldBlock", port)


@test
def vectored(_):
    with peer(echo) as (port, said):
        answers("vectored", "7 7 0 one |two", port)
    same(said[0][0], b"one two")


@test
def recv_with_flags(_):
    with peer(echo) as (port, _said):
        answers("recv_with_flags", "peek 0 peek", port)


@test
def send_to(_):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", 0))
        s.settimeout(PATIENCE)
        answers("send_to", "6", s.getsockname()[1])
        same(s.recv(100), b"to you")


def datagrams(name, wanted, back):
    with guest(name) as g, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", 0))
        s.settimeout(PATIENCE)
        s.sendto(b"hello", ("127.0.0.1", g.port()))
        same(s.recv(100), back)
        same(g.answer(), "ok " + wanted % {"port": s.getsockname()[1]})


@test
def recv_from(_):
    datagrams("recv_from", "hello %(port)d 5", b"hello")


@test
def recv_from_with_flags(_):
    datagrams("recv_from_with_flags", "hello %(port)d 5", b"hello")


@test
def recv_from_vectored(_):
    datagrams("recv_from_vectored", "hello %(port)d 10", b"back hello")


@test
def udp_socket(_):
    datagrams("udp_socket", "hello 5", b"hello")


@test
def would_block(_):
    with peer(read_all) as (port, _said):
        answers("would_block", "WouldBlock", port)


@test
def bind_listen_accept(_):
    with guest("bind_listen_accept") as g:
        with socket.create_connection(("127.0.0.1", g.port()), PATIENCE) as c:
            same(read_all(c), b"welcome")
        same(g.answer(), "ok true false true")


@test
def get_local_peer(_):
    with peer(read_all) as (port, said), guest("get_local_peer", port) as g:
        own = g.port()
        same(g.answer(), "ok 127.0.0.1 127.0.0.1:%d" % port)
    same(said[0][1], own)


@test
def take_error(_):
    answers("take_error", "InProgress ConnectionRefused", free_port())


@test
def shutdown(_):
    def talk(c):
        got = read_all(c)
        c.sendall(b"after " + got)
        return got
    with peer(talk) as (port, said):
        answers("shutdown", "after last BrokenPipe", port)
    same(said[0][0], b"last")


@test
def nslookup(_):
    answers("nslookup", "[127.0.0.1:80]", "localhost", grants=["--allow-connect=localhost:80"])


@test
def nslookup_with_host(_):
    answers("nslookup_with_host", "[127.0.0.1:80]", "localhost", grants=["--allow-connect=localhost:80"])


def dns_answer(c):
    """One question over TCP, answered with 192.0.2.7 (RFC 1035)."""
    size = struct.unpack(">H", read_exactly(c, 2))[0]
    ask = read_exactly(c, size)
    out = ask[:2] + struct.pack(">HHHHH", 0x8180, 1, 1, 0, 0) + ask[12:] + struct.pack(">HHHIH4B", 0xc00c, 1, 1, 60, 4, 192, 0, 2, 7)
    c.sendall(struct.pack(">H", len(out)))
    c.sendall(out)
    return ask[12:]


@test
def nslookup_with_dns_server(_):
    with peer(dns_answer) as (port, said):
        answers("nslookup_with_dns_server", "[192.0.2.7:0]", "127.0.0.1:%d" % port, "name.test")
    assert said[0][0].startswith(b"\4name\4test\0"), said


@test
def nslookup_by_environment(_):
    with peer(dns_answer) as (port, _said):
        answers("nslookup", "[192.0.2.7:0]", "name.test", env=["DNS_SERVER=127.0.0.1:%d" % port])


def upper(c):
    got = read_all(c)
    c.sendall(got.upper())
    return got


@test
def stream(_):
    with peer(upper) as (port, said):
        answers("stream", "BY WRITE BY &WRITE false", port)
    same(said[0][0], b"by write by &write")


@test
def stream_by_name(_):
    with peer(lambda c: c.sendall(b"named")) as (port, _said):
        answers("stream_by_name", "named", "localhost", port, grants=["--allow-connect=localhost:%d" % port])


@test
def stream_by_text(_):
    with peer(lambda c: c.sendall(b"texted")) as (port, _said):
        answers("stream_by_text", "texted", "localhost:%d" % port, grants=["--allow-connect=localhost:%d" % port])


@test
def handles(_):
    with peer(upper) as (port, said):
        answers("handles", "true AS_REF AS_MUT FROM", port)
    same(said[0][0], b"as_ref as_mut from")


def serves(name):
    with guest(name) as g:
        with socket.create_connection(("127.0.0.1", g.port()), PATIENCE) as c:
            own = c.getsockname()[1]
            c.sendall(b"hello ")
            c.sendall(b"there")
            c.shutdown(socket.SHUT_WR)
            same(read_all(c), b"HELLO THERE")
        same(g.answer(), "ok hello there %d" % own)


@test
def listener_accept(_):
    serves("listener_accept")


@test
def listener_incoming(_):
    serves("listener_incoming")


@test
def listener_from_fd(_):
    serves("listener_from_fd")


def four(c):
    got = c.recv(100)
    c.sendall(b"four")
    with contextlib.suppress(OSError):
        read_all(c)
    return got


@test
def poll(_):
    with peer(four) as (port, said):
        answers("poll", "w7 r7(2) r7(2)", port)
    same(said[0][0], b"now")


@test
def poll_of_epoll(_):
    """With the crate's feature `epoll` the same program asks for changes: the rest of what had come tells nothing, until its time is over."""
    module = cargo_guest("epoll") + "/guest-socket.wasm"  # before the other side waits: it may take minutes
    for limit in (2000, 20000, 100000):  # on a busy machine it may not come so far
        with peer(four) as (port, said), Guest(module, "poll", port, grants=["--allow-connect=127.0.0.1:*", "--time-limit=%d" % limit]) as g:
            out, status, err = g.end()
        if said and said[0][0] == b"now":
            break
    same((out, status), ("", 134), err)
    assert "deadline" in err, err
    same(said[0][0], b"now")


@test
def http_server(_):
    """A server of HTTP built with the crate: many requests of many connections."""
    import http.client
    with Guest(cargo_guest() + "/http.wasm", 8) as g:
        port = g.port()
        seen = []

        def client(i):
            c = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
            for k in range(50):
                c.request("POST" if k % 2 else "GET", "/%d/%d" % (i, k), body=b"x" * k if k % 2 else None)
                r = c.getresponse()
                seen.append((r.status, r.read().decode() == "%s /%d/%d %d\n" % ("POST" if k % 2 else "GET", i, k, k if k % 2 else 0)))
            c.close()

        threads = [threading.Thread(target=client, args=(i,)) for i in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        same(seen, [(200, True)] * 400)
        same(g.answer(), "requests 400")


if __name__ == "__main__":
    os.chdir(os.path.dirname(os.path.abspath(__file__)))
    sys.exit(main())
