#!/usr/bin/env python3
"""Draws demo/site/sample.png: an evening at a lake, by formulas alone. The same bytes every time."""
import math
import os
import struct
import zlib

W, H, SS = 720, 480, 2  # size; samples a pixel and direction
HORIZON = 0.62


def mix(a, b, t):
    t = 0.0 if t < 0 else 1.0 if t > 1 else t
    return tuple(x + (y - x) * t for x, y in zip(a, b))


def ridge(x, base, height, seed):
    """Height of a chain of mountains at x."""
    y = 0.0
    for k in range(1, 6):
        y += abs(math.sin(x * k * 2.3 + seed * k * 1.7)) / k
    return base - height * (y / 2.28)


def sky(x, y):
    c = mix((24, 38, 92), (92, 72, 140), y / 0.28)
    c = mix(c, (246, 150, 104), (y - 0.24) / 0.24)
    c = mix(c, (255, 218, 150), (y - 0.46) / 0.18)
    d = math.hypot((x - 0.70) * W / H, y - 0.47)
    c = mix((255, 244, 214), c, min(1.0, d / 0.42) ** 0.55)
    if d < 0.062:
        c = (255, 250, 232)
    return c


LAYERS = (
    (0.56, 0.26, 0.7, (120, 98, 150), (190, 140, 150)),
    (0.60, 0.19, 2.1, (74, 66, 118), (136, 100, 128)),
    (0.63, 0.11, 4.4, (38, 42, 82), (72, 64, 98)),
)


def land(x, y):
    c = sky(x, y)
    for base, height, seed, top, foot in LAYERS:
        r = ridge(x, base, height, seed)
        if y > r:
            c = mix(top, foot, (y - r) / max(0.02, base - r + 0.02))
            if seed == 0.7 and y - r < 0.018 + 0.012 * math.sin(x * 90):
                c = mix(c, (250, 240, 240), 0.55)
    return c


def water(x, y):
    depth = (y - HORIZON) / (1 - HORIZON)
    wave = math.sin(y * 150 / (0.25 + depth) + math.sin(x * 14 + y * 40) * 1.4) * 0.006 * (0.4 + depth)
    c = land(min(1, max(0, x + wave)), HORIZON - (y - HORIZON) * 0.82 + wave)
    c = mix(c, (26, 48, 96), 0.25 + 0.45 * depth)
    glint = abs(x - 0.70) * W / H
    if glint < 0.05 + 0.06 * depth and math.sin(y * 260 + math.sin(x * 50) * 2) > 0.35:
        c = mix(c, (255, 232, 180), 0.65 * (1 - glint / (0.05 + 0.06 * depth)))
    return c


def boat(x, y):
    """A small boat with a sail, on the left: the picture has a side."""
    u, v = (x - 0.24) * W / H, y - 0.735
    if 0 <= v < 0.03 and abs(u) < 0.085 - v * 1.1:
        return (92, 44, 36) if v > 0.008 else (214, 196, 170)
    if -0.17 < v < 0 and abs(u) < 0.003:
        return (60, 40, 40)
    if -0.165 < v < -0.012 and 0.006 < u < 0.006 + (v + 0.165) * 0.5:
        return mix((255, 250, 240), (244, 196, 160), u / 0.08)
    if -0.14 < v < -0.012 and -0.006 > u > -0.006 - (v + 0.14) * 0.38:
        return mix((226, 64, 72), (176, 40, 66), -u / 0.06)
    return None


def star(px, py):
    n = (px * 73856093 ^ py * 19349663) & 0xFFFFFF
    n = (n * 1103515245 + 12345) & 0x7FFFFFFF
    return n % 1400 == 0


def color(x, y):
    c = boat(x, y)
    if c:
        return c
    c = land(x, y) if y < HORIZON else water(x, y)
    if HORIZON < y < HORIZON + 0.004:
        c = mix(c, (30, 34, 66), 0.6)
    return c


def main():
    rows = bytearray()
    for py in range(H):
        rows.append(1)  # filter: difference to the left
        left = (0, 0, 0)
        for px in range(W):
            r = g = b = 0.0
            for sy in range(SS):
                for sx in range(SS):
                    c = color((px + (sx + 0.5) / SS) / W, (py + (sy + 0.5) / SS) / H)
                    r, g, b = r + c[0], g + c[1], b + c[2]
            p = [int(v / (SS * SS) + 0.5) for v in (r, g, b)]
            if py < H * 0.3 and star(px, py):
                p = [min(255, v + 110) for v in p]
            rows += bytes((v - w) & 255 for v, w in zip(p, left))
            left = p

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    out = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", W, H, 8, 2, 0, 0, 0))
    out += chunk(b"IDAT", zlib.compress(bytes(rows), 9)) + chunk(b"IEND", b"")
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "site", "sample.png")
    with open(path, "wb") as f:
        f.write(out)
    print("%s: %d bytes" % (path, len(out)))


if __name__ == "__main__":
    main()
