#!/usr/bin/env python3
"""Noisy neighbours, and calls that end at their deadline. Needs wat2wasm (Debian: wabt).

Neighbours: a hello function's latency alone, and while as many requests as there are cores (or --loops) run endless loops.
Deadlines: --calls endless calls with a deadline of 100 ms beside such load, how long after it each ended, by the server's own log,
and its memory before and after. Prints tables; with --check, fails when a bar is not met.
"""
import argparse, json, os, sys, threading, time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "test", "serve"))
from registry import SPIN, Client, Registry, guest, wasm  # noqa: E402

BARS = {"neighbour": 20.0, "late": 20.0, "memory": 2.0}
DEADLINE_MS = 100


def part(times, p):
    return sorted(times)[min(len(times) - 1, int(len(times) * p))] * 1000


def row(name, times):
    print("%-34s %7d %8.2f %8.2f %8.2f %8.2f" % (name, len(times), part(times, .5), part(times, .9), part(times, .99), max(times) * 1000))


def hello(server, seconds, pause, clients=4):
    """Latencies of a request at a time of each client, with pauses."""
    times, lock = [], threading.Lock()

    def one():
        mine, c, end = [], Client(server), time.monotonic() + seconds
        while time.monotonic() < end:
            start = time.monotonic()
            r = c.request("POST", "/f/greet/say", b"you")
            mine.append(time.monotonic() - start)
            assert r.body == b"hello, you", r.body
            time.sleep(pause)
        with lock:
            times.extend(mine)

    threads = [threading.Thread(target=one) for _ in range(clients)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return times


class Loops:
    """So many requests that never end, all the time."""

    def __init__(self, server, n):
        self.server, self.stop = server, False
        self.threads = [threading.Thread(target=self.run, daemon=True) for _ in range(n)]

    def run(self):
        while not self.stop:
            try:
                Client(self.server).request("GET", "/f/spin")
            except OSError:
                return

    def __enter__(self):
        for t in self.threads:
            t.start()
        time.sleep(0.3)
        return self

    def __exit__(self, *_):
        self.stop = True


def memory_kb(server):
    """Of the workers' own: the rings of records are shared memory, which fills up to its 4 MB and stays so."""
    total = 0
    for pid in server.workers():
        with open("/proc/%d/smaps_rollup" % pid) as f:
            total += sum(int(x.split()[1]) for x in f if x.startswith("Pss_Anon:"))
    return total


def deadlines(server, calls, clients=4):
    lock, left = threading.Lock(), [calls]

    def one():
        c = Client(server)
        while True:
            with lock:
                if left[0] <= 0:
                    return
                left[0] -= 1
            r = c.request("GET", "/f/short")
            assert r.status == 504, r.status

    threads = [threading.Thread(target=one) for _ in range(clients)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    lines = [json.loads(x) for x in open(server.log) if '"/f/short"' in x] if calls else []
    return [(x["run_ms"] - DEADLINE_MS) / 1000 for x in lines[-calls:]]


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--loops", type=int, default=os.cpu_count())
    p.add_argument("--seconds", type=float, default=8)
    p.add_argument("--calls", type=int, default=1000)
    p.add_argument("--pause", type=float, default=0.01)
    p.add_argument("--check", action="store_true")
    args = p.parse_args()
    figures = {}
    with Registry() as s:
        s.deploy("greet", open(guest("hello"), "rb").read())
        s.deploy("spin", wasm(SPIN), "name: spin\nlimits:\n  deadline: 10s\n")
        s.deploy("short", wasm(SPIN), "name: short\nlimits:\n  deadline: %dms\n" % DEADLINE_MS)
        hello(s, 1, args.pause)
        print("%-34s %7s %8s %8s %8s %8s  (ms)" % ("", "calls", "p50", "p90", "p99", "most"))
        row("hello alone", hello(s, args.seconds / 2, args.pause))
        with Loops(s, args.loops):
            times = hello(s, args.seconds, args.pause)
            row("hello beside %d endless loops" % args.loops, times)
        figures["neighbour"] = part(times, .99)
        stop = []
        load = threading.Thread(target=lambda: [hello(s, 1, args.pause) for _ in iter(lambda: bool(stop), True)])
        load.start()
        deadlines(s, args.calls // 2)
        before = memory_kb(s)
        late = deadlines(s, args.calls)
        after = memory_kb(s)
        stop.append(1)
        load.join()
        row("late after a deadline of %d ms" % DEADLINE_MS, late)
        figures["late"] = max(late) * 1000
        figures["memory"] = (after - before) / before * 100
        print("memory of the workers: %d KiB before, %d KiB after %d such calls" % (before, after, args.calls))
    missed = [k for k in figures if figures[k] > BARS[k]]
    for k in figures:
        print("%-10s %8.2f, bar %.0f%s" % (k, figures[k], BARS[k], "  MISSED" if k in missed else ""))
    return 1 if args.check and missed else 0


if __name__ == "__main__":
    sys.exit(main())
