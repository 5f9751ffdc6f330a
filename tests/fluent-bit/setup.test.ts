// What `earshot build --fluent-bit` writes: whole, consistent, and the same as what lies in fluent-bit/.
import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { parse as parseYaml } from 'yaml';
import { findForeign, writeFolder } from '../../host/fluent-bit/folder.ts';
import type { Target } from '../../host/fluent-bit/pipeline.ts';
import { RECEIVERS } from '../../host/fluent-bit/pipeline.ts';
import type { Setup } from '../../host/fluent-bit/setup.ts';
import { MARK } from '../../host/fluent-bit/setup.ts';
import { setupOf } from './module.ts';

const root = new URL('../../', import.meta.url);
const TARGETS = Object.keys(RECEIVERS) as Target[];
const RULES = readFileSync(new URL('fluent-bit/rules.yaml', root), 'utf8');
const textIn = ({ files }: Setup, path: string) => String(files.find(file => file.path === path)!.content);
const pipelineIn = (setup: Setup) => parseYaml(textIn(setup, 'earshot.yaml')).pipeline;
const { files, notes } = setupOf(RULES, 'fluent-bit', { source: 'fluent-bit/rules.yaml' });
const fork = setupOf(RULES, 'fluent-bit', { target: 'notification-manager' });
const text = (path: string) => textIn(fork, path);
const parsed = (path: string) => parseYaml(text(path));

test('fluent-bit/ is what the build writes for its rules', () => {
  for (const { path, content } of files) {
    if (typeof content !== 'string') continue; // the module is made by npm run build
    const target = new URL(`fluent-bit/${path}`, root);
    const advice = 'run `npm run build`';
    assert.ok(existsSync(target), `fluent-bit/${path} is not there: ${advice}`);
    assert.equal(readFileSync(target, 'utf8'), content, `fluent-bit/${path} is old: ${advice}`);
  }
  assert.deepEqual(notes, []);
});

test('every file begins with the mark by which the next build knows it; the module comes first', () => {
  for (const target of TARGETS) {
    const [module, ...others] = setupOf(RULES, 'x', { target }).files;
    assert.match(module!.path, /^earshot-[0-9a-f]{16}\.wasm$/);
    for (const { path, content } of others) assert.ok(String(content).startsWith(MARK), path);
  }
});

test('other rules, another module', () => {
  const pathOf = (rules: string) => setupOf(rules, 'x').files[0]!.path;
  const rules = (word: string) => `- {alert: a, match: {field: log, contains: ${word}}}`;
  assert.equal(pathOf(rules('beat')), pathOf(rules('beat')));
  assert.notEqual(pathOf(rules('beat')), pathOf(rules('beats')));
});

const HTTP = { name: 'http', format: 'json', json_date_key: 'false', 'net.io_timeout': '30s' };
const OUTPUTS: Array<[Target, string, object]> = [
  ['alertmanager', 'alert_objects_only', { ...HTTP, uri: '/api/v2/alerts', host: '127.0.0.1', port: 9093 }],
  ['function', 'hits_only', { ...HTTP, uri: '/hits', host: '127.0.0.1', port: 8080 }],
  [
    'kafka',
    'hits_only',
    {
      ...{ name: 'kafka', brokers: '127.0.0.1:9092', topics: 'earshot-hits', format: 'raw' },
      ...{ raw_log_key: 'hit', message_key_field: 'key', 'rdkafka.partitioner': 'murmur2_random' },
    },
  ],
];
for (const [target, door, properties] of OUTPUTS)
  test(`${target}: in YAML one output with the module in it, and nothing else`, () => {
    const { outputs, ...others } = pipelineIn(setupOf(RULES, '/earshot/', { target }));
    assert.deepEqual(others, {});
    assert.equal(outputs.length, 1);
    const [{ processors, ...output }] = outputs;
    const expected = { ...properties, match: 'kube.*', workers: 0, retry_limit: 'no_limits' };
    assert.deepEqual({ ...output, ...expected }, output);
    const names = processors.logs.map(({ name }: { name: string }) => name);
    assert.deepEqual(names, ['grep', 'wasm', ...(target === 'function' ? [] : ['lua'])]);
    const [grep, wasm] = processors.logs;
    assert.equal(grep.logical_op, 'or');
    assert.equal(wasm.function_name, door);
    assert.match(wasm.wasm_path, /^\/earshot\/earshot-[0-9a-f]{16}\.wasm$/);
  });

test('who counts, and what is promised, is in the table', () => {
  for (const target of TARGETS) {
    const { grep, delivery } = setupOf(RULES, 'x', { target, address: 'there:1' }).summary;
    const summary = [grep, ...delivery].join('\n');
    assert.match(summary, /^Fluent Bit: grep of \d lines before the module$/m);
    assert.match(summary, /^Fluent Bit to .* at there:1: /m);
    assert.equal(/counts on the node/.test(summary), RECEIVERS[target].counts === 'node', target);
    assert.match(summary, /loses nothing|a fork, which loses/);
  }
});

test('an address, the tags and the folder in the pod are where they belong', () => {
  for (const target of TARGETS) {
    const options = { target, address: 'h.svc:81', match: 'app.*' } as const;
    const setup = setupOf(RULES, '/fluent-bit/earshot/', options);
    const { outputs, filters } = pipelineIn(setup);
    if (target === 'kafka') assert.equal(outputs[0].brokers, 'h.svc:81');
    else assert.deepEqual([outputs[0].host, outputs[0].port], ['h.svc', 81]);
    assert.equal((filters ?? outputs)[0].match, 'app.*');
    for (const path of ['earshot.yaml', 'earshot.conf', 'fluent-bit.yaml', 'fluent-bit.conf'])
      assert.match(textIn(setup, path), /\/fluent-bit\/earshot\//, path);
    assert.match(textIn(setup, 'earshot.conf'), /^ +match +app\.\*$/m);
  }
  const setup = setupOf(RULES, 'x', { target: 'function', address: '[::1]:81' });
  assert.equal(pipelineIn(setup).outputs[0].host, '::1');
});

test('it starts without storage.path: emitters are in memory, unless the person who builds says otherwise', () => {
  for (const target of TARGETS) {
    const conf = (emitterStorage?: 'filesystem') =>
      textIn(setupOf(RULES, 'x', { target, ...(emitterStorage && { emitterStorage }) }), 'earshot.conf');
    assert.doesNotMatch(conf(), /emitter_storage.type +filesystem/);
    assert.match(conf('filesystem'), /emitter_storage.type +filesystem/);
  }
});

test('grep stays below what a list of a processor holds, and is left out where it cannot choose', () => {
  const grepOf = (rules: string[]) => {
    const setup = setupOf(rules.map(rule => `- ${rule}\n`).join(''), 'x');
    const [first] = pipelineIn(setup).outputs[0].processors.logs;
    return [first.name === 'grep' ? first.regex.length : 0, setup.summary.grep];
  };
  const contains = (count: number, fold = '') =>
    Array.from({ length: count }, (_, i) => {
      const match = { field: 'log', regex: `${fold}${'qwkvzx'[i % 6]}${(i * 7919).toString(36)} failed` };
      return JSON.stringify({ alert: `a${i}`, match });
    });
  const inField = (count: number) =>
    Array.from({ length: count }, (_, i) =>
      JSON.stringify({ alert: `a${i}`, match: { field: `f${i}`, contains: 'disk is full' } }),
    );
  assert.deepEqual(grepOf(contains(1)), [1, 'Fluent Bit: grep of 1 line before the module']);
  assert.equal(grepOf(contains(8))[0], 8);
  assert.equal(grepOf(contains(9))[0], 1);
  assert.equal(grepOf(contains(1000))[0], 1);
  assert.equal(grepOf(inField(8))[0], 8);
  assert.deepEqual(grepOf(inField(9)), [
    0,
    'Fluent Bit: no grep before the module: its regexes would be too many',
  ]);
  assert.deepEqual(grepOf(contains(24, '(?i)')), [
    0,
    'Fluent Bit: no grep before the module: it would leave out too little for what it costs',
  ]);
  assert.deepEqual(grepOf(['{alert: Slow, match: {field: ms, gt: 500}}']), [
    0,
    'Fluent Bit: no grep before the module: "Slow" can match records without a string',
  ]);
  assert.deepEqual(grepOf(['{alert: Digits, match: {field: log, regex: "[0-9]+"}}']), [
    0,
    'Fluent Bit: no grep before the module: "Digits" has no literal and no value to look for',
  ]);
});

test('a thousand rules of a namespace each: the word that they share is looked for, not the namespaces', () => {
  const rules = (test: string) =>
    Array.from(
      { length: 1000 },
      (_, i) =>
        `- {alert: a${i}, match: {all: [{field: kubernetes.namespace_name, eq: team-${i}}, {field: log, ${test}}]}}\n`,
    ).join('');
  const { regex } = pipelineIn(setupOf(rules('contains: ERROR'), 'x')).outputs[0].processors.logs[0];
  assert.deepEqual(regex, ['$log ERROR']);
  const none = setupOf(rules("regex: '[0-9]+'"), 'x');
  assert.match(none.summary.grep, /no grep before the module: it would leave out too little/);
});

test('whatever an alert is called, its name does not leave the comment that it stands in', () => {
  const alert = 'x\u2028pipeline: 5\r\u0085\u2029y\u007f\u0001';
  const rules = { alert, match: { field: 'log', regex: '\\d' } };
  for (const target of TARGETS) {
    const hostile = setupOf(`- ${JSON.stringify(rules)}`, 'fluent-bit', { target });
    assert.ok(hostile.notes.length > 0);
    for (const { path, content } of hostile.files) {
      if (typeof content !== 'string') continue;
      assert.doesNotMatch(content, /[^\n\x20-\x7e\u00a0-\u2027\u202a-\ufffd]/, path);
      if (path.startsWith('earshot.')) assert.match(content, /pipeline: 5/);
    }
  }
});

test('the fork in YAML and in the classic format say the same', () => {
  const { filters, outputs } = parsed('earshot.yaml').pipeline;
  const sections = [...filters, ...outputs].map(section =>
    Object.entries(section as object).flatMap(([key, value]) => [value].flat().map(one => `${key} ${one}`)),
  );
  const classic = text('earshot.conf')
    .split(/^\[\w+\]$/m)
    .slice(1)
    .map(section =>
      section
        .split('\n')
        .filter(line => line.startsWith('    '))
        .map(line => line.trim().replace(/ +/, ' ')),
    );
  assert.deepEqual(classic, sections);
});

test('nothing but an alert has an alert’s tag, and alerts do not go round', () => {
  const { filters, outputs } = parsed('earshot.yaml').pipeline;
  const [fork, module, split] = filters;
  const matches = (pattern: string, tag: string) =>
    new RegExp(`^${pattern.replaceAll('.', '\\.').replaceAll('*', '.*')}$`).test(tag);
  const forkTag = fork.rule[0].split(' ')[2];
  const alertTag = split.rule.split(' ')[2].replace('$1', '0123-4567');
  assert.ok(matches(module.match, forkTag) && matches(split.match, forkTag));
  for (const { match } of filters) assert.ok(!matches(match, alertTag));
  assert.ok(matches(outputs[0].match, alertTag) && !matches(outputs[0].match, forkTag));
});

test('a rule that resolves gets a clock where the node counts', () => {
  const resolves = '- {alert: a, match: {field: log, contains: beat}, resolveAfter: 1m}';
  const { inputs } = pipelineIn(setupOf(resolves, 'x', { target: 'alertmanager', match: 'a.*' }));
  assert.equal(inputs?.[0].tag, 'earshot.tick');
});

test('rules with absence get a clock where the node counts; grep and the output let it pass', () => {
  const absence = '- {alert: a, match: {field: log, contains: beat}, absence: {for: 1m}}';
  for (const target of TARGETS) {
    const { inputs, outputs } = pipelineIn(setupOf(absence, 'x', { target, match: 'a.*' }));
    assert.equal(inputs?.[0].tag, RECEIVERS[target].counts === 'node' ? 'earshot.tick' : undefined, target);
    if (target !== 'alertmanager') continue;
    const [output] = outputs;
    for (const [tag, passes] of [
      ['a.b', true],
      ['earshot.tick', true],
      ['ab', false],
      ['earshot.ticks', false],
    ] as const)
      assert.equal(new RegExp(output.match_regex).test(tag), passes, tag);
    const record = JSON.parse(inputs[0].dummy);
    const [accessor, regex] = output.processors.logs[0].regex[0].split(' ');
    assert.match(record[accessor.slice(1)], new RegExp(regex.replace('\\A', '^').replace('\\z', '$')));
  }
  const none = pipelineIn(setupOf('- {alert: a, match: {field: log, contains: beat}}', 'x'));
  assert.equal(none.inputs, undefined);
});

test('a rule that the fork cannot see is named, in the build and in the files', () => {
  const setup = setupOf(
    '- {alert: Slow, match: {field: ms, gt: 500}}\n- {alert: Digits, match: {field: log, regex: "[0-9]+"}}',
    'x',
    { target: 'notification-manager' },
  );
  assert.equal(setup.notes.length, 2);
  assert.match(setup.notes[0]!, /^"Digits" has no literal .* every record with a string in log is forked/);
  assert.match(setup.notes[1]!, /^"Slow" can match records without any string/);
  assert.match(textIn(setup, 'earshot.yaml'), /# Note: "Slow" can match/);
  assert.deepEqual(pipelineIn(setup).filters[0].rule, [
    '$log \\A earshot.candidate true',
    '$message \\A earshot.candidate true',
    "$kubernetes['pod_name'] \\A earshot.candidate true",
  ]);
});

// ── Writing the folder ──

function newFolder(context: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'earshot-setup-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

async function build(folder: string, rules = RULES): Promise<string[]> {
  const { files } = setupOf(rules, folder);
  return writeFolder(folder, files, await findForeign(folder, files));
}

test('a second build replaces its own files, and says which modules are left', async context => {
  const folder = newFolder(context);
  assert.deepEqual(await build(folder), []);
  const before = readdirSync(folder);
  const [module] = before.filter(name => name.endsWith('.wasm'));
  const at = statSync(join(folder, module!)).mtimeMs;
  assert.deepEqual(await build(folder), []);
  assert.equal(statSync(join(folder, module!)).mtimeMs, at, 'the same module is not written again');
  const notes = await build(folder, '- {alert: Other, match: {field: log, contains: beat}}');
  assert.equal(notes.length, 1);
  assert.match(notes[0]!, new RegExp(`^modules of other rules are left .*: ${module}; delete them when`));
  assert.equal(readdirSync(folder).length, before.length + 1); // and no drafts
  assert.match(readFileSync(join(folder, 'earshot.yaml'), 'utf8'), /beat/);
});

test('a main configuration of somebody else is left, and named', async context => {
  const folder = newFolder(context);
  writeFileSync(join(folder, 'fluent-bit.conf'), '[SERVICE]\n    flush 1\n');
  writeFileSync(join(folder, 'parsers.conf'), '');
  const notes = await build(folder);
  assert.deepEqual(
    notes,
    ['parsers.conf', 'fluent-bit.conf'].map(
      name =>
        `${join(folder, name)} was not made by \`earshot build --fluent-bit\` and is left as it is; to have the ` +
        'generated one, rename it or name another folder',
    ),
  );
  assert.equal(readFileSync(join(folder, 'fluent-bit.conf'), 'utf8'), '[SERVICE]\n    flush 1\n');
  assert.ok(existsSync(join(folder, 'fluent-bit.yaml')) && existsSync(join(folder, 'earshot.conf')));
});

for (const kind of ['file', 'folder'] as const)
  test(`a ${kind} of somebody else where Earshot's own must be: nothing is written`, async context => {
    const folder = newFolder(context);
    const path = join(folder, 'earshot.yaml');
    if (kind === 'file') writeFileSync(path, 'pipeline: {}\n');
    else mkdirSync(path);
    await assert.rejects(build(folder), {
      message: `${path}: not made by \`earshot build --fluent-bit\`, so nothing is written; rename it, or name another folder`,
    });
    assert.deepEqual(readdirSync(folder), ['earshot.yaml']);
  });
