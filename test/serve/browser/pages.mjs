// All pages of the demo. Usage: node pages.mjs MODULES URL CHROMIUM MODEL-FOLDER SERVER-PID LIBRARY [SCREENSHOTS]
import { inBrowser } from './browser.mjs';
import { classics } from './classics.mjs';
import { lunch, lunchErrors, lunchInChinese } from './lunch.mjs';

const [modules, url, chromium, model, pid, library, shots] = process.argv.slice(2);
const place = { modules, url, chromium, shots };

async function stop() {
  process.kill(Number(pid));
  for (let up = true; up;) up = await fetch(url).then(() => true, () => false);
}

const parts = [
  await inBrowser(place, 'en-US', (tools) => classics(tools, url)),
  await inBrowser(place, 'en-US', (tools) => lunch(tools, url, model, library)),
  await inBrowser(place, 'zh-CN', (tools) => lunchInChinese(tools, url)),
  await inBrowser(place, 'en-US', (tools) => lunchErrors(tools, url, stop)),
];
const [passed, failed] = parts.reduce(([p, f], [p1, f1]) => [p + p1, f + f1]);
console.log(`${passed} passed, ${failed} failed, 0 skipped`);
process.exit(failed ? 1 : 0);
