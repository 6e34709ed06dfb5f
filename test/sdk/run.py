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
import lib  # noqa: E402
from lib import BUILD, ROOT, SSVM, Skip, main, same, test  # noqa: E402
from served import Server, until  # noqa: E402

lib.TESTS.clear()  # those of the other file

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


DEEP = 5000
JSON = [("Content-Type", "application/json")]
# (function, body, status, a part of the answer): what a client may send to a function that takes JSON.
BODIES = [
    ("mirror", b'{"x": 1, "y": -2}', 200, b'{"x":-1,"y":2}'),
    ("mirror", b' {"y": -2, "x": 1, "more": [null]} ', 200, b'{"x":-1,"y":2}'),
    ("mirror", b'{"x": "1", "y": 2}', 422, b"argument 1, 'p', of 'mirror' is not what it takes: invalid type: string"),
    ("mirror", b'{"x": 1.5, "y": 2}', 422, b"invalid type: floating point"),
    ("mirror", b'{"x": null, "y": 2}', 422, b"invalid type: null"),
    ("mirror", b'{"x": 2147483648, "y": 2}', 422, b"invalid value: integer `2147483648`, expected i32"),
    ("mirror", b'{"x": 1}', 422, b"missing field `y`"),
    ("mirror", b'{"x": 1, "x": 2, "y": 2}', 422, b"duplicate field `x`"),
    ("mirror", b'{"x": 99999999999999999999999999, "y": 2}', 422, b"is not what it takes"),
    ("mirror", b'{"x": 1e999, "y": 2}', 422, b"number out of range"),
    ("mirror", b'{"x": NaN, "y": 2}', 422, b"expected value"),
    ("mirror", b'{"x": -0, "y": 2}', 422, b"is not what it takes"),
    ("mirror", b'{"x": ' + b"9" * 100000 + b', "y": 2}', 422, b"is not what it takes"),
    ("mirror", b"[" * DEEP + b"]" * DEEP, 422, b"is not what it takes"),
    ("mirror", b'{"x":' * DEEP + b"1" + b"}" * DEEP, 422, b"is not what it takes"),
    ("from_elsewhere", b"[" * DEEP + b"]" * DEEP, 422, b"is not what it takes"),
    ("mirror", b'{"x": 1, "z": ' + b"[" * DEEP + b"]" * DEEP + b', "y": -2}', 200, b'{"x":-1,"y":2}'),
    ("mirror", b"", 422, b"EOF while parsing"),
    ("mirror", b"null", 422, b"invalid type: null"),
    ("mirror", b'{"x": 1, "y"', 422, b"EOF while parsing"),
    ("mirror", b'{"x": 1, "y": 2} {', 422, b"trailing characters"),
    ("mirror", b'{"x": 1, "y": 2}\0', 422, b"trailing characters"),
    ("mirror", b'\0{"x": 1, "y": 2}', 422, b"expected value"),
    ("mirror", b'{"x\\u0000": 1, "y": 2}', 422, b"missing field `x`"),
    ("mirror", b'{"x\\ud800": 1, "y": 2}', 422, b"unexpected end of hex escape"),
    ("mirror", b'\xff\xfe{"x": 1, "y": 2}', 400, b"UTF-8"),
    ("mirror", b'{"x": 1, "y": 2, "z": "\xed\xa0\x80"}', 400, b"UTF-8"),
    ("mirror", b'\xef\xbb\xbf{"x": 1, "y": 2}', 422, b"expected value"),
    # An array is the arguments, but for a function that takes one JSON value.
    ("far", b'[{"x":0,"y":0}, [{"x":1,"y":1},{"x":-3,"y":2}]]', 200, b'{"x":-3,"y":2}'),
    ("far", b'[{"x":0,"y":0}]', 400, b"argument 2 of 'far' is missing"),
    ("moved", b'[null, [10, 20]]', 200, b'{"x":10,"y":20}'),
    ("moved", b'[null, [10, null]]', 422, b"argument 2, 'by', of 'moved'"),
    ("pair", b'[5, "five"]', 200, b'["five",5]'),
    ("pair", b'[5, "five", 6]', 422, b"trailing characters"),
    ("other", b'"blue"', 422, b"unknown variant `blue`"),
    ("count", b'[["a", "b", "a"]]', 200, b'{"a":2,"b":1}'),
    ("count", b'["a", "b"]', 400, b"takes 1 arguments, not 2"),
    ("count", b'[["a", 1]]', 400, b"argument 1 of 'count' is wrong: element 1, '1', is not a string"),
    ("count", b'[["a", null]]', 400, b"element 1, 'null', is not a string"),
    ("count", b'[[["a"]]]', 400, b"is not a string"),
    ("count", b'[["\\udc00"]]', 400, b"has a bad escape"),
    ("count", b"[null]", 400, b"null where an array is expected"),
    ("say", b'["Bob"]', 200, b"hello Bob"),
    ("say", b"[5]", 400, b"argument 1 of 'say' is wrong: '5' where a string is expected"),
    ("say", b"[null]", 400, b"null where a string is expected"),
    ("add", b"[-9, 5, 0.5, true]", 200, b"-2.5"),
    ("add", b"[-9, 256, 0.5, true]", 400, b"argument 2 of 'add' is wrong: '256' is out of range for u8"),
    ("add", b"[9223372036854775808, 5, 0.5, true]", 400, b"argument 1 of 'add'"),
    ("add", b"[9007199254740993.0, 5, 0.5, true]", 400, b"too large to be exact"),
    ("add", b"[1, 5, 1e999, true]", 400, b"argument 3 of 'add'"),
    ("add", b"[1, 5, NaN, true]", 400, b"argument 3 of 'add' is not JSON"),
    ("add", b"[1, 5, 0.5, 1]", 400, b"'1' where bool is expected"),
    ("scale", b"[[1, 2.5], 3]", 400, b"argument 1 of 'scale' is wrong: element 1, '2.5', is not a whole number"),
    ("scale", b"[[1, [2]], 3]", 400, b"element 1, '[2]', is not a number"),
    ("maybe", b'["ab", null]', 200, b"ab"),
    ("maybe", b'[null, 2]', 200, b"null"),
]
# The same over /api/run, which has one argument, the body, and looks whether it is JSON before.
API_BODIES = [
    ("mirror", b'{"x": 1, "y": -2}', 200, b'{"x":-1,"y":2}'),
    ("mirror", b'{"x": "1", "y": 2}', 422, b"argument 1, 'p', of 'mirror' is not what it takes: invalid type: string"),
    ("mirror", b'{"x": 2147483648, "y": 2}', 422, b"expected i32"),
    ("mirror", b'{"x": null, "y": 2}', 422, b"invalid type: null"),
    ("mirror", b'{"x": 1}', 422, b"missing field `y`"),
    ("mirror", b"null", 422, b"invalid type: null"),
    ("other", b'"blue"', 422, b"unknown variant `blue`"),
    ("pair", b'[5, "five"]', 200, b'["five",5]'),
    *[("mirror", body, 400, b"the body is not JSON") for body in (b"", b'{"x": 1, "y"', b'{"x": 1, "y": 2} {', b'{"x": NaN, "y": 2}', b'{"x": 1, "x": 2, "y": 2}', b'{"x\\ud800": 1}',
                                                                  b'{"x": "\xed\xa0\x80", "y": 1}', b"[" * DEEP + b"]" * DEEP)],
]


@test
def json_over_http(folder):
    """A function's caller sends JSON: it arrives as it is, or an answer says which argument is wrong and why."""
    guest = built(folder, "functions")
    wrong = []
    with Server(folder, "--workers", "1") as s:
        # With 201 it does not wait for /f/f, which is no function.
        number = s.deploy("f", guest, status=(200, 201)) and s.admin("GET", "default/functions/f")["id"]
        until("the worker knows it", lambda: s.ask("POST", "/f/f/mirror", BODIES[0][1], JSON)[0] == 200)
        for name, body, status, part in BODIES:
            got, answer = s.ask("POST", "/f/f/" + name, body, JSON)
            if got != status or part not in answer or status != 200 and not json.loads(answer)["error"]["message"]:
                wrong.append((name, body[:60], status, part, got, answer[:200]))
        for name, body, status, part in API_BODIES:
            got, answer = s.ask("POST", "/api/run/%d/%s" % (number, name), body, JSON)
            if got != status or part not in answer:
                wrong.append(("/api/run", name, body[:60], status, part, got, answer[:200]))
        same(s.ask("POST", "/f/f/mirror", BODIES[0][1], JSON)[0], 200)
    same(wrong, [])


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
