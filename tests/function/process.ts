// `earshot function` as a process of its own, bundled once, to be killed.

import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { build } from 'esbuild';

const FOLDER = resolve(import.meta.dirname, '../../.cache/function');
// kafkajs and pino are CommonJS and call `require` for Node's own modules.
const REQUIRE =
  "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);";

export async function bundleFunction(): Promise<string> {
  mkdirSync(FOLDER, { recursive: true });
  const outfile = join(FOLDER, `main-${process.pid}.mjs`);
  await build({
    entryPoints: [resolve(import.meta.dirname, '../../host/main.ts')],
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    banner: { js: REQUIRE },
    logLevel: 'error',
    outfile,
  });
  return outfile;
}

export interface FunctionProcess {
  child: ChildProcess;
  /** Everything it has logged. */
  log(): string;
  exited: Promise<number | string | null>;
}

export function spawnFunction(file: string, environment: NodeJS.ProcessEnv): FunctionProcess {
  const child = spawn(process.execPath, [file, 'function'], {
    env: { PATH: process.env.PATH, ...environment },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let log = '';
  child.stderr!.on('data', chunk => (log += chunk));
  const exited = new Promise<number | string | null>(done =>
    child.once('exit', (code, signal) => done(signal ?? code)),
  );
  const reap = () => child.kill('SIGKILL');
  process.once('exit', reap);
  void exited.then(() => process.off('exit', reap));
  return { child, log: () => log, exited };
}

/** The largest resident memory of the process so far, in MiB. */
export function residentPeak({ child }: FunctionProcess): number {
  const status = readFileSync(`/proc/${child.pid}/status`, 'utf8');
  return Math.round(Number(/VmHWM:\s+(\d+) kB/.exec(status)![1]) / 1024);
}
