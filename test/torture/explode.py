#!/usr/bin/env python3
"""Modules made to explode the compiler (bombs.py): each is compiled in bounded time and memory or says what stays interpreted, and gives
the result that is known, interpreted, compiled, and at a first start. Usage: explode.py [--ssvm PROGRAM] [--all] [--verbose] [NAME...];
without --all or names, the few that are quick. Ends with 'N passed, N failed, N skipped'."""
import argparse
import glob
import os
import resource
import subprocess
import sys
import tempfile
import time

import bombs

CPU_SECONDS = 60  # of all threads, on a machine that others use too
MEMORY_MB = 1024
START_SECONDS = 15
QUICK = ["straight-5000000", "nest-10000", "carried-100000", "carried_table-65520", "locals_-49000", "operands-20000", "constant-200000"]
LATE = "phis-2000"  # takes longer than a limit that is set for it
LATE_SECONDS = 1


def limited(seconds):
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, 300))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def run(*argv, seconds=300):
    """Status, output, messages, CPU seconds and peak MB (children included), wall seconds."""
    out, err = tempfile.TemporaryFile(), tempfile.TemporaryFile()
    begun = time.monotonic()
    p = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=err, preexec_fn=lambda: limited(seconds))
    _, status, usage = os.wait4(p.pid, 0)
    p.returncode = os.waitstatus_to_exitcode(status)
    wall = time.monotonic() - begun
    out.seek(0)
    err.seek(0)
    text = out.read().decode(), err.read().decode(errors="replace")
    return p.returncode, text[0].strip(), text[1].strip(), usage.ru_utime + usage.ru_stime, usage.ru_maxrss // 1024, wall


def settle(folder):
    """Wait for the compilers that outlive the programs of the test."""
    for _ in range(1200):
        found = False
        for path in glob.glob("/proc/[0-9]*/cmdline"):
            try:
                with open(path, "rb") as f:
                    found = found or (b"--fill-cache\0" + folder.encode() + b"\0") in f.read()
            except OSError:
                pass
        if not found:
            return True
        time.sleep(0.1)
    return False


def signed(x):
    return x - (1 << 32) if x >> 31 else x


def check(ssvm, name, folder):
    """What is wrong with it, as texts; and a line of figures."""
    made, result = bombs.BOMBS[name]()
    wasm, native, cache = (os.path.join(folder, name + end) for end in (".wasm", ".native.wasm", ".cache"))
    want = str(signed(result & bombs.MASK))
    wrong = []
    with open(wasm, "wb") as f:
        f.write(made.bytes())

    def same(how, got, within):
        if got[0] != 0 or got[1] != want:
            wrong.append("%s: wanted %s, got %d '%s' %s" % (how, want, got[0], got[1][:80], got[2][-300:]))
        if got[5] > within:
            wrong.append("%s: took %.1f s" % (how, got[5]))

    interp = run(ssvm, "run", "--tier", "interp", "--invoke", "run", wasm, str(bombs.ARG))
    same("interpreted", interp, START_SECONDS)
    compiled = run(ssvm, "compile", "--cache", cache, wasm, "-o", native)
    if compiled[0] != 0:
        wrong.append("compile: %d %s" % (compiled[0], compiled[2][-300:]))
    if compiled[3] > CPU_SECONDS or compiled[4] > MEMORY_MB:
        wrong.append("compile: %.1f s, %d MB" % (compiled[3], compiled[4]))
    if compiled[0] == 0:
        same("compiled", run(ssvm, "run", "--cache", cache, "--invoke", "run", native, str(bombs.ARG)), START_SECONDS)
    auto = run(ssvm, "run", "--cache", cache, "--invoke", "run", wasm, str(bombs.ARG))
    same("at a first start", auto, START_SECONDS)
    if not settle(cache):
        wrong.append("a compiler does not end")
    left = glob.glob(os.path.join(cache, "tmp.*")) + glob.glob(native + ".*")
    if left:
        wrong.append("left behind: %s" % left)
    same("at a second start", run(ssvm, "run", "--cache", cache, "--invoke", "run", wasm, str(bombs.ARG)), START_SECONDS)
    says = compiled[2].splitlines()[-1] if compiled[2] else ""
    return wrong, "%-22s %9d bytes  interp %5.2f s  compile %6.2f s %5d MB  first start %5.2f s  %s" % (
        name, os.path.getsize(wasm), interp[3], compiled[3], compiled[4], auto[5], says)


def check_late(ssvm, folder):
    """A function that is not done in time stays interpreted, and only that."""
    made, result = bombs.BOMBS[LATE]()
    wasm, native, cache = (os.path.join(folder, "late" + end) for end in (".wasm", ".native.wasm", ".cache"))
    other = made.func(bombs.get(0) + bombs.const(1) + bombs.ADD)
    made.exported = made.func(bombs.get(0) + bombs.call(0) + bombs.call(other))
    with open(wasm, "wb") as f:
        f.write(made.bytes())
    got = run(ssvm, "compile", "--metered", "--cache", cache, wasm, "-o", native, seconds=LATE_SECONDS)
    if got[0] != 0 or "1 of 3 functions" not in got[2]:
        return ["compile: %d %s" % (got[0], got[2])]
    got = run(ssvm, "run", "--cache", cache, "--stats=json", "--invoke", "run", native, str(bombs.ARG))
    if got[1] != str(signed((result + 1) & bombs.MASK)) or '"tier": "native"' not in got[2]:
        return ["compiled: %s %s" % (got[1], got[2])]
    return []


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ssvm", default=os.environ.get("SSVM", "build/ssvm"))
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    ssvm, failed = os.path.abspath(args.ssvm), 0
    names = args.names or (list(bombs.BOMBS) if args.all else QUICK)
    with tempfile.TemporaryDirectory(prefix="ssvm-explode.") as folder:
        for name in names:
            wrong, line = check(ssvm, name, folder)
            failed += bool(wrong)
            if wrong or args.verbose:
                print(line, flush=True)
            for text in wrong:
                print("FAILED %s: %s" % (name, text), flush=True)
            for path in glob.glob(os.path.join(folder, "*.wasm")):
                os.unlink(path)
        wrong = check_late(ssvm, folder)
        failed += bool(wrong)
        for text in wrong:
            print("FAILED late: %s" % text)
    print("%d passed, %d failed, 0 skipped" % (len(names) + 1 - failed, failed))
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
