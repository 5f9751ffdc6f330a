// `earshot` as a user has it, for tests: build/earshot.js in a process of its own, in a folder away from the repository.
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after } from 'node:test';

export const ROOT = resolve(import.meta.dirname, '../..');
export const folder = mkdtempSync(join(tmpdir(), 'earshot-cli-'));
const PROGRAM = join(folder, 'earshot.mjs');
copyFileSync(join(ROOT, 'build/earshot.js'), PROGRAM);
after(() => rmSync(folder, { recursive: true, force: true }));

export interface Result {
  code: number | null;
  stdout: string;
  stderr: string;
}

export function start(...args: string[]): ChildProcess {
  return spawn(process.execPath, [PROGRAM, ...args], { cwd: folder, timeout: 60_000, killSignal: 'SIGKILL' });
}

export async function finish(child: ChildProcess, input: string | Uint8Array = ''): Promise<Result> {
  const result: Result = { code: null, stdout: '', stderr: '' };
  child.stdout!.setEncoding('utf8').on('data', text => (result.stdout += text));
  child.stderr!.setEncoding('utf8').on('data', text => (result.stderr += text));
  child.stdin!.on('error', () => {}).end(input);
  result.code = await new Promise(done => child.on('close', done));
  return result;
}

export function earshot(...args: string[]): Promise<Result> {
  return finish(start(...args));
}

export function write(name: string, content: string | Uint8Array): string {
  writeFileSync(join(folder, name), content);
  return name;
}
