// The dashboard: who is signed in, which page is shown, and what keeps it up to date.
import { ask, get, query, Refused, token } from './api.js';
import { el } from './view.js';
import { pages } from './pages.js';

const main = document.getElementById('main');
const banner = document.getElementById('banner');
const tenants = document.getElementById('tenant');
const ALL = '*';
let shown = 0; // counts pages: work of one that is gone ends
let leaving = new AbortController();

const app = {
  who: null,
  get tenant() { return tenants.value === ALL ? undefined : tenants.value; },
  may: (scope) => app.who.scopes.includes(scope) || app.who.scopes.includes('admin'),
  get, ask, query,
  say(text) { banner.textContent = text || ''; },
  // What a page does again and again; the page's end stops it, and `false`. Trouble is told, and goes on being tried.
  every(milliseconds, work) {
    const page = shown;
    let again = true;
    const turn = async () => {
      if (page !== shown) return;
      if (!document.hidden) await attempt(async () => { again = await work() !== false; }, page);
      if (page === shown && again) setTimeout(turn, milliseconds);
    };
    return turn();
  },
  get signal() { return leaving.signal; },
  async attempt(work) { return attempt(work, shown); },
};

function trouble(error) {
  if (error.name === 'AbortError') return;
  if (!(error instanceof Refused)) throw error;
  if (error.status === 401) { signOut('The token is not valid, or not any more.'); return; }
  if (error.status === 0) app.say('The server does not answer. Trying again…');
  else if (error.status === 403) app.say('This token may not do that: ' + error.message);
  else app.say(error.message);
}

// False: it failed, and that was told.
async function attempt(work, page) {
  try {
    await work();
    if (page === shown && banner.textContent.startsWith('The server does not answer')) app.say('');
    return true;
  } catch (error) {
    if (page === shown) trouble(error);
    return false;
  }
}

/* ---- Signing in ---- */

function signOut(reason) {
  token.forget();
  app.who = null;
  showSignIn(reason);
}

function setFrame(signedIn) {
  for (const id of ['nav', 'tenant-box', 'leave']) document.getElementById(id).hidden = !signedIn;
}

function showSignIn(reason) {
  shown++;
  leaving.abort();
  setFrame(false);
  app.say('');
  const field = el('input', { type: 'password', name: 'token', required: true, autocomplete: 'off', spellcheck: false });
  const trouble = el('p', { class: 'error', role: 'alert' }, reason || '');
  const form = el('form', { class: 'card sign stack' },
    el('h2', {}, 'Sign in'),
    el('p', { class: 'soft' }, 'The server printed its first token when it was first started; it is in the file admin-token of its data folder too. It is kept in this tab alone.'),
    el('label', {}, 'Token', field), trouble, el('div', {}, el('button', {}, 'Sign in')));
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    token.set(field.value.trim());
    try {
      await begin();
    } catch (error) {
      token.forget();
      trouble.textContent = error.status === 401 ? 'This token is not valid.' : error.message;
      field.select();
    }
  });
  main.replaceChildren(form);
  field.focus();
}

async function begin() {
  const who = await get('/v1/whoami');
  const list = who.tenant === ALL ? (await get('/v1/tenants')).tenants.map((t) => t.name) : [who.tenant];
  app.who = who;
  if (who.tenant === ALL) list.push(ALL);
  tenants.replaceChildren(...list.map((name) => el('option', { value: name }, name === ALL ? 'all tenants' : name)));
  setFrame(true);
  show();
}

/* ---- Pages ---- */

// "#/functions/hello" is the page `functions` with the argument "hello".
function place() {
  const [name, ...rest] = location.hash.replace(/^#\/?/, '').split('/');
  let argument = '';
  try { argument = decodeURIComponent(rest.join('/')); } catch { /* as if there were none */ }
  return [Object.hasOwn(pages, name) ? name : 'overview', argument];
}

function showNav(current) {
  document.getElementById('nav').replaceChildren(...Object.entries(pages).map(([name, page]) =>
    el('a', { href: '#/' + name, 'aria-current': name === current ? 'page' : undefined }, page.title)));
}

async function show() {
  if (!app.who) return;
  const [name, argument] = place();
  shown++;
  leaving.abort();
  leaving = new AbortController();
  app.say('');
  showNav(name);
  document.title = pages[name].title + ' · ssvm';
  main.replaceChildren(el('h1', {}, argument || pages[name].title));
  const page = shown;
  await attempt(async () => {
    const parts = await pages[name].show(app, argument);
    if (page === shown) main.append(...parts);
  }, page);
}

addEventListener('hashchange', async () => {
  await show();
  main.focus({ preventScroll: true });
});
tenants.addEventListener('change', show);
document.getElementById('leave').addEventListener('click', () => signOut(''));

if (token.get()) begin().catch((error) => error.status === 0 ? showSignIn('The server does not answer.') : signOut(error.status === 401 ? 'The token is not valid, or not any more.' : error.message));
else showSignIn('');
