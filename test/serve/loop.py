#!/usr/bin/env python3
"""The developer's loop with real programs, as README tells it: ssvm new, dev, edit (the page shows it), a mistake (the page shows it), deploy to a
server, invoke, rollback, why.

Usage: loop.py [NAME...]; SSVM_BUILD names the build folder. Ends with 'N passed, N failed, N skipped'.
"""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

import test_server
from test_server import BUILD, SERVE, Skip, same, test

SSVM = os.path.join(BUILD, "ssvm")
PATIENCE = 300  # seconds for anything on a busy machine: cargo builds and fetches
test_server.TESTS.clear()  # those are run by their own program
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def environment(home):
    env = dict(os.environ, HOME=home, XDG_CACHE_HOME=home + "/cache")
    for name in ("XDG_CONFIG_HOME", "SSVM_SERVER", "SSVM_TOKEN"):
        env.pop(name, None)
    if not shutil.which("clang"):
        os.makedirs(home + "/bin", exist_ok=True)
        if not os.path.lexists(home + "/bin/clang"):
            os.symlink(shutil.which("clang-22"), home + "/bin/clang")
        env["PATH"] = home + "/bin:" + env["PATH"]
    return env


class Output:
    """What a program says, line by line, while it runs."""

    def __init__(self, args, **kw):
        # SIGINT is ignored in what a shell runs in the background, and in its children.
        self.p = subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                                  preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL), **kw)
        self.text = ""
        self.more = threading.Condition()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.p.stdout:
            with self.more:
                self.text += line
                self.more.notify_all()
        with self.more:
            self.p.wait()
            self.more.notify_all()

    def wait(self, pattern, start=0):
        """The match of the pattern in what was said from `start` on."""
        until = time.monotonic() + PATIENCE
        with self.more:
            while True:
                m = re.compile(pattern).search(self.text, start)
                if m:
                    return m
                assert time.monotonic() < until and self.p.poll() is None, "'%s' was not said, but:\n%s" % (pattern, self.text[start:])
                self.more.wait(1)

    def end(self, number=signal.SIGINT):
        self.p.send_signal(number)
        self.p.wait(PATIENCE)


def get(url, body=None, **fields):
    request = urllib.request.Request(url, data=body, headers={k.replace("_", "-"): v for k, v in fields.items()})
    try:
        with OPENER.open(request, timeout=PATIENCE) as r:
            return r.status, r.read().decode()
    except urllib.error.HTTPError as e:
        return e.code, e.read().decode()


def read(path):
    with open(path) as f:
        return f.read()


def save(path, text):
    """As editors do: another file over it."""
    with open(path + "~", "w") as f:
        f.write(text)
    os.rename(path + "~", path)


def replace(path, old, new):
    text = read(path)
    assert old in text, (old, text)
    save(path, text.replace(old, new))


class Live:
    """The events by which an open page reloads itself."""

    def __init__(self, url):
        self.stream = OPENER.open(url + "/.ssvm/live", timeout=PATIENCE)
        self.first = self.next()

    def next(self):
        while True:
            line = self.stream.readline().decode()
            assert line, "the stream of events has ended"
            if line.startswith("data: "):
                return int(line[6:])


def patiently(project):
    """Its calls have more time than the template gives them."""
    path = project + "/ssvm.yaml"
    save(path, re.sub(r"deadline: \w+", "deadline: 60s", read(path)))


class Dev:
    """`ssvm dev` in a new project."""

    def __init__(self, *options, **env):
        self.home = tempfile.mkdtemp(prefix="ssvm-loop-")
        self.env = dict(environment(self.home), **env)
        subprocess.run([SSVM, "new", "hello", *options], cwd=self.home, env=self.env, check=True, stdout=subprocess.DEVNULL)
        self.dir = self.home + "/hello"
        patiently(self.dir)

    def __enter__(self):
        self.out = Output([SSVM, "dev", "--listen", "127.0.0.1:0"], cwd=self.dir, env=self.env)
        self.url = self.out.wait(r"ssvm dev: (http://127\.0\.0\.1:\d+)").group(1)
        return self

    def __exit__(self, kind, value, trace):
        if self.out.p.poll() is None:
            self.out.end()
        if kind:
            print(self.out.text)
        shutil.rmtree(self.home, ignore_errors=True)

    def said(self):
        return len(self.out.text)


def needs():
    if not os.path.exists(os.path.join(BUILD, "ssvm-client")) or not os.path.exists(os.path.join(BUILD, "ssvm-control")):
        raise Skip("ssvm-client or ssvm-control was not built")


def greet(url, name="Ada"):
    return get(url + "/greet", name.encode())


@test
def edit_and_see():
    needs()
    with Dev("--lang", "c", "--template", "page") as dev:
        source, page = dev.dir + "/src/main.c", dev.dir + "/site/index.html"
        dev.out.wait(r"version 1 is live")
        same(greet(dev.url), (200, "Hello, Ada!\n"))
        same(get(dev.url + "/f/hello", b"Ada"), (200, "Hello, Ada!\n"))
        status, text = get(dev.url + "/", Accept="text/html")
        same(status, 200)
        assert "<h1>hello</h1>" in text and "/.ssvm/live" in text, text
        assert "/.ssvm/live" not in get(dev.url + "/page.js")[1], "scripts are left alone"
        live = Live(dev.url)
        assert '"%d"' % live.first in text, "the page knows what it shows"

        # Callers meanwhile: none is dropped.
        bad, calls, stop = [], [0], threading.Event()

        def call():
            while not stop.is_set():
                r = greet(dev.url)
                calls[0] += 1
                if r[0] != 200 or r[1] not in ("Hello, Ada!\n", "Bonjour, Ada!\n"):
                    bad.append(r)
        caller = threading.Thread(target=call)
        caller.start()
        start = time.monotonic()
        replace(source, "Hello, ", "Bonjour, ")
        live.next()
        took = time.monotonic() - start
        same(greet(dev.url), (200, "Bonjour, Ada!\n"), "the new version")
        stop.set()
        caller.join()
        same(bad, [], "calls while the version changed")
        assert calls[0] > 0
        print("edit to live: %d ms, %d calls meanwhile" % (took * 1000, calls[0]))

        # A file of the page.
        said = dev.said()
        replace(page, "Who is there?", "Qui est la?")
        live.next()
        assert "Qui est la?" in get(dev.url + "/", Accept="text/html")[1]
        assert "warning" not in dev.out.text[said:], "the module was not built anew"
        # What changes nothing builds nothing.
        said = dev.said()
        save(source, read(source))
        save(dev.dir + "/src/main.c.swp~", "x")
        time.sleep(0.5)
        same(dev.out.text[said:], "", "after a save without a change")


@test
def mistakes_are_shown():
    needs()
    with Dev("--lang", "c", "--template", "page") as dev:
        source, manifest = dev.dir + "/src/main.c", dev.dir + "/ssvm.yaml"
        dev.out.wait(r"version 1 is live")
        live = Live(dev.url)
        good = read(source)
        save(source, good.replace("int main", "/* <script>alert(1)</script> */ it main"))
        live.next()
        status, text = get(dev.url + "/", Accept="text/html")
        same(status, 503)
        assert "error: unknown type name" in text and "main.c:" in text, text
        assert "<script>alert" not in text and "&lt;script&gt;alert" in text, "what the compiler says is no HTML"
        assert "/.ssvm/live" in text, "the page of mistakes reloads itself"
        assert "unknown type name" in dev.out.text
        same(greet(dev.url), (200, "Hello, Ada!\n"), "the version before answers calls")
        save(source, good.replace("Hello", "Good day"))
        live.next()
        same(get(dev.url + "/", Accept="text/html")[0], 200)
        same(greet(dev.url), (200, "Good day, Ada!\n"))
        right = read(manifest)
        save(manifest, right.replace("deadline: 60s", "deadline: soon"))
        live.next()
        status, text = get(dev.url + "/", Accept="text/html")
        same(status, 503)
        assert "ssvm.yaml:%d: 'deadline' is a time" % (right[:right.index("deadline")].count("\n") + 1) in text.replace("&#39;", "'"), text
        save(manifest, right)
        live.next()
        same(get(dev.url + "/", Accept="text/html")[0], 200)
        # A function that fails says where, in the terminal.
        said = dev.said()
        save(source, good.replace("    return 0;", '    fprintf(stderr, "about to fail\\n");\n    __builtin_trap();'))
        live.next()
        same(greet(dev.url)[0], 500)
        line = read(source)[:read(source).index("__builtin_trap")].count("\n") + 1
        dev.out.wait(r"stderr hello [0-9a-f]+ about to fail", said)
        dev.out.wait(r"unreachable\n +0: .*src/main\.c:%d\b" % line, said)


@test
def in_a_browser():
    needs()
    modules, chromium = os.path.join(BUILD, "browser-test"), shutil.which("chromium") or shutil.which("chromium-browser")
    if not chromium or not shutil.which("node") or not os.path.isdir(modules + "/node_modules/playwright-core"):
        raise Skip("no chromium, no node, or browser/run.sh has not been here before")
    with Dev("--lang", "c", "--template", "page") as dev:
        dev.out.wait(r"version 1 is live")
        script = os.path.join(test_server.HERE, "browser/dev.mjs")
        shots = [os.environ["SCREENSHOTS"]] if "SCREENSHOTS" in os.environ else []
        p = subprocess.run(["node", script, modules, dev.url, chromium, dev.dir, *shots], capture_output=True, text=True, timeout=4 * PATIENCE)
        print(p.stdout, p.stderr)
        same(p.returncode, 0)


@test
def page_with_a_model():
    """The template of a model, against what TensorFlow says of a picture (expected.json)."""
    needs()
    folder = os.path.join(BUILD, "nn")
    if not os.path.isdir(folder + "/litert"):
        raise Skip("LiteRT is not in the build folder: food.py fetches it")
    if not shutil.which("cargo"):
        raise Skip("no cargo")
    cargo = {n: os.environ.get(n) or os.path.expanduser("~/." + n.split("_")[0].lower()) for n in ("CARGO_HOME", "RUSTUP_HOME")}
    project = Dev("--template", "ai", **cargo)  # HOME is another there
    os.makedirs(project.home + "/data/ssvm")
    os.symlink(folder, project.home + "/data/ssvm/nn")
    project.env["XDG_DATA_HOME"] = project.home + "/data"
    with project as dev:
        dev.out.wait(r"version 1 is live")
        model = os.path.join(test_server.ROOT, "demo/food/model")
        with open(model + "/expected.json") as f:
            wanted = {s["file"]: s["top1"] for s in json.load(f)["samples"]}
        for name in ("samples/pizza.png", "samples/hotdog.png"):
            with open(os.path.join(model, name), "rb") as f:
                status, text = get(dev.url + "/classify", f.read())
            same((status, text), (200, "%s, %.0f %%\n" % (wanted[name]["label"], 100 * wanted[name]["probability"])))
        same(get(dev.url + "/classify", b"no picture")[0], 422)


@test
def ends_with_its_server():
    needs()
    with Dev("--lang", "c") as dev:
        dev.out.wait(r"version 1 is live")
        children = subprocess.run(["pgrep", "-f", "ssvm-serve .ssvm/root"], capture_output=True, text=True).stdout.split()
        mine = [c for c in children if os.readlink("/proc/%s/cwd" % c) == dev.dir]
        assert mine, "the server runs in the project"
        dev.out.end(signal.SIGKILL)
        until = time.monotonic() + PATIENCE
        while any(os.path.exists("/proc/%s" % c) for c in mine):
            assert time.monotonic() < until, "the server outlives ssvm dev"
            time.sleep(0.1)


class Serve:
    """A server with a registry, and a user who knows it."""

    def __init__(self, home):
        self.home, self.env = home, environment(home)
        os.makedirs(home + "/www")
        self.out = Output([SERVE, home + "/www", "--listen", "127.0.0.1:0", "--log", home + "/log"], cwd=home, env=self.env)
        self.url = self.out.wait(r"ssvm-serve: (http://127\.0\.0\.1:\d+)").group(1)
        self.ssvm("login", self.url, "--token-file", "www/.ssvm/admin-token")

    def ssvm(self, *args, status=0, where=None):
        p = subprocess.run([SSVM, *args], capture_output=True, text=True, cwd=where or self.home, env=self.env, timeout=PATIENCE)
        same(p.returncode, status, (args, p.stdout, p.stderr))
        return p.stdout + p.stderr


@test
def first_minute():
    needs()
    home = tempfile.mkdtemp(prefix="ssvm-loop-")
    serve = Serve(home)
    try:
        start = time.monotonic()
        serve.ssvm("new", "hello", "--lang", "c", "--template", "page")
        patiently(home + "/hello")
        out = serve.ssvm("deploy", "hello")
        assert "hello: version 1 (" in out and serve.url + "/f/hello" in out, out
        same(serve.ssvm("invoke", "hello", "/", "Ada"), "Hello, Ada!\n")
        same(greet(serve.url), (200, "Hello, Ada!\n"))
        status, text = get(serve.url + "/", Accept="text/html")
        same(status, 200)
        assert "<h1>hello</h1>" in text and ".ssvm" not in text
        replace(home + "/hello/src/main.c", "Hello", "Bonjour")
        assert "version 2 (" in serve.ssvm("deploy", where=home + "/hello")
        same(serve.ssvm("invoke", "hello", "/", "Ada"), "Bonjour, Ada!\n")
        out = serve.ssvm("rollback", "hello")
        assert "hello: version 1" in out, out
        same(serve.ssvm("invoke", "hello", "/", "Ada"), "Hello, Ada!\n")
        print("new, deploy, invoke, edit, deploy, invoke, rollback, invoke: %.1f s" % (time.monotonic() - start))
        # One version gets a part, by an alias all.
        replace(home + "/hello/src/main.c", "Bonjour", "Salut")
        serve.ssvm("deploy", "hello", "--split", "0", "--alias", "next")
        same(serve.ssvm("invoke", "hello@next", "/", "Ada"), "Salut, Ada!\n")
        same(serve.ssvm("invoke", "hello", "/", "Ada"), "Hello, Ada!\n")
        out = serve.ssvm("functions", "hello")
        assert len(out.splitlines()) == 3 and "@next" in out and "100.00%" in out, out
        out = serve.ssvm("functions")
        assert out.startswith("hello: ") and "version 1 100.00%" in out and "version 3 0.00% @next" in out, out
        assert "calls" in serve.ssvm("usage", "hello")
        assert serve.ssvm("usage", "--csv").splitlines()[0].count(",") > 3
    finally:
        serve.out.end(signal.SIGTERM)
        shutil.rmtree(home, ignore_errors=True)


@test
def why_and_refusals():
    needs()
    home = tempfile.mkdtemp(prefix="ssvm-loop-")
    serve = Serve(home)
    try:
        serve.ssvm("new", "bad", "--lang", "c")
        patiently(home + "/bad")
        with open(home + "/bad/src/main.c", "w") as f:
            f.write('#include <stdio.h>\nint main(void)\n{\n    fprintf(stderr, "about to fail\\n");\n    __builtin_trap();\n}\n')
        serve.ssvm("deploy", "bad")
        out = serve.ssvm("invoke", "bad", status=1)
        m = re.search(r"'ssvm why (\S+)' tells more", out)
        assert m, out
        until = time.monotonic() + PATIENCE
        while True:  # what failed is told to control without waiting
            p = subprocess.run([SSVM, "why", m.group(1)], capture_output=True, text=True, cwd=home, env=serve.env)
            if p.returncode == 0 or time.monotonic() > until:
                break
            time.sleep(0.2)
        same(p.returncode, 0, p.stderr)
        assert "unreachable" in p.stdout and "about to fail" in p.stdout and "main" in p.stdout, p.stdout
        assert "about to fail" in serve.ssvm("logs", "bad")
        assert "limits:" in p.stdout, p.stdout
        # What is not there: what is, and the id that the log has.
        os.makedirs(home + "/typed")
        shutil.copy(os.path.join(test_server.ROOT, "demo/functions/hello.wasm"), home + "/typed")
        save(home + "/typed/ssvm.yaml", "name: typed\nmodule: hello.wasm\n")
        serve.ssvm("deploy", "typed")
        out = serve.ssvm("invoke", "typed", "nothing", "x", status=1)
        m = re.search(r"no_function, request (\w+)", out)
        assert m and "its functions are: say" in out, out
        until = time.monotonic() + PATIENCE
        while m.group(1) not in serve.ssvm("logs", "typed"):
            assert time.monotonic() < until, m.group(1)
            time.sleep(0.1)
        assert "ssvm functions" in serve.ssvm("invoke", "nobody", status=1)
        assert "a secret's name is" in serve.ssvm("secret", "a b", "x", status=2)
        # A version that is refused, with reasons.
        os.makedirs(home + "/worse")
        save(home + "/worse/ssvm.yaml", "name: worse\nmodule: no.wasm\n")
        save(home + "/worse/no.wasm", "this is no module")
        out = serve.ssvm("deploy", "worse", status=1)
        assert "the version was not accepted: " in out and "magic" in out, out
        assert "worse" not in serve.ssvm("functions")
        save(home + "/other", "ssvm_nobody\n")
        assert "does not know this token (from other)" in serve.ssvm("functions", "--token-file", "other", status=1)
        serve.ssvm("secret", "KEY", "value")
        assert "KEY" in serve.ssvm("secret")
        serve.ssvm("secret", "--delete", "KEY")
        same(serve.ssvm("secret"), "")
        serve.ssvm("why", "nothing", status=1)
        serve.ssvm("rollback", "nothing", status=1)
    finally:
        serve.out.end(signal.SIGTERM)
        shutil.rmtree(home, ignore_errors=True)


@test
def settings_are_read_again():
    needs()
    home = tempfile.mkdtemp(prefix="ssvm-loop-")
    env = environment(home)
    os.makedirs(home + "/www/functions")
    for part in (["new", "hello", "--lang", "c"], ["build", "hello"]):
        subprocess.run([SSVM, *part], cwd=home, env=env, check=True, stdout=subprocess.DEVNULL)
    shutil.copy(home + "/hello/build/hello.wasm", home + "/www/functions/")
    settings = home + "/ssvm-serve.yaml"
    save(settings, "dir: www\nlisten: 127.0.0.1:0\nlog: none\ncors-origin: https://a.example\n")
    out = Output([SERVE, "--config", settings], cwd=home, env=env)

    def allowed(letter):
        origin = "https://%s.example" % letter
        request = urllib.request.Request(url + "/f/hello", data=b"Ada", headers={"Origin": origin})
        with OPENER.open(request, timeout=PATIENCE) as r:
            return r.headers["Access-Control-Allow-Origin"] == origin
    try:
        url = out.wait(r"ssvm-serve: (http://127\.0\.0\.1:\d+)").group(1)
        assert allowed("a") and not allowed("b")
        save(settings, "dir: www\nlisten: 127.0.0.1:0\nlog: none\ncors-origin: https://b.example\n")
        out.p.send_signal(signal.SIGHUP)
        until = time.monotonic() + PATIENCE
        while not allowed("b"):
            assert time.monotonic() < until, "SIGHUP does not read the settings again: " + out.text
            time.sleep(0.1)
        # A mistake leaves what there is.
        said = len(out.text)
        save(settings, "dir: www\ncors-origin: https://c.example\ncalls: many\n")
        out.p.send_signal(signal.SIGHUP)
        out.wait(r"ssvm-serve.yaml:3: 'calls' takes a number", said)
        time.sleep(0.5)
        assert allowed("b") and not allowed("c"), "after settings with a mistake"
    finally:
        out.end(signal.SIGTERM)
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(test_server.main())
