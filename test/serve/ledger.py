#!/usr/bin/env python3
"""The ledger is exact: functions are called while processes of the server are killed (kill -9), and then its sums are compared with
what the clients were answered, and with gas as the interpreter counts it (`ssvm run --stats=json --tier=interp`).

A request whose connection broke was counted or not; every other one exactly once. Also: metrics as prometheus_client reads them (where it is
installed), logs, failures with source lines, traces, and who may see what.

Usage: ledger.py [NAME...]; LEDGER_REQUESTS (3000) says how many requests, LEDGER_KILLS (12) how many kills; SSVM_BUILD names the build folder. Ends with 'N passed, N failed, N skipped'.
"""
import csv
import hashlib
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from test_server import BUILD, PATIENCE, Client, Server, Skip, guest, runner, until  # noqa: E402

REQUESTS = int(os.environ.get("LEDGER_REQUESTS", "3000"))
THREADS = 8
KILLS = int(os.environ.get("LEDGER_KILLS", "12"))

# Function (a copy of guests/typed.c, so that each has its own row), what is asked of it, and the arguments for `ssvm run --invoke`.
CALLS = {
    "adder": ("/f/adder/add?a=3&b=4", ["add", "3", "4"], 200),
    "worker": ("/f/worker/work?n=1000", ["work", "1000"], 200),
    "trapper": ("/f/trapper/trap", ["trap"], 500),
    "stranger": ("/f/stranger/nothing_of_that_name", None, 404),
}


def expected_gas(args):
    """What one call uses, by the interpreter alone."""
    run = subprocess.run([os.path.join(BUILD, "ssvm"), "run", "--tier=interp", "--stats=json", "--invoke", args[0], guest("typed"), *args[1:]],
                         capture_output=True, text=True)
    return json.loads([line for line in run.stderr.splitlines() if line.startswith("{")][-1])["gas"]


class Tokened(Server):
    """A server with a data folder, and its first token."""

    def __init__(self, *options, **popen):
        super().__init__(*options, **popen)
        self.data = self.dir + "/data"
        self.options = [*options, "--data", self.data]

    @property
    def token(self):
        until("the first token is there", lambda: os.path.exists(self.data + "/admin-token"))
        return open(self.data + "/admin-token").read().strip()

    def ask(self, path, token=None):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:  # control may be away for a moment
            status, r = 0, None
            try:
                r = self.call("GET", path, fields=[("Authorization", "Bearer " + (token or self.token))])
                status = r.status
            except (OSError, EOFError):
                pass
            if status not in (0, 502, 503, 504):
                return r
            time.sleep(0.1)
        raise AssertionError("no answer to %s: %s" % (path, r and r.body))

    def json(self, path, token=None):
        r = self.ask(path, token)
        assert r.status == 200, (path, r.status, r.body)
        return json.loads(r.body)


class Load:
    """Clients that count: answers by function, and requests that had none."""

    def __init__(self, server, total):
        self.server = server
        self.left = total
        self.lock = threading.Lock()
        self.answered = dict.fromkeys(CALLS, 0)
        self.broken = dict.fromkeys(CALLS, 0)
        self.bytes_out = dict.fromkeys(CALLS, 0)
        self.wrong = []
        self.threads = [threading.Thread(target=self.run, args=(i,)) for i in range(THREADS)]

    def run(self, seed):
        choose = random.Random(seed)
        client = None
        while True:
            with self.lock:
                if self.left <= 0:
                    break
                self.left -= 1
            name = choose.choice(list(CALLS))
            sent = False
            try:
                client = client or Client(self.server)
                sent = True
                r = client.request("GET", CALLS[name][0])
                with self.lock:
                    self.answered[name] += 1
                    self.bytes_out[name] += len(r.body)
                    if r.status != CALLS[name][2]:
                        self.wrong.append((name, r.status, r.body[:200]))
            except (OSError, EOFError, AssertionError):
                client = None
                with self.lock:
                    self.broken[name] += sent
                time.sleep(0.02)

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        for t in self.threads:
            t.join()


def usage(server):
    return {row["function"]: row for row in server.json("/v1/usage?by=function&step=all")["usage"]}


def compare(load, rows):
    assert not load.wrong, load.wrong[:3]
    for name, (_, args, status) in CALLS.items():
        row, answered, broken = rows[name], load.answered[name], load.broken[name]
        count = row["calls"] + row["rejected"]
        assert answered <= count <= answered + broken, (name, answered, broken, row)
        assert row["rejected"] == (0 if args else count), row
        assert row["errors"] == (row["calls"] if status == 500 else 0), row
        gas = expected_gas(args) if args else 0
        assert row["gas"] == gas * row["calls"], (name, gas, row)
        if broken == 0:
            assert row["bytes_out"] == load.bytes_out[name], (name, load.bytes_out[name], row)
        assert not args or 0 < row["cpu_ns"] <= row["wall_ns"] * 1.05 + 1e6, row


def kill_one(server, choose):
    until("there is one to kill", lambda: server.processes("ssvm-worker"))
    try:
        os.kill(choose.choice(server.processes("ssvm-worker") + server.processes("ssvm-control")), signal.SIGKILL)
    except ProcessLookupError:
        pass  # it was ending just now


def with_functions(server):
    for name in CALLS:
        server.function(name, "typed")
    return server


# ---- Tests ----

def quiet():
    """Nobody is killed: everything is equal to the last byte and unit of gas."""
    with with_functions(Tokened()) as server:
        with Load(server, REQUESTS) as load:
            pass
        rows = usage(server)
        assert sum(load.broken.values()) == 0, load.broken
        compare(load, rows)
        table = list(csv.DictReader(io.StringIO(server.ask("/v1/usage?by=function&format=csv").body.decode())))
        assert {r["function"]: r["gas"] for r in table} == {name: str(row["gas"]) for name, row in rows.items()}
        assert sum(r["calls"] + r["rejected"] for r in server.json("/v1/usage?step=minute")["usage"]) == REQUESTS
        until("the log has all of them", lambda: REQUESTS == sum(
            '"event":"request"' in line for f in os.listdir(server.data + "/log") for line in open(server.data + "/log/" + f)))


def deployed():
    """Functions of the registry have their tenant and the version's digest; tenants see their own."""
    with Tokened() as server:
        def ask(method, path, body=None, token=None, type="application/json"):
            r = server.call(method, path, body, [("Authorization", "Bearer " + (token or server.token)), ("Content-Type", type)])
            assert r.status < 300, (method, path, r.status, r.body)
            return json.loads(r.body) if r.body else None

        module = open(guest("typed"), "rb").read()
        ask("POST", "/v1/tenants", b'{"name":"other"}')
        token = ask("POST", "/v1/tenants/other/tokens", b'{"name":"t","scopes":["read"]}')["token"]
        for tenant in ("default", "other"):
            ask("PUT", "/v1/tenants/%s/functions/sums" % tenant, module, type="application/wasm")
        until("it is told to the workers", lambda: server.get("/f/sums/add?a=3&b=4").status == 200)
        until("it is told to the workers", lambda: server.get("/t/other/f/sums/add?a=3&b=4").status == 200)
        server.get("/t/other/f/sums/trap")
        rows = {r["tenant"]: r for r in server.json("/v1/usage?by=function")["usage"]}
        assert set(rows) == {"default", "other"}, rows
        assert rows["other"]["calls"] == 2 and rows["other"]["errors"] == 1, rows
        assert rows["other"]["digest"] == hashlib.sha256(module).hexdigest()[:16], rows
        assert rows["default"]["gas"] == rows["default"]["calls"] * expected_gas(["add", "3", "4"]), rows
        assert [r["tenant"] for r in server.json("/v1/usage?by=function", token)["usage"]] == ["other"]
        assert {x["tenant"] for x in server.json("/v1/logs", token)["lines"]} == {"other"}
        assert len(server.json("/v1/failures", token)["failures"]) == 1
        assert server.ask("/v1/usage?tenant=default", token).status == 403
        assert server.ask("/v1/logs?tenant=default", token).status == 403
        assert b'tenant="default"' not in server.ask("/metrics", token).body
        changed = [x["message"] for x in server.json("/v1/logs?tenant=other")["lines"] if x["event"] == "changed"]
        assert any(m.startswith("PUT /v1/tenants/other/functions/sums by token ") for m in changed), changed


def killed():
    """Control and workers are killed at random under load."""
    with with_functions(Tokened()) as server:
        choose = random.Random(7)
        kills = 0
        with Load(server, REQUESTS) as load:
            while load.left > 0:
                if load.left < REQUESTS * (KILLS - kills) // (KILLS + 1):
                    kill_one(server, choose)
                    kills += 1
                time.sleep(0.001)
        assert kills >= KILLS // 2, kills
        print("      %d kills, %d answered, %d broken" % (kills, sum(load.answered.values()), sum(load.broken.values())))
        compare(load, usage(server))


def killed_whole(kill):
    """The server under load ends by `kill`; the next one on the folder knows all that was answered."""
    server = with_functions(Tokened())
    server.__enter__()
    try:
        with Load(server, sys.maxsize) as load:  # until it is killed
            until("it is under load", lambda: sum(load.answered.values()) > REQUESTS // 16)
            kill(server, load)
            server.process.kill()
            server.process.wait()
            load.left = 0
        server.forgiven = True
        server.__enter__()
        compare(load, usage(server))
        server.process.terminate()
        server.process.wait()
        assert os.listdir(server.data + "/rings") == [], "all is counted"
        server.__enter__()
        compare(load, usage(server))
    finally:
        server.__exit__()


def supervisor_killed():
    """With all of its processes."""
    killed_whole(lambda server, load: None)


def all_killed():
    """Nobody has had the time to count anything: control is stopped, then all are killed."""
    def kill(server, load):
        control = server.processes("ssvm-control")[0]
        runner.stop(control)
        answered = sum(load.answered.values())
        until("there is more", lambda: sum(load.answered.values()) > answered + REQUESTS // 16)
        runner.stop(server.process.pid)  # it starts nobody in the meantime
        for pid in server.processes("ssvm-worker") + [control]:
            os.kill(pid, signal.SIGKILL)

    killed_whole(kill)


def full_disk():
    """The disk is full: requests are answered, their records wait in the rings and are counted when there is room again; lines of the
    log are lost, and that is told."""
    if os.geteuid() != 0:
        raise Skip("only root may mount a small disk")
    server = with_functions(Tokened())
    os.makedirs(server.data)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m,mode=0700", "none", server.data], capture_output=True).returncode != 0:
        raise Skip("no small disk can be mounted")
    try:
        with server:
            server.get(CALLS["adder"][0])
            assert usage(server)["adder"]["calls"] == 1
            with open(server.data + "/ballast", "wb", buffering=0) as f:
                try:
                    while True:
                        f.write(bytes(65536))
                except OSError:
                    pass
            for _ in range(500):
                assert server.get(CALLS["adder"][0]).status == 200
            time.sleep(0.5)
            assert server.get(CALLS["adder"][0]).status == 200
            os.unlink(server.data + "/ballast")
            until("all is counted", lambda: usage(server)["adder"]["calls"] == 502)
            assert usage(server)["adder"]["gas"] == 502 * expected_gas(CALLS["adder"][1])
            server.get(CALLS["adder"][0])
            until("the loss is told", lambda: [x for x in server.json("/v1/logs?limit=2000")["lines"] if x["event"] in ("log_lost", "ledger_works")])
    finally:
        until("nobody holds it", lambda: subprocess.run(["umount", server.data], capture_output=True).returncode == 0)
        shutil.rmtree(server.dir, ignore_errors=True)


def why():
    """A trap's owner learns where it was; nobody else does."""
    cc = "clang-22"
    with Tokened() as server:
        source = os.path.join(server.dir, "div.c")
        open(source, "w").write('#include <stdio.h>\n__attribute__((noinline)) static int share(int of, int among)\n{\n    return of / among;\n}\n\n'
                                'int main(int argc, char **argv)\n{\n    fprintf(stderr, "dividing\\n");\n    return share(1, argc - 1);\n}\n')
        if not os.path.isdir("/usr/include/wasm32-wasi"):
            raise Skip("clang with wasi-libc is missing")
        os.makedirs(server.dir + "/functions", exist_ok=True)
        subprocess.run([cc, "--target=wasm32-wasi", "-Wno-deprecated", "-g", "-O0", "-o", server.dir + "/functions/div.wasm", source], check=True)
        trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
        r = server.call("POST", "/f/div", b"input", fields=[("traceparent", trace)])
        assert r.status == 500, (r.status, r.body)
        assert b"divide" not in r.body, r.body  # the caller is not told
        request = dict(r.fields)["x-request-id"]
        assert dict(r.fields)["traceparent"] == "00-4bf92f3577b34da6a3ce929d0e0e4736-%s-01" % request
        f = server.json("/v1/failures/" + request)
        assert f["message"] == "integer divide by zero" and f["code"] == "trap", f
        assert f["backtrace"][0]["line"] == 4 and f["backtrace"][0]["file"].endswith("div.c"), f["backtrace"]
        assert f["stderr"] == "dividing\n" and f["limits"]["deadline_ms"] == 10000, f
        assert f["input_sha256"] == "c96c6d5be8d08a12e7b5cdc1b207fa6b2430974c86803d8891675e76fd992c20", f["input_sha256"]
        assert f["trace"].startswith("00-4bf92f3577b34da6a3ce929d0e0e4736-"), f
        assert [x["id"] for x in server.json("/v1/failures")["failures"]] == [request]
        lines = until("the log has it", lambda: [x for x in server.json("/v1/logs?request=" + request)["lines"] if x["event"] == "stderr"])
        assert lines[0]["message"] == "dividing\n", lines
        assert server.ask("/v1/failures/ffffffffffffffff").status == 404
        assert server.call("GET", "/v1/failures/" + request).status == 401
        assert server.call("GET", "/v1/logs", fields=[("Authorization", "Bearer wrong")]).status == 401


def traces():
    """What a function sees of a trace, and what it does not."""
    trace, span = "00-4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    with Tokened().function("env") as server:
        def seen(*fields):
            r = server.call("GET", "/f/env", fields=fields)
            said = [line for line in r.body.decode().split("\n") if line.startswith("HTTP_TRACEPARENT=")]
            replied, request = dict(r.fields).get("traceparent"), dict(r.fields)["x-request-id"]
            assert said == (["HTTP_TRACEPARENT=" + replied] if replied else []), (said, replied)
            return replied and replied.replace(request, "ID")

        good = ("traceparent", "%s-%s-01" % (trace, span))
        assert seen(good) == trace + "-ID-01"
        assert seen() is None
        assert seen(good, good) is None
        for bad in (good[1] + "-x", good[1].upper(), "ff" + good[1][2:], "", "nothing"):
            assert seen(("traceparent", bad)) is None, bad
        usage(server)
        until("the log has it", lambda: [x for x in server.json("/v1/logs")["lines"] if x.get("trace", "").startswith(trace)])


def metrics():
    try:
        from prometheus_client.parser import text_string_to_metric_families
    except ImportError:
        raise Skip("prometheus_client is not installed (Debian: python3-prometheus-client; PyPI: prometheus-client)")
    with with_functions(Tokened()) as server:
        for _ in range(5):
            server.get(CALLS["adder"][0])
        server.get(CALLS["trapper"][0])
        usage(server)
        families = {f.name: f for f in text_string_to_metric_families(server.ask("/metrics").body.decode())}
        counts = {(s.labels["function"], s.labels["status"]): s.value for s in families["ssvm_requests"].samples}
        assert counts == {("adder", "2xx"): 5, ("trapper", "5xx"): 1}, counts
        buckets = [s for s in families["ssvm_request_duration_seconds"].samples if s.labels.get("le") == "+Inf" and s.labels["function"] == "adder"]
        assert buckets[0].value == 5
        assert {s.labels["process"] for s in families["ssvm_process_resident_memory_bytes"].samples} >= {"control", "worker-0"}


def host_calls():
    """Which functions of the host were called is told, as often as the guest was asked to: in every tier the same, through the death of workers, by /v1, /metrics, the log and why."""
    clock, random_get = "wasi_snapshot_preview1.clock_time_get", "wasi_snapshot_preview1.random_get"

    def stats(tier, *args):
        run = subprocess.run([os.path.join(BUILD, "ssvm"), "run", "--tier=" + tier, "--stats=json", "--invoke", args[0], guest("hosts"), *args[1:]], capture_output=True, text=True)
        return json.loads([line for line in run.stderr.splitlines() if line.startswith("{")][-1])["host_functions"]

    tiers = ["interp"] + ["aot"] * os.path.exists(os.path.join(BUILD, "libssvm-aot.so"))
    cost = [stats(tier, "ask", "1", "1") for tier in tiers]
    assert all(c == cost[0] for c in cost), cost
    assert {name: f["calls"] for name, f in cost[0].items()} == {clock: 1, random_get: 1}, cost
    with Tokened() as server:
        def told(tenant):
            r = server.json("/v1/tenants/%s/functions/hosts/host-calls" % tenant)
            assert r["calls"] == sum(f["calls"] for f in r["functions"]), r
            assert [f["calls"] for f in r["functions"]] == sorted((f["calls"] for f in r["functions"]), reverse=True), r
            return {f["name"]: f["calls"] for f in r["functions"]}, r

        def fields(token=None):
            return [("Authorization", "Bearer " + (token or server.token)), ("Content-Type", "application/wasm")]

        with open(guest("hosts"), "rb") as f:
            module = f.read()
        r = server.call("POST", "/v1/tenants", b'{"name":"other"}', fields()[:1] + [("Content-Type", "application/json")])
        assert r.status == 201, r.body
        for tenant in ("default", "other"):
            r = server.call("PUT", "/v1/tenants/%s/functions/hosts" % tenant, module, fields())
            assert r.status == 200, r.body
        until("it is told to the workers", lambda: server.get("/f/hosts/ask?a=0&b=0").status == 200)
        until("it is told to the workers", lambda: server.get("/t/other/f/hosts/ask?a=0&b=0").status == 200)
        # The try at deployment is no call of a client, and whatever was asked above has called nothing.
        assert told("default")[0] == {}, told("default")
        choose, wanted = random.Random(3), {"default": [0, 0], "other": [0, 0]}
        for i in range(200):
            tenant, times, randoms = choose.choice(["default", "other"]), choose.randrange(40), choose.randrange(3)
            if i == 100:
                for pid in server.processes("ssvm-worker"):
                    os.kill(pid, signal.SIGKILL)
                until("it serves again", lambda: server.get("/t/%s/f/hosts/ask?a=0&b=0" % tenant).status == 200)
            r = server.get("/t/%s/f/hosts/ask?a=%d&b=%d" % (tenant, times, randoms))
            assert r.status == 200 and r.body.strip() == b"0", (r.status, r.body)
            wanted[tenant][0] += times
            wanted[tenant][1] += randoms
        for tenant, (times, randoms) in wanted.items():
            got, r = told(tenant)
            assert got == {clock: times, random_get: randoms}, (got, wanted)
            for f in r["functions"]:
                assert f["gas"] == f["calls"] * cost[0][f["name"]]["gas"], (f, cost)
        lines = server.ask("/metrics").body.decode().splitlines()
        assert 'ssvm_host_function_calls_total{name="%s"} %d' % (clock, sum(w[0] for w in wanted.values())) in lines, lines
        for tenant, calls in wanted.items():
            assert 'ssvm_host_calls_total{tenant="%s",function="hosts"} %d' % (tenant, sum(calls)) in lines, lines
        lines = server.ask("/metrics?tenant=other").body.decode().splitlines()
        assert 'ssvm_host_function_calls_total{name="%s"} %d' % (clock, wanted["other"][0]) in lines, lines
        # A call, and why it failed.
        r = server.get("/f/hosts/fail?a=7")
        request = dict(r.fields)["x-request-id"]
        assert r.status == 500, r.status
        failure = server.json("/v1/failures/" + request)
        assert failure["host_calls"] == [{"name": clock, "calls": 7, "gas": 7 * cost[0][clock]["gas"]}], failure
        line = until("the log has it", lambda: [x for x in server.json("/v1/logs?request=" + request)["lines"] if x["event"] == "request"])
        assert line[0]["host_calls"] == 7, line
        shown = subprocess.run([os.path.join(BUILD, "ssvm"), "why", "--server", "http://127.0.0.1:%d" % server.port, "--token-file", server.data + "/admin-token", request],
                               capture_output=True, text=True)
        assert "host calls: %s: 7 (gas " % clock in shown.stdout, shown
        # More functions than a record tells apart: the sum is right all the same.
        before = told("default")[1]["calls"]
        assert server.get("/f/hosts/all").status == 200
        got, r = told("default")
        assert r["calls"] == before + 21 and got["other"] == 4, r
        assert server.ask("/v1/tenants/default/functions/none/host-calls").status == 404
        # Who counted, and since when: a control process that starts begins anew.
        with open(server.data + "/node") as f:
            assert f.read().startswith(r["node"]) and len(r["node"]) == 16, r
        for pid in server.processes("ssvm-control"):
            os.kill(pid, signal.SIGKILL)
        again = until("control is back", lambda: (lambda a: a.status == 200 and json.loads(a.body))(server.ask("/v1/tenants/default/functions/hosts/host-calls")))
        assert again["node"] == r["node"] and again["since"] >= r["since"] and again["calls"] == 0 and again["functions"] == [], (again, r)


def follows():
    """A log that is followed: each line comes once, also over a restart of control."""
    with with_functions(Tokened()) as server:
        cursor, seen = server.json("/v1/logs")["cursor"], []
        for i in range(40):
            server.get(CALLS["adder"][0])
            if i == 20:
                for pid in server.processes("ssvm-control"):
                    os.kill(pid, signal.SIGKILL)
            page = server.json("/v1/logs?function=adder&wait=2&cursor=" + cursor)
            seen += [x["id"] for x in page["lines"]]
            cursor = page["cursor"]
        while page["lines"] and len(seen) < 40:  # on a slow disk some come later
            page = server.json("/v1/logs?function=adder&wait=2&cursor=" + cursor)
            seen += [x["id"] for x in page["lines"]]
            cursor = page["cursor"]
        assert len(seen) == len(set(seen)) >= 38, (len(seen), len(set(seen)))


def live():
    """What runs is told while it runs."""
    with with_functions(Tokened("--call-time", "600s")) as server:
        client = Client(server)
        client.send(b"GET /f/worker/spin HTTP/1.1\r\nHost: test\r\n\r\n")
        found = until("it is seen", lambda: server.json("/v1/live")["requests"])
        assert found[0]["function"] == "worker" and found[0]["path"] == "/f/worker/spin", found
        client.close()
        until("it is gone", lambda: server.json("/v1/live")["requests"] == [])


def main():
    return runner.run([quiet, deployed, killed, supervisor_killed, all_killed, full_disk, why, traces, metrics, host_calls, follows, live], sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
