#!/usr/bin/env python3
"""A long run of the server at a share of what it can do: does its memory stay, do its descriptors, does every answer come?

First what one worker answers at most is measured (h2load, a file and a function in turns), then a share of that is asked for, at a fixed rate, for
--seconds; beside it slower clients write and read keys, count, push messages that the queue runs, deploy, and call functions that trap and that run
into their deadline; each answer is looked at. Memory of all the server's processes (their resident set size, and their own share of it: the proportional set size
without files and shared memory) and descriptors are read every ten seconds. Ends with 1 when one of the two in the last quarter is more than 2 % above the second quarter's,
when a kind of process has more descriptors than before, or when an answer was wrong. Needs h2load (Debian: nghttp2-client) and wat2wasm (wabt). --csv keeps what was read.
"""
import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "test", "serve"))
from registry import SPIN, Client, Registry, guest, say, wasm  # noqa: E402

T = "/v1/tenants/default"
KEYS = 500  # that are written again and again
GROWTH = 0.02
EVERY = 10  # seconds
CHAOS = "name: chaos\ngrants:\n  kv: on\n  call: ['*']\n"
TRAP = '(module (memory (export "memory") 1) (func (export "_start") unreachable))'


def h2load(server, seconds, rps=0):
    """A process that asks for a file and a function in turns; `rps` of all 8 clients."""
    uris = server.dir + "/uris"
    with open(uris, "w") as f:
        f.write("".join("http://127.0.0.1:%d%s\n" % (server.port, p) for p in ("/soak.txt", "/f/greet/say?name=x")))
    rate = ["--rps=%.1f" % (rps / 8)] if rps else []
    return subprocess.Popen(["h2load", "--h1", "-c8", "-t1", "-i", uris, "-D%d" % seconds, "--warm-up-time=0", *rate], stdout=subprocess.PIPE, text=True)


def ended(process):
    """(answers of 2xx, all others) by h2load's own count."""
    out = process.communicate()[0]
    codes = [int(n) for n in re.search(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", out).groups()]
    failed = re.search(r"(\d+) failed, (\d+) errored, (\d+) timeout", out)
    return codes[0], sum(codes[1:]) + int(failed.group(1))


class Clients:
    """What is asked beside; every answer is looked at."""

    def __init__(self, server):
        self.server, self.stop, self.lock = server, False, threading.Lock()
        self.counts, self.wrong, self.threads = {}, [], []

    def start(self, f, pause):
        def run():
            client, number = Client(self.server, 30), 0
            while not self.stop:
                number += 1
                try:
                    f(client, number)
                    with self.lock:
                        self.counts[f.__name__] = self.counts.get(f.__name__, 0) + 1
                except Exception as e:  # noqa: BLE001
                    self.wrong.append("%s %d: %r" % (f.__name__, number, e))
                    client = Client(self.server, 30)
                time.sleep(pause)

        self.threads.append(threading.Thread(target=run))
        self.threads[-1].start()

    def admin(self, client, method, path, body=None, kind="application/octet-stream", good=(200, 202, 204)):
        r = client.request(method, path, body, [("Authorization", "Bearer " + self.server.token), ("Content-Type", kind)])
        assert r.status in good, (r.status, r.body[:200])
        return r.body

    def words(self, client, text):
        r = client.request("POST", "/f/chaos", text.encode())
        assert r.status == 200 and r.body.split()[0] == b"ok", (r.status, r.body[:200])
        return int(r.body.split()[1])

    def writes(self, client, number):
        self.words(client, "set key-%d %d" % (number % KEYS, number))
        assert self.admin(client, "GET", "%s/kv/key-%d" % (T, number % KEYS)) == b"%d" % number

    def counts_up(self, client, number):
        assert self.words(client, "add sum") == number

    def pushes(self, client, number):
        self.admin(client, "POST", T + "/functions/chaos/jobs", b"add ran", "text/plain", (202,))

    def deploys(self, client, number):
        text = "version-%d" % (number % 2)
        self.admin(client, "PUT", T + "/functions/shown", say(text), "application/wasm")
        for _ in range(200):
            if client.request("GET", "/f/shown").body == text.encode():
                return
            time.sleep(0.05)
        raise AssertionError("the new version is not live")

    def traps(self, client, number):
        r = client.request("GET", "/f/trap")
        assert r.status == 500, r.status

    def runs_out(self, client, number):
        r = client.request("GET", "/f/short")
        assert r.status == 504, r.status

    def looks(self, client, number):
        for path in ("/v1/usage?tenant=default", T + "/functions", "/metrics"):
            self.admin(client, "GET", path)

    def all(self):
        for f, pause in ((self.writes, 0.05), (self.counts_up, 0.05), (self.pushes, 0.5), (self.deploys, 30), (self.traps, 1), (self.runs_out, 2), (self.looks, 5)):
            self.start(f, pause)

    def end(self):
        self.stop = True
        for t in self.threads:
            t.join()


def processes(server):
    """The supervisor and what it has started: pid -> name."""
    found, new = {}, [server.process.pid]
    while new:
        pid = new.pop()
        try:
            with open("/proc/%d/comm" % pid) as f:
                found[pid] = f.read().strip()
            for task in os.listdir("/proc/%d/task" % pid):
                with open("/proc/%d/task/%s/children" % (pid, task)) as f:
                    new += [int(c) for c in f.read().split()]
        except OSError:
            pass
    return found


def look(server):
    """(KiB of its own, KiB resident, descriptors) of each of the processes that stay."""
    seen = {}
    for pid, name in processes(server).items():
        if name not in ("ssvm-serve", "ssvm-worker", "ssvm-control"):
            continue  # it prepares or compiles, and ends
        try:
            with open("/proc/%d/smaps_rollup" % pid) as f:
                kib = {x.split(":")[0]: int(x.split()[1]) for x in f if x.endswith("kB\n")}
            seen[name, pid] = kib["Pss_Anon"], kib["Rss"], len(os.listdir("/proc/%d/fd" % pid))
        except OSError:
            pass
    return seen


def run(server, args):
    probe = h2load(server, args.probe)
    most = ended(probe)[0] / args.probe
    rps = most * args.load
    print("%.0f answers a second at most; %.0f are asked for, for %d s" % (most, rps, args.seconds), flush=True)
    clients = Clients(server)
    clients.all()
    load = h2load(server, args.seconds, rps)
    rows, begun = [], time.monotonic()
    while load.poll() is None:
        rows.append((time.monotonic() - begun, look(server)))
        if args.csv:
            with open(args.csv, "a") as f:
                f.write("".join("%.0f,%s,%d,%d,%d,%d\n" % (rows[-1][0], *key, *figures) for key, figures in rows[-1][1].items()))
        time.sleep(EVERY)
    good, bad = ended(load)
    clients.end()
    return most, good, bad, clients, rows


def quarters(rows, figure):
    """Medians of figure(what was seen) in the second quarter and in the last."""
    quarter = max(1, len(rows) // 4)
    return [statistics.median(figure(seen) for _, seen in part) for part in (rows[quarter:2 * quarter], rows[-quarter:])]


def kind(seen, name, which):
    return statistics.median([figures[which] for key, figures in seen.items() if key[0] == name] or [0])


def judge(server, args, most, good, bad, clients, rows):
    failed = []
    print("load: %d answers (%.0f/s, %.0f %% of the most), %d others" % (good, good / args.seconds, good / args.seconds / most * 100, bad))
    print("beside: " + ", ".join("%s %d" % x for x in sorted(clients.counts.items())))
    for text in clients.wrong[:10]:
        print("wrong: " + text)
    for which, what in enumerate(("memory", "resident")):
        before, after = quarters(rows, lambda seen: sum(figures[which] for figures in seen.values()))
        print("%s: %d KiB in the second quarter, %d KiB in the last: %+.2f %%" % (what, before, after, (after - before) / before * 100))
        if after > before * (1 + GROWTH):
            failed.append(what)
    for name in ("ssvm-serve", "ssvm-worker", "ssvm-control"):
        kib, resident, open_files = [quarters(rows, lambda seen: kind(seen, name, which)) for which in range(3)]
        pids = {k[1] for _, seen in rows for k in seen if k[0] == name}
        print("  %-12s %7d -> %7d KiB, resident %7d -> %7d KiB, descriptors %d -> %d, %d process(es)" % (name, *kib, *resident, *open_files, len(pids)))
        if open_files[1] > open_files[0]:
            failed.append("descriptors of " + name)
        if len(pids) > args.workers:
            failed.append("a process was replaced: " + name)
    if bad or clients.wrong:
        failed.append("answers")
    usage = json.loads(clients.admin(Client(server), "GET", "/v1/usage?tenant=default&by=function"))["usage"]
    calls = sum(r["calls"] for r in usage if r["function"] == "chaos")
    asked = clients.counts.get("writes", 0) + clients.counts.get("counts_up", 0) + clients.counts.get("pushes", 0)
    print("ledger: %d calls of the function with state, %d were asked for" % (calls, asked))
    print("FAILED: " + ", ".join(failed) if failed else "ok")
    return 1 if failed else 0


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--seconds", type=int, default=3600)
    p.add_argument("--load", type=float, default=0.7)
    p.add_argument("--probe", type=int, default=10, help="seconds of the measurement before")
    p.add_argument("--workers", type=int, default=1)
    p.add_argument("--csv")
    args = p.parse_args()
    with Registry("--workers=%d" % args.workers) as s:
        with open(s.dir + "/site/soak.txt", "w") as f:
            f.write("hello, world")
        with open(guest("hello"), "rb") as f:
            s.deploy("greet", f.read())
        with open(guest("chaos"), "rb") as f:
            s.deploy("chaos", f.read(), CHAOS)
        s.deploy("shown", say("version-0"))
        s.deploy("trap", wasm(TRAP))
        s.deploy("short", wasm(SPIN), "name: short\nlimits:\n  deadline: 100ms\n")
        return judge(s, args, *run(s, args))


if __name__ == "__main__":
    sys.exit(main())
