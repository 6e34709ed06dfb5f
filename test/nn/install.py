#!/usr/bin/env python3
"""`ssvm nn install` with wheels that are not what they should be, and `ssvm nn list`: install.py FOLDER "BACKEND...", what is installed there.

SSVM names the program. Prints `ok TEXT` and `FAILED TEXT`.
"""
import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

SSVM = os.environ["SSVM"]
LIBRARY = "ai_edge_litert/libLiteRt.so"
ELF = b"\x7fELF" + bytes(60)
failed = 0


def check(text, good):
    global failed
    failed += not good
    print(("ok " if good else "FAILED ") + text.replace("\n", " "))


def run(*args, env=None):
    return subprocess.run([SSVM, "nn", *args], capture_output=True, text=True, env=env, timeout=300)


def wheel(path, *members):
    """A wheel of (name or ZipInfo, bytes)."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as z:
        for name, data in members:
            z.writestr(name, data)
    return str(path)


def tree(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


def refused(scratch, what, path, text):
    """The wheel is refused with `text`, and nothing is left behind or changed."""
    to = scratch / "to"
    before = tree(scratch)
    r = run("install", "litert", "--from", path, "--to", str(to))
    after = [p for p in tree(scratch) if p != "to"]
    check(f"{what}: {r.stderr.strip()}", r.returncode == 1 and text in r.stderr and r.stderr.count("ssvm: ") <= 2 and
          after == [p for p in before if p != "to"])


def link(name, target):
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info, target


def test_hostile(scratch):
    (scratch / "text.whl").write_text("certainly not a wheel")
    refused(scratch, "not a wheel", str(scratch / "text.whl"), "not a zip file")
    refused(scratch, "no file", str(scratch / "none.whl"), "none.whl': No such file")
    (scratch / "empty.whl").write_bytes(b"")
    refused(scratch, "an empty file", str(scratch / "empty.whl"), "not a zip file")
    refused(scratch, "another wheel", wheel(scratch / "other.whl", ("numpy/core.so", ELF)), "no ai_edge_litert/libLiteRt.so")
    refused(scratch, "a path upwards", wheel(scratch / "up.whl", ("../" + LIBRARY, ELF), ("ai_edge_litert/../libLiteRt.so", ELF)), "has no")
    refused(scratch, "an absolute path", wheel(scratch / "abs.whl", ("/tmp/" + LIBRARY, ELF)), "has no")
    refused(scratch, "a link", wheel(scratch / "link.whl", link(LIBRARY, "/etc/passwd")), "not a file")
    refused(scratch, "not a library", wheel(scratch / "sh.whl", (LIBRARY, "#!/bin/sh\n")), "not a library")
    twice = scratch / "twice.whl"
    with zipfile.ZipFile(twice, "w") as z, __import__("warnings").catch_warnings(action="ignore"):
        z.writestr(LIBRARY, ELF)
        z.writestr(LIBRARY, ELF)
    refused(scratch, "a member twice", str(twice), "twice")
    torn = Path(wheel(scratch / "torn.whl", (LIBRARY, ELF + os.urandom(100000))))
    data = bytearray(torn.read_bytes())
    data[50000] ^= 1
    torn.write_bytes(data)
    refused(scratch, "a torn member", str(torn), "CRC")


def test_good(scratch):
    to = scratch / "to"
    good = wheel(scratch / "ai_edge_litert-9.9-cp311-cp311-linux_x86_64.whl", (LIBRARY, ELF), ("ai_edge_litert/evil.py", "x"), ("ai_edge_litert/sub/libx.so", ELF))
    r = run("install", "litert", "--from", good, "--to", str(to))
    check(f"only what is needed is unpacked: {r.stdout.strip()}", r.returncode == 0 and tree(to) == ["litert", "litert/VERSION", "litert/libLiteRt.so"])
    check(f"a wheel that is not known is told: {r.stderr.strip()}", "not the wheel" in r.stderr and (to / "litert/VERSION").read_text() == "9.9\n")
    (to / "litert" / "old").write_text("x")
    r = run("install", "litert", "--from", good, "--to", str(to))
    check("what was there is replaced as a whole", r.returncode == 0 and tree(to) == ["litert", "litert/VERSION", "litert/libLiteRt.so"])
    before = tree(to)
    run("install", "litert", "--from", str(scratch / "text.whl"), "--to", str(to))
    check("a failure leaves it as it was", tree(to) == before)
    r = run("list", "--to", str(to))
    check(f"a library that is none is told: {[line for line in r.stdout.splitlines() if 'LiteRT' in line]}",
          r.returncode == 0 and "LiteRT cannot be used" in r.stdout)


def test_usage(scratch):
    r = run("install", "abacus", "--to", str(scratch))
    check(f"an unknown backend: {r.stderr.strip()}", r.returncode == 2 and "openvino" in r.stderr)
    for args in ([], ["install"], ["list", "litert"], ["fetch"], ["install", "litert", "onnxruntime"], ["install", "litert", "--json"]):
        r = run(*args)
        check(f"usage: {args}", r.returncode == 2 and "--help" in r.stderr)
    r = run("install", "litert", "--to", str(scratch / "none"), env={"PATH": "/nonexistent"})
    check(f"without python3: {r.stderr.strip()}", r.returncode == 1 and "python3" in r.stderr and "by hand" in r.stderr)
    # A python3 without pip.
    bin_folder = scratch / "bin"
    bin_folder.mkdir()
    (bin_folder / "python3").write_text(f"#!/bin/sh\nexec {sys.executable} -S \"$@\"\n")
    (bin_folder / "python3").chmod(0o755)
    r = run("install", "litert", "--to", str(scratch / "none"), env={"PATH": f"{bin_folder}:/usr/bin:/bin", "PYTHONHOME": str(scratch)})
    check(f"with a python3 that does not work or has no pip: {r.stderr.strip()[:200]}", r.returncode != 0 and r.stderr != "")
    r = run("install", "litert", env={"PATH": os.environ["PATH"]})
    check(f"without a home: {r.stderr.strip()}", r.returncode == 1 and "--to" in r.stderr)


def test_list(folder, backends):
    r = run("list", "--json", "--to", folder)
    found = {b["backend"]: b for b in json.loads(r.stdout)}
    check("all four are listed", r.returncode == 0 and sorted(found) == ["litert", "onnxruntime", "openvino", "tensorflow"])
    formats = {"openvino": ["tensorflow", "tflite", "onnx"], "tensorflow": ["tensorflow"], "litert": ["tflite"], "onnxruntime": ["onnx"]}
    for name, backend in found.items():
        if name in backends or Path(folder, name).exists():
            check(f"{name}: {backend['version']}, {backend['devices']}",
                  backend["usable"] and backend["devices"].split(",")[0] == "cpu" and backend["version"].endswith(Path(folder, name, "VERSION").read_text().strip()))
        else:
            check(f"{name}: {backend['why_not']}", not backend["usable"] and f"nn install {name}" in backend["why_not"])
        check(f"{name} reads {backend['formats']}", backend["formats"] == formats[name])
    text = run("list", "--to", folder)
    check("nothing is said on standard error", r.stderr == "" and text.stderr == "" and "OpenVINO" in text.stdout)


def main():
    scratch = Path(tempfile.mkdtemp())
    try:
        test_hostile(scratch)
        test_good(scratch)
        test_usage(scratch)
    finally:
        shutil.rmtree(scratch)
    test_list(sys.argv[1], sys.argv[2].split())
    return failed != 0


sys.exit(main())
