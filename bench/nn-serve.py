#!/usr/bin/env python3
"""The lunch function behind HTTP: first and tenth request of a fresh server, the median of many against native code, and eight clients at once.

  nn-serve.py --build build --libraries build/nn [--library litert|openvino] [--picture FILE] [--runs N]

Native is bench/food's (the same Rust crates and the library's own C API, in one process), run before and after. Build it with bench/nn.sh. A request
is a POST on a connection that stays open. Prints a table; the first request is timed from the moment the server says that it serves.
"""
import argparse
import http.client
import json
import re
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOOD = ROOT / 'demo/food/model'
LIBRARIES = {  # what native code opens in its folder, the model it reads, the function that has that inside
    'litert': ('libLiteRt.so', 'food_mobilenet_v2_224.tflite', 'food-tflite'),
    'openvino': ('libopenvino_c.so.*', 'food_mobilenet_v2_224_frozen.pb', 'food'),
}


def native_ms(a, cache):
    """Median of a whole call: decode, resize, run."""
    file, model, function = LIBRARIES[a.library]
    folder = a.libraries / a.library
    out = subprocess.run([a.build / 'bench/food', a.library, next(folder.glob(file)), FOOD / model, '1', str(a.runs),
                          ROOT / f'demo/functions/{function}.wasm', folder, cache, a.picture], check=True, capture_output=True, text=True).stdout
    return json.loads(out.splitlines()[-1])


def family(pid):
    """The process and all that descend from it."""
    try:
        children = Path(f'/proc/{pid}/task/{pid}/children').read_text().split()
    except OSError:
        children = []
    return [pid] + [p for child in children for p in family(int(child))]


def pss(pid):
    """KiB; 0 of a process that is gone."""
    try:
        return int(re.search(r'^Pss:\s+(\d+) kB', Path(f'/proc/{pid}/smaps_rollup').read_text(), re.M).group(1))
    except (OSError, AttributeError):
        return 0


def compiles(pid):
    """Is it `ssvm compile`?"""
    try:
        return Path(f'/proc/{pid}/cmdline').read_bytes().split(b'\0')[1:2] == [b'compile']
    except OSError:
        return False


class Server:
    def __init__(self, a, cache, calls):
        self.start = time.perf_counter()
        self.process = subprocess.Popen([a.build / 'ssvm-serve', ROOT / 'demo', '--data', Path(cache) / 'data', '--listen', '127.0.0.1:0', '--log', 'none', '--calls', str(calls),
                                         '--call-time', '60s', '--nn', f'{a.library}={a.libraries / a.library}'],
                                        stdout=subprocess.PIPE, text=True, env={'XDG_CACHE_HOME': cache, 'PATH': '/usr/bin:/bin'})
        for line in self.process.stdout:
            found = re.search(r'http://127\.0\.0\.1:(\d+) serves', line)
            if found:
                self.port = int(found.group(1))
                break
        self.ready = time.perf_counter()

    def memory(self):
        """MiB of all its processes; what they share counts once."""
        return sum(pss(pid) for pid in family(self.process.pid)) / 1024

    def settle(self):
        """Until nothing is compiled any more: at its start the server has all its functions made native."""
        quiet = 0
        while quiet < 20:
            quiet = 0 if any(compiles(pid) for pid in family(self.process.pid)) else quiet + 1
            time.sleep(0.1)

    def stop(self):
        self.process.terminate()
        self.process.wait()


class Client:
    def __init__(self, server, a):
        self.connection = http.client.HTTPConnection('127.0.0.1', server.port)
        self.path = f'/f/{LIBRARIES[a.library][2]}/infer'
        self.body = a.picture.read_bytes()
        self.answer = None

    def call(self):
        begin = time.perf_counter()
        self.connection.request('POST', self.path, self.body)
        reply = self.connection.getresponse()
        text = reply.read()
        took = time.perf_counter() - begin
        if reply.status != 200 or (self.answer and text != self.answer):
            raise SystemExit(f'nn-serve.py: {reply.status} {text!r}, after {self.answer!r}')
        self.answer = text
        return took * 1000


def throughput(server, a, clients, seconds):
    """Requests a second of so many clients, and the highest memory meanwhile."""
    counts, most = [0] * clients, 0
    end = time.perf_counter() + seconds

    def work(i):
        client = Client(server, a)
        while time.perf_counter() < end:
            client.call()
            counts[i] += 1
    threads = [threading.Thread(target=work, args=(i,)) for i in range(clients)]
    for t in threads:
        t.start()
    while time.perf_counter() < end:
        most = max(most, server.memory())
        time.sleep(0.2)
    for t in threads:
        t.join()
    return sum(counts) / seconds, most


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--build', type=Path, required=True)
    p.add_argument('--libraries', type=Path, required=True)
    p.add_argument('--library', choices=LIBRARIES, default='litert')
    p.add_argument('--picture', type=Path, default=FOOD / 'samples/hotdog.jpg')
    p.add_argument('--runs', type=int, default=100)
    p.add_argument('--seconds', type=float, default=4)
    a = p.parse_args()
    a.build = a.build.resolve()
    a.libraries = a.libraries.resolve()
    cache = tempfile.mkdtemp()
    before = native_ms(a, cache)
    server = Server(a, cache, 16)
    client = Client(server, a)
    first = [client.call() for _ in range(10)]
    server.settle()
    server.stop()
    server = Server(a, cache, 16)  # native code is in the cache now, and nothing is compiled beside
    client = Client(server, a)
    second = [client.call() for _ in range(10)]
    server.settle()
    warm = [client.call() for _ in range(a.runs)]
    one, one_mib = throughput(server, a, 1, a.seconds)
    eight, eight_mib = throughput(server, a, 8, a.seconds)
    server.stop()
    after = native_ms(a, cache)
    shutil.rmtree(cache)
    native = statistics.median([before['native_ms'], after['native_ms']])
    p50 = statistics.median(warm)
    print(f'library: {a.library}, picture: {a.picture.name}, answer: {client.answer.decode()}')
    print(f'server ready after {1000 * (server.ready - server.start):.0f} ms')
    print(f'first request {first[0]:.1f} ms, tenth {first[9]:.1f} ms; with native code cached: {second[0]:.1f} ms, {second[9]:.1f} ms')
    print(f'warm p50 {p50:.2f} ms, native {native:.2f} ms: {p50 / native:.2f}')
    print(f'one client {one:.0f} a second, eight {eight:.0f}: {eight / one:.2f}; all processes use {one_mib:.0f} and {eight_mib:.0f} MiB')


main()
