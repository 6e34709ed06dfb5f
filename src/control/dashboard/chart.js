// Line charts over time, as SVG: hover or the arrow keys show the values of one moment.
const NS = 'http://www.w3.org/2000/svg';
const HEIGHT = 190, LEFT = 46, RIGHT = 8, TOP = 10, BOTTOM = 22;

function node(name, attributes, text) {
  const e = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) e.setAttribute(key, value);
  if (text !== undefined) e.textContent = text;
  return e;
}

// 1, 2 or 5 times a power of ten, not below `most`.
function roundUp(most) {
  if (!(most > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(most));
  return [1, 2, 5, 10].map((n) => n * power).find((n) => n >= most * 0.999);
}

export function short(n) {
  if (n === null || n === undefined) return '–';
  const units = [[1e12, 'T'], [1e9, 'G'], [1e6, 'M'], [1e3, 'k']];
  for (const [size, unit] of units) if (Math.abs(n) >= size) return trim(n / size) + unit;
  return trim(n);
}

function trim(n) {
  return String(Math.abs(n) >= 100 ? Math.round(n) : Number(n.toPrecision(3)));
}

function clock(seconds) {
  return new Date(seconds * 1000).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
}

// Consecutive points that have values, as pieces of a path.
function path(values, x, y) {
  let d = '', pen = false;
  values.forEach((value, i) => {
    if (value === null || value === undefined) { pen = false; return; }
    d += (pen ? 'L' : 'M') + x(i).toFixed(1) + ' ' + y(value).toFixed(1);
    if (!pen && (values[i + 1] === null || values[i + 1] === undefined)) d += 'h.1';
    pen = true;
  });
  return d;
}

// A chart in an element of its own. `update({from, step, series: [{name, values, tone}]})` draws; `unit` stands behind numbers.
export function chart(title, unit) {
  const box = document.createElement('div');
  const legend = document.createElement('div');
  const svg = node('svg', { class: 'chart', role: 'img', tabindex: '0' });
  const spoken = document.createElement('span');
  let data = null, at = -1, width = 560;
  legend.className = 'legend';
  spoken.className = 'soft';
  spoken.setAttribute('aria-live', 'polite');
  box.append(svg, legend, spoken);

  const count = () => data ? Math.max(...data.series.map((s) => s.values.length)) : 0;
  const x = (i) => LEFT + (width - LEFT - RIGHT) * (count() > 1 ? i / (count() - 1) : 1);

  function drawLegend() {
    const i = at >= 0 ? at : count() - 1;
    legend.replaceChildren(...data.series.map((s, n) => {
      const key = document.createElement('span');
      key.className = 'k' + (s.tone || n + 1);
      key.append(document.createElement('i'), `${s.name} ${short(s.values[i])}${s.values[i] === null ? '' : unit}`);
      return key;
    }));
    spoken.textContent = at >= 0 ? 'at ' + new Date((data.from + at * data.step) * 1000).toLocaleTimeString() : '';
  }

  function draw() {
    width = Math.max(260, svg.clientWidth || 560);
    svg.setAttribute('viewBox', `0 0 ${width} ${HEIGHT}`);
    const all = data.series.flatMap((s) => s.values).filter((v) => typeof v === 'number');
    const top = roundUp(Math.max(0, ...all));
    const y = (v) => HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * Math.min(1, v / top);
    const parts = [];
    for (const share of [0, 0.5, 1]) {
      parts.push(node('line', { class: 'grid', x1: LEFT, x2: width - RIGHT, y1: y(top * share), y2: y(top * share) }));
      parts.push(node('text', { x: LEFT - 6, y: y(top * share) + 4, 'text-anchor': 'end' }, short(top * share) + unit));
    }
    for (let k = 0; k <= 4; k++) {
      const i = Math.round((count() - 1) * k / 4);
      parts.push(node('text', { x: x(i), y: HEIGHT - 6, 'text-anchor': k === 0 ? 'start' : k === 4 ? 'end' : 'middle' }, clock(data.from + i * data.step)));
    }
    data.series.forEach((s, n) => {
      const d = path(s.values, x, y);
      if (n === 0 && data.filled && s.values.length)
        parts.push(node('path', { class: 'a1', d: d + `L${x(s.values.length - 1)} ${y(0)}L${x(0)} ${y(0)}Z` }));
      parts.push(node('path', { class: 'line s' + (s.tone || n + 1), d }));
    });
    if (at >= 0) parts.push(node('line', { class: 'cross', x1: x(at), x2: x(at), y1: TOP, y2: HEIGHT - BOTTOM }));
    svg.replaceChildren(...parts);
    const last = data.series.map((s) => `${s.name} ${short(s.values.findLast((v) => v !== null) ?? null)}${unit}`);
    svg.setAttribute('aria-label', `${title}, the last hour. Last: ${last.join(', ')}. Arrow keys show earlier values.`);
    drawLegend();
  }

  function move(i) {
    at = i;
    if (data) draw();
  }
  svg.addEventListener('pointermove', (event) => {
    const place = svg.getBoundingClientRect();
    const share = ((event.clientX - place.left) / place.width * width - LEFT) / (width - LEFT - RIGHT);
    move(Math.max(0, Math.min(count() - 1, Math.round(share * (count() - 1)))));
  });
  svg.addEventListener('pointerleave', () => move(-1));
  svg.addEventListener('blur', () => move(-1));
  svg.addEventListener('keydown', (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1, PageUp: -30, PageDown: 30 }[event.key];
    if (!by) return;
    event.preventDefault();
    move(Math.max(0, Math.min(count() - 1, (at < 0 ? count() - 1 : at) + by)));
  });
  new ResizeObserver(() => data && draw()).observe(svg);
  return { box, update(next) { data = next; draw(); } };
}
