// Lists from files beside the rules: what they hold, and what a rules file cannot read.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { readRulesFile } from '../../host/command/rules-file.ts';
import type { RulesFile } from '../../host/command/rules-file.ts';
import { parseRules, parseSources } from '../../host/compiler/rules.ts';
import type { Problem } from '../../host/error.ts';
import type { Condition } from '../../host/compiler/model.ts';

const base = mkdtempSync(join(tmpdir(), 'earshot-lists-'));
after(() => rmSync(base, { recursive: true, force: true }));
const folder = join(base, 'team');
mkdirSync(folder);

function write(path: string, content: string | Uint8Array): void {
  mkdirSync(dirname(join(folder, path)), { recursive: true });
  writeFileSync(join(folder, path), content);
}

const rules = (...tests: string[]) =>
  `groups:\n  - name: g\n    rules:\n${tests
    .map((test, i) => `      - {alert: a${i}, match: {field: host, ${test}}, annotations: {message: m}}\n`)
    .join('')}`;

async function read(...tests: string[]): Promise<RulesFile> {
  write('rules.yaml', rules(...tests));
  return readRulesFile(join(folder, 'rules.yaml'));
}

const told = ({ problems }: { problems: Problem[] }) =>
  problems.map(({ message, hint }) => `${message}${hint === undefined ? '' : `; ${hint}`}`);
const firstTest = (file: RulesFile) => file.file.rules[0]!.steps[0] as Condition;

test('a value a line: comments, blank lines, space around, a second time and the byte order mark are left out', async () => {
  write('hosts.txt', '\ufeff# hosts\n\n web-1 \r\nweb-2\n  # more\nweb 3 # x\nweb-1\n"7"\n');
  const file = await read('in: {file: hosts.txt}');
  assert.deepEqual(told(file), []);
  const test = firstTest(file);
  const values = ['web-1', 'web-2', 'web 3 # x', '"7"'].map(value => ({ type: 'string', value }));
  assert.deepEqual(test.kind === 'test' && test.op === 'in' && test.values, values);
});

test('all operators that take a list take a file, and it is the same as the list', async () => {
  write('lists/words.txt', 'error\nfatal\n');
  for (const operator of ['in', 'contains', 'startsWith', 'endsWith', 'containsAll']) {
    const fromFile = await read(`${operator}: {file: lists/words.txt}`);
    const inline = await read(`${operator}: [error, fatal]`);
    assert.deepEqual(told(fromFile), []);
    assert.equal(fromFile.ruleset!.hash, inline.ruleset!.hash, operator);
  }
});

test('what is in a list counts for the module', async () => {
  write('hosts.txt', 'web-1\n');
  const before = (await read('in: {file: hosts.txt}')).ruleset!.hash;
  write('hosts.txt', 'web-2\n');
  assert.notEqual((await read('in: {file: hosts.txt}')).ruleset!.hash, before);
});

test('nothing outside of the folder is read, by whichever way', async () => {
  writeFileSync(join(base, 'secret.txt'), 'secret\n');
  mkdirSync(join(base, 'team-2'));
  writeFileSync(join(base, 'team-2/secret.txt'), 'secret\n');
  symlinkSync('../secret.txt', join(folder, 'link.txt'));
  symlinkSync('..', join(folder, 'up'));
  symlinkSync('../team-2', join(folder, 'next'));
  const outside = 'is not inside the folder of the rules file; a list is beside its rules file, or below it: write a path such as lists/hosts.txt'; // prettier-ignore
  for (const path of [
    '../secret.txt',
    'lists/../../secret.txt',
    '/etc/hostname',
    `${base}/secret.txt`,
    'link.txt',
    'up/secret.txt',
    'next/secret.txt',
    '.',
    '..\\secret.txt',
    '../team/hosts.txt',
  ])
    assert.deepEqual(told(await read(`in: {file: '${path}'}`)), [`"${path}" ${outside}`], path);
});

test('links within the folder are followed, as Kubernetes mounts a ConfigMap', async () => {
  write('..2026/mounted.txt', 'web-1\n');
  symlinkSync('..2026', join(folder, '..data'));
  symlinkSync('..data/mounted.txt', join(folder, 'mounted.txt'));
  assert.deepEqual(told(await read('in: {file: mounted.txt}')), []);
});

test('a list that cannot be used is named, and why', async () => {
  write('empty.txt', '# nothing\n\n');
  write('latin1.txt', Uint8Array.of(0x66, 0xfc, 0x72, 0x0a));
  write('huge.txt', 'x'.repeat(1024 * 1024 + 1));
  write('long.txt', `short\n${'x'.repeat(4097)}\n`);
  write('many.txt', Array.from({ length: 10_001 }, (_, i) => `v${i}\n`).join(''));
  symlinkSync('nowhere.txt', join(folder, 'broken.txt'));
  execFileSync('mkfifo', [join(folder, 'pipe.txt')]);
  const file = await read(
    'in: {file: empty.txt}',
    'in: {file: latin1.txt}',
    'in: {file: huge.txt}',
    'in: {file: long.txt}',
    'contains: {file: long.txt}',
    'in: {file: many.txt}',
    'containsAll: {file: many.txt}',
    'in: {file: broken.txt}',
    'in: {file: gone.txt}',
    'in: {file: lists}',
    'in: {file: pipe.txt}',
    'in: {file: 5}',
    'in: {file: hosts.txt, sort: true}',
    'in: [{file: empty.txt}]',
    'eq: {file: empty.txt}',
    'in: hosts.txt',
  );
  const listHint = 'a list from a file takes the place of the whole list: in: {file: hosts.txt}';
  assert.deepEqual(told(file), [
    '"empty.txt" has no values; write one value a line',
    '"latin1.txt" is not text in UTF-8; save it as UTF-8, one value a line',
    '"huge.txt" has 1,048,577 bytes, 1,048,576 allowed; make several lists',
    'long.txt:2: a value of "in" has 4,097 bytes, 4,096 allowed',
    'long.txt:2: a text of "contains" has 4,097 bytes, 4,096 allowed',
    '"in" has 10,001 values, 10,000 allowed',
    '"containsAll" has 10,001 texts, 100 allowed',
    '"broken.txt" is a link to a file that is not there; the path starts at the folder of the rules file',
    '"gone.txt" is not there; the path starts at the folder of the rules file',
    '"lists" is not a file; name a file with one value a line',
    '"pipe.txt" is not a file; name a file with one value a line',
    `"file" must be a string, found the number 5; put it in quotes: '5'`,
    'unknown key "sort"; known keys: file',
    `a value of "in" must be a string, number, boolean or null, found a map; ${listHint}`,
    `"eq" must be a string, number, boolean or null, found a map; ${listHint}`,
    '"in" must be a list of values, found the string "hosts.txt"; write {file: hosts.txt}',
  ]);
});

test('a short file of rules cannot stand for endless lists', () => {
  const text = Array.from({ length: 10_000 }, (_, i) => `v${i}\n`).join('');
  const source = rules(...Array.from({ length: 102 }, () => 'in: {file: many.txt}'));
  const problems: Problem[] = [];
  const report = (problem: Problem) => problems.push(problem);
  parseSources([{ path: 'rules.yaml', text: source, start: 0 }], report, () => ({ text }));
  const message =
    'lists from files have more than 1,000,000 values in all rules; test what is in a list in one rule';
  assert.deepEqual(told({ problems }), [message, message]);
});

test('the compiler itself reads no file', () => {
  const problems: Problem[] = [];
  parseRules(rules('in: {file: hosts.txt}'), problem => problems.push(problem));
  assert.deepEqual(told({ problems }), [
    '"hosts.txt" cannot be read here: there are no files; write the values out, as a list',
  ]);
});
