#!/usr/bin/env python3
"""CPU of a server in a guest over that of the same C program natively, in one interleaved run: echo and HTTP, 64 connections.

Usage: sockets.py [ROUNDS [MESSAGES]]; SSVM_BUILD names the build folder. Prints a line of microseconds of CPU (user and system) a message for each kind of
server, and their ratio by the medians. The program is test/socket/guests/server.c, its load bench/socket-load.c.
"""
import os
import statistics
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.abspath(os.environ.get("SSVM_BUILD", os.path.join(ROOT, "build")))
SOURCE = ROOT + "/test/socket/guests/server.c"
CONNECTIONS = 64


def cpu_of(command, load, kind, messages):
    """Microseconds of CPU a message; the program's start and end are in it."""
    server = subprocess.Popen(command + [kind, str(CONNECTIONS)], stdout=subprocess.PIPE, text=True)
    port = server.stdout.readline().split()[1]
    subprocess.run([load, kind, port, str(CONNECTIONS), str(messages)], check=True)
    said = server.stdout.read()
    _, status, use = os.wait4(server.pid, 0)
    server.returncode = status
    assert status == 0 and said == "messages %d\n" % messages, (status, said)
    return (use.ru_utime + use.ru_stime) * 1e6 / messages


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    messages = int(sys.argv[2]) if len(sys.argv) > 2 else 200000
    with tempfile.TemporaryDirectory() as folder:
        native, load, wasm, image = (folder + "/" + n for n in ("native", "load", "server.wasm", "server.aot.wasm"))
        subprocess.run(["clang-22", "-O3", "-march=native", "-o", native, SOURCE], check=True)
        subprocess.run(["clang-22", "-O2", "-o", load, ROOT + "/bench/socket-load.c"], check=True)
        subprocess.run(["clang-22", "--target=wasm32-wasi", "-Wno-deprecated", "-O3", "-o", wasm, SOURCE], check=True)
        ssvm = [BUILD + "/ssvm", "--cache=" + folder + "/cache", "--tier=aot", "--allow-listen=127.0.0.1:0", wasm]
        subprocess.run(ssvm[:-1] + [wasm, "echo", "0"], check=True, stdout=subprocess.DEVNULL)  # compiles
        for kind in ("echo", "http"):
            guests, natives = [], []
            for _ in range(rounds):
                natives.append(cpu_of([native], load, kind, messages))
                guests.append(cpu_of(ssvm, load, kind, messages))
            n, g = statistics.median(natives), statistics.median(guests)
            print("%s: native %.2f us, guest %.2f us a message: %.2f" % (kind, n, g, g / n), flush=True)


if __name__ == "__main__":
    main()
