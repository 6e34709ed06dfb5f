#!/usr/bin/env python3
"""Cold starts over HTTP: the first request of functions that were deployed and never run, beside a later one, each with a module and
native code of its own. And beside `docker run` of an equal static program, where there is docker:

- instance: what a call of a function costs that has been called before, by the server's own log (a fresh instance, the call, its end),
  against `docker run --rm --network none` of a static C program that writes one line, from its start to its end;
- first byte: from the request until the first byte of the reply, of functions that were never run, against the time from the start of
  `docker run --rm --network host` of a static C program with the same reply until the first byte of that; asked again each millisecond
  until it listens.

The image has nothing but the program and is there already. A daemon that answers is taken; else dockerd is started with a folder of its
own (root; Debian: docker.io, docker-cli). Prints tables; with --check, fails when a bar is not met: the 99th percentile of first
requests at most 5 ms over that of later ones, docker 1,000 times as long for an instance and 100 times for a first byte (medians).
"""
import argparse, json, os, shutil, socket, statistics, subprocess, sys, tempfile, time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "test", "serve"))
from registry import Client, Registry, guest  # noqa: E402
from noisy import part, row  # noqa: E402

BAR = 5.0
DOCKER_BARS = {"instance": 1000, "first byte": 100}
PROGRAM = r"""
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    static const char reply[] = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 10\r\nConnection: close\r\n\r\nhello, you";
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    char request[4096];
    int fd, on = 1;

    if (argc < 2)
        return puts("hello, you") < 0;
    fd = socket(AF_INET, SOCK_STREAM, 0);
    at.sin_port = htons((unsigned short)atoi(argv[1]));
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) < 0 || listen(fd, 16) < 0)
        return 1;
    fd = accept(fd, NULL, NULL);
    return read(fd, request, sizeof request) <= 0 || write(fd, reply, sizeof reply - 1) <= 0;
}
"""


def one(c, i, times):
    start = time.monotonic()
    r = c.request("POST", "/f/f%d/say" % i, b"you")
    times.append(time.monotonic() - start)
    assert (r.status, r.body) == (200, b"hello, you"), (r.status, r.body)


class Docker:
    """A daemon, and an image `ssvm-hello` with one static program. `why`: there is none."""

    def __init__(self):
        self.why, self.daemon = None, None
        self.folder = tempfile.mkdtemp(prefix="ssvm-docker-")

    def __enter__(self):
        try:
            self.start()
        except (OSError, subprocess.CalledProcessError) as e:
            self.why = str(e)
        return self

    def start(self):
        if not shutil.which("docker"):
            raise OSError("docker is not installed (Debian: docker-cli)")
        self.env = dict(os.environ)
        if subprocess.run(["docker", "version"], capture_output=True).returncode != 0:
            self.start_daemon()
        with open(self.folder + "/hello.c", "w") as f:
            f.write(PROGRAM)
        subprocess.run(["cc", "-static", "-O2", "-o", self.folder + "/hello", self.folder + "/hello.c"], check=True)
        tar = subprocess.run(["tar", "c", "-C", self.folder, "hello"], check=True, capture_output=True).stdout
        subprocess.run(["docker", "import", "-", "ssvm-hello"], input=tar, check=True, capture_output=True, env=self.env)
        self.version = subprocess.run(["docker", "version", "--format", "{{.Server.Version}}"], capture_output=True, text=True, env=self.env).stdout.strip()

    def start_daemon(self):
        dockerd = shutil.which("dockerd") or "/usr/sbin/dockerd"
        if os.geteuid() != 0 or not os.path.exists(dockerd):
            raise OSError("no docker daemon answers, and none can be started (root; Debian: docker.io)")
        self.env["DOCKER_HOST"] = "unix://%s/socket" % self.folder
        with open(self.folder + "/log", "w") as log:
            self.daemon = subprocess.Popen([dockerd, "-H", self.env["DOCKER_HOST"], "--data-root", self.folder + "/data", "--exec-root", self.folder + "/exec",
                                            "--pidfile", self.folder + "/pid", "--iptables=false", "--bridge=none", "--ip-forward=false"], stdout=log, stderr=log)
        for _ in range(300):
            if subprocess.run(["docker", "version"], capture_output=True, env=self.env).returncode == 0:
                return
            time.sleep(0.1)
        raise OSError("dockerd does not answer")

    def run(self, network, *args):
        return subprocess.Popen(["docker", "run", "--rm", "--network", network, "ssvm-hello", "/hello", *args], stdout=subprocess.PIPE, env=self.env)

    def instance(self):
        start = time.monotonic()
        out = self.run("none").communicate()[0]
        assert out == b"hello, you\n", out
        return time.monotonic() - start

    def first_byte(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        start = time.monotonic()
        process = self.run("host", str(port))
        while True:
            try:
                with socket.create_connection(("127.0.0.1", port)) as c:
                    c.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                    assert c.recv(1) == b"H"
                    break
            except ConnectionRefusedError:
                time.sleep(0.001)
        took = time.monotonic() - start
        process.communicate()
        return took

    def __exit__(self, *_):
        if not self.why:
            subprocess.run(["docker", "rmi", "ssvm-hello"], capture_output=True, env=self.env)
        if self.daemon:
            self.daemon.terminate()
            self.daemon.wait()
            subprocess.run(["umount", self.folder + "/exec/netns/default"], capture_output=True) # the daemon leaves it
        shutil.rmtree(self.folder, ignore_errors=True)


def beside_docker(runs, instances, first):
    """What is missed."""
    with Docker() as docker:
        if docker.why:
            print("no comparison with docker: %s" % docker.why)
            return []
        ours = {"instance": instances, "first byte": first}
        theirs = {"instance": [docker.instance() for _ in range(runs)], "first byte": [docker.first_byte() for _ in range(runs)]}
        print("docker %s (medians, ms)" % docker.version)
        missed = []
        for what in ours:
            a, b = statistics.median(ours[what]) * 1000, statistics.median(theirs[what]) * 1000
            times = b / a
            print("%-12s ssvm %8.4f, docker run %8.1f: %7.0f times, bar %d%s"
                  % (what, a, b, times, DOCKER_BARS[what], "  MISSED" if times < DOCKER_BARS[what] else ""))
            missed += [what] * (times < DOCKER_BARS[what])
        return missed


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--functions", type=int, default=100)
    p.add_argument("--docker", type=int, default=10, help="runs of docker for each figure; 0: none")
    p.add_argument("--check", action="store_true")
    args = p.parse_args()
    module = open(guest("hello"), "rb").read()
    cold, warm = [], []
    with Registry("--workers", "1") as s:
        for i in range(args.functions):
            # A custom section makes another module of it.
            text = b"\x04cold" + b"%08d" % i
            s.deploy("f%d" % i, module + bytes([0, len(text)]) + text)
        c = Client(s)
        for i in range(args.functions):
            one(c, i, cold)
            for _ in range(3):
                one(c, i, warm)
            time.sleep(0.005)
        again = []
        for _ in range(200):
            one(c, 0, again)
        s.process.terminate()
        s.process.wait()
        lines = [json.loads(x) for x in open(s.log) if '"/f/f0/' in x]
        instances = [x["run_ms"] / 1000 for x in lines[-200:]]
    print("%-34s %7s %8s %8s %8s %8s  (ms)" % ("", "calls", "p50", "p90", "p99", "most"))
    row("first request", cold)
    row("later ones", warm)
    over = part(cold, .99) - part(warm, .99)
    print("99th percentile of first requests over later ones: %.2f ms, bar %.0f%s" % (over, BAR, "  MISSED" if over > BAR else ""))
    missed = beside_docker(args.docker, instances, cold) if args.docker else []
    return 1 if args.check and (over > BAR or missed) else 0


if __name__ == "__main__":
    sys.exit(main())
