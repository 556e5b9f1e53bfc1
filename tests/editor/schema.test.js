// What a person sees who edits lapsed.yaml: yaml-language-server, driven with the committed
// schemas. `cargo test` holds those against the code; this holds them against an editor.

import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import yaml from 'yaml';
import { Editor } from './editor.js';

const PROJECT = join(dirname(fileURLToPath(import.meta.url)), '../..');
const read = (path) => readFileSync(join(PROJECT, path), 'utf8');
const MAIN = JSON.parse(read('config/lapsed.schema.json'));
const INCLUDED = JSON.parse(read('config/lapsed.included.schema.json'));

const HEAD = `# yaml-language-server: $schema=./lapsed.schema.json
version: 1
providers:
  academy: {type: kajabi, token: {env: T}}
`;
const INCLUDED_HEAD = '# yaml-language-server: $schema=./lapsed.included.schema.json\n';

let editor;
let folder;

// A folder as `lapsed init` leaves it: the schema beside the file. The examples have no first
// line that names one, and are found by the editor's own setting.
before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'lapsed-editor-'));
  for (const schema of ['lapsed.schema.json', 'lapsed.included.schema.json']) {
    cpSync(join(PROJECT, 'config', schema), join(folder, schema));
  }
  const address = (schema) => pathToFileURL(join(PROJECT, 'config', schema)).href;
  editor = await Editor.start({
    [address('lapsed.schema.json')]: ['examples/*/*lapsed.yaml', 'examples/*/*commit.yaml', 'examples/*/base/*lapsed.yaml'],
    [address('lapsed.included.schema.json')]: ['examples/*/cancellations/*.yaml'],
  });
});

after(async () => {
  await editor?.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** Every YAML file of the project that lapsed reads: where an editor has it, and its text. */
function files() {
  const examples = readdirSync(join(PROJECT, 'examples'), { recursive: true })
    // The rest is of those who run lapsed, or run beside it.
    .filter((name) => /(lapsed|commit)\.yaml$|\/cancellations\/[^/]*\.yaml$/.test(name))
    .map((name) => `examples/${name}`);
  const kept = ['config/lapsed.yaml', 'config/cancellations/batch.yaml', ...examples];
  return [
    ...kept.map((name) => ({ path: join(PROJECT, name), text: read(name) })),
    { path: join(folder, 'lapsed.yaml'), text: read('src/desired/starter.yaml') },
  ];
}

/** What is found wrong, as the number of the line (from 1) and the words. */
async function problems(path, text) {
  const { diagnostics } = await editor.open(path, text);
  return diagnostics
    .map(({ range, message }) => [range.start.line + 1, message])
    .sort(([one], [other]) => one - other);
}

test('nothing is wrong with any file of the project or with the one that init writes', async () => {
  const all = files();
  assert.ok(all.length >= 10, `${all.length} files`);
  await Promise.all(
    all.map(async ({ path, text }) => assert.deepEqual(await problems(path, text), [], path)),
  );
});

test('a misspelt key is told in each of them, so that the right schema is in force', async () => {
  await Promise.all(
    files().map(async ({ path, text }) => {
      const misspelt = text.replace(/^cancellations:/m, 'cancelations:');
      const line = misspelt.split('\n').findIndex((it) => it.startsWith('cancelations:')) + 1;
      const beside = join(dirname(path), `misspelt-${basename(path)}`);
      const expected = [[line, 'Property cancelations is not allowed.']];
      assert.deepEqual(await problems(beside, misspelt), expected, path);
    }),
  );
});

test('each wrong line is told, with what is allowed', async () => {
  const text = `${HEAD}mode: act
reconcile:
  schedule: "*/5 * * * *"
  wait_after_accept: soon
limits: {per_huor: 5}
admin_token: geheim
read_token: {env: TOKEN, file: token}
policies:
  - name: no set
cancellations:
  - id: "1"
    when: end_of_perod
    wen: now
  - when: now
`;
  const wrong = await problems(join(folder, 'wrong.yaml'), text);
  const expected = [
    [5, /"observe", "enforce"/],
    [8, /^Allowed: a length of time such as 20s/],
    [9, /per_huor is not allowed/],
    [10, /^Allowed: {env: NAME} or {file: PATH}/],
    [11, /more properties than limit of 1/],
    [13, /"set"/],
    [16, /^Allowed: now, end_of_period, a day such as 2026-12-31/],
    [17, /wen is not allowed/],
    [18, /"id"/],
  ];
  assert.deepEqual(wrong.map(([line]) => line), expected.map(([line]) => line), `${wrong}`);
  wrong.forEach(([, message], index) => assert.match(message, expected[index][1]));
});

test('what is allowed in more than one form is no problem', async () => {
  const text = `${HEAD}max_items: "10"
limits: {removal_above: 5}
policies:
  - name: labels have names of one's own
    match: {type: [kajabi, lotus], labels: {cause: fraud, batch: [1, 2]}}
    set: {when: now, reason: Fraud}
cancellations:
  - {id: 2145871, when: 2026-12-31, labels: {ticket: OPS-1, vip: true}}
  - {id: "2145872", when: 2026-12-31T09:00:00+01:00}
`;
  assert.deepEqual(await problems(join(folder, 'right.yaml'), text), []);
});

const POLICY = MAIN.properties.policies.items;
const ITEM = MAIN.properties.cancellations.items;

/** Places for a key: the text before it, the schema of what holds it, and the keys there already. */
const HOLDERS = [
  ['', MAIN, ['version', 'providers']],
  ['reconcile:\n  ', MAIN.properties.reconcile, []],
  ['limits:\n  ', MAIN.properties.limits, []],
  ['admin_token:\n  ', MAIN.properties.admin_token, []],
  ['policies:\n  - name: a\n    ', POLICY, ['name']],
  ['policies:\n  - name: a\n    match:\n      ', POLICY.properties.match, []],
  ['policies:\n  - name: a\n    set:\n      ', POLICY.properties.set, []],
  ['policies:\n  - name: a\n    set:\n      window:\n        ', POLICY.properties.set.properties.window, []],
  ['freezes:\n  - name: a\n    ', MAIN.properties.freezes.items, ['name']],
  ['approvals:\n  - by: a\n    ', MAIN.properties.approvals.items, ['by']],
  ['cancellations:\n  - id: a\n    ', ITEM, ['id']],
  ['cancellations:\n  - id: a\n    expect:\n      ', ITEM.properties.expect, []],
];

async function offersKeys(head, text, holder, there) {
  const offered = await editor.complete(folder, `${head}${text}‸\n`);
  const keys = Object.entries(holder.properties).filter(([key]) => !there.includes(key));
  assert.ok(keys.length > 0);
  for (const [key, { description }] of keys) {
    assert.ok(description, `${text}${key} has no description`);
    assert.equal(offered.get(key)?.help, description, `${text}${key}`);
    assert.ok(offered.get(key).puts.startsWith(`${key}:`), `${text}${key}`);
  }
  for (const key of there) {
    assert.ok(!offered.has(key), `${text}${key} stands there already`);
  }
}

test('the keys are offered at the top and in every part, with their help', async () => {
  await Promise.all(HOLDERS.map(([text, holder, there]) => offersKeys(HEAD, text, holder, there)));
  const provider = HEAD.replace(/ \{type.*\n/, '\n    type: kajabi\n    ');
  await offersKeys(provider, '', MAIN.properties.providers.additionalProperties, ['type']);
});

/** Keys whose values are closed sets of words, as they stand in a file. */
const WORDS = [
  ['mode: ', ['enforce', 'observe']],
  ['policies:\n  - name: a\n    set:\n      when: ', ['end_of_period', 'now']],
  ['policies:\n  - name: a\n    set:\n      when_missed: ', ['ask', 'next_period', 'now']],
  ['policies:\n  - name: a\n    match:\n      type: ', ['kajabi', 'lotus', 'revere']],
  ['cancellations:\n  - id: a\n    when: ', ['end_of_period', 'now']],
  ['cancellations:\n  - id: a\n    when_missed: ', ['ask', 'next_period', 'now']],
  ['cancellations:\n  - id: a\n    usage_behavior: ', ['bill_full', 'bill_none']],
  ['cancellations:\n  - id: a\n    flat_fee_behavior: ', ['charge_full', 'charge_prorated', 'refund']],
  ['cancellations:\n  - id: a\n    invoicing_behavior: ', ['add_to_next_invoice', 'invoice_now']],
];

/** The same below a provider. */
const PROVIDER_WORDS = [
  ['type: ', ['kajabi', 'lotus', 'revere']],
  ['mode: ', ['enforce', 'observe']],
  ['payment_plans: ', ['cancel', 'hold']],
  ['renewal_off: ', ['at_once', 'in_window']],
];

test('the words of every closed set are offered and nothing else, each with its meaning', async () => {
  const below = HEAD.replace(/ \{type.*\n/, '\n    ');
  const cases = [
    ...WORDS.map(([text, words]) => [HEAD + text, words]),
    ...PROVIDER_WORDS.map(([text, words]) => [below + text, words]),
  ];
  await Promise.all(
    cases.map(async ([text, words]) => {
      const offered = await editor.complete(folder, `${text}‸\n`);
      // An example that is a list is offered as one.
      const single = [...offered.keys()].filter((label) => !label.startsWith('['));
      assert.deepEqual(single.sort(), words, text);
      const meanings = new Set(words.map((word) => offered.get(word).help));
      assert.equal(meanings.size, words.length, `${text}${[...meanings]}`);
    }),
  );
});

test('nothing is offered that no file may hold, and nothing that is somebody’s', async () => {
  const places = ['admin_token: ', 'policies: ', 'limits: ', 'approvals:\n  - plan: ', 'cancellations:\n  - id: '];
  for (const place of places) {
    const offered = await editor.complete(folder, `${HEAD}${place}‸\n`);
    assert.deepEqual([...offered.keys()], [], place);
  }
});

test('an offered schedule is quoted where YAML asks for it', async () => {
  const offered = await editor.complete(folder, `${HEAD}reconcile:\n  schedule: ‸\n`);
  const values = [...offered.values()].map(({ puts }) => yaml.parse(puts));
  assert.deepEqual(values.sort(), MAIN.properties.reconcile.properties.schedule.examples.sort());
});

/** Every description that a schema has for a key of that name, or for a name of one's own. */
function descriptions(schema) {
  const found = new Map();
  const add = (key, { description }) => found.set(key, [...(found.get(key) ?? []), description]);
  const walk = (part) => {
    if (part === null || typeof part !== 'object') return;
    Object.entries(part.properties ?? {}).forEach(([key, inner]) => add(key, inner));
    if (part.additionalProperties) add('', part.additionalProperties);
    Object.values(part).forEach(walk);
  };
  walk(schema);
  return (key) => found.get(key) ?? found.get('');
}

/** Every key of a text, with its place. */
function keysOf(text) {
  const counter = new yaml.LineCounter();
  const keys = [];
  yaml.visit(yaml.parseDocument(text, { lineCounter: counter }), {
    Pair(_, { key }) {
      const { line, col } = counter.linePos(key.range[0]);
      keys.push({ key: key.value, position: { line: line - 1, character: col } });
    },
  });
  return keys;
}

for (const [name, schema, least] of [
  ['config/lapsed.yaml', MAIN, 100],
  ['config/cancellations/batch.yaml', INCLUDED, 8],
]) {
  test(`each key of ${name} is explained, with an example, where the cursor rests`, async () => {
    const text = read(name);
    const { uri } = await editor.open(join(PROJECT, dirname(name), `hover-${basename(name)}`), text);
    const describe = descriptions(schema);
    const keys = keysOf(text);
    assert.ok(keys.length >= least, `${keys.length} keys`);
    for (const { key, position } of keys) {
      const help = await editor.hover(uri, position);
      const line = `${name}:${position.line + 1}: ${key}: ${help}`;
      assert.ok(describe(key).some((text) => help.startsWith(text)), line);
      assert.match(help, /Example:\n\n```yaml\n\S/, line);
    }
  });
}

test('an included file has defaults and cancellations, and no settings', async () => {
  const { id, again, ...shared } = INCLUDED.properties.cancellations.items.properties;
  assert.ok(id && again);
  const defaults = INCLUDED.properties.defaults.properties;
  assert.deepEqual(Object.keys(defaults), Object.keys(shared));
  await offersKeys(INCLUDED_HEAD, '', INCLUDED, []);
  await offersKeys(INCLUDED_HEAD, 'defaults:\n  ', { properties: defaults }, []);
  await offersKeys(INCLUDED_HEAD, 'cancellations:\n  - id: a\n    ', INCLUDED.properties.cancellations.items, ['id']);
  const text = `${INCLUDED_HEAD}version: 1\ndefaults: {id: a, when: now}\ncancellations: []\n`;
  const wrong = await problems(join(folder, 'included.yaml'), text);
  assert.deepEqual(wrong, [
    [2, 'Property version is not allowed.'],
    [3, 'Property id is not allowed.'],
  ]);
});
