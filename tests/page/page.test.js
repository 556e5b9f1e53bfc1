// The page as people meet it: in Chromium, large and on a phone, light and dark, with a keyboard, with
// and without a script, and by the rules of axe-core for those who do not see it.
//
// A picture of each scene goes to target/page/.

import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { chromium } from 'playwright-core';
import { House, PROJECT, until } from './house.js';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const PICTURES = join(PROJECT, 'target/page');
const SCREENS = {
  wide: { viewport: { width: 1280, height: 900 }, colorScheme: 'light' },
  dark: { viewport: { width: 1280, height: 900 }, colorScheme: 'dark' },
  phone: { viewport: { width: 390, height: 844 }, colorScheme: 'light', hasTouch: true, isMobile: true },
};

const LONG = 'Donaudampfschifffahrtsgesellschaftskapitänsmützenabzeichenverordnungsentwurf';
const ENDED = '0f8f5f3e-27a1-4c8e-9b68-2f7e5a1c0d05';
const HEBREW = 'ביטול מנוי לפי בקשת הלקוח';

/** The day that many days from now. */
const day = (days) => new Date(Date.now() + days * 86_400_000).toISOString().slice(0, 10);

let browser;

before(async () => {
  mkdirSync(PICTURES, { recursive: true });
  const found = [process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
  browser = await chromium.launch({
    executablePath: found.find((path) => path && existsSync(path)),
    args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--disable-quic', '--no-first-run'],
  });
});

after(async () => {
  await browser?.close();
});

/** Opens a page, and fails on whatever it complains of or fetches from elsewhere. */
async function open(house, path, screen = SCREENS.wide, options = {}) {
  const context = await browser.newContext({ ...screen, ...options });
  const page = await context.newPage();
  const faults = [];
  page.on('console', (message) => { if (['error', 'warning'].includes(message.type())) faults.push(message.text()); });
  page.on('pageerror', (error) => faults.push(String(error)));
  page.on('request', (request) => { if (!request.url().startsWith(house.url)) faults.push(`fetched ${request.url()}`); });
  await page.goto(new URL(path, house.url).href);
  return { page, context, faults };
}

/** Whatever a person could stumble over, on each screen. */
async function holdsUp(house, path, picture, complaints = []) {
  for (const [name, screen] of Object.entries(SCREENS)) {
    const { page, context, faults } = await open(house, path, screen);
    await page.evaluate(AXE);
    const { violations } = await page.evaluate(() => globalThis.axe.run());
    const told = violations.map((it) => `${it.id}: ${it.help}: ${it.nodes.slice(0, 3).map((node) => node.html).join(' | ')}`);
    assert.deepEqual(told, [], `${path} on ${name}`);
    const wider = await page.evaluate(() => document.scrollingElement.scrollWidth - document.scrollingElement.clientWidth);
    assert.ok(wider <= 0, `${path} on ${name} is ${wider} px wider than its screen`);
    const cut = await page.evaluate(() => [...document.querySelectorAll('main *')]
      .filter((it) => getComputedStyle(it).overflow === 'visible' && it.getBoundingClientRect().right > innerWidth + 1
        && !it.closest('.scroll, .code, svg, .sr'))
      .map((it) => it.outerHTML.slice(0, 120)));
    assert.deepEqual(cut, [], `${path} on ${name} has something beyond the edge`);
    await page.screenshot({ path: join(PICTURES, `${picture}-${name}.png`), fullPage: true });
    // What is seen before anybody scrolls, for the README.
    if (name === 'wide') await page.screenshot({ path: join(PICTURES, `${picture}-top.png`), clip: { x: 0, y: 0, width: 1280, height: 1160 }, fullPage: true });
    assert.deepEqual(faults, complaints, `${path} on ${name}`);
    await context.close();
  }
}

const text = (page, selector) => page.locator(selector).innerText();

describe('at rest', () => {
  let house;
  before(async () => {
    house = await House.start(`cancellations:\n  - {id: ${ENDED}, provider: donations, when: now}\n`);
    await house.comesTo(`donations/${ENDED}`, 'already_canceled');
  });
  after(() => house?.stop());

  test('one look says that all is well', async () => {
    const { page, context } = await open(house, '/');
    assert.equal(await text(page, 'h1'), 'All is well');
    assert.match(await page.title(), /^All is well/);
    assert.match(await text(page, '.hero'), /No action needed: 1 done/);
    await context.close();
    await holdsUp(house, '/', 'rest');
  });

  test('a page that does not exist says what is wrong and leads back', async () => {
    const { page, context } = await open(house, '/cancellations/academy/999');
    assert.match(await text(page, 'main'), /no cancellation of academy\/999 was ever asked for/);
    await page.getByRole('link', { name: 'All cancellations' }).click();
    assert.equal(await text(page, 'h1'), 'Cancellations');
    await context.close();
    // The browser itself tells of the status.
    const complaint = 'Failed to load resource: the server responded with a status of 400 (Bad Request)';
    await holdsUp(house, '/cancellations?state=nonsense', 'lost', [complaint]);
  });

  test('when the daemon is gone the page says that it is old', async () => {
    const other = await House.start('cancellations: []\n');
    const { page, context } = await open(other, '/');
    await page.clock.install();
    await page.reload();
    await other.stopDaemon();
    await until('the page says so', async () => {
      await page.clock.runFor(16_000);
      return /has not answered since .* is old/.test(await text(page, '#gone'));
    });
    await context.close();
    await other.stop();
  });
});

describe('with work', () => {
  let house;
  before(async () => {
    house = await House.start(`freezes:
  - {name: the holidays, from: ${day(8)}, until: ${day(12)}}
cancellations:
  - {id: "2145871", provider: academy, when: now}
  - {id: ${ENDED}, provider: donations, when: now}
  - {id: "2145872", provider: academy, when: end_of_period, period_ends: ${day(6)}, labels: {team: ${LONG}, note: ${HEBREW}}}
  - {id: 0f8f5f3e-27a1-4c8e-9b68-2f7e5a1c0d01, provider: donations, when: now}
  - {id: 0f8f5f3e-27a1-4c8e-9b68-2f7e5a1c0d02, provider: donations, when: ${day(3)}}
  - {id: sub_1a7e0000000040008000000000000001, provider: metered, when: end_of_period}
  - {id: sub_1a7e0000000040008000000000000002, provider: metered, when: ${day(17)}, flat_fee_behavior: charge_full, usage_behavior: bill_full, invoicing_behavior: invoice_now}
`);
    await house.comesTo('academy/2145871', 'canceled');
    await house.comesTo('donations/0f8f5f3e-27a1-4c8e-9b68-2f7e5a1c0d01', 'canceled');
    await house.comesTo('metered/sub_1a7e0000000040008000000000000001', 'ending');
    await until('the deadline is known', async () =>
      (await house.api('cancellations/academy/2145872')).deadline_at);
  });
  after(() => house?.stop());

  test('it tells what comes next, when, and how much room it has', async () => {
    const { page, context } = await open(house, '/');
    const next = page.locator('section[aria-labelledby=next]');
    assert.match(await next.innerText(), /academy\/2145872/);
    assert.match(await next.innerText(), /in \d days/);
    assert.match(await next.innerText(), /to spare/);
    assert.match(await next.innerText(), /sub_1a7e0000000040008000000000000001\s+.*ends at the provider, which is read back/, 'what is ending comes next too');
    await context.close();
    await holdsUp(house, '/', 'work');
  });

  test('the time line draws what was done, what is due, the freeze and the deadline, and tells it in words', async () => {
    const { page, context } = await open(house, '/');
    const drawing = page.locator('svg.timeline');
    for (const what of ['.ended', '.due', '.ending', '.band', '.deadline', '.window', '.now']) {
      assert.ok(await drawing.locator(what).count() > 0, `${what} is drawn`);
    }
    assert.match(await drawing.locator('title').first().textContent(), /\d+ ended/);
    await page.getByText('The same as a table').click();
    assert.ok(await page.locator('details.table tbody tr').count() >= 4);
    await context.close();
  });

  test('one item tells everything, and where it stands in the file', async () => {
    const { page, context } = await open(house, '/cancellations/academy/2145872');
    assert.match(await text(page, '.verdict'), /^All is well$/, 'each page says how things stand');
    assert.match(await text(page, 'main'), new RegExp(LONG));
    assert.match(await text(page, 'main'), new RegExp(HEBREW));
    await page.getByRole('link', { name: /^lapsed\.yaml:\d+$/ }).click();
    assert.match(await text(page, '.row:target'), /2145872/);
    assert.match(await text(page, '.code'), /the holidays/, 'with the lines before it');
    await context.close();
    await holdsUp(house, '/cancellations/academy/2145872', 'item');
    await holdsUp(house, '/file', 'file');
  });

  test('it can be gone through by keyboard alone', async () => {
    const { page, context } = await open(house, '/');
    await page.keyboard.press('Tab');
    assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Skip to content');
    await page.keyboard.press('Enter');
    assert.match(page.url(), /#content$/);
    await page.getByRole('link', { name: 'Cancellations', exact: true }).focus();
    await page.keyboard.press('Enter');
    await page.waitForURL(/\/cancellations$/);
    await page.getByLabel('Subscription').focus();
    await page.keyboard.type('2145872');
    await page.keyboard.press('Enter');
    await page.waitForURL(/q=2145872/);
    assert.equal(await page.locator('tbody tr').count(), 1);
    await context.close();
  });

  test('it is whole without a script', async () => {
    const { page, context } = await open(house, '/', SCREENS.wide, { javaScriptEnabled: false });
    assert.match(await text(page, 'main'), /What comes next/);
    await page.getByRole('link', { name: 'Events', exact: true }).click();
    assert.match(await text(page, 'main'), /settled as canceled/);
    await page.getByRole('link', { name: 'Cancellations', exact: true }).click();
    await page.locator('select[name=state]').selectOption('canceled');
    await page.getByRole('button', { name: 'Show' }).click();
    assert.match(await text(page, 'tbody'), /2145871/);
    assert.match(await text(page, 'main'), /2 in all/);
    assert.doesNotMatch(await text(page, 'tbody'), /2145872/);
    await context.close();
  });

  test('with a script it keeps up by itself, and leaves alone what a person is doing', async () => {
    const { page, context } = await open(house, '/');
    await page.clock.install();
    await page.reload();
    await page.getByText('The same as a table').click();
    const stamp = await text(page, '#stamp');
    await page.evaluate(() => { document.getElementById('stamp').textContent = 'old'; });
    await until('it is fetched anew', async () => {
      await page.clock.runFor(16_000);
      return await text(page, '#stamp') !== 'old';
    });
    assert.ok(stamp.length > 10);
    assert.ok(await page.locator('details.table').evaluate((it) => it.open), 'what was open stays open');
    await context.close();
  });

  test('the events hold up', () => holdsUp(house, '/events', 'events'));
});

describe('with trouble', () => {
  let house;
  before(async () => {
    const body = (extra) => `limits: {approval_above: 4}
cancellations:
  - {id: "2145875", provider: academy, when: now}
  - {id: "2145873", provider: academy, when: now}
  - {id: "9999999", provider: academy, when: now}
  - {id: 0f8f5f3e-27a1-4c8e-9b68-2f7e5a1c0d01, provider: donations, when: now}
${extra}`;
    house = await House.start(body(''), { revere: 'of-somebody-else' });
    await house.comesTo('academy/2145875', 'held');
    await house.comesTo('academy/2145873', 'already_canceled');
    await house.comesTo('donations/0f8f5f3e-27a1-4c8e-9b68-2f7e5a1c0d01', 'held');
    const more = Array.from({ length: 6 }, (_, place) => `  - {id: "888888${place}", provider: academy, when: now}\n`).join('');
    house.write(body(more));
    await house.comesTo('academy/8888880', 'held');
    house.write(body(`${more}  - {id: "2145872", provider: academy, whem: now}
  - {id: "2145872", provider: acadmy, when: soon}
`));
    await until('the file is refused', async () => !(await house.api('status')).source.valid);
  });
  after(() => house?.stop());

  test('one look says what is wrong and what to do', async () => {
    const { page, context } = await open(house, '/');
    assert.match(await text(page, 'h1'), /^Attention: /);
    const points = await text(page, '.points');
    assert.match(points, /the newest file is not valid/i);
    assert.match(points, /lapsed check/);
    assert.match(points, /donations does not accept the credentials/i);
    const all = (await house.api('status')).totals.held;
    assert.match(points, new RegExp(`${all} cancellations are held\n`, 'i'), 'the same number as in the line and the table');
    assert.match(points, /billing is not confirmed for 1 cancellation\n.*\nacademy\/2145873/i);
    assert.match(await text(page, 'section[aria-labelledby=next]'), new RegExp(`${all} held\\.`));
    const open_ = page.locator('.state-unconfirmed');
    assert.equal(await open_.innerText(), 'billing not confirmed');
    const colour = (it) => it.evaluate((at) => getComputedStyle(at).color);
    assert.equal(await colour(open_), await colour(page.locator('.badge').first()), 'in the colour of what is worth a look');
    assert.match(points, /next try at \d\d:\d\d:\d\d UTC \((in|now)/);
    await context.close();
    await holdsUp(house, '/', 'trouble');
  });

  test('what is held stands by its reason, with what frees it', async () => {
    const { page, context } = await open(house, '/');
    const held = await text(page, '.holds');
    assert.match(held, /lapsed approve [0-9a-f]{32}\s+Lets these 6 of lapsed\.yaml be cancelled, at the next run: all are due already/i);
    assert.equal(held.match(/approval_above lets 4 through/g).length, 1, 'what is the same for each is said once');
    const hold = page.locator('.hold', { hasText: 'payment plan' });
    assert.match(await hold.innerText(), /academy\/2145875/);
    assert.ok((await hold.locator('.cure').innerText()).length > 20);
    await page.getByRole('link', { name: 'academy/2145875' }).first().click();
    assert.match(await text(page, '.hero'), /Held: payment plan/);
    await context.close();
  });

  test('a broken file shows its problems where they stand', async () => {
    const { page, context } = await open(house, '/file');
    assert.match(await text(page, 'h1'), /not valid/);
    const excerpt = page.locator('.excerpt').first();
    assert.match(await excerpt.innerText(), /lapsed\.yaml:\d+:\d+/);
    assert.match(await excerpt.locator('.meant').innerText(), /whem/);
    const [, column] = (await excerpt.locator('h3').innerText()).match(/:(\d+)$/);
    assert.equal(await excerpt.locator('.caret').textContent(), `${' '.repeat(column - 1)}^\n`, 'it points at the place');
    assert.doesNotMatch(await page.content(), /of-somebody-else|sandbox-secret/, 'and no secret of the file');
    await context.close();
    await holdsUp(house, '/file', 'file-broken');
  });

  test('nothing on any page acts', async () => {
    for (const path of ['/', '/cancellations', '/events', '/file', '/cancellations/academy/2145875']) {
      const { page, context } = await open(house, path);
      const acts = await page.evaluate(() => [...document.querySelectorAll('form')].filter((it) => it.method !== 'get').length);
      assert.equal(acts, 0, path);
      await context.close();
    }
  });
});

describe('with 100,000 items', () => {
  const MANY = 100_000;
  let house;
  before(async () => {
    const line = (place) => `  - {id: "${1_000_000 + place}", provider: academy, when: ${day(2 + (place % 9))}}\n`;
    house = await House.start(`limits: {approval_above: ${MANY}}
cancellations:
${Array.from({ length: MANY }, (_, place) => line(place)).join('')}`);
    await until('all are taken in', async () => (await house.api('status')).totals.scheduled === MANY);
  });
  after(() => house?.stop());

  test('the first page stays short', async () => {
    const { page, context } = await open(house, '/');
    assert.match(await text(page, '.hero'), /100.000 scheduled/);
    assert.ok((await page.content()).length < 200_000, 'it never shows all');
    assert.match(await text(page, '.points'), /more is due than the limits of writes let through/i);
    assert.match(await page.locator('svg .limit').textContent(), /500 a day/, 'the chart shows what a day lets through');
    assert.match(await text(page, '.points'), /wait for their turn at the end of .* let 500 go in 24 h, so the last of them go about/);
    await context.close();
    await holdsUp(house, '/', 'many');
  });

  test('the list is gone through a page at a time, and one is found among all', async () => {
    const { page, context } = await open(house, '/cancellations?state=scheduled');
    const first = await page.locator('tbody th').first().innerText();
    await page.getByRole('link', { name: 'Next page' }).click();
    assert.notEqual(await page.locator('tbody th').first().innerText(), first);
    assert.match(page.url(), /state=scheduled/, 'the filter goes along');
    await page.getByLabel('Subscription').fill('1077777');
    await page.getByRole('button', { name: 'Show' }).click();
    assert.equal(await page.locator('tbody tr').count(), 1);
    assert.match(await text(page, 'tbody'), /1077777/);
    await context.close();
    await holdsUp(house, '/cancellations', 'list');
  });

  test('in the order of what is due the list goes on as well', async () => {
    const { page, context } = await open(house, '/');
    await page.getByRole('link', { name: 'All that is scheduled' }).click();
    const due = async () => page.locator('td[data-label=Due] time').evaluateAll((all) => all.map((it) => it.dateTime));
    const ids = async () => page.locator('tbody th').allInnerTexts();
    const [first, days] = [await ids(), await due()];
    assert.equal(new Set(days).size, 1, 'of eleven thousand on the first day fifty are here');
    await page.getByRole('link', { name: 'Next page' }).click();
    assert.deepEqual(await due(), days);
    assert.ok((await ids()).every((id) => !first.includes(id)));
    await page.getByRole('link', { name: 'First page' }).click();
    assert.deepEqual(await ids(), first);
    await context.close();
  });

  test('where the limits let it go later than it is due, an item says so', async () => {
    const { page, context } = await open(house, `/cancellations/academy/${1_000_000 + MANY - 1}`);
    assert.match(await text(page, 'main'), /Next it is cancelled between \S+ and about \S+: it is due/);
    await context.close();
    await holdsUp(house, `/cancellations/academy/${1_000_000 + MANY - 1}`, 'waits');
  });
});
