// The page of `ssvm dev` in a browser: it shows what was saved without being asked, and what the compiler says of a mistake. Usage: node dev.mjs MODULES URL
// CHROMIUM PROJECT [SCREENSHOTS]; PROJECT is one of C with a page.
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { inBrowser } from './browser.mjs';

const [modules, url, chromium, project, shots] = process.argv.slice(2);
const source = join(project, 'src/main.c'), good = readFileSync(source, 'utf8');

function save(text) {
  writeFileSync(source + '~', text);
  renameSync(source + '~', source);
}

async function greet(page, name) {
  await page.fill('#name', name);
  await page.click('button');
  await page.waitForFunction(() => document.getElementById('answer').textContent !== '');
  return page.textContent('#answer');
}

const [passed, failed] = await inBrowser({ modules, url, chromium, shots }, 'en-US', async ({ page, check, screenshot, problems }) => {
  await page.goto(url);
  const first = await greet(page, 'Ada');
  check('the page calls the function', first === 'Hello, Ada!\n', first);
  await screenshot('dev-page');
  const reloaded = () => page.waitForEvent('load', { timeout: 60000 });

  let wait = reloaded();
  save(good.replace('Hello', 'Bonjour'));
  await wait;
  const second = await greet(page, '<b>Bob</b>');
  check('it reloads and calls the new version', second === 'Bonjour, <b>Bob</b>!\n', second);

  wait = reloaded();
  save(good.replace('return 0;', 'return <script>document.title="run"</script>;'));
  await wait;
  const words = await page.textContent('pre');
  check('it shows what the compiler says', words.includes('main.c:') && words.includes('error: '), words);
  check('as text', await page.title() === 'The build failed' && (await page.$$('pre script')).length === 0, await page.title());
  await screenshot('dev-mistake');

  wait = reloaded();
  save(good);
  await wait;
  const third = await greet(page, 'Ada');
  check('and goes back to the page when it is right', third === 'Hello, Ada!\n', third);
  // The page of a mistake is a 503, which the browser notes.
  const rest = problems.filter((p) => !p.includes('503') && !p.includes('/.ssvm/live failed'));
  check('nothing went wrong on the page', rest.length === 0, rest.join('; '));
});
console.log(`${passed} passed, ${failed} failed, 0 skipped`);
process.exit(failed ? 1 : 0);
