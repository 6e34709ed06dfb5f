// tfjs in Node on one network: nn-tfjs.mjs MODULES MODEL-FOLDER BACKEND RUNS. MODEL-FOLDER: model.json and weights.bin of nn-peers.py. The input is
// that of nn.c. Prints one line of JSON.
import {readFileSync} from 'node:fs';
import {createRequire} from 'node:module';
import {join, resolve} from 'node:path';

const [modules, folder, backend, runs] = process.argv.slice(2);
const require = createRequire(resolve(modules, 'node_modules', 'x'));
const tf = require('@tensorflow/tfjs');
if (backend === 'wasm') {
  const wasm = require('@tensorflow/tfjs-backend-wasm');
  wasm.setWasmPaths(join(modules, 'node_modules/@tensorflow/tfjs-backend-wasm/dist/'));
  wasm.setThreadsCount(1);
}
await tf.setBackend(backend);
await tf.ready();

const start = performance.now();
const description = JSON.parse(readFileSync(join(folder, 'model.json')));
const bytes = readFileSync(join(folder, 'weights.bin'));
const model = await tf.loadGraphModel(tf.io.fromMemory({
  modelTopology: description.modelTopology, format: 'graph-model', weightSpecs: description.weights,
  weightData: bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength),
}));
const ready = performance.now() - start;

const pixels = new Float32Array(224 * 224 * 3);
for (let i = 0; i < pixels.length; i++) pixels[i] = ((Math.imul(i, 2654435761) >>> 8) & 65535) / 65535;
const times = [];
let scores;
for (let i = 0; i < Number(runs); i++) {
  const from = performance.now();
  const input = tf.tensor4d(pixels, [1, 224, 224, 3]);
  const output = model.execute({input}, 'MobilenetV2/Predictions/Softmax');
  scores = await output.data();
  times.push(performance.now() - from);
  tf.dispose([input, output]);
}
const first = times[0];
times.sort((a, b) => a - b);
const best = scores.indexOf(Math.max(...scores));
console.log(JSON.stringify({ready_ms: ready, first_ms: first, run_ms: times[times.length >> 1], class: best, probability: scores[best]}));
