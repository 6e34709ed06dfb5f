// The lunch page: sends a picture to the function food/classify and puts its answer into words and bars.
import { $, failureOf, isChinese, ms, onDrop, onLanguage, sandboxTime, say, show, size, startLanguage } from './common.js';
import { foods, uncounted } from './words.js';

const BODY_MAX = 16 * 1048576; // the server's --max-body, unless it was told otherwise

let picture = null; // the file that is asked about
let shown = null; // what stands in the answer, so that it can be said again in the other language
let running = null; // the request under way
let choices = 0; // how often a picture has been chosen: the last choice counts, whichever file comes first
let setup = { inference: true, library: '', model: '' }; // what the demo was started with: demo.json

const percent = (p) => p > 0 && p < 0.001 ? '< 0.1%' : (100 * p).toFixed(1) + '%';

// ---- words

function named(label) {
  return isChinese() && foods[label] ? foods[label] : label;
}

function withArticle(label) {
  if (isChinese()) return foods[label] ? foods[label] + ' (' + label + ')' : ' ' + label;
  if (uncounted.has(label)) return label;
  return (/^[aeiou]/i.test(label) ? 'an ' : 'a ') + label;
}

function sentence(answer) {
  const kind = answer.label === 'background' ? 'none ' : 'food ';
  return say(kind + answer.confidence, { a: withArticle(answer.label) });
}

// ---- what the page shows: nothing, progress, an answer or an error

function bars(top) {
  $('bars').replaceChildren(...top.map(({ label, probability }) => {
    const row = document.createElement('li');
    const name = document.createElement('span');
    const track = document.createElement('span');
    const fill = document.createElement('i');
    const value = document.createElement('span');
    name.className = 'label';
    name.textContent = named(label);
    track.className = 'track';
    track.setAttribute('aria-hidden', 'true');
    fill.style.width = (100 * probability).toFixed(3) + '%';
    value.className = 'value';
    value.textContent = percent(probability);
    track.append(fill);
    row.append(name, track, value);
    return row;
  }));
}

function refresh() {
  const { answer, error } = shown || {};
  $('sentence').textContent = answer ? sentence(answer) : '';
  $('confidence').textContent = answer ? say('sure', { word: say(answer.confidence), percent: percent(answer.probability) }) : '';
  bars(answer ? answer.top : []);
  show($('stats'), answer ? [
    [say('decoding'), ms(answer.ms.decode)],
    [say('the model'), ms(answer.ms.run)],
    [say('in the sandbox'), shown.inside === null ? '?' : ms(shown.inside)],
    [say('round trip'), ms(shown.total)],
    ...setup.library ? [[say('answered by'), setup.library]] : [],
  ] : []);
  $('error').hidden = !error;
  $('error').textContent = error ? say(error[0], error[1]) : '';
  if (picture) $('preview').alt = say('alt', { name: picture.name });
  $('notice').hidden = setup.inference;
  $('notice').textContent = setup.inference ? '' : say('no inference');
  $('about-shipped').hidden = setup.model !== '';
  $('about-own').hidden = setup.model === '';
  $('about-own').textContent = setup.model === '' ? '' : say('own model', { name: setup.model });
}

function display(state, what) {
  shown = what;
  $('answer').dataset.state = state;
  $('progress').hidden = state !== 'busy';
  $('answer-hint').hidden = state !== 'empty' || !setup.inference;
  $('answer').setAttribute('aria-busy', String(state === 'busy'));
  $('ask').disabled = !picture || !setup.inference;
  $('ask').setAttribute('aria-disabled', String($('ask').disabled || state === 'busy')); // disabled, it would lose the keyboard's focus
  refresh();
}

const fail = (name, values) => display('error', { error: [name, values] });

// ---- asking

// Why a request was not answered well, as a name of `said` and its values.
function reason(status, text) {
  const { code, message } = failureOf(status, text);
  if (status === 422) return ['refused', { message }];
  if (status === 413) return ['too large for it'];
  if (status === 404) return ['no function'];
  if (status === 503) return ['busy'];
  if (status === 504) return ['too slow'];
  if (code === 'function_broken') return ['broken', { message }];
  return ['failed', { message }];
}

function valid(answer) {
  const isLabel = (one) => typeof one?.label === 'string' && typeof one.probability === 'number';
  return isLabel(answer) && ['very high', 'high', 'medium', 'low'].includes(answer.confidence) && typeof answer.ms?.decode === 'number' &&
    typeof answer.ms.run === 'number' && Array.isArray(answer.top) && answer.top.every(isLabel);
}

function answered(request, total) {
  if (request.status !== 200) return fail(...reason(request.status, request.responseText));
  let answer;
  try {
    answer = JSON.parse(request.responseText);
  } catch {
    return fail('odd');
  }
  if (!valid(answer)) return fail('odd');
  return display('done', { answer, total, inside: sandboxTime(request.getResponseHeader('Server-Timing')) });
}

// XMLHttpRequest, not fetch: it tells how much has been sent, which on a phone is most of the time.
function ask() {
  if (!picture || !setup.inference) return;
  if (running) running.abort();
  const request = running = new XMLHttpRequest();
  const start = performance.now();
  let sent = 0;
  display('busy', null);
  $('answer').scrollIntoView({ block: 'nearest' }); // on a phone it is below
  const tick = () => {
    if (sent < 1) {
      $('bar').value = sent;
      $('doing').textContent = say('sending', { percent: (100 * sent).toFixed(0) + '%' });
    } else {
      $('bar').removeAttribute('value');
      $('doing').textContent = say('looking', { seconds: ((performance.now() - start) / 1000).toFixed(1) });
    }
  };
  const clock = setInterval(tick, 100);
  tick();
  request.upload.onprogress = (event) => { sent = event.lengthComputable ? event.loaded / event.total : 0; };
  request.upload.onload = () => { sent = 1; tick(); };
  request.onload = () => answered(request, performance.now() - start);
  request.onerror = () => fail('gone');
  request.onloadend = () => {
    clearInterval(clock);
    if (running === request) running = null;
  };
  request.open('POST', '/f/food/classify');
  request.setRequestHeader('Content-Type', picture.type || 'application/octet-stream');
  request.send(picture);
}

// ---- the picture

function load(url) {
  return new Promise((done, failed) => {
    $('preview').onload = done;
    $('preview').onerror = failed;
    $('preview').src = url;
  });
}

// Forget the picture, and say why.
function refuse(name, values) {
  picture = null;
  $('preview').hidden = true;
  $('preview').removeAttribute('src');
  $('invite').hidden = false;
  $('picture-facts').textContent = '';
  fail(name, values);
}

async function take(file, choice = ++choices) {
  if (running) running.abort();
  URL.revokeObjectURL($('preview').src);
  if (file.size === 0) return refuse('empty');
  if (file.size > BODY_MAX) return refuse('too large', { size: size(file.size) });
  const url = URL.createObjectURL(file);
  try {
    await load(url);
  } catch {
    URL.revokeObjectURL(url);
    return choice === choices ? refuse('not a picture') : null;
  }
  picture = file;
  $('preview').hidden = false;
  $('invite').hidden = true;
  $('picture-facts').textContent = file.name + ', ' + $('preview').naturalWidth + ' × ' + $('preview').naturalHeight + ', ' + size(file.size);
  display('empty', null);
  return ask();
}

async function takeSample(path) {
  const choice = ++choices;
  let blob = null;
  try {
    blob = await (await fetch(path)).blob();
  } catch { /* told below */ }
  if (choice !== choices) return;
  if (blob) take(new File([blob], path.split('/').pop(), { type: blob.type }), choice);
  else refuse('gone');
}

// ---- start

$('file').addEventListener('change', () => {
  const file = $('file').files[0];
  $('file').value = ''; // so that the same file can be chosen again
  if (file) take(file);
});
$('ask').addEventListener('click', () => running || ask());
$('samples').addEventListener('click', (event) => {
  const button = event.target.closest('button');
  if (button) takeSample(button.dataset.file);
});
onDrop($('drop'), take);
document.addEventListener('paste', (event) => event.clipboardData.files[0] && take(event.clipboardData.files[0]));
$('curl').textContent = 'curl --data-binary @picture.jpg ' + location.origin + '/f/food/infer';
onLanguage(refresh);
startLanguage();
try {
  setup = await (await fetch('demo.json')).json();
} catch { /* a server without it: the function's own answer tells */ }
display('empty', null);
