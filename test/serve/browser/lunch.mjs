// The lunch page in a browser: pictures chosen, dropped and offered; its sentence and bars against what TensorFlow says (expected.json).
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const GIF = Buffer.from('R0lGODlhAQABAIAAAP8AAP///yH5BAAAAAAALAAAAAABAAEAAAICRAEAOw==', 'base64');

export async function lunch({ page, check, screenshot, problems }, url, model, library) {
  const expected = JSON.parse(readFileSync(join(model, 'expected.json')));
  const wanted = (file) => expected.samples.find((one) => one.file === 'samples/' + file);
  const bytes = (file) => readFileSync(join(model, 'samples', file));
  const state = (name) => page.waitForFunction((s) => document.getElementById('answer').dataset.state === s, name, { timeout: 60000 });
  const text = (selector) => page.textContent(selector);
  const share = (value) => Number(value.replace(/[<%\s]/g, '')) / 100;

  // Do something that asks, and wait for its answer or error.
  async function after(act, name = 'done') {
    await page.evaluate(() => { document.getElementById('answer').dataset.state = 'waiting'; });
    await act();
    await state(name);
  }
  const choose = (name, buffer, type = 'image/' + name.split('.').pop().replace('jpg', 'jpeg')) =>
    page.setInputFiles('#file', { name, mimeType: type, buffer });
  const drop = (name, buffer) => page.evaluate(([data, file]) => {
    const carried = new DataTransfer();
    carried.items.add(new File([Uint8Array.from(atob(data), (c) => c.charCodeAt(0))], file, { type: 'image/png' }));
    for (const kind of ['dragover', 'drop']) {
      document.getElementById('drop').dispatchEvent(new DragEvent(kind, { dataTransfer: carried, bubbles: true, cancelable: true }));
    }
  }, [buffer.toString('base64'), name]);

  async function answerIs(file, sentence) {
    const { top1, top3, tolerance, confidence } = wanted(file);
    check(`${file}: the sentence`, (await text('#sentence')) === sentence, await text('#sentence'));
    const words = /^Confidence: (.*), ([\d.]+%)$/.exec(await text('#confidence')) || [];
    // The page rounds to a tenth of a percent.
    check(`${file}: how sure`, words[1] === confidence && Math.abs(share(words[2]) - top1.probability) <= tolerance + 0.0005, words.join(' '));
    const rows = await page.$$eval('#bars li', (items) => items.map((row) => ({
      label: row.querySelector('.label').textContent,
      value: row.querySelector('.value').textContent,
      bar: row.querySelector('i').getBoundingClientRect().width,
      track: row.querySelector('.track').getBoundingClientRect().width,
    })));
    check(`${file}: five bars`, rows.length === 5, String(rows.length));
    const near = top3.every(([label, p], i) => rows.some((row) => row.label === label && Math.abs(share(row.value) - p) <= tolerance + 0.001) &&
      (i > 0 || rows[0].label === label));
    check(`${file}: the bars' names and values`, near, JSON.stringify(rows));
    check(`${file}: the bars' lengths`, rows.every((row) => Math.abs(row.bar - row.track * share(row.value)) < 3), JSON.stringify(rows));
    check(`${file}: falling`, rows.every((row, i) => i === 0 || share(row.value) <= share(rows[i - 1].value)), JSON.stringify(rows));
    check(`${file}: preview`, await page.$eval('#preview', (p) => !p.hidden && p.naturalWidth) === wanted(file).width);
    const stats = await text('#stats');
    check(`${file}: times and library`, /decoding [\d.]+ ms.*the model [\d.]+ ms.*in the sandbox [\d.]+ ms.*round trip [\d.]+ ms/.test(stats) && stats.includes('answered by ' + library), stats);
  }

  await page.goto(url, { waitUntil: 'load' });
  await page.waitForFunction(() => document.getElementById('curl').textContent.includes('/f/food/infer'));
  await state('empty');
  check('nothing to ask about yet', await page.isDisabled('#ask'));
  check('the page says what the model is', /drawings.*never seen a photograph/.test(await text('#about-shipped')) && await page.isVisible('#about-shipped'));
  await screenshot('lunch-start');

  // Of a slow request the page shows that it runs.
  let go;
  const held = new Promise((done) => { go = done; });
  await page.route('**/f/food/classify', async (route) => {
    await held;
    await route.continue();
  });
  await page.click('[data-file="samples/hotdog.jpg"]');
  await page.waitForFunction(() => /sending|looking at it: [\d.]+ s/.test(document.getElementById('doing').textContent));
  check('progress', await page.isVisible('#progress') && await page.isDisabled('#ask') && await page.getAttribute('#answer', 'aria-busy') === 'true');
  await screenshot('lunch-busy');
  go();
  await state('done');
  await page.unroute('**/f/food/classify');
  check('no progress afterwards', !await page.isVisible('#progress') && !await page.isDisabled('#ask'));
  await answerIs('hotdog.jpg', 'It is very likely a Hot dog in the picture');
  await screenshot('lunch-hotdog');

  await after(() => choose('pancake.png', bytes('pancake.png')));
  await answerIs('pancake.png', 'It is very likely a Pancake in the picture');
  await screenshot('lunch-pancake');
  await after(() => drop('pizza.png', bytes('pizza.png')));
  await answerIs('pizza.png', 'It is very likely a Pizza in the picture');
  await after(() => choose('hotdog.png', bytes('hotdog.png')));
  await answerIs('hotdog.png', 'It could be a Hot dog in the picture');
  await screenshot('lunch-doubt');
  await after(() => page.click('[data-file="samples/nothing.png"]'));
  await answerIs('nothing.png', 'It could be that there is no food in the picture');
  await screenshot('lunch-nothing');
  await after(() => choose('noodles.jpg', bytes('noodles.jpg')));
  await answerIs('noodles.jpg', 'It is very likely Noodle soup in the picture');
  for (const name of ['hotdog.jpg', 'pancake.jpg', 'pizza.png', 'sushi.png', 'nothing.png']) {
    const offered = await page.evaluate(async (file) => Array.from(new Uint8Array(await (await fetch('samples/' + file)).arrayBuffer())), name);
    check(`${name}: the offered file is the model's sample`, Buffer.from(offered).equals(bytes(name)));
  }

  // Two choices, of which the first comes last: the second one counts.
  let late;
  const lateSample = new Promise((done) => { late = done; });
  await page.route('**/samples/sushi.png', async (route) => {
    await lateSample;
    await route.continue();
  });
  await page.click('[data-file="samples/sushi.png"]');
  await after(() => page.click('[data-file="samples/pizza.png"]'));
  await Promise.all([page.waitForResponse('**/samples/sushi.png'), late()]);
  await page.evaluate(() => fetch('samples/hotdog.jpg').then((reply) => reply.blob())); // time for the page to do wrong
  await answerIs('pizza.png', 'It is very likely a Pizza in the picture');
  check('the last choice counts', /^pizza\.png/.test(await text('#picture-facts')), await text('#picture-facts'));
  await page.unroute('**/samples/sushi.png');

  // Without a mouse.
  await page.focus('#ask');
  await page.keyboard.press('Tab');
  check('keyboard: after the button come the offered pictures', await page.evaluate(() => document.activeElement.dataset.file) === 'samples/hotdog.jpg');
  await page.keyboard.press('Tab');
  await after(() => page.keyboard.press('Enter'));
  await answerIs('pancake.jpg', 'It is very likely a Pancake in the picture');
  await page.focus('#ask');
  await after(() => page.keyboard.press('Enter'));
  check('keyboard: the button keeps the focus', await page.evaluate(() => document.activeElement.id) === 'ask');
  check('keyboard: asked again', (await text('#sentence')) === 'It is very likely a Pancake in the picture');
  const [chooser] = await Promise.all([page.waitForEvent('filechooser'), page.click('#drop')]);
  check('a click on the frame chooses a file', Boolean(chooser));

  // The other language.
  await page.click('#language');
  check('Chinese: the answer is said again', (await text('#sentence')) === '图片里很可能是薄煎饼 (Pancake)' && /^可信度：很高，/.test(await text('#confidence')), await text('#sentence'));
  check('Chinese: bars', (await page.$$eval('#bars .label', (l) => l[0].textContent)) === '薄煎饼');
  const left = await page.$$eval('[data-t]', (all) => all.filter((e) => !/[\u4e00-\u9fff]/.test(e.textContent)).map((e) => e.dataset.t));
  check('Chinese: every text of the page', left.length === 0 && await page.getAttribute('html', 'lang') === 'zh-Hans', left.join(' '));
  await screenshot('lunch-chinese');
  await page.reload({ waitUntil: 'load' });
  await page.waitForFunction(() => document.documentElement.lang === 'zh-Hans');
  check('Chinese: remembered', (await text('[data-t=choose]')) === '选择图片文件');
  await page.click('#language');
  check('and back', (await text('[data-t=choose]')) === 'Choose a picture');

  // A phone, light and dark.
  await page.setViewportSize({ width: 390, height: 844 });
  await after(() => page.click('[data-file="samples/sushi.png"]'));
  await answerIs('sushi.png', 'It is very likely Sushi in the picture');
  const wide = await page.evaluate(() => document.documentElement.scrollWidth);
  check('a phone needs no sideways scrolling', wide <= 390, `${wide} pixels wide`);
  await screenshot('lunch-phone');
  await page.setViewportSize({ width: 1180, height: 1040 });
  const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const light = await ground();
  await page.emulateMedia({ colorScheme: 'dark' });
  check('dark', (await ground()) !== light);
  await screenshot('lunch-dark');
  await page.emulateMedia({ colorScheme: 'light' });
  check('no errors, and no requests to anybody else', problems.length === 0, problems.join('; '));
}

export async function lunchInChinese({ page, check, problems }, url) {
  await page.goto(url, { waitUntil: 'load' });
  await page.waitForFunction(() => document.documentElement.lang === 'zh-Hans');
  check('a Chinese browser gets Chinese', (await page.title()) === '看看你中午吃了什么？- ssvm' && (await page.textContent('#ask')) === '这是什么食物？');
  await page.click('[data-file="samples/nothing.png"]');
  await page.waitForFunction(() => document.getElementById('answer').dataset.state === 'done');
  check('Chinese: no food', (await page.textContent('#sentence')) === '图片里也许没有食物', await page.textContent('#sentence'));
  check('no errors', problems.length === 0, problems.join('; '));
}

// What goes wrong is said in words. `stop` ends the server: nothing works afterwards.
export async function lunchErrors({ page, check, screenshot, problems }, url, stop) {
  const state = (name) => page.waitForFunction((s) => document.getElementById('answer').dataset.state === s, name);
  async function errorIs(what, act, words) {
    await page.evaluate(() => { document.getElementById('answer').dataset.state = 'waiting'; });
    await act();
    await state('error');
    const said = await page.textContent('#error');
    check(what, words.test(said) && await page.isVisible('#error') && (await page.textContent('#sentence')) === '' && (await page.$('#bars li')) === null, said);
  }
  const choose = (name, mimeType, buffer) => page.setInputFiles('#file', { name, mimeType, buffer });
  const open = async () => {
    await page.goto(url, { waitUntil: 'load' });
    await state('empty');
  };

  await open();
  await errorIs('a text is no picture', () => choose('x.png', 'image/png', Buffer.from('this is no picture')), /not a picture: choose a JPEG or a PNG/);
  check('and cannot be asked about', await page.isDisabled('#ask') && await page.isVisible('#invite'));
  await screenshot('lunch-error');
  await errorIs('an empty file', () => choose('x.png', 'image/png', Buffer.alloc(0)), /file is empty/);
  await errorIs('a file too large', () => choose('x.png', 'image/png', Buffer.alloc(17 << 20)), /too large: 17\.0 MB; the server takes at most 16 MB/);
  await errorIs('a picture that only the browser knows', () => choose('x.gif', 'image/gif', GIF), /function cannot read this picture: ./);
  const refused = problems.filter((text) => !/status of 422/.test(text));
  check('no errors of the program', refused.length === 0, refused.join('; '));

  // Answers that a server under test does not give by itself.
  const failing = (status, code) => ({ status, contentType: 'application/json', body: JSON.stringify({ error: { code, message: 'because', request_id: '1' } }) });
  for (const [what, answer, words] of [
    ['413', failing(413, 'body_too_large'), /too large for the server/],
    ['404', failing(404, 'no_function'), /no function for that/],
    ['502', failing(502, 'function_broken'), /does not start.*inference library.*because/],
    ['503', failing(503, 'overloaded'), /too much to do/],
    ['504', failing(504, 'deadline'), /took too long/],
    ['500', failing(500, 'trap'), /function failed: because/],
    ['no JSON', { status: 200, contentType: 'text/plain', body: 'Pancake' }, /does not understand/],
    ['null', { status: 200, contentType: 'application/json', body: 'null' }, /does not understand/],
    ['JSON without times', { status: 200, contentType: 'application/json', body: '{"label":"x","confidence":"low","probability":0.1,"ms":null,"top":[]}' }, /does not understand/],
    ['JSON with an odd list', { status: 200, contentType: 'application/json', body: '{"label":"x","confidence":"low","probability":0.1,"ms":{"decode":1,"run":1},"top":[null]}' }, /does not understand/],
    ['other JSON', { status: 200, contentType: 'text/plain', body: '{"label": 3}' }, /does not understand/],
  ]) {
    await page.route('**/f/food/classify', (route) => route.fulfill(answer));
    await errorIs(`the server answers ${what}`, () => page.click('[data-file="samples/pizza.png"]'), words);
    await page.unroute('**/f/food/classify');
  }
  await page.click('#language');
  check('an error in Chinese', /[\u4e00-\u9fff]/.test(await page.textContent('#error')));
  await page.click('#language');

  // What the server says of itself.
  const setup = (value) => page.route('**/demo.json', (route) => route.fulfill({ json: value }));
  await setup({ inference: false, library: '', model: '' });
  await open();
  check('without a library the page says so', await page.isVisible('#notice') && /without an inference library/.test(await page.textContent('#notice')));
  await page.click('[data-file="samples/pizza.png"]');
  await page.waitForFunction(() => !document.getElementById('preview').hidden);
  check('and shows the picture, but does not ask', await page.isDisabled('#ask') && await page.getAttribute('#answer', 'data-state') === 'empty');
  await screenshot('lunch-none');
  await page.unroute('**/demo.json');
  await setup({ inference: true, library: '', model: 'mobilenet.pb' });
  await open();
  check('a model of the user\'s own is named', /model of its own: mobilenet\.pb/.test(await page.textContent('#about-own')) && !await page.isVisible('#about-shipped'));
  await page.unroute('**/demo.json');

  await open();
  await page.click('[data-file="samples/pizza.png"]');
  await state('done');
  await stop();
  await errorIs('the server is gone', () => page.click('#ask'), /does not answer/);
  await errorIs('and offers nothing', () => page.click('[data-file="samples/sushi.png"]'), /does not answer/);
  await screenshot('lunch-gone');
}
