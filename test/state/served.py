#!/usr/bin/env python3
"""State for functions of a server: what they are granted, tenants, the queue and time tables while processes are killed, calls between functions.
Usage: served.py [NAME...]; SSVM_BUILD names the build folder. Ends with 'N passed, N failed, N skipped'."""
import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

from lib import BUILD, Skip, compile_guest, compile_rust, main, peer, same, test

PATIENCE = 120  # seconds that anything may take on a busy machine
ALL = "kv: on\nsql: on\nsecret: [KEY, GONE]\ncall: ['*']\nallow-http: [example.org]"


def until(what, check, patience=PATIENCE):
    """A connection that breaks, as those of a process that was just killed do, is no answer yet."""
    end = time.monotonic() + patience
    while True:
        try:
            got = check()
            if got:
                return got
        except (OSError, http.client.HTTPException):
            pass
        assert time.monotonic() < end, what
        time.sleep(0.05)


class Server:
    def __init__(self, folder, *options, before=None):
        if not os.path.exists(BUILD + "/ssvm-control"):
            raise Skip("ssvm-control is not built")
        self.dir, self.options, self.before = folder + "/served", options, before
        os.makedirs(self.dir + "/site", exist_ok=True)

    def __enter__(self):
        self.out = open(self.dir + "/out", "w")
        self.process = subprocess.Popen([BUILD + "/ssvm-serve", self.dir, "--listen", "127.0.0.1:0", "--log", self.dir + "/log", "--call-time", "60s", *self.options], stdout=self.out,
                                        stderr=subprocess.STDOUT, preexec_fn=self.before)
        m = until("the server starts", lambda: re.search(r"http://\S+:(\d+) serves", open(self.dir + "/out").read()) or self.process.poll() is not None)
        assert m is not True, open(self.dir + "/out").read()
        self.port = int(m.group(1))
        until("it has a token", lambda: os.path.exists(self.dir + "/.ssvm/admin-token"))
        with open(self.dir + "/.ssvm/admin-token") as f:
            self.token = f.read().strip()
        until("control answers", lambda: self.ask("GET", "/v1/whoami")[0] == 200)
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.out.close()

    def ask(self, method, path, body=None, fields=(), timeout=PATIENCE):
        request = urllib.request.Request("http://127.0.0.1:%d%s" % (self.port, path), method=method, data=body.encode() if isinstance(body, str) else body)
        if path.startswith("/v1/"):
            request.add_header("Authorization", "Bearer " + self.token)
        for k, v in fields:
            request.add_header(k, v)
        try:
            with urllib.request.urlopen(request, timeout=timeout) as r:
                return r.status, r.read()
        except urllib.error.HTTPError as e:
            with e:
                return e.code, e.read()

    def admin(self, method, path, body=None, fields=(), status=(200, 201, 202, 204)):
        got, answer = self.ask(method, "/v1/tenants/" + path, body, fields)
        assert got in status, (method, path, got, answer)
        return json.loads(answer) if answer and status != (204,) else None

    def deploy(self, name, wasm, grants="", rest="", tenant="default", status=(200,)):
        manifest = "name: %s\nmodule: m.wasm\n" % name
        if grants:
            manifest += "grants:\n" + "".join("  %s\n" % line for line in grants.split("\n"))
        parts = [("manifest", (manifest + rest).encode()), ("wasm", open(wasm, "rb").read())]
        body = b"".join(b'--x-x-x\r\nContent-Disposition: form-data; name="%s"; filename="%s"\r\n\r\n%s\r\n' % (k.encode(), k.encode(), v) for k, v in parts) + b"--x-x-x--\r\n"
        answer = self.admin("PUT", "%s/functions/%s" % (tenant, name), body, [("Content-Type", "multipart/form-data; boundary=x-x-x")], status)
        if status == (200,):
            path = "/f/" + name if tenant == "default" else "/t/%s/f/%s" % (tenant, name)
            until("workers know it", lambda: self.ask("POST", path, "")[0] != 404)
        return answer

    def words(self, function, *words, status=200):
        got, answer = self.ask("POST", function if function[0] == "/" else "/f/" + function, "\n".join(map(str, words)) + "\n")
        assert got == status, (function, words, got, answer)
        return answer.decode()

    def find(self, name):
        """One of our processes; 0: there is none."""
        for pid in open("/proc/%d/task/%d/children" % (self.process.pid, self.process.pid)).read().split():
            with contextlib.suppress(OSError):
                if open("/proc/%s/comm" % pid).read().strip() == name:
                    return int(pid)
        return 0

    def kill(self, name):
        """One of them, without warning."""
        pid = self.find(name)
        with contextlib.suppress(ProcessLookupError):
            if pid:
                os.kill(pid, signal.SIGKILL)
        return pid

    def log(self):
        with open(self.dir + "/log") as f:
            return [json.loads(line) for line in f.read().split("\n")[:-1]]


def inner(*words):
    """The body of a call inside of a call."""
    return "\v".join(map(str, words))


@contextlib.contextmanager
def with_guest(folder, *options, grants=ALL, rest=""):
    guest = compile_guest(folder, "guest", "guest-served", "-DSERVED")
    with Server(folder, *options) as s:
        s.guest = guest
        s.deploy("a", guest, grants, rest)
        yield s


@test
def what_a_function_keeps(folder):
    with with_guest(folder) as s:
        same(s.words("a", "get", "k", "set", "k", "é", 0, "get", "k", "cas", "k", "é", "2", "cas", "k", "é", "3", "cas", "new", "-", "1", "cas", "new", "-", "1", "increment", "k", 40, "delete", "new",
                     "delete", "new", "list", "", "", 0),
             "get: -1 there is no such thing\nset: ok\nget: é\ncas: ok\ncas: -6 it has changed meanwhile\ncas: ok\ncas: -6 it has changed meanwhile\nincrement: 42\ndelete: ok\n"
             "delete: -1 there is no such thing\nlist: k\n")
        for i in range(25):
            s.words("a", "set", "page/%02d" % i, "v", 0)
        same(s.words("a", "list", "page/", "", 10, "list", "page/", "page/09", 10, "list", "page/", "page/24", 10),
             "list: %s\nlist: %s\nlist:\n" % (" ".join("page/%02d" % i for i in range(10)), " ".join("page/%02d" % i for i in range(10, 20))))
        s.words("a", "set", "brief", "1", 200)
        time.sleep(0.3)
        same(s.words("a", "get", "brief"), "get: -1 there is no such thing\n")
        same(s.words("a", "sql", "create table t(a integer primary key, b real, c text, d blob)", "."), "sql: 0 changes,\n")
        same(s.words("a", "sql", "insert into t values($1, $2, $3, $4)", "i-5", "f0.5", "té", "bxyz", ".", "sql", "select *, null as n from t", "."),
             "sql: 1 changes,\nsql: 0 changes, a b c d n\n i-5 f0.5 té bxyz null\n")
        same(s.words("a", "sql", "insert into t(a) values(-5)", ".")[:8], "sql: -6 ")
        for text in ("selec", "select * from nowhere", "begin", "attach '/etc/passwd' as p"):
            assert re.match(r"sql: -[23] \w", s.words("a", "sql", text, ".")), text
        s.admin("PUT", "default/secrets/KEY", "sesame")
        s.admin("PUT", "default/secrets/OTHER", "closed")
        same(s.words("a", "secret", "KEY", "secret", "GONE", "secret", "OTHER"),
             "secret: sesame\nsecret: -1 there is no such thing\nsecret: -2 the function is not granted 'secret OTHER'\n")
    with Server(folder) as s:
        until("the function is there after a restart", lambda: s.ask("POST", "/f/a", "")[0] == 200)
        same(s.words("a", "get", "k", "sql", "select c from t", ".", "secret", "KEY"), "get: 42\nsql: 0 changes, c\n té\nsecret: sesame\n")


@test
def nothing_without_a_grant(folder):
    guest = compile_guest(folder, "guest", "guest-served", "-DSERVED")
    with Server(folder) as s:
        answer = s.admin("PUT", "default/functions/a", open(guest, "rb").read(), [("Content-Type", "application/wasm")], (400, 422))
        assert "ssvm_state" in json.dumps(answer) and "grant" in json.dumps(answer), answer
        s.deploy("a", guest, "kv: on", status=(400, 422))
        s.deploy("a", guest, "kv: on\nsql: on\nsecret: [KEY]\nallow-http: [example.org]\ncall: [b]")
        for function in ("c", "a", "b@x/../c"):
            assert re.match(r"call: -2 |call: -3 ", s.words("a", "call", function, "", "")), function
            assert re.match(r"push: -2 |push: -3 ", s.words("a", "push", function, "x", 0)), function
        assert s.words("a", "call", "b", "", "").startswith("call: 404"), "granted, but not there"


@test
def tenants_do_not_see_each_other(folder):
    with with_guest(folder) as s:
        same(s.ask("POST", "/v1/tenants", json.dumps({"name": "other"}), [("Content-Type", "application/json")])[0], 201)
        s.deploy("a", s.guest, ALL, tenant="other")
        s.deploy("only", s.guest, ALL, tenant="other")
        other = "/t/other/f/a"
        s.words("a", "set", "k", "default's", 0)
        s.words(other, "set", "k", "other's", 0)
        same(s.words("a", "get", "k", "list", "", "", 0), "get: default's\nlist: k\n")
        same(s.words(other, "get", "k"), "get: other's\n")
        s.words("a", "sql", "create table t(x)", ".")
        assert s.words(other, "sql", "select * from t", ".").startswith("sql: -3 ")
        s.admin("PUT", "default/secrets/KEY", "sesame")
        same(s.words(other, "secret", "KEY"), "secret: -1 there is no such thing\n")
        assert s.words("a", "call", "only", "", "").startswith("call: 404"), "another tenant's function"
        same(s.words(other, "call", "only", "", inner("get", "k")), "call: 200\nbody: get: other's\n\n")


@test
def functions_call_functions(folder):
    with with_guest(folder) as s:
        s.deploy("b", s.guest, ALL)
        s.admin("PUT", "default/functions/b/key")
        same(s.ask("POST", "/f/b", "")[0], 401, "its key is asked for")
        same(s.words("a", "call", "b", "", inner("env", "REQUEST_METHOD", "env", "REMOTE_ADDR")), "call: 200\nbody: env: POST\nenv: 127.0.0.1\n\n")
        same(s.words("a", "call", "b", "/x/y?z=1", inner("env", "PATH_INFO", "env", "QUERY_STRING")), "call: 200\nbody: env: /x/y\nenv: z=1\n\n")
        same(s.words("a", "call", "b", "", inner("status", 418)), "call: 418\nbody: \n")
        got = s.words("a", "nest", "a", 1)
        same([int(x) for x in re.findall(r"(?:^|in: )(\d+) ", got)], list(range(1, 9)), got)
        assert "nest: -5 functions call functions too deep" in got, got
        trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        answer = s.ask("POST", "/f/a", "call\nb\n\n" + inner("env", "HTTP_TRACEPARENT") + "\n", [("traceparent", trace)])[1].decode()
        assert trace[:36] in answer and trace not in answer, answer
        for path in ("x", "/a b", "/\u00e9"):
            assert s.words("a", "call", "b", path, "").startswith("call: -3 "), path


def one_place(folder, workers, limits):
    with with_guest(folder, "--workers", str(workers), "--calls", "1", rest=limits) as s:
        s.deploy("b", s.guest, ALL, limits)
        same(s.words("a", "call", "b", "", inner("call", "b", "", "")), "call: 200\nbody: call: 200\nbody: \n\n")
        got = s.words("a", "nest", "a", 1)
        same([int(x) for x in re.findall(r"(?:^|in: )(\d+) ", got)], list(range(1, 9)), got)
        # Slow ones, which the loop does not make itself.
        same(s.words("a", "call", "b", "", inner("sleep", 300)), "call: 200\nbody: slept\n\n")
        same(s.words("a", "call", "b", "", inner("call", "b", "", "")), "call: 200\nbody: call: 200\nbody: \n\n")
        several = [threading.Thread(target=s.words, args=("a", "call", "b", "", inner("sleep", 50))) for _ in range(12)]
        for t in several:
            t.start()
        for t in several:
            t.join()
        same(s.words("a", "call", "b", "", ""), "call: 200\nbody: \n")


@test
def functions_call_functions_with_one_place(folder):
    one_place(folder, 1, "")


@test
def functions_call_functions_with_one_place_of_all_workers(folder):
    """Who waits for a function that it has called has no place: not in another worker either."""
    one_place(folder, 3, "limits:\n  concurrency: 1\n  queue: 100\n")


@test
def a_function_in_rust(folder):
    guest = compile_rust(folder, "served")
    with with_guest(folder) as s:
        s.deploy("r", guest, "call: [a]")
        same(s.ask("POST", "/f/r", "a"), (200, b"all is well\n"))
        until("its job ran", lambda: s.words("a", "get", "from-rust") == "get: 1\n")


@test
def the_caller_s_time_holds_for_all(folder):
    with with_guest(folder) as s:
        s.deploy("short", s.guest, ALL, "limits:\n  deadline: 700ms\n")
        until("there is time enough", lambda: s.ask("POST", "/f/short", "call\na\n\n%s\n" % inner("call", "a", "", ""))[0] == 200)

        def short(body):
            try:
                return s.ask("POST", "/f/short", body)
            except http.client.IncompleteRead:  # it ended while it answered
                return 504, b""

        start = time.monotonic()
        status, answer = short("call\na\n\n%s\n" % inner("sleep", 20000))
        assert status == 504 or answer.startswith(b"call: -8 "), (status, answer)
        assert time.monotonic() - start < 19  # it would have slept for 20
        # On a busy machine the time may be over before it is called.
        until("what was called has ended too", lambda: [x for x in map(json.loads, open(s.dir + "/log")) if x.get("status") == 504 and x["path"] == "/f/a"] or
              (short("call\na\n\n%s\n" % inner("sleep", 20000)) and False))
        for kind in ("http\nGET\nhttp://192.0.2.1:9/\n\n\n0\n", "sql\nwith recursive n(i) as (select 1 union all select i+1 from n) select count(*) from n\n.\n"):
            start = time.monotonic()
            status, answer = short(kind)
            assert status == 504 or re.search(rb": -[28] ", answer), (kind, status, answer)
            assert time.monotonic() - start < PATIENCE, kind


@test
def a_call_that_waits_holds_up_nobody(folder):
    with peer() as p, with_guest(folder, "--workers", "1", "--allow-private", "127.0.0.1:%d" % p.port) as s:
        s.deploy("asks", s.guest, ALL.replace("[example.org]", "['127.0.0.1:%d']" % p.port))
        same(s.words("asks", "http", "GET", "http://127.0.0.1:%d/echo" % p.port, "", "", 0), "http: 200\nbody: GET /echo \n")
        assert s.words("a", "http", "GET", "http://127.0.0.1:%d/echo" % p.port, "", "", 0).startswith("http: -2 "), "not granted"
        waiting = [threading.Thread(target=s.words, args=("asks", "http", "GET", "http://127.0.0.1:%d/slow" % p.port, "", "", 0)) for _ in range(3)]
        for t in waiting:
            t.start()
        until("they wait", lambda: sum(x[1] == "/slow" for x in p.seen) == 3)
        s.words("a", "get", "k")
        assert all(t.is_alive() for t in waiting), "they still wait"
        for _ in range(40):
            s.words("a", "get", "k")
        p.wait.set()
        for t in waiting:
            t.join()


@test
def private_addresses_are_the_operator_s(folder):
    with peer() as p, with_guest(folder) as s:
        s.deploy("asks", s.guest, ALL.replace("[example.org]", "['127.0.0.1:%d', '*.example.org', '169.254.169.254', '10.0.0.1']" % p.port))
        for host in ("127.0.0.1:%d" % p.port, "169.254.169.254", "[::1]:%d" % p.port, "localhost:%d" % p.port, "10.0.0.1"):
            assert re.match("http: -[27] ", s.words("asks", "http", "GET", "http://%s/" % host, "", "", 2000)), host
        same(p.seen, [])


# ---- The queue and time tables


def counted(s, prefix, n):
    got = {}
    for at in range(0, n, 50):
        words = [w for i in range(at, min(n, at + 50)) for w in ("get", "%s%d" % (prefix, i))]
        for i, line in zip(range(at, n), s.words("a", *words).split("\n")):
            got[i] = int(line[5:]) if line[5:].isdigit() else 0
    return got


def patient(f, *args):
    """While processes are killed, requests may fail: whoever sends them tries again."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            got = f(*args)
            if got[0] < 500:
                return got
        except (OSError, urllib.error.URLError):
            pass
        assert time.monotonic() < end, args
        time.sleep(0.1)


@test
def jobs_survive_kills(folder):
    """At least once: what was acknowledged is done, though control and a worker are killed again and again."""
    n = 200
    with with_guest(folder, "--workers", "2") as s:
        stop = threading.Event()
        kills, acknowledged = [], []

        def killer():
            before = 0
            while not stop.wait(0.4):
                if len(acknowledged) < before + 5:
                    continue  # who is killed before he has done anything does never anything
                before = len(acknowledged)
                kills.append(s.kill("ssvm-control" if len(kills) % 3 else "ssvm-worker"))

        t = threading.Thread(target=killer)
        t.start()
        for i in range(n):
            time.sleep(0.02)
            status, answer = patient(s.ask, "POST", "/f/a", "push\na\n%s\n0\n" % inner("increment", "done/%d" % i, 1))
            if re.match(rb"push: \d+\n", answer):
                acknowledged.append(i)
        stop.set()
        t.join()
        assert len(acknowledged) > n // 2 and len([k for k in kills if k]) >= 3, (len(acknowledged), kills)

        def rest():
            status, answer = s.ask("GET", "/v1/tenants/default/jobs?limit=1000")
            return status == 200 and [j for j in json.loads(answer)["jobs"]] == []
        until("the queue is empty", rest, 150)
        got = counted(s, "done/", n)
        same([i for i in acknowledged if got[i] == 0], [], "lost")
        print("  %d pushed, %d acknowledged, %d kills, %d more than once" % (n, len(acknowledged), len(kills), sum(v > 1 for v in got.values())))


@test
def a_job_sees_who_it_is_and_dies_in_the_end(folder):
    with with_guest(folder) as s:
        out = s.words("a", "push", "a", inner("set", "who", "x", 0), 0)
        assert re.match(r"push: \d+\n", out), out
        until("it ran", lambda: s.words("a", "get", "who") == "get: x\n")
        job = s.admin("POST", "default/functions/a/jobs?attempts=1", "status\n500\n")["id"]
        dead = until("it is dead", lambda: s.admin("GET", "default/jobs?state=dead")["jobs"])
        same([(j["id"], j["function"]) for j in dead], [(job, "a")])
        assert "500" in json.dumps(dead[0]), dead
        s.admin("POST", "default/jobs/%d/retry" % job)
        until("it is dead again", lambda: s.admin("GET", "default/jobs?state=dead")["jobs"])
        s.admin("DELETE", "default/jobs/%d" % job)
        same(s.admin("GET", "default/jobs")["jobs"], [])
        begun = time.monotonic()
        later = s.admin("POST", "default/functions/a/jobs?delay_ms=1500", "set\nlater\n1\n0\n")["id"]
        assert later > job
        early = s.words("a", "get", "later")
        assert early == "get: -1 there is no such thing\n" or time.monotonic() - begun >= 1.5, early
        until("it ran later", lambda: s.words("a", "get", "later") == "get: 1\n")


@test
def runs_by_the_clock(folder):
    with with_guest(folder, rest='triggers:\n  cron:\n    - schedule: every 1s\n      body: "increment\\nticks\\n1\\n"\n') as s:
        ticks = lambda: int(s.words("a", "get", "ticks").split(": ")[1]) if s.words("a", "get", "ticks")[5:6].isdigit() else 0
        until("it runs", lambda: ticks() >= 2)
        s.kill("ssvm-control")
        before = until("control is back", lambda: patient(s.ask, "POST", "/f/a", "get\nticks\n")[1].startswith(b"get: ") and ticks())
        until("it goes on", lambda: ticks() > before + 1)
        same([e["schedule"] for e in s.admin("GET", "default/cron")["entries"]], ["every 1s"])
        s.deploy("a", s.guest, ALL, 'triggers:\n  cron:\n    - schedule: "0 3 * * *"\n')
        same([e["schedule"] for e in s.admin("GET", "default/cron")["entries"]], ["0 3 * * *"])
        s.admin("POST", "default/functions/a/rollback", "{}", [("Content-Type", "application/json")])
        same([e["schedule"] for e in s.admin("GET", "default/cron")["entries"]], ["every 1s"])
        answer = s.deploy("a", s.guest, ALL, 'triggers:\n  cron:\n    - schedule: 61 * * * *\n', status=(400,))
        assert "minute" in json.dumps(answer), answer
        s.admin("DELETE", "default/functions/a")
        same(s.admin("GET", "default/cron")["entries"], [])


# ---- Guests that mean no good


@test
def no_argument_traps(folder):
    guest = compile_guest(folder, "hostile", "hostile-served", "-DSERVED")
    with Server(folder) as s:
        s.deploy("h", guest, ALL)
        for seed in (1, 2, 3):
            status, answer = s.ask("POST", "/f/h?3000&%d" % seed, "")
            assert status == 200 and re.match(rb"3000 calls, [1-9]", answer), (status, answer)
        assert s.kill("ssvm-worker"), "the worker has lived"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
