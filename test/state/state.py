#!/usr/bin/env python3
"""State for guests of `ssvm run`, against Python's own SQLite and HTTP. Usage: state.py [NAME...]; SSVM_BUILD names the build folder. Ends with
'N passed, N failed, N skipped'."""
import os
import random
import re
import sqlite3
import subprocess
import sys
import threading
import time

from lib import BUILD, ROOT, SSVM, Skip, cargo_build, compile_guest, compile_rust, main, peer, same, test


def run(guest, *words, options=(), env=None, status=0, folder=None):
    r = subprocess.run([SSVM, "run", *[x for k, v in (env or {}).items() for x in ("--env", "%s=%s" % (k, v))], *options, guest, *map(str, words)],
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=300, cwd=folder)
    assert r.returncode == status, (r.returncode, r.stdout, r.stderr)
    return (r.stdout if status == 0 else r.stderr).decode(errors="replace")


def guest_of(folder, *parts):
    """guest.c, without what was not granted."""
    if not os.path.exists(BUILD + "/state-file.so"):
        raise Skip("libsqlite3-dev was not here: state-file.so is not built")
    flags = ["-DNO_%s" % p for p in ("KV", "SQL", "SECRET", "HTTP") if p not in parts]
    return compile_guest(folder, "guest", None, "-Wno-unused-function", *flags)


# ---- Nothing is there that was not granted


def imports():
    """(name, part, signature) of every function, by the table that the host has."""
    text = open(ROOT + "/src/host/state/state.def").read()
    found = re.findall(r'^FUNC\((\w+), \w+, (\w+), "(\w*):(\w*)"', text, re.M)
    assert len(found) == 25, len(found)
    return found


def importing(name, params, results):
    kinds = {"i": 0x7f, "I": 0x7e, "f": 0x7d, "F": 0x7c}
    part = lambda n, b: bytes([n, len(b)]) + b
    vector = lambda s: bytes([len(s)]) + bytes(kinds[c] for c in s)
    field = lambda s: bytes([len(s)]) + s.encode()
    return (b"\0asm\1\0\0\0" + part(1, b"\2\x60" + vector(params) + vector(results) + b"\x60\0\0") + part(2, b"\1" + field("ssvm_state") + field(name) + b"\0\0") +
            part(3, b"\1\1") + part(7, b"\1" + field("_start") + b"\0\1") + part(10, b"\1\2\0\x0b"))


@test
def without_a_grant_each_function_is_missing_and_the_flag_is_named(folder):
    flags = {"KV": "--kv FILE", "SQL": "--sql FILE", "SECRET": "--secret NAME=VALUE", "HTTP": "--allow-http HOST"}
    for name, part, signature, result in imports():
        path = folder + "/%s.wasm" % name
        with open(path, "wb") as f:
            f.write(importing(name, signature, result))
        said = run(path, status=1)
        assert "unknown import 'ssvm_state.%s'" % name in said, said
        if part in flags and not name.startswith("sql_") or name == "sql_query":
            assert flags[part] in said, said
        elif part in ("QUEUE", "CALL"):
            assert "ssvm serve" in said, said
        else:
            assert "--" in said, said


@test
def a_grant_gives_its_own_part_only(folder):
    if not os.path.exists(BUILD + "/state-file.so"):
        raise Skip("state-file.so is not built")
    options = {"KV": ["--kv", folder + "/kv"], "SQL": ["--sql", folder + "/sql"], "SECRET": ["--secret", "a=b"], "HTTP": ["--allow-http", "example.org"]}
    for granted, flags in options.items():
        for name, part, signature, result in imports():
            path = folder + "/x.wasm"
            with open(path, "wb") as f:
                f.write(importing(name, signature, result))
            run(path, options=flags, status=0 if part in (granted, "ANY") else 1)


# ---- Keys and values


@test
def keys_and_values(folder):
    guest = guest_of(folder, "KV")
    kv = ["--kv", folder + "/kv.db"]
    same(run(guest, "get", "a", "set", "a", "1", 0, "get", "a", "delete", "a", "delete", "a", options=kv),
         "get: -1 there is no such thing\nset: ok\nget: 1\ndelete: ok\ndelete: -1 there is no such thing\n")
    run(guest, "set", "stays", "é\0"[:1], 0, options=kv)
    same(run(guest, "get", "stays", options=kv), "get: é\n", "another process")
    same(run(guest, "cas", "c", "-", "1", "cas", "c", "-", "2", "cas", "c", "1", "3", "cas", "c", "1", "4", "get", "c", options=kv),
         "cas: ok\ncas: -6 it has changed meanwhile\ncas: ok\ncas: -6 it has changed meanwhile\nget: 3\n")
    same(run(guest, "increment", "n", 5, "increment", "n", -7, "increment", "c", 1, "set", "n", "x", 0, "increment", "n", 1, "get", "n", options=kv).split("\n")[:3],
         ["increment: 5", "increment: -2", "increment: 4"])
    said = run(guest, "set", "m", str(2**63 - 1), 0, "increment", "m", 1, "get", "m", "increment", "n", 1, options=kv)
    assert re.search(r"increment: -3 .*\nget: %d\nincrement: -3" % (2**63 - 1), said), said


@test
def keys_are_in_the_order_of_their_bytes_page_by_page(folder):
    guest = guest_of(folder, "KV")
    kv = ["--kv", folder + "/kv.db"]
    rng = random.Random(6)
    keys = sorted({"p" + "".join(rng.choice("ab_%é\x01") for _ in range(rng.randrange(6))) for _ in range(60)}, key=str.encode)
    words = []
    for k in ["o", "q", *rng.sample(keys, len(keys))]:
        words += ["set", k, "v", 0]
    run(guest, *words, options=kv)
    listed, after = [], ""
    for _ in range(100):
        page = run(guest, "list", "p", after, 7, options=kv)[len("list:"):-1].split(" ")[1:]
        if not page:
            break
        listed += page
        after = page[-1]
    same(listed, keys)


@test
def a_value_is_gone_after_its_time(folder):
    guest = guest_of(folder, "KV")
    kv = ["--kv", folder + "/kv.db"]
    wanted, ttl = "set: ok\nget: 1\nset: ok\n", 300
    while run(guest, "set", "a", "1", ttl, "get", "a", "set", "b", "1", 3600000, options=kv) != wanted:
        ttl *= 3  # a busy machine was late
        assert ttl < 60000
    time.sleep(ttl / 1000 + 0.1)
    same(run(guest, "get", "a", "get", "b", "list", "", "", 0, "cas", "a", "-", "2", options=kv), "get: -1 there is no such thing\nget: 1\nlist: b\ncas: ok\n")


@test
def many_processes_count_on_one_key(folder):
    guest = guest_of(folder, "KV")
    kv = ["--kv", folder + "/kv.db"]
    work = [threading.Thread(target=run, args=(guest, *["increment", "n", 1] * 50), kwargs={"options": kv}) for _ in range(4)]
    for t in work:
        t.start()
    for t in work:
        t.join()
    same(run(guest, "get", "n", options=kv), "get: 200\n")


# ---- SQL


@test
def statements_against_sqlite_itself(folder):
    guest = guest_of(folder, "SQL")
    sql = ["--sql", folder + "/sql.db"]
    out = run(guest, "sql", "create table t(a integer, b real, c text, d blob unique)", ".", "sql", "insert into t values(?, ?, ?, ?), (null, 2, 'x', null)", "i-9223372036854775808",
              "f0.5", "té", "bxyz", ".", "sql", "select a, b, c, d, a is null as n from t", ".", options=sql)
    same(out, "sql: 0 changes,\nsql: 2 changes,\nsql: 0 changes, a b c d n\n i-9223372036854775808 f0.5 té bxyz i0\n null f2 tx null i1\n")
    db = sqlite3.connect(folder + "/sql.db")
    same(db.execute("select * from t").fetchall(), [(-2**63, 0.5, "é", b"xyz"), (None, 2.0, "x", None)])
    db.execute("update t set c = 'from outside' where a is null")
    db.commit()
    db.close()
    same(run(guest, "sql", "select c from t where a is null", ".", options=sql), "sql: 0 changes, c\n tfrom outside\n")
    same(run(guest, "sql", "select ?, ?", "t'; drop table t; --", "null", ".", options=sql).split("\n")[1], " t'; drop table t; -- null")


@test
def statements_that_are_refused(folder):
    guest = guest_of(folder, "SQL")
    sql = ["--sql", folder + "/sql.db"]
    run(guest, "sql", "create table t(a integer primary key)", ".", "sql", "insert into t values(1)", ".", options=sql)
    for text, code in (("insert into t values(1)", -6), ("selec 1", -3), ("select * from nowhere", -3), ("select 1; select 2", -3), ("", -3), ("begin", -2),
                       ("attach '/etc/passwd' as p", -2), ("pragma journal_mode = off", -2), ("vacuum into '%s/copy'" % folder, -2), ("select load_extension('x')", None),
                       ("commit", -2), ("savepoint a", -2)):
        said = run(guest, "sql", text, ".", options=sql)
        m = re.match(r"sql: (-\d+) (.*)\n$", said)
        assert m and (code is None or int(m.group(1)) == code), (text, said)
        assert len(m.group(2)) > 3, (text, said)
    assert not os.path.exists(folder + "/copy")
    same(run(guest, "sql", "select count(*) from t", ".", options=sql), "sql: 0 changes, count(*)\n i1\n")


# ---- Secrets


@test
def secrets(folder):
    guest = guest_of(folder, "SECRET")
    with open(folder + "/key", "w") as f:
        f.write("from a file\n")
    same(run(guest, "secret", "A", "secret", "B", "secret", "C", "secret", "D", options=["--secret", "A=x=y", "--secret", "B=@" + folder + "/key", "--secret", "C=@@at"]),
         "secret: x=y\nsecret: from a file\nsecret: @at\nsecret: -1 there is no such thing\n")
    assert "/nowhere" in run(guest, options=["--secret", "A=@/nowhere"], status=2)
    run(guest, options=["--secret", "A"], status=2)


# ---- Other servers


@test
def requests_and_their_answers(folder):
    guest = guest_of(folder, "HTTP")
    with peer() as p:
        url = "http://127.0.0.1:%d" % p.port
        allow = ["--allow-http", "127.0.0.1:%d" % p.port]
        for method in ("GET", "POST", "PUT", "DELETE", "PATCH"):
            body = "" if method in ("GET", "DELETE") else "some bytes"
            same(run(guest, "http", method, url + "/echo?a=b", "X-A: 1\r\nX-B:\r\n", body, 0, options=allow), "http: 200\nbody: %s /echo?a=b %s\n" % (method, body))
            same(p.seen[-1][2].get("x-a"), "1")
            same(p.seen[-1][2].get("x-b"), "")
            assert "expect" not in p.seen[-1][2] and "content-type" not in p.seen[-1][2], p.seen[-1]
        same(run(guest, "http", "HEAD", url + "/echo", "", "", 0, options=allow), "http: 200\nbody: \n")
        same(run(guest, "http", "GET", url + "/status?503", "", "", 0, options=allow), "http: 503\nbody: status\n")
        assert "X-Peer: yes\r\n" in run(guest, "http", "GET", url, "", "", 0, options=allow, env={"FIELDS": "1"}).replace("\n", "\r\n").replace("\r\r", "\r")
        run(guest, "http", "GET", url, "Host: other\r\nContent-Length: 99\r\nTransfer-Encoding: chunked\r\nConnection: close\r\nProxy-Authorization: x\r\n", "", 0, options=allow)
        assert p.seen[-1][2]["host"] == "127.0.0.1:%d" % p.port and not {"transfer-encoding", "proxy-authorization", "content-length"} & set(p.seen[-1][2]), p.seen[-1]


@test
def requests_that_are_none(folder):
    guest = guest_of(folder, "HTTP")
    with peer() as p:
        url = "http://127.0.0.1:%d/" % p.port
        allow = ["--allow-http", "*:%d" % p.port, "--allow-http", "127.0.0.1:%d" % p.port]
        for method, target, fields, code in (("GET", "ftp://127.0.0.1:%d/" % p.port, "", -3), ("GET", "file:///etc/passwd", "", -3), ("GET", "not a url", "", -3),
                                             ("GET", "http://user:pw@127.0.0.1:%d/" % p.port, "", -3), ("G T", url, "", -3), ("GET\r\nX: 1", url, "", -3), ("get", url, "", -3),
                                             ("", url, "", -3), ("GET", url, "A: b\r\n\r\nGET / HTTP/1.1\r\n", -3), ("GET", url, "A: b", -3), ("GET", url, "A b: c\r\n", -3),
                                             ("GET", url, "A: b\nB: c\r\n", -3), ("GET", url, "no colon\r\n", -3), ("GET", "", "", -3), ("GET", "gopher://127.0.0.1:%d/" % p.port, "", -3)):
            said = run(guest, "http", method, target, fields, "", 0, options=allow)
            assert said.startswith("http: %d " % code), (method, target, fields, said)
        same(p.seen, [])


@test
def only_where_it_was_granted(folder):
    """This machine's addresses stand for any private one, in every spelling."""
    guest = guest_of(folder, "HTTP")
    with peer() as p:
        port = p.port
        spellings = ["127.0.0.1", "localhost", "LOCALHOST.", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "127.0.0.2", "0.0.0.0", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::1]", "[::]",
                     "[64:ff9b::7f00:1]", "①②⑦.0.0.1"]
        for allow in ("*:%d" % port, "example.org:%d" % port, "*.localhost:%d" % port, "10.0.0.0/8:%d" % port):
            for host in spellings:
                said = run(guest, "http", "GET", "http://%s:%d/" % (host, port), "", "", 3000, options=["--allow-http", allow])
                assert re.match("http: -[237] ", said), (allow, host, said)
        for host in ("169.254.169.254", "10.0.0.1", "192.168.1.1", "172.16.0.1", "100.64.0.1", "[fe80::1]", "[fd00::1]", "[fd00:ec2::254]", "[2002:7f00:1::]", "224.0.0.1", "255.255.255.255"):
            said = run(guest, "http", "GET", "http://%s/" % host, "", "", 2000, options=["--allow-http", "*"])
            assert said.startswith("http: -2 "), (host, said)
        same(p.seen, [], "nothing came through")
        for allow in ("127.0.0.1:%d", "localhost:%d", "127.0.0.0/8:%d"):
            said = run(guest, "http", "GET", "http://%s:%d/" % ("localhost" if "local" in allow else "127.0.0.1", port), "", "", 0, options=["--allow-http", allow % port])
            assert said.startswith("http: 200"), (allow, said)
        assert run(guest, "http", "GET", "http://127.0.0.1:%d/" % port, "", "", 0, options=["--allow-http", "127.0.0.1"]).startswith("http: -2 "), "another port"


@test
def redirections_are_looked_at_again(folder):
    guest = guest_of(folder, "HTTP")
    with peer() as a, peer() as b:
        one, two = ("http://127.0.0.1:%d" % s.port for s in (a, b))
        allow = ["--allow-http", "127.0.0.1:%d" % a.port]
        both = [*allow, "--allow-http", "127.0.0.1:%d" % b.port]
        ask = lambda url, options, method="GET", fields="", body="": run(guest, "http", method, url, fields, body, 5000, options=options)
        for target in (two + "/echo", "http://169.254.169.254/latest/meta-data", "file:///etc/passwd", "http://[::ffff:127.0.0.1]:%d/" % b.port, "//127.0.0.1:%d/" % b.port):
            said = ask("%s/to?302,%s" % (one, target), allow)
            assert re.match(r"http: -[23] ", said), (target, said)
        same(b.seen, [], "the other was not asked")
        secret = "Authorization: Bearer x\r\nCookie: c=1\r\nX-Plain: 1\r\n"
        same(ask("%s/to?302,%s/echo" % (one, two), both, fields=secret), "http: 200\nbody: GET /echo \n")
        assert not {"authorization", "cookie"} & set(b.seen[-1][2]) and b.seen[-1][2]["x-plain"] == "1", b.seen[-1]
        ask("%s/to?302,/echo" % one, allow, fields=secret)
        same(a.seen[-1][2].get("authorization"), "Bearer x", "the same server")
        for status, method in ((301, "GET"), (302, "GET"), (303, "GET"), (307, "POST"), (308, "POST")):
            same(ask("%s/to?%d,/echo" % (one, status), allow, "POST", body="b"), "http: 200\nbody: %s /echo %s\n" % (method, "b" if method == "POST" else ""))
        loop = one
        a.seen.clear()
        for _ in range(7):
            loop = "%s/to?302,%s" % (one, loop)
        assert "http: -7" in ask(loop, allow) and len(a.seen) == 6, len(a.seen)


@test
def an_answer_has_its_time_and_size(folder):
    guest = guest_of(folder, "HTTP")
    with peer() as p:
        allow = ["--allow-http", "127.0.0.1:%d" % p.port]
        start = time.monotonic()
        said = run(guest, "http", "GET", "http://127.0.0.1:%d/slow" % p.port, "", "", 300, options=allow)
        assert said.startswith("http: -8 ") and time.monotonic() - start < 30, said
        assert run(guest, "http", "GET", "http://127.0.0.1:%d/large" % p.port, "", "", 0, options=allow).startswith("http: -5 ")
        p.wait.set()


# ---- Guests that mean no good; guests in Rust


@test
def no_argument_traps(folder):
    if not os.path.exists(BUILD + "/state-file.so"):
        raise Skip("state-file.so is not built")
    guest = compile_guest(folder, "hostile")
    tiers = ["interp"] + (["aot"] if os.path.exists(BUILD + "/libssvm-aot.so") else [])
    for tier in tiers:
        for seed in (1, 2, 3):
            said = run(guest, 10000, seed, options=["--tier", tier, "--kv", folder + "/kv", "--sql", folder + "/sql", "--secret", "a=b", "--allow-http", "localhost:1"])
            assert re.match(r"10000 calls, [1-9]", said), said


@test
def a_clean_cargo_project(folder):
    """Outside of the tree, by path: the crate's own README and the example of the tree."""
    if not os.path.exists(BUILD + "/state-file.so"):
        raise Skip("state-file.so is not built")
    guest = compile_rust(folder, "guest")
    with peer() as p:
        out = run(guest, "http://127.0.0.1:%d" % p.port,
                  options=["--kv", folder + "/kv", "--sql", folder + "/sql", "--secret", "KEY=k", "--allow-http", "127.0.0.1:%d" % p.port])
        same(out, "all is well\n")
    book = cargo_build(ROOT + "/examples/state-rust", "state-rust")
    files = ["--kv", folder + "/book.kv", "--sql", folder + "/book.db"]
    run(book, "Ann", "hello", options=files)
    same(run(book, "Ann", "again", options=files), "  2 Ann: again\n  1 Ann: hello\n1 visits\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
