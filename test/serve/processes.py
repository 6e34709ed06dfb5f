#!/usr/bin/env python3
"""Tests of the server's processes: killed, crashed, reloaded, upgraded, in their jail, with their data folder.

Usage: processes.py [NAME...]; SSVM_BUILD names the build folder. Ends with 'N passed, N failed, N skipped'.
"""
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import test_server as base
from test_server import PATIENCE, Client, Server, best_of, same, until

TESTS = []


def test(f):
    TESTS.append(f)
    return f


def alive(pid):
    try:
        return open("/proc/%d/stat" % pid).read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def output(s):
    return open(s.dir + "/out").read()


def stand_still(pid):
    """Stop it, and wait until it has: its threads go on until one of them has seen the signal."""
    os.kill(pid, signal.SIGSTOP)

    def all_stopped():
        threads = [open("/proc/%d/task/%s/stat" % (pid, t)).read() for t in os.listdir("/proc/%d/task" % pid)]
        return all(t.rsplit(")", 1)[1].split()[0] == "T" for t in threads)
    until("it stands still", all_stopped, pause=0.001)


class Load(base.Clients):
    """Clients that keep their connections and ask for hello all the time. `failed` has what went wrong: an answer that is not the right
    one, or a connection that ends without the reply before having said so."""

    def __init__(self, server, clients=6, path="/f/hello/say", pause=0.0):
        self.server, self.path, self.pause = server, path, pause
        self.failed, self.done = [], 0
        super().__init__(clients)

    def run(self, number):
        c = None
        n = 0
        while not self.stop:
            n += 1
            said = b"%d-%d" % (number, n)
            try:
                if c is None:
                    c = Client(self.server)
                r = c.request("POST", self.path, said)
                if (r.status, r.body) != (200, b"hello, " + said):
                    self.failed.append((time.time(), r.status, r.body[:100]))
                self.done += 1
                if r["connection"] == "close":
                    c.close()
                    c = None
            except (OSError, EOFError) as e:
                self.failed.append((time.time(), repr(e)))
                if c:
                    c.close()
                c = None
                time.sleep(0.002)
            time.sleep(self.pause)
        if c:
            c.close()

    def runs(self):
        """Everybody has been answered once more, at least on the whole."""
        n = self.done
        until("the load goes on", lambda: self.done > n + 2 * len(self.threads))


def back_after(s, load):
    """Seconds until a new client is answered."""
    start = time.time()
    while True:
        try:
            if s.call("POST", load.path, b"x").body == b"hello, x":
                return time.time() - start
        except (OSError, EOFError):
            time.sleep(0.002)
        assert time.time() - start < PATIENCE, "does not come back"


# ---- Deaths


@test
def killed_worker():
    """kill -9 of the only worker, again and again: it is back, and only what it was at is lost."""
    with Server("--workers", "1") as s:
        s.function("hello")
        with Load(s) as load:
            load.runs()
            times = []
            for _ in range(12):
                pid = s.processes("ssvm-worker")[0]
                before = len(load.failed)
                os.kill(pid, signal.SIGKILL)
                times.append(back_after(s, load))
                load.runs()
                assert len(load.failed) - before <= 2 * len(load.threads), load.failed[before:]
        print("      back after at most %.0f ms" % (max(times) * 1000))
        same(output(s).count("was ended by signal 9"), 12)
        same(len(s.processes("ssvm-worker")), 1)


@test
def killed_worker_of_two():
    """The other worker's connections do not notice."""
    with Server("--workers", "2") as s:
        s.function("hello")
        clients = [Client(s) for _ in range(40)]
        for c in clients:
            same(c.request("POST", "/f/hello/say", b"a").status, 200)
        fewest = min(s.processes("ssvm-worker"), key=lambda pid: len(os.listdir("/proc/%d/fd" % pid)))
        os.kill(fewest, signal.SIGKILL)
        left = 0
        for c in clients:
            try:
                left += c.request("POST", "/f/hello/say", b"b").body == b"hello, b"
            except (OSError, EOFError):
                pass
        assert left >= 20, left
        until("there are two again", lambda: len(s.processes("ssvm-worker")) == 2)


@test
def crashed_worker():
    """A request that crashes its worker: the others are answered, by another worker; all goes on."""
    with Server("--workers", "2", "--role=test", env=dict(os.environ, SSVM_TEST_CRASH="/f/crash/say")) as s:
        s.function("hello").function("hello", "hello").function("crash", "hello")
        with Load(s, 4) as load:
            for _ in range(5):
                load.runs()
                try:
                    s.call("POST", "/f/crash/say", b"x")
                    assert False, "it was answered"
                except (OSError, EOFError):
                    pass
                back_after(s, load)
        assert "was ended by signal 11" in output(s) or base.SANITIZED
        same(s.get("/f/hello/say?x=1").status, 200)
    # Without the tests' option nobody listens to the environment.
    with Server(env=dict(os.environ, SSVM_TEST_CRASH="/f/hello/say")) as s:
        s.function("hello")
        same(s.get("/f/hello/say?x=1").status, 200)


@test
def hanging_worker():
    """A request that stops an event loop for ever: its worker is replaced, and no other."""
    with Server("--workers", "2", "--loops", "1", "--role=test", env=dict(os.environ, SSVM_TEST_HANG="/f/hang/say")) as s:
        s.function("hello").function("hello", "hello").function("hang", "hello")
        before = set(s.processes("ssvm-worker"))
        same(len(before), 2)
        try:
            s.call("POST", "/f/hang/say", b"x")
            assert False, "it was answered"
        except (OSError, EOFError):
            pass
        until("there are two again", lambda: len(s.processes("ssvm-worker")) == 2)
        same(len(before & set(s.processes("ssvm-worker"))), 1)
        assert "hangs: it is killed" in output(s)
        for _ in range(20):
            same(s.get("/f/hello/say?x=1").status, 200)


@test
def killed_control():
    """Functions that need no state do not notice; there is a new one at once."""
    with Server() as s:
        s.function("hello")
        with Load(s) as load:
            for _ in range(8):
                load.runs()
                pid = until("control is there", lambda: s.processes("ssvm-control"))[0]
                os.kill(pid, signal.SIGKILL)
                until("another takes its place", lambda: s.processes("ssvm-control") not in ([], [pid]))
        same(load.failed, [])
        assert "ended by signal 11" not in output(s), output(s)


@test
def killed_supervisor():
    """All end with it; the next one has the address and the data folder at once."""
    with Server() as s:
        s.function("hello")
        for _ in range(5):
            pids = s.processes("ssvm-worker") + s.processes("ssvm-control")
            same(len(pids) >= 2, True)
            s.process.kill()
            s.again()
            same(s.get("/f/hello/say?x=1").status, 200)
            until("all end with it", lambda: not any(alive(pid) for pid in pids))


@test
def stopped_in_the_middle():
    """A worker that was told to end answers what it has; a second signal does not wait."""
    def once():
        with Server("--workers", "2", "--call-time", "60s", "--drain-time", "60s") as s:
            s.function("odd")
            s.get("/f/odd?sleep")
            running = [Client(s).send(b"GET /f/odd?sleep HTTP/1.1\r\nHost: a\r\n\r\n") for _ in range(8)]
            time.sleep(0.15)  # they run by now, as a rule
            s.process.send_signal(signal.SIGINT)
            for c in running:
                same(c.reply().status, 200)
            same(s.process.wait(PATIENCE), 0)

    def twice():
        with Server("--workers", "2", "--call-time", "600s", "--drain-time", "600s") as s:
            s.function("typed")
            c = Client(s).send(b"GET /f/typed/spin HTTP/1.1\r\nHost: a\r\n\r\n")
            time.sleep(0.3)
            s.process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            s.process.send_signal(signal.SIGTERM)
            c.reply()
            s.process.wait(PATIENCE)

    best_of(5, once)
    best_of(5, twice)


@test
def stopped_at_the_start():
    """Workers that are told to end before they are ready for it end as all others do."""
    for i in range(12):
        with Server("--workers", "2", "--data", "none") as s:
            children = "/proc/%d/task/%d/children" % (s.process.pid, s.process.pid)
            before = open(children).read().split()
            os.kill(int(before[0]), signal.SIGKILL)
            end = time.time() + base.PATIENCE
            while not set(open(children).read().split()) - set(before):
                assert time.time() < end, "another starts"
            time.sleep(i % 4 * 0.001)
            s.process.send_signal(signal.SIGTERM)
            same(s.process.wait(PATIENCE), 0, output(s))
            assert "by signal 15" not in output(s), output(s)


# ---- Generations


@test
def reload():
    """SIGHUP under load: other workers, other settings, and no request is dropped."""
    folder = tempfile.mkdtemp(prefix="ssvm-")
    settings = folder + "/serve.yaml"

    def write(text):
        with open(settings, "w") as f:
            f.write(text)

    write("call-gas: 0\n")
    with Server("--config", settings) as s:
        s.function("hello").function("typed")
        with Load(s) as load:
            for i in range(3):
                load.runs()
                before = s.processes("ssvm-worker")
                write("call-gas: %d\n" % (10000000 + i))  # no time: the load's calls are to be answered on any machine
                s.process.send_signal(signal.SIGHUP)
                until("it is reloaded", lambda: output(s).count("ssvm-serve: reloaded\n") == i + 1)
                load.runs()
                same(s.get("/f/typed/spin").code(), "gas_exhausted", "the new settings")
                until("the old workers are gone", lambda: not set(before) & set(s.processes("ssvm-worker")))
            write("call-time: nonsense\n")
            s.process.send_signal(signal.SIGHUP)
            until("it is refused", lambda: "not reloaded" in output(s))
            load.runs()
        same(load.failed, [])
    shutil.rmtree(folder)


@test
def control_replaced():
    """A reload with other settings replaces control, too: what it had read it answers, what it had not read the next one answers."""
    folder = tempfile.mkdtemp(prefix="ssvm-")
    settings = folder + "/serve.yaml"
    failed, stop = [], False

    def ask(s):
        c = None
        while not stop:
            try:
                c = c or Client(s)
                r = c.request("GET", "/v1/openapi.json")
                if r.status != 200:
                    failed.append((r.status, r.body[:200]))
                if r["connection"] == "close":
                    c.close()
                    c = None
            except (OSError, EOFError) as e:
                failed.append(repr(e))
                c = None

    with open(settings, "w") as f:
        f.write("call-time: 5s\n")
    with Server("--config", settings) as s:
        threads = [threading.Thread(target=ask, args=(s,)) for _ in range(4)]
        for t in threads:
            t.start()
        for i in range(3):
            time.sleep(0.3)
            before = s.processes("ssvm-control")
            with open(settings, "w") as f:
                f.write("call-time: %ds\n" % (6 + i))
            s.process.send_signal(signal.SIGHUP)
            until("another takes its place", lambda: s.processes("ssvm-control") not in ([], before))
        time.sleep(0.5)
        stop = True
        for t in threads:
            t.join()
        assert "ended by signal" not in output(s), output(s)
    same(failed[:5], [])
    shutil.rmtree(folder)


@test
def reload_with_deaths():
    """Workers that die just before, and during, a reload: in the end there are as many as there should be."""
    with Server("--workers", "3") as s:
        s.function("hello")
        for i in range(4):
            for pid in s.processes("ssvm-worker")[: 1 + i % 3]:
                os.kill(pid, signal.SIGKILL)
            s.process.send_signal(signal.SIGHUP)
            for pid in s.processes("ssvm-worker")[:1]:
                os.kill(pid, signal.SIGKILL)
            until("there are three, for a while", lambda: [len(s.processes("ssvm-worker")) for _ in range(5) if not time.sleep(0.3)] == [3] * 5)
            same(s.get("/f/hello/say?x=1").status, 200)


@test
def terminal_gone():
    """Without its terminal the server ends: a hang-up by the kernel is not one that asks for a reload."""
    import pty
    folder = tempfile.mkdtemp(prefix="ssvm-")
    os.makedirs(folder + "/site")
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(base.SERVE, [base.SERVE, folder, "--listen", "127.0.0.1:0", "--log", "none"])
    text = b""
    while b"serves" not in text:
        text += os.read(terminal, 4096)
    children = [int(x) for x in open("/proc/%d/task/%d/children" % (pid, pid)).read().split()]
    os.close(terminal)
    until("it ends", lambda: os.waitpid(pid, os.WNOHANG)[0] == pid)
    until("all end", lambda: not any(alive(x) for x in children))
    shutil.rmtree(folder)


@test
def reload_that_cannot_start():
    """Settings with which no worker starts: the old ones go on."""
    folder = tempfile.mkdtemp(prefix="ssvm-")
    settings = folder + "/serve.yaml"
    with open(settings, "w") as f:
        f.write("nn: none\n")
    s = Server("--config", settings)
    with s:
        s.function("hello")
        with Load(s) as load:
            load.runs()
            before = sorted(s.processes("ssvm-worker"))
            with open(settings, "w") as f:
                f.write("nn: nonsense\n")
            s.process.send_signal(signal.SIGHUP)
            until("it is refused", lambda: "not reloaded" in output(s))
            load.runs()
            until("there are those as before", lambda: sorted(s.processes("ssvm-worker")) == before)
        same(load.failed, [])
    shutil.rmtree(folder)


@test
def end_while_one_starts():
    """A worker that has not got ready when the server ends, and is killed for it, has failed nobody: the server ends well."""
    with Server("--workers", "2", "--drain-time", "100ms") as s:
        s.function("hello")

        def stopped_at_start():
            """One that was stopped before it had anything to wait for events with."""
            before = s.processes("ssvm-worker")
            os.kill(before[0], signal.SIGKILL)
            pid = until("another one starts", lambda: set(s.processes("ssvm-worker")) - set(before), pause=0).pop()
            stand_still(pid)
            if not any("eventpoll" in os.readlink("/proc/%d/fd/%s" % (pid, fd)) for fd in os.listdir("/proc/%d/fd" % pid)):
                return True
            os.kill(pid, signal.SIGCONT)
            until("both are there", lambda: len(s.processes("ssvm-worker")) == 2)
        until("one is stopped", stopped_at_start)
        same(s.call("POST", "/f/hello/say", b"a").body, b"hello, a")
        s.process.send_signal(signal.SIGTERM)
        same(s.process.wait(PATIENCE), 0)
        assert "worker that was to end" in output(s), output(s)


@test
def upgrade():
    """SIGUSR2 under load: the same process number, another program, other workers, no request dropped; a program that cannot run is not
    taken."""
    folder = tempfile.mkdtemp(prefix="ssvm-")
    for name in ("ssvm-serve", "ssvm-control", "ssvm", "libssvm-aot.so"):
        if os.path.exists(os.path.join(base.BUILD, name)):
            os.symlink(os.path.join(base.BUILD, name), os.path.join(folder, name))
    program = os.path.join(folder, "ssvm-serve")

    def put(data):
        with open(program + ".new", "wb") as f:
            f.write(data)
        os.chmod(program + ".new", 0o755)
        os.rename(program + ".new", program)

    real = open(base.SERVE, "rb").read()
    put(real)
    kept, base.SERVE = base.SERVE, program
    try:
        with Server() as s:
            s.function("hello")
            with Load(s) as load:
                for i in range(3):
                    load.runs()
                    before = s.processes("ssvm-worker") + s.processes("ssvm-control")
                    inode = os.stat("/proc/%d/exe" % s.process.pid).st_ino
                    put(real)
                    s.process.send_signal(signal.SIGUSR2)
                    until("it is upgraded", lambda: output(s).count("ssvm-serve: reloaded\n") == i + 1)
                    assert os.stat("/proc/%d/exe" % s.process.pid).st_ino != inode
                    load.runs()
                    until("the old ones are gone", lambda: not set(before) & set(s.processes("ssvm-worker") + s.processes("ssvm-control")))
                put(b"#!/bin/sh\nexit 1\n")
                before = s.processes("ssvm-worker")
                s.process.send_signal(signal.SIGUSR2)
                until("it is refused", lambda: "not upgraded" in output(s))
                load.runs()
                until("there are those as before", lambda: s.processes("ssvm-worker") == before)
                same(load.failed, [])
                os.kill(before[0], signal.SIGKILL)  # of the running program, not of what has its name
                load.stop = True
                until("its end is seen", lambda: "worker (process %d) was ended by signal 9" % before[0] in output(s))
                until("there is another", lambda: len(s.processes("ssvm-worker")) == len(before))
                same(s.get("/f/hello/say?x=1").status, 200)
            until("there is one control", lambda: len(s.processes("ssvm-control")) == 1)
    finally:
        base.SERVE = kept
        shutil.rmtree(folder)


# ---- The jail


@test
def jail():
    if base.SANITIZED:
        raise base.Skip("sanitizers ask for what no worker does")
    with Server() as s:
        s.function("hello")
        for pid in s.processes("ssvm-worker"):
            status = open("/proc/%d/status" % pid).read()
            assert re.search(r"NoNewPrivs:\s+1", status) and re.search(r"Seccomp:\s+2", status), status
        p = subprocess.run([base.SERVE, "--role=jail", s.dir, "--data", s.dir + "/.ssvm", "--cache", s.dir + "/.ssvm/cache", "--listen",
                            "127.0.0.1:0"], capture_output=True, text=True, timeout=base.PATIENCE)
        lines = p.stdout.splitlines()
        same((p.returncode, p.stderr), (0, ""), p.stdout)
        for what in ("exec", "a TCP socket", "a Unix socket", "fork", "read /etc/passwd", "ptrace", "signal the parent", "signal a thread of the parent", "write into /tmp",
                     "make a close wait"):
            assert "cannot " + what in lines, p.stdout
        assert "can signal ourselves" in lines
        p = subprocess.run([base.SERVE, "--role=jail", s.dir, "--data", s.dir + "/.ssvm", "--cache", "none", "--listen", "127.0.0.1:0",
                            "--no-jail"], capture_output=True, text=True, timeout=base.PATIENCE)
        assert "can a TCP socket" in p.stdout and "cannot exec" not in p.stdout, "without a jail the test notices"


@test
def native_code():
    """Workers in their jail get native code, by a compiler that the supervisor starts, into a cache that they cannot write."""
    if not os.path.exists(os.path.join(base.BUILD, "libssvm-aot.so")):
        raise base.Skip("no compiler was built")
    if base.SANITIZED == "thread":
        raise base.Skip("with the thread sanitizer the server has no native code")
    with Server("--workers", "1") as s:
        s.function("typed")
        for _ in range(3):
            s.get("/f/typed/work?n=30000000")
        kept = until("an image is kept", lambda: [x for x in os.listdir(s.dir + "/.ssvm/cache") if re.fullmatch("[0-9a-f]{64}", x)])
        assert kept
        worker = s.processes("ssvm-worker")[0]
        until("it is used", lambda: s.get("/f/typed/work?n=1000").status and any(k in open("/proc/%d/maps" % worker).read() for k in kept))


@test
def other_user():
    if os.geteuid() != 0:
        raise base.Skip("needs root")
    nobody = pwd.getpwnam("nobody")
    s = Server("--user", "nobody")
    os.chmod(s.dir, 0o755)
    s.log = s.dir + "/site/access.log"
    os.chmod(s.dir + "/site", 0o777)
    with s:
        s.function("hello")
        same(s.get("/f/hello/say?x=1").status, 200)
        for pid in s.processes("ssvm-worker") + s.processes("ssvm-control"):
            status = open("/proc/%d/status" % pid).read()
            same(re.search(r"Uid:\s+(.*)", status).group(1).split(), [str(nobody.pw_uid)] * 4)
            same(re.search(r"Gid:\s+(.*)", status).group(1).split(), [str(nobody.pw_gid)] * 4)
        pids = s.processes("ssvm-worker")
        s.process.kill()
        s.process.wait()
        until("all end with it", lambda: not any(alive(pid) for pid in pids))
        s.forgiven = True


@test
def checked():
    """--check says of who processes are to be, of addresses, the log, the data folder, inference and tables of costs what a start says, and ends with the same status."""
    folder = tempfile.mkdtemp(prefix="ssvm-")
    try:
        os.mkdir(folder + "/site")
        os.mkdir(folder + "/tables")
        os.mkdir(folder + "/open")
        os.chmod(folder + "/open", 0o777)
        os.chmod(folder, 0o755)
        with open(folder + "/wrong.gas", "w") as f:
            f.write("br_of 2\n")

        def run(*args):
            p = subprocess.run([base.SERVE, folder, *([] if "--data" in args else ["--data", "none"]), "--listen", "127.0.0.1:0", *args], capture_output=True, text=True, timeout=PATIENCE)
            return p.returncode, "".join(line for line in p.stderr.splitlines(True) if "has no Landlock" not in line)  # which only a start says

        mistakes = [
            (("--user", "no-such-user"), 2, "option '--user': "),
            (("--nn", "nothing"), 2, "option '--nn': there is no backend 'nothing'"),
            (("--gas-table", folder + "/wrong.gas"), 1, "there is no instruction 'br_of'"),
            (("--gas-tables", folder + "/none"), 1, "/none': No such file"),
            (("--log", folder + "/none/log"), 1, "cannot open the log '" + folder + "/none/log': No such file"),
            (("--log", folder + "/site"), 1, "/site': Is a directory"),
            (("--log", folder + "/wrong.gas/log"), 1, "Not a directory"),
            (("--data", folder + "/none/data"), 1, "cannot make the data folder '" + folder + "/none/data': No such file"),
            (("--data", folder + "/wrong.gas"), 1, "Not a directory"),
            (("--data", folder + "/open"), 1, "/open': Operation not permitted"),
            (("--listen", "host.invalid:80"), 1, "'host.invalid' is not an address of a machine"),
            (("--listen", "127.0.0.1:0,192.0.2.1:8080"), 1, "cannot listen on '192.0.2.1:8080': Cannot assign"),  # TEST-NET-1 is nobody's
            (("--admin", "192.0.2.1:8080"), 1, "cannot listen on '192.0.2.1:8080': Cannot assign"),
        ]
        if os.geteuid() == 0:  # what its user may not read
            os.chmod(folder + "/tables", 0o700)
            mistakes += [(("--user", "nobody", "--gas-tables", folder + "/tables"), 1, "/tables': Permission denied"),
                         (("--user", "nobody", "--log", folder + "/log"), 1, "/log': Permission denied"),
                         (("--user", "nobody", "--log", folder + "/mine"), 1, "/mine': Permission denied")]
            with open(folder + "/mine", "w"):
                os.chmod(folder + "/mine", 0o600)
        for args, status, words in mistakes:
            start = run(*args)
            same(start[0], status, args)
            assert words in start[1], start
            same(run(*args, "--check"), start, args)
        if os.geteuid() == 0:
            os.chmod(folder + "/tables", 0o755)
            same(run("--user", "nobody", "--gas-tables", folder + "/tables", "--check"), (0, ""))
        same(run("--log", folder + "/log", "--check"), (0, ""))
        same(run("--data", folder + "/data", "--check"), (0, ""))
        assert not os.path.exists(folder + "/log") and not os.path.exists(folder + "/data"), "it was only to look"
        if os.geteuid() == 0:
            same(run("--data", folder + "/data", "--user", "nobody", "--check"), (0, ""))  # root makes it
            os.mkdir(folder + "/data", 0o755)
            status, said = run("--data", folder + "/data", "--user", "nobody", "--check")
            assert status == 1 and "cannot write into the data folder '" + folder + "/data': Permission denied" in said, said
            os.chown(folder + "/data", pwd.getpwnam("nobody").pw_uid, -1)
            same(run("--data", folder + "/data", "--user", "nobody", "--check"), (0, ""))
        status, said = run("--log", folder + "/none/log", "--listen", "192.0.2.1:8080", "--gas-table", folder + "/wrong.gas", "--check")
        assert status == 1 and all(words in said for words in ("cannot listen on", "cannot open the log", "br_of")), said
    finally:
        shutil.rmtree(folder)


@test
def checked_beside_a_server():
    """--check of a server that runs: its addresses are a note, it and its clients do not notice; a list that takes a port twice is a mistake."""
    def check(s, *args):
        p = subprocess.run([base.SERVE, s.dir, "--data", "none", *args, "--check"], capture_output=True, text=True, timeout=PATIENCE)
        return p.returncode, p.stderr

    with Server() as s:
        s.function("hello")
        here = "127.0.0.1:%d" % s.port
        with Load(s, clients=2, pause=0.001) as load:
            for _ in range(10):
                for where in (here, "0.0.0.0:%d" % s.port):
                    status, said = check(s, "--listen", where)
                    same((status, said.count("\n")), (0, 1), said)
                    assert said.startswith("ssvm-serve: note: '%s' is in use" % where), said
                same(s.call("POST", "/f/hello/say", b"x").body, b"hello, x")  # a connection of its own
            load.runs()
        same(load.failed, [])
        for listen in (here + "," + here, "0.0.0.0:%d," % s.port + here, here + ",http://" + here):
            status, said = check(s, "--listen", listen)
            assert status == 1 and "the settings have '" in said, said
        status, said = check(s, "--listen", "0.0.0.0:%d" % s.port, "--admin", here)
        assert status == 1 and "cannot listen on '%s': the settings have '0.0.0.0:%d' too" % (here, s.port) in said, said
        same(check(s, "--listen", "127.0.0.1:0,127.0.0.1:0"), (0, ""))  # two of any


# ---- The data folder


@test
def data_folder():
    def run(*args):
        p = subprocess.run([base.SERVE, *args, "--listen", "127.0.0.1:0"], capture_output=True, text=True, timeout=base.PATIENCE)
        same(p.returncode, 1, args)
        assert p.stderr.startswith("ssvm-serve: ") and p.stderr.count("\n") == 1, p.stderr
        return p.stderr

    with Server() as s:
        assert os.path.isdir(s.dir + "/.ssvm")
        same(os.stat(s.dir + "/.ssvm").st_mode & 0o777, 0o700)
        assert "another server (process %d)" % s.process.pid in run(s.dir)
        assert "cannot make the data folder" in run(s.dir, "--data", s.dir + "/none/data")
        s.write("file", "x")
        assert "Not a directory" in run(s.dir, "--data", s.dir + "/file")
        os.mkdir(s.dir + "/open")
        os.chmod(s.dir + "/open", 0o777)
        assert "Operation not permitted" in run(s.dir, "--data", s.dir + "/open")
        same(s.get("/.ssvm/lock").status, 404)
    with Server("--data", "none") as s:
        same(s.processes("ssvm-control"), [])
        same(os.path.exists(s.dir + "/.ssvm"), False)


if __name__ == "__main__":
    base.TESTS[:] = TESTS
    sys.exit(base.main())
