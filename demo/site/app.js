// The page's whole program: it sends bytes or text to a function and shows what comes back.
'use strict';

const $ = (id) => document.getElementById(id);
let picture = null; // the bytes that are sent
let result = null;

// Call a function. The reply's body as a blob, and how long it took: here, and in the sandbox.
async function call(path, body, type) {
  const start = performance.now();
  const reply = await fetch(path, { method: 'POST', body, headers: { 'Content-Type': type } });
  const blob = await reply.blob();
  const total = performance.now() - start;
  if (!reply.ok) {
    let message = reply.status + ' ' + reply.statusText;
    try {
      message = JSON.parse(await blob.text()).error.message;
    } catch { /* not ours: the status has to do */ }
    throw new Error(message);
  }
  const timing = /dur=([\d.]+)/.exec(reply.headers.get('Server-Timing') || '');
  return { blob, total, inside: timing ? Number(timing[1]) : null, id: reply.headers.get('X-Request-Id') };
}

const size = (n) => n < 10240 ? n + ' B' : Math.round(n / 1024) + ' KB';
const ms = (t) => (t < 10 ? t.toFixed(2) : t < 100 ? t.toFixed(1) : t.toFixed(0)) + ' ms';

function show(where, parts) {
  where.replaceChildren(...parts.map(([name, value, kind]) => {
    const span = document.createElement('span');
    const b = document.createElement('b');
    b.textContent = value;
    if (kind) b.className = kind;
    span.append(name + ' ', b);
    return span;
  }));
}

const timing = (r) => [['in the sandbox', r.inside === null ? '?' : ms(r.inside)], ['round trip', ms(r.total)]];
const failure = (error) => [['', error.message, 'error']];

async function draw(blob, canvas, info) {
  const image = await createImageBitmap(blob);
  canvas.width = image.width;
  canvas.height = image.height;
  canvas.getContext('2d').drawImage(image, 0, 0);
  info.textContent = image.width + ' × ' + image.height + ', ' + size(blob.size);
}

async function setPicture(blob) {
  await draw(blob, $('before'), $('before-info'));
  picture = blob;
  result = null;
  $('after').getContext('2d').clearRect(0, 0, $('after').width, $('after').height);
  $('after-info').textContent = '';
  $('hint').hidden = false;
  $('swap').disabled = true;
  show($('picture-stats'), []);
}

async function tryPicture(blob) {
  try {
    await setPicture(blob);
  } catch {
    show($('picture-stats'), failure(new Error('this file is not a picture that the browser can show')));
  }
}

async function work(operation) {
  const query = operation === 'watermark' ? '?text=' + encodeURIComponent($('text').value)
    : operation === 'thumbnail' ? '?side=' + encodeURIComponent($('side').value || 160) : '';
  const buttons = document.querySelectorAll('#operations button');
  buttons.forEach((b) => { b.disabled = true; });
  $('picture').classList.add('busy');
  try {
    const r = await call('/f/image/' + operation + query, picture, picture.type || 'application/octet-stream');
    await draw(r.blob, $('after'), $('after-info'));
    result = r.blob;
    $('hint').hidden = true;
    $('swap').disabled = false;
    show($('picture-stats'), [['function', 'image/' + operation], ...timing(r), ['sent', size(picture.size)], ['received', size(r.blob.size)]]);
    $('result').dataset.done = operation;
  } catch (error) {
    show($('picture-stats'), failure(error));
    $('result').dataset.done = 'error';
  } finally {
    buttons.forEach((b) => { b.disabled = false; });
    $('picture').classList.remove('busy');
  }
}

async function sample() {
  const reply = await fetch('sample.png');
  await tryPicture(await reply.blob());
}

$('operations').addEventListener('click', (event) => {
  const button = event.target.closest('button');
  if (button && picture) work(button.dataset.call);
});
$('swap').addEventListener('click', () => result && tryPicture(result));
$('reset').addEventListener('click', sample);
$('file').addEventListener('change', () => $('file').files[0] && tryPicture($('file').files[0]));
for (const name of ['dragover', 'dragleave', 'drop']) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    $('drop').classList.toggle('over', name === 'dragover');
    if (name === 'drop' && event.dataTransfer.files[0]) tryPicture(event.dataTransfer.files[0]);
  });
}

$('say').addEventListener('submit', async (event) => {
  event.preventDefault();
  try {
    const r = await call('/f/hello/say', $('name').value, 'text/plain');
    $('reply').textContent = await r.blob.text();
    show($('say-stats'), timing(r));
  } catch (error) {
    $('reply').textContent = '';
    show($('say-stats'), failure(error));
  }
});

$('count').addEventListener('submit', async (event) => {
  event.preventDefault();
  try {
    const r = await call('/f/wordcount', $('words').value, 'text/plain');
    const n = JSON.parse(await r.blob.text());
    $('counts').textContent = n.words + ' words, ' + n.lines + ' line ends, ' + n.bytes + ' bytes';
    show($('count-stats'), timing(r));
  } catch (error) {
    $('counts').textContent = '';
    show($('count-stats'), failure(error));
  }
});

sample();
