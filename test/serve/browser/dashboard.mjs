// The dashboard in chromium: sign-in, every page in both colour schemes, deploy, try, rollback, logs that grow, failures, by keyboard too; strings that
// would be markup; a wrong token; a server that goes and comes.
// Usage: dashboard.mjs MODULES CHROMIUM SSVM-SERVE SCRATCH FUNCTIONS SHOTS. Ends with 'N passed, N failed, N skipped'.
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { inBrowser } from './browser.mjs';

const [modules, chromium, serve, scratch, functions, shots] = process.argv.slice(2);
const data = join(scratch, 'data');
const EVIL = '<img src=x onerror="window.owned=1">';
const totals = [0, 0];
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function until(what, f) {
  for (let i = 0; i < 3600; i++) { // a busy machine needs longer than anybody waits
    const r = await f();
    if (r) return r;
    await sleep(50);
  }
  throw new Error('never: ' + what);
}

const freePort = () => new Promise((resolve) => {
  const s = createServer().listen(0, '127.0.0.1', () => {
    const { port } = s.address();
    s.close(() => resolve(port));
  });
});

const port = await freePort();
const url = `http://127.0.0.1:${port}`;
let server;

async function start() {
  server = spawn(serve, [join(scratch, 'app'), '--listen', `127.0.0.1:${port}`, '--data', data, '--log', 'none'], { stdio: 'ignore' });
  await until('the server answers', () => existsSync(join(data, 'admin-token')) && fetch(url + '/readyz').then((r) => r.ok, () => false));
}

function stop() {
  return new Promise((resolve) => {
    server.once('exit', resolve);
    server.kill();
  });
}

async function api(method, path, body, type = 'application/json') {
  const token = readFileSync(join(data, 'admin-token'), 'utf8').trim();
  const r = await fetch(url + path, { method, headers: { Authorization: 'Bearer ' + token, 'Content-Type': type }, body });
  if (!r.ok) throw new Error(`${method} ${path}: ${r.status} ${await r.text()}`);
  return r.status === 204 ? null : r.json();
}

async function run(scheme, test) {
  const counts = await inBrowser({ modules, url, chromium, shots }, 'en-GB', async (tools) => {
    await tools.page.emulateMedia({ colorScheme: scheme });
    await tools.page.goto(url + '/dashboard');
    await test({ ...tools, shot: (name) => tools.screenshot(`dashboard-${scheme}-${name}`) });
    const wrong = tools.problems.filter((p) => !p.includes('&wait=')); // who follows the log and goes elsewhere breaks off
    tools.check(`${scheme}: nothing went wrong on the page`, wrong.length === 0, wrong.join('; '));
  });
  totals[0] += counts[0];
  totals[1] += counts[1];
}

const token = () => readFileSync(join(data, 'admin-token'), 'utf8').trim();
const open = async (page, place) => {
  await page.goto(url + '/dashboard#/' + place);
  await page.waitForSelector('main .card');
};
const text = (page, selector = 'main') => page.textContent(selector);

async function signIn(page) {
  await page.fill('input[name=token]', token());
  await page.keyboard.press('Enter');
  await page.waitForSelector('svg.chart path.line');
}

// Every page, what it must show, in one colour scheme.
async function looks({ page, check, shot, problems }) {
  await shot('sign-in');
  await page.fill('input[name=token]', 'ssvm_wrong');
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => document.querySelector('[role=alert]').textContent);
  check('a wrong token is refused in words', (await text(page)).includes('not valid'));
  problems.splice(0, problems.length, ...problems.filter((p) => !p.includes('401')));
  await signIn(page);
  check('the token is kept in the tab alone', await page.evaluate(() => localStorage.length === 0 && document.cookie === '' && sessionStorage.length === 1));
  await sleep(300);
  await shot('overview');
  for (const [place, words] of [['functions', 'made'], ['functions/made', 'Version'], ['logs', 'hello'], ['failures', 'trap'], ['usage', 'wordcount']]) {
    await open(page, place);
    await until(place + ' shows ' + words, async () => (await text(page)).includes(words));
    await sleep(300);
    await shot(place.replace('/', '-'));
    check(`${place} says ${words}`, true);
  }
  await open(page, 'functions/asker');
  const asked = () => page.evaluate(() => [...document.querySelectorAll('[aria-label="Calls of host functions"] tbody tr')].map((row) => [...row.cells].slice(0, 2).map((c) => c.textContent).join(' ')).join());
  const wanted = 'wasi_snapshot_preview1.sched_yield 15,wasi_snapshot_preview1.random_get 3';
  await until('the calls of the host are shown', async () => await asked() === wanted);
  check('calls of the host are as many as the guest made', true);
  await page.focus('[aria-label="Calls of host functions"]');
  check('and their table can be reached', await page.evaluate(() => document.activeElement.getAttribute('role') === 'region'));
  await page.evaluate(() => { window.first = document.activeElement; });
  await until('the table is made anew', () => page.evaluate(() => !window.first.isConnected));
  check('who is in it stays in it when it is made anew', await page.evaluate(() => document.activeElement.getAttribute('aria-label') === 'Calls of host functions'));
  await shot('function-asker');
  await open(page, 'functions/made');
  await until('a function that asked nothing says so', async () => (await text(page, '[aria-label="Calls of the host"]').catch(() => '')).includes('None were called'));
  await open(page, 'failures');
  await page.click('main table a.mono');
  await page.waitForFunction(() => document.querySelector('main')?.textContent.includes('Limits in force'));
  const why = await text(page);
  check('a failure tells trap and limits', why.includes('unreachable') && why.includes('deadline_ms'), why);
  await shot('failure');
  const names = await page.evaluate(() => [...document.querySelectorAll('button, a, input, select, textarea, svg[tabindex], [role=region], [role=log]')].filter((e) => e.offsetParent !== null || e.tagName === 'svg')
    .filter((e) => !(e.getAttribute('aria-label') || e.textContent.trim() || e.labels?.length || e.alt)).map((e) => e.outerHTML));
  check('everything that can be used has a name', names.length === 0, names.join(' '));
}

// Deploy, try and roll back with the keyboard alone.
async function keyboard({ page, check }) {
  await signIn(page);
  await open(page, 'functions');
  const focusOn = async (what) => {
    for (let i = 0; i < 80; i++) {
      await page.keyboard.press('Tab');
      if (await page.evaluate((w) => document.activeElement?.matches?.(w), what)) return true;
    }
    return false;
  };
  check('the tab key reaches a function', await focusOn('main table a[href="#/functions/made"]'));
  await page.keyboard.press('Enter');
  await page.waitForSelector('h1:text("made")');
  await page.waitForSelector('button[aria-label="Serve version 1"]');
  check('focus is at the new page', await page.evaluate(() => document.activeElement.id === 'main'));
  check('a chart can be walked through', await focusOn('svg.chart'));
  await page.keyboard.press('ArrowLeft');
  check('and tells the time', /at \d/.test(await text(page, '.card:has(svg.chart)')));
  check('the rollback can be reached', await focusOn('button[aria-label="Serve version 1"]'));
  await page.keyboard.press('Enter');
  check('it asks first', await page.evaluate(() => document.getElementById('ask').open));
  await page.keyboard.press('Escape');
  await sleep(200);
  check('and takes no for an answer', (await api('GET', '/v1/tenants/default/functions/made')).targets.some((t) => t.weight === 10000 && t.number === 2));
  await page.focus('button[aria-label="Serve version 1"]');
  await page.keyboard.press('Enter');
  await page.focus('#ask-yes');
  await page.keyboard.press('Enter');
  await until('version 1 serves', async () => (await api('GET', '/v1/tenants/default/functions/made')).targets.some((t) => t.weight === 10000 && t.number === 1));
  await page.waitForSelector('button[aria-label="Serve version 2"]');
  check('a yes rolls back, and the page shows it', true);
  await page.focus('input[name=path]');
  await page.keyboard.press('Control+A');
  await page.keyboard.type('/say');
  await page.focus('textarea[name=body]');
  await page.keyboard.type('Ada ' + EVIL);
  await page.focus('form:has(textarea) button');
  await page.keyboard.press('Enter');
  await page.waitForSelector('.answer pre');
  check('a function can be tried', (await text(page, '.answer')).includes('Ada'), await text(page, '.answer'));
  check('its answer is no markup', await page.evaluate(() => document.querySelectorAll('main img').length === 0 && !window.owned));
  await page.setInputFiles('form:has(input[name=name]) input[type=file]', join(functions, 'image.wasm'));
  await page.focus('form:has(input[name=name]) button');
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => document.querySelector('form:has(input[name=name]) [role=status]').textContent.includes('serves at'), null, { timeout: 60000 });
  check('a file can be deployed', (await api('GET', '/v1/tenants/default/functions/made/versions')).versions.length === 3);
}

// Log lines, names and paths that would be markup.
async function markup({ page, check, problems }) {
  await signIn(page);
  await fetch(`${url}/f/made/${encodeURIComponent(EVIL)}?x=${encodeURIComponent(EVIL)}`, { headers: { traceparent: EVIL } });
  await open(page, 'logs');
  await page.waitForSelector('.log p');
  const before = await page.locator('.log p').count();
  await fetch(url + '/f/hello/say', { method: 'POST', body: EVIL });
  await until('the log grows', async () => await page.locator('.log p').count() > before);
  check('the log follows', true);
  await page.goto(url + '/dashboard#/functions/' + encodeURIComponent(EVIL));
  await sleep(500);
  check('a name that is none is text', (await text(page, 'h1')) === EVIL);
  await page.goto(url + '/dashboard#/failures/' + encodeURIComponent(EVIL));
  await sleep(500);
  problems.splice(0, problems.length, ...problems.filter((p) => !/status of 40[04]/.test(p)));
  check('nothing was run', await page.evaluate(() => !window.owned && document.querySelectorAll('main img, main script').length === 0));
  const policy = (await fetch(url + '/dashboard')).headers.get('content-security-policy');
  check('the policy allows no foreign and no inline script', policy.includes("default-src 'none'") && policy.includes("script-src 'self'") && !policy.includes('unsafe'));
}

// The server goes, and comes back; a token that is revoked.
async function gone({ page, check, problems }) {
  const made = await api('POST', '/v1/tokens', JSON.stringify({ name: 'short', scopes: ['read'] }));
  await page.fill('input[name=token]', made.token);
  await page.keyboard.press('Enter');
  await page.waitForSelector('svg.chart path.line');
  await stop();
  await page.waitForFunction(() => document.getElementById('banner').textContent.includes('does not answer'));
  check('a server that is gone is told', true);
  await start();
  await page.waitForFunction(() => document.getElementById('banner').textContent === '');
  check('and that it is back', await page.isVisible('svg.chart'));
  await open(page, 'functions/made');
  await page.waitForSelector('h1:text("made")');
  await sleep(500);
  check('who may only read is offered no more', await page.locator('button:text("Serve this"), button:text("Deploy")').count() === 0);
  await api('DELETE', '/v1/tokens/' + made.id);
  await page.waitForSelector('form.sign');
  check('a revoked token ends the session', (await text(page)).includes('not valid') && await page.evaluate(() => sessionStorage.length === 0));
  problems.length = 0; // what the browser itself says of all this
}

// "five" calls sched_yield five times and random_get once.
const asker = Buffer.from('0061736d01000000010e036000017f60027f7f017f600000024a0216776173695f736e617073686f745f70726576696577310b73636865645f7969656c64000016776173695f736e6170'
  + '73686f745f70726576696577310a72616e646f6d5f6765740001030201020503010001071102066d656d6f72790200046669766500020a1a01180010001a10001a10001a10001a10001a4100410810011a0b', 'hex');

// (module (func (export "trap") unreachable))
writeFileSync(join(scratch, 'app/functions/broken.wasm'), Buffer.from('0061736d0100000001040160000003020100070801047472617000000a05010300000b', 'hex'));
await start();
try {
  await api('PUT', '/v1/tenants/default/functions/made', readFileSync(join(functions, 'hello.wasm')), 'application/wasm');
  await api('PUT', '/v1/tenants/default/functions/made', readFileSync(join(functions, 'wordcount.wasm')), 'application/wasm');
  for (let i = 0; i < 30; i++) {
    await fetch(url + '/f/wordcount', { method: 'POST', body: 'to be or not to be' });
    await fetch(url + '/f/hello/say', { method: 'POST', body: 'x' });
  }
  await fetch(url + '/f/broken/trap');
  await api('PUT', '/v1/tenants/default/functions/asker', asker, 'application/wasm');
  let asked = 0; // workers hear of it a little later
  await until('three calls of asker', async () => (asked += (await fetch(url + '/f/asker/five')).ok ? 1 : 0) === 3);
  for (const scheme of ['light', 'dark']) await run(scheme, looks);
  await run('light', keyboard);
  await run('dark', markup);
  await run('light', gone);
} catch (error) {
  totals[1]++;
  console.log('FAILED  the test itself: ' + error.stack);
} finally {
  await stop();
}
console.log(`${totals[0]} passed, ${totals[1]} failed, 0 skipped`);
process.exit(totals[1] > 0 ? 1 : 0);
