"""Guests with threads, built from source. C: clang's target wasm32-wasip1-threads with the headers of Debian's wasi-libc, which has no
build with threads, our include/pthread.h, and the libc.a and crt1-command.o of Rust's target of the same name."""
import glob
import os
import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
TARGET = "wasm32-wasip1-threads"


class Missing(Exception):
    pass


def rust_libs():
    libs = subprocess.run(["rustc", "--print", "target-libdir", "--target", TARGET], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          text=True).stdout.strip() if shutil.which("rustc") else ""
    if not os.path.isdir(libs):
        raise Missing(f"Rust's target {TARGET} is not here (rustup target add {TARGET})")
    return libs


def c_guest(source, to):
    own = rust_libs() + "/self-contained/"
    builtins = glob.glob("/usr/lib/llvm-22/lib/clang/22/lib/*/libclang_rt.builtins-wasm32.a")
    if not shutil.which("clang-22") or not builtins or not os.path.isdir("/usr/include/wasm32-wasi"):
        raise Missing("clang-22, its builtins for wasm32 or wasi-libc are not here")
    subprocess.run(["clang-22", f"--target={TARGET}", "-O3", "-pthread", "-Wall", "-Wextra", "-Werror", "-nostdlib", "-nostdlibinc",
                    "-isystem", HERE / "include", "-isystem", "/usr/include/wasm32-wasi", source, own + "crt1-command.o", own + "libc.a", builtins[0],
                    "-Wl,--shared-memory,--import-memory,--export-memory,--max-memory=1073741824", "-o", to], check=True)
    return to


def rust_guest(source, to):
    rust_libs()
    subprocess.run(["rustc", "--target", TARGET, "-O", "-D", "warnings", source, "-o", to], check=True)
    return to
