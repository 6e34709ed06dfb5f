// Runs a WASI program with injected counters in this JavaScript engine and prints its gas: the counter, and for every call of a system
// interface the price in wasi.def. Usage: count.mjs COUNTED.wasm WASI.DEF [ARG...]
import fs from "node:fs";
import { WASI } from "node:wasi";

const [file, def, ...args] = process.argv.slice(2);
const prices = new Map();
for (const m of fs.readFileSync(def, "utf8").matchAll(/^FUNC\((\w+), \w+, [^,]+, "[^"]*", (\d+)/gm))
  if (!prices.has(m[1])) prices.set(m[1], BigInt(m[2]));
const wasi = new WASI({ version: "preview1", args: ["program", ...args], returnOnExit: true });
let host = 0n;
const imports = {};
for (const [name, f] of Object.entries(wasi.wasiImport))
  imports[name] = (...a) => {
    host += prices.get(name) ?? 0n;
    return f(...a);
  };
const instance = new WebAssembly.Instance(new WebAssembly.Module(fs.readFileSync(file)), { wasi_snapshot_preview1: imports });
wasi.start(instance);
console.error(`gas ${host + instance.exports["ssvm-gas"].value}`);
