#!/usr/bin/env python3
"""Models that give back their input, [?,3], of each type: identity.py OUT writes OUT/id_TYPE.onnx and OUT/id_TYPE.pb, byte by byte."""
import sys
from pathlib import Path

# type: ONNX's number, TensorFlow's
TYPES = {"f32": (1, 1), "u8": (2, 4), "i8": (3, 6), "u16": (4, 17), "i16": (5, 5), "i32": (6, 3), "i64": (7, 9), "bool": (9, 10), "f16": (10, 19),
         "f64": (11, 2), "u32": (12, 22), "u64": (13, 23)}


def varint(n):
    out = b""
    n &= (1 << 64) - 1
    while n > 0x7F:
        out += bytes([n & 0x7F | 0x80])
        n >>= 7
    return out + bytes([n])


def number(field, n):
    return varint(field << 3) + varint(n)


def text(field, data):
    data = data.encode() if isinstance(data, str) else data
    return varint(field << 3 | 2) + varint(len(data)) + data


def onnx(kind):
    shape = text(2, text(1, text(2, "n")) + text(1, number(1, 3)))

    def value(name):
        return text(1, name) + text(2, text(1, number(1, kind) + shape))

    node = text(1, "x") + text(2, "y") + text(4, "Identity")
    graph = text(1, node) + text(2, "g") + text(11, value("x")) + text(12, value("y"))
    return number(1, 8) + text(7, graph) + text(8, text(1, "") + number(2, 17))


def graph_def(kind):
    def attr(name, value):
        return text(5, text(1, name) + text(2, value))

    shape = text(7, text(2, number(1, -1)) + text(2, number(1, 3)))
    x = text(1, "x") + text(2, "Placeholder") + attr("dtype", number(6, kind)) + attr("shape", shape)
    y = text(1, "y") + text(2, "Identity") + text(3, "x") + attr("T", number(6, kind))
    return text(1, x) + text(1, y)


def main():
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    for name, (o, t) in TYPES.items():
        (out / f"id_{name}.onnx").write_bytes(onnx(o))
        (out / f"id_{name}.pb").write_bytes(graph_def(t))


main()
