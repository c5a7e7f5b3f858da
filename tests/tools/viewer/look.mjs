// Opens one series of a study in OHIF as a user would, and keeps what is then on the screen.
// usage: node look.mjs CHROMIUM URL SERIES_DESCRIPTION OUT.png SLICES_TO_SCROLL NEXT AWAITED
// NEXT: how often the right arrow of the viewport is pressed, which leads to the next measurement of a report.
// AWAITED: a text to wait for before the picture is taken, up to a minute: a busy machine draws late.
// Writes OUT.png (the whole window), OUT-viewport.png (the image alone) and OUT.json: the texts on the screen.
import fs from 'node:fs';
import { createRequire } from 'node:module';

const [, , executablePath, url, series, out, scroll, next, awaited] = process.argv;
const { chromium } = createRequire(`${process.cwd()}/`)('playwright-core');
const ARGUMENTS = [
  '--no-sandbox', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync',
  '--disable-quic', '--use-gl=angle', '--use-angle=swiftshader', '--enable-unsafe-swiftshader', '--ignore-gpu-blocklist',
];

const browser = await chromium.launch({ executablePath, headless: true, args: ARGUMENTS });
const page = await browser.newPage({ viewport: { width: 1400, height: 900 } });
page.setDefaultTimeout(150000);  // of every step, the pictures too: software draws them, and the machine may be busy
const faults = [];
page.on('pageerror', (error) => faults.push(String(error).slice(0, 400)));
page.on('console', (message) => { if (message.type() === 'error') faults.push(message.text().slice(0, 400)); });

async function press(name) {
  const button = page.getByRole('button', { name, exact: true });
  if (await button.count()) { await button.first().click(); return true; }
  return false;
}

async function settled(quietMs, mostMs) {
  // The picture is complete when the pixels of the viewport no longer change.
  const start = Date.now();
  let last = '', since = Date.now();
  while (Date.now() - start < mostMs) {
    const now = (await page.screenshot({ clip: { x: 300, y: 100, width: 780, height: 760 } })).toString('base64');
    if (now !== last) { last = now; since = Date.now(); }
    if (Date.now() - since > quietMs) return;
    await page.waitForTimeout(400);
  }
}

await page.goto(url, { waitUntil: 'domcontentloaded', timeout: 60000 });
await page.getByText(series, { exact: false }).first().waitFor({ timeout: 90000 });
await settled(3000, 60000);
const skip = page.getByText('Skip all');
if (await skip.count()) await skip.first().click();
await page.getByText(series, { exact: false }).first().dblclick();
await settled(4000, 60000);
if (await press('Yes') || await press('Load')) await settled(4000, 60000);
const viewport = page.locator('[data-cy="viewport-grid"]').first();
const box = await viewport.boundingBox();
await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
for (let n = 0; n < Math.abs(Number(scroll)); n += 1) {
  await page.mouse.wheel(0, 100 * Math.sign(Number(scroll)));
  await page.waitForTimeout(300);
}
for (let n = 0; n < Number(next); n += 1) {
  await page.mouse.click(box.x + box.width - 34, box.y + 17);
  await settled(2000, 30000);
}
await page.mouse.move(box.x + 5, 50);
if (awaited) {
  const shown = (text) => document.body.textContent.includes(text);
  await page.waitForFunction(shown, awaited, { timeout: 60000 }).catch(() => {});
}
await settled(2500, 30000);

const canvas = page.locator('canvas.cornerstone-canvas').first();
const place = (await canvas.count()) ? await canvas.boundingBox() : box;
await page.screenshot({ path: out });
await page.screenshot({ path: out.replace('.png', '-viewport.png'), clip: place });
const texts = await page.evaluate(() => ({
  window: document.body.innerText,
  drawn: [...document.querySelectorAll('svg text')].map((node) => node.textContent).filter(Boolean),
}));
fs.writeFileSync(out.replace('.png', '.json'), JSON.stringify({ ...texts, place, faults }, null, 1));
await browser.close();
