#!/usr/bin/env python3
"""Builds the function of the talk from the text of its slides: talk.py TALK.txt OUT.wasm [MODEL LABELS]

The slides show it in pieces and leave out the head of the file and the line that returns; both are added here, nothing else. MODEL and LABELS
(default: the food model) lie where the text includes its own. Exit status 77: Rust's target wasm32-unknown-unknown is not here.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
FOOD = os.path.join(ROOT, "demo/food/model")
HEAD = "use wasm_bindgen::prelude::*;\n\n"
RETURN = "    serde_json::to_string(&ret).unwrap()\n"
MANIFEST = """[package]
name = "talk"
version = "0.1.0"
edition = "2021"
[lib]
crate-type = ["cdylib"]
[dependencies]
image = { version = "=0.23.14", default-features = false, features = ["jpeg", "png"] }
serde_json = "1"
ssvm_tensorflow_interface = "=0.1.4"
wasm-bindgen = "=0.2.130"
[profile.release]
lto = true
codegen-units = 1
panic = "abort"
[workspace]
"""


def pieces(text):
    """The blocks of code from the one that begins the function on."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.M | re.S)
    first = next((i for i, block in enumerate(blocks) if "fn infer" in block), None)
    if first is None:
        sys.exit("talk.py: there is no function 'infer' in the text")
    return blocks[first:]


def depth(code):
    return code.count("{") - code.count("}")


def source(text):
    """One function: a slide that closes it before the last line is opened again."""
    body = ""
    for block in pieces(text):
        body += block
        if depth(body) == 0:
            body = body[: body.rindex("}")].rstrip(" ")
    return HEAD + body.rstrip() + "\n" + RETURN + "}" * depth(body) + "\n"


def main():
    talk, out = sys.argv[1:3]
    model, labels = sys.argv[3:5] if len(sys.argv) > 4 else (os.path.join(FOOD, "food_mobilenet_v2_224_frozen.pb"), os.path.join(FOOD, "food_labels.txt"))
    target = subprocess.run(["rustc", "--print", "target-libdir", "--target", "wasm32-unknown-unknown"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout.strip() if shutil.which("cargo") else ""
    if not os.path.isdir(target):
        print("the talk's function is not built: Rust's target is missing (rustup target add wasm32-unknown-unknown)")
        sys.exit(77)
    with open(talk, encoding="utf-8") as file:
        code = source(file.read())
    with tempfile.TemporaryDirectory() as folder:
        os.mkdir(os.path.join(folder, "src"))
        for name, file in zip(re.findall(r'include_(?:bytes|str)!\("([^"/]+)"\)', code), (model, labels)):
            shutil.copy(file, os.path.join(folder, "src", name))
        for name, content in (("Cargo.toml", MANIFEST), ("src/lib.rs", code)):
            with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                file.write(content)
        build = os.environ.get("TALK_TARGET", os.path.join(folder, "target"))
        subprocess.run(["cargo", "build", "--quiet", "--release", "--target", "wasm32-unknown-unknown", "--target-dir", build, "--manifest-path", os.path.join(folder, "Cargo.toml")], check=True)
        shutil.copy(os.path.join(build, "wasm32-unknown-unknown/release/talk.wasm"), out)


main()
