#!/usr/bin/env python3
"""host-image.so against decoders that are not ours: Pillow for pixels, numpy for resizing, a PNG writer of a few lines for what Pillow cannot write.

pictures.py host-image.so [FOLDER WITH MORE PICTURES...]
"""
import ctypes
import io
import resource
import struct
import sys
import time
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

HERE = Path(__file__).resolve().parent
ANY, JPEG, PNG = 0, 1, 2
STOP = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)


class Limits(ctypes.Structure):
    _fields_ = [("max_side", ctypes.c_uint32), ("max_pixels", ctypes.c_uint64), ("max_bytes", ctypes.c_uint64)]


class Plugin(ctypes.Structure):
    _fields_ = [
        ("abi", ctypes.c_uint32),
        ("decode", ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int, ctypes.POINTER(Limits), ctypes.c_void_p,
                                    ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint32, ctypes.c_void_p, ctypes.c_char_p)),
        ("version", ctypes.CFUNCTYPE(ctypes.c_char_p)),
    ]


class Refused(Exception):
    pass


def decode(data, w, h, kind=ANY, side=16384, pixels=1 << 26, memory=256 << 20, stop=None):
    limits = Limits(side, pixels, memory)
    out = np.full((h, w, 3), 77, np.uint8)
    error = ctypes.create_string_buffer(256)
    called = STOP(stop) if stop else None
    r = plugin.decode(data, len(data), kind, ctypes.byref(limits), ctypes.cast(called, ctypes.c_void_p) if stop else None, None, w, h,
                      out.ctypes.data, error)
    if r != 0:
        assert r == -1 and error.value, "a failure without a message"
        raise Refused(error.value.decode())
    return out


def linear(src, w, h):
    """Bilinear with pixel centres at halves and repeated edges, in float64."""
    def axis(n, size):
        at = np.clip((np.arange(n) + 0.5) * size / n - 0.5, 0, size - 1)
        low = np.floor(at).astype(int)
        return low, np.minimum(low + 1, size - 1), at - low
    src = src.astype(np.float64)
    y0, y1, fy = axis(h, src.shape[0])
    x0, x1, fx = axis(w, src.shape[1])
    rows = src[y0] * (1 - fy)[:, None, None] + src[y1] * fy[:, None, None]
    return rows[:, x0] * (1 - fx)[None, :, None] + rows[:, x1] * fx[None, :, None]


def drawing(w=61, h=47):
    """Colour ramps, edges and some noise."""
    y, x = np.mgrid[0:h, 0:w]
    a = np.stack([x * 255 // max(w - 1, 1), y * 255 // max(h - 1, 1), (x * 5 + y * 3) % 256], 2)
    a[h // 4:h // 2, w // 4:w // 2] = (250, 20, 40)
    noise = np.random.default_rng(7).integers(-12, 13, a.shape)
    return np.clip(a + noise, 0, 255).astype(np.uint8)


def saved(image, kind, **options):
    f = io.BytesIO()
    image.save(f, kind, **options)
    return f.getvalue()


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


SIGNATURE = b"\x89PNG\r\n\x1a\n"
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def packed(rows, depth):
    """Scanlines with filter 0 of an array height x width x channels."""
    out = b""
    for row in rows:
        v = row.reshape(-1)
        if depth == 16:
            line = v.astype(">u2").tobytes()
        elif depth == 8:
            line = v.astype(np.uint8).tobytes()
        else:
            bits = ((v[:, None] >> np.arange(depth - 1, -1, -1)) & 1).astype(np.uint8)
            line = np.packbits(bits.reshape(-1)).tobytes()
        out += b"\0" + line
    return out


def png(a, depth, color, interlaced=False, extra=b"", palette=None):
    """A PNG file of the array's raw sample values."""
    h, w = a.shape[:2]
    if interlaced:
        body = b"".join(packed(a[y::dy, x::dx], depth) for x, y, dx, dy in ADAM7 if a[y::dy, x::dx].size)
    else:
        body = packed(a, depth)
    head = struct.pack(">IIBBBBB", w, h, depth, color, 0, 0, int(interlaced))
    plte = chunk(b"PLTE", palette) if palette else b""
    return SIGNATURE + chunk(b"IHDR", head) + plte + extra + chunk(b"IDAT", zlib.compress(body)) + chunk(b"IEND", b"")


def header(w, h, depth=8, color=2, body=b"", interlaced=0):
    return SIGNATURE + chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, depth, color, 0, 0, interlaced)) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def jpeg_of_size(data, w, h):
    """The size in the frame header replaced."""
    at = next(i for i in range(len(data)) if data[i] == 0xFF and data[i + 1] in (0xC0, 0xC2))
    return data[:at + 5] + struct.pack(">HH", h, w) + data[at + 9:]


def scan_bomb(copies):
    """A progressive picture whose last scan comes again and again."""
    data = saved(Image.fromarray(drawing(64, 64)), "JPEG", progressive=True)
    start = data.rindex(b"\xff\xda")
    scan = data[start:-2]
    return data[:start] + scan * copies + b"\xff\xd9"


def close(got, want, most=1):
    assert got.shape == want.shape, (got.shape, want.shape)
    off = np.abs(got.astype(np.float64) - want).max()
    assert off <= most, f"{off} apart"


def refuses(part, data, limit_s=20.0, w=8, h=8, **options):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.monotonic()
    try:
        decode(data, w, h, **options)
    except Refused as e:
        assert part in str(e), e
    else:
        raise AssertionError("decoded")
    took = time.monotonic() - start
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10
    assert took < limit_s, f"{took} s"
    assert grown < 64, f"{grown} MiB"


def same(data, want=None, most=1, kind=ANY):
    if want is None:
        want = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    close(decode(data, want.shape[1], want.shape[0], kind), want, most)


def test_jpeg_kinds():
    picture = Image.fromarray(drawing())
    for options in ({"quality": 90}, {"quality": 30}, {"quality": 95, "subsampling": 0}, {"subsampling": 1}, {"progressive": True},
                    {"optimize": True, "quality": 100}):
        same(saved(picture, "JPEG", **options), kind=JPEG)
    for size in ((1, 1), (1, 40), (40, 1), (7, 9), (8, 8), (17, 33)):
        same(saved(Image.fromarray(drawing(*size)), "JPEG"))


def test_jpeg_gray():
    same(saved(Image.fromarray(drawing()).convert("L"), "JPEG"))
    same(saved(Image.fromarray(drawing()).convert("L"), "JPEG", progressive=True))


def test_jpeg_cmyk():
    same(saved(Image.fromarray(drawing()).convert("CMYK"), "JPEG", quality=95))
    same((HERE / "ycck.jpg").read_bytes())


def test_jpeg_orientation_is_not_applied():
    picture, exif = Image.fromarray(drawing()), Image.Exif()
    exif[0x0112] = 6
    data = saved(picture, "JPEG", exif=exif)
    assert Image.open(io.BytesIO(data)).getexif()[0x0112] == 6
    same(data)


def test_png_kinds():
    rgb = drawing()
    h, w = rgb.shape[:2]
    for interlaced in (False, True):
        same(png(rgb, 8, 2, interlaced), rgb, 0, kind=PNG)
        alpha = np.dstack([rgb, np.arange(h * w).reshape(h, w) % 256])
        same(png(alpha, 8, 6, interlaced), rgb, 0)
        deep = rgb.astype(np.uint16) * 257
        same(png(deep, 16, 2, interlaced), rgb, 0)
        same(png(np.dstack([deep, deep[:, :, :1]]), 16, 6, interlaced), rgb, 0)
        for depth in (1, 2, 4, 8, 16):
            top = (1 << depth) - 1
            gray = (rgb[:, :, :1].astype(np.uint32) * top + 127) // 255
            want = np.repeat((gray * 255 + top // 2) // top, 3, 2)
            same(png(gray, depth, 0, interlaced), want)
            if depth >= 8:
                same(png(np.dstack([gray, gray]), depth, 4, interlaced), want)
            if depth <= 8:
                colors = np.random.default_rng(1).integers(0, 256, (1 << depth, 3)).astype(np.uint8)
                index = gray % (1 << depth)
                same(png(index, depth, 3, interlaced, palette=colors.tobytes()), colors[index[:, :, 0]], 0)


def test_png_by_pillow():
    picture = Image.fromarray(drawing())
    same(saved(picture, "PNG"), most=0)
    same(saved(picture.convert("L"), "PNG"), most=0)
    same(saved(picture.convert("P"), "PNG"), most=0)
    same(saved(picture.convert("1"), "PNG"), most=0)
    same(saved(picture.convert("RGBA"), "PNG"), most=0)
    same(saved(picture.convert("LA"), "PNG"), most=0)


def test_png_gamma_and_transparency_are_not_applied():
    rgb = drawing()
    gamma = chunk(b"gAMA", struct.pack(">I", 200000))
    key = chunk(b"tRNS", struct.pack(">HHH", *[int(v) for v in rgb[0, 0]]))
    same(png(rgb, 8, 2, extra=gamma + key), rgb, 0)


def test_resize():
    src = drawing()
    data = saved(Image.fromarray(src), "PNG")
    for w, h in ((61, 47), (122, 94), (30, 23), (224, 224), (7, 3), (1, 1), (61, 1), (1, 47), (60, 48), (500, 2)):
        close(decode(data, w, h), np.rint(linear(src, w, h)))
    for size in ((1, 1), (2, 1), (1, 2), (3, 300)):
        src = drawing(*size)
        close(decode(saved(Image.fromarray(src), "PNG"), 9, 11), np.rint(linear(src, 9, 11)))


def test_resize_interlaced_and_jpeg():
    src = drawing(200, 150)
    close(decode(png(src, 8, 2, True), 64, 64), np.rint(linear(src, 64, 64)))
    data = saved(Image.fromarray(src), "JPEG", quality=92)
    close(decode(data, 50, 70), linear(np.asarray(Image.open(io.BytesIO(data)).convert("RGB")), 50, 70), 2)


def test_resize_up_as_pillow():
    """Enlarging, Pillow's BILINEAR has no filter beyond the two neighbours: the same sampling."""
    src = drawing()
    want = np.asarray(Image.fromarray(src).resize((183, 141), Image.Resampling.BILINEAR))
    close(decode(saved(Image.fromarray(src), "PNG"), 183, 141), want)


def test_resize_as_opencv():
    try:
        import cv2
    except ImportError:
        raise Skipped("no cv2")
    src = drawing(300, 200)
    for w, h in ((224, 224), (100, 50), (600, 400), (31, 17)):
        close(decode(saved(Image.fromarray(src), "PNG"), w, h), cv2.resize(src, (w, h), interpolation=cv2.INTER_LINEAR))


def test_samples():
    found = [f for folder in folders for f in sorted(Path(folder).iterdir()) if f.suffix in (".jpg", ".png")]
    if not found:
        raise Skipped("no samples given")
    for f in found:
        data = f.read_bytes()
        same(data)
        src = np.asarray(Image.open(f).convert("RGB"))
        close(decode(data, 224, 224), linear(src, 224, 224), 2)


def test_wrong_kinds():
    jpg, pic = saved(Image.fromarray(drawing()), "JPEG"), saved(Image.fromarray(drawing()), "PNG")
    refuses("not a JPEG picture", pic, kind=JPEG)
    refuses("not a PNG picture", jpg, kind=PNG)
    for data in (b"", b"\xff", b"\xff\xd8", b"\x89PNG", b"GIF89a" + bytes(100), b"BM" + bytes(100), b"RIFF\0\0\0\0WEBP" + bytes(100), bytes(4096),
                 b"<svg/>", b"\0asm\1\0\0\0"):
        refuses("neither a JPEG nor a PNG picture", data)


def test_cut_off():
    rng = np.random.default_rng(3)
    for data in (saved(Image.fromarray(drawing()), "JPEG"), saved(Image.fromarray(drawing()), "JPEG", progressive=True),
                 saved(Image.fromarray(drawing()), "PNG"), png(drawing(), 8, 2, True)):
        for n in [3, 8, 9, 20, 33] + [int(v) for v in rng.integers(1, len(data) * 3 // 4, 60)]:
            refuses("", data[:n])


def test_fewer_pixels_than_told():
    """With the end marker in its place this is damage, not a file that is cut off: gray, as elsewhere."""
    same(jpeg_of_size(saved(Image.fromarray(drawing()), "JPEG"), 200, 180))


def test_too_large():
    small = saved(Image.fromarray(drawing()), "JPEG")
    refuses("too large", jpeg_of_size(small, 65500, 65500))
    refuses("too large", jpeg_of_size(small, 60000, 1))
    refuses("too large", header(100000, 100000))
    refuses("too large", header(16000, 16000))
    refuses("not a PNG", header(0x7fffffff, 0x80000000))
    refuses("not a PNG", header(0, 5))
    refuses("too much", header(8000, 8000, interlaced=1), memory=64 << 20)
    refuses("too much", jpeg_of_size(saved(Image.fromarray(drawing()), "JPEG", progressive=True), 8000, 8000), memory=64 << 20)


def test_bombs():
    zeros = zlib.compress(bytes(200 << 20))
    # Much more in the data than the picture has.
    assert decode(header(8, 8, body=zeros), 8, 8).max() == 0
    # Texts and profiles that unpack to 200 MiB.
    for name, front in ((b"zTXt", b"Comment\0\0"), (b"iCCP", b"profile\0\0"), (b"iTXt", b"Comment\0\1\0\0\0")):
        try:
            got = decode(png(drawing(), 8, 2, extra=chunk(name, front + zeros)), 8, 8)
            close(got, np.rint(linear(drawing(), 8, 8)))
        except Refused:
            pass
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    assert grown - started < 600, f"{grown - started} MiB"
    refuses("too many scans", scan_bomb(1000))
    many = b"".join(chunk(b"tEXt", b"k\0v") for _ in range(5000))
    try:
        decode(png(drawing(), 8, 2, extra=many), 8, 8)
    except Refused:
        pass


def test_stop():
    calls = []
    data = saved(Image.fromarray(drawing(400, 300)), "PNG")
    for source in (data, saved(Image.fromarray(drawing(400, 300)), "JPEG"), saved(Image.fromarray(drawing(400, 300)), "JPEG", progressive=True)):
        calls.clear()
        refuses("stopped", source, stop=lambda _: calls.append(1) or len(calls) > 3)
        assert len(calls) == 4
        calls.clear()
        decode(source, 8, 8, stop=lambda _: (calls.append(1), 0)[1])
        assert len(calls) > 10
    # One row that becomes thousands, and one that was kept because of interlacing.
    for source in (saved(Image.fromarray(drawing(1, 1)), "PNG"), saved(Image.fromarray(drawing(1, 1)), "JPEG"), png(drawing(4, 400), 8, 2, True)):
        calls.clear()
        refuses("stopped", source, w=3, h=3000, stop=lambda _: calls.append(1) or len(calls) > 1000)


def test_large_results():
    """What is asked for is bounded as pictures are, before there is memory for it."""
    data = saved(Image.fromarray(drawing(1, 1)), "PNG")
    for w, h in ((20_000_000, 1), (1, 20_000_000)):
        refuses("too large", data, w=w, h=h)
    refuses("too much", data, w=16000, h=1, memory=500_000)
    assert decode(data, 16384, 1).shape == (1, 16384, 3)


def test_damaged():
    """Any answer; the sanitizers and the fuzzer look closer."""
    rng = np.random.default_rng(5)
    for data in (saved(Image.fromarray(drawing()), "JPEG", progressive=True), saved(Image.fromarray(drawing()).convert("CMYK"), "JPEG"),
                 saved(Image.fromarray(drawing()), "PNG"), png(drawing(), 8, 2, True)):
        for _ in range(400):
            turned = bytearray(data)
            for at in rng.integers(2, len(data), int(rng.integers(1, 4))):
                turned[at] ^= 1 << int(rng.integers(0, 8))
            try:
                decode(bytes(turned), 8, 8, side=2000, memory=32 << 20)
            except Refused:
                pass


class Skipped(Exception):
    pass


library = ctypes.CDLL(str(Path(sys.argv[1]).resolve()))
library.ssvm_image.restype = ctypes.POINTER(Plugin)
plugin = library.ssvm_image().contents
folders = sys.argv[2:]
started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
assert plugin.abi == 1 and b"libspng" in plugin.version()
counts = {"passed": 0, "failed": 0, "skipped": 0}
for name, test in list(globals().items()):
    if not name.startswith("test_"):
        continue
    try:
        test()
        counts["passed"] += 1
    except Skipped as e:
        counts["skipped"] += 1
        print(f"{name[5:]}: skipped, {e}")
    except Exception as e:  # a failure of any kind is one test's failure
        counts["failed"] += 1
        print(f"FAILED {name[5:]}: {type(e).__name__}: {e}")
print(", ".join(f"{n} {what}" for what, n in counts.items()))
sys.exit(counts["failed"] > 0)
