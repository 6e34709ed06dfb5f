#!/usr/bin/env python3
"""Native commands and storage of published crates, for functions of a server. Usage: served.py [NAME...]; SSVM_BUILD names the build folder. Ends with
'N passed, N failed, N skipped'."""
import contextlib
import ctypes
import errno
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.parse

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "state"))
import lib  # noqa: E402
from lib import BUILD, Skip, main, same  # noqa: E402
from served import PATIENCE, Server, until  # noqa: E402

lib.TESTS.clear()  # those of the other file


def guest():
    libs = subprocess.run(["rustc", "--print", "target-libdir", "--target", "wasm32-wasip1"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout.strip() \
        if shutil.which("cargo") else ""
    if not os.path.isdir(libs):
        raise Skip("cargo or its target wasm32-wasip1 is not here")
    subprocess.run(["cargo", "build", "--quiet", "--locked", "--release", "--target", "wasm32-wasip1", "--manifest-path", HERE + "/Cargo.toml"], check=True,
                   env=dict(os.environ, CARGO_TARGET_DIR=BUILD + "/crates"), stderr=subprocess.DEVNULL)
    return BUILD + "/crates/wasm32-wasip1/release/crates-served.wasm"


@contextlib.contextmanager
def with_function(folder, grants, *options, before=None):
    with Server(folder, "--workers", "1", *options, before=before) as s:
        s.wasm = guest()
        s.deploy("a", s.wasm, grants)
        yield s


def alive(mark):
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            words = open("/proc/%s/cmdline" % pid, "rb").read().split(b"\0")
            if mark.encode() in words and words[0].endswith(b"sleep"):
                found.append(int(pid))
    return found


def mark():
    """Seconds of a sleep, as nobody else writes them."""
    return "%d.%d" % (time.monotonic_ns() % 100000 + 10000, os.getpid())


@lib.test
def commands_that_both_allow(folder):
    with with_function(folder, "allow-command: [cat, sh]\nkv: on", "--allow-command", "cat,sh,echo") as s:
        same(s.words("a", "run", "cat", 30000), "0 [in] []")
        same(s.words("a", "run", shutil.which("cat"), 30000), "0 [in] []")
        same(s.words("a", "run", "sh", 30000, "-c", "echo out; echo err >&2; exit 255"), "-1 [out\n] [err\n]")
        # Of the server's, but not of the function's; and the other way round.
        for name in ("echo", "/bin/ls", "ls", "../cat"):
            said = s.words("a", "run", name, 30000)
            assert said.startswith("-1 [] [Permission denied: command \"%s\"" % name) and "allow-command" in said, said
        for name in ("ls", "/bin/ls", "../cat", "cat "):
            refused = s.deploy("b", s.wasm, "allow-command: [cat, '%s']\nkv: on" % name, status=(400,))
            assert "'%s', which this server does not allow" % name in json.dumps(refused), refused
        s.deploy("b", s.wasm, "allow-command: ['%s']\nkv: on" % shutil.which("cat"))
        same(s.words("b", "run", "cat", 30000), "0 [in] []")
        # Nothing granted: nothing of it is there.
        s.deploy("c", s.wasm, "kv: on", status=(400, 422))


@lib.test
def commands_without_the_operator(folder):
    with Server(folder, "--workers", "1") as s:
        refused = s.deploy("a", guest(), "allow-command: [cat]\nkv: on", status=(400,))
        assert "allow-command names 'cat', which this server does not allow" in json.dumps(refused), refused


def without_landlock():
    """In the server, before it starts: a kernel that does not know the call."""
    libc = ctypes.CDLL(None, use_errno=True)
    load, jump, give = 0x20, 0x15, 0x06  # the call's number, an architecture's own for both of ours
    code = b"".join(struct.pack("=HBBI", *row) for row in ((load, 0, 0, 0), (jump, 0, 1, 444), (give, 0, 0, 0x50000 | errno.ENOSYS), (give, 0, 0, 0x7fff0000)))
    text = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("=H6xQ", len(code) // 8, ctypes.addressof(text))
    if libc.prctl(38, 1, 0, 0, 0) != 0 or libc.prctl(22, 2, program, 0, 0) != 0:
        os._exit(99)


@lib.test
def commands_without_landlock(folder):
    for options, answer, line in (((), "native commands are off", "are off"), (("--unconfined-commands",), "0 [out\n] []", "run unconfined")):
        with with_function(folder, "allow-command: [sh]\nkv: on", "--allow-command", "sh", *options, before=without_landlock) as s:
            assert answer in s.words("a", "run", "sh", 30000, "-c", "echo out")
            until("it says so", lambda: "has no Landlock: native commands " + line in open(s.dir + "/out").read())
        shutil.rmtree(s.dir)


@lib.test
def commands_are_confined(folder):
    os.environ["HOST_SECRET"] = "of the server"
    with with_function(folder, "allow-command: [sh]\nkv: on", "--allow-command", "sh") as s:
        key = s.dir + "/.ssvm/key"
        assert os.path.exists(key), os.listdir(s.dir + "/.ssvm")
        same(s.words("a", "run", "sh", 30000, "-c", "pwd | grep -c /tmp/ssvm-command-; echo x > mine; cat mine; env | grep -c HOST_SECRET; true"), "0 [1\nx\n0\n] []")
        # A system without Landlock confines nothing.
        if "ermission denied" in s.words("a", "run", "sh", 30000, "-c", "ls /etc"):
            for script in ("cat '%s'" % key, "ls '%s/.ssvm'" % s.dir, "echo x > '%s/site/x'" % s.dir, "cat /proc/$PPID/environ"):
                said = s.words("a", "run", "sh", 30000, "-c", script)
                assert "ermission denied" in said or "No such file" in said, (script, said)
        until("folders of commands are gone", lambda: not [n for n in os.listdir("/tmp") if n.startswith("ssvm-command-") and os.path.exists("/tmp/%s/mine" % n)])


@lib.test
def commands_end_in_time(folder):
    with with_function(folder, "allow-command: [sh]\nkv: on", "--allow-command", "sh") as s:
        for ms in (300, 3000, 30000):  # on a busy machine a shell may take its time to start
            m = mark()
            said = s.words("a", "run", "sh", ms, "-c", "trap '' TERM; echo before; setsid sleep %s & sleep %s" % (m, m))
            if said != "110 [] []":
                break
        same(said, "110 [before\n] []")
        until("nothing of it is left", lambda: not alive(m))
        # The call's own time.
        s.deploy("b", s.wasm, "allow-command: [sh]\nkv: on", "limits:\n  deadline: 700ms\n")
        m = mark()
        got, _ = s.ask("POST", "/f/b", "run\nsh\n60000\n-c\nsleep %s\n" % m)
        same(got, 504)
        until("nothing of it is left", lambda: not alive(m))


@lib.test
def commands_end_with_their_client(folder):
    """At once, not with the call's time, which is longer than this test may wait."""
    with with_function(folder, "allow-command: [sh]\nkv: on", "--allow-command", "sh", "--call-time", "1000s") as s:
        m = mark()
        body = "run\nsh\n900000\n-c\nsleep %s\n" % m
        client = socket.create_connection(("127.0.0.1", s.port))
        client.sendall(("POST /f/a HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)).encode())
        until("it runs", lambda: alive(m))
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        until("nothing of it is left", lambda: not alive(m))
        # Nor is anything left of its call: the same again, as often as commands may run at a time.
        for _ in range(20):
            same(s.words("a", "run", "sh", 30000, "-c", "echo again"), "0 [again\n] []")


def children(pid):
    with contextlib.suppress(OSError):
        return [int(x) for x in open("/proc/%d/task/%d/children" % (pid, pid)).read().split()]
    return []


def keepers(control):
    """The two processes of the one command that runs; a thread of control's pool started the first."""
    for task in os.listdir("/proc/%d/task" % control):
        for pid in map(int, open("/proc/%d/task/%s/children" % (control, task)).read().split()):
            if open("/proc/%d/comm" % pid).read() == "ssvm-keeper\n":
                return pid, children(pid)[0]
    raise AssertionError("no keeper")


def held(pid):
    """What a process has open but files: those of the database come when a thread of its pool first needs them."""
    found = []
    for fd in os.listdir("/proc/%d/fd" % pid):
        with contextlib.suppress(OSError):
            found.append(os.readlink("/proc/%d/fd/%s" % (pid, fd)).rstrip("0123456789:[]"))
    return sorted(f for f in found if not f.startswith("/"))


@lib.test
def commands_whose_keeper_is_killed_or_stopped(folder):
    """Each step of it: test/unit/command/run.c. Here: the request ends, and control is as before."""
    with with_function(folder, "allow-command: [sh]\nkv: on", "--allow-command", "sh", "--call-time", "1000s") as s:
        control = s.find("ssvm-control")

        def run(which, how, ms):
            """What the request said. On a busy machine its time may be over before the command has started: then nobody is disturbed."""
            m = mark()
            said = []
            t = threading.Thread(target=lambda: said.append(s.words("a", "run", "sh", ms, "-c", "setsid sleep %s & sleep %s" % (m, m))))
            t.start()
            until("it runs", lambda: len(alive(m)) == 2 or said)
            if not said:
                os.kill(keepers(control)[which], how)
            t.join()
            until("nothing of it is left", lambda: not alive(m))
            return said[0]
        same(s.words("a", "run", "sh", 30000, "-c", "echo first"), "0 [first\n] []")
        before = held(control)
        for which in (0, 1):
            said = run(which, signal.SIGKILL, 900000)
            assert said.startswith("22 [] [what ran '/") and said.endswith("/sh' died\n]"), said
            same(run(which, signal.SIGSTOP, 2000), "110 [] []")
        same(s.words("a", "run", "sh", 30000, "-c", "echo again"), "0 [again\n] []")
        try:
            until("no descriptor is left", lambda: len(held(control)) <= len(before))
        except AssertionError:
            raise AssertionError("before: %s, left: %s" % (before, held(control))) from None


@lib.test
def waiting_for_control_ends_with_the_client(folder):
    with with_function(folder, "allow-command: [sh]\nkv: on", "--allow-command", "sh", "--call-time", "1000s") as s:
        key = s.words("a", "store", 7).strip()
        control = s.find("ssvm-control")
        lib.runner.stop(control)
        try:
            body = "load\n%s\n" % key
            client = socket.create_connection(("127.0.0.1", s.port))
            client.sendall(("POST /f/a HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)).encode())
            # A reset takes with it what has not been read: then there is no request.
            until("the request is read", lambda: lib.runner.nothing_waits(s.port, client))
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
            until("the call has ended", lambda: any(x.get("lost") for x in s.log()))
        finally:
            os.kill(control, signal.SIGCONT)


@lib.test
def commands_end_with_control(folder):
    with with_function(folder, "allow-command: [sh]\nkv: on", "--allow-command", "sh") as s:
        m = mark()
        t = threading.Thread(target=lambda: s.ask("POST", "/f/a", "run\nsh\n8000\n-c\nsleep %s\n" % m), daemon=True)
        t.start()
        until("it runs", lambda: alive(m))
        assert s.kill("ssvm-control"), "control has lived"
        until("nothing of it is left", lambda: not alive(m))
        t.join(PATIENCE)
        until("commands run again", lambda: s.ask("POST", "/f/a", "run\nsh\n8000\n-c\necho again\n")[1] == b"0 [again\n] []")


@lib.test
def storage_is_the_tenants(folder):
    with with_function(folder, "kv: on\nallow-command: [cat]", "--allow-command", "cat") as s:
        key = s.words("a", "store", 7, -1).strip()
        same(s.words("a", "load", key), "[7, -1]\n")
        # The same, by the admin interface: there and back.
        path = "/v1/tenants/default/kv/" + urllib.parse.quote("storage/" + key, safe="")
        got, value = s.ask("GET", path)
        same((got, value), (200, struct.pack("<3i", 2, 7, -1)))
        got, _ = s.ask("PUT", path, struct.pack("<2i", 1, 99))
        assert got in (200, 201, 204), got
        same(s.words("a", "load", key), "[99]\n")
        listed = json.loads(s.ask("GET", "/v1/tenants/default/kv?prefix=storage/")[1])
        assert "storage/" + key in json.dumps(listed), listed
        # Another function of the tenant has it, another tenant has not.
        s.deploy("b", s.wasm, "kv: on\nallow-command: [cat]")
        same(s.words("b", "load", key), "[99]\n")
        same(s.ask("POST", "/v1/tenants", json.dumps({"name": "other"}), [("Content-Type", "application/json")])[0], 201)
        s.deploy("a", s.wasm, "kv: on\nallow-command: [cat]", tenant="other")
        got, _ = s.ask("POST", "/t/other/f/a", "load\n%s\n" % key)
        same(got, 500)


@lib.test
def storage_has_the_tenants_quota(folder):
    with with_function(folder, "kv: on\nallow-command: [cat]", "--allow-command", "cat") as s:
        s.deploy("b", s.wasm, "kv: on\nallow-command: [cat]", "limits:\n  storage: 200\n")
        key = s.words("b", "store", *range(20)).strip()
        got, _ = s.ask("POST", "/f/b", "store\n" + "1\n" * 40)
        same(got, 500)
        same(s.words("b", "load", key), "%s\n" % list(range(20)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
