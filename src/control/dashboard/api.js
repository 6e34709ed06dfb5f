// What the server says: /v1 with the token of this tab. Knows nothing of the page.
const KEY = 'ssvm-token';

export class Refused extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status; // 0: the server did not answer
    this.code = code;
  }
}

export const token = {
  get: () => sessionStorage.getItem(KEY),
  set: (value) => sessionStorage.setItem(KEY, value),
  forget: () => sessionStorage.removeItem(KEY),
};

// The names and values of a query string, without those that are empty.
export function query(values) {
  const set = Object.entries(values).filter(([, v]) => v !== undefined && v !== null && v !== '');
  return set.length ? '?' + new URLSearchParams(set) : '';
}

async function refuse(response) {
  let error = {};
  try {
    error = (await response.json()).error || {};
  } catch { /* not JSON: the status has to do */ }
  throw new Refused(response.status, error.code || '', error.message || `the server says ${response.status}`);
}

// A Response, whatever its status. Refused with status 0 when there is none.
export async function send(method, path, { body, type, signal } = {}) {
  const headers = { Authorization: 'Bearer ' + (token.get() || '') };
  if (type) headers['Content-Type'] = type;
  try {
    return await fetch(path, { method, headers, body, signal, cache: 'no-store', credentials: 'omit' });
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new Refused(0, 'gone', 'The server does not answer.');
  }
}

export async function ask(method, path, options = {}) {
  if (options.json !== undefined) options = { ...options, body: JSON.stringify(options.json), type: 'application/json' };
  const response = await send(method, path, options);
  if (!response.ok) await refuse(response);
  if (response.status === 204) return null;
  return (response.headers.get('Content-Type') || '').includes('json') ? response.json() : response.text();
}

export const get = (path, options) => ask('GET', path, options);
