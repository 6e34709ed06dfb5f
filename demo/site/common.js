// What the pages share: their language, calls of functions, and how times and sizes are shown.
import { chinese, said } from './words.js';

export const $ = (id) => document.getElementById(id);

let language = 'en';
const listeners = [];
const english = new Map(); // by key: what the page itself says

// A sentence of `said` in the page's language.
export function say(name, values = {}) {
  return said[name][language === 'zh' ? 1 : 0].replace(/\{(\w+)\}/g, (_, key) => values[key]);
}
export const isChinese = () => language === 'zh';

// Call this when the language has changed.
export function onLanguage(again) {
  listeners.push(again);
}

function translated(key, now) {
  if (!english.has(key)) english.set(key, now);
  return language === 'zh' ? chinese[key] : english.get(key);
}

function setLanguage(code) {
  language = code;
  document.documentElement.lang = code === 'zh' ? 'zh-Hans' : 'en';
  for (const e of document.querySelectorAll('[data-t]')) {
    e.textContent = translated(e.dataset.t, e.textContent);
  }
  for (const e of document.querySelectorAll('[data-t-label]')) {
    e.setAttribute('aria-label', translated(e.dataset.tLabel, e.getAttribute('aria-label')));
  }
  $('language').textContent = code === 'zh' ? 'English' : '中文';
  $('language').lang = code === 'zh' ? 'en' : 'zh';
  listeners.forEach((again) => again());
}

// The language is what was chosen here before, else the browser's.
function remembered() {
  try {
    return localStorage.getItem('language');
  } catch {
    return null; // storage may be forbidden
  }
}

export function startLanguage() {
  $('language').addEventListener('click', () => {
    const code = language === 'zh' ? 'en' : 'zh';
    try {
      localStorage.setItem('language', code);
    } catch { /* then it is not remembered */ }
    setLanguage(code);
  });
  const wanted = remembered() || navigator.language || 'en';
  setLanguage(wanted.toLowerCase().startsWith('zh') ? 'zh' : 'en');
}

// What the reply of a function that failed says: {code, message}.
export function failureOf(status, text) {
  try {
    const { code, message } = JSON.parse(text).error;
    return { code, message };
  } catch {
    return { code: '', message: String(status) }; // not ours: the status has to do
  }
}

export function sandboxTime(field) {
  const timing = /dur=([\d.]+)/.exec(field || '');
  return timing ? Number(timing[1]) : null;
}

// Call a function. The reply's body as a blob, and how long it took: here, and in the sandbox.
export async function call(path, body, type) {
  const start = performance.now();
  let reply;
  try {
    reply = await fetch(path, { method: 'POST', body, headers: { 'Content-Type': type } });
  } catch {
    throw new Error(say('gone'));
  }
  const blob = await reply.blob();
  const total = performance.now() - start;
  if (!reply.ok) throw new Error(failureOf(reply.status, await blob.text()).message);
  return { blob, total, inside: sandboxTime(reply.headers.get('Server-Timing')) };
}

export const size = (n) => n < 10240 ? n + ' B' : n < 10485760 ? Math.round(n / 1024) + ' KB' : (n / 1048576).toFixed(1) + ' MB';
export const ms = (t) => (t < 10 ? t.toFixed(2) : t < 100 ? t.toFixed(1) : t.toFixed(0)) + ' ms';

// A line of names and values; kind is a class of the value.
export function show(where, parts) {
  where.replaceChildren(...parts.map(([name, value, kind]) => {
    const span = document.createElement('span');
    const b = document.createElement('b');
    b.textContent = value;
    if (kind) b.className = kind;
    span.append(name + ' ', b);
    return span;
  }));
}

export const timing = (r) => [[say('in the sandbox'), r.inside === null ? '?' : ms(r.inside)], [say('round trip'), ms(r.total)]];
export const failure = (error) => [['', error.message, 'error']];

// Files dropped anywhere on the page; `over` lights up meanwhile.
export function onDrop(over, take) {
  for (const name of ['dragover', 'dragleave', 'drop']) {
    document.addEventListener(name, (event) => {
      event.preventDefault();
      over.classList.toggle('over', name === 'dragover');
      if (name === 'drop' && event.dataTransfer.files[0]) take(event.dataTransfer.files[0]);
    });
  }
}
