// What the tests of the pages share: a browser, checks that are counted, screenshots, and what went wrong on the page meanwhile.
import { createRequire } from 'node:module';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const patience = 180000; // ms until something counts as hanging, on the busiest machine

// Run `test(tools)` in a browser whose language is `locale`, print the totals' parts, and return [passed, failed].
// MODULES is the folder whose node_modules has playwright-core; without SHOTS there are no screenshots.
export async function inBrowser({ modules, url, chromium, shots }, locale, test) {
  const { chromium: driver } = createRequire(join(modules, 'x.js'))('playwright-core');
  const data = mkdtempSync(join(tmpdir(), 'ssvm-browser-'));
  const counts = [0, 0];
  const problems = [];
  const context = await driver.launchPersistentContext(data, {
    executablePath: chromium,
    headless: true,
    timeout: patience,
    locale,
    viewport: { width: 1180, height: 1040 },
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync', '--lang=' + locale],
  });
  context.setDefaultTimeout(patience);
  const page = context.pages()[0] || await context.newPage();
  page.on('pageerror', (error) => problems.push(String(error)));
  page.on('console', (message) => message.type() === 'error' && problems.push(message.text()));
  page.on('requestfailed', (request) => problems.push(request.url() + ' failed'));
  page.on('request', (request) => request.url().startsWith(url) || request.url().startsWith('blob:') || problems.push('foreign: ' + request.url()));

  const check = (what, good, detail = '') => {
    counts[good ? 0 : 1]++;
    console.log((good ? 'ok      ' : 'FAILED  ') + what + (good ? '' : ': ' + detail));
  };
  const screenshot = (name) => shots ? page.screenshot({ path: join(shots, name + '.png'), fullPage: true }) : null;
  try {
    await test({ page, check, screenshot, problems });
  } catch (error) {
    check('the test itself', false, String(error && error.stack) + ' ' + problems.join('; '));
  } finally {
    await context.close();
    rmSync(data, { recursive: true, force: true });
  }
  return counts;
}
