#!/usr/bin/env python3
"""The pictures of a model's folder as tensors, decoded by Pillow: tensors.py FOLDER OUT.

For each sample of FOLDER/expected.json: OUT/NAME.f32, RGB in 0..1, 224x224 (squeezed by Pillow's BOX filter), and a line of OUT/LIST: name,
top class, its probability, how far off it may be, the label.
"""
import array
import json
import sys
from pathlib import Path

from PIL import Image


def main():
    folder, out = Path(sys.argv[1]), Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    lines = []
    for sample in json.loads((folder / "expected.json").read_text())["samples"]:
        picture = Image.open(folder / sample["file"]).convert("RGB")
        if picture.size != (224, 224):
            picture = picture.resize((224, 224), Image.BOX)
        name = sample["file"].replace("/", "_")
        (out / f"{name}.f32").write_bytes(array.array("f", (b / 255 for b in picture.tobytes())).tobytes())
        top = sample["top1"]
        lines.append(f"{name} {top['index']} {top['probability']} {sample['tolerance']} {top['label'].replace(' ', '_')}\n")
    (out / "LIST").write_text("".join(lines))


main()
