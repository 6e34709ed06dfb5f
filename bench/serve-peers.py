#!/usr/bin/env python3
"""Server CPU per request of ssvm-serve beside nginx (a 12-byte file over HTTP/1.1 and over HTTP/2 with TLS), Node's bare `http` and Go's
net/http (the same 12 bytes from a handler), and the hello function. And the hello function's p99 beside the file's at half load.

Rounds are interleaved, so that a busy machine is busy for all. CPU is user and system time of all of the server's processes: of ours also
the control process, which writes the ledger and the log. Each server has one thread for requests, as Node has: more of them cost each
of them more.
Needs nginx, h2load and openssl (Debian: nginx-light, nghttp2-client); node and go where they are installed. Prints a table; --check fails
when a bar is not met.
"""
import argparse, importlib.util, os, shutil, signal, statistics, subprocess, sys, tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
spec = importlib.util.spec_from_file_location("http_cpu", os.path.join(HERE, "http-cpu.py"))
http_cpu = importlib.util.module_from_spec(spec)
spec.loader.exec_module(http_cpu)

# What, against what, at most.
BARS = [("file, HTTP/1.1", "ssvm file", "nginx file", 1.1), ("file, HTTP/2 over TLS, 10 streams", "ssvm h2 10", "nginx h2 10", 0.6),
        ("file, HTTP/2 over TLS, 1 stream", "ssvm h2 1", "nginx h2 1", None), ("hello function against our file", "ssvm hello", "ssvm file", 1.6),
        ("hello function over HTTP/2 with TLS against nginx's file", "ssvm hello h2 10", "nginx h2 10", None),
        ("hello function against Node's bare http", "ssvm hello", "node hello", 0.4), ("hello function against Go's net/http", "ssvm hello", "go hello", 1.0)]
P99_BAR = 2.0 # ms above the file's, both at half of what the function's server can do
CLIENTS = 16

NODE = """require("http").createServer((q, r) => { r.setHeader("Content-Type", "text/plain"); r.end("hello, world"); }).listen(+process.argv[2], "127.0.0.1");
"""
GO = """package main

import (
	"net/http"
	"os"
)

func main() {
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("hello, world")) })
	http.ListenAndServe("127.0.0.1:"+os.Args[1], nil)
}
"""


def certificate(folder):
    cert, key = folder + "/cert.pem", folder + "/key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", cert, "-days", "2",
                    "-subj", "/CN=localhost"], check=True, stderr=subprocess.DEVNULL)
    return cert, key


def start_nginx(folder, plain, tls, cert, key):
    conf = folder + "/nginx.conf"
    temps = " ".join("%s_temp_path %s/%s;" % (n, folder, n) for n in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    with open(conf, "w") as f:
        f.write("""
worker_processes 1; daemon off; pid %s/nginx.pid; error_log %s/error.log;
events { worker_connections 4096; }
http { access_log off; keepalive_requests 1000000000; sendfile on; tcp_nopush on; open_file_cache max=1000; %s default_type text/plain;
  server { listen 127.0.0.1:%d; listen 127.0.0.1:%d ssl http2; ssl_certificate %s; ssl_certificate_key %s; root %s/dir/site; } }
""" % (folder, folder, temps, plain, tls, cert, key, folder))
    return subprocess.Popen([shutil.which("nginx") or "/usr/sbin/nginx", "-c", conf, "-p", folder], stderr=subprocess.DEVNULL)


def start_node(folder, port):
    if not shutil.which("node"):
        return None
    with open(folder + "/hello.js", "w") as f:
        f.write(NODE)
    return subprocess.Popen(["node", folder + "/hello.js", str(port)])


def start_go(folder, port):
    """One thread for its handlers, as the others have: more cost it more."""
    if not shutil.which("go"):
        return None
    with open(folder + "/hello.go", "w") as f:
        f.write(GO)
    env = {"HOME": folder, "GOFLAGS": "-mod=mod", "GO111MODULE": "off", **os.environ, "GOMAXPROCS": "1"}
    subprocess.run(["go", "build", "-o", folder + "/hello-go", folder + "/hello.go"], check=True, env=env)
    return subprocess.Popen([folder + "/hello-go", str(port)], env=env)


def latencies(folder, url, seconds, rate):
    """In ms, of requests that come at that rate whatever happens to those before."""
    log = folder + "/latency"
    if os.path.exists(log):
        os.remove(log)
    subprocess.run(["h2load", "-c%d" % CLIENTS, "-t1", "--h1", "--rps=%d" % max(1, rate // CLIENTS), "-D%s" % seconds, "--warm-up-time=0", "--log-file=" + log, url],
                   stdout=subprocess.DEVNULL, check=True)
    with open(log) as f:
        return sorted(int(line.split()[2]) / 1000 for line in f if line.strip())


def h2load(url, seconds, streams):
    out = subprocess.run(["h2load", "-c%d" % CLIENTS, "-t1", *(["-m%d" % streams] if streams else ["--h1"]), "-D%s" % seconds, "--warm-up-time=0", url], capture_output=True, text=True).stdout
    for line in out.splitlines():
        if line.startswith("status codes:"):
            words = line.replace(",", "").split()
            if any(int(words[i]) for i in (4, 6, 8)):
                sys.exit("serve-peers.py: %s: %s" % (url, line))
            return int(words[2])
    sys.exit("serve-peers.py: h2load said nothing about " + url)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--serve", default=os.path.join(ROOT, "build", "ssvm-serve"))
    ap.add_argument("--rounds", type=int, default=5)
    ap.add_argument("--seconds", default="1")
    ap.add_argument("--check", action="store_true")
    ap.add_argument("--log", default="none", help="access log of ssvm-serve (nginx has none)")
    ap.add_argument("--option", action="append", default=[], help="for ssvm-serve, as --option=--data=none")
    args = ap.parse_args()
    for tool in ("nginx", "h2load", "openssl"):
        if not shutil.which(tool) and not os.path.exists("/usr/sbin/" + tool):
            print("serve-peers.py: %s is missing (Debian: nginx-light, nghttp2-client): skipped" % tool)
            return 0
    folder = tempfile.mkdtemp(prefix="ssvm-peers-")
    os.chmod(folder, 0o755)
    os.makedirs(folder + "/dir/site")
    os.makedirs(folder + "/dir/functions")
    with open(folder + "/dir/site/twelve.txt", "w") as f:
        f.write("hello, world")
    os.utime(folder + "/dir/site/twelve.txt", (1e9, 1e9))
    shutil.copy(os.path.join(ROOT, "demo/functions/hello.wasm"), folder + "/dir/functions/")
    cert, key = certificate(folder)
    ports = [http_cpu.free_port() for _ in range(6)]
    nginx = start_nginx(folder, ports[0], ports[1], cert, key)
    serve = subprocess.Popen([args.serve, folder + "/dir", "--listen", "127.0.0.1:%d,https://127.0.0.1:%d" % (ports[2], ports[3]), "--tls-cert", cert, "--tls-key", key,
                              "--workers", "1", "--loops", "1", "--log", args.log, *args.option], stdout=subprocess.DEVNULL)
    urls = {"nginx file": (nginx, 0, "/twelve.txt", 0), "ssvm file": (serve, 2, "/twelve.txt", 0), "ssvm hello": (serve, 2, "/f/hello/say?name=world", 0),
            "nginx h2 10": (nginx, 1, "/twelve.txt", 10), "ssvm h2 10": (serve, 3, "/twelve.txt", 10), "nginx h2 1": (nginx, 1, "/twelve.txt", 1),
            "ssvm h2 1": (serve, 3, "/twelve.txt", 1), "ssvm hello h2 10": (serve, 3, "/f/hello/say?name=world", 10)}
    others = [(name, start(folder, ports[port]), port) for name, start, port in (("node hello", start_node, 4), ("go hello", start_go, 5))]
    for name, process, port in others:
        if process:
            urls[name] = (process, port, "/", 0)
        else:
            print("serve-peers.py: no %s here" % name.split()[0])
    costs, rates, p99 = {name: [] for name in urls}, {}, {}
    try:
        for _, port, _, _ in urls.values():
            http_cpu.wait_port(ports[port])
        for round_ in range(-1, args.rounds): # the first warms up
            for name, (process, port, path, streams) in urls.items():
                pids = http_cpu.family(process.pid)
                url = "http%s://127.0.0.1:%d%s" % ("s" if streams else "", ports[port], path)
                seconds = args.seconds if round_ >= 0 else "1"
                before = http_cpu.cpu_us(pids)
                n = h2load(url, seconds, streams)
                if round_ >= 0:
                    costs[name].append(http_cpu.spent_us(before) / n)
                    rates.setdefault(name, []).append(n / float(seconds))
        rate = int(statistics.median(rates["ssvm hello"]) / 2)
        for _ in range(args.rounds):
            for name in ("ssvm file", "ssvm hello"):
                times = latencies(folder, "http://127.0.0.1:%d%s" % (ports[2], urls[name][2]), args.seconds, rate)
                p99.setdefault(name, []).append(times[int(len(times) * .99)])
    finally:
        running = [nginx, serve] + [process for _, process, _ in others if process]
        for p in running:
            p.send_signal(signal.SIGTERM)
        for p in running:
            p.wait()
        shutil.rmtree(folder)
    medians = {name: statistics.median(v) for name, v in costs.items()}
    for name in urls:
        print("%-18s %6.2f us  (%s)" % (name, medians[name], " ".join("%.2f" % v for v in costs[name])))
    failed = False
    for what, ours, theirs, bar in BARS:
        if theirs not in costs:
            continue
        ratio = statistics.median(a / b for a, b in zip(costs[ours], costs[theirs]))
        missed = bar is not None and ratio > bar
        failed |= missed
        print("%-58s %.2f%s" % (what, ratio, "" if bar is None else "  (bar %.1f%s)" % (bar, ", MISSED" if missed else "")))
    over = statistics.median(a - b for a, b in zip(p99["ssvm hello"], p99["ssvm file"]))
    failed |= over > P99_BAR
    print("p99 at half load (%d requests/s): file %.2f ms, hello function %.2f ms, over it %.2f ms  (bar %.1f%s)"
          % (rate, statistics.median(p99["ssvm file"]), statistics.median(p99["ssvm hello"]), over, P99_BAR, ", MISSED" if over > P99_BAR else ""))
    return 1 if failed and args.check else 0


if __name__ == "__main__":
    sys.exit(main())
