// Image processing: sends the picture to a function and shows what comes back.
import { $, call, failure, onDrop, say, show, size, startLanguage, timing } from './common.js';

let picture = null; // the bytes that are sent
let result = null;

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
    show($('picture-stats'), failure(new Error(say('not shown'))));
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
    show($('picture-stats'), [[say('function'), 'image/' + operation], ...timing(r), [say('sent'), size(picture.size)], [say('received'), size(r.blob.size)]]);
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

startLanguage();
$('operations').addEventListener('click', (event) => {
  const button = event.target.closest('button');
  if (button && picture) work(button.dataset.call);
});
$('swap').addEventListener('click', () => result && tryPicture(result));
$('reset').addEventListener('click', sample);
$('file').addEventListener('change', () => $('file').files[0] && tryPicture($('file').files[0]));
onDrop($('drop'), tryPicture);
sample();
