"""What the tests of sockets share: guests, peers, totals."""
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD = os.path.abspath(os.environ.get("SSVM_BUILD", os.path.join(ROOT, "build")))
SSVM = os.path.join(BUILD, "ssvm")
PATIENCE = 120  # seconds until something counts as hanging, on the busiest machine
TESTS = []
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(ROOT, "test"))
import runner  # noqa: E402
from runner import Skip  # noqa: E402, F401


def test(f):
    TESTS.append(f)
    return f


def same(got, wanted, what=""):
    assert got == wanted, "%s: %r, expected %r" % (what, got, wanted)


def compile_guest(folder, source, *flags):
    cc = shutil.which("clang-22")
    if not cc or not os.path.isdir("/usr/include/wasm32-wasi"):
        raise Skip("clang-22 and wasi-libc are not here")
    out = os.path.join(folder, source + ".wasm")
    if not os.path.exists(out):
        subprocess.run([cc, "--target=wasm32-wasi", "-Wno-deprecated", "-Wall", "-Wextra", "-Werror", "-O2", *flags, "-o", out,
                        os.path.join(HERE, "guests", source + ".c")], check=True)
    return out


def cargo_guest(*features):
    """A program of the published crate: main or server, by cargo's own lock file."""
    libs = subprocess.run(["rustc", "--print", "target-libdir", "--target", "wasm32-wasip1"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout.strip() \
        if shutil.which("cargo") else ""
    if not os.path.isdir(libs):
        raise Skip("cargo or its target wasm32-wasip1 is not here")
    target = os.path.join(BUILD, "socket-guests", *features)
    subprocess.run(["cargo", "build", "--quiet", "--locked", "--release", "--target", "wasm32-wasip1", "--manifest-path", HERE + "/guests/crate/Cargo.toml",
                    *(["--features", ",".join(features)] if features else [])], check=True, env=dict(os.environ, CARGO_TARGET_DIR=target))
    return target + "/wasm32-wasip1/release"


class Guest:
    """A running guest. `port` is the one that it prints first."""

    def __init__(self, module, *args, grants=("--allow-connect=127.0.0.1:*", "--allow-listen=127.0.0.1:0"), env=()):
        # Unbuffered: communicate() does not see what readline() has read ahead.
        self.process = subprocess.Popen([SSVM, *grants, *("--env=" + e for e in env), module, *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0)
        self.first = None

    def says_its_port(self):
        self.first = self.process.stdout.readline().decode()
        return self.first.startswith("port ")

    def port(self):
        self.first = self.first or self.process.stdout.readline().decode()
        assert self.first.startswith("port "), self.first + self.process.stderr.read().decode()
        return int(self.first.split()[1])

    def end(self):
        """What else it printed, its status, its errors."""
        out, err = self.process.communicate(timeout=PATIENCE)
        return out.decode(), self.process.returncode, err.decode()

    def answer(self):
        out, status, err = self.end()
        line = out.strip().splitlines()[-1] if out.strip() else ""
        assert status == 0, "%s %s" % (out, err)
        return line

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


@contextlib.contextmanager
def peer(talk):
    """A listener whose first connection goes to `talk`; gives its port, and what talk returned in a list."""
    with socket.create_server(("127.0.0.1", 0)) as s:
        s.settimeout(PATIENCE)
        said = []

        def run():
            with contextlib.suppress(OSError):
                c, who = s.accept()
                with c:
                    c.settimeout(PATIENCE)
                    said.append((talk(c), who[1]))

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield s.getsockname()[1], said
            thread.join(PATIENCE)  # the connection may wait to be accepted, after the guest has ended
        finally:
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)
            thread.join(PATIENCE)


def read_all(c):
    got = b""
    while True:
        piece = c.recv(65536)
        if not piece:
            return got
        got += piece


def read_exactly(c, n):
    got = b""
    while len(got) < n:
        piece = c.recv(n - len(got))
        if not piece:
            break
        got += piece
    return got


def free_port():
    """One where nobody listens."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def main():
    with tempfile.TemporaryDirectory() as folder:
        return runner.run(TESTS, sys.argv[1:], lambda f: f(folder))
