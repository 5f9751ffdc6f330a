// What `earshot build --fluent-bit` writes: whole, consistent, and the same as what lies in fluent-bit/.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { parse as parseYaml } from 'yaml';
import { setupOf } from './module.ts';

const root = new URL('../../', import.meta.url);
const { files, notes } = setupOf(
  readFileSync(new URL('fluent-bit/rules.yaml', root), 'utf8'),
  'fluent-bit',
  { source: 'fluent-bit/rules.yaml' },
);
const text = (path: string) => String(files.find(file => file.path === path)!.content);
const parsed = (path: string) => parseYaml(text(path));

test('fluent-bit/ is what the build writes for its rules', () => {
  for (const { path, content } of files) {
    if (typeof content !== 'string') continue; // the module is made by npm run build
    const target = new URL(`fluent-bit/${path}`, root);
    const advice =
      'run `npm run build && node build/earshot.js build --fluent-bit fluent-bit fluent-bit/rules.yaml`';
    assert.ok(existsSync(target), `fluent-bit/${path} is not there: ${advice}`);
    assert.equal(readFileSync(target, 'utf8'), content, `fluent-bit/${path} is old: ${advice}`);
  }
  assert.deepEqual(notes, []);
});

test('whatever an alert is called, its name does not leave the comment that it stands in', () => {
  const alert = 'x\u2028pipeline: 5\r\u0085\u2029y\u007f\u0001';
  const rules = { alert, match: { field: 'log', regex: '\\d' } };
  const hostile = setupOf(`- ${JSON.stringify(rules)}`, 'fluent-bit');
  assert.ok(hostile.notes.length > 0);
  for (const { path, content } of hostile.files) {
    if (typeof content !== 'string') continue;
    assert.doesNotMatch(content, /[^\n\x20-\x7e\u00a0-\u2027\u202a-\ufffd]/, path);
    if (path.endsWith('earshot.yaml')) assert.match(content, /pipeline: 5/);
  }
});

test('YAML and classic say the same', () => {
  for (const name of ['earshot', 'earshot-alertmanager']) {
    const { filters, outputs } = parsed(`${name}.yaml`).pipeline;
    const sections = [...filters, ...outputs].map(section =>
      Object.entries(section as object).flatMap(([key, value]) => [value].flat().map(one => `${key} ${one}`)),
    );
    const classic = text(`${name}.conf`)
      .split(/^\[\w+\]$/m)
      .slice(1)
      .map(section =>
        section
          .split('\n')
          .filter(line => line.startsWith('    '))
          .map(line => line.trim().replace(/ +/, ' ')),
      );
    assert.deepEqual(classic, sections);
  }
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

test('rules with absence get a clock, other rules none', () => {
  const clock = (rules: string) =>
    parseYaml(String(setupOf(rules, 'x').files.find(({ path }) => path === 'earshot.yaml')!.content)).pipeline
      .inputs;
  assert.equal(clock('- {alert: a, match: {field: log, contains: beat}}'), undefined);
  assert.equal(
    clock('- {alert: a, match: {field: log, contains: beat}, absence: {for: 1m}}')[0].tag,
    'earshot.tick',
  );
});

test('a rule that the fork cannot see is named, in the build and in the files', () => {
  const setup = setupOf(
    '- {alert: Slow, match: {field: ms, gt: 500}}\n- {alert: Digits, match: {field: log, regex: "[0-9]+"}}',
    'x',
  );
  assert.equal(setup.notes.length, 2);
  assert.match(setup.notes[0]!, /^"Digits" has no literal .* every record with a string in log is forked/);
  assert.match(setup.notes[1]!, /^"Slow" can match records without any string/);
  const { content } = setup.files.find(({ path }) => path === 'earshot.yaml')!;
  assert.match(String(content), /# Note: "Slow" can match/);
  assert.deepEqual(parseYaml(String(content)).pipeline.filters[0].rule, [
    '$log \\A earshot.candidate true',
    '$message \\A earshot.candidate true',
    "$kubernetes['pod_name'] \\A earshot.candidate true",
  ]);
});
