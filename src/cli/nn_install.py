#!/usr/bin/env python3
"""What `ssvm nn install` runs: ssvm-nn-install [--from WHEEL] --to FOLDER BACKEND.

Downloads the wheel that ssvm was tested with (python3 -m pip download), compares its SHA-256 with the list below, and unpacks the libraries
that ssvm opens, and nothing else, into FOLDER/BACKEND: all of them or none. A wheel is not trusted: of its members the regular files whose
whole path is in the list are read, and their names alone decide where they go.
"""
import argparse
import fnmatch
import hashlib
import os
import platform
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import zipfile

LIMIT = 4 << 30  # bytes unpacked: several times the largest
CHUNK = 1 << 20
# Which build of the wheel is wanted, whatever Python runs this: the libraries in it are the same.
PYTHON, ABI = "3.11", "cp311"
PLATFORMS = {
    "x86_64": ["manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64"],
    "aarch64": ["manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64"],
}
# backend: package, version, what it reads, the members to unpack (all must be there), digests of the wheels by machine
BACKENDS = {
    "openvino": (
        "openvino", "2026.4.1", ".pb, .tflite and .onnx",
        ["openvino/libs/libopenvino.so.*", "openvino/libs/libopenvino_c.so.*", "openvino/libs/libopenvino_*_cpu_plugin.so",
         "openvino/libs/libopenvino_tensorflow_frontend.so.*", "openvino/libs/libopenvino_tensorflow_lite_frontend.so.*",
         "openvino/libs/libopenvino_onnx_frontend.so.*", "openvino/libs/libtbb.so.*"],
        {"x86_64": "2d22b1da03f7caf74df30e9f6417d0ab2f637e4a38e08e1dcd294d2c37407aaf"},
    ),
    "litert": (
        "ai-edge-litert", "2.3.0", ".tflite",
        ["ai_edge_litert/libLiteRt.so"],
        {"x86_64": "1f15078a6725d2357d9de9221664c29afa0545d807559c5f7199ce5e40b96b23",
         "aarch64": "853fc608f96da87bd5f3458465dfb9abbf18d5ae6b94eceacead407146f175ae"},
    ),
    "onnxruntime": (
        "onnxruntime", "1.32.0", ".onnx",
        ["onnxruntime/capi/libonnxruntime.so.*"],
        {"x86_64": "5a34fc4dfeb5a7b4a74c95dcba1e773d722abda720b474edf1b0c419dc6d163d",
         "aarch64": "2303372a85299b6757b0e11e1cbf13e410ddf7e10c37f4b37e99d1c90e7daf7c"},
    ),
    "tensorflow": (
        "tensorflow-cpu", "2.21.0", ".pb",
        ["tensorflow/libtensorflow_cc.so.2", "tensorflow/libtensorflow_framework.so.2"],
        {"x86_64": "2b847d217b02ee7731ed91431daf3250daa0196c3c94614d23be27232e6e5b6c"},
    ),
}
# Taken when they are there: graphics processors, accelerators.
OPTIONAL = {"openvino": ["openvino/libs/libopenvino_intel_gpu_plugin.so"], "litert": ["ai_edge_litert/libLiteRt*Accelerator.so"]}


class Failed(Exception):
    pass


def digest(path):
    h = hashlib.sha256()
    with open(path, "rb") as f:
        while chunk := f.read(CHUNK):
            h.update(chunk)
    return h.hexdigest()


def download(package, version, folder):
    machine = platform.machine()
    if machine not in PLATFORMS:
        raise Failed(f"there are no wheels for {machine}")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:",
               "--implementation=cp", f"--python-version={PYTHON}", f"--abi={ABI}", "--dest", folder]
    command += [f"--platform={p}" for p in PLATFORMS[machine]]
    if subprocess.run([sys.executable, "-m", "pip", "--version"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode != 0:
        raise Failed("this python3 has no pip (Debian: apt install python3-pip); or fetch the wheel of "
                     f"{package} {version} elsewhere and name it with --from")
    if subprocess.run(command + [f"{package}=={version}"], stdout=sys.stderr).returncode != 0:
        raise Failed(f"pip could not download {package} {version}")
    wheels = [n for n in os.listdir(folder) if n.endswith(".whl")]
    if len(wheels) != 1:
        raise Failed(f"pip downloaded {len(wheels)} wheels of {package}, not one")
    return os.path.join(folder, wheels[0])


def chosen(wheel, backend):
    """The members to unpack, by the file name that each gets."""
    found = {}
    wanted = BACKENDS[backend][3]
    missing = set(wanted)
    for member in wheel.infolist():
        for pattern in wanted + OPTIONAL.get(backend, []):
            if not fnmatch.fnmatchcase(member.filename, pattern) or member.filename.count("/") != pattern.count("/"):
                continue
            name = member.filename.rsplit("/", 1)[-1]
            mode = member.external_attr >> 16
            if not re.fullmatch(r"lib[A-Za-z0-9._+-]+", name) or (stat.S_IFMT(mode) not in (0, stat.S_IFREG)):
                raise Failed(f"the wheel's member {member.filename!r} is not a file")
            if name in found:
                raise Failed(f"the wheel has {name!r} twice")
            found[name] = member
            missing.discard(pattern)
    if missing:
        raise Failed(f"the wheel has no {' and no '.join(sorted(missing))}: it is not one of {BACKENDS[backend][0]}")
    return found


def unpack(path, backend, folder):
    left = LIMIT
    with zipfile.ZipFile(path) as wheel:
        for name, member in chosen(wheel, backend).items():
            with wheel.open(member) as source, open(os.path.join(folder, name), "xb") as target:
                while chunk := source.read(CHUNK):
                    left -= len(chunk)
                    if left < 0:
                        raise Failed("the wheel unpacks to more than any of these does")
                    target.write(chunk)
                target.flush()
                os.fsync(target.fileno())
            with open(os.path.join(folder, name), "rb") as f:
                if f.read(4) != b"\x7fELF":
                    raise Failed(f"the wheel's {name!r} is not a library")
            os.chmod(os.path.join(folder, name), 0o755)
    return LIMIT - left


def replace(new, place):
    """`new` takes `place`; what was there goes."""
    old = tempfile.mkdtemp(prefix=".old-", dir=os.path.dirname(place))
    try:
        if os.path.lexists(place):
            os.rename(place, os.path.join(old, "it"))
        try:
            os.rename(new, place)
        except OSError:
            if os.path.lexists(os.path.join(old, "it")):
                os.rename(os.path.join(old, "it"), place)
            raise
    finally:
        shutil.rmtree(old, ignore_errors=True)


def version_of(path, version, pinned):
    """Of a wheel that is not the pinned one: what its name says."""
    parts = os.path.basename(path).split("-")
    return version if pinned or len(parts) < 5 else parts[1]


def install(backend, wheel, to):
    package, version, reads, _, digests = BACKENDS[backend]
    os.makedirs(to, exist_ok=True)
    scratch = tempfile.mkdtemp(prefix=".new-", dir=to)
    try:
        path = wheel or download(package, version, scratch)
        pinned = digest(path) in digests.values()
        if not pinned and not wheel and platform.machine() in digests:
            raise Failed(f"what pip downloaded as {package} {version} is not the wheel that is known here: its SHA-256 is {digest(path)}")
        if not pinned:
            print(f"ssvm: this is not the wheel that ssvm was tested with ({package} {version})", file=sys.stderr)
        ready = os.path.join(scratch, "ready")
        os.mkdir(ready, 0o755)
        size = unpack(path, backend, ready)
        with open(os.path.join(ready, "VERSION"), "w", encoding="utf-8") as f:
            f.write(version_of(path, version, pinned) + "\n")
        replace(ready, os.path.join(to, backend))
        print(f"{backend}: {version_of(path, version, pinned)}, {size / 1e6:.0f} MB in {os.path.join(to, backend)}; reads {reads}")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(prog="ssvm-nn-install")
    parser.add_argument("--from", dest="wheel")
    parser.add_argument("--to", required=True)
    parser.add_argument("backend")
    args = parser.parse_args()
    if args.backend not in BACKENDS:
        print(f"ssvm: '{args.backend}' is not a backend that can be installed: {', '.join(BACKENDS)}", file=sys.stderr)
        return 2
    try:
        install(args.backend, args.wheel, os.path.abspath(args.to))
    except Failed as e:
        print(f"ssvm: {args.backend}: {e}", file=sys.stderr)
        return 1
    except OSError as e:
        where = f"'{e.filename}': " if e.filename else ""
        print(f"ssvm: {args.backend}: {where}{e.strerror or e}", file=sys.stderr)
        return 1
    except (zipfile.BadZipFile, zipfile.LargeZipFile, RuntimeError, NotImplementedError, EOFError, ValueError) as e:
        print(f"ssvm: {args.backend}: {e}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


sys.exit(main())
