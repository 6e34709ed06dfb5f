#!/usr/bin/env python3
"""Speed-up of parallel guests (wasi-threads) on 2 threads against the same C program's with native pthreads, in interleaved rounds of one run.
Usage: threads.py [ROUNDS [MANDELBROT SORT]]; SSVM names the program. Needs clang-22, wasi-libc's headers and the Rust target
wasm32-wasip1-threads, for its libc.a. The guest is compiled before it runs (--tier aot). Times are the best of the
rounds: on the clock, and in CPU time along the longest way, which does not depend on what else the machine does. Exit status 1: under 0.95 of
the native speed-up by the latter."""
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "../test/threads"))
from build import c_guest  # noqa: E402

SSVM = os.environ.get("SSVM", str(HERE / "../build/ssvm"))
ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 7
SIZES = sys.argv[2:4] or ["1000", "4000000"]


def main():
    bad = False
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["XDG_CACHE_HOME"] = scratch + "/cache"
        source = HERE / "../test/threads/guest/parallel.c"
        guest, native = c_guest(source, scratch + "/parallel.wasm"), scratch + "/parallel"
        subprocess.run(["clang-22", "-O3", "-pthread", source, "-o", native], check=True)
        ways = {"native": [native], "ssvm": [SSVM, "run", "--tier", "aot", "--threads", "1", guest]}
        for work, size in zip(("mandelbrot", "sort"), SIZES):
            best, sums = {}, set()
            for _ in range(ROUNDS):
                for name, command in ways.items():
                    for threads in ("1", "2"):
                        out = subprocess.run([*command, work, size, threads], stdout=subprocess.PIPE, text=True, check=True).stdout.split()
                        sums.add(out[0])
                        for what, ns in zip(("wall", "cpu"), out[1:]):
                            best[what, name, threads] = min(best.get((what, name, threads), 1 << 62), int(ns))
            assert len(sums) == 1, sums
            for what in ("wall", "cpu"):
                ms = {n: [best[what, n, t] / 1e6 for t in ("1", "2")] for n in ways}
                ratio = ms["ssvm"][0] / ms["ssvm"][1] / (ms["native"][0] / ms["native"][1])
                print(f"{work:10} {what:4} " + "  ".join(f"{n}: {a:.1f} -> {b:.1f} ms, {a / b:.2f}x" for n, (a, b) in ms.items())
                      + f"  of the native gain: {ratio:.3f}", flush=True)
            bad |= ratio < 0.95
    sys.exit(bad)


main()
