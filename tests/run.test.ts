// tests/run.ts itself, on a small folder of tests: what it counts, how it exits, and that nothing of its output
// is lost when the reader of a pipe is slow.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

const folder = mkdtempSync(join(tmpdir(), 'earshot-run-'));
after(() => rmSync(folder, { recursive: true }));
mkdirSync(join(folder, 'tests'));
writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
copyFileSync(join(import.meta.dirname, 'run.ts'), join(folder, 'tests/run.ts'));

function writeTest(name: string, body: string): void {
  writeFileSync(join(folder, `tests/${name}.test.ts`), `import { test } from 'node:test';\n${body}\n`);
}
// More than a pipe holds, which is 64 KiB.
writeTest('many', `for (let i = 0; i < 1000; i++) test('number ' + i + ' ' + 'x'.repeat(200), () => {});`);
writeTest('good', `test('one', () => {}); test('two', { skip: 'no kcat on the PATH' }, () => {});`);
writeTest('bad', `test('three', () => { throw new Error('this one fails'); });`);

/** Runs the chosen tests, reads nothing for a while, and returns the last line. */
async function run(chosen: string[], { required = '', waitMs = 0 } = {}) {
  const environment: NodeJS.ProcessEnv = { ...process.env, EARSHOT_REQUIRED: required };
  delete environment.NODE_TEST_CONTEXT; // else its tests would report to the ones here
  const child = spawn(process.execPath, [...process.execArgv, 'tests/run.ts', ...chosen], {
    cwd: folder,
    env: environment,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(child, 'close') as Promise<[code: number]>;
  await once(child.stdout, 'readable');
  await sleep(waitMs);
  let output = '';
  child.stdout.on('data', (data: Buffer) => (output += data));
  const [code] = await ended;
  return { code, output, lastLine: output.trimEnd().split('\n').at(-1) };
}

test('the last line reaches a reader that is slow', async () => {
  const { code, output, lastLine } = await run(['many'], { waitMs: 3000 });
  assert.equal(lastLine, '1000 passed, 0 failed, 0 skipped');
  assert.equal(code, 0);
  assert.ok(output.length > 200_000, `${output.length} characters`);
});

test('tests that pass, fail and are skipped are counted, and a failure is named', async () => {
  const { code, output, lastLine } = await run(['good', 'bad']);
  assert.equal(lastLine, '1 passed, 1 failed, 1 skipped');
  assert.equal(code, 1);
  assert.match(output, /^skipped: two: no kcat on the PATH$/m);
  assert.match(output, /^failed: three \(.*bad\.test\.ts\)$/m);
});

test('a test that is skipped because a required program is missing has failed', async () => {
  const { code, lastLine } = await run(['good'], { required: 'java kcat' });
  assert.equal(lastLine, '1 passed, 1 failed, 0 skipped');
  assert.equal(code, 1);
  assert.equal((await run(['good'], { required: 'java' })).code, 0);
});

test('no test at all is a failure', async () => {
  const { code, lastLine } = await run(['none-is-named-so'], { waitMs: 0 });
  assert.equal(lastLine, '0 passed, 0 failed, 0 skipped');
  assert.equal(code, 1);
});
