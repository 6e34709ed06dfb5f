// The pages. Each is {title, show(app, argument)}, which gives the parts to put under the heading.
import { Refused, send } from './api.js';
import { chart, short } from './chart.js';
import { bytes, card, confirmed, count, el, fill, ms, status, table, wide, when } from './view.js';

const SERIES_MS = 5000, LIVE_MS = 2000, LOG_LINES = 1000, LOG_WAIT_S = 20, ANSWER_MAX = 65536;

const functionLink = (name) => el('a', { href: '#/functions/' + encodeURIComponent(name) }, name);
const failureLink = (id) => el('a', { href: '#/failures/' + encodeURIComponent(id), class: 'mono' }, id);
const at = (tenant, ...rest) => '/v1/tenants/' + [tenant, ...rest].map(encodeURIComponent).join('/');

/* ---- Charts ---- */

function charts(app, name) {
  const calls = chart('Calls', '/s'), latency = chart('Latency', ' ms'), gas = chart('Gas', '/s');
  const path = '/v1/series' + app.query({ tenant: app.tenant, function: name });
  app.every(SERIES_MS, async () => {
    const s = await app.get(path);
    const per = (values) => values.map((v) => v / s.step_s);
    const base = { from: s.from, step: s.step_s };
    calls.update({ ...base, filled: true, series: [{ name: 'calls', values: per(s.calls) }, { name: 'errors', values: per(s.errors), tone: 4 }] });
    latency.update({ ...base, series: ['p50', 'p90', 'p99'].map((q) => ({ name: q, values: s[q + '_ms'] })) });
    gas.update({ ...base, filled: true, series: [{ name: 'gas', values: per(s.gas) }] });
  });
  return [card('Calls', calls.box), card('Latency', latency.box), card('Gas', gas.box)];
}

function liveCard(app, name) {
  const box = el('div');
  app.every(LIVE_MS, async () => {
    const live = await app.get('/v1/live' + app.query({ tenant: app.tenant }));
    const rows = live.requests.filter((r) => !name || r.function === name);
    fill(box, table('Requests that run now', ['Request', 'Function', 'Path', { num: 'For' }],
      rows.map((r) => [el('span', { class: 'mono' }, r.id), functionLink(r.function), `${r.method} ${r.path}`, { num: ms(r.ms) }]),
      'Nothing runs at this moment.'));
  });
  return card('Running now', box);
}

// What its calls asked of the host. Counted by this node since its control process began, as metrics are.
function hostCard(app, name) {
  const box = el('div');
  app.every(SERIES_MS, async () => {
    const h = await app.get(at(app.tenant, 'functions', name, 'host-calls'));
    fill(box, el('p', { class: 'soft' }, `${count(h.calls)} on node ${h.node} since ${when(h.since)}, in finished requests.`),
      table('Calls of host functions', ['Host function', { num: 'Calls' }, { num: 'Gas' }],
        h.functions.map((f) => [el('code', {}, f.name), { num: count(f.calls) }, { num: count(f.gas) }]), 'None were called.'));
  });
  return card('Calls of the host', box);
}

function processCard(app) {
  const box = el('div');
  app.every(SERIES_MS, async () => {
    const live = await app.get('/v1/live');
    const figure = (name, value) => el('div', {}, el('b', {}, value), el('span', { class: 'soft' }, name));
    fill(box, el('div', { class: 'figures' },
      figure('version', live.node.version), figure('up', live.node.uptime_s >= 7200 ? Math.round(live.node.uptime_s / 3600) + ' h' : Math.round(live.node.uptime_s / 60) + ' min'),
      figure('connections', count(live.processes.reduce((n, p) => n + (p.connections || 0), 0))),
      figure('memory', bytes(live.processes.reduce((n, p) => n + (p.rss_bytes || 0), 0)))),
    table('Processes', ['Process', { num: 'pid' }, { num: 'Memory' }, { num: 'CPU' }, { num: 'Files' }, { num: 'Running' }],
      live.processes.map((p) => [p.process, { num: String(p.pid) }, { num: bytes(p.rss_bytes || 0) }, { num: ms(p.cpu_ms) }, { num: String(p.fds ?? '') }, { num: String(p.running ?? '') }]), ''));
  });
  return card('This node', box);
}

/* ---- Overview ---- */

async function overview(app) {
  const failures = el('div');
  app.every(SERIES_MS, async () => fill(failures, failureTable(await app.get('/v1/failures' + app.query({ tenant: app.tenant, limit: 8 })))));
  return [...charts(app), liveCard(app), wide(card('Last failures', failures)), app.tenant ? null : wide(processCard(app))].filter(Boolean);
}

/* ---- Functions ---- */

async function functions(app, name) {
  if (!app.tenant) return [wide(card('Functions', el('p', { class: 'empty' }, 'Choose a tenant above.')))];
  return name ? oneFunction(app, name) : allFunctions(app);
}

async function allFunctions(app) {
  const list = (await app.get(at(app.tenant, 'functions'))).functions;
  const parts = [wide(card('Functions', table('Functions', ['Function', 'Address', 'Serves', 'Changed'],
    list.map((f) => [functionLink(f.name), el('a', { href: f.url }, f.url), targetText(f), when(f.updated)]),
    'None yet: deploy one below, or with `ssvm deploy`.')))];
  if (app.may('deploy')) parts.push(wide(deployCard(app, '')));
  return parts;
}

const targetText = (f) => f.targets.map((t) => `version ${t.number}` + (t.weight && t.weight !== 10000 ? ` (${t.weight / 100} %)` : '') + t.aliases.map((a) => ` as @${a}`).join('')).join(', ');

function deployCard(app, name) {
  const field = el('input', { name: 'name', value: name, required: true, pattern: '[A-Za-z0-9_.\\-]{1,64}', readOnly: Boolean(name), spellcheck: false });
  const file = el('input', { type: 'file', accept: '.wasm,application/wasm', required: true });
  const button = el('button', {}, 'Deploy'), says = el('p', { role: 'status' });
  const form = el('form', { class: 'stack' }, el('label', {}, 'Name', field), el('label', {}, 'Module (.wasm)', file), el('div', {}, button), says);
  file.addEventListener('change', () => {
    if (!field.value && file.files[0]) field.value = file.files[0].name.replace(/\.wasm$/, '');
  });
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    button.disabled = true;
    says.className = 'soft';
    says.textContent = 'Checking, compiling and trying it…';
    try {
      const done = await app.ask('PUT', at(app.tenant, 'functions', field.value), { body: file.files[0], type: 'application/wasm' });
      says.className = 'good';
      says.replaceChildren(`Version ${done.number} serves at `, el('a', { href: done.url }, done.url), ...done.note.split('\n').filter(Boolean).flatMap((line) => [el('br'), line]));
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      says.className = 'error';
      says.textContent = error.message;
    }
    button.disabled = false;
  });
  return card(name ? 'Deploy a new version' : 'Deploy', form);
}

function versionsCard(app, f, versions) {
  const rollback = (v) => el('button', {
    class: 'small quiet', 'aria-label': `Serve version ${v.number}`,
    onclick: async () => {
      if (!await confirmed(`Let version ${v.number} of ${f.name} serve all requests?`, 'Serve version ' + v.number)) return;
      if (await app.attempt(() => app.ask('POST', at(app.tenant, 'functions', f.name, 'rollback'), { json: { version: String(v.number) } })))
        dispatchEvent(new HashChangeEvent('hashchange'));
    },
  }, 'Serve this');
  return card('Versions', table('Versions', [{ num: 'Version' }, 'Digest', 'Deployed', { num: 'Size' }, 'Share', ''],
    versions.map((v) => [{ num: String(v.number) }, el('code', { title: v.digest, class: 'mono' }, v.digest.slice(0, 12)), when(v.created), { num: bytes(v.bytes) },
      (v.weight ? v.weight / 100 + ' %' : '') + v.aliases.map((a) => ' @' + a).join(''), v.weight === 10000 || !app.may('deploy') ? '' : rollback(v)]), 'None.'));
}

function tryCard(app, name, exports) {
  const path = el('input', { name: 'path', placeholder: '/FUNCTION', spellcheck: false, list: 'exports', value: exports.length === 1 && exports[0].name !== '_start' ? '/' + exports[0].name : '' });
  const choices = el('datalist', { id: 'exports' }, exports.filter((x) => x.name !== '_start').map((x) => el('option', { value: '/' + x.name }, x.signature || '')));
  const type = el('select', {}, ['text/plain', 'application/json', 'application/octet-stream'].map((t) => el('option', {}, t)));
  const body = el('textarea', { name: 'body', spellcheck: false }), file = el('input', { type: 'file' });
  const button = el('button', {}, 'Call'), answer = el('div', { class: 'answer', 'aria-live': 'polite' });
  const form = el('form', { class: 'stack' }, el('label', {}, 'Path behind the function', path, choices), el('label', {}, 'Content type', type),
    el('label', {}, 'Body', body), el('label', {}, 'or a file', file), el('div', {}, button), answer);
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    button.disabled = true;
    answer.replaceChildren('…');
    const begun = performance.now();
    try {
      const r = await send('POST', at(app.tenant, 'functions', name, 'invoke') + app.query({ path: path.value }),
        { body: file.files[0] || body.value, type: file.files[0] ? file.files[0].type || 'application/octet-stream' : type.value, signal: app.signal });
      answer.replaceChildren(...await showAnswer(r, performance.now() - begun));
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      answer.replaceChildren(el('p', { class: 'error' }, error.message));
    }
    button.disabled = false;
  });
  return card('Try it', form);
}

async function showAnswer(response, took) {
  const type = (response.headers.get('Content-Type') || '').split(';')[0];
  const id = response.headers.get('X-Request-Id');
  const head = el('p', { class: 'row' }, status(response.status), el('span', { class: 'soft' }, `${type || 'no body'}, ${ms(took)}`),
    id && response.status >= 400 ? failureLink(id) : null);
  if (/^image\/(png|jpeg|gif|webp)$/.test(type))
    return [head, el('img', { src: URL.createObjectURL(await response.blob()), alt: 'the answer' })];
  const text = await response.text();
  return [head, el('pre', { tabindex: '0', 'aria-label': 'The answer' }, text.slice(0, ANSWER_MAX) + (text.length > ANSWER_MAX ? '\n…' : ''))];
}

// A file of the server's folder has no versions, and is no function of the registry.
function oneFile(app, name) {
  return [wide(card('Not deployed', el('p', {}, 'The registry does not have it. Where it is a file of the server\u2019s folder, it is called as ', el('code', {}, '/f/' + name), '.'))),
    ...charts(app, name), liveCard(app, name), wide(logCard(app, name))];
}

async function oneFunction(app, name) {
  let f, list;
  try {
    [f, list] = await Promise.all([app.get(at(app.tenant, 'functions', name)), app.get(at(app.tenant, 'functions', name, 'versions'))]);
  } catch (error) {
    if (error.status !== 404 && error.status !== 400) throw error;
    return oneFile(app, name);
  }
  const about = card('Address', el('p', {}, el('a', { href: f.url }, f.url), f.keyed ? el('span', { class: 'soft' }, ' (callers need a key)') : null),
    el('p', { class: 'soft' }, 'serves ' + (targetText(f) || 'nothing')));
  const parts = [wide(about), ...charts(app, name), liveCard(app, name), wide(hostCard(app, name)), wide(versionsCard(app, f, list.versions))];
  if (app.may('invoke')) parts.push(tryCard(app, name, (list.versions.find((v) => v.weight > 0) || list.versions[0])?.exports ?? []));
  if (app.may('deploy')) parts.push(deployCard(app, name));
  parts.push(wide(logCard(app, name)));
  return parts;
}

/* ---- Logs ---- */

function logLine(line) {
  const request = line.event === 'request';
  const text = request ? `${line.function} ${line.method} ${line.status} ${line.ms} ms, gas ${line.gas}` + (line.error ? ` ${line.error}` : '')
    : [line.event, line.function, line.message].filter(Boolean).join(' ');
  return el('p', { class: line.level }, el('time', { dateTime: line.time, title: line.time }, new Date(line.time).toLocaleTimeString()), text + ' ',
    line.id ? (request && line.status >= 500 ? failureLink(line.id) : el('span', { class: 'soft' }, line.id)) : null);
}

function logCard(app, name) {
  const box = el('div', { class: 'log', tabindex: '0', role: 'log', 'aria-label': 'Log' });
  const level = el('select', {}, ['debug', 'info', 'warn', 'error'].map((l) => el('option', { selected: l === 'info' }, l)));
  const only = el('input', { type: 'search', placeholder: 'request id', spellcheck: false });
  const follow = el('input', { type: 'checkbox', checked: true });
  let cursor = '', turn = 0;

  function add(lines) {
    const below = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
    box.append(...lines.map(logLine));
    while (box.childElementCount > LOG_LINES) box.firstElementChild.remove();
    if (below) box.scrollTop = box.scrollHeight;
  }
  function restart() {
    const mine = ++turn;
    cursor = '';
    box.replaceChildren();
    app.every(300, async () => {
      if (mine !== turn) return false;
      if (cursor && !follow.checked) return true;
      const page = await app.get('/v1/logs' + app.query({ tenant: app.tenant, function: name, level: level.value, request: only.value.trim(),
        cursor, wait: cursor ? LOG_WAIT_S : '', limit: 300 }), { signal: app.signal });
      if (mine !== turn) return false;
      cursor = page.cursor;
      add(page.lines);
      return true;
    });
  }
  level.addEventListener('change', restart);
  only.addEventListener('change', restart);
  restart();
  return card('Log', el('div', { class: 'row' }, el('label', {}, 'Level ', level), el('label', {}, 'Request ', only), el('label', {}, follow, ' follow')), el('p'), box);
}

const logs = async (app) => [wide(logCard(app))];

/* ---- Failures ---- */

function failureTable(page) {
  return table('Failures', ['Time', 'Request', 'Function', 'Status', 'What happened'],
    page.failures.map((f) => [when(f.time), failureLink(f.id), functionLink(f.function), status(f.status), `${f.code}: ${f.message}`]), 'No request has failed.');
}

async function failures(app, id) {
  if (id) return oneFailure(app, id);
  const box = el('div'), more = el('button', { class: 'quiet' }, 'Older ones');
  let before = '';
  const load = async () => {
    const page = await app.get('/v1/failures' + app.query({ tenant: app.tenant, before }));
    box.append(failureTable(page));
    before = page.next || '';
    more.hidden = !before;
  };
  more.addEventListener('click', () => app.attempt(load));
  await load();
  return [wide(card('Requests that failed', box, more))];
}

async function oneFailure(app, id) {
  const f = await app.get('/v1/failures/' + encodeURIComponent(id) + app.query({ tenant: app.tenant }));
  const facts = [['Time', when(f.time)], ['Function', functionLink(f.function)], ['Version', el('code', {}, f.digest || 'a file')],
    ['Request', `${f.method} ${f.path}`], ['Status', status(f.status)], ['Took', `${ms(f.wall_ms)}, in the sandbox ${ms(f.run_ms)}, CPU ${ms(f.cpu_ms)}`],
    ['Gas', count(f.gas)], ['Calls of the host', (f.host_calls || []).map((h) => `${h.name}: ${count(h.calls)}`).join(', ') || 'none'], ['Memory', bytes(f.memory_peak)], ['Bytes', `${count(f.bytes_in)} in, ${count(f.bytes_out)} out`],
    ['Input', el('code', {}, f.input_sha256)], ['Trace', el('code', {}, f.trace || 'none')]];
  return [
    wide(card(f.code, el('p', { class: 'error' }, f.message))),
    wide(card('Where', table('Backtrace, the innermost first', ['Function', 'Source', 'Frame'],
      f.backtrace.map((b) => [el('code', {}, b.function || ''), el('code', {}, b.file ? `${b.file}:${b.line}` : ''), el('code', {}, b.text)]), 'There is no backtrace.'))),
    card('Request', table('The request', ['', ''], facts, '')),
    card('Limits in force', table('Limits', ['Limit', { num: 'Value' }], Object.entries(f.limits).map(([name, value]) => [name, { num: value ? count(value) : 'none' }]), 'None are known.')),
    f.stderr ? wide(card('Standard error', el('pre', { tabindex: '0', 'aria-label': 'Standard error' }, f.stderr))) : null,
  ].filter(Boolean);
}

/* ---- Usage ---- */

const DAY = 86400;
const spans = { 'last hour': 3600, 'last 24 hours': DAY, 'last 7 days': 7 * DAY, 'last 30 days': 30 * DAY };

async function usage(app) {
  const span = el('select', {}, Object.keys(spans).map((s) => el('option', { selected: s === 'last 24 hours' }, s)));
  const step = el('select', {}, ['all', 'day', 'hour', 'minute'].map((s) => el('option', {}, s)));
  const box = el('div');
  const path = (format) => {
    const now = Math.ceil(Date.now() / 60000) * 60;
    return '/v1/usage' + app.query({ tenant: app.tenant, from: now - spans[span.value], until: now, step: step.value, by: 'function', format });
  };
  const load = async () => {
    const rows = (await app.get(path('json'))).usage;
    box.replaceChildren(table('Usage', ['From', 'Tenant', 'Function', 'Version', { num: 'Calls' }, { num: 'Errors' }, { num: 'Refused' }, { num: 'Gas' }, { num: 'CPU s' }, { num: 'GiB s' }, { num: 'In' }, { num: 'Out' }],
      rows.map((r) => [when(r.time), r.tenant, functionLink(r.function), el('code', { class: 'mono' }, r.digest.slice(0, 8)), { num: count(r.calls) }, { num: count(r.errors) }, { num: count(r.rejected) },
        { num: short(r.gas) }, { num: (r.cpu_ns / 1e9).toFixed(3) }, { num: (r.byte_seconds / 2 ** 30).toFixed(4) }, { num: bytes(r.bytes_in) }, { num: bytes(r.bytes_out) }]), 'Nothing was used.'));
  };
  const save = (format) => el('button', {
    class: 'quiet small', onclick: () => app.attempt(async () => {
      const text = await (await send('GET', path(format))).blob();
      const link = el('a', { href: URL.createObjectURL(text), download: 'usage.' + format });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    }),
  }, 'Save as ' + format.toUpperCase());
  span.addEventListener('change', () => app.attempt(load));
  step.addEventListener('change', () => app.attempt(load));
  await load();
  return [wide(card('Usage', el('div', { class: 'row' }, el('label', {}, 'Time ', span), el('label', {}, 'Rows by ', step), save('csv'), save('json')), box))];
}

export const pages = {
  overview: { title: 'Overview', show: overview },
  functions: { title: 'Functions', show: functions },
  logs: { title: 'Logs', show: logs },
  failures: { title: 'Failures', show: failures },
  usage: { title: 'Usage', show: usage },
};
