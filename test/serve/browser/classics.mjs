// The demo's classics, image processing and a greeting, in a browser: clicks through them and looks at the pixels.

export async function classics({ page, check, screenshot, problems }, url) {
  // Size and pixels of a canvas.
  const pixels = async (id) => {
    const { width, height, data } = await page.evaluate(async (name) => {
      const canvas = document.getElementById(name);
      const image = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
      const reader = new FileReader();
      await new Promise((done) => { reader.onload = done; reader.readAsDataURL(new Blob([image.data])); });
      return { width: image.width, height: image.height, data: reader.result.split(',')[1] };
    }, id);
    return { width, height, data: new Uint8Array(Buffer.from(data, 'base64')) };
  };
  const at = (p, x, y) => p.data.slice(4 * (y * p.width + x), 4 * (y * p.width + x) + 3);
  const near = (a, b, slack = 0) => a.every((v, i) => Math.abs(v - b[i]) <= slack);

  async function work(operation) {
    await page.evaluate(() => { delete document.getElementById('result').dataset.done; });
    await page.click(`[data-call=${operation}]`);
    await page.waitForFunction(() => document.getElementById('result').dataset.done, null, { timeout: 60000 });
    return pixels('after');
  }

  await page.goto(url + 'image.html', { waitUntil: 'load' });
  await page.waitForFunction(() => document.getElementById('before-info').textContent !== '');
  const before = await pixels('before');
  const { width: w, height: h } = before;
  check('the sample is drawn', w === 720 && h === 480 && new Set(before.data.slice(0, 40000)).size > 20);
  await screenshot('image-start');

  const gray = await work('grayscale');
  let worst = 0;
  let grayish = true;
  for (let i = 0; i < gray.data.length; i += 4) {
    const [r, g, b] = gray.data.slice(i, i + 3);
    grayish = grayish && r === g && g === b;
    const luma = 0.2126 * before.data[i] + 0.7152 * before.data[i + 1] + 0.0722 * before.data[i + 2];
    worst = Math.max(worst, Math.abs(luma - r));
  }
  check('grayscale: red, green and blue are equal', grayish && gray.width === w && gray.height === h);
  check('grayscale: each is the luma of the original', worst <= 1, `off by ${worst}`);
  const stats = await page.textContent('#picture-stats');
  check('the times of the call are shown', /in the sandbox [\d.]+ ms/.test(stats) && /round trip [\d.]+ ms/.test(stats), stats);
  await screenshot('grayscale');

  const flipped = await work('flip');
  let mirrored = flipped.width === w && flipped.height === h;
  for (let y = 0; y < h; y += 3) {
    for (let x = 0; x < w; x += 3) mirrored = mirrored && near(at(flipped, x, y), at(before, w - 1 - x, y));
  }
  check('flip: every pixel is at the mirrored place', mirrored);
  check('flip: the picture is not its own mirror', !near(at(before, 170, 320), at(flipped, 170, 320), 20));

  const turned = await work('rotate');
  let quarter = turned.width === h && turned.height === w;
  for (let y = 0; quarter && y < h; y += 3) {
    for (let x = 0; x < w; x += 3) quarter = quarter && near(at(turned, h - 1 - y, x), at(before, x, y));
  }
  check('rotate: a quarter turn clockwise', quarter, `${turned.width} x ${turned.height}`);
  await screenshot('rotate');

  await page.fill('#text', 'hello pixels');
  const marked = await work('watermark');
  const band = h - Math.floor(h / 8);
  let above = marked.width === w && marked.height === h;
  let changed = 0;
  let bright = 0;
  for (let y = 0; y < h; y++) {
    for (let x = 0; x < w; x++) {
      if (y < band) above = above && near(at(marked, x, y), at(before, x, y));
      else changed += !near(at(marked, x, y), at(before, x, y), 4);
      bright += y >= band && at(marked, x, y).every((v) => v > 210);
    }
  }
  check('watermark: nothing changes above the band', above);
  check('watermark: the band changes', changed > w * (h - band) * 0.9, String(changed));
  check('watermark: there are letters in it', bright > 500 && bright < w * (h - band) / 2, String(bright));
  await screenshot('watermark');
  await page.fill('#text', '');
  const empty = await work('watermark');
  check('watermark: without text there is only the band', at(empty, w >> 1, h - 25).every((v) => v < 200));

  await page.fill('#side', '90');
  const small = await work('thumbnail');
  check('thumbnail: 90 x 60', small.width === 90 && small.height === 60, `${small.width} x ${small.height}`);
  // Each of its pixels is about the mean of 8 x 8 of the original.
  const mean = [0, 0, 0];
  for (let y = 8 * 20; y < 8 * 21; y++) {
    for (let x = 8 * 30; x < 8 * 31; x++) at(before, x, y).forEach((v, i) => { mean[i] += v / 64; });
  }
  check('thumbnail: a pixel is the mean of those it stands for', near(at(small, 30, 20), mean, 12), `${at(small, 30, 20)} and ${mean}`);
  await page.click('#swap');
  await page.waitForFunction(() => document.getElementById('before-info').textContent.startsWith('90'));
  const chained = await work('rotate');
  check('the result can be worked on further', chained.width === 60 && chained.height === 90);

  await page.setInputFiles('#file', { name: 'x.png', mimeType: 'image/png', buffer: Buffer.from('this is no picture') });
  await page.waitForFunction(() => document.querySelector('#picture-stats .error'));
  check('a file that is no picture is refused with words', /not a picture/.test(await page.textContent('#picture-stats')));
  await page.click('#reset');
  await page.waitForFunction(() => document.getElementById('before-info').textContent.startsWith('720'));

  // A photograph's format: JPEG, made by the browser itself.
  const jpeg = await page.evaluate(async () => {
    const blob = await new Promise((done) => document.getElementById('before').toBlob(done, 'image/jpeg', 0.9));
    return Array.from(new Uint8Array(await blob.arrayBuffer()));
  });
  await page.setInputFiles('#file', { name: 'x.jpg', mimeType: 'image/jpeg', buffer: Buffer.from(jpeg) });
  await page.waitForFunction(() => document.getElementById('hint').hidden === false);
  const fromJpeg = await work('flip');
  check('JPEG is read', near(at(fromJpeg, 100, 60), at(before, w - 101, 60), 24));

  await page.click('nav [data-t=nav-hello]');
  await page.waitForURL(url + 'hello.html');
  for (const [name, wanted] of [['Zoë & <b>co</b>', 'hello, Zoë & <b>co</b>'], ['', 'hello, whoever you are']]) {
    await page.fill('#name', name);
    await page.click('#say button');
    await page.waitForFunction((text) => document.getElementById('reply').textContent === text, wanted);
    check(`greeting '${name}'`, (await page.textContent('#reply')) === wanted && (await page.$('#reply b')) === null);
  }
  await page.fill('#words', 'one two\nthree');
  await page.click('#count button');
  await page.waitForFunction(() => document.getElementById('counts').textContent.startsWith('3 words'));
  check('counting by the C program', (await page.textContent('#counts')) === '3 words, 1 line ends, 13 bytes');
  await page.click('#language');
  check('greeting in Chinese', (await page.textContent('[data-t=greeting]')) === '问候' && (await page.getAttribute('#name', 'aria-label')) === '你的名字');
  await page.click('#count button');
  await page.waitForFunction(() => document.getElementById('counts').textContent.startsWith('3 个词'));
  check('counting in Chinese', true);
  await screenshot('hello-chinese');
  await page.click('#language');
  check('and back', (await page.textContent('[data-t=greeting]')) === 'A greeting');

  for (const name of ['hello', 'image']) {
    await page.goto(`${url}${name}.html`, { waitUntil: 'load' });
    await page.setViewportSize({ width: 390, height: 844 });
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    check(`${name}: a phone needs no sideways scrolling`, wide <= 390, `${wide} pixels wide`);
    await screenshot(`${name}-phone`);
    await page.emulateMedia({ colorScheme: 'dark' });
    await page.setViewportSize({ width: 1180, height: 1040 });
    await screenshot(`${name}-dark`);
    await page.emulateMedia({ colorScheme: 'light' });
  }
  check('no errors, and no requests to anybody else', problems.length === 0, problems.join('; '));
}
