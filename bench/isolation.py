#!/usr/bin/env python3
"""What a process of its own costs a tenant: CPU of all of the server's processes for one hello request, of a shared tenant and of an isolated one in
turns; the first request, when the process has to start; memory of the process. Usage: isolation.py [REQUESTS]; SSVM_BUILD names the build folder."""
import os
import re
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "test", "serve"))
from isolation import Isolated  # noqa: E402
from test_server import until  # noqa: E402

TICK = os.sysconf("SC_CLK_TCK")
ROUNDS = 5


def cpu(s):
    """Seconds of all processes of the server."""
    total = 0
    for pid in [s.process.pid, *(p for name in ("ssvm-worker", "ssvm-isolated", "ssvm-control") for p in s.processes(name))]:
        fields = open("/proc/%d/stat" % pid).read().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICK


def load(s, tenant, n):
    out = subprocess.run(["h2load", "--h1", "-c8", "-n%d" % n, "http://127.0.0.1:%d/t/%s/f/hello/say?name=x" % (s.port, tenant)], stdout=subprocess.PIPE, check=True, text=True).stdout
    assert "%d succeeded" % n in out, out


def main():
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 20000
    with Isolated("--workers", "1") as s:
        figures = {"other": [], "alone": []}
        for tenant in figures:
            load(s, tenant, 3000)  # it is compiled
        time.sleep(3)
        for _ in range(ROUNDS):
            for tenant, of in figures.items():
                before = cpu(s)
                load(s, tenant, n)
                of.append((cpu(s) - before) / n * 1e6)
        for tenant, of in figures.items():
            print("%s: %.1f us CPU a request (median of %d, %.1f to %.1f)" % ({"other": "shared", "alone": "isolated"}[tenant], statistics.median(of), ROUNDS, min(of), max(of)))
        rollup = open("/proc/%d/smaps_rollup" % s.own()[0]).read()
        print("memory of the process: %s" % ", ".join("%s %.1f MiB" % (k, int(re.search(r"%s:\s+(\d+)" % k, rollup).group(1)) / 1024) for k in ("Rss", "Pss", "Private_Dirty")))
    with Isolated("--workers", "1", "--isolated-idle", "100ms") as s:
        s.hello("other")
        cold, warm = [], []
        for _ in range(15):
            until("it is gone", lambda: s.own() == [])
            for of in (cold, warm):
                start = time.monotonic()
                assert s.hello()[0] == 200
                of.append((time.monotonic() - start) * 1e3)
        print("first request: %.1f ms (median of 15, %.1f to %.1f), the next one %.1f ms" % (statistics.median(cold), min(cold), max(cold), statistics.median(warm)))


if __name__ == "__main__":
    main()
