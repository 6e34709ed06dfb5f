"""What the tests of state share: guests, servers to ask, totals."""
import contextlib
import http.server
import os
import shutil
import subprocess
import sys
import tempfile
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD = os.path.abspath(os.environ.get("SSVM_BUILD", os.path.join(ROOT, "build")))
SSVM = os.path.join(BUILD, "ssvm")
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


def compile_guest(folder, source, name=None, *flags):
    """A command of WASI, from a file of this folder."""
    cc = shutil.which("clang-22")
    if not cc or not os.path.isdir("/usr/include/wasm32-wasi"):
        raise Skip("clang-22 and wasi-libc are not here")
    out = os.path.join(folder, (name or source) + ".wasm")
    subprocess.run([cc, "--target=wasm32-wasi", "-Wno-deprecated", "-Wall", "-Wextra", "-Werror", "-O1", "-I" + ROOT + "/sdk/c", *flags, "-o", out,
                    os.path.join(HERE, source + ".c")], check=True)
    return out


def cargo_build(project, name):
    libs = subprocess.run(["rustc", "--print", "target-libdir", "--target", "wasm32-wasip1"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout.strip() \
        if shutil.which("cargo") else ""
    if not os.path.isdir(libs):
        raise Skip("cargo or its target wasm32-wasip1 is not here")
    subprocess.run(["cargo", "build", "--quiet", "--offline", "--release", "--target", "wasm32-wasip1", "--manifest-path", project + "/Cargo.toml"], check=True,
                   env=dict(os.environ, CARGO_TARGET_DIR=BUILD + "/sdk"))
    return BUILD + "/sdk/wasm32-wasip1/release/" + name + ".wasm"


def compile_rust(folder, source):
    """A clean project outside of the tree, which has the crate by its path."""
    project = folder + "/project"
    os.makedirs(project + "/src")
    with open(project + "/Cargo.toml", "w") as f:
        f.write('[package]\nname = "%s"\nversion = "0.1.0"\nedition = "2021"\n[dependencies]\nssvm-state = { path = "%s/sdk/rust/ssvm-state" }\n[workspace]\n' % (source, ROOT))
    shutil.copy(os.path.join(HERE, source + ".rs"), project + "/src/main.rs")
    return cargo_build(project, source)


class Peer(http.server.BaseHTTPRequestHandler):
    """A server to ask: /echo says what it was asked, /to?URL redirects, /slow takes its time, /large is."""
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self):
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        self.server.seen.append((self.command, self.path, dict((k.lower(), v) for k, v in self.headers.items()), body))
        out, status, fields = b"", 200, []
        if self.path.startswith("/to?"):
            code, url = self.path[4:].split(",", 1)
            status, fields = int(code), [("Location", url)]
        elif self.path.startswith("/status?"):
            status = int(self.path[8:])
            out = b"status"
        elif self.path == "/slow":
            self.server.wait.wait(60)
        elif self.path == "/large":
            out = b"x" * (17 << 20)
        else:
            out = b"%s %s %s" % (self.command.encode(), self.path.encode(), body)
        with contextlib.suppress(ConnectionError):
            self.send_response(status)
            for f in fields:
                self.send_header(*f)
            self.send_header("X-Peer", "yes")
            self.send_header("Content-Length", str(len(out)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(out)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_PATCH = answer


@contextlib.contextmanager
def peer(address="127.0.0.1"):
    s = http.server.ThreadingHTTPServer((address, 0), Peer)
    s.handle_error = lambda *_: None  # a guest that goes away
    s.seen, s.wait, s.daemon_threads = [], threading.Event(), True
    s.port = s.server_address[1]
    t = threading.Thread(target=s.serve_forever, daemon=True)
    t.start()
    try:
        yield s
    finally:
        s.wait.set()
        s.shutdown()
        s.server_close()


def main(names):
    def in_folder(f):
        folder = tempfile.mkdtemp(prefix="ssvm-state-")
        try:
            f(folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    return runner.run(TESTS, names, in_folder)
