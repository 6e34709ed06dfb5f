#!/usr/bin/env python3
"""Runs the guests on real inference libraries: what each call of the published crates, of ours and of the C headers answers.

Usage: run.py [NAME...]; SSVM names the program, SSVM_BUILD its build folder, SSVM_NN the backends (default: openvino litert), SSVM_TALK the text
of the talk whose function is built and run too. Libraries that are not in BUILD/nn yet are fetched there. Expected values are those of
demo/food/model/expected.json, which TensorFlow computed, and of pictures whose pixels are read here. Ends with 'N passed, N failed, N skipped'.
"""
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
BUILD = os.environ.get("SSVM_BUILD", os.path.join(ROOT, "build"))
SSVM = os.environ.get("SSVM", os.path.join(BUILD, "ssvm"))
MODEL = os.path.join(ROOT, "demo/food/model")
FORMATS = {"openvino": ("pb", "onnx", "tflite"), "litert": ("tflite",), "tensorflow": ("pb",), "onnxruntime": ("onnx",)}
FILES = {"pb": "food_mobilenet_v2_224_frozen.pb", "onnx": "food_mobilenet_v2_224.onnx", "tflite": "food_mobilenet_v2_224.tflite"}
EXACT = 0.0005  # pictures that need no resizing
with open(os.path.join(MODEL, "expected.json"), encoding="utf-8") as f:
    SAMPLES = {os.path.basename(one["file"]): one for one in json.load(f)["samples"]}
PANCAKE, SUSHI = "pancake.png", "sushi.png"

counts = {"passed": 0, "failed": 0, "skipped": 0}
wanted_names = sys.argv[1:]


def report(good, name, detail=""):
    counts["passed" if good else "failed"] += 1
    print("ok %s" % name if good else "FAILED %s: %s" % (name, detail), flush=True)


def skip(name, why):
    counts["skipped"] += 1
    print("skipped %s: %s" % (name, why))


# ---- Pictures and models that are made here ----


def png_pixels(path):
    """Red, green and blue of a PNG of eight bits without interlacing, by its specification."""
    with open(path, "rb") as file:
        data = file.read()
    at, idat, head = 8, b"", None
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        body = data[at + 8 : at + 8 + size]
        head = struct.unpack(">IIBBBBB", body) if kind == b"IHDR" else head
        idat += body if kind == b"IDAT" else b""
        at += 12 + size
    width, height, depth, colour = head[:4]
    channels = {2: 3, 6: 4}[colour]
    assert depth == 8 and head[6] == 0, path
    raw, stride = zlib.decompress(idat), width * channels
    out, above = bytearray(), bytearray(stride)
    for y in range(height):
        method, line = raw[y * (stride + 1)], bytearray(raw[y * (stride + 1) + 1 : (y + 1) * (stride + 1)])
        for i in range(stride):
            a = line[i - channels] if i >= channels else 0
            b, c = above[i], above[i - channels] if i >= channels else 0
            if method == 1:
                p = a
            elif method == 2:
                p = b
            elif method == 3:
                p = (a + b) // 2
            elif method == 4:
                pa, pb, pc = abs(b - c), abs(a - c), abs(a + b - 2 * c)
                p = a if pa <= pb and pa <= pc else b if pb <= pc else c
            else:
                p = 0
            line[i] = (line[i] + p) & 255
        above = line
        for x in range(width):
            out += line[x * channels : x * channels + 3]
    return bytes(out)


def field(number, payload):
    return bytes([number << 3 | 2, len(payload)]) + payload


def echo_graph(number, sides):
    """A GraphDef whose output y is its input x, of TensorFlow's type `number` and these sides."""
    kind = field(2, bytes([0x30, number]))  # AttrValue.type
    shape = field(2, field(7, b"".join(field(2, bytes([0x08, side])) for side in sides)))  # AttrValue.shape
    place = field(1, b"x") + field(2, b"Placeholder") + field(5, field(1, b"dtype") + kind) + field(5, field(1, b"shape") + shape)
    same = field(1, b"y") + field(2, b"Identity") + field(3, b"x") + field(5, field(1, b"T") + kind)
    return field(1, place) + field(1, same)


# ---- Running ----


class Bench:
    """A backend, the guests, and a folder that the guests see."""

    def __init__(self, backend, grant, guests, folder):
        self.backend, self.grant, self.guests, self.folder = backend, grant, guests, folder
        self.formats = FORMATS[backend]

    def run(self, guest, *args, options=()):
        return self.program("guest-" + guest, *args, options=options)

    def program(self, name, *args, options=()):
        # The crates import the picture functions whether they are called or not.
        command = [SSVM, "run", self.grant, "--image", *options, "--dir", "/:" + self.folder, os.path.join(self.guests, name + ".wasm"), *args]
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120)

    def name(self, guest, call):
        return "%s: %s %s" % (self.backend, guest, call)

    def lines(self, guest, wanted, call, *args, options=()):
        """The program ends well and prints these lines; a wanted (class, probability) allows for rounding."""
        r = self.run(guest, call, *args, options=options)
        got = r.stdout.decode(errors="replace").splitlines()
        good = r.returncode == 0 and len(got) == len(wanted) and all(is_line(g, w) for g, w in zip(got, wanted))
        report(good, self.name(guest, " ".join((call,) + args)), "%d, %r, wanted %r; %s" % (r.returncode, got, wanted, r.stderr.decode(errors="replace")[-400:]))

    def panics(self, guest, text, call, *args):
        r = self.run(guest, call, *args)
        err = r.stderr.decode(errors="replace")
        report(r.returncode == 134 and re.search(text, err) is not None, self.name(guest, call), "%d, %s" % (r.returncode, err[-400:]))


def is_line(got, wanted):
    if isinstance(wanted, str):
        return got == wanted
    if hasattr(wanted, "search"):
        return wanted.search(got) is not None
    words = got.split(" ")
    return len(words) == 2 and words[0] == str(wanted[0]) and abs(float(words[1]) - wanted[1]) <= EXACT


def top(name):
    best = SAMPLES[name]["top1"]
    return (best["index"], best["probability"])


def test_ssvm(b):
    for kind in b.formats:
        if kind == "onnx":
            continue  # the crate has no name for it
        model = FILES[kind]
        for name in (PANCAKE, SUSHI, "hotdog.png", "pizza.png", "nothing.png"):
            b.lines("ssvm", [top(name)], "classify", model, name + ".rgb")
        b.lines("ssvm", [top(SUSHI), top(PANCAKE)], "two-sessions", model, PANCAKE + ".rgb", SUSHI + ".rgb")
        for call in ("unknown-input", "unknown-output", "wrong-type", "shape-without-data", "not-run"):
            b.lines("ssvm", ["none"], call, model, PANCAKE + ".rgb")
        b.lines("ssvm", ["none"], "classify", "garbage.bin", PANCAKE + ".rgb")
        b.lines("ssvm", ["none"], "classify", "empty.bin", PANCAKE + ".rgb")
    if "pb" in b.formats:
        model, rgb = FILES["pb"], PANCAKE + ".rgb"
        b.lines("ssvm", [top(PANCAKE)], "indexed", model, rgb)
        b.lines("ssvm", [top(PANCAKE), top(PANCAKE), top(SUSHI), "none", top(SUSHI)], "again", model, rgb, SUSHI + ".rgb")
        for call in ("index-out-of-range", "wrong-shape", "negative-shape", "huge-shape", "no-input"):
            b.lines("ssvm", ["none"], call, model, rgb)


def test_types(b):
    if b.backend != "tensorflow":
        return  # others leave out an operation that does nothing, and its name with it
    echoes = {
        "f32": (1, "1.5 -2"), "f64": (2, "1.5 -2"), "i32": (3, "-2147483648 7"), "u8": (4, "255 7"), "i16": (5, "-32768 7"), "i8": (6, "-128 7"),
        "i64": (9, "-9223372036854775808 7"), "bool": (10, "true false"), "u16": (17, "65535 7"), "u32": (22, "4294967295 7"),
        "u64": (23, "18446744073709551615 7"), "scalar": (1, "2.5", ()), "matrix": (1, "1 2 3 4 5 6", (2, 3)),
    }
    for kind, (number, text, *sides) in echoes.items():
        with open(os.path.join(b.folder, "echo-%s.pb" % kind), "wb") as file:
            file.write(echo_graph(number, *sides or [(2,)]))
        b.lines("ssvm", [text], "echo", kind, "echo-%s.pb" % kind)


def test_wasmedge(b):
    for kind in b.formats:
        if kind != "onnx":
            b.lines("wasmedge", [top(PANCAKE)], "classify", FILES[kind], PANCAKE + ".rgb")
            b.panics("wasmedge", "INVALID_ARGUMENT|RUNTIME_ERROR", "unknown-output", FILES[kind], PANCAKE + ".rgb")
            b.panics("wasmedge", "INVALID_ARGUMENT|RUNTIME_ERROR|INVALID_ENCODING", "classify", "garbage.bin", PANCAKE + ".rgb")
    if "pb" in b.formats:
        model, rgb = FILES["pb"], PANCAKE + ".rgb"
        b.lines("wasmedge", [top(PANCAKE)], "indexed", model, rgb)
        b.lines("wasmedge", [top(PANCAKE), top(SUSHI), top(SUSHI)], "again", model, rgb, SUSHI + ".rgb")
        b.panics("wasmedge", "INVALID_ARGUMENT|RUNTIME_ERROR", "unknown-input", model, rgb)
        b.panics("wasmedge", "INVALID_ARGUMENT|RUNTIME_ERROR", "wrong-shape", model, rgb)
        b.panics("wasmedge", r"\(error \d\)|code: \d", "saved-model", "/folder")


def test_wasi_nn(b):
    answer = ["244 bytes", top(PANCAKE)]
    rgb = PANCAKE + ".rgb"
    for kind in b.formats:
        b.lines("wasi-nn", answer, "classify", FILES[kind], rgb)
        b.lines("wasi-nn", answer, "autodetect", FILES[kind], rgb)
        b.lines("wasi-nn", [top(PANCAKE)], "files", FILES[kind], rgb)
        b.lines("c-wasi-nn", answer, "classify", FILES[kind], rgb)
        b.lines("wasmedge-wasi-nn", [top(PANCAKE)], "classify", FILES[kind], rgb)
    model = FILES[b.formats[0]]
    error = re.compile("^error: ")
    for call in ("wrong-encoding", "gpu", "wrong-shape", "wrong-type", "input-out-of-range", "output-out-of-range"):
        b.lines("wasi-nn", [error], call, model, rgb)
    b.lines("wasi-nn", [re.compile("Too Large")], "no-room", model, rgb)
    b.lines("wasi-nn", [error], "classify", "garbage.bin", rgb)
    b.lines("wasi-nn", [re.compile("Not Found")], "by-name", "nobody")
    known = ("--nn-model=food=" + os.path.join(b.folder, model),)
    b.lines("wasi-nn", [re.compile(r"^Graph#\d+$")], "by-name", "food", options=known)
    b.lines("c-wasi-nn", [], "by-name", "food", rgb, options=known)
    b.lines("c-wasi-nn", ["load_by_name: not found"], "by-name", "nobody", rgb)
    b.lines("c-wasi-nn", ["get_output: too large"], "no-room", model, rgb)
    b.lines("c-wasi-nn", [re.compile("^(set_input|compute): invalid argument|^compute: runtime error")], "wrong-length", model, rgb)
    b.lines("wasmedge-wasi-nn", [re.compile(r"^Graph#\d+$")], "by-name-with-config", "food", options=known)
    b.lines("wasmedge-wasi-nn", [top(PANCAKE), error], "unload-twice", model, rgb)
    b.lines("wasmedge-wasi-nn", [error], "streaming", model, rgb)


def test_sdk(b):
    rgb = PANCAKE + ".rgb"
    for kind in b.formats:
        if kind == "onnx":
            continue
        b.lines("sdk", [top(PANCAKE)], "classify", FILES[kind], rgb)
        b.lines("sdk", [top(PANCAKE), "30"], "session", FILES[kind], rgb)
        b.lines("sdk", [re.compile("^error: (there is no output|the model failed)")], "unknown-output", FILES[kind], rgb)
        b.lines("sdk", ["error: 1 elements do not have the shape [1, 224, 224, 3]"], "shape-without-data", FILES[kind], rgb)
        b.lines("sdk", [re.compile("^error: the model failed")], "wrong-shape", FILES[kind], rgb)
        b.lines("sdk", [re.compile("^error: the model failed")], "unknown-input", FILES[kind], rgb)
        b.lines("sdk", [re.compile("^error: the host refused the model")], "classify", "garbage.bin", rgb)


def test_pictures(b):
    """Once, with the first backend: every function, against the others and against the pixels of the file."""
    png = png_pixels(os.path.join(MODEL, "samples", PANCAKE))
    for guest in ("ssvm", "wasmedge"):
        for kind, file in (("png", PANCAKE), ("jpg", "pancake.jpg")):
            got = {p: b.run(guest, "load", "%s-%s" % (kind, p), file, "224", "224").stdout for p in ("rgb8", "bgr8", "rgb32f", "bgr32f")}
            rgb = got["rgb8"]
            report(len(rgb) == 224 * 224 * 3 and any(rgb), b.name(guest, kind + "-rgb8"), "%d bytes" % len(rgb))
            if kind == "png":
                worst = max((abs(x - y) for x, y in zip(rgb, png)), default=255)
                report(worst <= 1, b.name(guest, "the pixels of the file"), "differ by %d" % worst)
            swapped = b"".join(rgb[i : i + 3][::-1] for i in range(0, len(rgb), 3))
            report(got["bgr8"] == swapped, b.name(guest, kind + "-bgr8"), "is not rgb8 with blue first")
            for order, base in (("rgb32f", rgb), ("bgr32f", swapped)):
                floats = struct.unpack("<%df" % (len(got[order]) // 4), got[order])
                good = len(floats) == len(base) and all(abs(v * 255 - byte) < 0.001 for v, byte in zip(floats, base))
                report(good, b.name(guest, "%s-%s" % (kind, order)), "is not the bytes divided by 255")
    zeros = b.run("ssvm", "load", "png-rgb8", "garbage.bin", "4", "4")
    report(zeros.returncode == 0 and zeros.stdout == bytes(48), b.name("ssvm", "load of no picture"), zeros.stderr.decode()[-300:])
    b.lines("sdk", ["error: the picture cannot be decoded"], "decode", "rgb8", "garbage.bin", "4", "4")
    for kind in ("rgb8", "bgr8", "rgb32f", "bgr32f"):
        ours = b.run("sdk", "decode", kind, "pancake.jpg", "50", "40").stdout
        theirs = b.run("ssvm", "load", "jpg-" + kind, "pancake.jpg", "50", "40").stdout
        report(len(ours) > 0 and ours == theirs, b.name("sdk", "decode " + kind), "differs from ssvm_tensorflow_interface")
    if b.backend == "openvino":
        answer = "%d %%s" % top(PANCAKE)[0]
        lines = ["run 0", re.compile("^tensorflow: 244 bytes " + answer % ""), "run 0", re.compile("^tensorflowlite: 244 bytes " + answer % ""),
                 "jpeg: failed 0 wrong 0", "png: failed 0 wrong 0"]
        b.lines("c-ssvm-tensorflow", lines, FILES["pb"], FILES["tflite"], PANCAKE + ".rgb", "pancake.jpg", PANCAKE)


def test_talk(b):
    """The function of the slides: their own text, with a head and the line that returns."""
    talk = os.environ.get("SSVM_TALK")
    if "pb" not in b.formats or not talk:
        return
    wasm = os.path.join(b.folder, "talk.wasm")
    r = subprocess.run([os.path.join(HERE, "talk.py"), talk, wasm], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if r.returncode == 77:
        return skip("talk", r.stdout.strip())
    report(r.returncode == 0, "the talk's text builds", r.stdout[-800:])
    for name in sorted(SAMPLES) if r.returncode == 0 else []:
        one = SAMPLES[name]
        run = subprocess.run([SSVM, "run", b.grant, "--invoke", "infer", wasm, "@" + os.path.join(MODEL, "samples", name)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        answer = json.dumps([one["top1"]["label"], one["confidence"]], separators=(",", ":")) + "\n"
        report(run.stdout == answer, "%s: the talk's function, %s" % (b.backend, name), run.stdout + run.stderr[-300:])


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width, height, depth, colour, rows):
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b"")


def pictures_made():
    """Name, bytes, and what classify says: an error's text, a label with a probability, or None for any answer that is no trap."""
    with open(os.path.join(MODEL, "samples/pancake.jpg"), "rb") as file:
        jpeg = file.read()
    rgb = png_pixels(os.path.join(MODEL, "samples", PANCAKE))
    rows = lambda data, stride: b"".join(b"\0" + data[i : i + stride] for i in range(0, len(data), stride))
    wide = bytes(byte for value in rgb for byte in (value, value))
    clear = b"".join(rgb[i : i + 3] + b"\x80" for i in range(0, len(rgb), 3))
    at = jpeg.index(b"\xff\xc0")
    best = SAMPLES[PANCAKE]["top1"]["label"], SAMPLES[PANCAKE]["top1"]["probability"], EXACT
    yield "nothing", b"", "there is no picture"
    yield "text", b"no picture at all", "neither a JPEG nor a PNG"
    yield "gif", b"GIF89a\1\0\1\0\0\0\0;", "neither a JPEG nor a PNG"
    yield "head of a JPEG", jpeg[:3], "damaged"
    yield "head of a PNG", png(1, 1, 8, 2, b"")[:8], "damaged"
    yield "half a JPEG", jpeg[: len(jpeg) // 2], None
    yield "half a PNG", png(224, 224, 8, 2, rows(rgb, 672))[:9000], "damaged"
    yield "PNG of 16 bits", png(224, 224, 16, 2, rows(wide, 1344)), best
    yield "PNG with transparency", png(224, 224, 8, 6, rows(clear, 896)), best
    yield "PNG of one bit", png(64, 64, 1, 0, bytes(9 * 64)), None
    yield "PNG without pixels", png(0, 0, 8, 2, b""), "no pixels"
    yield "PNG of a terapixel", png(2**20, 2**20, 8, 2, b""), "too large|damaged"
    yield "PNG of 2^31 by 2^31", png(2**31 - 1, 2**31 - 1, 16, 6, b""), "too large|damaged"
    yield "PNG bomb", png(5000, 5000, 8, 6, bytes(20001 * 5000)), "too large"
    yield "large PNG", png(5000, 4800, 8, 2, bytes(15001 * 4800)), None
    yield "large PNG of 16 bits", png(3000, 3000, 16, 6, bytes(24001 * 3000)), None
    yield "JPEG of 65535 by 65535", jpeg[: at + 5] + b"\xff\xff\xff\xff" + jpeg[at + 9 :], "too large"
    yield "JPEG of 7000 by 7000", jpeg[: at + 5] + b"\x1b\x58\x1b\x58" + jpeg[at + 9 :], "too large"
    yield "JPEG without sides", jpeg[: at + 5] + bytes(4) + jpeg[at + 9 :], "damaged"
    for i in range(30):
        damaged = bytearray(jpeg if i % 2 else png(224, 224, 8, 2, rows(rgb, 672)))
        damaged[(i * 7919) % (700 if i < 20 else len(damaged))] ^= 1 << i % 8
        yield "damaged %d" % i, bytes(damaged), None


def pictures_of_pillow():
    """Those that need an encoder. None are made without Pillow."""
    try:
        from PIL import Image
    except ImportError:
        return
    import io

    upright = Image.open(os.path.join(MODEL, "samples/hotdog.jpg"))
    best = SAMPLES["hotdog.jpg"]["top1"]
    answer = best["label"], best["probability"], 0.03  # encoded once more
    turn = Image.Transpose
    undone = {1: None, 2: turn.FLIP_LEFT_RIGHT, 3: turn.ROTATE_180, 4: turn.FLIP_TOP_BOTTOM, 5: turn.TRANSPOSE, 6: turn.ROTATE_90, 7: turn.TRANSVERSE, 8: turn.ROTATE_270}

    def save(picture, **options):
        out = io.BytesIO()
        picture.save(out, "JPEG", quality=97, **options)
        return out.getvalue()

    for orientation, step in undone.items():
        for endian in "<>":
            exif = Image.Exif()
            exif[0x0112] = orientation
            exif.endian = endian
            turned = upright.transpose(step) if step is not None else upright
            yield "orientation %d %s" % (orientation, endian), save(turned, exif=exif.tobytes()), answer
    yield "progressive", save(upright, progressive=True), answer
    yield "CMYK", save(upright.convert("CMYK")), "CMYK"
    yield "grey", save(upright.convert("L")), None
    yield "48 megapixels", save(upright.resize((8000, 6000))), "too large"
    yield "24 megapixels, progressive", save(upright.resize((6000, 4000)), progressive=True), answer


def test_food(b):
    """The demo's function: pictures of every kind, and models of others."""
    if "pb" not in b.formats and "tflite" not in b.formats:
        return  # its crate knows no other
    wasm = os.path.join(ROOT, "demo/functions", "food.wasm" if "pb" in b.formats else "food-tflite.wasm")
    run = lambda *args: subprocess.run([SSVM, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120)
    file = os.path.join(b.folder, "picture")
    # Decoding is the guest's: one library does for it, the one that is opened in no time.
    for name, data, wanted in [*pictures_made(), *pictures_of_pillow()] if b.backend == "litert" else []:
        with open(file, "wb") as f:
            f.write(data)
        # The memory that the server gives a call, by default.
        r = run("run", b.grant, "--memory-limit=256M", "--invoke", "classify", wasm, "@" + file)
        if isinstance(wanted, tuple):
            answer = json.loads(r.stdout) if r.returncode == 0 else {}
            good = answer.get("label") == wanted[0] and abs(answer["probability"] - wanted[1]) <= wanted[2]
        elif wanted:
            good = r.returncode == 1 and re.search(wanted, r.stderr) is not None
        else:
            good = r.returncode in (0, 1)
        report(good, b.name("food", name), "%d, %s %s, wanted %r" % (r.returncode, r.stdout[:200], r.stderr[-300:], wanted))
    infer = run("run", b.grant, "--invoke", "infer", wasm, "@" + os.path.join(ROOT, "README.md"))
    report(infer.returncode == 134 and "Err" in infer.stderr, b.name("food", "infer says why it ends"), infer.stderr[-300:])
    other, labels = os.path.join(b.folder, "other.wasm"), os.path.join(MODEL, "food_labels.txt")
    replace = lambda model, labels: run("snapshot", "--init", "use_model", "-o", other, wasm, "@" + model, "@" + labels)
    model = os.path.join(MODEL, FILES[b.formats[0]])
    r = replace(model, labels)
    report(r.returncode == 0, b.name("food", "use_model"), r.stderr[-300:])
    r = run("run", b.grant, "--invoke", "classify", other, "@" + os.path.join(MODEL, "samples", PANCAKE))
    answer = json.loads(r.stdout) if r.returncode == 0 else {}
    good = answer.get("label") == top_label(PANCAKE) and answer["model"] == {"classes": 61, "shipped": False}
    report(good, b.name("food", "with the model that was given"), r.stdout + r.stderr[-300:])
    short = os.path.join(b.folder, "short.txt")
    with open(short, "w", encoding="utf-8") as f:
        f.write("one\ntwo\n")
    replace(model, short)
    r = run("run", b.grant, "--invoke", "classify", other, "@" + os.path.join(MODEL, "samples", PANCAKE))
    report(r.returncode == 1 and "61 classes" in r.stderr and "2 labels" in r.stderr, b.name("food", "labels that do not fit"), r.stderr[-300:])
    for what, data, text in (
        ("no model", b"no model", "neither a frozen graph"), ("an empty model", b"", "neither a frozen graph"),
        ("a graph without 'input'", echo_graph(1, (2,)), "no node 'input'; its inputs are: 'x'"),
        ("a graph without the output", echo_graph(1, (2,)).replace(b"\x01x", b"\x05input"), "neither|no node"),
    ):
        path = os.path.join(b.folder, "other.pb")
        with open(path, "wb") as f:
            f.write(data)
        r = replace(path, labels)
        report(r.returncode == 1 and re.search(text, r.stderr) is not None, b.name("food", what), r.stderr[-300:])


def test_examples(b):
    model, labels = FILES[b.formats[0]], "food_labels.txt"
    r = b.program("nn-c", model, labels, PANCAKE + ".rgb")
    good = r.stdout.decode() == "Pancake %.0f %%\n" % (top(PANCAKE)[1] * 100)
    report(good, b.name("example", "nn-c"), "%r %r" % (r.stdout, r.stderr[-300:]))
    if b.formats[0] == "onnx":
        return
    r = b.program("nn-rust", model, labels, PANCAKE)
    good = r.stdout.decode().startswith(" %.0f %% Pancake\n" % (top(PANCAKE)[1] * 100)) and r.stdout.count(b"\n") == 3
    report(good, b.name("example", "nn-rust"), "%r %r" % (r.stdout, r.stderr[-300:]))


def top_label(name):
    return SAMPLES[name]["top1"]["label"]


def grant(backend):
    """The option that grants it, or a reason why not; libraries are fetched when they are not there."""
    folder = os.path.join(BUILD, "nn")
    option = "--nn=%s=%s" % (backend, os.path.join(folder, backend))
    if os.path.isdir(os.path.join(folder, backend)):
        return option, None
    r = subprocess.run([SSVM, "nn", "install", backend, "--to", folder], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return (option, None) if r.returncode == 0 else (None, r.stdout.strip()[-300:])


def main():
    tests = [t for t in (test_ssvm, test_types, test_wasmedge, test_wasi_nn, test_sdk, test_food, test_examples) if not wanted_names or t.__name__[5:] in wanted_names]
    once = [t for t in (test_pictures, test_talk) if not wanted_names or t.__name__[5:] in wanted_names]
    with tempfile.TemporaryDirectory() as scratch:
        guests, folder = os.path.join(BUILD, "nn-guests"), os.path.join(scratch, "folder")
        built = subprocess.run([os.path.join(HERE, "build.sh"), guests], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        report(built.returncode == 0, "the guests build", built.stdout[-800:])
        print(built.stdout, end="")
        os.mkdir(folder)
        for name in (*FILES.values(), "food_labels.txt"):
            shutil.copy(os.path.join(MODEL, name), folder)
        for name, data in (("garbage.bin", bytes(range(256)) * 8), ("empty.bin", b"")):
            with open(os.path.join(folder, name), "wb") as file:
                file.write(data)
        for name in SAMPLES:
            path = os.path.join(MODEL, "samples", name)
            shutil.copy(path, folder)
            if name.endswith(".png"):
                with open(os.path.join(folder, name + ".rgb"), "wb") as file:
                    file.write(png_pixels(path))
        for backend in os.environ.get("SSVM_NN", "openvino litert").split():
            option, why = grant(backend)
            if not option:
                skip(backend, why)
                continue
            bench = Bench(backend, option, guests, folder)
            for test in tests + once:
                test(bench)
            once = [test_talk] if test_talk in once and "pb" not in bench.formats else []
    print("%(passed)d passed, %(failed)d failed, %(skipped)d skipped" % counts)
    return counts["failed"] != 0


if __name__ == "__main__":
    sys.exit(main())
