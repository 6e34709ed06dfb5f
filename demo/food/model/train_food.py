#!/usr/bin/env python3
"""Draw pictures of food, train a small MobileNetV2 on them, export the model.

The pictures are rendered here from the food glyphs of the Noto Color Emoji font
(SIL Open Font License 1.1; Debian package fonts-noto-color-emoji): random place,
size, turn, stretch, lighting, background and JPEG noise.  Every picture depends
on (seed, split, class, number) alone.  Class 0, "background", is everything
else: other glyphs, or no object at all.

Files written to --out:
    food_mobilenet_v2_224_frozen.pb   TensorFlow frozen GraphDef
    food_mobilenet_v2_224.tflite      TensorFlow Lite, float32
    food_mobilenet_v2_224.onnx        ONNX
    food_labels.txt                   one label a line, line number = class
    samples/*.jpg, samples/*.png      held-out pictures
    expected.json                     what TensorFlow says about the samples

Input `input`: float32 [1,224,224,3], RGB, 0..1.  Output
`MobilenetV2/Predictions/Softmax`: float32 [1,classes].

The model in this folder was made with the defaults.  More pictures and more
epochs (--per-class 300 --epochs 14 --background 6) take four to five times as
long and should make a better one.

Training is seeded, but TensorFlow sums in parallel: a second run gives other
weights of about the same quality, so every file here is of one run.

Needs: tensorflow-cpu (or tensorflow), pillow, tf2onnx, the font.
"""

import argparse
import hashlib
import io
import json
import math
import os
import random
import sys
import time
from multiprocessing import Pool

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont

import mobilenet_v2_graph as mobilenet

FONT = "/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf"
FONT_SIZE = 109  # the font's only bitmap strike
SIZE = 224
SHRINK = 2  # the net pools its input by this factor before its first layer
MODEL = "food_mobilenet_v2_224"
OUTPUT = "MobilenetV2/Predictions/Softmax"
BLOCKS = ((1, 16, 1, 1), (4, 24, 2, 1), (4, 32, 2, 2), (4, 64, 3, 2), (4, 96, 1, 1))
NET = dict(blocks=BLOCKS, stem=24, head=320, stem_kernel=5, stem_stride=4)

FOODS = (
    ("Pancake", "🥞"), ("Hot dog", "🌭"), ("Pizza", "🍕"), ("Hamburger", "🍔"), ("French fries", "🍟"),
    ("Sushi", "🍣"), ("Taco", "🌮"), ("Burrito", "🌯"), ("Salad", "🥗"), ("Noodle soup", "🍜"),
    ("Spaghetti", "🍝"), ("Curry rice", "🍛"), ("Bento box", "🍱"), ("Rice ball", "🍙"), ("Rice", "🍚"),
    ("Fried shrimp", "🍤"), ("Oden", "🍢"), ("Dango", "🍡"), ("Dumpling", "🥟"), ("Takeout box", "🥡"),
    ("Soft ice cream", "🍦"), ("Doughnut", "🍩"), ("Cookie", "🍪"), ("Birthday cake", "🎂"), ("Shortcake", "🍰"),
    ("Cupcake", "🧁"), ("Pie", "🥧"), ("Chocolate bar", "🍫"), ("Lollipop", "🍭"), ("Custard", "🍮"),
    ("Bread", "🍞"), ("Croissant", "🥐"), ("Baguette", "🥖"), ("Pretzel", "🥨"), ("Bagel", "🥯"),
    ("Waffle", "🧇"), ("Cheese", "🧀"), ("Meat on bone", "🍖"), ("Poultry leg", "🍗"), ("Steak", "🥩"),
    ("Bacon", "🥓"), ("Sandwich", "🥪"), ("Stuffed flatbread", "🥙"), ("Fried egg", "🍳"), ("Paella", "🥘"),
    ("Stew", "🍲"), ("Cereal bowl", "🥣"), ("Popcorn", "🍿"), ("Apple", "🍎"), ("Banana", "🍌"),
    ("Grapes", "🍇"), ("Strawberry", "🍓"), ("Watermelon", "🍉"), ("Pineapple", "🍍"), ("Avocado", "🥑"),
    ("Broccoli", "🥦"), ("Corn", "🌽"), ("Mushroom", "🍄"), ("Tomato", "🍅"), ("Carrot", "🥕"),
)
LABELS = ("background",) + tuple(label for label, _ in FOODS)
NOT_FOOD = tuple("😀😎👍🐶🐱🐭🦁🐸🐵🐧🐢🐙🦋🐝🌵🌲🌸🌻🌍🌙⭐🔥🌈⚽🏀🎾🎸🎹🎲🚗🚌🚲🚀⛵🏠🏰📱💻📷💡🔑🔨🎁🎈👟👑🧢📚🕐☂🪑🧸")

SAMPLES = (  # label, file name, width, height: 224x224 PNGs need no resizing
    ("Pancake", "pancake.png", 224, 224),
    ("Hot dog", "hotdog.png", 224, 224),
    ("Pizza", "pizza.png", 224, 224),
    ("Sushi", "sushi.png", 224, 224),
    ("background", "nothing.png", 224, 224),
    ("Pancake", "pancake.jpg", 480, 480),
    ("Hot dog", "hotdog.jpg", 640, 480),
    ("Hamburger", "hamburger.jpg", 600, 400),
    ("Noodle soup", "noodles.jpg", 320, 320),
    ("Doughnut", "doughnut.jpg", 480, 360),
    ("Strawberry", "strawberry.jpg", 256, 256),
    ("Croissant", "croissant.jpg", 448, 448),
)

_glyphs = {}


def glyph(text):
    """The glyph's picture, cropped to its ink."""
    if text not in _glyphs:
        font = ImageFont.truetype(FONT, FONT_SIZE)
        page = Image.new("RGBA", (200, 200), (0, 0, 0, 0))
        ImageDraw.Draw(page).text((20, 20), text, font=font, embedded_color=True)
        box = page.getbbox()
        if box is None:
            raise SystemExit(f"the font has no glyph for {text!r}")
        _glyphs[text] = page.crop(box)
    return _glyphs[text]


def any_colour(rng):
    return tuple(rng.randrange(256) for _ in range(3))


def background(rng, width, height):
    """A backdrop: plain, gradient, tiles, or clutter; sometimes a plate."""
    kind = rng.random()
    page = Image.new("RGB", (width, height), any_colour(rng))
    if kind < 0.35:
        small = Image.new("RGB", (2, 2))
        small.putdata([any_colour(rng) for _ in range(4)])
        page = small.resize((width, height), Image.BICUBIC)
    elif kind < 0.5:
        cells = rng.randint(3, 9)
        small = Image.new("RGB", (cells, cells))
        two = (any_colour(rng), any_colour(rng))
        small.putdata([two[(i // cells + i) % 2] for i in range(cells * cells)])
        page = small.resize((width, height), Image.NEAREST)
    elif kind < 0.8:
        side = rng.randint(3, 24)
        base, spread = any_colour(rng), rng.randint(8, 90)
        noise = np.random.Generator(np.random.PCG64(rng.getrandbits(63))).normal(base, spread, (side, side, 3))
        small = Image.fromarray(noise.clip(0, 255).astype(np.uint8))
        page = small.resize((width, height), Image.BICUBIC)
    draw = ImageDraw.Draw(page)
    for _ in range(rng.choice((0, 0, 0, 1, 2, 4))):
        x, y = rng.randrange(width), rng.randrange(height)
        w, h = rng.randint(5, width // 2), rng.randint(5, height // 2)
        rng.choice((draw.ellipse, draw.rectangle))((x - w // 2, y - h // 2, x + w // 2, y + h // 2), fill=any_colour(rng))
    return page


def picture(key, label, width=SIZE, height=SIZE):
    """One picture of a class; key names it, so the same key draws it again."""
    rng = random.Random(hashlib.sha256(repr(key).encode()).digest())
    page = background(rng, width, height)
    text = FOODS[label - 1][1] if label else rng.choice(NOT_FOOD)
    if label or rng.random() < 0.75:
        thing = glyph(text)
        short = min(width, height)
        scale = short * rng.uniform(0.38, 0.92) / max(thing.size)
        stretch = math.exp(rng.uniform(-0.18, 0.18))
        # the pictures are squeezed to a square later, so draw for that too
        size = (max(8, int(thing.width * scale * stretch)), max(8, int(thing.height * scale / stretch)))
        thing = thing.resize(size, Image.BICUBIC)
        if rng.random() < 0.5:
            thing = thing.transpose(Image.FLIP_LEFT_RIGHT)
        thing = thing.rotate(rng.gauss(0, 22), Image.BICUBIC, expand=True)
        free_x, free_y = width - thing.width, height - thing.height
        left = int(free_x * rng.uniform(0.0, 1.0)) if free_x > 0 else free_x // 2
        top = int(free_y * rng.uniform(0.0, 1.0)) if free_y > 0 else free_y // 2
        if rng.random() < 0.4:  # a plate, or a shadow
            pad = rng.randint(2, 20)
            shade = rng.choice(((255, 255, 255), (235, 235, 225), (40, 40, 40), any_colour(rng)))
            ImageDraw.Draw(page).ellipse(
                (left - pad, top - pad, left + thing.width + pad, top + thing.height + pad), fill=shade)
        page.paste(thing, (left, top), thing)
    for enhancer, low, high in ((ImageEnhance.Brightness, 0.6, 1.35), (ImageEnhance.Contrast, 0.65, 1.35),
                                (ImageEnhance.Color, 0.5, 1.4)):
        page = enhancer(page).enhance(rng.uniform(low, high))
    if rng.random() < 0.3:
        page = page.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.6)))
    if rng.random() < 0.5:
        packed = io.BytesIO()
        page.save(packed, "JPEG", quality=rng.randint(35, 90))
        page = Image.open(packed).convert("RGB")
    return page


def draw_batch(job):
    seed, split, label, count = job
    side = SIZE // SHRINK
    rows = np.empty((count, side, side, 3), np.uint8)
    for number in range(count):
        key = (seed, split, label, number)
        aspect = random.Random(repr(key)).choice(((1, 1), (1, 1), (4, 3), (3, 4), (3, 2)))
        area = math.sqrt(SIZE * SIZE / (aspect[0] * aspect[1]))
        page = picture(key, label, int(aspect[0] * area), int(aspect[1] * area))
        if page.size != (SIZE, SIZE):
            page = page.resize((SIZE, SIZE), Image.BOX)
        rows[number] = np.asarray(page.reduce(SHRINK))
    return label, rows


def draw_set(seed, split, per_class, background_factor, workers):
    """All pictures of a split, already pooled by SHRINK, and their classes.

    "background" stands for everything else, so it gets background_factor times
    as many as a food.
    """
    counts = [per_class * (background_factor if label == 0 else 1) for label in range(len(LABELS))]
    with Pool(workers) as pool:
        parts = pool.map(draw_batch, [(seed, split, label, n) for label, n in enumerate(counts)], chunksize=1)
    pictures = np.concatenate([rows for _, rows in parts])
    labels = np.concatenate([np.full(len(rows), label, np.int32) for label, rows in parts])
    return pictures, labels


def keras_net(plan):
    """The plan's network as a trainable Keras model on pooled pictures."""
    import tensorflow as tf

    layers = tf.keras.layers
    side = SIZE // SHRINK
    given = x = layers.Input((side, side, 3))
    shortcut = None
    for layer in plan:
        name = layer["name"].replace("/", "_")
        if layer["kind"] == "pool":
            x = layers.GlobalAveragePooling2D()(x)
            x = layers.Dropout(0.1)(x)
            continue
        if layer["kind"] == "logits":
            x = layers.Dense(layer["cout"], name=name)(x)
            continue
        if layer.get("residual_from"):
            shortcut = x
        common = dict(padding="same", use_bias=False, name=name)
        if layer["kind"] == "depthwise":
            x = layers.DepthwiseConv2D(layer["k"], layer["stride"], **common)(x)
        else:
            x = layers.Conv2D(layer["cout"], layer["k"], layer["stride"], **common)(x)
        x = layers.BatchNormalization(epsilon=mobilenet.BN_EPSILON, momentum=0.97, name=name + "_bn")(x)
        if layer["act"]:
            x = layers.ReLU(6.0)(x)
        if layer.get("residual_add"):
            x = layers.Add()([x, shortcut])
    return tf.keras.Model(given, x)


def trained_weights(plan, net):
    weights = {}
    for layer in plan:
        if layer["kind"] == "pool":
            continue
        name = layer["name"].replace("/", "_")
        if layer["kind"] == "logits":
            kernel, bias = net.get_layer(name).get_weights()
            weights[layer["name"]] = dict(kernel=kernel[None, None], bias=bias)
            continue
        (kernel,) = net.get_layer(name).get_weights()
        gamma, beta, mean, variance = net.get_layer(name + "_bn").get_weights()
        weights[layer["name"]] = dict(kernel=kernel, gamma=gamma, beta=beta, mean=mean, variance=variance)
    return weights


def train(plan, opts):
    import tensorflow as tf

    tf.keras.utils.set_random_seed(opts.seed)
    start = time.time()
    x, y = draw_set(opts.seed, "train", opts.per_class, opts.background, opts.workers)
    vx, vy = draw_set(opts.seed, "validation", opts.validation, 3, opts.workers)
    print(f"drew {len(x)} + {len(vx)} pictures in {time.time() - start:.0f} s", flush=True)

    def prepare(a, b):
        return tf.cast(a, tf.float32) / 255.0, b

    def vary(a, b):
        a = tf.image.random_flip_left_right(a)
        a = a * tf.random.uniform((tf.shape(a)[0], 1, 1, 3), 0.85, 1.15) + tf.random.uniform((tf.shape(a)[0], 1, 1, 1), -0.08, 0.08)
        return tf.clip_by_value(a, 0.0, 1.0), b

    rows = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(len(x), seed=opts.seed)
    rows = rows.batch(opts.batch, drop_remainder=True).map(prepare).map(vary).prefetch(2)
    held = tf.data.Dataset.from_tensor_slices((vx, vy)).batch(128).map(prepare).prefetch(2)
    net = keras_net(plan)
    steps = len(x) // opts.batch * opts.epochs
    warm = tf.keras.optimizers.schedules.CosineDecay(
        opts.rate / 20, steps - steps // 12, warmup_target=opts.rate, warmup_steps=steps // 12)
    net.compile(tf.keras.optimizers.AdamW(warm, weight_decay=1e-4),
                tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    print(f"{net.count_params()} parameters", flush=True)
    start = time.time()
    net.fit(rows, epochs=opts.epochs, validation_data=held, validation_freq=opts.validate_every, verbose=2)
    seconds = time.time() - start
    logits = net.predict(held, verbose=0)
    right = logits.argmax(1) == vy
    worst = sorted((float(right[vy == c].mean()), LABELS[c]) for c in range(len(LABELS)))[:6]
    print(f"trained in {seconds:.0f} s, validation accuracy {right.mean():.4f} on {len(vy)} pictures; worst {worst}")
    facts = dict(
        training_pictures=len(x), epochs=opts.epochs, validation_pictures=len(vy),
        validation_accuracy=round(float(right.mean()), 4), parameters=int(net.count_params()),
        worst_classes={label: round(score, 3) for score, label in worst})
    return net, facts


def run_graph(graph_def, batch):
    import tensorflow as tf

    tf1 = tf.compat.v1
    with tf1.Session(graph=tf.Graph()) as session:
        tf1.import_graph_def(graph_def, name="")
        return np.stack([session.run(OUTPUT + ":0", {"input:0": one[None]})[0] for one in batch])


def confidence(value):
    if value > 0.75:
        return "very high"
    if value > 0.5:
        return "high"
    return "medium" if value > 0.2 else "low"


def fingerprint(folder, name):
    with open(os.path.join(folder, name), "rb") as done:
        data = done.read()
    return dict(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())


def export(plan, net, folder):
    """Write the trained net in three formats, and its labels."""
    import tensorflow as tf
    import tf2onnx

    path = os.path.join(folder, MODEL)
    graph_def = mobilenet.frozen_graph(plan, trained_weights(plan, net), SIZE, SHRINK)
    mobilenet.write_graph(graph_def, path + "_frozen.pb")
    with open(os.path.join(folder, "food_labels.txt"), "w") as out:
        out.write("\n".join(LABELS) + "\n")
    converter = tf.compat.v1.lite.TFLiteConverter.from_frozen_graph(path + "_frozen.pb", ["input"], [OUTPUT])
    with open(path + ".tflite", "wb") as out:
        out.write(converter.convert())
    tf2onnx.convert.from_graph_def(
        graph_def, input_names=["input:0"], output_names=[OUTPUT + ":0"], opset=17, output_path=path + ".onnx")


def write_samples(facts, opts, kept):
    """Draw the sample pictures and record what the exported graph says of them.

    kept: what else is known of a sample, by file name.
    """
    import tensorflow as tf

    graph_def = tf.compat.v1.GraphDef()
    with open(os.path.join(opts.out, MODEL + "_frozen.pb"), "rb") as given:
        graph_def.ParseFromString(given.read())
    os.makedirs(os.path.join(opts.out, "samples"), exist_ok=True)
    names = [MODEL + "_frozen.pb", MODEL + ".tflite", MODEL + ".onnx", "food_labels.txt"]
    samples = []
    for label, name, width, height in SAMPLES:
        where = os.path.join(opts.out, "samples", name)
        picture((opts.seed, "sample", name), LABELS.index(label), width, height).save(where, quality=90)
        names.append("samples/" + name)
        page = Image.open(where).convert("RGB")
        exact = page.size == (SIZE, SIZE)
        if not exact:
            page = page.resize((SIZE, SIZE), Image.BOX)
        (p,) = run_graph(graph_def, np.asarray(page, np.float32)[None] / np.float32(255))
        order = np.argsort(-p)[:3]
        samples.append(dict(
            file="samples/" + name, truth=label, width=width, height=height, needs_resize=not exact,
            top1=dict(index=int(order[0]), label=LABELS[order[0]], probability=round(float(p[order[0]]), 6)),
            top3=[[LABELS[i], round(float(p[i]), 6)] for i in order], confidence=confidence(p[order[0]]),
            tolerance=0.0005 if exact else 0.02, **kept.get("samples/" + name, {})))
        print(name, samples[-1]["top3"])
    facts = dict(facts, input="input", input_shape=[1, SIZE, SIZE, 3], input_range=[0, 1], output=OUTPUT,
                 classes=len(LABELS), tensorflow=tf.__version__, seed=opts.seed)
    with open(os.path.join(opts.out, "expected.json"), "w") as out:
        json.dump(dict(
            model=facts,
            resize="pictures that are not 224x224 were squeezed to it with Pillow's BOX filter; "
                   "the crate image's thumbnail moves a probability by less than the sample's tolerance",
            thumbnail="what the graph says when the picture is decoded and squeezed by a version of the Rust crate "
                      "image (imageops::thumbnail), as the demo's function does; tolerance 0.002",
            files={name: fingerprint(opts.out, name) for name in names}, samples=samples), out, indent=1)
        out.write("\n")


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--out", default=os.path.dirname(os.path.abspath(__file__)))
    args.add_argument("--seed", type=int, default=2020)
    args.add_argument("--per-class", type=int, default=150)
    args.add_argument("--background", type=int, default=3, help="how many times as many pictures of \"background\"")
    args.add_argument("--validation", type=int, default=20, help="held-out pictures of each class")
    args.add_argument("--epochs", type=int, default=7)
    args.add_argument("--validate-every", type=int, default=3)
    args.add_argument("--batch", type=int, default=64)
    args.add_argument("--rate", type=float, default=3e-3)
    args.add_argument("--workers", type=int, default=2)
    args.add_argument("--preview", help="only draw a sheet of one picture a class to this file")
    args.add_argument("--samples-only", action="store_true",
                      help="train nothing: redraw the samples for the model that --out already has")
    opts = args.parse_args()
    if opts.samples_only:
        with open(os.path.join(opts.out, "expected.json")) as given:
            old = json.load(given)
        # The thumbnail's answers come from the Rust crate: this program cannot give them again.
        kept = {one["file"]: {"thumbnail": one["thumbnail"]} for one in old["samples"] if "thumbnail" in one}
        write_samples(old["model"], opts, kept)
        return
    if opts.preview:
        sheet = Image.new("RGB", (10 * SIZE, 7 * SIZE))
        for label in range(len(LABELS)):
            sheet.paste(picture((opts.seed, "preview", label), label), (label % 10 * SIZE, label // 10 * SIZE))
        sheet.reduce(2).save(opts.preview)
        return
    os.makedirs(opts.out, exist_ok=True)
    plan = mobilenet.layer_plan(1.0, len(LABELS), **NET)
    net, facts = train(plan, opts)
    export(plan, net, opts.out)
    write_samples(facts, opts, {})


if __name__ == "__main__":
    sys.exit(main())
