#!/usr/bin/env python3
"""Speed-up of parallel guests (wasi-threads) on 2 threads against the same C program's with native pthreads, in interleaved rounds of one run.
Usage: threads.py [ROUNDS [MANDELBROT SORT]]; SSVM names the program. Needs clang-22, wasi-libc's headers and the Rust target
wasm32-wasip1-threads, for its libc.a. The guest is compiled before it runs (--tier aot). Exit status 1: under 0.95 of the native speed-up."""
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
SIZES = sys.argv[2:4] or ["900", "3000000"]


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
                        best[name, threads] = min(best.get((name, threads), 1 << 62), int(out[1]))
            assert len(sums) == 1, sums
            gain = {name: best[name, "1"] / best[name, "2"] for name in ways}
            ratio = gain["ssvm"] / gain["native"]
            bad |= ratio < 0.95
            print(f"{work:10} " + "  ".join(f"{n}: {best[n, '1'] / 1e6:.1f} -> {best[n, '2'] / 1e6:.1f} ms, {gain[n]:.2f}x" for n in ways)
                  + f"  of the native gain: {ratio:.3f}", flush=True)
    sys.exit(bad)


main()
