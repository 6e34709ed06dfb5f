#!/usr/bin/env python3
"""The crate `ssvm` of sdk/rust: functions as they are called, mistakes as the compiler tells them, the crates' own tests and all examples of their
pages in `ssvm run`, programs that use what the host has. Usage: run.py [NAME...]; SSVM_BUILD names the build folder. Ends with
'N passed, N failed, N skipped'."""
import contextlib
import json
import os
import re
import shutil
import socketserver
import subprocess
import sys
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../state"))
from lib import BUILD, ROOT, SSVM, Skip, main, same, test  # noqa: E402

TARGET = "wasm32-wasip1"
CRATES = ("ssvm-bindgen-macro", "ssvm-bindgen", "ssvm-state", "ssvm-tensorflow", "ssvm")


def cargo(*args, folder, wanted=0, **env):
    """What it says, and its errors. Its own tests are no part of this crate's lock."""
    if not shutil.which("cargo"):
        raise Skip("cargo is not here")
    r = subprocess.run(["cargo", *args], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                       env=dict(os.environ, CARGO_TARGET_DIR=BUILD + "/sdk", CARGO_TERM_COLOR="never", **env))
    assert r.returncode == wanted, (args, r.returncode, r.stdout[-4000:], r.stderr[-4000:])
    return r.stdout, r.stderr


def need_target():
    libs = subprocess.run(["rustc", "--print", "target-libdir", "--target", TARGET], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout.strip() \
        if shutil.which("cargo") else ""
    if not os.path.isdir(libs):
        raise Skip("cargo or its target %s is not here" % TARGET)


def copied(folder, name):
    """A project of this folder outside of the tree, which has the crates by their paths."""
    project = os.path.join(folder, name)
    shutil.copytree(os.path.join(HERE, name), project)
    manifest = project + "/Cargo.toml"
    with open(manifest) as f:
        text = f.read().replace("../../../sdk", ROOT + "/sdk")
    with open(manifest, "w") as f:
        f.write(text)
    return project


def built(folder, name):
    need_target()
    cargo("build", "--quiet", "--release", "--target", TARGET, folder=copied(folder, name))
    return "%s/sdk/%s/release/%s.wasm" % (BUILD, TARGET, name)


# ---- Packages


@test
def ready_to_publish(folder):
    """Each crate becomes a package that has all it needs, without a word from cargo."""
    if not shutil.which("cargo"):
        raise Skip("cargo is not here")
    for crate in CRATES:
        shutil.copytree("%s/sdk/rust/%s" % (ROOT, crate), folder + "/" + crate, ignore=shutil.ignore_patterns("target"))
        with open("%s/%s/Cargo.toml" % (folder, crate)) as f:
            text = f.read()
        with open("%s/%s/Cargo.toml" % (folder, crate), "w") as f:
            f.write(text.replace("[workspace]\n", ""))
        for line in ('license = "Apache-2.0"', "description = ", 'readme = "README.md"', 'documentation = "https://docs.rs/%s"' % crate, "rust-version = ", "keywords = ", "categories = "):
            assert "\n" + line in text, (crate, line)
        os.remove("%s/%s/Cargo.lock" % (folder, crate))
    with open(folder + "/Cargo.toml", "w") as f:
        f.write('[workspace]\nresolver = "2"\nmembers = %s\n' % json.dumps(CRATES))
    # One builds on the other, and none is published yet: together. That they build is said by the other tests.
    r = subprocess.run(["cargo", "package", "--workspace", "--allow-dirty", "--no-verify"], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                       env=dict(os.environ, CARGO_TARGET_DIR=folder + "/target", CARGO_TERM_COLOR="never"))
    if re.search("Could not resolve host|failed to (get|download|query)|network", r.stderr):
        raise Skip("there is no registry")
    assert r.returncode == 0 and "warning" not in r.stderr, r.stderr
    for crate in CRATES:
        names = subprocess.run(["tar", "tzf", "%s/target/package/%s-0.1.0.crate" % (folder, crate)], check=True, stdout=subprocess.PIPE, text=True).stdout.split()
        for name in ("Cargo.toml", "README.md", "src/lib.rs"):
            assert "%s-0.1.0/%s" % (crate, name) in names, (crate, names)


# ---- Functions


# (function, arguments, status, standard output, a part of standard error)
CALLS = [
    ("say", ["Bob"], 0, "hello Bob\n", ""),
    ("shout", ["straße"], 0, "STRASSE\n", ""),
    ("reverse", ["abc"], 0, "cba", ""),
    ("add", ["-9", "5", "0.5", "true"], 0, "-2.5\n", ""),
    ("scale", ["1,2,3", "10"], 0, "[10,20,30]\n", ""),
    ("words", ["a b"], 0, '["a","b"]\n', ""),
    ("fixed", ["true"], 0, "yes\n", ""),
    ("maybe", ["ab", "2"], 0, "abab\n", ""),
    ("maybe", ["ab"], 0, "ab\n", ""),
    ("maybe", [], 0, "null\n", ""),
    ("nothing", [], 0, "", ""),
    ("root", ["9"], 0, "3\n", ""),
    ("root", ["-1"], 1, "", "no root of -1"),
    ("check", ["2"], 0, "", ""),
    ("check", ["3"], 1, "", "trouble 3"),
    ("read", ["/nowhere"], 1, "", "No such file or directory (os error 44)"),
    ("parse", ["12"], 0, "12\n", ""),
    ("parse", ["x"], 1, "", "invalid digit"),
    ("mirror", ['{"x": 1, "y": -2}'], 0, '{"x":-1,"y":2}\n', ""),
    ("mirror", ['{"x": 1}'], 1, "", "argument 1, 'p', of 'mirror' is not what it takes: missing field `y` at line 1 column 8"),
    ("mirror", ["[1, 2]"], 0, '{"x":-1,"y":-2}\n', ""),
    ("mirror", [""], 1, "", "EOF while parsing"),
    ("mirror", ['{"x": 1, "y": 2} 3'], 1, "", "trailing characters"),
    ("mirror", ["\"\xff\""], 1, "", "invalid type: string"),
    ("mirror", [], 2, "", "argument 1 of 'mirror' is missing"),
    ("far", ['{"x":0,"y":0}', '[{"x":1,"y":1},{"x":-3,"y":2}]'], 0, '{"x":-3,"y":2}\n', ""),
    ("far", ['{"x":0,"y":0}', "[]"], 0, "null\n", ""),
    ("far", ["{}", "7"], 1, "", "argument 1, 'from', of 'far'"),
    ("pair", ['[5, "five"]'], 0, '["five",5]\n', ""),
    ("count", ['["a","b","a"]'], 0, '{"a":2,"b":1}\n', ""),
    ("other", ['"red"'], 0, '"green"\n', ""),
    ("other", ['"green"'], 1, "", "trouble 1"),
    ("other", ['"blue"'], 1, "", "unknown variant `blue`, expected `red` or `green`"),
    ("moved", ['{"x":1,"y":2}', "[10,20]"], 0, '{"x":11,"y":22}\n', ""),
    ("moved", ["null", "[10,20]"], 0, '{"x":10,"y":20}\n', ""),
    ("moved", ["null", "[10]"], 1, "", "argument 2, 'by', of 'moved' is not what it takes: invalid length 1, expected an array of length 2"),
    ("bad_keys", [], 1, "", "the result is no JSON: key must be a string"),
    ("inside", ["[1,2]"], 0, "[[1,2],[2,1]]\n", ""),
    ("another-name", [], 0, "7\n", ""),
    ("match", ["3"], 0, "3\n", ""),
    ("export", ["3"], 0, "2\n", ""),
    ("export", ["0"], 1, "", "below 0"),
    ("describe", ["4"], 0, "4\n", ""),
    ("from_elsewhere", ["[[1,2],[],[3]]"], 0, "6\n", ""),
    ("uses_wasi", [], 0, "to the output\nBob\n", ""),
]


@test
def functions_are_called(folder):
    guest = built(folder, "functions")
    tiers = ["interp"] + (["aot"] if os.path.exists(BUILD + "/libssvm-aot.so") else [])
    for tier in tiers:
        for name, args, status, out, err in CALLS:
            r = subprocess.run([SSVM, "run", "--tier", tier, "--env", "NAME=Bob", "--invoke", name, guest, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            assert (r.returncode, r.stdout) == (status, out) and err in r.stderr, (tier, name, args, r)


@test
def types_are_told(folder):
    guest = built(folder, "functions")
    said = subprocess.run([SSVM, "inspect", guest], stdout=subprocess.PIPE, check=True, text=True).stdout
    for line in ("mirror(JSON) -> Result<JSON>", "far(JSON, JSON) -> Result<Option<JSON>>", "moved(Option<JSON>, JSON) -> Result<JSON>", "maybe(Option<String>, Option<u32>) -> Option<String>",
                 "fixed(bool) -> String", "another-name() -> u32", "root(f64) -> Result<f64>"):
        assert line in said, (line, said)
    # The linker wraps no export: constructors run once, in `_initialize`.
    assert "_initialize" in said and "command_export" not in open(guest, "rb").read().decode(errors="replace"), said


# ---- Mistakes


def annotated(path):
    """(line, the text that is marked, message), by the comments `//~` (this line) and `//~^` (the line above)."""
    wanted = []
    with open(path) as f:
        for number, line in enumerate(f, 1):
            m = re.search(r"//~(\^?) `(.+?)`: (.+)$", line)
            if m:
                wanted.append((number - len(m.group(1)), m.group(2), m.group(3)))
    return sorted(wanted)


@test
def mistakes_are_told_where_they_are(folder):
    """For this machine, without the target: what cannot be exported does not compile anywhere."""
    project = copied(folder, "fail")
    out, _ = cargo("check", "--quiet", "--bins", "--keep-going", "--message-format=json", folder=project, wanted=101)
    got = {}
    for line in out.splitlines():
        message = json.loads(line)
        if message["reason"] != "compiler-message" or message["message"]["level"] != "error" or not message["message"]["spans"]:
            continue
        primary = [s for s in message["message"]["spans"] if s["is_primary"]][0]
        text = primary["text"][0]
        marked = text["text"][text["highlight_start"] - 1:text["highlight_end"] - 1] if len(primary["text"]) == 1 else text["text"]
        got.setdefault(os.path.basename(primary["file_name"]), []).append((primary["line_start"], marked, message["message"]["message"]))
    for name in sorted(os.listdir(project + "/src/bin")):
        wanted = annotated(project + "/src/bin/" + name)
        assert len(wanted) > 3, wanted
        same(sorted(set(got.get(name, []))), wanted, name)


# ---- The crates by themselves


@test
def crates_pass_their_tests_on_this_machine(folder):
    for crate in CRATES:
        out, _ = cargo("test", "--quiet", "--lib", folder="%s/sdk/rust/%s" % (ROOT, crate))
        assert "test result: ok" in out, (crate, out)


GRANTS = ["--dir", ".", "--kv", "KV", "--sql", "SQL", "--secret", "WEATHER_KEY=k", "--allow-http", "127.0.0.1:1", "--allow-command", "sort", "--storage", "STORAGE",
          "--allow-connect", "127.0.0.1:*", "--allow-connect", "localhost:*", "--allow-listen", "127.0.0.1:*"]


@test
def examples_and_tests_are_run(folder):
    """Every example of the pages and every test of the crate, as a guest that is granted what there is."""
    need_target()
    need_parts()
    places = {name: "%s/%s.db" % (folder, name.lower()) for name in ("KV", "SQL", "STORAGE")}
    runner = " ".join([SSVM, "run", *[places.get(word, word) for word in GRANTS]])
    out, err = cargo("test", "--target", TARGET, folder=ROOT + "/sdk/rust/ssvm", CARGO_TARGET_WASM32_WASIP1_RUNNER=runner)
    results = re.findall(r"test result: ok\. (\d+) passed; 0 failed; 0 ignored", out)
    assert len(results) == 2 and int(results[0]) >= 8 and int(results[1]) >= 8, out
    same(err.count("warning:"), 0, err)


@test
def pages_are_made_without_warnings(folder):
    _, err = cargo("doc", "--no-deps", folder=ROOT + "/sdk/rust/ssvm", RUSTDOCFLAGS="-D warnings -D rustdoc::broken_intra_doc_links")
    same(err.count("warning"), 0, err)


@test
def packages_are_ready(folder):
    """What would be published: the sources and the page, nothing else; what was packed builds."""
    for crate in CRATES:
        out, _ = cargo("package", "--list", "--allow-dirty", folder="%s/sdk/rust/%s" % (ROOT, crate))
        files = set(out.split())
        assert {"Cargo.toml", "src/lib.rs"} <= files, files
        extra = {f for f in files if not f.startswith("src/")} - {"Cargo.toml", "Cargo.toml.orig", "Cargo.lock", "README.md", ".cargo_vcs_info.json"}
        same(extra, set(), crate)


# ---- Programs


@contextlib.contextmanager
def echoes():
    """The ports of two servers that send back what they get."""
    class Tcp(socketserver.BaseRequestHandler):
        def handle(self):
            while data := self.request.recv(65536):
                self.request.sendall(data)

    class Udp(socketserver.BaseRequestHandler):
        def handle(self):
            self.request[1].sendto(self.request[0], self.client_address)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Tcp) as tcp, socketserver.UDPServer(("127.0.0.1", 0), Udp) as udp:
        tcp.daemon_threads = True
        for server in (tcp, udp):
            threading.Thread(target=server.serve_forever, daemon=True).start()
        yield tcp.server_address[1], udp.server_address[1]
        tcp.shutdown()
        udp.shutdown()


def need_parts():
    missing = [part for part in ("state-file.so", "host-state.so", "host-process.so", "host-socket.so") if not os.path.exists("%s/%s" % (BUILD, part))]
    if missing:
        raise Skip("not built: %s" % ", ".join(missing))


@test
def a_program_uses_what_the_host_has(folder):
    need_parts()
    guest = built(folder, "program")
    tiers = ["interp"] + (["aot"] if os.path.exists(BUILD + "/libssvm-aot.so") else [])
    commands = [word for name in ("cat", "env", "sleep") for word in ("--allow-command", name)]
    with echoes() as ports:
        for tier in tiers:
            r = subprocess.run([SSVM, "run", "--tier", tier, "--gas-limit", "100000000000", "--time-limit", "100000", *commands, "--storage", folder + "/storage",
                                *["--allow-connect", "127.0.0.1:*", "--allow-connect", "localhost:*", "--allow-listen", "127.0.0.1:*"], guest, *map(str, ports)],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=300)
            same((r.returncode, r.stdout), (0, "all is well\n"), (tier, r.stderr))
    exports = subprocess.run([SSVM, "inspect", guest], stdout=subprocess.PIPE, check=True, text=True).stdout
    assert "_start" in exports and "_initialize" not in exports and "__wbindgen" not in exports, exports


@test
def c_headers_work(folder):
    need_parts()
    cc = shutil.which("clang-22")
    if not cc or not os.path.isdir("/usr/include/wasm32-wasi"):
        raise Skip("clang-22 and wasi-libc are not here")
    guest = folder + "/headers.wasm"
    subprocess.run([cc, "--target=wasm32-wasi", "-Wno-deprecated", "-Wall", "-Wextra", "-Werror", "-O1", "-I" + ROOT + "/sdk/c", "-o", guest, HERE + "/headers.c"], check=True)
    r = subprocess.run([SSVM, "run", "--allow-command", "echo", "--storage", folder + "/storage", "--allow-listen", "127.0.0.1:*", "--allow-connect", "127.0.0.1:*", guest],
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    same((r.returncode, r.stdout), (0, "a b\n1 1 1\n"), r.stderr)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
