#!/usr/bin/env python3
"""Threads of a server's functions: their grant, limits, endings. SSVM_BUILD names the build folder. Ends with 'N passed, N failed, N skipped'."""
import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path.insert(0, HERE + "/../state")
import lib  # noqa: E402
from served import Server, until  # noqa: E402

lib.TESTS.clear()


class Threads(Server):
    def ask(self, method, path, *rest, **more):
        """The module has no function of its name alone: one that answers says that the workers know it."""
        return super().ask(method, path + "/ids" if path in ("/f/t", "/f/short") else path, *rest, **more)

    def call(self, name, *arguments, of="t"):
        return self.ask("POST", "/f/%s/%s" % (of, name), json.dumps(arguments), [("Content-Type", "application/json")])


def children(server):
    return open("/proc/%d/task/%d/children" % (server.process.pid, server.process.pid)).read().split()


@lib.test
def functions_with_threads(folder):
    guest = folder + "/threads.wasm"
    subprocess.run(["wat2wasm", "--enable-threads", HERE + "/guest/threads.wat", "-o", guest], check=True)
    with Threads(folder) as s:
        s.deploy("t", guest, "threads: 8")
        s.deploy("short", guest, "threads: 8", "limits:\n  deadline: 2s\n")
        before = children(s)
        for _ in range(5):
            lib.same(s.call("sum", 8), (200, b"8"))
        lib.same(s.call("flood"), (200, b"8"))
        lib.same(s.call("grow", 8), (200, b"33"))
        lib.same(s.call("main_returns"), (200, b"5"))
        lib.same(s.call("ended_by", 1)[0], 500)
        lib.same(s.call("main_traps")[0], 500)
        lib.same(s.call("main_waits", of="short")[0], 504)
        lib.same(s.call("main_spins", of="short")[0], 504)
        lib.same(s.call("sum", 8), (200, b"8"))
        lib.same(children(s), before, "no process was replaced")


@lib.test
def cpu_time_of_all_threads(folder):
    guest = folder + "/threads.wasm"
    subprocess.run(["wat2wasm", "--enable-threads", HERE + "/guest/threads.wat", "-o", guest], check=True)
    with Threads(folder) as s:
        # Long before the deadline: only the threads use any.
        s.deploy("t", guest, "threads: 4", "limits:\n  cpu: 200ms\n  deadline: 60s\n")
        status, answer = s.call("spinners", 4)
        lib.same(status, 504, answer)

        def used():
            rows = json.loads(s.ask("GET", "/v1/usage?by=function&step=all")[1])["usage"]
            return [r["cpu_ns"] for r in rows if r["function"] == "t" and r["cpu_ns"] >= 150_000_000]

        until("the ledger has the threads' CPU time", used)


@lib.test
def without_the_grant(folder):
    guest = folder + "/threads.wasm"
    subprocess.run(["wat2wasm", "--enable-threads", HERE + "/guest/threads.wat", "-o", guest], check=True)
    with Threads(folder) as s:
        answer = s.deploy("t", guest, "", status=(400, 422))
        assert "threads: N (for wasi.thread-spawn)" in answer["error"]["message"], answer
        answer = s.deploy("t", guest, "threads: 1025", status=(400, 422))
        assert "'threads' is at most 1024" in answer["error"]["message"], answer


if __name__ == "__main__":
    sys.exit(lib.main(sys.argv[1:]))
