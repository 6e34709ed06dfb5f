#!/usr/bin/env python3
"""A DNS server that lies: what a guest is told, and where it gets. In namespaces of our own, where 93.184.216.34 and other public addresses are this
machine, and the server is the system's only one; without root where the system lets users have namespaces. SSVM_BUILD names the build folder."""
import os
import shutil
import socket
import struct
import subprocess
import sys
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "state"))

import lib  # of test/state, and its server
import served

lib.TESTS.clear()
PUBLIC, EVIL = "93.184.216.34", "93.184.216.35"  # both are public; only the first is what the names mean
PRIVATE = ["127.0.0.1", "10.0.0.5", "169.254.169.254", "100.64.0.1"]
PRIVATE6 = ["::1", "::ffff:10.0.0.5", "64:ff9b::a00:5", "fd00::5"]
PORT = 7777
A, CNAME, TXT, AAAA = 1, 5, 16, 28


def name_bytes(name):
    return b"".join(bytes([len(x)]) + x.encode() for x in name.split(".")) + b"\0"


def record(kind, data, name=b"\xc0\x0c"):
    return name + struct.pack(">HHIH", kind, 1, 60, len(data)) + data


def addresses(kind, *texts):
    family = socket.AF_INET if kind == A else socket.AF_INET6
    return [record(kind, socket.inet_pton(family, x)) for x in texts]


def message(query, answers, *, wrong_id=False, cut=False):
    number, = struct.unpack(">H", query[:2])
    head = struct.pack(">HHHHHH", number ^ (0x5555 if wrong_id else 0), 0x8180 | (0x200 if cut else 0), 1, len(answers), 0, 0)
    return head + query[12:] + b"".join(answers)


class Dns:
    """Answers by the first label of the name: a list of messages over UDP, one over TCP; `seen` counts questions."""

    def __init__(self):
        self.seen, self.rebound = {}, False
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", 53))
        self.tcp = socket.create_server(("127.0.0.1", 53))
        threading.Thread(target=self.serve_udp, daemon=True).start()
        threading.Thread(target=self.serve_tcp, daemon=True).start()

    def parse(self, q):
        at, labels = 12, []
        while q[at]:
            labels.append(q[at + 1:at + 1 + q[at]].decode())
            at += 1 + q[at]
        kind, = struct.unpack(">H", q[at + 1:at + 3])
        q = q[:at + 5]  # without EDNS
        self.seen[labels[0]] = self.seen.get(labels[0], 0) + 1
        return q, labels[0], kind

    def answers(self, q, how, kind, tcp):
        good = message(q, addresses(A, PUBLIC) if kind == A else [])
        evil = message(q, addresses(A, EVIL) if kind == A else [], wrong_id=True)
        if how == "wrong-id":
            return [evil, good]
        if how == "truncated":
            return [good] if tcp else [message(q, addresses(A, EVIL) if kind == A else [], cut=True)]
        if how == "loop":  # the record's name is itself
            at = len(q)
            return [message(q, [record(A, socket.inet_aton(EVIL), struct.pack(">H", 0xc000 | at))])]
        if how == "loop-cname":
            return [message(q, [record(CNAME, b"\xc0\x0c")])]
        if how == "chain":  # of 12, and the last one's address is another name's
            chain = [name_bytes("%d.chain.test" % i) for i in range(12)]
            links = [record(CNAME, b, a) for a, b in zip([b"\xc0\x0c"] + chain, chain)]
            return [message(q, links + ([record(A, socket.inet_aton(PUBLIC), chain[-1])] if kind == A else []))]
        if how == "many":  # what a message over TCP holds
            return [message(q, addresses(A, *("93.184.%d.%d" % (i >> 8, i & 255) for i in range(4000))))] if tcp else [message(q, [], cut=True)]
        if how == "rebinds":
            return [message(q, addresses(A, "10.0.0.5" if self.rebound else PUBLIC) if kind == A else [])]
        if how == "private":
            return [message(q, addresses(kind, *(PRIVATE if kind == A else PRIVATE6)))]
        if how == "slow":
            return []
        if how == "other-type":
            return [message(q, [record(TXT, b"\x04text")] + (addresses(AAAA, "2606:2800:220:1::1") if kind == A else addresses(A, EVIL)))]
        if how == "other-name":
            return [message(q, [record(A, socket.inet_aton(EVIL), name_bytes("other.test"))])]
        if how == "short":  # says that it has answers
            return [message(q, addresses(A, EVIL))[:-7]]
        if how == "long":  # an address of 400 bytes
            return [message(q, [record(A, b"\x5d" * 400)])]
        return [good]

    def serve_udp(self):
        while True:
            q, who = self.udp.recvfrom(4096)
            q, how, kind = self.parse(q)
            for one in self.answers(q, how, kind, False):
                self.udp.sendto(one, who)

    def serve_tcp(self):
        while True:
            c, _ = self.tcp.accept()
            with c:
                while True:
                    head = c.recv(2, socket.MSG_WAITALL)
                    if len(head) < 2:
                        break
                    q, how, kind = self.parse(c.recv(struct.unpack(">H", head)[0], socket.MSG_WAITALL))
                    for one in self.answers(q, how, kind, True):
                        c.sendall(struct.pack(">H", len(one)) + one)


def greet(family, address):
    """Whoever connects there is told which address it is: private ones, too, so that a guest which got there would say so."""
    s = socket.create_server((address, PORT), family=family)

    def run():
        while True:
            c, _ = s.accept()
            with c:
                c.sendall(b"this-is-" + address.encode())
    threading.Thread(target=run, daemon=True).start()


def guest(folder, *flags):
    cc = shutil.which("clang-22")
    if not cc or not os.path.isdir("/usr/include/wasm32-wasi"):
        raise lib.Skip("clang-22 and wasi-libc are not here")
    out = folder + "/dns%d.wasm" % len(flags)
    subprocess.run([cc, "--target=wasm32-wasi", "-Wno-deprecated", "-Wall", "-Wextra", "-Werror", "-O2", *flags, "-o", out, HERE + "/guests/dns.c"], check=True)
    return out


def refused(*texts):
    return {"%s 2" % x for x in texts}


def long_form(text):
    words = struct.unpack(">8H", socket.inet_pton(socket.AF_INET6, text))
    return ":".join("%x" % x for x in words)


GOOD = {"found 1", "%s 0 this-is-%s" % (PUBLIC, PUBLIC)}
# By name: the lines that a guest prints, or None: an error and no address.
CASES = {
    "good": GOOD, "wrong-id": GOOD, "truncated": GOOD, "chain": GOOD,
    "loop": None, "loop-cname": None, "other-type": None, "other-name": None, "short": None, "long": None,
    "private": {"found %d" % len(PRIVATE + PRIVATE6)} | refused(*PRIVATE, *map(long_form, PRIVATE6)),
}


def check(ask, dns):
    def lines(name):
        """78: again later. The system's resolver has so little patience that a busy machine may be too slow for it."""
        for _ in range(20):
            said = {x.strip() for x in ask(name).strip().splitlines()}
            if said != {"error 78"} or CASES.get(name, GOOD) is None:
                break
        return said

    for name, wanted in CASES.items():
        said = lines(name)
        if wanted is None:
            assert len(said) == 1 and said.pop().startswith("error "), (name, said)
        else:
            lib.same(said, wanted, name)
    assert "found 64" in lines("many")
    # What the name meant first may be connected to, what it means then is not the internet's.
    dns.rebound = False
    lib.same(lines("rebinds"), GOOD)
    dns.rebound = True
    lib.same(lines("rebinds"), {"found 1"} | refused("10.0.0.5"))
    # A name that is not on the list is not even asked for.
    before = dict(dns.seen)
    lib.same(ask("stranger").strip(), "error 2")
    lib.same(dns.seen, before)


GRANTS = ["%s.test:%d" % (name, PORT) for name in [*CASES, "many", "rebinds", "slow"]]


@lib.test
def run_and_a_server_that_lies(folder):
    module = guest(folder)

    def ask(name, *options):
        r = subprocess.run([lib.BUILD + "/ssvm", *("--allow-connect=" + g for g in GRANTS), *options, module, name + ".test", str(PORT)], stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, timeout=served.PATIENCE)
        return r.stdout.decode() if r.returncode == 0 else "status %d %s" % (r.returncode, r.stderr.decode())
    check(ask, DNS)
    def ends():
        said = ask("slow", "--time-limit=1000")
        return said.startswith("status 134 ") and "deadline" in said
    served.until("it ends while it waits", lambda: ends() and DNS.seen.get("slow"))


@lib.test
def a_server_and_a_server_that_lies(folder):
    with served.Server(folder) as s:
        s.deploy("a", guest(folder, "-DSERVED"), "allow-connect: [%s]" % ", ".join('"%s"' % g for g in GRANTS))

        def ask(name):
            status, answer = s.ask("POST", "/f/a", "%s.test %d\n" % (name, PORT))
            return answer.decode() if status == 200 else "status %d %s" % (status, answer.decode())
        check(ask, DNS)
        s.deploy("b", guest(folder, "-DSERVED"), "allow-connect: ['slow.test:%d']" % PORT, "limits:\n  deadline: 1s\n")
        status, answer = s.ask("POST", "/f/b", "slow.test %d\n" % PORT)
        assert status == 504 or answer.startswith(b"error "), (status, answer)  # whichever of both sees first that its time is over
        # Nothing hangs.
        served.until("others are answered", lambda: {x.strip() for x in ask("good").strip().splitlines()} == GOOD)


def inside():
    for address in (PUBLIC, EVIL, *PRIVATE[1:]):
        subprocess.run(["ip", "address", "add", address + "/32", "dev", "lo"], check=True)
    subprocess.run(["ip", "address", "add", "fd00::5/128", "dev", "lo", "nodad"], check=False)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    # Of the many nobody answers, and a network that is not there says so at once.
    subprocess.run(["ip", "route", "add", "unreachable", "93.184.0.0/16"], check=True)
    folder = os.environ["DNS_FILES"]
    for name, text in (("resolv.conf", "nameserver 127.0.0.1\noptions timeout:1 attempts:2\n"), ("nsswitch.conf", "hosts: files dns\nservices: files\n"), ("hosts", "127.0.0.1 localhost\n")):
        with open(folder + "/" + name, "w") as f:
            f.write(text)
        subprocess.run(["mount", "--bind", folder + "/" + name, os.path.realpath("/etc/" + name)], check=True)
    global DNS
    DNS = Dns()
    for address in (PUBLIC, EVIL, *PRIVATE):
        greet(socket.AF_INET, address)
    return lib.main(sys.argv[1:])


def main():
    if os.environ.get("DNS_FILES"):
        return inside()
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    spaces = ["unshare", *user, "--net", "--mount", "--propagation", "private"]
    if not shutil.which("ip") or not shutil.which("unshare") or subprocess.run([*spaces, "true"], stderr=subprocess.DEVNULL).returncode != 0:
        print("skipped dns: no namespaces to be had\n0 passed, 0 failed, 1 skipped")
        return 0
    import tempfile
    with tempfile.TemporaryDirectory() as folder:
        return subprocess.run([*spaces, sys.executable, os.path.abspath(__file__), *sys.argv[1:]], env=dict(os.environ, DNS_FILES=folder)).returncode


if __name__ == "__main__":
    sys.exit(main())
