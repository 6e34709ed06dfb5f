#!/usr/bin/env python3
"""The lunch function on real inference libraries: every sample against what TensorFlow says of it (expected.json), by HTTP and by `ssvm run`.

Usage: food.py [NAME...]; SSVM_BUILD names the build folder, SSVM_NN the backends (default: openvino litert). What is not in the build folder yet
is fetched into it. Ends with 'N passed, N failed, N skipped'.
"""
import json
import os
import subprocess
import sys
import tempfile
import threading

import test_server
from test_server import BUILD, ROOT, Server, same, test

SSVM = os.path.join(BUILD, "ssvm")
MODEL = os.path.join(ROOT, "demo/food/model")
FUNCTIONS = os.path.join(ROOT, "demo/functions")
with open(os.path.join(MODEL, "expected.json")) as f:
    SAMPLES = json.load(f)["samples"]
THUMBNAIL = 0.002  # between libraries and versions of the crate that decodes and squeezes
BACKENDS = {"openvino": "food", "litert": "food-tflite", "tensorflow": "food"}  # the module with a model that it reads
test_server.TESTS.clear()  # those are run by their own program


def sample(one):
    with open(os.path.join(MODEL, one["file"]), "rb") as picture:
        return picture.read()


def near(got, wanted, slack, what):
    assert abs(got - wanted) <= slack, "%s: %r, expected %r within %r" % (what, got, wanted, slack)


def granted(backend):
    """The option that grants the backend; it is fetched when it is not there."""
    r = subprocess.run([os.path.join(ROOT, "test/nn/libraries.sh"), backend], capture_output=True, text=True, env=dict(os.environ, SSVM_BUILD=BUILD, SSVM=SSVM))
    assert r.returncode == 0, "%s cannot be fetched: %s" % (backend, r.stderr)
    return "--nn=%s=%s" % (backend, os.path.join(r.stdout.strip(), backend))


def answer_is(one, answer):
    """What classify says of a sample."""
    wanted, name = one["top1"], one["file"]
    same(answer["label"], wanted["label"], name)
    same(answer["confidence"], one["confidence"], name)
    near(answer["probability"], wanted["probability"], one["tolerance"], name)
    near(answer["probability"], one["thumbnail"]["image_0_23_14"]["probability"], THUMBNAIL if one["needs_resize"] else one["tolerance"], name)
    top = [(x["label"], x["probability"]) for x in answer["top"]]
    same(len(top), 5, name)
    same(top[0], (answer["label"], answer["probability"]), name)
    same(top, sorted(top, key=lambda x: -x[1]), name)
    for label, probability in one["top3"]:
        near(dict(top).get(label, 0), probability, one["tolerance"], "%s: %s" % (name, label))
    assert 0.99 * top[0][1] < sum(p for _, p in top) < 1.001, top


def by_http(backend):
    with Server(granted(backend), "--call-time=60s") as s:  # the first call loads the network
        s.write("functions/food.wasm", open(os.path.join(FUNCTIONS, BACKENDS[backend] + ".wasm"), "rb").read())
        for one in SAMPLES:
            r = s.call("POST", "/f/food/classify", sample(one))
            same(r.status, 200, r.body)
            answer_is(one, json.loads(r.body))
            r = s.call("POST", "/f/food/infer", sample(one), [("Content-Type", "image/" + one["file"][-3:].replace("jpg", "jpeg"))])
            same(json.loads(r.body), [one["top1"]["label"], one["confidence"]], one["file"])
        refusals(s)
        all_at_once(s)


def refusals(s):
    hotdog = sample(SAMPLES[5])
    for what, body, words in (
        ("nothing", b"", "no picture"),
        ("text", b"this is no picture", "neither a JPEG nor a PNG"),
        ("half a JPEG", hotdog[: len(hotdog) // 2], "damaged"),
        ("half a PNG", sample(SAMPLES[0])[:5000], "damaged"),
    ):
        r = s.call("POST", "/f/food/classify", body)
        same((r.status, r.code()), (422, "function_error"), what)
        assert words in json.loads(r.body)["error"]["message"], r.body
        same(s.call("POST", "/f/food/infer", body).status, 500, what)


def all_at_once(s):
    """Eight clients with other samples at each time: they share one loaded model, and get each their own answer."""
    wrong = []

    def client(first):
        for i in range(4):
            one = SAMPLES[(first + 5 * i) % len(SAMPLES)]
            try:
                answer_is(one, json.loads(s.call("POST", "/f/food/classify", sample(one)).body))
            except Exception as e:  # noqa: BLE001
                wrong.append(e)

    threads = [threading.Thread(target=client, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong, wrong[0]


def by_command(backend):
    grant = granted(backend)
    module = os.path.join(FUNCTIONS, BACKENDS[backend] + ".wasm")

    def run(name, one):
        r = subprocess.run([SSVM, "run", grant, "--invoke", name, module, "@" + os.path.join(MODEL, one["file"])], capture_output=True, text=True)
        same((r.returncode, r.stderr), (0, ""), one["file"])
        return json.loads(r.stdout)

    for one in SAMPLES:
        answer_is(one, run("classify", one))
    for one in SAMPLES[1:6:4]:
        same(run("infer", one), [one["top1"]["label"], one["confidence"]], one["file"])


def for_backend(f, backend):
    def run():
        f(backend)

    run.__name__ = "%s_%s" % (f.__name__, backend)
    test(run)


for name in os.environ.get("SSVM_NN", "openvino litert").split():
    for_backend(by_http, name)
    for_backend(by_command, name)


@test
def a_model_of_ones_own():
    """What demo/run.sh does with MODEL and LABELS: the function begins with them, or says what does not fit."""
    grant = granted("openvino")
    food = os.path.join(FUNCTIONS, "food.wasm")
    model = os.path.join(MODEL, "food_mobilenet_v2_224_frozen.pb")
    with open(model, "rb") as f:
        graph = f.read()
    with open(os.path.join(MODEL, "food_mobilenet_v2_224.onnx"), "rb") as f:
        onnx = f.read()
    with open(os.path.join(MODEL, "food_labels.txt")) as f:
        labels = f.read().upper().splitlines(True)
    with tempfile.TemporaryDirectory() as scratch:

        def write(name, data):
            with open(os.path.join(scratch, name), "wb") as f:
                f.write(data)
            return "@" + f.name

        def snapshot(model, labels):
            out = os.path.join(scratch, "own.wasm")
            return out, subprocess.run([SSVM, "snapshot", "--init", "use_model", "-o", out, food, model, labels], capture_output=True, text=True)

        def classify(module):
            picture = "@" + os.path.join(MODEL, "samples/pancake.png")
            return subprocess.run([SSVM, "run", grant, "--invoke", "classify", module, picture], capture_output=True, text=True)

        good = write("labels.txt", "".join(labels).encode())
        own, r = snapshot("@" + model, good)
        same((r.returncode, r.stderr), (0, ""))
        answer = json.loads(classify(own).stdout)
        same((answer["label"], answer["model"]["shipped"]), ("PANCAKE", False))
        near(answer["probability"], SAMPLES[0]["top1"]["probability"], SAMPLES[0]["tolerance"], "own model")
        for what, data, words in (
            ("an ONNX model", onnx, "neither a frozen graph"),
            ("a picture", b"\x89PNG\r\n\x1a\n" + bytes(100), "neither a frozen graph"),
            ("another input", graph.replace(b"\x0a\x05input", b"\x0a\x05imput", 1), "has no node 'input'; its inputs are: 'imput'"),
            ("another output", graph.replace(b"Predictions/Softmax", b"Predictions/Softmux"), "'MobilenetV2/Predictions/Softmux'"),
        ):
            r = snapshot(write("other.pb", data), good)[1]
            same(r.returncode, 1, what)
            assert words in r.stderr, r.stderr
        own, r = snapshot("@" + model, write("few.txt", "".join(labels[:60]).encode()))
        same(r.returncode, 0, r.stderr)
        r = classify(own)
        assert r.returncode == 1 and "knows 61 classes and there are 60 labels" in r.stderr, r


@test
def the_demo_says_what_does_not_fit():
    """demo/run.sh: before anything is served."""
    labels, model = os.path.join(MODEL, "food_labels.txt"), os.path.join(MODEL, "food_mobilenet_v2_224")
    granted("litert")

    def demo(**settings):
        env = {k: v for k, v in os.environ.items() if k not in ("NN", "MODEL", "LABELS")}
        r = subprocess.run([os.path.join(ROOT, "demo/run.sh"), "--once"], capture_output=True, text=True, env=dict(env, SSVM_BUILD=BUILD, **settings))
        return r.returncode, r.stdout, r.stderr

    with tempfile.TemporaryDirectory() as scratch:
        for words, settings in (
            ("MODEL needs LABELS", {"MODEL": model + ".tflite"}),
            ("LABELS needs MODEL", {"LABELS": labels}),
            ("not 'bogus'", {"NN": "bogus"}),
            ("there is no file '%s/none'" % scratch, {"MODEL": scratch + "/none", "LABELS": labels}),
            ("there is no file '%s/none'" % scratch, {"MODEL": model + ".tflite", "LABELS": scratch + "/none"}),
            ("there is no file '%s'" % scratch, {"MODEL": scratch, "LABELS": labels}),
            ("litert reads .tflite files", {"MODEL": model + "_frozen.pb", "LABELS": labels, "NN": "litert"}),
            ("tensorflow reads .pb files", {"MODEL": model + ".tflite", "LABELS": labels, "NN": "tensorflow"}),
            ("neither a frozen graph", {"MODEL": model + ".onnx", "LABELS": labels, "NN": "openvino"}),
        ):
            status, out, err = demo(**settings)
            same((status, out), (1, ""), words)
            assert words in err, err
    # Labels of another network: the answer to the first picture tells.
    status, out, err = demo(MODEL=model + ".tflite", LABELS=os.path.join(ROOT, "README.md"))
    assert status == 1 and "the model knows 61 classes" in err and "the page was at" not in out, err
    # Without a library all but the lunch function is there, and nothing is told as an error.
    status, out, err = demo(NN="none")
    same((status, err), (0, ""))
    assert "ssvm deploy hello" in out and "ssvm deploy food" not in out, out


@test
def without_a_library():
    s = Server().function("food")
    os.utime(s.dir + "/functions/food.wasm", (1e9, 1e9))  # else it could be a file that is still being written
    with s:
        r = s.call("POST", "/f/food/classify", sample(SAMPLES[0]))
        same((r.status, r.code()), (502, "function_broken"))
        assert "not granted: --nn" in json.dumps(s.lines()), s.lines()


if __name__ == "__main__":
    sys.exit(test_server.main())
