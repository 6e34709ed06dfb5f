#!/usr/bin/env python3
"""Tests of limits that the workers of a node keep together: concurrency and queue, while workers are killed, replaced, and clients go.

Who ran when is told by the guests themselves: one reads the clock, works for a known time and answers with what it read. So calls that were answered had their
places at least from there on for so long.

Usage: limits.py [NAME...]; SSVM_BUILD names the build folder. Ends with 'N passed, N failed, N skipped'.
"""
import os
import random
import signal
import sys
import threading
import time

import test_server as base
from registry import SPIN, Registry, wasm
from test_server import Client, best_of, same, until

TESTS = []
LONG = 150000  # microseconds

HOLD = r"""(module
  (import "wasi_snapshot_preview1" "clock_time_get" (func $get (param i32 i64 i32) (result i32)))
  (memory (export "memory") 1)
  (func $now (result i64) (drop (call $get (i32.const 1) (i64.const 1) (i32.const 0))) (i64.load (i32.const 0)))
  (func (export "run") (result i64) (local i64)
    (local.set 0 (call $now))
    (loop (br_if 0 (i64.lt_u (call $now) (i64.add (local.get 0) (i64.const $NS)))))
    (local.get 0))
  (func (export "version") (result i32) (i32.const $VERSION)))"""


def test(f):
    TESTS.append(f)
    return f


def hold(us, version=1):
    return wasm(HOLD, NS=us * 1000, VERSION=version)


def manifest(name, concurrency, queue, deadline="5s"):
    return "name: %s\nlimits:\n  concurrency: %d\n  queue: %d\n  deadline: %s\n" % (name, concurrency, queue, deadline)


def ask_at_once(s, count, begin=lambda: None):
    """The replies to so many clients; `begin`: what each does before it asks."""
    replies, lock = [], threading.Lock()

    def one():
        begin()
        r = s.get("/f/hold/run")
        with lock:
            replies.append(r)

    threads = [threading.Thread(target=one) for _ in range(count)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return replies


def most_at_once(begins, us):
    """Of intervals of that length."""
    ends, most = [], 0
    for begin in sorted(begins):
        ends = [e for e in ends if e > begin]
        ends.append(begin + us * 1000)
        most = max(most, len(ends))
    return most


class Calls(base.Clients):
    """Clients that call a path again and again, over a connection for each call, so that all workers have some."""

    def __init__(self, s, path, clients):
        self.s, self.path, self.lock = s, path, threading.Lock()
        self.begins, self.other, self.broken = [], [], 0
        super().__init__(clients)

    def run(self, _):
        while not self.stop:
            try:
                r = self.s.get(self.path)
            except (OSError, EOFError):
                with self.lock:
                    self.broken += 1
                time.sleep(0.002)
                continue
            with self.lock:
                if r.status == 200:
                    self.begins.append(int(r.body))
                else:
                    self.other.append((r.status, r.code()))

    def more(self, n):
        wanted = len(self.begins) + n
        until("calls go on", lambda: len(self.begins) >= wanted, pause=0.01)


# ---- Exact


def exact(workers, concurrency, us, calls):
    with Registry("--workers", str(workers)) as s:
        s.deploy("hold", hold(us), manifest("hold", concurrency, 100))
        with Calls(s, "/f/hold/run", 8) as load:
            load.more(calls)
        same(load.other, [])
        same(load.broken, 0)
        got = most_at_once(load.begins, us)
        assert got <= concurrency, (got, concurrency)
        return got


@test
def one_at_a_time():
    """Long calls, which threads of the pool make, and short ones, which loops do."""
    for workers in (2, 4):
        same(exact(workers, 1, 4000, 150), 1)
        same(exact(workers, 1, 200, 400), 1)


@test
def three_at_a_time():
    """All workers together have three, and three they have: calls are so long that one core gives each of them some of its time."""
    for workers in (2, 4):
        best_of(5, lambda w=workers: same(exact(w, 3, LONG, 12), 3))
        exact(workers, 3, 5000, 150)


@test
def queue():
    """One runs and two wait; whoever else comes, to whichever worker, is told to come back."""
    us = 1000000

    def at_once():
        replies = ask_at_once(s, 12)
        good = [int(r.body) for r in replies if r.status == 200]
        refused = [r for r in replies if r.status == 503]
        same(len(good) + len(refused), 12)
        same({(r.code(), r["retry-after"]) for r in refused}, {("overloaded", "1")})
        same(most_at_once(good, us), 1)
        same(len(good), 3)  # a machine that is late with some of them may let more in, one after another

    with Registry("--workers", "4") as s:
        s.deploy("hold", hold(us), manifest("hold", 1, 2))
        s.get("/f/hold/run")
        best_of(10, at_once)


@test
def the_last_place():
    """Of those who come to different workers at the same time somebody gets the place: they do not refuse each other."""
    with Registry("--workers", "4") as s:
        s.deploy("hold", hold(1000), manifest("hold", 1, 1))
        for _ in range(40):
            replies = ask_at_once(s, 4, begin=threading.Barrier(4).wait)
            good = [int(r.body) for r in replies if r.status == 200]
            assert good, [r.status for r in replies]
            same(most_at_once(good, 1000), 1)


# ---- What ends in the middle


@test
def killed_workers():
    """kill -9 of workers while their calls run and wait: their places are free at once, and no others."""
    random.seed(5)
    with Registry("--workers", "4") as s:
        s.deploy("hold", hold(3000), manifest("hold", 2, 100))
        with Calls(s, "/f/hold/run", 8) as load:
            for _ in range(20):
                load.more(5)
                os.kill(random.choice(s.workers()), signal.SIGKILL)
                until("all workers are there", lambda: len(s.workers()) == 4, pause=0.01)
            load.more(50)
        got = most_at_once(load.begins, 3000)
        assert got <= 2, got
        assert load.broken > 0  # some had calls
        assert {x[1] for x in load.other} <= {"overloaded", "no_function"}, set(load.other)

        s.deploy("hold", hold(LONG), manifest("hold", 2, 100))

        def both():
            """None of the places is lost: two run at the same time still."""
            with Calls(s, "/f/hold/run", 4) as calls:
                calls.more(8)
            same(most_at_once(calls.begins, LONG), 2)

        best_of(5, both)


@test
def replaced_versions():
    """New versions and new workers (reload, upgrade) under load: one call at a time over all of them, none is lost."""
    with Registry("--workers", "2") as s:
        s.deploy("hold", hold(3000), manifest("hold", 1, 100))
        with Calls(s, "/f/hold/run", 6) as load:
            for n in range(2, 8):
                load.more(20)
                s.deploy("hold", hold(3000, n), manifest("hold", 1, 100))
            for number in (signal.SIGHUP, signal.SIGUSR2):
                before = s.workers()
                s.process.send_signal(number)
                until("other workers", lambda b=before: len(s.workers()) == 2 and not set(s.workers()) & set(b))
                load.more(20)
        same(load.other, [])
        same(load.broken, 0)
        same(most_at_once(load.begins, 3000), 1)


@test
def cut_calls():
    """Calls that the deadline ends give their places back, as do those of clients that have gone, running or waiting."""
    with Registry("--workers", "3") as s:
        s.deploy("spin", wasm(SPIN), manifest("spin", 1, 20, "60ms"))
        for _ in range(3):
            replies, lock = [], threading.Lock()

            def one():
                r = s.get("/f/spin")
                with lock:
                    replies.append((r.status, r.code()))

            threads = [threading.Thread(target=one) for _ in range(6)]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            same(set(replies), {(504, "deadline")})
        s.deploy("hold", hold(100000), manifest("hold", 1, 8))
        for _ in range(4):
            clients = [Client(s).send(b"GET /f/hold/run HTTP/1.1\r\nHost: x\r\n\r\n") for _ in range(6)]
            time.sleep(0.02)  # some run, some wait, some are not there yet: any of it is a test
            for c in clients:
                c.s.close()
        s.deploy("hold", hold(1000), manifest("hold", 1, 8))
        until("its place is free", lambda: s.get("/f/hold/run").status == 200)
        with Calls(s, "/f/hold/run", 4) as load:  # one runs, three wait: none of the waiting places is lost
            load.more(60)
        same(load.other, [])
        same(most_at_once(load.begins, 1000), 1)


def main():
    base.TESTS[:] = TESTS
    return base.main()


if __name__ == "__main__":
    sys.exit(main())
