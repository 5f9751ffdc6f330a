// Several rules files and folders: which files are read, what is said of them, and that the module is the same whatever
// they are called.
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, beforeEach, test } from 'node:test';
import { Writable } from 'node:stream';
import fc from 'fast-check';
import { cli } from '../../host/cli.ts';
import { readRulesFile } from '../../host/command/rules-file.ts';
import { expandPaths } from '../../host/command/rules-paths.ts';
import type { Io } from '../../host/command/command.ts';

const base = mkdtempSync(join(tmpdir(), 'earshot-paths-'));
after(() => rmSync(base, { recursive: true, force: true }));
let folder = '';
beforeEach(() => (folder = mkdtempSync(join(base, 'case-'))));

function write(name: string, content = ''): string {
  const path = join(folder, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
  return path;
}

const group = (name: string, contains = `${name} failed`) =>
  `  - name: ${name}\n    rules: [{alert: ${name}, match: {field: log, contains: ${contains}}, annotations: {message: m}}]\n`;
const file = (...names: string[]) => `groups:\n${names.map(name => group(name)).join('')}`;
/** Without the folder of the case. */
const short = (text: string) => text.replaceAll(`${folder}/`, '');

const checked = (...paths: string[]) => earshot('check', ...paths);

async function earshot(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const result = { code: 0, stdout: '', stderr: '' };
  const stream = (name: 'stdout' | 'stderr') =>
    new Writable({
      write(chunk, _, done) {
        result[name] += String(chunk);
        done();
      },
    });
  const io = { stdout: stream('stdout'), stderr: stream('stderr') } as unknown as Io;
  result.code = await cli(args, io);
  return { ...result, stdout: short(result.stdout), stderr: short(result.stderr) };
}

test('a folder is all *.yaml and *.yml below it, sorted, without hidden names', async () => {
  for (const name of [
    'b.yaml',
    'a.yml',
    'sub/deep/c.yaml',
    'sub/d.txt',
    '.hidden.yaml',
    '.git/e.yaml',
    'f.yaml.bak',
  ])
    write(name);
  assert.deepEqual((await expandPaths([folder])).map(short), ['a.yml', 'b.yaml', 'sub/deep/c.yaml']);
});

test('a file is read once, however often and by whichever name it is named', async () => {
  const path = write('a.yaml');
  symlinkSync(path, join(folder, 'z.yaml'));
  const found = await expandPaths([folder, path, `${folder}/./a.yaml`, path]);
  assert.deepEqual(found.map(short), ['./a.yaml']);
});

test('links: a ConfigMap as Kubernetes mounts it is read once, a loop of folders ends', async () => {
  write('..2026/rules.yaml');
  symlinkSync('..2026', join(folder, '..data'));
  symlinkSync('..data/rules.yaml', join(folder, 'rules.yaml'));
  mkdirSync(join(folder, 'sub'));
  symlinkSync('..', join(folder, 'sub/up'));
  symlinkSync('.', join(folder, 'sub/self'));
  assert.deepEqual((await expandPaths([folder])).map(short), ['rules.yaml']);
});

test('what cannot be read is said of each, and does not hide the others', async () => {
  mkdirSync(join(folder, 'empty'));
  symlinkSync('nowhere.yaml', join(folder, 'broken.yaml'));
  write('a.yaml', file('a'));
  const { code, stdout, stderr } = await checked(folder, join(folder, 'empty'), join(folder, 'a.yml'));
  assert.equal(code, 2);
  assert.equal(stdout, '1 rule: no errors, no warnings\n');
  assert.equal(
    stderr,
    'earshot: empty has no rules files: none below it ends in .yaml or .yml\n'
      .replace('empty', `${folder}/empty`)
      .replace(`${folder}/`, '') +
      'earshot: a.yml cannot be read: there is no such file; did you mean "a.yaml"?\n' +
      'earshot: broken.yaml cannot be read: there is no such file\n',
  );
});

test('a problem names its file, and its line there', async () => {
  write('a.yaml', file('a').replace('contains', 'contans'));
  write('b.yaml', '# a comment\n' + file('b', 'a').replace('{message: m}', '{}'));
  write('c.yaml', `limits: {keys: 2000}\n${file('c')}`);
  write('d.yaml', `limits: {keys: 3000}\n${file('d').replace('{message: m}', '{}')}`);
  write('e.yaml', '');
  const { code, stdout } = await checked(folder);
  assert.equal(code, 1);
  assert.equal(
    stdout,
    `a.yaml:3:44: error: unknown key "contans"; did you mean "contains"?
3 |     rules: [{alert: a, match: {field: log, contans: a failed}, annotations: {message: m}}]
  |                                            ^^^^^^^

b.yaml:4:13: warning: alert "b" has no annotation "message" or "summary"
4 |     rules: [{alert: b, match: {field: log, contains: b failed}, annotations: {}}]
  |             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
hint: Notification Manager shows one of these; without them the line in Slack is blank
and 1 more like this: line d.yaml:4

b.yaml:5:11: error: second group "a"; the first is in a.yaml:2
5 |   - name: a
  |           ^
hint: give each group its own name

d.yaml:1:1: error: "limits" differs from that in c.yaml:1
1 | limits: {keys: 3000}
  | ^^^^^^
hint: it is for all files together: say it in one of them

e.yaml:1:1: error: the file is empty
1 |
  | ^
hint: a rules file starts with \`groups:\`, a list of groups with a name and rules

4 rules without errors: 4 errors, 2 warnings
`,
  );
  const { stdout: json } = await checked(folder, '--format', 'json');
  const problems = JSON.parse(json) as Array<{ file: string; line: number }>;
  assert.deepEqual(
    problems.map(({ file, line }) => `${file}:${line}`),
    ['a.yaml:3', 'b.yaml:4', 'b.yaml:5', 'd.yaml:1', 'd.yaml:4', 'e.yaml:1'],
  );
});

test('limits that are the same may be said twice', async () => {
  write('a.yaml', `limits: {keys: 2000}\n${file('a')}`);
  write('b.yaml', `limits: {keys: 2000, alertsPerSecond: 20}\n${file('b')}`);
  const { file: read, problems } = await readRulesFile(folder);
  assert.deepEqual([problems, read.limits], [[], { keyCount: 2000, alertsPerSecond: 20 }]);
});

test('the same groups give the same module, however they lie in files', async () => {
  const names = ['a', 'b', 'c', 'd', 'e'];
  const hashes = new Set<string>();
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.nat(3), { minLength: 5, maxLength: 5 }),
      fc.shuffledSubarray(names, { minLength: 5 }),
      fc.shuffledSubarray(['1.yaml', '2.yml', 'x/3.yaml', 'y.yaml'], { minLength: 4 }),
      async (places, order, files) => {
        folder = mkdtempSync(join(base, 'case-'));
        const content = files.map((_, place) => order.filter(name => places[names.indexOf(name)] === place));
        const paths = files.filter((_, place) => content[place]!.length > 0);
        fc.pre(paths.length > 1); // a single file keeps the order of its groups
        files.forEach((path, place) => content[place]!.length > 0 && write(path, file(...content[place]!)));
        const { ruleset, problems } = await readRulesFile(...paths.map(path => join(folder, path)));
        assert.deepEqual(problems, []);
        hashes.add(ruleset!.hash);
      },
    ),
    { numRuns: 20 },
  );
  assert.equal(hashes.size, 1);
});

test('a file that is renamed gives the same module', async () => {
  write('a.yaml', file('one', 'two'));
  write('b.yaml', file('three'));
  const before = (await readRulesFile(folder)).ruleset!.hash;
  renameSync(join(folder, 'a.yaml'), join(folder, 'z.yaml'));
  assert.equal((await readRulesFile(folder)).ruleset!.hash, before);
});

test('run and explain take folders, and rules by an option', async () => {
  write('rules/a.yaml', file('a'));
  write('rules/b.yaml', file('b'));
  write('c.yaml', file('c'));
  const log = write('log.ndjson', ['a', 'b', 'c'].map(name => `{"log":"${name} failed"}\n`).join(''));
  const at = (name: string) => join(folder, name);
  const alerts = async (...args: string[]) => {
    const { code, stdout, stderr } = await earshot('run', ...args, log);
    assert.equal(code, 0, stderr);
    return [...stdout.matchAll(/"alertname":"(\w)"/g)].map(([, name]) => name).filter((_, i) => i % 3 === 0);
  };
  assert.deepEqual(await alerts(at('rules')), ['a', 'b']);
  assert.deepEqual(await alerts('--rules', at('rules'), '--rules', at('c.yaml')), ['a', 'b', 'c']);
  assert.equal((await earshot('build', at('rules'), '-o', at('x.wasm'))).code, 0);
  assert.deepEqual(await alerts('--rules', at('x.wasm')), ['a', 'b']);
  const both = await earshot('run', '--rules', at('c.yaml'), '--rules', at('x.wasm'), log);
  assert.deepEqual(
    [both.code, both.stderr],
    [2, 'earshot: x.wasm is a module, and holds rules already: build all rules into one module\n'],
  );
  const told = await earshot('explain', '--rules', at('c.yaml'), '--rules', at('rules'), '--rule', 'c', log);
  assert.match(told.stdout, /log.ndjson:3\n  c: met\n    yes \{field: log, contains: c failed\}\n/);
});
