// Runs every pure instruction over the operands of edges.def in this JavaScript engine and prints a checksum of the results, a row an
// instruction: `node test/diff/numeric.mjs > test/diff/numeric_v8.def`. With an instruction's name: every operand and result instead.
// test/unit/wasm/numeric.c computes the same checksums from numeric.def. Relaxed instructions are left out: their results
// depend on the machine.
import fs from "node:fs";
import path from "node:path";

const root = path.join(path.dirname(process.argv[1]), "../..");
const read = (name) => fs.readFileSync(path.join(root, name), "utf8");
const edges = (n) =>
  [...read("test/diff/edges.def").matchAll(new RegExp(`^EDGE${n}\\((0x[0-9a-f]+)\\)`, "gm"))].map((m) => BigInt(m[1]));
const edge32 = edges(32);
const edge64 = edges(64);

const ops = new Map();
for (const m of read("src/wasm/opcode.def").matchAll(/^OP\((\w+),\s*0x([0-9a-f]+),\s*"([^"]+)",\s*(\w+),\s*"([^"]*)"/gm))
  ops.set(m[1], { code: parseInt(m[2], 16), sig: m[5] });
const rows = [...read("src/wasm/numeric.def").matchAll(/^(NUM1|NUM2|NUM3|TRAP1|TRAP2|EXTRACT|REPLACE)\((\w+)/gm)];
const canon = new Map([...read("src/wasm/numeric.def").matchAll(/^CANON\((\w+), (\w+)\)/gm)].map((m) => [m[1], m[2]]));

// Operand k of a kind: 16 bytes as two 64-bit halves.
const count = (kind) => (kind === "i" || kind === "f" ? edge32.length : edge64.length);
function operand(kind, k) {
  if (kind === "i" || kind === "f") return [edge32[k], 0n];
  if (kind === "v") return [edge64[k], edge64[(k * 7 + 3) % edge64.length]];
  return [edge64[k], 0n];
}

const leb = (n) => {
  const out = [];
  for (;;) {
    const b = n & 127;
    n >>>= 7;
    if (n === 0) return [...out, b];
    out.push(b | 128);
  }
};
const section = (id, body) => [id, ...leb(body.length), ...body];
const load = { i: [0x28, 2, 0], I: [0x29, 3, 0], f: [0x2a, 2, 0], F: [0x2b, 3, 0], v: [0xfd, 0, 4, 0] };
const store = { i: [0x36, 2, 0], I: [0x37, 3, 0], f: [0x38, 2, 0], F: [0x39, 3, 0], v: [0xfd, 11, 4, 0] };

// A module with one function: operands from 0, 16, 32, result to 48.
function build(op, lane) {
  const [params, result] = op.sig.split(":");
  const code = [0x41, 48];
  [...params].forEach((p, i) => code.push(0x41, i * 16, ...load[p]));
  if (op.code >> 16) code.push(op.code >> 16, ...leb(op.code & 0xffff));
  else code.push(op.code);
  if (lane !== undefined) code.push(lane);
  code.push(...store[result], 0x0b);
  const bytes = [
    0, 0x61, 0x73, 0x6d, 1, 0, 0, 0,
    ...section(1, [1, 0x60, 0, 0]), ...section(3, [1, 0]), ...section(5, [1, 0, 1]),
    ...section(7, [2, 1, 0x66, 0, 0, 1, 0x6d, 2, 0]),
    ...section(10, [1, ...leb(code.length + 1), 0, ...code]),
  ];
  return new WebAssembly.Instance(new WebAssembly.Module(new Uint8Array(bytes))).exports;
}

const TRAP = 0xdeadbeefdeadbeefn;
const mask32 = 0xffffffffn;
const isNan32 = (x) => (x & 0x7fffffffn) > 0x7f800000n;
const isNan64 = (x) => (x & 0x7fffffffffffffffn) > 0x7ff0000000000000n;
const canon32 = (x) => (isNan32(x) ? 0x7fc00000n : x);
const canon64 = (x) => (isNan64(x) ? 0x7ff8000000000000n : x);
const canon32x2 = (x) => canon32(x & mask32) | (canon32(x >> 32n) << 32n);
const shapes = {
  f32: (r) => [canon32(r[0]), r[1]],
  f64: (r) => [canon64(r[0]), r[1]],
  f32x4: (r) => r.map(canon32x2),
  f64x2: (r) => r.map(canon64),
};

// Two running 32-bit hashes, fed with the four words of a result.
class Sum {
  a = 1;
  b = 2;
  word(w) {
    this.a = (Math.imul(this.a ^ w, 0x9e3779b1) + 0x7f4a7c15) | 0;
    this.a ^= this.a >>> 15;
    this.b = Math.imul(this.b ^ w, 0x85ebca77) + 1;
    this.b ^= this.b >>> 13;
  }
  add([low, high]) {
    for (const half of [low, high]) {
      this.word(Number(half & mask32) | 0);
      this.word(Number(half >> 32n) | 0);
    }
  }
  text() {
    return "0x" + [this.a, this.b].map((x) => (x >>> 0).toString(16).padStart(8, "0")).join("");
  }
}

function run(name, lanes, dump) {
  const op = ops.get(name);
  const [params, result] = op.sig.split(":");
  const sum = new Sum();
  const wide = result === "v" || result === "I" || result === "F";
  for (let lane = 0; lane < lanes; lane++) {
    const { f, m } = build(op, op.lanes ? lane : undefined);
    const view = new DataView(m.buffer);
    const put = (at, v) => {
      view.setBigUint64(at, v[0], true);
      view.setBigUint64(at + 8, v[1], true);
    };
    const na = count(params[0]);
    const nb = params.length > 1 ? count(params[1]) : 1;
    for (let i = 0; i < na; i++)
      for (let j = 0; j < nb; j++) {
        put(0, operand(params[0], i));
        if (params.length > 1) put(16, operand(params[1], j));
        if (params.length > 2) put(32, operand(params[2], (i + 2 * j) % count(params[2])));
        let r;
        try {
          f();
          r = [view.getBigUint64(48, true), result === "v" ? view.getBigUint64(56, true) : 0n];
          if (!wide) r[0] &= mask32;
          if (canon.has(name)) r = shapes[canon.get(name)](r);
        } catch {
          r = [TRAP, 0n];
        }
        if (dump) console.log(name, lane, i, j, r.map((x) => x.toString(16)).join(" "));
        sum.add(r);
      }
  }
  return sum.text();
}

const only = process.argv[2];
if (!only) {
  console.log("/* V8(op, checksum): results of every pure instruction in another engine. Written by numeric.mjs. */");
  console.log("/* clang-format off */");
}
for (const [, kind, name] of rows) {
  if (name.includes("RELAXED") || (only && name !== only)) continue;
  const op = ops.get(name);
  op.lanes = kind === "EXTRACT" || kind === "REPLACE";
  const lanes = op.lanes ? Number(name.match(/X(\d+)_/)[1]) : 1;
  const text = run(name, lanes, only !== undefined);
  if (!only) console.log(`V8(${name}, ${text})`);
}
if (!only) console.log("/* clang-format on */");
