#!/usr/bin/env python3
"""The server on each of its databases: the same calls of its admin interfaces are answered the same on SQLite and on PostgreSQL; a backup of a
running server becomes another one, on the other database too; and nodes that share a PostgreSQL see each other's work, also when one is killed.

Usage: database.py [NAME...]; SSVM_BUILD names the build folder. Without PostgreSQL (Debian: postgresql-15) only SQLite is tested. Ends with
'N passed, N failed, N skipped'.
"""
import glob
import json
import os
import pwd
import random
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from ledger import Tokened  # noqa: E402
from test_server import BUILD, PATIENCE, SERVE, Skip, guest, runner, until  # noqa: E402

CONTROL = os.path.join(BUILD, "ssvm-control")
SSVM = os.path.join(BUILD, "ssvm")


class Cluster:
    """A PostgreSQL of our own, in a fresh folder, reached by a socket there."""

    def __init__(self):
        found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))
        if not found:
            raise Skip("there is no PostgreSQL")
        self.bin = os.path.dirname(found[-1])
        self.dir = tempfile.mkdtemp(prefix="ssvm-pg-")
        os.chmod(self.dir, 0o755)
        self.user = None
        if os.geteuid() == 0:  # as whom it does not run
            self.user = next((u for u in ("postgres", "nobody") if u in [p.pw_name for p in pwd.getpwall()]), None)
            shutil.chown(self.dir, self.user)
        self.count = 0
        self.run("initdb", "-A", "trust", "-U", "ssvm", "-E", "UTF8", "--locale=C", "--no-sync")
        self.start()

    def run(self, program, *args):
        subprocess.run([os.path.join(self.bin, program), "-D", self.dir + "/data", *args], check=True, user=self.user, cwd=self.dir, extra_groups=[],
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def start(self):
        self.run("pg_ctl", "-w", "-t", str(PATIENCE), "-l", self.dir + "/log", "-o", "-k %s -c listen_addresses='' -c max_connections=100" % self.dir, "start")

    def stop(self):
        self.run("pg_ctl", "-w", "-t", str(PATIENCE), "-m", "immediate", "stop")

    def fresh(self):
        """The address of a database that has nothing yet."""
        self.count += 1
        subprocess.run(["psql", "-q", self.url("postgres"), "-c", "create database d%d" % self.count], check=True)
        return self.url("d%d" % self.count)

    def url(self, name):
        return "postgresql:///%s?host=%s&user=ssvm" % (name, self.dir)

    def end(self):
        self.stop()
        shutil.rmtree(self.dir, ignore_errors=True)


cluster = None


def databases():
    return [("sqlite", None)] + ([("postgresql", cluster.fresh())] if cluster else [])


class Node(Tokened):
    def __init__(self, url, *options):
        super().__init__(*(["--database", url] if url else []), "--workers=1", *options)

    def admin(self, method, path, body=None, fields=(), token=None):
        """Status and body, parsed where it is JSON."""
        if isinstance(body, dict):
            body, fields = json.dumps(body).encode(), [*fields, ("Content-Type", "application/json")]
        end = time.monotonic() + PATIENCE
        while True:
            r = None
            try:
                r = self.call(method, path, body, [("Authorization", "Bearer " + (token or self.token)), *fields])
            except (OSError, EOFError):
                pass
            if r and r.status not in (502, 503, 504):
                break
            assert time.monotonic() < end, "%s %s: %s" % (method, path, r and (r.status, r.body))
            time.sleep(0.05)
        try:
            return r.status, json.loads(r.body)
        except ValueError:
            return r.status, r.body.decode("latin1")


def plain(value, key=""):
    """What must be the same on each database: not times, ids, secrets."""
    if isinstance(value, dict):
        return {k: plain(v, k) for k, v in value.items()}
    if isinstance(value, list):
        return [plain(v, key) for v in value]
    if re.search(r"(_ms|_at|_ns|time|token|secret|request_id|uptime.*|pid|rss.*|trace|gas.*|.*key|cursor|created|wall|cpu.*|seen|started|peer|p50.*|p99.*|duration.*|prepared_us|url|byte_seconds|worker|node)$", key):
        return "*"
    return re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}|ssvm_[\w-]{43}|\b[0-9a-f]{16}\b|\d{4}-\d\d-\d\dT[\d:.]+Z", "*", value) if isinstance(value, str) else value


T = "/v1/tenants/default"
WASM = ("Content-Type", "application/wasm")


def calls(node):
    """Many of the admin interfaces' calls, in order; each gives its name and its answer."""
    typed, other = open(guest("typed"), "rb").read(), open(guest("reactor"), "rb").read()
    steps = [
        ("PUT", T + "/functions/typed", typed, [WASM]),
        ("PUT", T + "/functions/typed", other, [WASM]),
        ("PUT", T + "/functions/bad", b"not a module", [WASM]),
        ("GET", T + "/functions", None, []),
        ("GET", T + "/functions/typed", None, []),
        ("GET", T + "/functions/typed/versions", None, []),
        ("PUT", T + "/functions/typed/aliases/old", {"version": 1}, []),
        ("PUT", T + "/functions/typed/split", {"targets": [{"version": 1, "weight": 1}, {"version": 2, "weight": 3}]}, []),
        ("POST", T + "/functions/typed/rollback", {"version": "old"}, []),
        ("DELETE", T + "/functions/typed/aliases/old", None, []),
        ("DELETE", T + "/functions/typed/aliases/old", None, []),
        ("PUT", T + "/functions/typed/key", None, []),
        ("DELETE", T + "/functions/typed/key", None, []),
        ("GET", T + "/functions/none", None, []),
        ("POST", "/v1/tenants", {"name": "acme", "limits": {"storage": "1M"}}, []),
        ("POST", "/v1/tenants", {"name": "acme"}, []),
        ("GET", "/v1/tenants", None, []),
        ("GET", "/v1/tenants/acme", None, []),
        ("POST", "/v1/tenants/acme/tokens", {"name": "ci", "scopes": ["read", "deploy"], "expires_in_s": 3600}, []),
        ("GET", "/v1/tenants/acme/tokens", None, []),
        ("PUT", T + "/kv/a%2Fb", b"one", [("Content-Type", "application/octet-stream")]),
        ("PUT", T + "/kv/a%2Fb", b"two", [("Content-Type", "application/octet-stream"), ("If-None-Match", "*")]),
        ("GET", T + "/kv/a%2Fb", None, []),
        ("GET", T + "/kv?prefix=a", None, []),
        ("DELETE", T + "/kv/a%2Fb", None, []),
        ("GET", T + "/kv/a%2Fb", None, []),
        ("PUT", T + "/secrets/s", b"secret", [("Content-Type", "application/octet-stream")]),
        ("GET", T + "/secrets", None, []),
        ("DELETE", T + "/secrets/s", None, []),
        ("DELETE", T + "/secrets/s", None, []),
        ("POST", T + "/functions/none/jobs", b"x", [("Content-Type", "text/plain")]),
        ("GET", T + "/jobs", None, []),
        ("GET", T + "/jobs?state=dead", None, []),
        ("GET", T + "/cron", None, []),
        ("GET", "/v1/whoami", None, []),
        ("GET", "/v1/failures", None, []),
        ("POST", "/api/ephemeral_storage", {"a": 1}, []),
        ("GET", "/api/executables", None, []),
        ("DELETE", "/v1/tenants/acme", None, []),
        ("DELETE", T + "/functions/typed", None, []),
        ("GET", T + "/functions", None, []),
        ("GET", "/readyz", None, []),
    ]
    for method, path, body, fields in steps:
        status, answer = node.admin(method, path, body, fields)
        yield "%s %s" % (method, path), status, plain(answer)


def answers_are_the_same():
    said = {}
    for name, url in databases():
        with Node(url) as node:
            said[name] = list(calls(node))
    for what, status, answer in said["sqlite"]:
        assert status < 500, (what, status, answer)
    for one, other in zip(said["sqlite"], said.get("postgresql", said["sqlite"])):
        assert one == other, "%s\n%s" % (one, other)
    if not cluster:
        raise Skip("there is no PostgreSQL")


def tool(*args):
    """As operators call it, by the program that is in their path."""
    return subprocess.run([SSVM, "control", *args], capture_output=True, text=True)


def put_key(node, key, value):
    return node.admin("PUT", "%s/kv/%s" % (T, key), value.encode(), [("Content-Type", "application/octet-stream")])[0]


def get_key(node, key):
    return node.admin("GET", "%s/kv/%s" % (T, key))


def works(node):
    r = node.get("/f/typed/add?a=3&b=4")
    return r.body.strip()


def a_backup_becomes_a_server():
    """Of a server that runs; without the node's key its secrets are not read."""
    for name, url in databases():
        target = None if url else cluster and cluster.fresh()
        with Node(url) as node, tempfile.TemporaryDirectory() as folder:
            status, answer = node.admin("PUT", T + "/functions/typed", open(guest("typed"), "rb").read(), [WASM])
            assert status == 200, answer
            assert put_key(node, "kept", "value") == 204
            until("the function answers", lambda: works(node) == b"7")
            backup = folder + "/backup"
            r = tool("--backup", backup, "--with-key", "--data", node.data, *(["--database", url] if url else []))
            assert r.returncode == 0, r.stderr
            assert tool("--verify", backup).returncode == 0
            r = tool("--restore", backup, "--data", node.data, *(["--database", url] if url else []))
            assert r.returncode == 1 and "another server uses" in r.stderr, r.stderr
            other = Node(target)  # its folder is made
            r = tool("--restore", backup, "--data", other.data, *(["--database", target] if target else []))
            assert r.returncode == 0, r.stderr
            with other:
                open(other.data + "/admin-token", "w").write(node.token)  # of the database, not of the folder
                until("the function answers again", lambda: works(other) == b"7")
                assert get_key(other, "kept") == (200, "value"), get_key(other, "kept")


def nodes_share_their_work():
    """Three nodes: what one deploys all serve within a second; keys are added to by all; a killed one loses nothing that it told of."""
    if not cluster:
        raise Skip("there is no PostgreSQL")
    url = cluster.fresh()
    with Node(url) as one:
        token = one.token
        nodes = [one]
        others = [Node(url), Node(url)]
        for node in others:
            os.mkdir(node.data)
            shutil.copy(one.data + "/key", node.data + "/key")
        with others[0], others[1]:
            nodes += others
            status, answer = one.admin("PUT", T + "/functions/typed", open(guest("typed"), "rb").read(), [WASM], token)
            assert status == 200, answer
            times = []
            for i in range(8):  # a busy machine may be late, with some
                if i:
                    status, answer = one.admin("PUT", T + "/functions/typed%d" % i, open(guest("typed"), "rb").read(), [WASM], token)
                    assert status == 200, answer
                start = time.time()
                for node in nodes:
                    until("the function is on every node", lambda: node.get("/f/typed%s/add?a=3&b=4" % (i or "")).body.strip() == b"7", 0.01)
                times.append(time.time() - start)
            print("      live on all nodes after %.0f to %.0f ms" % (min(times) * 1000, max(times) * 1000))
            assert min(times) < 10, times
            done, lock = [], threading.Lock()

            def write(node, n):
                for i in range(30):
                    key = "n%d-%d" % (n, i)
                    if node.admin("PUT", "%s/kv/%s" % (T, key), b"v", [("Content-Type", "application/octet-stream")], token)[0] == 204:
                        with lock:
                            done.append(key)

            threads = [threading.Thread(target=write, args=(node, n)) for n, node in enumerate(nodes)]
            for t in threads:
                t.start()
            time.sleep(0.2)
            for pid in subprocess.run(["pgrep", "-P", str(others[0].process.pid), "ssvm-control"], capture_output=True, text=True).stdout.split():
                os.kill(int(pid), signal.SIGKILL)
            for t in threads:
                t.join()
            assert len(done) == 90, len(done)
            for key in done:
                assert one.admin("GET", "%s/kv/%s" % (T, key), None, (), token) == (200, "v"), key


def another_key_is_refused():
    """A node that joins without the others' key says what to do."""
    if not cluster:
        raise Skip("there is no PostgreSQL")
    url = cluster.fresh()
    with Node(url) as one:
        assert one.token
        try:
            with Node(url):
                raise AssertionError("a node with another key starts")
        except AssertionError as e:
            assert "copy that of another node" in str(e), e


def the_database_goes_and_comes():
    """While it is gone functions answer, and the admin interfaces say why not."""
    if not cluster:
        raise Skip("there is no PostgreSQL")
    with Node(cluster.fresh()) as node:
        token = node.token
        assert node.admin("PUT", T + "/functions/typed", open(guest("typed"), "rb").read(), [WASM])[0] == 200
        until("the function answers", lambda: works(node) == b"7")
        cluster.stop()
        try:
            r = node.call("GET", T + "/kv/x", fields=[("Authorization", "Bearer " + token)])
            assert r.status >= 500, r.status
            assert works(node) == b"7"
        finally:
            cluster.start()
        until("keys are set again", lambda: put_key(node, "x", "1") == 204)


class Hostile:
    """What says that it is PostgreSQL, and is not. It speaks the protocol far enough to be believed, then does as its mode says."""

    def __init__(self, mode, seed):
        self.mode, self.random, self.lock = mode, random.Random(seed), threading.Lock()
        self.dir = tempfile.mkdtemp(prefix="ssvm-hostile-")
        os.chmod(self.dir, 0o755)
        self.s = socket.socket(socket.AF_UNIX)
        self.s.bind(self.dir + "/.s.PGSQL.5432")
        os.chmod(self.dir + "/.s.PGSQL.5432", 0o777)
        self.s.listen(64)
        self.url, self.open = "postgresql:///x?host=%s&user=ssvm" % self.dir, []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                s = self.s.accept()[0]
            except OSError:
                return
            with self.lock:
                self.open.append(s)
            threading.Thread(target=self.serve, args=(s,), daemon=True).start()

    def serve(self, s):
        try:
            self.talk(s)
        except (OSError, EOFError):
            pass
        finally:
            s.close()

    def exactly(self, s, n):
        data = b""
        while len(data) < n:
            more = s.recv(n - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def talk(self, s):
        self.exactly(s, struct.unpack(">i", self.exactly(s, 4))[0] - 4)
        if self.mode == "hangs at once":
            self.exactly(s, 1 << 30)
        if self.mode == "other words":
            s.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            return
        told = {"server_encoding": "UTF8", "client_encoding": "UTF8", "server_version": "15.0", "standard_conforming_strings": "on"}
        s.sendall(b"".join([message(b"R", b"\0\0\0\0"), *[message(b"S", k.encode() + b"\0" + v.encode() + b"\0") for k, v in told.items()], message(b"K", b"\0\0\0\1\0\0\0\1"), message(b"Z", b"I")]))
        asked = 0
        while True:
            kind, size = struct.unpack(">ci", self.exactly(s, 5))
            text = self.exactly(s, size - 4)
            if kind == b"X":
                return
            if kind not in b"QS":
                continue
            asked += 1
            s.sendall(self.answer(kind, text, asked))
            if self.mode == "closes" and asked > self.random.randrange(12):
                return

    def number(self):
        return self.random.choice([b"", b"-1", b"9223372036854775807", b"-9223372036854775808", b"99999999999999999999999", b"abc", b"\\x", b"\\xzz\xff", b"{}", b"1", b"\xff\xfe\0\0", b"x" * 100000])

    def rows(self, columns, count, longer=b""):
        names = b"".join(b"c%d\0" % i + struct.pack(">ihihih", 0, 0, self.random.choice([16, 17, 20, 23, 25, 1700]), -1, -1, 0) for i in range(columns))
        out = [message(b"T", struct.pack(">h", columns) + names)]
        for _ in range(count):
            values = [None if self.random.random() < 0.1 else longer or self.number() for _ in range(columns)]
            out.append(message(b"D", struct.pack(">h", columns) + b"".join(struct.pack(">i", -1) if v is None else struct.pack(">i", len(v)) + v for v in values)))
        return b"".join(out)

    def answer(self, kind, text, asked):
        ready, good = message(b"Z", b"T"), message(b"C", b"SELECT 1\0")
        begun = b"" if kind == b"Q" else message(b"1", b"") + message(b"2", b"")
        if kind == b"Q":
            return message(b"C", (b"COMMIT" if text.startswith(b"commit") else b"SET") + b"\0") + message(b"Z", b"I" if text.startswith((b"commit", b"rollback", b"set")) else b"T")
        if self.mode == "garbage":
            return self.random.randbytes(self.random.randrange(1, 3000))
        if self.mode == "half a row":
            return begun + self.rows(3, 2)[:-7] + b"\0" * self.random.randrange(7)
        if self.mode == "long values":
            return begun + self.rows(4, 2, b"y" * (8 << 20)) + good + ready
        if self.mode == "copies":
            return begun + message(self.random.choice([b"G", b"H", b"W"]), b"\0\0\0") + ready
        if self.mode == "errors":
            return message(b"E", b"SFATAL\0C" + self.random.choice([b"40001", b"57P01", b"XX000", b"%s%n%", b""]) + b"\0M" + b"%s%n" * 2000 + b"\n\0\0") + ready
        if self.mode == "hangs in the middle":
            return b"" if asked > 3 else begun + self.rows(2, 1)[:9]
        return begun + self.rows(self.random.randrange(1, 12), self.random.randrange(6)) + message(b"C", self.random.choice([b"SELECT 5", b"INSERT x y", b"", b"UPDATE 99999999999999999999"]) + b"\0") + ready

    def end(self):
        self.s.close()
        with self.lock:
            for s in self.open:
                try:
                    s.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
        shutil.rmtree(self.dir)


def message(kind, payload):
    return kind + struct.pack(">i", len(payload) + 4) + payload


MODES = ["other words", "closes", "garbage", "half a row", "long values", "copies", "errors", "rows of anything", "hangs at once", "hangs in the middle"]
SLOW = ["half a row", "hangs in the middle"]  # which take the minute that a statement has


def hostile_once(mode, seed, said):
    """A server and a backup of it: each ends with words of one line, or has found what it can live with."""
    fake = Hostile(mode, seed)
    folder = tempfile.mkdtemp(prefix="ssvm-hostile-data-")
    try:
        programs = [[CONTROL, "--backup", folder + "/backup", "--data", folder, "--database", fake.url], [SERVE, folder, "--listen", "127.0.0.1:0", "--database", fake.url, "--data", folder, "--workers=1", "--log=none"]]
        for program in programs[: 1 if mode in SLOW else 2]:
            p = subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
            lines, over = [], threading.Event()

            def read(out=p.stdout, lines=lines, over=over):
                for line in out:
                    lines.append(line)
                    if " serves '" in line:
                        break
                over.set()

            threading.Thread(target=read, daemon=True).start()
            if not over.wait(400):
                said.append("%s: %s hangs: %s" % (mode, program[0], "".join(lines)[-500:]))
            if p.poll() is None:
                p.send_signal(signal.SIGTERM)
            status = p.wait(60)
            text = "".join(lines)
            if status < 0 and status != -signal.SIGTERM or "signal 11" in text or "signal 6" in text or "Sanitizer" in text:
                said.append("%s, seed %d: %s ended with %d: %s" % (mode, seed, program[0], status, text[-1000:]))
            if status > 0 and not [l for l in lines if l.startswith("ssvm-control: ") and len(l) < 1500]:
                said.append("%s, seed %d: %s says nothing: %s" % (mode, seed, program[0], text[-1000:]))
    finally:
        fake.end()
        shutil.rmtree(folder)


def a_hostile_server_is_told_of():
    if not cluster:
        raise Skip("there is no PostgreSQL")
    said, threads = [], []
    for mode in MODES:
        def run(mode=mode):
            for seed in range(1 if mode in SLOW else 2):
                try:
                    hostile_once(mode, seed, said)
                except Exception:  # noqa: BLE001
                    said.append("%s: %s" % (mode, traceback.format_exc()))

        threads.append(threading.Thread(target=run))
        threads[-1].start()
    for t in threads:
        t.join()
    assert not said, "\n".join(said)


def rows_of_anything_are_told_of():
    """Rows as no node of ours writes them, in a database that somebody else writes to too: what is asked ends with an answer, control goes on, and all is well when
    the rows are."""
    if not cluster:
        raise Skip("there is no PostgreSQL")
    url = cluster.fresh()

    def sql(*statements):
        subprocess.run(["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", url, *[x for s in statements for x in ("-c", s)]], check=True, stdout=subprocess.DEVNULL)

    def other(table, column, kind):
        return ["alter table %s alter column %s drop default, alter column %s type %s" % (table, column, column, kind)]

    with Node(url) as node:
        token, bearer = node.token, [("Authorization", "Bearer " + node.token)]
        assert node.admin("PUT", T + "/functions/typed", open(guest("typed"), "rb").read(), [WASM])[0] == 200
        assert put_key(node, "x", "1") == 204
        until("the function answers", lambda: works(node) == b"7")
        control = node.processes("ssvm-control")

        def status(method, path, body=None, fields=()):
            return node.call(method, path, body, bearer + list(fields)).status

        def put():
            return status("PUT", T + "/kv/y", b"2", [("Content-Type", "application/octet-stream")])

        def look():
            return [status("GET", p) for p in ("/metrics", "/v1/tenants", T + "/functions", T + "/functions/typed/versions", T + "/kv", T + "/jobs", T + "/cron", T + "/secrets", "/v1/failures",
                                              "/v1/usage?by=function", "/api/executables")]

        fine = look()
        # What is done to the rows, what undoes it, what is asked, and what it may be answered.
        cases = [
            (["update kv_usage set version = 9223372036854775807"], ["update kv_usage set version = 10"], put, [500]),
            (["update kv_usage set bytes = '-9223372036854775808', entries = 9223372036854775807"], ["update kv_usage set bytes = 70, entries = 1"], put, [500]),
            (["alter table tokens alter column tenant drop not null", "update tokens set tenant = null"], ["update tokens set tenant = '*'"], lambda: status("GET", "/v1/tokens"), [401]),
            (other("tenants", "limits", "int using 7"), other("tenants", "limits", "text using '{}'"), lambda: status("GET", T), [200, 500]),
            (other("versions", "number", "text using 'abc'"), other("versions", "number", "bigint using 1"), look, None),
            (["update versions set manifest = repeat('[', 100000), exports = repeat('{\"a\":', 20000), size = -1"], ["update versions set manifest = '', exports = '[]', size = 1"], look, None),
            (["update targets set weight = '-9223372036854775808', number = 9223372036854775807"], ["update targets set weight = 1, number = 1"], look, None),
            (["update tenants set limits = E'{\"storage\": -1, \\x01', isolation = repeat('y', 3000000)"], ["update tenants set limits = '{}', isolation = 'shared'"], look, None),
            (["update kv set value = decode(repeat('00', 3000000), 'hex'), version = -1"], ["update kv set value = '1', version = 10"], look, None),
            (["alter table kv rename to gone"], ["alter table gone rename to kv"], lambda: status("GET", T + "/kv/x"), [500]),
        ]
        notify = "select pg_notify((select value from meta where key = 'channel'), '')"
        for bad, good, ask, wanted in cases:
            sql(*bad, notify)
            got = ask()
            assert not wanted or got in wanted, (bad, got)
            sql(*good, notify)
            assert put() == 204, bad
            assert get_key(node, "x")[0] == 200 and look() == fine, (bad, get_key(node, "x"), look(), fine)
        until("the function answers again", lambda: works(node) == b"7")
        assert node.processes("ssvm-control") == control, open(node.dir + "/out").read()


TESTS = [answers_are_the_same, a_backup_becomes_a_server, nodes_share_their_work, another_key_is_refused, the_database_goes_and_comes, a_hostile_server_is_told_of, rows_of_anything_are_told_of]


def main():
    global cluster
    try:
        cluster = Cluster()
    except Skip:
        pass
    try:
        return runner.run(TESTS, sys.argv[1:])
    finally:
        if cluster:
            cluster.end()


if __name__ == "__main__":
    sys.exit(main())
