#!/usr/bin/env python3
"""The talk's chart: what one inference costs, natively, in ssvm, in pure WebAssembly, in Python and in Node, on one network and one machine.

  nn-peers.py --build DIR --libraries DIR [--python PYTHON] [--runs N] [--json FILE] [--svg FILE] [--pictures FILE...]

DIR of --libraries: what `ssvm nn install NAME --to DIR` made. PYTHON: one that has tensorflow (and pillow); without it that row and tfjs, whose
model it converts, are left out. What cannot be had is a row with the reason. The network is demo/food/model's; one thread everywhere. `run`:
the session alone, the copy of its input in it; `whole`: with the picture's decoding, by the same Rust crates where there is a figure. Milliseconds, medians. The classes
must agree, else the exit status is 1.
"""
import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import chart

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
MODEL = ROOT / 'demo/food/model'
FILES = {'openvino': ('food_mobilenet_v2_224_frozen.pb', 'food.wasm'), 'litert': ('food_mobilenet_v2_224.tflite', 'food-tflite.wasm'),
         'tensorflow': ('food_mobilenet_v2_224_frozen.pb', 'food.wasm')}
LIBRARIES = {'openvino': 'libopenvino_c.so.*', 'litert': 'libLiteRt.so', 'tensorflow': 'libtensorflow_cc.so.2'}
NPM = ['@tensorflow/tfjs@4.22.0', '@tensorflow/tfjs-backend-wasm@4.22.0']

PYTHON = '''
import json, sys, time
start = time.perf_counter()
import numpy as np
import tensorflow as tf
imported = time.perf_counter() - start
graph = tf.compat.v1.GraphDef()
graph.ParseFromString(open(sys.argv[1], "rb").read())
config = tf.compat.v1.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=1)
with tf.Graph().as_default() as g:
    tf.import_graph_def(graph, name="")
    session = tf.compat.v1.Session(graph=g, config=config)
x = np.array([((n * 2654435761 % 2**32 >> 8) & 65535) / 65535 for n in range(224 * 224 * 3)], np.float32).reshape(1, 224, 224, 3)
times = []
for _ in range(int(sys.argv[2])):
    start = time.perf_counter()
    y = session.run("MobilenetV2/Predictions/Softmax:0", {"input:0": x})[0]
    times.append((time.perf_counter() - start) * 1e3)
first = times[0]
times.sort()
print(json.dumps({"ready_ms": imported * 1e3, "first_ms": first, "run_ms": times[len(times) // 2], "class": int(y.argmax()), "probability": float(y.max())}))
'''
# A frozen graph as tfjs reads it: nodes as JSON, and the constants' bytes one after the other.
CONVERT = '''
import json, sys
import numpy as np
import tensorflow as tf
from google.protobuf import json_format
graph = tf.compat.v1.GraphDef()
graph.ParseFromString(open(sys.argv[1], "rb").read())
weights, data = [], b""
for node in graph.node:
    if node.op == "Const":
        value = tf.make_ndarray(node.attr["value"].tensor)
        value = value.astype(np.int32 if value.dtype.kind == "i" else np.float32)
        weights.append({"name": node.name, "shape": list(value.shape), "dtype": "int32" if value.dtype.kind == "i" else "float32"})
        data += value.tobytes()
        node.attr["value"].tensor.Clear()
topology = json_format.MessageToDict(graph)
json.dump({"modelTopology": topology, "weights": weights}, open(sys.argv[2] + "/model.json", "w"))
open(sys.argv[2] + "/weights.bin", "wb").write(data)
'''


def output(*command, **options):
    """What a command printed, or why not."""
    try:
        r = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=300, **options)
    except (OSError, subprocess.TimeoutExpired) as e:
        return None, str(e)
    return (r.stdout, None) if r.returncode == 0 else (None, (r.stderr.strip().splitlines() or ['it failed'])[-1][:200])


def rows_of_library(a, name):
    """Native and ours, in turn."""
    folder = a.libraries / name
    found = sorted(folder.glob(LIBRARIES[name]))
    if not found:
        return [{'name': f'{side}, {name}', 'why': f'{folder} has no {LIBRARIES[name]}'} for side in ('native', 'ssvm')]
    model, wasm = FILES[name]
    cache = a.build / 'bench/cache'
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    text, why = output(a.build / 'bench/food', name, found[-1], MODEL / model, 1, a.runs, ROOT / 'demo/functions' / wasm, folder, cache, *a.pictures,
                       env={**os.environ, 'LD_LIBRARY_PATH': str(folder)})
    if why:
        return [{'name': f'{side}, {name}', 'why': why} for side in ('native', 'ssvm')]
    rows = []
    for line in text.splitlines():
        f = json.loads(line)
        rows.append({'name': f'native, {name}', 'picture': f['picture'], 'run': f['native_run_ms'], 'whole': f['native_ms'], 'cpu': f['native_cpu_ms']})
        rows.append({'name': f'ssvm, {name}', 'picture': f['picture'], 'run': f['ssvm_run_ms'], 'whole': f['ssvm_ms'], 'cpu': f['ssvm_cpu_ms'],
                     'ratio': f['cpu_ratio']})
        rows.append({'name': f'ssvm, {name}, a new instance', 'picture': f['picture'], 'whole': f['ssvm_fresh_ms'], 'cpu': f['ssvm_fresh_cpu_ms'],
                     'ratio': f['fresh_cpu_ratio']})
    return rows


def rows_of_tract(a):
    wasm = a.build / 'bench/tract.wasm'
    name = 'pure WebAssembly (tract) in ssvm'
    if not wasm.exists():
        return [{'name': name, 'why': 'bench/nn.sh --tract builds it (half an hour)'}]
    files = [p.name for p in a.pictures]
    work = a.build / 'bench/tract-files'
    work.mkdir(exist_ok=True)
    for p in (*a.pictures, MODEL / 'food_mobilenet_v2_224.onnx'):
        shutil.copy(p, work)
    rows = []
    for tier, runs in (('native code', a.runs), ('interpreted', 3)):
        flags = [] if tier == 'native code' else ['--tier=interp']
        text, why = output(a.build / 'ssvm', 'run', *flags, '--dir', f'/:{work}', wasm, 'food_mobilenet_v2_224.onnx', runs, *files)
        if why:
            rows.append({'name': f'{name}, {tier}', 'why': why})
            continue
        for p, line in zip(files, text.splitlines()):
            f = json.loads(line)
            rows.append({'name': f'{name}, {tier}', 'picture': p, 'run': f['run_ms'], 'whole': f['decode_ms'] + f['run_ms']})
    return rows


def row_of(name, text, why):
    if why:
        return {'name': name, 'why': why}
    f = json.loads(text.splitlines()[-1])
    return {'name': name, 'run': f['run_ms'], 'first': f['first_ms'], 'class': f['class'], 'probability': f['probability']}


def rows_of_python(a):
    text, why = output(a.python, '-c', PYTHON, MODEL / FILES['tensorflow'][0], a.runs, env={**os.environ, 'TF_CPP_MIN_LOG_LEVEL': '3', 'PYTHONPATH': ''})
    return [row_of('Python, TensorFlow', text, why)]


def rows_of_tfjs(a):
    modules, model = a.build / 'bench/tfjs', a.build / 'bench/tfjs/model'
    names = ['Node, tfjs (wasm)', 'Node, tfjs (cpu)']
    why = None
    if not (modules / 'node_modules').exists():
        modules.mkdir(parents=True, exist_ok=True)
        _, why = output('npm', 'install', '--silent', '--no-audit', '--no-fund', '--ignore-scripts', '--prefix', modules, *NPM)
    if not why and not (model / 'model.json').exists():
        model.mkdir(exist_ok=True)
        _, why = output(a.python, '-c', CONVERT, MODEL / FILES['tensorflow'][0], model, env={**os.environ, 'TF_CPP_MIN_LOG_LEVEL': '3', 'PYTHONPATH': ''})
    if why:
        return [{'name': name, 'why': why} for name in names]
    rows = []
    for name, backend in zip(names, ('wasm', 'cpu')):
        text, why = output('node', HERE / 'nn-tfjs.mjs', modules, model, backend, a.runs)
        rows.append(row_of(name, text, why))
    return rows


def table(rows):
    form = lambda v: '' if v is None else f'{v:.2f}'
    lines = ['| | picture | run ms | whole ms | CPU ms | of native (CPU) |', '|---|---|---|---|---|---|']
    for r in rows:
        if 'why' in r:
            lines.append(f"| {r['name']} | {r['why']} | | | | |")
        else:
            cells = [form(r.get(k)) for k in ('run', 'whole', 'cpu', 'ratio')]
            lines.append(f"| {r['name']} | {r.get('picture', 'generated')} | " + ' | '.join(cells) + ' |')
    return '\n'.join(lines)


def drawn(rows, picture):
    """The talk's chart: one bar for each, on one picture."""
    kept = [r for r in rows if r.get('run') and r.get('picture', picture) == picture]
    return chart.Chart('Time needed to run inference on an image', 'milliseconds, the session alone, one thread', ['run'],
                       [(r['name'], [r['run']]) for r in kept])


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--build', type=Path, required=True)
    p.add_argument('--libraries', type=Path, required=True)
    p.add_argument('--python', default=sys.executable)
    p.add_argument('--runs', type=int, default=30)
    p.add_argument('--json', type=Path)
    p.add_argument('--svg', type=Path)
    p.add_argument('--pictures', type=Path, nargs='+', default=[MODEL / 'samples/hotdog.jpg', MODEL / 'samples/pancake.png'])
    a = p.parse_args()
    a.build, a.libraries = a.build.resolve(), a.libraries.resolve()
    a.pictures = [path.resolve() for path in a.pictures]
    rows = [row for name in FILES for row in rows_of_library(a, name)]
    rows += rows_of_tract(a) + rows_of_python(a) + rows_of_tfjs(a)
    print(table(rows))
    if a.json:
        a.json.write_text(json.dumps(rows, indent=1))
    if a.svg:
        a.svg.write_text(chart.render(drawn(rows, a.pictures[0].name)))
    classes = {r['class'] for r in rows if 'class' in r}
    if len(classes) > 1:
        print(f'the classes differ: {sorted(classes)}', file=sys.stderr)
    return len(classes) > 1


if __name__ == '__main__':
    sys.exit(main())
