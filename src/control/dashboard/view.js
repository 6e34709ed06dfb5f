// Small parts of pages. Text becomes text nodes, always: what functions and logs say is never markup.
export function el(name, properties = {}, ...children) {
  const e = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith('on')) e.addEventListener(key.slice(2), value);
    else if (key === 'class') e.className = value;
    else if (key in e && key !== 'list' && key !== 'form') e[key] = value;
    else e.setAttribute(key, value);
  }
  e.append(...children.flat().filter((c) => c !== null && c !== undefined && c !== false));
  return e;
}

export const card = (title, ...children) => el('section', { class: 'card', 'aria-label': title }, el('h2', {}, title), ...children);
export const wide = (section) => { section.classList.add('wide'); return section; };

// Rows of cells; a cell is text, a node, or {num: text}.
export function table(caption, heads, rows, empty) {
  if (rows.length === 0) return el('p', { class: 'empty' }, empty);
  const cell = (c, name) => {
    const num = c !== null && typeof c === 'object' && 'num' in c;
    return el(name, { class: num ? 'num' : undefined, scope: name === 'th' ? 'col' : undefined }, num ? c.num : c ?? '');
  };
  return el('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': caption },
    el('table', {}, heads.some(Boolean) && el('thead', {}, el('tr', {}, heads.map((h) => cell(h, 'th')))),
      el('tbody', {}, rows.map((row) => el('tr', {}, row.map((c) => cell(c, 'td')))))));
}

// New content for a box. Who is in it with the keyboard stays there, where there still is such a thing.
export function fill(box, ...parts) {
  const name = (e) => e.getAttribute('aria-label') || e.href;
  const held = box.contains(document.activeElement) ? name(document.activeElement) : undefined;
  box.replaceChildren(...parts);
  if (held) [...box.querySelectorAll('[tabindex], a')].find((e) => name(e) === held)?.focus({ preventScroll: true });
}

export function bytes(n) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let i = 0;
  while (n >= 1024 && i < units.length - 1) { n /= 1024; i++; }
  return (i && n < 100 ? n.toFixed(1) : Math.round(n)) + ' ' + units[i];
}

export const count = (n) => Number(n).toLocaleString('en');
export const when = (text) => new Date(text).toLocaleString();
export const ms = (n) => n === undefined ? '' : n >= 1000 ? (n / 1000).toFixed(2) + ' s' : Number(n).toFixed(n < 10 ? 2 : 0) + ' ms';

export function status(n) {
  return el('span', { class: 'pill ' + (n >= 500 ? 'error' : n >= 400 ? 'warn' : 'good') }, String(n));
}

// A question with two answers; the promise is whether it was yes.
export function confirmed(question, yes) {
  const dialog = document.getElementById('ask');
  document.getElementById('ask-text').textContent = question;
  document.getElementById('ask-yes').textContent = yes;
  dialog.returnValue = 'no';
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener('close', () => resolve(dialog.returnValue === 'yes'), { once: true }));
}
