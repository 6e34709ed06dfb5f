#!/usr/bin/env python3
"""What many deployed functions cost that nobody calls: memory of all the server's processes, and the time of a start until it answers.

One function is deployed; then the data folder of a stopped server gets --functions of them, each with a module of its own. The third
column is a deployment of one more, whose module is there already: what remains is to write it down, and to tell the workers. Prints a
table; with --check, fails when a bar is not met.
"""
import argparse, hashlib, os, shutil, signal, sqlite3, sys, time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "test", "serve"))
from registry import Registry, guest, same  # noqa: E402

BARS = {"memory": 200.0, "start": 2.0}


def processes(server):
    found, ask = [], [server.process.pid]
    while ask:
        pid = ask.pop()
        found.append(pid)
        ask += [int(x) for x in open("/proc/%d/task/%d/children" % (pid, pid)).read().split()]
    return found


def memory_mb(server):
    total = 0
    for pid in processes(server):
        with open("/proc/%d/status" % pid) as f:
            total += sum(int(x.split()[1]) for x in f if x.startswith("VmRSS:"))
    return total / 1024


def start(server, path, module):
    """Seconds until it has answered a call; memory when it is quiet; seconds of a deployment."""
    begin = time.monotonic()
    server.__enter__()
    r = server.call("POST", path, b"you")
    took = time.monotonic() - begin
    same((r.status, r.body), (200, b"hello, you"))
    time.sleep(1)
    memory, times = memory_mb(server), []
    for i in range(5):
        begin = time.monotonic()
        server.deploy("again", module, query="?description=%d" % i)
        times.append(time.monotonic() - begin)
    return took, memory, sorted(times)[2]


def stop(server):
    server.process.send_signal(signal.SIGTERM)
    server.process.wait(30)
    server.out.close()


def fill(server, module, count):
    """As so many deployments would have left the data folder."""
    db = sqlite3.connect(server.dir + "/.ssvm/ssvm.db")
    f = [list(r) for r in db.execute("select * from functions")][0]
    v = [list(r) for r in db.execute("select * from versions")][0]
    for i in range(count):
        # A custom section makes another module of it.
        text = b"\x04idle" + b"%08d" % i
        mine = module + bytes([0, len(text)]) + text
        digest = hashlib.sha256(mine).hexdigest()
        with open("%s/.ssvm/blobs/%s.wasm" % (server.dir, digest), "wb") as out:
            out.write(mine)
        f[0] = v[0] = i + 1000
        f[2] = "f%d" % i
        v[2] = v[3] = digest
        db.execute("insert into functions values (%s)" % ",".join("?" * len(f)), f)
        db.execute("insert into versions values (%s)" % ",".join("?" * len(v)), v)
        db.execute("insert into targets values (?, ?, 10000)", (f[0], v[1]))
    db.commit()
    db.close()


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--functions", type=int, default=10000)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--check", action="store_true")
    args = p.parse_args()
    module = open(guest("hello"), "rb").read()
    s = Registry()
    s.__enter__()
    s.deploy("greet", module)
    stop(s)
    empty = [(start(s, "/f/greet/say", module), stop(s))[0] for _ in range(args.rounds)]
    fill(s, module, args.functions)
    full = [(start(s, "/f/f%d/say" % (args.functions - 1 - i), module), stop(s))[0] for i in range(args.rounds)]
    took, memory, deploy = ([sorted(x[i] for x in rounds)[len(rounds) // 2] for rounds in (empty, full)] for i in range(3))
    print("%8s %10s %10s %10s" % ("", "start, s", "RSS, MB", "deploy, ms"))
    print("%8d %10.3f %10.1f %10.1f" % (1, took[0], memory[0], deploy[0] * 1000))
    print("%8d %10.3f %10.1f %10.1f" % (args.functions + 1, took[1], memory[1], deploy[1] * 1000))
    figures = {"memory": memory[1] - memory[0], "start": took[1]}
    missed = [k for k in figures if figures[k] > BARS[k]]
    for k in figures:
        print("%-8s %8.2f, bar %.0f%s" % (k, figures[k], BARS[k], "  MISSED" if k in missed else ""))
    shutil.rmtree(s.dir, ignore_errors=True)
    return 1 if args.check and missed else 0


if __name__ == "__main__":
    sys.exit(main())
