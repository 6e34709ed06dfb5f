// The pages of tutorial/ in chromium: deployed by the calls of 2020, served from another origin than the functions', with and without the right usage key.
// Usage: tutorial.mjs MODULES CHROMIUM SSVM-SERVE SCRATCH FUNCTIONS SHOTS. Ends with 'N passed, N failed, N skipped'.
import { spawn } from 'node:child_process';
import { createServer } from 'node:http';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { deflateSync, crc32 } from 'node:zlib';
import { inBrowser } from './browser.mjs';

const [modules, chromium, serve, scratch, functions, shots] = process.argv.slice(2);
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function until(what, f) {
  for (let i = 0; i < 3600; i++) {
    const r = await f();
    if (r) return r;
    await sleep(50);
  }
  throw new Error('never: ' + what);
}

// A red picture of 64x64.
function png() {
  const crc = crc32 || ((b) => {
    let c = ~0;
    for (const x of b) { c ^= x; for (let k = 0; k < 8; k++) c = c & 1 ? (c >>> 1) ^ 0xedb88320 : c >>> 1; }
    return ~c >>> 0;
  });
  const chunk = (type, data) => {
    const body = Buffer.concat([Buffer.from(type), data]), out = Buffer.alloc(12 + data.length);
    out.writeUInt32BE(data.length);
    body.copy(out, 4);
    out.writeUInt32BE(crc(body), 8 + data.length);
    return out;
  };
  const head = Buffer.from([0, 0, 0, 64, 0, 0, 0, 64, 8, 2, 0, 0, 0]);
  const row = Buffer.concat([Buffer.from([0]), Buffer.concat(Array(64).fill(Buffer.from([200, 10, 10])))]);
  return Buffer.concat([Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'), chunk('IHDR', head), chunk('IDAT', deflateSync(Buffer.concat(Array(64).fill(row)))), chunk('IEND', Buffer.alloc(0))]);
}

// The functions' server.
let out = '';
const server = spawn(serve, [join(scratch, 'app'), '--listen', '127.0.0.1:0', '--log', 'none'], { stdio: ['ignore', 'pipe', 'inherit'] });
server.stdout.on('data', (d) => { out += d; });
const api = await until('the server starts', () => (out.match(/http:\S+ (?=serves)/) || [])[0]?.trim());
const token = await until('there is a token', () => existsSync(join(scratch, 'app/.ssvm/admin-token')) && readFileSync(join(scratch, 'app/.ssvm/admin-token'), 'utf8').trim());

async function deploy(file, headers = {}) {
  const r = await fetch(api + '/api/executables', {
    method: 'POST', body: readFileSync(file),
    headers: { Authorization: 'Bearer ' + token, 'Content-Type': 'application/octet-stream', SSVM_Description: 'a tutorial', ...headers },
  });
  return r.json();
}
const hello = await deploy(join(functions, 'hello.wasm'), { SSVM_Create_Usage_Key: 'true' });
const image = await deploy(join(functions, 'image.wasm'));
const infer = await deploy(join(scratch, 'infer.wasm'));
await until('workers know them', async () => (await fetch(`${api}/api/run/${infer.wasm_id}/infer`, { method: 'POST', body: 'x' })).ok);

// The page's own server.
const page = readFileSync(new URL('./tutorial/index.html', import.meta.url));
const pages = createServer((request, response) => {
  response.writeHead(request.url.startsWith('/?') ? 200 : 404, { 'Content-Type': 'text/html' });
  response.end(request.url.startsWith('/?') ? page : '');
});
await new Promise((resolve) => pages.listen(0, '127.0.0.1', resolve));
const url = `http://127.0.0.1:${pages.address().port}`;
const address = (key) => `${url}/?${new URLSearchParams({ server: api, hello: hello.wasm_id, image: image.wasm_id, infer: infer.wasm_id, key })}`;
const picture = join(scratch, 'red.png');
writeFileSync(picture, png());

const totals = await inBrowser({ modules, url, chromium, shots }, 'en-US', async ({ page: tab, check, screenshot, problems }) => {
  const text = async (id) => { await tab.waitForFunction((i) => document.getElementById(i).textContent, id); return tab.textContent('#' + id); };
  // The colour of the middle of an image, once it is shown.
  const middle = async (id) => {
    await tab.waitForFunction((i) => { const e = document.getElementById(i); return e.complete && e.naturalWidth; }, id);
    return tab.evaluate((i) => {
      const e = document.getElementById(i), c = Object.assign(document.createElement('canvas'), { width: e.naturalWidth, height: e.naturalHeight }).getContext('2d');
      c.drawImage(e, 0, 0);
      return [e.naturalWidth, ...c.getImageData(e.naturalWidth / 2, 8, 1, 1).data.slice(0, 3)];
    }, id);
  };
  await tab.goto(address(hello.SSVM_Usage_Key));
  await tab.click('#say');
  const said = await text('said');
  check('text: a page of another origin says hello', said === 'hello, Second State FaaS', said);
  await tab.setInputFiles('#picture', picture);
  await tab.click('#infer');
  const what = await text('inferred');
  check('a picture becomes text', what === `It is a PNG of ${png().length} bytes`, what);
  await tab.click('#grey');
  const grey = await middle('greyed');
  check('a picture becomes a picture, a grey one', grey[0] === 64 && grey[1] === grey[2] && grey[2] === grey[3], String(grey));
  await tab.setInputFiles('#marked', picture);
  await tab.click('#mark');
  const marked = await middle('watermarked');
  check('two arguments: a picture and a text', marked[0] === 64 && marked[1] > 100, String(marked));
  await screenshot('tutorial');
  check('nothing else was wrong', problems.filter((p) => !p.startsWith('foreign: ' + api)).length === 0, problems.join('; '));
  await tab.goto(address('00000000-0000-0000-0000-000000000000'));
  await tab.click('#say');
  const error = await text('error');
  check('without the key the page is told so', error.startsWith('401 '), error);
});
server.kill();
pages.close();
console.log(`${totals[0]} passed, ${totals[1]} failed, 0 skipped`);
process.exit(totals[1] ? 1 : 0);
