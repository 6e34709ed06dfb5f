#!/usr/bin/env python3
"""Server CPU per request of ssvm-serve beside nginx: the hello function against `return 200`, a 12-byte file against the same file.

Rounds are interleaved, so that a busy machine is busy for all. CPU is user and system time of the server's processes.
Needs nginx and wrk (Debian: nginx-light, wrk). Prints a table and, with --check, fails when a bar is not met.
"""
import argparse, os, shutil, signal, socket, statistics, subprocess, sys, tempfile, time, urllib.request

BARS = {"function": 2.5, "file": 1.3}
HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_port(port):
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
            return
        except OSError:
            time.sleep(0.02)
    sys.exit("http-cpu.py: nothing listens on port %d" % port)


def family(pid):
    pids = [pid]
    for p in os.listdir("/proc"):
        if p.isdigit():
            try:
                with open("/proc/%s/stat" % p) as f:
                    if int(f.read().rsplit(")", 1)[1].split()[1]) == pid:
                        pids.append(int(p))
            except OSError:
                pass
    return pids


def cpu_us(pids):
    """User and system time so far, of each that lives, by the clocks that processes have (clock_getcpuclockid): nanoseconds, where
    /proc/PID/stat counts ticks."""
    times = {}
    for pid in pids:
        try:
            times[pid] = time.clock_gettime(~pid << 3 | 2) * 1e6
        except OSError:
            pass
    return times


def spent_us(before):
    """What those processes have used since, but for those that have ended."""
    return sum(now - before[pid] for pid, now in cpu_us(before).items())


def start_nginx(folder, port, workers):
    conf = os.path.join(folder, "nginx.conf")
    with open(conf, "w") as f:
        f.write("""
worker_processes %d; daemon off; pid %s/nginx.pid; error_log %s/error.log;
events { worker_connections 4096; }
http { access_log off; keepalive_requests 1000000000; sendfile on; tcp_nopush on;
  client_body_temp_path %s/b; proxy_temp_path %s/p; fastcgi_temp_path %s/f; uwsgi_temp_path %s/u; scgi_temp_path %s/s;
  default_type text/plain;
  server { listen 127.0.0.1:%d; root %s/dir/site; location = /hello { return 200 "hello, world"; } } }
""" % (workers, folder, folder, folder, folder, folder, folder, folder, port, folder))
    binary = shutil.which("nginx") or "/usr/sbin/nginx"
    return subprocess.Popen([binary, "-c", conf, "-p", folder], stderr=subprocess.DEVNULL)


def load(url, seconds, connections):
    out = subprocess.run(["wrk", "-t1", "-c%d" % connections, "-d%s" % seconds, "--latency", url], capture_output=True, text=True).stdout
    n, lat, bad = 0, "?", ""
    for line in out.splitlines():
        if "requests in" in line:
            n = int(line.split()[0])
        if line.strip().startswith("99%"):
            lat = line.split()[1]
        if "Non-2xx" in line or "Socket errors" in line:
            bad = " " + line.strip()
    return n, lat, bad


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--serve", default=os.path.join(ROOT, "build", "ssvm-serve"))
    ap.add_argument("--rounds", type=int, default=5)
    ap.add_argument("--seconds", default="2")
    ap.add_argument("--connections", type=int, default=16)
    ap.add_argument("--workers", type=int, default=1, help="nginx workers and event loops")
    ap.add_argument("--check", action="store_true")
    ap.add_argument("--log", default="none", help="access log of ssvm-serve (nginx has none)")
    args = ap.parse_args()
    for tool in ("nginx", "wrk"):
        if not shutil.which(tool) and not os.path.exists("/usr/sbin/" + tool):
            print("http-cpu.py: %s is missing (Debian: nginx-light, wrk): skipped" % tool)
            return 0
    folder = tempfile.mkdtemp(prefix="ssvm-http-")
    os.chmod(folder, 0o755)
    os.makedirs(folder + "/dir/site")
    os.makedirs(folder + "/dir/functions")
    with open(folder + "/dir/site/twelve.txt", "w") as f:
        f.write("hello, world")
    shutil.copy(os.path.join(ROOT, "demo/functions/hello.wasm"), folder + "/dir/functions/")
    os.utime(folder + "/dir/site/twelve.txt", (1e9, 1e9))
    nport, sport = free_port(), free_port()
    nginx = start_nginx(folder, nport, args.workers)
    serve = subprocess.Popen([args.serve, folder + "/dir", "--listen", "127.0.0.1:%d" % sport, "--workers", "1", "--loops", str(args.workers),
                              "--log", args.log], stdout=subprocess.DEVNULL)
    try:
        wait_port(nport)
        wait_port(sport)
        first = urllib.request.urlopen("http://127.0.0.1:%d/f/hello/say?name=world" % sport).read()
        assert first == b"hello, world", first
        cases = [
            ("nginx return 200", nginx, "http://127.0.0.1:%d/hello" % nport),
            ("ssvm function", serve, "http://127.0.0.1:%d/f/hello/say?name=world" % sport),
            ("nginx file", nginx, "http://127.0.0.1:%d/twelve.txt" % nport),
            ("ssvm file", serve, "http://127.0.0.1:%d/twelve.txt" % sport),
        ]
        costs = {name: [] for name, _, _ in cases}
        rates = {name: [] for name, _, _ in cases}
        lats = {name: [] for name, _, _ in cases}
        for _, process, url in cases:
            load(url, "0.3", args.connections)
        for _ in range(args.rounds):
            for name, process, url in cases:
                pids = family(process.pid)
                before = cpu_us(pids)
                n, lat, bad = load(url, args.seconds, args.connections)
                if n == 0 or bad:
                    sys.exit("http-cpu.py: %s:%s (%d requests)" % (name, bad, n))
                costs[name].append(spent_us(before) / n)
                rates[name].append(n / float(args.seconds))
                lats[name].append(lat)
        print("%-18s %10s %10s %10s   p99 by round" % ("", "us CPU", "least", "req/s"))
        for name, _, _ in cases:
            print("%-18s %10.2f %10.2f %10.0f   %s" % (name, statistics.median(costs[name]), min(costs[name]),
                                                        statistics.median(rates[name]), " ".join(lats[name])))
        ok = True
        for what, peer in (("function", "nginx return 200"), ("file", "nginx file")):
            ratio = statistics.median(a / b for a, b in zip(costs["ssvm " + what], costs[peer]))
            good = ratio <= BARS[what]
            ok = ok and good
            print("%s / nginx: %.2f (bar %.1f) %s" % (what, ratio, BARS[what], "met" if good else "NOT met"))
        return 0 if ok or not args.check else 1
    finally:
        serve.send_signal(signal.SIGTERM)
        nginx.send_signal(signal.SIGTERM)
        serve.wait(20)
        nginx.wait(20)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
