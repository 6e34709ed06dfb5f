#!/usr/bin/env python3
"""Sockets of functions of a server: made by control, used by workers, which may open none. SSVM_BUILD names the build folder."""
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "state"))

import lib  # of test/state, and its server
import served

lib.TESTS.clear()
PRIVATE = ("--allow-private=127.0.0.1",)


def guest(folder):
    cc = shutil.which("clang-22")
    if not cc or not os.path.isdir("/usr/include/wasm32-wasi"):
        raise lib.Skip("clang-22 and wasi-libc are not here")
    out = folder + "/served.wasm"
    subprocess.run([cc, "--target=wasm32-wasi", "-Wno-deprecated", "-Wall", "-Wextra", "-Werror", "-O2", "-o", out, HERE + "/guests/served.c"], check=True)
    return out


def said(s, words, name="a"):
    status, answer = s.ask("POST", "/f/" + name, words)
    assert status == 200, (words, status, answer)
    return answer.decode().strip()


def echo(s):
    """Gives back what comes, on a thread, until it is closed."""
    def run():
        while True:
            try:
                c, _ = s.accept()
            except OSError:
                return
            with c:
                c.sendall(c.recv(1000).upper())
    threading.Thread(target=run, daemon=True).start()


@lib.test
def functions_have_sockets(folder):
    with served.Server(folder, *PRIVATE) as s, socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        echo(tcp)
        udp.bind(("127.0.0.1", 0))
        port, uport = tcp.getsockname()[1], udp.getsockname()[1]

        def datagrams():
            while True:
                try:
                    got, who = udp.recvfrom(1000)
                    udp.sendto(got[::-1], who)
                except OSError:
                    return
        threading.Thread(target=datagrams, daemon=True).start()
        s.deploy("a", guest(folder), 'allow-connect: ["127.0.0.1:*"]\nallow-listen: ["127.0.0.1:0"]')
        lib.same(said(s, "tcp %d hello" % port), "HELLO")
        lib.same(said(s, "udp %d drawer" % uport), "reward")
        lib.same(said(s, "bind 0 x"), "bound")
        # Many at once: one that waits stops no other.
        answers = []
        threads = [threading.Thread(target=lambda i=i: answers.append(said(s, "tcp %d n%d" % (port, i)) == "N%d" % i)) for i in range(16)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        lib.same(answers, [True] * 16)
        tcp.shutdown(socket.SHUT_RDWR)
        udp.close()


@lib.test
def private_addresses_are_the_operator_s(folder):
    """Without --allow-private neither a number nor `*` leads to this machine, and nothing is listened at."""
    with served.Server(folder) as s, socket.create_server(("127.0.0.1", 0)) as tcp:
        port = tcp.getsockname()[1]
        s.deploy("a", guest(folder), 'allow-connect: ["127.0.0.1:*", "*:*"]\nallow-listen: ["127.0.0.1:*", "*:*"]')
        for address in ("127.0.0.1", "0.0.0.0", "127.9.9.9", "169.254.169.254", "10.0.0.1"):
            lib.same(said(s, "connect %s %d" % (address, port)), "2", address)
        lib.same(said(s, "udp %d x" % port), "2")
        lib.same(said(s, "bind 0 x"), "refused")


class Orders:
    """A function that waits for orders where to send a datagram, in a request of its own; `strangers` have never written to it."""

    def __init__(self, s, chief):
        self.chief = chief
        chief.settimeout(served.PATIENCE)
        self.answer = []
        self.request = threading.Thread(target=lambda: self.answer.append(s.ask("POST", "/f/a", "obey %d x" % chief.getsockname()[1])))
        self.request.start()
        got, self.who = chief.recvfrom(100)
        lib.same(got, b"here")

    def give(self, port, address="127.0.0.1"):
        self.chief.sendto(b"%s %d" % (address.encode(), port), self.who)

    def send(self, *where):
        """The errno of sending there."""
        self.give(*where)
        return int(self.chief.recv(100))

    def end(self):
        self.chief.sendto(b"end", self.who)
        self.request.join()
        lib.same(self.answer[0][0], 200, self.answer)


def datagrams():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(("127.0.0.1", 0))
    s.settimeout(served.PATIENCE)
    return s


@lib.test
def datagrams_to_strangers(folder):
    """Where control has let one go, more go without it for a while: there, and nowhere else."""
    with served.Server(folder, *PRIVATE) as s, datagrams() as chief, datagrams() as stranger, datagrams() as other:
        port = stranger.getsockname()[1]
        s.deploy("a", guest(folder), 'allow-connect: ["127.0.0.1:%d", "127.0.0.1:%d"]\nallow-listen: ["127.0.0.1:0"]' % (chief.getsockname()[1], port))
        orders = Orders(s, chief)
        control = s.find("ssvm-control")

        def without_control():
            """Does one arrive while control stands still? On a busy machine its time may be over before that."""
            lib.same(orders.send(port), 0)
            stranger.recv(100)
            os.kill(control, signal.SIGSTOP)
            try:
                orders.give(port)
                stranger.settimeout(5)
                with contextlib.suppress(TimeoutError):
                    return stranger.recv(100) == b"ordered"
            finally:
                os.kill(control, signal.SIGCONT)
                lib.same(chief.recv(100), b"0")
                stranger.settimeout(served.PATIENCE)
            return stranger.recv(100) is None
        assert any(without_control() for _ in range(10)), "each datagram is asked for"
        for where in ((other.getsockname()[1],), (port, "127.0.0.2"), (0,), (port, "10.0.0.1"), (port, "255.255.255.255")):
            lib.same(orders.send(*where), 2, where)
        lib.same(orders.send(port, "0.0.0.0"), 0)  # means this machine
        lib.same(orders.send(port, "0.0.0.0"), 0)
        lib.same([stranger.recv(100) for _ in range(2)], [b"ordered"] * 2)
        orders.end()


@lib.test
def what_is_withdrawn_is_forgotten(folder):
    """The operator takes a private address back while a call sends there."""
    settings = folder + "/settings"

    def write(text):
        with open(settings, "w") as f:
            f.write(text)
    write("allow-private: 127.0.0.1\ndrain-time: 100s\n")
    with served.Server(folder, "--config", settings) as s, datagrams() as chief, datagrams() as stranger:
        port = stranger.getsockname()[1]
        s.deploy("a", guest(folder), 'allow-connect: ["127.0.0.1:*"]\nallow-listen: ["127.0.0.1:0"]')
        orders = Orders(s, chief)
        lib.same(orders.send(port), 0)
        write("allow-private: none\ndrain-time: 100s\n")
        s.process.send_signal(signal.SIGHUP)
        # 29: nobody answers while there is another control process.
        served.until("it is refused", lambda: orders.send(port) == 2)
        orders.end()


@lib.test
def nothing_without_a_grant(folder):
    with served.Server(folder, *PRIVATE) as s:
        answer = s.deploy("a", guest(folder), status=(400, 422))
        assert "sock_" in str(answer) and "allow-connect: ['HOST:PORT'] or allow-listen: ['ADDR:PORT']" in str(answer), answer
        s.deploy("a", guest(folder), 'allow-connect: ["127.0.0.1"]', status=(400, 422))
        s.deploy("a", guest(folder), 'allow-connect: ["127.0.0.1:1"]')
        lib.same(said(s, "connect 127.0.0.1 2"), "2")
        lib.same(said(s, "connect 127.0.0.1 1"), "14")


@lib.test
def calls_that_wait_end(folder):
    """The time of the call ends what would wait for ever; the worker answers others meanwhile."""
    with served.Server(folder, *PRIVATE) as s:
        s.deploy("a", guest(folder), 'allow-listen: ["127.0.0.1:0"]', "limits:\n  deadline: 2s\n")
        s.deploy("b", guest(folder), 'allow-listen: ["127.0.0.1:0"]')
        got = []
        waiting = threading.Thread(target=lambda: got.append(s.ask("POST", "/f/a", "accept 0 x")[0]))
        waiting.start()
        lib.same(said(s, "bind 0 x", "b"), "bound")
        waiting.join()
        assert got[0] >= 500, got


if __name__ == "__main__":
    sys.exit(lib.main(sys.argv[1:]))
