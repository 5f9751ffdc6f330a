// What a machine can say about the sources without running them: their form and their types.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { test } from 'node:test';

const ROOT = resolve(import.meta.dirname, '..');

/** Runs a program of node_modules by a line as package.json has them, and returns what it says. */
function runProgram(line: string): { status: number | null; output: string } {
  const { status, stdout, stderr } = spawnSync(`${join(ROOT, 'node_modules/.bin')}/${line}`, {
    cwd: ROOT,
    encoding: 'utf8',
    shell: true, // as npm runs a script: it resolves *.json
  });
  return { status, output: `${stdout}${stderr}`.trim() };
}

test('`npm run format` would change no file', () => {
  const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  assert.match(scripts.format, /^prettier --write /);
  const { status, output } = runProgram(scripts.format.replace('--write', '--list-different'));
  assert.equal(output, '', `these files are not in the form that \`npm run format\` writes:\n${output}`);
  assert.equal(status, 0);
});

test('types are right', () => {
  const { status, output } = runProgram('tsc -p .');
  assert.equal(output, '');
  assert.equal(status, 0);
});
