#!/usr/bin/env python3
"""Published guest crates, unmodified (Cargo.lock pins them): every function of each, in every tier. Usage: run.py [NAME...]; SSVM_BUILD names the
build folder. Ends with 'N passed, N failed, N skipped'."""
import os
import re
import shutil
import sqlite3
import struct
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.path.abspath(os.environ.get("SSVM_BUILD", os.path.join(HERE, "..", "..", "build")))
SSVM = os.path.join(BUILD, "ssvm")
TESTS = []
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(HERE))
import runner  # noqa: E402
from runner import Skip  # noqa: E402


def test(f):
    TESTS.append(f)
    return f


def same(got, wanted, what=""):
    assert got == wanted, "%s: %r, expected %r" % (what, got, wanted)


def guest(name):
    """crates-NAME.wasm; cargo asks the registry for what is not here yet."""
    libs = subprocess.run(["rustc", "--print", "target-libdir", "--target", "wasm32-wasip1"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout.strip() \
        if shutil.which("cargo") else ""
    if not os.path.isdir(libs):
        raise Skip("cargo or its target wasm32-wasip1 is not here")
    subprocess.run(["cargo", "build", "--quiet", "--locked", "--release", "--target", "wasm32-wasip1", "--manifest-path", HERE + "/Cargo.toml"], check=True,
                   env=dict(os.environ, CARGO_TARGET_DIR=BUILD + "/crates"), stderr=subprocess.DEVNULL)
    return "%s/crates/wasm32-wasip1/release/crates-%s.wasm" % (BUILD, name)


def run(module, *words, options=(), status=0, env=None):
    r = subprocess.run([SSVM, "run", *options, module, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120, env=env)
    assert r.returncode == status, (words, r.returncode, r.stdout[-500:], r.stderr[-1500:].decode(errors="replace"))
    return r


def tiers():
    return ["interp", "aot"] if os.path.exists(BUILD + "/libssvm-aot.so") else ["interp"]


# ---- ssvm_process_interface 0.1.4

ALLOWED = ["--allow-command=" + c for c in ("sh", "cat", "echo", "printf", "true", "env", "ls")]
OWN = ["--env", "OWN=guest's"]


def process(case, *words, options=ALLOWED, **more):
    return run(guest("process"), case, *words, options=options, **more)


def alive(mark):
    """Processes with this argument: none is left of a command."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/cmdline" % pid, "rb") as f:
                words = f.read().split(b"\0")
        except OSError:
            continue
        if mark.encode() in words and words[0].endswith(b"sleep"):
            found.append(int(pid))
    return found


def gone(mark):
    """They are killed with the guest; the kernel takes them away when it likes."""
    end = time.monotonic() + 60
    while alive(mark) and time.monotonic() < end:
        time.sleep(0.05)
    same(alive(mark), [], "what a command left")


def mark():
    """Seconds of a sleep, as nobody else writes them."""
    return "%d.%d" % (time.monotonic_ns() % 100000 + 10000, os.getpid())


@test
def process_functions():
    for tier in tiers():
        for case in ("new", "arg", "args", "args_clear", "stdin", "stdin_u8", "stdin_u8vec", "timeout", "output", "status"):
            process(case, options=ALLOWED + ["--tier", tier])


@test
def process_env_is_the_guests_own_and_no_other():
    host = dict(os.environ, HOST_SECRET="x")
    process("env", options=ALLOWED + OWN, env=host)
    process("envs", env=host)
    # Whoever may run all may set all.
    out = process("show", 'echo "$LD_X $HOST_SECRET."', options=["--allow-command-all", "--env", "LD_X=1"], env=host).stdout
    same(out, b"1 .\n")


@test
def process_streams_larger_than_pipes():
    process("large")
    process("unread")


@test
def process_results_are_of_the_last_run():
    process("twice")


@test
def process_killed_by_a_signal():
    process("killed")


@test
def process_that_ignores_signals_is_ended():
    process("deaf")


@test
def process_with_all_that_it_started_is_ended():
    m = mark()
    process("grandchildren", m)
    gone(m)
    process("left", m)
    gone(m)


@test
def process_cannot_end_who_watches_it():
    """Who is killed or stopped watches no more, and what the command has started would live."""
    for signal in ("KILL", "STOP"):
        m = mark()
        script = '[ "$(cat /proc/$PPID/comm)" = ssvm-keeper ] || exit 9; read -r _ _ _ first _ </proc/$PPID/stat; [ "$(cat /proc/$first/comm)" = ssvm-keeper ] || exit 8; ' \
            '(setsid sleep %s >/dev/null 2>&1 &); for who in $PPID $first -$first; do kill -%s $who 2>/dev/null && echo killed; done; ' \
            'sleep 0 & kill -0 $! && wait && echo here' % (m, signal)
        same(process("show", script, options=["--allow-command-all"]).stdout, b"here\n")
        gone(m)


@test
def process_deadline_of_the_guest():
    m = mark()
    start = time.monotonic()
    r = process("forever", m, options=ALLOWED + ["--time-limit=500"], status=134)
    assert b"deadline" in r.stderr or b"time" in r.stderr, r.stderr
    assert b"not cut" not in r.stdout
    assert time.monotonic() - start < 50
    gone(m)


@test
def process_ends_with_ssvm():
    m = mark()
    p = subprocess.Popen([SSVM, "run", *ALLOWED, guest("process"), "forever", m], stdin=subprocess.DEVNULL)
    while not alive(m) and p.poll() is None:
        time.sleep(0.02)
    p.kill()
    p.wait()
    gone(m)


@test
def process_gets_no_descriptor():
    process("descriptors")
    r, w = os.pipe()
    p = subprocess.run([SSVM, "run", *ALLOWED, guest("process"), "descriptors"], pass_fds=(r, w), stderr=subprocess.PIPE)
    same((p.returncode, p.stderr), (0, b""))
    os.close(r)
    os.close(w)


@test
def process_gains_no_privileges():
    out = process("show", "grep NoNewPrivs /proc/self/status", options=["--allow-command-all"]).stdout
    same(out.split(), [b"NoNewPrivs:", b"1"])


@test
def process_that_is_not_allowed():
    for name, options in (("ls", ["--allow-command=cat"]), ("/bin/cat2", ALLOWED), ("./cat", ALLOWED), ("cat ", ALLOWED), ("ca", ALLOWED)):
        said = process("denied", name, options=options).stdout.decode()
        assert said.startswith("Permission denied") and "--allow-command=%s" % name in said and "--allow-command-all" in said and said.count("\n") == 1, said
    said = process("denied", "no-such-command", options=["--allow-command-all"]).stdout.decode()
    assert "no such program" in said, said
    r = process("new", options=[], status=1)
    assert b"--allow-command NAME" in r.stderr, r.stderr


@test
def process_by_name_or_full_path():
    echo = shutil.which("echo")
    process("path", "echo")
    process("path", echo)
    process("path", echo, options=["--allow-command=" + echo])
    # A path on the list allows no name.
    assert b"Permission denied" in process("denied", "echo", options=["--allow-command=" + echo]).stdout


@test
def process_name_is_looked_up_once():
    with tempfile.TemporaryDirectory() as folder:
        first, second = folder + "/first", folder + "/second"
        for place in (first, second):
            os.mkdir(place)
        with open(second + "/tool", "w") as f:
            f.write("#!/bin/sh\nprintf '%s\\n' \"$*\"\n")
        os.chmod(second + "/tool", 0o755)
        # A file that nobody may execute, a folder, and a relative entry are none.
        with open(first + "/tool", "w") as f:
            f.write("#!/bin/sh\necho wrong\n")
        env = dict(os.environ, PATH=".::bin:%s:%s:/usr/bin:/bin" % (first, second))
        process("path", "tool", options=["--allow-command=tool"], env=env)
        process("path", "tool", options=["--allow-command-all"], env=env)
        os.chmod(first + "/tool", 0o755)
        assert process("path", "tool", options=["--allow-command=tool"], env=env, status=134)


@test
def process_output_has_a_limit():
    process("too_much")


@test
def process_memory_of_the_guest():
    r = process("large", options=ALLOWED + ["--memory-limit=16M"], status=134)
    assert b"memory" in r.stderr or b"unreachable" in r.stderr, r.stderr


# ---- rust_storage_interface_library 0.1.30


def storage(case, *words, options, **more):
    if not os.path.exists(BUILD + "/state-file.so"):
        raise Skip("libsqlite3-dev was not here: state-file.so is not built")
    r = run(guest("storage"), case, *words, options=options, **more)
    found = re.search(rb"^key ([\w-]+)$", r.stdout, re.M)
    return found.group(1).decode() if found else r


def records(file):
    """Keys and values as SQLite's own library reads them."""
    db = sqlite3.connect(file)
    try:
        return {k.decode(): v for k, v in db.execute("select key, value from kv")}
    finally:
        db.close()


def unpack(words):
    """The crate's packing (its documentation), undone: the bytes of a list of numbers."""
    out = bytearray()
    for w in words:
        text = "%d" % w
        if len(text) == 10 and text[0] == "1":
            out += bytes(int(text[i:i + 3]) for i in (1, 4, 7))
        elif len(text) == 10 and text[0] == "2":
            out += bytes(int(text[i:i + 3]) for i in (4, 7))
        else:
            out.append(w)
    return bytes(out)


@test
def storage_functions():
    for tier in tiers():
        with tempfile.TemporaryDirectory() as folder:
            for case in ("struct", "bool", "char", "i8", "i16", "i32", "i64", "u8", "string", "i32_vector", "update", "update_as_i32_vector", "raw"):
                storage(case, options=["--storage", folder + "/s", "--tier", tier])


@test
def storage_codec():
    with tempfile.TemporaryDirectory() as folder:
        out = storage("codec", options=["--storage", folder + "/s"]).stdout
        words = [int(x) for x in re.search(rb"^words \[(.*)\]", out, re.M).group(1).split(b",")]
        same(unpack(words), struct.pack("<Q", 5) + b"hello")


@test
def storage_keys_and_records():
    """What the key-value store has: the key of 32 digits behind its prefix, and the record, a count and as many numbers."""
    with tempfile.TemporaryDirectory() as folder:
        file = folder + "/s"
        key = storage("struct", options=["--storage", file])
        same(len(key), 32)
        assert set(key) <= set("0123456789abcdef") and key[12] == "4" and key[16] in "89ab", key
        found = records(file)
        same(list(found), ["storage/" + key])
        words = struct.unpack("<%di" % (len(found["storage/" + key]) // 4), found["storage/" + key])
        same(words[0], len(words) - 1)
        name, data = b"a record", bytes(range(200))
        same(unpack(words[1:]), struct.pack("<Q", len(name)) + name + struct.pack("<Q", len(data)) + data + struct.pack("<qB", 7, 1))
        vector = storage("i32_vector", options=["--storage", file])
        same(len(vector), 11) # the crate's buffer has no room for more
        same(records(file)["storage/" + vector], struct.pack("<6i", 5, 1, -1, 2**31 - 1, -2**31, 0))
        storage("raw", options=["--storage", file])
        same(records(file)["storage/" + 32 * "k"], struct.pack("<qi", -2, -3))
        assert storage("key", options=["--storage", file]) != storage("key", options=["--storage", file])


@test
def storage_outlives_the_run():
    with tempfile.TemporaryDirectory() as folder:
        file = folder + "/s"
        key = storage("struct", options=["--storage", file])
        storage("load", key, options=["--storage", file])
        storage("load_update", key, options=["--storage", file])
        storage("load", key, options=["--storage", file], status=134)
        # Another file is another storage, and so is another process's write to the same.
        assert b"no record of this key" in storage("load", key, options=["--storage", folder + "/other"], status=134).stderr
        db = sqlite3.connect(file)
        db.execute("update kv set value = ? where key = ?", (struct.pack("<3i", 2, 40, 2), ("storage/" + key).encode()))
        db.commit()
        db.close()
        assert b"vector [40, 2]" in storage("load_vector", key, options=["--storage", file]).stdout


@test
def storage_is_whole_or_not_at_all():
    with tempfile.TemporaryDirectory() as folder:
        storage("uncommitted", options=["--storage", folder + "/s"])
        same(records(folder + "/s"), {})


@test
def storage_traps():
    with tempfile.TemporaryDirectory() as folder:
        options = ["--storage", folder + "/s"]
        assert b"no record of this key" in storage("missing", options=options, status=134).stderr
        assert b"no more numbers" in storage("past_the_end", options=options, status=134).stderr


@test
def storage_damaged_records():
    """A count that is larger than what there is, one that is negative, no number at all."""
    with tempfile.TemporaryDirectory() as folder:
        file = folder + "/s"
        key = storage("i32_vector", options=["--storage", file])
        for value, status in ((struct.pack("<2i", 2**31 - 1, 5), 134), (struct.pack("<i", -1), 0), (b"", 134), (b"\1\0", 134)):
            db = sqlite3.connect(file)
            db.execute("update kv set value = ? where key = ?", (value, ("storage/" + key).encode()))
            db.commit()
            db.close()
            storage("load_vector", key, options=["--storage", file], status=status)


@test
def storage_needs_its_grant():
    with tempfile.TemporaryDirectory() as folder:
        r = storage("raw", options=["--kv", folder + "/kv"], status=1)
        assert b"--storage FILE" in r.stderr, r.stderr
        r = storage("raw", options=["--storage", folder + "/no/such/folder"], status=1)
        # One file may be both.
        storage("raw", options=["--kv", folder + "/kv", "--storage", folder + "/kv"])


# ---- ssvm_tensorflow_interface 0.1.4


@test
def tensorflow_links():
    for tier in tiers():
        run(guest("tensorflow"), options=["--nn", "auto", "--image", "--tier", tier])
    r = run(guest("tensorflow"), status=1)
    assert b"--nn" in r.stderr, r.stderr


sys.exit(runner.run(TESTS, sys.argv[1:]))
