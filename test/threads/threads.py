#!/usr/bin/env python3
"""Threads of guests (wasi-threads): what each way to end, block and spawn does, in every tier. SSVM_BUILD names the build folder."""
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from build import Missing, c_guest, rust_guest

HERE = Path(__file__).resolve().parent
BUILD = Path(os.environ.get("SSVM_BUILD", HERE / "../../build")).resolve()
SSVM = BUILD / "ssvm"
TIERS = ["interp"] + (["aot"] if (BUILD / "libssvm-aot.so").exists() else [])
SOON = 300  # seconds: what hangs is ended, what is only slow is not
total = {"passed": 0, "failed": 0, "skipped": 0}


def report(name, why=None):
    total["failed" if why else "passed"] += 1
    print(f"FAILED {name}: {why}" if why else f"ok {name}", flush=True)


def run(args, stdin=None):
    """Exit status, standard output, standard error. Without `stdin` reads wait for ever."""
    end = None
    if stdin is None:
        stdin, end = os.pipe()
    try:
        p = subprocess.run([SSVM, "run", *args], stdin=stdin, capture_output=True, text=True, timeout=SOON)
        return p.returncode, p.stdout, p.stderr
    except subprocess.TimeoutExpired:
        return "hangs", "", ""
    finally:
        if end is not None:
            os.close(stdin)
            os.close(end)


def check(name, args, status, out=None, err="", stdin=None):
    got = run(args, stdin)
    good = got[0] == status and (out is None or got[1] == out) and err in got[2]
    report(name, None if good else f"expected {status}, {out!r}, {err!r}; got {got}")


# Function, arguments; exit status, output, part of the message.
CASES = [
    ("sum 8", 0, "8\n", ""),
    ("ids", 0, "1\n", ""),
    ("flood", 0, "8\n", ""),
    ("churn 200", 0, "200\n", ""),
    ("grow 8", 0, "33\n", ""),  # pages: 1, and 8 threads of 4
    ("main_returns", 0, "5\n", ""),
    ("main_exits", 9, "", ""),
    ("main_traps", 134, "", "unreachable"),
    ("ended_by 1", 134, "", "unreachable"),
    ("ended_by 2", 7, "", ""),
    ("ended_by 10", 134, "", "call stack exhausted"),
    ("ended_by 13", 134, "", "out of bounds memory access"),
    ("race 9 8", 21, "", ""),
    ("race 12 8", 134, "", "unreachable"),
    ("renumber_under", 0, "10\n", ""),  # busy
]

# Modules that are not made for threads: text, part of the message.
NOT_FOR_THREADS = [
    ('(module (import "wasi" "thread-spawn" (func $s (param i32) (result i32))) (import "env" "memory" (memory 1 2 shared))'
     ' (func (export "_start") (drop (call $s (i32.const 1)))))', "needs the module's export 'wasi_thread_start'"),
    ('(module (import "wasi" "thread-spawn" (func $s (param i32) (result i32))) (import "env" "memory" (memory 1 2 shared))'
     ' (func (export "wasi_thread_start") (param i32)) (func (export "_start") (drop (call $s (i32.const 1)))))', "of type (i32, i32) -> ()"),
    ('(module (import "wasi" "thread-spawn" (func $s (param i32) (result i32))) (import "env" "memory" (memory 1 2 shared))'
     ' (global (export "wasi_thread_start") i32 (i32.const 1)) (func (export "_start") (drop (call $s (i32.const 1)))))', "of type (i32, i32) -> ()"),
    ('(module (import "wasi" "thread-spawn" (func $s (param i32) (result i32))) (memory 1 2 shared)'
     ' (func (export "wasi_thread_start") (param i32 i32)) (func (export "_start") (drop (call $s (i32.const 1)))))', "imports a shared memory"),
    ('(module (import "wasi" "thread-spawn" (func $s (param i32) (result i32))) (memory 1 2)'
     ' (func (export "wasi_thread_start") (param i32 i32)) (func (export "_start") (drop (call $s (i32.const 1)))))', "imports a shared memory"),
    ('(module (import "wasi" "thread-spawn" (func $s (param i32) (result i32)))'
     ' (func (export "wasi_thread_start") (param i32 i32)) (func (export "_start") (drop (call $s (i32.const 1)))))', "imports a shared memory"),
    # Its start function does the same in every thread, which ends the guest.
    ('(module (import "wasi" "thread-spawn" (func $s (param i32) (result i32))) (import "env" "memory" (memory 1 2 shared))'
     ' (func $start (if (i32.atomic.rmw.add (i32.const 0) (i32.const 1)) (then (unreachable)))) (start $start)'
     ' (func (export "wasi_thread_start") (param i32 i32)) (func (export "_start") (drop (call $s (i32.const 1)))))', "unreachable"),
]


def close_under(tier, guest):
    """A file that is closed while a thread waits for it is no longer the guest's when the wait ends."""
    with subprocess.Popen([SSVM, "run", "--tier", tier, "--threads", "1", "--invoke", "close_under", guest], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True) as p:
        said = p.stdout.read(1)
        out, _ = p.communicate("x", timeout=SOON)
    report(f"{tier} close_under", None if (p.returncode, said + out) == (0, ".8\n") else f"{p.returncode}, {said + out!r}")


def wat(text, to):
    subprocess.run(["wat2wasm", "--enable-threads", "-o", to, "-"], input=text, text=True, check=True)
    return to


def built(scratch):
    """Guests of clang and of Rust's standard library."""
    try:
        parallel = c_guest(HERE / "guest/parallel.c", scratch / "parallel.wasm")
        std = rust_guest(HERE / "guest/std.rs", scratch / "std.wasm")
    except Missing as why:
        total["skipped"] += 1
        print(f"skipped guests of clang and Rust: {why}")
        return
    subprocess.run(["clang-22", "-O1", "-pthread", HERE / "guest/parallel.c", "-o", scratch / "parallel"], check=True)
    for tier in TIERS:
        common = ["--tier", tier, "--threads", "8"]
        for work, n in (("mandelbrot", "60"), ("sort", "50000")):
            sums = {subprocess.run([scratch / "parallel", work, n, "3"], stdout=subprocess.PIPE, text=True, check=True).stdout.split()[0]}
            for threads in ("1", "2", "7"):
                status, out, err = run([*common, parallel, work, n, threads])
                sums.add(out.split()[0] if status == 0 else (status, err))
            report(f"{tier} {work} as natively", None if len(sums) == 1 else f"{sums}")
        lines = "6000 [1, 2, 3, 4] 1\n[0, 1, 2]\n[10, 10, 10, 10]\nwritten\n"
        check(f"{tier} std", [*common, std], 0, lines)
        check(f"{tier} std panic", [*common, std, "panic"], 134, lines, "of a thread")
        check(f"{tier} std exit", [*common, std, "exit"], 17, lines)
        check(f"{tier} std without room", ["--tier", tier, "--threads", "2", std], 134, None, "failed to spawn thread")


def sockets(scratch):
    """Descriptors closed under others' poll, accept, receive and send, and the end of all in the middle of it. All threads may come to wait for each
    other, and a busy machine may not come to the end in time: the time limit ends it then, too."""
    try:
        guest = c_guest(HERE / "guest/sockets.c", scratch / "sockets.wasm")
    except Missing:
        return  # `built` has said it
    grants = ["--threads", "8", "--allow-connect=127.0.0.1:*", "--allow-listen=127.0.0.1:*"]
    for tier in TIERS:
        for how, limit, status, err in (("exit", 60000, 7, ""), ("trap", 60000, 134, "unreachable"), ("stay", 700, 134, "deadline")):
            for seed in "123":
                got = run(["--tier", tier, *grants, "--time-limit", str(limit), guest, how, seed])
                good = got[0] == status and err in got[2] or got[0] == 134 and "deadline" in got[2]
                report(f"{tier} sockets {how} {seed}", None if good else f"got {got}")


def main():
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        os.environ["XDG_CACHE_HOME"] = str(scratch / "cache")
        guest = wat((HERE / "guest/threads.wat").read_text(), scratch / "threads.wasm")
        for tier in TIERS:
            common = ["--tier", tier, "--threads", "8"]
            for call, status, out, err in CASES:
                name, *args = call.split()
                check(f"{tier} {call}", [*common, "--invoke", name, guest, *args], status, out, err)
            close_under(tier, guest)
            for guard in ([], ["--no-guard"]):
                for call in ("main_waits", "main_spins"):
                    check(f"{tier} {call} deadline {guard}", [*common, *guard, "--time-limit", "300", "--invoke", call, guest], 134, "", "deadline")
            check(f"{tier} spawn in spawn, deadline", [*common, "--time-limit", "300", "--invoke", "alone", guest, "7"], 134, "", "deadline")
            check(f"{tier} cpu limit of all", [*common, "--cpu-limit", "200", "--invoke", "spinners", guest, "4"], 134, "", "cpu time limit exceeded")
            check(f"{tier} gas limit of all", [*common, "--gas-limit", "3000000", "--invoke", "spinners", guest, "4"], 134, "", "gas")
            check(f"{tier} one thread at a time", ["--tier", tier, "--threads", "1", "--invoke", "churn", guest, "20"], 0, "20\n")
            check(f"{tier} memory limit of all", [*common, "--memory-limit", "1M", "--invoke", "grow", guest, "8"], 0, "16\n")
            for i, (text, err) in enumerate(NOT_FOR_THREADS):
                check(f"{tier} not for threads {i}", [*common, wat(text, scratch / f"not{i}.wasm")], 134, "", err)
        built(scratch)
        sockets(scratch)
        check("no grant", ["--invoke", "sum", guest, "1"], 1, "", "--threads N")
        check("no grant for the memory", ["--invoke", "sum", guest, "1"], 1, "", "'env.memory' (memory 1..64 shared)")
        for n in ("0", "1025", "x"):
            check(f"--threads {n}", ["--threads", n, guest], 2)
    print(f"{total['passed']} passed, {total['failed']} failed, {total['skipped']} skipped")
    sys.exit(total["failed"] != 0)


main()
